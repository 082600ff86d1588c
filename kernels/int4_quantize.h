/* int4_quantize.h - find the codes and scales of weights of 4 bits (int4.h).
 *
 * Both choose for each group of rows of a column (zero point 8)
 *     scale = max |w| x 2 / 15, rounded to fp16;    code = round(w / scale) + 8, limited to 0..15
 * so that the error of a weight is at most half a scale, and little more where the rounded scale is too small.
 *
 * round to nearest: every weight by itself.
 *
 * GPTQ [Frantar, Ashkboos, Hoefler, Alistarh, arXiv 2210.17323, Alg. 1]: row after row of W (m x n: a row has the
 * weights of one input); what a row's rounding changes in X W, the rows behind it make up for as well as they can.
 * With H = X^T X of calibration inputs X and H^-1 = U^T U (U upper triangular)
 *     e = (w_i - w'_i) / U_ii;    w_k <- w_k - U_ik e for all rows k > i
 * H is first damped: 1 % of the mean of its diagonal is added to the diagonal.  The weights of an input that was always
 * 0 become 0.  A group's scales are those of its weights when it is its turn.
 */
#ifndef LSPO_KERNELS_INT4_QUANTIZE_H
#define LSPO_KERNELS_INT4_QUANTIZE_H

#include "base/status.h"
#include "base/workers.h"
#include "kernels/int4.h"

/* packed: lspo_int4_bytes(), 64-byte aligned; the shape has no zeros.  w: m x n.  Returns false, with undefined
 * `packed`, if a weight is not finite or a scale above the largest number of fp16.  The same for any workers; NULL:
 * the calling thread. */
bool lspo_int4_round(lspo_workers_t *workers, const lspo_int4_shape_t *shape, const float *w, void *packed);

/* hessian (m x m) += X^T X; x: tokens x m.  Only its upper triangle counts. */
void lspo_gptq_add_inputs(lspo_workers_t *workers, size_t m, size_t tokens, const float *x, float *hessian);

/* The upper triangle of hessian <- U; U_ii is negative for an input that was always 0.  LSPO_ERR_INPUT if the hessian
 * is not finite, or has no factor in fp32. */
lspo_status_t lspo_gptq_factor(size_t m, float *hessian);

/* w is changed.  Returns false as lspo_int4_round(). */
bool lspo_gptq_quantize(lspo_workers_t *workers, const lspo_int4_shape_t *shape, float *w, const float *upper,
                        void *packed);

#endif
