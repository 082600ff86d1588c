/* gradients_compare.c - how well each compression method preserves gradients; see gradients.h. */
#include "real/train/gradients.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/blas.h"
#include "kernels/fit.h"
#include "kernels/lowrank.h"
#include "plan/policies/lsp.h"

static const double rank_threshold = 1e-4;
/* GaLore keeps per basis vector: its s elements, and l elements of the gradient and of each moment. */
enum { GALORE_LONG_SIDES = 3 };

typedef struct {
    const lspo_gradients_t *gradients;
    uint32_t tensor, m, n;
    lspo_workers_t *workers;                   /* one per core */
    lspo_projector_t random_p, random_q, p, q; /* p, q: fitted */
    float *scratch;                            /* of kernels/fit.h */
    float *mean;                               /* m x n: of the calibration gradients */
} comparison_t;

static void close_comparison(comparison_t *c)
{
    lspo_projector_release(&c->random_p);
    lspo_projector_release(&c->random_q);
    lspo_projector_release(&c->p);
    lspo_projector_release(&c->q);
    lspo_workers_destroy(c->workers);
    free(c->scratch);
    free(c->mean);
}

static void fill_mean(comparison_t *c)
{
    const uint32_t count = c->gradients->calibration_count;
    const size_t elements = (size_t)c->m * c->n;
    memset(c->mean, 0, elements * sizeof(float));
    for (uint32_t k = 0; k < count; k++) {
        const float *g = lspo_gradients_at(c->gradients, k, c->tensor);
        for (size_t i = 0; i < elements; i++)
            c->mean[i] += g[i] / (float)count;
    }
}

static lspo_status_t open_comparison(comparison_t *c, const lspo_projection_t *projection, uint64_t seed)
{
    const uint32_t d_m = projection->d_rows, d_n = projection->d_cols;
    const uint32_t r_m = projection->nnz_rows, r_n = projection->nnz_cols;
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    /* Seeds of P are even, those of Q odd, and they differ by tensor. */
    const uint64_t seed_p = (seed + c->tensor) * 2, seed_q = seed_p + 1;
    bool ok = lspo_projector_random(c->m, d_m, r_m, seed_p, &c->random_p) &&
              lspo_projector_random(c->n, d_n, r_n, seed_q, &c->random_q) &&
              lspo_projector_random(c->m, d_m, r_m, seed_p, &c->p) &&
              lspo_projector_random(c->n, d_n, r_n, seed_q, &c->q);
    c->scratch = malloc(lspo_fit_scratch_of(c->m, c->n, d_m, d_n, r_m, r_n) * sizeof(float));
    c->mean = malloc((size_t)c->m * c->n * sizeof(float));
    if (!ok || !c->scratch || !c->mean)
        return lspo_no_memory("projectors of a %" PRIu32 " x %" PRIu32 " weight", c->m, c->n);
    fill_mean(c);
    return lspo_workers_create(cores > 1 ? (uint32_t)cores : 1, NULL, &c->workers);
}

static void fit(comparison_t *c, const lspo_workload_t *workload, lspo_bias_report_t *report)
{
    const float *g[LSPO_GRADIENTS_MAX];
    lspo_fit_options_t options = lspo_fit_default();
    options.alpha = lspo_lsp_values_of(workload)->bias_threshold;
    options.beta = lspo_lsp_values_of(workload)->fit_beta;
    options.steps = lspo_lsp_values_of(workload)->fit_steps;
    options.workers = c->workers;
    for (uint32_t i = 0; i < c->gradients->calibration_count; i++)
        g[i] = lspo_gradients_at(c->gradients, i, c->tensor);
    uint64_t start_ns = lspo_now_ns();
    lspo_fit_result_t result =
        lspo_fit(&options, &(lspo_fit_gradients_t){c->gradients->calibration_count, g}, &c->p, &c->q, c->scratch);
    report->fit_s = (double)(lspo_now_ns() - start_ns) * 1e-9;
    report->fit_steps = result.steps;
    report->fit_reason = lspo_fit_reason_name(result.reason);
}

/* Sets of gradients: [first, first + count). */
typedef struct {
    uint32_t first, count;
} range_t;

static void measure_pairs(const comparison_t *c, range_t range, lspo_bias_set_t *set)
{
    set->raw = set->random = set->learned = 0;
    for (uint32_t i = range.first; i < range.first + range.count; i++) {
        const float *g = lspo_gradients_at(c->gradients, i, c->tensor);
        set->raw += lspo_fit_bias(&c->random_p, &c->random_q, g, c->workers, c->scratch) / range.count;
        set->random += lspo_fit_bias_scaled(&c->random_p, &c->random_q, g, c->workers, c->scratch) / range.count;
        set->learned += lspo_fit_bias_scaled(&c->p, &c->q, g, c->workers, c->scratch) / range.count;
    }
}

static double squared_norm(size_t count, const float *values)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)values[i] * (double)values[i];
    return sum;
}

/* A is orthonormal, so that ||G - A A^T G||^2 = ||G||^2 - ||A^T G||^2. */
static double basis_bias(const comparison_t *c, range_t range, uint32_t rank, const float *basis, float *projected)
{
    double sum = 0;
    for (uint32_t i = range.first; i < range.first + range.count; i++) {
        const float *g = lspo_gradients_at(c->gradients, i, c->tensor);
        lspo_lowrank_compress(&(lspo_lowrank_t){c->m, c->n, rank, basis}, g, 0.0F, projected);
        double all = squared_norm((size_t)c->m * c->n, g);
        double kept = squared_norm((size_t)rank * (c->m > c->n ? c->m : c->n), projected);
        sum += sqrt(fmax(1.0 - kept / all, 0.0));
    }
    return sum / range.count;
}

/* GaLore's biases at a rank on both sets; out[0]: calibration. */
static lspo_status_t measure_basis(const comparison_t *c, const range_t ranges[2], uint32_t rank, double out[2])
{
    const size_t s = c->m < c->n ? c->m : c->n, l = c->m < c->n ? c->n : c->m;
    out[0] = out[1] = 1.0;
    if (rank == 0)
        return LSPO_OK;
    lspo_status_t status = LSPO_OK;
    float *basis = malloc(s * rank * sizeof(float)), *projected = malloc(l * rank * sizeof(float));
    size_t bytes = lspo_lowrank_basis_scratch_bytes(c->m, c->n, rank);
    void *scratch = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!basis || !projected || !scratch)
        status = lspo_no_memory("a basis of rank %" PRIu32, rank);
    else if (!lspo_lowrank_basis(c->m, c->n, rank, c->mean, basis, scratch))
        status = lspo_error(LSPO_ERR_NUMERIC, "cannot compute singular vectors of the gradient of %s",
                            c->gradients->shape.tensors[c->tensor].name);
    if (status != LSPO_OK)
        goto cleanup;
    for (int i = 0; i < 2; i++)
        out[i] = basis_bias(c, ranges[i], rank, basis, projected);
cleanup:
    free(scratch);
    free(projected);
    free(basis);
    return status;
}

static double mean_floor(const comparison_t *c, range_t range, uint32_t rank)
{
    double sum = 0;
    for (uint32_t i = range.first; i < range.first + range.count; i++)
        sum += lspo_fit_svd_floor(c->m, c->n, rank, lspo_gradients_at(c->gradients, i, c->tensor));
    return sum / range.count;
}

static uint32_t rank_of_numbers(uint32_t m, uint32_t n, uint64_t numbers)
{
    const uint64_t s = m < n ? m : n, l = m < n ? n : m;
    const uint64_t rank = numbers / (s + GALORE_LONG_SIDES * l);
    return (uint32_t)(rank < s ? rank : s);
}

uint32_t lspo_gradients_lowrank_rank(uint32_t m, uint32_t n, uint64_t bytes)
{
    return rank_of_numbers(m, n, bytes / sizeof(float));
}

static void describe(const comparison_t *c, const lspo_projection_t *projection, lspo_bias_report_t *report)
{
    const uint64_t numbers =
        (uint64_t)c->m * projection->nnz_rows + (uint64_t)c->n * projection->nnz_cols; /* (m + n) r */
    const uint64_t s = c->m < c->n ? c->m : c->n, l = c->m < c->n ? c->n : c->m;
    report->tensor = c->gradients->shape.tensors[c->tensor].name;
    report->rows = c->m;
    report->cols = c->n;
    report->d_rows = projection->d_rows;
    report->d_cols = projection->d_cols;
    report->nnz = projection->nnz_rows;
    report->projector_bytes = lspo_projector_bytes(c->m, projection->d_rows, projection->nnz_rows) +
                              lspo_projector_bytes(c->n, projection->d_cols, projection->nnz_cols);
    report->lowrank_rank = lspo_gradients_lowrank_rank(c->m, c->n, report->projector_bytes);
    report->lowrank_formula_rank = rank_of_numbers(c->m, c->n, numbers);
    report->lowrank_bytes = sizeof(float) * report->lowrank_rank * (s + GALORE_LONG_SIDES * l);
}

static lspo_status_t measure(comparison_t *c, lspo_bias_report_t *report)
{
    const lspo_gradients_t *gradients = c->gradients;
    const range_t ranges[2] = {{0, gradients->calibration_count},
                               {gradients->calibration_count, gradients->validation_count}};
    double lowrank[2], formula[2];
    measure_pairs(c, ranges[0], &report->calibration);
    measure_pairs(c, ranges[1], &report->validation);
    lspo_status_t status = measure_basis(c, ranges, report->lowrank_rank, lowrank);
    if (status != LSPO_OK)
        return status;
    status = measure_basis(c, ranges, report->lowrank_formula_rank, formula);
    if (status != LSPO_OK)
        return status;
    report->calibration.lowrank = lowrank[0];
    report->validation.lowrank = lowrank[1];
    report->calibration.lowrank_formula = formula[0];
    report->validation.lowrank_formula = formula[1];
    report->floor = mean_floor(c, ranges[1], report->d_rows < report->d_cols ? report->d_rows : report->d_cols);
    report->floor_lowrank = mean_floor(c, ranges[1], report->lowrank_rank);
    if (!isfinite(report->calibration.learned + report->validation.learned + report->floor))
        return lspo_error(LSPO_ERR_NUMERIC, "a gradient of %s is zero or not finite", report->tensor);
    return LSPO_OK;
}

static lspo_status_t compare_with_pairs(comparison_t *c, const lspo_projection_t *projection,
                                        const lspo_workload_t *workload, lspo_bias_report_t *report)
{
    const lspo_gradients_t *gradients = c->gradients;
    lspo_status_t status = open_comparison(c, projection, workload->seed);
    if (status != LSPO_OK)
        return status;
    describe(c, projection, report);
    fit(c, workload, report);
    status = measure(c, report);
    if (status != LSPO_OK)
        return status;
    const float *update = gradients->update + gradients->shape.tensors[c->tensor].offset_elements;
    return lspo_gradients_rank(c->m, c->n, update, &report->update_rank);
}

lspo_status_t lspo_gradients_compare(const lspo_gradients_t *gradients, uint32_t tensor,
                                     const lspo_workload_t *workload, lspo_bias_report_t *report_out)
{
    const lspo_tensor_t *weight = &gradients->shape.tensors[tensor];
    lspo_message_t message;
    lspo_bias_report_t report = {0};
    comparison_t c = {.gradients = gradients, .tensor = tensor, .m = weight->rows, .n = weight->cols};
    lspo_message_projected(&gradients->shape, lspo_lsp_values_of(workload)->subspace, lspo_lsp_values_of(workload)->nnz,
                           false, &message);
    const lspo_projection_t *projection = &message.linear[tensor];
    if (!projection->compressed)
        return lspo_error(LSPO_ERR_INPUT,
                          "--subspace %" PRIu32 " does not compress %s, which is %" PRIu32 " x %" PRIu32 "",
                          lspo_lsp_values_of(workload)->subspace, weight->name, weight->rows, weight->cols);
    lspo_status_t status = compare_with_pairs(&c, projection, workload, &report);
    close_comparison(&c);
    if (status != LSPO_OK)
        return status;
    *report_out = report;
    return LSPO_OK;
}

/* ---- rank ---- */

/* Singular values in descending order into s (min(m, n)); `a` is overwritten. */
static bool singular_values(int m, int n, double *a, double *s)
{
    int info, lwork = -1, ld = 1;
    double size = 0, unused = 0;
    int *iwork = malloc(8 * (size_t)(m < n ? m : n) * sizeof *iwork);
    if (!iwork)
        return false;
    /* LAPACK reads the transpose, whose singular values are the same. */
    lspo_blas()->dgesdd("N", &n, &m, a, &n, s, &unused, &ld, &unused, &ld, &size, &lwork, iwork, &info, 1);
    lwork = (int)size;
    double *work = malloc((size_t)lwork * sizeof *work);
    if (work)
        lspo_blas()->dgesdd("N", &n, &m, a, &n, s, &unused, &ld, &unused, &ld, work, &lwork, iwork, &info, 1);
    free(iwork);
    free(work);
    return work && info == 0;
}

lspo_status_t lspo_gradients_rank(uint32_t m, uint32_t n, const float *values, uint32_t *rank_out)
{
    const size_t elements = (size_t)m * n, s = m < n ? m : n;
    if (!isfinite(squared_norm(elements, values)))
        return lspo_error(LSPO_ERR_NUMERIC, "a %" PRIu32 " x %" PRIu32 " matrix is not finite", m, n);
    double *a = malloc(elements * sizeof *a), *sigma = malloc(s * sizeof *sigma);
    bool done = a && sigma;
    for (size_t i = 0; done && i < elements; i++)
        a[i] = (double)values[i];
    done = done && singular_values((int)m, (int)n, a, sigma);
    uint32_t rank = 0;
    while (done && rank < s && sigma[rank] > rank_threshold * sigma[0])
        rank++;
    free(sigma);
    free(a);
    if (!done)
        return lspo_no_memory("the singular values of a %" PRIu32 " x %" PRIu32 " matrix", m, n);
    *rank_out = rank;
    return LSPO_OK;
}
