/* adam_codes.h - moments to codes of kernels/adam_state.h and back, by arithmetic: lookups in tables would take longer
 * than all else on CPUs, whose vectors gather slowly, and on GPUs, whose threads would wait for each other.
 *
 * Magnitude n is 0 for n = 0, then come the values of decade 0, ..., of decade 6, and 1 at last: number k of decade i,
 * which has N = 2^i values (2^(i + 1) without a sign), is n = N - N_0 + 1 + k.  Values of a decade lie on a line:
 *     with u = 10^(6 - i) x in (0.1, 1],  t = N (u - 0.1) / 0.9,  number k is nearest for k < t < k + 1,
 * but below t = 0.2 the last one of the decade before is nearer (in decade 0 below t = 7/36 or 5/36 zero is), and in
 * decade 6 above N - 1/4 one is.  The other way, N is the power of two at or below q = n + N_0 - 1, and the value is
 *     10^(i - 6) (0.1 + 0.9 ((q + 1/2) / N - 1)).
 */
#ifndef LSPO_KERNELS_ADAM_CODES_H
#define LSPO_KERNELS_ADAM_CODES_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/float_bits.h"

enum { LSPO_ADAM_ZERO = 127 }; /* the code of 0 for a moment with a sign */

/* The number of the magnitude nearest to x, which is 0 to 1; NaN counts as 1. */
LSPO_ON_BOTH LSPO_INLINE int32_t lspo_adam_magnitude(float x, bool has_sign)
{
    const float first = has_sign ? 1.0F : 2.0F; /* N_0 */
    float count = first, up = 1e6F, low = has_sign ? 7.0F / 36.0F : 5.0F / 36.0F;
    x = x < 1.0F ? x : 1.0F;
    low = x > 1e-6F ? 0.2F : low;
    count = x > 1e-6F ? first * 2.0F : count;
    up = x > 1e-6F ? 1e5F : up;
    count = x > 1e-5F ? first * 4.0F : count;
    up = x > 1e-5F ? 1e4F : up;
    count = x > 1e-4F ? first * 8.0F : count;
    up = x > 1e-4F ? 1e3F : up;
    count = x > 1e-3F ? first * 16.0F : count;
    up = x > 1e-3F ? 1e2F : up;
    count = x > 1e-2F ? first * 32.0F : count;
    up = x > 1e-2F ? 1e1F : up;
    count = x > 1e-1F ? first * 64.0F : count;
    up = x > 1e-1F ? 1.0F : up;
    const float t = (x * up - 0.1F) * (count * (1.0F / 0.9F));
    const float most = x > 1e-1F ? count : count - 0.5F; /* above the last value of its decade */
    const float k = t < low ? -1.0F : t > count - 0.25F ? most : t;
    return (int32_t)(count - first + 1.0F + k);
}

/* Magnitude n. */
LSPO_ON_BOTH LSPO_INLINE float lspo_adam_value(int32_t n, bool has_sign)
{
    const int32_t first = has_sign ? 1 : 2, last = has_sign ? 128 : 255;
    const float q = (float)(n + first - 1) + 0.5F;
    const float part = lspo_float_of_bits((lspo_bits_of_float(q) & 0x007fffffU) | 0x3f800000U) - 1.0F; /* of N */
    float decade = 1e-6F;
    decade = q >= (float)(first * 2) ? 1e-5F : decade;
    decade = q >= (float)(first * 4) ? 1e-4F : decade;
    decade = q >= (float)(first * 8) ? 1e-3F : decade;
    decade = q >= (float)(first * 16) ? 1e-2F : decade;
    decade = q >= (float)(first * 32) ? 1e-1F : decade;
    decade = q >= (float)(first * 64) ? 1.0F : decade;
    const float value = decade * (0.1F + 0.9F * part);
    return n == 0 ? 0.0F : n == last ? 1.0F : value;
}

/* The factor by which a block's moments become at most 1; 0 for a block of zeros, or with NaN. */
LSPO_ON_BOTH LSPO_INLINE float lspo_adam_inverse(float scale)
{
    return scale >= 0x1p-126F ? 1.0F / scale : 0.0F;
}

LSPO_ON_BOTH LSPO_INLINE uint8_t lspo_adam_code_of_m(float m, float inverse)
{
    const float x = m * inverse;
    const int32_t n = lspo_adam_magnitude(x < 0.0F ? -x : x, true);
    const int32_t below = n < LSPO_ADAM_ZERO ? n : LSPO_ADAM_ZERO; /* -1 has no code */
    return (uint8_t)(x < 0.0F ? LSPO_ADAM_ZERO - below : LSPO_ADAM_ZERO + n);
}

LSPO_ON_BOTH LSPO_INLINE uint8_t lspo_adam_code_of_v(float v, float inverse)
{
    const int32_t n = lspo_adam_magnitude(v * inverse, false);
    return (uint8_t)(n == 0 && v > 0.0F ? 1 : n);
}

LSPO_ON_BOTH LSPO_INLINE float lspo_adam_m_of_code(uint8_t code, float scale)
{
    const int32_t n = (int32_t)code - LSPO_ADAM_ZERO;
    const float value = lspo_adam_value(n < 0 ? -n : n, true);
    return (n < 0 ? -value : value) * scale;
}

LSPO_ON_BOTH LSPO_INLINE float lspo_adam_v_of_code(uint8_t code, float scale)
{
    return lspo_adam_value(code, false) * scale;
}

#endif
