/* sweep_language.c - see sweep_language.h. */
#include "cli/sweep_language.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/names.h"
#include "cli/machine_named.h"
#include "plan/precision.h"
#include "sweep/key.h"

enum { OPTIONS_MAX = 64, NAMES_MAX = 512, NAME_BYTES = 64 };

static const char model_prefix[] = "model.", column_prefix[] = "column.";

/* A model or machine that the grid names. */
typedef struct {
    char *name;
    lspo_model_t *model;
    lspo_machine_t *machine;
} named_t;

struct lspo_sweep_words {
    lspo_arg_t options[OPTIONS_MAX];
    size_t option_count;
    named_t *named;
    size_t named_count, named_capacity;
    lspo_request_t scratch; /* where values are tried */
    lspo_machine_t scratch_machine;
};

/* ---- options ---- */

static const lspo_arg_t machine_option = {.name = "machine",
                                          .value = "NAME|FILE",
                                          .store = lspo_arg_text,
                                          .offset_bytes = offsetof(lspo_request_t, machine_name)};

static void add_option(lspo_sweep_words_t *words, const lspo_arg_t *option)
{
    if (strcmp(option->name, "set") != 0 && words->option_count < OPTIONS_MAX)
        words->options[words->option_count++] = *option;
}

static void add_options(lspo_sweep_words_t *words)
{
    static const lspo_arg_group_t *const groups[] = {&lspo_plan_group, &lspo_workload_group, &lspo_framework_group,
                                                     &lspo_override_group};
    lspo_arg_t option;
    for (size_t g = 0; g < sizeof groups / sizeof groups[0]; g++)
        for (size_t i = 0; lspo_arg_group_at(groups[g], i, &option); i++)
            add_option(words, &option);
    add_option(words, &machine_option);
}

/* Of the workload's field that an option sets; text if it sets none. */
static lspo_sweep_kind_t workload_kind(const char *name)
{
    for (size_t i = 0; i < lspo_workload_field_count; i++) {
        const lspo_record_field_t *field = &lspo_workload_fields[i];
        if (strcmp(field->name, name) != 0)
            continue;
        if (field->kind == LSPO_RECORD_REAL)
            return LSPO_SWEEP_QUANTITY;
        return field->kind == LSPO_RECORD_U32 || field->kind == LSPO_RECORD_U64 ? LSPO_SWEEP_INTEGER : LSPO_SWEEP_TEXT;
    }
    return LSPO_SWEEP_TEXT;
}

static lspo_sweep_key_t option_key(const lspo_arg_t *option)
{
    lspo_sweep_key_t key = {.kind = workload_kind(option->name),
                            .has_colons = strcmp(option->name, "policy") == 0,
                            .source = LSPO_SOURCE_OPTION,
                            .meaning = option};
    if (option->store == lspo_arg_quantity) {
        key.kind = LSPO_SWEEP_QUANTITY;
        key.unit = option->unit;
    } else if (option->store == lspo_arg_bytes) {
        key.kind = LSPO_SWEEP_QUANTITY;
        key.unit = LSPO_UNIT_BYTES;
    }
    return key;
}

static lspo_sweep_key_t own_key(const lspo_parameter_t *parameter)
{
    lspo_sweep_key_t key = {.source = LSPO_SOURCE_OWN, .parameter = parameter};
    if (parameter->kind == LSPO_RECORD_REAL) {
        key.kind = LSPO_SWEEP_QUANTITY;
        key.unit = parameter->quantity;
    } else if (!lspo_parameter_is_word(parameter) && parameter->kind != LSPO_RECORD_BOOL) {
        key.kind = LSPO_SWEEP_INTEGER;
    }
    return key;
}

static lspo_sweep_key_t model_key(const lspo_record_field_t *field)
{
    return (lspo_sweep_key_t){.kind = field->kind == LSPO_RECORD_U32    ? LSPO_SWEEP_INTEGER
                                      : field->kind == LSPO_RECORD_REAL ? LSPO_SWEEP_QUANTITY
                                                                        : LSPO_SWEEP_TEXT,
                              .source = LSPO_SOURCE_MODEL,
                              .meaning = field};
}

/* ---- finding keys ---- */

static bool find_model_field(const char *key, lspo_sweep_key_t *key_out)
{
    for (size_t i = 0; i < lspo_model_field_count; i++)
        if (strcmp(lspo_model_fields[i].name, key) == 0) {
            *key_out = model_key(&lspo_model_fields[i]);
            return true;
        }
    return false;
}

static bool find_machine_field(const char *key, lspo_sweep_key_t *key_out)
{
    char section[NAME_BYTES];
    const char *dot = strchr(key, '.');
    if (dot == NULL || (size_t)(dot - key) >= sizeof section)
        return false;
    snprintf(section, sizeof section, "%.*s", (int)(dot - key), key);
    size_t index = lspo_machine_field_find(section, dot + 1);
    if (index == lspo_machine_field_count)
        return false;
    *key_out = (lspo_sweep_key_t){.kind = LSPO_SWEEP_QUANTITY,
                                  .unit = lspo_machine_fields[index].unit,
                                  .source = LSPO_SOURCE_MACHINE,
                                  .meaning = &lspo_machine_fields[index]};
    return true;
}

static bool find_option(const lspo_sweep_words_t *words, const char *key, lspo_sweep_key_t *key_out)
{
    for (size_t i = 0; i < words->option_count; i++)
        if (strcmp(words->options[i].name, key) == 0) {
            *key_out = option_key(&words->options[i]);
            return true;
        }
    const lspo_parameter_t *parameter;
    for (size_t i = 0; (parameter = lspo_policies_parameter(i)) != NULL; i++)
        if (strcmp(parameter->key, key) == 0) {
            *key_out = own_key(parameter);
            return true;
        }
    return false;
}

static lspo_status_t refuse_key(const lspo_sweep_words_t *words, const char *what, const char *key)
{
    const char *names[NAMES_MAX];
    static const char form[] = "an option of lspo sim without dashes, SECTION.FIELD of a machine, model.FIELD of a "
                               "model, or column.NAME";
    size_t count = 0;
    const lspo_parameter_t *parameter;
    for (size_t i = 0; i < words->option_count; i++)
        names[count++] = words->options[i].name;
    for (size_t i = 0; (parameter = lspo_policies_parameter(i)) != NULL && count < NAMES_MAX; i++)
        names[count++] = parameter->key;
    const char *nearest = lspo_name_nearest(key, names, count);
    if (nearest != NULL)
        return lspo_error(LSPO_ERR_INPUT, "%s: there is no key '%s'; did you mean %s? A key is %s", what, key, nearest,
                          form);
    return lspo_error(LSPO_ERR_INPUT, "%s: there is no key '%s'; a key is %s", what, key, form);
}

static lspo_status_t find(void *context, const char *what, const char *key, lspo_sweep_key_t *key_out)
{
    const lspo_sweep_words_t *words = context;
    if (strncmp(key, column_prefix, sizeof column_prefix - 1) == 0 && key[sizeof column_prefix - 1] != '\0') {
        *key_out = (lspo_sweep_key_t){.source = LSPO_SOURCE_COLUMN};
        return LSPO_OK;
    }
    if (strncmp(key, model_prefix, sizeof model_prefix - 1) == 0 &&
        find_model_field(key + sizeof model_prefix - 1, key_out))
        return LSPO_OK;
    if (strcmp(key, "rates") == 0) {
        *key_out = (lspo_sweep_key_t){.source = LSPO_SOURCE_PACE};
        return LSPO_OK;
    }
    if (strcmp(key, "link-over-gpu") == 0 || strcmp(key, "cpu-over-gpu") == 0) {
        *key_out = (lspo_sweep_key_t){.kind = LSPO_SWEEP_QUANTITY, .source = LSPO_SOURCE_PACE};
        return LSPO_OK;
    }
    if (find_machine_field(key, key_out) || find_option(words, key, key_out))
        return LSPO_OK;
    return refuse_key(words, what, key);
}

/* ---- checking values ---- */

static lspo_status_t find_named(lspo_sweep_words_t *words, const char *name, bool machine, named_t **named_out)
{
    for (size_t i = 0; i < words->named_count; i++)
        if (strcmp(words->named[i].name, name) == 0 && (words->named[i].machine != NULL) == machine) {
            *named_out = &words->named[i];
            return LSPO_OK;
        }
    lspo_status_t status = lspo_array_grow(&words->named, &words->named_capacity, words->named_count + 1,
                                           sizeof *words->named, "models and machines");
    if (status != LSPO_OK)
        return status;
    named_t named = {.name = strdup(name)};
    if (machine)
        named.machine = calloc(1, sizeof *named.machine);
    else
        named.model = calloc(1, sizeof *named.model);
    if (named.name == NULL || (named.machine == NULL && named.model == NULL))
        status = lspo_no_memory("%s", name);
    else
        status = machine ? lspo_machine_named(name, named.machine) : lspo_request_find_model(name, named.model);
    if (status != LSPO_OK) {
        free(named.name);
        free(named.machine);
        free(named.model);
        return status;
    }
    words->named[words->named_count] = named;
    *named_out = &words->named[words->named_count++];
    return LSPO_OK;
}

static lspo_status_t check_named(lspo_sweep_words_t *words, const char *what, const char *name, bool machine,
                                 const void **resolved_out)
{
    named_t *named;
    lspo_status_t status = find_named(words, name, machine, &named);
    /* The cause has been logged without the line. */
    if (status != LSPO_OK)
        return lspo_error(status, "%s: '%s'", what, name);
    *resolved_out = machine ? (const void *)named->machine : named->model;
    return LSPO_OK;
}

static lspo_status_t check_policy(lspo_sweep_words_t *words, const char *what, const char *text,
                                  const void **resolved_out)
{
    char name[NAME_BYTES], scratch[LSPO_SWEEP_COLON_BYTES];
    const lspo_policy_t *policy;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(text, ":"), text);
    lspo_status_t status = lspo_policy_find_any(name, &policy);
    if (status != LSPO_OK)
        return lspo_error(status, "%s: '%s'", what, text);
    words->scratch.given.count = 0;
    *resolved_out = policy;
    return lspo_sweep_colons(what, policy, text, scratch, &words->scratch);
}

static lspo_status_t check_option(lspo_sweep_words_t *words, const char *what, const lspo_sweep_key_t *key,
                                  const char *value, const void **resolved_out)
{
    const lspo_arg_t *option = key->meaning;
    int64_t number;
    if (strcmp(option->name, "policy") == 0)
        return check_policy(words, what, value, resolved_out);
    if (strcmp(option->name, "model") == 0 || strcmp(option->name, "machine") == 0)
        return check_named(words, what, value, option->name[1] == 'a', resolved_out);
    if (strcmp(option->name, "framework") == 0) {
        lspo_status_t status = lspo_machine_use_framework(&words->scratch_machine, value);
        return status == LSPO_OK ? status : lspo_error(status, "%s: '%s'", what, value);
    }
    if (key->kind == LSPO_SWEEP_INTEGER) {
        lspo_status_t status = lspo_parse_integer(what, value, 0, INT64_MAX, &number);
        if (status != LSPO_OK)
            return status;
    }
    return option->store(option, what, value, (char *)&words->scratch + option->offset_bytes);
}

lspo_status_t lspo_sweep_field_value(const char *what, const lspo_machine_field_t *field, const char *text, double own,
                                     double *value_out)
{
    lspo_machine_t *scratch;
    double factor;
    if (text[0] == 'x') {
        lspo_status_t status = lspo_parse_quantity(what, text + 1, LSPO_UNIT_NONE, &factor);
        if (status == LSPO_OK)
            *value_out = factor * own;
        return status;
    }
    scratch = calloc(1, sizeof *scratch);
    if (scratch == NULL)
        return lspo_no_memory("%s", what);
    lspo_status_t status = lspo_machine_take(what, field, text, scratch);
    if (status == LSPO_OK)
        *value_out = lspo_machine_value(scratch, field);
    free(scratch);
    return status;
}

static lspo_status_t check_model_field(const char *what, const lspo_record_field_t *field, const char *value)
{
    char assignment[256];
    lspo_model_t scratch = {0};
    snprintf(assignment, sizeof assignment, "%s=%s", field->name, value);
    lspo_status_t status = lspo_model_set(&scratch, assignment);
    return status == LSPO_OK ? status : lspo_error(status, "%s: '%s'", what, value);
}

/* A policy or self, or a share. */
static lspo_status_t check_pace(const char *what, const lspo_sweep_key_t *key, const char *value)
{
    const lspo_policy_t *policy;
    double share;
    if (key->kind == LSPO_SWEEP_TEXT)
        return strcmp(value, "self") == 0 ? LSPO_OK : lspo_policy_find_any(value, &policy);
    lspo_status_t status = lspo_parse_quantity_in(what, value, LSPO_UNIT_NONE, "above 0 and at most 1000", &share);
    if (status == LSPO_OK && !(share > 0 && share <= 1000))
        return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is not above 0 and at most 1000", what, value);
    return status;
}

static lspo_status_t check(void *context, const char *what, const lspo_sweep_key_t *key, const char *value,
                           const void **resolved_out)
{
    lspo_sweep_words_t *words = context;
    uint64_t slot;
    double number;
    switch (key->source) {
    case LSPO_SOURCE_OPTION:
        return check_option(words, what, key, value, resolved_out);
    case LSPO_SOURCE_OWN:
        return lspo_parameter_parse(key->parameter, what, value, &slot);
    case LSPO_SOURCE_MACHINE:
        return lspo_sweep_field_value(what, key->meaning, value, 1, &number);
    case LSPO_SOURCE_MODEL:
        return check_model_field(what, key->meaning, value);
    case LSPO_SOURCE_PACE:
        return check_pace(what, key, value);
    default:
        return LSPO_OK;
    }
}

/* ---- colons ---- */

/* Store a value of a policy's own option. */
static lspo_status_t give(const char *what, const lspo_parameter_t *parameter, const char *text,
                          lspo_request_t *request)
{
    lspo_arg_t option;
    lspo_policy_arg(parameter, &option);
    return option.store(&option, what, text, (char *)request + option.offset_bytes);
}

/* "--bias-threshold 0": the option that a value implies. */
static lspo_status_t give_implied(const char *what, const lspo_policy_t *policy, const char *implied,
                                  lspo_request_t *request)
{
    size_t length = strcspn(implied + 2, " ");
    const lspo_parameter_use_t *use = lspo_policy_named_use(policy, implied + 2, length);
    return use != NULL ? give(what, use->parameter, implied + 2 + length + 1, request) : LSPO_OK;
}

lspo_status_t lspo_sweep_colons(const char *what, const lspo_policy_t *policy, const char *text, char *scratch,
                                lspo_request_t *request)
{
    char *rest = scratch, *number;
    snprintf(scratch, LSPO_SWEEP_COLON_BYTES, "%s", text);
    strsep(&rest, ":");
    for (uint32_t colon = 0; (number = strsep(&rest, ":")) != NULL; colon++) {
        const lspo_parameter_use_t *use = lspo_policy_colon_use(policy, colon);
        if (use == NULL)
            return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is one number too many for policy %s", what, number,
                              policy->name);
        lspo_status_t status = give(what, use->parameter, number, request);
        if (status == LSPO_OK && use->brings != NULL)
            status = give_implied(what, policy, use->brings, request);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

/* ---- the table ---- */

lspo_status_t lspo_sweep_words_create(lspo_sweep_words_t **words_out)
{
    lspo_sweep_words_t *words = calloc(1, sizeof *words);
    if (words == NULL)
        return lspo_no_memory("the keys of a grid");
    add_options(words);
    *words_out = words;
    return LSPO_OK;
}

void lspo_sweep_words_destroy(lspo_sweep_words_t *words)
{
    if (words == NULL)
        return;
    for (size_t i = 0; i < words->named_count; i++) {
        free(words->named[i].name);
        free(words->named[i].model);
        free(words->named[i].machine);
    }
    free(words->named);
    free(words);
}

lspo_sweep_language_t lspo_sweep_words_language(lspo_sweep_words_t *words)
{
    return (lspo_sweep_language_t){.context = words, .find = find, .check = check};
}

uint64_t lspo_sweep_words_hash(const lspo_sweep_words_t *words)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < words->named_count; i++)
        hash = 31 * hash + (words->named[i].machine != NULL ? lspo_sweep_machine_hash(words->named[i].machine)
                                                            : lspo_sweep_model_hash(words->named[i].model));
    return hash;
}
