/* gradients.c - collect the gradients of a model in training; see gradients.h. */
#include "real/train/gradients.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/loss.h"
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

/* Everything that a pass needs; arrays by stage. */
typedef struct {
    const lspo_model_t *model;
    uint32_t stage_count, stage;
    size_t tokens;
    lspo_transformer_t *transformer;
    void *workspace;
    float **weights, **saved, **x; /* x[s]: output of stage s */
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
        lspo_transformer_block_forward(t, &(lspo_block_parameters_t){.weights = pass->weights[s]}, pass->x[s - 1],
                                       pass->saved[s], pass->x[s]);
    double loss_sum;
    size_t counted = lspo_targets_counted(lspo_transformer_targets(t), pass->targets);
    lspo_transformer_head_forward(t, &(lspo_head_parameters_t){pass->weights[head], pass->weights[0]}, pass->targets,
                                  pass->x[head - 1], pass->saved[head], &loss_sum);
    lspo_transformer_head_backward(t, &(lspo_head_parameters_t){pass->weights[head], pass->weights[0]},
                                   &(lspo_head_loss_t){pass->targets, 1.0F / (float)(counted > 0 ? counted : 1)},
                                   &(lspo_stage_kept_t){pass->x[head - 1], pass->saved[head]}, NULL, pass->dx);
    for (uint32_t s = head - 1; s >= pass->stage; s--)
        lspo_transformer_block_backward(t, &(lspo_block_parameters_t){.weights = pass->weights[s]},
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
    if (options->plan->policy->stands_apart)
        return lspo_error(LSPO_ERR_INPUT,
                          "policy %s trains adapters and no weights, of which gradients could be learned",
                          options->plan->policy->name);
    if (options->stage < 1 || options->stage > model->block_count)
        return lspo_error(LSPO_ERR_INPUT, "layer %" PRIu32 " is not a block of %s; its blocks are 1 to %" PRIu32,
                          options->stage, model->name, model->block_count);
    for (size_t i = 0; i < 2; i++)
        if (counts[i] < 1 || counts[i] > LSPO_GRADIENTS_MAX)
            return lspo_error(LSPO_ERR_INPUT, "%" PRIu32 " gradients: a set has 1 to %d", counts[i],
                              LSPO_GRADIENTS_MAX);
    return LSPO_OK;
}

static uint64_t linear_elements_of(const lspo_stage_t *stage)
{
    uint64_t elements = 0;
    for (uint32_t i = 0; i < stage->linear_count; i++)
        elements += (uint64_t)stage->tensors[i].rows * stage->tensors[i].cols;
    return elements;
}

static uint64_t pass_bytes(const lspo_plan_t *plan)
{
    const lspo_model_t *model = &plan->model;
    lspo_workload_t workload = plan->workload;
    lspo_activations_t a;
    workload.precision = LSPO_FP32;
    lspo_activations(model, &workload, &a);
    /* Inputs of the blocks and of the head, and dx. */
    uint64_t bytes = lspo_model_stage_count(model) * a.input_bytes + model->block_count * a.saved_bytes + a.head_bytes +
                     a.workspace_bytes + lspo_model_parameter_count(model) * sizeof(float);
    return bytes + 2 * lspo_workload_tokens(&workload) * sizeof(uint32_t);
}

uint64_t lspo_gradients_bytes(const lspo_gradients_options_t *options)
{
    lspo_stage_t stage;
    lspo_model_stage(&options->plan->model, options->stage, &stage);
    const uint64_t count = (uint64_t)options->calibration_count + options->validation_count + 1; /* and the update */
    return pass_bytes(options->plan) + count * linear_elements_of(&stage) * sizeof(float);
}

static lspo_status_t allocate_gradients(const lspo_gradients_options_t *options, lspo_gradients_t *gradients)
{
    lspo_stage_t *shape = &gradients->shape;
    lspo_model_stage(&options->plan->model, options->stage, shape);
    gradients->linear_elements = linear_elements_of(shape);
    gradients->calibration_count = options->calibration_count;
    gradients->validation_count = options->validation_count;
    uint64_t count = (uint64_t)options->calibration_count + options->validation_count;
    gradients->values = malloc(count * gradients->linear_elements * sizeof(float));
    gradients->update = malloc(gradients->linear_elements * sizeof(float));
    if (!gradients->values || !gradients->update)
        return lspo_no_memory("%" PRIu64 " gradients of a block", count);
    return LSPO_OK;
}

/* Sets `update` to the change of the weights by the training. */
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
