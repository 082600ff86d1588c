/* names.h - look up names that a user types (models, machines, policies, devices, commands, options, values) and
 * suggest the nearest valid one. */
#ifndef LSPO_BASE_NAMES_H
#define LSPO_BASE_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/* Twice the number of edits from what was typed to what may be meant: a character inserted, deleted or replaced, or two
 * neighbours swapped; case is ignored [Damerau 1964].  A mark such as '-' counts half, a digit that was typed and is
 * not meant five times as much as a mark: rtx3060ti is rtx3060 rather than rtx3090ti.  Only the first 128 bytes of each
 * count. */
size_t lspo_name_distance(const char *typed, const char *meant);

/* The name with the fewest edits to `text`, or NULL if none is near. */
const char *lspo_name_nearest(const char *text, const char *const *names, size_t count);

/* Refuse `text` as `what` ("--format", "policy"): logs the valid names and the nearest one, returns LSPO_ERR_INPUT.
 * `also` says what else is valid, or is NULL. */
lspo_status_t lspo_name_refuse(const char *what, const char *text, const char *const *names, size_t count,
                               const char *also);

/* The same where there are too many names for a message; `lspo list LIST` has them. */
lspo_status_t lspo_name_refuse_listed(const char *what, const char *text, const char *const *names, size_t count,
                                      const char *list, const char *also);

/* Does `text` look like a file or folder ("./gpt2", "a/b", "host.ini") and not like a name? */
bool lspo_name_is_path(const char *text);

#endif
