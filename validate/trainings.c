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
#include "traces/summary.h"
#include "validate/yardstick.h"

/* Working sets from 20 to 180 MB, with and without an optimizer pass over all weights; few and many tokens per weight.
 * They come after the yardsticks. */
static const lspo_yardstick_t others[] = {{"gpt-tiny", "native", 2, 160},  {"gpt-tiny", "badam", 2, 160},
                                          {"gpt-tiny", "native", 6, 192},  {"gpt-tiny", "badam", 6, 192},
                                          {"gpt-small", "native", 1, 48},  {"gpt-small", "badam", 1, 48},
                                          {"gpt-small", "native", 1, 192}, {"gpt-small", "badam", 1, 192}};
enum { TRAINING_COUNT = LSPO_YARDSTICKS + sizeof others / sizeof others[0], ENDS = 25 };
/* Iterations per training, including warm-up; visits to each. */
enum { ITERATIONS = 7, QUICK_ITERATIONS = 5, ROUNDS = 3, QUICK_ROUNDS = 2 };

/* The cache sizes to try: from just above the near pools to where nothing changes any more. */
static const double least_over_near = 1.25, most_over_near = 64;

typedef struct {
    lspo_plan_t *plan[TRAINING_COUNT];
    double measured_s[TRAINING_COUNT];
} trainings_t;

static const lspo_yardstick_t *training(uint32_t i)
{
    return i < LSPO_YARDSTICKS ? &lspo_yardsticks[i] : &others[i - LSPO_YARDSTICKS];
}

static lspo_status_t build(uint32_t i, bool quick, lspo_plan_t **plan_out)
{
    lspo_model_t model;
    const lspo_policy_t *policy;
    lspo_workload_t workload;
    lspo_workload_default(&workload);
    workload.batch = training(i)->batch;
    workload.sequence = training(i)->sequence;
    workload.precision = workload.transfer = LSPO_FP32;
    workload.checkpointing = false;
    lspo_lsp_values_edit(&workload)->subspace = 64;
    workload.iterations = quick ? QUICK_ITERATIONS : ITERATIONS;
    lspo_status_t status = lspo_model_find(training(i)->model, &model);
    if (status != LSPO_OK)
        return status;
    status = lspo_policy_find(training(i)->policy, &policy);
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
static lspo_status_t measure_all(const lspo_calibrate_options_t *options, trainings_t *all)
{
    double times_s[TRAINING_COUNT][ROUNDS];
    uint32_t rounds = options->quick ? QUICK_ROUNDS : ROUNDS;
    for (uint32_t visit = 0; visit < rounds * TRAINING_COUNT; visit++) {
        if (options->progress)
            options->progress(options->progress_context, "trainings", visit, rounds * TRAINING_COUNT);
        uint32_t i = visit % TRAINING_COUNT;
        lspo_status_t status = measure(all->plan[i], &times_s[i][visit / TRAINING_COUNT]);
        if (status != LSPO_OK)
            return status;
    }
    for (uint32_t i = 0; i < TRAINING_COUNT; i++)
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

/* The speed for which the median of ln(predicted / measured) is 0, and the mean absolute value of the remaining
 * errors. */
static lspo_status_t error_of(const trainings_t *all, const lspo_machine_t *machine, double *speed_out,
                              double *error_out)
{
    double errors[TRAINING_COUNT], predicted_s, sum = 0;
    for (uint32_t i = 0; i < TRAINING_COUNT; i++) {
        lspo_status_t status = predict(all->plan[i], machine, &predicted_s);
        if (status != LSPO_OK)
            return status;
        errors[i] = log(predicted_s / all->measured_s[i]);
    }
    double middle = lspo_median(errors, TRAINING_COUNT);
    for (uint32_t i = 0; i < TRAINING_COUNT; i++)
        sum += fabs(errors[i] - middle);
    *speed_out = exp(middle);
    *error_out = sum / TRAINING_COUNT;
    return LSPO_OK;
}

static lspo_status_t fit(const trainings_t *all, lspo_machine_t *machine)
{
    double best_error = INFINITY, best_speed = 1, best_bytes = machine->gpu.cache_bytes, speed, error;
    machine->gpu.training_speed = 1;
    for (int i = 0; i < ENDS; i++) {
        double over = least_over_near * pow(most_over_near / least_over_near, i / (double)(ENDS - 1));
        machine->gpu.cache_bytes = floor(machine->gpu.near_bytes * over);
        lspo_status_t status = error_of(all, machine, &speed, &error);
        if (status != LSPO_OK)
            return status;
        if (error < best_error) {
            best_error = error;
            best_speed = speed;
            best_bytes = machine->gpu.cache_bytes;
        }
    }
    machine->gpu.cache_bytes = best_bytes;
    machine->gpu.training_speed = best_speed;
    return LSPO_OK;
}

static lspo_status_t keep_samples(const trainings_t *all, lspo_calibration_result_t *result)
{
    size_t count = result->sample_count;
    lspo_calibration_sample_t *samples = realloc(result->samples, (count + TRAINING_COUNT) * sizeof *samples);
    if (samples == NULL)
        return lspo_no_memory("%zu samples", count + TRAINING_COUNT);
    result->samples = samples;
    for (uint32_t i = 0; i < TRAINING_COUNT; i++) {
        lspo_calibration_sample_t *sample = &samples[count + i];
        *sample = (lspo_calibration_sample_t){.kind = "training", .time_s = all->measured_s[i]};
        snprintf(sample->shape, sizeof sample->shape, "%s %s %ux%u", training(i)->model, training(i)->policy,
                 training(i)->batch, training(i)->sequence);
        lspo_status_t status = predict(all->plan[i], &result->machine, &sample->fitted_s);
        if (status != LSPO_OK)
            return status;
        result->sample_count++;
    }
    return LSPO_OK;
}

static void note(lspo_calibration_result_t *result, size_t offset_bytes)
{
    for (size_t i = 0; i < lspo_machine_field_count; i++)
        if (lspo_machine_fields[i].offset_bytes == offset_bytes)
            result->errors[i] = (lspo_calibration_error_t){.standard_error = (double)NAN, .samples = TRAINING_COUNT};
}

lspo_status_t lspo_calibrate_trainings(const lspo_calibrate_options_t *options, lspo_calibration_result_t *result)
{
    trainings_t all = {0};
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; i < TRAINING_COUNT; i++) {
        status = build(i, options->quick, &all.plan[i]);
        if (status != LSPO_OK)
            goto cleanup;
    }
    status = measure_all(options, &all);
    if (status != LSPO_OK)
        goto cleanup;
    status = fit(&all, &result->machine);
    if (status != LSPO_OK)
        goto cleanup;
    status = keep_samples(&all, result);
    if (status != LSPO_OK)
        goto cleanup;
    note(result, offsetof(lspo_machine_t, gpu.cache_bytes));
    note(result, offsetof(lspo_machine_t, gpu.training_speed));
    memcpy(result->machine.yardstick_s, all.measured_s, sizeof result->machine.yardstick_s);
cleanup:
    for (uint32_t i = 0; i < TRAINING_COUNT; i++)
        lspo_plan_destroy(all.plan[i]);
    return status;
}
