/* median.c - see median.h. */
#include "traces/median.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static int compare_double(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

void lspo_sort(double *values, size_t count)
{
    if (count > 0)
        qsort(values, count, sizeof *values, compare_double);
}

/* NULL when out of memory or empty. */
static double *sorted_copy(const double *values, uint32_t count)
{
    double *sorted = count ? malloc(count * sizeof *sorted) : NULL;
    if (!sorted)
        return NULL;
    memcpy(sorted, values, count * sizeof *sorted);
    lspo_sort(sorted, count);
    return sorted;
}

enum { SIGN_SHIFT = 63 };

/* An integer with the same order as the doubles. */
static uint64_t key_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits >> SIGN_SHIFT ? ~bits : bits | UINT64_C(1) << SIGN_SHIFT;
}

static double value_of(uint64_t key)
{
    uint64_t bits = key >> SIGN_SHIFT ? key & ~(UINT64_C(1) << SIGN_SHIFT) : ~key;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* By halving the range of keys, at most 64 times; not at all where all values are equal, as in most simulations. */
double lspo_ranked(const double *values, uint32_t count, uint32_t rank)
{
    uint64_t low = UINT64_MAX, high = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t key = key_of(values[i]);
        low = key < low ? key : low;
        high = key > high ? key : high;
    }
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        uint32_t below = 0;
        for (uint32_t i = 0; i < count; i++)
            below += key_of(values[i]) <= middle;
        if (below > rank)
            high = middle;
        else
            low = middle + 1;
    }
    return value_of(low);
}

double lspo_median(const double *values, uint32_t count)
{
    if (count == 0)
        return (double)NAN;
    double upper = lspo_ranked(values, count, count / 2);
    return count % 2 ? upper : 0.5 * (lspo_ranked(values, count, count / 2 - 1) + upper);
}

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* The median of one resample, found by counting how often each rank was drawn. */
static double resampled_median(const double *sorted, uint32_t count, uint32_t *drawn, uint64_t *state)
{
    memset(drawn, 0, count * sizeof *drawn);
    for (uint32_t i = 0; i < count; i++)
        drawn[((next_random(state) >> 32) * count) >> 32]++;
    uint32_t below = (count - 1) / 2, above = count / 2, seen = 0, rank = 0;
    while (seen + drawn[rank] <= below)
        seen += drawn[rank++];
    double low = sorted[rank];
    while (seen + drawn[rank] <= above)
        seen += drawn[rank++];
    return 0.5 * (low + sorted[rank]);
}

lspo_status_t lspo_median_interval(const double *values, uint32_t count, uint64_t seed, double *low_out,
                                   double *high_out)
{
    enum { RESAMPLES = 2000 };
    *low_out = *high_out = (double)NAN;
    if (count == 0)
        return LSPO_OK;
    double *medians = malloc(RESAMPLES * sizeof *medians);
    double *sorted = sorted_copy(values, count);
    uint32_t *drawn = malloc(count * sizeof *drawn);
    bool has_memory = medians && sorted && drawn;
    if (has_memory) {
        for (int i = 0; i < RESAMPLES; i++)
            medians[i] = resampled_median(sorted, count, drawn, &seed);
        lspo_sort(medians, RESAMPLES);
        *low_out = medians[RESAMPLES / 40];
        *high_out = medians[RESAMPLES - 1 - RESAMPLES / 40];
    }
    free(drawn);
    free(sorted);
    free(medians);
    return has_memory ? LSPO_OK : lspo_no_memory("the interval of %" PRIu32 " samples", count);
}
