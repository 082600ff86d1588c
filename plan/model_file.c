/* model_file.c - load models by name or from INI files. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/ini.h"
#include "base/names.h"
#include "base/units.h"
#include "plan/family.h"
#include "plan/model.h"
#include "plan/presets.h"

static const char folder[] = "models";

static lspo_status_t parse_size(const char *what, const lspo_record_field_t *field, const char *value,
                                uint32_t *size_out)
{
    double low, high;
    int64_t number = 0;
    lspo_model_range(field, &low, &high);
    lspo_status_t status = lspo_parse_integer(what, value, (int64_t)low, (int64_t)high, &number);
    if (status != LSPO_OK)
        return status;
    *size_out = (uint32_t)number;
    return LSPO_OK;
}

static lspo_status_t parse_number(const char *what, const lspo_record_field_t *field, const char *value,
                                  lspo_model_t *model)
{
    double *number = (double *)(void *)((char *)model + field->offset_bytes);
    lspo_status_t status = lspo_parse_quantity(what, value, LSPO_UNIT_NONE, number);
    if (status != LSPO_OK)
        return status;
    return lspo_model_check_field(what, field, model);
}

static lspo_status_t parse_text(const char *what, const char *value, char *text, size_t text_bytes)
{
    if (*value == '\0' || strlen(value) >= text_bytes)
        return lspo_error(LSPO_ERR_INPUT, "%s: needs 1 to %zu characters", what, text_bytes - 1);
    memcpy(text, value, strlen(value) + 1);
    return LSPO_OK;
}

/* One of the field's names, which end with NULL. */
static lspo_status_t parse_named(const char *what, const lspo_record_field_t *field, const char *value,
                                 unsigned *index_out)
{
    uint32_t count = 0;
    for (; field->names[count] != NULL; count++) {
        if (strcmp(value, field->names[count]) == 0) {
            *index_out = count;
            return LSPO_OK;
        }
    }
    return lspo_name_refuse(what, value, field->names, count, NULL);
}

static lspo_status_t parse_boolean(const char *what, const char *value, bool *boolean_out)
{
    bool yes = strcmp(value, "true") == 0 || strcmp(value, "yes") == 0;
    if (!yes && strcmp(value, "false") != 0 && strcmp(value, "no") != 0)
        return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is not one of true, false", what, value);
    *boolean_out = yes;
    return LSPO_OK;
}

typedef struct {
    lspo_model_t model;
    bool has_family, has_tied_head;
} model_file_t;

static lspo_status_t take_field(const char *what, const lspo_record_field_t *field, const char *value,
                                model_file_t *file)
{
    void *member = (char *)&file->model + field->offset_bytes;
    switch (field->kind) {
    case LSPO_RECORD_U32:
        return parse_size(what, field, value, member);
    case LSPO_RECORD_REAL:
        return parse_number(what, field, value, &file->model);
    case LSPO_RECORD_BOOL:
        file->has_tied_head |= member == &file->model.tied_head;
        return parse_boolean(what, value, member);
    default:
        file->has_family |= member == &file->model.family;
        return parse_named(what, field, value, member);
    }
}

static const lspo_record_field_t *find_field(const char *key, size_t length)
{
    for (size_t i = 0; i < lspo_model_field_count; i++)
        if (strlen(lspo_model_fields[i].name) == length && memcmp(lspo_model_fields[i].name, key, length) == 0)
            return &lspo_model_fields[i];
    return NULL;
}

lspo_status_t lspo_model_set(lspo_model_t *model, const char *assignment)
{
    char what[128];
    model_file_t file = {.model = *model};
    size_t length = strcspn(assignment, "=");
    const lspo_record_field_t *field = find_field(assignment, length);
    if (field == NULL || assignment[length] != '=')
        return lspo_error(LSPO_ERR_INPUT, "--set model.%s: not KEY=VALUE of a key of a model's file (lspo help models)",
                          assignment);
    snprintf(what, sizeof what, "--set model.%s", field->name);
    lspo_status_t status = take_field(what, field, assignment + length + 1, &file);
    if (status == LSPO_OK)
        *model = file.model;
    return status;
}

static lspo_status_t take_key(void *context, const lspo_ini_entry_t *entry)
{
    model_file_t *file = context;
    char what[640];
    snprintf(what, sizeof what, "%s: [%s] %s", entry->where, entry->section, entry->key);
    if (strcmp(entry->section, "model") != 0)
        return lspo_error(LSPO_ERR_INPUT, "%s: unknown section; a model file has [model] only", what);
    const lspo_record_field_t *field = find_field(entry->key, strlen(entry->key));
    if (field != NULL)
        return take_field(what, field, entry->value, file);
    if (strcmp(entry->key, "name") == 0)
        return parse_text(what, entry->value, file->model.name, sizeof file->model.name);
    if (strcmp(entry->key, "source") == 0)
        return parse_text(what, entry->value, file->model.source, sizeof file->model.source);
    char known[512] = "name, source";
    for (size_t i = 0, used = strlen(known); i < lspo_model_field_count && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, ", %s", lspo_model_fields[i].name);
    return lspo_error(LSPO_ERR_INPUT, "%s: unknown key; known: %s", what, known);
}

/* kv_heads defaults to heads, mlp_width to 4 width, tied_head to the family's default; the other keys are required. */
static lspo_status_t complete_model(const char *path, model_file_t *file)
{
    lspo_model_t *model = &file->model;
    const struct {
        const char *key;
        bool present;
    } required[] = {{"name", model->name[0] != '\0'},         {"family", file->has_family},
                    {"blocks", model->block_count > 0},       {"width", model->width > 0},
                    {"heads", model->head_count > 0},         {"vocabulary", model->vocabulary > 0},
                    {"max_sequence", model->max_sequence > 0}};
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++) {
        if (!required[i].present)
            return lspo_error(LSPO_ERR_INPUT, "%s: [model] %s is missing", path, required[i].key);
    }
    if (model->kv_head_count == 0)
        model->kv_head_count = model->head_count;
    if (model->mlp_width == 0)
        model->mlp_width = 4 * model->width;
    if (!file->has_tied_head)
        model->tied_head = lspo_family_of(model)->tied_head && model->class_count == 0;
    return lspo_model_check_named(path, model);
}

/* Keys whose 0 does not mean the family's value. */
static bool always_written(const lspo_record_field_t *field)
{
    return field->offset_bytes <= offsetof(lspo_model_t, tied_head);
}

void lspo_model_write(const lspo_model_t *model, FILE *file)
{
    static const lspo_model_t plain = {0};
    fprintf(file, "[model]\nname = %s\n", model->name);
    if (model->source[0] != '\0')
        fprintf(file, "source = %s\n", model->source);
    for (size_t i = 0; i < lspo_model_field_count; i++) {
        const lspo_record_field_t *field = &lspo_model_fields[i];
        char value[64], otherwise[64];
        lspo_record_format(field, model, value, sizeof value);
        lspo_record_format(field, &plain, otherwise, sizeof otherwise);
        if (field->kind == LSPO_RECORD_BOOL)
            strcpy(value, *((const bool *)model + field->offset_bytes) ? "true" : "false");
        if (field->kind == LSPO_RECORD_BOOL)
            strcpy(otherwise, "false");
        if (always_written(field) || strcmp(value, otherwise) != 0)
            fprintf(file, "%s = %s\n", field->name, value);
    }
}

uint32_t lspo_model_preset_count(void)
{
    return lspo_preset_count(folder);
}

const char *lspo_model_preset_name(uint32_t index)
{
    return lspo_preset_at(folder, index)->name;
}

static lspo_status_t read_preset(const lspo_preset_t *preset, lspo_model_t *model_out)
{
    model_file_t file = {0};
    lspo_status_t status = lspo_ini_read_text(preset->path, preset->text, take_key, &file);
    if (status != LSPO_OK)
        return status;
    status = complete_model(preset->path, &file);
    if (status != LSPO_OK)
        return status;
    *model_out = file.model;
    return LSPO_OK;
}

lspo_status_t lspo_model_preset(uint32_t index, lspo_model_t *model_out)
{
    return read_preset(lspo_preset_at(folder, index), model_out);
}

static lspo_status_t read_file(const char *path, lspo_model_t *model_out)
{
    model_file_t file = {0};
    lspo_status_t status = lspo_ini_read(path, take_key, &file);
    if (status != LSPO_OK)
        return status;
    status = complete_model(path, &file);
    if (status != LSPO_OK)
        return status;
    *model_out = file.model;
    return LSPO_OK;
}

static lspo_status_t refuse_name(const char *name)
{
    const char *names[LSPO_PRESETS_MAX];
    uint32_t count = lspo_preset_names(folder, names);
    return lspo_name_refuse_listed("model", name, names, count, "models",
                                   ", nor a file or folder here (`lspo help models`)");
}

/* "owner/name" is the form of a Hugging Face model name; any other path is taken as a missing folder. */
static lspo_status_t refuse_path(const char *path)
{
    const char *slash = strchr(path, '/');
    bool repository = slash != NULL && slash > path && path[0] != '.' && path[0] != '~' && slash[1] != '\0' &&
                      strchr(slash + 1, '/') == NULL;
    if (strlen(path) > 4 && strcmp(path + strlen(path) - 4, ".ini") == 0)
        return lspo_error(LSPO_ERR_INPUT, "model: there is no file %s", path);
    return lspo_error(LSPO_ERR_INPUT,
                      "model: there is no file or folder %s; download one: "
                      "hf download %s --local-dir %s (`lspo help models`)",
                      path, repository ? path : "openai-community/gpt2", repository ? slash + 1 : path);
}

lspo_status_t lspo_model_find(const char *name_or_path, lspo_model_t *model_out)
{
    const lspo_preset_t *preset = lspo_preset_find(folder, name_or_path);
    if (preset != NULL)
        return read_preset(preset, model_out);
    if (access(name_or_path, F_OK) != 0)
        return lspo_name_is_path(name_or_path) ? refuse_path(name_or_path) : refuse_name(name_or_path);
    return read_file(name_or_path, model_out);
}
