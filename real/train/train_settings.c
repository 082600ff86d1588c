/* train_settings.c - check a training's options, and collect the settings that a resumed one must not change.  It uses
 * the tables of plan/record.h; tests/real/train/test_settings compares them with the flags of the command line. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kernels/gemm.h"
#include "plan/policy.h"
#include "real/train/train_state.h"

#define FIELD(flag, field, kind_name)                                                                                  \
    .name = flag, .offset_bytes = offsetof(lspo_train_options_t, field), .kind = LSPO_RECORD_##kind_name

/* The number of steps is not here: see adopt() in train_save.c. */
static const lspo_record_field_t option_fields[] = {
    {FIELD("warmup-steps", warmup_steps, U32)}, {FIELD("min-lr", min_learning_rate, REAL)},
    {FIELD("eval-every", eval_every, U32)},     {FIELD("eval-batches", eval_batches, U32)},
    {FIELD("patience", patience, U32)},
};

__attribute__((format(printf, 3, 4))) static lspo_setting_t *set(trainer_t *trainer, const char *key,
                                                                 const char *format, ...)
{
    lspo_setting_t *setting = &trainer->settings[trainer->setting_count++];
    va_list values;
    *setting = (lspo_setting_t){0};
    snprintf(setting->key, sizeof setting->key, "%s", key);
    va_start(values, format);
    vsnprintf(setting->value, sizeof setting->value, format, values);
    va_end(values);
    return setting;
}

static void set_record(trainer_t *trainer, const char *prefix, const lspo_record_field_t *fields, size_t count,
                       const void *record)
{
    for (size_t i = 0; i < count; i++) {
        char key[sizeof trainer->settings[0].key], value[sizeof trainer->settings[0].value];
        if (fields[i].free)
            continue;
        snprintf(key, sizeof key, "%s%s", prefix, fields[i].name);
        lspo_record_format(&fields[i], record, value, sizeof value);
        set(trainer, key, "%s", value);
    }
}

/* The policy's own settings. */
static void set_own(trainer_t *trainer)
{
    const lspo_policy_t *policy = trainer->options->policy;
    for (size_t i = 0; policy->parameters != NULL && i < policy->parameters->count; i++) {
        const lspo_parameter_t *parameter = policy->parameters->uses[i].parameter;
        char value[sizeof trainer->settings[0].value], preset[sizeof value];
        if (!(parameter->affects & LSPO_AFFECTS_NUMBERS))
            continue;
        lspo_parameter_format(parameter, lspo_policy_value(policy, &trainer->options->workload, parameter), value,
                              sizeof value);
        lspo_parameter_default_text(parameter, preset, sizeof preset);
        lspo_setting_t *setting = set(trainer, parameter->key, "%s", value);
        setting->unnamed = parameter->unnamed;
        setting->preset = strcmp(value, parameter->unnamed != NULL ? parameter->unnamed : preset) == 0;
    }
}

/* Settings that only change rounding: the training continues, but not bit for bit. */
static void set_places(trainer_t *trainer)
{
    const lspo_train_options_t *options = trainer->options;
    set(trainer, "device", "%s", options->device)->tolerated = true;
    set(trainer, "sms", "%" PRIu32, options->caps.sms)->tolerated = true;
    set(trainer, "BLAS kernels for", "%s", lspo_gemm_core())->tolerated = true;
}

void lspo_train_set_all(trainer_t *trainer)
{
    const lspo_train_options_t *options = trainer->options;
    set(trainer, "policy", "%s", options->policy->name);
    set_record(trainer, "model ", lspo_model_fields, lspo_model_field_count, &options->model);
    set_record(trainer, "", lspo_workload_fields, lspo_workload_field_count, &options->workload);
    set_own(trainer);
    set_record(trainer, "", option_fields, sizeof option_fields / sizeof option_fields[0], options);
    set(trainer, "export-weights", "%s", options->keep_best ? "best" : "last");
    set(trainer, "data", "%016" PRIx64 ", %" PRIu64 " rows and %" PRIu64 " held out", lspo_dataset_hash(options->data),
        lspo_dataset_train_rows(options->data), lspo_dataset_held_out_rows(options->data));
    set_places(trainer);
}

void lspo_train_set_weights(trainer_t *trainer, const char *hash)
{
    set(trainer, "weights", "%s", hash);
}

lspo_status_t lspo_train_check_options(const lspo_train_options_t *options)
{
    if (options->steps == 0)
        return lspo_error(LSPO_ERR_INPUT, "a training needs at least one step");
    if (options->warmup_steps >= options->steps)
        return lspo_error(LSPO_ERR_INPUT,
                          "--warmup-steps %" PRIu32 " must be below the %" PRIu32 " steps of the training",
                          options->warmup_steps, options->steps);
    if (!(options->min_learning_rate >= 0 && options->min_learning_rate <= options->workload.learning_rate))
        return lspo_error(LSPO_ERR_INPUT, "--min-lr %g must be from 0 to --learning-rate %g",
                          options->min_learning_rate, options->workload.learning_rate);
    if (options->resume && !options->output)
        return lspo_error(LSPO_ERR_INPUT, "--resume needs --output, the folder of the checkpoints");
    if (options->patience > 0 && (options->eval_every == 0 || lspo_dataset_held_out_rows(options->data) == 0))
        return lspo_error(LSPO_ERR_INPUT, "--patience needs --eval-every and held-out data");
    if (options->save && options->policy->stands_apart)
        return lspo_error(LSPO_ERR_INPUT,
                          "policy %s trains adapters that the model's weights cannot hold: there is nothing to export "
                          "or to sample from; --output keeps them in checkpoints",
                          options->policy->name);
    return LSPO_OK;
}
