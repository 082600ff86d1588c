/* settings.c - see settings.h. */
#include "real/train/settings.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

lspo_setting_t *lspo_settings_add(lspo_settings_t *settings, const char *key, const char *format, ...)
{
    lspo_setting_t *setting = &settings->list[settings->count++];
    va_list values;
    *setting = (lspo_setting_t){0};
    snprintf(setting->key, sizeof setting->key, "%s", key);
    va_start(values, format);
    vsnprintf(setting->value, sizeof setting->value, format, values);
    va_end(values);
    return setting;
}

void lspo_settings_add_record(lspo_settings_t *settings, const char *prefix, const lspo_record_field_t *fields,
                              size_t count, const void *record)
{
    for (size_t i = 0; i < count; i++) {
        char key[sizeof settings->list[0].key], value[sizeof settings->list[0].value];
        if (fields[i].free)
            continue;
        snprintf(key, sizeof key, "%s%s", prefix, fields[i].name);
        lspo_record_format(&fields[i], record, value, sizeof value);
        lspo_settings_add(settings, key, "%s", value);
    }
}

static void add_own(lspo_settings_t *settings, const lspo_policy_t *policy, const lspo_workload_t *workload)
{
    for (size_t i = 0; policy->parameters != NULL && i < policy->parameters->count; i++) {
        const lspo_parameter_t *parameter = policy->parameters->uses[i].parameter;
        char value[sizeof settings->list[0].value], preset[sizeof value];
        if (!(parameter->affects & LSPO_AFFECTS_NUMBERS))
            continue;
        lspo_parameter_format(parameter, lspo_policy_value(policy, workload, parameter), value, sizeof value);
        lspo_parameter_default_text(parameter, preset, sizeof preset);
        lspo_setting_t *setting = lspo_settings_add(settings, parameter->key, "%s", value);
        setting->unnamed = parameter->unnamed;
        setting->preset = strcmp(value, parameter->unnamed != NULL ? parameter->unnamed : preset) == 0;
    }
}

void lspo_settings_add_training(lspo_settings_t *settings, const lspo_policy_t *policy, const lspo_model_t *model,
                                const lspo_workload_t *workload)
{
    lspo_settings_add(settings, "policy", "%s", policy->name);
    lspo_settings_add_record(settings, "model ", lspo_model_fields, lspo_model_field_count, model);
    lspo_settings_add_record(settings, "", lspo_workload_fields, lspo_workload_field_count, workload);
    add_own(settings, policy, workload);
}
