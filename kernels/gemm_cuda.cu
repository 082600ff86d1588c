/* gemm_cuda.cu - row-major products by cuBLAS, which is column-major: it sees a row-major matrix as its transpose, so
 * it computes C^T = op(B)^T op(A)^T.  16-bit factors use tensor cores; sums are in fp32 for every format.  By default
 * cuBLAS may split a sum into parts and add these in 16 bits ("Split-K" in its manual); that is forbidden. */
#include <cublas_v2.h>

#include "kernels/cuda.h"
#include "kernels/product.cuh"

/* Only if it differs: setting a stream removes the workspace that was given to the handle. */
static bool on_stream(cublasHandle_t handle, cudaStream_t stream)
{
    cudaStream_t now = nullptr;
    return cublasGetStream(handle, &now) == CUBLAS_STATUS_SUCCESS &&
           (now == stream || cublasSetStream(handle, stream) == CUBLAS_STATUS_SUCCESS);
}

static bool in_fp32(cublasHandle_t handle)
{
    cublasMath_t mode = CUBLAS_DEFAULT_MATH;
    return cublasGetMathMode(handle, &mode) == CUBLAS_STATUS_SUCCESS &&
           (mode == CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION ||
            cublasSetMathMode(handle, CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION) == CUBLAS_STATUS_SUCCESS);
}

static int product(const lspo_cuda_t *on, cublasOperation_t op_a, cublasOperation_t op_b, size_t m, size_t n, size_t k,
                   float alpha, const void *a, size_t a_stride, const void *b, size_t b_stride, float beta, void *c,
                   size_t c_stride)
{
    cublasHandle_t handle = (cublasHandle_t)on->cublas;
    const cudaDataType_t type = lspo_cublas_type(on->number);
    if (!on_stream(handle, (cudaStream_t)on->stream) || !in_fp32(handle) ||
        cublasGemmEx(handle, op_b, op_a, (int)n, (int)m, (int)k, &alpha, b, type, (int)b_stride, a, type, (int)a_stride,
                     &beta, c, type, (int)c_stride, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT) != CUBLAS_STATUS_SUCCESS)
        return cudaErrorUnknown;
    return cudaSuccess;
}

/* `count` products of one shape, whose operands are `_step` numbers apart. */
struct batch_t {
    cublasOperation_t op_a, op_b;
    size_t m, n, k;
    const void *a;
    size_t a_step;
    const void *b;
    size_t b_step;
    void *c;
    size_t count;
};

static int products(const lspo_cuda_t *on, const batch_t *batch)
{
    cublasHandle_t handle = (cublasHandle_t)on->cublas;
    const cudaDataType_t type = lspo_cublas_type(on->number);
    const float alpha = 1.0f, beta = 0.0f;
    const int m = (int)batch->m, n = (int)batch->n, k = (int)batch->k;
    const int a_stride = batch->op_a == CUBLAS_OP_N ? k : m, b_stride = batch->op_b == CUBLAS_OP_N ? n : k;
    if (!on_stream(handle, (cudaStream_t)on->stream) || !in_fp32(handle) ||
        cublasGemmStridedBatchedEx(handle, batch->op_b, batch->op_a, n, m, k, &alpha, batch->b, type, b_stride,
                                   (long long)batch->b_step, batch->a, type, a_stride, (long long)batch->a_step, &beta,
                                   batch->c, type, n, (long long)(batch->m * batch->n), (int)batch->count,
                                   CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT) != CUBLAS_STATUS_SUCCESS)
        return cudaErrorUnknown;
    return cudaSuccess;
}

/* With op_t on the left T_m, on the right T_n from the other side: into the basis T_m^T A T_n, back T_m A T_n^T. */
static int turn_matrices(const lspo_cuda_t *on, const lspo_turn_t *turn, bool into, void *matrices, void *y)
{
    const size_t m = turn->m, n = turn->n, basis = m * m + n * n;
    const char *t_m = (const char *)turn->bases, *t_n = t_m + m * m * lspo_number_bytes(on->number);
    const batch_t left = {
        into ? CUBLAS_OP_T : CUBLAS_OP_N, CUBLAS_OP_N, m, n, m, t_m, basis, matrices, m * n, y, turn->count};
    const batch_t right = {CUBLAS_OP_N, into ? CUBLAS_OP_N : CUBLAS_OP_T, m, n, n, y, m * n, t_n, basis, matrices,
                           turn->count};
    const int error = products(on, &left);
    return error == cudaSuccess ? products(on, &right) : error;
}

int lspo_turn_in_cuda(const lspo_cuda_t *on, const lspo_turn_t *turn, void *g, void *y)
{
    return turn_matrices(on, turn, true, g, y);
}

int lspo_turn_back_cuda(const lspo_cuda_t *on, const lspo_turn_t *turn, void *d, void *y)
{
    return turn_matrices(on, turn, false, d, y);
}

int lspo_gemm_nn_cuda(const lspo_cuda_t *on, size_t m, size_t n, size_t k, float alpha, const void *a, size_t a_stride,
                      const void *b, size_t b_stride, float beta, void *c, size_t c_stride)
{
    return product(on, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, alpha, a, a_stride, b, b_stride, beta, c, c_stride);
}

int lspo_gemm_nt_cuda(const lspo_cuda_t *on, size_t m, size_t n, size_t k, float alpha, const void *a, size_t a_stride,
                      const void *b, size_t b_stride, float beta, void *c, size_t c_stride)
{
    return product(on, CUBLAS_OP_N, CUBLAS_OP_T, m, n, k, alpha, a, a_stride, b, b_stride, beta, c, c_stride);
}

int lspo_gemm_tn_cuda(const lspo_cuda_t *on, size_t m, size_t n, size_t k, float alpha, const void *a, size_t a_stride,
                      const void *b, size_t b_stride, float beta, void *c, size_t c_stride)
{
    return product(on, CUBLAS_OP_T, CUBLAS_OP_N, m, n, k, alpha, a, a_stride, b, b_stride, beta, c, c_stride);
}

int lspo_adapter_forward_cuda(const lspo_cuda_t *on, const lspo_adapter_t *adapter, const void *x, void *y,
                              void *scratch)
{
    const size_t tokens = adapter->tokens, m = adapter->m, n = adapter->n, r = adapter->r;
    const int error = lspo_gemm_nn_cuda(on, tokens, r, m, 1.0f, x, m, adapter->a, r, 0.0f, scratch, r);
    if (error != cudaSuccess)
        return error;
    return lspo_gemm_nt_cuda(on, tokens, n, r, adapter->scale, scratch, r, adapter->b, r, 1.0f, y, n);
}

/* The factors' gradients, from dY B. */
static int factor_gradients(const lspo_cuda_t *on, const lspo_adapter_t *adapter, const void *x, const void *dy,
                            const lspo_adapter_gradients_t *to, void *scratch)
{
    const size_t tokens = adapter->tokens, m = adapter->m, n = adapter->n, r = adapter->r;
    const float scale = adapter->scale, beta = to->accumulate ? 1.0f : 0.0f;
    void *xa = scratch, *dyb = (char *)scratch + tokens * r * lspo_number_bytes(on->number);
    int error = lspo_gemm_nn_cuda(on, tokens, r, m, 1.0f, x, m, adapter->a, r, 0.0f, xa, r);
    if (error == cudaSuccess)
        error = lspo_gemm_tn_cuda(on, m, r, tokens, scale, x, m, dyb, r, beta, to->da, r);
    if (error == cudaSuccess)
        error = lspo_gemm_tn_cuda(on, n, r, tokens, scale, dy, n, xa, r, beta, to->db, r);
    return error;
}

int lspo_adapter_backward_cuda(const lspo_cuda_t *on, const lspo_adapter_t *adapter, const void *x, const void *dy,
                               const lspo_adapter_gradients_t *gradients, void *scratch)
{
    const size_t tokens = adapter->tokens, m = adapter->m, n = adapter->n, r = adapter->r;
    void *dyb = (char *)scratch + tokens * r * lspo_number_bytes(on->number);
    int error = lspo_gemm_nn_cuda(on, tokens, r, n, 1.0f, dy, n, adapter->b, r, 0.0f, dyb, r);
    if (error == cudaSuccess && gradients->da)
        error = factor_gradients(on, adapter, x, dy, gradients, scratch);
    if (error != cudaSuccess)
        return error;
    return lspo_gemm_nt_cuda(on, tokens, m, r, adapter->scale, dyb, r, adapter->a, r, 1.0f, gradients->dx, m);
}

int lspo_lowrank_compress_cuda(const lspo_cuda_t *on, const lspo_lowrank_t *lowrank, const void *g, float beta,
                               void *r_out)
{
    const size_t m = lowrank->m, n = lowrank->n, r = lowrank->r;
    if (m <= n)
        return lspo_gemm_tn_cuda(on, r, n, m, 1.0f, lowrank->basis, r, g, n, beta, r_out, n);
    return lspo_gemm_nn_cuda(on, m, r, n, 1.0f, g, n, lowrank->basis, r, beta, r_out, r);
}

int lspo_lowrank_apply_cuda(const lspo_cuda_t *on, const lspo_lowrank_t *lowrank, const void *direction, float rate,
                            void *w)
{
    const size_t m = lowrank->m, n = lowrank->n, r = lowrank->r;
    if (m <= n)
        return lspo_gemm_nn_cuda(on, m, n, r, -rate, lowrank->basis, r, direction, n, 1.0f, w, n);
    return lspo_gemm_nt_cuda(on, m, n, r, -rate, direction, r, lowrank->basis, r, 1.0f, w, n);
}
