/* cublas_lt.cc - products with an epilogue on the CPU; see cublasLt.h. */
#include <math.h>
#include <string.h>

#include "cublasLt.h"
#include "cuda_on_host.h"
#include "product.h"
#include "stream.h"

cublasStatus_t cublasLtMatmulDescInit(cublasLtMatmulDesc_t product, cublasComputeType_t compute, cudaDataType_t scale)
{
    *product = {CUBLAS_OP_N, CUBLAS_OP_N, CUBLASLT_EPILOGUE_DEFAULT, nullptr, nullptr, 0, 0};
    return compute == CUBLAS_COMPUTE_32F && scale == CUDA_R_32F ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

template <typename T> static cublasStatus_t set(T *to, const void *value, size_t size)
{
    if (size != sizeof *to)
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(to, value, size);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t product, cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t size)
{
    switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        return set(&product->op_a, value, size);
    case CUBLASLT_MATMUL_DESC_TRANSB:
        return set(&product->op_b, value, size);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        return set(&product->epilogue, value, size);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        return set(&product->bias, value, size);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
        return set(&product->aux, value, size);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
        return set(&product->aux_stride, value, size);
    case CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET:
        return set(&product->sms, value, size);
    }
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutInit(cublasLtMatrixLayout_t layout, cudaDataType_t type, uint64_t rows,
                                        uint64_t cols, int64_t stride)
{
    *layout = {type, rows, cols, stride};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceInit(cublasLtMatmulPreference_t preference)
{
    *preference = {0, CUBLASLT_REDUCTION_SCHEME_MASK, {256, 256, 256, 256}};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void *value,
                                                    size_t size)
{
    if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)
        return set(&preference->workspace_bytes, value, size);
    if (attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK)
        return set(&preference->reductions, value, size);
    return set(&preference->alignment_bytes[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value, size);
}

static uint64_t inner_of(cublasLtMatmulDesc_t product, cublasLtMatrixLayout_t a)
{
    return product->op_a == CUBLAS_OP_N ? a->cols : a->rows;
}

static bool fits(cublasLtMatmulDesc_t product, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                 cublasLtMatrixLayout_t d)
{
    const uint64_t a_rows = product->op_a == CUBLAS_OP_N ? a->rows : a->cols;
    const uint64_t b_rows = product->op_b == CUBLAS_OP_N ? b->rows : b->cols;
    const uint64_t b_cols = product->op_b == CUBLAS_OP_N ? b->cols : b->rows;
    return a_rows == d->rows && b_cols == d->cols && b_rows == inner_of(product, a) && a->type == d->type &&
           b->type == d->type && a->stride >= (int64_t)a->rows && b->stride >= (int64_t)b->rows &&
           d->stride >= (int64_t)d->rows;
}

static bool takes_gelu(cublasLtEpilogue_t epilogue)
{
    return (epilogue & 128) != 0;
}

static bool has_bias(cublasLtEpilogue_t epilogue)
{
    return (epilogue & (4 | 16)) != 0;
}

/* For each shape; they do the same. */
enum { ALGORITHMS = 2 };

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t product,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t *results, int *count)
{
    *count = 0;
    if (handle == nullptr || wanted < 1 || !fits(product, a, b, d) || c->rows != d->rows || c->cols != d->cols)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (takes_gelu(product->epilogue) && product->aux_stride % 8 != 0)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    const uint32_t rounded = CUBLASLT_REDUCTION_SCHEME_INPLACE | CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE;
    for (; *count < wanted && *count < ALGORITHMS; ++*count) {
        results[*count].algo = {d->rows,
                                d->cols,
                                inner_of(product, a),
                                product->epilogue,
                                preference->alignment_bytes[0],
                                (preference->reductions & rounded) != 0};
        results[*count].workspaceSize = 0;
        results[*count].state = CUBLAS_STATUS_SUCCESS;
    }
    return CUBLAS_STATUS_SUCCESS;
}

static float gelu(float x)
{
    return 0.5f * x * (1.0f + tanhf(0.797884561f * (x + 0.044715f * x * x * x)));
}

static float gelu_slope(float x)
{
    const float t = tanhf(0.797884561f * (x + 0.044715f * x * x * x));
    return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * 0.797884561f * (1.0f + 3.0f * 0.044715f * x * x);
}

static cuda_on_host_matrix_t matrix(const void *at, const cublasLtMatrixLayoutOpaque_t &layout)
{
    return {(void *)at, layout.type, (int)layout.rows, (int)layout.cols, (int)layout.stride};
}

/* What the epilogue makes of the product, before it is rounded. */
static void finish(const cublasLtMatmulDescOpaque_t &product, const cuda_on_host_matrix_t &d,
                   std::vector<float> &values)
{
    const cuda_on_host_matrix_t bias = {product.bias, d.type, d.rows, 1, d.rows};
    const cuda_on_host_matrix_t aux = {product.aux, d.type, d.rows, d.cols, (int)product.aux_stride};
    const size_t rows = (size_t)d.rows;
    if (product.epilogue & 4) {
        const std::vector<float> add = cuda_on_host_read(bias);
        for (size_t i = 0; i < values.size(); i++)
            values[i] += add[i % rows];
    }
    if (product.epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS) {
        cuda_on_host_write(values, aux);
        for (float &value : values)
            value = gelu(value);
    }
    if (product.epilogue & 64) {
        const std::vector<float> at = cuda_on_host_read(aux);
        for (size_t i = 0; i < values.size(); i++)
            values[i] *= gelu_slope(at[i]);
    }
    if (product.epilogue & 16) {
        std::vector<float> sums(rows, 0.0f);
        for (size_t i = 0; i < values.size(); i++)
            sums[i % rows] += values[i];
        cuda_on_host_write(sums, bias);
    }
}

/* A handle of cuBLAS is one of cuBLASLt. */
static int sms_of(cublasLtHandle_t handle)
{
    int sms = 0;
    cublasGetSmCountTarget((cublasHandle_t)handle, &sms);
    return sms;
}

static cublasStatus_t failure;

void cuda_on_host_fail_fused(int status)
{
    failure = (cublasStatus_t)status;
}

static bool aligned(uint32_t alignment_bytes, const void *at)
{
    return (uintptr_t)at % alignment_bytes == 0;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t product, const void *alpha, const void *a,
                              cublasLtMatrixLayout_t a_layout, const void *b, cublasLtMatrixLayout_t b_layout,
                              const void *beta, const void *c, cublasLtMatrixLayout_t c_layout, void *d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t *algorithm, void *, size_t,
                              cudaStream_t stream)
{
    const cublasLtMatmulDescOpaque_t of = *product;
    const uint32_t asked = algorithm->alignment_bytes;
    if (handle == nullptr || !fits(product, a_layout, b_layout, d_layout) || algorithm->rows != d_layout->rows ||
        algorithm->cols != d_layout->cols || algorithm->inner != inner_of(product, a_layout) ||
        algorithm->epilogue != of.epilogue || has_bias(of.epilogue) != (of.bias != nullptr) ||
        takes_gelu(of.epilogue) != (of.aux != nullptr) || !aligned(asked, a) || !aligned(asked, b) ||
        !aligned(asked, c) || !aligned(asked, d) || of.sms != sms_of(handle))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (failure != CUBLAS_STATUS_SUCCESS)
        return failure;
    const cublasStatus_t loaded = cuda_on_host_load_product(true, a_layout->type, of.op_a, of.op_b);
    if (loaded != CUBLAS_STATUS_SUCCESS)
        return loaded;
    const cuda_on_host_matrix_t left = matrix(a, *a_layout), right = matrix(b, *b_layout), added = matrix(c, *c_layout);
    const cuda_on_host_matrix_t result = matrix(d, *d_layout);
    const cuda_on_host_scale_t scale = {*(const float *)alpha, *(const float *)beta, algorithm->in_parts};
    const cudaError_t error = cuda_on_host_later(stream, [=] {
        std::vector<float> values = cuda_on_host_multiply({of.op_a, left}, {of.op_b, right}, scale, added);
        finish(of, result, values);
        cuda_on_host_write(values, result);
        return cudaSuccess;
    });
    return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
