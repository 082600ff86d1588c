/* ternary_cuda.cu - products with packed ternary matrices on the GPU: a warp computes a row, a lane decodes every 32nd
 * code.  Where the entries begin is a prefix sum of their lengths over the warp. */
#include "kernels/cuda.h"
#include "kernels/number.cuh"

enum { WARPS = LSPO_BLOCK_THREADS / LSPO_WARP_THREADS };

/* The sum of the lanes' values up to this one's. */
__device__ static uint32_t scan_warp(uint32_t value, unsigned lane)
{
    for (unsigned step = 1; step < LSPO_WARP_THREADS; step *= 2) {
        const uint32_t before = __shfl_sync(0xffffffffu, value, (lane - step) % LSPO_WARP_THREADS);
        value += lane >= step ? before : 0;
    }
    return value;
}

/* Of the weights of an entry that begins at input `start`. */
template <typename T>
__device__ static float multiply_entry(uint32_t word, uint32_t start, float low, float high, const T *x)
{
    float sum = 0;
#pragma unroll
    for (unsigned k = 0; k < LSPO_TERNARY_NONZEROS; k++) {
        const uint32_t value = lspo_ternary_value_of(word, k);
        if (value != LSPO_TERNARY_ZERO)
            sum += (value == LSPO_TERNARY_LOW ? low : high) * lspo_to_float(x[start + lspo_ternary_place_of(word, k)]);
    }
    return sum;
}

/* A block computes rows of W for one of X, which it keeps in shared memory. */
template <typename T>
static __global__ void product_kernel(lspo_ternary_t w, const uint32_t *table, const T *x_all, T *y_all)
{
    T *x = (T *)(void *)lspo_shared;
    const unsigned lane = threadIdx.x % LSPO_WARP_THREADS;
    for (size_t i = threadIdx.x; i < w.m; i += LSPO_BLOCK_THREADS)
        x[i] = x_all[blockIdx.y * w.m + i];
    __syncthreads();
    for (size_t j = (size_t)blockIdx.x * WARPS + threadIdx.x / LSPO_WARP_THREADS; j < w.n;
         j += (size_t)gridDim.x * WARPS) {
        const lspo_ternary_row_t row = w.rows[j];
        const float low = lspo_float_of_bf16(row.low), high = lspo_float_of_bf16(row.high);
        const uint32_t end = w.rows[j + 1].first;
        uint32_t start = 0;
        float sum = 0;
        for (uint32_t at = row.first; at < end; at += LSPO_WARP_THREADS) {
            const uint32_t word = at + lane < end ? table[w.codes[at + lane]] : 0;
            const uint32_t behind = start + scan_warp(lspo_ternary_length(word), lane);
            sum += multiply_entry(word, behind - lspo_ternary_length(word), low, high, x);
            start = __shfl_sync(0xffffffffu, behind, LSPO_WARP_THREADS - 1);
        }
        sum = lspo_warp_sum(sum);
        if (lane == 0)
            lspo_round(sum, &y_all[blockIdx.y * w.n + j]);
    }
}

int lspo_ternary_product_cuda(const lspo_cuda_t *on, const lspo_ternary_t *w, const uint32_t *table, size_t rows,
                              const void *x, void *y)
{
    const size_t blocks = (w->n + WARPS - 1) / WARPS, most = LSPO_GRID_BLOCKS_MAX;
    if (blocks == 0 || rows == 0)
        return (int)cudaSuccess;
    if (rows > most)
        return (int)cudaErrorInvalidValue;
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        return lspo_launch_large(product_kernel<T>, dim3((unsigned)(blocks < most ? blocks : most), (unsigned)rows),
                                 LSPO_BLOCK_THREADS, w->m * sizeof(T), on->stream, *w, table, (const T *)x, (T *)y);
    });
}
