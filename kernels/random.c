/* random.c - Philox, and uniform and normal numbers from it. */
#include "kernels/random.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

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

/* ln x for x in (0, 1]: x = m 2^k with m from sqrt(1/2) to sqrt(2), and ln m = 2 artanh(f). */
LSPO_INLINE double near_log(double x)
{
    union {
        double value;
        uint64_t bits;
    } m = {x}, k;
    const uint64_t root_half = 0x3FE6A09E667F3BCDu, bias = UINT64_C(1024) << 52, whole = 0x4330000000000000u; /* 2^52 */
    const uint64_t biased = (m.bits - root_half + bias) >> 52;
    m.bits = m.bits + bias - (biased << 52);
    k.bits = whole | biased;
    const double f = (m.value - 1) / (m.value + 1), z = f * f;
    double sum = 1.0 / 17;
    for (int n = 15; n > 0; n -= 2)
        sum = sum * z + 1.0 / n;
    return (k.value - 0x1p52 - 1024) * 0.693147180559945309 + 2 * f * sum;
}

/* cos and sin of 2 pi u for u in [0, 1): those of the distance to the next quarter of a turn, by their series. */
LSPO_INLINE void near_turn(double u, double *cos_out, double *sin_out)
{
    union {
        double value;
        uint64_t bits;
    } quarter = {4 * u + 0x1.8p52}; /* rounds; the last bits are the number */
    const double x = (4 * u - (quarter.value - 0x1.8p52)) * 1.57079632679489662, z = x * x;
    double c = 1, s = 1;
    for (int n = 14; n > 0; n -= 2) {
        c = 1 - c * z * (1.0 / (n * (n - 1)));
        s = 1 - s * z * (1.0 / (n * (n + 1)));
    }
    s *= x;
    const double turned_c = quarter.bits & 1 ? -s : c, turned_s = quarter.bits & 1 ? c : s;
    *cos_out = quarter.bits & 2 ? -turned_c : turned_c;
    *sin_out = quarter.bits & 2 ? -turned_s : turned_s;
}

/* These numbers and those of normal_pair() are within 1e-14 radii of exact ones: where 1e-12 less and 1e-12 more are
 * rounded to the same float, it is that of normal_pair().  False where one is not. */
LSPO_SIMD static bool near_normals(double scale, size_t count, const double *restrict u1, const double *restrict u2,
                                   float *restrict out)
{
    uint64_t unsure = 0;
#pragma omp simd reduction(| : unsure)
    for (size_t i = 0; i < count; i++) {
        double even, odd;
        near_turn(u2[i], &even, &odd);
        const double radius = scale * sqrt(-2.0 * near_log(u1[i])), error = 1e-12 * radius;
        even *= radius;
        odd *= radius;
        out[2 * i] = (float)(even - error);
        out[2 * i + 1] = (float)(odd - error);
        unsure |= (out[2 * i] != (float)(even + error)) | (out[2 * i + 1] != (float)(odd + error));
    }
    return unsure == 0;
}

static void normals(double scale, size_t count, const double *u1, const double *u2, float *out)
{
    if (near_normals(scale, count, u1, u2, out))
        return;
    for (size_t i = 0; i < count; i++) {
        double even, odd;
        normal_pair(u1[i], u2[i], &even, &odd);
        out[2 * i] = (float)(scale * even);
        out[2 * i + 1] = (float)(scale * odd);
    }
}

void lspo_random_normal_fill_from(uint64_t seed, uint64_t stream, double scale, size_t first, size_t n, float *out)
{
    double u1[BLOCKS_AT_ONCE], u2[BLOCKS_AT_ONCE];
    float some[2 * BLOCKS_AT_ONCE];
    for (size_t i = 0; i < n; i += 2 * BLOCKS_AT_ONCE) {
        const size_t left = n - i < 2 * BLOCKS_AT_ONCE ? n - i : 2 * BLOCKS_AT_ONCE, blocks = (left + 1) / 2;
        uniform_pairs(seed, stream, (first + i) / 2, blocks, u1, u2);
        normals(scale, blocks, u1, u2, left % 2 == 0 ? out + i : some);
        if (left % 2 == 1)
            memcpy(out + i, some, left * sizeof *out);
    }
}
