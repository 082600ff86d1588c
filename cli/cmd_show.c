/* cmd_show.c - `lspo show`: a model's tensors, a machine's profile, the ops of a plan. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/args.h"
#include "cli/command.h"
#include "cli/request.h"
#include "cli/table.h"
#include "sim/sim.h"

static const char usage[] = "lspo show model NAME|FILE, lspo show machine NAME|FILE, or lspo show plan [options]";

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

static lspo_status_t show_model(const char *name, int format)
{
    lspo_model_t model;
    lspo_status_t status = lspo_model_find(name, &model);
    if (status != LSPO_OK)
        return status;
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

/* The table is the INI file itself, so that it can be edited and read back. */
static lspo_status_t show_machine(const char *name, const lspo_overrides_t *overrides, int format)
{
    lspo_machine_t machine;
    lspo_status_t status = lspo_machine_find(name, &machine);
    if (status == LSPO_OK)
        status = lspo_overrides_machine(overrides, &machine);
    if (status != LSPO_OK)
        return status;
    if (format == LSPO_FORMAT_AUTO || format == LSPO_FORMAT_TABLE)
        return lspo_machine_write(&machine, NULL, stdout);

    machine_field_record_t *records = calloc(lspo_machine_field_count, sizeof *records);
    if (records == NULL)
        return lspo_error(LSPO_ERR_MEMORY, "no memory for %zu machine fields", lspo_machine_field_count);
    for (size_t i = 0; i < lspo_machine_field_count; i++) {
        const lspo_machine_field_t *field = &lspo_machine_fields[i];
        snprintf(records[i].name, sizeof records[i].name, "%s.%s", field->section, field->key);
        records[i].key = records[i].name;
        records[i].help = field->help;
        memcpy(&records[i].value, (const char *)&machine + field->offset_bytes, sizeof(double));
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
    int format;
    lspo_request_t request; /* of which only the overrides are used */
} show_request_t;

static const lspo_arg_t show_args[] = {
    {.name = "format",
     .value = "table|csv|json",
     .help = "of the result (table on a terminal, else csv; machine: an INI file unless given)",
     .store = lspo_arg_choice,
     .names = lspo_format_names,
     .offset_bytes = offsetof(show_request_t, format)},
};

static lspo_status_t show_named(int argc, char **argv, bool is_machine)
{
    show_request_t show = {.format = LSPO_FORMAT_AUTO};
    const lspo_arg_group_t groups[] = {
        {"options", show_args, sizeof show_args / sizeof show_args[0], &show},
        {"in place of the machine's own", lspo_override_args, lspo_override_arg_count, &show.request},
    };
    const size_t group_count = is_machine ? 2 : 1;
    const char *line = is_machine ? "lspo show machine NAME|FILE [options]" : "lspo show model NAME|FILE [options]";
    lspo_positionals_t positionals;
    bool help;
    lspo_status_t status = lspo_args_parse(argc, argv, groups, group_count, &positionals, &help);
    if (status != LSPO_OK)
        return status;
    if (help) {
        printf("usage: %s\n", line);
        lspo_args_print(groups, group_count, stdout);
        return LSPO_OK;
    }
    status = lspo_args_expect(&positionals, 1, 1, line);
    if (status != LSPO_OK)
        return status;
    return is_machine ? show_machine(positionals.texts[0], &show.request.overrides, show.format)
                      : show_model(positionals.texts[0], show.format);
}

/* ---- plan ---- */

static const char *const plan_format_names[] = {"table", "dot", NULL};
enum { PLAN_TABLE, PLAN_DOT };

static const lspo_arg_t plan_args[] = {
    {.name = "model",
     .value = "NAME|FILE",
     .help = "what is trained (gpt2-774m)",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_request_t, model_name)},
    {.name = "policy",
     .value = "NAME",
     .help = "how the work is scheduled (lsp)",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_request_t, policy_name)},
    {.name = "machine",
     .value = "NAME|FILE",
     .help = "choose --transition auto for this machine (else every layer)",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_request_t, machine_name)},
    {.name = "rows",
     .value = "N",
     .help = "ops in the table, iterations in the graph (all; 1)",
     .store = lspo_arg_u32,
     .low = 1,
     .high = UINT32_MAX,
     .offset_bytes = offsetof(lspo_request_t, rows)},
    {.name = "format",
     .value = "table|dot",
     .help = "a line an op (table), or Graphviz with a cluster a lane (dot)",
     .store = lspo_arg_choice,
     .names = plan_format_names,
     .offset_bytes = offsetof(lspo_request_t, format)},
};

static lspo_status_t build_plan(const lspo_request_t *request, lspo_plan_t **plan_out)
{
    lspo_machine_t machine;
    if (request->machine_name == NULL)
        return lspo_plan_build(&request->model, &request->workload, request->policy, plan_out);
    lspo_status_t status = lspo_machine_find(request->machine_name, &machine);
    if (status != LSPO_OK)
        return status;
    return lspo_tune_transition(&request->model, &request->workload, request->policy, &machine, plan_out);
}

static lspo_status_t show_plan(int argc, char **argv)
{
    lspo_request_t request = {.model_name = "gpt2-774m", .policy_name = "lsp", .format = PLAN_TABLE};
    const lspo_arg_group_t groups[] = {
        {"options", plan_args, sizeof plan_args / sizeof plan_args[0], &request},
        {"workload (defaults in brackets)", lspo_workload_args, lspo_workload_arg_count, &request},
    };
    lspo_request_outcome_t outcome;
    lspo_status_t status = lspo_request_parse(argc, argv, groups, 2, LSPO_PRECISION_COUNT, &request, &outcome);
    if (status != LSPO_OK || outcome == LSPO_REQUEST_LISTED)
        return status;
    if (outcome == LSPO_REQUEST_HELP) {
        puts("usage: lspo show plan [options]\n\nThe ops that a policy plans, with their lanes and dependencies.");
        lspo_args_print(groups, 2, stdout);
        puts("\nexample:\n  lspo show plan --model gpt-tiny --policy zero --format dot | dot -Tsvg > zero.svg");
        return LSPO_OK;
    }
    lspo_plan_t *plan;
    status = build_plan(&request, &plan);
    if (status != LSPO_OK)
        return status;
    if (request.format == PLAN_DOT)
        lspo_plan_print_dot(plan, request.rows > 0 ? request.rows : 1, stdout);
    else
        lspo_plan_print(plan, request.rows, stdout);
    lspo_plan_destroy(plan);
    return LSPO_OK;
}

lspo_status_t lspo_command_show(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "model") == 0 || strcmp(what, "machine") == 0)
        return show_named(argc - 1, argv + 1, strcmp(what, "machine") == 0);
    if (strcmp(what, "plan") == 0)
        return show_plan(argc - 1, argv + 1);
    if (strcmp(what, "--help") == 0 || strcmp(what, "-h") == 0) {
        printf("usage: %s\n\nEach has a --help of its own.\n", usage);
        return LSPO_OK;
    }
    if (what[0] == '\0')
        return lspo_error(LSPO_ERR_INPUT, "an argument is missing; usage: %s", usage);
    return lspo_error(LSPO_ERR_INPUT, "cannot show '%s'; usage: %s", what, usage);
}
