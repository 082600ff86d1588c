/* word_split.h - where the words of a text end, as the patterns of byte-level tokenizers cut it.
 *
 * GPT2     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+       [Radford et al. 2019, encoder.py]
 * LLAMA3   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|
 *          \s+(?!\S)|\s+                                                                    [Llama 3, tokenizer.json]
 * QWEN2    as LLAMA3 with \p{N} for \p{N}{1,3}                                              [Qwen 2, tokenizer.json]
 *
 * Letters, numbers and blanks are those of Unicode (unicode_table.h).  A byte that is no part of valid UTF-8 counts as
 * one character that is none of them.
 */
#ifndef LSPO_REAL_WORD_SPLIT_H
#define LSPO_REAL_WORD_SPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { LSPO_SPLIT_NONE, LSPO_SPLIT_GPT2, LSPO_SPLIT_LLAMA3, LSPO_SPLIT_QWEN2 } lspo_word_split_t;

/* The split whose pattern this is, as tokenizer.json spells it; LSPO_SPLIT_NONE when it is none of them. */
lspo_word_split_t lspo_word_split_find(const char *pattern);

/* End of the word that begins at `at` < bytes; above `at`.  LSPO_SPLIT_NONE: bytes. */
size_t lspo_word_end(lspo_word_split_t split, const char *text, size_t bytes, size_t at);

/* Length of the UTF-8 character at `at` < bytes, 1 for a byte that begins none, and its code point (or UINT32_MAX). */
size_t lspo_utf8_next(const char *text, size_t bytes, size_t at, uint32_t *code_out);

/* Whether a code point is a blank (White_Space). */
bool lspo_is_blank(uint32_t code);

#endif
