/* vector.h - streaming helpers around matrix products, fp32: bound by memory bandwidth, not by arithmetic. */
#ifndef LSPO_KERNELS_VECTOR_H
#define LSPO_KERNELS_VECTOR_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Every row of out (rows x cols, dense) = bias: what a product with beta 1 starts from.  4 bytes an element. */
void lspo_bias_fill(size_t rows, size_t cols, const float *bias, float *out);

/* out = x + bias, row by row: the residual and the bias under a product with beta 1.  out may be x.  1 FLOP, 8 bytes an element. */
void lspo_bias_add(size_t rows, size_t cols, const float *x, const float *bias, float *out);

/* out (cols floats) = sum over the rows of x (rows x cols, dense), added to when `accumulate`: a bias gradient.
 * 1 FLOP, 4 bytes an element. */
void lspo_column_sum(size_t rows, size_t cols, const float *x, bool accumulate, float *out);

/* sum += x.  1 FLOP, 12 bytes an element. */
void lspo_vector_add(size_t n, const float *x, float *sum);

/* w <- keep w - rate direction; direction may be w.  3 FLOPs, 12 bytes an element. */
void lspo_step_along(size_t n, float keep, float rate, const float *direction, float *w);

/* The sum of x^2 in double, in the order of the elements.  2 FLOPs, 4 bytes an element. */
double lspo_sum_of_squares(size_t n, const float *x);

#ifdef __cplusplus
}
#endif
#endif
