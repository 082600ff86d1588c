/* norm.h - layer norm and RMS norm over the rows of a matrix, forward and backward, fp32.
 *
 *     mean = sum x / w,  rstd = 1 / sqrt(sum (x - mean)^2 / w + epsilon),  xhat = (x - mean) rstd
 *     out  = gain xhat + bias                                                    [Ba et al., arXiv 1607.06450, eq. 4]
 *     dx   = residual + rstd (g - mean(g) - xhat mean(g xhat)),   g = gain dout
 *     dgain = sum over rows of dout xhat,   dbias = sum over rows of dout
 *
 * The backward pass also adds the gradient of the residual branch around the norm, and can sum dx over the rows, which
 * is the bias gradient of the linear layer before the norm; neither needs another pass over memory.  RMS norm has no
 * mean and no bias: rstd = 1 / sqrt(sum x^2 / w + epsilon), xhat = x rstd, dx without mean(g).
 *                                                                  [Zhang & Sennrich, arXiv 1910.07467, eq. 4]
 * Forward: 8 FLOPs and 8 bytes per element (x is read once from memory, out is written).  Backward: 14 FLOPs and 16
 * bytes per element (dout, x and residual are read, dx is written).
 */
#ifndef LSPO_KERNELS_NORM_H
#define LSPO_KERNELS_NORM_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The norm of a dense matrix of rows x width numbers; gain and bias have width numbers each. */
typedef struct {
    size_t rows, width;
    float epsilon; /* not used by the backward pass; 1e-5 in GPT-2 */
    const void *gain;
    const void *bias; /* RMS norm: NULL */
} lspo_norm_t;

/* Inputs of the backward pass: matrices of the norm's shape, and the rows' statistics from the forward pass. */
typedef struct {
    const void *dout, *x;
    const void *residual; /* NULL: 0               */
    const float *mean;    /* RMS norm: NULL */
    const float *rstd;
} lspo_norm_operands_t;

/* Its results.  dx: rows x width, may be `residual` or `dout` of the operands.  The others have width numbers, may be
 * NULL and are overwritten, or added to if `accumulate`; RMS norm does not use dbias and dx_sum. */
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
