/* pack_cuda.cu - convert numbers between formats on the GPU, with the same bits as on the host.  Numbers are converted
 * as by lspo_round(), except NaN: the conversion instructions always give the same NaN, but pack.h keeps sign and upper
 * payload. */
#include "kernels/cuda.h"
#include "kernels/number.cuh"

static __device__ bool is_nan_bits(uint32_t bits)
{
    return (bits & 0x7fffffffu) > 0x7f800000u;
}

static __device__ float exactly(float value)
{
    return value;
}

static __device__ float exactly(__nv_bfloat16 value)
{
    return __uint_as_float((uint32_t)__bfloat16_as_ushort(value) << 16);
}

static __device__ float exactly(__half value)
{
    const uint16_t half = __half_as_ushort(value);
    if ((half & 0x7fffu) > 0x7c00u)
        return __uint_as_float((half & 0x8000u) << 16 | 0x7fc00000u | (half & 0x3ffu) << 13);
    return __half2float(value);
}

static __device__ void pack(float value, float *out)
{
    *out = value;
}

static __device__ void pack(float value, __nv_bfloat16 *out)
{
    const uint32_t bits = __float_as_uint(value);
    if (is_nan_bits(bits))
        *out = __ushort_as_bfloat16((uint16_t)(bits >> 16 | 0x0040u));
    else
        lspo_round(value, out);
}

static __device__ void pack(float value, __half *out)
{
    const uint32_t bits = __float_as_uint(value);
    if (is_nan_bits(bits))
        *out = __ushort_as_half((uint16_t)((bits >> 16 & 0x8000u) | 0x7e00u | (bits >> 13 & 0x3ffu)));
    else
        lspo_round(value, out);
}

template <typename From, typename To> using narrower_t = std::conditional_t<sizeof(From) < sizeof(To), From, To>;

template <typename From, typename To> static __global__ void convert_kernel(size_t n, const From *in, To *out)
{
    lspo_each<narrower_t<From, To>>(n, lspo_aligned(in, out), [=](size_t i, auto width) {
        const auto from = lspo_load_numbers(width, in + i);
        lspo_numbers_t<To, decltype(width)::value> to;
        for (unsigned k = 0; k < width; k++)
            if constexpr (std::is_same_v<From, To>)
                to.at[k] = from.at[k]; /* even a signalling NaN */
            else
                pack(exactly(from.at[k]), &to.at[k]);
        lspo_store_numbers(out + i, to);
    });
}

int lspo_convert_cuda(size_t n, lspo_number_t from, const void *in, lspo_number_t to, void *out, void *stream)
{
    return lspo_with_number(from, [=](auto from_zero) {
        return lspo_with_number(to, [=](auto to_zero) {
            using From = decltype(from_zero);
            using To = decltype(to_zero);
            return lspo_launch_each<narrower_t<From, To>>(n, convert_kernel<From, To>, stream, n, (const From *)in,
                                                          (To *)out);
        });
    });
}
