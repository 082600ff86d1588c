/* projector.c - sparse projectors on the CPU: random generation, COMPRESS and APPLY. */
#include "kernels/projector.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/gemm.h"
#include "kernels/random.h"

/* ---- creation ---- */

/* Streams of the generator; number row * r + e of each belongs to nonzero e of the row. */
enum { STREAM_POSITIONS, STREAM_VALUES };

static bool allocate(uint32_t rows, uint32_t d, uint32_t r, lspo_projector_t *projector_out)
{
    if (rows == 0 || r == 0 || r > d || (uint64_t)rows * r > UINT32_MAX)
        return false;
    const size_t count = (size_t)rows * r;
    lspo_projector_t made = {.rows = rows, .d = d, .r = r};
    made.index = malloc(count * sizeof *made.index);
    made.value = malloc(count * sizeof *made.value);
    made.column_first = calloc((size_t)d + 1, sizeof *made.column_first);
    made.column_entry = malloc(count * sizeof *made.column_entry);
    if (!made.index || !made.value || !made.column_first || !made.column_entry) {
        lspo_projector_release(&made);
        return false;
    }
    *projector_out = made;
    return true;
}

/* Counting sort of the nonzeros by column; column_first is all zero before. */
static void list_columns(lspo_projector_t *p)
{
    const size_t count = (size_t)p->rows * p->r;
    for (size_t e = 0; e < count; e++)
        p->column_first[p->index[e] + 1]++;
    for (size_t c = 0; c < p->d; c++)
        p->column_first[c + 1] += p->column_first[c];
    for (size_t e = 0; e < count; e++) {
        uint32_t at = p->column_first[p->index[e]]++;
        p->column_entry[at] = (lspo_projector_entry_t){(uint32_t)(e / p->r), p->value[e]};
    }
    /* Each entry has advanced to the end of its column, where the next column begins. */
    memmove(p->column_first + 1, p->column_first, (size_t)p->d * sizeof *p->column_first);
    p->column_first[0] = 0;
}

/* The first of `count` ascending entries that is not below `wanted`. */
static size_t lower_bound(const uint32_t *ascending, size_t count, uint32_t wanted)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (ascending[middle] < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* r of d positions, every set equally likely: Floyd's algorithm [Bentley & Floyd, CACM 30(9), 1987], kept sorted. */
static void draw_positions(uint32_t d, uint32_t r, uint64_t seed, uint64_t first_number, uint32_t *positions)
{
    for (uint32_t i = 0; i < r; i++) {
        const uint32_t last = d - r + i;
        uint32_t drawn = last + 1 == 0 ? 0 : lspo_random_below(seed, STREAM_POSITIONS, first_number + i, last + 1);
        size_t at = lower_bound(positions, i, drawn);
        if (at < i && positions[at] == drawn) {
            drawn = last;
            at = i;
        }
        memmove(positions + at + 1, positions + at, (i - at) * sizeof *positions);
        positions[at] = drawn;
    }
}

static bool draw(uint32_t rows, uint32_t d, uint32_t r, uint64_t seed, lspo_projector_t *made)
{
    if (!allocate(rows, d, r, made))
        return false;
    for (size_t row = 0; row < rows; row++)
        draw_positions(d, r, seed, (uint64_t)row * r, made->index + row * r);
    return true;
}

bool lspo_projector_random(uint32_t rows, uint32_t d, uint32_t r, uint64_t seed, lspo_projector_t *projector_out)
{
    lspo_projector_t made;
    if (!draw(rows, d, r, seed, &made))
        return false;
    lspo_random_normal_fill(seed, STREAM_VALUES, 1.0 / sqrt((double)r), (size_t)rows * r, made.value);
    list_columns(&made);
    *projector_out = made;
    return true;
}

bool lspo_projector_signs(uint32_t rows, uint32_t d, uint32_t r, uint64_t seed, lspo_projector_t *projector_out)
{
    lspo_projector_t made;
    if (!draw(rows, d, r, seed, &made))
        return false;
    const float size = (float)(1.0 / sqrt((double)r));
    for (size_t e = 0; e < (size_t)rows * r; e++)
        made.value[e] = lspo_random_below(seed, STREAM_VALUES, e, 2) ? size : -size;
    list_columns(&made);
    *projector_out = made;
    return true;
}

void lspo_projector_refresh(lspo_projector_t *projector)
{
    memset(projector->column_first, 0, ((size_t)projector->d + 1) * sizeof *projector->column_first);
    list_columns(projector);
}

bool lspo_projector_identity(uint32_t rows, lspo_projector_t *projector_out)
{
    lspo_projector_t made;
    if (!allocate(rows, rows, 1, &made))
        return false;
    for (uint32_t row = 0; row < rows; row++) {
        made.index[row] = row;
        made.value[row] = 1.0f;
    }
    list_columns(&made);
    *projector_out = made;
    return true;
}

void lspo_projector_release(lspo_projector_t *projector)
{
    free(projector->column_entry);
    free(projector->column_first);
    free(projector->value);
    free(projector->index);
    *projector = (lspo_projector_t){0};
}

uint64_t lspo_projector_bytes(uint32_t rows, uint32_t d, uint32_t r)
{
    return (uint64_t)rows * r * 16 + ((uint64_t)d + 1) * 4;
}

/* ---- the kernels: plain C, then one copy of projector_lanes.h per vector width ---- */

static void gather_portable(const lspo_projector_t *p, size_t tokens, const float *x, size_t x_stride, float *out)
{
    const size_t rows = p->rows, d = p->d, r = p->r;
    for (size_t t = 0; t < tokens; t++, x += x_stride, out += d) {
        memset(out, 0, d * sizeof *out);
        for (size_t k = 0, e = 0; k < rows; k++)
            for (size_t end = e + r; e < end; e++)
                out[p->index[e]] += p->value[e] * x[k];
    }
}

/* panel: one row of P delta. */
static void apply_portable(const lspo_projector_pair_t *pair, const float *delta, const lspo_vector_step_t *step,
                           float *w, float *panel)
{
    const lspo_projector_t *p = pair->p, *q = pair->q;
    const float keep = step->keep, rate = step->rate;
    const size_t m = p->rows, n = q->rows, d_n = q->d;
    for (size_t row = 0; row < m; row++, w += n) {
        memset(panel, 0, d_n * sizeof *panel);
        for (size_t e = row * p->r; e < (row + 1) * p->r; e++)
            for (size_t c = 0; c < d_n; c++)
                panel[c] += p->value[e] * delta[p->index[e] * d_n + c];
        for (size_t j = 0, e = 0; j < n; j++) {
            float sum = 0;
            for (size_t end = e + q->r; e < end; e++)
                sum += q->value[e] * panel[q->index[e]];
            w[j] = keep * w[j] - rate * sum;
        }
    }
}

enum {
    PANEL_ROWS = 16,          /* the widest of the vector paths */
    PANEL_VECTORS = 4,        /* of a row of delta processed together */
    ALIGNMENT_FLOATS = 16,    /* a cache line                   */
    GATHER_COLUMNS_MAX = 4096 /* the largest d for the gather's sums on the stack (256 KiB); wider: plain C */
};

#if defined(__x86_64__)

#include <immintrin.h>

#define LANES_INLINE static inline __attribute__((always_inline))

#define TARGET_AVX2 __attribute__((target("avx2,fma")))
#define TARGET_AVX512 __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw")))

TARGET_AVX2 LANES_INLINE __m256i first_lanes_avx2(size_t count)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

TARGET_AVX2 LANES_INLINE void transpose_avx2(__m256 t[8])
{
    __m256 u[8];
    for (int i = 0; i < 8; i += 2) {
        u[i] = _mm256_unpacklo_ps(t[i], t[i + 1]);
        u[i + 1] = _mm256_unpackhi_ps(t[i], t[i + 1]);
    }
    /* t[i + j]: in half h, column 4 h + j of the rows i .. i + 3. */
    for (int i = 0; i < 8; i += 4) {
        for (int half = 0; half < 2; half++) {
            __m256d a = _mm256_castps_pd(u[i + half]), b = _mm256_castps_pd(u[i + half + 2]);
            t[i + 2 * half] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
            t[i + 2 * half + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
        }
    }
    for (int j = 0; j < 4; j++) {
        __m256 low = _mm256_permute2f128_ps(t[j], t[4 + j], 0x20);
        t[4 + j] = _mm256_permute2f128_ps(t[j], t[4 + j], 0x31);
        t[j] = low;
    }
}

TARGET_AVX512 LANES_INLINE void transpose_avx512(__m512 t[16])
{
    __m512 u[16];
    for (int i = 0; i < 16; i += 2) {
        u[i] = _mm512_unpacklo_ps(t[i], t[i + 1]);
        u[i + 1] = _mm512_unpackhi_ps(t[i], t[i + 1]);
    }
    /* t[i + j]: in quarter h, column 4 h + j of the rows i .. i + 3. */
    for (int i = 0; i < 16; i += 4) {
        for (int half = 0; half < 2; half++) {
            __m512d a = _mm512_castps_pd(u[i + half]), b = _mm512_castps_pd(u[i + half + 2]);
            t[i + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            t[i + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        }
    }
    /* A 4 x 4 transpose of quarters for each j: 0x88 takes quarters 0 and 2 of both, 0xdd 1 and 3. */
    for (int j = 0; j < 4; j++) {
        __m512 even_low = _mm512_shuffle_f32x4(t[j], t[4 + j], 0x88);
        __m512 odd_low = _mm512_shuffle_f32x4(t[j], t[4 + j], 0xdd);
        __m512 even_high = _mm512_shuffle_f32x4(t[8 + j], t[12 + j], 0x88);
        __m512 odd_high = _mm512_shuffle_f32x4(t[8 + j], t[12 + j], 0xdd);
        t[j] = _mm512_shuffle_f32x4(even_low, even_high, 0x88);
        t[4 + j] = _mm512_shuffle_f32x4(odd_low, odd_high, 0x88);
        t[8 + j] = _mm512_shuffle_f32x4(even_low, even_high, 0xdd);
        t[12 + j] = _mm512_shuffle_f32x4(odd_low, odd_high, 0xdd);
    }
}

#define LANES 8
#define LANES_NAME(name) name##_avx2
#define LANES_TARGET TARGET_AVX2
#define lanes_t __m256
#define mask_t __m256i
#define lanes_zero _mm256_setzero_ps
#define lanes_all _mm256_set1_ps
#define lanes_load _mm256_load_ps
#define lanes_store _mm256_store_ps
#define lanes_mul _mm256_mul_ps
#define lanes_fmadd _mm256_fmadd_ps
#define lanes_fnmadd _mm256_fnmadd_ps
#define lanes_first first_lanes_avx2
#define lanes_load_masked(mask, from) _mm256_maskload_ps(from, mask)
#define lanes_store_masked _mm256_maskstore_ps
#define lanes_transpose transpose_avx2
#include "kernels/projector_lanes.h"
#undef LANES
#undef LANES_NAME
#undef LANES_TARGET
#undef lanes_t
#undef mask_t
#undef lanes_zero
#undef lanes_all
#undef lanes_load
#undef lanes_store
#undef lanes_mul
#undef lanes_fmadd
#undef lanes_fnmadd
#undef lanes_first
#undef lanes_load_masked
#undef lanes_store_masked
#undef lanes_transpose

#define LANES 16
#define LANES_NAME(name) name##_avx512
#define LANES_TARGET TARGET_AVX512
#define lanes_t __m512
#define mask_t __mmask16
#define lanes_zero _mm512_setzero_ps
#define lanes_all _mm512_set1_ps
#define lanes_load _mm512_load_ps
#define lanes_store _mm512_store_ps
#define lanes_mul _mm512_mul_ps
#define lanes_fmadd _mm512_fmadd_ps
#define lanes_fnmadd _mm512_fnmadd_ps
#define lanes_first(count) ((__mmask16)((1u << (count)) - 1))
#define lanes_load_masked _mm512_maskz_loadu_ps
#define lanes_store_masked _mm512_mask_storeu_ps
#define lanes_transpose transpose_avx512
#include "kernels/projector_lanes.h"

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

void lspo_projector_gather(const lspo_projector_t *p, size_t tokens, const float *x, size_t x_stride, float *out)
{
    typedef void path_t(const lspo_projector_t *, size_t, const float *, size_t, float *);
    static path_t *const paths[LSPO_CPU_LEVEL_COUNT] = PATHS(gather);
    const lspo_cpu_level_t level = p->d <= GATHER_COLUMNS_MAX ? lspo_cpu_level() : LSPO_CPU_PORTABLE;
    paths[level](p, tokens, x, x_stride, out);
}

size_t lspo_projector_compress_scratch(const lspo_projector_t *p, const lspo_projector_t *q, size_t tokens)
{
    return tokens * ((size_t)p->d + q->d);
}

void lspo_projector_compress(const lspo_projector_pair_t *pair, const lspo_gradient_factors_t *factors, float beta,
                             float *g_hat, float *scratch)
{
    const lspo_projector_t *p = pair->p, *q = pair->q;
    const size_t tokens = factors->tokens;
    float *x_p = scratch, *dy_q = scratch + tokens * p->d;
    lspo_projector_gather(p, tokens, factors->x, factors->x_stride, x_p);
    lspo_projector_gather(q, tokens, factors->dy, factors->dy_stride, dy_q);
    lspo_gemm_tn(p->d, q->d, tokens, 1.0f, x_p, p->d, dy_q, q->d, beta, g_hat, q->d);
}

size_t lspo_projector_apply_scratch(const lspo_projector_t *p, const lspo_projector_t *q)
{
    (void)p;
    return (size_t)q->d * PANEL_ROWS + ALIGNMENT_FLOATS;
}

void lspo_projector_apply(const lspo_projector_pair_t *pair, const float *delta, const lspo_vector_step_t *step,
                          float *w, float *scratch)
{
    typedef void path_t(const lspo_projector_pair_t *, const float *, const lspo_vector_step_t *, float *, float *);
    static path_t *const paths[LSPO_CPU_LEVEL_COUNT] = PATHS(apply);
    const size_t line_bytes = ALIGNMENT_FLOATS * sizeof(float);
    float *panel = scratch + (line_bytes - (uintptr_t)scratch % line_bytes) % line_bytes / sizeof(float);
    paths[lspo_cpu_level()](pair, delta, step, w, panel);
}
