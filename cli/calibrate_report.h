/* calibrate_report.h - what `lspo calibrate` writes: profile with standard errors, samples, report, picture. */
#ifndef LSPO_CLI_CALIBRATE_REPORT_H
#define LSPO_CLI_CALIBRATE_REPORT_H

#include <stdio.h>

#include "cli/table.h"
#include "base/status.h"
#include "real/calibrate/calibrate.h"

/* The profile with "+- 0.8 %, 105 samples" behind what was measured. */
lspo_status_t lspo_calibration_write_profile(const lspo_calibration_result_t *result, const char *comment, FILE *file);

/* CSV: kind, shape, repeat, time_s, fitted_s, residual = time / fitted - 1 (the last two empty where nothing is fitted). */
lspo_status_t lspo_calibration_write_samples(const lspo_calibration_result_t *result, FILE *file);

/* One row a measured field: parameter, value, unit, standard error, samples; and what hardware counters say of the
 * model's bytes, where there are any. */
lspo_status_t lspo_calibration_report(const lspo_calibration_result_t *result, lspo_format_t format, FILE *file);

/* `path` ends in .svg or .png, and gnuplot is there: LSPO_ERR_INPUT otherwise. */
lspo_status_t lspo_calibration_check_plot(const char *path);
/* Draw the residuals of the CSV `samples` by plots/calibrate.gp (folder: environment LSPO_PLOTS, else the sources'). */
lspo_status_t lspo_calibration_plot(const char *samples, const char *path);

#endif
