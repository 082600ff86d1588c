/* roles.c - tokens that have a role or are otherwise special; see roles.h. */
#include "real/tokenizer/roles.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_file.h"
#include "real/tokenizer/json.h"

/* The order in which new tokens get their ids. */
static const char *const roles[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                    "pad_token", "cls_token", "mask_token"};

/* -- ids ----------------------------------------------------------------------------------------------------------- */

static json_int_t id_in_vocabulary(const json_t *vocabulary, const char *text)
{
    size_t index;
    json_t *pair;
    if (json_is_object(vocabulary)) {
        const json_t *id = json_object_get(vocabulary, text);
        return json_is_integer(id) ? json_integer_value(id) : -1;
    }
    json_array_foreach(vocabulary, index, pair)
    {
        const char *piece = json_string_value(json_array_get(pair, 0));
        if (piece && strcmp(piece, text) == 0)
            return (json_int_t)index;
    }
    return -1;
}

static size_t size_of(const json_t *vocabulary)
{
    return json_is_object(vocabulary) ? json_object_size(vocabulary) : json_array_size(vocabulary);
}

static const json_t *find_added(const json_t *added, const char *text)
{
    size_t index;
    json_t *token;
    json_array_foreach(added, index, token)
    {
        const char *content = lspo_json_text(token, "content");
        if (content && strcmp(content, text) == 0)
            return token;
    }
    return NULL;
}

/* The first id after the vocabulary and all added tokens. */
static json_int_t next_id(const json_t *vocabulary, const json_t *added)
{
    json_int_t next = (json_int_t)size_of(vocabulary);
    size_t index;
    json_t *token;
    json_array_foreach(added, index, token)
    {
        const json_int_t id = json_integer_value(json_object_get(token, "id"));
        next = id >= next ? id + 1 : next;
    }
    return next;
}

/* -- tokens -------------------------------------------------------------------------------------------------------- */

lspo_status_t lspo_roles_add_token(const char *path, const json_t *vocabulary, const char *text, const json_t *flags,
                                   json_t *added)
{
    if (*text == '\0' || find_added(added, text))
        return LSPO_OK;
    json_int_t id = id_in_vocabulary(vocabulary, text);
    id = id >= 0 ? id : next_id(vocabulary, added);
    json_t *token = json_pack("{s:s, s:I, s:b}", "content", text, "id", id, "special", !flags);
    int failed = !token;
    for (size_t i = 0; flags && i < 5 && !failed; i++) {
        static const char *const names[] = {"special", "normalized", "lstrip", "rstrip", "single_word"};
        const json_t *flag = json_object_get(flags, names[i]);
        failed = flag ? json_object_set(token, names[i], (json_t *)flag) : 0;
    }
    if (failed || json_array_append(added, token) != 0) {
        json_decref(token);
        return lspo_no_memory("%s", path);
    }
    json_decref(token);
    return LSPO_OK;
}

/* "</s>", or an object with the flags of an added token; always special. */
static lspo_status_t add_value(const char *path, const json_t *vocabulary, const json_t *value, json_t *added)
{
    const char *text = json_is_object(value) ? lspo_json_text(value, "content") : json_string_value(value);
    json_t *flags = json_is_object(value) ? lspo_json_copy(value) : NULL;
    if (!text)
        return LSPO_OK;
    if (json_is_object(value) && (!flags || json_object_set_new(flags, "special", json_true()) != 0)) {
        json_decref(flags);
        return lspo_no_memory("%s", path);
    }
    lspo_status_t status = lspo_roles_add_token(path, vocabulary, text, flags, added);
    json_decref(flags);
    return status;
}

/* A list, or {"name": token}. */
static lspo_status_t add_values(const char *path, const json_t *vocabulary, const json_t *values, json_t *added)
{
    const char *key;
    size_t index;
    json_t *value;
    json_array_foreach(values, index, value)
    {
        lspo_status_t status = add_value(path, vocabulary, value, added);
        if (status != LSPO_OK)
            return status;
    }
    if (!json_is_object(values))
        return LSPO_OK;
    json_object_foreach((json_t *)values, key, value)
    {
        lspo_status_t status = add_value(path, vocabulary, value, added);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

static int by_id(const void *a, const void *b)
{
    const long x = atol(*(const char *const *)a), y = atol(*(const char *const *)b);
    return (x > y) - (x < y);
}

/* {"50256": {"content": "<|endoftext|>", ...}}: in order of ids; an id must equal that of the vocabulary. */
static lspo_status_t add_listed(const char *path, const json_t *vocabulary, json_t *listed, json_t *added)
{
    lspo_status_t status = LSPO_OK;
    const char *key;
    json_t *value;
    size_t count = 0;
    const char **keys = calloc(json_object_size(listed) + 1, sizeof *keys);
    if (!keys)
        return lspo_no_memory("%s", path);
    json_object_foreach(listed, key, value)
    {
        keys[count++] = key;
    }
    qsort(keys, count, sizeof *keys, by_id);
    for (size_t i = 0; i < count; i++) {
        const json_t *flags = json_object_get(listed, keys[i]);
        const char *text = lspo_json_text(flags, "content");
        if (!text || *text == '\0')
            continue;
        status = lspo_roles_add_token(path, vocabulary, text, flags, added);
        const json_int_t id = json_integer_value(json_object_get(find_added(added, text), "id"));
        if (status != LSPO_OK)
            goto cleanup;
        if (id != atoll(keys[i])) {
            status = lspo_tokenizer_refuse(path, "added_tokens_decoder gives '%s' the id %s, the vocabulary %" PRId64,
                                           text, keys[i], (int64_t)id);
            goto cleanup;
        }
    }
cleanup:
    free(keys);
    return status;
}

static bool is_role(const char *key)
{
    bool found = false;
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        found |= strcmp(roles[i], key) == 0;
    return found;
}

/* A model's own roles, such as "image_token". */
static lspo_status_t add_other_roles(const char *path, const json_t *vocabulary, json_t *config, json_t *added)
{
    static const char ending[] = "_token";
    const char *key;
    json_t *value;
    json_object_foreach(config, key, value)
    {
        const size_t length = strlen(key), most = sizeof ending - 1;
        if (length <= most || strcmp(key + length - most, ending) != 0 || is_role(key))
            continue;
        lspo_status_t status = add_value(path, vocabulary, value, added);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

lspo_status_t lspo_roles_add(const char *path, const json_t *vocabulary, const json_t *config, json_t *added)
{
    lspo_status_t status = add_listed(path, vocabulary, json_object_get(config, "added_tokens_decoder"), added);
    if (status != LSPO_OK)
        return status;
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        status = add_value(path, vocabulary, json_object_get(config, roles[i]), added);
        if (status != LSPO_OK)
            return status;
    }
    status = add_values(path, vocabulary, json_object_get(config, "additional_special_tokens"), added);
    if (status != LSPO_OK)
        return status;
    status = add_values(path, vocabulary, json_object_get(config, "extra_special_tokens"), added);
    if (status != LSPO_OK)
        return status;
    return add_other_roles(path, vocabulary, (json_t *)config, added);
}
