/* vector.h - elementwise helpers around matrix products, fp32; memory bandwidth limits them, not arithmetic. */
#ifndef LSPO_KERNELS_VECTOR_H
#define LSPO_KERNELS_VECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Every row of out (rows x cols, dense) = bias, for a product with beta 1.  4 bytes per element. */
void lspo_bias_fill(size_t rows, size_t cols, const float *bias, float *out);

/* out = x + bias, row by row: residual and bias, for a product with beta 1.  out may be x.  1 FLOP, 8 bytes per
 * element. */
void lspo_bias_add(size_t rows, size_t cols, const float *x, const float *bias, float *out);

/* out (cols floats) = the sum of x (rows x cols, dense) over the rows, or += if `accumulate`: a bias gradient.  1 FLOP,
 * 4 bytes per element. */
void lspo_column_sum(size_t rows, size_t cols, const float *x, bool accumulate, float *out);

/* out = x past the cache, which `out` need not be read into: 8 bytes per element.  In place of memcpy() for what is not
 * read again soon. */
void lspo_vector_store(size_t n, const float *x, float *out);

/* sum += x.  1 FLOP, 12 bytes per element. */
void lspo_vector_add(size_t n, const float *x, float *sum);

/* A step w <- keep w - rate direction. */
typedef struct {
    float keep, rate;
    uint64_t seed; /* 16-bit weights on a GPU are rounded up or down at random, by bits that are a function of seed and
                      place (kernels/number.cuh), so that the mean of many small steps is right */
} lspo_vector_step_t;

/* With weight decay: keep is 1 - rate decay. */
static inline lspo_vector_step_t lspo_vector_step(float rate, float decay, uint64_t seed)
{
    const lspo_vector_step_t step = {1.0F - rate * decay, rate, seed};
    return step;
}

/* direction may be w.  3 FLOPs, 12 bytes per element. */
void lspo_step_along(size_t n, const lspo_vector_step_t *step, const float *direction, float *w);

/* The sum of x^2 in double, in the order of the elements.  2 FLOPs, 4 bytes per element. */
double lspo_sum_of_squares(size_t n, const float *x);

#ifdef __cplusplus
}
#endif
#endif
