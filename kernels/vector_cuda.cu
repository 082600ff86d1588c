/* vector_cuda.cu - streaming helpers around matrix products on the GPU. */
#include "kernels/column_sum.cuh"
#include "kernels/cuda.h"

static __global__ void bias_fill_kernel(size_t n, size_t cols, const float *bias, float *out)
{
    for (size_t i = lspo_grid_first(); i < n; i += lspo_grid_step())
        out[i] = bias[i % cols];
}

static __global__ void bias_add_kernel(size_t n, size_t cols, const float *x, const float *bias, float *out)
{
    for (size_t i = lspo_grid_first(); i < n; i += lspo_grid_step())
        out[i] = x[i] + bias[i % cols];
}

static __global__ void add_kernel(size_t n, const float *x, float *sum)
{
    for (size_t i = lspo_grid_first(); i < n; i += lspo_grid_step())
        sum[i] += x[i];
}

static __global__ void column_sum_kernel(size_t rows, size_t cols, const float *x, bool accumulate, float *out)
{
    lspo_sum_columns(rows, cols, accumulate, out, [=](size_t i, size_t j) { return x[i * cols + j]; });
}

static __global__ void squares_kernel(size_t n, const float *x, double *parts)
{
    double sum = 0;
    for (size_t i = lspo_grid_first(); i < n; i += lspo_grid_step())
        sum += (double)x[i] * (double)x[i];
    sum = lspo_block_sum(sum);
    if (threadIdx.x == 0)
        parts[blockIdx.x] = sum;
}

/* One block. */
static __global__ void sum_kernel(size_t n, const double *values, double *sum_out)
{
    double sum = 0;
    for (size_t i = threadIdx.x; i < n; i += blockDim.x)
        sum += values[i];
    sum = lspo_block_sum(sum);
    if (threadIdx.x == 0)
        *sum_out = sum;
}

int lspo_bias_fill_cuda(size_t rows, size_t cols, const float *bias, float *out, void *stream)
{
    return lspo_launch_over(rows * cols, bias_fill_kernel, stream, rows * cols, cols, bias, out);
}

int lspo_bias_add_cuda(size_t rows, size_t cols, const float *x, const float *bias, float *out, void *stream)
{
    return lspo_launch_over(rows * cols, bias_add_kernel, stream, rows * cols, cols, x, bias, out);
}

int lspo_vector_add_cuda(size_t n, const float *x, float *sum, void *stream)
{
    return lspo_launch_over(n, add_kernel, stream, n, x, sum);
}

int lspo_column_sum_cuda(size_t rows, size_t cols, const float *x, bool accumulate, float *out, void *stream)
{
    return lspo_launch_columns(cols, column_sum_kernel, stream, rows, cols, x, accumulate, out);
}

int lspo_sum_cuda(size_t n, const double *values, double *sum_out, void *stream)
{
    return lspo_launch(sum_kernel, 1, LSPO_BLOCK_THREADS, 0, stream, n, values, sum_out);
}

int lspo_sum_of_squares_cuda(size_t n, const float *x, double *parts, double *sum_out, void *stream)
{
    const unsigned wanted = lspo_grid_blocks(n), most = LSPO_SUM_OF_SQUARES_PARTS;
    const unsigned blocks = wanted < most ? wanted : most;
    const int error =
        n == 0 ? (int)cudaSuccess : lspo_launch(squares_kernel, blocks, LSPO_BLOCK_THREADS, 0, stream, n, x, parts);
    return error != cudaSuccess ? error : lspo_sum_cuda(blocks, parts, sum_out, stream);
}
