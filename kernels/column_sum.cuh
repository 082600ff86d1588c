/* column_sum.cuh - sums down the columns of a matrix: parameter and bias gradients.
 *
 * A lane sums two adjacent columns, one access for both, or one column where rows are not aligned for that.  A block
 * handles the columns of a warp.  Each of its 32 warps sums every 32nd row, eight rows at a time, all of which are
 * loaded before the first is added; the warps' sums are added in order.  A matrix with so few columns that they do not
 * fill a GPU is split by rows: block y sums rows y R .. (y + 1) R - 1, and a second kernel adds these sums in order.
 * The order depends on the shape alone, so equal input gives equal bits on every GPU. */
#ifndef LSPO_KERNELS_COLUMN_SUM_CUH
#define LSPO_KERNELS_COLUMN_SUM_CUH

#include "kernels/cuda.h"
#include "kernels/number.cuh"

enum {
    LSPO_COLUMN_THREADS = 1024,
    LSPO_COLUMN_WARPS = LSPO_COLUMN_THREADS / LSPO_WARP_THREADS,
    LSPO_COLUMN_TOGETHER = 8, /* rows of a warp */
    LSPO_COLUMN_BLOCKS = 512, /* enough to fill a large GPU evenly */
    LSPO_COLUMN_SUMS_MAX = 2
};
static_assert(LSPO_COLUMN_BLOCKS * LSPO_WARP_THREADS * 2 * LSPO_COLUMN_SUMS_MAX == LSPO_COLUMN_SUM_FLOATS, "scratch");

/* K sums over the same rows, sums[k] of column j into sinks[k][j]. */
template <unsigned K, typename T> struct lspo_column_sums_t {
    size_t rows, cols;
    bool accumulate;
    T *sinks[K];
    size_t rows_of_block = 0; /* set by the launch, as is: */
    float *parts = nullptr;   /* [block][k][column] if rows are split */
};

template <unsigned K, typename T>
static __device__ void lspo_keep_column_sum(const lspo_column_sums_t<K, T> &to, unsigned k, size_t column, float sum)
{
    T *const sink = to.sinks[k] + column;
    lspo_round(to.accumulate ? lspo_to_float(*sink) + sum : sum, sink);
}

/* One array for every kernel whose blocks keep K sums of N columns. */
template <unsigned N, unsigned K> static __device__ auto lspo_column_parts()
{
    __shared__ float parts[LSPO_COLUMN_WARPS][K][N][LSPO_WARP_THREADS];
    return &parts[0];
}

/* add(i, j, sums) for each row i, where column j is the lane's first of N, does sums[k][c] += its part of column j + c.
 */
template <unsigned N, unsigned K, typename T, typename Add>
static __device__ void lspo_sum_columns(const lspo_column_sums_t<K, T> &to, Add add)
{
    auto *const parts = lspo_column_parts<N, K>();
    constexpr size_t STEP = LSPO_COLUMN_WARPS, TOGETHER = LSPO_COLUMN_TOGETHER * STEP;
    const unsigned lane = threadIdx.x % LSPO_WARP_THREADS, warp = threadIdx.x / LSPO_WARP_THREADS;
    const size_t column = ((size_t)blockIdx.x * LSPO_WARP_THREADS + lane) * N;
    const size_t first = blockIdx.y * to.rows_of_block, end = min(to.rows, first + to.rows_of_block);
    float sums[K][N] = {};
    if (column < to.cols) {
        size_t row = first + warp;
        for (; row + TOGETHER - STEP < end; row += TOGETHER)
#pragma unroll
            for (unsigned i = 0; i < LSPO_COLUMN_TOGETHER; i++)
                add(row + i * STEP, column, sums);
#pragma unroll 1
        for (; row < end; row += STEP)
            add(row, column, sums);
    }
#pragma unroll
    for (unsigned k = 0; k < K; k++)
#pragma unroll
        for (unsigned c = 0; c < N; c++)
            parts[warp][k][c][lane] = sums[k][c];
    __syncthreads();
    if (warp >= K * N || column >= to.cols) /* one warp per sum */
        return;
    const unsigned k = warp / N, c = warp % N;
    float sum = parts[0][k][c][lane];
#pragma unroll
    for (int other = 1; other < LSPO_COLUMN_WARPS; other++)
        sum += parts[other][k][c][lane];
    if (gridDim.y == 1)
        lspo_keep_column_sum(to, k, column + c, sum);
    else
        to.parts[(blockIdx.y * K + k) * to.cols + column + c] = sum;
}

/* The sums of `blocks` blocks, for each k and column. */
template <unsigned K, typename T>
static __global__ void lspo_add_parts_kernel(lspo_column_sums_t<K, T> to, unsigned blocks)
{
    const size_t n = K * to.cols;
    for (size_t i = lspo_grid_first(); i < n; i += lspo_grid_step()) {
        float sum = to.parts[i];
#pragma unroll 8
        for (unsigned block = 1; block < blocks; block++)
            sum += to.parts[block * n + i];
        lspo_keep_column_sum(to, (unsigned)(i / to.cols), i % to.cols, sum);
    }
}

/* Whether two columns can be accessed at once; true for NULL. */
template <typename... T> static bool lspo_in_pairs(size_t cols, const T *...arrays)
{
    return cols % 2 == 0 && (((uintptr_t)arrays % (2 * sizeof(T)) == 0) && ...);
}

/* Launch a kernel with __launch_bounds__(LSPO_COLUMN_THREADS) whose blocks call lspo_sum_columns<N>() with its first
 * argument, and the second pass; does nothing without columns. */
template <unsigned N, unsigned K, typename T, typename... Parameters, typename... Arguments>
static int lspo_launch_columns(const lspo_cuda_t *on, lspo_column_sums_t<K, T> to,
                               void (*kernel)(lspo_column_sums_t<K, T>, Parameters...), Arguments... arguments)
{
    static_assert(N <= 2 && K <= LSPO_COLUMN_SUMS_MAX, "scratch");
    if (to.cols == 0)
        return cudaSuccess;
    const size_t groups = (to.cols - 1) / (LSPO_WARP_THREADS * N) + 1;
    const size_t wanted = LSPO_COLUMN_BLOCKS / groups, most = to.rows / (LSPO_COLUMN_WARPS * LSPO_COLUMN_TOGETHER);
    const size_t splits = wanted < 2 || most < 2 ? 1 : wanted < most ? wanted : most;
    to.rows_of_block = to.rows == 0 ? 1 : (to.rows - 1) / splits + 1;
    to.parts = on->column_sums;
    const unsigned blocks = to.rows == 0 ? 1 : (unsigned)((to.rows - 1) / to.rows_of_block + 1);
    if (blocks > 1 && to.parts == nullptr)
        return cudaErrorInvalidValue;
    const int error =
        lspo_launch(kernel, dim3((unsigned)groups, blocks), LSPO_COLUMN_THREADS, 0, on->stream, to, arguments...);
    if (error != cudaSuccess || blocks == 1)
        return error;
    return lspo_launch_over(K * to.cols, lspo_add_parts_kernel<K, T>, on->stream, to, blocks);
}

#endif
