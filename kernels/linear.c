/* linear.c - a linear layer on the CPU: it first writes bias and residual to the output, then adds the product. */
#include "kernels/linear.h"

#include <string.h>

#include "kernels/gemm.h"
#include "kernels/vector.h"

/* The product adds to what is already there. */
void lspo_linear_forward(const lspo_linear_t *layer, const float *x, const float *residual, float *out)
{
    const size_t tokens = layer->tokens, m = layer->m, n = layer->n;
    const float *bias = layer->bias;
    if (residual != NULL && bias != NULL)
        lspo_bias_add(tokens, n, residual, bias, out);
    else if (bias != NULL)
        lspo_bias_fill(tokens, n, bias, out);
    else if (residual != NULL && residual != out)
        memcpy(out, residual, tokens * n * sizeof *out);
    const float beta = bias != NULL || residual != NULL ? 1.0F : 0.0F;
    lspo_gemm_nn(tokens, n, m, 1.0F, x, m, layer->w, n, beta, out, n);
}

void lspo_linear_gelu_forward(const lspo_linear_t *layer, const float *x, float *pre_out, float *out)
{
    lspo_linear_forward(layer, x, NULL, pre_out);
    lspo_gelu_forward(LSPO_GELU_TANH, layer->tokens * layer->n, pre_out, out);
}

void lspo_linear_gelu_backward(const lspo_linear_t *layer, const float *dy, const float *pre,
                               const lspo_gelu_gradients_t *gradients)
{
    const size_t tokens = layer->tokens, m = layer->m, n = layer->n;
    lspo_gemm_nt(tokens, m, n, 1.0F, dy, n, layer->w, n, 0.0F, gradients->d, m);
    lspo_gelu_backward(LSPO_GELU_TANH, tokens, m, pre, gradients);
}
