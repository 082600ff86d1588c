/* regex_sets.h - named sets of characters: \p{L}, \w, [:alpha:], ... */
#ifndef LSPO_REAL_TOKENIZER_REGEX_SETS_H
#define LSPO_REAL_TOKENIZER_REGEX_SETS_H

#include <stdbool.h>

#include "base/buffer.h"

/* Append Oniguruma's set `name` (without blanks, - and _) as the inside of a PCRE2 character class, including
 * characters that are newer than PCRE2's tables.  `caseless`: the match ignores case.  On failure *why_out is a static
 * text. */
lspo_status_t lspo_regex_put_set(const char *name, bool caseless, lspo_buffer_t *out, const char **why_out);
/* The characters that the inside contains but the set does not (their category has changed), as the inside of a class,
 * or NULL. */
const char *lspo_regex_set_lacks(const char *name);

#endif
