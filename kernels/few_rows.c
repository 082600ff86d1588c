/* few_rows.c - products with few rows on the CPU: several rows of W at a time are added to sums in the cache. */
#include "kernels/few_rows.h"

#include <stdint.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/float_bits.h"
#include "kernels/gemm.h"
#include "kernels/pack.h"
#include "kernels/simd.h"

/* Columns of Y that one worker computes at a time: long enough that W is read in order. */
enum { COLS_LEAST = 256, COLS_MOST = 16384 };
/* Rows of W that are added together, so that sums are read and written once for all of them. */
enum { TOGETHER = 16 };
/* So few rows of X need so little arithmetic that only reading W counts.  If its rows are long enough, FOLLOWED of them
 * are read at once, a line of each: these the core's own prefetchers follow, and have more bytes on their way than it
 * can ask for.  More rows of W are in each other's way in the first cache where their stride is a power of two. */
enum { FEWEST_ROWS = 2, BYTES_FOLLOWED = 2048, FOLLOWED = 8, TILES_FOLLOWED = 2, AHEAD_BYTES = 256 };
/* The sums of a block of columns: they stay in the second cache. */
enum { SUMS_MOST = 32768, TILE_MOST = 32 };
/* Columns of a transposed W at a time. */
enum { DOTS = 4 };
/* The part of a 16-bit W that is expanded for a product of many rows: it stays in the second cache. */
enum { PART_ROWS = 64, PART_COLS = 256 };
enum { LINE_BYTES = 64 };

typedef struct {
    const lspo_few_rows_t *p;
    const float *x, *residual;
    float *out;
    size_t cols; /* of an item */
} job_t;

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ---- few rows ---- */

/* Some rows of W and some of its columns, whole tiles: a core's own prefetchers do not follow the short pieces of its
 * rows, so each is asked for when the same piece of the strip before is used. */
typedef struct {
    size_t x_rows, rows, cols, stride; /* stride: bytes from a row of W to the next */
    const char *w, *ahead;             /* ahead: the next strip */
    const float *x;                    /* x_rows x TOGETHER */
    float *sums;                       /* of each tile, x_rows x tile */
    float *parts;                      /* as many, for what follow() has added so far */
} strip_t;

/* A tile of it, and some rows of X. */
typedef struct {
    const char *w, *ahead;
    const float *x;
    float *sums;
} tile_t;

/* DOTS rows of a transposed W. */
typedef struct {
    size_t x_rows, m, groups; /* groups: of rows of X that are computed together */
    const char *w[DOTS], *ahead[DOTS];
    const float *x;
    float *sums; /* x_rows x DOTS */
} dots_t;

/* As equal parts of the rows as possible, of at most so many; returns how many. */
static size_t split_rows(size_t rows, size_t most, size_t counts[LSPO_FEW_ROWS])
{
    const size_t groups = (rows + most - 1) / most;
    for (size_t g = 0; g < groups; g++)
        counts[g] = rows / groups + (g < rows % groups);
    return groups;
}

LSPO_INLINE float number_at(lspo_number_t number, const char *at)
{
    uint16_t bits;
    float value;
    if (number == LSPO_NUMBER_FP32) {
        memcpy(&value, at, sizeof value);
        return value;
    }
    memcpy(&bits, at, sizeof bits);
    if (number == LSPO_NUMBER_BF16)
        return lspo_float_of_bf16(bits);
    lspo_unpack_fp16(1, &bits, &value);
    return value;
}

#define LANES 4
#define NAME(name) name##_portable
#define TARGET
#define lanes_t portable_t
#define lanes_all(value) ((portable_t){value, value, value, value})
#define lanes_load load_portable
#define lanes_of_fp16 of_fp16_portable
#define lanes_fma(a, b, c) ((a) * (b) + (c))
#define lanes_total(a) ((a[0] + a[1]) + (a[2] + a[3]))
#define ROWS_MOST 5
#define DOT_ROWS_MOST 2
typedef float portable_t __attribute__((vector_size(4 * LANES)));

LSPO_INLINE portable_t load_portable(const float *from)
{
    portable_t out;
    memcpy(&out, from, sizeof out);
    return out;
}

LSPO_INLINE portable_t of_fp16_portable(const void *from)
{
    uint16_t bits[LANES];
    portable_t out;
    float values[LANES];
    memcpy(bits, from, sizeof bits);
    lspo_unpack_fp16(LANES, bits, values);
    memcpy(&out, values, sizeof out);
    return out;
}

#include "kernels/few_rows_lanes.h"

#if defined(__x86_64__)

#include <immintrin.h>

__attribute__((target("avx2,fma"))) LSPO_INLINE float total_avx2(__m256 a)
{
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

#define LANES 8
#define NAME(name) name##_avx2
#define TARGET __attribute__((target("avx2,fma,f16c")))
#define lanes_t __m256
#define lanes_all _mm256_set1_ps
#define lanes_load _mm256_loadu_ps
#define lanes_of_fp16(from) _mm256_cvtph_ps(_mm_loadu_si128(from))
#define lanes_fma _mm256_fmadd_ps
#define lanes_total total_avx2
#define ROWS_MOST 5
#define DOT_ROWS_MOST 2
#define FOLLOWS
#include "kernels/few_rows_lanes.h"

#define LANES 16
#define NAME(name) name##_avx512
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma")))
#define lanes_t __m512
#define lanes_all _mm512_set1_ps
#define lanes_load _mm512_loadu_ps
#define lanes_of_fp16(from) _mm512_cvtph_ps(_mm256_loadu_si256(from))
#define lanes_fma _mm512_fmadd_ps
#define lanes_total _mm512_reduce_add_ps
#define ROWS_MOST 8
#define DOT_ROWS_MOST 4
#include "kernels/few_rows_lanes.h"
#else
#define add_strip_fp32_avx2 add_strip_fp32_portable
#define add_strip_bf16_avx2 add_strip_bf16_portable
#define add_strip_fp16_avx2 add_strip_fp16_portable
#define follow_strip_fp32_avx2 NULL
#define follow_strip_bf16_avx2 NULL
#define follow_strip_fp16_avx2 NULL
#define dots_fp32_avx2 dots_fp32_portable
#define dots_bf16_avx2 dots_bf16_portable
#define dots_fp16_avx2 dots_fp16_portable
#define add_strip_fp32_avx512 add_strip_fp32_portable
#define add_strip_bf16_avx512 add_strip_bf16_portable
#define add_strip_fp16_avx512 add_strip_fp16_portable
#define dots_fp32_avx512 dots_fp32_portable
#define dots_bf16_avx512 dots_bf16_portable
#define dots_fp16_avx512 dots_fp16_portable
#endif

typedef struct {
    size_t tile, dot_rows;
    void (*add_strip[3])(const strip_t *);    /* by lspo_number_t */
    void (*follow_strip[3])(const strip_t *); /* NULL: no faster */
    void (*dots[3])(const dots_t *);
} path_t;

static const path_t *path_of_cpu(void)
{
    static const path_t paths[LSPO_CPU_LEVEL_COUNT] = {
        {8,
         2,
         {add_strip_fp32_portable, add_strip_bf16_portable, add_strip_fp16_portable},
         {NULL},
         {dots_fp32_portable, dots_bf16_portable, dots_fp16_portable}},
        {16,
         2,
         {add_strip_fp32_avx2, add_strip_bf16_avx2, add_strip_fp16_avx2},
         {follow_strip_fp32_avx2, follow_strip_bf16_avx2, follow_strip_fp16_avx2},
         {dots_fp32_avx2, dots_bf16_avx2, dots_fp16_avx2}},
        {32,
         4,
         {add_strip_fp32_avx512, add_strip_bf16_avx512, add_strip_fp16_avx512},
         {NULL},
         {dots_fp32_avx512, dots_bf16_avx512, dots_fp16_avx512}}};
    return &paths[lspo_cpu_level()];
}

static size_t stride_of(const lspo_few_rows_t *p)
{
    return p->transposed ? p->m : p->stride > 0 ? p->stride : p->n;
}

/* Element `at` of W. */
static const void *weight_at(const lspo_few_rows_t *p, size_t at)
{
    return (const char *)p->w + at * lspo_number_bytes(p->number);
}

/* Columns first .. first + cols of row r of Y become bias + residual. */
static void begin_row(const job_t *job, size_t r, size_t first, size_t cols)
{
    const lspo_few_rows_t *p = job->p;
    float *y = job->out + r * p->n + first;
    const float *from = job->residual != NULL ? job->residual + r * p->n + first : NULL;
    if (from == NULL)
        memset(y, 0, cols * sizeof *y);
    else if (from != y)
        memcpy(y, from, cols * sizeof *y);
    for (size_t j = 0; p->bias != NULL && j < cols; j++)
        y[j] += p->bias[first + j];
}

/* The columns of W behind the last whole tile, filled up with zeros to one. */
static void add_last_tile(const path_t *path, strip_t strip, size_t cols, lspo_number_t number, float *sums)
{
    _Alignas(64) char tile[TOGETHER * TILE_MOST * sizeof(float)] = {0};
    const size_t bytes = lspo_number_bytes(number);
    for (size_t i = 0; i < strip.rows; i++)
        memcpy(tile + i * path->tile * bytes, strip.w + i * strip.stride, cols * bytes);
    strip.w = strip.ahead = tile;
    strip.stride = path->tile * bytes;
    strip.cols = path->tile;
    strip.sums = sums;
    path->add_strip[number](&strip);
}

/* y (cols) += the sums of a row, tile by tile; of bf16 numbers those of even columns come first. */
LSPO_SIMD static void add_sums(lspo_number_t number, size_t cols, size_t tile, const float *sums, size_t stride,
                               float *restrict y)
{
    for (size_t t = 0; t < cols; t += tile, sums += stride, y += tile) {
        const size_t some = smaller(cols - t, tile), pairs = number == LSPO_NUMBER_BF16 ? some / 2 : 0;
        const float *odd = sums + tile / 2;
#pragma omp simd
        for (size_t j = 0; j < pairs; j++) {
            y[2 * j] += sums[j];
            y[2 * j + 1] += odd[j];
        }
        if (number == LSPO_NUMBER_BF16 && some % 2 != 0)
            y[some - 1] += sums[some / 2];
#pragma omp simd
        for (size_t j = 0; j < (number == LSPO_NUMBER_BF16 ? 0 : some); j++)
            y[j] += sums[j];
    }
}

static void few_block(const job_t *job, const path_t *path, size_t first, size_t cols)
{
    const lspo_few_rows_t *p = job->p;
    const size_t bytes = lspo_number_bytes(p->number), whole = cols / path->tile * path->tile;
    const bool follows =
        path->follow_strip[p->number] != NULL && p->rows <= FEWEST_ROWS && whole * bytes >= BYTES_FOLLOWED;
    void (*add_strip)(const strip_t *) = follows ? path->follow_strip[p->number] : path->add_strip[p->number];
    _Alignas(64) float sums[SUMS_MOST + LSPO_FEW_ROWS * TILE_MOST], x[LSPO_FEW_ROWS * TOGETHER];
    strip_t strip = {.x_rows = p->rows,
                     .cols = whole,
                     .stride = stride_of(p) * bytes,
                     .ahead = p->w,
                     .x = x,
                     .sums = sums,
                     .parts = sums + (whole + path->tile) * p->rows};
    memset(sums, 0, (whole + path->tile) * p->rows * sizeof *sums);
    for (size_t i = 0; i < p->m; i += TOGETHER) {
        strip.rows = smaller(p->m - i, TOGETHER);
        strip.w = weight_at(p, i * stride_of(p) + first);
        strip.ahead = i + 2 * TOGETHER <= p->m ? strip.w + TOGETHER * strip.stride : strip.w;
        for (size_t r = 0; r < p->rows; r++)
            memcpy(x + r * TOGETHER, job->x + r * p->m + i, strip.rows * sizeof *x);
        add_strip(&strip);
        if (whole < cols) {
            strip_t last = strip;
            last.w += whole * bytes;
            add_last_tile(path, last, cols - whole, p->number, sums + whole * p->rows);
        }
    }
    for (size_t r = 0; r < p->rows; r++) {
        begin_row(job, r, first, cols);
        add_sums(p->number, cols, path->tile, sums + r * path->tile, p->rows * path->tile, job->out + r * p->n + first);
    }
}

static void few(const job_t *job, const path_t *path, size_t first, size_t cols)
{
    const size_t rows = job->p->rows, sums = rows <= FEWEST_ROWS ? 2 * rows : rows; /* with parts */
    const size_t most = SUMS_MOST / sums / TILE_MOST * TILE_MOST, blocks = (cols + most - 1) / most;
    const size_t width = ((cols + blocks - 1) / blocks + TILE_MOST - 1) / TILE_MOST * TILE_MOST;
    for (size_t j = 0; j < cols; j += width)
        few_block(job, path, first + j, smaller(cols - j, width));
}

/* The rows of W behind the last are asked for, and computed, as the last. */
static void few_transposed(const job_t *job, const path_t *path, size_t first, size_t cols)
{
    const lspo_few_rows_t *p = job->p;
    const size_t end = first + cols;
    float sums[LSPO_FEW_ROWS * DOTS];
    dots_t dots = {.x_rows = p->rows,
                   .m = p->m,
                   .groups = (p->rows + path->dot_rows - 1) / path->dot_rows,
                   .x = job->x,
                   .sums = sums};
    for (size_t r = 0; r < p->rows; r++)
        begin_row(job, r, first, cols);
    for (size_t j = first; j < end; j += DOTS) {
        for (size_t d = 0; d < DOTS; d++) {
            dots.w[d] = weight_at(p, smaller(j + d, end - 1) * p->m);
            dots.ahead[d] = weight_at(p, smaller(j + d + DOTS, end - 1) * p->m);
        }
        path->dots[p->number](&dots);
        for (size_t r = 0; r < p->rows; r++)
            for (size_t d = 0; d < smaller(end - j, DOTS); d++)
                job->out[r * p->n + j + d] += sums[r * DOTS + d];
    }
}

/* ---- many rows ---- */

/* Many rows, W in fp32. */
static void many_fp32(const job_t *job, size_t first, size_t cols)
{
    const lspo_few_rows_t *p = job->p;
    float *out = job->out + first;
    if (p->transposed)
        lspo_gemm_nt(p->rows, cols, p->m, 1.0F, job->x, p->m, weight_at(p, first * p->m), p->m, 1.0F, out, p->n);
    else
        lspo_gemm_nn(p->rows, cols, p->m, 1.0F, job->x, p->m, weight_at(p, first), stride_of(p), 1.0F, out, p->n);
}

/* Rows i .. i + rows and columns first .. first + cols of W as it is stored. */
static void expand(const lspo_few_rows_t *p, size_t i, size_t rows, size_t first, size_t cols, float *part)
{
    const size_t stride = stride_of(p);
    for (size_t r = 0; r < rows; r++)
        lspo_convert(cols, p->number, weight_at(p, (i + r) * stride + first), LSPO_NUMBER_FP32, part + r * PART_COLS);
}

static void many_expanded(const job_t *job, size_t first, size_t cols)
{
    const lspo_few_rows_t *p = job->p;
    float part[PART_ROWS * PART_COLS];
    for (size_t j = first; j < first + cols; j += PART_COLS)
        for (size_t i = 0; i < p->m; i += PART_ROWS) {
            const size_t some_rows = smaller(p->m - i, PART_ROWS), some_cols = smaller(first + cols - j, PART_COLS);
            expand(p, i, some_rows, j, some_cols, part);
            lspo_gemm_nn(p->rows, some_cols, some_rows, 1.0F, job->x + i, p->m, part, PART_COLS, 1.0F, job->out + j,
                         p->n);
        }
}

static void many_expanded_transposed(const job_t *job, size_t first, size_t cols)
{
    const lspo_few_rows_t *p = job->p;
    float part[PART_ROWS * PART_COLS];
    for (size_t j = first; j < first + cols; j += PART_ROWS)
        for (size_t i = 0; i < p->m; i += PART_COLS) {
            const size_t some_rows = smaller(first + cols - j, PART_ROWS), some_cols = smaller(p->m - i, PART_COLS);
            expand(p, j, some_rows, i, some_cols, part);
            lspo_gemm_nt(p->rows, some_rows, some_cols, 1.0F, job->x + i, p->m, part, PART_COLS, 1.0F, job->out + j,
                         p->n);
        }
}

static void do_columns(void *context, uint32_t worker, size_t item)
{
    const job_t *job = context;
    const lspo_few_rows_t *p = job->p;
    const size_t first = item * job->cols, cols = smaller(p->n - first, job->cols);
    (void)worker;
    if (p->rows <= LSPO_FEW_ROWS) {
        if (p->transposed)
            few_transposed(job, path_of_cpu(), first, cols);
        else
            few(job, path_of_cpu(), first, cols);
        return;
    }
    for (size_t r = 0; r < p->rows; r++)
        begin_row(job, r, first, cols);
    if (p->number == LSPO_NUMBER_FP32)
        many_fp32(job, first, cols);
    else if (p->transposed)
        many_expanded_transposed(job, first, cols);
    else
        many_expanded(job, first, cols);
}

void lspo_few_rows_product(const lspo_few_rows_t *p, const float *x, const float *residual, float *out,
                           lspo_workers_t *workers)
{
    const size_t count = lspo_workers_count(workers);
    job_t job = {.p = p, .x = x, .residual = residual, .out = out};
    /* The same width for all, and not more of them than needed; whole cache lines. */
    const size_t shares = (p->n + COLS_MOST * count - 1) / (COLS_MOST * count) * count;
    job.cols = ((p->n + shares - 1) / shares + 63) / 64 * 64;
    if (job.cols < COLS_LEAST)
        job.cols = COLS_LEAST;
    lspo_workers_run(workers, (p->n + job.cols - 1) / job.cols, do_columns, &job);
}
