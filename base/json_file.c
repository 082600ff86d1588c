/* json_file.c - read a JSON object from a file that the user names; see json_file.h. */
#include "base/json_file.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/input_file.h"

/* Files of tokenizers with a million tokens have 100 MB. */
enum { JSON_MAX_BYTES = 1 << 30 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local bool watches, lacked_memory, shares;

bool lspo_json_share(bool shared)
{
    bool before = shares;
    shares = shared;
    return before;
}

/* One failure is followed by others: jansson 2.14 forgets a byte that its buffer had no memory for, and where that was
 * the quote behind a string it would copy what lies behind the buffer into memory that it gets next. */
static void *allocate(size_t bytes)
{
    void *memory = watches && lacked_memory ? NULL : malloc(bytes);
    lacked_memory |= !memory;
    return memory;
}

static void watch_memory(void)
{
    json_set_alloc_funcs(allocate, free);
}

/* Parse twice.  A text that lost a part may be no JSON, or be another value. */
static json_t *parse_again(const char *text, size_t bytes, size_t flags, json_error_t *error, bool *no_memory_out)
{
    json_error_t second;
    json_t *value = json_loadb(text, bytes, flags, error), *again = json_loadb(text, bytes, flags, &second);
    bool same = value != NULL && again != NULL ? json_equal(value, again) : value == again;
    *no_memory_out = !same || (value == NULL && json_error_code(&second) == json_error_out_of_memory);
    json_decref(again);
    if (same)
        return value;
    json_decref(value);
    return NULL;
}

/* Print twice, and copy, since what jansson allocates only its own function may free. */
static char *print_again(const json_t *value, size_t flags)
{
    json_malloc_t allocate_text;
    json_free_t free_text;
    json_get_alloc_funcs(&allocate_text, &free_text);
    char *text = json_dumps(value, flags), *again = json_dumps(value, flags);
    bool same = text != NULL && again != NULL && strcmp(text, again) == 0;
    char *copy = same ? strdup(text) : NULL;
    free_text(text);
    free_text(again);
    return copy;
}

/* Start to watch the allocations of this thread for failures. */
static void start_watching(void)
{
    pthread_once(&once, watch_memory);
    lacked_memory = false;
    watches = true;
}

/* Has any failed? */
static bool stop_watching(void)
{
    watches = false;
    return lacked_memory;
}

json_t *lspo_json_parse(const char *text, size_t bytes, size_t flags, json_error_t *error, bool *no_memory_out)
{
    if (shares)
        return parse_again(text, bytes, flags, error, no_memory_out);
    start_watching();
    json_t *value = json_loadb(text, bytes, flags, error);
    *no_memory_out = stop_watching();
    if (!*no_memory_out)
        return value;
    json_decref(value);
    return NULL;
}

char *lspo_json_print(const json_t *value, size_t flags)
{
    if (!value)
        return NULL;
    if (shares)
        return print_again(value, flags);
    start_watching();
    char *text = json_dumps(value, flags);
    if (!stop_watching())
        return text;
    free(text);
    return NULL;
}

json_t *lspo_json_copy(const json_t *value)
{
    if (!value)
        return NULL;
    if (!shares)
        start_watching();
    json_t *copy = json_deep_copy(value);
    if (shares ? json_equal(copy, value) : !stop_watching())
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
