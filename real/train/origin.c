/* origin.c - a record of the training that wrote a metrics file; see origin.h. */
#include "real/train/origin.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json_file.h"
#include "base/output_file.h"

static const char format[] = "lspo training 1";

struct lspo_origin {
    json_t *object;
};

static char *path_beside(const char *path)
{
    char *beside = NULL;
    return asprintf(&beside, "%s.training", path) < 0 ? NULL : beside;
}

static bool is_ours(const json_t *object)
{
    const char *text = json_string_value(json_object_get(object, "format"));
    return text && strcmp(text, format) == 0;
}

/* An existing file that is not such a record belongs to the user. */
static bool may_write(const char *beside)
{
    json_t *object = NULL;
    json_error_t error;
    if (access(beside, F_OK) != 0)
        return true;
    object = json_load_file(beside, 0, &error);
    const bool ours = is_ours(object);
    json_decref(object);
    if (!ours)
        lspo_warn("%s exists, is not the settings of a training, and is kept; lspo join will not know which training "
                  "the metrics belong to",
                  beside);
    return ours;
}

static json_t *make_object(const char *model, const lspo_setting_t *settings, size_t count)
{
    json_t *values = json_object(), *object = json_pack("{s:s, s:s}", "format", format, "model", model);
    int failed = !values || !object;
    for (size_t i = 0; i < count && !failed; i++)
        failed = json_object_set_new(values, settings[i].key, json_string(settings[i].value));
    failed |= json_object_set_new(object, "settings", values);
    if (!failed)
        return object;
    json_decref(object);
    return NULL;
}

static lspo_status_t write_object(const char *beside, const json_t *object)
{
    lspo_output_t output;
    char *text = lspo_json_print(object, JSON_INDENT(2));
    if (!text)
        return lspo_no_memory("the settings beside %s", beside);
    lspo_status_t status = lspo_output_open(beside, &output);
    if (status != LSPO_OK)
        goto cleanup;
    fprintf(output.file, "%s\n", text);
    status = lspo_output_finish(&output, LSPO_OK);
cleanup:
    free(text);
    return status;
}

lspo_status_t lspo_origin_write(const char *path, const char *model, const lspo_setting_t *settings, size_t count)
{
    char *beside = path_beside(path);
    json_t *object = make_object(model, settings, count);
    lspo_status_t status = beside && object ? LSPO_OK : lspo_no_memory("the settings beside %s", path);
    if (status != LSPO_OK)
        goto cleanup;
    if (may_write(beside))
        status = write_object(beside, object);
cleanup:
    json_decref(object);
    free(beside);
    return status;
}

static lspo_status_t read_object(const char *beside, json_t **object_out)
{
    json_t *object = NULL;
    lspo_status_t status = lspo_json_file_read(beside, &object);
    if (status != LSPO_OK)
        return status;
    if (!is_ours(object) || !json_is_string(json_object_get(object, "model")) ||
        !json_is_object(json_object_get(object, "settings"))) {
        json_decref(object);
        return lspo_error(LSPO_ERR_INPUT, "%s: not the settings of a training, of the format '%s'", beside, format);
    }
    *object_out = object;
    return LSPO_OK;
}

lspo_status_t lspo_origin_read(const char *path, lspo_origin_t **origin_out)
{
    char *beside = path_beside(path);
    lspo_origin_t *origin = calloc(1, sizeof *origin);
    lspo_status_t status = LSPO_OK;
    if (!beside || !origin) {
        status = lspo_no_memory("the settings beside %s", path);
        goto failed;
    }
    const bool there = access(beside, F_OK) == 0;
    if (there)
        status = read_object(beside, &origin->object);
    if (status != LSPO_OK)
        goto failed;
    free(beside);
    if (!there) {
        free(origin);
        origin = NULL;
    }
    *origin_out = origin;
    return LSPO_OK;
failed:
    free(origin);
    free(beside);
    return status;
}

void lspo_origin_close(lspo_origin_t *origin)
{
    if (!origin)
        return;
    json_decref(origin->object);
    free(origin);
}

const char *lspo_origin_model(const lspo_origin_t *origin)
{
    return json_string_value(json_object_get(origin->object, "model"));
}

const char *lspo_origin_value(const lspo_origin_t *origin, const char *key)
{
    return json_string_value(json_object_get(json_object_get(origin->object, "settings"), key));
}
