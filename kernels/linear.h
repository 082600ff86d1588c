/* linear.h - a linear layer with bias and residual, optionally with a GELU, fp32.
 *
 *     Y = X W + bias + residual                                       X: tokens x m, W: m x n, Y: tokens x n, row-major
 *
 * A GELU in its tanh form (activation.h) may follow it; in the backward pass, one may precede it.  2 tokens m n FLOPs.
 * All arrays are dense and do not overlap unless stated.
 */
#ifndef LSPO_KERNELS_LINEAR_H
#define LSPO_KERNELS_LINEAR_H

#include <stddef.h>

#include "kernels/activation.h"
#include "kernels/int4.h"
#include "kernels/number.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    size_t tokens, m, n;
    const void *w;         /* m x n          */
    const void *bias;      /* n; NULL: none  */
    lspo_number_t number;  /* of w; only for generation (real/device/compute.h), which reads w in its own format */
    lspo_int4_form_t int4; /* likewise: w is in 4 bits (int4.h), 64-byte aligned */
} lspo_linear_t;

/* residual: tokens x n, may be out; NULL: none. */
void lspo_linear_forward(const lspo_linear_t *layer, const float *x, const float *residual, float *out);
/* pre_out = x W + bias, out = gelu(pre_out). */
void lspo_linear_gelu_forward(const lspo_linear_t *layer, const float *x, float *pre_out, float *out);
/* For a layer after a GELU: gradients->d (tokens x m, only written) = (dy W^T) gelu'(pre), and its column sums (m). */
void lspo_linear_gelu_backward(const lspo_linear_t *layer, const float *dy, const float *pre,
                               const lspo_gelu_gradients_t *gradients);

#ifdef __cplusplus
}
#endif
#endif
