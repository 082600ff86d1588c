/* nf4.c - 4-bit NormalFloat on the CPU. */
#include "kernels/nf4.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/simd.h"

enum { MIDDLES = LSPO_NF4_LEVELS - 1, MOST = 127 /* of a magnitude */, BLOCK_BYTES = LSPO_NF4_BLOCK / 2 };

/* App. E. */
const float lspo_nf4_levels[LSPO_NF4_LEVELS] = {-1.0F,
                                                -0.6961928009986877F,
                                                -0.5250730514526367F,
                                                -0.39491748809814453F,
                                                -0.28444138169288635F,
                                                -0.18477343022823334F,
                                                -0.09105003625154495F,
                                                0.0F,
                                                0.07958029955625534F,
                                                0.16093020141124725F,
                                                0.24611230194568634F,
                                                0.33791524171829224F,
                                                0.44070982933044434F,
                                                0.5626170039176941F,
                                                0.7229568362236023F,
                                                1.0F};

/* ---- memory ---- */

size_t lspo_nf4_bytes(size_t parts, const size_t *counts)
{
    size_t bytes = 0;
    for (size_t i = 0; i < parts; i++)
        bytes += lspo_nf4_blocks(counts[i]) * (BLOCK_BYTES + 1) + (lspo_nf4_groups(counts[i]) + 1) * sizeof(float);
    return bytes;
}

void lspo_nf4_place(size_t parts, const size_t *counts, void *memory, lspo_nf4_t *parts_out)
{
    uint8_t *codes = memory;
    for (size_t i = 0; i < parts; i++) {
        parts_out[i] = (lspo_nf4_t){.count = counts[i], .codes = codes};
        codes += lspo_nf4_blocks(counts[i]) * BLOCK_BYTES;
    }
    float *scales = (float *)(void *)codes;
    for (size_t i = 0; i < parts; i++) {
        parts_out[i].steps = scales;
        parts_out[i].mean = scales + lspo_nf4_groups(counts[i]);
        scales = parts_out[i].mean + 1;
    }
    int8_t *magnitudes = (int8_t *)scales;
    for (size_t i = 0; i < parts; i++) {
        parts_out[i].magnitudes = magnitudes;
        magnitudes += lspo_nf4_blocks(counts[i]);
    }
}

/* ---- quantize ---- */

/* A weight on its way into `to`. */
typedef struct {
    const float *w;
    float *largest; /* c_b */
    float middles[MIDDLES];
    const lspo_nf4_t *to;
} weight_t;

/* NaN if a number is not finite. */
LSPO_INLINE float largest_of(const float *w)
{
    float largest = 0;
    int broken = 0;
#pragma omp simd reduction(max : largest) reduction(| : broken)
    for (size_t i = 0; i < LSPO_NF4_BLOCK; i++) {
        const float size = fabsf(w[i]);
        largest = size > largest ? size : largest;
        broken |= !(size <= FLT_MAX);
    }
    return broken ? NAN : largest;
}

/* The number of middles between two levels that are below w / largest. */
LSPO_INLINE void nearest_levels(const float *middles, float largest, const float *w, int32_t *codes)
{
#pragma omp simd
    for (size_t i = 0; i < LSPO_NF4_BLOCK; i++) {
        const float x = w[i] / largest;
        int32_t code = 0;
        for (int k = 0; k < MIDDLES; k++)
            code += x > middles[k] ? 1 : 0;
        codes[i] = code;
    }
}

LSPO_INLINE void encode_block(const weight_t *weight, size_t b, const float *w)
{
    int32_t codes[LSPO_NF4_BLOCK];
    uint8_t *out = weight->to->codes + b * BLOCK_BYTES;
    const float largest = weight->largest[b] = largest_of(w);
    nearest_levels(weight->middles, largest > 0 ? largest : 1, w, codes);
    for (size_t i = 0; i < BLOCK_BYTES; i++)
        out[i] = (uint8_t)(codes[2 * i] | codes[2 * i + 1] << 4);
}

/* An incomplete last block is filled with zeros. */
LSPO_SIMD static void encode_group(void *weight_void, uint32_t worker, size_t group)
{
    const weight_t *weight = weight_void;
    const size_t blocks = lspo_nf4_blocks(weight->to->count), first = group * LSPO_NF4_GROUP;
    (void)worker;
    for (size_t b = first; b < blocks && b < first + LSPO_NF4_GROUP; b++) {
        const size_t at = b * LSPO_NF4_BLOCK, rest = weight->to->count - at;
        float padded[LSPO_NF4_BLOCK] = {0};
        if (rest < LSPO_NF4_BLOCK)
            memcpy(padded, weight->w + at, rest * sizeof *padded);
        encode_block(weight, b, rest < LSPO_NF4_BLOCK ? padded : weight->w + at);
    }
}

static float scale_group(const weight_t *weight, size_t first, size_t end)
{
    const float mean = *weight->to->mean;
    float most = 0;
    for (size_t b = first; b < end; b++)
        most = fmaxf(most, fabsf(weight->largest[b] - mean));
    const float step = most / MOST;
    for (size_t b = first; b < end; b++) {
        const float steps = step > 0 ? rintf((weight->largest[b] - mean) / step) : 0;
        weight->to->magnitudes[b] = (int8_t)fminf(fmaxf(steps, -MOST), MOST);
    }
    return step;
}

/* Returns false if a block is not finite. */
static bool scale_blocks(const weight_t *weight)
{
    const lspo_nf4_t *to = weight->to;
    const size_t blocks = lspo_nf4_blocks(to->count), groups = lspo_nf4_groups(to->count);
    double sum = 0;
    for (size_t b = 0; b < blocks; b++)
        sum += (double)weight->largest[b];
    if (!isfinite(sum))
        return false;
    *to->mean = blocks > 0 ? (float)(sum / (double)blocks) : 0;
    for (size_t g = 0; g < groups; g++) {
        const size_t first = g * LSPO_NF4_GROUP, end = first + LSPO_NF4_GROUP;
        to->steps[g] = scale_group(weight, first, end < blocks ? end : blocks);
    }
    return true;
}

bool lspo_nf4_quantize(lspo_workers_t *workers, const float *w, float *scratch, const lspo_nf4_t *to)
{
    weight_t weight = {.w = w, .largest = scratch, .to = to};
    for (int k = 0; k < MIDDLES; k++)
        weight.middles[k] = (lspo_nf4_levels[k] + lspo_nf4_levels[k + 1]) / 2;
    lspo_workers_run(workers, lspo_nf4_groups(to->count), encode_group, &weight);
    return scale_blocks(&weight);
}

/* ---- expand ---- */

LSPO_INLINE float scale_of(const lspo_nf4_t *from, size_t b)
{
    return fmaf((float)from->magnitudes[b], from->steps[b / LSPO_NF4_GROUP], *from->mean);
}

/* Numbers `first` and later of the array; `first` begins a block. */
static void expand_portable(const lspo_nf4_t *from, size_t first, float *out)
{
    for (size_t at = first; at < from->count; at += LSPO_NF4_BLOCK) {
        const size_t b = at / LSPO_NF4_BLOCK, rest = from->count - at;
        const uint8_t *codes = from->codes + b * BLOCK_BYTES;
        const float scale = scale_of(from, b);
        for (size_t i = 0; i < LSPO_NF4_BLOCK && i < rest; i++)
            out[at + i] = lspo_nf4_levels[codes[i / 2] >> (4 * (i % 2)) & 15] * scale;
    }
}

#if defined(__x86_64__)

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,fma")))

/* The next 16 codes, a byte each. */
#define SIXTEEN(codes)                                                                                                 \
    _mm_unpacklo_epi8(_mm_and_si128(_mm_loadl_epi64((const __m128i *)(codes)), _mm_set1_epi8(15)),                     \
                      _mm_and_si128(_mm_srli_epi16(_mm_loadl_epi64((const __m128i *)(codes)), 4), _mm_set1_epi8(15)))

/* Both leave an incomplete last block to the portable path, which gives the same bits. */

AVX2 LSPO_INLINE __m256 look_up_avx2(__m128i codes)
{
    const __m256i each = _mm256_cvtepu8_epi32(codes); /* the lower 8 */
    const __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(lspo_nf4_levels), each);
    const __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(lspo_nf4_levels + 8), each);
    return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(each, 28)));
}

AVX2 static void expand_avx2(const lspo_nf4_t *from, size_t first, float *out)
{
    size_t at = first;
    for (; at + LSPO_NF4_BLOCK <= from->count; at += LSPO_NF4_BLOCK) {
        const __m256 scale = _mm256_set1_ps(scale_of(from, at / LSPO_NF4_BLOCK));
        for (size_t i = at; i < at + LSPO_NF4_BLOCK; i += 16) {
            const __m128i codes = SIXTEEN(from->codes + i / 2);
            _mm256_storeu_ps(out + i, _mm256_mul_ps(look_up_avx2(codes), scale));
            _mm256_storeu_ps(out + i + 8, _mm256_mul_ps(look_up_avx2(_mm_unpackhi_epi64(codes, codes)), scale));
        }
    }
    expand_portable(from, at, out);
}

AVX512 static void expand_avx512(const lspo_nf4_t *from, size_t first, float *out)
{
    const __m512 levels = _mm512_loadu_ps(lspo_nf4_levels);
    size_t at = first;
    for (; at + LSPO_NF4_BLOCK <= from->count; at += LSPO_NF4_BLOCK) {
        const __m512 scale = _mm512_set1_ps(scale_of(from, at / LSPO_NF4_BLOCK));
        for (size_t i = at; i < at + LSPO_NF4_BLOCK; i += 16) {
            const __m512i codes = _mm512_cvtepu8_epi32(SIXTEEN(from->codes + i / 2));
            _mm512_storeu_ps(out + i, _mm512_mul_ps(_mm512_permutexvar_ps(codes, levels), scale));
        }
    }
    expand_portable(from, at, out);
}
#else
#define expand_avx2 expand_portable
#define expand_avx512 expand_portable
#endif

void lspo_nf4_expand(const lspo_nf4_t *from, float *w_out)
{
    static void (*const paths[LSPO_CPU_LEVEL_COUNT])(const lspo_nf4_t *, size_t,
                                                     float *) = {expand_portable, expand_avx2, expand_avx512};
    paths[lspo_cpu_level()](from, 0, w_out);
}
