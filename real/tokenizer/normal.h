/* normal.h - the "normalizer" of tokenizer.json, which changes a text before it is split into words. */
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

/* Whether it changes no text. */
bool lspo_normalizer_is_empty(const lspo_normalizer_t *normalizer);
/* Whether it removes characters at the start of `text`; the rest then no longer counts as the start of the user's
 * text. */
lspo_status_t lspo_normalizer_takes_front(const lspo_normalizer_t *normalizer, const char *text, size_t bytes,
                                          bool *takes_out);
/* Append the normalised `text`. */
lspo_status_t lspo_normalizer_apply(const lspo_normalizer_t *normalizer, const char *text, size_t bytes,
                                    lspo_buffer_t *out);

#endif
