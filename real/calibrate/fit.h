/* fit.h - robust linear regression of times (GSL), private to real/calibrate/calibrate*.c and their tests.
 *
 * Times are modelled as sums of amounts times non-negative costs: y_i = sum_j c_j x_ij.  Errors are relative (each row
 * is divided by `scale`, the median of the repeats of its shape) and have Tukey's bisquare weights: outliers have
 * weight 0.  If a cost is negative, it is set to 0 and the others are fitted again, until no cost is negative. */
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
    double error[LSPO_FIT_COLUMNS_MAX]; /* standard errors; 0 for a cost that was set to 0 */
} lspo_fit_t;

/* LSPO_ERR_CHECK if the rows do not determine the costs; `what` names the costs in the message. */
lspo_status_t lspo_fit_rows(const char *what, const lspo_fit_row_t *rows, size_t count, size_t columns,
                            lspo_fit_t *fit_out);

/* Work whose cost per unit is `near` in a cache and `far` in memory; a cache of `size` bytes holds the share h of a
 * working set of `set` bytes:
 *     y = amount (near h + far (1 - h)),   h = min(1, size / set)
 * x[0] = amount, x[1] = set.  Finds the size between `low` and `high` that fits best, with the two costs (near <= far)
 * and the relative standard error of the size. */
typedef struct {
    double size, size_error;
    double near, far; /* cost per unit */
} lspo_cache_fit_t;
lspo_status_t lspo_fit_cache(const char *what, const lspo_fit_row_t *rows, size_t count, double low, double high,
                             lspo_cache_fit_t *fit_out);

#endif
