/* session_fixture.h - a small GPT, trained by a session on the host: as a whole by one plan, or segment by segment. */
#ifndef LSPO_TESTS_SESSION_FIXTURE_H
#define LSPO_TESTS_SESSION_FIXTURE_H

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/policies/badam.h"
#include "plan/policies/galore.h"
#include "plan/policies/lsp.h"
#include "plan/policy.h"
#include "real/execute/executor.h"
#include "real/methods/methods.h"
#include "real/session/session.h"
#include "real/session/state.h"
#include "sim/memory.h"
#include "tests/host_weights.h"
#include "tests/own_values.h"
#include "tests/small_gpt.h"

enum { STEPS = 50, STAGES_MAX = 8, BLOCKS = 3, LINEARS = 4 };

static uint32_t block_count = BLOCKS; /* of the model; who changes it sets it back, since not every runner forks */
static uint32_t width_factor = 1;     /* the same */

static inline lspo_model_t small_model(void)
{
    lspo_model_t model = small_gpt();
    model.block_count = block_count;
    model.width *= width_factor;
    model.mlp_width *= width_factor;
    return model;
}

static inline lspo_workload_t small_workload(void)
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

static inline lspo_plan_t *make_plan(const char *policy_name, const lspo_workload_t *workload)
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

static inline void outcome_release(outcome_t *outcome)
{
    for (uint32_t s = 0; s < outcome->stage_count; s++)
        free(outcome->weights[s]);
}

static inline void keep_weights(outcome_t *outcome, uint32_t s, const float *weights, size_t count)
{
    outcome->weights[s] = malloc(count * sizeof(float));
    cr_assert_not_null(outcome->weights[s]);
    memcpy(outcome->weights[s], weights, count * sizeof(float));
    outcome->counts[s] = count;
}

static inline void train(const char *policy, const lspo_workload_t *workload, outcome_t *outcome)
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

static inline void assert_identical(const char *name, const lspo_workload_t *workload, const outcome_t *expected,
                                    const outcome_t *got)
{
    for (uint32_t i = 0; i < workload->iterations; i++)
        cr_assert_eq(got->losses[i], expected->losses[i], "%s: loss of step %u is %.17g, not %.17g", name, i,
                     got->losses[i], expected->losses[i]);
    for (uint32_t s = 0; s < expected->stage_count; s++)
        cr_assert_eq(memcmp(got->weights[s], expected->weights[s], expected->counts[s] * sizeof(float)), 0,
                     "%s: weights of stage %u differ", name, s);
}

static inline float *floats(size_t count)
{
    float *array = aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64);
    cr_assert_not_null(array);
    memset(array, 0, count * sizeof(float));
    return array;
}

/* The device's own high-water mark against the plan's allocations, replayed in the order in which the ops really ran.
 * An op takes its memory a moment after it starts, and where another gives some back in that moment the mark stays
 * below the replay: not in every one of a few plays. */
static inline void assert_planned_memory(const char *policy, const lspo_workload_t *workload)
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

/* ---- a training in segments ---- */

static inline double falling_rate(void *context, uint32_t step)
{
    return *(const double *)context / (1 + 0.1 * step);
}

/* Counts in reverse and ignores every third target. */
static inline lspo_status_t made_up_batch(void *context, uint32_t step, uint32_t micro, lspo_batch_t *batch)
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

static inline void training_begin(const char *policy, const lspo_workload_t *workload, training_t *training)
{
    lspo_device_caps_t caps = {0};
    *training = (training_t){.rate = workload->learning_rate, .workload = *workload};
    training->plan = make_plan(policy, workload);
    cr_assert_eq(lspo_device_open("host", &caps, &training->device), LSPO_OK);
    cr_assert_eq(lspo_session_create(training->plan, training->device, NULL, &training->session), LSPO_OK);
    lspo_session_set_batches(training->session, made_up_batch, &training->workload);
    lspo_session_set_learning_rate(training->session, falling_rate, &training->rate);
}

static inline void training_run(training_t *training, double *losses)
{
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_execute(training->plan, lspo_session_run_op, NULL, training->session, NULL, &trace), LSPO_OK);
    cr_assert_eq(lspo_trace_check(trace, training->plan), LSPO_OK);
    lspo_trace_destroy(trace);
    memcpy(losses, lspo_session_losses(training->session), training->plan->workload.iterations * sizeof *losses);
}

static inline void training_continue(training_t *training, const char *policy, const lspo_workload_t *workload)
{
    lspo_plan_t *plan = make_plan(policy, workload);
    cr_assert_eq(lspo_session_continue(training->session, plan), LSPO_OK);
    lspo_plan_destroy(training->plan);
    training->plan = plan;
}

static inline void training_end(training_t *training)
{
    lspo_session_destroy(training->session);
    lspo_device_close(training->device);
    lspo_plan_destroy(training->plan);
}

static inline void assert_equal_weights(const char *what, const char *policy, const training_t *a, const training_t *b)
{
    lspo_status_t (*const read)(lspo_session_t *, uint32_t, float *) =
        a->plan->policy->stands_apart ? lspo_session_weights : lspo_session_merged_weights;
    for (uint32_t s = 0; s < a->plan->stage_count; s++) {
        size_t count = a->session->stages[s].shape.element_count;
        float *of_a = floats(count), *of_b = floats(count);
        cr_assert_eq(read(a->session, s, of_a), LSPO_OK);
        cr_assert_eq(read(b->session, s, of_b), LSPO_OK);
        cr_assert_arr_eq(of_a, of_b, count * sizeof *of_a, "%s, %s: weights of stage %u differ", policy, what, s);
        free(of_b);
        free(of_a);
    }
}

static inline lspo_workload_t segment_workload(void)
{
    lspo_workload_t workload = small_workload();
    workload.weight_decay = 0.1;
    lspo_galore_values_edit(&workload)->project_every = 4;
    lspo_badam_values_edit(&workload)->switch_every = 3;
    set_rank(&workload, 4);
    return workload;
}

static inline lspo_workload_t checking_workload(void)
{
    lspo_workload_t workload = segment_workload();
    lspo_lsp_values_edit(&workload)->check_every = 3;
    lspo_lsp_values_edit(&workload)->fit_steps = 30;
    lspo_lsp_values_edit(&workload)->bias_threshold = 0.2;
    return workload;
}

#endif
