/* json_file.c - read a JSON object from a file that the user names; see json_file.h. */
#include "base/json_file.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/input_file.h"

/* Files of tokenizers with a million tokens have 100 MB. */
enum { JSON_MAX_BYTES = 1 << 30 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local bool lacked_memory;

static void *allocate(size_t bytes)
{
    void *memory = malloc(bytes);
    lacked_memory |= !memory;
    return memory;
}

static void watch_memory(void)
{
    json_set_alloc_funcs(allocate, free);
}

/* Start to watch the allocations of this thread for failures. */
static void start_watching(void)
{
    pthread_once(&once, watch_memory);
    lacked_memory = false;
}

json_t *lspo_json_parse(const char *text, size_t bytes, size_t flags, json_error_t *error, bool *no_memory_out)
{
    start_watching();
    json_t *value = json_loadb(text, bytes, flags, error);
    *no_memory_out = lacked_memory;
    if (!lacked_memory)
        return value;
    json_decref(value);
    return NULL;
}

char *lspo_json_print(const json_t *value, size_t flags)
{
    if (!value)
        return NULL;
    start_watching();
    char *text = json_dumps(value, flags);
    if (!lacked_memory)
        return text;
    free(text);
    return NULL;
}

json_t *lspo_json_copy(const json_t *value)
{
    if (!value)
        return NULL;
    start_watching();
    json_t *copy = json_deep_copy(value);
    if (!lacked_memory)
        return copy;
    json_decref(copy);
    return NULL;
}

lspo_status_t lspo_json_file_read(const char *path, json_t **object_out)
{
    char *text = NULL;
    size_t bytes = 0;
    json_error_t error;
    lspo_status_t status = lspo_input_read_file(path, JSON_MAX_BYTES, &text, &bytes);
    if (status != LSPO_OK)
        return status;
    if (bytes == 0) {
        free(text);
        return lspo_input_refuse_empty(path);
    }
    bool no_memory;
    json_t *object = lspo_json_parse(text, bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error, &no_memory);
    free(text);
    if (no_memory)
        return lspo_no_memory("%s", path);
    if (!object)
        return lspo_error(LSPO_ERR_INPUT, "%s:%d: %s", path, error.line, error.text);
    if (!json_is_object(object)) {
        json_decref(object);
        return lspo_error(LSPO_ERR_INPUT, "%s: not a JSON object", path);
    }
    *object_out = object;
    return LSPO_OK;
}
