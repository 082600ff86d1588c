/* cuda_bf16.h - conversions between float and bf16 by the definition of the format; see cuda_runtime.h. */
#ifndef LSPO_TESTS_CUDA_BF16_H
#define LSPO_TESTS_CUDA_BF16_H

#include "cuda_runtime.h"

struct __nv_bfloat16 {
    uint16_t bits;
};

inline __nv_bfloat16 __ushort_as_bfloat16(uint16_t bits)
{
    return {bits};
}

inline uint16_t __bfloat16_as_ushort(__nv_bfloat16 x)
{
    return x.bits;
}

/* bf16 is the upper half of a float. */
inline float __bfloat162float(__nv_bfloat16 x)
{
    return __uint_as_float((uint32_t)x.bits << 16);
}

/* The nearer of the two halves around it, the even one in the middle.  As the instruction: every NaN becomes 7fff. */
inline __nv_bfloat16 __float2bfloat16_rn(float value)
{
    if (isnan(value))
        return {0x7fff};
    const uint32_t bits = __float_as_uint(value), cut = bits & 0xffff;
    const uint16_t below = (uint16_t)(bits >> 16);
    return {(uint16_t)(cut > 0x8000 || (cut == 0x8000 && below % 2 == 1) ? below + 1 : below)};
}

#endif
