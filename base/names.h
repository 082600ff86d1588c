/* names.h - names that a user types: models, machines, policies, devices, commands, options and their values. */
#ifndef LSPO_BASE_NAMES_H
#define LSPO_BASE_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/* Edits that make `a` into `b`: a character inserted, deleted or replaced, or two neighbours that change places; upper
 * and lower case are the same [Levenshtein 1966].  Only the first 128 bytes of each count. */
size_t lspo_name_distance(const char *a, const char *b);

/* The name that takes the fewest edits to become `text`, or NULL when none is near. */
const char *lspo_name_nearest(const char *text, const char *const *names, size_t count);

/* Refuse `text` as `what` ("--format", "policy"): logs the valid names and the nearest one, returns LSPO_ERR_INPUT.
 * `also` says what else it could have been, or is NULL. */
lspo_status_t lspo_name_refuse(const char *what, const char *text, const char *const *names, size_t count,
                               const char *also);

/* Does `text` look like a file or folder, not like a name: "./gpt2", "a/b", "host.ini"? */
bool lspo_name_is_path(const char *text);

#endif
