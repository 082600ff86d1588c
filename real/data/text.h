/* text.h - what is measured on: real text as bytes, one token a byte (vocabulary 256), or as a tokenizer's tokens.
 *
 * Without a file the machine's own text is used: the King James Bible as Debian's bible-kjv prints it (4.4 MB), or
 * where that is missing the licences and C headers of the machine, in sorted order.  The last 5 % are held out: no
 * training batch touches them.  Batches are a function of (seed, iteration, micro) and nothing else, so that every
 * policy sees the same ones. */
#ifndef LSPO_REAL_DATA_TEXT_H
#define LSPO_REAL_DATA_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "real/tokenizer/tokenizer.h"

typedef struct lspo_text lspo_text_t;

enum { LSPO_TEXT_VOCABULARY = 256 };

/* `path` NULL: the machine's own text.  LSPO_ERR_IO when it cannot be read, LSPO_ERR_INPUT when it is no regular file
 * or is empty or above 1 GiB. */
lspo_status_t lspo_text_open(const char *path, lspo_text_t **text_out);
void lspo_text_close(lspo_text_t *text);

/* From now on tokens are those of `tokenizer`, which is not kept; the last 5 % of them are held out.  LSPO_ERR_INPUT
 * when one is not below `vocabulary`. */
lspo_status_t lspo_text_tokenize(lspo_text_t *text, lspo_tokenizer_t *tokenizer, uint32_t vocabulary);
/* Ids are below this. */
uint32_t lspo_text_vocabulary(const lspo_text_t *text);

size_t lspo_text_bytes(const lspo_text_t *text);
size_t lspo_text_train_bytes(const lspo_text_t *text); /* the first 95 % */
const uint8_t *lspo_text_data(const lspo_text_t *text);
/* Where it came from and the FNV-1a hash of all bytes: "bible-kjv, 4404412 bytes, fnv1a 0123456789abcdef". */
const char *lspo_text_source(const lspo_text_t *text);

/* LSPO_ERR_INPUT unless training and held-out part each hold one sequence and the token that follows it. */
lspo_status_t lspo_text_check(const lspo_text_t *text, uint32_t sequence);

/* Where a batch of windows goes: `batch` of them, `sequence` tokens each, and as targets the tokens that follow
 * them. */
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
