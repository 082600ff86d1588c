/* cmd_tune.c - `lspo tune`: the best settings of a training of one model on one machine. */
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask/args.h"
#include "ask/request.h"
#include "base/output_file.h"
#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/machine_named.h"
#include "cli/progress.h"
#include "cli/request_line.h"
#include "cli/tune_check.h"
#include "cli/tune_curve.h"
#include "cli/tune_explain.h"
#include "cli/tune_report.h"
#include "sim/search.h"

static lspo_status_t store_curve(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    lspo_tune_request_t *request = slot;
    (void)arg;
    /* Options are read twice, with the same texts. */
    for (uint32_t i = 0; i < request->curve_count; i++)
        if (request->curves[i] == text)
            return LSPO_OK;
    if (request->curve_count == LSPO_TUNE_CURVES_MOST)
        return lspo_error(LSPO_ERR_INPUT, "%s is given more than %d times", what, LSPO_TUNE_CURVES_MOST);
    request->curves[request->curve_count++] = text;
    return LSPO_OK;
}

enum { RESULTS = 5, TEXTS_MOST = 256 };

static const lspo_arg_t tune_args[] = {
    {.name = "model",
     .value = "NAME|FILE|FOLDER",
     .list = "models",
     .help = "model to train; help: list models",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_tune_request_t, base.model_name)},
    {.name = "machine",
     .value = "NAME|FILE|auto",
     .list = "machines",
     .help = "machine to predict; auto: this one, measured once; help: list machines",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_tune_request_t, base.machine_name)},
    {.name = "task",
     .value = "train|generate",
     .help = "settings of a training, or of writing new tokens (the policy's; train)",
     .store = lspo_arg_choice,
     .names = lspo_task_names,
     .offset_bytes = offsetof(lspo_tune_request_t, base.task)},
    {.name = "policy",
     .value = "NAME",
     .list = "policies",
     .help = "only this policy, and up to five of its best settings (all: the best settings of each of the five best "
             "policies)",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_tune_request_t, base.policy_name)},
    {.name = "objective",
     .value = "time|time-to-loss|memory|throughput",
     .help =
         "what is to be least: the time per step or new token, the time to a held-out loss, the peak of GPU memory, "
         "or of generation the time per token of so many texts as pay (time)",
     .store = lspo_arg_choice,
     .names = lspo_objective_names,
     .offset_bytes = offsetof(lspo_tune_request_t, objective)},
    {.name = "exact-only",
     .help = "only policies that train as native does bit for bit, or write what resident does",
     .store = lspo_arg_switch,
     .offset_bytes = offsetof(lspo_tune_request_t, exact_only)},
    {.name = "sequences",
     .value = "N",
     .help = "sequences of a step, divided into --accumulation times --batch (their product, else 4); for throughput "
             "at most (256)",
     .store = lspo_arg_u32,
     .low = 1,
     .high = 65535,
     .offset_bytes = offsetof(lspo_tune_request_t, sequences)},
    {.name = "loss",
     .value = "NATS",
     .help = "held-out loss to reach, for time-to-loss",
     .store = lspo_arg_quantity,
     .unit = LSPO_UNIT_NONE,
     .offset_bytes = offsetof(lspo_tune_request_t, loss)},
    {.name = "curve",
     .value = "FILE",
     .help = "metrics of a training of this model by lspo train, for time-to-loss; may be repeated",
     .store = store_curve},
    {.name = "exhaustive",
     .help = "simulate all settings that may fit, also those that a bound excludes; the answer is the same",
     .store = lspo_arg_switch,
     .offset_bytes = offsetof(lspo_tune_request_t, exhaustive)},
    {.name = "explain",
     .help = "also show the front of time against memory, and the best in numbers to check: bytes, FLOP, rates",
     .store = lspo_arg_switch,
     .offset_bytes = offsetof(lspo_tune_request_t, explain)},
    {.name = "configuration",
     .value = "FILE",
     .help = "write the best as a configuration of DeepSpeed, or lines for torchao, where one of them has its policy",
     .store = lspo_arg_output,
     .offset_bytes = offsetof(lspo_tune_request_t, configuration_path)},
    LSPO_FORMAT_ARG("result", offsetof(lspo_tune_request_t, base.format)),
};
static const lspo_arg_group_t tune_group = LSPO_ARG_GROUP("options", tune_args);

/* ---- what the user holds ---- */

/* A search: all that is asked, or the part with the numbers of one curve. */
typedef struct {
    lspo_tune_request_t *request;
    const lspo_tune_curve_t *curve; /* NULL: none */
    lspo_search_options_t options;
} part_t;

static lspo_status_t prepare(void *context, const lspo_policy_t *policy, lspo_workload_t *workload)
{
    const part_t *part = context;
    lspo_status_t status = lspo_request_own_values(&part->request->base, policy, workload);
    return status == LSPO_OK && part->curve != NULL ? lspo_tune_curve_apply(part->curve, policy, workload) : status;
}

static double steps(void *context, const lspo_policy_t *policy, const lspo_workload_t *workload)
{
    const part_t *part = context;
    (void)policy;
    (void)workload;
    return part->curve->steps;
}

static bool holds(void *context, const lspo_parameter_t *parameter)
{
    const lspo_tune_request_t *request = ((const part_t *)context)->request;
    bool given = false;
    for (uint32_t i = 0; i < request->base.given.count && !given; i++)
        given = request->base.given.flags[i].parameter == parameter;
    return given;
}

/* Does the policy have all that is given, and is it trained by the part's curve? */
static bool admits(void *context, const lspo_policy_t *policy)
{
    const part_t *part = context;
    const lspo_given_t *given = &part->request->base.given;
    bool has_all = true;
    for (uint32_t i = 0; i < given->count && has_all; i++)
        has_all = lspo_policy_use(policy, given->flags[i].parameter) != NULL;
    return has_all && (part->curve == NULL || lspo_tune_curve_stands_for(part->curve, policy));
}

static lspo_search_options_t options_of(lspo_tune_request_t *request, const lspo_machine_t *machine,
                                        const lspo_command_line_t *line)
{
    const lspo_workload_t *workload = &request->base.workload;
    lspo_search_options_t options = {.model = &request->base.model,
                                     .machine = machine,
                                     .workload = *workload,
                                     .policy = lspo_command_line_has(line, "policy") ? request->base.policy : NULL,
                                     .task = request->base.policy->task,
                                     .exact_only = request->exact_only,
                                     .sequences = request->sequences,
                                     .holds_batch = lspo_command_line_has(line, "batch"),
                                     .holds_accumulation = lspo_command_line_has(line, "accumulation"),
                                     .holds_checkpointing = lspo_command_line_has(line, "checkpointing"),
                                     .holds_swap = lspo_command_line_has(line, "swap-activations"),
                                     .holds_transfer = request->base.own_transfer,
                                     .holds_order = lspo_command_line_has(line, "order"),
                                     .objective = (lspo_objective_t)request->objective,
                                     .exhaustive = request->exhaustive,
                                     .most = RESULTS,
                                     .admits = admits,
                                     .prepare = prepare,
                                     .holds = holds,
                                     .steps = steps};
    const bool free_texts = options.objective == LSPO_OBJECTIVE_THROUGHPUT;
    if (options.sequences == 0 && free_texts && !(options.holds_batch && options.holds_accumulation))
        options.sequences = TEXTS_MOST;
    if (options.sequences == 0)
        options.sequences = workload->batch * workload->accumulation;
    if (!request->base.own_iterations)
        options.workload.iterations = 0;
    return options;
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

/* ---- the parts of a search ---- */

typedef struct {
    part_t parts[LSPO_TUNE_CURVES_MOST];
    lspo_tune_curve_t curves[LSPO_TUNE_CURVES_MOST];
    uint32_t count;
    lspo_search_t search;   /* the results of all parts */
    uint32_t part[RESULTS]; /* of each result */
} whole_t;

/* The training of a curve: its steps, its policy; in place of an exact one any other that is exact. */
static void follow(const lspo_tune_curve_t *curve, lspo_search_options_t *options)
{
    bool exact = curve->policy->semantics == LSPO_SEMANTICS_EXACT;
    options->sequences = curve->batch * curve->accumulation;
    options->exact_only |= exact;
    options->policy = exact ? options->policy : curve->policy;
    options->holds_transfer = true;
}

/* Is a training of this curve's policy asked for? */
static bool is_asked(const lspo_search_options_t *asked, const lspo_tune_curve_t *curve)
{
    bool exact = curve->policy->semantics == LSPO_SEMANTICS_EXACT;
    if (asked->policy == NULL)
        return exact || !asked->exact_only;
    if (!exact)
        return asked->policy == curve->policy;
    return asked->policy->semantics == LSPO_SEMANTICS_EXACT && lspo_tune_curve_stands_for(curve, asked->policy);
}

static lspo_status_t read_curves(lspo_tune_request_t *request, const lspo_search_options_t *asked, whole_t *whole)
{
    if (request->curve_count == 0 || request->loss <= 0)
        return lspo_error(LSPO_ERR_INPUT,
                          "--objective time-to-loss needs --loss NATS and --curve FILE: how many steps a "
                          "policy needs is taken from recorded trainings only");
    for (uint32_t i = 0; i < request->curve_count; i++) {
        lspo_tune_curve_t *curve = &whole->curves[whole->count];
        lspo_status_t status = lspo_tune_curve_read(request->curves[i], &request->base.model, request->loss, curve);
        if (status != LSPO_OK)
            return status;
        part_t *part = &whole->parts[whole->count++];
        *part = (part_t){request, curve, *asked};
        part->options.context = part;
        follow(curve, &part->options);
        if (isnan(curve->steps) || !is_asked(asked, curve)) {
            lspo_tune_curve_close(curve);
            whole->count--;
        }
    }
    if (whole->count == 0)
        return lspo_error(LSPO_ERR_INPUT, "no curve of a policy that is asked for reaches a held-out loss of %g",
                          request->loss);
    return LSPO_OK;
}

/* Insert the results of a part, the best first. */
static void merge(whole_t *whole, uint32_t part, const lspo_search_t *search)
{
    lspo_search_t *all = &whole->search;
    all->candidates += search->candidates;
    all->unfit += search->unfit;
    all->simulated += search->simulated;
    for (uint32_t i = 0; i < search->count; i++) {
        if (all->count == RESULTS && all->found[RESULTS - 1].objective <= search->found[i].objective)
            continue;
        uint32_t at = all->count < RESULTS ? all->count++ : RESULTS - 1;
        for (; at > 0 && search->found[i].objective < all->found[at - 1].objective; at--) {
            all->found[at] = all->found[at - 1];
            whole->part[at] = whole->part[at - 1];
        }
        all->found[at] = search->found[i];
        whole->part[at] = part;
    }
}

static lspo_status_t search_parts(whole_t *whole)
{
    lspo_progress_t progress;
    lspo_status_t status = LSPO_OK;
    whole->search.found = calloc(RESULTS, sizeof *whole->search.found);
    if (whole->search.found == NULL)
        return lspo_no_memory("%d results", RESULTS);
    lspo_progress_start(&progress);
    for (uint32_t i = 0; i < whole->count && status == LSPO_OK; i++) {
        lspo_search_t search = {0};
        lspo_search_options_t options = whole->parts[i].options;
        options.progress = lspo_progress_update;
        options.progress_context = &progress;
        status = lspo_search(&options, &search);
        if (status == LSPO_OK)
            merge(whole, i, &search);
        lspo_search_release(&search);
    }
    lspo_progress_end(&progress);
    return status;
}

/* ---- explaining ---- */

/* All of `found` behind those of `all`. */
static lspo_status_t append(const lspo_search_t *search, lspo_search_t *all)
{
    const size_t count = (size_t)all->count + search->count;
    lspo_found_t *found = realloc(all->found, (count + 1) * sizeof *found);
    if (found == NULL)
        return lspo_no_memory("%zu results", count);
    for (uint32_t i = 0; i < search->count; i++)
        found[all->count + i] = search->found[i];
    all->found = found;
    all->count = (uint32_t)count;
    all->candidates += search->candidates;
    all->unfit += search->unfit;
    all->simulated += search->simulated;
    return LSPO_OK;
}

/* The best behind it, which finer steps may have improved, by their time. */
static lspo_status_t append_best(const whole_t *whole, lspo_search_t *front)
{
    const uint32_t first = front->count;
    lspo_status_t status = append(&(lspo_search_t){.found = whole->search.found, .count = whole->search.count}, front);
    for (uint32_t i = first; i < front->count; i++)
        front->found[i].objective = front->found[i].steps * front->found[i].fit.iteration_s;
    return status;
}

/* The front of all parts and of the best. */
static lspo_status_t find_front(const whole_t *whole, lspo_search_t *front)
{
    lspo_progress_t progress;
    lspo_status_t status = LSPO_OK;
    lspo_progress_start(&progress);
    for (uint32_t i = 0; i < whole->count && status == LSPO_OK; i++) {
        lspo_search_t of_part = {0};
        lspo_search_options_t options = whole->parts[i].options;
        options.progress = lspo_progress_update;
        options.progress_context = &progress;
        status = lspo_search_front(&options, &of_part);
        if (status == LSPO_OK)
            status = append(&of_part, front);
        lspo_search_release(&of_part);
    }
    lspo_progress_end(&progress);
    if (status == LSPO_OK)
        status = append_best(whole, front);
    lspo_search_front_keep(front);
    return status;
}

/* ---- the command ---- */

static lspo_status_t write_configuration(const lspo_tune_row_t *row, const char *path)
{
    lspo_output_t output;
    if (row->configuration.framework == NULL)
        return lspo_error(LSPO_ERR_INPUT,
                          "--configuration %s: neither DeepSpeed nor torchao has what is best here, %s %s; hold a "
                          "--policy that `lspo help POLICY` says is elsewhere, and --native-layers and "
                          "--swap-activations 0",
                          path, row->found->policy->name, row->settings);
    lspo_status_t status = lspo_output_open(path, &output);
    if (status != LSPO_OK)
        return status;
    fputs(row->configuration.text, output.file);
    return lspo_output_finish(&output, LSPO_OK);
}

static lspo_status_t answer(const lspo_tune_request_t *request, const whole_t *whole, lspo_tune_report_t *report)
{
    const lspo_search_t *search = &whole->search;
    lspo_tune_row_t rows[RESULTS];
    lspo_progress_t progress;
    lspo_status_t status = LSPO_OK;
    lspo_progress_start(&progress);
    for (uint32_t i = 0; i < search->count && status == LSPO_OK; i++) {
        const lspo_search_options_t *options = &whole->parts[whole->part[i]].options;
        lspo_progress_update(&progress, "what more would buy", i, search->count);
        status = lspo_tune_row(report, &search->found[i], &rows[i]);
        if (status == LSPO_OK && i > 0 && report->one_policy)
            memcpy(rows[i].gains, rows[0].gains, sizeof rows[i].gains);
        else if (status == LSPO_OK)
            status = find_gains(options, &search->found[i], rows[i].gains);
    }
    lspo_progress_end(&progress);
    if (status == LSPO_OK && request->configuration_path != NULL)
        status = write_configuration(&rows[0], request->configuration_path);
    if (status != LSPO_OK)
        return status;
    return lspo_tune_report_write(report, rows, search->count, lspo_format_resolve(request->base.format));
}

static lspo_status_t explain_and_answer(const lspo_tune_request_t *request, const whole_t *whole,
                                        lspo_tune_report_t *report)
{
    lspo_tune_explain_t explain = {0};
    lspo_status_t status = LSPO_OK;
    if (!request->explain)
        return answer(request, whole, report);
    status = find_front(whole, &explain.front);
    if (status == LSPO_OK)
        status = lspo_tune_explain_arithmetic(report, &whole->search.found[0], &explain);
    report->goes_on = true;
    if (status == LSPO_OK)
        status = answer(request, whole, report);
    if (status == LSPO_OK)
        status = lspo_tune_explain_write(report, &explain, lspo_format_resolve(request->base.format));
    lspo_search_release(&explain.front);
    return status;
}

static lspo_status_t usual(void *context, const lspo_policy_t *policy, lspo_workload_t *workload)
{
    const lspo_tune_request_t *request = context;
    return lspo_request_own_values(&request->base, policy, workload);
}

static lspo_status_t search_and_answer(lspo_tune_request_t *request, const lspo_machine_t *machine,
                                       const lspo_command_line_t *line, whole_t *whole)
{
    lspo_search_options_t asked = options_of(request, machine, line);
    lspo_status_t status = lspo_tune_check_asked(request, &asked);
    if (status != LSPO_OK)
        return status;
    if (asked.objective == LSPO_OBJECTIVE_TIME_TO_LOSS) {
        status = read_curves(request, &asked, whole);
    } else {
        whole->parts[0] = (part_t){request, NULL, asked};
        whole->parts[0].options.context = &whole->parts[0];
        whole->count = 1;
    }
    if (status == LSPO_OK)
        status = search_parts(whole);
    if (status == LSPO_OK && whole->search.count == 0)
        status = lspo_tune_refuse(request, machine, &whole->search);
    lspo_tune_report_t report = {.model = &request->base.model,
                                 .machine = machine,
                                 .workload = &request->base.workload,
                                 .usual = usual,
                                 .context = request,
                                 .search = &whole->search,
                                 .line = line,
                                 .objective = asked.objective,
                                 .objective_name = lspo_objective_names[request->objective],
                                 .one_policy = asked.policy != NULL && whole->count == 1};
    return status == LSPO_OK ? explain_and_answer(request, whole, &report) : status;
}

static lspo_status_t find(lspo_tune_request_t *request, int argc, char **argv)
{
    lspo_command_line_t line = {argc, argv, &tune_group, NULL};
    lspo_machine_t machine;
    lspo_status_t status = lspo_tune_check_budgets(&request->base);
    if (status == LSPO_OK)
        status = lspo_request_machine(&request->base, &machine);
    if (status != LSPO_OK)
        return status;
    whole_t *whole = calloc(1, sizeof *whole);
    if (whole == NULL)
        return lspo_no_memory("a search");
    line.device = lspo_command_line_device(&machine);
    status = search_and_answer(request, &machine, &line, whole);
    for (uint32_t i = 0; i < whole->count; i++)
        lspo_tune_curve_close(&whole->curves[i]);
    lspo_search_release(&whole->search);
    free(whole);
    return status;
}

/* Here --machine has no default. */
static lspo_status_t tune(int argc, char **argv)
{
    lspo_tune_request_t request = {.base = {.policy_name = lspo_every_policy,
                                            .any_task = true,
                                            .task = -1,
                                            .every_policy = true,
                                            .format = LSPO_FORMAT_AUTO}};
    const lspo_command_t *self = &lspo_command_tune;
    lspo_status_t status = lspo_request_parse(self, argc, argv, LSPO_PRECISION_COUNT, &request.base);
    if (status != LSPO_OK)
        return status;
    if (request.base.machine_name == NULL)
        return lspo_error(LSPO_ERR_INPUT, "--machine NAME|FILE is required; usage: lspo %s %s", self->name,
                          self->usage);
    return find(&request, argc, argv);
}

const lspo_command_t lspo_command_tune = {
    .name = "tune",
    .summary = "find the best settings for a model on a machine",
    .predicts = true,
    .usage = "--model NAME|FILE --machine NAME|FILE [options]",
    .about = "Find the settings with which a model trains, or writes, fastest on a machine, or in the least GPU "
             "memory: policy, "
             "batch and accumulation, checkpointing, transfer precision, what stays on the GPU or is swapped, buffers, "
             "transition and order. The best five that fit GPU and host memory are printed with the command of each, "
             "the distance to the lower bound of any schedule, what limits it, and what twice the link, CPU or memory "
             "would buy.",
    .examples = "lspo tune --model llama-7b --machine paper-workstation --sequences 16\n"
                "lspo tune --model gpt2-774m --machine paper-laptop --exact-only\n"
                "lspo tune --model gpt2-1.3b --machine rtx3060 --policy zero --objective memory\n"
                "lspo tune --model gpt2-774m --machine paper-laptop --host-memory 16GiB --format json\n"
                "lspo tune --task generate --model llama-7b --machine rtx3060 --objective throughput",
    .common = "model machine task policy objective exact-only sequences explain gpu-memory host-memory",
    .details =
        "Any option that is given is held at its value, and policies without it are left out; the others are tried. "
        "The sequences of a step are the same in all settings, so that a step trains the same: --batch and "
        "--accumulation divide them. Settings that make "
        "training less exact than a policy's default are not tried. Those that make it better (--subspace, --nnz, "
        "--rank) are doubled as long as that costs at most 1 % of the time.\n\n"
        "Settings are simulated in the order of a bound, the busy time of the busiest lane or the static memory, and "
        "those whose bound is above what has been found are left out: the answer is that of --exhaustive.\n\n"
        "--objective time-to-loss takes the number of steps from recorded trainings: each --curve is a file that `lspo "
        "train --metrics` wrote for this model, beside its record. What decides the numbers is the curve's: sequences, "
        "and for a policy that is not exact, the policy and its parameters. A curve of an exact policy stands for all "
        "exact ones, but not for those without one of its parameters that decides the numbers and is not at its "
        "default, such as --adam-basis eigen. Weights in another precision are taken to need as many steps.\n\n"
        "With --task generate a step is a new token of each of the texts, and what is tried is where weights and "
        "caches "
        "are, how they come, which share of a cache is rebuilt, how experts and chunks are kept. Weights in fewer bits "
        "are policies of their own (marlin, qmoe), which --exact-only leaves out. --objective throughput takes 1, 2, 4 "
        "... texts, up to --sequences, in up to 8 micro-batches, or as many as --accumulation holds; of more than 8, "
        "no --order is looked for.\n\n"
        "Shares and numbers of blocks are tried in eighths, cached experts in quarters; the best are then improved in "
        "finer steps, down to a block.\n\n"
        "--explain adds, of the settings in eighths and quarters and of the best, those that no other one beats in "
        "both time and GPU memory, the fastest first; and of the best what a step moves and computes, with the rates "
        "that divide it. In CSV these are two more tables behind an empty line each, in JSON the keys `front` and "
        "`arithmetic` beside `results`.\n\n"
        "Where DeepSpeed or torchao has what is best, its configuration is printed, too (`lspo help POLICY`: "
        "elsewhere); "
        "--configuration writes it to a file.\n\n"
        "--machine auto is this machine; without a profile in $XDG_CACHE_HOME/lspo or ~/.cache/lspo it is measured "
        "first, for half a minute.\n\n"
        "--gpu-memory and --host-memory are budgets: at most what the machine has. Exit status 4: nothing fits.",
    .groups = (const lspo_arg_group_t *const[]){&tune_group, &lspo_workload_group, &lspo_policy_group,
                                                &lspo_framework_group, &lspo_override_group, NULL},
    .run = tune,
};
