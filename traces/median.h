/* median.h - order statistics of numbers: samples, errors, measured times. */
#ifndef LSPO_TRACES_MEDIAN_H
#define LSPO_TRACES_MEDIAN_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Ascending, in place.  No NaN. */
void lspo_sort(double *values, size_t count);
/* The value that has `rank` others before it once they are sorted; rank < count.  It needs no memory, so it cannot
 * fail. */
double lspo_ranked(const double *values, uint32_t count, uint32_t rank);
/* Median of values (not modified); NaN when count is 0. */
double lspo_median(const double *values, uint32_t count);
/* 95 % percentile-bootstrap interval of the median: the 2.5 % and 97.5 % quantiles of the medians of 2,000 seeded
 * resamples.  NaN as above; only LSPO_ERR_MEMORY is possible. */
lspo_status_t lspo_median_interval(const double *values, uint32_t count, uint64_t seed, double *low_out,
                                   double *high_out);

#endif
