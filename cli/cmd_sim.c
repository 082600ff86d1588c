/* cmd_sim.c - `lspo sim`: predict a plan on a machine profile. */
#include <stddef.h>
#include <stdio.h>

#include "cli/args.h"
#include "cli/command.h"
#include "cli/request.h"
#include "cli/result.h"
#include "sim/sim.h"

static const lspo_arg_t sim_args[] = {
    {.name = "model",
     .value = "NAME|FILE",
     .help = "what is trained (gpt2-774m); help: list them",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_request_t, model_name)},
    {.name = "machine",
     .value = "NAME|FILE",
     .help = "where (paper-workstation); help: list them",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_request_t, machine_name)},
    {.name = "policy",
     .value = "NAME",
     .help = "how the work is scheduled (lsp); help: list them",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_request_t, policy_name)},
    {.name = "trace",
     .value = "FILE",
     .help = "write what happens when, op by op, as CSV",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_request_t, trace_path)},
    {.name = "format",
     .value = "table|csv|json",
     .help = "of the result (table on a terminal, else csv)",
     .store = lspo_arg_choice,
     .names = lspo_format_names,
     .offset_bytes = offsetof(lspo_request_t, format)},
};

static void print_help(const lspo_arg_group_t *groups, size_t group_count)
{
    puts("usage: lspo sim [options]\n\n"
         "Predict time an iteration, slowdown against native training, what limits it, and memory, from a machine's\n"
         "profile.  A plan that does not fit the GPU is simulated all the same: `fits` says so, `advice` what would\n"
         "make it fit.");
    lspo_args_print(groups, group_count, stdout);
    puts("\nexamples:\n"
         "  lspo sim --model llama-7b --machine rtx4090 --policy lsp\n"
         "  lspo sim --machine host.ini --model gpt-small --policy zero --link 2GB/s --format json\n"
         "  lspo sim --policy help");
}

static lspo_status_t write_trace(const lspo_request_t *request, const lspo_machine_t *machine, lspo_trace_t *trace)
{
    lspo_status_t status = lspo_trace_set_meta(trace, "origin", "sim");
    if (status == LSPO_OK)
        status = lspo_trace_set_meta(trace, "machine", machine->name);
    if (status == LSPO_OK)
        status = lspo_overrides_describe(&request->overrides, trace);
    if (status == LSPO_OK)
        status = lspo_trace_write(trace, request->trace_path);
    return status;
}

static lspo_status_t write_prediction(const lspo_request_t *request, const lspo_machine_t *machine,
                                      const lspo_plan_t *plan, const lspo_prediction_t *prediction)
{
    char sets[1024];
    lspo_result_t result;
    lspo_overrides_sets(&request->overrides, sets, sizeof sets);
    lspo_result_fill("sim", request, plan, &prediction->summary, sets, &result);
    result.machine = machine->name;
    result.slowdown = prediction->slowdown;
    result.tokens_per_s = prediction->tokens_per_s;
    result.lower_bound_s = prediction->lower_bound_s;
    result.peak_gpu_bytes = prediction->peak_gpu_bytes;
    result.peak_host_bytes = prediction->peak_host_bytes;
    result.fits = prediction->fits != 0;
    result.bound = prediction->bound;
    result.advice = prediction->advice;
    return lspo_result_write(&result, request->format);
}

static lspo_status_t simulate(const lspo_request_t *request)
{
    lspo_machine_t machine;
    lspo_plan_t *plan = NULL;
    lspo_trace_t *trace = NULL;
    lspo_prediction_t prediction;

    lspo_status_t status = lspo_machine_find(request->machine_name, &machine);
    if (status == LSPO_OK)
        status = lspo_overrides_machine(&request->overrides, &machine);
    if (status == LSPO_OK)
        status = lspo_tune_transition(&request->model, &request->workload, request->policy, &machine, &plan);
    if (status != LSPO_OK)
        return status;
    status = lspo_simulate(plan, &machine, &prediction, request->trace_path != NULL ? &trace : NULL);
    if (status != LSPO_OK)
        goto destroy_plan;
    if (trace != NULL)
        status = write_trace(request, &machine, trace);
    if (status == LSPO_OK)
        status = write_prediction(request, &machine, plan, &prediction);
    lspo_trace_destroy(trace);
    lspo_prediction_release(&prediction);
destroy_plan:
    lspo_plan_destroy(plan);
    return status;
}

lspo_status_t lspo_command_sim(int argc, char **argv)
{
    lspo_request_t request = {.model_name = "gpt2-774m",
                              .machine_name = "paper-workstation",
                              .policy_name = "lsp",
                              .format = LSPO_FORMAT_AUTO};
    const lspo_arg_group_t groups[] = {
        {"options", sim_args, sizeof sim_args / sizeof sim_args[0], &request},
        {"workload (defaults in brackets)", lspo_workload_args, lspo_workload_arg_count, &request},
        {"in place of the machine's own", lspo_override_args, lspo_override_arg_count, &request},
    };
    const size_t group_count = sizeof groups / sizeof groups[0];
    lspo_request_outcome_t outcome;
    lspo_status_t status =
        lspo_request_parse(argc, argv, groups, group_count, LSPO_PRECISION_COUNT, &request, &outcome);
    if (status != LSPO_OK)
        return status;
    if (outcome == LSPO_REQUEST_HELP)
        print_help(groups, group_count);
    return outcome == LSPO_REQUEST_READY ? simulate(&request) : LSPO_OK;
}
