/* cmd_run.c - `lspo run`: execute a plan on a device, training on real text, and report what was measured. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/args.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "cli/request.h"
#include "cli/result.h"
#include "real/run.h"
#include "sim/bound.h"
#include "sim/sim.h"

static const lspo_arg_t run_args[] = {
    {.name = "model",
     .value = "NAME|FILE",
     .help = "what is trained (gpt-tiny); help: list them",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_request_t, model_name)},
    {.name = "policy",
     .value = "NAME",
     .help = "how the work is scheduled (lsp); help: list them",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_request_t, policy_name)},
    {.name = "repeat",
     .value = "N",
     .help = "plays of the plan, all of which are sampled (1)",
     .store = lspo_arg_u32,
     .low = 1,
     .high = 1000,
     .offset_bytes = offsetof(lspo_request_t, repeat)},
    {.name = "slowdown",
     .help = "measure native training too, interleaved, and report the ratio",
     .store = lspo_arg_switch,
     .offset_bytes = offsetof(lspo_request_t, slowdown)},
    {.name = "timing-only",
     .help = "leave out the loss on held-out text, which takes time before and after",
     .store = lspo_arg_switch,
     .offset_bytes = offsetof(lspo_request_t, timing_only)},
    {.name = "machine",
     .value = "NAME|FILE",
     .help = "this device's profile: for lower_bound_s and --transition auto (host-reference)",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_request_t, machine_name)},
    {.name = "text",
     .value = "FILE",
     .help = "train on this file's bytes (the King James Bible, or the machine's own texts)",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_request_t, text_path)},
    LSPO_TRACE_ARG,
    LSPO_FORMAT_ARG("result", offsetof(lspo_request_t, format)),
};

static void print_help(const lspo_arg_group_t *groups, size_t group_count)
{
    puts(
        "usage: lspo run [options]\n\n"
        "Train a byte-level model on real text by the plan that the policy builds, and report the measured time an\n"
        "iteration, busy times, memory and loss.  The host device is this machine: a GPU lane on a core of its own, a\n"
        "memory with a capacity and a paced link; cuda is an NVIDIA GPU.  A plan that does not fit the device's "
        "memory\n"
        "is an error.");
    lspo_args_print(groups, group_count, stdout);
    puts("\nexamples:\n"
         "  lspo run --model gpt-tiny --policy zero --link 500MB/s --slowdown\n"
         "  lspo run --model gpt-small --policy lsp --subspace 128 --nnz 4 --cpu 20M/s --trace lsp.trace\n"
         "  lspo run --model gpt-small --policy zero --machine host.ini --format json\n"
         "  lspo run --device cuda --precision bf16 --model gpt2-774m --policy lsp --gpu-memory 4GiB --link 12GB/s");
}

static lspo_status_t lower_bound(const lspo_machine_t *machine, const lspo_plan_t *plan, double *lower_bound_s_out)
{
    uint64_t *work_ns;
    lspo_status_t status = lspo_cost_plan(machine, plan, &work_ns);
    if (status != LSPO_OK)
        return status;
    status = lspo_bound_iteration(plan, work_ns, lower_bound_s_out);
    free(work_ns);
    return status;
}

static lspo_status_t write_trace(const lspo_request_t *request, lspo_trace_t *trace)
{
    lspo_status_t status = lspo_trace_set_meta(trace, "origin", "run");
    if (status == LSPO_OK)
        status = lspo_trace_set_meta(trace, "device", request->device_name);
    if (status == LSPO_OK)
        status = lspo_overrides_describe(&request->overrides, trace);
    if (status == LSPO_OK)
        status = lspo_trace_write(trace, request->trace_path);
    return status;
}

static lspo_status_t write_measurement(const lspo_request_t *request, const lspo_plan_t *plan,
                                       const lspo_run_result_t *measured, double lower_bound_s)
{
    char sets[1024];
    lspo_result_t result;
    lspo_overrides_sets(&request->overrides, sets, sizeof sets);
    lspo_result_fill("run", request, plan, &measured->summary, sets, &result);
    result.machine = request->machine_name;
    result.device = request->device_name;
    result.repeat = request->repeat;
    result.slowdown = measured->slowdown;
    result.native_iteration_s = measured->native_iteration_s;
    result.tokens_per_s = measured->tokens_per_s;
    result.lower_bound_s = lower_bound_s;
    result.peak_gpu_bytes = measured->peak_gpu_bytes;
    result.peak_host_bytes = measured->peak_host_bytes;
    result.peak_total_bytes = measured->peak_total_bytes;
    result.fits = 1;
    result.loss_first = measured->loss_first;
    result.loss_last = measured->loss_last;
    result.held_out_before = measured->held_out_before;
    result.held_out_after = measured->held_out_after;
    result.blas_core = measured->blas_core;
    return lspo_result_write(&result, request->format);
}

static lspo_status_t measure(const lspo_request_t *request, const lspo_plan_t *plan, double lower_bound_s)
{
    lspo_progress_t progress;
    lspo_run_options_t options;
    lspo_run_result_t measured;
    lspo_trace_t *trace = NULL;

    lspo_status_t status = lspo_run_default(&options);
    if (status == LSPO_OK)
        status = lspo_request_caps(request, &options.caps);
    if (status != LSPO_OK)
        return status;
    options.device = request->device_name;
    options.cpu_threads = request->cpu_threads;
    options.text_path = request->text_path;
    options.repeat = request->repeat;
    options.slowdown = request->slowdown;
    options.timing_only = request->timing_only;
    options.progress = lspo_progress_update;
    options.progress_context = &progress;

    lspo_progress_start(&progress);
    status = lspo_run(plan, &options, &measured, request->trace_path != NULL ? &trace : NULL);
    lspo_progress_end(&progress);
    if (status != LSPO_OK)
        return status;
    if (trace != NULL)
        status = write_trace(request, trace);
    if (status == LSPO_OK)
        status = write_measurement(request, plan, &measured, lower_bound_s);
    lspo_trace_destroy(trace);
    lspo_run_result_release(&measured);
    return status;
}

static lspo_status_t run(const lspo_request_t *request)
{
    lspo_machine_t machine;
    lspo_plan_t *plan;
    double lower_bound_s = NAN;
    lspo_device_caps_t caps = {0};

    /* A --set that no device can follow is refused before the work starts. */
    lspo_status_t status = lspo_request_caps(request, &caps);
    if (status == LSPO_OK && request->trace_path != NULL)
        status = lspo_request_check_output(request->trace_path);
    if (status == LSPO_OK)
        status = lspo_machine_find(request->machine_name != NULL ? request->machine_name : "host-reference", &machine);
    if (status == LSPO_OK)
        status = lspo_overrides_machine(&request->overrides, &machine);
    if (status == LSPO_OK)
        status = lspo_tune_transition(&request->model, &request->workload, request->policy, &machine, &plan);
    if (status != LSPO_OK)
        return status;
    if (request->machine_name != NULL)
        status = lower_bound(&machine, plan, &lower_bound_s);
    if (status == LSPO_OK)
        status = measure(request, plan, lower_bound_s);
    lspo_plan_destroy(plan);
    return status;
}

lspo_status_t lspo_command_run(int argc, char **argv)
{
    lspo_request_t request = {
        .model_name = "gpt-tiny", .device_name = "host", .policy_name = "lsp", .repeat = 1, .format = LSPO_FORMAT_AUTO};
    const lspo_arg_group_t groups[] = {
        {"options", run_args, sizeof run_args / sizeof run_args[0], &request},
        {"device", lspo_device_args, lspo_device_arg_count, &request},
        {"workload (defaults in brackets)", lspo_workload_args, lspo_workload_arg_count, &request},
        {"caps: they slow the device down or shrink it", lspo_override_args, lspo_override_arg_count, &request},
    };
    const size_t group_count = sizeof groups / sizeof groups[0];
    lspo_request_outcome_t outcome;
    lspo_status_t status = lspo_request_parse(argc, argv, groups, group_count, LSPO_FP32, &request, &outcome);
    if (status != LSPO_OK)
        return status;
    if (outcome == LSPO_REQUEST_HELP)
        print_help(groups, group_count);
    return outcome == LSPO_REQUEST_READY ? run(&request) : LSPO_OK;
}
