/* adapter.c - low-rank adapters, by small products. */
#include "kernels/adapter.h"

#include "kernels/gemm.h"

void lspo_adapter_forward(const lspo_adapter_t *adapter, const float *x, float *y, float *scratch)
{
    const size_t tokens = adapter->tokens, m = adapter->m, n = adapter->n, r = adapter->r;
    lspo_gemm_nn(tokens, r, m, 1.0F, x, m, adapter->a, r, 0.0F, scratch, r);
    lspo_gemm_nt(tokens, n, r, adapter->scale, scratch, r, adapter->b, r, 1.0F, y, n);
}

void lspo_adapter_backward(const lspo_adapter_t *adapter, const float *x, const float *dy,
                           const lspo_adapter_gradients_t *gradients, float *scratch)
{
    const size_t tokens = adapter->tokens, m = adapter->m, n = adapter->n, r = adapter->r;
    const float scale = adapter->scale, beta = gradients->accumulate ? 1.0F : 0.0F;
    float *xa = scratch, *dyb = scratch + tokens * r;
    lspo_gemm_nn(tokens, r, n, 1.0F, dy, n, adapter->b, r, 0.0F, dyb, r);
    if (gradients->da != NULL) {
        lspo_gemm_nn(tokens, r, m, 1.0F, x, m, adapter->a, r, 0.0F, xa, r);
        lspo_gemm_tn(m, r, tokens, scale, x, m, dyb, r, beta, gradients->da, r);
        lspo_gemm_tn(n, r, tokens, scale, dy, n, xa, r, beta, gradients->db, r);
    }
    lspo_gemm_nt(tokens, m, r, scale, dyb, r, adapter->a, r, 1.0F, gradients->dx, m);
}
