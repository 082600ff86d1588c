/* pack.c - convert numbers between fp32 and 16 bits on the CPU. */
#include "kernels/pack.h"

#include <string.h>

#include "kernels/cpu.h"
#include "kernels/float_bits.h"

enum { QUIET_BF16 = 0x0040, QUIET_FP16 = 0x0200, INFINITE_FP16 = 0x7c00 };

static uint16_t bf16_from_float(float value)
{
    uint32_t bits = lspo_bits_of_float(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | QUIET_BF16);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/* Shift right by 1 .. 31 bits, rounding to nearest, ties to even. */
static uint32_t shift_to_even(uint32_t value, uint32_t shift)
{
    uint32_t half_minus_one = (1u << (shift - 1)) - 1u;
    return (value + half_minus_one + (value >> shift & 1u)) >> shift;
}

static uint16_t fp16_from_float(float value)
{
    uint32_t bits = lspo_bits_of_float(value);
    uint32_t sign = bits >> 16 & 0x8000u;
    uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return (uint16_t)(sign | INFINITE_FP16 | QUIET_FP16 | (magnitude >> 13 & 0x3ffu));
    if (magnitude >= 0x477ff000u) /* 65520 and above round to infinity; 65504 is the largest */
        return (uint16_t)(sign | INFINITE_FP16);
    if (magnitude >= 0x38800000u) /* 2^-14: normal; a carry out of the mantissa correctly raises the exponent */
        return (uint16_t)(sign | shift_to_even(magnitude - 0x38000000u, 13));
    uint32_t exponent = magnitude >> 23;
    if (exponent < 102) /* below 2^-25: less than half of the smallest */
        return (uint16_t)sign;
    uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
    return (uint16_t)(sign | shift_to_even(mantissa, 126 - exponent));
}

static float float_from_fp16(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = half >> 10 & 0x1fu;
    uint32_t mantissa = half & 0x3ffu;
    if (exponent == 31)
        return lspo_float_of_bits(sign | 0x7f800000u | mantissa << 13 | (mantissa ? 0x400000u : 0u));
    if (exponent != 0)
        return lspo_float_of_bits(sign | (exponent + 112) << 23 | mantissa << 13);
    float magnitude = (float)mantissa * 0x1p-24f; /* exact */
    return lspo_float_of_bits(sign | lspo_bits_of_float(magnitude));
}

#define PORTABLE_PACK(name, convert)                                                                                   \
    static void name(size_t n, const float *in, uint16_t *out)                                                         \
    {                                                                                                                  \
        for (size_t i = 0; i < n; i++)                                                                                 \
            out[i] = convert(in[i]);                                                                                   \
    }
#define PORTABLE_UNPACK(name, convert)                                                                                 \
    static void name(size_t n, const uint16_t *in, float *out)                                                         \
    {                                                                                                                  \
        for (size_t i = 0; i < n; i++)                                                                                 \
            out[i] = convert(in[i]);                                                                                   \
    }
PORTABLE_PACK(pack_bf16_portable, bf16_from_float)
PORTABLE_UNPACK(unpack_bf16_portable, lspo_float_of_bf16)
PORTABLE_PACK(pack_fp16_portable, fp16_from_float)
PORTABLE_UNPACK(unpack_fp16_portable, float_from_fp16)

typedef void pack_path_t(size_t n, const float *in, uint16_t *out);
typedef void unpack_path_t(size_t n, const uint16_t *in, float *out);

#if defined(__x86_64__)

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2,f16c")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl")))

/* Each leaves an incomplete last vector to the portable path, which gives the same bits. */

AVX2 static void pack_bf16_avx2(size_t n, const float *in, uint16_t *out)
{
    const __m256i one = _mm256_set1_epi32(1), below_half = _mm256_set1_epi32(0x7fff);
    const __m256i quiet = _mm256_set1_epi32(QUIET_BF16);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 value = _mm256_loadu_ps(in + i);
        __m256i bits = _mm256_castps_si256(value);
        __m256i high = _mm256_srli_epi32(bits, 16);
        __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, below_half), _mm256_and_si256(high, one));
        __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
        __m256i half = _mm256_blendv_epi8(_mm256_srli_epi32(rounded, 16), _mm256_or_si256(high, quiet), is_nan);
        __m128i packed = _mm_packus_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
        _mm_storeu_si128((__m128i *)(out + i), packed);
    }
    pack_bf16_portable(n - i, in + i, out + i);
}

AVX2 static void unpack_bf16_avx2(size_t n, const uint16_t *in, float *out)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(in + i)));
        _mm256_storeu_ps(out + i, _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16)));
    }
    unpack_bf16_portable(n - i, in + i, out + i);
}

AVX2 static void pack_fp16_avx2(size_t n, const float *in, uint16_t *out)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m128i half = _mm256_cvtps_ph(_mm256_loadu_ps(in + i), _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128((__m128i *)(out + i), half);
    }
    pack_fp16_portable(n - i, in + i, out + i);
}

AVX2 static void unpack_fp16_avx2(size_t n, const uint16_t *in, float *out)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(in + i))));
    unpack_fp16_portable(n - i, in + i, out + i);
}

AVX512 static void pack_bf16_avx512(size_t n, const float *in, uint16_t *out)
{
    const __m512i one = _mm512_set1_epi32(1), below_half = _mm512_set1_epi32(0x7fff);
    const __m512i quiet = _mm512_set1_epi32(QUIET_BF16);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m512 value = _mm512_loadu_ps(in + i);
        __m512i bits = _mm512_castps_si512(value);
        __m512i high = _mm512_srli_epi32(bits, 16);
        __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, below_half), _mm512_and_si512(high, one));
        __mmask16 is_nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
        __m512i half = _mm512_mask_or_epi32(_mm512_srli_epi32(rounded, 16), is_nan, high, quiet);
        _mm256_storeu_si256((__m256i *)(out + i), _mm512_cvtepi32_epi16(half));
    }
    pack_bf16_portable(n - i, in + i, out + i);
}

AVX512 static void unpack_bf16_avx512(size_t n, const uint16_t *in, float *out)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(in + i)));
        _mm512_storeu_ps(out + i, _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16)));
    }
    unpack_bf16_portable(n - i, in + i, out + i);
}

AVX512 static void pack_fp16_avx512(size_t n, const float *in, uint16_t *out)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256i half = _mm512_cvtps_ph(_mm512_loadu_ps(in + i), _MM_FROUND_TO_NEAREST_INT);
        _mm256_storeu_si256((__m256i *)(out + i), half);
    }
    pack_fp16_portable(n - i, in + i, out + i);
}

AVX512 static void unpack_fp16_avx512(size_t n, const uint16_t *in, float *out)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_ps(out + i, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(in + i))));
    unpack_fp16_portable(n - i, in + i, out + i);
}

#define PATHS(name)                                                                                                    \
    {                                                                                                                  \
        name##_portable, name##_avx2, name##_avx512                                                                    \
    }
#else
#define PATHS(name)                                                                                                    \
    {                                                                                                                  \
        name##_portable, name##_portable, name##_portable                                                              \
    }
#endif

void lspo_pack_bf16(size_t n, const float *in, uint16_t *out)
{
    static pack_path_t *const paths[LSPO_CPU_LEVEL_COUNT] = PATHS(pack_bf16);
    paths[lspo_cpu_level()](n, in, out);
}

void lspo_unpack_bf16(size_t n, const uint16_t *in, float *out)
{
    static unpack_path_t *const paths[LSPO_CPU_LEVEL_COUNT] = PATHS(unpack_bf16);
    paths[lspo_cpu_level()](n, in, out);
}

void lspo_pack_fp16(size_t n, const float *in, uint16_t *out)
{
    static pack_path_t *const paths[LSPO_CPU_LEVEL_COUNT] = PATHS(pack_fp16);
    paths[lspo_cpu_level()](n, in, out);
}

void lspo_unpack_fp16(size_t n, const uint16_t *in, float *out)
{
    static unpack_path_t *const paths[LSPO_CPU_LEVEL_COUNT] = PATHS(unpack_fp16);
    paths[lspo_cpu_level()](n, in, out);
}

static void pack(size_t n, const float *in, lspo_number_t to, void *out)
{
    if (to == LSPO_NUMBER_FP32)
        memcpy(out, in, n * sizeof *in);
    else
        (to == LSPO_NUMBER_BF16 ? lspo_pack_bf16 : lspo_pack_fp16)(n, in, out);
}

void lspo_convert(size_t n, lspo_number_t from, const void *in, lspo_number_t to, void *out)
{
    enum { PIECE = 1024 };
    float unpacked[PIECE];
    void (*const unpack)(size_t, const uint16_t *, float *) =
        from == LSPO_NUMBER_BF16 ? lspo_unpack_bf16 : lspo_unpack_fp16;
    if (from == to)
        memcpy(out, in, n * lspo_number_bytes(to));
    else if (from == LSPO_NUMBER_FP32)
        pack(n, in, to, out);
    else if (to == LSPO_NUMBER_FP32)
        unpack(n, in, out);
    else
        for (size_t i = 0; i < n; i += PIECE) {
            const size_t some = n - i < PIECE ? n - i : PIECE;
            unpack(some, (const uint16_t *)in + i, unpacked);
            pack(some, unpacked, to, (uint16_t *)out + i);
        }
}
