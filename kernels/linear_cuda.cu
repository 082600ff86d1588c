/* linear_cuda.cu - linear layers by cuBLASLt, whose epilogues add bias and residual and apply the GELU while the result
 * is in registers; see cuda.h.
 *
 * The epilogue's GELU is the tanh form: PyTorch's _addmm_activation() uses gelu("tanh") if it cannot use this epilogue
 * (aten/src/ATen/native/cuda/Blas.cpp).  tests/kernels/test_cuda_products.c checks on a GPU that it agrees with the
 * host's within 1e-5, a fortieth of the difference between the two forms; tests/cuda_on_host/ uses that form on the
 * CPU.
 *
 * cuBLASLt is column-major: it sees a row-major matrix as its transpose.  So a row of `out` is a column for it, and a
 * bias has one element per row, as it requires. */
#include <cstdlib>
#include <cublasLt.h>

#include "base/status.h"
#include "kernels/cuda.h"
#include "kernels/product.cuh"

enum {
    CHOICES_MAX = 128,
    WORKSPACE_BYTES = 32 << 20, /* cuBLAS's own size on Hopper */
    ALIGNMENT_BYTES = 16        /* required of every array */
};

/* The key for which cuBLASLt selects an algorithm: D (rows x cols) = op(A) B + beta C. */
typedef struct {
    lspo_number_t number;
    cublasOperation_t op_a;
    cublasLtEpilogue_t epilogue;
    size_t rows, cols, inner;
    bool adds; /* C is read */
} shape_t;

typedef struct {
    shape_t shape;
    bool found;
    cublasLtMatmulAlgo_t algorithm;
} choice_t;

struct lspo_matmul {
    void *cublas; /* its handle is also one of cuBLASLt */
    void *workspace;
    int sms;      /* for products; 0: all */
    uint32_t nth; /* of cuBLASLt's heuristics that is taken */
    choice_t choices[CHOICES_MAX];
    size_t count, next; /* if full, the oldest is replaced */
    bool warned;
};

typedef struct {
    const void *a, *b, *c;
    void *d, *bias, *aux; /* bias: read or, for a gradient, written; aux: the GELU's argument */
} arrays_t;

/* cuBLASLt's own structs, valid during one call. */
typedef struct {
    cublasLtMatmulDescOpaque_t product;
    cublasLtMatrixLayoutOpaque_t a, b, d;
} description_t;

int lspo_matmul_create_cuda(void *cublas, lspo_matmul_t **matmul_out)
{
    lspo_matmul_t *const matmul = (lspo_matmul_t *)calloc(1, sizeof *matmul);
    if (matmul == nullptr)
        return cudaErrorMemoryAllocation;
    cudaError_t error = cudaErrorUnknown;
    if (cublasGetSmCountTarget((cublasHandle_t)cublas, &matmul->sms) == CUBLAS_STATUS_SUCCESS)
        error = cudaMalloc(&matmul->workspace, WORKSPACE_BYTES);
    if (error != cudaSuccess) {
        free(matmul);
        return error;
    }
    matmul->cublas = cublas;
    *matmul_out = matmul;
    return cudaSuccess;
}

void lspo_matmul_destroy_cuda(lspo_matmul_t *matmul)
{
    if (matmul == nullptr)
        return;
    (void)cudaFree(matmul->workspace);
    free(matmul);
}

void lspo_matmul_take_cuda(lspo_matmul_t *matmul, uint32_t nth)
{
    matmul->nth = nth;
    matmul->count = matmul->next = 0;
}

bool lspo_matmul_took_cuda(const lspo_matmul_t *matmul)
{
    bool all = matmul->count > 0;
    for (size_t i = 0; i < matmul->count; i++)
        all = all && matmul->choices[i].found;
    return all;
}

template <typename T>
static bool set(cublasLtMatmulDesc_t product, cublasLtMatmulDescAttributes_t attribute, const T &value)
{
    return cublasLtMatmulDescSetAttribute(product, attribute, &value, sizeof value) == CUBLAS_STATUS_SUCCESS;
}

static bool describe(const lspo_matmul_t *matmul, const shape_t &s, const arrays_t &arrays, description_t *out)
{
    const cudaDataType_t type = lspo_cublas_type(s.number);
    const bool transposed = s.op_a == CUBLAS_OP_T;
    const uint64_t a_rows = transposed ? s.inner : s.rows, a_cols = transposed ? s.rows : s.inner;
    return cublasLtMatmulDescInit(&out->product, CUBLAS_COMPUTE_32F, CUDA_R_32F) == CUBLAS_STATUS_SUCCESS &&
           cublasLtMatrixLayoutInit(&out->a, type, a_rows, a_cols, (int64_t)a_rows) == CUBLAS_STATUS_SUCCESS &&
           cublasLtMatrixLayoutInit(&out->b, type, s.inner, s.cols, (int64_t)s.inner) == CUBLAS_STATUS_SUCCESS &&
           cublasLtMatrixLayoutInit(&out->d, type, s.rows, s.cols, (int64_t)s.rows) == CUBLAS_STATUS_SUCCESS &&
           set(&out->product, CUBLASLT_MATMUL_DESC_TRANSA, s.op_a) &&
           set(&out->product, CUBLASLT_MATMUL_DESC_EPILOGUE, s.epilogue) &&
           (matmul->sms == 0 || set(&out->product, CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET, (int32_t)matmul->sms)) &&
           (arrays.bias == nullptr || set(&out->product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, arrays.bias)) &&
           (arrays.aux == nullptr || (set(&out->product, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, arrays.aux) &&
                                      set(&out->product, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, (int64_t)s.rows)));
}

static bool prefer(cublasLtMatmulPreferenceOpaque_t *preference)
{
    static const cublasLtMatmulPreferenceAttributes_t aligned[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    const uint64_t workspace_bytes = WORKSPACE_BYTES;
    const uint32_t alignment_bytes = ALIGNMENT_BYTES;
    const uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE; /* or none: no parts in 16 bits */
    bool good =
        cublasLtMatmulPreferenceInit(preference) == CUBLAS_STATUS_SUCCESS &&
        cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace_bytes,
                                             sizeof workspace_bytes) == CUBLAS_STATUS_SUCCESS &&
        cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions,
                                             sizeof reductions) == CUBLAS_STATUS_SUCCESS;
    for (const cublasLtMatmulPreferenceAttributes_t attribute : aligned)
        good = good && cublasLtMatmulPreferenceSetAttribute(preference, attribute, &alignment_bytes,
                                                            sizeof alignment_bytes) == CUBLAS_STATUS_SUCCESS;
    return good;
}

static bool same(const shape_t &a, const shape_t &b)
{
    return a.number == b.number && a.op_a == b.op_a && a.epilogue == b.epilogue && a.rows == b.rows &&
           a.cols == b.cols && a.inner == b.inner && a.adds == b.adds;
}

/* Another path takes the place of cuBLASLt.  That it has no algorithm for a shape is usual; any other failure is said
 * once. */
static int fall_back(lspo_matmul_t *matmul, const shape_t &shape, const char *what, cublasStatus_t status)
{
    if (status != CUBLAS_STATUS_NOT_SUPPORTED && !matmul->warned) {
        matmul->warned = true;
        lspo_warn(
            "cuBLASLt fails (%s: status %d; product of %zu x %zu by %zu x %zu, epilogue %d): lspo uses cuBLAS and "
            "kernels of its own instead, which are slower",
            what, (int)status, shape.rows, shape.inner, shape.inner, shape.cols, (int)shape.epilogue);
    }
    return cudaErrorNotSupported;
}

/* The algorithm for this shape, selected now if it is new. */
static choice_t *choose(lspo_matmul_t *matmul, const shape_t &shape, description_t *description)
{
    for (size_t i = 0; i < matmul->count; i++)
        if (same(matmul->choices[i].shape, shape))
            return &matmul->choices[i];
    choice_t *const choice = &matmul->choices[matmul->next];
    cublasLtMatmulPreferenceOpaque_t preference;
    cublasLtMatmulHeuristicResult_t results[LSPO_MATMUL_CHOICES] = {};
    const uint32_t nth = matmul->nth;
    int count = 0;
    cublasStatus_t status = CUBLAS_STATUS_INVALID_VALUE;
    if (prefer(&preference))
        status = cublasLtMatmulAlgoGetHeuristic((cublasLtHandle_t)matmul->cublas, &description->product,
                                                &description->a, &description->b, &description->d, &description->d,
                                                &preference, (int)nth + 1, results, &count);
    choice->shape = shape;
    choice->found = status == CUBLAS_STATUS_SUCCESS && count > (int)nth && results[nth].state == CUBLAS_STATUS_SUCCESS;
    choice->algorithm = results[nth].algo;
    if (status != CUBLAS_STATUS_SUCCESS)
        (void)fall_back(matmul, shape, "no algorithm", status);
    matmul->next = (matmul->next + 1) % CHOICES_MAX;
    matmul->count += matmul->count < CHOICES_MAX;
    return choice;
}

static bool aligned(const shape_t &s, const arrays_t &arrays)
{
    const uintptr_t ends = (uintptr_t)arrays.a | (uintptr_t)arrays.b | (uintptr_t)arrays.c | (uintptr_t)arrays.d |
                           (uintptr_t)arrays.bias | (uintptr_t)arrays.aux |
                           (s.rows | s.inner) * lspo_number_bytes(s.number);
    return ends % ALIGNMENT_BYTES == 0 && (arrays.aux == nullptr || s.rows % 8 == 0) && s.rows > 0 && s.cols > 0 &&
           s.inner > 0;
}

/* cudaErrorNotSupported if cuBLASLt cannot do it, and has done nothing. */
static int multiply(lspo_matmul_t *matmul, const shape_t &shape, const arrays_t &arrays, void *stream)
{
    const float alpha = 1.0f, beta = shape.adds ? 1.0f : 0.0f;
    description_t description;
    if (!aligned(shape, arrays))
        return cudaErrorNotSupported;
    if (!describe(matmul, shape, arrays, &description))
        return fall_back(matmul, shape, "description", CUBLAS_STATUS_INVALID_VALUE);
    choice_t *const choice = choose(matmul, shape, &description);
    if (!choice->found)
        return cudaErrorNotSupported;
    const cublasStatus_t status =
        cublasLtMatmul((cublasLtHandle_t)matmul->cublas, &description.product, &alpha, arrays.a, &description.a,
                       arrays.b, &description.b, &beta, arrays.c, &description.d, arrays.d, &description.d,
                       &choice->algorithm, matmul->workspace, WORKSPACE_BYTES, (cudaStream_t)stream);
    if (status == CUBLAS_STATUS_SUCCESS || status == CUBLAS_STATUS_EXECUTION_FAILED)
        return status == CUBLAS_STATUS_SUCCESS ? cudaSuccess : cudaErrorUnknown;
    choice->found = false; /* selected, but refused nevertheless */
    return fall_back(matmul, shape, "start", status);
}

/* ---- the same by a product and kernels ---- */

static int forward_apart(const lspo_cuda_t *on, const lspo_linear_t *layer, const void *x, const void *residual,
                         void *out)
{
    const size_t tokens = layer->tokens, m = layer->m, n = layer->n;
    const void *const bias = layer->bias;
    const bool in_place = residual == out;
    int error = cudaSuccess;
    if (bias)
        error = residual ? lspo_bias_add_cuda(on, tokens, n, residual, bias, out)
                         : lspo_bias_fill_cuda(on, tokens, n, bias, out);
    if (error == cudaSuccess)
        error = lspo_gemm_nn_cuda(on, tokens, n, m, 1.0f, x, m, layer->w, n, bias || in_place ? 1.0f : 0.0f, out, n);
    if (error == cudaSuccess && residual && !bias && !in_place)
        error = lspo_vector_add_cuda(on, tokens * n, residual, out);
    return error;
}

int lspo_linear_forward_cuda(const lspo_cuda_t *on, const lspo_linear_t *layer, const void *x, const void *residual,
                             void *out)
{
    const cublasLtEpilogue_t epilogue = layer->bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    const shape_t shape = {on->number, CUBLAS_OP_N, epilogue, layer->n, layer->tokens, layer->m, residual != nullptr};
    const arrays_t arrays = {layer->w, x, residual ? residual : out, out, (void *)layer->bias, nullptr};
    const int error = multiply(on->matmul, shape, arrays, on->stream);
    return error != cudaErrorNotSupported ? error : forward_apart(on, layer, x, residual, out);
}

int lspo_linear_gelu_forward_cuda(const lspo_cuda_t *on, const lspo_linear_t *layer, const void *x, void *pre_out,
                                  void *out)
{
    const size_t tokens = layer->tokens, n = layer->n;
    const shape_t shape = {on->number, CUBLAS_OP_N, CUBLASLT_EPILOGUE_GELU_AUX_BIAS, n, tokens, layer->m, false};
    const arrays_t arrays = {layer->w, x, out, out, (void *)layer->bias, pre_out};
    int error = multiply(on->matmul, shape, arrays, on->stream);
    if (error != cudaErrorNotSupported)
        return error;
    error = lspo_linear_forward_cuda(on, layer, x, nullptr, pre_out);
    return error != cudaSuccess ? error : lspo_gelu_forward_cuda(on, LSPO_GELU_TANH, tokens * n, pre_out, out);
}

int lspo_linear_gelu_backward_cuda(const lspo_cuda_t *on, const lspo_linear_t *layer, const void *dy, const void *pre,
                                   const lspo_gelu_gradients_t *gradients)
{
    const size_t tokens = layer->tokens, m = layer->m, n = layer->n;
    void *const d = gradients->d, *const bias = gradients->bias;
    const bool sums = bias && !gradients->accumulate; /* the epilogue overwrites them */
    const cublasLtEpilogue_t epilogue = sums ? CUBLASLT_EPILOGUE_DGELU_BGRAD : CUBLASLT_EPILOGUE_DGELU;
    const shape_t shape = {on->number, CUBLAS_OP_T, epilogue, m, tokens, n, false};
    const arrays_t arrays = {layer->w, dy, d, d, sums ? bias : nullptr, (void *)pre};
    int error = multiply(on->matmul, shape, arrays, on->stream);
    if (error == cudaSuccess && bias && gradients->accumulate)
        return lspo_column_sum_cuda(on, tokens, m, d, true, bias);
    if (error != cudaErrorNotSupported)
        return error;
    error = lspo_gemm_nt_cuda(on, tokens, m, n, 1.0f, dy, n, layer->w, n, 0.0f, d, m);
    return error != cudaSuccess ? error : lspo_gelu_backward_cuda(on, LSPO_GELU_TANH, tokens, m, pre, gradients);
}
