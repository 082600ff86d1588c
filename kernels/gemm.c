/* gemm.c - dense products by calls of OpenBLAS. */
#include "kernels/gemm.h"

#include "kernels/blas.h"

const char *lspo_gemm_core(void)
{
    return lspo_blas()->corename();
}

void lspo_gemm_nn(size_t m, size_t n, size_t k, float alpha, const float *a, size_t a_stride, const float *b,
                  size_t b_stride, float beta, float *c, size_t c_stride)
{
    lspo_blas()->sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (blasint)m, (blasint)n, (blasint)k, alpha, a,
                       (blasint)a_stride, b, (blasint)b_stride, beta, c, (blasint)c_stride);
}

void lspo_gemm_nt(size_t m, size_t n, size_t k, float alpha, const float *a, size_t a_stride, const float *b,
                  size_t b_stride, float beta, float *c, size_t c_stride)
{
    lspo_blas()->sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)m, (blasint)n, (blasint)k, alpha, a,
                       (blasint)a_stride, b, (blasint)b_stride, beta, c, (blasint)c_stride);
}

void lspo_gemm_tn(size_t m, size_t n, size_t k, float alpha, const float *a, size_t a_stride, const float *b,
                  size_t b_stride, float beta, float *c, size_t c_stride)
{
    lspo_blas()->sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (blasint)m, (blasint)n, (blasint)k, alpha, a,
                       (blasint)a_stride, b, (blasint)b_stride, beta, c, (blasint)c_stride);
}
