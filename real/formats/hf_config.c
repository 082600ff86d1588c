/* hf_config.c - see hf_config.h; families are rows of hf_family.h. */
#include "real/formats/hf_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "real/formats/hf_family.h"

/* Absent and null are the same to Hugging Face's configurations. */
const json_t *lspo_hf_get(const lspo_hf_reader_t *r, const char *key)
{
    const json_t *value = json_object_get(r->config, key);
    return json_is_null(value) ? NULL : value;
}

lspo_status_t lspo_hf_refuse(const lspo_hf_reader_t *r, const char *key)
{
    char *value = json_dumps(json_object_get(r->config, key), JSON_ENCODE_ANY | JSON_COMPACT);
    lspo_status_t status =
        lspo_error(LSPO_ERR_INPUT, "%s: %s = %.80s is not supported", r->path, key, value ? value : "(missing)");
    free(value);
    return status;
}

/* A size; `otherwise` 0: required. */
lspo_status_t lspo_hf_take_size(const lspo_hf_reader_t *r, const char *key, uint32_t otherwise, uint32_t *size_out)
{
    const json_t *value = lspo_hf_get(r, key);
    if (!value && otherwise > 0) {
        *size_out = otherwise;
        return LSPO_OK;
    }
    if (!json_is_integer(value) || json_integer_value(value) < 1 || json_integer_value(value) > INT32_MAX)
        return lspo_error(LSPO_ERR_INPUT, "%s: %s is missing or no size", r->path, key);
    *size_out = (uint32_t)json_integer_value(value);
    return LSPO_OK;
}

lspo_status_t lspo_hf_take_number(const lspo_hf_reader_t *r, const char *key, double otherwise, double *number_out)
{
    const json_t *value = lspo_hf_get(r, key);
    if (value && !(json_is_number(value) && json_number_value(value) > 0.0))
        return lspo_hf_refuse(r, key);
    *number_out = value ? json_number_value(value) : otherwise;
    return LSPO_OK;
}

bool lspo_hf_take_flag(const lspo_hf_reader_t *r, const char *key, bool otherwise)
{
    const json_t *value = lspo_hf_get(r, key);
    return value ? json_is_true(value) : otherwise;
}

lspo_status_t lspo_hf_take_sizes(const lspo_hf_reader_t *r, const lspo_hf_size_t *fields, size_t count)
{
    lspo_status_t status = LSPO_OK;
    for (size_t i = 0; i < count && status == LSPO_OK; i++)
        status = lspo_hf_take_size(r, fields[i].key, fields[i].otherwise, fields[i].size);
    return status;
}

lspo_status_t lspo_hf_check_flags(const lspo_hf_reader_t *r, const lspo_hf_flag_t *fields, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (lspo_hf_take_flag(r, fields[i].key, fields[i].wanted) != fields[i].wanted)
            return lspo_hf_refuse(r, fields[i].key);
    return LSPO_OK;
}

/* The value, or its default, is one of two names. */
lspo_status_t lspo_hf_check_name(const lspo_hf_reader_t *r, const char *key, const char *otherwise, const char *a,
                                 const char *b)
{
    const json_t *value = lspo_hf_get(r, key);
    const char *text = value ? json_string_value(value) : otherwise;
    return text && (strcmp(text, a) == 0 || strcmp(text, b) == 0) ? LSPO_OK : lspo_hf_refuse(r, key);
}

const lspo_hf_family_t *lspo_hf_family(lspo_family_t family)
{
    static const lspo_hf_family_t *const families[] = {
#define FAMILY(id, name) [LSPO_FAMILY_##id] = &lspo_hf_##name,
        LSPO_FAMILIES(FAMILY)
#undef FAMILY
    };
    return families[family];
}

/* Sets model->family; what a type says that no family has is refused with a list of those that are known. */
static lspo_status_t find_family(const lspo_hf_reader_t *r, lspo_model_t *model)
{
    const char *type = json_string_value(lspo_hf_get(r, "model_type"));
    char known[256] = "";
    for (int i = 0; i < LSPO_FAMILY_COUNT; i++) {
        const char *name = lspo_hf_family((lspo_family_t)i)->model_type;
        if (type && strcmp(type, name) == 0) {
            model->family = (lspo_family_t)i;
            return LSPO_OK;
        }
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i > 0 ? ", " : "", name);
    }
    return lspo_error(LSPO_ERR_INPUT, "%s: model_type %s is none of %s", r->path, type ? type : "(missing)", known);
}

lspo_status_t lspo_hf_config_parse(const json_t *config, const char *path, uint32_t class_count,
                                   lspo_model_t *model_out)
{
    const lspo_hf_reader_t r = {.config = config, .path = path};
    lspo_model_t model = {0};
    if (lspo_hf_get(&r, "quantization_config"))
        return lspo_hf_refuse(&r, "quantization_config");
    lspo_status_t status = find_family(&r, &model);
    if (status != LSPO_OK)
        return status;
    const lspo_hf_family_t *family = lspo_hf_family(model.family);
    if (family->count_classes != NULL)
        status = family->count_classes(&r, class_count, &model.class_count);
    if (status == LSPO_OK)
        status = family->parse(&r, &model);
    if (status == LSPO_OK && class_count > 0 && family->count_classes == NULL)
        return lspo_error(LSPO_ERR_INPUT, "%s: a classifier needs a roberta, not a %s", path, family->model_type);
    if (status == LSPO_OK)
        *model_out = model;
    return status;
}

json_t *lspo_hf_config_make(const lspo_model_t *model)
{
    return lspo_hf_family(model->family)->make(model);
}
