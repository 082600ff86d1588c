/* float_bits.h - the bits of a float as an integer, and back.  For host and GPU. */
#ifndef LSPO_KERNELS_FLOAT_BITS_H
#define LSPO_KERNELS_FLOAT_BITS_H

#include <stdint.h>
#include <string.h>

#include "kernels/simd.h"

#ifdef __CUDACC__
#define LSPO_ON_BOTH __host__ __device__
#else
#define LSPO_ON_BOTH
#endif

LSPO_ON_BOTH LSPO_INLINE uint32_t lspo_bits_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

LSPO_ON_BOTH LSPO_INLINE float lspo_float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

LSPO_ON_BOTH LSPO_INLINE float lspo_float_of_bf16(uint16_t bits)
{
    return lspo_float_of_bits((uint32_t)bits << 16);
}

#endif
