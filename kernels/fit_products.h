/* fit_products.h - the matrix products of fitting: sparse projectors times dense matrices, shared by workers.
 *
 * P is rows x d (kernels/projector.h).  Each item is computed by one worker, so results do not depend on the number of
 * workers.  Private to kernels/fit*.c and kernels/eigen_adam.c. */
#ifndef LSPO_KERNELS_FIT_PRODUCTS_H
#define LSPO_KERNELS_FIT_PRODUCTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/workers.h"
#include "kernels/projector.h"

typedef void lspo_fit_range_t(const void *context, size_t first, size_t end);

/* Calls `function` for items 0 .. count - 1 in equal ranges, one per worker. */
void lspo_fit_spread(lspo_workers_t *workers, size_t count, lspo_fit_range_t *function, const void *context);

/* out (rows x width) = P in, in: d x width. */
void lspo_fit_multiply(lspo_workers_t *workers, const lspo_projector_t *p, const float *in, size_t width, float *out);
/* out (d x width) = P^T in, in: rows x width. */
void lspo_fit_multiply_transposed(lspo_workers_t *workers, const lspo_projector_t *p, const float *in, size_t width,
                                  float *out);
/* out (rows x d) = G P, G: rows x p->rows. */
void lspo_fit_gather(lspo_workers_t *workers, const lspo_projector_t *p, size_t rows, const float *g, float *out);
/* out (n x d) = G^T P, G: p->rows x n. */
void lspo_fit_gather_transposed(lspo_workers_t *workers, const lspo_projector_t *p, size_t n, const float *g,
                                float *out);
/* out (A's d x B's d) = A^T B; A and B have as many rows. */
void lspo_fit_cross(const lspo_projector_t *a, const lspo_projector_t *b, float *out);
/* out (cols x rows) = in^T. */
void lspo_fit_transpose(size_t rows, size_t cols, const float *in, float *out);
/* The dot product, summed in double. */
double lspo_fit_dot(size_t n, const float *a, const float *b);

/* x <- x^2; the sum, in double. */
void lspo_fit_square(size_t n, float *x);
double lspo_fit_sum(size_t n, const float *x);
/* Scale v so that its sum is `before`, and m by the root of that factor, which is returned; 1 if a sum is 0. */
double lspo_fit_keep_sum(size_t n, double before, float *m, float *v);

/* Takes `count` floats at *at and advances *at past them. */
static inline float *lspo_fit_carve(float **at, size_t count)
{
    float *array = *at;
    *at += count;
    return array;
}

#endif
