/* unicode.h - characters as the tokenizers library sees them.
 *
 * Properties are those of utf8proc; where the library's own tables are newer or older than utf8proc's, unicode_table.h
 * says what it makes of a character.  A byte that is no part of valid UTF-8 is a character of its own, of no category.
 */
#ifndef LSPO_REAL_TOKENIZER_UNICODE_H
#define LSPO_REAL_TOKENIZER_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <utf8proc.h>

#include "base/buffer.h"

/* Length of the UTF-8 character at `at` < bytes, 1 for a byte that begins none, and its code point (or UINT32_MAX). */
size_t lspo_utf8_next(const char *text, size_t bytes, size_t at, uint32_t *code_out);
/* Where the first byte at or after `at` lies that is no part of valid UTF-8; `bytes` when all is valid. */
size_t lspo_utf8_valid_until(const char *text, size_t bytes, size_t at);
lspo_status_t lspo_utf8_append(lspo_buffer_t *out, uint32_t code);

utf8proc_category_t lspo_unicode_category(uint32_t code);
bool lspo_unicode_is_number(uint32_t code);
bool lspo_unicode_is_space(uint32_t code); /* White_Space */
bool lspo_unicode_is_word(uint32_t code);  /* \w: letters, marks, decimal numbers, connectors, joiners */
bool lspo_unicode_is_punctuation(uint32_t code);
/* Small letters of a character: 1 or 2 code points; their number. */
size_t lspo_unicode_lower(uint32_t code, uint32_t out[2]);

/* Marks that StripAccents, and those that BERT's normaliser, takes off; what the latter takes for invisible. */
bool lspo_unicode_is_mark(uint32_t code);
bool lspo_unicode_is_nonspacing(uint32_t code);
bool lspo_unicode_is_invisible(uint32_t code);

/* Append the ranges of characters that came after Unicode 14 and whose category is in `mask` (1 << category) as PCRE2
 * writes them in a class: what \p{...} of an older PCRE2 leaves out. */
lspo_status_t lspo_unicode_append_newer(uint32_t mask, lspo_buffer_t *out);

typedef enum { LSPO_NFC, LSPO_NFD, LSPO_NFKC, LSPO_NFKD } lspo_normal_form_t;

/* Append `text` in a normal form [Unicode Standard Annex 15]. */
lspo_status_t lspo_unicode_normalize(lspo_normal_form_t form, const char *text, size_t bytes, lspo_buffer_t *out);

#endif
