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

inline float __half2float(__half half)
{
    const int exponent = half.bits >> 10 & 31, fraction = half.bits & 1023;
    const float sign = half.bits >> 15 ? -1.0f : 1.0f;
    if (exponent == 31)
        return fraction ? NAN : sign * INFINITY;
    return sign * (exponent == 0 ? ldexpf((float)fraction, -24) : ldexpf((float)(fraction + 1024), exponent - 25));
}

#endif
