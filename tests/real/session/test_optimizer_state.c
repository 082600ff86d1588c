/* --optimizer-state on the host: with m and v in bf16 or 8 bits, too, losses and weights do not depend on the schedule
 * or on threads, and memory is that of the plan. */
#include <inttypes.h>

#include "base/workers.h"
#include "plan/optimizer_state.h"
#include "plan/policies/stream.h"
#include "plan/policies/swap.h"
#include "plan/policies/zero.h"
#include "tests/session_fixture.h"

static const lspo_optimizer_state_t narrow[] = {LSPO_OPTIMIZER_STATE_BF16, LSPO_OPTIMIZER_STATE_8BIT};

/* For every policy that has the parameter. */
static void set_state(lspo_workload_t *workload, lspo_optimizer_state_t state)
{
    for (uint32_t i = 0; i < lspo_policy_count(); i++)
        own_value(lspo_policy_at(i), workload, "optimizer-state", state);
}

static bool has_state(const lspo_policy_t *policy)
{
    return lspo_policy_use(policy, &lspo_parameter_optimizer_state) != NULL;
}

static lspo_workload_t workload_of(int variant)
{
    lspo_workload_t workload = small_workload();
    workload.iterations = 8;
    workload.weight_decay = 0.1;
    workload.clip_norm = variant & 1 ? 0.05 : 0;
    workload.accumulation = variant & 2 ? 2 : 1;
    workload.train_rest = variant & 1 ? LSPO_TRAIN_REST_OFF : LSPO_TRAIN_REST_ON;
    return workload;
}

Test(optimizer_state, schedules_change_nothing)
{
    static const char *const exact[] = {"swap", "stream", "zero", "zero-layerwise", "backward-update"};
    for (int variant = 0; variant < 8; variant++) {
        lspo_workload_t workload = workload_of(variant);
        outcome_t fp32, native, got;
        train("native", &workload, &fp32);
        set_state(&workload, narrow[variant / 4]);
        train("native", &workload, &native);
        cr_expect_neq(native.losses[7], fp32.losses[7], "the format leaves a trace");
        lspo_swap_values_edit(&workload)->resident_blocks = 1;
        lspo_zero_values_edit(&workload)->cpu_share = 0.5;
        lspo_stream_values_edit(&workload)->update = variant % 2;
        for (size_t i = 0; i < sizeof exact / sizeof exact[0]; i++) {
            train(exact[i], &workload, &got);
            assert_identical(exact[i], &workload, &native, &got);
            outcome_release(&got);
        }
        outcome_release(&native);
        outcome_release(&fp32);
    }
}

/* One thread and three. */
Test(optimizer_state, threads_change_nothing)
{
    for (size_t f = 0; f < 2; f++) {
        lspo_workload_t workload = segment_workload();
        lspo_workers_t *workers = NULL;
        training_t one, three;
        double expected[STEPS], got[STEPS];
        workload.iterations = 5;
        set_state(&workload, narrow[f]);
        training_begin("zero", &workload, &one);
        training_run(&one, expected);
        training_begin("zero", &workload, &three);
        cr_assert_eq(lspo_workers_create(3, NULL, &workers), LSPO_OK);
        cr_assert_eq(lspo_session_set_workers(three.session, workers), LSPO_OK);
        training_run(&three, got);
        cr_assert_arr_eq(got, expected, 5 * sizeof *got);
        assert_equal_weights("three threads", "zero", &one, &three);
        training_end(&three);
        training_end(&one);
        lspo_workers_destroy(workers);
    }
}

/* As the test of segments: a reset brings the same training again. */
Test(optimizer_state, a_reset_begins_anew)
{
    for (uint32_t i = 0; i < lspo_policy_count(); i++) {
        lspo_workload_t workload = segment_workload();
        training_t training;
        double first[STEPS], again[STEPS];
        if (!has_state(lspo_policy_at(i)))
            continue;
        workload.iterations = 4;
        set_state(&workload, narrow[i % 2]);
        training_begin(lspo_policy_at(i)->name, &workload, &training);
        training_run(&training, first);
        cr_assert_eq(lspo_session_reset(training.session), LSPO_OK);
        training_run(&training, again);
        cr_assert_arr_eq(again, first, 4 * sizeof *first, "%s", lspo_policy_at(i)->name);
        training_end(&training);
    }
}

Test(optimizer_state, device_memory_is_what_the_plan_says)
{
    for (uint32_t i = 0; i < lspo_policy_count(); i++)
        for (size_t f = 0; f < 2 && has_state(lspo_policy_at(i)); f++) {
            lspo_workload_t workload = workload_of((int)(i + f));
            workload.iterations = 4;
            set_rank(&workload, 7);
            set_state(&workload, narrow[f]);
            assert_planned_memory(lspo_policy_at(i)->name, &workload);
        }
}

/* What the session reserves, each array to 64 bytes, against the plan. */
Test(optimizer_state, host_memory_is_what_the_plan_says)
{
    for (uint32_t i = 0; i < lspo_policy_count(); i++)
        for (size_t f = 0; f < 2 && has_state(lspo_policy_at(i)); f++) {
            lspo_workload_t workload = workload_of((int)f);
            lspo_host_count_t count = {{0}};
            training_t training;
            workload.iterations = 2;
            set_state(&workload, narrow[f]);
            training_begin(lspo_policy_at(i)->name, &workload, &training);
            for (uint32_t s = 0; s < training.plan->stage_count; s++)
                cr_assert_eq(lspo_session_make_host_state(training.session, s, &count), LSPO_OK);
            const lspo_footprint_t *planned = &training.plan->footprint;
            const uint64_t pairs[][2] = {{count.bytes[LSPO_HOST_OPTIMIZERS], planned->host_optimizer_bytes},
                                         {count.bytes[LSPO_HOST_MASTERS], planned->host_master_bytes},
                                         {count.bytes[LSPO_HOST_OUTGOING], planned->host_outgoing_bytes}};
            for (size_t k = 0; k < 3; k++)
                cr_expect(pairs[k][0] >= pairs[k][1] && pairs[k][0] < pairs[k][1] + 128 * STAGES_MAX,
                          "%s, purpose %zu: %" PRIu64 " bytes, planned %" PRIu64, lspo_policy_at(i)->name, k,
                          pairs[k][0], pairs[k][1]);
            training_end(&training);
        }
}

static double mean_loss(const outcome_t *outcome, uint32_t first, uint32_t end)
{
    double sum = 0;
    for (uint32_t i = first; i < end; i++)
        sum += outcome->losses[i] / (end - first);
    return sum;
}

/* Forty steps: nearly the losses of fp32, where these have fallen. */
Test(optimizer_state, learns_as_in_fp32)
{
    static const char *const policies[] = {"native", "lora", "galore", "badam"};
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        lspo_workload_t workload = small_workload();
        outcome_t fp32, got;
        workload.iterations = 40;
        lspo_badam_values_edit(&workload)->switch_every = 10;
        set_rank(&workload, 8);
        train(policies[i], &workload, &fp32);
        const double expected = mean_loss(&fp32, 30, 40);
        cr_expect_lt(expected, 0.97 * fp32.losses[0], "%s: %g", policies[i], expected);
        for (size_t f = 0; f < 2; f++) {
            set_state(&workload, narrow[f]);
            train(policies[i], &workload, &got);
            cr_expect_float_eq(mean_loss(&got, 30, 40), expected, 0.005 * expected, "%s, %s: %g, in fp32 %g",
                               policies[i], lspo_optimizer_state_names[narrow[f]], mean_loss(&got, 30, 40), expected);
            outcome_release(&got);
        }
        outcome_release(&fp32);
    }
}

Test(optimizer_state, another_format_cannot_continue)
{
    lspo_workload_t workload = segment_workload();
    training_t training;
    workload.iterations = 1;
    training_begin("zero", &workload, &training);
    set_state(&workload, LSPO_OPTIMIZER_STATE_BF16);
    lspo_plan_t *other = make_plan("zero", &workload);
    cr_assert_eq(lspo_session_continue(training.session, other), LSPO_ERR_INPUT);
    lspo_plan_destroy(other);
    training_end(&training);
}
