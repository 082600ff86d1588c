/* machine_auto.h - the profile of this machine, measured once and kept.
 *
 * The profile of a device is FOLDER/HOST-DEVICE.ini.  Its first line names the version that measured it; one of another
 * version is measured again.  Only one process at a time measures into a folder.
 */
#ifndef LSPO_CLI_MACHINE_AUTO_H
#define LSPO_CLI_MACHINE_AUTO_H

#include "base/status.h"
#include "plan/machine.h"

typedef struct {
    const char *folder;      /* where profiles are; made if it is not there */
    const char *host;        /* this machine's name */
    const char *device;      /* "host" or "cuda" */
    const char *device_name; /* what tells devices apart: "host", or the GPU's name and memory */
    const char *version;     /* "lspo 0.1.0 (id)" */
    /* Measure the device and write its profile, whose first line is "# Measured by VERSION: ...". */
    lspo_status_t (*measure)(const char *device, const char *path);
    void (*say)(const char *text); /* what is done, for people */
} lspo_machine_auto_t;

/* LSPO_ERR_INPUT, before anything is measured, if the folder cannot be made, written or locked. */
lspo_status_t lspo_machine_auto(const lspo_machine_auto_t *wanted, lspo_machine_t *machine_out);

#endif
