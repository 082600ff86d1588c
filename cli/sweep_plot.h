/* sweep_plot.h - draw a column of a sweep's results against another one, with a line per value of a third. */
#ifndef LSPO_CLI_SWEEP_PLOT_H
#define LSPO_CLI_SWEEP_PLOT_H

#include <stddef.h>

#include "base/status.h"

/* Names of columns; "link" stands for link_Bps, the first column whose name goes on with _. */
typedef struct {
    const char *x, *y, *by; /* by NULL: one line */
} lspo_sweep_plot_t;

/* Read "x=link", then "y=slowdown", "by=policy" in any order.  LSPO_ERR_INPUT if x or y is missing. */
lspo_status_t lspo_sweep_plot_read(const char *first, const char *const *others, size_t count,
                                   lspo_sweep_plot_t *plot_out);

/* The picture of FILE.csv: FILE.svg, malloc'd.  LSPO_ERR_INPUT unless it is CSV and gnuplot is installed. */
lspo_status_t lspo_sweep_plot_check(const char *results, char **picture_out);

/* LSPO_ERR_INPUT if one of its columns is not among `names`, which are separated by commas. */
lspo_status_t lspo_sweep_plot_check_columns(const lspo_sweep_plot_t *plot, const char *names);

/* Draw it from the CSV at `results`, and print its name.  Rows without x or y are left out. */
lspo_status_t lspo_sweep_plot_draw(const lspo_sweep_plot_t *plot, const char *results, const char *picture);

#endif
