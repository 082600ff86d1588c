/* regex.h - match the regular expressions of tokenizer.json, in Oniguruma's syntax, with PCRE2.
 *
 * A pattern is rewritten where the two syntaxes differ: classes within classes and && of classes, \h (a hexadecimal
 * digit), \w, \s, \d, \b and [:names:] by Oniguruma's definitions, ^ and $ at every line, (?m: for "a dot is any
 * character", {,n}, \uHHHH. General categories include characters that are newer than PCRE2's tables.  Other constructs
 * that the two treat differently (absence, conditions, calls, \X, \G, \K, caseless letters that fold to several) are
 * refused.
 */
#ifndef LSPO_REAL_TOKENIZER_REGEX_H
#define LSPO_REAL_TOKENIZER_REGEX_H

#include <stddef.h>

#include "base/buffer.h"

typedef struct lspo_regex lspo_regex_t;

/* LSPO_ERR_INPUT, naming `path` and the pattern, if the pattern is invalid, not supported, or can match an empty text
 * ("x*"). */
lspo_status_t lspo_regex_create(const char *path, const char *pattern, lspo_regex_t **regex_out);
void lspo_regex_destroy(lspo_regex_t *regex);

/* The first match in `bytes` bytes of valid UTF-8 that begins at or after `from`; *begin_out = bytes if there is
 * none. */
lspo_status_t lspo_regex_next(lspo_regex_t *regex, const char *text, size_t bytes, size_t from, size_t *begin_out,
                              size_t *end_out);

/* The pattern in PCRE2's syntax.  On failure *why_out is a static text. */
lspo_status_t lspo_regex_translate(const char *pattern, lspo_buffer_t *out, const char **why_out);

#endif
