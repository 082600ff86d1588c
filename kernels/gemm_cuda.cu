/* gemm_cuda.cu - row-major products on cuBLAS, which counts columns first: to it a row-major matrix is its transpose, and
 * C^T = op(B)^T op(A)^T. */
#include <cublas_v2.h>

#include "kernels/cuda.h"

static int product(cublasOperation_t op_a, cublasOperation_t op_b, size_t m, size_t n, size_t k, float alpha,
                   const float *a, size_t a_stride, const float *b, size_t b_stride, float beta, float *c,
                   size_t c_stride, void *cublas, void *stream)
{
    cublasHandle_t handle = (cublasHandle_t)cublas;
    if (cublasSetStream(handle, (cudaStream_t)stream) != CUBLAS_STATUS_SUCCESS ||
        cublasSgemm(handle, op_b, op_a, (int)n, (int)m, (int)k, &alpha, b, (int)b_stride, a, (int)a_stride, &beta, c,
                    (int)c_stride) != CUBLAS_STATUS_SUCCESS)
        return cudaErrorUnknown;
    return cudaSuccess;
}

int lspo_gemm_nn_cuda(size_t m, size_t n, size_t k, float alpha, const float *a, size_t a_stride, const float *b,
                      size_t b_stride, float beta, float *c, size_t c_stride, void *cublas, void *stream)
{
    return product(CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, alpha, a, a_stride, b, b_stride, beta, c, c_stride, cublas,
                   stream);
}

int lspo_gemm_nt_cuda(size_t m, size_t n, size_t k, float alpha, const float *a, size_t a_stride, const float *b,
                      size_t b_stride, float beta, float *c, size_t c_stride, void *cublas, void *stream)
{
    return product(CUBLAS_OP_N, CUBLAS_OP_T, m, n, k, alpha, a, a_stride, b, b_stride, beta, c, c_stride, cublas,
                   stream);
}

int lspo_gemm_tn_cuda(size_t m, size_t n, size_t k, float alpha, const float *a, size_t a_stride, const float *b,
                      size_t b_stride, float beta, float *c, size_t c_stride, void *cublas, void *stream)
{
    return product(CUBLAS_OP_T, CUBLAS_OP_N, m, n, k, alpha, a, a_stride, b, b_stride, beta, c, c_stride, cublas,
                   stream);
}

int lspo_adapter_forward_cuda(size_t tokens, size_t m, size_t n, size_t r, float scale, const float *x, const float *a,
                              const float *b, float *y, float *scratch, void *cublas, void *stream)
{
    int error = lspo_gemm_nn_cuda(tokens, r, m, 1.0f, x, m, a, r, 0.0f, scratch, r, cublas, stream);
    if (error == cudaSuccess)
        error = lspo_gemm_nt_cuda(tokens, n, r, scale, scratch, r, b, r, 1.0f, y, n, cublas, stream);
    return error;
}

int lspo_adapter_backward_cuda(size_t tokens, size_t m, size_t n, size_t r, float scale, const float *x,
                               const float *dy, const float *a, const float *b, bool accumulate, float *da, float *db,
                               float *dx, float *scratch, void *cublas, void *stream)
{
    const float beta = accumulate ? 1.0f : 0.0f;
    float *xa = scratch, *dyb = scratch + tokens * r;
    int error = lspo_gemm_nn_cuda(tokens, r, n, 1.0f, dy, n, b, r, 0.0f, dyb, r, cublas, stream);
    if (error == cudaSuccess && da)
        error = lspo_gemm_nn_cuda(tokens, r, m, 1.0f, x, m, a, r, 0.0f, xa, r, cublas, stream);
    if (error == cudaSuccess && da)
        error = lspo_gemm_tn_cuda(m, r, tokens, scale, x, m, dyb, r, beta, da, r, cublas, stream);
    if (error == cudaSuccess && da)
        error = lspo_gemm_tn_cuda(n, r, tokens, scale, dy, n, xa, r, beta, db, r, cublas, stream);
    if (error == cudaSuccess)
        error = lspo_gemm_nt_cuda(tokens, m, r, scale, dyb, r, a, r, 1.0f, dx, m, cublas, stream);
    return error;
}

int lspo_lowrank_compress_cuda(size_t m, size_t n, size_t r, const float *g, const float *basis, float beta,
                               float *r_out, void *cublas, void *stream)
{
    if (m <= n)
        return lspo_gemm_tn_cuda(r, n, m, 1.0f, basis, r, g, n, beta, r_out, n, cublas, stream);
    return lspo_gemm_nn_cuda(m, r, n, 1.0f, g, n, basis, r, beta, r_out, r, cublas, stream);
}

int lspo_lowrank_apply_cuda(size_t m, size_t n, size_t r, const float *basis, const float *direction, float rate,
                            float *w, void *cublas, void *stream)
{
    if (m <= n)
        return lspo_gemm_nn_cuda(m, n, r, -rate, basis, r, direction, n, 1.0f, w, n, cublas, stream);
    return lspo_gemm_nt_cuda(m, n, r, -rate, direction, r, basis, r, 1.0f, w, n, cublas, stream);
}
