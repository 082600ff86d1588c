/* split.h - how a tokenizer cuts a normalised text into words: the "pre_tokenizer" of tokenizer.json. */
#ifndef LSPO_REAL_TOKENIZER_SPLIT_H
#define LSPO_REAL_TOKENIZER_SPLIT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

#define LSPO_METASPACE "\xe2\x96\x81" /* U+2581, which stands for a blank in SentencePiece's vocabularies */

typedef struct lspo_splitter lspo_splitter_t;

/* Takes a word; any status but LSPO_OK ends the cutting. */
typedef lspo_status_t (*lspo_word_function_t)(void *context, const char *word, size_t bytes);

/* ByteLevel, Metaspace, Split, Digits, Punctuation, Whitespace, WhitespaceSplit, CharDelimiterSplit, BertPreTokenizer,
 * and Sequence of them; null leaves the text whole.  LSPO_ERR_INPUT, naming `path`, for others. */
lspo_status_t lspo_splitter_create(const char *path, const json_t *object, lspo_splitter_t **splitter_out);
void lspo_splitter_destroy(lspo_splitter_t *splitter);

/* Whether words are spelled in GPT-2's alphabet of bytes; whether blanks are U+2581, and then whether a word gets one
 * in front.  For decoding. */
bool lspo_splitter_is_byte_level(const lspo_splitter_t *splitter);
bool lspo_splitter_is_metaspace(const lspo_splitter_t *splitter, bool *prepends_out);

/* Whether it makes a difference that a word begins what the user gave. */
bool lspo_splitter_asks_for_first(const lspo_splitter_t *splitter);

/* Calls `take` for each word of `text`, in order; with `first` it is the beginning of what the user gave.  In little
 * memory, however long the text. */
lspo_status_t lspo_splitter_apply(lspo_splitter_t *splitter, const char *text, size_t bytes, bool first,
                                  lspo_word_function_t take, void *context);

#endif
