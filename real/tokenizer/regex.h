/* regex.h - the regular expressions of tokenizer.json, which are Oniguruma's, matched by PCRE2.
 *
 * A pattern is rewritten where the two differ: classes within classes and && of classes, \h (a hexadecimal digit), \w,
 * \s, \d, \b and [:names:] by Oniguruma's definitions, ^ and $ at every line, (?m: for "a dot is any character", {,n},
 * \uHHHH.
 * General categories include characters that are newer than PCRE2's tables.  What the two see differently and is not
 * rewritten (absence, conditions, calls, \X, \G, \K, letters without regard to case that fold to several) is refused.
 */
#ifndef LSPO_REAL_TOKENIZER_REGEX_H
#define LSPO_REAL_TOKENIZER_REGEX_H

#include <stddef.h>

#include "base/buffer.h"

typedef struct lspo_regex lspo_regex_t;

/* LSPO_ERR_INPUT, naming `path` and the pattern, for what is no expression, is not supported or matches nothing at all
 * ("x*"). */
lspo_status_t lspo_regex_create(const char *path, const char *pattern, lspo_regex_t **regex_out);
void lspo_regex_destroy(lspo_regex_t *regex);

/* The first match in `bytes` bytes of valid UTF-8 that begins at or after `from`; *begin_out = bytes when there is
 * none. */
lspo_status_t lspo_regex_next(lspo_regex_t *regex, const char *text, size_t bytes, size_t from, size_t *begin_out,
                              size_t *end_out);

/* The pattern as PCRE2 reads it.  On failure *why_out is a static text. */
lspo_status_t lspo_regex_translate(const char *pattern, lspo_buffer_t *out, const char **why_out);

#endif
