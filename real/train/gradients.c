/* gradients.c - see gradients.h. */
#include "real/train/gradients.h"
#include "plan/policies/lsp.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/blas.h"
#include "kernels/fit.h"
#include "kernels/loss.h"
#include "kernels/lowrank.h"
#include "plan/footprint.h"
#include "plan/policy.h"
#include "real/data/text.h"
#include "real/device/device.h"
#include "real/execute/executor.h"
#include "real/execute/lane.h"
#include "real/machine/topology.h"
#include "real/methods/methods.h"
#include "real/session/session.h"
#include "real/transformer/transformer.h"

static const double rank_threshold = 1e-4;
/* GaLore keeps for each basis vector: its s elements, and l of the gradient and of each moment. */
enum { GALORE_LONG_SIDES = 3 };

/* ---- training ---- */

typedef struct {
    const lspo_gradients_options_t *options;
    lspo_text_t *text;
    lspo_device_t *device;
    lspo_session_t *session;
    lspo_topology_t topology;
} training_t;

static void enter_lane(void *context, const lspo_lane_t *lane)
{
    const training_t *training = context;
    lspo_topology_enter(&training->topology, (lspo_lane_kind_t)lane->kind);
    lspo_lane_flush_denormals();
}

static lspo_status_t run_op(void *context, const lspo_op_t *op)
{
    const training_t *training = context;
    return lspo_session_run_op(training->session, op);
}

static lspo_status_t open_training(const lspo_gradients_options_t *options, training_t *training)
{
    static const lspo_device_caps_t no_caps;
    *training = (training_t){.options = options};
    lspo_status_t status = lspo_topology_read(&training->topology);
    if (status != LSPO_OK)
        return status;
    status = lspo_text_open(options->text_path, &training->text);
    if (status != LSPO_OK)
        return status;
    if (options->tokenizer)
        status = lspo_text_tokenize(training->text, options->tokenizer, options->plan->model.vocabulary);
    if (status != LSPO_OK)
        return status;
    status = lspo_device_open(options->device, &no_caps, &training->device);
    if (status != LSPO_OK)
        return status;
    return lspo_session_create_from(options->plan, training->device, training->text, &options->first_weights,
                                    &training->session);
}

static void close_training(training_t *training)
{
    lspo_session_destroy(training->session);
    lspo_device_close(training->device);
    lspo_text_close(training->text);
}

/* ---- one backward pass down to a block ---- */

/* Everything a pass needs, in one place; arrays by stage. */
typedef struct {
    const lspo_model_t *model;
    uint32_t stage_count, stage;
    size_t tokens;
    lspo_transformer_t *transformer;
    void *workspace;
    float **weights, **saved, **x; /* x[s]: what stage s puts out */
    uint32_t *ids, *targets;
    float *dx;
} pass_t;

static bool allocate_stage(pass_t *pass, uint32_t s)
{
    lspo_stage_t shape;
    lspo_model_stage(pass->model, s, &shape);
    size_t saved_bytes = lspo_transformer_saved_bytes(pass->transformer, s);
    pass->weights[s] = malloc(shape.element_count * sizeof(float));
    pass->saved[s] = malloc(saved_bytes > 0 ? saved_bytes : 1);
    pass->x[s] = malloc(pass->tokens * pass->model->width * sizeof(float));
    return pass->weights[s] && pass->saved[s] && pass->x[s];
}

static lspo_status_t allocate_pass(pass_t *pass)
{
    pass->weights = calloc(pass->stage_count, sizeof *pass->weights);
    pass->saved = calloc(pass->stage_count, sizeof *pass->saved);
    pass->x = calloc(pass->stage_count, sizeof *pass->x);
    pass->ids = malloc(pass->tokens * sizeof *pass->ids);
    pass->targets = malloc(pass->tokens * sizeof *pass->targets);
    pass->dx = malloc(pass->tokens * pass->model->width * sizeof(float));
    bool ok = pass->weights && pass->saved && pass->x && pass->ids && pass->targets && pass->dx;
    for (uint32_t s = 0; ok && s < pass->stage_count; s++)
        ok = allocate_stage(pass, s);
    return ok ? LSPO_OK : lspo_no_memory("a backward pass of %s", pass->model->name);
}

/* Cleaned up by close_pass() on failure too. */
static lspo_status_t open_pass(const training_t *training, pass_t *pass)
{
    const lspo_plan_t *plan = training->options->plan;
    const lspo_workload_t *workload = &plan->workload;
    *pass = (pass_t){.model = &plan->model,
                     .stage_count = lspo_model_stage_count(&plan->model),
                     .stage = training->options->stage,
                     .tokens = lspo_workload_tokens(workload)};
    size_t bytes = lspo_transformer_workspace_bytes(pass->model, workload->batch, workload->sequence, LSPO_NUMBER_FP32);
    pass->workspace = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!pass->workspace)
        return lspo_no_memory("a backward pass of %s", pass->model->name);
    lspo_status_t status = lspo_transformer_create(pass->model, workload->batch, workload->sequence,
                                                   lspo_compute_host(), pass->workspace, &pass->transformer);
    if (status != LSPO_OK)
        return status;
    status = allocate_pass(pass);
    if (status != LSPO_OK)
        return status;
    for (uint32_t s = 0; s < pass->stage_count; s++) {
        status = lspo_session_merged_weights(training->session, s, pass->weights[s]);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

static void free_each(float **arrays, uint32_t count)
{
    for (uint32_t s = 0; arrays && s < count; s++)
        free(arrays[s]);
    free(arrays);
}

static void close_pass(pass_t *pass)
{
    free_each(pass->weights, pass->stage_count);
    free_each(pass->saved, pass->stage_count);
    free_each(pass->x, pass->stage_count);
    free(pass->ids);
    free(pass->targets);
    free(pass->dx);
    lspo_transformer_destroy(pass->transformer);
    free(pass->workspace);
}

/* Gradients of the block's linear weights for the batch in ids and targets. */
static void backward_to_stage(pass_t *pass, float *linear_out)
{
    lspo_transformer_t *t = pass->transformer;
    uint32_t head = pass->stage_count - 1;
    lspo_gradient_sink_t sink = {.linear = linear_out};
    lspo_transformer_embed_forward(t, pass->ids, pass->weights[0], pass->x[0]);
    for (uint32_t s = 1; s < head; s++)
        lspo_transformer_block_forward(t, &(lspo_block_parameters_t){pass->weights[s], NULL}, pass->x[s - 1],
                                       pass->saved[s], pass->x[s]);
    double loss_sum;
    size_t counted = lspo_targets_counted(lspo_transformer_targets(t), pass->targets);
    lspo_transformer_head_forward(t, &(lspo_head_parameters_t){pass->weights[head], pass->weights[0]}, pass->targets,
                                  pass->x[head - 1], pass->saved[head], &loss_sum);
    lspo_transformer_head_backward(t, &(lspo_head_parameters_t){pass->weights[head], pass->weights[0]},
                                   &(lspo_head_loss_t){pass->targets, 1.0F / (float)(counted > 0 ? counted : 1)},
                                   &(lspo_stage_kept_t){pass->x[head - 1], pass->saved[head]}, NULL, pass->dx);
    for (uint32_t s = head - 1; s >= pass->stage; s--)
        lspo_transformer_block_backward(t, &(lspo_block_parameters_t){pass->weights[s], NULL},
                                        &(lspo_stage_kept_t){pass->x[s - 1], pass->saved[s]},
                                        s == pass->stage ? &sink : NULL, NULL, pass->dx);
}

static void load_batch(const training_t *training, uint32_t index, pass_t *pass)
{
    const lspo_gradients_options_t *options = training->options;
    const lspo_workload_t *workload = &options->plan->workload;
    if (index < options->calibration_count)
        lspo_text_batch(training->text, workload->seed, workload->iterations + index, 0,
                        &(lspo_text_windows_t){workload->batch, workload->sequence, pass->ids, pass->targets});
    else
        lspo_text_held_out(training->text, index - options->calibration_count, options->validation_count,
                           &(lspo_text_windows_t){workload->batch, workload->sequence, pass->ids, pass->targets});
}

/* ---- collecting ---- */

static lspo_status_t check_options(const lspo_gradients_options_t *options)
{
    const lspo_model_t *model = &options->plan->model;
    const uint32_t counts[] = {options->calibration_count, options->validation_count};
    if (options->stage < 1 || options->stage > model->block_count)
        return lspo_error(LSPO_ERR_INPUT, "layer %" PRIu32 " is not a block of %s; its blocks are 1 to %" PRIu32,
                          options->stage, model->name, model->block_count);
    for (size_t i = 0; i < 2; i++)
        if (counts[i] < 1 || counts[i] > LSPO_GRADIENTS_MAX)
            return lspo_error(LSPO_ERR_INPUT, "%" PRIu32 " gradients: a set has 1 to %d", counts[i],
                              LSPO_GRADIENTS_MAX);
    return LSPO_OK;
}

static lspo_status_t allocate_gradients(const lspo_gradients_options_t *options, lspo_gradients_t *gradients)
{
    lspo_stage_t *shape = &gradients->shape;
    lspo_model_stage(&options->plan->model, options->stage, shape);
    for (uint32_t i = 0; i < shape->linear_count; i++)
        gradients->linear_elements += (uint64_t)shape->tensors[i].rows * shape->tensors[i].cols;
    gradients->calibration_count = options->calibration_count;
    gradients->validation_count = options->validation_count;
    uint64_t count = (uint64_t)options->calibration_count + options->validation_count;
    gradients->values = malloc(count * gradients->linear_elements * sizeof(float));
    gradients->update = malloc(gradients->linear_elements * sizeof(float));
    if (!gradients->values || !gradients->update)
        return lspo_no_memory("%" PRIu64 " gradients of a block", count);
    return LSPO_OK;
}

/* Leaves in `update` what the training added. */
static lspo_status_t train(training_t *training, lspo_gradients_t *gradients)
{
    const lspo_gradients_options_t *options = training->options;
    const lspo_plan_t *plan = options->plan;
    lspo_trace_t *trace = NULL;
    float *merged = malloc(gradients->shape.element_count * sizeof(float));
    if (!merged)
        return lspo_no_memory("a block's weights");
    lspo_status_t status = lspo_session_merged_weights(training->session, options->stage, merged);
    memcpy(gradients->update, merged, gradients->linear_elements * sizeof(float));
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_execute(plan, run_op, enter_lane, training, options->stop, &trace);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_session_merged_weights(training->session, options->stage, merged);
    if (status != LSPO_OK)
        goto cleanup;
    const double *losses = lspo_session_losses(training->session);
    for (uint64_t i = 0; i < gradients->linear_elements; i++)
        gradients->update[i] = merged[i] - gradients->update[i];
    gradients->loss_first = losses[0];
    gradients->loss_last = losses[plan->workload.iterations - 1];
cleanup:
    lspo_trace_destroy(trace);
    free(merged);
    return status;
}

static lspo_status_t collect(const training_t *training, lspo_gradients_t *gradients)
{
    pass_t pass;
    lspo_status_t status = open_pass(training, &pass);
    if (status != LSPO_OK)
        goto close;
    uint32_t count = gradients->calibration_count + gradients->validation_count;
    for (uint32_t i = 0; i < count; i++) {
        load_batch(training, i, &pass);
        backward_to_stage(&pass, gradients->values + i * gradients->linear_elements);
    }
close:
    close_pass(&pass);
    return status;
}

static lspo_status_t train_and_collect(const lspo_gradients_options_t *options, training_t *training,
                                       lspo_gradients_t *gradients)
{
    lspo_status_t status = open_training(options, training);
    if (status != LSPO_OK)
        return status;
    status = allocate_gradients(options, gradients);
    if (status != LSPO_OK)
        return status;
    status = train(training, gradients);
    if (status != LSPO_OK)
        return status;
    return collect(training, gradients);
}

lspo_status_t lspo_gradients_collect(const lspo_gradients_options_t *options, lspo_gradients_t *gradients_out)
{
    training_t training;
    lspo_gradients_t gradients = {0};
    lspo_status_t status = check_options(options);
    if (status != LSPO_OK)
        return status;
    status = train_and_collect(options, &training, &gradients);
    close_training(&training);
    if (status != LSPO_OK) {
        lspo_gradients_release(&gradients);
        return status;
    }
    *gradients_out = gradients;
    return LSPO_OK;
}

void lspo_gradients_release(lspo_gradients_t *gradients)
{
    free(gradients->values);
    free(gradients->update);
    *gradients = (lspo_gradients_t){0};
}

const float *lspo_gradients_at(const lspo_gradients_t *gradients, uint32_t index, uint32_t tensor)
{
    return gradients->values + index * gradients->linear_elements + gradients->shape.tensors[tensor].offset_elements;
}

/* ---- comparing ---- */

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
    /* Seeds of P are even, of Q odd, and the tensors' differ. */
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
