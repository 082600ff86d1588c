#include "cli/calibrate_cache.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "plan/machine.h"
#include "plan/model.h"
#include "plan/plan.h"
#include "plan/policy.h"
#include "real/run.h"
#include "sim/sim.h"

/* Working sets from 30 to 110 MB, twice each: with the optimizer's pass over all weights and without. */
static const struct {
    const char *model, *policy;
    uint32_t batch, sequence;
} trainings[] = {{"gpt-tiny", "native", 3, 192},
                 {"gpt-tiny", "lora", 3, 192},
                 {"gpt-small", "native", 1, 96},
                 {"gpt-small", "lora", 1, 96}};
enum { TRAINING_COUNT = sizeof trainings / sizeof trainings[0], ITERATIONS = 8, REPEATS = 3, ENDS = 25 };

/* The ends of the cache that are tried: from just above the near pools to where nothing more changes. */
static const double least_over_near = 1.25, most_over_near = 64;

typedef struct {
    lspo_plan_t *plan[TRAINING_COUNT];
    double measured_s[TRAINING_COUNT];
} trainings_t;

static lspo_status_t build(uint32_t i, lspo_plan_t **plan_out)
{
    lspo_model_t model;
    const lspo_policy_t *policy;
    lspo_workload_t workload;
    lspo_workload_default(&workload);
    workload.batch = trainings[i].batch;
    workload.sequence = trainings[i].sequence;
    workload.precision = workload.transfer = LSPO_FP32;
    workload.checkpointing = false;
    workload.subspace = 64;
    workload.iterations = ITERATIONS;
    lspo_status_t status = lspo_model_find(trainings[i].model, &model);
    if (status == LSPO_OK)
        status = lspo_policy_find(trainings[i].policy, &policy);
    return status == LSPO_OK ? lspo_plan_build(&model, &workload, policy, plan_out) : status;
}

static lspo_status_t measure(const lspo_plan_t *plan, double *iteration_s_out)
{
    lspo_run_options_t options;
    lspo_run_result_t result;
    lspo_run_default(&options);
    options.repeat = REPEATS;
    options.timing_only = true;
    lspo_status_t status = lspo_run(plan, &options, &result, NULL);
    if (status != LSPO_OK)
        return status;
    *iteration_s_out = result.summary.iteration_s;
    lspo_run_result_release(&result);
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

/* Mean of |ln(predicted / measured)|. */
static lspo_status_t error_of(const trainings_t *all, const lspo_machine_t *machine, double *error_out)
{
    double sum = 0, predicted_s;
    for (uint32_t i = 0; i < TRAINING_COUNT; i++) {
        lspo_status_t status = predict(all->plan[i], machine, &predicted_s);
        if (status != LSPO_OK)
            return status;
        sum += fabs(log(predicted_s / all->measured_s[i]));
    }
    *error_out = sum / TRAINING_COUNT;
    return LSPO_OK;
}

static lspo_status_t fit(const trainings_t *all, lspo_machine_t *machine)
{
    double best_error = INFINITY, best_bytes = machine->gpu.cache_bytes, error;
    for (int i = 0; i < ENDS; i++) {
        double over = least_over_near * pow(most_over_near / least_over_near, i / (double)(ENDS - 1));
        machine->gpu.cache_bytes = floor(machine->gpu.near_bytes * over);
        lspo_status_t status = error_of(all, machine, &error);
        if (status != LSPO_OK)
            return status;
        if (error < best_error) {
            best_error = error;
            best_bytes = machine->gpu.cache_bytes;
        }
    }
    machine->gpu.cache_bytes = best_bytes;
    return LSPO_OK;
}

static lspo_status_t keep_samples(const trainings_t *all, lspo_calibration_result_t *result)
{
    size_t count = result->sample_count;
    lspo_calibration_sample_t *samples = realloc(result->samples, (count + TRAINING_COUNT) * sizeof *samples);
    if (samples == NULL)
        return lspo_error(LSPO_ERR_MEMORY, "no memory for %zu samples", count + TRAINING_COUNT);
    result->samples = samples;
    for (uint32_t i = 0; i < TRAINING_COUNT; i++) {
        lspo_calibration_sample_t *sample = &samples[count + i];
        *sample = (lspo_calibration_sample_t){.kind = "training", .time_s = all->measured_s[i]};
        snprintf(sample->shape, sizeof sample->shape, "%s %s %ux%u", trainings[i].model, trainings[i].policy,
                 trainings[i].batch, trainings[i].sequence);
        lspo_status_t status = predict(all->plan[i], &result->machine, &sample->fitted_s);
        if (status != LSPO_OK)
            return status;
        result->sample_count++;
    }
    return LSPO_OK;
}

static void note(lspo_calibration_result_t *result)
{
    for (size_t i = 0; i < lspo_machine_field_count; i++)
        if (lspo_machine_fields[i].offset_bytes == offsetof(lspo_machine_t, gpu.cache_bytes))
            result->errors[i] = (lspo_calibration_error_t){.standard_error = (double)NAN, .samples = TRAINING_COUNT};
}

lspo_status_t lspo_calibrate_cache(const lspo_calibrate_options_t *options, lspo_calibration_result_t *result)
{
    trainings_t all = {0};
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; status == LSPO_OK && i < TRAINING_COUNT; i++) {
        if (options->progress)
            options->progress(options->progress_context, "trainings", i, TRAINING_COUNT);
        status = build(i, &all.plan[i]);
        if (status == LSPO_OK)
            status = measure(all.plan[i], &all.measured_s[i]);
    }
    if (status == LSPO_OK)
        status = fit(&all, &result->machine);
    if (status == LSPO_OK)
        status = keep_samples(&all, result);
    if (status == LSPO_OK)
        note(result);
    for (uint32_t i = 0; i < TRAINING_COUNT; i++)
        lspo_plan_destroy(all.plan[i]);
    return status;
}
