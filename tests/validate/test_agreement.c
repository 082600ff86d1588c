/* The speed and the cache of a machine are found again in times that it is predicted to take. */
#include "validate/agreement.h"

#include <criterion/criterion.h>
#include <math.h>

#include "plan/policy.h"
#include "sim/sim.h"
#include "validate/yardstick.h"

/* Weights in cache are read four times as fast; gpt-tiny fits there, gpt-small does not.  An op has no time of its own,
 * which does not depend on the speed. */
static lspo_machine_t machine_with_cache(void)
{
    lspo_machine_t machine;
    cr_assert_eq(lspo_machine_find("host-reference", &machine), LSPO_OK);
    machine.gpu.op_s = 0;
    machine.gpu.few_rows_Bps = 10e9;
    machine.gpu.few_rows_cached_Bps = 40e9;
    machine.gpu.near_bytes = machine.gpu.kept_all_bytes = 6e6;
    machine.gpu.cache_bytes = machine.gpu.kept_bytes = 18e6;
    return machine;
}

/* The generations of the yardsticks. */
static lspo_runs_t make_runs(void)
{
    lspo_runs_t runs = {0};
    for (uint32_t i = LSPO_TRAINING_YARDSTICKS; i < LSPO_YARDSTICKS; i++) {
        const lspo_yardstick_t *it = &lspo_yardsticks[i];
        const lspo_policy_t *policy;
        lspo_model_t model;
        lspo_workload_t workload;
        lspo_plan_t *plan;
        lspo_workload_default(&workload);
        workload.batch = it->batch;
        workload.sequence = it->sequence;
        workload.precision = workload.transfer = LSPO_FP32;
        workload.iterations = LSPO_YARDSTICK_TOKENS;
        cr_assert_eq(lspo_model_find(it->model, &model), LSPO_OK);
        cr_assert_eq(lspo_policy_find_any(it->policy, &policy), LSPO_OK);
        cr_assert_eq(lspo_plan_build(&model, &workload, policy, &plan), LSPO_OK);
        runs.plan[runs.count++] = plan;
    }
    return runs;
}

static void release_runs(lspo_runs_t *runs)
{
    for (uint32_t i = 0; i < runs->count; i++)
        lspo_plan_destroy((lspo_plan_t *)(uintptr_t)runs->plan[i]);
}

/* As long as they are predicted on the machine. */
static void take_times(const lspo_machine_t *machine, lspo_runs_t *runs)
{
    for (uint32_t i = 0; i < runs->count; i++) {
        lspo_prediction_t prediction;
        cr_assert_eq(lspo_simulate(runs->plan[i], machine, &prediction, NULL), LSPO_OK);
        runs->measured_s[i] = prediction.summary.iteration_s;
        lspo_prediction_release(&prediction);
    }
}

/* Each kernel takes 1 / 0.8 of its time, and a model stays in cache up to half the size. */
Test(agreement, a_slower_machine_with_half_the_cache)
{
    const lspo_machine_t machine = machine_with_cache();
    lspo_machine_t other = machine;
    lspo_runs_t runs = make_runs();
    lspo_agreement_t agreement;
    double factor = 0;
    other.gpu.training_speed = 0.8;
    lspo_machine_scale_cache(&other, 0.5);
    cr_expect_eq(other.gpu.kept_all_bytes, 3e6);
    cr_expect_eq(other.gpu.kept_bytes, 9e6);
    take_times(&other, &runs);
    cr_assert_eq(lspo_agreement_cache(&runs, &machine, &factor), LSPO_OK);
    cr_expect_float_eq(factor, 0.5, 0.05);
    other = machine;
    lspo_machine_scale_cache(&other, 0.5);
    cr_assert_eq(lspo_agreement(&runs, &other, &agreement), LSPO_OK);
    cr_expect_float_eq(agreement.speed, 0.8, 1e-3);
    cr_expect_lt(agreement.error, 1e-3);
    release_runs(&runs);
}

/* Nothing tells another cache where the times are those of this one, or the speed alone explains them. */
Test(agreement, the_cache_stays_without_a_reason)
{
    lspo_machine_t machine = machine_with_cache(), slower = machine;
    lspo_runs_t runs = make_runs();
    double factor = 0;
    slower.gpu.training_speed = 0.7;
    take_times(&slower, &runs);
    cr_assert_eq(lspo_agreement_cache(&runs, &machine, &factor), LSPO_OK);
    cr_expect_eq(factor, 1);
    runs.measured_s[0] *= 1.5;
    cr_assert_eq(lspo_agreement_cache(&runs, &machine, &factor), LSPO_OK);
    cr_expect_lt(factor, 1, "a tiny model that takes longer than the others has less of it");
    runs.count = 2;
    cr_assert_eq(lspo_agreement_cache(&runs, &machine, &factor), LSPO_OK);
    cr_expect_eq(factor, 1, "of two runs, nobody knows which is right");
    runs.count = 4;
    machine.gpu.kept_bytes = 0;
    cr_assert_eq(lspo_agreement_cache(&runs, &machine, &factor), LSPO_OK);
    cr_expect_eq(factor, 1, "a profile without a cache");
    release_runs(&runs);
}
