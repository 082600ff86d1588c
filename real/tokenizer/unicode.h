/* unicode.h - properties of characters, as the tokenizers library has them.
 *
 * Properties are those of utf8proc; unicode_table.h lists the characters for which the library's tables are newer or
 * older.  A byte that is not part of valid UTF-8 is treated as a character without a category.
 */
#ifndef LSPO_REAL_TOKENIZER_UNICODE_H
#define LSPO_REAL_TOKENIZER_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <utf8proc.h>

#include "base/buffer.h"

/* Length of the UTF-8 character at `at` < bytes, and its code point; 1 and UINT32_MAX for a byte that does not begin
 * one. */
size_t lspo_utf8_next(const char *text, size_t bytes, size_t at, uint32_t *code_out);
/* The offset of the first byte at or after `at` that is not part of valid UTF-8; `bytes` if all are valid. */
size_t lspo_utf8_valid_until(const char *text, size_t bytes, size_t at);
lspo_status_t lspo_utf8_append(lspo_buffer_t *out, uint32_t code);

utf8proc_category_t lspo_unicode_category(uint32_t code);
bool lspo_unicode_is_number(uint32_t code);
bool lspo_unicode_is_space(uint32_t code); /* White_Space */
bool lspo_unicode_is_word(uint32_t code);  /* \w: letters, marks, decimal numbers, connectors, joiners */
bool lspo_unicode_is_punctuation(uint32_t code);
/* The lower case of a character, 1 or 2 code points; returns their number. */
size_t lspo_unicode_lower(uint32_t code, uint32_t out[2]);

/* Marks that StripAccents removes; marks that BERT's normaliser removes; characters that the latter treats as
 * invisible. */
bool lspo_unicode_is_mark(uint32_t code);
bool lspo_unicode_is_nonspacing(uint32_t code);
bool lspo_unicode_is_invisible(uint32_t code);

/* Append, in the syntax of a PCRE2 class, the ranges of characters that are newer than Unicode 14 and whose category is
 * in `mask` (1 << category): those that \p{...} of an older PCRE2 lacks. */
lspo_status_t lspo_unicode_append_newer(uint32_t mask, lspo_buffer_t *out);

typedef enum { LSPO_NFC, LSPO_NFD, LSPO_NFKC, LSPO_NFKD } lspo_normal_form_t;

/* Append `text` in a normalisation form [Unicode Standard Annex 15]. */
lspo_status_t lspo_unicode_normalize(lspo_normal_form_t form, const char *text, size_t bytes, lspo_buffer_t *out);

#endif
