/* cuda_fp16.h - conversions between float and half by the definition of the format; see cuda_runtime.h. */
#ifndef LSPO_TESTS_CUDA_FP16_H
#define LSPO_TESTS_CUDA_FP16_H

#include "cuda_runtime.h"

struct __half {
    uint16_t bits;
};

inline __half __ushort_as_half(uint16_t bits)
{
    return {bits};
}

inline uint16_t __half_as_ushort(__half half)
{
    return half.bits;
}

/* As the instruction: every NaN becomes 7fff. */
inline __half __float2half_rn(float value)
{
    if (isnan(value))
        return {0x7fff};
    const uint16_t sign = signbit(value) ? 0x8000 : 0;
    const double size = fabs((double)value);
    if (size >= 65520)
        return {(uint16_t)(sign | 0x7c00)};
    if (size < ldexp(1, -14))
        return {(uint16_t)(sign | (unsigned)nearbyint(ldexp(size, 24)))};
    const int exponent = ilogb(size);
    return {(uint16_t)(sign | (((unsigned)exponent + 14) * 1024 + (unsigned)nearbyint(ldexp(size, 10 - exponent))))};
}

/* The exponent and fraction in a float's place, scaled by the difference of the two biases; exact, subnormals too. */
inline float __half2float(__half half)
{
    const uint32_t size = half.bits & 0x7fff, sign = (uint32_t)half.bits >> 15 << 31;
    if (size >= 0x7c00)
        return size > 0x7c00 ? NAN : half.bits >> 15 ? -INFINITY : INFINITY;
    return __uint_as_float(sign | size << 13) * 0x1p112f;
}

#endif
