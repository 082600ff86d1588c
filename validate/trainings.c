/* trainings.c - see trainings.h. */
#include "validate/trainings.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan/machine.h"
#include "plan/model.h"
#include "plan/plan.h"
#include "plan/policies/lsp.h"
#include "plan/policy.h"
#include "real/train/run.h"
#include "sim/sim.h"
#include "traces/median.h"
#include "validate/agreement.h"
#include "validate/yardstick.h"

/* Working sets from 20 to 180 MB, with and without an optimizer pass over all weights; few and many tokens per weight.
 * They come after the yardsticks. */
static const lspo_yardstick_t others[] = {{"gpt-tiny", "native", 2, 160},  {"gpt-tiny", "badam", 2, 160},
                                          {"gpt-tiny", "native", 6, 192},  {"gpt-tiny", "badam", 6, 192},
                                          {"gpt-small", "native", 1, 48},  {"gpt-small", "badam", 1, 48},
                                          {"gpt-small", "native", 1, 192}, {"gpt-small", "badam", 1, 192}};
enum {
    OTHERS = sizeof others / sizeof others[0],
    TRAINING_COUNT = LSPO_TRAINING_YARDSTICKS + OTHERS,
    GENERATION_COUNT = LSPO_YARDSTICKS - LSPO_TRAINING_YARDSTICKS,
    RUN_COUNT = TRAINING_COUNT + GENERATION_COUNT,
    ENDS = 25
};
/* Iterations per training, including warm-up; visits to each. */
enum { ITERATIONS = 7, QUICK_ITERATIONS = 5, ROUNDS = 3, QUICK_ROUNDS = 2 };

/* The cache sizes to try: from just above the near pools to where nothing changes any more. */
static const double least_over_near = 1.25, most_over_near = 64;

/* Trainings come first. */
typedef struct {
    lspo_plan_t *plan[RUN_COUNT];
    double measured_s[RUN_COUNT];
} runs_t;

static const lspo_yardstick_t *run_at(uint32_t i)
{
    if (i >= LSPO_TRAINING_YARDSTICKS && i < TRAINING_COUNT)
        return &others[i - LSPO_TRAINING_YARDSTICKS];
    return &lspo_yardsticks[i < TRAINING_COUNT ? i : i - OTHERS];
}

static lspo_status_t build(uint32_t i, bool quick, lspo_plan_t **plan_out)
{
    lspo_model_t model;
    const lspo_policy_t *policy;
    lspo_workload_t workload;
    lspo_workload_default(&workload);
    workload.batch = run_at(i)->batch;
    workload.sequence = run_at(i)->sequence;
    workload.precision = workload.transfer = LSPO_FP32;
    workload.checkpointing = false;
    lspo_lsp_values_edit(&workload)->subspace = 64;
    workload.iterations = i >= TRAINING_COUNT ? LSPO_YARDSTICK_TOKENS : quick ? QUICK_ITERATIONS : ITERATIONS;
    lspo_status_t status = lspo_model_find(run_at(i)->model, &model);
    if (status != LSPO_OK)
        return status;
    status = lspo_policy_find_any(run_at(i)->policy, &policy);
    if (status != LSPO_OK)
        return status;
    return lspo_plan_build(&model, &workload, policy, plan_out);
}

static lspo_status_t measure(const lspo_plan_t *plan, double *iteration_s_out)
{
    lspo_run_options_t options;
    lspo_run_result_t result;
    lspo_run_default(&options);
    options.timing_only = true;
    lspo_status_t status = lspo_run(plan, &options, &result, NULL);
    if (status != LSPO_OK)
        return status;
    *iteration_s_out = result.summary.iteration_s;
    lspo_run_result_release(&result);
    return LSPO_OK;
}

/* In rounds, so that a machine that is slower for some seconds affects all alike. */
static lspo_status_t measure_all(const lspo_calibrate_options_t *options, runs_t *all)
{
    double times_s[RUN_COUNT][ROUNDS];
    uint32_t rounds = options->quick ? QUICK_ROUNDS : ROUNDS;
    for (uint32_t visit = 0; visit < rounds * RUN_COUNT; visit++) {
        if (options->progress)
            options->progress(options->progress_context, "trainings", visit, rounds * RUN_COUNT);
        uint32_t i = visit % RUN_COUNT;
        lspo_status_t status = measure(all->plan[i], &times_s[i][visit / RUN_COUNT]);
        if (status != LSPO_OK)
            return status;
    }
    for (uint32_t i = 0; i < RUN_COUNT; i++)
        all->measured_s[i] = lspo_median(times_s[i], rounds);
    return LSPO_OK;
}

static lspo_status_t predict(const lspo_plan_t *plan, const lspo_machine_t *machine, double *iteration_s_out)
{
    lspo_prediction_t prediction;
    lspo_status_t status = lspo_simulate(plan, machine, &prediction, NULL);
    if (status != LSPO_OK)
        return status;
    *iteration_s_out = prediction.summary.iteration_s;
    lspo_prediction_release(&prediction);
    return LSPO_OK;
}

/* Of runs first .. first + count. */
static void some_of(const runs_t *all, uint32_t first, uint32_t count, lspo_runs_t *runs_out)
{
    runs_out->count = count;
    for (uint32_t i = 0; i < count; i++) {
        runs_out->plan[i] = all->plan[first + i];
        runs_out->measured_s[i] = all->measured_s[first + i];
    }
}

static lspo_status_t fit_trainings(const runs_t *all, lspo_machine_t *machine)
{
    lspo_agreement_t best = {1, INFINITY}, now;
    lspo_runs_t trainings;
    double best_bytes = machine->gpu.cache_bytes;
    machine->gpu.training_speed = 1;
    some_of(all, 0, TRAINING_COUNT, &trainings);
    for (int i = 0; i < ENDS; i++) {
        double over = least_over_near * pow(most_over_near / least_over_near, i / (double)(ENDS - 1));
        machine->gpu.cache_bytes = floor(machine->gpu.near_bytes * over);
        lspo_status_t status = lspo_agreement(&trainings, machine, &now);
        if (status != LSPO_OK)
            return status;
        /* The smallest is the better guess, since it was measured that near pools fit. */
        if (now.error < best.error - (i > 0 ? LSPO_AGREEMENT_GAIN : 0)) {
            best = now;
            best_bytes = machine->gpu.cache_bytes;
        }
    }
    machine->gpu.cache_bytes = best_bytes;
    machine->gpu.training_speed = best.speed;
    return LSPO_OK;
}

/* A model that is read again and again keeps less of itself in cache than weights alone do in kept.c, never more. */
static lspo_status_t fit_generations(const runs_t *all, lspo_machine_t *machine)
{
    double factor;
    lspo_runs_t generations;
    some_of(all, TRAINING_COUNT, GENERATION_COUNT, &generations);
    lspo_status_t status = lspo_agreement_cache(&generations, machine, &factor);
    lspo_machine_scale_cache(machine, fmin(factor, 1));
    return status;
}

static lspo_status_t keep_samples(const runs_t *all, lspo_calibration_result_t *result)
{
    size_t count = result->sample_count;
    lspo_calibration_sample_t *samples = realloc(result->samples, (count + RUN_COUNT) * sizeof *samples);
    if (samples == NULL)
        return lspo_no_memory("%zu samples", count + RUN_COUNT);
    result->samples = samples;
    for (uint32_t i = 0; i < RUN_COUNT; i++) {
        lspo_calibration_sample_t *sample = &samples[count + i];
        *sample = (lspo_calibration_sample_t){.kind = i < TRAINING_COUNT ? "training" : "generation",
                                              .time_s = all->measured_s[i]};
        snprintf(sample->shape, sizeof sample->shape, "%s %s %ux%u", run_at(i)->model, run_at(i)->policy,
                 run_at(i)->batch, run_at(i)->sequence);
        lspo_status_t status = predict(all->plan[i], &result->machine, &sample->fitted_s);
        if (status != LSPO_OK)
            return status;
        result->sample_count++;
    }
    return LSPO_OK;
}

static void note(lspo_calibration_result_t *result, size_t offset_bytes, uint32_t samples)
{
    for (size_t i = 0; i < lspo_machine_field_count; i++)
        if (lspo_machine_fields[i].offset_bytes == offset_bytes)
            result->errors[i] = (lspo_calibration_error_t){.standard_error = (double)NAN, .samples = samples};
}

lspo_status_t lspo_calibrate_trainings(const lspo_calibrate_options_t *options, lspo_calibration_result_t *result)
{
    runs_t all = {0};
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; i < RUN_COUNT; i++) {
        status = build(i, options->quick, &all.plan[i]);
        if (status != LSPO_OK)
            goto cleanup;
    }
    status = measure_all(options, &all);
    if (status != LSPO_OK)
        goto cleanup;
    status = fit_trainings(&all, &result->machine);
    if (status != LSPO_OK)
        goto cleanup;
    status = fit_generations(&all, &result->machine);
    if (status != LSPO_OK)
        goto cleanup;
    status = keep_samples(&all, result);
    if (status != LSPO_OK)
        goto cleanup;
    note(result, offsetof(lspo_machine_t, gpu.cache_bytes), TRAINING_COUNT);
    note(result, offsetof(lspo_machine_t, gpu.training_speed), TRAINING_COUNT);
    for (uint32_t i = 0; i < LSPO_YARDSTICKS; i++)
        result->machine.yardstick_s[i] = all.measured_s[lspo_yardstick_generates(i) ? i + OTHERS : i];
cleanup:
    for (uint32_t i = 0; i < RUN_COUNT; i++)
        lspo_plan_destroy(all.plan[i]);
    return status;
}
