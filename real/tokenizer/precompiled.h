/* precompiled.h - the table of replacements of a SentencePiece model, which tokenizer.json has in base64: the size of a
 * double-array trie [Aoe 1989; Darts], the trie, and the texts to which its leaves point. */
#ifndef LSPO_REAL_TOKENIZER_PRECOMPILED_H
#define LSPO_REAL_TOKENIZER_PRECOMPILED_H

#include <stddef.h>

#include "base/buffer.h"

typedef struct lspo_precompiled lspo_precompiled_t;

/* LSPO_ERR_INPUT, naming `path`, if it is not such a table. */
lspo_status_t lspo_precompiled_create(const char *path, const char *base64, lspo_precompiled_t **table_out);
void lspo_precompiled_destroy(lspo_precompiled_t *table);

/* Append `text` with replacements: first by whole graphemes shorter than 6 bytes, else by single characters. */
lspo_status_t lspo_precompiled_apply(const lspo_precompiled_t *table, const char *text, size_t bytes,
                                     lspo_buffer_t *out);

#endif
