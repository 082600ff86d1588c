/* text_cache.c - see text_cache.h. */
#include "real/generate/text_cache.h"

#include <stdlib.h>

struct lspo_text_cache {
    lspo_text_cache_options_t options;
    size_t stride; /* numbers from a token to the next */
    uint32_t count;
    lspo_range_t **ranges; /* K of block 0, V of block 0, K of block 1 ...; or one */
};

static uint64_t bytes_of(const lspo_text_cache_t *cache, size_t tokens)
{
    return (uint64_t)tokens * cache->stride * lspo_number_bytes(cache->options.number);
}

lspo_status_t lspo_text_cache_create(const lspo_text_cache_options_t *options, lspo_text_cache_t **cache_out)
{
    const uint32_t tensors = 2 * options->model->block_count;
    lspo_text_cache_t *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        return lspo_no_memory("the cache of a text");
    cache->options = *options;
    cache->count = options->one_range ? 1 : tensors;
    cache->stride = (size_t)tensors / cache->count * lspo_model_kv_width(options->model);
    cache->ranges = calloc(cache->count, sizeof(lspo_range_t *));
    lspo_status_t status = cache->ranges != NULL ? LSPO_OK : lspo_no_memory("the cache of a text");
    for (uint32_t i = 0; status == LSPO_OK && i < cache->count; i++)
        status = lspo_range_reserve(options->pool, bytes_of(cache, options->positions), &cache->ranges[i]);
    if (status != LSPO_OK) {
        lspo_text_cache_destroy(cache);
        return status;
    }
    *cache_out = cache;
    return LSPO_OK;
}

void lspo_text_cache_destroy(lspo_text_cache_t *cache)
{
    if (cache == NULL)
        return;
    for (uint32_t i = 0; cache->ranges != NULL && i < cache->count; i++)
        lspo_range_release(cache->ranges[i]);
    free(cache->ranges);
    free(cache);
}

lspo_status_t lspo_text_cache_grow(lspo_text_cache_t *cache, size_t tokens)
{
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; status == LSPO_OK && i < cache->count; i++)
        status = lspo_range_grow(cache->ranges[i], bytes_of(cache, tokens));
    return status;
}

void lspo_text_cache_grow_later(lspo_text_cache_t *cache, size_t tokens)
{
    for (uint32_t i = 0; i < cache->count; i++)
        lspo_range_grow_later(cache->ranges[i], bytes_of(cache, tokens));
}

void lspo_text_cache_shrink(lspo_text_cache_t *cache, size_t tokens)
{
    for (uint32_t i = 0; i < cache->count; i++)
        lspo_range_shrink(cache->ranges[i], bytes_of(cache, tokens));
}

lspo_status_t lspo_text_cache_share(lspo_text_cache_t *cache, const lspo_text_cache_t *from, size_t tokens)
{
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; status == LSPO_OK && i < cache->count; i++)
        status = lspo_range_share(cache->ranges[i], from->ranges[i], bytes_of(cache, tokens));
    return status;
}

/* The place of a tensor, K of block 0 being the first. */
static void *tensor(const lspo_text_cache_t *cache, uint32_t index)
{
    if (!cache->options.one_range)
        return lspo_range_memory(cache->ranges[index]);
    return (char *)lspo_range_memory(cache->ranges[0]) +
           (size_t)index * lspo_model_kv_width(cache->options.model) * lspo_number_bytes(cache->options.number);
}

void *lspo_text_cache_k(const lspo_text_cache_t *cache, uint32_t block)
{
    return tensor(cache, 2 * block);
}

void *lspo_text_cache_v(const lspo_text_cache_t *cache, uint32_t block)
{
    return tensor(cache, 2 * block + 1);
}

size_t lspo_text_cache_stride(const lspo_text_cache_t *cache)
{
    return cache->stride;
}
