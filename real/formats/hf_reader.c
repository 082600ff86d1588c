/* hf_reader.c - read values of a config.json; see hf_family.h. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/json_file.h"
#include "real/formats/hf_family.h"

/* Absent and null are the same to Hugging Face's configurations. */
const json_t *lspo_hf_get(const lspo_hf_reader_t *r, const char *key)
{
    const json_t *value = json_object_get(r->config, key);
    return json_is_null(value) ? NULL : value;
}

lspo_status_t lspo_hf_refuse(const lspo_hf_reader_t *r, const char *key)
{
    char *value = lspo_json_print(json_object_get(r->config, key), JSON_ENCODE_ANY | JSON_COMPACT);
    lspo_status_t status =
        lspo_error(LSPO_ERR_INPUT, "%s: %s = %.80s is not supported", r->path, key, value ? value : "(missing)");
    free(value);
    return status;
}

lspo_status_t lspo_hf_differs(const lspo_hf_reader_t *r, const char *key, lspo_model_t *m)
{
    m->predict_only = true;
    return r->shapes_only ? LSPO_OK : lspo_hf_refuse(r, key);
}

/* The value is missing or not what it must be. */
static lspo_status_t refuse_range(const lspo_hf_reader_t *r, const char *key, const char *wanted)
{
    if (!lspo_hf_get(r, key))
        return lspo_error(LSPO_ERR_INPUT, "%s: %s is missing; it must be %s", r->path, key, wanted);
    char *value = lspo_json_print(json_object_get(r->config, key), JSON_ENCODE_ANY | JSON_COMPACT);
    lspo_status_t status =
        lspo_error(LSPO_ERR_INPUT, "%s: %s = %.80s is not %s", r->path, key, value ? value : "(too long)", wanted);
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
        return refuse_range(r, key, "an integer from 1 to 2147483647");
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

lspo_status_t lspo_hf_need_number(const lspo_hf_reader_t *r, const char *key, double *number_out)
{
    const json_t *value = lspo_hf_get(r, key);
    if (!json_is_number(value) || !(json_number_value(value) > 0.0))
        return refuse_range(r, key, "a positive number");
    *number_out = json_number_value(value);
    return LSPO_OK;
}

bool lspo_hf_take_flag(const lspo_hf_reader_t *r, const char *key, bool otherwise)
{
    const json_t *value = lspo_hf_get(r, key);
    return value ? json_is_true(value) : otherwise;
}

lspo_status_t lspo_hf_take_sizes(const lspo_hf_reader_t *r, const lspo_hf_size_t *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        lspo_status_t status = lspo_hf_take_size(r, fields[i].key, fields[i].otherwise, fields[i].size);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

lspo_status_t lspo_hf_check_flags(const lspo_hf_reader_t *r, const lspo_hf_flag_t *fields, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (lspo_hf_take_flag(r, fields[i].key, fields[i].wanted) != fields[i].wanted)
            return lspo_hf_refuse(r, fields[i].key);
    return LSPO_OK;
}

/* Check that the value, or its default, is one of two names. */
lspo_status_t lspo_hf_check_name(const lspo_hf_reader_t *r, const char *key, const char *otherwise, const char *a,
                                 const char *b)
{
    const json_t *value = lspo_hf_get(r, key);
    const char *text = value ? json_string_value(value) : otherwise;
    return text && (strcmp(text, a) == 0 || strcmp(text, b) == 0) ? LSPO_OK : lspo_hf_refuse(r, key);
}
