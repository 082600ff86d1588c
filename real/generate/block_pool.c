/* block_pool.c - see block_pool.h. */
#include "real/generate/block_pool.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    uint32_t *units;
    size_t count;
} slot_t;

struct lspo_block_pool {
    lspo_block_pool_options_t options;
    char *memory;
    uint32_t *users, *free;
    uint64_t free_count;
    slot_t *slots;
    size_t slot_most; /* units of a slot */
};

static size_t units_of(const lspo_block_pool_t *pool, size_t tokens)
{
    return (tokens + pool->options.unit_tokens - 1) / pool->options.unit_tokens;
}

static char *place(const lspo_block_pool_t *pool, uint32_t unit)
{
    return pool->memory + unit * pool->options.unit_tokens * pool->options.token_bytes;
}

static lspo_status_t make_slots(lspo_block_pool_t *pool)
{
    const lspo_block_pool_options_t *o = &pool->options;
    pool->users = calloc(o->units + 1, sizeof *pool->users);
    pool->free = calloc(o->units + 1, sizeof *pool->free);
    pool->slots = calloc(o->slots + 1U, sizeof *pool->slots);
    bool all = pool->users != NULL && pool->free != NULL && pool->slots != NULL;
    for (uint32_t s = 0; all && s < o->slots; s++)
        all = (pool->slots[s].units = calloc(pool->slot_most + 1, sizeof(uint32_t))) != NULL;
    if (!all)
        return lspo_no_memory("a pool of %llu blocks", (unsigned long long)o->units);
    while (pool->free_count < o->units) {
        pool->free[pool->free_count] = (uint32_t)(o->units - 1 - pool->free_count);
        pool->free_count++;
    }
    return LSPO_OK;
}

lspo_status_t lspo_block_pool_create(const lspo_block_pool_options_t *options, lspo_block_pool_t **pool_out)
{
    if (options->units > UINT32_MAX)
        return lspo_error(LSPO_ERR_INPUT,
                          "a cache of %llu blocks of %zu tokens: at most %u; take less --cache-memory or a larger "
                          "--block",
                          (unsigned long long)options->units, options->unit_tokens, UINT32_MAX);
    lspo_block_pool_t *pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return lspo_no_memory("a pool of blocks");
    pool->options = *options;
    pool->slot_most = units_of(pool, options->positions);
    lspo_status_t status = lspo_device_alloc(
        options->device, options->units * options->unit_tokens * options->token_bytes, (void **)&pool->memory);
    if (status == LSPO_OK)
        status = make_slots(pool);
    if (status != LSPO_OK) {
        lspo_block_pool_destroy(pool);
        return status;
    }
    *pool_out = pool;
    return LSPO_OK;
}

void lspo_block_pool_destroy(lspo_block_pool_t *pool)
{
    if (pool == NULL)
        return;
    for (uint32_t s = 0; pool->slots != NULL && s < pool->options.slots; s++)
        free(pool->slots[s].units);
    free(pool->slots);
    free(pool->free);
    free(pool->users);
    lspo_device_free(pool->options.device, pool->memory);
    free(pool);
}

lspo_status_t lspo_block_pool_grow(lspo_block_pool_t *pool, uint32_t slot, size_t tokens)
{
    slot_t *s = &pool->slots[slot];
    const size_t wanted = units_of(pool, tokens);
    assert(wanted <= pool->slot_most);
    if (wanted > s->count && wanted - s->count > pool->free_count)
        return lspo_error(LSPO_ERR_FIT, "%zu blocks are needed, and %llu of %llu are free", wanted - s->count,
                          (unsigned long long)pool->free_count, (unsigned long long)pool->options.units);
    while (s->count < wanted) {
        const uint32_t unit = pool->free[--pool->free_count];
        pool->users[unit] = 1;
        s->units[s->count++] = unit;
    }
    return LSPO_OK;
}

void lspo_block_pool_release(lspo_block_pool_t *pool, uint32_t slot)
{
    slot_t *s = &pool->slots[slot];
    while (s->count > 0) {
        const uint32_t unit = s->units[--s->count];
        if (--pool->users[unit] == 0)
            pool->free[pool->free_count++] = unit;
    }
}

lspo_status_t lspo_block_pool_share(lspo_block_pool_t *pool, uint32_t slot, uint32_t from, size_t tokens)
{
    slot_t *s = &pool->slots[slot];
    const slot_t *f = &pool->slots[from];
    const size_t whole = tokens / pool->options.unit_tokens, rest = tokens % pool->options.unit_tokens;
    assert(s->count == 0 && units_of(pool, tokens) <= f->count);
    for (; s->count < whole; s->count++) {
        s->units[s->count] = f->units[s->count];
        pool->users[f->units[s->count]]++;
    }
    lspo_status_t status = lspo_block_pool_grow(pool, slot, tokens);
    if (status != LSPO_OK)
        lspo_block_pool_release(pool, slot);
    else if (rest > 0)
        memcpy(place(pool, s->units[whole]), place(pool, f->units[whole]), rest * pool->options.token_bytes);
    return status;
}

void *lspo_block_pool_memory(const lspo_block_pool_t *pool)
{
    return pool->memory;
}

const uint32_t *lspo_block_pool_units(const lspo_block_pool_t *pool, uint32_t slot)
{
    return pool->slots[slot].units;
}

uint64_t lspo_block_pool_free(const lspo_block_pool_t *pool)
{
    return pool->free_count;
}
