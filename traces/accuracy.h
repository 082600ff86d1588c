/* accuracy.h - the errors of predictions, and the differences between repeated measurements.
 *
 * The error of a cell is predicted / measured - 1, a fraction.  Cells in which either is NaN are always left out.
 */
#ifndef LSPO_TRACES_ACCURACY_H
#define LSPO_TRACES_ACCURACY_H

#include <stdint.h>

#include "base/status.h"

typedef struct {
    uint32_t count;
    double mean;               /* of |error|: the mean absolute percentage error */
    double median, p95, worst; /* of |error|; interpolated between ranks, q (count - 1) */
    double bias;               /* mean of the signed error */
} lspo_accuracy_t;

/* All NaN and count 0 if no cell has both. */
lspo_status_t lspo_accuracy_compute(const double *predicted, const double *measured, uint32_t count,
                                    lspo_accuracy_t *accuracy_out);

/* Does the prediction have the same order of cells within groups as the measurement? Kendall's tau over pairs within a
 * group whose measured times differ by more than the noise of both:
 *     tau = (concordant - discordant) / pairs,      pairs with equal predictions count as neither. */
typedef struct {
    uint32_t pairs, concordant, discordant;
    uint32_t too_close; /* pairs within a group that noise leaves undecided */
    double tau;         /* NaN without pairs */
} lspo_order_t;

/* group[i]: 0 for a cell that is not compared.  noise: a fraction of measured[i]. */
lspo_order_t lspo_accuracy_order(const double *predicted, const double *measured, const double *noise,
                                 const uint32_t *group, uint32_t count);

/* The noise of a cell: |median of the samples of odd rounds - median of even rounds| / median of all.  NaN if one of
 * the two has no samples. */
lspo_status_t lspo_accuracy_noise(const double *samples_s, const uint32_t *round, uint32_t count, double *noise_out);

#endif
