/* activation.h - GELU in its tanh form, forward and backward, fp32.    [Hendrycks & Gimpel, arXiv 1606.08415, Sec. 2]
 *
 *     gelu(x) = x / 2 (1 + tanh(u)) = x sigmoid(2 u),    u = sqrt(2 / pi) (x + 0.044715 x^3)
 *
 * Forward: about 20 FLOPs and 8 bytes an element.  Backward: about 28 FLOPs and 12 bytes an element; it also sums the
 * rows of its result, which is the bias gradient of the linear layer before the GELU.
 */
#ifndef LSPO_KERNELS_ACTIVATION_H
#define LSPO_KERNELS_ACTIVATION_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* n elements; out may be x. */
void lspo_gelu_forward(size_t n, const float *x, float *out);

/* x, d: rows x cols, dense.  d: gradient of the output on entry, of x on return.  bias_gradient: cols floats or NULL;
 * overwritten, or added to when `accumulate`. */
void lspo_gelu_backward(size_t rows, size_t cols, const float *x, bool accumulate, float *d, float *bias_gradient);

#ifdef __cplusplus
}
#endif
#endif
