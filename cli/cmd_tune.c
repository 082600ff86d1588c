/* cmd_tune.c - `lspo tune`: the best settings of a training of one model on one machine. */
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/args.h"
#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/progress.h"
#include "cli/request.h"
#include "cli/tune_report.h"
#include "sim/search.h"

enum { RESULTS = 5 };

typedef struct {
    lspo_request_t base; /* first, see cli/request.h */
    bool exact_only, exhaustive;
    int objective;      /* lspo_objective_t */
    uint32_t sequences; /* per step; 0: not given */
} tune_request_t;

static const char *const objective_names[] = {"time", "memory", NULL};
static const lspo_objective_t objectives[] = {LSPO_OBJECTIVE_TIME, LSPO_OBJECTIVE_MEMORY};

static const lspo_arg_t tune_args[] = {
    {.name = "model",
     .value = "NAME|FILE|FOLDER",
     .list = "models",
     .help = "model to train; help: list models",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(tune_request_t, base.model_name)},
    {.name = "machine",
     .value = "NAME|FILE",
     .list = "machines",
     .help = "machine to predict; help: list machines",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(tune_request_t, base.machine_name)},
    {.name = "policy",
     .value = "NAME",
     .list = "policies",
     .help = "only this policy, and its five best settings (all: the best settings of each of the five best policies)",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(tune_request_t, base.policy_name)},
    {.name = "objective",
     .value = "time|memory",
     .help = "what is to be least: the time per step, or the peak of GPU memory (time)",
     .store = lspo_arg_choice,
     .names = objective_names,
     .offset_bytes = offsetof(tune_request_t, objective)},
    {.name = "exact-only",
     .help = "only policies whose training equals native's bit for bit",
     .store = lspo_arg_switch,
     .offset_bytes = offsetof(tune_request_t, exact_only)},
    {.name = "sequences",
     .value = "N",
     .help = "sequences per optimizer step, divided into --accumulation times --batch (their product, else 4)",
     .store = lspo_arg_u32,
     .low = 1,
     .high = 65535,
     .offset_bytes = offsetof(tune_request_t, sequences)},
    {.name = "exhaustive",
     .help = "simulate all settings that may fit, also those that a bound excludes; the answer is the same",
     .store = lspo_arg_switch,
     .offset_bytes = offsetof(tune_request_t, exhaustive)},
    LSPO_FORMAT_ARG("result", offsetof(tune_request_t, base.format)),
};
static const lspo_arg_group_t tune_group = LSPO_ARG_GROUP("options", tune_args);

/* ---- what the user holds ---- */

static lspo_status_t prepare(void *context, const lspo_policy_t *policy, lspo_workload_t *workload)
{
    const tune_request_t *request = context;
    return lspo_request_own_values(&request->base, policy, workload);
}

static bool holds(void *context, const lspo_parameter_t *parameter)
{
    const tune_request_t *request = context;
    bool given = false;
    for (uint32_t i = 0; i < request->base.given.count && !given; i++)
        given = request->base.given.flags[i].parameter == parameter;
    return given;
}

static lspo_search_options_t options_of(tune_request_t *request, const lspo_machine_t *machine,
                                        const lspo_command_line_t *line)
{
    const lspo_workload_t *workload = &request->base.workload;
    lspo_search_options_t options = {.model = &request->base.model,
                                     .machine = machine,
                                     .workload = *workload,
                                     .policy = lspo_command_line_has(line, "policy") ? request->base.policy : NULL,
                                     .exact_only = request->exact_only,
                                     .sequences = request->sequences,
                                     .holds_batch = lspo_command_line_has(line, "batch"),
                                     .holds_accumulation = lspo_command_line_has(line, "accumulation"),
                                     .holds_checkpointing = lspo_command_line_has(line, "checkpointing"),
                                     .holds_transfer = request->base.own_transfer,
                                     .holds_order = lspo_command_line_has(line, "order"),
                                     .objective = objectives[request->objective],
                                     .exhaustive = request->exhaustive,
                                     .most = RESULTS,
                                     .prepare = prepare,
                                     .holds = holds,
                                     .context = request};
    if (options.sequences == 0)
        options.sequences = workload->batch * workload->accumulation;
    if (!request->base.own_iterations)
        options.workload.iterations = 0;
    return options;
}

/* A budget may be less than the machine has, not more: what is found must run there. */
static lspo_status_t check_budgets(const lspo_request_t *base)
{
    lspo_machine_t machine;
    char text[32];
    lspo_status_t status = lspo_machine_find(base->machine_name, &machine);
    if (status != LSPO_OK)
        return status;
    if ((double)base->overrides.gpu_memory_bytes > machine.gpu.memory_bytes)
        return lspo_error(LSPO_ERR_INPUT, "--gpu-memory is more than the %s of %s",
                          lspo_format_quantity(machine.gpu.memory_bytes, LSPO_UNIT_BYTES, text, sizeof text),
                          machine.name);
    if ((double)base->overrides.host_memory_bytes > machine.cpu.memory_bytes)
        return lspo_error(LSPO_ERR_INPUT, "--host-memory is more than the %s of %s",
                          lspo_format_quantity(machine.cpu.memory_bytes, LSPO_UNIT_BYTES, text, sizeof text),
                          machine.name);
    return LSPO_OK;
}

/* ---- what more would buy ---- */

/* Objective of the policy's best / the same on a machine with twice of each part; at least 1, since the best of now
 * runs there, too. */
static lspo_status_t find_gains(const lspo_search_options_t *options, const lspo_found_t *found,
                                double gains[LSPO_TUNE_PARTS])
{
    lspo_status_t status = LSPO_OK;
    for (int part = 0; part < LSPO_TUNE_PARTS && status == LSPO_OK; part++) {
        lspo_machine_t more = *options->machine;
        lspo_search_options_t asked = *options;
        lspo_search_t search = {0};
        lspo_tune_double(&more, (lspo_tune_part_t)part);
        asked.machine = &more;
        asked.policy = found->policy;
        asked.most = 1;
        asked.exhaustive = false;
        status = lspo_search(&asked, &search);
        gains[part] = search.count > 0 ? fmax(found->objective / search.found[0].objective, 1) : 1;
        lspo_search_release(&search);
    }
    return status;
}

/* ---- the command ---- */

static lspo_status_t answer(tune_request_t *request, lspo_tune_report_t *report, const lspo_search_options_t *options)
{
    const lspo_search_t *search = report->search;
    lspo_tune_row_t rows[RESULTS];
    lspo_progress_t progress;
    lspo_status_t status = LSPO_OK;
    lspo_progress_start(&progress);
    for (uint32_t i = 0; i < search->count && status == LSPO_OK; i++) {
        lspo_progress_update(&progress, "what more would buy", i, search->count);
        status = lspo_tune_row(report, &search->found[i], &rows[i]);
        if (status == LSPO_OK && options->policy != NULL && i > 0)
            memcpy(rows[i].gains, rows[0].gains, sizeof rows[i].gains);
        else if (status == LSPO_OK)
            status = find_gains(options, &search->found[i], rows[i].gains);
    }
    lspo_progress_end(&progress);
    if (status != LSPO_OK)
        return status;
    return lspo_tune_report_write(report, rows, search->count, lspo_format_resolve(request->base.format));
}

static lspo_status_t search_and_answer(tune_request_t *request, int argc, char **argv)
{
    const lspo_command_line_t line = {argc, argv, &tune_group};
    lspo_machine_t machine;
    lspo_progress_t progress;
    lspo_search_t search = {0};
    lspo_status_t status = check_budgets(&request->base);
    if (status == LSPO_OK)
        status = lspo_request_machine(&request->base, &machine);
    if (status != LSPO_OK)
        return status;
    lspo_search_options_t options = options_of(request, &machine, &line);
    options.progress = lspo_progress_update;
    options.progress_context = &progress;
    lspo_progress_start(&progress);
    status = lspo_search(&options, &search);
    lspo_progress_end(&progress);
    options.progress = NULL;
    if (status == LSPO_OK && search.count == 0)
        status = lspo_error(LSPO_ERR_FIT, "none of %u settings fits %s on %s; `lspo choose` says how much is missing",
                            search.candidates, request->base.model.name, machine.name);
    lspo_tune_report_t report = {
        .options = &options, .search = &search, .line = &line, .objective = objective_names[request->objective]};
    if (status == LSPO_OK)
        status = answer(request, &report, &options);
    lspo_search_release(&search);
    return status;
}

/* Here --machine has no default. */
static lspo_status_t tune(int argc, char **argv)
{
    tune_request_t request = {.base = {.policy_name = "native", .every_policy = true, .format = LSPO_FORMAT_AUTO}};
    const lspo_command_t *self = &lspo_command_tune;
    lspo_status_t status = lspo_request_parse(self, argc, argv, LSPO_PRECISION_COUNT, &request.base);
    if (status != LSPO_OK)
        return status;
    if (request.base.machine_name == NULL)
        return lspo_error(LSPO_ERR_INPUT, "--machine NAME|FILE is required; usage: lspo %s %s", self->name,
                          self->usage);
    return search_and_answer(&request, argc, argv);
}

const lspo_command_t lspo_command_tune = {
    .name = "tune",
    .summary = "find the best settings for a model on a machine",
    .usage = "--model NAME|FILE --machine NAME|FILE [options]",
    .about = "Find the settings with which a model trains fastest on a machine, or in the least GPU memory: policy, "
             "batch and accumulation, checkpointing, transfer precision, what stays on the GPU, buffers, transition "
             "and order. The best five that fit GPU and host memory are printed with the command of each, the distance "
             "to the lower bound of any schedule, what limits it, and what twice the link, CPU or memory would buy.",
    .examples = "lspo tune --model llama-7b --machine paper-workstation --sequences 16\n"
                "lspo tune --model gpt2-774m --machine paper-laptop --exact-only\n"
                "lspo tune --model gpt2-1.3b --machine rtx3060 --policy zero --objective memory\n"
                "lspo tune --model gpt2-774m --machine paper-laptop --host-memory 16GiB --format json",
    .common = "model machine policy objective exact-only sequences gpu-memory host-memory",
    .details =
        "Any option that is given is held at its value; the others are tried. The sequences of a step are the same in "
        "all settings, so that a step trains the same: --batch and --accumulation divide them. Settings that make "
        "training less exact than a policy's default are not tried. Those that make it better (--subspace, --nnz, "
        "--rank) are doubled as long as that costs at most 1 % of the time.\n\n"
        "Settings are simulated in the order of a bound, the busy time of the busiest lane or the static memory, and "
        "those whose bound is above what has been found are left out: the answer is that of --exhaustive.\n\n"
        "--gpu-memory and --host-memory are budgets: at most what the machine has. Exit status 4: nothing fits.",
    .groups = (const lspo_arg_group_t *const[]){&tune_group, &lspo_workload_group, &lspo_policy_group,
                                                &lspo_framework_group, &lspo_override_group, NULL},
    .run = tune,
};
