/* calibrate_plot.h - draw the picture of `lspo calibrate --plot` with gnuplot. */
#ifndef LSPO_CLI_CALIBRATE_PLOT_H
#define LSPO_CLI_CALIBRATE_PLOT_H

#include "base/status.h"

/* LSPO_ERR_INPUT unless `path` ends in .svg or .png and gnuplot is installed. */
lspo_status_t lspo_calibration_check_plot(const char *path);
/* Draw the residuals of the CSV `samples` by plots/calibrate.gp (folder: environment LSPO_PLOTS, else the sources'). */
lspo_status_t lspo_calibration_plot(const char *samples, const char *path);

#endif
