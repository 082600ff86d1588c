/* int4_product.c - products with weights of 4 bits on the CPU; see int4.h. */
#include "kernels/int4.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/gemm.h"
#include "kernels/int4_layout.h"
#include "kernels/pack.h"
#include "kernels/simd.h"

/* Rows of W whose X has one scale, at most; rows of W whose X is rounded at a time. */
enum { CHUNK = 128, PART = 2048 };
/* Strips that are read alternately: a core reads several streams faster than one. */
enum { STREAMS = 4 };
/* Columns of Y that one worker computes, at least and at most. */
enum { COLS_LEAST = 256, COLS_MOST = 16384 };
/* The part of W that is expanded for a product of many rows: it stays in the second cache. */
enum { PART_ROWS = 64, PART_COLS = 256 };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ---- few rows: X in 16-bit integers ---- */

/* X of up to LSPO_INT4_FEW_ROWS rows and m <= PART rows of W, in chunks of `chunk` of them.  A number is 256 h + l; for
 * every 8 rows of W there are 8 h, then 8 l. */
typedef struct {
    size_t rows, m, chunk;
    int8_t x[LSPO_INT4_FEW_ROWS][2 * PART];
    float scales[LSPO_INT4_FEW_ROWS][PART / ROUND];
    int32_t sums[LSPO_INT4_FEW_ROWS][PART / ROUND];
} rounded_t;

enum { LARGEST = 32512 }; /* 127 x 256 */

LSPO_SIMD static float largest_of(size_t n, const float *x)
{
    float most = 0.0F, sum = 0.0F;
#pragma omp simd reduction(max : most) reduction(+ : sum)
    for (size_t i = 0; i < n; i++) {
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
        sum += 0.0F * x[i]; /* NaN if a number is not finite */
    }
    return most + sum;
}

/* Adding 1.5 x 2^23 rounds to an integer in the low bits. */
LSPO_SIMD static int32_t round_numbers(size_t n, const float *x, float factor, int32_t *restrict out)
{
    const float to_integer = 12582912.0F;
    int32_t sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++) {
        out[i] = (int32_t)((x[i] * factor + to_integer) - to_integer);
        sum += out[i];
    }
    return sum;
}

/* One chunk, filled up with zeros. */
static void round_chunk(rounded_t *to, size_t row, size_t at, size_t n, const float *x)
{
    const float most = largest_of(n, x);
    const bool counts = most >= 0x1p-100F;
    int32_t rounded[CHUNK] = {0};
    int8_t *out = to->x[row] + 2 * at;
    to->scales[row][at / to->chunk] = counts ? most / LARGEST : 0.0F * most;
    to->sums[row][at / to->chunk] = counts ? round_numbers(n, x, LARGEST / most, rounded) : 0;
    for (size_t i = 0; i < lspo_int4_filled(n); i++) {
        const int32_t high = (rounded[i] + 128) >> 8;
        out[i / 8 * 16 + i % 8] = (int8_t)high;
        out[i / 8 * 16 + 8 + i % 8] = (int8_t)(rounded[i] - 256 * high);
    }
}

static void round_part(rounded_t *to, const float *x, size_t stride)
{
    for (size_t r = 0; r < to->rows; r++)
        for (size_t at = 0; at < to->m; at += to->chunk)
            round_chunk(to, r, at, smaller(to->m - at, to->chunk), x + r * stride + at);
}

/* A chunk of up to STREAMS strips and of a row of X: what the sums of their columns become. */
typedef struct {
    const uint16_t *scales; /* of the first strip, and behind them its zero points */
    const uint32_t *words;
    size_t strips, stride; /* bytes from a strip to the next */
    const int8_t *x;
    size_t rows; /* of W: a multiple of ROUND */
    float scale; /* of x */
    int32_t sum;
    bool zeros;
} chunk_t;

LSPO_INLINE const uint16_t *chunk_scales(const chunk_t *c, size_t strip)
{
    return (const void *)((const char *)c->scales + strip * c->stride);
}

LSPO_INLINE const uint32_t *chunk_words(const chunk_t *c, size_t strip, size_t row)
{
    return (const uint32_t *)(const void *)((const char *)c->words + strip * c->stride) + row / 8 * STRIP;
}

static void strip_portable(const chunk_t *c, size_t strip, float *y)
{
    const uint16_t *zeros = chunk_scales(c, strip) + STRIP;
    const uint32_t *words = chunk_words(c, strip, 0);
    float scales[STRIP];
    lspo_unpack_fp16(STRIP, chunk_scales(c, strip), scales);
    for (size_t j = 0; j < STRIP; j++) {
        int32_t sum = -c->sum * (c->zeros ? zeros[j] : LSPO_INT4_ZERO);
        for (size_t i = 0; i < c->rows; i++) {
            const int8_t *x = c->x + i / 8 * 16 + i % 8;
            sum += (int32_t)(words[i / 8 * STRIP + j] >> lspo_int4_shift_of(i) & 15U) * (256 * x[0] + x[8]);
        }
        y[j] += (float)sum * (c->scale * scales[j]);
    }
}

static void chunk_portable(const chunk_t *c, float *y)
{
    for (size_t s = 0; s < c->strips; s++)
        strip_portable(c, s, y + s * STRIP);
}

#if defined(__x86_64__)

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2,fma,f16c")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma,f16c")))

/* How far ahead of its use a line of a strip is asked for: where one core reads several streams, its own prefetchers
 * alone reach two thirds of what it can read (bench/bench_int4). */
enum { AHEAD_BYTES = 1024, LINE_BYTES = 64 };

LSPO_INLINE void ask_for(const uint32_t *words)
{
    for (size_t at = 0; at < ROUND * STRIP / 2; at += LINE_BYTES)
        _mm_prefetch((const void *)((uintptr_t)words + AHEAD_BYTES + at), _MM_HINT_T0);
}

/* The compiler may not compute all products before it adds them, or keep X from one part of the columns to the other:
 * there are not so many registers. */
#define IN_ORDER(sum) __asm__("" : "+v"(sum))
#define READ_AGAIN(pointer) __asm__("" : "+r"(pointer))

/* Half of an octet's h or l: what the codes of a word's low or high nibbles are multiplied with. */
LSPO_INLINE int32_t four_of(const int8_t *x)
{
    int32_t four;
    memcpy(&four, x, sizeof four);
    return four;
}

/* Sums of two vectors of columns over 32 rows: in 16 bits up to 32 x 15 x 128 / 2, then in 32. */
AVX2 LSPO_INLINE void add_rows_avx2(const uint32_t *words, const int8_t *x, __m256i *sums)
{
    const __m256i mask = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1), high_unit = _mm256_set1_epi16(256);
    __m256i high[2], low[2];
    READ_AGAIN(x);
#pragma GCC unroll 4
    for (size_t o = 0; o < ROUND / 8; o++) {
        const __m256i h0 = _mm256_set1_epi32(four_of(x + 16 * o)), h1 = _mm256_set1_epi32(four_of(x + 16 * o + 4));
        const __m256i l0 = _mm256_set1_epi32(four_of(x + 16 * o + 8)), l1 = _mm256_set1_epi32(four_of(x + 16 * o + 12));
        for (size_t v = 0; v < 2; v++) {
            const __m256i word = _mm256_loadu_si256((const __m256i *)(const void *)(words + o * STRIP + 8 * v));
            const __m256i a = _mm256_and_si256(word, mask), b = _mm256_and_si256(_mm256_srli_epi16(word, 4), mask);
            const __m256i h = _mm256_add_epi16(_mm256_maddubs_epi16(a, h0), _mm256_maddubs_epi16(b, h1));
            const __m256i l = _mm256_add_epi16(_mm256_maddubs_epi16(a, l0), _mm256_maddubs_epi16(b, l1));
            high[v] = o == 0 ? h : _mm256_add_epi16(high[v], h);
            low[v] = o == 0 ? l : _mm256_add_epi16(low[v], l);
            IN_ORDER(high[v]);
            IN_ORDER(low[v]);
        }
    }
    for (size_t v = 0; v < 2; v++)
        sums[v] = _mm256_add_epi32(
            sums[v], _mm256_add_epi32(_mm256_madd_epi16(high[v], high_unit), _mm256_madd_epi16(low[v], ones)));
}

AVX2 static void chunk_avx2(const chunk_t *c, float *y)
{
    __m256i sums[4 * STREAMS];
    for (size_t v = 0; v < 4 * c->strips; v++) {
        const uint16_t *zeros = chunk_scales(c, v / 4) + STRIP + v % 4 * 8;
        sums[v] =
            _mm256_mullo_epi32(_mm256_set1_epi32(-c->sum),
                               c->zeros ? _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)zeros))
                                        : _mm256_set1_epi32(LSPO_INT4_ZERO));
    }
    for (size_t i = 0; i < c->rows; i += ROUND)
        for (size_t s = 0; s < c->strips; s++) {
            ask_for(chunk_words(c, s, i));
            add_rows_avx2(chunk_words(c, s, i), c->x + 2 * i, sums + 4 * s);
            add_rows_avx2(chunk_words(c, s, i) + 16, c->x + 2 * i, sums + 4 * s + 2);
        }
    for (size_t v = 0; v < 4 * c->strips; v++, y += 8) {
        const uint16_t *halves = chunk_scales(c, v / 4) + v % 4 * 8;
        const __m256 scales = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)halves));
        const __m256 factor = _mm256_mul_ps(_mm256_set1_ps(c->scale), scales);
        const __m256 part = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[v]), factor);
        _mm256_storeu_ps(y, _mm256_add_ps(_mm256_loadu_ps(y), part));
    }
}

/* The same for all 32 columns of a strip. */
AVX512 LSPO_INLINE void add_rows_avx512(const uint32_t *words, const int8_t *x, __m512i *sums)
{
    const __m512i mask = _mm512_set1_epi8(15), ones = _mm512_set1_epi16(1), high_unit = _mm512_set1_epi16(256);
    __m512i high[2], low[2];
    READ_AGAIN(x);
#pragma GCC unroll 4
    for (size_t o = 0; o < ROUND / 8; o++) {
        const __m512i h0 = _mm512_set1_epi32(four_of(x + 16 * o)), h1 = _mm512_set1_epi32(four_of(x + 16 * o + 4));
        const __m512i l0 = _mm512_set1_epi32(four_of(x + 16 * o + 8)), l1 = _mm512_set1_epi32(four_of(x + 16 * o + 12));
        for (size_t v = 0; v < 2; v++) {
            const __m512i word = _mm512_loadu_si512(words + o * STRIP + 16 * v);
            const __m512i a = _mm512_and_si512(word, mask), b = _mm512_and_si512(_mm512_srli_epi16(word, 4), mask);
            const __m512i h = _mm512_add_epi16(_mm512_maddubs_epi16(a, h0), _mm512_maddubs_epi16(b, h1));
            const __m512i l = _mm512_add_epi16(_mm512_maddubs_epi16(a, l0), _mm512_maddubs_epi16(b, l1));
            high[v] = o == 0 ? h : _mm512_add_epi16(high[v], h);
            low[v] = o == 0 ? l : _mm512_add_epi16(low[v], l);
            IN_ORDER(high[v]);
            IN_ORDER(low[v]);
        }
    }
    for (size_t v = 0; v < 2; v++)
        sums[v] = _mm512_add_epi32(
            sums[v], _mm512_add_epi32(_mm512_madd_epi16(high[v], high_unit), _mm512_madd_epi16(low[v], ones)));
}

AVX512 static void chunk_avx512(const chunk_t *c, float *y)
{
    __m512i sums[2 * STREAMS];
    for (size_t v = 0; v < 2 * c->strips; v++) {
        const uint16_t *zeros = chunk_scales(c, v / 2) + STRIP + v % 2 * 16;
        sums[v] = _mm512_mullo_epi32(_mm512_set1_epi32(-c->sum), c->zeros ? _mm512_cvtepu16_epi32(_mm256_loadu_si256(
                                                                                (const __m256i *)(const void *)zeros))
                                                                          : _mm512_set1_epi32(LSPO_INT4_ZERO));
    }
    for (size_t i = 0; i < c->rows; i += ROUND)
        for (size_t s = 0; s < c->strips; s++) {
            ask_for(chunk_words(c, s, i));
            add_rows_avx512(chunk_words(c, s, i), c->x + 2 * i, sums + 2 * s);
        }
    for (size_t v = 0; v < 2 * c->strips; v++, y += 16) {
        const uint16_t *halves = chunk_scales(c, v / 2) + v % 2 * 16;
        const __m512 scales = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)halves));
        const __m512 factor = _mm512_mul_ps(_mm512_set1_ps(c->scale), scales);
        const __m512 part = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[v]), factor);
        _mm512_storeu_ps(y, _mm512_add_ps(_mm512_loadu_ps(y), part));
    }
}
#else
#define chunk_avx2 chunk_portable
#define chunk_avx512 chunk_portable
#endif

typedef void chunk_path_t(const chunk_t *c, float *y);

/* y (the columns of some strips for each row of X) += X times a part of the strips, whose first row of W is `row`.
 * Every chunk is a cell, unless all of them are parts of one. */
static void add_strips(const lspo_int4_product_t *p, const rounded_t *x, const lspo_int4_part_t *part, float *y)
{
    static chunk_path_t *const paths[LSPO_CPU_LEVEL_COUNT] = {chunk_portable, chunk_avx2, chunk_avx512};
    chunk_path_t *const path = paths[lspo_cpu_level()];
    const size_t strip = part->col / STRIP;
    chunk_t c = {.strips = (part->cols + STRIP - 1) / STRIP,
                 .stride = lspo_int4_strip_bytes(&p->shape),
                 .zeros = p->shape.zeros};
    for (size_t at = 0, k = 0; at < x->m; at += x->chunk, k++) {
        c.scales = lspo_int4_scales_at(&p->shape, p->packed, strip, (part->row + at) / lspo_int4_group_rows(&p->shape));
        c.words = lspo_int4_words_at(&p->shape, p->packed, strip, part->row + at);
        c.rows = lspo_int4_filled(smaller(x->m - at, x->chunk));
        for (size_t r = 0; r < x->rows; r++) {
            c.x = x->x[r] + 2 * at;
            c.scale = x->scales[r][k];
            c.sum = x->sums[r][k];
            path(&c, y + r * STREAMS * STRIP);
        }
    }
}

/* ---- products ---- */

typedef struct {
    const lspo_int4_product_t *p;
    const float *x, *residual;
    float *out;
    size_t cols; /* of an item */
} job_t;

/* What Y is before the products: columns first .. first + cols of row r. */
static void begin_row(const job_t *job, size_t r, size_t first, size_t cols)
{
    const size_t n = job->p->shape.n;
    float *y = job->out + r * n + first;
    const float *from = job->residual != NULL ? job->residual + r * n + first : NULL;
    if (from == NULL)
        memset(y, 0, cols * sizeof *y);
    else if (from != y)
        memcpy(y, from, cols * sizeof *y);
    for (size_t j = 0; job->p->bias != NULL && j < cols; j++)
        y[j] += ((const float *)job->p->bias)[first + j];
}

static void few_rows(const job_t *job, size_t first, size_t cols)
{
    const lspo_int4_shape_t *shape = &job->p->shape;
    rounded_t x = {.rows = job->p->rows, .chunk = shape->group > 0 ? shape->group : CHUNK};
    for (size_t part = 0; part < shape->m; part += PART) {
        x.m = smaller(shape->m - part, PART);
        round_part(&x, job->x + part, shape->m);
        for (size_t j = first; j < first + cols; j += STREAMS * STRIP) {
            const lspo_int4_part_t of = {part, x.m, j, smaller(first + cols - j, STREAMS * STRIP)};
            float y[LSPO_INT4_FEW_ROWS * STREAMS * STRIP] = {0};
            add_strips(job->p, &x, &of, y);
            for (size_t r = 0; r < x.rows; r++)
                for (size_t c = 0; c < of.cols; c++)
                    job->out[r * shape->n + j + c] += y[r * STREAMS * STRIP + c];
        }
    }
}

static void many_rows(const job_t *job, size_t first, size_t cols)
{
    const lspo_int4_shape_t *shape = &job->p->shape;
    float part[PART_ROWS * PART_COLS];
    for (size_t j = first; j < first + cols; j += PART_COLS)
        for (size_t i = 0; i < shape->m; i += PART_ROWS) {
            const lspo_int4_part_t of = {i, smaller(shape->m - i, PART_ROWS), j, smaller(first + cols - j, PART_COLS)};
            lspo_int4_expand(shape, job->p->packed, &of, part, PART_COLS);
            lspo_gemm_nn(job->p->rows, of.cols, of.rows, 1.0F, job->x + i, shape->m, part, PART_COLS, 1.0F,
                         job->out + j, shape->n);
        }
}

static void do_columns(void *context, uint32_t worker, size_t item)
{
    const job_t *job = context;
    const size_t first = item * job->cols, cols = smaller(job->p->shape.n - first, job->cols);
    (void)worker;
    for (size_t r = 0; r < job->p->rows; r++)
        begin_row(job, r, first, cols);
    if (job->p->rows <= LSPO_INT4_FEW_ROWS)
        few_rows(job, first, cols);
    else
        many_rows(job, first, cols);
}

void lspo_int4_product(const lspo_int4_product_t *p, const float *x, const float *residual, float *out,
                       lspo_workers_t *workers)
{
    const size_t count = lspo_workers_count(workers), n = p->shape.n;
    job_t job = {.p = p, .x = x, .residual = residual, .out = out};
    /* The same width for all, and not more of them than needed; whole strips. */
    const size_t shares = (n + COLS_MOST * count - 1) / (COLS_MOST * count) * count;
    job.cols = shares > 0 ? ((n + shares - 1) / shares + STRIP - 1) / STRIP * STRIP : STRIP;
    if (job.cols < COLS_LEAST)
        job.cols = COLS_LEAST;
    lspo_workers_run(workers, (n + job.cols - 1) / job.cols, do_columns, &job);
}
