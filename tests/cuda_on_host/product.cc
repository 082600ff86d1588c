/* product.cc - see product.h. */
#include "kernels/blas.h"

#include "cuda_bf16.h"
#include "cuda_fp16.h"
#include "product.h"
#include "stream.h"

static float value_of(const void *at, cudaDataType_t type, size_t i)
{
    switch (type) {
    case CUDA_R_16BF:
        return __bfloat162float(((const __nv_bfloat16 *)at)[i]);
    case CUDA_R_16F:
        return __half2float(((const __half *)at)[i]);
    default:
        return ((const float *)at)[i];
    }
}

static void round_to(float value, void *at, cudaDataType_t type, size_t i)
{
    switch (type) {
    case CUDA_R_16BF:
        ((__nv_bfloat16 *)at)[i] = __float2bfloat16_rn(value);
        break;
    case CUDA_R_16F:
        ((__half *)at)[i] = __float2half_rn(value);
        break;
    default:
        ((float *)at)[i] = value;
    }
}

std::vector<float> cuda_on_host_read(const cuda_on_host_matrix_t &matrix)
{
    const size_t rows = (size_t)matrix.rows, cols = (size_t)matrix.cols, stride = (size_t)matrix.stride;
    std::vector<float> values(rows * cols);
    for (size_t j = 0; j < cols; j++)
        for (size_t i = 0; i < rows; i++)
            values[j * rows + i] = value_of(matrix.at, matrix.type, j * stride + i);
    return values;
}

void cuda_on_host_write(const std::vector<float> &values, const cuda_on_host_matrix_t &matrix)
{
    const size_t rows = (size_t)matrix.rows, cols = (size_t)matrix.cols, stride = (size_t)matrix.stride;
    for (size_t j = 0; j < cols; j++)
        for (size_t i = 0; i < rows; i++)
            round_to(values[j * rows + i], matrix.at, matrix.type, j * stride + i);
}

static CBLAS_TRANSPOSE transpose(cublasOperation_t op)
{
    return op == CUBLAS_OP_N ? CblasNoTrans : CblasTrans;
}

static int at_least_one(int x)
{
    return x > 1 ? x : 1;
}

/* A matrix read, of whose inner dimension a part is used. */
struct factor_t {
    cublasOperation_t op;
    std::vector<float> values;
    int stride;
    bool left;

    factor_t(const cuda_on_host_operand_t &of, bool is_left)
        : op(of.op), values(cuda_on_host_read(of.matrix)), stride(at_least_one(of.matrix.rows)), left(is_left)
    {
    }
    const float *from(int inner) const
    {
        return values.data() + ((op == CUBLAS_OP_N) == left ? (size_t)inner * (size_t)stride : (size_t)inner);
    }
};

std::vector<float> cuda_on_host_multiply(const cuda_on_host_operand_t &a, const cuda_on_host_operand_t &b,
                                         const cuda_on_host_scale_t &scale, const cuda_on_host_matrix_t &c)
{
    const int inner = a.op == CUBLAS_OP_N ? a.matrix.cols : a.matrix.rows;
    const int half = scale.in_parts && c.type != CUDA_R_32F ? inner / 2 : inner;
    const factor_t left(a, true), right(b, false);
    std::vector<float> out =
        scale.beta != 0 ? cuda_on_host_read(c) : std::vector<float>((size_t)c.rows * (size_t)c.cols);
    const auto add_part = [&](int first, int end, float beta) {
        lspo_blas()->sgemm(CblasColMajor, transpose(a.op), transpose(b.op), c.rows, c.cols, end - first, scale.alpha,
                           left.from(first), left.stride, right.from(first), right.stride, beta, out.data(),
                           at_least_one(c.rows));
    };
    add_part(0, half, scale.beta);
    if (half == inner)
        return out;
    for (float &value : out) {
        float rounded; /* large enough for every type */
        round_to(value, &rounded, c.type, 0);
        value = value_of(&rounded, c.type, 0);
    }
    add_part(half, inner, 1);
    return out;
}

/* Both libraries together take more than a device's reserve, so that it shows whether they were loaded before. */
static const size_t LIBRARY_BYTES = (size_t)64 << 20, KERNEL_BYTES = (size_t)2 << 20;

cublasStatus_t cuda_on_host_load_product(bool lt, cudaDataType_t type, cublasOperation_t a, cublasOperation_t b)
{
    static const char libraries[2] = {}, kernels[2][16][2][2] = {};
    const bool good = cuda_on_host_load(&libraries[lt], LIBRARY_BYTES) == cudaSuccess &&
                      cuda_on_host_load(&kernels[lt][type % 16][a][b], KERNEL_BYTES) == cudaSuccess;
    return good ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
}
