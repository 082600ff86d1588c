/* settings.c - see settings.h. */
#include "lib/settings.h"

#include <stdlib.h>
#include <string.h>

#include "ask/request.h"
#include "base/array.h"

static const lspo_arg_t query_args[] = {
    {.name = "model",
     .value = "NAME|FILE|FOLDER",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_request_t, model_name)},
    {.name = "machine",
     .value = "NAME|FILE",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_request_t, machine_name)},
    {.name = "policy", .value = "NAME", .store = lspo_arg_text, .offset_bytes = offsetof(lspo_request_t, policy_name)},
    LSPO_TASK_ARG(offsetof(lspo_request_t, task)),
};
static const lspo_arg_group_t query_group = LSPO_ARG_GROUP("query", query_args);

const lspo_arg_group_t *const lspo_library_options[] = {&query_group,          &lspo_workload_group, &lspo_policy_group,
                                                        &lspo_framework_group, &lspo_override_group, NULL};

lspo_status_t lspo_settings_add(lspo_settings_t *settings, const char *key, const char *value)
{
    lspo_status_t status =
        lspo_array_grow(&settings->list, &settings->capacity, settings->count + 1, sizeof *settings->list, "settings");
    if (status != LSPO_OK)
        return status;
    lspo_setting_t setting = {strdup(key), strdup(value)};
    if (setting.key == NULL || setting.value == NULL) {
        free(setting.key);
        free(setting.value);
        return lspo_no_memory("the key %s", key);
    }
    settings->list[settings->count++] = setting;
    return LSPO_OK;
}

lspo_status_t lspo_settings_copy(const lspo_settings_t *settings, lspo_settings_t *copy_out)
{
    lspo_status_t status = LSPO_OK;
    *copy_out = (lspo_settings_t){0};
    for (size_t i = 0; status == LSPO_OK && i < settings->count; i++)
        status = lspo_settings_add(copy_out, settings->list[i].key, settings->list[i].value);
    if (status != LSPO_OK)
        lspo_settings_release(copy_out);
    return status;
}

void lspo_settings_release(lspo_settings_t *settings)
{
    for (size_t i = 0; i < settings->count; i++) {
        free(settings->list[i].key);
        free(settings->list[i].value);
    }
    free(settings->list);
    *settings = (lspo_settings_t){0};
}
