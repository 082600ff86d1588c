/* tokenizer.h - convert text to token ids and back, like Hugging Face's tokenizers library.
 *
 * Reads tokenizer.json of a folder if there is one, else vocab.json + merges.txt (GPT-2 and RoBERTa).  Encoding first
 * matches added tokens ("<s>", "<|endoftext|>"); the remaining text is normalised (normal.h) and split into words
 * (split.h), and a model converts each word to ids: BPE (bpe.c), WordPiece, Unigram or WordLevel (pieces.c).
 *
 * Anything in tokenizer.json that would change ids and is not supported is refused by name, so ids are always equal to
 * those of the original; this was checked on every code point of Unicode (tests/peers).  Truncation and padding are not
 * applied.  A byte that is not valid UTF-8, which the original never receives, is treated as a character.  Decoding
 * gives the exact bytes of the tokens; where they are not valid UTF-8, Hugging Face's decoder gives U+FFFD instead.
 *
 * A tokenizer caches words, so only one thread may use it at a time.
 */
#ifndef LSPO_REAL_TOKENIZER_TOKENIZER_H
#define LSPO_REAL_TOKENIZER_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/status.h"

typedef struct lspo_tokenizer lspo_tokenizer_t;

#define LSPO_TOKEN_NONE UINT32_MAX

/* LSPO_ERR_INPUT if the folder has no tokenizer, or one that is malformed or not supported; the message names the file
 * and the part. */
lspo_status_t lspo_tokenizer_open(const char *folder, lspo_tokenizer_t **tokenizer_out);
/* The tokenizer of a model's folder; NULL if the folder has none and tokens can be bytes, that is, if `vocabulary` is
 * 256 or a little more.  Otherwise LSPO_ERR_INPUT. */
lspo_status_t lspo_tokenizer_open_model(const char *folder, uint32_t vocabulary, lspo_tokenizer_t **tokenizer_out);
void lspo_tokenizer_close(lspo_tokenizer_t *tokenizer);

/* "bpe", "wordpiece", "unigram" or "wordlevel"; static. */
const char *lspo_tokenizer_kind(const lspo_tokenizer_t *tokenizer);
/* Number of ids: the highest + 1. */
uint32_t lspo_tokenizer_vocabulary(const lspo_tokenizer_t *tokenizer);
/* The id of a token of the vocabulary; LSPO_TOKEN_NONE if there is none. */
uint32_t lspo_tokenizer_id(const lspo_tokenizer_t *tokenizer, const char *token);
/* The token that the tokenizer itself puts before a text ("<s>", ...), by its post-processor or by add_bos_token in
 * tokenizer_config.json, which has priority; LSPO_TOKEN_NONE if there is none. */
uint32_t lspo_tokenizer_begin(const lspo_tokenizer_t *tokenizer);
/* The token that ends a text ("<|endoftext|>", "</s>", ...): the one that the tokenizer itself appends, else the one
 * that tokenizer_config.json names, else a usual one.  The padding token is found in the same way. */
uint32_t lspo_tokenizer_end(const lspo_tokenizer_t *tokenizer);
uint32_t lspo_tokenizer_pad(const lspo_tokenizer_t *tokenizer);

/* The ids between the two texts of a pair, before and after which is what one text has (RoBERTa: </s></s>): their
 * number, and *ids_out, owned by the tokenizer; UINT32_MAX if its template has no pairs, or other ones. */
uint32_t lspo_tokenizer_between(const lspo_tokenizer_t *tokenizer, const uint32_t **ids_out);

/* Ids of a text of `bytes` bytes, of any values.  With `specials` also those that the tokenizer's template adds before
 * and after it (Llama: <s>; RoBERTa: <s> and </s>).  The caller frees the array. */
lspo_status_t lspo_tokenizer_encode(lspo_tokenizer_t *tokenizer, const char *text, size_t bytes, bool specials,
                                    uint32_t **ids_out, size_t *count_out);
/* A text of which parts are plain: what the user wrote, between the words of a template. */
typedef struct {
    size_t begin, end; /* bytes */
} lspo_tokenizer_plain_t;

typedef struct {
    size_t at, token; /* byte; the first token that contains something at or behind it, set by the call */
} lspo_tokenizer_stop_t;

typedef struct {
    const char *text;
    size_t bytes;
    const lspo_tokenizer_plain_t *plain; /* in order, apart from each other */
    size_t plain_count;
    lspo_tokenizer_stop_t *stops; /* in order */
    size_t stop_count;
} lspo_tokenizer_parts_t;

/* Ids of a text, without what the tokenizer itself adds.  In its plain parts special and reserved tokens are not
 * matched: "<s>" there becomes the ids of three characters.  The caller frees the array. */
lspo_status_t lspo_tokenizer_encode_parts(lspo_tokenizer_t *tokenizer, const lspo_tokenizer_parts_t *parts,
                                          uint32_t **ids_out, size_t *count_out);
/* Treat every added token in this text like a special one in lspo_tokenizer_encode_parts(). */
void lspo_tokenizer_reserve(lspo_tokenizer_t *tokenizer, const char *text);

/* The tokens called bos_token and eos_token, by tokenizer_config.json, else by usual names; LSPO_TOKEN_NONE: none. */
uint32_t lspo_tokenizer_bos(const lspo_tokenizer_t *tokenizer);
uint32_t lspo_tokenizer_eos(const lspo_tokenizer_t *tokenizer);
/* The text of a token; "" if there is no such token. */
const char *lspo_tokenizer_text_of(const lspo_tokenizer_t *tokenizer, uint32_t id);

/* The text of ids, without special tokens if `skip_specials`; ids beyond the vocabulary are skipped.  The text is
 * NUL-terminated; the caller frees it. */
lspo_status_t lspo_tokenizer_decode(const lspo_tokenizer_t *tokenizer, const uint32_t *ids, size_t count,
                                    bool skip_specials, char **text_out, size_t *bytes_out);
/* The same for ids that come one after the other: their bytes are appended to `text`, and are those that decoding all
 * ids at once gives.  A stream begins as {0}. */
typedef struct {
    bool begun;        /* it has had a token */
    uint32_t stripped; /* blanks removed at the start */
    bool has_text;
} lspo_tokenizer_stream_t;

lspo_status_t lspo_tokenizer_decode_next(const lspo_tokenizer_t *tokenizer, lspo_tokenizer_stream_t *stream,
                                         const uint32_t *ids, size_t count, bool skip_specials, lspo_buffer_t *text);

#endif
