/* gemm_cuda.cu - row-major products on cuBLAS, which counts columns first: to it a row-major matrix is its transpose, and
 * C^T = op(B)^T op(A)^T.  16-bit factors are multiplied on tensor cores, in every format products are summed in fp32. */
#include <cublas_v2.h>

#include "kernels/cuda.h"
#include "kernels/product.cuh"

/* Only where it has another: setting a stream takes the workspace from the handle that was given to it. */
static bool on_stream(cublasHandle_t handle, cudaStream_t stream)
{
    cudaStream_t now = nullptr;
    return cublasGetStream(handle, &now) == CUBLAS_STATUS_SUCCESS &&
           (now == stream || cublasSetStream(handle, stream) == CUBLAS_STATUS_SUCCESS);
}

static int product(lspo_number_t number, cublasOperation_t op_a, cublasOperation_t op_b, size_t m, size_t n, size_t k,
                   float alpha, const void *a, size_t a_stride, const void *b, size_t b_stride, float beta, void *c,
                   size_t c_stride, void *cublas, void *stream)
{
    cublasHandle_t handle = (cublasHandle_t)cublas;
    const cudaDataType_t type = lspo_cublas_type(number);
    if (!on_stream(handle, (cudaStream_t)stream) ||
        cublasGemmEx(handle, op_b, op_a, (int)n, (int)m, (int)k, &alpha, b, type, (int)b_stride, a, type, (int)a_stride,
                     &beta, c, type, (int)c_stride, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT) != CUBLAS_STATUS_SUCCESS)
        return cudaErrorUnknown;
    return cudaSuccess;
}

int lspo_gemm_nn_cuda(lspo_number_t number, size_t m, size_t n, size_t k, float alpha, const void *a, size_t a_stride,
                      const void *b, size_t b_stride, float beta, void *c, size_t c_stride, void *cublas, void *stream)
{
    return product(number, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, alpha, a, a_stride, b, b_stride, beta, c, c_stride,
                   cublas, stream);
}

int lspo_gemm_nt_cuda(lspo_number_t number, size_t m, size_t n, size_t k, float alpha, const void *a, size_t a_stride,
                      const void *b, size_t b_stride, float beta, void *c, size_t c_stride, void *cublas, void *stream)
{
    return product(number, CUBLAS_OP_N, CUBLAS_OP_T, m, n, k, alpha, a, a_stride, b, b_stride, beta, c, c_stride,
                   cublas, stream);
}

int lspo_gemm_tn_cuda(lspo_number_t number, size_t m, size_t n, size_t k, float alpha, const void *a, size_t a_stride,
                      const void *b, size_t b_stride, float beta, void *c, size_t c_stride, void *cublas, void *stream)
{
    return product(number, CUBLAS_OP_T, CUBLAS_OP_N, m, n, k, alpha, a, a_stride, b, b_stride, beta, c, c_stride,
                   cublas, stream);
}

int lspo_adapter_forward_cuda(lspo_number_t number, size_t tokens, size_t m, size_t n, size_t r, float scale,
                              const void *x, const void *a, const void *b, void *y, void *scratch, void *cublas,
                              void *stream)
{
    int error = lspo_gemm_nn_cuda(number, tokens, r, m, 1.0f, x, m, a, r, 0.0f, scratch, r, cublas, stream);
    if (error == cudaSuccess)
        error = lspo_gemm_nt_cuda(number, tokens, n, r, scale, scratch, r, b, r, 1.0f, y, n, cublas, stream);
    return error;
}

int lspo_adapter_backward_cuda(lspo_number_t number, size_t tokens, size_t m, size_t n, size_t r, float scale,
                               const void *x, const void *dy, const void *a, const void *b, bool accumulate, void *da,
                               void *db, void *dx, void *scratch, void *cublas, void *stream)
{
    const float beta = accumulate ? 1.0f : 0.0f;
    void *xa = scratch, *dyb = (char *)scratch + tokens * r * lspo_number_bytes(number);
    int error = lspo_gemm_nn_cuda(number, tokens, r, n, 1.0f, dy, n, b, r, 0.0f, dyb, r, cublas, stream);
    if (error == cudaSuccess && da)
        error = lspo_gemm_nn_cuda(number, tokens, r, m, 1.0f, x, m, a, r, 0.0f, xa, r, cublas, stream);
    if (error == cudaSuccess && da)
        error = lspo_gemm_tn_cuda(number, m, r, tokens, scale, x, m, dyb, r, beta, da, r, cublas, stream);
    if (error == cudaSuccess && da)
        error = lspo_gemm_tn_cuda(number, n, r, tokens, scale, dy, n, xa, r, beta, db, r, cublas, stream);
    if (error == cudaSuccess)
        error = lspo_gemm_nt_cuda(number, tokens, m, r, scale, dyb, r, a, r, 1.0f, dx, m, cublas, stream);
    return error;
}

int lspo_lowrank_compress_cuda(lspo_number_t number, size_t m, size_t n, size_t r, const void *g, const void *basis,
                               float beta, void *r_out, void *cublas, void *stream)
{
    if (m <= n)
        return lspo_gemm_tn_cuda(number, r, n, m, 1.0f, basis, r, g, n, beta, r_out, n, cublas, stream);
    return lspo_gemm_nn_cuda(number, m, r, n, 1.0f, g, n, basis, r, beta, r_out, r, cublas, stream);
}

int lspo_lowrank_apply_cuda(lspo_number_t number, size_t m, size_t n, size_t r, const void *basis,
                            const void *direction, float rate, void *w, void *cublas, void *stream)
{
    if (m <= n)
        return lspo_gemm_nn_cuda(number, m, n, r, -rate, basis, r, direction, n, 1.0f, w, n, cublas, stream);
    return lspo_gemm_nt_cuda(number, m, n, r, -rate, direction, r, basis, r, 1.0f, w, n, cublas, stream);
}
