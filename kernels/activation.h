/* activation.h - the activation functions between the linear layers of an MLP, forward and backward, fp32.
 *
 * GELU in its tanh form (GPT-2) and exact (RoBERTa)                    [Hendrycks & Gimpel, arXiv 1606.08415, Sec. 2]
 *     gelu(x) = x / 2 (1 + tanh(u)) = x sigmoid(2 u),    u = sqrt(2 / pi) (x + 0.044715 x^3)
 *     gelu_exact(x) = x Phi(x),    Phi(x) = (1 + erf(x / sqrt(2))) / 2, to 2e-7 relative
 * SwiGLU (Llama)                                                                       [Shazeer, arXiv 2002.05202]
 *     swiglu(a, b) = silu(a) b,    silu(a) = a sigmoid(a)
 * tanh (RoBERTa's classifier)
 *
 * Forward: about 20 FLOPs and 8 bytes per element.  Backward: about 28 FLOPs and 12 bytes per element; it also sums its
 * result over the rows, which gives the bias gradient of the linear layer before the GELU.
 */
#ifndef LSPO_KERNELS_ACTIVATION_H
#define LSPO_KERNELS_ACTIVATION_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { LSPO_GELU_TANH, LSPO_GELU_EXACT } lspo_gelu_form_t;

/* d: rows x cols numbers, on entry the gradient of the output, on return that of x.  bias: cols numbers or NULL,
 * receives the sum of the latter over the rows; overwritten, or added to if `accumulate`. */
typedef struct {
    void *d, *bias;
    bool accumulate;
} lspo_gelu_gradients_t;

/* n elements; out may be x. */
void lspo_gelu_forward(lspo_gelu_form_t form, size_t n, const float *x, float *out);
/* x: rows x cols, dense. */
void lspo_gelu_backward(lspo_gelu_form_t form, size_t rows, size_t cols, const float *x,
                        const lspo_gelu_gradients_t *gradients);

/* n elements each; out may be gate or up. */
void lspo_swiglu_forward(size_t n, const float *gate, const float *up, float *out);
/* d: on entry the gradient of the output, on return that of `up`; d_gate: receives that of `gate`. */
void lspo_swiglu_backward(size_t n, const float *gate, const float *up, float *d, float *d_gate);

/* x <- tanh(x); d <- d (1 - out^2), where out is the result of the forward pass. */
void lspo_tanh_forward(size_t n, float *x);
void lspo_tanh_backward(size_t n, const float *out, float *d);

#ifdef __cplusplus
}
#endif
#endif
