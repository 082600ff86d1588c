/* random.c - Philox, and uniform and normal numbers from it. */
#include "kernels/random.h"

#include <math.h>

#include "kernels/simd.h"

enum { PHILOX_ROUNDS = 10, BLOCKS_AT_ONCE = 64 };

LSPO_INLINE void philox(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t words_out[4])
{
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    uint32_t a = (uint32_t)counter, b = (uint32_t)(counter >> 32);
    uint32_t c = (uint32_t)stream, d = (uint32_t)(stream >> 32);
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        uint64_t product_a = (uint64_t)0xD2511F53u * a;
        uint64_t product_c = (uint64_t)0xCD9E8D57u * c;
        a = (uint32_t)(product_c >> 32) ^ b ^ key0;
        b = (uint32_t)product_c;
        c = (uint32_t)(product_a >> 32) ^ d ^ key1;
        d = (uint32_t)product_a;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    words_out[0] = a;
    words_out[1] = b;
    words_out[2] = c;
    words_out[3] = d;
}

void lspo_random_block(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t words_out[4])
{
    philox(seed, stream, counter, words_out);
}

LSPO_INLINE uint64_t join(uint32_t high, uint32_t low)
{
    return (uint64_t)high << 32 | low;
}

/* [0, 1) from the upper 53 bits. */
LSPO_INLINE double unit_interval(uint64_t bits)
{
    return (double)(bits >> 11) * 0x1p-53;
}

double lspo_random_uniform(uint64_t seed, uint64_t stream, uint64_t index)
{
    uint32_t words[4];
    lspo_random_block(seed, stream, index, words);
    return unit_interval(join(words[0], words[1]));
}

uint32_t lspo_random_below(uint64_t seed, uint64_t stream, uint64_t index, uint32_t bound)
{
    uint32_t words[4];
    lspo_random_block(seed, stream, index, words);
    /* High 32 of the 96-bit product (64 random bits) x bound. */
    uint64_t low_product = (uint64_t)words[1] * bound;
    uint64_t high_product = (uint64_t)words[0] * bound + (low_product >> 32);
    return (uint32_t)(high_product >> 32);
}

LSPO_INLINE void uniform_pair(uint64_t seed, uint64_t stream, uint64_t block, double *u1_out, double *u2_out)
{
    uint32_t words[4];
    philox(seed, stream, block, words);
    *u1_out = 1.0 - unit_interval(join(words[0], words[1]));
    *u2_out = unit_interval(join(words[2], words[3]));
}

/* Of several blocks, in vectors. */
LSPO_SIMD static void uniform_pairs(uint64_t seed, uint64_t stream, uint64_t block, size_t count, double *u1,
                                    double *u2)
{
#pragma omp simd
    for (size_t i = 0; i < count; i++)
        uniform_pair(seed, stream, block + i, &u1[i], &u2[i]);
}

static void normal_pair(double u1, double u2, double *even_out, double *odd_out)
{
    double radius = sqrt(-2.0 * log(u1));
    double angle = 6.283185307179586477 * u2;
    *even_out = radius * cos(angle);
    *odd_out = radius * sin(angle);
}

double lspo_random_normal(uint64_t seed, uint64_t stream, uint64_t index)
{
    double u1, u2, even, odd;
    uniform_pair(seed, stream, index / 2, &u1, &u2);
    normal_pair(u1, u2, &even, &odd);
    return index % 2 == 0 ? even : odd;
}

void lspo_random_normal_fill(uint64_t seed, uint64_t stream, double scale, size_t n, float *out)
{
    lspo_random_normal_fill_from(seed, stream, scale, 0, n, out);
}

void lspo_random_normal_fill_from(uint64_t seed, uint64_t stream, double scale, size_t first, size_t n, float *out)
{
    double u1[BLOCKS_AT_ONCE], u2[BLOCKS_AT_ONCE];
    for (size_t i = 0; i < n; i += 2) {
        const size_t at = i / 2 % BLOCKS_AT_ONCE, left = (n - i + 1) / 2;
        double even, odd;
        if (at == 0)
            uniform_pairs(seed, stream, (first + i) / 2, left < BLOCKS_AT_ONCE ? left : BLOCKS_AT_ONCE, u1, u2);
        normal_pair(u1[at], u2[at], &even, &odd);
        out[i] = (float)(scale * even);
        if (i + 1 < n)
            out[i + 1] = (float)(scale * odd);
    }
}
