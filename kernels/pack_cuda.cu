/* pack_cuda.cu - fp32 to and from bf16 and fp16 on the GPU, with the host's bits. */
#include <cuda_fp16.h>

#include "kernels/cuda.h"
#include "kernels/launch.cuh"

static __device__ uint16_t bf16_from_float(float value)
{
    uint32_t bits = __float_as_uint(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x0040u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static __device__ float float_from_bf16(uint16_t half)
{
    return __uint_as_float((uint32_t)half << 16);
}

/* The conversion instructions make every NaN the same one; pack.h keeps sign and upper payload. */
static __device__ uint16_t fp16_from_float(float value)
{
    uint32_t bits = __float_as_uint(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)((bits >> 16 & 0x8000u) | 0x7e00u | (bits >> 13 & 0x3ffu));
    return __half_as_ushort(__float2half_rn(value));
}

static __device__ float float_from_fp16(uint16_t half)
{
    if ((half & 0x7fffu) > 0x7c00u)
        return __uint_as_float((half & 0x8000u) << 16 | 0x7fc00000u | (half & 0x3ffu) << 13);
    return __half2float(__ushort_as_half(half));
}

template <typename From, typename To, To (*convert)(From)>
static __global__ void convert_kernel(size_t n, const From *in, To *out)
{
    for (size_t i = lspo_grid_first(); i < n; i += lspo_grid_step())
        out[i] = convert(in[i]);
}

int lspo_pack_bf16_cuda(size_t n, const float *in, uint16_t *out, void *stream)
{
    return lspo_launch_over(n, convert_kernel<float, uint16_t, bf16_from_float>, stream, n, in, out);
}

int lspo_unpack_bf16_cuda(size_t n, const uint16_t *in, float *out, void *stream)
{
    return lspo_launch_over(n, convert_kernel<uint16_t, float, float_from_bf16>, stream, n, in, out);
}

int lspo_pack_fp16_cuda(size_t n, const float *in, uint16_t *out, void *stream)
{
    return lspo_launch_over(n, convert_kernel<float, uint16_t, fp16_from_float>, stream, n, in, out);
}

int lspo_unpack_fp16_cuda(size_t n, const uint16_t *in, float *out, void *stream)
{
    return lspo_launch_over(n, convert_kernel<uint16_t, float, float_from_fp16>, stream, n, in, out);
}
