/* split.h - the "pre_tokenizer" of tokenizer.json, which splits a normalised text into words. */
#ifndef LSPO_REAL_TOKENIZER_SPLIT_H
#define LSPO_REAL_TOKENIZER_SPLIT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

#define LSPO_METASPACE "\xe2\x96\x81" /* U+2581, a blank in SentencePiece's vocabularies */

typedef struct lspo_splitter lspo_splitter_t;

/* Takes a word; any status other than LSPO_OK ends the split. */
typedef lspo_status_t (*lspo_word_function_t)(void *context, const char *word, size_t bytes);

/* ByteLevel, Metaspace, Split, Digits, Punctuation, Whitespace, WhitespaceSplit, CharDelimiterSplit, BertPreTokenizer,
 * and Sequence of them; null does not split the text.  LSPO_ERR_INPUT, naming `path`, for others. */
lspo_status_t lspo_splitter_create(const char *path, const json_t *object, lspo_splitter_t **splitter_out);
void lspo_splitter_destroy(lspo_splitter_t *splitter);

/* Whether words are in GPT-2's byte characters; whether blanks are U+2581, and whether one is put before a word.  For
 * decoding. */
bool lspo_splitter_is_byte_level(const lspo_splitter_t *splitter);
bool lspo_splitter_is_metaspace(const lspo_splitter_t *splitter, bool *prepends_out);

/* Whether it matters that a word is at the start of the user's text. */
bool lspo_splitter_asks_for_first(const lspo_splitter_t *splitter);

/* Calls `take` for each word of `text`, in order; `first`: this is the start of the user's text.  Needs little memory
 * for any length of text. */
lspo_status_t lspo_splitter_apply(lspo_splitter_t *splitter, const char *text, size_t bytes, bool first,
                                  lspo_word_function_t take, void *context);

#endif
