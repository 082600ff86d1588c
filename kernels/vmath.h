/* vmath.h - exponential and softmax for vector loops: branch-free polynomials that the compiler can vectorise.
 *
 *     e^x = 2^n e^r,  n = round(x / ln 2),  r = x - n ln 2 in two steps [Cephes expf]: relative error below 2e-7
 */
#ifndef LSPO_KERNELS_VMATH_H
#define LSPO_KERNELS_VMATH_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/simd.h"

/* condition ? a : b on the bits.  For a plain conditional, compilers split the following code into a path per case,
 * which keeps loops scalar, or computes with denormals of a case that never occurs. */
LSPO_INLINE float lspo_vselect(bool condition, float a, float b)
{
    const uint32_t mask = 0U - (uint32_t)condition;
    uint32_t a_bits, b_bits;
    memcpy(&a_bits, &a, sizeof a_bits);
    memcpy(&b_bits, &b, sizeof b_bits);
    a_bits = (a_bits & mask) | (b_bits & ~mask);
    memcpy(&a, &a_bits, sizeof a);
    return a;
}

/* e^x; 0 below -87.7 (-INFINITY too), e^88 above 88, NaN for NaN: from -88 down the exponent field of the power of two
 * is 0. */
LSPO_INLINE float lspo_vexpf(float x)
{
    const float to_integer = 12582912.0F; /* 1.5 2^23: adding it rounds to an integer in the low bits */
    const float c = lspo_vselect(x > 88.0F, 88.0F, lspo_vselect(x < -88.0F, -88.0F, x));
    const float shifted = c * 1.44269504F + to_integer;
    const float n = shifted - to_integer;
    const float r = (c - n * 0.693359375F) + n * 2.12194440e-4F;
    float p = 1.9875691500e-4F;
    p = p * r + 1.3981999507e-3F;
    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    p = (p * r * r + r) + 1.0F;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23) + 0x3f800000U;
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

/* row (n >= 1 floats) <- softmax(row).  Returns ln(sum e^row), which cross-entropy also needs. */
LSPO_INLINE float lspo_vsoftmax(size_t n, float *row)
{
    float highest = row[0];
#pragma omp simd reduction(max : highest)
    for (size_t j = 0; j < n; j++)
        highest = row[j] > highest ? row[j] : highest;
    float sum = 0.0F;
#pragma omp simd reduction(+ : sum)
    for (size_t j = 0; j < n; j++) {
        const float e = lspo_vexpf(row[j] - highest);
        row[j] = e;
        sum += e;
    }
    const float inverse = 1.0F / sum;
#pragma omp simd
    for (size_t j = 0; j < n; j++)
        row[j] *= inverse;
    return highest + logf(sum);
}

#endif
