/* regex_sets.h - named sets of characters: \p{L}, \w, [:alpha:], ... */
#ifndef LSPO_REAL_TOKENIZER_REGEX_SETS_H
#define LSPO_REAL_TOKENIZER_REGEX_SETS_H

#include <stdbool.h>

#include "base/buffer.h"

/* Append the set that Oniguruma knows by `name` (blanks, - and _ taken out) as the inside of a class of PCRE2,
 * characters newer than PCRE2's tables included.  `caseless`: matched without regard to case.  On failure *why_out is a
 * static text. */
lspo_status_t lspo_regex_put_set(const char *name, bool caseless, lspo_buffer_t *out, const char **why_out);
/* What that inside has and the set has not (a character that is of another category now), as an inside, or NULL. */
const char *lspo_regex_set_lacks(const char *name);

#endif
