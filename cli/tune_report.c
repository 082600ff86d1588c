/* tune_report.c - the answer of `lspo tune`; see tune_report.h. */
#include "cli/tune_report.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/wrap.h"
#include "cli/columns.h"
#include "cli/sim_report.h"
#include "sim/report.h"
#include "sim/search_axes.h"
#include "sim/tune.h"

void lspo_tune_double(lspo_machine_t *machine, lspo_tune_part_t part)
{
    switch (part) {
    case LSPO_TUNE_LINK:
        machine->link.d2h_Bps *= 2;
        machine->link.h2d_Bps *= 2;
        break;
    case LSPO_TUNE_CPU:
        machine->cpu.adam_pps *= 2;
        machine->cpu.adam_cached_pps *= 2;
        machine->cpu.compute_flops *= 2;
        for (size_t i = 0; i < sizeof machine->cpu.adam_narrow / sizeof machine->cpu.adam_narrow[0]; i++) {
            machine->cpu.adam_narrow[i].memory_pps *= 2;
            machine->cpu.adam_narrow[i].cached_pps *= 2;
        }
        break;
    case LSPO_TUNE_GPU_MEMORY:
        machine->gpu.memory_bytes *= 2;
        break;
    case LSPO_TUNE_HOST_MEMORY:
        machine->cpu.memory_bytes *= 2;
        break;
    case LSPO_TUNE_PARTS:
        break;
    }
}

/* ---- rows ---- */

/* A value is one word for a shell: "62.5GiB", not "62.5 GiB". */
static void add_flag(const char *name, const char *value, char text[LSPO_TUNE_SETTINGS_BYTES])
{
    size_t used = strlen(text), length = 0;
    char word[64];
    for (; *value != '\0' && length + 1 < sizeof word; value++)
        if (*value != ' ')
            word[length++] = *value;
    word[length] = '\0';
    snprintf(text + used, LSPO_TUNE_SETTINGS_BYTES - used, "%s--%s %s", used > 0 ? " " : "", name, word);
}

lspo_status_t lspo_tune_settings(const lspo_tune_report_t *report, const lspo_found_t *found,
                                 char text[LSPO_TUNE_SETTINGS_BYTES])
{
    const lspo_policy_t *policy = found->policy;
    const lspo_workload_t *workload = &found->workload;
    lspo_workload_t usual = *report->workload;
    char value[64], usual_value[64];
    lspo_status_t status = report->usual(report->context, policy, &usual);
    text[0] = '\0';
    if (status != LSPO_OK)
        return status;
    for (size_t i = 0; i < lspo_workload_field_count; i++) {
        const lspo_record_field_t *field = &lspo_workload_fields[i];
        lspo_record_format(field, workload, value, sizeof value);
        lspo_record_format(field, &usual, usual_value, sizeof usual_value);
        if (strcmp(value, usual_value) != 0 && strcmp(field->name, "batch") != 0 &&
            strcmp(field->name, "iterations") != 0)
            add_flag(field->name, value, text);
    }
    for (size_t i = 0; policy->parameters != NULL && i < policy->parameters->count; i++) {
        const lspo_parameter_t *parameter = policy->parameters->uses[i].parameter;
        lspo_parameter_format(parameter, lspo_policy_value(policy, workload, parameter), value, sizeof value);
        lspo_parameter_format(parameter, lspo_policy_value(policy, &usual, parameter), usual_value, sizeof usual_value);
        if (strcmp(value, usual_value) != 0)
            add_flag(parameter->key, value, text);
    }
    return LSPO_OK;
}

lspo_status_t lspo_tune_row(const lspo_tune_report_t *report, const lspo_found_t *found, lspo_tune_row_t *row_out)
{
    lspo_tune_row_t row = {.found = found};
    lspo_plan_t *plan = NULL;
    lspo_status_t status = lspo_tune_transition(report->model, &found->workload, found->policy, report->machine, &plan);
    if (status != LSPO_OK)
        return status;
    status = lspo_simulate(plan, report->machine, &row.prediction, NULL);
    if (status != LSPO_OK)
        goto destroy;
    free(row.prediction.summary.samples_s);
    free(row.prediction.summary.lane_busy_s);
    row.prediction.summary.samples_s = row.prediction.summary.lane_busy_s = NULL;
    status = lspo_simulate_bound(plan, report->machine, &row.prediction);
    if (status == LSPO_OK && found->policy->task == LSPO_TASK_TRAIN)
        status = lspo_expect(plan, report->machine, &row.expect);
    if (status == LSPO_OK)
        status = lspo_tune_settings(report, found, row.settings);
    if (status == LSPO_OK && !lspo_machine_is_host(report->machine)) /* others need a GPU */
        status = lspo_tune_configure(report->model, found, &row.configuration);
    if (status == LSPO_OK)
        *row_out = row;
destroy:
    lspo_plan_destroy(plan);
    return status;
}

/* ---- tables ---- */

typedef struct {
    const char *policy, *also, *policies, *semantics, *model, *machine, *framework, *objective, *settings, *quality,
        *limited_by, *expect_basis, *step, *above, *command, *task, *configuration_of, *configuration;
    const char *gain_texts[LSPO_TUNE_PARTS];
    char policies_text[160], quality_text[64], step_text[64], above_text[16], gain_buffers[LSPO_TUNE_PARTS][16];
    char command_text[LSPO_TUNE_COMMAND_BYTES], configuration_text[LSPO_TUNE_CONFIGURATION_BYTES];
    uint64_t rank, staleness_steps, batch, accumulation, sequence, whole_tokens_per_s, peak_gpu_bytes, peak_host_bytes,
        peak_gpu_bound_bytes, peak_host_bound_bytes, candidates, unfit, simulated;
    double steps, time_to_loss_s, iteration_s, time_to_first_token_s, expect_low_s, expect_high_s, tokens_per_s,
        lower_bound_s, gains[LSPO_TUNE_PARTS];
} record_t;

#define FIELD(name, field, kind, unit)                                                                                 \
    {                                                                                                                  \
        name, kind, unit, offsetof(record_t, field)                                                                    \
    }
#define TEXT(name, field) FIELD(name, field, LSPO_FIELD_TEXT, LSPO_UNIT_NONE)
#define COUNT(name, field) FIELD(name, field, LSPO_FIELD_INTEGER, LSPO_UNIT_NONE)
#define BYTES(name, field) FIELD(name, field, LSPO_FIELD_INTEGER, LSPO_UNIT_BYTES)
#define REAL(name, field, unit) FIELD(name, field, LSPO_FIELD_REAL, unit)

static const lspo_field_t fields[] = {
    COUNT("rank", rank),
    TEXT("policy", policy),
    TEXT("semantics", semantics),
    COUNT("staleness_steps", staleness_steps),
    TEXT("quality", quality),
    TEXT("model", model),
    TEXT("machine", machine),
    TEXT("framework", framework),
    TEXT("objective", objective),
    COUNT("batch", batch),
    COUNT("accumulation", accumulation),
    COUNT("sequence", sequence),
    TEXT("settings", settings),
    REAL("steps", steps, LSPO_UNIT_NONE),
    REAL("time_to_loss_s", time_to_loss_s, LSPO_UNIT_SECONDS),
    REAL("tokens_per_s", tokens_per_s, LSPO_UNIT_NONE),
    REAL("iteration_s", iteration_s, LSPO_UNIT_SECONDS),
    REAL("expect_low_s", expect_low_s, LSPO_UNIT_SECONDS),
    REAL("expect_high_s", expect_high_s, LSPO_UNIT_SECONDS),
    TEXT("expect_basis", expect_basis),
    REAL("lower_bound_s", lower_bound_s, LSPO_UNIT_SECONDS),
    TEXT("limited_by", limited_by),
    BYTES("peak_gpu_bytes", peak_gpu_bytes),
    BYTES("peak_host_bytes", peak_host_bytes),
    BYTES("peak_gpu_bound_bytes", peak_gpu_bound_bytes),
    BYTES("peak_host_bound_bytes", peak_host_bound_bytes),
    REAL("gain_link", gains[LSPO_TUNE_LINK], LSPO_UNIT_NONE),
    REAL("gain_cpu", gains[LSPO_TUNE_CPU], LSPO_UNIT_NONE),
    REAL("gain_gpu_memory", gains[LSPO_TUNE_GPU_MEMORY], LSPO_UNIT_NONE),
    REAL("gain_host_memory", gains[LSPO_TUNE_HOST_MEMORY], LSPO_UNIT_NONE),
    COUNT("candidates", candidates),
    COUNT("unfit", unfit),
    COUNT("simulated", simulated),
    TEXT("command", command),
    TEXT("configuration_of", configuration_of),
    TEXT("configuration", configuration),
    TEXT("also", also),
    TEXT("task", task),
    REAL("time_to_first_token_s", time_to_first_token_s, LSPO_UNIT_SECONDS),
};

/* For people: the columns that fit into a line. */
static const lspo_column_t people_columns[] = {
    {LSPO_EVERY_TASK, TEXT("policy", policies)},
    {LSPO_EVERY_TASK, TEXT("quality", quality)},
    {LSPO_EVERY_TASK, COUNT("batch", batch)},
    {LSPO_EVERY_TASK, COUNT("tokens/s", whole_tokens_per_s)},
    {LSPO_TASK_TRAIN, TEXT("step (expected)", step)},
    {LSPO_TASK_GENERATE, REAL("first token", time_to_first_token_s, LSPO_UNIT_SECONDS)},
    {LSPO_TASK_GENERATE, REAL("per token", iteration_s, LSPO_UNIT_SECONDS)},
    {LSPO_EVERY_TASK, TEXT("above bound", above)},
    {LSPO_EVERY_TASK, BYTES("GPU", peak_gpu_bytes)},
    {LSPO_EVERY_TASK, BYTES("host", peak_host_bytes)},
    {LSPO_EVERY_TASK, TEXT("limited by", limited_by)},
    {LSPO_EVERY_TASK, TEXT("settings", settings)},
};

static const lspo_field_t loss_columns[] = {
    TEXT("policy", policy),
    REAL("time to loss", time_to_loss_s, LSPO_UNIT_SECONDS),
    REAL("steps", steps, LSPO_UNIT_NONE),
};

static const lspo_field_t gain_columns[] = {
    TEXT("policy", policy),
    TEXT("twice the link", gain_texts[LSPO_TUNE_LINK]),
    TEXT("CPU", gain_texts[LSPO_TUNE_CPU]),
    TEXT("GPU memory", gain_texts[LSPO_TUNE_GPU_MEMORY]),
    TEXT("host memory", gain_texts[LSPO_TUNE_HOST_MEMORY]),
};

void lspo_tune_quality(const lspo_found_t *found, size_t text_bytes, char *text)
{
    const uint32_t late = lspo_policy_staleness(found->policy, &found->workload);
    const lspo_parameter_t *parameter = lspo_search_raised(found->policy, 0);
    snprintf(text, text_bytes, "%s", lspo_semantics_name(found->policy->semantics));
    if (late > 0)
        snprintf(text, text_bytes, "up to %u step%s late", late, late == 1 ? "" : "s");
    for (size_t i = 0; parameter != NULL; parameter = lspo_search_raised(found->policy, ++i)) {
        size_t used = strlen(text);
        char value[32];
        lspo_parameter_format(parameter, lspo_policy_value(found->policy, &found->workload, parameter), value,
                              sizeof value);
        snprintf(text + used, text_bytes - used, "%s %s %s", i == 0 ? ":" : "", parameter->key, value);
    }
}

static void describe_gains(const lspo_tune_row_t *row, record_t *record)
{
    for (int part = 0; part < LSPO_TUNE_PARTS; part++) {
        record->gains[part] = row->gains[part];
        record->gain_texts[part] = record->gain_buffers[part];
        snprintf(record->gain_buffers[part], sizeof record->gain_buffers[part], "%.0f %%",
                 100 * (row->gains[part] - 1));
    }
}

lspo_status_t lspo_tune_command(const lspo_tune_report_t *report, const lspo_found_t *found, const char *settings,
                                const char *command, char text[LSPO_TUNE_COMMAND_BYTES])
{
    lspo_status_t status = lspo_command_line_write(report->line, command, found->policy, found->workload.batch, text,
                                                   LSPO_COMMAND_LINE_BYTES);
    if (status == LSPO_OK && settings[0] != '\0') {
        size_t used = strlen(text);
        snprintf(text + used, LSPO_TUNE_COMMAND_BYTES - used, " %s", settings);
    }
    return status;
}

static void fill_numbers(const lspo_tune_report_t *report, const lspo_tune_row_t *row, record_t *record)
{
    const lspo_prediction_t *prediction = &row->prediction;
    bool to_loss = report->objective == LSPO_OBJECTIVE_TIME_TO_LOSS;
    record->steps = to_loss ? row->found->steps : (double)NAN;
    record->time_to_loss_s = to_loss ? row->found->objective : (double)NAN;
    record->tokens_per_s = prediction->tokens_per_s;
    record->whole_tokens_per_s = (uint64_t)(prediction->tokens_per_s + 0.5);
    record->iteration_s = prediction->summary.iteration_s;
    record->time_to_first_token_s = record->expect_low_s = record->expect_high_s = (double)NAN;
    if (row->found->policy->task == LSPO_TASK_GENERATE) {
        record->time_to_first_token_s = prediction->summary.first_s;
    } else {
        record->expect_low_s = record->iteration_s * row->expect.low;
        record->expect_high_s = record->iteration_s * row->expect.high;
        record->expect_basis = lspo_expect_basis_names[row->expect.basis];
        lspo_format_step(record->iteration_s, &row->expect, sizeof record->step_text, record->step_text);
    }
    record->lower_bound_s = prediction->lower_bound_s;
    record->peak_gpu_bytes = prediction->peak_gpu_bytes;
    record->peak_host_bytes = prediction->peak_host_bytes;
    record->peak_gpu_bound_bytes = prediction->peak_gpu_bound_bytes;
    record->peak_host_bound_bytes = prediction->peak_host_bound_bytes;
    record->candidates = report->search->candidates;
    record->unfit = report->search->unfit;
    record->simulated = report->search->simulated;
}

/* On one line: JSON does not mind, statements of Python have semicolons between them. */
static void join_lines(const lspo_tune_configuration_t *configuration, char text[LSPO_TUNE_CONFIGURATION_BYTES])
{
    const bool python = strcmp(configuration->framework, "torchao") == 0;
    size_t used = 0;
    for (const char *at = configuration->text; *at != '\0' && used + 3 < LSPO_TUNE_CONFIGURATION_BYTES; at++) {
        if (*at != '\n') {
            text[used++] = *at;
            continue;
        }
        while (at[1] == ' ')
            at++;
        if (python && at[1] != '\0')
            text[used++] = ';';
        if (at[1] != '\0')
            text[used++] = ' ';
    }
    text[used] = '\0';
}

/* "zero-layerwise, backward-update"; returns the part behind the first, NULL if there is none. */
static const char *describe_policies(const lspo_found_t *found, size_t text_bytes, char *text)
{
    const size_t first = strlen(found->policy->name);
    snprintf(text, text_bytes, "%s", found->policy->name);
    for (uint32_t i = 0; i < LSPO_ALSO_MAX && found->also[i] != NULL; i++) {
        size_t used = strlen(text);
        snprintf(text + used, text_bytes - used, ", %s", found->also[i]->name);
    }
    return text[first] != '\0' ? text + first + strlen(", ") : NULL;
}

static lspo_status_t fill_record(const lspo_tune_report_t *report, const lspo_tune_row_t *row, record_t *record)
{
    const lspo_found_t *found = row->found;
    const lspo_machine_t *machine = report->machine;
    *record = (record_t){.policy = found->policy->name,
                         .semantics = lspo_semantics_name(found->policy->semantics),
                         .staleness_steps = lspo_policy_staleness(found->policy, &found->workload),
                         .model = report->model->name,
                         .machine = machine->name,
                         .framework = lspo_machine_framework(machine),
                         .objective = report->objective_name,
                         .batch = found->workload.batch,
                         .accumulation = found->workload.accumulation,
                         .sequence = found->workload.sequence,
                         .settings = row->settings,
                         .task = lspo_task_names[found->policy->task],
                         .limited_by = lspo_report_lane_title(row->prediction.bound_lane)};
    fill_numbers(report, row, record);
    record->policies = record->policies_text;
    record->also = describe_policies(found, sizeof record->policies_text, record->policies_text);
    record->quality = record->quality_text;
    record->step = record->step_text;
    record->above = record->above_text;
    record->command = record->command_text;
    lspo_tune_quality(found, sizeof record->quality_text, record->quality_text);
    if (!isnan(record->lower_bound_s))
        snprintf(record->above_text, sizeof record->above_text, "%.1f %%",
                 100 * (record->iteration_s / record->lower_bound_s - 1));
    describe_gains(row, record);
    record->configuration_of = row->configuration.framework;
    record->configuration = row->configuration.framework != NULL ? record->configuration_text : NULL;
    if (record->configuration != NULL)
        join_lines(&row->configuration, record->configuration_text);
    return lspo_tune_command(report, found, row->settings, "sim", record->command_text);
}

/* ---- for people ---- */

typedef struct {
    const lspo_tune_report_t *report;
    const record_t *records;
    uint32_t count;
} people_t;

static void print_headline(FILE *file, const void *context)
{
    const people_t *people = context;
    const record_t *first = &people->records[0];
    char tokens[32], peak[32];
    lspo_format_count(first->tokens_per_s, tokens, sizeof tokens);
    lspo_format_quantity((double)first->peak_gpu_bytes, LSPO_UNIT_BYTES, peak, sizeof peak);
    fprintf(file, "Best for %s on %s by %s: %s with %s tokens/s in %s of GPU memory", first->model, first->machine,
            first->objective, first->policy, tokens, peak);
    if (!isnan(first->lower_bound_s))
        fprintf(file, ", within %.1f %% of the bound of any order",
                100 * (first->iteration_s / first->lower_bound_s - 1));
    fprintf(file,
            ".  Of %" PRIu64 " settings, %" PRIu64 " were found not to fit, and %" PRIu64 " had to be simulated.\n",
            first->candidates, first->unfit, first->simulated);
}

static lspo_status_t write_table(const record_t *records, uint32_t count, const lspo_field_t *table_fields,
                                 size_t field_count, lspo_format_t format)
{
    const lspo_table_t table = {.fields = table_fields,
                                .field_count = field_count,
                                .records = records,
                                .record_bytes = sizeof *records,
                                .record_count = count};
    return lspo_table_write(&table, format, stdout);
}

static lspo_status_t print_measure(const lspo_tune_report_t *report, const lspo_tune_row_t *row)
{
    char text[LSPO_TUNE_COMMAND_BYTES];
    const char *place = lspo_command_line_place(report->machine, &row->found->workload);
    if (row->found->policy->task == LSPO_TASK_GENERATE && !lspo_machine_is_host(report->machine))
        return LSPO_OK; /* runs of generation are on the host */
    if (place == NULL) {
        lspo_command_line_say_fp32(stdout);
        return LSPO_OK;
    }
    lspo_status_t status = lspo_tune_command(report, row->found, row->settings, "run", text);
    if (status == LSPO_OK)
        printf("measure the first %s:  %s\n", place, text);
    return status;
}

static lspo_status_t write_for_people(const lspo_tune_report_t *report, const lspo_tune_row_t *rows,
                                      const record_t *records, uint32_t count)
{
    const people_t people = {report, records, count};
    lspo_wrap_print(stdout, print_headline, &people);
    puts("");
    lspo_field_t columns[LSPO_COLUMNS_MOST];
    const size_t column_count = lspo_columns_of(people_columns, sizeof people_columns / sizeof people_columns[0],
                                                rows[0].found->policy->task, columns);
    lspo_status_t status = write_table(records, count, columns, column_count, LSPO_FORMAT_TABLE);
    if (status != LSPO_OK)
        return status;
    if (report->objective == LSPO_OBJECTIVE_TIME_TO_LOSS) {
        puts("");
        status =
            write_table(records, count, loss_columns, sizeof loss_columns / sizeof loss_columns[0], LSPO_FORMAT_TABLE);
        if (status != LSPO_OK)
            return status;
    }
    printf("\nWith twice of one part, and the policy's best settings then, %s improves by\n",
           report->objective == LSPO_OBJECTIVE_MEMORY ? "GPU memory" : "speed");
    status = write_table(records, report->one_policy ? 1 : count, gain_columns,
                         sizeof gain_columns / sizeof gain_columns[0], LSPO_FORMAT_TABLE);
    if (status != LSPO_OK)
        return status;
    puts("");
    for (uint32_t i = 0; i < count; i++)
        printf("%" PRIu64 ".  %s\n", records[i].rank, records[i].command);
    status = print_measure(report, &rows[0]);
    if (status == LSPO_OK && rows[0].configuration.framework != NULL)
        printf("\nThe first in %s, %s: %s\n%s", rows[0].configuration.framework, rows[0].configuration.beside,
               rows[0].configuration.file, rows[0].configuration.text);
    return status;
}

lspo_status_t lspo_tune_report_write(const lspo_tune_report_t *report, const lspo_tune_row_t *rows, uint32_t count,
                                     lspo_format_t format)
{
    record_t *records = calloc((size_t)count + 1, sizeof *records);
    lspo_status_t status = records != NULL ? LSPO_OK : lspo_no_memory("%u rows", count);
    for (uint32_t i = 0; i < count && status == LSPO_OK; i++) {
        status = fill_record(report, &rows[i], &records[i]);
        records[i].rank = i + 1;
    }
    if (report->goes_on && format == LSPO_FORMAT_JSON)
        fputs("{\"results\": ", stdout);
    if (status == LSPO_OK && format == LSPO_FORMAT_TABLE)
        status = write_for_people(report, rows, records, count);
    else if (status == LSPO_OK)
        status = write_table(records, count, fields, sizeof fields / sizeof fields[0], format);
    free(records);
    return status;
}
