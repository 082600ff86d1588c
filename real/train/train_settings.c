/* train_settings.c - check a training's options, and collect the settings that a resumed one must not change.  It uses
 * the tables of plan/record.h; tests/real/train/test_settings compares them with the flags of the command line. */
#include <inttypes.h>

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

/* Settings that only change rounding: the training continues, but not bit for bit. */
static void set_places(trainer_t *trainer)
{
    const lspo_train_options_t *options = trainer->options;
    lspo_settings_add(&trainer->settings, "device", "%s", options->device)->tolerated = true;
    lspo_settings_add(&trainer->settings, "sms", "%" PRIu32, options->caps.sms)->tolerated = true;
    lspo_settings_add(&trainer->settings, "BLAS kernels for", "%s", lspo_gemm_core())->tolerated = true;
}

void lspo_train_set_all(trainer_t *trainer)
{
    const lspo_train_options_t *options = trainer->options;
    lspo_settings_add_training(&trainer->settings, options->policy, &options->model, &options->workload);
    lspo_settings_add_record(&trainer->settings, "", option_fields, sizeof option_fields / sizeof option_fields[0],
                             options);
    lspo_settings_add(&trainer->settings, "export-weights", "%s", options->keep_best ? "best" : "last");
    lspo_settings_add(&trainer->settings, "data", "%016" PRIx64 ", %" PRIu64 " rows and %" PRIu64 " held out",
                      lspo_dataset_hash(options->data), lspo_dataset_train_rows(options->data),
                      lspo_dataset_held_out_rows(options->data));
    set_places(trainer);
}

void lspo_train_set_weights(trainer_t *trainer, const char *hash)
{
    lspo_settings_add(&trainer->settings, "weights", "%s", hash);
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
