#include "kernels/adapter.h"

#include "kernels/gemm.h"

void lspo_adapter_forward(size_t tokens, size_t m, size_t n, size_t r, float scale, const float *x, const float *a,
                          const float *b, float *y, float *scratch)
{
    lspo_gemm_nn(tokens, r, m, 1.0F, x, m, a, r, 0.0F, scratch, r);
    lspo_gemm_nt(tokens, n, r, scale, scratch, r, b, r, 1.0F, y, n);
}

void lspo_adapter_backward(size_t tokens, size_t m, size_t n, size_t r, float scale, const float *x, const float *dy,
                           const float *a, const float *b, bool accumulate, float *da, float *db, float *dx,
                           float *scratch)
{
    const float beta = accumulate ? 1.0F : 0.0F;
    float *xa = scratch, *dyb = scratch + tokens * r;
    lspo_gemm_nn(tokens, r, n, 1.0F, dy, n, b, r, 0.0F, dyb, r);
    if (da != NULL) {
        lspo_gemm_nn(tokens, r, m, 1.0F, x, m, a, r, 0.0F, xa, r);
        lspo_gemm_tn(m, r, tokens, scale, x, m, dyb, r, beta, da, r);
        lspo_gemm_tn(n, r, tokens, scale, dy, n, xa, r, beta, db, r);
    }
    lspo_gemm_nt(tokens, m, r, scale, dyb, r, a, r, 1.0F, dx, m);
}
