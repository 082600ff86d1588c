/* cublas.cc - the products of cuBLAS on the CPU's BLAS; see cuda_runtime.h. */
#include <cblas.h>

#include "cublas_v2.h"
#include "stream.h"

struct cublasContext {
    cudaStream_t stream;
};

cublasStatus_t cublasCreate(cublasHandle_t *handle)
{
    *handle = new cublasContext();
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy(cublasHandle_t handle)
{
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream)
{
    if (handle == nullptr)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    handle->stream = stream;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetStream(cublasHandle_t handle, cudaStream_t *stream)
{
    if (handle == nullptr)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    *stream = handle->stream;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void *, size_t)
{
    return handle != nullptr ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_INITIALIZED;
}

cublasStatus_t cublasSetSmCountTarget(cublasHandle_t handle, int count)
{
    if (handle == nullptr)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    return count >= 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

static int at_least_one(int x)
{
    return x > 1 ? x : 1;
}

static CBLAS_TRANSPOSE transpose(cublasOperation_t op)
{
    return op == CUBLAS_OP_N ? CblasNoTrans : CblasTrans;
}

cublasStatus_t cublasSgemm(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k,
                           const float *alpha, const float *a, int lda, const float *b, int ldb, const float *beta,
                           float *c, int ldc)
{
    if (handle == nullptr)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    if (m < 0 || n < 0 || k < 0 || lda < at_least_one(op_a == CUBLAS_OP_N ? m : k) ||
        ldb < at_least_one(op_b == CUBLAS_OP_N ? k : n) || ldc < at_least_one(m))
        return CUBLAS_STATUS_INVALID_VALUE;
    const float scale = *alpha, kept = *beta;
    const cudaError_t error = cuda_on_host_later(handle->stream, [=] {
        cblas_sgemm(CblasColMajor, transpose(op_a), transpose(op_b), m, n, k, scale, a, lda, b, ldb, kept, c, ldc);
        return cudaSuccess;
    });
    return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
