/* json.c - small helpers to read objects in tokenizer.json and to report errors in them; see json.h. */
#include "real/tokenizer/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json_file.h"

lspo_status_t lspo_tokenizer_refuse(const char *path, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return lspo_error(LSPO_ERR_INPUT, "%s: %s", path, text);
}

const char *lspo_json_type(const json_t *object)
{
    const char *type = json_string_value(json_object_get(object, "type"));
    return type ? type : "(no type)";
}

bool lspo_json_is_type(const json_t *object, const char *type)
{
    return strcmp(lspo_json_type(object), type) == 0;
}

bool lspo_json_flag(const json_t *object, const char *key, bool otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

const char *lspo_json_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

lspo_status_t lspo_json_each(void *context, const json_t *object, const char *members,
                             lspo_status_t (*take)(void *context, const json_t *member))
{
    size_t index;
    json_t *member;
    if (!object || json_is_null(object))
        return LSPO_OK;
    if (!lspo_json_is_type(object, "Sequence"))
        return take(context, object);
    json_array_foreach(json_object_get(object, members), index, member)
    {
        lspo_status_t status = lspo_json_each(context, member, members, take);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

char *lspo_path_in(const char *folder, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

lspo_status_t lspo_json_load_optional(const char *folder, const char *name, json_t **object_out)
{
    char *path = lspo_path_in(folder, name);
    lspo_status_t status = LSPO_OK;
    if (!path)
        return lspo_no_memory("the name of %s", folder);
    if (access(path, F_OK) == 0)
        status = lspo_json_file_read(path, object_out);
    free(path);
    return status;
}
