/* tokenizer.h - text to token ids and back, as Hugging Face's tokenizers does it.
 *
 * A folder's tokenizer.json is read when it is there, else vocab.json + merges.txt (GPT-2's and RoBERTa's).  Encoding:
 * added tokens ("<s>", "<|endoftext|>") are cut out; the rest is normalised (normal.h), cut into words
 * (split.h), and each word becomes ids by a model: BPE (bpe.c), WordPiece, Unigram or WordLevel
 * (pieces.c).
 *
 * Anything in tokenizer.json that would change ids and is not known here is refused by name, so that ids are either
 * equal to those of the original or there are none: they were compared on every code point of Unicode (tests/peers).
 * Truncation and padding are not applied.  A byte that is no UTF-8, which the original never sees, is a character of
 * its own.  Decoding gives the bytes that tokens stand for; where these are no UTF-8, Hugging Face's decoder puts
 * U+FFFD in their place.
 *
 * A tokenizer caches words that it has met: one thread at a time.
 */
#ifndef LSPO_REAL_TOKENIZER_TOKENIZER_H
#define LSPO_REAL_TOKENIZER_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct lspo_tokenizer lspo_tokenizer_t;

#define LSPO_TOKEN_NONE UINT32_MAX

/* LSPO_ERR_INPUT when the folder has no tokenizer, or one that is broken or not supported; the message names the file
 * and the part. */
lspo_status_t lspo_tokenizer_open(const char *folder, lspo_tokenizer_t **tokenizer_out);
/* The tokenizer of a model's folder; NULL where the folder has no sign of one and a token can be a byte: `vocabulary`
 * holds the 256 bytes and not many more ids.  LSPO_ERR_INPUT for any other folder. */
lspo_status_t lspo_tokenizer_open_model(const char *folder, uint32_t vocabulary, lspo_tokenizer_t **tokenizer_out);
void lspo_tokenizer_close(lspo_tokenizer_t *tokenizer);

/* "bpe", "wordpiece", "unigram" or "wordlevel"; static. */
const char *lspo_tokenizer_kind(const lspo_tokenizer_t *tokenizer);
/* Number of ids: the highest + 1. */
uint32_t lspo_tokenizer_vocabulary(const lspo_tokenizer_t *tokenizer);
/* The id of a token as it stands in the vocabulary; LSPO_TOKEN_NONE when there is none. */
uint32_t lspo_tokenizer_id(const lspo_tokenizer_t *tokenizer, const char *token);
/* What the tokenizer itself puts before a text ("<s>", ...): its post-processor says so, or add_bos_token in
 * tokenizer_config.json, which has the last word; LSPO_TOKEN_NONE when nothing. */
uint32_t lspo_tokenizer_begin(const lspo_tokenizer_t *tokenizer);
/* The token that ends a text ("<|endoftext|>", "</s>", ...): what the tokenizer itself puts there, else the end token
 * that tokenizer_config.json names, else the usual ones.  And the token that pads, found likewise. */
uint32_t lspo_tokenizer_end(const lspo_tokenizer_t *tokenizer);
uint32_t lspo_tokenizer_pad(const lspo_tokenizer_t *tokenizer);

/* Ids of `bytes` bytes of text, which may hold any bytes.  With `specials` what the tokenizer's template adds before
 * and after (Llama: <s>; RoBERTa: <s> and </s>).  The array is the caller's to free. */
lspo_status_t lspo_tokenizer_encode(lspo_tokenizer_t *tokenizer, const char *text, size_t bytes, bool specials,
                                    uint32_t **ids_out, size_t *count_out);
/* The text of ids; special tokens are left out with `skip_specials`, ids beyond the vocabulary always.  The text is
 * NUL-terminated and the caller's to free. */
lspo_status_t lspo_tokenizer_decode(const lspo_tokenizer_t *tokenizer, const uint32_t *ids, size_t count,
                                    bool skip_specials, char **text_out, size_t *bytes_out);

#endif
