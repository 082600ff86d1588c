/* A session under the executor, on a small GPT: the results of each policy must not depend on timing. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/adam.h"
#include "real/methods/pairs.h"
#include "real/transformer/transformer.h"
#include "tests/mean_head.h"
#include "tests/session_fixture.h"

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
        lspo_text_batch(loop->text, workload->seed, iteration, micro,
                        &(lspo_text_windows_t){workload->batch, workload->sequence, loop->tokens, loop->targets});
        lspo_transformer_embed_forward(loop->t, loop->tokens, loop->w[0], loop->x[0]);
        for (uint32_t s = 1; s < head; s++)
            lspo_transformer_block_forward(loop->t, &(lspo_block_parameters_t){.weights = loop->w[s]}, loop->x[s - 1],
                                           loop->saved[s], loop->x[s]);
        sum +=
            mean_head_forward(loop->t, loop->w[head], loop->w[0], loop->targets, loop->x[head - 1], loop->saved[head]) /
            workload->accumulation;
        lspo_gradient_sink_t sink = {.rest = loop->g[head], .tied = loop->g[0], .accumulate = micro > 0};
        mean_head_backward(loop->t, &(lspo_head_parameters_t){loop->w[head], loop->w[0]},
                           &(lspo_head_loss_t){loop->targets, 1.0F / (float)workload->accumulation},
                           &(lspo_stage_kept_t){loop->x[head - 1], loop->saved[head]}, &sink, loop->dx);
        for (uint32_t s = head - 1; s > 0; s--) {
            const lspo_tensor_t *first_rest = &loop->shape[s].tensors[loop->shape[s].linear_count];
            sink = (lspo_gradient_sink_t){
                .linear = loop->g[s], .rest = loop->g[s] + first_rest->offset_elements, .accumulate = micro > 0};
            lspo_transformer_block_backward(loop->t, &(lspo_block_parameters_t){.weights = loop->w[s]},
                                            &(lspo_stage_kept_t){loop->x[s - 1], loop->saved[s]}, &sink, NULL,
                                            loop->dx);
        }
        lspo_transformer_embed_backward(loop->t, loop->tokens, loop->w[0], loop->dx, micro > 0, loop->g[0]);
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
    static const char *const exact[] = {"native", "zero", "zero-layerwise", "backward-update", "swap", "stream"};
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
    const char *const others[] = {"zero", "zero-layerwise", "backward-update", "swap", "stream"};
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

Test(session, device_memory_is_what_the_plan_says)
{
    const char *const policies[] = {"native",          "zero", "zero-delayed", "zero-layerwise",
                                    "backward-update", "swap", "stream",       "lsp"};
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
    const char *const policies[] = {"native", "zero", "lsp", "swap", "stream"};
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
    cr_assert(isnan(evaluation.scores.accuracy), "a language model classifies nothing");
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
