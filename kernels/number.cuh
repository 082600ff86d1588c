/* number.cuh - the number formats of a GPU: their types, conversion to and from fp32, and access to 16 bytes at a
 * time. */
#ifndef LSPO_KERNELS_NUMBER_CUH
#define LSPO_KERNELS_NUMBER_CUH

#include <cstdint>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <type_traits>

#include "kernels/launch.cuh"
#include "kernels/number.h"
#include "kernels/rounding.h"

/* call(zero), where zero has the type of the format. */
template <typename Call> static int lspo_with_number(lspo_number_t number, Call call)
{
    switch (number) {
    case LSPO_NUMBER_FP32:
        return call(float());
    case LSPO_NUMBER_BF16:
        return call(__nv_bfloat16());
    case LSPO_NUMBER_FP16:
        return call(__half());
    }
    return cudaErrorInvalidValue;
}

/* ---- one number ---- */

__device__ inline float lspo_to_float(float x)
{
    return x;
}

__device__ inline float lspo_to_float(__nv_bfloat16 x)
{
    return __bfloat162float(x);
}

__device__ inline float lspo_to_float(__half x)
{
    return __half2float(x);
}

/* Rounds to nearest, ties to even; values beyond the largest number become infinity. */
__device__ inline void lspo_round(float value, float *out)
{
    *out = value;
}

__device__ inline void lspo_round(float value, __nv_bfloat16 *out)
{
    *out = __float2bfloat16_rn(value);
}

__device__ inline void lspo_round(float value, __half *out)
{
    *out = __float2half_rn(value);
}

/* ---- some numbers ---- */

/* How many numbers have 16 bytes. */
template <typename T> constexpr unsigned LSPO_GROUP = 16 / sizeof(T);

/* A compile-time constant that converts to its value, also on the device. */
template <unsigned N> struct lspo_width_t {
    static constexpr unsigned value = N;
    __host__ __device__ constexpr operator unsigned() const
    {
        return N;
    }
};

template <typename T, unsigned N> struct alignas(N * sizeof(T) < 16 ? N * sizeof(T) : 16) lspo_numbers_t {
    T at[N];
};

template <typename T, unsigned N> __device__ lspo_numbers_t<T, N> lspo_load_numbers(lspo_width_t<N>, const T *from)
{
    return *(const lspo_numbers_t<T, N> *)from;
}

template <typename T, unsigned N> __device__ void lspo_store_numbers(T *to, const lspo_numbers_t<T, N> &numbers)
{
    *(lspo_numbers_t<T, N> *)to = numbers;
}

template <typename T, unsigned N> __device__ lspo_numbers_t<float, N> lspo_load(lspo_width_t<N> width, const T *from)
{
    const lspo_numbers_t<T, N> numbers = lspo_load_numbers(width, from);
    lspo_numbers_t<float, N> values;
#pragma unroll
    for (unsigned k = 0; k < N; k++)
        values.at[k] = lspo_to_float(numbers.at[k]);
    return values;
}

template <typename T, unsigned N> __device__ void lspo_store(T *to, const lspo_numbers_t<float, N> &values)
{
    lspo_numbers_t<T, N> numbers;
#pragma unroll
    for (unsigned k = 0; k < N; k++)
        lspo_round(values.at[k], &numbers.at[k]);
    lspo_store_numbers(to, numbers);
}

/* ---- loops over groups of them ---- */

/* Whether an array can be accessed 16 bytes at a time; true for NULL. */
template <typename... T> __device__ bool lspo_aligned(const T *...arrays)
{
    return (((uintptr_t)arrays | ...) & 15) == 0;
}

/* Calls body(i, width) for numbers i .. i + width - 1, covering 0 .. n - 1 once, distributed over `threads` threads of
 * which this is `thread`: LSPO_GROUP<T> at a time if all arrays are `aligned`, else (and for the rest) one at a
 * time. */
template <typename T, typename Body>
__device__ void lspo_share(size_t thread, size_t threads, size_t n, bool aligned, Body body)
{
    constexpr unsigned GROUP = LSPO_GROUP<T>;
    const size_t whole = aligned ? n / GROUP * GROUP : 0;
    for (size_t i = thread * GROUP; i < whole; i += threads * GROUP)
        body(i, lspo_width_t<GROUP>());
    for (size_t i = whole + thread; i < n; i += threads)
        body(i, lspo_width_t<1>());
}

/* The same over the threads of the grid; launched by lspo_launch_each<T>(). */
template <typename T, typename Body> __device__ void lspo_each(size_t n, bool aligned, Body body)
{
    lspo_share<T>(lspo_grid_first(), lspo_grid_step(), n, aligned, body);
}

/* The same over the threads of a block that handles one row. */
template <typename T, typename Body> __device__ void lspo_each_of_row(size_t n, bool aligned, Body body)
{
    lspo_share<T>(threadIdx.x, blockDim.x, n, aligned, body);
}

/* Launch a kernel with one block per row of n numbers, as many warps as there are groups for; does nothing without
 * rows. */
template <typename T, typename... Parameters, typename... Arguments>
static int lspo_launch_rows(size_t rows, size_t n, void (*kernel)(Parameters...), void *stream, Arguments... arguments)
{
    const size_t warps = (n + LSPO_GROUP<T> * LSPO_WARP_THREADS - 1) / (LSPO_GROUP<T> * LSPO_WARP_THREADS);
    const size_t threads = warps * LSPO_WARP_THREADS, most = LSPO_BLOCK_THREADS;
    return rows == 0 ? (int)cudaSuccess
                     : lspo_launch(kernel, (unsigned)rows, (unsigned)(threads < most ? threads : most), 0, stream,
                                   arguments...);
}

template <typename T, typename... Parameters, typename... Arguments>
static int lspo_launch_each(size_t n, void (*kernel)(Parameters...), void *stream, Arguments... arguments)
{
    return lspo_launch_over((n + LSPO_GROUP<T> - 1) / LSPO_GROUP<T>, kernel, stream, arguments...);
}

/* ---- stochastic rounding ---- */

/* 32 uniform bits, determined by seed and index. */
__device__ inline uint32_t lspo_random_bits(uint64_t seed, uint64_t index)
{
    return (uint32_t)(lspo_rounding_word(seed, index) >> 32);
}

/* Rounds `value` to one of its two neighbours in T, the nearer one more often: the mean over `bits` is `value`.  fp32
 * is unchanged. */
template <typename T> __device__ T lspo_round_randomly(float value, uint32_t bits);

template <> __device__ inline float lspo_round_randomly<float>(float value, uint32_t)
{
    return value;
}

template <> __device__ inline __nv_bfloat16 lspo_round_randomly<__nv_bfloat16>(float value, uint32_t bits)
{
    return __float2bfloat16_rn(__uint_as_float(lspo_rounded_bf16(__float_as_uint(value), bits >> 16)));
}

/* Adding a uniform number to the bits that are cut off carries with the desired probability; below 2^-14, where
 * numbers of fp16 are 2^-24 apart, by the fraction. */
template <> __device__ inline __half lspo_round_randomly<__half>(float value, uint32_t bits)
{
    const float steps = value * 16777216.0f, whole = floorf(steps);
    if (fabsf(steps) < 1024.0f) {
        const float up = steps - whole > (float)(bits >> 8) * 5.9604645e-8f ? 1.0f : 0.0f;
        return __float2half_rn((whole + up) * 5.9604645e-8f);
    }
    const uint32_t carried = __float_as_uint(value) + (bits >> 19);
    return isfinite(value) ? __float2half_rn(__uint_as_float(carried & 0xffffe000u)) : __float2half_rn(value);
}

#endif
