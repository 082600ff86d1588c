/* json.h - small readers of the objects in tokenizer.json, and what is said of wrong ones. */
#ifndef LSPO_REAL_TOKENIZER_JSON_H
#define LSPO_REAL_TOKENIZER_JSON_H

#include <jansson.h>
#include <stdbool.h>

#include "base/status.h"

/* LSPO_ERR_INPUT: what the file at `path` says and cannot say. */
lspo_status_t lspo_tokenizer_refuse(const char *path, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Of "type"; "(no type)" when there is none. */
const char *lspo_json_type(const json_t *object);
bool lspo_json_is_type(const json_t *object, const char *type);
/* A flag that is absent or null has the default. */
bool lspo_json_flag(const json_t *object, const char *key, bool otherwise);
/* NULL when it is absent or no text. */
const char *lspo_json_text(const json_t *object, const char *key);

/* Call `take` for the object or, in order, for the members of a Sequence, which may hold others; nothing for null. */
lspo_status_t lspo_json_each(void *context, const json_t *object, const char *members,
                             lspo_status_t (*take)(void *context, const json_t *member));

/* The path of a file in a folder, the caller's to free; NULL without memory. */
char *lspo_path_in(const char *folder, const char *name);
/* The object of an optional file of a folder; as it was when there is none. */
lspo_status_t lspo_json_load_optional(const char *folder, const char *name, json_t **object_out);

#endif
