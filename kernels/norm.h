/* norm.h - layer norm and RMS norm over the rows of a matrix, forward and backward, fp32.
 *
 *     mean = sum x / w,  rstd = 1 / sqrt(sum (x - mean)^2 / w + epsilon),  xhat = (x - mean) rstd
 *     out  = gain xhat + bias                                                    [Ba et al., arXiv 1607.06450, eq. 4]
 *     dx   = residual + rstd (g - mean(g) - xhat mean(g xhat)),   g = gain dout
 *     dgain = sum over rows of dout xhat,   dbias = sum over rows of dout
 *
 * The backward pass adds the gradient of the residual branch around the norm, and can sum dx over the rows, which is
 * the bias gradient of the linear layer before the norm: both for no further pass over memory.
 * RMS norm leaves out mean and bias: rstd = 1 / sqrt(sum x^2 / w + epsilon), xhat = x rstd, dx without mean(g).
 *                                                                  [Zhang & Sennrich, arXiv 1910.07467, eq. 4]
 * Forward: 8 FLOPs and 8 bytes an element (x read once from memory, out written).
 * Backward: 14 FLOPs and 16 bytes an element (dout, x, residual read, dx written).
 */
#ifndef LSPO_KERNELS_NORM_H
#define LSPO_KERNELS_NORM_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A norm of a matrix of rows x width numbers, dense: its weights have width numbers each. */
typedef struct {
    size_t rows, width;
    float epsilon; /* not read by the backward pass; GPT-2's is 1e-5 */
    const void *gain;
    const void *bias; /* NULL under RMS norm */
} lspo_norm_t;

/* What the backward pass reads: matrices as the norm says, statistics of its rows as the forward pass left them. */
typedef struct {
    const void *dout, *x;
    const void *residual; /* NULL: 0               */
    const float *mean;    /* NULL under RMS norm   */
    const float *rstd;
} lspo_norm_operands_t;

/* What it gives.  dx: rows x width, may be the operands' `residual` or `dout`.  The others have width numbers, may be
 * NULL and are overwritten, or added to when `accumulate`; RMS norm leaves dbias and dx_sum alone. */
typedef struct {
    void *dx;
    void *dgain, *dbias; /* layer norm: both or neither  */
    void *dx_sum;        /* the sum of dx over the rows  */
    bool accumulate;
} lspo_norm_gradients_t;

/* x, out: rows x width; mean_out, rstd_out: rows. */
void lspo_norm_forward(const lspo_norm_t *norm, const float *x, float *out, float *mean_out, float *rstd_out);
void lspo_norm_backward(const lspo_norm_t *norm, const lspo_norm_operands_t *operands,
                        const lspo_norm_gradients_t *gradients);
void lspo_rms_norm_forward(const lspo_norm_t *norm, const float *x, float *out, float *rstd_out);
void lspo_rms_norm_backward(const lspo_norm_t *norm, const lspo_norm_operands_t *operands,
                            const lspo_norm_gradients_t *gradients);

#ifdef __cplusplus
}
#endif
#endif
