/* text_cache.h - the keys and values of one text in ranges of addresses, in which chunks are mapped as it grows
 * (real/device/chunks.h).
 *
 * Either K and V of each block have a range, so that a range is a tensor of tokens x kv width; or the text has one, of
 * tokens x blocks x 2 x kv width, in which K and V of a block are tensors with larger strides.  Kernels take both.
 */
#ifndef LSPO_REAL_GENERATE_TEXT_CACHE_H
#define LSPO_REAL_GENERATE_TEXT_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "kernels/number.h"
#include "plan/model.h"
#include "real/device/chunks.h"

typedef struct lspo_text_cache lspo_text_cache_t;

typedef struct {
    const lspo_model_t *model;
    lspo_number_t number;
    bool one_range;
    uint32_t positions; /* tokens at most */
    lspo_chunks_t *pool;
} lspo_text_cache_options_t;

/* Only addresses.  What `options` points to must outlive the cache. */
lspo_status_t lspo_text_cache_create(const lspo_text_cache_options_t *options, lspo_text_cache_t **cache_out);
void lspo_text_cache_destroy(lspo_text_cache_t *cache);

/* Functions of ranges, for all of a text's, in tokens.  After an error some may have more than before. */
lspo_status_t lspo_text_cache_grow(lspo_text_cache_t *cache, size_t tokens);
void lspo_text_cache_grow_later(lspo_text_cache_t *cache, size_t tokens);
void lspo_text_cache_shrink(lspo_text_cache_t *cache, size_t tokens);
lspo_status_t lspo_text_cache_share(lspo_text_cache_t *cache, const lspo_text_cache_t *from, size_t tokens);

/* K and V of the first token in a block, from 0, and the numbers from a token to the next. */
void *lspo_text_cache_k(const lspo_text_cache_t *cache, uint32_t block);
void *lspo_text_cache_v(const lspo_text_cache_t *cache, uint32_t block);
size_t lspo_text_cache_stride(const lspo_text_cache_t *cache);

#endif
