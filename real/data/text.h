/* text.h - the text for measurements: bytes, one token per byte (vocabulary 256), or the tokens of a tokenizer.
 *
 * Without a file, a text of this machine is used: the King James Bible as printed by Debian's bible-kjv (4.4 MB) or,
 * without that, the licences and C headers of the machine in sorted order.  The last 5 % are held out: no training
 * batch contains them.  Batches depend only on (seed, iteration, micro), so that every policy gets the same ones. */
#ifndef LSPO_REAL_DATA_TEXT_H
#define LSPO_REAL_DATA_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "real/tokenizer/tokenizer.h"

typedef struct lspo_text lspo_text_t;

enum { LSPO_TEXT_VOCABULARY = 256 };

/* `path` NULL: the machine's own text.  LSPO_ERR_IO if it cannot be read, LSPO_ERR_INPUT if it is not a regular file,
 * is empty or is above 1 GiB. */
lspo_status_t lspo_text_open(const char *path, lspo_text_t **text_out);
void lspo_text_close(lspo_text_t *text);

/* Use the tokens of `tokenizer` from now on, and hold out the last 5 % of them; the tokenizer is not kept.
 * LSPO_ERR_INPUT if a token is not below `vocabulary`. */
lspo_status_t lspo_text_tokenize(lspo_text_t *text, lspo_tokenizer_t *tokenizer, uint32_t vocabulary);
/* Ids are below this. */
uint32_t lspo_text_vocabulary(const lspo_text_t *text);

/* Tokens, and those of the last 5 %. */
size_t lspo_text_count(const lspo_text_t *text);
size_t lspo_text_held_out_count(const lspo_text_t *text);
size_t lspo_text_bytes(const lspo_text_t *text);
size_t lspo_text_train_bytes(const lspo_text_t *text); /* the first 95 % */
const uint8_t *lspo_text_data(const lspo_text_t *text);
/* The source of the text and the FNV-1a hash of all bytes: "bible-kjv, 4404412 bytes, fnv1a 0123456789abcdef". */
const char *lspo_text_source(const lspo_text_t *text);

/* LSPO_ERR_INPUT unless both the training part and the held-out part have at least one sequence and the next token. */
lspo_status_t lspo_text_check(const lspo_text_t *text, uint32_t sequence);

/* The arrays for a batch of windows of `sequence` tokens each; targets are the next tokens. */
typedef struct {
    uint32_t batch, sequence;
    uint32_t *tokens, *targets; /* batch x sequence each */
} lspo_text_windows_t;

/* Windows at random starts in the training part. */
void lspo_text_batch(const lspo_text_t *text, uint64_t seed, uint32_t iteration, uint32_t micro,
                     const lspo_text_windows_t *windows);
/* Held-out batch `index`: windows spread evenly over the held-out part, the same for every run. */
void lspo_text_held_out(const lspo_text_t *text, uint32_t index, uint32_t index_count,
                        const lspo_text_windows_t *windows);

#endif
