/* rounding.h - random rounding: a number becomes one of its two neighbours, the nearer one more often, so that the mean
 * is the number.  Without it, steps that are smaller than half the distance of two numbers are all lost.
 *
 * The random bits are a function of a seed and a place: splitmix64 [Steele, Lea, Flood, "Fast splittable pseudorandom
 * number generators", OOPSLA 2014], number `index` of the sequence that starts at the seed.  For host and GPU.
 */
#ifndef LSPO_KERNELS_ROUNDING_H
#define LSPO_KERNELS_ROUNDING_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/float_bits.h"
#include "kernels/number.h"

/* 64 uniform bits. */
LSPO_ON_BOTH LSPO_INLINE uint64_t lspo_rounding_word(uint64_t seed, uint64_t index)
{
    uint64_t z = seed + (index + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* The bf16 number, in the upper half, that a float's bits are rounded to by 16 random bits; infinity stays, NaN becomes
 * quiet.  Adding a uniform number to the bits that are cut off carries with the desired probability. */
LSPO_ON_BOTH LSPO_INLINE uint32_t lspo_rounded_bf16(uint32_t bits, uint32_t random_16)
{
    const uint32_t magnitude = bits & 0x7fffffffU;
    const uint32_t added = magnitude < 0x7f800000U ? random_16 : 0;
    const uint32_t quiet = magnitude > 0x7f800000U ? 0x00400000U : 0;
    return ((bits + added) | quiet) & 0xffff0000U;
}

#ifdef __cplusplus
extern "C" {
#endif

/* out <- n numbers of `number`, BF16 or FP16, from fp32: element i by the upper 32 bits of lspo_rounding_word(seed,
 * first + i).  Values beyond the largest number become infinity.  6 bytes per element. */
void lspo_pack_randomly(lspo_number_t number, size_t n, uint64_t seed, uint64_t first, const float *in, void *out);

#ifdef __cplusplus
}
#endif
#endif
