/* Memory on the CUDA device: every policy's plan runs in what it needs op by op and in no less, whatever its streams'
 * delays are, learns the same there, and the GPU never holds more than was counted.  The CPU that stands in for a GPU
 * (tests/cuda_on_host/) knows what its streams have really got and given back. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/policy.h"
#include "real/execute/play.h"
#include "real/execute/room.h"
#include "real/methods/methods.h"
#include "real/session/session.h"
#include "sim/memory.h"
#include "tests/cuda_on_host/cuda_on_host.h"
#include "tests/small_training.h"
#include "traces/trace.h"

enum { SEQUENCE = 8, BATCH = 2, STEPS = 3 };

static lspo_model_t small_model(uint32_t heads)
{
    return (lspo_model_t){.name = "test",
                          .family = LSPO_FAMILY_GPT,
                          .block_count = 3,
                          .width = 32,
                          .head_count = heads,
                          .kv_head_count = heads,
                          .mlp_width = 48,
                          .vocabulary = 64,
                          .max_sequence = SEQUENCE,
                          .tied_head = true};
}

static lspo_workload_t small_workload(lspo_precision_t precision)
{
    lspo_workload_t workload = small_training(BATCH, SEQUENCE, STEPS, precision);
    workload.checkpointing = false;
    return workload;
}

static lspo_status_t made_up_batch(void *context, uint32_t step, uint32_t micro, lspo_batch_t *batch)
{
    (void)context;
    for (uint32_t i = 0; i < BATCH * SEQUENCE; i++) {
        batch->tokens[i] = (200 - i * 3 + step % 2 + 7 * micro) % 61;
        batch->targets[i] = (batch->tokens[i] + 50) % 61;
    }
    return LSPO_OK;
}

static lspo_plan_t *make_plan(const char *policy_name, uint32_t heads, const lspo_workload_t *workload)
{
    lspo_model_t model = small_model(heads);
    const lspo_policy_t *policy = NULL;
    lspo_plan_t *plan = NULL;
    cr_assert_eq(lspo_policy_find(policy_name, &policy), LSPO_OK);
    cr_assert_eq(lspo_plan_build(&model, workload, policy, &plan), LSPO_OK, "%s", policy_name);
    return plan;
}

typedef struct {
    uint64_t static_bytes;  /* counted, before the first op */
    uint64_t peak_bytes;    /* counted */
    uint64_t used_bytes;    /* at most, as the GPU knows it, but for what is not counted; 0: it does not say */
    uint64_t planned_bytes; /* of the plan's replay in the order of this run */
    double losses[STEPS];
} outcome_t;

static lspo_status_t play(const lspo_plan_t *plan, lspo_device_t *device, lspo_session_t *session, outcome_t *outcome)
{
    lspo_trace_t *trace = NULL;
    uint64_t host_bytes;
    size_t before_bytes, now_bytes, most_bytes;
    const lspo_play_t play = {
        .device = device, .context = session, .run = lspo_session_run_op, .finish = lspo_session_finish_op};
    cuda_on_host_used(&before_bytes, &most_bytes);
    lspo_session_set_batches(session, made_up_batch, NULL);
    lspo_status_t status = lspo_play(plan, &play, NULL, &trace);
    if (status != LSPO_OK)
        return status;
    cr_assert_eq(lspo_memory_replay(plan, trace, &outcome->planned_bytes, &host_bytes), LSPO_OK);
    outcome->peak_bytes = lspo_device_peak_bytes(device);
    cuda_on_host_used(&now_bytes, &most_bytes);
    outcome->used_bytes = cuda_on_host() ? most_bytes - (before_bytes - outcome->static_bytes) : 0;
    memcpy(outcome->losses, lspo_session_losses(session), sizeof outcome->losses);
    lspo_trace_destroy(trace);
    return LSPO_OK;
}

/* With a cap of `memory_bytes`, 0: none. */
static lspo_status_t try_plan(const lspo_plan_t *plan, uint64_t memory_bytes, outcome_t *outcome)
{
    lspo_device_caps_t caps = {.memory_bytes = memory_bytes};
    lspo_device_t *device = NULL;
    lspo_session_t *session = NULL;
    cr_assert_eq(lspo_device_open("cuda", &caps, &device), LSPO_OK);
    cr_assert_eq(lspo_device_set_number(device, lspo_compute_number_of(plan->workload.precision)), LSPO_OK);
    uint64_t room_bytes = lspo_device_room_bytes(device);
    lspo_status_t status = lspo_session_create(plan, device, NULL, &session);
    outcome->static_bytes = room_bytes - lspo_device_room_bytes(device);
    if (status == LSPO_OK)
        status = play(plan, device, session, outcome);
    lspo_session_destroy(session);
    lspo_device_close(device);
    return status;
}

static uint64_t least_bytes(const lspo_plan_t *plan)
{
    return plan->gpu_static_bytes + lspo_room_least_bytes(plan);
}

static void check_in_the_least(const lspo_plan_t *plan, unsigned seed)
{
    outcome_t freely, tightly;
    const char *policy = plan->policy->name;
    cuda_on_host_delays(0);
    cr_assert_eq(try_plan(plan, 0, &freely), LSPO_OK);
    cr_expect_leq(least_bytes(plan), freely.planned_bytes, "%s", policy);
    cr_expect_eq(freely.static_bytes, plan->gpu_static_bytes, "%s: %zu, planned %zu", policy,
                 (size_t)freely.static_bytes, (size_t)plan->gpu_static_bytes);
    cr_expect_leq(freely.used_bytes, freely.peak_bytes, "%s", policy);
    cuda_on_host_delays(seed);
    cr_assert_eq(try_plan(plan, least_bytes(plan), &tightly), LSPO_OK, "%s, seed %u", policy, seed);
    cr_expect_leq(tightly.peak_bytes, least_bytes(plan), "%s", policy);
    cr_expect_leq(tightly.used_bytes, tightly.peak_bytes, "%s", policy);
    cr_expect_leq(tightly.planned_bytes - plan->gpu_static_bytes, lspo_room_least_bytes(plan), "%s", policy);
    cr_expect_arr_eq(tightly.losses, freely.losses, sizeof freely.losses, "%s, seed %u", policy, seed);
}

/* Each with one head and with two, since what attention keeps has a size per head. */
Test(fit_cuda, every_policy_runs_in_what_it_needs_op_by_op)
{
    static const lspo_precision_t precisions[] = {LSPO_FP32, LSPO_BF16};
    for (uint32_t i = 0; i < lspo_policy_count(); i++)
        for (size_t k = 0; k < 1u + cuda_has_bf16(); k++) {
            lspo_workload_t workload = small_workload(precisions[k]);
            lspo_plan_t *plan = make_plan(lspo_policy_at(i)->name, i % 2 == k ? 1 : 2, &workload);
            check_in_the_least(plan, (unsigned)k + 1);
            lspo_plan_destroy(plan);
        }
}

/* Sparse and dense products of projectors, in any combination. */
Test(fit_cuda, products_of_projectors_run_in_what_they_need)
{
    for (uint32_t i = 0; i < 4; i++) {
        lspo_workload_t workload = small_workload(cuda_has_bf16() && i % 2 ? LSPO_BF16 : LSPO_FP32);
        lspo_lsp_values_edit(&workload)->compress_by = i % 2 ? LSPO_PRODUCTS_DENSE : LSPO_PRODUCTS_SPARSE;
        lspo_lsp_values_edit(&workload)->apply_by = i / 2 ? LSPO_PRODUCTS_DENSE : LSPO_PRODUCTS_SPARSE;
        lspo_plan_t *plan = make_plan("lsp", 2, &workload);
        check_in_the_least(plan, i + 1);
        lspo_plan_destroy(plan);
    }
}

Test(fit_cuda, a_byte_less_is_refused_before_the_first_op, .init = cr_redirect_stderr)
{
    for (uint32_t i = 0; i < lspo_policy_count(); i++) {
        outcome_t outcome;
        lspo_workload_t workload = small_workload(LSPO_FP32);
        lspo_plan_t *plan = make_plan(lspo_policy_at(i)->name, 2, &workload);
        cr_expect_eq(try_plan(plan, least_bytes(plan) - 1, &outcome), LSPO_ERR_FIT, "%s", plan->policy->name);
        cr_expect_eq(try_plan(plan, plan->gpu_static_bytes * 99 / 100, &outcome), LSPO_ERR_FIT, "%s",
                     plan->policy->name);
        lspo_plan_destroy(plan);
    }
}
