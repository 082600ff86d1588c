/* column_sum.cuh - sums down the columns of a matrix: parameter and bias gradients.
 *
 * A block owns 32 columns; its warps take every eighth row and are added up in order. */
#ifndef LSPO_KERNELS_COLUMN_SUM_CUH
#define LSPO_KERNELS_COLUMN_SUM_CUH

#include "kernels/number.cuh"

enum { LSPO_COLUMN_WARPS = LSPO_BLOCK_THREADS / LSPO_WARP_THREADS };

/* value(i, j) summed over i into sink[j], in fp32 until it is stored. */
template <typename T, typename Value>
static __device__ void lspo_sum_columns(size_t rows, size_t cols, bool accumulate, T *sink, Value value)
{
    __shared__ float parts[LSPO_COLUMN_WARPS][LSPO_WARP_THREADS];
    const unsigned lane = threadIdx.x % LSPO_WARP_THREADS, warp = threadIdx.x / LSPO_WARP_THREADS;
    const size_t column = (size_t)blockIdx.x * LSPO_WARP_THREADS + lane;
    float sum = 0;
    if (column < cols)
        for (size_t row = warp; row < rows; row += LSPO_COLUMN_WARPS)
            sum += value(row, column);
    __syncthreads(); /* parts may still be read from the sum before */
    parts[warp][lane] = sum;
    __syncthreads();
    if (warp != 0 || column >= cols)
        return;
    for (int other = 1; other < LSPO_COLUMN_WARPS; other++)
        sum += parts[other][lane];
    lspo_round(accumulate ? lspo_to_float(sink[column]) + sum : sum, sink + column);
}

/* A kernel whose blocks call lspo_sum_columns(); nothing to do without columns. */
template <typename... Parameters, typename... Arguments>
static int lspo_launch_columns(size_t cols, void (*kernel)(Parameters...), void *stream, Arguments... arguments)
{
    const unsigned blocks = (unsigned)((cols + LSPO_WARP_THREADS - 1) / LSPO_WARP_THREADS);
    return cols == 0 ? (int)cudaSuccess : lspo_launch(kernel, blocks, LSPO_BLOCK_THREADS, 0, stream, arguments...);
}

#endif
