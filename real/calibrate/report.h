/* report.h - the output of a calibration: profile with standard errors, samples, report. */
#ifndef LSPO_REAL_CALIBRATE_REPORT_H
#define LSPO_REAL_CALIBRATE_REPORT_H

#include <stdio.h>

#include "base/status.h"
#include "base/table.h"
#include "real/calibrate/calibrate.h"

/* The profile, with a comment such as "+- 0.8 %, 105 samples" after each measured value. */
lspo_status_t lspo_calibration_write_profile(const lspo_calibration_result_t *result, const char *comment, FILE *file);

/* CSV: kind, shape, repeat, time_s, fitted_s, residual = time / fitted - 1 (the last two are empty if nothing is
 * fitted). */
lspo_status_t lspo_calibration_write_samples(const lspo_calibration_result_t *result, FILE *file);

/* One row per measured field: parameter, value, unit, standard error, samples; and a comparison of the model's bytes
 * with hardware counters, if there are any. */
lspo_status_t lspo_calibration_report(const lspo_calibration_result_t *result, lspo_format_t format, FILE *file);

#endif
