/* calibration.h - measure a device of this machine with a progress bar, and write its profile. */
#ifndef LSPO_CLI_CALIBRATION_H
#define LSPO_CLI_CALIBRATION_H

#include "base/status.h"
#include "plan/workload.h"
#include "real/calibrate/calibrate.h"

/* Of the timed kernels, unless another is asked for: the host has only fp32. */
lspo_precision_t lspo_calibration_precision(const char *device);

/* On the host also by trainings (validate/trainings.h).  The progress of the options is set here. */
lspo_status_t lspo_calibration_measure(const lspo_calibrate_options_t *options, lspo_calibration_result_t *result_out);

/* The first line is "# Measured by VERSION: COMMAND".  `path` NULL: to standard output. */
lspo_status_t lspo_calibration_write(const lspo_calibration_result_t *result, const lspo_calibrate_options_t *options,
                                     const char *path);

#endif
