/* accuracy.h - how far predictions are from measurements, and how far measurements are from each other.
 *
 * The error of a cell is predicted / measured - 1, a fraction.  A cell of which either is NaN is left out everywhere.
 */
#ifndef LSPO_TRACES_ACCURACY_H
#define LSPO_TRACES_ACCURACY_H

#include <stdint.h>

#include "base/status.h"

typedef struct {
    uint32_t count;
    double mean;               /* of |error|: the mean absolute percentage error */
    double median, p95, worst; /* of |error|; linear between order statistics, ranks q (count - 1) */
    double bias;               /* mean of error with its sign                    */
} lspo_accuracy_t;

/* All NaN, count 0, where no cell has both. */
lspo_status_t lspo_accuracy_compute(const double *predicted, const double *measured, uint32_t count,
                                    lspo_accuracy_t *accuracy_out);

/* Does the prediction put the cells of a group in the order of the measurement?  Kendall's tau over the pairs within a
 * group whose measured times differ by more than the noise of both:
 *     tau = (concordant - discordant) / pairs,      a pair that is predicted equal counts as neither. */
typedef struct {
    uint32_t pairs, concordant, discordant;
    uint32_t too_close; /* pairs within a group that noise leaves undecided */
    double tau;         /* NaN without pairs */
} lspo_order_t;

/* group[i]: 0 for a cell that is compared with none.  noise: a fraction of measured[i]. */
lspo_order_t lspo_accuracy_order(const double *predicted, const double *measured, const double *noise,
                                 const uint32_t *group, uint32_t count);

/* The same cell measured twice: |median of the samples of odd rounds - that of even rounds| / median of all.  NaN where
 * one of the two has none. */
lspo_status_t lspo_accuracy_noise(const double *samples_s, const uint32_t *round, uint32_t count, double *noise_out);

#endif
