/* calibrate.h - measure this machine's rates, kernel class by kernel class, into a machine profile. */
#ifndef LSPO_REAL_CALIBRATE_H
#define LSPO_REAL_CALIBRATE_H

#include <stdbool.h>

#include "plan/machine.h"
#include "plan/status.h"

typedef struct {
    const char *device; /* "host" */
    bool quick;         /* under 10 s instead of under 40 s */
    void (*progress)(void *context, const char *label, unsigned done, unsigned of); /* may be NULL */
    void *progress_context;
} lspo_calibrate_options_t;

/* Fills every field of the profile; the GEMM rate and its half-saturation sizes by linear least squares (GSL) over a
 * grid of shapes, the others as medians.  Never looks at a plan. */
lspo_status_t lspo_calibrate(const lspo_calibrate_options_t *options, lspo_machine_t *machine_out);

#endif
