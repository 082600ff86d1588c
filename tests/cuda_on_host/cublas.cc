/* cublas.cc - the products of cuBLAS on the CPU's BLAS; see cuda_runtime.h. */
#include "cublas_v2.h"
#include "kernels/cuda.h"
#include "product.h"
#include "stream.h"

struct cublasContext {
    cudaStream_t stream;
    bool has_workspace, lost_workspace;
    int sms;
    cublasMath_t math;
};

const char *lspo_cublas_missing(void)
{
    return nullptr;
}

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
    handle->lost_workspace = handle->has_workspace;
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
    if (handle == nullptr)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    handle->has_workspace = true;
    handle->lost_workspace = false;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode)
{
    if (handle == nullptr)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    handle->math = mode;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetMathMode(cublasHandle_t handle, cublasMath_t *mode)
{
    if (handle == nullptr)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    *mode = handle->math;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetSmCountTarget(cublasHandle_t handle, int count)
{
    if (handle == nullptr)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    if (count < 0)
        return CUBLAS_STATUS_INVALID_VALUE;
    handle->sms = count;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetSmCountTarget(cublasHandle_t handle, int *count)
{
    if (handle == nullptr)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    *count = handle->sms;
    return CUBLAS_STATUS_SUCCESS;
}

static int at_least_one(int x)
{
    return x > 1 ? x : 1;
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k,
                            const void *alpha, const void *a, cudaDataType_t a_type, int lda, const void *b,
                            cudaDataType_t b_type, int ldb, const void *beta, void *c, cudaDataType_t c_type, int ldc,
                            cublasComputeType_t compute, cublasGemmAlgo_t)
{
    const int a_rows = op_a == CUBLAS_OP_N ? m : k, b_rows = op_b == CUBLAS_OP_N ? k : n;
    if (handle == nullptr)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    if (m < 0 || n < 0 || k < 0 || lda < at_least_one(a_rows) || ldb < at_least_one(b_rows) || ldc < at_least_one(m) ||
        a_type != b_type || compute != CUBLAS_COMPUTE_32F || handle->lost_workspace)
        return CUBLAS_STATUS_INVALID_VALUE;
    const cublasStatus_t loaded = cuda_on_host_load_product(false, a_type, op_a, op_b);
    if (loaded != CUBLAS_STATUS_SUCCESS)
        return loaded;
    const cuda_on_host_matrix_t left = {(void *)a, a_type, a_rows, op_a == CUBLAS_OP_N ? k : m, lda};
    const cuda_on_host_matrix_t right = {(void *)b, b_type, b_rows, op_b == CUBLAS_OP_N ? n : k, ldb};
    const cuda_on_host_matrix_t out = {c, c_type, m, n, ldc};
    const cuda_on_host_scale_t scale = {*(const float *)alpha, *(const float *)beta,
                                        handle->math == CUBLAS_DEFAULT_MATH};
    const cudaError_t error = cuda_on_host_later(handle->stream, [=] {
        cuda_on_host_write(cuda_on_host_multiply({op_a, left}, {op_b, right}, scale, out), out);
        return cudaSuccess;
    });
    return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m,
                                          int n, int k, const void *alpha, const void *a, cudaDataType_t a_type,
                                          int lda, long long a_step, const void *b, cudaDataType_t b_type, int ldb,
                                          long long b_step, const void *beta, void *c, cudaDataType_t c_type, int ldc,
                                          long long c_step, int count, cublasComputeType_t compute,
                                          cublasGemmAlgo_t algorithm)
{
    const long long bytes = a_type == CUDA_R_32F ? 4 : 2;
    if (c_type != a_type || count < 0)
        return CUBLAS_STATUS_INVALID_VALUE;
    for (int i = 0; i < count; i++) {
        const cublasStatus_t status =
            cublasGemmEx(handle, op_a, op_b, m, n, k, alpha, (const char *)a + i * a_step * bytes, a_type, lda,
                         (const char *)b + i * b_step * bytes, b_type, ldb, beta, (char *)c + i * c_step * bytes,
                         c_type, ldc, compute, algorithm);
        if (status != CUBLAS_STATUS_SUCCESS)
            return status;
    }
    return CUBLAS_STATUS_SUCCESS;
}
