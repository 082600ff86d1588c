/* cmd_sim.c - `lspo sim`: predict a plan on a machine profile. */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "cli/args.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "cli/request.h"
#include "cli/result.h"
#include "cli/sim_report.h"
#include "sim/advice.h"
#include "sim/noise.h"
#include "sim/sim.h"
#include "traces/gantt.h"

typedef struct {
    lspo_request_t base;
    lspo_noise_options_t noise; /* a seed of 0: no noise; 0 draws: not given */
    const char *gantt_path;
    bool all;
} sim_request_t;

static const lspo_arg_t sim_args[] = {
    {.name = "model",
     .value = "NAME|FILE|FOLDER",
     .list = "models",
     .help = "model to train (gpt2-774m); help: list models",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(sim_request_t, base.model_name)},
    {.name = "machine",
     .value = "NAME|FILE",
     .list = "machines",
     .help = "machine to predict (paper-workstation); help: list machines",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(sim_request_t, base.machine_name)},
    {.name = "policy",
     .value = "NAME",
     .list = "policies",
     .help = "how the training is scheduled (lsp); help: list policies",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(sim_request_t, base.policy_name)},
    LSPO_TRACE_ARG,
    {.name = "all",
     .help = "print every figure in a table, as CSV and JSON do",
     .store = lspo_arg_switch,
     .offset_bytes = offsetof(sim_request_t, all)},
    LSPO_FORMAT_ARG("result", offsetof(sim_request_t, base.format)),
};

static const lspo_arg_t noise_args[] = {
    {.name = "noise",
     .value = "SEED",
     .help =
         "also simulate with random durations from the machine's [noise], and report percentiles of time and slowdown",
     .store = lspo_arg_u32,
     .low = 1,
     .high = UINT32_MAX,
     .offset_bytes = offsetof(sim_request_t, noise.seed)},
    {.name = "draws",
     .value = "N",
     .help = "simulations under --noise (200)",
     .store = lspo_arg_u32,
     .low = 2,
     .high = LSPO_NOISE_DRAWS_MAX,
     .offset_bytes = offsetof(sim_request_t, noise.draws)},
    {.name = "gantt",
     .value = "FILE",
     .help = "write a few iterations as CSV for plots/gantt.gp; with --noise also error bars",
     .store = lspo_arg_output,
     .offset_bytes = offsetof(sim_request_t, gantt_path)},
    {.name = "first",
     .value = "N",
     .help = "first iteration in --gantt (3)",
     .store = lspo_arg_u32,
     .high = UINT32_MAX,
     .offset_bytes = offsetof(sim_request_t, noise.first_iteration)},
    {.name = "count",
     .value = "N",
     .help = "iterations in --gantt (2)",
     .store = lspo_arg_u32,
     .low = 1,
     .high = UINT32_MAX,
     .offset_bytes = offsetof(sim_request_t, noise.iteration_count)},
};

/* The noise-free trace: no single draw is typical in all its ops. */
static lspo_status_t write_trace(const sim_request_t *request, const lspo_machine_t *machine, lspo_trace_t *trace)
{
    lspo_status_t status = lspo_trace_set_meta(trace, "origin", "sim");
    if (status != LSPO_OK)
        return status;
    status = lspo_trace_set_meta(trace, "machine", machine->name);
    if (status != LSPO_OK)
        return status;
    status = lspo_trace_set_meta(trace, "framework", lspo_machine_framework(machine));
    if (status != LSPO_OK)
        return status;
    status = lspo_overrides_describe(&request->base.overrides, trace);
    if (status != LSPO_OK)
        return status;
    if (request->noise.seed > 0)
        status = lspo_noise_describe(&request->noise, trace);
    if (status != LSPO_OK)
        return status;
    return lspo_trace_write(trace, request->base.trace_path);
}

static lspo_status_t write_gantt(const sim_request_t *request, const lspo_noise_t *noise, const lspo_trace_t *trace)
{
    uint32_t first = request->noise.first_iteration, count = request->noise.iteration_count;
    return request->noise.seed > 0
               ? lspo_trace_write_gantt_spread(trace, first, count, noise->spreads, request->gantt_path)
               : lspo_trace_write_gantt(trace, first, count, request->gantt_path);
}

/* The whole record, or sentences for people on a terminal. */
static lspo_status_t write_prediction(const sim_request_t *request, const lspo_machine_t *machine,
                                      const lspo_plan_t *plan, const lspo_prediction_t *prediction,
                                      const lspo_noise_t *noise)
{
    char sets[1024], advice[LSPO_ADVICE_BYTES];
    lspo_result_t result;
    lspo_expect_t expect;
    lspo_status_t status = lspo_advise(plan, machine, prediction, sizeof advice, advice);
    if (status != LSPO_OK)
        return status;
    status = lspo_expect(plan, machine, &expect);
    if (status != LSPO_OK)
        return status;
    if (lspo_format_resolve(request->base.format) == LSPO_FORMAT_TABLE && !request->all) {
        lspo_sim_report_print(&(lspo_sim_report_t){.plan = plan,
                                                   .machine = machine,
                                                   .prediction = prediction,
                                                   .advice = advice,
                                                   .expect = &expect,
                                                   .noise = request->noise.seed > 0 ? noise : NULL,
                                                   .draws = request->noise.draws});
        return LSPO_OK;
    }
    lspo_overrides_sets(&request->base.overrides, sets, sizeof sets);
    lspo_result_fill("sim", &request->base, plan, &prediction->summary, sets, &result);
    result.machine = machine->name;
    result.framework = lspo_machine_framework(machine);
    result.slowdown = prediction->slowdown;
    result.native_iteration_s = prediction->native.iteration_s;
    result.native_peak_gpu_bytes = prediction->native.peak_gpu_bytes;
    result.native_fits = prediction->native.fits;
    result.tokens_per_s = prediction->tokens_per_s;
    result.lower_bound_s = prediction->lower_bound_s;
    result.peak_gpu_bytes = prediction->peak_gpu_bytes;
    result.peak_host_bytes = prediction->peak_host_bytes;
    result.peak_total_bytes = prediction->peak_gpu_bytes + prediction->peak_host_bytes;
    result.gpu_tensor_bytes = prediction->gpu_tensor_bytes;
    result.gpu_reserve_bytes = prediction->gpu_reserve_bytes;
    result.gpu_library_bytes = prediction->gpu_library_bytes;
    result.peak_gpu_bound_bytes = prediction->peak_gpu_bound_bytes;
    result.peak_host_bound_bytes = prediction->peak_host_bound_bytes;
    result.fits = prediction->fits;
    result.bound = prediction->bound;
    result.advice = advice;
    lspo_result_fill_expect(&expect, machine, &result);
    uint32_t period;
    result.not_counted = lspo_sim_not_counted(plan, prediction, &period);
    result.not_counted_every = result.not_counted != NULL ? period : LSPO_MISSING;
    if (request->noise.seed > 0)
        lspo_result_fill_noise(&request->noise, noise, &result);
    return lspo_result_write(&result, request->base.format);
}

static lspo_status_t predict(const sim_request_t *request, const lspo_machine_t *machine, const lspo_plan_t *plan)
{
    bool wants_trace = request->base.trace_path != NULL || request->gantt_path != NULL;
    lspo_trace_t *trace = NULL;
    lspo_prediction_t prediction;
    lspo_noise_t noise = {0};
    lspo_status_t status = lspo_simulate(plan, machine, &prediction, wants_trace ? &trace : NULL);
    if (status != LSPO_OK)
        return status;
    status = lspo_simulate_check_settled(plan, &prediction);
    if (status != LSPO_OK)
        goto cleanup;
    if (request->noise.seed > 0) {
        lspo_progress_t progress;
        lspo_noise_options_t options = request->noise;
        options.progress = lspo_progress_update;
        options.progress_context = &progress;
        if (request->gantt_path == NULL)
            options.iteration_count = 0;
        lspo_progress_start(&progress);
        status = lspo_noise_predict(plan, machine, &options, &noise);
        lspo_progress_end(&progress);
    }
    if (status != LSPO_OK)
        goto cleanup;
    if (request->base.trace_path != NULL)
        status = write_trace(request, machine, trace);
    if (status != LSPO_OK)
        goto cleanup;
    if (request->gantt_path != NULL)
        status = write_gantt(request, &noise, trace);
    if (status != LSPO_OK)
        goto cleanup;
    status = write_prediction(request, machine, plan, &prediction, &noise);
cleanup:
    lspo_noise_release(&noise);
    lspo_prediction_release(&prediction);
    lspo_trace_destroy(trace);
    return status;
}

static lspo_status_t simulate(sim_request_t *request)
{
    lspo_request_t *base = &request->base;
    lspo_machine_t machine;
    lspo_plan_t *plan = NULL;
    lspo_status_t status = lspo_request_machine(base, &machine);
    if (status != LSPO_OK)
        goto cleanup;
    if (request->noise.seed > 0)
        status = lspo_noise_check(&machine);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_tune_transition(&base->model, &base->workload, base->policy, &machine, &plan);
    if (status != LSPO_OK)
        goto cleanup;
    status = predict(request, &machine, plan);
cleanup:
    lspo_plan_destroy(plan);
    return status;
}

/* Draws without noise would be silently ignored. */
static lspo_status_t check_draws(sim_request_t *request)
{
    if (request->noise.seed == 0 && request->noise.draws > 0)
        return lspo_error(LSPO_ERR_INPUT, "--draws %u needs --noise SEED", request->noise.draws);
    if (request->noise.draws == 0)
        request->noise.draws = LSPO_NOISE_DRAWS;
    return LSPO_OK;
}

static lspo_status_t sim(int argc, char **argv)
{
    sim_request_t request = {.base = {.model_name = "gpt2-774m",
                                      .machine_name = "paper-workstation",
                                      .policy_name = "lsp",
                                      .format = LSPO_FORMAT_AUTO},
                             .noise = {.first_iteration = 3, .iteration_count = 2}};
    lspo_status_t status = lspo_request_parse(&lspo_command_sim, argc, argv, LSPO_PRECISION_COUNT, &request.base);
    if (status != LSPO_OK)
        return status;
    status = check_draws(&request);
    if (status != LSPO_OK)
        return status;
    return simulate(&request);
}

static const lspo_arg_group_t sim_group = LSPO_ARG_GROUP("options", sim_args);
static const lspo_arg_group_t noise_group = LSPO_ARG_GROUP("random durations, and a Gantt chart", noise_args);

const lspo_command_t lspo_command_sim = {
    .name = "sim",
    .summary = "predict a policy's time per step and memory on a machine",
    .usage = "[options]",
    .about = "Predict a policy's time per iteration, slowdown against native training, bottleneck and memory, from a "
             "machine's profile. A plan that does not fit in memory is simulated, too: `fits` says so, and `advice` "
             "says what would make it fit.",
    .examples = "lspo sim --model llama-7b --machine rtx4090 --policy lsp\n"
                "lspo sim --machine paper-laptop --model gpt-small --policy zero --link 2GB/s --format json\n"
                "lspo sim --model llama-7b --machine rtx4090 --policy zero --framework deepspeed-blocking\n"
                "lspo sim --policy zero --noise 1 --set noise.gpu_sigma=0.02 --set noise.run_sigma=0.01",
    .common = "model machine framework policy batch sequence accumulation gpu-memory host-memory link all",
    .details =
        "On a terminal the result is a few sentences; --all, CSV and JSON have every figure. `lspo help terms` "
        "explains the words, and `lspo choose` simulates every policy.\n\n"
        "peak_gpu_bound_bytes is the most GPU memory that a run takes if its ops stay within a tenth of an "
        "iteration of their predicted times, and the most that its framework's allocator leaves unused. "
        "gpu_tensor_bytes, gpu_reserve_bytes and gpu_library_bytes are the parts of peak_gpu_bytes: tensors, what the "
        "allocator holds unused, and what its process takes besides.\n\n"
        "expect_low_s to expect_high_s is the band in which a measured time is expected, from how far predictions for "
        "this framework and machine were from published steps, or from lspo's own measurements on a calibrated "
        "host (expect_basis, expect_rows).\n\n"
        "--noise adds percentiles; all other figures and the trace are still predicted without noise. Of 100 "
        "runs, 95 are expected between iteration_p2_5_s and iteration_p97_5_s.",
    .groups = (const lspo_arg_group_t *const[]){&sim_group, &noise_group, &lspo_workload_group, &lspo_policy_group,
                                                &lspo_framework_group, &lspo_override_group, NULL},
    .run = sim,
};
