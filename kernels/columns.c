/* columns.c - select columns of a matrix by importance, gather and scatter them, on the CPU. */
#include "kernels/columns.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Sums are not negative, so they have the order of their bits: of which a pass looks at so many, from the highest. */
enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS };
static const uint32_t digit_shifts[] = {21, 10, 0};

static uint32_t bits_of(float sum)
{
    uint32_t bits;
    memcpy(&bits, &sum, sizeof bits);
    return bits;
}

/* The sum number `selected` of the largest, from 1: digit by digit, of those that begin as it does. */
static float selected_sum(size_t n, size_t selected, const float *sums)
{
    uint32_t known = 0, known_mask = 0;
    size_t left = selected;
    for (size_t pass = 0; pass < sizeof digit_shifts / sizeof digit_shifts[0]; pass++) {
        const uint32_t shift = digit_shifts[pass];
        uint32_t counts[DIGITS] = {0}, digit = DIGITS - 1;
        for (size_t j = 0; j < n; j++) {
            const uint32_t bits = bits_of(sums[j]);
            counts[bits >> shift & (DIGITS - 1)] += (bits & known_mask) == known;
        }
        for (; counts[digit] < left; digit--)
            left -= counts[digit];
        known = (known & known_mask) | digit << shift;
        known_mask |= (uint32_t)(DIGITS - 1) << shift;
    }
    float sum;
    memcpy(&sum, &known, sizeof sum);
    return sum;
}

static void sum_columns(size_t m, size_t n, const float *g, float *sums)
{
    memset(sums, 0, n * sizeof *sums);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            sums[j] += fabsf(g[i * n + j]);
    for (size_t j = 0; j < n; j++) /* NaN cannot be ordered */
        sums[j] = isnan(sums[j]) ? INFINITY : sums[j];
}

void lspo_columns_split(const lspo_columns_t *shape, const float *g, float *scratch, uint32_t *columns_out)
{
    const size_t n = shape->n, selected = shape->count;
    float *sums = scratch;
    sum_columns(shape->m, n, g, sums);
    const float least = selected > 0 ? selected_sum(n, selected, sums) : INFINITY;
    size_t above = 0, at = 0, rest = selected;
    for (size_t j = 0; j < n; j++)
        above += sums[j] > least;
    size_t equals = selected - above; /* how many columns equal to the smallest are also selected */
    for (size_t j = 0; j < n; j++) {
        bool equal = selected > 0 && sums[j] == least && equals > 0;
        equals -= equal;
        if (equal || sums[j] > least)
            columns_out[at++] = (uint32_t)j;
        else
            columns_out[rest++] = (uint32_t)j;
    }
}

void lspo_columns_gather(const lspo_columns_t *shape, const uint32_t *columns, const float *x, float *out)
{
    const size_t n = shape->n, count = shape->count;
    for (size_t i = 0; i < shape->m; i++)
        for (size_t j = 0; j < count; j++)
            out[i * count + j] = x[i * n + columns[j]];
}

void lspo_columns_scatter(const lspo_columns_t *shape, const uint32_t *columns, const float *in, float *x)
{
    const size_t n = shape->n, count = shape->count;
    for (size_t i = 0; i < shape->m; i++)
        for (size_t j = 0; j < count; j++)
            x[i * n + columns[j]] = in[i * count + j];
}
