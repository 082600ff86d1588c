/* gnuplot.h - draw pictures with the scripts in plots/. */
#ifndef LSPO_CLI_GNUPLOT_H
#define LSPO_CLI_GNUPLOT_H

#include <stddef.h>

#include "base/status.h"

/* LSPO_ERR_INPUT unless `path` ends in .svg or .png and gnuplot is installed. */
lspo_status_t lspo_gnuplot_check(const char *path);

/* A variable of a script. */
typedef struct {
    const char *name, *text;
} lspo_gnuplot_variable_t;

/* Draw `path` by plots/SCRIPT (cli/data_folder.h), which finds `format`, `target` and `plots` set, and these. */
lspo_status_t lspo_gnuplot_draw(const char *script, const char *path, const lspo_gnuplot_variable_t *variables,
                                size_t count);

#endif
