/* cmd_show.c - `lspo show`: a model's tensors, a machine's profile, a policy's options, the ops of a plan. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask/args.h"
#include "ask/request.h"
#include "base/table.h"
#include "cli/command.h"
#include "cli/help.h"
#include "cli/machine_named.h"
#include "cli/plan_json.h"
#include "cli/request_line.h"
#include "plan/presets.h"
#include "sim/sim.h"

static const lspo_command_t command_show_model, command_show_machine, command_show_framework, command_show_policy,
    command_show_plan;

/* ---- model ---- */

typedef struct {
    const char *stage, *tensor;
    uint64_t stages, rows, cols, elements;
    int linear;
} tensor_record_t;

static const lspo_field_t tensor_fields[] = {
    {"stage", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(tensor_record_t, stage)},
    {"stages", LSPO_FIELD_INTEGER, LSPO_UNIT_NONE, offsetof(tensor_record_t, stages)},
    {"tensor", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(tensor_record_t, tensor)},
    {"rows", LSPO_FIELD_INTEGER, LSPO_UNIT_NONE, offsetof(tensor_record_t, rows)},
    {"cols", LSPO_FIELD_INTEGER, LSPO_UNIT_NONE, offsetof(tensor_record_t, cols)},
    {"elements", LSPO_FIELD_INTEGER, LSPO_UNIT_NONE, offsetof(tensor_record_t, elements)},
    {"linear", LSPO_FIELD_YES_NO, LSPO_UNIT_NONE, offsetof(tensor_record_t, linear)},
};

static size_t add_stage(const lspo_model_t *model, uint32_t index, const char *name, uint64_t stages,
                        tensor_record_t *records, size_t count)
{
    lspo_stage_t stage;
    lspo_model_stage(model, index, &stage);
    for (uint32_t i = 0; i < stage.tensor_count; i++) {
        const lspo_tensor_t *tensor = &stage.tensors[i];
        records[count++] = (tensor_record_t){.stage = name,
                                             .stages = stages,
                                             .tensor = tensor->name,
                                             .rows = tensor->rows,
                                             .cols = tensor->cols,
                                             .elements = (uint64_t)tensor->rows * tensor->cols,
                                             .linear = tensor->linear};
    }
    return count;
}

/* After the usual formats: the INI file of the shapes, to edit and to give to --model. */
static const char *const model_format_names[] = {"table", "csv", "json", "ini", NULL};
enum { MODEL_INI = LSPO_FORMAT_JSON + 1 };

static lspo_status_t show_model(const char *name, int format)
{
    lspo_model_t model;
    lspo_status_t status = lspo_request_find_model(name, &model);
    if (status != LSPO_OK)
        return status;
    if (format == MODEL_INI) {
        lspo_model_write(&model, stdout);
        return LSPO_OK;
    }
    tensor_record_t records[3 * LSPO_TENSORS_MAX];
    size_t count = add_stage(&model, 0, "embed", 1, records, 0);
    count = add_stage(&model, 1, "block", model.block_count, records, count);
    count = add_stage(&model, model.block_count + 1, "head", 1, records, count);
    lspo_table_t table = {.fields = tensor_fields,
                          .field_count = sizeof tensor_fields / sizeof tensor_fields[0],
                          .records = records,
                          .record_bytes = sizeof records[0],
                          .record_count = count};
    return lspo_table_write(&table, lspo_format_resolve(format), stdout);
}

/* ---- machine ---- */

typedef struct {
    char name[96];
    const char *key, *help;
    double value;
} machine_field_record_t;

static const lspo_field_t machine_field_fields[] = {
    {"key", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(machine_field_record_t, key)},
    {"value", LSPO_FIELD_REAL, LSPO_UNIT_NONE, offsetof(machine_field_record_t, value)},
    {"help", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(machine_field_record_t, help)},
};

/* After each value that is as in its file comes its source. */
static lspo_status_t write_machine(const lspo_machine_t *found, const lspo_machine_notes_t *notes,
                                   const lspo_machine_t *machine)
{
    const char *texts[LSPO_MACHINE_FIELDS_MAX] = {NULL};
    for (size_t i = 0; i < lspo_machine_field_count; i++) {
        const lspo_machine_field_t *field = &lspo_machine_fields[i];
        if (notes->text[i][0] != '\0' && lspo_machine_value(found, field) == lspo_machine_value(machine, field))
            texts[i] = notes->text[i];
    }
    return lspo_machine_write(machine, NULL, texts, stdout);
}

/* The table is the INI file itself, so that it can be edited and read back. */
static lspo_status_t show_machine(const char *name, const lspo_overrides_t *overrides, int format)
{
    lspo_machine_t found;
    lspo_machine_notes_t notes;
    lspo_status_t status = lspo_machine_find_noted(name, &found, &notes);
    if (status != LSPO_OK)
        return status;
    lspo_machine_t machine = found;
    status = lspo_overrides_machine(overrides, &machine);
    if (status != LSPO_OK)
        return status;
    if (format == LSPO_FORMAT_AUTO || format == LSPO_FORMAT_TABLE)
        return write_machine(&found, &notes, &machine);

    machine_field_record_t *records = calloc(lspo_machine_field_count, sizeof *records);
    if (records == NULL)
        return lspo_no_memory("%zu machine fields", lspo_machine_field_count);
    for (size_t i = 0; i < lspo_machine_field_count; i++) {
        const lspo_machine_field_t *field = &lspo_machine_fields[i];
        snprintf(records[i].name, sizeof records[i].name, "%s.%s", field->section, field->key);
        records[i].key = records[i].name;
        records[i].help = field->help;
        records[i].value = lspo_machine_value(&machine, field);
    }
    lspo_table_t table = {.fields = machine_field_fields,
                          .field_count = sizeof machine_field_fields / sizeof machine_field_fields[0],
                          .records = records,
                          .record_bytes = sizeof *records,
                          .record_count = lspo_machine_field_count};
    status = lspo_table_write(&table, (lspo_format_t)format, stdout);
    free(records);
    return status;
}

typedef struct {
    lspo_request_t request; /* first; of which only the overrides are used */
    int format;
} show_request_t;

static const lspo_arg_t show_args[] = {
    {.name = "format",
     .value = "table|csv|json",
     .help = "format of the result (table on a terminal, else csv; machine: an INI file by default)",
     .store = lspo_arg_choice,
     .names = lspo_format_names,
     .offset_bytes = offsetof(show_request_t, format)},
};

static const lspo_arg_t show_model_args[] = {
    {.name = "format",
     .value = "table|csv|json|ini",
     .help = "format of the result (table on a terminal, else csv); ini: the shapes as a file to edit",
     .store = lspo_arg_choice,
     .names = model_format_names,
     .offset_bytes = offsetof(show_request_t, format)},
};

static lspo_status_t command_model(int argc, char **argv)
{
    show_request_t show = {.format = LSPO_FORMAT_AUTO};
    lspo_positionals_t positionals;
    lspo_status_t status = lspo_command_parse(&command_show_model, argc, argv, &show, &positionals);
    if (status != LSPO_OK)
        return status;
    return show_model(positionals.texts[0], show.format);
}

/* A model's fields mean nothing here. */
static lspo_status_t refuse_model_fields(const lspo_overrides_t *overrides)
{
    for (uint32_t i = 0; i < overrides->set_count; i++)
        if (lspo_request_sets_model(overrides->sets[i]))
            return lspo_error(LSPO_ERR_INPUT, "--set %s is of a model; `lspo show machine` takes fields of machines",
                              overrides->sets[i]);
    return LSPO_OK;
}

static lspo_status_t command_machine(int argc, char **argv)
{
    show_request_t show = {.format = LSPO_FORMAT_AUTO};
    lspo_positionals_t positionals;
    lspo_status_t status = lspo_command_parse(&command_show_machine, argc, argv, &show, &positionals);
    if (status == LSPO_OK)
        status = refuse_model_fields(&show.request.overrides);
    if (status != LSPO_OK)
        return status;
    return show_machine(positionals.texts[0], &show.request.overrides, show.format);
}

static const lspo_arg_group_t show_group = LSPO_ARG_GROUP("options", show_args);
static const lspo_arg_group_t show_model_group = LSPO_ARG_GROUP("options", show_model_args);

static const lspo_command_t command_show_model = {
    .name = "show model",
    .summary = "show the tensors of each stage of a model",
    .usage = "NAME|FILE|FOLDER [options]",
    .about =
        "Show the tensors of a model, stage by stage: embedding, block, head. With --format ini, show its shapes as "
        "a file for --model.",
    .examples = "lspo show model gpt2-124m\nlspo show model llama-7b --format csv\n"
                "lspo show model gemma-2-2b --format ini > mine.ini",
    .groups = (const lspo_arg_group_t *const[]){&show_model_group, NULL},
    .positional_least = 1,
    .positional_most = 1,
    .positionals = "NAME|FILE|FOLDER",
    .list = "models",
    .run = command_model,
};

static const lspo_command_t command_show_machine = {
    .name = "show machine",
    .summary = "print a machine's profile as an INI file to edit",
    .usage = "NAME|FILE [options]",
    .about = "Print the profile of a machine as an INI file. You may edit a copy and give it to --machine.",
    .examples = "lspo show machine rtx4090 > mine.ini\nlspo show machine paper-laptop --format csv",
    .groups = (const lspo_arg_group_t *const[]){&show_group, &lspo_framework_group, &lspo_override_group, NULL},
    .positional_least = 1,
    .positional_most = 1,
    .positionals = "NAME|FILE",
    .list = "machines",
    .run = command_machine,
};

/* ---- framework ---- */

/* The values of a file that are not 0. */
static lspo_status_t show_framework_file(const lspo_machine_t *machine)
{
    printf("[framework]\nname = %s\n\n[software]\n", machine->framework);
    for (size_t i = 0; i < lspo_machine_field_count; i++) {
        const lspo_machine_field_t *field = &lspo_machine_fields[i];
        double value = lspo_machine_value(machine, field);
        char text[64];
        if (strcmp(field->section, "software") == 0 && value > 0)
            printf("%s = %s\n", field->key, lspo_format_quantity_exact(value, field->unit, text, sizeof text));
    }
    return LSPO_OK;
}

static lspo_status_t command_framework(int argc, char **argv)
{
    show_request_t show = {.format = LSPO_FORMAT_AUTO};
    lspo_positionals_t positionals;
    lspo_machine_t machine = {0};
    lspo_status_t status = lspo_command_parse(&command_show_framework, argc, argv, &show, &positionals);
    if (status != LSPO_OK)
        return status;
    status = lspo_machine_use_framework(&machine, positionals.texts[0]);
    if (status != LSPO_OK)
        return status;
    const lspo_preset_t *preset = lspo_preset_find("frameworks", positionals.texts[0]);
    if (preset != NULL && fputs(preset->text, stdout) < 0)
        return lspo_error(LSPO_ERR_IO, "cannot write the profile of framework %s", preset->name);
    return preset != NULL ? LSPO_OK : show_framework_file(&machine);
}

static const lspo_command_t command_show_framework = {
    .name = "show framework",
    .summary = "print a framework's profile as an INI file to edit",
    .usage = "NAME|FILE",
    .about = "Print how a framework's implementation differs from lspo's own, as an INI file with the source of each "
             "value. You may edit a copy and give it to --framework.",
    .examples = "lspo show framework eager\nlspo show framework deepspeed-blocking > mine.ini",
    .groups = (const lspo_arg_group_t *const[]){NULL},
    .positional_least = 1,
    .positional_most = 1,
    .positionals = "NAME|FILE",
    .list = "frameworks",
    .run = command_framework,
};

/* ---- policy ---- */

typedef struct {
    const char *policy, *option, *value, *unit, *preset, *range, *affects, *help;
    char texts[2][96];
} parameter_record_t;

#define PARAMETER_TEXT(name, field)                                                                                    \
    {                                                                                                                  \
        name, LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(parameter_record_t, field)                                     \
    }
static const lspo_field_t parameter_fields[] = {
    PARAMETER_TEXT("option", option),  PARAMETER_TEXT("value", value), PARAMETER_TEXT("unit", unit),
    PARAMETER_TEXT("default", preset), PARAMETER_TEXT("range", range), PARAMETER_TEXT("changes", affects),
    PARAMETER_TEXT("policy", policy),  PARAMETER_TEXT("help", help),
};

static lspo_status_t write_parameters(const lspo_policy_t *policy, lspo_format_t format)
{
    size_t count = policy->parameters != NULL ? policy->parameters->count : 0;
    parameter_record_t *records = calloc(count + 1, sizeof *records);
    if (records == NULL)
        return lspo_no_memory("%zu parameters", count);
    for (size_t i = 0; i < count; i++) {
        const lspo_parameter_t *parameter = policy->parameters->uses[i].parameter;
        parameter_record_t *record = &records[i];
        *record = (parameter_record_t){.policy = policy->name,
                                       .option = parameter->key,
                                       .value = parameter->value,
                                       .unit = parameter->unit,
                                       .preset = record->texts[0],
                                       .range = record->texts[1],
                                       .affects = lspo_affects_name(parameter->affects),
                                       .help = parameter->help};
        lspo_parameter_default_text(parameter, record->texts[0], sizeof record->texts[0]);
        lspo_parameter_range_text(parameter, record->texts[1], sizeof record->texts[1]);
    }
    lspo_table_t table = {.fields = parameter_fields,
                          .field_count = sizeof parameter_fields / sizeof parameter_fields[0],
                          .records = records,
                          .record_bytes = sizeof *records,
                          .record_count = count};
    lspo_status_t status = lspo_table_write(&table, format, stdout);
    free(records);
    return status;
}

static lspo_status_t command_policy(int argc, char **argv)
{
    show_request_t show = {.format = LSPO_FORMAT_AUTO};
    lspo_positionals_t positionals;
    const lspo_policy_t *policy;
    lspo_status_t status = lspo_command_parse(&command_show_policy, argc, argv, &show, &positionals);
    if (status != LSPO_OK)
        return status;
    status = lspo_policy_find_any(positionals.texts[0], &policy);
    if (status != LSPO_OK)
        return status;
    lspo_format_t format = lspo_format_resolve(show.format);
    if (format != LSPO_FORMAT_TABLE)
        return write_parameters(policy, format);
    lspo_help_write_policy(policy, stdout);
    return LSPO_OK;
}

static const lspo_command_t command_show_policy = {
    .name = "show policy",
    .summary = "show a policy's semantics, citation, example and own options",
    .usage = "NAME [options]",
    .about = "Describe a policy, like `lspo help NAME`. CSV and JSON have one row per option of its own, with unit, "
             "default, range and what the option changes.",
    .examples = "lspo show policy swap\nlspo show policy lsp --format csv",
    .groups = (const lspo_arg_group_t *const[]){&show_group, NULL},
    .positional_least = 1,
    .positional_most = 1,
    .positionals = "NAME",
    .list = "policies",
    .run = command_policy,
};

/* ---- plan ---- */

static const char *const plan_format_names[] = {"table", "dot", "json", NULL};
enum { PLAN_TABLE, PLAN_DOT, PLAN_JSON };

static const lspo_arg_t plan_args[] = {
    {.name = "model",
     .value = "NAME|FILE|FOLDER",
     .list = "models",
     .help = "model to train (gpt2-774m)",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_request_t, model_name)},
    {.name = "policy",
     .value = "NAME",
     .list = "policies",
     .help = "how the training is scheduled (lsp)",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_request_t, policy_name)},
    LSPO_TASK_ARG(offsetof(lspo_request_t, task)),
    {.name = "machine",
     .value = "NAME|FILE",
     .list = "machines",
     .help = "choose --transition auto and --order auto for this machine (without it: the last layer, the policy's "
             "order); json: with durations and bound",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_request_t, machine_name)},
    {.name = "rows",
     .value = "N",
     .help = "number of ops in the table (all), or of iterations in the graph (1)",
     .store = lspo_arg_u32,
     .low = 1,
     .high = UINT32_MAX,
     .offset_bytes = offsetof(lspo_request_t, rows)},
    {.name = "format",
     .value = "table|dot|json",
     .help = "table: one line per op; dot: a Graphviz graph with one cluster per lane; json: for other programs",
     .store = lspo_arg_choice,
     .names = plan_format_names,
     .offset_bytes = offsetof(lspo_request_t, format)},
};

static lspo_status_t build_plan(lspo_request_t *request, lspo_machine_t *machine_out, lspo_plan_t **plan_out)
{
    if (request->machine_name == NULL)
        return lspo_plan_build(&request->model, &request->workload, request->policy, plan_out);
    lspo_status_t status = lspo_request_machine(request, machine_out);
    if (status != LSPO_OK)
        return status;
    return lspo_tune_transition(&request->model, &request->workload, request->policy, machine_out, plan_out);
}

static lspo_status_t command_plan(int argc, char **argv)
{
    lspo_request_t request = {.model_name = "gpt2-774m",
                              .policy_name = lspo_usual_policy,
                              .any_task = true,
                              .task = -1,
                              .format = PLAN_TABLE};
    lspo_machine_t machine;
    lspo_plan_t *plan;
    lspo_status_t status = lspo_request_parse(&command_show_plan, argc, argv, LSPO_PRECISION_COUNT, &request);
    if (status != LSPO_OK)
        return status;
    status = build_plan(&request, &machine, &plan);
    if (status != LSPO_OK)
        return status;
    if (request.format == PLAN_DOT)
        status = lspo_plan_print_dot(plan, request.rows > 0 ? request.rows : 1, stdout);
    else if (request.format == PLAN_JSON)
        status = lspo_plan_json_print(plan, request.machine_name != NULL ? &machine : NULL, stdout);
    else
        lspo_plan_print(plan, request.rows, stdout);
    lspo_plan_destroy(plan);
    return status;
}

static const lspo_arg_group_t plan_group = LSPO_ARG_GROUP("options", plan_args);

static const lspo_command_t command_show_plan = {
    .name = "show plan",
    .summary = "show the ops of a policy's plan, with lanes and dependencies",
    .usage = "[options]",
    .about = "Show the ops of a policy's plan, with their lanes and dependencies. JSON has all of them and, with "
             "--machine, the duration of each alone, the lower bound on a step, and the barrier that gives it: two ops "
             "and the least time from the end of the first to that of the second.",
    .examples = "lspo show plan --model gpt-tiny --policy zero --rows 20\n"
                "lspo show plan --model gpt-tiny --policy zero --machine host-reference --format json\n"
                "lspo show plan --model gpt-tiny --policy zero --format dot | dot -Tsvg > zero.svg",
    .common = "model policy rows format",
    .groups = (const lspo_arg_group_t *const[]){&plan_group, &lspo_workload_group, &lspo_policy_group, NULL},
    .run = command_plan,
};

static const lspo_command_t *const subcommands[] = {&command_show_model,     &command_show_machine,
                                                    &command_show_framework, &command_show_policy,
                                                    &command_show_plan,      NULL};

const lspo_command_t lspo_command_show = {
    .name = "show",
    .summary = "show a model's tensors, a machine's or framework's profile, a policy's options, or a plan's ops",
    .usage = "model|machine|framework|policy|plan [options]",
    .about = "Show a model, a machine, a framework, a policy, or the plan of a policy.",
    .subcommands = subcommands,
};
