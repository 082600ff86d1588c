/* nf4_cuda.cu - expand 4-bit NormalFloat on the GPU, with the bits of the host, rounded to the format. */
#include "kernels/cuda.h"
#include "kernels/number.cuh"

/* Codes that a thread loads at once. */
enum { CODES = 8 };

struct levels_t {
    float at[LSPO_NF4_LEVELS];
};

/* At most `rest` of them, one at a time. */
template <typename T> static __device__ void store_some(T *out, size_t rest, const lspo_numbers_t<float, CODES> &some)
{
    for (size_t k = 0; k < CODES && k < rest; k++)
        lspo_round(some.at[k], &out[k]);
}

/* The levels in shared memory are in different banks. */
template <typename T> static __global__ void expand_kernel(lspo_nf4_t from, levels_t all, T *out)
{
    __shared__ float levels[LSPO_NF4_LEVELS];
    if (threadIdx.x < LSPO_NF4_LEVELS)
        levels[threadIdx.x] = all.at[threadIdx.x];
    __syncthreads();
    const bool aligned = lspo_aligned(out);
    for (size_t i = lspo_grid_first(); i < (from.count + CODES - 1) / CODES; i += lspo_grid_step()) {
        const size_t first = i * CODES, block = first / LSPO_NF4_BLOCK;
        const uint32_t codes = ((const uint32_t *)from.codes)[i];
        const float scale = fmaf((float)from.magnitudes[block], from.steps[block / LSPO_NF4_GROUP], *from.mean);
        lspo_numbers_t<float, CODES> some;
#pragma unroll
        for (unsigned k = 0; k < CODES; k++)
            some.at[k] = levels[codes >> 4 * k & 15u] * scale;
        const size_t rest = from.count - first;
        if (aligned && rest >= CODES)
            lspo_store(out + first, some);
        else
            store_some(out + first, rest, some);
    }
}

int lspo_nf4_expand_cuda(const lspo_cuda_t *on, const lspo_nf4_t *from, void *out)
{
    levels_t levels;
    for (int k = 0; k < LSPO_NF4_LEVELS; k++)
        levels.at[k] = lspo_nf4_levels[k];
    return lspo_with_number(on->number, [=](auto zero) {
        using T = decltype(zero);
        return lspo_launch_over((from->count + CODES - 1) / CODES, expand_kernel<T>, on->stream, *from, levels,
                                (T *)out);
    });
}
