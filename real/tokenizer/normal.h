/* normal.h - what a tokenizer does to a text before it is cut into words: the "normalizer" of
 * tokenizer.json. */
#ifndef LSPO_REAL_TOKENIZER_NORMAL_H
#define LSPO_REAL_TOKENIZER_NORMAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

typedef struct lspo_normalizer lspo_normalizer_t;

/* NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Replace, Prepend, BertNormalizer, Nmt, Precompiled, ByteLevel,
 * and Sequence of them; null does nothing.  LSPO_ERR_INPUT, naming `path`, for others. */
lspo_status_t lspo_normalizer_create(const char *path, const json_t *object, lspo_normalizer_t **normalizer_out);
void lspo_normalizer_destroy(lspo_normalizer_t *normalizer);

/* Whether it leaves every text as it is. */
bool lspo_normalizer_is_empty(const lspo_normalizer_t *normalizer);
/* Whether characters are taken off the front of `text`: what is left then does not begin what the user gave. */
lspo_status_t lspo_normalizer_takes_front(const lspo_normalizer_t *normalizer, const char *text, size_t bytes,
                                          bool *takes_out);
/* Append `text` as it becomes. */
lspo_status_t lspo_normalizer_apply(const lspo_normalizer_t *normalizer, const char *text, size_t bytes,
                                    lspo_buffer_t *out);

#endif
