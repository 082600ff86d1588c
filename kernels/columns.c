/* columns.c - select columns of a matrix by importance, gather and scatter them, on the CPU. */
#include "kernels/columns.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static int compare_descending(const void *left, const void *right)
{
    float a = *(const float *)left, b = *(const float *)right;
    return (a < b) - (a > b);
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
    float *sums = scratch, *sorted = scratch + n;
    sum_columns(shape->m, n, g, sums);
    memcpy(sorted, sums, n * sizeof *sums);
    qsort(sorted, n, sizeof *sorted, compare_descending);
    const float least = selected > 0 ? sorted[selected - 1] : INFINITY;
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
