/* random.c - Philox, and uniform and normal numbers from it. */
#include "kernels/random.h"

#include <math.h>

enum { PHILOX_ROUNDS = 10 };

void lspo_random_block(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t words_out[4])
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

static uint64_t join(uint32_t high, uint32_t low)
{
    return (uint64_t)high << 32 | low;
}

/* [0, 1) from the upper 53 bits. */
static double unit_interval(uint64_t bits)
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

static void normal_pair(uint64_t seed, uint64_t stream, uint64_t block, double *even_out, double *odd_out)
{
    uint32_t words[4];
    lspo_random_block(seed, stream, block, words);
    double u1 = 1.0 - unit_interval(join(words[0], words[1]));
    double u2 = unit_interval(join(words[2], words[3]));
    double radius = sqrt(-2.0 * log(u1));
    double angle = 6.283185307179586477 * u2;
    *even_out = radius * cos(angle);
    *odd_out = radius * sin(angle);
}

double lspo_random_normal(uint64_t seed, uint64_t stream, uint64_t index)
{
    double even, odd;
    normal_pair(seed, stream, index / 2, &even, &odd);
    return index % 2 == 0 ? even : odd;
}

void lspo_random_normal_fill(uint64_t seed, uint64_t stream, double scale, size_t n, float *out)
{
    lspo_random_normal_fill_from(seed, stream, scale, 0, n, out);
}

void lspo_random_normal_fill_from(uint64_t seed, uint64_t stream, double scale, size_t first, size_t n, float *out)
{
    for (size_t i = 0; i < n; i += 2) {
        double even, odd;
        normal_pair(seed, stream, (first + i) / 2, &even, &odd);
        out[i] = (float)(scale * even);
        if (i + 1 < n)
            out[i + 1] = (float)(scale * odd);
    }
}
