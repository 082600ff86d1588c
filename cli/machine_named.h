/* machine_named.h - the machine of --machine NAME|FILE|auto. */
#ifndef LSPO_CLI_MACHINE_NAMED_H
#define LSPO_CLI_MACHINE_NAMED_H

#include "ask/request.h"
#include "base/status.h"
#include "plan/machine.h"

/* lspo_machine_find(), and for `auto` the profile of this machine: of its first GPU if it has one, else of the host as
 * a device.  It is $XDG_CACHE_HOME/lspo/HOST-DEVICE.ini (~/.cache/lspo without that variable), measured by `lspo
 * calibrate --quick` if it is not there or of another version.  What is done is said on stderr, once. */
lspo_status_t lspo_machine_named(const char *name, lspo_machine_t *machine_out);

/* The request's machine, with its overrides: lspo_request_use_machine(). */
lspo_status_t lspo_request_machine(lspo_request_t *request, lspo_machine_t *machine_out);

#endif
