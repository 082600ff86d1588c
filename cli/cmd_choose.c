/* cmd_choose.c - `lspo choose`: every policy for one model on one machine, and the commands of the best. */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask/args.h"
#include "ask/request.h"
#include "base/table.h"
#include "base/wrap.h"
#include "cli/columns.h"
#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/machine_named.h"
#include "cli/progress.h"
#include "cli/request_line.h"
#include "cli/sim_report.h"
#include "sim/choose.h"
#include "sim/fit.h"
#include "sim/report.h"
#include "sim/savers.h"
#include "sim/tune.h"

typedef struct {
    lspo_request_t base; /* first, see ask/request.h */
    bool exact_only, largest_batch;
} choose_request_t;

static lspo_status_t store_batch(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    (void)arg;
    choose_request_t *request = slot;
    request->largest_batch = strcmp(text, "largest") == 0;
    if (request->largest_batch)
        return LSPO_OK;
    return lspo_request_store_batch(&request->base, what, text, &request->base.workload.batch);
}

static const lspo_arg_t choose_args[] = {
    {.name = "model",
     .value = "NAME|FILE|FOLDER",
     .list = "models",
     .help = "model to train; help: list models",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(choose_request_t, base.model_name)},
    {.name = "machine",
     .value = "NAME|FILE|auto",
     .list = "machines",
     .help = "machine to predict; auto: this one, measured once; help: list machines",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(choose_request_t, base.machine_name)},
    {.name = "task",
     .value = "train|generate",
     .help = "compare the policies of trainings, or those that write new tokens (train)",
     .store = lspo_arg_choice,
     .names = lspo_task_names,
     .offset_bytes = offsetof(choose_request_t, base.task)},
    {.name = "exact-only",
     .help = "only policies that train as native does bit for bit, or write what resident does",
     .store = lspo_arg_switch,
     .offset_bytes = offsetof(choose_request_t, exact_only)},
    {.name = "batch",
     .value = "N|largest",
     .help = "sequences per micro-batch (4); largest: for each policy the largest that fits",
     .store = store_batch,
     .low = 1,
     .high = UINT32_MAX},
    LSPO_FORMAT_ARG("result", offsetof(choose_request_t, base.format)),
};

static const lspo_arg_group_t choose_group = LSPO_ARG_GROUP("options", choose_args);

/* ---- rows ---- */

typedef struct {
    const char *policy, *semantics, *limited_by, *best, *model, *machine, *framework, *command, *verdict, *step,
        *expect_basis, *refusal;
    char command_text[LSPO_COMMAND_LINE_BYTES], verdict_text[96], step_text[64];
    uint64_t staleness_steps, batch, largest_batch, sequence, iterations, peak_gpu_bytes, peak_host_bytes;
    uint64_t peak_gpu_bound_bytes, peak_host_bound_bytes, gpu_excess_bytes, host_excess_bytes, whole_tokens_per_s;
    double iteration_s, expect_low_s, expect_high_s, time_to_first_token_s, tokens_per_s, slowdown, lower_bound_s;
    int fits;
} choose_record_t;

#define FIELD(name, field, kind, unit)                                                                                 \
    {                                                                                                                  \
        name, kind, unit, offsetof(choose_record_t, field)                                                             \
    }
#define TEXT(name, field) FIELD(name, field, LSPO_FIELD_TEXT, LSPO_UNIT_NONE)
#define COUNT(name, field) FIELD(name, field, LSPO_FIELD_INTEGER, LSPO_UNIT_NONE)
#define BYTES(name, field) FIELD(name, field, LSPO_FIELD_INTEGER, LSPO_UNIT_BYTES)
#define REAL(name, field, unit) FIELD(name, field, LSPO_FIELD_REAL, unit)

static const lspo_field_t choose_fields[] = {
    TEXT("policy", policy),
    TEXT("semantics", semantics),
    COUNT("staleness_steps", staleness_steps),
    TEXT("model", model),
    TEXT("machine", machine),
    TEXT("framework", framework),
    COUNT("batch", batch),
    COUNT("sequence", sequence),
    COUNT("iterations", iterations),
    COUNT("largest_batch", largest_batch),
    FIELD("fits", fits, LSPO_FIELD_YES_NO, LSPO_UNIT_NONE),
    TEXT("refusal", refusal),
    REAL("tokens_per_s", tokens_per_s, LSPO_UNIT_NONE),
    REAL("iteration_s", iteration_s, LSPO_UNIT_SECONDS),
    REAL("expect_low_s", expect_low_s, LSPO_UNIT_SECONDS),
    REAL("expect_high_s", expect_high_s, LSPO_UNIT_SECONDS),
    TEXT("expect_basis", expect_basis),
    REAL("time_to_first_token_s", time_to_first_token_s, LSPO_UNIT_SECONDS),
    REAL("slowdown", slowdown, LSPO_UNIT_NONE),
    REAL("lower_bound_s", lower_bound_s, LSPO_UNIT_SECONDS),
    TEXT("limited_by", limited_by),
    BYTES("peak_gpu_bytes", peak_gpu_bytes),
    BYTES("peak_host_bytes", peak_host_bytes),
    BYTES("peak_gpu_bound_bytes", peak_gpu_bound_bytes),
    BYTES("peak_host_bound_bytes", peak_host_bound_bytes),
    BYTES("gpu_excess_bytes", gpu_excess_bytes),
    BYTES("host_excess_bytes", host_excess_bytes),
    TEXT("best", best),
    TEXT("command", command),
};

/* For people: the columns that fit into a line. */
static const lspo_column_t people_columns[] = {
    {LSPO_EVERY_TASK, TEXT("policy", policy)},
    {LSPO_EVERY_TASK, TEXT("semantics", semantics)},
    {LSPO_EVERY_TASK, COUNT("batch", batch)},
    {LSPO_EVERY_TASK, COUNT("largest", largest_batch)},
    {LSPO_EVERY_TASK, COUNT("tokens/s", whole_tokens_per_s)},
    {LSPO_TASK_TRAIN, TEXT("step (expected)", step)},
    {LSPO_TASK_GENERATE, REAL("first token", time_to_first_token_s, LSPO_UNIT_SECONDS)},
    {LSPO_TASK_GENERATE, REAL("per token", iteration_s, LSPO_UNIT_SECONDS)},
    {LSPO_EVERY_TASK, BYTES("GPU", peak_gpu_bytes)},
    {LSPO_EVERY_TASK, BYTES("host", peak_host_bytes)},
    {LSPO_EVERY_TASK, TEXT("limited by", limited_by)},
    {LSPO_EVERY_TASK, TEXT("fits", verdict)},
};

static const char *const class_names[LSPO_CLASS_COUNT] = {"exact", "compressed", "other"};

/* "yes", or which memory is insufficient and by how much; "yes, barely" if it may not fit when lanes run early or
 * late. */
static void describe_verdict(const lspo_choice_t *choice, const lspo_machine_t *machine, char *text, size_t text_bytes)
{
    const lspo_prediction_t *prediction = &choice->prediction;
    char gpu[32], host[32];
    lspo_format_quantity((double)choice->gpu_excess_bytes, LSPO_UNIT_BYTES, gpu, sizeof gpu);
    lspo_format_quantity((double)choice->host_excess_bytes, LSPO_UNIT_BYTES, host, sizeof host);
    if (prediction->fits)
        snprintf(text, text_bytes,
                 lspo_fits(machine, prediction->peak_gpu_bound_bytes, prediction->peak_host_bound_bytes)
                     ? "yes"
                     : "yes, barely");
    else if (choice->gpu_excess_bytes == 0)
        snprintf(text, text_bytes, "no: host %s short", host);
    else if (choice->host_excess_bytes == 0)
        snprintf(text, text_bytes, "no: GPU %s short", gpu);
    else
        snprintf(text, text_bytes, "no: GPU %s, host %s short", gpu, host);
}

static void fill_prediction(const lspo_choice_t *choice, const lspo_machine_t *machine, choose_record_t *record)
{
    const lspo_prediction_t *prediction = &choice->prediction;
    if (choice->largest_batch > 0)
        record->largest_batch = choice->largest_batch;
    record->fits = prediction->fits;
    record->tokens_per_s = prediction->tokens_per_s;
    record->whole_tokens_per_s = (uint64_t)(prediction->tokens_per_s + 0.5);
    record->iteration_s = prediction->summary.iteration_s;
    record->slowdown = prediction->slowdown;
    record->lower_bound_s = prediction->lower_bound_s;
    record->limited_by = lspo_report_lane_title(prediction->bound_lane);
    record->peak_gpu_bytes = prediction->peak_gpu_bytes;
    record->peak_host_bytes = prediction->peak_host_bytes;
    record->peak_gpu_bound_bytes = prediction->peak_gpu_bound_bytes;
    record->peak_host_bound_bytes = prediction->peak_host_bound_bytes;
    record->gpu_excess_bytes = choice->gpu_excess_bytes;
    record->host_excess_bytes = choice->host_excess_bytes;
    record->verdict = record->verdict_text;
    describe_verdict(choice, machine, record->verdict_text, sizeof record->verdict_text);
    if (choice->policy->task == LSPO_TASK_GENERATE) {
        record->time_to_first_token_s = prediction->summary.first_s;
        return;
    }
    record->expect_low_s = prediction->summary.iteration_s * choice->expect.low;
    record->expect_high_s = prediction->summary.iteration_s * choice->expect.high;
    record->expect_basis = lspo_expect_basis_names[choice->expect.basis];
    record->step = record->step_text;
    lspo_format_step(record->iteration_s, &choice->expect, sizeof record->step_text, record->step_text);
}

static lspo_status_t fill_record(const lspo_choice_t *choice, const lspo_machine_t *machine, const lspo_model_t *model,
                                 const lspo_command_line_t *line, choose_record_t *record)
{
    for (size_t i = 0; i < sizeof choose_fields / sizeof choose_fields[0]; i++)
        lspo_field_clear(&choose_fields[i], record);
    record->policy = choice->policy->name;
    record->semantics = lspo_semantics_name(choice->policy->semantics);
    record->staleness_steps = lspo_policy_staleness(choice->policy, &choice->workload);
    record->model = model->name;
    record->machine = machine->name;
    record->framework = lspo_machine_framework(machine);
    record->batch = choice->workload.batch;
    record->sequence = choice->workload.sequence;
    if (choice->workload.iterations > 0)
        record->iterations = choice->workload.iterations;
    record->whole_tokens_per_s = LSPO_MISSING;
    if (choice->refusal[0] != '\0') {
        record->refusal = choice->refusal;
        record->verdict = "refused, see below";
        return LSPO_OK;
    }
    fill_prediction(choice, machine, record);
    record->command = record->command_text;
    return lspo_command_line_write(line, "sim", choice->policy, choice->workload.batch, record->command_text,
                                   sizeof record->command_text);
}

/* ---- sentences and commands, for people ---- */

typedef struct {
    const choose_request_t *request;
    const lspo_machine_t *machine;
    const lspo_choice_t *choices;
    uint32_t count;
    lspo_command_line_t line;
    const lspo_choose_options_t *options;
} answer_t;

/* The policies within a tenth of the fastest. */
static void print_near(FILE *file, const answer_t *answer)
{
    uint32_t near = 1;
    while (near < answer->count && answer->choices[near].prediction.fits &&
           answer->choices[near].prediction.tokens_per_s >= 0.9 * answer->choices[0].prediction.tokens_per_s)
        near++;
    for (uint32_t i = 1; i < near; i++)
        fprintf(file, "%s%s", i == 1 ? "; within 10 % of it: " : ", ", answer->choices[i].policy->name);
}

static void print_headline(FILE *file, const void *context)
{
    const answer_t *answer = context;
    const lspo_choice_t *first = &answer->choices[0];
    const lspo_model_t *model = &answer->request->base.model;
    const char *kind = answer->request->exact_only ? "exact policies" : "policies";
    char tokens[32], excess[32];
    uint32_t fitting = 0;
    bool at_other_batch = false;
    for (uint32_t i = 0; i < answer->count; i++) {
        fitting += answer->choices[i].prediction.fits;
        at_other_batch |= answer->choices[i].largest_batch > 0;
    }
    if (fitting > 0) {
        lspo_format_count(first->prediction.tokens_per_s, tokens, sizeof tokens);
        fprintf(file, "%u of %u %s fit %s on %s.  Fastest is %s with %s tokens/s", fitting, answer->count, kind,
                model->name, answer->machine->name, first->policy->name, tokens);
        print_near(file, answer);
        fputs(".\n", file);
        return;
    }
    lspo_format_quantity((double)(first->gpu_excess_bytes + first->host_excess_bytes), LSPO_UNIT_BYTES, excess,
                         sizeof excess);
    fprintf(file, "None of %u %s fits %s on %s with %s; with this batch %s is nearest, %s short.\n", answer->count,
            kind, model->name, answer->machine->name,
            at_other_batch ? "this batch, though some do with a smaller one" : "any batch", first->policy->name,
            excess);
}

/* What the machine's profile has decided, for a command that does not name the machine. */
static lspo_status_t write_products(const answer_t *answer, const lspo_choice_t *choice, size_t text_bytes, char *text)
{
    lspo_workload_t asked = answer->options->workload;
    lspo_status_t status = lspo_choose_prepare(answer->options, choice->policy, &asked);
    if (status == LSPO_OK)
        lspo_tune_write_products(choice->policy, &asked, &choice->workload, text_bytes, text);
    return status;
}

static lspo_status_t print_command(const answer_t *answer, const char *label, const char *command,
                                   const lspo_choice_t *choice, uint32_t batch)
{
    char text[LSPO_COMMAND_LINE_BYTES];
    lspo_status_t status = lspo_command_line_write(&answer->line, command, choice->policy, batch, text, sizeof text);
    if (status == LSPO_OK && strcmp(command, "run") == 0)
        status = write_products(answer, choice, sizeof text, text);
    if (status != LSPO_OK)
        return status;
    printf("%-32s %s\n", label, text);
    return LSPO_OK;
}

/* Where nothing fits: a command per option that keeps something in fewer bits and makes a policy fit. */
static lspo_status_t print_savers(const answer_t *answer)
{
    char text[LSPO_COMMAND_LINE_BYTES], label[64];
    const lspo_saver_t *saver;
    for (uint32_t i = 0; (saver = lspo_saver_at(i)) != NULL; i++) {
        lspo_choice_t choice;
        lspo_status_t status = lspo_choose_with_saver(answer->options, saver, &choice);
        if (status != LSPO_OK)
            return status;
        if (choice.policy == NULL)
            continue;
        status = lspo_command_line_write(&answer->line, "sim", choice.policy, choice.workload.batch, text, sizeof text);
        if (status != LSPO_OK)
            return status;
        snprintf(label, sizeof label, "with %s:", saver->what);
        printf("%-32s %s --%s %s\n", label, text, saver->parameter->key, saver->parameter->names[saver->value]);
    }
    return LSPO_OK;
}

/* Runs of generation are on the host. */
static lspo_status_t print_measure(const answer_t *answer, const lspo_choice_t *choice)
{
    const char *place = lspo_command_line_place(answer->machine, &choice->workload);
    char label[64];
    if (choice->policy->task == LSPO_TASK_GENERATE && !lspo_machine_is_host(answer->machine))
        return LSPO_OK;
    if (place == NULL) {
        lspo_command_line_say_fp32(stdout);
        return LSPO_OK;
    }
    snprintf(label, sizeof label, "measure the fastest %s:", place);
    return print_command(answer, label, "run", choice, choice->workload.batch);
}

/* Those that refuse are the last. */
static void print_refusals(const answer_t *answer)
{
    uint32_t first = answer->count;
    while (first > 0 && answer->choices[first - 1].refusal[0] != '\0')
        first--;
    for (uint32_t i = first; i < answer->count; i++)
        printf("%s%s refuses: %s\n", i == first ? "\n" : "", answer->choices[i].policy->name,
               answer->choices[i].refusal);
}

/* One command per class, and one to measure the fastest of all. */
static lspo_status_t print_commands(const answer_t *answer)
{
    lspo_status_t status = LSPO_OK;
    puts("");
    for (int class = 0; class < LSPO_CLASS_COUNT; class ++) {
        const lspo_choice_t *best = lspo_choice_best(answer->choices, answer->count, (lspo_choice_class_t) class);
        char label[64];
        if (!best)
            continue;
        bool fits = best->prediction.fits, fits_smaller = !fits && best->largest_batch > 0;
        snprintf(label, sizeof label,
                 fits           ? "fastest %s:"
                 : fits_smaller ? "%s, smaller batch:"
                                : "%s, nearest to fit:",
                 class_names[class]);
        status = print_command(answer, label, "sim", best, fits_smaller ? best->largest_batch : best->workload.batch);
        if (status != LSPO_OK)
            return status;
    }
    if (!answer->choices[0].prediction.fits)
        return print_savers(answer);
    return print_measure(answer, &answer->choices[0]);
}

/* ---- the command ---- */

static lspo_status_t write_choices(const answer_t *answer)
{
    lspo_format_t format = lspo_format_resolve(answer->request->base.format);
    bool for_people = format == LSPO_FORMAT_TABLE;
    choose_record_t *records = calloc(answer->count, sizeof *records);
    lspo_status_t status = records ? LSPO_OK : lspo_no_memory("%u rows", answer->count);
    if (status != LSPO_OK)
        goto cleanup;
    for (uint32_t i = 0; i < answer->count; i++) {
        const lspo_choice_t *choice = &answer->choices[i];
        lspo_choice_class_t class = lspo_choice_class(choice->policy);
        status = fill_record(choice, answer->machine, &answer->request->base.model, &answer->line, &records[i]);
        if (lspo_choice_best(answer->choices, answer->count, class) == choice)
            records[i].best = class_names[class];
        if (status != LSPO_OK)
            goto cleanup;
    }
    lspo_field_t columns[LSPO_COLUMNS_MOST];
    const size_t column_count = lspo_columns_of(people_columns, sizeof people_columns / sizeof people_columns[0],
                                                answer->options->task, columns);
    lspo_table_t table = {.fields = for_people ? columns : choose_fields,
                          .field_count = for_people ? column_count : sizeof choose_fields / sizeof choose_fields[0],
                          .records = records,
                          .record_bytes = sizeof *records,
                          .record_count = answer->count};
    if (for_people) {
        lspo_wrap_print(stdout, print_headline, answer);
        puts("");
    }
    status = lspo_table_write(&table, format, stdout);
    if (status != LSPO_OK)
        goto cleanup;
    if (for_people) {
        print_refusals(answer);
        status = print_commands(answer);
    }
cleanup:
    free(records);
    return status;
}

static lspo_status_t prepare(void *request, const lspo_policy_t *policy, lspo_workload_t *workload)
{
    return lspo_request_own_values(request, policy, workload);
}

static bool is_compared(const void *options, const lspo_policy_t *policy)
{
    return lspo_choose_wants(options, policy);
}

/* An option that no policy here has would decide nothing. */
static lspo_status_t check_given(const lspo_choose_options_t *options, const lspo_given_t *given)
{
    char whose[96];
    snprintf(whose, sizeof whose, "the %spolicies of --task %s, which are compared",
             options->exact_only ? "exact " : "", lspo_task_names[options->task]);
    return lspo_given_check_some(given, is_compared, options, whose);
}

static lspo_status_t simulate_all(choose_request_t *request, int argc, char **argv)
{
    lspo_request_t *base = &request->base;
    lspo_machine_t machine;
    lspo_progress_t progress;
    lspo_choice_t *choices;
    answer_t answer = {.request = request, .machine = &machine, .line = {argc, argv, &choose_group, NULL}};
    lspo_status_t status = lspo_request_machine(base, &machine);
    if (status != LSPO_OK)
        return status;
    answer.line.device = lspo_command_line_device(&machine);
    lspo_choose_options_t options = {.model = &base->model,
                                     .machine = &machine,
                                     .workload = base->workload,
                                     .prepare = prepare,
                                     .prepare_context = base,
                                     .task = base->task,
                                     .exact_only = request->exact_only,
                                     .largest_batch = request->largest_batch,
                                     .progress = lspo_progress_update,
                                     .progress_context = &progress};
    if (!base->own_iterations)
        options.workload.iterations = 0;
    status = check_given(&options, &base->given);
    if (status != LSPO_OK)
        return status;
    lspo_progress_start(&progress);
    status = lspo_choose(&options, &choices, &answer.count);
    lspo_progress_end(&progress);
    if (status != LSPO_OK)
        return status;
    answer.choices = choices;
    answer.options = &options;
    status = write_choices(&answer);
    free(choices);
    return status;
}

/* Here --machine has no default. */
static lspo_status_t choose(int argc, char **argv)
{
    choose_request_t request = {.base = {.policy_name = lspo_every_policy,
                                         .any_task = true,
                                         .task = LSPO_TASK_TRAIN,
                                         .every_policy = true,
                                         .format = LSPO_FORMAT_AUTO}};
    const lspo_command_t *self = &lspo_command_choose;
    lspo_status_t status = lspo_request_parse(self, argc, argv, LSPO_PRECISION_COUNT, &request.base);
    if (status != LSPO_OK)
        return status;
    if (request.base.machine_name == NULL)
        status =
            lspo_error(LSPO_ERR_INPUT, "--machine NAME|FILE is required; usage: lspo %s %s", self->name, self->usage);
    if (status != LSPO_OK)
        return status;
    return simulate_all(&request, argc, argv);
}

/* --batch, which can be "largest" here, has priority over that of the workload. */
const lspo_command_t lspo_command_choose = {
    .name = "choose",
    .summary = "simulate every policy: what fits, how fast, and which is best",
    .predicts = true,
    .usage = "--model NAME --machine NAME [options]",
    .about = "Simulate every policy: whether it fits, its largest batch, and its speed. Policies that fit come first, "
             "the fastest at the top; then come those that do not fit, the nearest to fitting first. Each row is the "
             "result of `lspo sim` for that policy.",
    .examples = "lspo choose --model llama-7b --machine rtx4090\n"
                "lspo choose --model llama-3b --machine rtx3060 --host-memory 32GiB --exact-only --batch largest\n"
                "lspo choose --task generate --model llama-7b --machine rtx3060 --sequence 512 --iterations 128\n"
                "lspo choose --model gpt2-1.3b --machine paper-laptop --format json",
    .common = "model machine exact-only batch sequence gpu-memory host-memory link",
    .details = "The last lines are commands for the next step: the fastest exact policy, the fastest compressed one, "
               "the fastest of the others (stale, or another optimizer), or the one that is nearest to fitting. Where "
               "no policy fits, they also name the options that keep Adam's state or frozen weights in fewer bits and "
               "make one fit. `yes, "
               "barely` means that the plan may not fit when ops run up to a tenth of an iteration early or late. "
               "A policy that refuses the model or an option is at the end, with its reason below. With `--task "
               "generate` the policies write new tokens: `--batch` texts with prompts of `--sequence` tokens. "
               "In brackets behind a step is the band in which a measured one is expected; `lspo sim` says what it "
               "rests on. `lspo help terms` explains the words.",
    .groups = (const lspo_arg_group_t *const[]){&choose_group, &lspo_workload_group, &lspo_policy_group,
                                                &lspo_framework_group, &lspo_override_group, NULL},
    .run = choose,
};
