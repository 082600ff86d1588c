/* json.h - small helpers to read objects in tokenizer.json and to report errors in them. */
#ifndef LSPO_REAL_TOKENIZER_JSON_H
#define LSPO_REAL_TOKENIZER_JSON_H

#include <jansson.h>
#include <stdbool.h>

#include "base/status.h"

/* Report what is wrong in the file at `path`; returns LSPO_ERR_INPUT. */
lspo_status_t lspo_tokenizer_refuse(const char *path, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The value of "type"; "(no type)" if there is none. */
const char *lspo_json_type(const json_t *object);
bool lspo_json_is_type(const json_t *object, const char *type);
/* A flag; `otherwise` if it is absent or null. */
bool lspo_json_flag(const json_t *object, const char *key, bool otherwise);
/* A string; NULL if it is absent or not a string. */
const char *lspo_json_text(const json_t *object, const char *key);

/* Call `take` for the object or, if it is a Sequence, for its members in order, also in nested ones; does nothing for
 * null. */
lspo_status_t lspo_json_each(void *context, const json_t *object, const char *members,
                             lspo_status_t (*take)(void *context, const json_t *member));

/* The path of a file in a folder, which the caller frees; NULL if out of memory. */
char *lspo_path_in(const char *folder, const char *name);
/* Read an optional file of a folder; *object_out is unchanged if there is none. */
lspo_status_t lspo_json_load_optional(const char *folder, const char *name, json_t **object_out);

#endif
