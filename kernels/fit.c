#include "kernels/fit.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/blas.h"
#include "kernels/gemm.h"
#include "kernels/simd.h"

enum {
    LANES = 16,               /* columns of G that a panel of the transposed gather takes: a cache line */
    PANEL_COLUMNS_MAX = 4096, /* d whose panel fits on the stack (256 KiB)                              */
    PREFETCH_ROWS = 12,
    TILE = 16,
    THREADS_MAX = 64,
    PLATEAU_STEPS = 20
};

/* ---- threads ---- */

typedef void range_function_t(const void *context, size_t first, size_t end);

typedef struct {
    range_function_t *function;
    const void *context;
    size_t first, end;
} range_t;

static void *run_range(void *argument)
{
    const range_t *range = argument;
    range->function(range->context, range->first, range->end);
    return NULL;
}

/* Items 0 .. count - 1 in equal ranges; each item is computed by one thread, so results do not depend on how many there
 * are.  A thread that cannot start leaves its range to the caller. */
static void spread(uint32_t threads, size_t count, range_function_t *function, const void *context)
{
    pthread_t started[THREADS_MAX];
    range_t ranges[THREADS_MAX];
    bool runs[THREADS_MAX] = {false};
    size_t parts = threads < THREADS_MAX ? threads : THREADS_MAX;
    parts = parts < 1 ? 1 : parts;
    for (size_t i = 0; i < parts; i++) {
        ranges[i] = (range_t){function, context, count * i / parts, count * (i + 1) / parts};
        runs[i] = i > 0 && pthread_create(&started[i], NULL, run_range, &ranges[i]) == 0;
    }
    for (size_t i = 0; i < parts; i++)
        if (!runs[i])
            run_range(&ranges[i]);
    for (size_t i = 1; i < parts; i++)
        if (runs[i])
            pthread_join(started[i], NULL);
}

/* ---- sparse times dense ---- */

/* out (width floats) = sum of coefficient[e] times row index[e] of the matrix (row stride = width). */
LSPO_SIMD static void combine_rows(size_t count, const uint32_t *index, const float *coefficient, const float *matrix,
                                   size_t width, float *out)
{
    size_t e = 0;
    memset(out, 0, width * sizeof *out);
    for (; e + 8 <= count; e += 8) {
        const float *a = matrix + index[e] * width, *b = matrix + index[e + 1] * width;
        const float *c = matrix + index[e + 2] * width, *d = matrix + index[e + 3] * width;
        const float *f = matrix + index[e + 4] * width, *g = matrix + index[e + 5] * width;
        const float *h = matrix + index[e + 6] * width, *k = matrix + index[e + 7] * width;
        const float x0 = coefficient[e], x1 = coefficient[e + 1], x2 = coefficient[e + 2], x3 = coefficient[e + 3];
        const float x4 = coefficient[e + 4], x5 = coefficient[e + 5], x6 = coefficient[e + 6], x7 = coefficient[e + 7];
#pragma omp simd
        for (size_t j = 0; j < width; j++)
            out[j] += ((x0 * a[j] + x1 * b[j]) + (x2 * c[j] + x3 * d[j])) +
                      ((x4 * f[j] + x5 * g[j]) + (x6 * h[j] + x7 * k[j]));
    }
    for (; e + 4 <= count; e += 4) {
        const float *a = matrix + index[e] * width, *b = matrix + index[e + 1] * width;
        const float *c = matrix + index[e + 2] * width, *d = matrix + index[e + 3] * width;
        const float x = coefficient[e], y = coefficient[e + 1], z = coefficient[e + 2], u = coefficient[e + 3];
#pragma omp simd
        for (size_t j = 0; j < width; j++)
            out[j] += (x * a[j] + y * b[j]) + (z * c[j] + u * d[j]);
    }
    for (; e < count; e++) {
        const float *a = matrix + index[e] * width;
        const float x = coefficient[e];
#pragma omp simd
        for (size_t j = 0; j < width; j++)
            out[j] += x * a[j];
    }
}

typedef struct {
    const lspo_projector_t *p;
    const float *in;
    size_t width;
    float *out;
} product_t;

static void multiply_rows(const void *context, size_t first, size_t end)
{
    const product_t *a = context;
    const size_t r = a->p->r;
    for (size_t i = first; i < end; i++)
        combine_rows(r, a->p->index + i * r, a->p->value + i * r, a->in, a->width, a->out + i * a->width);
}

static void multiply_columns(const void *context, size_t first, size_t end)
{
    const product_t *a = context;
    for (size_t c = first; c < end; c++) {
        const uint32_t at = a->p->column_first[c];
        combine_rows(a->p->column_first[c + 1] - at, a->p->column_row + at, a->p->column_value + at, a->in, a->width,
                     a->out + c * a->width);
    }
}

/* out (rows x width) = P in, in: d x width. */
static void multiply(uint32_t threads, const lspo_projector_t *p, const float *in, size_t width, float *out)
{
    spread(threads, p->rows, multiply_rows, &(product_t){p, in, width, out});
}

/* out (d x width) = P^T in, in: rows x width. */
static void multiply_transposed(uint32_t threads, const lspo_projector_t *p, const float *in, size_t width, float *out)
{
    spread(threads, p->d, multiply_columns, &(product_t){p, in, width, out});
}

typedef struct {
    const lspo_projector_t *p;
    const float *g;
    size_t n;
    float *out;
} gather_t;

static void gather_rows(const void *context, size_t first, size_t end)
{
    const gather_t *a = context;
    lspo_projector_gather(a->p, end - first, a->g + first * a->n, a->n, a->out + first * a->p->d);
}

/* LANES columns of G, from j on: panel (d x LANES) = P^T G[:, j ..], then transposed into out. */
LSPO_SIMD static void gather_panel(const gather_t *a, size_t j, float *panel)
{
    const lspo_projector_t *p = a->p;
    const size_t d = p->d, r = p->r;
    memset(panel, 0, d * LANES * sizeof *panel);
    for (size_t i = 0; i < p->rows; i++) {
        const float *row = a->g + i * a->n + j;
        if (i + PREFETCH_ROWS < p->rows)
            __builtin_prefetch(row + PREFETCH_ROWS * a->n);
        for (size_t e = i * r; e < (i + 1) * r; e++) {
            float *sum = panel + (size_t)p->index[e] * LANES;
            const float x = p->value[e];
#pragma omp simd
            for (size_t l = 0; l < LANES; l++)
                sum[l] += x * row[l];
        }
    }
    for (size_t l = 0; l < LANES; l++)
        for (size_t k = 0; k < d; k++)
            a->out[(j + l) * d + k] = panel[k * LANES + l];
}

static void gather_column(const gather_t *a, size_t j)
{
    const lspo_projector_t *p = a->p;
    float *out = a->out + j * p->d;
    memset(out, 0, p->d * sizeof *out);
    for (size_t i = 0; i < p->rows; i++)
        for (size_t e = i * p->r; e < (i + 1) * p->r; e++)
            out[p->index[e]] += p->value[e] * a->g[i * a->n + j];
}

static void gather_columns(const void *context, size_t first, size_t end)
{
    const gather_t *a = context;
    float panel[PANEL_COLUMNS_MAX * LANES] __attribute__((aligned(64)));
    for (size_t block = first; block < end; block++) {
        const size_t j = block * LANES;
        if (j + LANES <= a->n && a->p->d <= PANEL_COLUMNS_MAX)
            gather_panel(a, j, panel);
        else
            for (size_t at = j; at < j + LANES && at < a->n; at++)
                gather_column(a, at);
    }
}

static void transpose(size_t rows, size_t cols, const float *in, float *out)
{
    for (size_t i0 = 0; i0 < rows; i0 += TILE)
        for (size_t j0 = 0; j0 < cols; j0 += TILE)
            for (size_t i = i0; i < i0 + TILE && i < rows; i++)
                for (size_t j = j0; j < j0 + TILE && j < cols; j++)
                    out[j * rows + i] = in[i * cols + j];
}

LSPO_SIMD static double dot(size_t n, const float *a, const float *b)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* ---- the bias of one gradient, and its derivative ---- */

/* out (d x d) = A^T B, both rows x d. */
static void cross(const lspo_projector_t *a, const lspo_projector_t *b, float *out)
{
    memset(out, 0, (size_t)a->d * b->d * sizeof *out);
    for (size_t i = 0; i < a->rows; i++)
        for (size_t e = i * a->r; e < (i + 1) * a->r; e++)
            for (size_t f = i * b->r; f < (i + 1) * b->r; f++)
                out[(size_t)a->index[e] * b->d + b->index[f]] += a->value[e] * b->value[f];
}

/* Multiplying by P^T P as P^T (P ...) takes 4 rows r flop a column but reads the tall matrix r times, out of order; as
 * a dense product it takes 2 d d, six times as fast a flop or more.  The Gram matrix takes the tall one's place. */
static bool gram_pays(const lspo_projector_t *p, size_t other_d)
{
    const uint64_t d = p->d, rows = p->rows;
    return d * d <= 12 * rows * p->r && d * d <= rows * other_d;
}

/* Named as in the header; _t: transposed.  G Q, P S... are rows x the other side's d. */
typedef struct {
    const lspo_projector_t *p, *q;
    const float *g;
    uint32_t threads;
    size_t m, n, d_m, d_n;
    float *gq, *pt;   /* m x d_n */
    float *gtp, *qst; /* n x d_m */
    float *hat, *hat_t, *s, *s_t, *t, *t_t, *d, *d_t;
    bool p_gram, q_gram; /* P^T P and Q^T Q are formed: see gram_pays() */
} sketch_t;

uint64_t lspo_fit_scratch_of(uint64_t m, uint64_t n, uint64_t d_m, uint64_t d_n, uint64_t r_m, uint64_t r_n)
{
    return 2 * m * d_n + 2 * n * d_m + 8 * d_m * d_n + 4 * (m * r_m + n * r_n);
}

uint64_t lspo_fit_scratch(const lspo_projector_t *p, const lspo_projector_t *q)
{
    return lspo_fit_scratch_of(p->rows, q->rows, p->d, q->d, p->r, q->r);
}

static float *carve(float **at, size_t count)
{
    float *array = *at;
    *at += count;
    return array;
}

static sketch_t make_sketch(const lspo_projector_t *p, const lspo_projector_t *q, uint32_t threads, float **scratch)
{
    sketch_t s = {.p = p, .q = q, .threads = threads, .m = p->rows, .n = q->rows, .d_m = p->d, .d_n = q->d};
    float **const tall[] = {&s.gq, &s.pt}, **const wide[] = {&s.gtp, &s.qst};
    float **const square[] = {&s.hat, &s.hat_t, &s.s, &s.s_t, &s.t, &s.t_t, &s.d, &s.d_t};
    for (size_t i = 0; i < 2; i++)
        *tall[i] = carve(scratch, s.m * s.d_n);
    for (size_t i = 0; i < 2; i++)
        *wide[i] = carve(scratch, s.n * s.d_m);
    for (size_t i = 0; i < sizeof square / sizeof square[0]; i++)
        *square[i] = carve(scratch, s.d_m * s.d_n);
    s.p_gram = gram_pays(p, q->d);
    s.q_gram = gram_pays(q, p->d);
    return s;
}

typedef struct {
    double g2, hat2, energy; /* ||G||^2, ||G^||^2, E */
} squares_t;

static void make_s(sketch_t *s)
{
    if (s->p_gram) {
        cross(s->p, s->p, s->pt);
        lspo_gemm_nn(s->d_m, s->d_n, s->d_m, 1.0F, s->pt, s->d_m, s->hat, s->d_n, 0.0F, s->s, s->d_n);
        return;
    }
    multiply(s->threads, s->p, s->hat, s->d_n, s->pt);
    multiply_transposed(s->threads, s->p, s->pt, s->d_n, s->s);
}

static void make_t(sketch_t *s)
{
    if (s->q_gram) {
        cross(s->q, s->q, s->qst);
        lspo_gemm_nn(s->d_m, s->d_n, s->d_n, 1.0F, s->hat, s->d_n, s->qst, s->d_n, 0.0F, s->t, s->d_n);
        return;
    }
    multiply(s->threads, s->q, s->hat_t, s->d_m, s->qst);
    multiply_transposed(s->threads, s->q, s->qst, s->d_m, s->t_t);
    transpose(s->d_n, s->d_m, s->t_t, s->t);
}

/* G Q, G^, S and T of `g`, whose square is g2; pt and qst are used on the way. */
static squares_t sketch_gradient(sketch_t *s, const float *g, double g2)
{
    s->g = g;
    spread(s->threads, s->m, gather_rows, &(gather_t){s->q, g, s->n, s->gq});
    multiply_transposed(s->threads, s->p, s->gq, s->d_n, s->hat);
    transpose(s->d_m, s->d_n, s->hat, s->hat_t);
    make_s(s);
    make_t(s);
    const size_t square = s->d_m * s->d_n;
    return (squares_t){.g2 = g2, .hat2 = dot(square, s->hat, s->hat), .energy = dot(square, s->s, s->t)};
}

static double square_of(const sketch_t *s, const float *g)
{
    return dot(s->m * s->n, g, g);
}

static double bias_of(const squares_t *x, double c)
{
    const double square = (x->g2 - 2 * c * x->hat2 + c * c * x->energy) / x->g2;
    return square > 0 ? sqrt(square) : square <= 0 ? 0 : (double)NAN;
}

static bool usable(const squares_t *x)
{
    return x->g2 > 0 && isfinite(x->g2) && isfinite(x->hat2) && isfinite(x->energy);
}

static double best_bias(const squares_t *x)
{
    if (!usable(x))
        return (double)NAN;
    return x->energy > 0 ? bias_of(x, x->hat2 / x->energy) : 1;
}

typedef struct {
    const lspo_projector_t *p;
    const float *x, *with_x, *y, *with_y; /* rows x width, d x width, rows x width, d x width          */
    const float *gram;                    /* d x d, in place of y and with_y: y with_y^T is P gram; NULL: none */
    size_t width;
    float scale;
    float *gradient;
} slope_t;

/* x row . with_x[column], and, where there is no Gram matrix, twice y row . with_y[column]. */
LSPO_SIMD static float slope_at(const slope_t *a, const float *x, const float *y, uint32_t column)
{
    const size_t width = a->width;
    const float *f = a->with_x + column * width;
    float sum = 0, other = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t j = 0; j < width; j++)
        sum += x[j] * f[j];
    if (!y)
        return sum;
    const float *h = a->with_y + column * width;
#pragma omp simd reduction(+ : other)
    for (size_t j = 0; j < width; j++)
        other += y[j] * h[j];
    return sum + 2.0F * other;
}

/* A row of x is read once for four nonzeros. */
LSPO_SIMD static void slopes_of_four(const slope_t *a, const float *x, const uint32_t *index, float out[4])
{
    const size_t width = a->width;
    const float *f0 = a->with_x + index[0] * width, *f1 = a->with_x + index[1] * width;
    const float *f2 = a->with_x + index[2] * width, *f3 = a->with_x + index[3] * width;
    float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
#pragma omp simd reduction(+ : s0, s1, s2, s3)
    for (size_t j = 0; j < width; j++) {
        s0 += x[j] * f0[j];
        s1 += x[j] * f1[j];
        s2 += x[j] * f2[j];
        s3 += x[j] * f3[j];
    }
    out[0] = s0;
    out[1] = s1;
    out[2] = s2;
    out[3] = s3;
}

/* 2 (P gram) at nonzero `column` of the row. */
static float gram_slope(const slope_t *a, size_t row, uint32_t column)
{
    const size_t r = a->p->r;
    float sum = 0;
    for (size_t e = row * r; e < (row + 1) * r; e++)
        sum += a->p->value[e] * a->gram[(size_t)a->p->index[e] * a->p->d + column];
    return 2.0F * sum;
}

static void add_row_slopes(const slope_t *a, size_t row)
{
    const size_t r = a->p->r;
    const float *x = a->x + row * a->width, *y = a->gram ? NULL : a->y + row * a->width;
    const uint32_t *index = a->p->index + row * r;
    float *gradient = a->gradient + row * r, sums[4];
    for (size_t e = 0; e < r; e++) {
        if (!y && e % 4 == 0 && e + 4 <= r)
            slopes_of_four(a, x, index + e, sums);
        float slope = !y && e / 4 < r / 4 ? sums[e % 4] : slope_at(a, x, y, index[e]);
        if (a->gram)
            slope += gram_slope(a, row, index[e]);
        gradient[e] += a->scale * slope;
    }
}

static void add_slopes(const void *context, size_t first, size_t end)
{
    for (size_t row = first; row < end; row++)
        add_row_slopes(context, row);
}

/* D = 2 P^T P T - 4 G^. */
static void make_d(sketch_t *s)
{
    if (s->p_gram)
        lspo_gemm_nn(s->d_m, s->d_n, s->d_m, 1.0F, s->pt, s->d_m, s->t, s->d_n, 0.0F, s->d, s->d_n);
    else {
        multiply(s->threads, s->p, s->t, s->d_n, s->pt);
        multiply_transposed(s->threads, s->p, s->pt, s->d_n, s->d);
    }
    for (size_t i = 0; i < s->d_m * s->d_n; i++)
        s->d[i] = 2.0F * s->d[i] - 4.0F * s->hat[i];
}

/* Adds weight times the gradient of bias(1) of the gradient last sketched. */
static void add_bias_gradient(sketch_t *s, const squares_t *x, double weight, float *p_gradient, float *q_gradient)
{
    const double bias = fmax(bias_of(x, 1), 1e-6);
    const float scale = (float)(weight / (2 * bias * x->g2));
    spread(s->threads, (s->n + LANES - 1) / LANES, gather_columns, &(gather_t){s->p, s->g, s->n, s->gtp});
    make_d(s);
    transpose(s->d_m, s->d_n, s->d, s->d_t);
    if (s->p_gram) /* in the place of P^T P, which is used up */
        lspo_gemm_nt(s->d_m, s->d_m, s->d_n, 1.0F, s->t, s->d_n, s->hat, s->d_n, 0.0F, s->pt, s->d_m);
    if (s->q_gram)
        lspo_gemm_tn(s->d_n, s->d_n, s->d_m, 1.0F, s->s, s->d_n, s->hat, s->d_n, 0.0F, s->qst, s->d_n);
    else {
        transpose(s->d_m, s->d_n, s->s, s->s_t);
        multiply(s->threads, s->q, s->s_t, s->d_m, s->qst);
    }
    spread(s->threads, s->m, add_slopes,
           &(slope_t){s->p, s->gq, s->d, s->pt, s->hat, s->p_gram ? s->pt : NULL, s->d_n, scale, p_gradient});
    spread(s->threads, s->n, add_slopes,
           &(slope_t){s->q, s->gtp, s->d_t, s->qst, s->hat_t, s->q_gram ? s->qst : NULL, s->d_m, scale, q_gradient});
}

double lspo_fit_bias(const lspo_projector_t *p, const lspo_projector_t *q, const float *g, uint32_t threads,
                     float *scratch)
{
    sketch_t s = make_sketch(p, q, threads, &scratch);
    const squares_t x = sketch_gradient(&s, g, square_of(&s, g));
    return usable(&x) ? bias_of(&x, 1) : (double)NAN;
}

double lspo_fit_bias_scaled(const lspo_projector_t *p, const lspo_projector_t *q, const float *g, uint32_t threads,
                            float *scratch)
{
    sketch_t s = make_sketch(p, q, threads, &scratch);
    const squares_t x = sketch_gradient(&s, g, square_of(&s, g));
    return best_bias(&x);
}

/* ---- fitting ---- */

static size_t nonzeros(const lspo_projector_t *p)
{
    return (size_t)p->rows * p->r;
}

static double norm_of(const lspo_projector_t *p)
{
    return sqrt(dot(nonzeros(p), p->value, p->value));
}

static void add_norm_gradient(const lspo_projector_t *p, double beta, float *gradient)
{
    const double norm = norm_of(p);
    const float scale = norm > 0 ? (float)(beta / norm) : 0;
    for (size_t e = 0; e < nonzeros(p); e++)
        gradient[e] += scale * p->value[e];
}

static void square_each(const sketch_t *s, uint32_t count, const float *const *g, double *g2)
{
    for (uint32_t i = 0; i < count; i++)
        g2[i] = square_of(s, g[i]);
}

/* Mean bias(1); the gradients of L are set. */
static double mean_bias(sketch_t *s, uint32_t count, const float *const *g, const double *g2, double beta,
                        float *p_gradient, float *q_gradient)
{
    double sum = 0;
    memset(p_gradient, 0, nonzeros(s->p) * sizeof *p_gradient);
    memset(q_gradient, 0, nonzeros(s->q) * sizeof *q_gradient);
    for (uint32_t i = 0; i < count; i++) {
        const squares_t x = sketch_gradient(s, g[i], g2[i]);
        if (!usable(&x))
            return (double)NAN;
        sum += bias_of(&x, 1);
        add_bias_gradient(s, &x, 1.0 / count, p_gradient, q_gradient);
    }
    add_norm_gradient(s->p, beta, p_gradient);
    add_norm_gradient(s->q, beta, q_gradient);
    return sum / count;
}

double lspo_fit_objective(const lspo_projector_t *p, const lspo_projector_t *q, uint32_t count, const float *const *g,
                          double beta, uint32_t threads, float *p_gradient, float *q_gradient, float *scratch)
{
    sketch_t s = make_sketch(p, q, threads, &scratch);
    double g2[LSPO_FIT_GRADIENTS_MAX];
    square_each(&s, count, g, g2);
    return mean_bias(&s, count, g, g2, beta, p_gradient, q_gradient) + beta * (norm_of(p) + norm_of(q));
}

/* Up to this many nonzeros a row the rate is the options'; with more, smaller values, it falls as their number rises:
 * at equal rates 64 a row do not converge. */
enum { FULL_RATE_NNZ = 16 };

lspo_fit_options_t lspo_fit_default(void)
{
    return (lspo_fit_options_t){
        .alpha = 0.3, .beta = 1e-4, .learning_rate = 0.1, .plateau = 1e-3, .steps = 100, .threads = 1};
}

/* One of P and Q under Adam: gradient, moments and the best values so far. */
typedef struct {
    lspo_projector_t *p;
    float *gradient, *m, *v, *best;
    double rate;
} side_t;

static side_t make_side(lspo_projector_t *p, float **moments, float **scratch)
{
    const size_t count = nonzeros(p);
    side_t side = {.p = p};
    side.m = carve(moments, count);
    side.v = carve(moments, count);
    side.gradient = carve(scratch, count);
    side.best = carve(scratch, count);
    return side;
}

static void rescale(lspo_projector_t *p, double factor)
{
    for (size_t e = 0; e < nonzeros(p); e++)
        p->value[e] = (float)(factor * (double)p->value[e]);
    lspo_projector_refresh(p);
}

static void hold_norm(lspo_projector_t *p)
{
    const double norm = norm_of(p);
    if (norm > 0)
        rescale(p, sqrt((double)p->rows) / norm);
}

static void step_side(side_t *side, uint32_t t, double fade)
{
    const float a = (float)(fade * side->rate / (1 - pow(0.9, t))), b = (float)(1 / (1 - pow(0.999, t)));
    for (size_t e = 0; e < nonzeros(side->p); e++) {
        const float g = side->gradient[e];
        side->m[e] = 0.9F * side->m[e] + 0.1F * g;
        side->v[e] = 0.999F * side->v[e] + 0.001F * g * g;
        side->p->value[e] -= a * side->m[e] / (sqrtf(b * side->v[e]) + 1e-12F);
    }
    lspo_projector_refresh(side->p);
}

static void keep_best(side_t *side)
{
    memcpy(side->best, side->p->value, nonzeros(side->p) * sizeof *side->best);
}

static void take_best(side_t *side)
{
    memcpy(side->p->value, side->best, nonzeros(side->p) * sizeof *side->best);
    lspo_projector_refresh(side->p);
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Biases as handed in, and the one scale for all gradients from which fitting starts. */
static double measure_start(sketch_t *s, uint32_t count, const float *const *g, const double *g2,
                            lspo_fit_result_t *result)
{
    double hat2 = 0, energy = 0;
    for (uint32_t i = 0; i < count; i++) {
        const squares_t x = sketch_gradient(s, g[i], g2[i]);
        if (!usable(&x))
            return (double)NAN;
        result->bias_before += bias_of(&x, 1) / count;
        result->bias_random += best_bias(&x) / count;
        hat2 += x.hat2 / x.g2;
        energy += x.energy / x.g2;
    }
    return energy > 0 ? hat2 / energy : (double)NAN;
}

static bool stops(const lspo_fit_options_t *options, double started_s, double best, double *mark,
                  lspo_fit_result_t *result)
{
    if (best <= options->alpha)
        result->reason = LSPO_FIT_THRESHOLD;
    else if (result->steps >= options->steps)
        result->reason = LSPO_FIT_STEPS;
    else if (options->time_limit_s > 0 && now_s() - started_s >= options->time_limit_s)
        result->reason = LSPO_FIT_TIME;
    else if (result->steps % PLATEAU_STEPS == 0 && result->steps > 0) {
        if (*mark - best >= options->plateau * *mark) {
            *mark = best;
            return false;
        }
        result->reason = LSPO_FIT_PLATEAU;
    } else
        return false;
    return true;
}

static void descend(const lspo_fit_options_t *options, sketch_t *s, uint32_t count, const float *const *g,
                    const double *g2, side_t *sides, double started_s, lspo_fit_result_t *result)
{
    double best = result->bias_random, mark = best;
    keep_best(&sides[0]);
    keep_best(&sides[1]);
    for (;;) {
        const double bias = mean_bias(s, count, g, g2, options->beta, sides[0].gradient, sides[1].gradient);
        if (!isfinite(bias))
            break;
        if (bias < best || result->steps == 0) {
            best = bias;
            keep_best(&sides[0]);
            keep_best(&sides[1]);
        }
        if (stops(options, started_s, best, &mark, result))
            break;
        const double fade = 1 - (double)result->steps / options->steps;
        result->steps++;
        step_side(&sides[0], result->steps, fade);
        step_side(&sides[1], result->steps, fade);
    }
    result->bias_after = best;
    take_best(&sides[0]);
    take_best(&sides[1]);
}

size_t lspo_fit_moments(const lspo_projector_t *p, const lspo_projector_t *q)
{
    return 2 * (nonzeros(p) + nonzeros(q));
}

/* Both sides before the first step, scaled to c. */
static void start_sides(const lspo_fit_options_t *options, double c, side_t *sides)
{
    for (int i = 0; i < 2; i++) {
        const size_t bytes = nonzeros(sides[i].p) * sizeof(float);
        memset(sides[i].m, 0, bytes);
        memset(sides[i].v, 0, bytes);
        rescale(sides[i].p, pow(c, 0.25));
        sides[i].rate = options->learning_rate * fmin(1, FULL_RATE_NNZ / (double)sides[i].p->r) * norm_of(sides[i].p) /
                        sqrt((double)sides[i].p->rows);
    }
}

bool lspo_fit_begin(const lspo_fit_options_t *options, const float *g, lspo_projector_t *p, lspo_projector_t *q,
                    float *moments, float *scratch, lspo_fit_stream_t *stream_out)
{
    sketch_t s = make_sketch(p, q, options->threads, &scratch);
    side_t sides[2] = {make_side(p, &moments, &scratch), make_side(q, &moments, &scratch)};
    lspo_fit_result_t unused = {0};
    const double g2 = square_of(&s, g), c = measure_start(&s, 1, &g, &g2, &unused);
    if (!isfinite(c) || c <= 0)
        return false;
    start_sides(options, c, sides);
    *stream_out = (lspo_fit_stream_t){.p_rate = sides[0].rate, .q_rate = sides[1].rate};
    return true;
}

bool lspo_fit_advance(const lspo_fit_options_t *options, uint32_t steps, const float *g, lspo_projector_t *p,
                      lspo_projector_t *q, float *moments, float *scratch, lspo_fit_stream_t *stream)
{
    sketch_t s = make_sketch(p, q, options->threads, &scratch);
    side_t sides[2] = {make_side(p, &moments, &scratch), make_side(q, &moments, &scratch)};
    const double g2 = square_of(&s, g);
    sides[0].rate = stream->p_rate;
    sides[1].rate = stream->q_rate;
    for (uint32_t i = 0; i < steps && stream->steps < options->steps; i++) {
        if (!isfinite(mean_bias(&s, 1, &g, &g2, options->beta, sides[0].gradient, sides[1].gradient)))
            return false;
        const double fade = 1 - (double)stream->steps / options->steps;
        stream->steps++;
        step_side(&sides[0], stream->steps, fade);
        step_side(&sides[1], stream->steps, fade);
    }
    return true;
}

void lspo_fit_finish(lspo_projector_t *p, lspo_projector_t *q)
{
    hold_norm(p);
    hold_norm(q);
}

lspo_fit_result_t lspo_fit(const lspo_fit_options_t *options, uint32_t count, const float *const *g,
                           lspo_projector_t *p, lspo_projector_t *q, float *scratch)
{
    const double started_s = now_s();
    lspo_fit_result_t result = {.reason = LSPO_FIT_NUMERIC};
    sketch_t s = make_sketch(p, q, options->threads, &scratch);
    float *moments = carve(&scratch, lspo_fit_moments(p, q));
    side_t sides[2] = {make_side(p, &moments, &scratch), make_side(q, &moments, &scratch)};
    double g2[LSPO_FIT_GRADIENTS_MAX];
    square_each(&s, count, g, g2);
    const double c = measure_start(&s, count, g, g2, &result);
    result.bias_after = result.bias_random;
    if (!isfinite(c) || c <= 0)
        return result;
    start_sides(options, c, sides);
    descend(options, &s, count, g, g2, sides, started_s, &result);
    lspo_fit_finish(p, q);
    return result;
}

const char *lspo_fit_reason_name(lspo_fit_reason_t reason)
{
    static const char *const names[] = {"steps", "threshold", "plateau", "time", "numeric"};
    return (unsigned)reason < sizeof names / sizeof names[0] ? names[reason] : "?";
}

/* ---- moments ---- */

size_t lspo_fit_carry_scratch(const lspo_projector_t *p, const lspo_projector_t *q)
{
    return (size_t)p->d * p->d + (size_t)q->d * q->d + (size_t)p->d * q->d;
}

static void square_all(size_t n, float *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] *= x[i];
}

static double sum_of(size_t n, const float *x)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i];
    return sum;
}

static void scale_all(size_t n, double factor, float *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(factor * (double)x[i]);
}

/* x (d_m x d_n) <- left x right. */
static void sandwich(size_t d_m, size_t d_n, const float *left, const float *right, float *x, float *between)
{
    lspo_gemm_nn(d_m, d_n, d_m, 1.0F, left, d_m, x, d_n, 0.0F, between, d_n);
    lspo_gemm_nn(d_m, d_n, d_n, 1.0F, between, d_n, right, d_n, 0.0F, x, d_n);
}

double lspo_fit_carry(const lspo_projector_t *p, const lspo_projector_t *q, const lspo_projector_t *p_new,
                      const lspo_projector_t *q_new, bool keep_sum, float *m, float *v, float *scratch)
{
    const size_t d_m = p->d, d_n = q->d, count = d_m * d_n;
    float *left = carve(&scratch, d_m * d_m), *right = carve(&scratch, d_n * d_n), *between = scratch;
    cross(p_new, p, left);
    cross(q, q_new, right);
    sandwich(d_m, d_n, left, right, m, between);
    square_all(d_m * d_m, left);
    square_all(d_n * d_n, right);
    const double before = sum_of(count, v);
    sandwich(d_m, d_n, left, right, v, between);
    const double after = sum_of(count, v);
    if (!keep_sum || !(after > 0) || !(before > 0))
        return 1;
    scale_all(count, before / after, v);
    scale_all(count, sqrt(before / after), m);
    return sqrt(before / after);
}

/* ---- the floor ---- */

static bool eigenvalues(int order, double *matrix, double *values)
{
    const int lwork = order * 38, liwork = order * 10, unused_int = 0, one = 1;
    const double unused = 0, tolerance = 0;
    double *work = malloc((size_t)lwork * sizeof *work), nothing = 0;
    int *iwork = malloc((size_t)liwork * sizeof *iwork), *support = malloc((size_t)order * 2 * sizeof *support);
    int found = 0, info = -1;
    if (work && iwork && support)
        lspo_blas()->dsyevr("N", "A", "U", &order, matrix, &order, &unused, &unused, &unused_int, &unused_int,
                            &tolerance, &found, values, &nothing, &one, support, work, &lwork, iwork, &liwork, &info, 1,
                            1, 1);
    free(support);
    free(iwork);
    free(work);
    return info == 0 && found == order;
}

double lspo_fit_svd_floor(size_t m, size_t n, size_t k, const float *g)
{
    const size_t s = m < n ? m : n;
    const double g2 = dot(m * n, g, g);
    float *gram = malloc(s * s * sizeof *gram);
    double *matrix = malloc(s * s * sizeof *matrix), *values = malloc(s * sizeof *values);
    double floor = (double)NAN;
    if (gram && matrix && values && g2 > 0 && isfinite(g2)) {
        if (m <= n)
            lspo_gemm_nt(m, m, n, 1.0F, g, n, g, n, 0.0F, gram, m);
        else
            lspo_gemm_tn(n, n, m, 1.0F, g, n, g, n, 0.0F, gram, n);
        for (size_t i = 0; i < s * s; i++)
            matrix[i] = (double)gram[i];
        if (eigenvalues((int)s, matrix, values)) {
            double rest = 0;
            for (size_t i = 0; i + k < s; i++) /* in ascending order */
                rest += fmax(values[i], 0);
            floor = sqrt(rest / g2);
        }
    }
    free(values);
    free(matrix);
    free(gram);
    return floor;
}
