/* norm.h - layer norm and RMS norm over the rows of a matrix, forward and backward, fp32.
 *
 *     mean = sum x / w,  rstd = 1 / sqrt(sum (x - mean)^2 / w + 1e-5),  xhat = (x - mean) rstd
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

/* x, out: rows x width, dense; gain, bias: width; mean_out, rstd_out: rows. */
void lspo_norm_forward(size_t rows, size_t width, const float *x, const float *gain, const float *bias, float *out,
                       float *mean_out, float *rstd_out);

/* The same with another epsilon than 1e-5; lspo_norm_backward() fits both. */
void lspo_norm_forward_epsilon(size_t rows, size_t width, float epsilon, const float *x, const float *gain,
                               const float *bias, float *out, float *mean_out, float *rstd_out);

/* dout, x, residual, dx: rows x width, dense; dx may be `residual` or `dout`; residual NULL: 0.  dgain and dbias (both
 * or neither) and dx_sum (each may be NULL) have width floats and are overwritten, or added to when `accumulate`. */
void lspo_norm_backward(size_t rows, size_t width, const float *dout, const float *x, const float *mean,
                        const float *rstd, const float *gain, const float *residual, bool accumulate, float *dx,
                        float *dgain, float *dbias, float *dx_sum);

/* RMS norm; shapes and aliasing as above, dgain may be NULL. */
void lspo_rms_norm_forward(size_t rows, size_t width, float epsilon, const float *x, const float *gain, float *out,
                           float *rstd_out);
void lspo_rms_norm_backward(size_t rows, size_t width, const float *dout, const float *x, const float *rstd,
                            const float *gain, const float *residual, bool accumulate, float *dx, float *dgain);

#ifdef __cplusplus
}
#endif
#endif
