/* column_sum.cuh - sums down the columns of a matrix: parameter and bias gradients.
 *
 * A block handles 32 columns.  Each of its 32 warps sums every 32nd row, and the warps' sums are added in order.  There
 * are few blocks, so each has the maximum number of threads. */
#ifndef LSPO_KERNELS_COLUMN_SUM_CUH
#define LSPO_KERNELS_COLUMN_SUM_CUH

#include "kernels/number.cuh"

enum { LSPO_COLUMN_THREADS = 1024, LSPO_COLUMN_WARPS = LSPO_COLUMN_THREADS / LSPO_WARP_THREADS };

/* K sums at a time: add(i, j, sums) for each i, in fp32, then sums[k] into sinks[k][j]. */
template <unsigned K, typename T, typename Add>
static __device__ void lspo_sum_columns(size_t rows, size_t cols, bool accumulate, T *const (&sinks)[K], Add add)
{
    __shared__ float parts[LSPO_COLUMN_WARPS][K][LSPO_WARP_THREADS];
    const unsigned lane = threadIdx.x % LSPO_WARP_THREADS, warp = threadIdx.x / LSPO_WARP_THREADS;
    const size_t column = (size_t)blockIdx.x * LSPO_WARP_THREADS + lane;
    float sums[K] = {};
    if (column < cols) {
#pragma unroll 4
        for (size_t row = warp; row < rows; row += LSPO_COLUMN_WARPS)
            add(row, column, sums);
    }
    for (unsigned k = 0; k < K; k++)
        parts[warp][k][lane] = sums[k];
    __syncthreads();
#pragma unroll
    for (unsigned k = 0; k < K; k++) {
        if (warp != k || column >= cols) /* one warp per sum */
            continue;
        float sum = parts[0][k][lane];
        for (int other = 1; other < LSPO_COLUMN_WARPS; other++)
            sum += parts[other][k][lane];
        T *const sink = sinks[k] + column;
        lspo_round(accumulate ? lspo_to_float(*sink) + sum : sum, sink);
    }
}

/* Launch a kernel with __launch_bounds__(LSPO_COLUMN_THREADS) whose blocks call lspo_sum_columns(); does nothing
 * without columns. */
template <typename... Parameters, typename... Arguments>
static int lspo_launch_columns(size_t cols, void (*kernel)(Parameters...), void *stream, Arguments... arguments)
{
    const unsigned blocks = (unsigned)((cols + LSPO_WARP_THREADS - 1) / LSPO_WARP_THREADS);
    return cols == 0 ? (int)cudaSuccess : lspo_launch(kernel, blocks, LSPO_COLUMN_THREADS, 0, stream, arguments...);
}

#endif
