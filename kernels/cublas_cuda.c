/* cublas_cuda.c - load cuBLAS with the first GPU instead of at program start, because loading takes 70 ms and 220 MB.
 * This file defines the functions of the toolkit's headers that kernels/ and real/ use; each calls the library's
 * function of the same name.  The compiler checks them against their declarations. */
#include <cublas_v2.h>

#include <cublasLt.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "kernels/cuda.h"

/* library, name, parameters, arguments */
#define FUNCTIONS(F)                                                                                                   \
    F(cublas, cublasCreate_v2, (cublasHandle_t * handle), (handle))                                                    \
    F(cublas, cublasDestroy_v2, (cublasHandle_t handle), (handle))                                                     \
    F(cublas, cublasSetStream_v2, (cublasHandle_t handle, cudaStream_t stream), (handle, stream))                      \
    F(cublas, cublasGetStream_v2, (cublasHandle_t handle, cudaStream_t * stream), (handle, stream))                    \
    F(cublas, cublasSetWorkspace_v2, (cublasHandle_t handle, void *workspace, size_t bytes),                           \
      (handle, workspace, bytes))                                                                                      \
    F(cublas, cublasSetMathMode, (cublasHandle_t handle, cublasMath_t mode), (handle, mode))                           \
    F(cublas, cublasGetMathMode, (cublasHandle_t handle, cublasMath_t * mode), (handle, mode))                         \
    F(cublas, cublasSetSmCountTarget, (cublasHandle_t handle, int count), (handle, count))                             \
    F(cublas, cublasGetSmCountTarget, (cublasHandle_t handle, int *count), (handle, count))                            \
    F(cublas, cublasGemmEx,                                                                                            \
      (cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k, const void *alpha,  \
       const void *a, cudaDataType a_type, int lda, const void *b, cudaDataType b_type, int ldb, const void *beta,     \
       void *c, cudaDataType c_type, int ldc, cublasComputeType_t compute, cublasGemmAlgo_t algorithm),                \
      (handle, op_a, op_b, m, n, k, alpha, a, a_type, lda, b, b_type, ldb, beta, c, c_type, ldc, compute, algorithm))  \
    F(cublas, cublasGemmStridedBatchedEx,                                                                              \
      (cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k, const void *alpha,  \
       const void *a, cudaDataType a_type, int lda, long long a_step, const void *b, cudaDataType b_type, int ldb,     \
       long long b_step, const void *beta, void *c, cudaDataType c_type, int ldc, long long c_step, int count,         \
       cublasComputeType_t compute, cublasGemmAlgo_t algorithm),                                                       \
      (handle, op_a, op_b, m, n, k, alpha, a, a_type, lda, a_step, b, b_type, ldb, b_step, beta, c, c_type, ldc,       \
       c_step, count, compute, algorithm))                                                                             \
    F(lt, cublasLtMatmulDescInit_internal,                                                                             \
      (cublasLtMatmulDesc_t product, size_t size, cublasComputeType_t compute, cudaDataType_t scale),                  \
      (product, size, compute, scale))                                                                                 \
    F(lt, cublasLtMatmulDescSetAttribute,                                                                              \
      (cublasLtMatmulDesc_t product, cublasLtMatmulDescAttributes_t attribute, const void *value, size_t size),        \
      (product, attribute, value, size))                                                                               \
    F(lt, cublasLtMatrixLayoutInit_internal,                                                                           \
      (cublasLtMatrixLayout_t layout, size_t size, cudaDataType type, uint64_t rows, uint64_t cols, int64_t stride),   \
      (layout, size, type, rows, cols, stride))                                                                        \
    F(lt, cublasLtMatmulPreferenceInit_internal, (cublasLtMatmulPreference_t preference, size_t size),                 \
      (preference, size))                                                                                              \
    F(lt, cublasLtMatmulPreferenceSetAttribute,                                                                        \
      (cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute, const void *value,       \
       size_t size),                                                                                                   \
      (preference, attribute, value, size))                                                                            \
    F(lt, cublasLtMatmulAlgoGetHeuristic,                                                                              \
      (cublasLtHandle_t handle, cublasLtMatmulDesc_t product, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,      \
       cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t preference, int wanted,          \
       cublasLtMatmulHeuristicResult_t *results, int *count),                                                          \
      (handle, product, a, b, c, d, preference, wanted, results, count))                                               \
    F(lt, cublasLtMatmul,                                                                                              \
      (cublasLtHandle_t handle, cublasLtMatmulDesc_t product, const void *alpha, const void *a,                        \
       cublasLtMatrixLayout_t a_layout, const void *b, cublasLtMatrixLayout_t b_layout, const void *beta,              \
       const void *c, cublasLtMatrixLayout_t c_layout, void *d, cublasLtMatrixLayout_t d_layout,                       \
       const cublasLtMatmulAlgo_t *algorithm, void *workspace, size_t workspace_bytes, cudaStream_t stream),           \
      (handle, product, alpha, a, a_layout, b, b_layout, beta, c, c_layout, d, d_layout, algorithm, workspace,         \
       workspace_bytes, stream))

#define POINTER(library, name, parameters, arguments) __typeof__(&name) name;
static struct {
    FUNCTIONS(POINTER)
} functions;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static char missing[512];

static void *open_library(const char *name)
{
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library && !missing[0])
        snprintf(missing, sizeof missing, "%s", dlerror());
    return library;
}

static void find(void *library, const char *name, void *function_out)
{
    void *function = library ? dlsym(library, name) : NULL;
    if (!function && !missing[0])
        snprintf(missing, sizeof missing, "%s is not in the library", name);
    memcpy(function_out, &function, sizeof function);
}

#define FIND(library, name, parameters, arguments) find(library, #name, &functions.name);
static void open_all(void)
{
    void *lt = open_library(LSPO_CUBLASLT), *cublas = open_library(LSPO_CUBLAS);
    FUNCTIONS(FIND)
}

const char *lspo_cublas_missing(void)
{
    pthread_once(&once, open_all);
    return missing[0] ? missing : NULL;
}

#define DEFINE(library, name, parameters, arguments)                                                                   \
    cublasStatus_t name parameters                                                                                     \
    {                                                                                                                  \
        return lspo_cublas_missing() ? CUBLAS_STATUS_NOT_INITIALIZED : functions.name arguments;                       \
    }
FUNCTIONS(DEFINE)
