/* few_rows.c - products with few rows on the CPU: several rows of W at a time are added to a part of Y in the cache. */
#include "kernels/few_rows.h"

#include <stdint.h>
#include <string.h>

#include "kernels/float_bits.h"
#include "kernels/gemm.h"
#include "kernels/pack.h"
#include "kernels/simd.h"

/* Columns of Y that one worker computes at a time: long enough that W is read in order, short enough that their part of
 * Y stays in the second cache. */
enum { COLS_LEAST = 256, COLS_MOST = 16384 };
/* Rows of W that are added together, so that Y is read and written once for all of them. */
enum { TOGETHER_FP32 = 8, TOGETHER_BF16 = 16 };
/* Of a transposed W, so many at a time. */
enum { DOTS = 4 };
/* The part of a 16-bit W that is expanded for a product of many rows: it stays in the second cache. */
enum { PART_ROWS = 64, PART_COLS = 256 };

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

/* y (cols) += the sum of x[i] times row i of w, i < TOGETHER_FP32, rows `stride` apart. */
LSPO_SIMD static void add_rows_fp32(size_t cols, const float *x, const float *w, size_t stride, float *restrict y)
{
    const float *w1 = w + stride, *w2 = w1 + stride, *w3 = w2 + stride, *w4 = w3 + stride, *w5 = w4 + stride,
                *w6 = w5 + stride, *w7 = w6 + stride;
#pragma omp simd
    for (size_t j = 0; j < cols; j++)
        y[j] += x[0] * w[j] + x[1] * w1[j] + x[2] * w2[j] + x[3] * w3[j] + x[4] * w4[j] + x[5] * w5[j] + x[6] * w6[j] +
                x[7] * w7[j];
}

/* Two columns of a row of bf16 numbers, j even: the lower and the upper half of a word. */
LSPO_INLINE uint32_t pair_at(const uint16_t *w, size_t j)
{
    uint32_t pair;
    memcpy(&pair, w + j, sizeof pair);
    return pair;
}

LSPO_INLINE float even_of(uint32_t pair)
{
    return lspo_float_of_bits(pair << 16);
}

LSPO_INLINE float odd_of(uint32_t pair)
{
    return lspo_float_of_bits(pair & 0xffff0000U);
}

/* The same for TOGETHER_BF16 rows; even and odd columns of y are apart, because words then become numbers without a
 * permutation. */
LSPO_SIMD static void add_rows_bf16(size_t pairs, const float *x, const uint16_t *w, size_t stride,
                                    float *restrict even, float *restrict odd)
{
#pragma omp simd
    for (size_t j = 0; j < pairs; j++) {
        float a = even[j], b = odd[j];
#pragma GCC unroll 16
        for (size_t i = 0; i < TOGETHER_BF16; i++) {
            const uint32_t pair = pair_at(w + i * stride, 2 * j);
            a += x[i] * even_of(pair);
            b += x[i] * odd_of(pair);
        }
        even[j] = a;
        odd[j] = b;
    }
}

/* The same for one row of w. */
LSPO_SIMD static void add_row_fp32(size_t cols, float x, const float *w, float *restrict y)
{
#pragma omp simd
    for (size_t j = 0; j < cols; j++)
        y[j] += x * w[j];
}

LSPO_SIMD static void add_row_bf16(size_t cols, float x, const uint16_t *w, float *restrict y)
{
#pragma omp simd
    for (size_t j = 0; j < cols; j++)
        y[j] += x * lspo_float_of_bf16(w[j]);
}

/* y[j] += x times row j of w, j < count: DOTS, whose sums do not wait for each other, or 1. */
LSPO_SIMD static void dots_fp32(size_t count, size_t n, const float *x, const float *w, float *y)
{
    const size_t stride = count == DOTS ? n : 0;
    const float *w1 = w + stride, *w2 = w1 + stride, *w3 = w2 + stride;
    float sum = 0.0F, sum1 = 0.0F, sum2 = 0.0F, sum3 = 0.0F;
#pragma omp simd reduction(+ : sum, sum1, sum2, sum3)
    for (size_t i = 0; i < n; i++) {
        sum += x[i] * w[i];
        sum1 += x[i] * w1[i];
        sum2 += x[i] * w2[i];
        sum3 += x[i] * w3[i];
    }
    y[0] += sum;
    if (count < DOTS)
        return;
    y[1] += sum1;
    y[2] += sum2;
    y[3] += sum3;
}

LSPO_SIMD static void dots_bf16(size_t count, size_t n, const float *x, const uint16_t *w, float *y)
{
    const size_t stride = count == DOTS ? n : 0;
    const uint16_t *w1 = w + stride, *w2 = w1 + stride, *w3 = w2 + stride;
    float sum = 0.0F, sum1 = 0.0F, sum2 = 0.0F, sum3 = 0.0F;
#pragma omp simd reduction(+ : sum, sum1, sum2, sum3)
    for (size_t i = 0; i < n; i++) {
        sum += x[i] * lspo_float_of_bf16(w[i]);
        sum1 += x[i] * lspo_float_of_bf16(w1[i]);
        sum2 += x[i] * lspo_float_of_bf16(w2[i]);
        sum3 += x[i] * lspo_float_of_bf16(w3[i]);
    }
    y[0] += sum;
    if (count < DOTS)
        return;
    y[1] += sum1;
    y[2] += sum2;
    y[3] += sum3;
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

/* Columns first .. first + cols of Y become bias + residual. */
static void begin_columns(const job_t *job, size_t first, size_t cols)
{
    const lspo_few_rows_t *p = job->p;
    for (size_t r = 0; r < p->rows; r++) {
        float *y = job->out + r * p->n + first;
        const float *from = job->residual != NULL ? job->residual + r * p->n + first : NULL;
        if (from == NULL)
            memset(y, 0, cols * sizeof *y);
        else if (from != y)
            memcpy(y, from, cols * sizeof *y);
        for (size_t j = 0; p->bias != NULL && j < cols; j++)
            y[j] += p->bias[first + j];
    }
}

static void few_fp32(const job_t *job, size_t first, size_t cols)
{
    const lspo_few_rows_t *p = job->p;
    const size_t whole = p->m / TOGETHER_FP32 * TOGETHER_FP32;
    begin_columns(job, first, cols);
    for (size_t i = 0; i < p->m; i += i < whole ? TOGETHER_FP32 : 1) {
        const float *w = weight_at(p, i * stride_of(p) + first);
        for (size_t r = 0; r < p->rows; r++) {
            const float *x = job->x + r * p->m + i;
            float *y = job->out + r * p->n + first;
            if (i < whole)
                add_rows_fp32(cols, x, w, stride_of(p), y);
            else
                add_row_fp32(cols, *x, w, y);
        }
    }
}

/* Whole pairs of columns are summed apart; rows and a column that are left over are added one by one. */
static void few_bf16(const job_t *job, size_t first, size_t cols)
{
    const lspo_few_rows_t *p = job->p;
    const size_t whole = p->m / TOGETHER_BF16 * TOGETHER_BF16, pairs = cols / 2;
    float sums[LSPO_FEW_ROWS][COLS_MOST];
    begin_columns(job, first, cols);
    for (size_t r = 0; r < p->rows; r++)
        memset(sums[r], 0, 2 * pairs * sizeof(float));
    for (size_t i = 0; i < whole; i += TOGETHER_BF16)
        for (size_t r = 0; r < p->rows; r++)
            add_rows_bf16(pairs, job->x + r * p->m + i, weight_at(p, i * stride_of(p) + first), stride_of(p), sums[r],
                          sums[r] + pairs);
    for (size_t r = 0; r < p->rows; r++) {
        float *y = job->out + r * p->n + first;
        for (size_t j = 0; j < pairs; j++) {
            y[2 * j] += sums[r][j];
            y[2 * j + 1] += sums[r][pairs + j];
        }
        for (size_t i = 0; cols % 2 != 0 && i < whole; i++)
            add_row_bf16(1, job->x[r * p->m + i], weight_at(p, i * stride_of(p) + first + cols - 1), y + cols - 1);
        for (size_t i = whole; i < p->m; i++)
            add_row_bf16(cols, job->x[r * p->m + i], weight_at(p, i * stride_of(p) + first), y);
    }
}

static void few_transposed(const job_t *job, size_t first, size_t cols)
{
    const lspo_few_rows_t *p = job->p;
    const size_t end = first + cols, whole = first + cols / DOTS * DOTS;
    begin_columns(job, first, cols);
    for (size_t j = first; j < end; j += j < whole ? DOTS : 1) {
        const void *w = weight_at(p, j * p->m);
        for (size_t r = 0; r < p->rows; r++) {
            const float *x = job->x + r * p->m;
            float *y = job->out + r * p->n + j;
            if (p->number == LSPO_NUMBER_FP32)
                dots_fp32(j < whole ? DOTS : 1, p->m, x, w, y);
            else
                dots_bf16(j < whole ? DOTS : 1, p->m, x, w, y);
        }
    }
}

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
    if (p->rows <= LSPO_FEW_ROWS && p->number != LSPO_NUMBER_FP16) {
        if (p->transposed)
            few_transposed(job, first, cols);
        else if (p->number == LSPO_NUMBER_FP32)
            few_fp32(job, first, cols);
        else
            few_bf16(job, first, cols);
        return;
    }
    begin_columns(job, first, cols);
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
