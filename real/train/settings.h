/* settings.h - the settings of a training that a resumed one must not change, as texts (real/train/checkpoint.h). */
#ifndef LSPO_REAL_TRAIN_SETTINGS_H
#define LSPO_REAL_TRAIN_SETTINGS_H

#include "plan/policy.h"
#include "plan/record.h"
#include "real/train/checkpoint.h"

enum { LSPO_SETTINGS_MAX = 80 };

typedef struct {
    lspo_setting_t list[LSPO_SETTINGS_MAX];
    size_t count;
} lspo_settings_t;

/* The new one, at the end. */
__attribute__((format(printf, 3, 4))) lspo_setting_t *lspo_settings_add(lspo_settings_t *settings, const char *key,
                                                                        const char *format, ...);
/* All fields that are not free, with `prefix` before their names. */
void lspo_settings_add_record(lspo_settings_t *settings, const char *prefix, const lspo_record_field_t *fields,
                              size_t count, const void *record);
/* Policy, model, workload and the policy's own settings, if they affect the numbers. */
void lspo_settings_add_training(lspo_settings_t *settings, const lspo_policy_t *policy, const lspo_model_t *model,
                                const lspo_workload_t *workload);

#endif
