/* vector_cuda.cu - elementwise helpers around matrix products on the GPU. */
#include "kernels/column_sum.cuh"
#include "kernels/cuda.h"

/* Groups must end at row ends; otherwise there are none. */
template <typename T> static __global__ void bias_fill_kernel(size_t n, size_t cols, const T *bias, T *out)
{
    lspo_each<T>(n, cols % LSPO_GROUP<T> == 0 && lspo_aligned(bias, out),
                 [=](size_t i, auto width) { lspo_store_numbers(out + i, lspo_load_numbers(width, bias + i % cols)); });
}

template <typename T> static __global__ void bias_add_kernel(size_t n, size_t cols, const T *x, const T *bias, T *out)
{
    lspo_each<T>(n, cols % LSPO_GROUP<T> == 0 && lspo_aligned(x, bias, out), [=](size_t i, auto width) {
        const auto added = lspo_load(width, bias + i % cols);
        auto values = lspo_load(width, x + i);
        for (unsigned k = 0; k < width; k++)
            values.at[k] += added.at[k];
        lspo_store(out + i, values);
    });
}

template <typename T> static __global__ void add_kernel(size_t n, const T *x, T *sum)
{
    lspo_each<T>(n, lspo_aligned(x, sum), [=](size_t i, auto width) {
        const auto added = lspo_load(width, x + i);
        auto values = lspo_load(width, sum + i);
        for (unsigned k = 0; k < width; k++)
            values.at[k] += added.at[k];
        lspo_store(sum + i, values);
    });
}

template <typename T, typename Direction>
static __global__ void step_kernel(size_t n, float keep, float rate, const Direction *direction, uint64_t seed, T *w)
{
    lspo_each<T>(n, lspo_aligned(direction, w), [=](size_t i, auto width) {
        const auto along = lspo_load(width, direction + i), from = lspo_load(width, w + i);
        lspo_numbers_t<T, decltype(width)::value> to;
        for (unsigned k = 0; k < width; k++)
            to.at[k] = lspo_round_randomly<T>(keep * from.at[k] - rate * along.at[k], lspo_random_bits(seed, i + k));
        lspo_store_numbers(w + i, to);
    });
}

template <unsigned N, typename T>
static __global__ void __launch_bounds__(LSPO_COLUMN_THREADS) column_sum_kernel(lspo_column_sums_t<1, T> to, const T *x)
{
    lspo_sum_columns<N>(to, [cols = to.cols, x](size_t i, size_t j, float(&sums)[1][N]) {
        const auto values = lspo_load(lspo_width_t<N>(), x + i * cols + j);
        for (unsigned c = 0; c < N; c++)
            sums[0][c] += values.at[c];
    });
}

/* The sum of the squares of a group, in fp32; in fp64 where fp32 would overflow or lose small squares. */
template <unsigned N> static __device__ double sum_of_group(const lspo_numbers_t<float, N> &values)
{
    float sum = 0;
#pragma unroll
    for (unsigned k = 0; k < N; k++)
        sum = fmaf(values.at[k], values.at[k], sum);
    if (sum == 0.0f || (sum > 1e-24f && sum < 1e38f))
        return (double)sum;
    double exact = 0;
    for (unsigned k = 0; k < N; k++)
        exact += (double)values.at[k] * (double)values.at[k];
    return exact;
}

/* One addition in fp64 per 16 bytes: GeForce GPUs have one fp64 unit per 64 of fp32, too few for one per number. */
template <typename T> static __global__ void squares_kernel(size_t n, const T *x, double *parts)
{
    double sum = 0;
    lspo_each<T>(n, lspo_aligned(x), [=, &sum](size_t i, auto width) { sum += sum_of_group(lspo_load(width, x + i)); });
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

int lspo_bias_fill_cuda(const lspo_cuda_t *on, size_t rows, size_t cols, const void *bias, void *out)
{
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        return lspo_launch_each<T>(rows * cols, bias_fill_kernel<T>, on->stream, rows * cols, cols, (const T *)bias,
                                   (T *)out);
    });
}

int lspo_bias_add_cuda(const lspo_cuda_t *on, size_t rows, size_t cols, const void *x, const void *bias, void *out)
{
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        return lspo_launch_each<T>(rows * cols, bias_add_kernel<T>, on->stream, rows * cols, cols, (const T *)x,
                                   (const T *)bias, (T *)out);
    });
}

int lspo_vector_add_cuda(const lspo_cuda_t *on, size_t n, const void *x, void *sum)
{
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        return lspo_launch_each<T>(n, add_kernel<T>, on->stream, n, (const T *)x, (T *)sum);
    });
}

int lspo_step_along_cuda(const lspo_cuda_t *on, size_t n, const lspo_vector_step_t *step,
                         lspo_number_t direction_format, const void *direction, void *w)
{
    return lspo_with_number(on->number, [=](auto zero) {
        return lspo_with_number(direction_format, [=](auto direction_zero) {
            using T = decltype(zero);
            using Direction = decltype(direction_zero);
            return lspo_launch_each<T>(n, step_kernel<T, Direction>, on->stream, n, step->keep, step->rate,
                                       (const Direction *)direction, step->seed, (T *)w);
        });
    });
}

int lspo_column_sum_cuda(const lspo_cuda_t *on, size_t rows, size_t cols, const void *x, bool accumulate, void *out)
{
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        const lspo_column_sums_t<1, T> to = {rows, cols, accumulate, {(T *)out}};
        return lspo_in_pairs(cols, (const T *)x)
                   ? lspo_launch_columns<2>(on, to, column_sum_kernel<2, T>, (const T *)x)
                   : lspo_launch_columns<1>(on, to, column_sum_kernel<1, T>, (const T *)x);
    });
}

int lspo_sum_cuda(size_t n, const double *values, double *sum_out, void *stream)
{
    return lspo_launch(sum_kernel, 1, LSPO_BLOCK_THREADS, 0, stream, n, values, sum_out);
}

int lspo_sum_of_squares_cuda(const lspo_cuda_t *on, size_t n, const void *x, double *parts, double *sum_out)
{
    const unsigned wanted = lspo_grid_blocks(n), most = LSPO_SUM_OF_SQUARES_PARTS;
    const unsigned blocks = wanted < most ? wanted : most;
    const int error = lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        return n == 0
                   ? (int)cudaSuccess
                   : lspo_launch(squares_kernel<T>, blocks, LSPO_BLOCK_THREADS, 0, on->stream, n, (const T *)x, parts);
    });
    return error != cudaSuccess ? error : lspo_sum_cuda(blocks, parts, sum_out, on->stream);
}
