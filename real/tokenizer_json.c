#include "real/tokenizer_json.h"

#include <string.h>

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
    lspo_status_t status = LSPO_OK;
    json_array_foreach(json_object_get(object, members), index, member)
    {
        if (status == LSPO_OK)
            status = lspo_json_each(context, member, members, take);
    }
    return status;
}
