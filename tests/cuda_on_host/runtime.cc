/* runtime.cc - memory, errors and cuBLAS on the CPU; see cuda_runtime.h. */
#include <cblas.h>
#include <sys/mman.h>

#include "cublas_v2.h"
#include "cuda_runtime.h"

enum { PAGE_BYTES = 4096 };

static size_t whole_pages(size_t size)
{
    return (size + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

/* The mapping's size stands in its first page; the array ends where its last page, without access, begins. */
cudaError_t cudaMalloc(void **memory, size_t size)
{
    const size_t mapped = whole_pages(size) + 2 * PAGE_BYTES;
    char *const base = (char *)mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return cudaErrorMemoryAllocation;
    memset(base, 0xff, mapped - PAGE_BYTES);
    memcpy(base, &mapped, sizeof mapped);
    char *const end = base + mapped - PAGE_BYTES;
    mprotect(end, PAGE_BYTES, PROT_NONE);
    *memory = end - size;
    return cudaSuccess;
}

cudaError_t cudaFree(void *memory)
{
    if (memory == nullptr)
        return cudaSuccess;
    char *const base = (char *)((uintptr_t)((char *)memory - PAGE_BYTES) / PAGE_BYTES * PAGE_BYTES);
    size_t mapped;
    memcpy(&mapped, base, sizeof mapped);
    munmap(base, mapped);
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t size, cudaMemcpyKind)
{
    memcpy(to, from, size);
    return cudaSuccess;
}

cudaError_t cudaMemset(void *memory, int value, size_t size)
{
    memset(memory, value, size);
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 1;
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize()
{
    return cudaSuccess;
}

cudaError_t cudaGetLastError()
{
    return cudaSuccess;
}

const char *cudaGetErrorString(cudaError_t error)
{
    return error == cudaSuccess ? "no error" : "error";
}

cublasStatus_t cublasCreate(cublasHandle_t *handle)
{
    static char place;
    *handle = (cublasHandle_t)&place;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy(cublasHandle_t)
{
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t)
{
    return handle != nullptr ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_INITIALIZED;
}

static int at_least_one(int x)
{
    return x > 1 ? x : 1;
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
    cblas_sgemm(CblasColMajor, op_a == CUBLAS_OP_N ? CblasNoTrans : CblasTrans,
                op_b == CUBLAS_OP_N ? CblasNoTrans : CblasTrans, m, n, k, *alpha, a, lda, b, ldb, *beta, c, ldc);
    return CUBLAS_STATUS_SUCCESS;
}
