/* sweep_ask.c - see sweep_ask.h. */
#include "cli/sweep_ask.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command_line.h"
#include "cli/sweep_pace.h"
#include "plan/precision.h"

enum { WORD_BYTES = 512 };

static const char *text_of(const lspo_sweep_setting_t *setting)
{
    return setting->axis->values[setting->value];
}

static const lspo_sweep_setting_t *find_setting(const lspo_sweep_cell_t *cell, const char *key)
{
    for (uint32_t i = 0; i < cell->setting_count; i++)
        if (strcmp(cell->settings[i].axis->key, key) == 0)
            return &cell->settings[i];
    return NULL;
}

static const void *resolved_of(const lspo_sweep_cell_t *cell, const char *key)
{
    const lspo_sweep_setting_t *setting = find_setting(cell, key);
    return setting != NULL ? setting->axis->resolved[setting->value] : NULL;
}

/* ---- reading ---- */

/* Keep "KEY=VALUE" of --set. */
static __attribute__((format(printf, 3, 4))) lspo_status_t add_set(lspo_sweep_ask_t *ask, lspo_request_t *request,
                                                                   const char *format, ...)
{
    va_list arguments;
    char *text = ask->texts + ask->used;
    size_t room = sizeof ask->texts - ask->used;
    va_start(arguments, format);
    size_t length = (size_t)vsnprintf(text, room, format, arguments);
    va_end(arguments);
    if (length >= room || request->overrides.set_count == LSPO_SETS_MAX)
        return lspo_error(LSPO_ERR_INPUT, "the cell has more fields of machine and model than lspo sim takes");
    request->overrides.sets[request->overrides.set_count++] = text;
    ask->used += length + 1;
    return LSPO_OK;
}

/* A value "x2" is written as the number that it stands for, with all digits. */
static lspo_status_t set_field(lspo_sweep_ask_t *ask, lspo_request_t *request, const lspo_sweep_setting_t *setting)
{
    const lspo_machine_field_t *field = setting->axis->info.meaning;
    const char *text = text_of(setting);
    const lspo_machine_t *machine = resolved_of(ask->cell, "machine");
    char number[64];
    double value;
    if (text[0] == 'x') {
        lspo_status_t status =
            lspo_sweep_field_value(setting->axis->key, field, text, lspo_machine_value(machine, field), &value);
        if (status != LSPO_OK)
            return status;
        text = lspo_format_quantity_exact(value, field->unit, number, sizeof number);
    }
    return add_set(ask, request, "%s=%s", setting->axis->key, text);
}

static lspo_status_t set_policy(lspo_sweep_ask_t *ask, lspo_request_t *request, const lspo_sweep_setting_t *setting)
{
    request->policy_name = ask->cell->policy->name;
    return lspo_sweep_colons("--policy", ask->cell->policy, text_of(setting), ask->colons, request);
}

static lspo_status_t set_option(lspo_sweep_ask_t *ask, lspo_request_t *request, const lspo_sweep_setting_t *setting)
{
    lspo_arg_t own;
    const lspo_arg_t *option = setting->axis->info.meaning;
    char what[WORD_BYTES];
    if (setting->axis->info.source == LSPO_SOURCE_OWN) {
        lspo_policy_arg(setting->axis->info.parameter, &own);
        option = &own;
    } else if (strcmp(option->name, "policy") == 0) {
        return set_policy(ask, request, setting);
    }
    snprintf(what, sizeof what, "--%s", option->name);
    return option->store(option, what, text_of(setting), (char *)request + option->offset_bytes);
}

/* lspo_request_read_t: store all settings. */
static lspo_status_t read_settings(void *context, lspo_request_t *request)
{
    lspo_sweep_ask_t *ask = context;
    lspo_status_t status = LSPO_OK;
    ask->used = 0;
    for (uint32_t i = 0; status == LSPO_OK && i < ask->cell->setting_count; i++) {
        const lspo_sweep_setting_t *setting = &ask->cell->settings[i];
        switch (setting->axis->info.source) {
        case LSPO_SOURCE_OPTION:
        case LSPO_SOURCE_OWN:
            status = set_option(ask, request, setting);
            break;
        case LSPO_SOURCE_MACHINE:
            status = set_field(ask, request, setting);
            break;
        case LSPO_SOURCE_MODEL:
            status = add_set(ask, request, "%s=%s", setting->axis->key, text_of(setting));
            break;
        default:
            break;
        }
    }
    return status;
}

lspo_status_t lspo_sweep_ask(const lspo_sweep_cell_t *cell, const char *device, lspo_sweep_ask_t *ask)
{
    ask->cell = cell;
    ask->complete = false;
    ask->link_Bps = ask->cpu_pps = 0;
    ask->request = (lspo_request_t){
        .known_model = resolved_of(cell, "model"), .device_name = device, .any_task = true, .task = -1};
    ask->machine = *(const lspo_machine_t *)resolved_of(cell, "machine");
    lspo_status_t status =
        lspo_request_read(read_settings, ask, device != NULL ? LSPO_FP32 : LSPO_PRECISION_COUNT, &ask->request);
    if (status == LSPO_OK)
        status = lspo_sweep_pace(cell, &ask->request.overrides, &ask->machine, &ask->link_Bps, &ask->cpu_pps);
    if (ask->link_Bps > 0)
        ask->request.overrides.link_Bps = ask->link_Bps;
    if (ask->cpu_pps > 0)
        ask->request.overrides.cpu_pps = ask->cpu_pps;
    if (status == LSPO_OK)
        status = lspo_request_use_machine(&ask->request, &ask->machine);
    ask->complete = status == LSPO_OK;
    return status;
}

/* ---- constraints ---- */

/* Of a record's field. */
static void field_value(const lspo_record_field_t *field, const void *record, double *number_out, const char **text_out)
{
    const void *slot = (const char *)record + field->offset_bytes;
    switch (field->kind) {
    case LSPO_RECORD_U32:
        *number_out = *(const uint32_t *)slot;
        break;
    case LSPO_RECORD_I32:
        *number_out = *(const int32_t *)slot;
        break;
    case LSPO_RECORD_U64:
        *number_out = (double)*(const uint64_t *)slot;
        break;
    case LSPO_RECORD_REAL:
    case LSPO_RECORD_SCALE:
        *number_out = *(const double *)slot;
        break;
    case LSPO_RECORD_BOOL:
        *text_out = *(const bool *)slot ? "on" : "off";
        break;
    case LSPO_RECORD_NAMED:
    case LSPO_RECORD_TEXT:
        *text_out = field->names[*(const unsigned *)slot];
        break;
    }
}

/* What the grid says of the key.  A multiple of the profile's value is read from the machine. */
static bool given_value(const lspo_sweep_ask_t *ask, const char *name, const lspo_sweep_key_t *key, double *number_out,
                        const char **text_out)
{
    const lspo_sweep_setting_t *setting = find_setting(ask->cell, name);
    if (setting == NULL || (key->source == LSPO_SOURCE_MACHINE && text_of(setting)[0] == 'x'))
        return false;
    if (key->kind == LSPO_SWEEP_TEXT)
        *text_out = text_of(setting);
    else if (strchr("+-.0123456789", text_of(setting)[0]) != NULL &&
             lspo_where_number("where", text_of(setting), key->unit, number_out) != LSPO_OK)
        *number_out = NAN;
    return true;
}

/* An option that the grid leaves open. */
static void option_value(const lspo_sweep_ask_t *ask, const lspo_arg_t *option, double *number_out,
                         const char **text_out)
{
    const lspo_machine_t *machine = &ask->machine;
    const struct {
        const char *name;
        double value;
    } of_machine[] = {{"link", machine->link.h2d_Bps},
                      {"cpu", machine->cpu.adam_pps},
                      {"gpu-memory", machine->gpu.memory_bytes - machine->gpu.context_bytes},
                      {"host-memory", machine->cpu.memory_bytes}};
    for (size_t i = 0; i < sizeof of_machine / sizeof of_machine[0]; i++)
        if (strcmp(of_machine[i].name, option->name) == 0)
            *number_out = of_machine[i].value;
    for (size_t i = 0; i < lspo_workload_field_count; i++)
        if (strcmp(lspo_workload_fields[i].name, option->name) == 0 && ask->complete)
            field_value(&lspo_workload_fields[i], &ask->request.workload, number_out, text_out);
}

static void own_value(const lspo_sweep_ask_t *ask, const lspo_parameter_t *parameter, double *number_out,
                      const char **text_out)
{
    const void *slot = lspo_policy_value(ask->cell->policy, &ask->request.workload, parameter);
    if (slot == NULL || !ask->complete)
        return;
    if (lspo_parameter_is_word(parameter))
        *text_out = lspo_parameter_word(parameter, *(const uint32_t *)slot);
    else if (parameter->kind == LSPO_RECORD_BOOL)
        *text_out = *(const bool *)slot ? "on" : "off";
    else
        *number_out = lspo_parameter_number(parameter, slot);
}

/* As in a model's file. */
static void model_value(const lspo_sweep_ask_t *ask, const lspo_record_field_t *field, double *number_out,
                        const char **text_out)
{
    const lspo_model_t *model = ask->complete ? &ask->request.model : ask->request.known_model;
    if (field->kind == LSPO_RECORD_BOOL)
        *text_out = *(const bool *)((const char *)model + field->offset_bytes) ? "true" : "false";
    else
        field_value(field, model, number_out, text_out);
}

/* lspo_where_value_t */
static void value_of(void *context, const char *name, const lspo_sweep_key_t *key, double *number_out,
                     const char **text_out)
{
    const lspo_sweep_ask_t *ask = context;
    const lspo_arg_t *option = key->meaning;
    if (given_value(ask, name, key, number_out, text_out))
        return;
    if (key->source == LSPO_SOURCE_OPTION)
        option_value(ask, option, number_out, text_out);
    else if (key->source == LSPO_SOURCE_OWN)
        own_value(ask, key->parameter, number_out, text_out);
    else if (key->source == LSPO_SOURCE_MACHINE)
        *number_out = lspo_machine_value(&ask->machine, key->meaning);
    else if (key->source == LSPO_SOURCE_MODEL)
        model_value(ask, key->meaning, number_out, text_out);
}

bool lspo_sweep_ask_holds(const lspo_sweep_grid_t *grid, lspo_sweep_ask_t *ask)
{
    return lspo_where_holds(grid->where, value_of, ask) && lspo_where_holds(ask->cell->group->where, value_of, ask);
}

bool lspo_sweep_cell_holds(const lspo_sweep_grid_t *grid, const lspo_sweep_cell_t *cell)
{
    char error[WORD_BYTES];
    lspo_sweep_ask_t *ask = calloc(1, sizeof *ask);
    if (ask == NULL)
        return false;
    lspo_messages_keep(error, sizeof error);
    (void)lspo_sweep_ask(cell, NULL, ask);
    bool holds = lspo_sweep_ask_holds(grid, ask);
    lspo_messages_keep(NULL, 0);
    free(ask);
    return holds;
}

/* ---- flags ---- */

static size_t put_flag(const char *name, const char *value, char *text, size_t used, size_t capacity)
{
    char word[WORD_BYTES];
    if (used >= capacity)
        return used;
    return used + (size_t)snprintf(text + used, capacity - used, "%s--%s %s", used > 0 ? " " : "", name,
                                   lspo_shell_word(value, word, sizeof word));
}

void lspo_sweep_ask_flags(const lspo_sweep_ask_t *ask, char *text, size_t capacity)
{
    const lspo_request_t *request = &ask->request;
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < ask->cell->setting_count; i++) {
        const lspo_sweep_setting_t *setting = &ask->cell->settings[i];
        if (setting->axis->info.source != LSPO_SOURCE_OPTION)
            continue;
        bool policy = strcmp(setting->axis->key, "policy") == 0;
        used = put_flag(setting->axis->key, policy ? request->policy_name : text_of(setting), text, used, capacity);
    }
    if (request->device_name != NULL && find_setting(ask->cell, "precision") == NULL)
        used = put_flag("precision", lspo_precision_name(request->workload.precision), text, used, capacity);
    char rate[64];
    snprintf(rate, sizeof rate, "%.0fB/s", ask->link_Bps);
    if (ask->link_Bps > 0)
        used = put_flag("link", rate, text, used, capacity);
    snprintf(rate, sizeof rate, "%.0f/s", ask->cpu_pps);
    if (ask->cpu_pps > 0)
        used = put_flag("cpu", rate, text, used, capacity);
    for (uint32_t i = 0; i < request->given.count; i++)
        used = put_flag(request->given.flags[i].parameter->key, request->given.flags[i].text, text, used, capacity);
    for (uint32_t i = 0; i < request->overrides.set_count; i++)
        used = put_flag("set", request->overrides.sets[i], text, used, capacity);
}
