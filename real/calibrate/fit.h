/* fit.h - robust linear regression of times (GSL), private to real/calibrate/calibrate*.c and their tests.
 *
 * Times are sums of amounts times non-negative costs: y_i = sum_j c_j x_ij.  Errors are relative (each row is divided
 * by `scale`, the median of the repeats of its shape), and count with Tukey's bisquare weights: rows far off count for
 * nothing.  A cost that comes out negative is left out and the others are fitted again, until there may be none. */
#ifndef LSPO_REAL_CALIBRATE_FIT_H
#define LSPO_REAL_CALIBRATE_FIT_H

#include <stddef.h>

#include "base/status.h"

enum { LSPO_FIT_COLUMNS_MAX = 5 };

typedef struct {
    double x[LSPO_FIT_COLUMNS_MAX];
    double y, scale;
} lspo_fit_row_t;

typedef struct {
    double cost[LSPO_FIT_COLUMNS_MAX];  /* >= 0 */
    double error[LSPO_FIT_COLUMNS_MAX]; /* standard errors; 0 where a cost was left out */
} lspo_fit_t;

/* LSPO_ERR_CHECK when the costs cannot be told from the rows; `what` names them. */
lspo_status_t lspo_fit_rows(const char *what, const lspo_fit_row_t *rows, size_t count, size_t columns,
                            lspo_fit_t *fit_out);

/* Amounts worked through at a cost near and a cost far, by the share of `set` that `size` holds:
 *     y = amount (near h + far (1 - h)),   h = min(1, size / set)
 * x[0] = amount, x[1] = set.  The size that fits best of a scale from `low` to `high`, with the two costs (near <= far)
 * and the relative standard error of the size. */
typedef struct {
    double size, size_error;
    double near, far; /* cost of a unit */
} lspo_cache_fit_t;
lspo_status_t lspo_fit_cache(const char *what, const lspo_fit_row_t *rows, size_t count, double low, double high,
                             lspo_cache_fit_t *fit_out);

#endif
