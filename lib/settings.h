/* settings.h - keys and values of a query. */
#ifndef LSPO_LIB_SETTINGS_H
#define LSPO_LIB_SETTINGS_H

#include <stddef.h>

#include "ask/args.h"
#include "base/status.h"

/* The options of `lspo sim` that are keys, with an lspo_request_t as target; NULL-terminated. */
extern const lspo_arg_group_t *const lspo_library_options[];

/* Owned pairs of texts, in the order in which they were set. */
typedef struct {
    char *key, *value;
} lspo_setting_t;

typedef struct {
    lspo_setting_t *list;
    size_t count, capacity;
} lspo_settings_t;

/* Copies both texts. */
lspo_status_t lspo_settings_add(lspo_settings_t *settings, const char *key, const char *value);
lspo_status_t lspo_settings_copy(const lspo_settings_t *settings, lspo_settings_t *copy_out);
void lspo_settings_release(lspo_settings_t *settings);

#endif
