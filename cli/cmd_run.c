/* cmd_run.c - `lspo run`: execute a plan on a device, training on real text, and report what was measured. */
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "ask/args.h"
#include "ask/request.h"
#include "ask/result.h"
#include "cli/caps.h"
#include "cli/command.h"
#include "cli/host_room.h"
#include "cli/machine_named.h"
#include "cli/progress.h"
#include "cli/request_line.h"
#include "cli/run_watch.h"
#include "real/train/run.h"
#include "sim/bound.h"
#include "sim/sim.h"

typedef struct {
    lspo_request_t base; /* first, see ask/request.h */
    bool watch;
    double rank_timeout_s;
    lspo_mail_t *mail; /* NULL: one process */
} run_request_t;

static const lspo_arg_t run_args[] = {
    {.name = "model",
     .value = "NAME|FILE|FOLDER",
     .list = "models",
     .help = "model to train from random weights (gpt-tiny); only the shapes of a folder are used; help: list models",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(run_request_t, base.model_name)},
    {.name = "policy",
     .value = "NAME",
     .list = "policies",
     .help = "how the training is scheduled (lsp); help: list policies",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(run_request_t, base.policy_name)},
    LSPO_TASK_ARG(offsetof(run_request_t, base.task)),
    {.name = "repeat",
     .value = "N",
     .help = "run the plan N times and use the samples of all (1)",
     .store = lspo_arg_u32,
     .low = 1,
     .high = 1000,
     .offset_bytes = offsetof(run_request_t, base.repeat)},
    {.name = "slowdown",
     .help = "also measure native training, in alternation, and report the ratio of times",
     .store = lspo_arg_switch,
     .offset_bytes = offsetof(run_request_t, base.slowdown)},
    {.name = "timing-only",
     .help = "do not evaluate the loss on held-out text before and after, which takes time",
     .store = lspo_arg_switch,
     .offset_bytes = offsetof(run_request_t, base.timing_only)},
    {.name = "machine",
     .value = "NAME|FILE|auto",
     .list = "machines",
     .help = "profile of this device, for lower_bound_s, --transition auto and --order auto (host-reference)",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(run_request_t, base.machine_name)},
    {.name = "text",
     .value = "FILE",
     .help = "train on this file's bytes (the King James Bible if installed, else texts of this machine)",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(run_request_t, base.text_path)},
    LSPO_TRACE_ARG,
    {.name = "watch",
     .help = "meanwhile draw what the lanes did in the latest iteration as text on standard error",
     .store = lspo_arg_switch,
     .offset_bytes = offsetof(run_request_t, watch)},
    {.name = "rank-timeout",
     .value = "TIME",
     .help = "under mpirun, end all ranks if one has not been heard of for this time, at least 2s (30s)",
     .store = lspo_arg_quantity,
     .unit = LSPO_UNIT_SECONDS,
     .offset_bytes = offsetof(run_request_t, rank_timeout_s)},
    LSPO_FORMAT_ARG("result", offsetof(run_request_t, base.format)),
};

static lspo_status_t write_trace(const lspo_request_t *request, lspo_trace_t *trace)
{
    lspo_status_t status = lspo_trace_set_meta(trace, "origin", "run");
    if (status != LSPO_OK)
        return status;
    status = lspo_trace_set_meta(trace, "device", request->device_name);
    if (status != LSPO_OK)
        return status;
    status = lspo_overrides_describe(&request->overrides, trace);
    if (status != LSPO_OK)
        return status;
    return lspo_trace_write(trace, request->trace_path);
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
    result.card_bytes = measured->card_bytes > 0 ? measured->card_bytes : LSPO_MISSING;
    result.fits = 1;
    result.loss_first = measured->loss_first;
    result.loss_last = measured->loss_last;
    result.held_out_before = measured->held_out_before;
    result.held_out_after = measured->held_out_after;
    result.blas_core = measured->blas_core;
    return lspo_result_write(&result, request->format, stdout);
}

/* With a bar, or with drawings in its place. */
static lspo_status_t run_plan(const lspo_plan_t *plan, bool watches, lspo_run_options_t *options,
                              lspo_run_result_t *measured_out, lspo_trace_t **trace_out)
{
    lspo_progress_t progress;
    lspo_watch_t *watch = NULL;
    if (watches && options->mail != NULL)
        return lspo_error(LSPO_ERR_INPUT, "--watch draws the ops of one process: run it without mpirun");
    if (watches) {
        lspo_status_t status = lspo_watch_start(plan, &watch);
        if (status != LSPO_OK)
            return status;
        options->op_ended = lspo_watch_op;
        options->op_ended_context = watch;
        lspo_status_t run_status = lspo_run(plan, options, measured_out, trace_out);
        lspo_watch_stop(watch);
        return run_status;
    }
    if (lspo_mail_rank(options->mail) > 0)
        return lspo_run(plan, options, measured_out, trace_out);
    options->progress = lspo_progress_update;
    options->progress_context = &progress;
    lspo_progress_start(&progress);
    lspo_status_t status = lspo_run(plan, options, measured_out, trace_out);
    lspo_progress_end(&progress);
    return status;
}

static lspo_status_t measure(const run_request_t *asked, const lspo_plan_t *plan, double lower_bound_s)
{
    const lspo_request_t *request = &asked->base;
    lspo_run_options_t options;
    lspo_run_result_t measured;
    lspo_trace_t *trace = NULL;

    lspo_status_t status = lspo_run_default(&options);
    if (status != LSPO_OK)
        return status;
    status = lspo_request_caps(request, &options.caps);
    if (status != LSPO_OK)
        return status;
    options.device = request->device_name;
    options.cpu_threads = request->cpu_threads;
    options.text_path = request->text_path;
    options.repeat = request->repeat;
    options.slowdown = request->slowdown;
    options.timing_only = request->timing_only;
    options.mail = asked->mail;
    status = run_plan(plan, asked->watch, &options, &measured, request->trace_path != NULL ? &trace : NULL);
    if (status != LSPO_OK)
        return status;
    if (lspo_mail_rank(asked->mail) > 0)
        goto cleanup;
    if (trace != NULL)
        status = write_trace(request, trace);
    if (status != LSPO_OK)
        goto cleanup;
    status = write_measurement(request, plan, &measured, lower_bound_s);
cleanup:
    lspo_trace_destroy(trace);
    lspo_run_result_release(&measured);
    return status;
}

/* Times do not depend on weights or tokens, so any folder can be measured; losses do depend on them. */
static void warn_of_folder(const lspo_request_t *request)
{
    if (lspo_request_is_folder(request->model_name))
        lspo_warn("--model %s: run uses only the shapes of the folder; its weights are random and its tokens are "
                  "bytes, so the losses are not those of this model; lspo train trains it",
                  request->model_name);
}

static lspo_status_t execute(run_request_t *asked)
{
    lspo_request_t *request = &asked->base;
    lspo_machine_t machine;
    lspo_plan_t *plan;
    double lower_bound_s = NAN;
    lspo_device_caps_t caps = {0};

    /* Refuse a --set that no device can apply before the work starts. */
    lspo_status_t status = lspo_request_caps(request, &caps);
    if (status != LSPO_OK)
        return status;
    if (request->trace_path != NULL)
        status = lspo_request_check_output(request->trace_path);
    if (status != LSPO_OK)
        return status;
    status = lspo_machine_named(request->machine_name != NULL ? request->machine_name : "host-reference", &machine);
    if (status != LSPO_OK)
        return status;
    status = lspo_overrides_machine(&request->overrides, &machine);
    if (status != LSPO_OK)
        return status;
    lspo_request_settle(request);
    status = lspo_tune_transition(&request->model, &request->workload, request->policy, &machine, &plan);
    if (status != LSPO_OK)
        return status;
    warn_of_folder(request);
    status = lspo_host_room_check_cap(plan, &request->overrides, &request->peak_bytes);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_host_room_check(request->device_name, &plan->model, &plan->workload, request->policy, 0);
    if (status != LSPO_OK)
        goto cleanup;
    if (request->machine_name != NULL)
        status = lspo_bound_plan(plan, &machine, &lower_bound_s);
    if (status != LSPO_OK)
        goto cleanup;
    status = measure(asked, plan, lower_bound_s);
cleanup:
    lspo_plan_destroy(plan);
    return status;
}

/* Ranks say each second that they are there. */
static lspo_status_t check_grid(const run_request_t *asked)
{
    const lspo_request_t *request = &asked->base;
    if (request->cpu_threads > 0 && lspo_policy_peers(request->policy, &request->workload) > 1)
        return lspo_error(LSPO_ERR_INPUT, "--cpu-threads %u: each device of a grid has one thread for its CPU lane",
                          request->cpu_threads);
    if (asked->rank_timeout_s >= 2 && asked->rank_timeout_s <= 86400)
        return LSPO_OK;
    return lspo_error(LSPO_ERR_INPUT, "--rank-timeout is %g s; it must be from 2s to 86400s", asked->rank_timeout_s);
}

static lspo_status_t run(int argc, char **argv)
{
    run_request_t request = {.base = {.model_name = "gpt-tiny",
                                      .device_name = "host",
                                      .policy_name = lspo_usual_policy,
                                      .any_task = true,
                                      .task = -1,
                                      .repeat = 1,
                                      .format = LSPO_FORMAT_AUTO},
                             .rank_timeout_s = 30};
    lspo_status_t status = lspo_request_parse(&lspo_command_run, argc, argv, LSPO_FP32, &request.base);
    if (status != LSPO_OK)
        return status;
    status = check_grid(&request);
    if (status == LSPO_OK)
        status = lspo_mail_open(request.rank_timeout_s, "--rank-timeout", &request.mail);
    if (status != LSPO_OK)
        return status;
    return lspo_mail_close(request.mail, execute(&request));
}

static const lspo_arg_group_t run_group = LSPO_ARG_GROUP("options", run_args);

const lspo_command_t lspo_command_run = {
    .name = "run",
    .summary = "execute a plan on a device and measure it",
    .usage = "[options]",
    .about =
        "Train a model on real text with the policy's plan, and measure time per iteration, busy times, memory and "
        "loss. The host device is this machine in place of a GPU: one core computes, and memory and link are limited "
        "as asked. The cuda device is an NVIDIA GPU. A plan that does not fit in the device's memory ends with exit "
        "code 4. A grid of devices (--policy axonn --pipeline G --replicas R) runs on --device host in one process, or "
        "under mpirun with one rank for each device; --device cuda is then the GPU with the rank's number on its "
        "machine. Weights are always random and tokens are bytes, even for a folder; `lspo train` trains a folder's "
        "model.",
    .examples =
        "lspo run --model gpt-tiny --policy zero --link 500MB/s --slowdown\n"
        "lspo run --model gpt-small --policy lsp --subspace 128 --nnz 4 --cpu 20M/s --trace lsp.trace\n"
        "lspo run --model gpt-small --policy zero --watch\n"
        "lspo run --device cuda --precision bf16 --model gpt2-774m --policy lsp --gpu-memory 4GiB --link 12GB/s",
    .common = "model policy device batch sequence slowdown gpu-memory link cpu",
    .groups = (const lspo_arg_group_t *const[]){&run_group, &lspo_device_group, &lspo_workload_group,
                                                &lspo_policy_group, &lspo_cap_group, NULL},
    .run = run,
};
