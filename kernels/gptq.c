/* gptq.c - see gptq.h. */
#include "kernels/gptq.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "kernels/blas.h"
#include "kernels/gemm.h"
#include "kernels/panels.h"
#include "kernels/simd.h"

enum { COLS = LSPO_GRID_COLS };
/* Rows whose errors reach the rows behind them by one product. */
enum { BLOCK = 128 };

typedef struct {
    const lspo_grid_t *grid;
    const float *w;     /* to round; for GPTQ it is `out` */
    float *out;         /* NULL: not wanted               */
    const float *upper; /* U; NULL: round to nearest      */
    atomic_bool fails;
} job_t;

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static lspo_grid_part_t part_of(const lspo_grid_t *grid, size_t item)
{
    return (lspo_grid_part_t){.col = item * COLS, .cols = smaller(grid->n - item * COLS, COLS)};
}

static size_t items_of(const lspo_grid_t *grid)
{
    return (grid->n + COLS - 1) / COLS;
}

/* ---- round to nearest ---- */

static void round_columns(void *context, uint32_t worker, size_t item)
{
    job_t *job = context;
    const lspo_grid_t *grid = job->grid;
    lspo_grid_part_t at = part_of(grid, item);
    lspo_grid_kept_t kept = {0};
    float rounded[COLS];
    (void)worker;
    for (; at.row < grid->m; at.row++) {
        const size_t place = at.row * grid->n + at.col;
        if (!grid->round(grid->context, &at, job->w + place, &kept, rounded)) {
            atomic_store(&job->fails, true);
            return;
        }
        if (job->out != NULL)
            memcpy(job->out + place, rounded, at.cols * sizeof *rounded);
    }
}

bool lspo_grid_round(lspo_workers_t *workers, const lspo_grid_t *grid, const float *w, float *out)
{
    job_t job = {.grid = grid, .w = w, .out = out};
    lspo_workers_run(workers, items_of(grid), round_columns, &job);
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
lspo_status_t lspo_gptq_factor(size_t m, float damping, float *hessian)
{
    const int order = (int)m;
    int info = 0;
    double sum = 0;
    for (size_t i = 0; i < m; i++)
        sum += (double)hessian[i * m + i];
    if (!isfinite(sum))
        return lspo_error(LSPO_ERR_INPUT, "inputs of a calibration are not finite numbers, or too large");
    const float added = sum > 0 ? damping * (float)(sum / (double)m) : 1;
    const bool first_is_dead = hessian[0] == 0;
    for (size_t i = 0; i < m; i++) {
        float *diagonal = &hessian[i * m + i];
        if (i > 0) /* the other triangle is free */
            hessian[i * m] = *diagonal == 0;
        *diagonal += added;
    }
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

/* Rounds a row, and finds its error as the rows behind it see it. */
static bool quantize_row(const job_t *job, const lspo_grid_part_t *at, lspo_grid_kept_t *kept, float *e)
{
    const lspo_grid_t *grid = job->grid;
    float *w = job->out + at->row * grid->n + at->col, rounded[COLS];
    const float diagonal = fabsf(job->upper[at->row * grid->m + at->row]);
    if (!grid->round(grid->context, at, w, kept, rounded))
        return false;
    for (size_t j = 0; j < at->cols; j++) {
        e[j] = (w[j] - rounded[j]) / diagonal;
        w[j] = rounded[j];
    }
    return true;
}

static void quantize_columns(void *context, uint32_t worker, size_t item)
{
    job_t *job = context;
    const size_t m = job->grid->m, n = job->grid->n;
    lspo_grid_part_t at = part_of(job->grid, item);
    lspo_grid_kept_t kept = {0};
    float errors[BLOCK * COLS], *w = job->out + at.col;
    (void)worker;
    for (size_t i = 0; i < m; i++)
        if (job->upper[i * m + i] < 0)
            memset(w + i * n, 0, at.cols * sizeof *w);
    for (size_t first = 0; first < m; first += BLOCK) {
        const size_t end = smaller(first + BLOCK, m);
        for (at.row = first; at.row < end; at.row++) {
            float *e = errors + (at.row - first) * COLS;
            if (!quantize_row(job, &at, &kept, e)) {
                atomic_store(&job->fails, true);
                return;
            }
            for (size_t k = at.row + 1; k < end; k++)
                subtract(at.cols, job->upper[at.row * m + k], e, w + k * n);
        }
        if (end < m)
            lspo_gemm_tn(m - end, at.cols, end - first, -1.0F, job->upper + first * m + end, m, errors, COLS, 1.0F,
                         w + end * n, n);
    }
}

bool lspo_gptq_round(lspo_workers_t *workers, const lspo_grid_t *grid, float *w, const float *upper)
{
    job_t job = {.grid = grid, .w = w, .out = w, .upper = upper};
    lspo_workers_run(workers, items_of(grid), quantize_columns, &job);
    return !atomic_load(&job.fails);
}
