/* cuda_session.h - small trainings by a session on the CUDA device, and on the host to compare them with. */
#ifndef LSPO_TESTS_CUDA_SESSION_H
#define LSPO_TESTS_CUDA_SESSION_H

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/policy.h"
#include "real/execute/play.h"
#include "real/methods/methods.h"
#include "real/session/state.h"
#include "sim/memory.h"
#include "tests/own_values.h"
#include "tests/small_training.h"
#include "traces/trace.h"

enum { STEPS_MAX = 8, SEQUENCE = 8, BATCH = 2 };

static inline lspo_model_t gpt(void)
{
    return (lspo_model_t){.name = "test",
                          .family = LSPO_FAMILY_GPT,
                          .block_count = 2,
                          .width = 32,
                          .head_count = 2,
                          .kv_head_count = 2,
                          .mlp_width = 64,
                          .vocabulary = 64,
                          .max_sequence = SEQUENCE,
                          .tied_head = true};
}

static inline lspo_workload_t small_workload(void)
{
    lspo_workload_t workload = small_training(BATCH, SEQUENCE, 4, LSPO_FP32);
    workload.checkpointing = false;
    return workload;
}

/* Two batches in turn: something is learned of them in few steps. */
static inline lspo_status_t made_up_batch(void *context, uint32_t step, uint32_t micro, lspo_batch_t *batch)
{
    (void)context;
    for (uint32_t i = 0; i < BATCH * SEQUENCE; i++) {
        batch->tokens[i] = (200 - i * 3 + step % 2 + 7 * micro) % 61;
        batch->targets[i] = i % 5 == 2 ? LSPO_TARGET_IGNORED : (batch->tokens[i] + 50) % 61;
    }
    return LSPO_OK;
}

typedef struct {
    lspo_plan_t *plan;
    lspo_device_t *device;
    lspo_session_t *session;
} training_t;

static inline lspo_plan_t *make_plan(const lspo_model_t *model, const char *policy_name,
                                     const lspo_workload_t *workload)
{
    const lspo_policy_t *policy = NULL;
    lspo_plan_t *plan = NULL;
    cr_assert_eq(lspo_policy_find(policy_name, &policy), LSPO_OK);
    cr_assert_eq(lspo_plan_build(model, workload, policy, &plan), LSPO_OK, "%s", policy_name);
    return plan;
}

static inline void training_begin(const char *device, const lspo_model_t *model, const char *policy,
                                  const lspo_workload_t *workload, training_t *training)
{
    lspo_device_caps_t caps = {0};
    training->plan = make_plan(model, policy, workload);
    cr_assert_eq(lspo_device_open(device, &caps, &training->device), LSPO_OK);
    cr_assert_eq(lspo_session_create(training->plan, training->device, NULL, &training->session), LSPO_OK, "%s on %s",
                 policy, device);
    lspo_session_set_batches(training->session, made_up_batch, NULL);
}

static inline lspo_status_t training_try(training_t *training, lspo_trace_t **trace_out)
{
    const lspo_play_t play = {.device = training->device,
                              .context = training->session,
                              .run = lspo_session_run_op,
                              .finish = lspo_session_finish_op};
    return lspo_play(training->plan, &play, NULL, trace_out);
}

static inline void training_run(training_t *training, double *losses)
{
    lspo_trace_t *trace = NULL;
    cr_assert_eq(training_try(training, &trace), LSPO_OK, "%s", training->plan->policy->name);
    cr_assert_eq(lspo_trace_check(trace, training->plan), LSPO_OK);
    lspo_trace_destroy(trace);
    memcpy(losses, lspo_session_losses(training->session), training->plan->workload.iterations * sizeof *losses);
}

static inline void training_end(training_t *training)
{
    lspo_session_destroy(training->session);
    lspo_device_close(training->device);
    lspo_plan_destroy(training->plan);
}

static inline void losses_on(const char *device, const lspo_model_t *model, const char *policy,
                             const lspo_workload_t *workload, double *losses)
{
    training_t training;
    training_begin(device, model, policy, workload, &training);
    training_run(&training, losses);
    training_end(&training);
}

/* Rates at which each learns in a few steps what 16 bits can tell from nothing. */
static inline double rate_of(const char *policy)
{
    if (strcmp(policy, "lomo") == 0)
        return 1;
    return strcmp(policy, "lora") == 0 || strcmp(policy, "galore") == 0 ? 0.02 : 0.01;
}

/* Both devices; in 16 bits the host's fp32 is what the GPU's is held to. */
static inline void compare(const lspo_model_t *model, const char *policy, const lspo_workload_t *workload,
                           double tolerance)
{
    lspo_workload_t on_gpu = *workload, on_host;
    double expected[STEPS_MAX], got[STEPS_MAX], still[STEPS_MAX];
    cr_assert_leq(workload->iterations, STEPS_MAX);
    on_gpu.learning_rate = rate_of(policy);
    on_host = on_gpu;
    on_host.precision = LSPO_FP32;
    if (workload->precision != LSPO_FP32)
        on_host.transfer = LSPO_FP32;
    losses_on("host", model, policy, &on_host, expected);
    losses_on("cuda", model, policy, &on_gpu, got);
    for (uint32_t i = 0; i < workload->iterations; i++)
        cr_expect(fabs(got[i] - expected[i]) <= tolerance * expected[i], "%s, %s: loss of step %u is %.9g, not %.9g",
                  policy, lspo_precision_name(workload->precision), i, got[i], expected[i]);
    on_host.learning_rate = 0;
    losses_on("host", model, policy, &on_host, still);
    double moved = 0;
    for (uint32_t i = 0; i < workload->iterations; i++)
        moved = fmax(moved, fabs(still[i] / expected[i] - 1));
    cr_expect_gt(moved, 4 * tolerance, "%s: steps move the losses by %g: too little for a comparison", policy, moved);
}

static inline uint64_t most_taken_at_once(const lspo_plan_t *plan)
{
    uint64_t most = 0;
    for (uint32_t id = 0; id < plan->op_count; id++)
        most = plan->ops[id].gpu_alloc_bytes > most ? plan->ops[id].gpu_alloc_bytes : most;
    return most;
}

/* Device memory is what the plan says, but that what is issued ahead takes its own earlier than the plan's replay where
 * there is room (tests/real/session/test_fit_cuda.c: where there is none), and the scratch of galore's bases is the
 * host's. */
static inline void check_peak(const char *policy, const lspo_workload_t *workload)
{
    lspo_model_t model = gpt();
    training_t training;
    lspo_trace_t *trace = NULL;
    uint64_t planned, host;
    training_begin("cuda", &model, policy, workload, &training);
    cr_assert_eq(training_try(&training, &trace), LSPO_OK);
    cr_assert_eq(lspo_memory_replay(training.plan, trace, &planned, &host), LSPO_OK);
    double got = (double)lspo_device_peak_bytes(training.device);
    double least = strcmp(policy, "galore") == 0 ? 0.8 : 0.95, early = 2 * (double)most_taken_at_once(training.plan);
    cr_expect(got >= least * (double)planned && got <= (double)planned + early, "%s, %s: %.0f bytes, planned %.0f",
              policy, lspo_precision_name(workload->precision), got, (double)planned);
    lspo_trace_destroy(trace);
    training_end(&training);
}

#endif
