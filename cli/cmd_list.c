/* cmd_list.c - `lspo list`: the models, machines, policies and devices that this build knows by name. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask/args.h"
#include "base/names.h"
#include "base/table.h"
#include "cli/command.h"
#include "plan/machine.h"
#include "plan/model.h"
#include "plan/policy.h"
#include "real/device/device.h"
#include "real/machine/topology.h"

typedef struct {
    int format;
} list_request_t;

static const lspo_arg_t list_args[] = {
    LSPO_FORMAT_ARG("list", offsetof(list_request_t, format)),
};

static lspo_status_t write_list(const lspo_field_t *fields, size_t field_count, const void *records,
                                size_t record_bytes, size_t record_count, int format)
{
    lspo_table_t table = {.fields = fields,
                          .field_count = field_count,
                          .records = records,
                          .record_bytes = record_bytes,
                          .record_count = record_count};
    return lspo_table_write(&table, lspo_format_resolve(format), stdout);
}

typedef struct {
    lspo_model_t model;
    const char *name, *family, *source;
    uint64_t parameters, blocks, width, heads, kv_heads, mlp_width, vocabulary, max_sequence;
    int tied_head, trains;
} model_record_t;

#define MODEL_INTEGER(field)                                                                                           \
    {                                                                                                                  \
#field, LSPO_FIELD_INTEGER, LSPO_UNIT_NONE, offsetof(model_record_t, field)                                    \
    }
static const lspo_field_t model_fields[] = {
    {"name", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(model_record_t, name)},
    MODEL_INTEGER(parameters),
    MODEL_INTEGER(blocks),
    MODEL_INTEGER(width),
    MODEL_INTEGER(heads),
    MODEL_INTEGER(kv_heads),
    MODEL_INTEGER(mlp_width),
    MODEL_INTEGER(vocabulary),
    MODEL_INTEGER(max_sequence),
    {"tied_head", LSPO_FIELD_YES_NO, LSPO_UNIT_NONE, offsetof(model_record_t, tied_head)},
    {"family", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(model_record_t, family)},
    {"trains", LSPO_FIELD_YES_NO, LSPO_UNIT_NONE, offsetof(model_record_t, trains)},
    {"source", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(model_record_t, source)},
};
/* What fits a terminal of 80 columns. */
static const lspo_field_t model_table_fields[] = {
    {"name", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(model_record_t, name)},
    MODEL_INTEGER(parameters),
    MODEL_INTEGER(blocks),
    MODEL_INTEGER(width),
    MODEL_INTEGER(heads),
    MODEL_INTEGER(max_sequence),
    {"trains", LSPO_FIELD_YES_NO, LSPO_UNIT_NONE, offsetof(model_record_t, trains)},
};

/* The record points into itself. */
static lspo_status_t describe_model(uint32_t index, model_record_t *record)
{
    lspo_model_t *model = &record->model;
    lspo_status_t status = lspo_model_preset(index, model);
    if (status != LSPO_OK)
        return status;
    record->name = model->name;
    record->family = lspo_family_name(model->family);
    record->source = model->source;
    record->parameters = lspo_model_parameter_count(model);
    record->blocks = model->block_count;
    record->width = model->width;
    record->heads = model->head_count;
    record->kv_heads = model->kv_head_count;
    record->mlp_width = model->mlp_width;
    record->vocabulary = model->vocabulary;
    record->max_sequence = model->max_sequence;
    record->tied_head = model->tied_head;
    record->trains = lspo_model_trains(model);
    return LSPO_OK;
}

static lspo_status_t list_models(int format)
{
    uint32_t count = lspo_model_preset_count();
    model_record_t *records = calloc(count, sizeof *records);
    if (records == NULL)
        return lspo_no_memory("a list of %u models", count);
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; i < count; i++) {
        status = describe_model(i, &records[i]);
        if (status != LSPO_OK)
            goto cleanup;
    }
    const bool table = lspo_format_resolve(format) == LSPO_FORMAT_TABLE;
    const size_t all = sizeof model_fields / sizeof model_fields[0];
    const size_t few = sizeof model_table_fields / sizeof model_table_fields[0];
    status = write_list(table ? model_table_fields : model_fields, table ? few : all, records, sizeof *records, count,
                        format);
cleanup:
    free(records);
    return status;
}

/* Machines, cards and hosts. */
typedef struct {
    lspo_machine_t machine;
    char pcie_text[16];
    const char *name, *group, *evidence, *pcie, *description, *source;
} machine_record_t;

#define MACHINE_TEXT(field)                                                                                            \
    {                                                                                                                  \
#field, LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(machine_record_t, field)                                     \
    }
#define MACHINE_REAL(name, member, unit)                                                                               \
    {                                                                                                                  \
#name, LSPO_FIELD_REAL, unit, offsetof(machine_record_t, machine.member)                                       \
    }
static const lspo_field_t machine_fields[] = {
    MACHINE_TEXT(name),
    MACHINE_REAL(gpu_memory_bytes, gpu.memory_bytes, LSPO_UNIT_BYTES),
    MACHINE_REAL(gemm_fp16_flops, gpu.gemm_flops[LSPO_FP16], LSPO_UNIT_FLOPS),
    MACHINE_REAL(h2d_Bps, link.h2d_Bps, LSPO_UNIT_BPS),
    MACHINE_TEXT(evidence),
    MACHINE_REAL(gpu_stream_Bps, gpu.stream_Bps, LSPO_UNIT_BPS),
    MACHINE_REAL(d2h_Bps, link.d2h_Bps, LSPO_UNIT_BPS),
    MACHINE_REAL(cpu_adam_pps, cpu.adam_pps, LSPO_UNIT_PPS),
    MACHINE_REAL(cpu_memory_bytes, cpu.memory_bytes, LSPO_UNIT_BYTES),
    MACHINE_TEXT(group),
    MACHINE_TEXT(pcie),
    MACHINE_TEXT(description),
    MACHINE_TEXT(source),
};
static const lspo_field_t card_fields[] = {
    MACHINE_TEXT(name),
    MACHINE_TEXT(group),
    MACHINE_REAL(memory_bytes, gpu.memory_bytes, LSPO_UNIT_BYTES),
    MACHINE_REAL(gemm_fp16_flops, gpu.gemm_flops[LSPO_FP16], LSPO_UNIT_FLOPS),
    MACHINE_TEXT(pcie),
    MACHINE_TEXT(evidence),
    MACHINE_REAL(gemm_fp32_flops, gpu.gemm_flops[LSPO_FP32], LSPO_UNIT_FLOPS),
    MACHINE_REAL(gemm_bf16_flops, gpu.gemm_flops[LSPO_BF16], LSPO_UNIT_FLOPS),
    MACHINE_REAL(attention_flops, gpu.attention_flops, LSPO_UNIT_FLOPS),
    MACHINE_REAL(stream_Bps, gpu.stream_Bps, LSPO_UNIT_BPS),
    MACHINE_REAL(adam_pps, gpu.adam_pps, LSPO_UNIT_PPS),
    MACHINE_TEXT(description),
    MACHINE_TEXT(source),
};
static const lspo_field_t host_fields[] = {
    MACHINE_TEXT(name),
    MACHINE_TEXT(group),
    MACHINE_REAL(memory_bytes, cpu.memory_bytes, LSPO_UNIT_BYTES),
    MACHINE_REAL(adam_pps, cpu.adam_pps, LSPO_UNIT_PPS),
    MACHINE_TEXT(pcie),
    MACHINE_TEXT(evidence),
    MACHINE_REAL(adam_cached_pps, cpu.adam_cached_pps, LSPO_UNIT_PPS),
    MACHINE_REAL(cache_bytes, cpu.cache_bytes, LSPO_UNIT_BYTES),
    MACHINE_TEXT(description),
    MACHINE_TEXT(source),
};

/* Columns that fit on a terminal of 80; CSV and JSON have all. */
static size_t table_columns(lspo_machine_part_t part, size_t field_count)
{
    return part == LSPO_PART_MACHINE ? 5 : part == LSPO_PART_CARD || part == LSPO_PART_HOST ? 6 : field_count;
}

/* The record points into itself. */
static void describe_part(machine_record_t *record)
{
    const lspo_machine_t *machine = &record->machine;
    record->name = machine->name;
    record->group = machine->group;
    record->evidence = machine->evidence;
    record->description = machine->description;
    record->source = machine->source;
    record->pcie = record->pcie_text;
    if (machine->link.pcie_lanes > 0)
        snprintf(record->pcie_text, sizeof record->pcie_text, "%.0fx%.0f", machine->link.pcie_generation,
                 machine->link.pcie_lanes);
}

static lspo_status_t list_parts(lspo_machine_part_t part, const lspo_field_t *fields, size_t field_count, int format)
{
    uint32_t count = lspo_machine_preset_count(part);
    lspo_status_t status = LSPO_OK;
    machine_record_t *records = calloc(count, sizeof *records);
    if (records == NULL)
        return lspo_no_memory("a list of %u machines", count);
    for (uint32_t i = 0; i < count; i++) {
        status = lspo_machine_preset(part, i, &records[i].machine);
        if (status != LSPO_OK)
            goto cleanup;
        describe_part(&records[i]);
    }
    if (lspo_format_resolve(format) == LSPO_FORMAT_TABLE)
        field_count = table_columns(part, field_count);
    status = write_list(fields, field_count, records, sizeof *records, count, format);
cleanup:
    free(records);
    return status;
}

static lspo_status_t list_machines(int format)
{
    return list_parts(LSPO_PART_MACHINE, machine_fields, sizeof machine_fields / sizeof machine_fields[0], format);
}

static lspo_status_t list_cards(int format)
{
    return list_parts(LSPO_PART_CARD, card_fields, sizeof card_fields / sizeof card_fields[0], format);
}

static lspo_status_t list_hosts(int format)
{
    return list_parts(LSPO_PART_HOST, host_fields, sizeof host_fields / sizeof host_fields[0], format);
}

static const lspo_field_t framework_fields[] = {
    MACHINE_TEXT(name),
    MACHINE_REAL(kernel_s, software.kernel_s, LSPO_UNIT_SECONDS),
    MACHINE_REAL(attention_share, software.attention_share, LSPO_UNIT_NONE),
    MACHINE_REAL(cpu_adam_bytes, software.cpu_adam_bytes, LSPO_UNIT_NONE),
    MACHINE_TEXT(description),
    MACHINE_TEXT(source),
};

static lspo_status_t list_frameworks(int format)
{
    return list_parts(LSPO_PART_FRAMEWORK, framework_fields, sizeof framework_fields / sizeof framework_fields[0],
                      format);
}

typedef struct {
    const char *name, *task, *semantics, *clip, *help, *citation;
    uint64_t staleness_steps;
    int trains_rest;
} policy_record_t;

#define POLICY_TEXT(field)                                                                                             \
    {                                                                                                                  \
#field, LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(policy_record_t, field)                                      \
    }
static const lspo_field_t policy_fields[] = {
    POLICY_TEXT(name),
    POLICY_TEXT(task),
    POLICY_TEXT(semantics),
    {"staleness_steps", LSPO_FIELD_INTEGER, LSPO_UNIT_NONE, offsetof(policy_record_t, staleness_steps)},
    {"trains_rest", LSPO_FIELD_YES_NO, LSPO_UNIT_NONE, offsetof(policy_record_t, trains_rest)},
    POLICY_TEXT(help),
    POLICY_TEXT(clip),
    POLICY_TEXT(citation),
};

static lspo_status_t list_policies(int format)
{
    uint32_t count = lspo_any_policy_count();
    policy_record_t *records = calloc(count, sizeof *records);
    if (records == NULL)
        return lspo_no_memory("a list of %u policies", count);
    for (uint32_t i = 0; i < count; i++) {
        const lspo_policy_t *policy = lspo_any_policy_at(i);
        records[i] = (policy_record_t){.name = policy->name,
                                       .task = lspo_task_names[policy->task],
                                       .semantics = lspo_semantics_name(policy->semantics),
                                       .staleness_steps = policy->staleness_steps,
                                       .trains_rest = policy->train_rest_default,
                                       .help = policy->help,
                                       .clip = policy->clip_help,
                                       .citation = policy->citation};
    }
    lspo_status_t status = write_list(policy_fields, sizeof policy_fields / sizeof policy_fields[0], records,
                                      sizeof *records, count, format);
    free(records);
    return status;
}

/* place: the host's lanes on its cores, a GPU's PCI address; cores: of a GPU its multiprocessors */
typedef struct {
    const char *name, *description, *place;
    uint64_t core_count;
} device_record_t;

static const lspo_field_t device_fields[] = {
    {"name", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(device_record_t, name)},
    {"core_count", LSPO_FIELD_INTEGER, LSPO_UNIT_NONE, offsetof(device_record_t, core_count)},
    {"place", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(device_record_t, place)},
    {"description", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(device_record_t, description)},
};

/* Records point into `gpus`. */
static lspo_status_t describe_gpus(uint32_t count, lspo_device_gpu_t *gpus, device_record_t *records)
{
    for (uint32_t i = 0; i < count; i++) {
        lspo_status_t status = lspo_device_gpu_at(i, &gpus[i]);
        records[i] = (device_record_t){.name = gpus[i].name,
                                       .core_count = gpus[i].sm_count,
                                       .place = gpus[i].place,
                                       .description = gpus[i].description};
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

static lspo_status_t list_devices(int format)
{
    lspo_topology_t topology;
    lspo_status_t status = lspo_topology_read(&topology);
    if (status != LSPO_OK)
        return status;
    uint32_t gpu_count = lspo_device_gpu_count();
    lspo_device_gpu_t *gpus = calloc(gpu_count + 1U, sizeof *gpus);
    device_record_t *records = calloc(gpu_count + 1U, sizeof *records);
    if (gpus && records) {
        records[0] =
            (device_record_t){.name = "host",
                              .core_count = topology.core_count,
                              .place = topology.description,
                              .description = "this machine's cores and memory, in place of a GPU and its link"};
        status = describe_gpus(gpu_count, gpus, records + 1);
    } else {
        status = lspo_no_memory("a list of %u devices", gpu_count + 1U);
    }
    if (status != LSPO_OK)
        goto cleanup;
    status = write_list(device_fields, sizeof device_fields / sizeof device_fields[0], records, sizeof *records,
                        gpu_count + 1U, format);
cleanup:
    free(records);
    free(gpus);
    return status;
}

static const struct {
    const char *name;
    lspo_status_t (*write)(int format);
} lists[] = {{"models", list_models},  {"machines", list_machines},     {"cards", list_cards},
             {"hosts", list_hosts},    {"frameworks", list_frameworks}, {"policies", list_policies},
             {"devices", list_devices}};

static lspo_status_t list_named(const char *what, int format)
{
    const char *names[sizeof lists / sizeof lists[0]];
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        if (strcmp(lists[i].name, what) == 0)
            return lists[i].write(format);
        names[i] = lists[i].name;
    }
    return lspo_name_refuse("list", what, names, sizeof names / sizeof names[0], NULL);
}

static lspo_status_t list(int argc, char **argv)
{
    list_request_t request = {.format = LSPO_FORMAT_AUTO};
    lspo_positionals_t positionals;
    lspo_status_t status = lspo_command_parse(&lspo_command_list, argc, argv, &request, &positionals);
    if (status != LSPO_OK)
        return status;
    return list_named(positionals.texts[0], request.format);
}

static const lspo_arg_group_t list_group = LSPO_ARG_GROUP("options", list_args);

const lspo_command_t lspo_command_list = {
    .name = "list",
    .summary = "list the models, machines, cards, hosts, frameworks, policies and devices known by name",
    .usage = "models|machines|cards|hosts|frameworks|policies|devices [--format table|csv|json]",
    .about = "List the names that --model, --machine, --policy and --device accept. A machine may also be CARD+HOST, "
             "such as rtx3060+desktop-ddr5 (`lspo help machines`). On a terminal, models, machines, cards and hosts "
             "have the columns that fit; --format csv has all. A model without `trains` can only be predicted. "
             "`--policy help` is the same as `list policies`.",
    .examples = "lspo list policies\nlspo list models --format csv\nlspo sim --machine help",
    .groups = (const lspo_arg_group_t *const[]){&list_group, NULL},
    .positional_least = 1,
    .positional_most = 1,
    .positionals = "models|machines|cards|hosts|frameworks|policies|devices",
    .run = list,
};
