/* int4_quantize.c - see int4_quantize.h.  Columns are independent: workers share them, COLS at a time. */
#include "kernels/int4_quantize.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "kernels/blas.h"
#include "kernels/gemm.h"
#include "kernels/pack.h"
#include "kernels/panels.h"
#include "kernels/simd.h"

enum { COLS = 128 };
/* Rows whose errors reach the rows behind them by one product. */
enum { BLOCK = 128 };

static const float damping = 0.01F;

typedef struct {
    const lspo_int4_shape_t *shape;
    const float *w;     /* to round                     */
    float *changing;    /* for GPTQ                     */
    const float *upper; /* U; NULL: round to nearest    */
    void *packed;
    atomic_bool fails;
} job_t;

/* Of a group of the columns of an item. */
typedef struct {
    uint16_t halves[COLS];
    float scales[COLS], inverses[COLS];
} scales_t;

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ---- codes ---- */

LSPO_SIMD static void take_larger(size_t cols, const float *w, float *restrict most, float *restrict sum)
{
#pragma omp simd
    for (size_t j = 0; j < cols; j++) {
        most[j] = fabsf(w[j]) > most[j] ? fabsf(w[j]) : most[j];
        sum[j] += 0.0F * w[j]; /* NaN if a weight is not finite */
    }
}

/* The scales of a group whose first weights are at w.  Returns false if there are none. */
static bool find_scales(size_t rows, size_t cols, const float *w, size_t stride, scales_t *s)
{
    float most[COLS] = {0}, sum[COLS] = {0}, wanted[COLS];
    for (size_t i = 0; i < rows; i++)
        take_larger(cols, w + i * stride, most, sum);
    for (size_t j = 0; j < cols; j++)
        wanted[j] = (most[j] + sum[j]) * (2.0F / 15);
    lspo_pack_fp16(cols, wanted, s->halves);
    lspo_unpack_fp16(cols, s->halves, s->scales);
    bool finite = true;
    for (size_t j = 0; j < cols; j++) {
        finite = finite && isfinite(s->scales[j]);
        s->inverses[j] = s->scales[j] > 0 ? 1 / s->scales[j] : 0;
    }
    return finite;
}

/* Adding 1.5 x 2^23 rounds to an integer. */
LSPO_SIMD static void round_row(size_t cols, const scales_t *s, const float *w, uint8_t *restrict codes)
{
    const float to_integer = 12582912.0F;
#pragma omp simd
    for (size_t j = 0; j < cols; j++) {
        const float steps = w[j] * s->inverses[j];
        const float limited = steps > 7 ? 7 : steps < -8 ? -8 : steps;
        codes[j] = (uint8_t)(int32_t)((limited + to_integer) - to_integer + 8);
    }
}

static size_t group_rows(const lspo_int4_shape_t *shape)
{
    return shape->group > 0 ? shape->group : shape->m;
}

/* If the row begins a group, its scales, from the weights at w. */
static bool begin_group(const job_t *job, const lspo_int4_part_t *at, const float *w, scales_t *s)
{
    const lspo_int4_shape_t *shape = job->shape;
    if (at->row % group_rows(shape) != 0)
        return true;
    const size_t rows = smaller(shape->m - at->row, group_rows(shape));
    const bool found = find_scales(rows, at->cols, w, shape->n, s);
    lspo_int4_store_scales(shape, at, s->halves, NULL, job->packed);
    return found;
}

static lspo_int4_part_t part_of(const lspo_int4_shape_t *shape, size_t item)
{
    return (lspo_int4_part_t){.rows = 1, .col = item * COLS, .cols = smaller(shape->n - item * COLS, COLS)};
}

static size_t items_of(const lspo_int4_shape_t *shape)
{
    return (shape->n + COLS - 1) / COLS;
}

/* ---- round to nearest ---- */

static void round_columns(void *context, uint32_t worker, size_t item)
{
    job_t *job = context;
    lspo_int4_part_t at = part_of(job->shape, item);
    uint8_t codes[COLS];
    scales_t s;
    (void)worker;
    for (; at.row < job->shape->m; at.row++) {
        const float *w = job->w + at.row * job->shape->n + at.col;
        if (!begin_group(job, &at, w, &s)) {
            atomic_store(&job->fails, true);
            return;
        }
        round_row(at.cols, &s, w, codes);
        lspo_int4_store_codes(job->shape, &at, codes, job->packed);
    }
}

bool lspo_int4_round(lspo_workers_t *workers, const lspo_int4_shape_t *shape, const float *w, void *packed)
{
    job_t job = {.shape = shape, .w = w, .packed = packed};
    lspo_workers_run(workers, items_of(shape), round_columns, &job);
    return !atomic_load(&job.fails);
}

/* ---- GPTQ ---- */

void lspo_gptq_add_inputs(lspo_workers_t *workers, size_t m, size_t tokens, const float *x, float *hessian)
{
    const lspo_panel_product_t product = {.gemm = {.m = m,
                                                   .n = m,
                                                   .k = tokens,
                                                   .alpha = 1.0F,
                                                   .a = x,
                                                   .a_stride = m,
                                                   .b = x,
                                                   .b_stride = m,
                                                   .beta = 1.0F,
                                                   .c = hessian,
                                                   .c_stride = m},
                                          .form = LSPO_PANEL_TN,
                                          .upper = true};
    lspo_panels_multiply(workers, &product, 1);
}

/* LAPACK stores by column: our upper triangle is its lower one, and its L is our U transposed. */
lspo_status_t lspo_gptq_factor(size_t m, float *hessian)
{
    const int order = (int)m;
    int info = 0;
    double sum = 0;
    for (size_t i = 0; i < m; i++)
        sum += (double)hessian[i * m + i];
    if (!isfinite(sum))
        return lspo_error(LSPO_ERR_INPUT, "inputs of a calibration are not finite numbers, or too large");
    const float added = sum > 0 ? damping * (float)(sum / (double)m) : 1;
    for (size_t i = 0; i < m; i++) {
        float *diagonal = &hessian[i * m + i];
        if (i > 0) /* the other triangle is free */
            hessian[i * m] = *diagonal == 0;
        *diagonal += added;
    }
    const bool first_is_dead = hessian[0] == added;
    lspo_blas()->spotrf("L", &order, hessian, &order, &info, 1);
    if (info == 0)
        lspo_blas()->spotri("L", &order, hessian, &order, &info, 1);
    if (info == 0)
        lspo_blas()->spotrf("L", &order, hessian, &order, &info, 1);
    if (info != 0)
        return lspo_error(LSPO_ERR_INPUT, "the products of a calibration's inputs have no Cholesky factor");
    for (size_t i = 0; i < m; i++)
        if (i > 0 ? hessian[i * m] != 0 : first_is_dead)
            hessian[i * m + i] = -hessian[i * m + i];
    return LSPO_OK;
}

LSPO_SIMD static void subtract(size_t cols, float factor, const float *e, float *restrict w)
{
#pragma omp simd
    for (size_t j = 0; j < cols; j++)
        w[j] -= factor * e[j];
}

/* The codes of a row, and its error as the rows behind it see it. */
static void quantize_row(const job_t *job, const lspo_int4_part_t *at, const scales_t *s, float *e)
{
    const float *w = job->changing + at->row * job->shape->n + at->col;
    const float diagonal = fabsf(job->upper[at->row * job->shape->m + at->row]);
    uint8_t codes[COLS];
    round_row(at->cols, s, w, codes);
    lspo_int4_store_codes(job->shape, at, codes, job->packed);
    for (size_t j = 0; j < at->cols; j++)
        e[j] = (w[j] - s->scales[j] * (float)(codes[j] - LSPO_INT4_ZERO)) / diagonal;
}

static void quantize_columns(void *context, uint32_t worker, size_t item)
{
    job_t *job = context;
    const size_t m = job->shape->m, n = job->shape->n;
    lspo_int4_part_t at = part_of(job->shape, item);
    float errors[BLOCK * COLS];
    scales_t s;
    (void)worker;
    for (size_t i = 0; i < m; i++)
        if (job->upper[i * m + i] < 0)
            memset(job->changing + i * n + at.col, 0, at.cols * sizeof(float));
    for (size_t first = 0; first < m; first += BLOCK) {
        const size_t end = smaller(first + BLOCK, m);
        float *w = job->changing + at.col;
        for (at.row = first; at.row < end; at.row++) {
            float *e = errors + (at.row - first) * COLS;
            if (!begin_group(job, &at, w + at.row * n, &s)) {
                atomic_store(&job->fails, true);
                return;
            }
            quantize_row(job, &at, &s, e);
            for (size_t k = at.row + 1; k < end; k++)
                subtract(at.cols, job->upper[at.row * m + k], e, w + k * n);
        }
        if (end < m)
            lspo_gemm_tn(m - end, at.cols, end - first, -1.0F, job->upper + first * m + end, m, errors, COLS, 1.0F,
                         w + end * n, n);
    }
}

bool lspo_gptq_quantize(lspo_workers_t *workers, const lspo_int4_shape_t *shape, float *w, const float *upper,
                        void *packed)
{
    job_t job = {.shape = shape, .changing = w, .upper = upper, .packed = packed};
    lspo_workers_run(workers, items_of(shape), quantize_columns, &job);
    return !atomic_load(&job.fails);
}
