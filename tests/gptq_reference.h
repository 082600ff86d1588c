/* gptq_reference.h - GPTQ by its derivation, in double, and inputs for which it matters. */
#ifndef LSPO_TESTS_GPTQ_REFERENCE_H
#define LSPO_TESTS_GPTQ_REFERENCE_H

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/random.h"

/* The inverse of a symmetric matrix (d x d), by Gauss-Jordan. */
static inline void reference_invert(size_t d, double *a)
{
    for (size_t p = 0; p < d; p++) {
        const double pivot = a[p * d + p];
        a[p * d + p] = 1;
        for (size_t j = 0; j < d; j++)
            a[p * d + j] /= pivot;
        for (size_t i = 0; i < d; i++) {
            const double factor = a[i * d + p];
            if (i == p)
                continue;
            a[i * d + p] = 0;
            for (size_t j = 0; j < d; j++)
                a[i * d + j] -= factor * a[p * d + j];
        }
    }
}

/* w (m x n) <- its rounding by [Frantar et al., arXiv 2210.17323, Eq. 2 and 3]: after each row the inverse of what is
 * left of h (m x m) says how the rows behind it change.  nearest: of a weight of column j. */
static inline void reference_gptq(size_t m, size_t n, const double *h,
                                  double (*nearest)(const void *grid, size_t j, double w), const void *grid, double *w)
{
    double *rest = calloc(m * m, sizeof *rest);
    cr_assert_not_null(rest);
    for (size_t q = 0; q < m; q++) {
        const size_t d = m - q;
        for (size_t i = 0; i < d; i++)
            for (size_t j = 0; j < d; j++)
                rest[i * d + j] = h[(q + i) * m + q + j];
        reference_invert(d, rest);
        for (size_t j = 0; j < n; j++) {
            const double rounded = nearest(grid, j, w[q * n + j]), error = w[q * n + j] - rounded;
            w[q * n + j] = rounded;
            for (size_t i = 1; i < d; i++)
                w[(q + i) * n + j] -= error * rest[i] / rest[0];
        }
    }
    free(rest);
}

/* X^T X of inputs (tokens x m), with a share of the mean of its diagonal added to this. */
static inline double *reference_hessian(size_t tokens, size_t m, const float *x, double damping)
{
    double *h = calloc(m * m, sizeof *h), mean = 0;
    cr_assert_not_null(h);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < m; j++)
            for (size_t t = 0; t < tokens; t++)
                h[i * m + j] += (double)x[t * m + i] * (double)x[t * m + j];
    for (size_t i = 0; i < m; i++)
        mean += h[i * m + i] / (double)m;
    for (size_t i = 0; i < m; i++)
        h[i * m + i] += damping * mean;
    return h;
}

/* Inputs: each is near the one before. */
static inline float *correlated_inputs(size_t tokens, size_t m)
{
    float *x = calloc(tokens * m, sizeof *x);
    cr_assert_not_null(x);
    lspo_random_normal_fill(11, 0, 1, tokens * m, x);
    for (size_t t = 0; t < tokens; t++)
        for (size_t i = 1; i < m; i++)
            x[t * m + i] = 0.9F * x[t * m + i - 1] + 0.4F * x[t * m + i];
    return x;
}

#endif
