/* accuracy.c - the errors of predictions, and the differences between repeated measurements; see accuracy.h. */
#include "traces/accuracy.h"

#include <math.h>
#include <stdlib.h>

#include "traces/median.h"

static double quantile_of_sorted(const double *sorted, uint32_t count, double q)
{
    double rank = q * (double)(count - 1);
    uint32_t below = (uint32_t)rank;
    double rest = rank - (double)below;
    return below + 1 < count ? sorted[below] + rest * (sorted[below + 1] - sorted[below]) : sorted[count - 1];
}

static int both(double predicted, double measured)
{
    return !isnan(predicted) && !isnan(measured);
}

lspo_status_t lspo_accuracy_compute(const double *predicted, const double *measured, uint32_t count,
                                    lspo_accuracy_t *accuracy_out)
{
    lspo_accuracy_t accuracy = {.mean = NAN, .median = NAN, .p95 = NAN, .worst = NAN, .bias = NAN};
    double *sizes = malloc((count > 0 ? count : 1) * sizeof *sizes);
    if (!sizes)
        return lspo_no_memory("the errors of %u cells", count);
    double sum = 0, signed_sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!both(predicted[i], measured[i]))
            continue;
        double error = predicted[i] / measured[i] - 1;
        sizes[accuracy.count++] = fabs(error);
        sum += fabs(error);
        signed_sum += error;
    }
    if (accuracy.count > 0) {
        lspo_sort(sizes, accuracy.count);
        accuracy.mean = sum / accuracy.count;
        accuracy.bias = signed_sum / accuracy.count;
        accuracy.median = quantile_of_sorted(sizes, accuracy.count, 0.5);
        accuracy.p95 = quantile_of_sorted(sizes, accuracy.count, 0.95);
        accuracy.worst = sizes[accuracy.count - 1];
    }
    free(sizes);
    *accuracy_out = accuracy;
    return LSPO_OK;
}

static int sign(double value)
{
    return (value > 0) - (value < 0);
}

lspo_order_t lspo_accuracy_order(const double *predicted, const double *measured, const double *noise,
                                 const uint32_t *group, uint32_t count)
{
    lspo_order_t order = {0};
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = i + 1; j < count; j++) {
            if (group[i] == 0 || group[i] != group[j] || !both(predicted[i], measured[i]) ||
                !both(predicted[j], measured[j]))
                continue;
            double gap = measured[i] - measured[j];
            /* A NaN as noise has no effect: fmax() returns the other argument. */
            if (fabs(gap) <= fmax(noise[i] * measured[i], noise[j] * measured[j])) {
                order.too_close++;
                continue;
            }
            int agreement = sign(gap) * sign(predicted[i] - predicted[j]);
            order.pairs++;
            order.concordant += agreement > 0;
            order.discordant += agreement < 0;
        }
    }
    order.tau = order.pairs > 0 ? ((double)order.concordant - order.discordant) / order.pairs : (double)NAN;
    return order;
}

lspo_status_t lspo_accuracy_noise(const double *samples_s, const uint32_t *round, uint32_t count, double *noise_out)
{
    double *sides = malloc((count > 0 ? count : 1) * sizeof *sides);
    if (!sides)
        return lspo_no_memory("the noise of %u samples", count);
    /* Odd rounds go from the left, even ones from the right. */
    uint32_t odd = 0, even = 0;
    for (uint32_t i = 0; i < count; i++)
        sides[round[i] % 2 == 1 ? odd++ : count - ++even] = samples_s[i];
    *noise_out = fabs(lspo_median(sides, odd) - lspo_median(sides + odd, even)) / lspo_median(samples_s, count);
    free(sides);
    return LSPO_OK;
}
