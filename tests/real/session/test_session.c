/* A session under the executor, on a small GPT: what each policy computes must not depend on when it computes it. */
#include "plan/policies/badam.h"
#include "plan/policies/galore.h"
#include "plan/policies/lsp.h"
#include "real/session/session.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/adam.h"
#include "kernels/fit.h"
#include "kernels/random.h"
#include "plan/policy.h"
#include "real/execute/executor.h"
#include "real/methods/methods.h"
#include "real/methods/pairs.h"
#include "real/session/state.h"
#include "real/transformer/transformer.h"
#include "sim/memory.h"
#include "tests/host_weights.h"
#include "tests/mean_head.h"
#include "tests/own_values.h"

enum { STEPS = 50, STAGES_MAX = 8 };

static uint32_t block_count = 3; /* of the model; who changes it sets it back, since not every runner forks */

static lspo_model_t small_model(void)
{
    return (lspo_model_t){.name = "test",
                          .family = LSPO_FAMILY_GPT,
                          .block_count = block_count,
                          .width = 32,
                          .head_count = 2,
                          .kv_head_count = 2,
                          .mlp_width = 64,
                          .vocabulary = 256,
                          .max_sequence = 32,
                          .tied_head = true};
}

static lspo_workload_t small_workload(void)
{
    lspo_workload_t workload;
    lspo_workload_default(&workload);
    workload.batch = 2;
    workload.sequence = 16;
    workload.precision = LSPO_FP32;
    workload.transfer = LSPO_FP32;
    workload.iterations = STEPS;
    workload.learning_rate = 3e-3;
    lspo_lsp_values_edit(&workload)->subspace = 16;
    lspo_lsp_values_edit(&workload)->nnz = 4;
    return workload;
}

/* 40 kB of sentences made of few words: a model of 60,000 parameters learns something of it in 50 steps. */
static lspo_text_t *make_text(void)
{
    static const char *const words[] = {"the ", "cat ", "sat ", "on ", "a ", "mat ", "and ", "ate ", "it. "};
    char path[] = "/tmp/lspo-test-session-XXXXXX";
    int descriptor = mkstemp(path);
    cr_assert_geq(descriptor, 0);
    FILE *file = fdopen(descriptor, "wb");
    cr_assert_not_null(file);
    for (uint32_t i = 0; i < 10000; i++)
        fputs(words[lspo_random_below(5, 5, i, 9)], file);
    cr_assert_eq(fclose(file), 0);
    lspo_text_t *text = NULL;
    cr_assert_eq(lspo_text_open(path, &text), LSPO_OK);
    unlink(path);
    return text;
}

static lspo_plan_t *make_plan(const char *policy_name, const lspo_workload_t *workload)
{
    lspo_model_t model = small_model();
    const lspo_policy_t *policy = NULL;
    lspo_plan_t *plan = NULL;
    cr_assert_eq(lspo_policy_find(policy_name, &policy), LSPO_OK);
    cr_assert_eq(lspo_plan_build(&model, workload, policy, &plan), LSPO_OK);
    return plan;
}

typedef struct {
    double losses[STEPS];
    float *weights[STAGES_MAX]; /* owned copies */
    size_t counts[STAGES_MAX];
    uint32_t stage_count;
    uint64_t peak_bytes, planned_peak_bytes;
    double held_out_before, held_out_after;
} outcome_t;

static void outcome_release(outcome_t *outcome)
{
    for (uint32_t s = 0; s < outcome->stage_count; s++)
        free(outcome->weights[s]);
}

static void keep_weights(outcome_t *outcome, uint32_t s, const float *weights, size_t count)
{
    outcome->weights[s] = malloc(count * sizeof(float));
    cr_assert_not_null(outcome->weights[s]);
    memcpy(outcome->weights[s], weights, count * sizeof(float));
    outcome->counts[s] = count;
}

static void train(const char *policy, const lspo_workload_t *workload, outcome_t *outcome)
{
    lspo_plan_t *plan = make_plan(policy, workload);
    lspo_text_t *text = make_text();
    lspo_device_caps_t caps = {0};
    lspo_device_t *device = NULL;
    lspo_session_t *session = NULL;
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_device_open("host", &caps, &device), LSPO_OK);
    cr_assert_eq(lspo_session_create(plan, device, text, &session), LSPO_OK, "%s", policy);
    cr_assert_eq(lspo_execute(plan, lspo_session_run_op, NULL, session, NULL, &trace), LSPO_OK, "%s", policy);
    cr_assert_eq(lspo_trace_check(trace, plan), LSPO_OK);
    *outcome = (outcome_t){.stage_count = plan->stage_count, .peak_bytes = lspo_device_peak_bytes(device)};
    uint64_t host_bytes;
    cr_assert_eq(lspo_memory_replay(plan, trace, &outcome->planned_peak_bytes, &host_bytes), LSPO_OK);
    memcpy(outcome->losses, lspo_session_losses(session), workload->iterations * sizeof(double));
    for (uint32_t s = 0; s < plan->stage_count; s++)
        keep_weights(outcome, s, host_weights(session, s), session->stages[s].shape.element_count);
    cr_assert_eq(lspo_session_held_out_loss(session, 4, &outcome->held_out_after), LSPO_OK);
    cr_assert_eq(lspo_session_reset(session), LSPO_OK);
    cr_assert_eq(lspo_session_held_out_loss(session, 4, &outcome->held_out_before), LSPO_OK);
    lspo_trace_destroy(trace);
    lspo_session_destroy(session);
    lspo_device_close(device);
    lspo_text_close(text);
    lspo_plan_destroy(plan);
}

static void assert_identical(const char *name, const lspo_workload_t *workload, const outcome_t *expected,
                             const outcome_t *got)
{
    for (uint32_t i = 0; i < workload->iterations; i++)
        cr_assert_eq(got->losses[i], expected->losses[i], "%s: loss of step %u is %.17g, not %.17g", name, i,
                     got->losses[i], expected->losses[i]);
    for (uint32_t s = 0; s < expected->stage_count; s++)
        cr_assert_eq(memcmp(got->weights[s], expected->weights[s], expected->counts[s] * sizeof(float)), 0,
                     "%s: weights of stage %u differ", name, s);
}

/* An independent training loop: transformer, Adam and nothing else, all on this thread.
 *     W_{i+1} = W_i - eta Adam(g_{i - delay}),  drained at the end */
typedef struct {
    lspo_model_t model;
    const lspo_workload_t *workload;
    lspo_transformer_t *t;
    void *workspace;
    uint32_t stage_count;
    lspo_stage_t shape[STAGES_MAX];
    float *w[STAGES_MAX], *m[STAGES_MAX], *v[STAGES_MAX], *g[STAGES_MAX], *late[STAGES_MAX];
    float *x[STAGES_MAX], *saved[STAGES_MAX], *dx;
    uint32_t *tokens, *targets;
    lspo_text_t *text;
} loop_t;

static float *floats(size_t count)
{
    float *array = aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64);
    cr_assert_not_null(array);
    memset(array, 0, count * sizeof(float));
    return array;
}

static void loop_begin(loop_t *loop, const lspo_workload_t *workload)
{
    *loop = (loop_t){.model = small_model(), .workload = workload, .text = make_text()};
    size_t tokens = lspo_workload_tokens(workload);
    loop->workspace =
        floats(lspo_transformer_workspace_bytes(&loop->model, workload->batch, workload->sequence, LSPO_NUMBER_FP32) /
               sizeof(float));
    cr_assert_eq(lspo_transformer_create(&loop->model, workload->batch, workload->sequence, lspo_compute_host(),
                                         loop->workspace, &loop->t),
                 LSPO_OK);
    loop->stage_count = lspo_model_stage_count(&loop->model);
    for (uint32_t s = 0; s < loop->stage_count; s++) {
        lspo_model_stage(&loop->model, s, &loop->shape[s]);
        size_t n = loop->shape[s].element_count;
        loop->w[s] = floats(n);
        loop->m[s] = floats(n);
        loop->v[s] = floats(n);
        loop->g[s] = floats(n);
        loop->late[s] = floats(n);
        loop->x[s] = floats(tokens * loop->model.width);
        loop->saved[s] = floats(lspo_transformer_saved_bytes(loop->t, s) / sizeof(float) + 1);
        lspo_transformer_init(&loop->model, s, workload->seed, loop->w[s]);
    }
    loop->dx = floats(tokens * loop->model.width);
    loop->tokens = malloc(tokens * sizeof(uint32_t));
    loop->targets = malloc(tokens * sizeof(uint32_t));
}

static void loop_end(loop_t *loop)
{
    for (uint32_t s = 0; s < loop->stage_count; s++) {
        float *arrays[] = {loop->w[s], loop->m[s], loop->v[s], loop->g[s], loop->late[s], loop->x[s], loop->saved[s]};
        for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
            free(arrays[i]);
    }
    free(loop->dx);
    free(loop->tokens);
    free(loop->targets);
    lspo_transformer_destroy(loop->t);
    free(loop->workspace);
    lspo_text_close(loop->text);
}

static double loop_gradient(loop_t *loop, uint32_t iteration)
{
    const lspo_workload_t *workload = loop->workload;
    uint32_t head = loop->stage_count - 1;
    double sum = 0;
    for (uint32_t micro = 0; micro < workload->accumulation; micro++) {
        lspo_text_batch(loop->text, workload->seed, iteration, micro, workload->batch, workload->sequence, loop->tokens,
                        loop->targets);
        lspo_transformer_embed_forward(loop->t, loop->tokens, loop->w[0], loop->x[0]);
        for (uint32_t s = 1; s < head; s++)
            lspo_transformer_block_forward(loop->t, &(lspo_block_parameters_t){loop->w[s], NULL}, loop->x[s - 1],
                                           loop->saved[s], loop->x[s]);
        sum +=
            mean_head_forward(loop->t, loop->w[head], loop->w[0], loop->targets, loop->x[head - 1], loop->saved[head]) /
            workload->accumulation;
        lspo_gradient_sink_t sink = {.rest = loop->g[head], .accumulate = micro > 0};
        mean_head_backward(loop->t, loop->w[head], loop->w[0], loop->targets, loop->x[head - 1], loop->saved[head],
                           1.0F / (float)workload->accumulation, &sink, loop->g[0], loop->dx);
        for (uint32_t s = head - 1; s > 0; s--) {
            const lspo_tensor_t *first_rest = &loop->shape[s].tensors[loop->shape[s].linear_count];
            sink = (lspo_gradient_sink_t){
                .linear = loop->g[s], .rest = loop->g[s] + first_rest->offset_elements, .accumulate = micro > 0};
            lspo_transformer_block_backward(loop->t, &(lspo_block_parameters_t){loop->w[s], NULL},
                                            &(lspo_stage_kept_t){loop->x[s - 1], loop->saved[s]}, &sink, NULL,
                                            loop->dx);
        }
        lspo_transformer_embed_backward(loop->t, loop->tokens, loop->dx, micro > 0, loop->g[0]);
    }
    return sum;
}

static float loop_clip_scale(const loop_t *loop)
{
    double sum = 0;
    for (uint32_t s = 0; s < loop->stage_count; s++)
        for (size_t i = 0; i < loop->shape[s].element_count; i++)
            sum += (double)loop->g[s][i] * (double)loop->g[s][i];
    double clip = loop->workload->clip_norm;
    return clip > 0 && sqrt(sum) > clip ? (float)(clip / sqrt(sum)) : 1.0F;
}

static void loop_update(loop_t *loop, float *const *gradient, uint32_t step, float scale)
{
    lspo_adam_t adam = lspo_adam_default((float)loop->workload->learning_rate, step);
    adam.gradient_scale = scale;
    for (uint32_t s = 0; s < loop->stage_count; s++)
        lspo_adam_parameters(
            &adam, &(lspo_adam_state_t){.count = loop->shape[s].element_count, .m = loop->m[s], .v = loop->v[s]},
            gradient[s], loop->w[s]);
}

static void loop_train(const lspo_workload_t *workload, bool delayed, outcome_t *outcome)
{
    loop_t loop;
    loop_begin(&loop, workload);
    *outcome = (outcome_t){.stage_count = loop.stage_count};
    float late_scale = 1;
    for (uint32_t i = 0; i < workload->iterations; i++) {
        outcome->losses[i] = loop_gradient(&loop, i);
        float scale = loop_clip_scale(&loop);
        if (!delayed)
            loop_update(&loop, loop.g, i + 1, scale);
        else if (i > 0)
            loop_update(&loop, loop.late, i, late_scale);
        for (uint32_t s = 0; s < loop.stage_count; s++)
            memcpy(loop.late[s], loop.g[s], loop.shape[s].element_count * sizeof(float));
        late_scale = scale;
    }
    if (delayed)
        loop_update(&loop, loop.late, workload->iterations, late_scale);
    for (uint32_t s = 0; s < loop.stage_count; s++)
        keep_weights(outcome, s, loop.w[s], loop.shape[s].element_count);
    loop_end(&loop);
}

static void assert_all_equal_loop(const lspo_workload_t *workload)
{
    static const char *const exact[] = {"native", "zero", "zero-layerwise", "backward-update", "swap"};
    outcome_t expected, got;
    loop_train(workload, false, &expected);
    for (size_t i = 0; i < sizeof exact / sizeof exact[0]; i++) {
        train(exact[i], workload, &got);
        assert_identical(exact[i], workload, &expected, &got);
        outcome_release(&got);
    }
    outcome_release(&expected);
}

Test(session, exact_policies_equal_a_plain_loop_bit_for_bit)
{
    lspo_workload_t workload = small_workload();
    assert_all_equal_loop(&workload);
}

Test(session, exact_policies_equal_a_plain_loop_without_checkpointing)
{
    lspo_workload_t workload = small_workload();
    workload.checkpointing = false;
    workload.iterations = 10;
    assert_all_equal_loop(&workload);
}

Test(session, exact_policies_equal_a_plain_loop_with_accumulation_and_clipping)
{
    lspo_workload_t workload = small_workload();
    workload.accumulation = 3;
    workload.iterations = 10;
    assert_all_equal_loop(&workload);
}

/* The loop's norm is one double sum over all stages, the session's one a stage: the scales may differ in the last bit
 * of a float, so the losses agree to rounding with the loop, and exactly among the policies. */
Test(session, clipping_bounds_the_global_norm_alike_everywhere)
{
    lspo_workload_t workload = small_workload();
    workload.clip_norm = 0.05;
    workload.iterations = 20;
    outcome_t expected, native, unclipped, got;
    loop_train(&workload, false, &expected);
    train("native", &workload, &native);
    for (uint32_t i = 0; i < workload.iterations; i++)
        cr_assert_float_eq(native.losses[i], expected.losses[i], 1e-4 * expected.losses[i]);
    const char *const others[] = {"zero", "zero-layerwise", "backward-update", "swap"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        train(others[i], &workload, &got);
        assert_identical(others[i], &workload, &native, &got);
        outcome_release(&got);
    }
    workload.clip_norm = 0;
    train("native", &workload, &unclipped);
    cr_assert_neq(unclipped.losses[workload.iterations - 1], native.losses[workload.iterations - 1],
                  "the clip norm was never reached");
    outcome_release(&unclipped);
    outcome_release(&native);
    outcome_release(&expected);
}

Test(session, zero_delayed_is_one_step_late_exactly)
{
    lspo_workload_t workload = small_workload();
    outcome_t expected, prompt, got;
    loop_train(&workload, true, &expected);
    train("zero-delayed", &workload, &got);
    assert_identical("zero-delayed", &workload, &expected, &got);
    cr_assert_eq(got.losses[0], expected.losses[0]);
    loop_train(&workload, false, &prompt);
    cr_assert_neq(got.losses[1], prompt.losses[1], "the second step saw a prompt update");
    outcome_release(&prompt);
    outcome_release(&got);
    outcome_release(&expected);
}

Test(session, zero_delayed_clips_by_the_norm_of_its_own_gradient)
{
    lspo_workload_t workload = small_workload();
    workload.clip_norm = 0.05;
    workload.iterations = 20;
    outcome_t expected, got;
    loop_train(&workload, true, &expected);
    train("zero-delayed", &workload, &got);
    for (uint32_t i = 0; i < workload.iterations; i++)
        cr_assert_float_eq(got.losses[i], expected.losses[i], 1e-4 * expected.losses[i]);
    outcome_release(&got);
    outcome_release(&expected);
}

Test(session, lsp_with_identity_projectors_is_native_to_rounding)
{
    lspo_workload_t workload = small_workload();
    workload.identity_projectors = true;
    workload.train_rest = LSPO_TRAIN_REST_ON;
    outcome_t expected, got;
    loop_train(&workload, false, &expected);
    train("lsp", &workload, &got);
    for (uint32_t i = 0; i < STEPS; i++)
        cr_assert_float_eq(got.losses[i], expected.losses[i], 2e-4 * expected.losses[i], "step %u: %.9g, native %.9g",
                           i, got.losses[i], expected.losses[i]);
    outcome_release(&got);
    outcome_release(&expected);
}

/* One step of lsp by the definition, in double: W1 = W0 - eta P (g^ / (|g^| + eps)) Q^T with g^ = P^T G Q, since Adam's
 * first direction is g / (|g| + eps).  Embedding, norms, biases and head stay as they are. */
static void check_projected_weight(const lspo_projector_t *p, const lspo_projector_t *q, const float *g,
                                   const float *before, const float *after, double rate)
{
    double *g_hat = calloc((size_t)p->d * q->d, sizeof *g_hat);
    for (uint32_t i = 0; i < p->rows; i++)
        for (uint32_t j = 0; j < q->rows; j++)
            for (uint32_t a = 0; a < p->r; a++)
                for (uint32_t b = 0; b < q->r; b++)
                    g_hat[(size_t)p->index[i * p->r + a] * q->d + q->index[j * q->r + b]] +=
                        (double)p->value[i * p->r + a] * (double)g[(size_t)i * q->rows + j] *
                        (double)q->value[j * q->r + b];
    double largest = 0;
    for (uint32_t i = 0; i < p->d * q->d; i++)
        largest = fabs(g_hat[i]) > largest ? fabs(g_hat[i]) : largest;
    uint32_t moved = 0;
    for (uint32_t i = 0; i < p->rows; i++) {
        for (uint32_t j = 0; j < q->rows; j++) {
            double step = 0;
            bool near_zero = false; /* a sum that cancels has no sure sign in fp32 */
            for (uint32_t a = 0; a < p->r; a++) {
                for (uint32_t b = 0; b < q->r; b++) {
                    double s = g_hat[(size_t)p->index[i * p->r + a] * q->d + q->index[j * q->r + b]];
                    near_zero |= fabs(s) < 1e-3 * largest;
                    step += (double)p->value[i * p->r + a] * (s / (fabs(s) + 1e-8)) * (double)q->value[j * q->r + b];
                }
            }
            size_t at = (size_t)i * q->rows + j;
            moved += before[at] != after[at];
            if (!near_zero)
                cr_assert_float_eq(after[at], (double)before[at] - rate * step, 1e-6);
        }
    }
    cr_assert_gt(moved, p->rows * q->rows / 2);
    free(g_hat);
}

Test(session, lsp_steps_in_its_subspace)
{
    lspo_workload_t workload = small_workload();
    workload.iterations = 1;
    loop_t loop;
    loop_begin(&loop, &workload);
    double loss = loop_gradient(&loop, 0);

    lspo_plan_t *plan = make_plan("lsp", &workload);
    lspo_device_caps_t caps = {0};
    lspo_device_t *device = NULL;
    lspo_session_t *session = NULL;
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_device_open("host", &caps, &device), LSPO_OK);
    cr_assert_eq(lspo_session_create(plan, device, loop.text, &session), LSPO_OK);
    cr_assert_eq(lspo_execute(plan, lspo_session_run_op, NULL, session, NULL, &trace), LSPO_OK);
    cr_assert_eq(lspo_session_losses(session)[0], loss);
    for (uint32_t s = 0; s < loop.stage_count; s++) {
        const lspo_session_stage_t *stage = &session->stages[s];
        const float *after = host_weights(session, s);
        for (uint32_t i = 0; i < stage->shape.linear_count; i++) {
            size_t offset = stage->shape.tensors[i].offset_elements;
            cr_assert(stage->message.linear[i].compressed);
            check_projected_weight(&lspo_pairs_of(session, s)->p[i], &lspo_pairs_of(session, s)->q[i],
                                   loop.g[s] + offset, loop.w[s] + offset, after + offset, workload.learning_rate);
        }
        for (size_t i = stage->linear_elements; i < stage->shape.element_count; i++)
            cr_assert_eq(after[i], loop.w[s][i], "stage %u moved its frozen tensors", s);
    }
    lspo_trace_destroy(trace);
    lspo_session_destroy(session);
    lspo_device_close(device);
    lspo_plan_destroy(plan);
    loop_end(&loop);
}

Test(session, lsp_losses_do_not_depend_on_the_schedule)
{
    lspo_workload_t workload = small_workload();
    workload.clip_norm = 0.05;
    workload.accumulation = 2;
    workload.iterations = 10;
    set_transition(&workload, 0);
    outcome_t expected, got;
    train("lsp", &workload, &expected);
    for (int32_t transition = 1; transition < 5; transition++) {
        set_transition(&workload, transition);
        train("lsp", &workload, &got);
        assert_identical("lsp", &workload, &expected, &got);
        outcome_release(&got);
    }
    outcome_release(&expected);
}

/* Frozen: only the linear layers of the blocks move, under every policy alike. */
Test(session, frozen_rest_stays)
{
    lspo_workload_t workload = small_workload();
    workload.train_rest = LSPO_TRAIN_REST_OFF;
    workload.iterations = 5;
    outcome_t native, got;
    train("native", &workload, &native);
    loop_t loop;
    loop_begin(&loop, &workload);
    for (uint32_t s = 0; s < loop.stage_count; s++) {
        size_t linear = 0;
        for (uint32_t i = 0; i < loop.shape[s].linear_count; i++)
            linear += (size_t)loop.shape[s].tensors[i].rows * loop.shape[s].tensors[i].cols;
        cr_assert_eq(memcmp(native.weights[s] + linear, loop.w[s] + linear,
                            (loop.shape[s].element_count - linear) * sizeof(float)),
                     0);
        if (linear)
            cr_assert_neq(memcmp(native.weights[s], loop.w[s], linear * sizeof(float)), 0);
    }
    loop_end(&loop);
    const char *const others[] = {"zero", "zero-layerwise", "swap"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        train(others[i], &workload, &got);
        assert_identical(others[i], &workload, &native, &got);
        outcome_release(&got);
    }
    outcome_release(&native);
}

Test(session, packed_transfer_is_close_and_the_same_under_every_schedule)
{
    for (lspo_precision_t transfer = LSPO_BF16; transfer <= LSPO_FP16; transfer++) {
        lspo_workload_t workload = small_workload();
        workload.iterations = 20;
        outcome_t full, zero, layerwise, lsp;
        train("zero", &workload, &full);
        workload.transfer = transfer;
        train("zero", &workload, &zero);
        train("zero-layerwise", &workload, &layerwise);
        assert_identical("zero-layerwise", &workload, &zero, &layerwise);
        cr_assert_neq(zero.losses[19], full.losses[19], "nothing was rounded on the link");
        cr_assert_float_eq(zero.losses[19], full.losses[19], 0.05 * full.losses[19]);
        train("lsp", &workload, &lsp);
        cr_assert_lt(lsp.losses[19], lsp.losses[0]);
        outcome_release(&lsp);
        outcome_release(&layerwise);
        outcome_release(&zero);
        outcome_release(&full);
    }
}

Test(session, training_lowers_the_held_out_loss)
{
    lspo_workload_t workload = small_workload();
    const char *const policies[] = {"native", "zero-delayed", "lsp"};
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        outcome_t got;
        train(policies[i], &workload, &got);
        /* Untrained: close to a uniform guess among 256 bytes, ln 256 = 5.545. */
        cr_assert_float_eq(got.held_out_before, log(256), 0.3);
        cr_assert_lt(got.held_out_after, got.held_out_before - 0.2, "%s: %g -> %g", policies[i], got.held_out_before,
                     got.held_out_after);
        outcome_release(&got);
    }
}

/* The device's own high-water mark against the plan's allocations, replayed in the order in which the ops really ran.
 * An op takes its memory a moment after it starts, and where another gives some back in that moment the mark stays
 * below the replay: not in every one of a few plays. */
static void assert_planned_memory(const char *policy, const lspo_workload_t *workload)
{
    enum { PLAYS = 5 };
    double ratio = 0;
    for (int play = 0; play < PLAYS && fabs(ratio - 1) > 0.02; play++) {
        outcome_t got;
        train(policy, workload, &got);
        ratio = (double)got.peak_bytes / (double)got.planned_peak_bytes;
        outcome_release(&got);
    }
    cr_assert_float_eq(ratio, 1, 0.02, "%s, checkpointing %d, %s: %g of the plan's bytes", policy,
                       workload->checkpointing, lspo_precision_name(workload->transfer), ratio);
}

Test(session, device_memory_is_what_the_plan_says)
{
    const char *const policies[] = {"native",          "zero", "zero-delayed", "zero-layerwise",
                                    "backward-update", "swap", "lsp"};
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        for (int variant = 0; variant < 4; variant++) {
            lspo_workload_t workload = small_workload();
            workload.iterations = 4;
            workload.checkpointing = variant & 1;
            workload.transfer = variant & 2 ? LSPO_BF16 : LSPO_FP32;
            assert_planned_memory(policies[i], &workload);
        }
    }
}

static lspo_status_t try_session(const lspo_plan_t *plan, uint64_t memory_bytes)
{
    lspo_text_t *text = make_text();
    lspo_device_caps_t caps = {.memory_bytes = memory_bytes};
    lspo_device_t *device = NULL;
    lspo_session_t *session = NULL;
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_device_open("host", &caps, &device), LSPO_OK);
    lspo_status_t status = lspo_session_create(plan, device, text, &session);
    if (status == LSPO_OK)
        status = lspo_execute(plan, lspo_session_run_op, NULL, session, NULL, &trace);
    if (status == LSPO_OK)
        lspo_trace_destroy(trace);
    lspo_session_destroy(session);
    lspo_device_close(device);
    lspo_text_close(text);
    return status;
}

Test(session, exploding_training_is_a_numeric_error)
{
    lspo_workload_t workload = small_workload();
    workload.learning_rate = 1e30;
    const char *const policies[] = {"native", "zero", "lsp", "swap"};
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        lspo_plan_t *plan = make_plan(policies[i], &workload);
        cr_assert_eq(try_session(plan, 0), LSPO_ERR_NUMERIC, "%s", policies[i]);
        lspo_plan_destroy(plan);
    }
}

/* A cap that the weights alone exceed, and one that the first activations do: refused, nothing leaked or crashed. */
Test(session, memory_cap_is_an_error)
{
    lspo_workload_t workload = small_workload();
    lspo_plan_t *plan = make_plan("zero", &workload);
    cr_assert_eq(try_session(plan, 1000), LSPO_ERR_FIT);
    cr_assert_eq(try_session(plan, plan->gpu_static_bytes + 20000), LSPO_ERR_FIT);
    lspo_plan_destroy(plan);
}

Test(session, what_it_cannot_compute_is_refused)
{
    lspo_workload_t workload = small_workload();
    lspo_plan_t *plan = make_plan("native", &workload);
    plan->workload.precision = LSPO_BF16;
    cr_assert_eq(try_session(plan, 0), LSPO_ERR_INPUT);
    plan->workload.precision = LSPO_FP32;
    plan->model.family = LSPO_FAMILY_BERT; /* a masked-language head */
    cr_assert_eq(try_session(plan, 0), LSPO_ERR_INPUT);
    plan->model.family = LSPO_FAMILY_GPT;
    plan->model.vocabulary = 255;
    cr_assert_eq(try_session(plan, 0), LSPO_ERR_INPUT);
    lspo_plan_destroy(plan);
}

/* ---- segments of a longer training, and its state ---- */

static double falling_rate(void *context, uint32_t step)
{
    return *(const double *)context / (1 + 0.1 * step);
}

/* Counts in reverse and ignores every third target. */
static lspo_status_t made_up_batch(void *context, uint32_t step, uint32_t micro, lspo_batch_t *batch)
{
    const lspo_workload_t *workload = context;
    for (uint32_t i = 0; i < workload->batch * workload->sequence; i++) {
        batch->tokens[i] = (200 - i * 3 + step + 7 * micro) % 97;
        batch->targets[i] = i % 3 == 2 ? LSPO_TARGET_IGNORED : (batch->tokens[i] + 90) % 97;
    }
    for (uint32_t i = 0; i < workload->batch; i++)
        cr_assert_eq(batch->lengths[i], workload->sequence);
    return LSPO_OK;
}

typedef struct {
    lspo_device_t *device;
    lspo_session_t *session;
    lspo_plan_t *plan;
    double rate;
    lspo_workload_t workload;
} training_t;

static void training_begin(const char *policy, const lspo_workload_t *workload, training_t *training)
{
    lspo_device_caps_t caps = {0};
    *training = (training_t){.rate = workload->learning_rate, .workload = *workload};
    training->plan = make_plan(policy, workload);
    cr_assert_eq(lspo_device_open("host", &caps, &training->device), LSPO_OK);
    cr_assert_eq(lspo_session_create(training->plan, training->device, NULL, &training->session), LSPO_OK);
    lspo_session_set_batches(training->session, made_up_batch, &training->workload);
    lspo_session_set_learning_rate(training->session, falling_rate, &training->rate);
}

static void training_run(training_t *training, double *losses)
{
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_execute(training->plan, lspo_session_run_op, NULL, training->session, NULL, &trace), LSPO_OK);
    cr_assert_eq(lspo_trace_check(trace, training->plan), LSPO_OK);
    lspo_trace_destroy(trace);
    memcpy(losses, lspo_session_losses(training->session), training->plan->workload.iterations * sizeof *losses);
}

static void training_continue(training_t *training, const char *policy, const lspo_workload_t *workload)
{
    lspo_plan_t *plan = make_plan(policy, workload);
    cr_assert_eq(lspo_session_continue(training->session, plan), LSPO_OK);
    lspo_plan_destroy(training->plan);
    training->plan = plan;
}

static void training_end(training_t *training)
{
    lspo_session_destroy(training->session);
    lspo_device_close(training->device);
    lspo_plan_destroy(training->plan);
}

static size_t state_bytes(const lspo_state_array_t *array)
{
    return array->element_count * (array->type == LSPO_STATE_U16 ? 2 : 4);
}

static void copy_state(lspo_session_t *from, lspo_session_t *to)
{
    uint32_t count = lspo_session_state_count(from);
    cr_assert_gt(count, 0);
    cr_assert_eq(lspo_session_state_count(to), count);
    for (uint32_t i = 0; i < count; i++) {
        lspo_state_array_t a, b;
        lspo_session_state_at(from, i, &a);
        lspo_session_state_at(to, i, &b);
        cr_assert_str_eq(a.name, b.name);
        cr_assert_eq(a.type, b.type);
        cr_assert_eq(a.element_count, b.element_count);
        memcpy(b.data, a.data, state_bytes(&a));
    }
    cr_assert_eq(lspo_session_state_written(to), LSPO_OK);
}

static void assert_equal_weights(const char *what, const char *policy, const training_t *a, const training_t *b)
{
    for (uint32_t s = 0; s < a->plan->stage_count; s++)
        cr_assert_eq(memcmp(host_weights(a->session, s), host_weights(b->session, s),
                            a->session->stages[s].shape.element_count * sizeof(float)),
                     0, "%s, %s: weights of stage %u differ", policy, what, s);
}

/* Ten steps in one plan; 5 + 1 + 4 in three; and 5, whose state alone goes to another session, which does the rest. */
static void check_segments(const char *policy, const lspo_workload_t *base)
{
    enum { WHOLE = 10, FIRST = 5 };
    lspo_workload_t whole = *base, first = *base, middle = *base, last = *base, rest = *base;
    double expected[WHOLE], got[WHOLE];
    training_t one, parts, resumed;
    whole.iterations = WHOLE;
    first.iterations = FIRST;
    middle.iterations = 1;
    last.iterations = WHOLE - FIRST - 1;
    rest.iterations = WHOLE - FIRST;
    first.open_end = middle.open_end = true;
    middle.first_step = rest.first_step = FIRST;
    last.first_step = FIRST + 1;

    training_begin(policy, &whole, &one);
    training_run(&one, expected);
    training_begin(policy, &first, &parts);
    training_run(&parts, got);
    training_begin(policy, &rest, &resumed);
    copy_state(parts.session, resumed.session);
    training_continue(&parts, policy, &middle);
    training_run(&parts, got + FIRST);
    training_continue(&parts, policy, &last);
    training_run(&parts, got + FIRST + 1);
    cr_assert_arr_eq(got, expected, sizeof got, "%s", policy);
    assert_equal_weights("in segments", policy, &one, &parts);
    training_run(&resumed, got + FIRST);
    cr_assert_arr_eq(got, expected, sizeof got, "%s", policy);
    assert_equal_weights("resumed", policy, &one, &resumed);
    cr_assert_neq(expected[WHOLE - 1], expected[0]);
    training_end(&resumed);
    training_end(&parts);
    training_end(&one);
}

static lspo_workload_t segment_workload(void)
{
    lspo_workload_t workload = small_workload();
    workload.weight_decay = 0.1;
    lspo_galore_values_edit(&workload)->project_every = 4;
    lspo_badam_values_edit(&workload)->switch_every = 3;
    set_rank(&workload, 4);
    return workload;
}

Test(session, segments_are_one_training_bit_for_bit)
{
    for (uint32_t i = 0; i < lspo_policy_count(); i++) {
        lspo_workload_t workload = segment_workload();
        check_segments(lspo_policy_at(i)->name, &workload);
    }
}

Test(session, segments_are_one_training_with_clipping_packing_and_accumulation)
{
    static const char *const policies[] = {"native", "zero", "zero-delayed", "lsp", "galore"};
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        lspo_workload_t workload = segment_workload();
        workload.clip_norm = 0.05;
        workload.accumulation = 2;
        workload.transfer = LSPO_BF16;
        check_segments(policies[i], &workload);
    }
}

/* A plan that leaves its update and has no other: one step, then the rest. */
Test(session, a_segment_may_be_one_step_without_an_update)
{
    lspo_workload_t workload = segment_workload(), whole = workload, rest = workload;
    double expected[4], got[4];
    training_t one, parts;
    whole.iterations = 4;
    workload.iterations = 1;
    workload.open_end = true;
    rest.first_step = 1;
    rest.iterations = 3;
    training_begin("zero-delayed", &whole, &one);
    training_run(&one, expected);
    training_begin("zero-delayed", &workload, &parts);
    training_run(&parts, got);
    training_continue(&parts, "zero-delayed", &rest);
    training_run(&parts, got + 1);
    cr_assert_arr_eq(got, expected, sizeof got);
    assert_equal_weights("in segments", "zero-delayed", &one, &parts);
    training_end(&parts);
    training_end(&one);
}

Test(session, another_policy_or_batch_does_not_go_on)
{
    lspo_workload_t workload = segment_workload();
    workload.iterations = 1;
    training_t training;
    training_begin("zero", &workload, &training);
    lspo_plan_t *other = make_plan("native", &workload);
    cr_assert_eq(lspo_session_continue(training.session, other), LSPO_ERR_INPUT);
    lspo_plan_destroy(other);
    workload.batch++;
    other = make_plan("zero", &workload);
    cr_assert_eq(lspo_session_continue(training.session, other), LSPO_ERR_INPUT);
    lspo_plan_destroy(other);
    training_end(&training);
}

static lspo_status_t broken_batch(void *context, uint32_t step, uint32_t micro, lspo_batch_t *batch)
{
    (void)step;
    (void)micro;
    batch->targets[0] = 1;
    batch->tokens[0] = *(const uint32_t *)context;
    return batch->tokens[0] == 1 ? LSPO_ERR_IO : LSPO_OK;
}

Test(session, bad_batches_end_the_training)
{
    lspo_workload_t workload = segment_workload();
    workload.iterations = 1;
    training_t training;
    training_begin("native", &workload, &training);
    const uint32_t ids[] = {256, 1, 255};
    const lspo_status_t expected[] = {LSPO_ERR_INPUT, LSPO_ERR_IO, LSPO_OK};
    for (size_t i = 0; i < 3; i++) {
        lspo_trace_t *trace = NULL;
        cr_assert_eq(lspo_session_reset(training.session), LSPO_OK);
        lspo_session_set_batches(training.session, broken_batch, (void *)&ids[i]);
        cr_assert_eq(lspo_execute(training.plan, lspo_session_run_op, NULL, training.session, NULL, &trace),
                     expected[i]);
        if (expected[i] == LSPO_OK)
            lspo_trace_destroy(trace);
    }
    training_end(&training);
}

/* The batch of training step 0 and 1, evaluated before any step, has the losses that these steps begin with, weighted
 * alike since each counts as many targets. */
Test(session, evaluation_is_the_loss_of_its_batches)
{
    lspo_workload_t workload = segment_workload();
    workload.iterations = 2;
    workload.learning_rate = 0;
    workload.weight_decay = 0;
    double losses[2];
    lspo_evaluation_t evaluation;
    training_t training;
    training_begin("native", &workload, &training);
    cr_assert(isnan(lspo_session_gradient_norm(training.session)));
    cr_assert_eq(lspo_session_evaluate(training.session, made_up_batch, &workload, 2, &evaluation), LSPO_OK);
    training_run(&training, losses);
    cr_assert(isnan(evaluation.accuracy), "a language model classifies nothing");
    cr_assert_float_eq(evaluation.loss, (losses[0] + losses[1]) / 2, 1e-9);
    cr_assert_neq(losses[0], losses[1]);
    training_end(&training);
}

/* After one step the two differ by eta decay w and nothing else: the direction is the same. */
Test(session, weight_decay_is_decoupled_under_lsp)
{
    lspo_workload_t workload = segment_workload();
    workload.iterations = 1;
    training_t with, without;
    double loss;
    training_begin("lsp", &workload, &with);
    workload.weight_decay = 0;
    training_begin("lsp", &workload, &without);
    size_t n = with.session->stages[1].linear_elements;
    float *before = malloc(n * sizeof *before);
    memcpy(before, host_weights(with.session, 1), n * sizeof *before);
    training_run(&with, &loss);
    training_run(&without, &loss);
    const float *decayed = host_weights(with.session, 1), *plain = host_weights(without.session, 1);
    double largest = 0;
    for (size_t i = 0; i < n; i++) {
        double decay = 0.1 * workload.learning_rate * (double)before[i];
        cr_assert_float_eq((double)plain[i] - (double)decayed[i], decay, 1e-8);
        largest = fmax(largest, fabs(decay));
    }
    cr_assert_gt(largest, 1e-5);
    free(before);
    training_end(&without);
    training_end(&with);
}

/* ---- lsp's projectors are checked and fitted ---- */

static lspo_workload_t checking_workload(void)
{
    lspo_workload_t workload = segment_workload();
    lspo_lsp_values_edit(&workload)->check_every = 3;
    lspo_lsp_values_edit(&workload)->fit_steps = 30;
    lspo_lsp_values_edit(&workload)->bias_threshold = 0.2;
    return workload;
}

Test(session, segments_are_one_training_with_checks)
{
    lspo_workload_t workload = checking_workload();
    check_segments("lsp", &workload);
    workload.transfer = LSPO_BF16;
    workload.accumulation = 2;
    workload.clip_norm = 0.05;
    check_segments("lsp", &workload);
}

Test(session, segments_are_one_training_with_pairs_by_shape)
{
    lspo_workload_t workload = checking_workload();
    lspo_lsp_values_edit(&workload)->projectors = LSPO_PROJECTORS_SHAPE;
    check_segments("lsp", &workload);
    workload.transfer = LSPO_BF16;
    workload.accumulation = 2;
    workload.clip_norm = 0.05;
    check_segments("lsp", &workload);
}

Test(session, checks_fit_what_is_above_the_threshold)
{
    lspo_workload_t workload = checking_workload();
    workload.iterations = 5;
    training_t training;
    double losses[5];
    training_begin("lsp", &workload, &training);
    cr_assert_eq(lspo_session_bias(training.session).checked, 0);
    training_run(&training, losses);
    lspo_session_bias_t bias = lspo_session_bias(training.session);
    cr_assert_eq(bias.step, 3);
    cr_assert_eq(bias.checked, 12, "three blocks of four weights: %u", bias.checked);
    cr_assert_eq(bias.checked_total, 24);
    cr_assert_geq(bias.fitted_total, 12, "the first check finds random projectors");
    cr_assert_leq(bias.bias_after, bias.bias_before);
    cr_assert_lt(bias.bias_before, 1);
    cr_assert_lt(losses[4], losses[0]);
    training_end(&training);

    lspo_lsp_values_edit(&workload)->bias_threshold = 1; /* no projector is worse than that at its best scale */
    training_begin("lsp", &workload, &training);
    training_run(&training, losses);
    bias = lspo_session_bias(training.session);
    cr_assert_eq(bias.fitted_total, 0);
    cr_assert_eq(bias.fit_steps, 0);
    cr_assert_gt(bias.bias_before, 0.5);
    training_end(&training);
}

/* Two plays from the seed are equal, fitted projectors and all. */
Test(session, reset_undoes_fits)
{
    lspo_workload_t workload = checking_workload();
    workload.iterations = 5;
    training_t training;
    double first[5], second[5];
    training_begin("lsp", &workload, &training);
    training_run(&training, first);
    cr_assert_eq(lspo_session_reset(training.session), LSPO_OK);
    cr_assert_eq(lspo_session_bias(training.session).checked_total, 0);
    training_run(&training, second);
    cr_assert_arr_eq(first, second, sizeof first);
    training_end(&training);
}

/* Weights as good as still: the second pass finds the pairs of the first better than random ones, on other batches. */
Test(session, what_a_pass_learns_holds_for_other_batches)
{
    lspo_workload_t workload = checking_workload();
    workload.iterations = 4;
    workload.learning_rate = 1e-9;
    training_t training;
    double losses[4];
    training_begin("lsp", &workload, &training);
    training_run(&training, losses);
    lspo_session_bias_t second = lspo_session_bias(training.session);
    training_end(&training);
    workload.iterations = 1;
    training_begin("lsp", &workload, &training);
    training_run(&training, losses);
    lspo_session_bias_t first = lspo_session_bias(training.session);
    training_end(&training);
    cr_assert_eq(second.step, 3);
    cr_assert_eq(first.fitted, 12);
    cr_assert_eq(first.fit_steps, 12 * 30, "30 steps of each of 12 fits, 5 on each of 6 batches");
    cr_assert_lt(first.bias_after, 0.95 * first.bias_before);
    cr_assert_lt(second.bias_before, 0.95 * first.bias_before, "%g, and %g at first", second.bias_before,
                 first.bias_before);
}

/* Nothing above the threshold, but not known before: the pass is planned and ends after its first micro-batch. */
Test(session, a_pass_ends_when_nothing_needs_a_fit)
{
    lspo_workload_t workload = checking_workload();
    workload.iterations = 4;
    lspo_lsp_values_edit(&workload)->bias_threshold = 0.99999;
    training_t with, without;
    double losses[2][4];
    training_begin("lsp", &workload, &with);
    training_run(&with, losses[0]);
    lspo_session_bias_t bias = lspo_session_bias(with.session);
    cr_assert_eq(bias.checked_total, 24);
    cr_assert_eq(bias.fit_steps, 0);
    lspo_lsp_values_edit(&workload)->check_every = 0;
    training_begin("lsp", &workload, &without);
    training_run(&without, losses[1]);
    cr_assert_arr_eq(losses[0], losses[1], sizeof losses[0]);
    assert_equal_weights("skipped", "lsp", &with, &without);
    training_end(&without);
    training_end(&with);
}

Test(session, projectors_of_signs)
{
    lspo_workload_t workload = segment_workload();
    lspo_lsp_values_edit(&workload)->projector_values = LSPO_PROJECTOR_SIGN;
    training_t training;
    training_begin("lsp", &workload, &training);
    const lspo_projector_t *q = &lspo_pairs_of(training.session, 1)->q[2];
    int negative = 0;
    for (size_t e = 0; e < (size_t)q->rows * q->r; e++) {
        cr_assert_float_eq(fabs((double)q->value[e]), 1 / sqrt((double)q->r), 1e-6);
        negative += q->value[e] < 0;
    }
    cr_assert_gt(negative, 0);
    training_end(&training);
}

/* Never above the threshold: the losses are those of a training without checks. */
Test(session, checks_that_find_nothing_change_nothing)
{
    lspo_workload_t workload = checking_workload();
    workload.iterations = 7;
    lspo_lsp_values_edit(&workload)->bias_threshold = 1;
    training_t with, without;
    double losses[2][7];
    training_begin("lsp", &workload, &with);
    training_run(&with, losses[0]);
    lspo_lsp_values_edit(&workload)->check_every = 0;
    training_begin("lsp", &workload, &without);
    training_run(&without, losses[1]);
    cr_assert_arr_eq(losses[0], losses[1], sizeof losses[0]);
    assert_equal_weights("checked", "lsp", &with, &without);
    training_end(&without);
    training_end(&with);
}

typedef struct {
    uint32_t *index;
    float *value;
    lspo_projector_t view;
} rows_t;

static rows_t copy_rows(const lspo_projector_t *p)
{
    size_t count = (size_t)p->rows * p->r;
    rows_t rows = {.index = malloc(count * sizeof(uint32_t)), .value = malloc(count * sizeof(float)), .view = *p};
    memcpy(rows.index, p->index, count * sizeof(uint32_t));
    memcpy(rows.value, p->value, count * sizeof(float));
    rows.view.index = rows.index;
    rows.view.value = rows.value;
    return rows;
}

static void free_rows(rows_t *rows)
{
    free(rows->index);
    free(rows->value);
}

/* The second of two steps renews every projector: M and V after it are 0.9 M' + 0.1 g and 0.999 V' + 0.001 g^2, with M'
 * and V' those after the first step carried over (tested against dense formulas in test_fit.c), and g what landed. */
static void check_carried(lspo_projectors_t projectors, uint32_t s, uint32_t i)
{
    lspo_workload_t workload = checking_workload(), second;
    workload.iterations = 1;
    lspo_lsp_values_edit(&workload)->check_every = 1;
    lspo_lsp_values_edit(&workload)->bias_threshold = 0;
    lspo_lsp_values_edit(&workload)->projectors = projectors;
    second = workload;
    second.first_step = 1;
    training_t training;
    double loss;
    training_begin("lsp", &workload, &training);
    training_run(&training, &loss);
    const lspo_session_stage_t *stage = &training.session->stages[s];
    const lspo_projection_t *linear = &stage->message.linear[i];
    size_t count = linear->message_elements, at = linear->message_offset_elements, all = stage->message.element_count;
    const lspo_pairs_stage_t *own = stage->own;
    rows_t p = copy_rows(&own->p[i]), q = copy_rows(&own->q[i]);
    float *m = floats(count), *v = floats(count), *scratch = floats(lspo_fit_carry_scratch(&own->p[i], &own->q[i]));
    memcpy(m, own->host.moments + at, count * sizeof *m);
    memcpy(v, own->host.moments + all + at, count * sizeof *v);
    training_continue(&training, "lsp", &second);
    training_run(&training, &loss);
    stage = &training.session->stages[s];
    cr_assert_neq(memcmp(p.value, own->p[i].value, (size_t)p.view.rows * p.view.r * sizeof(float)), 0,
                  "the second step did not renew this projector: choose another");
    lspo_fit_carry(&p.view, &q.view, &own->p[i], &own->q[i], true, m, v, scratch);
    const float *g = (const float *)stage->landing[0] + at, *m_after = own->host.moments + at, *v_after = m_after + all;
    double largest = 0;
    for (size_t e = 0; e < count; e++)
        largest = fmax(largest, fabs((double)m[e]));
    cr_assert_gt(largest, 0);
    for (size_t e = 0; e < count; e++) {
        double ge = (double)g[e];
        cr_assert_float_eq(m_after[e], 0.9 * (double)m[e] + 0.1 * ge, 1e-5 * (largest + fabs(ge)));
        cr_assert_float_eq(v_after[e], 0.999 * (double)v[e] + 0.001 * ge * ge, 1e-4 * (double)v_after[e]);
    }
    free(scratch);
    free(v);
    free(m);
    free_rows(&q);
    free_rows(&p);
    training_end(&training);
}

Test(session, moments_follow_their_projectors)
{
    check_carried(LSPO_PROJECTORS_WEIGHT, 2, 1);
}

Test(session, moments_of_all_weights_follow_a_shared_pair)
{
    for (uint32_t s = 1; s <= 3; s++)
        check_carried(LSPO_PROJECTORS_SHAPE, s, 1);
}

Test(session, device_memory_of_checks_is_what_the_plan_says)
{
    for (int variant = 0; variant < 4; variant++) {
        lspo_workload_t workload = checking_workload();
        workload.iterations = 4;
        workload.transfer = variant & 1 ? LSPO_BF16 : LSPO_FP32;
        lspo_lsp_values_edit(&workload)->projectors = variant & 2 ? LSPO_PROJECTORS_SHAPE : LSPO_PROJECTORS_WEIGHT;
        assert_planned_memory("lsp", &workload);
        outcome_t with, without;
        train("lsp", &workload, &with);
        lspo_lsp_values_edit(&workload)->check_every = 0;
        train("lsp", &workload, &without);
        cr_assert_gt(with.peak_bytes, without.peak_bytes);
        outcome_release(&with);
        outcome_release(&without);
    }
}

/* ---- a calibration pass as a whole, by dense matrices ---- */

enum { PASS_BATCHES = 8, BLOCKS = 3, LINEARS = 4 };

typedef struct {
    lspo_workload_t workload;
    uint32_t steps[2 * PASS_BATCHES], count; /* of the training data, as the session asks for them */
} recorder_t;

static lspo_status_t recorded_batch(void *context, uint32_t step, uint32_t micro, lspo_batch_t *batch)
{
    recorder_t *recorder = context;
    cr_assert_lt(recorder->count, 2U * PASS_BATCHES);
    recorder->steps[recorder->count++] = step;
    return made_up_batch(&recorder->workload, step, micro, batch);
}

/* m x n, row-major. */
typedef struct {
    uint32_t m, n;
    float *g;
} dense_t;

typedef struct {
    dense_t of[PASS_BATCHES][BLOCKS + 1][LINEARS]; /* micro-batch, stage, weight */
} gradients_t;

/* G = X^T dY in double. */
static dense_t dense_gradient(const lspo_projection_t *w, size_t tokens, const lspo_linear_operands_t *from, uint32_t i)
{
    dense_t dense = {.m = w->rows, .n = w->cols, .g = floats((size_t)w->rows * w->cols)};
    const float *x = from->of[i].x, *dy = from->of[i].dy;
    for (size_t a = 0; a < dense.m; a++)
        for (size_t b = 0; b < dense.n; b++) {
            double sum = 0;
            for (size_t t = 0; t < tokens; t++)
                sum += (double)x[t * from->of[i].x_stride + a] * (double)dy[t * from->of[i].dy_stride + b];
            dense.g[a * dense.n + b] = (float)sum;
        }
    return dense;
}

/* The gradients of one batch at the weights of a session, by one forward and one backward pass that keep all. */
static void make_gradients(const lspo_session_t *session, lspo_workload_t *workload, uint32_t step,
                           dense_t of[BLOCKS + 1][LINEARS])
{
    lspo_model_t model = small_model();
    size_t tokens = (size_t)workload->batch * workload->sequence, count = tokens * model.width;
    uint32_t ids[64], targets[64], lengths[8] = {workload->sequence, workload->sequence};
    lspo_batch_t batch = {.tokens = ids, .targets = targets, .lengths = lengths};
    cr_assert(tokens <= 64 && workload->batch == 2);
    cr_assert_eq(made_up_batch(workload, step, 0, &batch), LSPO_OK);
    size_t workspace_bytes =
        lspo_transformer_workspace_bytes(&model, workload->batch, workload->sequence, LSPO_NUMBER_FP32);
    void *workspace = aligned_alloc(64, (workspace_bytes + 63) / 64 * 64);
    lspo_transformer_t *t = NULL;
    cr_assert_eq(
        lspo_transformer_create(&model, workload->batch, workload->sequence, lspo_compute_host(), workspace, &t),
        LSPO_OK);
    float *x[BLOCKS + 1], *dx = floats(count);
    void *saved[BLOCKS + 2];
    const float *embed = host_weights(session, 0), *head = host_weights(session, BLOCKS + 1);
    for (uint32_t s = 0; s <= BLOCKS; s++)
        x[s] = floats(count);
    for (uint32_t s = 1; s <= BLOCKS + 1; s++)
        saved[s] = malloc(lspo_transformer_saved_bytes(t, s));
    lspo_transformer_embed_forward(t, ids, embed, x[0]);
    for (uint32_t s = 1; s <= BLOCKS; s++)
        lspo_transformer_block_forward(t, &(lspo_block_parameters_t){host_weights(session, s), NULL}, x[s - 1],
                                       saved[s], x[s]);
    mean_head_forward(t, head, embed, targets, x[BLOCKS], saved[BLOCKS + 1]);
    mean_head_backward(t, head, embed, targets, x[BLOCKS], saved[BLOCKS + 1], 1, NULL, NULL, dx);
    for (uint32_t s = BLOCKS; s > 0; s--) {
        lspo_linear_operands_t operands;
        lspo_transformer_block_backward(t, &(lspo_block_parameters_t){host_weights(session, s), NULL},
                                        &(lspo_stage_kept_t){x[s - 1], saved[s]}, NULL, &operands, dx);
        for (uint32_t i = 0; i < LINEARS; i++)
            of[s][i] = dense_gradient(&session->stages[s].message.linear[i], tokens, &operands, i);
    }
    for (uint32_t s = 1; s <= BLOCKS + 1; s++)
        free(saved[s]);
    for (uint32_t s = 0; s <= BLOCKS; s++)
        free(x[s]);
    free(dx);
    lspo_transformer_destroy(t);
    free(workspace);
}

/* out (rows x cols) = P (rows x inner, sparse) made dense, or its transpose, times a. */
static double *times_projector(const lspo_projector_t *p, bool transposed, const double *a, size_t cols)
{
    size_t rows = transposed ? p->d : p->rows;
    double *out = calloc(rows * cols, sizeof *out);
    for (size_t row = 0; row < p->rows; row++)
        for (size_t e = row * p->r; e < (row + 1) * p->r; e++)
            for (size_t c = 0; c < cols; c++) {
                size_t to = transposed ? p->index[e] : row, from = transposed ? row : p->index[e];
                out[to * cols + c] += (double)p->value[e] * a[from * cols + c];
            }
    return out;
}

static double *transpose(const double *a, size_t rows, size_t cols)
{
    double *out = malloc(rows * cols * sizeof *out);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            out[j * rows + i] = a[i * cols + j];
    return out;
}

/* P P^T a, of a (rows x cols), which is freed. */
static double *onto_projector(const lspo_projector_t *p, double *a, size_t cols)
{
    double *inside = times_projector(p, true, a, cols), *out = times_projector(p, false, inside, cols);
    free(inside);
    free(a);
    return out;
}

/* min over c of ||c P P^T G Q Q^T - G|| / ||G||, all m x n matrices formed. */
static double dense_bias(const lspo_projector_t *p, const lspo_projector_t *q, const dense_t *dense)
{
    size_t m = dense->m, n = dense->n;
    double *g = malloc(m * n * sizeof *g), along = 0, square = 0, whole = 0, left = 0;
    for (size_t e = 0; e < m * n; e++)
        g[e] = (double)dense->g[e];
    double *copy = malloc(m * n * sizeof *copy);
    memcpy(copy, g, m * n * sizeof *copy);
    double *rows_done = onto_projector(p, copy, n), *turned = transpose(rows_done, m, n);
    turned = onto_projector(q, turned, m);
    double *estimate = transpose(turned, n, m);
    for (size_t e = 0; e < m * n; e++) {
        along += estimate[e] * g[e];
        square += estimate[e] * estimate[e];
        whole += g[e] * g[e];
    }
    for (size_t e = 0; e < m * n; e++)
        left += (along / square * estimate[e] - g[e]) * (along / square * estimate[e] - g[e]);
    free(estimate);
    free(turned);
    free(rows_done);
    free(g);
    return sqrt(left / whole);
}

static lspo_projector_t copy_projector(const lspo_projector_t *from)
{
    lspo_projector_t copy;
    size_t count = (size_t)from->rows * from->r;
    cr_assert(lspo_projector_random(from->rows, from->d, from->r, 1, &copy));
    memcpy(copy.index, from->index, count * sizeof(uint32_t));
    memcpy(copy.value, from->value, count * sizeof(float));
    lspo_projector_refresh(&copy);
    return copy;
}

static double mean_dense_bias(const lspo_projector_t *p, const lspo_projector_t *q, const gradients_t *gradients,
                              uint32_t batch, uint32_t low, uint32_t high, uint32_t i)
{
    double sum = 0;
    for (uint32_t s = high; s >= low; s--)
        sum += dense_bias(p, q, &gradients->of[batch][s][i]);
    return sum / (high - low + 1);
}

/* The loop that a pass stands for, of the pair of weight i in stages low to high: into p and q; returns the mean bias
 * that the pass ends with, and in *before that of the last micro-batch. */
static double fit_by_hand(const lspo_workload_t *workload, const gradients_t *gradients, uint32_t low, uint32_t high,
                          uint32_t i, lspo_projector_t *p, lspo_projector_t *q, double *before)
{
    lspo_projector_t p_new = copy_projector(p), q_new = copy_projector(q);
    lspo_fit_options_t options = lspo_fit_default();
    lspo_fit_stream_t stream;
    options.beta = lspo_lsp_values_of(workload)->fit_beta;
    options.steps = lspo_lsp_values_of(workload)->fit_steps * (high - low + 1);
    float *moments = floats(lspo_fit_moments(p, q)), *scratch = floats(lspo_fit_scratch(p, q));
    cr_assert(lspo_fit_begin(&options, gradients->of[1][high][i].g, &p_new, &q_new, moments, scratch, &stream));
    for (uint32_t b = 1; b + 1 < PASS_BATCHES; b++)
        for (uint32_t s = high; s >= low; s--)
            cr_assert(lspo_fit_advance(&options, lspo_lsp_values_of(workload)->fit_steps / (PASS_BATCHES - 2),
                                       gradients->of[b][s][i].g, &p_new, &q_new, moments, scratch, &stream));
    cr_assert_eq(stream.steps, options.steps);
    lspo_fit_finish(&p_new, &q_new);
    *before = mean_dense_bias(p, q, gradients, PASS_BATCHES - 1, low, high, i);
    double after = mean_dense_bias(&p_new, &q_new, gradients, PASS_BATCHES - 1, low, high, i);
    cr_assert_gt(fabs(after - *before), 1e-3, "too near to tell which pair should stay");
    lspo_projector_t *stays[2] = {after < *before ? &p_new : p, after < *before ? &q_new : q};
    lspo_projector_t decided[2] = {copy_projector(stays[0]), copy_projector(stays[1])};
    free(scratch);
    free(moments);
    lspo_projector_release(&p_new);
    lspo_projector_release(&q_new);
    lspo_projector_release(p);
    lspo_projector_release(q);
    *p = decided[0];
    *q = decided[1];
    return fmin(after, *before);
}

static void assert_same_values(const lspo_projector_t *got, const lspo_projector_t *expected, const char *what)
{
    size_t count = (size_t)got->rows * got->r;
    double apart = 0, whole = 0;
    cr_assert_arr_eq(got->index, expected->index, count * sizeof(uint32_t));
    for (size_t e = 0; e < count; e++) {
        double a = (double)got->value[e], b = (double)expected->value[e];
        apart += (a - b) * (a - b);
        whole += b * b;
    }
    cr_assert_lt(sqrt(apart / whole), 1e-3, "%s: %g apart", what, sqrt(apart / whole));
}

static void check_pass(lspo_projectors_t projectors)
{
    lspo_workload_t workload = checking_workload();
    workload.iterations = 1;
    lspo_lsp_values_edit(&workload)->projectors = projectors;
    bool shared = projectors == LSPO_PROJECTORS_SHAPE;
    recorder_t recorder = {.workload = workload};
    gradients_t *gradients = calloc(1, sizeof *gradients);
    training_t still, run;
    double loss, before = 0, after = 0;
    training_begin("lsp", &workload, &still);
    training_begin("lsp", &workload, &run);
    lspo_session_set_batches(run.session, recorded_batch, &recorder);
    training_run(&run, &loss);
    cr_assert_eq(recorder.count, PASS_BATCHES + 1U, "the pass, then the step");
    for (uint32_t b = 0; b < PASS_BATCHES; b++)
        make_gradients(still.session, &workload, recorder.steps[b], gradients->of[b]);
    for (uint32_t first = 1; first <= (shared ? 1 : BLOCKS); first++)
        for (uint32_t i = 0; i < LINEARS; i++) {
            uint32_t last = shared ? BLOCKS : first;
            lspo_projector_t p = copy_projector(&lspo_pairs_of(still.session, first)->p[i]);
            lspo_projector_t q = copy_projector(&lspo_pairs_of(still.session, first)->q[i]);
            double old, new = fit_by_hand(&workload, gradients, first, last, i, &p, &q, &old);
            for (uint32_t s = first; s <= last; s++) {
                assert_same_values(&lspo_pairs_of(run.session, s)->p[i], &p, "P");
                assert_same_values(&lspo_pairs_of(run.session, s)->q[i], &q, "Q");
            }
            before += old * (last - first + 1) / (BLOCKS * LINEARS);
            after += new *(last - first + 1) / (BLOCKS * LINEARS);
            lspo_projector_release(&q);
            lspo_projector_release(&p);
        }
    lspo_session_bias_t bias = lspo_session_bias(run.session);
    cr_assert_eq(bias.checked, BLOCKS * LINEARS);
    cr_assert_eq(bias.fit_steps, BLOCKS * LINEARS * lspo_lsp_values_of(&workload)->fit_steps);
    cr_assert_gt(bias.fitted, 0);
    cr_assert_float_eq(bias.bias_before, before, 1e-4);
    cr_assert_float_eq(bias.bias_after, after, 1e-3);
    for (uint32_t b = 0; b < PASS_BATCHES; b++)
        for (uint32_t s = 1; s <= BLOCKS; s++)
            for (uint32_t i = 0; i < LINEARS; i++)
                free(gradients->of[b][s][i].g);
    free(gradients);
    training_end(&run);
    training_end(&still);
}

Test(session, a_pass_is_the_loop_over_its_gradients)
{
    check_pass(LSPO_PROJECTORS_WEIGHT);
}

Test(session, a_pass_of_pairs_by_shape_is_the_loop_over_the_gradients_of_all_that_share_them)
{
    check_pass(LSPO_PROJECTORS_SHAPE);
}

/* With one block of four shapes every weight has its shape to itself: the same bits. */
Test(session, pairs_by_shape_are_those_by_weight_where_no_shape_comes_twice)
{
    lspo_workload_t workload = checking_workload();
    workload.iterations = 7;
    block_count = 1;
    training_t by[2];
    double losses[2][7];
    for (int shape = 0; shape < 2; shape++) {
        lspo_lsp_values_edit(&workload)->projectors = shape ? LSPO_PROJECTORS_SHAPE : LSPO_PROJECTORS_WEIGHT;
        training_begin("lsp", &workload, &by[shape]);
        training_run(&by[shape], losses[shape]);
    }
    cr_assert_arr_eq(losses[0], losses[1], sizeof losses[0]);
    assert_equal_weights("by shape", "lsp", &by[0], &by[1]);
    cr_assert_gt(lspo_session_bias(by[1].session).fitted_total, 0);
    training_end(&by[1]);
    training_end(&by[0]);
    block_count = BLOCKS;
}

/* One pair for three blocks: a third of the memory, and arrays that all three read. */
Test(session, pairs_by_shape_are_held_once)
{
    lspo_workload_t workload = segment_workload();
    training_t weight, shape;
    training_begin("lsp", &workload, &weight);
    lspo_lsp_values_edit(&workload)->projectors = LSPO_PROJECTORS_SHAPE;
    training_begin("lsp", &workload, &shape);
    cr_assert_eq(3 * shape.plan->footprint.gpu_projectors_bytes, weight.plan->footprint.gpu_projectors_bytes);
    for (uint32_t i = 0; i < LINEARS; i++) {
        cr_assert_eq(lspo_pairs_of(shape.session, 3)->p[i].index, lspo_pairs_of(shape.session, 1)->p[i].index);
        cr_assert_neq(lspo_pairs_of(weight.session, 3)->p[i].index, lspo_pairs_of(weight.session, 1)->p[i].index);
    }
    training_end(&shape);
    training_end(&weight);
}

/* Gives stage 1 alone, as a folder without a head gives all but the last. */
static lspo_status_t give_one_stage(void *context, uint32_t stage, float *weights, bool *given_out)
{
    const size_t *count = context;
    *given_out = stage == 1;
    for (size_t i = 0; i < *count && *given_out; i++)
        weights[i] = 0.25F + (float)i;
    return LSPO_OK;
}

/* At creation and after a reset: what is given stays, bit for bit, and only the rest is drawn by the seed. */
Test(session, first_weights_that_are_given_are_not_drawn)
{
    static const char *const policies[] = {"native", "zero", "swap", "lora", "badam"};
    lspo_workload_t workload = small_workload();
    for (size_t p = 0; p < sizeof policies / sizeof policies[0]; p++) {
        training_t seeded;
        training_begin(policies[p], &workload, &seeded);
        size_t count = seeded.session->stages[1].shape.element_count;
        const lspo_first_weights_t first = {give_one_stage, &count};
        lspo_session_t *session = NULL;
        lspo_device_caps_t caps = {0};
        lspo_device_t *device = NULL;
        cr_assert_eq(lspo_device_open("host", &caps, &device), LSPO_OK);
        cr_assert_eq(lspo_session_create_from(seeded.plan, device, NULL, &first, &session), LSPO_OK);
        for (int round = 0; round < 2; round++) {
            for (uint32_t s = 0; s < seeded.plan->stage_count; s++) {
                const size_t elements = session->stages[s].shape.element_count;
                float *got = malloc(elements * sizeof *got), *drawn = malloc(elements * sizeof *drawn);
                cr_assert_eq(lspo_session_weights(session, s, got), LSPO_OK);
                cr_assert_eq(lspo_session_weights(seeded.session, s, drawn), LSPO_OK);
                for (size_t i = 0; i < elements; i++)
                    cr_assert_eq(got[i], s == 1 ? 0.25F + (float)i : drawn[i], "%s stage %u", policies[p], s);
                free(drawn);
                free(got);
            }
            cr_assert_eq(lspo_session_reset(session), LSPO_OK);
        }
        lspo_session_destroy(session);
        lspo_device_close(device);
        training_end(&seeded);
    }
}
