/* rounding.c - random rounding on the CPU; see rounding.h. */
#include "kernels/rounding.h"

#include <math.h>

#include "kernels/pack.h"

enum { PIECE = 1024 };

LSPO_SIMD static void round_bf16(size_t n, uint64_t seed, uint64_t first, const float *in, uint16_t *out)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        const uint32_t random_16 = (uint32_t)(lspo_rounding_word(seed, first + i) >> 48);
        out[i] = (uint16_t)(lspo_rounded_bf16(lspo_bits_of_float(in[i]), random_16) >> 16);
    }
}

/* A number of fp16 in fp32; below 2^-14, where these are 2^-24 apart, by the fraction. */
static float rounded_fp16(float value, uint32_t random)
{
    const float steps = value * 0x1p24F;
    if (fabsf(steps) < 1024.0F) {
        const float whole = floorf(steps);
        return (whole + (steps - whole > (float)(random >> 8) * 0x1p-24F ? 1.0F : 0.0F)) * 0x1p-24F;
    }
    return isfinite(value) ? lspo_float_of_bits((lspo_bits_of_float(value) + (random >> 19)) & 0xffffe000U) : value;
}

static void round_fp16(size_t n, uint64_t seed, uint64_t first, const float *in, uint16_t *out)
{
    float rounded[PIECE];
    for (size_t i = 0; i < n; i += PIECE) {
        const size_t some = n - i < PIECE ? n - i : PIECE;
        for (size_t k = 0; k < some; k++)
            rounded[k] = rounded_fp16(in[i + k], (uint32_t)(lspo_rounding_word(seed, first + i + k) >> 32));
        lspo_pack_fp16(some, rounded, out + i);
    }
}

void lspo_pack_randomly(lspo_number_t number, size_t n, uint64_t seed, uint64_t first, const float *in, void *out)
{
    if (number == LSPO_NUMBER_BF16)
        round_bf16(n, seed, first, in, out);
    else
        round_fp16(n, seed, first, in, out);
}
