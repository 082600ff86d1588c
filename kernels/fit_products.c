/* fit_products.c - sparse times dense products, whose rows or columns are shared by workers. */
#include "kernels/fit_products.h"

#include <string.h>

#include "kernels/simd.h"

enum {
    LANES = 16,               /* columns of G per panel of the transposed gather: a cache line */
    PANEL_COLUMNS_MAX = 4096, /* d whose panel fits on the stack (256 KiB)                              */
    PREFETCH_ROWS = 12,
    TILE = 16
};

typedef struct {
    lspo_fit_range_t *function;
    const void *context;
    size_t count, parts;
} ranges_t;

static void run_range(void *context, uint32_t worker, size_t part)
{
    const ranges_t *ranges = context;
    (void)worker;
    ranges->function(ranges->context, ranges->count * part / ranges->parts, ranges->count * (part + 1) / ranges->parts);
}

void lspo_fit_spread(lspo_workers_t *workers, size_t count, lspo_fit_range_t *function, const void *context)
{
    ranges_t ranges = {function, context, count, lspo_workers_count(workers)};
    lspo_workers_run(workers, ranges.parts, run_range, &ranges);
}

/* Indices and coefficients, `step` numbers apart: 1 in the lists by rows, 2 in those by columns. */
typedef struct {
    const uint32_t *index;
    const float *coefficient;
    size_t count, step;
} terms_t;

/* out (width floats) = sum of coefficient times row `index` of the matrix (row stride = width). */
LSPO_SIMD static void combine_rows(const terms_t *terms, const float *matrix, size_t width, float *out)
{
    const uint32_t *const index = terms->index;
    const float *const coefficient = terms->coefficient;
    const size_t count = terms->count, step = terms->step;
    size_t e = 0;
    memset(out, 0, width * sizeof *out);
    for (; e + 8 <= count; e += 8) {
        const float *a = matrix + index[e * step] * width, *b = matrix + index[(e + 1) * step] * width;
        const float *c = matrix + index[(e + 2) * step] * width, *d = matrix + index[(e + 3) * step] * width;
        const float *f = matrix + index[(e + 4) * step] * width, *g = matrix + index[(e + 5) * step] * width;
        const float *h = matrix + index[(e + 6) * step] * width, *k = matrix + index[(e + 7) * step] * width;
        const float x0 = coefficient[e * step], x1 = coefficient[(e + 1) * step], x2 = coefficient[(e + 2) * step],
                    x3 = coefficient[(e + 3) * step];
        const float x4 = coefficient[(e + 4) * step], x5 = coefficient[(e + 5) * step],
                    x6 = coefficient[(e + 6) * step], x7 = coefficient[(e + 7) * step];
#pragma omp simd
        for (size_t j = 0; j < width; j++)
            out[j] += ((x0 * a[j] + x1 * b[j]) + (x2 * c[j] + x3 * d[j])) +
                      ((x4 * f[j] + x5 * g[j]) + (x6 * h[j] + x7 * k[j]));
    }
    for (; e + 4 <= count; e += 4) {
        const float *a = matrix + index[e * step] * width, *b = matrix + index[(e + 1) * step] * width;
        const float *c = matrix + index[(e + 2) * step] * width, *d = matrix + index[(e + 3) * step] * width;
        const float x = coefficient[e * step], y = coefficient[(e + 1) * step], z = coefficient[(e + 2) * step],
                    u = coefficient[(e + 3) * step];
#pragma omp simd
        for (size_t j = 0; j < width; j++)
            out[j] += (x * a[j] + y * b[j]) + (z * c[j] + u * d[j]);
    }
    for (; e < count; e++) {
        const float *a = matrix + index[e * step] * width;
        const float x = coefficient[e * step];
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
        combine_rows(&(terms_t){a->p->index + i * r, a->p->value + i * r, r, 1}, a->in, a->width,
                     a->out + i * a->width);
}

static void multiply_columns(const void *context, size_t first, size_t end)
{
    const product_t *a = context;
    for (size_t c = first; c < end; c++) {
        const uint32_t at = a->p->column_first[c];
        const lspo_projector_entry_t *const entries = a->p->column_entry + at;
        combine_rows(&(terms_t){&entries->row, &entries->value, a->p->column_first[c + 1] - at,
                                sizeof *entries / sizeof entries->value},
                     a->in, a->width, a->out + c * a->width);
    }
}

void lspo_fit_multiply(lspo_workers_t *workers, const lspo_projector_t *p, const float *in, size_t width, float *out)
{
    lspo_fit_spread(workers, p->rows, multiply_rows, &(product_t){p, in, width, out});
}

void lspo_fit_multiply_transposed(lspo_workers_t *workers, const lspo_projector_t *p, const float *in, size_t width,
                                  float *out)
{
    lspo_fit_spread(workers, p->d, multiply_columns, &(product_t){p, in, width, out});
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

/* LANES columns of G, from j on: panel (d x LANES) = P^T G[:, j ..], transposed into out. */
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

void lspo_fit_transpose(size_t rows, size_t cols, const float *in, float *out)
{
    for (size_t i0 = 0; i0 < rows; i0 += TILE)
        for (size_t j0 = 0; j0 < cols; j0 += TILE)
            for (size_t i = i0; i < i0 + TILE && i < rows; i++)
                for (size_t j = j0; j < j0 + TILE && j < cols; j++)
                    out[j * rows + i] = in[i * cols + j];
}

LSPO_SIMD double lspo_fit_dot(size_t n, const float *a, const float *b)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

void lspo_fit_cross(const lspo_projector_t *a, const lspo_projector_t *b, float *out)
{
    memset(out, 0, (size_t)a->d * b->d * sizeof *out);
    for (size_t i = 0; i < a->rows; i++)
        for (size_t e = i * a->r; e < (i + 1) * a->r; e++)
            for (size_t f = i * b->r; f < (i + 1) * b->r; f++)
                out[(size_t)a->index[e] * b->d + b->index[f]] += a->value[e] * b->value[f];
}

void lspo_fit_gather(lspo_workers_t *workers, const lspo_projector_t *p, size_t rows, const float *g, float *out)
{
    lspo_fit_spread(workers, rows, gather_rows, &(gather_t){p, g, p->rows, out});
}

void lspo_fit_gather_transposed(lspo_workers_t *workers, const lspo_projector_t *p, size_t n, const float *g,
                                float *out)
{
    lspo_fit_spread(workers, (n + LANES - 1) / LANES, gather_columns, &(gather_t){p, g, n, out});
}
