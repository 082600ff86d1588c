/* block_pool.h - paged and reserved caches: units of tokens in one array of device memory, and which of them each slot
 * has.  Units may be shared; a unit that nobody has is free.  A reserved place is a unit that is a whole text.
 *
 * A token has K and V of each block of the model, one behind the other.      [Kwon et al., arXiv 2309.06180] */
#ifndef LSPO_REAL_GENERATE_BLOCK_POOL_H
#define LSPO_REAL_GENERATE_BLOCK_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "real/device/device.h"

typedef struct lspo_block_pool lspo_block_pool_t;

typedef struct {
    lspo_device_t *device;
    uint64_t units;
    size_t unit_tokens, token_bytes;
    uint32_t slots;
    size_t positions; /* tokens of a slot at most */
} lspo_block_pool_options_t;

/* LSPO_ERR_FIT if the device has too little; LSPO_ERR_INPUT for more than UINT32_MAX units. */
lspo_status_t lspo_block_pool_create(const lspo_block_pool_options_t *options, lspo_block_pool_t **pool_out);
void lspo_block_pool_destroy(lspo_block_pool_t *pool);

/* Units for the first `tokens` of a slot.  LSPO_ERR_FIT if there are too few. */
lspo_status_t lspo_block_pool_grow(lspo_block_pool_t *pool, uint32_t slot, size_t tokens);
void lspo_block_pool_release(lspo_block_pool_t *pool, uint32_t slot);
/* The first `tokens` of an empty slot are those of `from`: whole units are shared, the rest is copied. */
lspo_status_t lspo_block_pool_share(lspo_block_pool_t *pool, uint32_t slot, uint32_t from, size_t tokens);

/* The array, and the units of a slot. */
void *lspo_block_pool_memory(const lspo_block_pool_t *pool);
const uint32_t *lspo_block_pool_units(const lspo_block_pool_t *pool, uint32_t slot);
uint64_t lspo_block_pool_free(const lspo_block_pool_t *pool);

#endif
