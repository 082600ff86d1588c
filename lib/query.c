/* query.c - queries; see lspo.h. */
#include <stdlib.h>
#include <string.h>

#include "ask/args.h"
#include "lib/allocator.h"
#include "lib/handles.h"

int lspo_query_create(lspo_context *context, lspo_query **query_out)
{
    lspo_call_t call = lspo_call_begin(context);
    *query_out = calloc(1, sizeof **query_out);
    if (*query_out == NULL)
        return lspo_call_end(&call, lspo_no_memory("a query"));
    (*query_out)->context = context;
    return lspo_call_end(&call, LSPO_OK);
}

void lspo_query_destroy(lspo_query *query)
{
    if (query == NULL)
        return;
    const lspo_options *before = lspo_allocator_use(&query->context->options);
    lspo_settings_release(&query->settings);
    free(query);
    (void)lspo_allocator_use(before);
}

/* The setting that a new one of `key` replaces; NULL: none. */
static lspo_setting_t *find_replaced(lspo_settings_t *settings, const char *key)
{
    for (size_t i = 0; i < settings->count && strcmp(key, "set") != 0; i++)
        if (strcmp(settings->list[i].key, key) == 0)
            return &settings->list[i];
    return NULL;
}

lspo_status_t lspo_query_store(lspo_query *query, const char *key, const char *value)
{
    if (key == NULL || value == NULL)
        return lspo_error(LSPO_ERR_INPUT, "%s is NULL", key == NULL ? "a key" : key);
    lspo_status_t status = lspo_args_check_name(lspo_library_options, key);
    if (status != LSPO_OK)
        return status;
    lspo_setting_t *replaced = find_replaced(&query->settings, key);
    if (replaced == NULL)
        return lspo_settings_add(&query->settings, key, value);
    char *copy = strdup(value);
    if (copy == NULL)
        return lspo_no_memory("the key %s", key);
    free(replaced->value);
    replaced->value = copy;
    return LSPO_OK;
}

int lspo_query_set(lspo_query *query, const char *key, const char *value)
{
    lspo_call_t call = lspo_call_begin(query->context);
    return lspo_call_end(&call, lspo_query_store(query, key, value));
}

int lspo_query_predict(lspo_query *query, lspo_reply **reply_out)
{
    *reply_out = NULL;
    lspo_call_t call = lspo_call_begin(query->context);
    return lspo_call_end(&call, lspo_reply_create(query, reply_out));
}
