/* spare.c - see spare.h. */
#include "lib/spare.h"

#include <malloc.h> /* malloc_usable_size() */
#include <string.h>

/* Not those of allocator.h, which call these. */
void *__real_malloc(size_t bytes);
void *__real_realloc(void *block, size_t bytes);
void __real_free(void *block);

#ifdef __SANITIZE_ADDRESS__
enum { MOST_BYTES = 0 }; /* none: the sanitizer is to see that a block is no longer in use */
#else
enum { MOST_BYTES = 64 << 20 };
#endif

/* Takes the block at `place` out. */
static void *take(lspo_spare_t *spare, uint32_t place)
{
    void *block = spare->blocks[place];
    spare->bytes -= malloc_usable_size(block);
    spare->count--;
    memmove(&spare->blocks[place], &spare->blocks[place + 1], (spare->count - place) * sizeof *spare->blocks);
    return block;
}

/* The smallest kept block with so much room, but less than twice as much; `count`: none. */
static uint32_t find(const lspo_spare_t *spare, size_t bytes)
{
    uint32_t best = spare->count;
    size_t best_bytes = 2 * bytes;
    for (uint32_t i = 0; i < spare->count; i++) {
        const size_t room_bytes = malloc_usable_size(spare->blocks[i]);
        if (room_bytes < bytes || room_bytes >= best_bytes)
            continue;
        best = i;
        best_bytes = room_bytes;
    }
    return best;
}

static void *allocate(void *memory, size_t bytes)
{
    lspo_spare_t *spare = memory;
    if (bytes >= LSPO_SPARE_LEAST_BYTES && bytes <= MOST_BYTES) {
        const uint32_t place = find(spare, bytes);
        if (place < spare->count)
            return take(spare, place);
    }
    void *block = __real_malloc(bytes);
    if (block == NULL && spare->count > 0) {
        lspo_spare_release(spare);
        block = __real_malloc(bytes);
    }
    return block;
}

static void release(void *memory, void *block)
{
    lspo_spare_t *spare = memory;
    const size_t bytes = malloc_usable_size(block); /* 0 of NULL */
    if (bytes < LSPO_SPARE_LEAST_BYTES || bytes > MOST_BYTES) {
        __real_free(block);
        return;
    }
    while (spare->count == LSPO_SPARE_BLOCKS || spare->bytes + bytes > MOST_BYTES)
        __real_free(take(spare, 0));
    spare->blocks[spare->count++] = block;
    spare->bytes += bytes;
}

static void *reallocate(void *memory, void *block, size_t bytes)
{
    if (block == NULL)
        return allocate(memory, bytes);
    void *moved = __real_realloc(block, bytes);
    if (moved == NULL && bytes > 0) {
        lspo_spare_release(memory);
        moved = __real_realloc(block, bytes);
    }
    return moved;
}

void lspo_spare_use(lspo_spare_t *spare, lspo_options *options)
{
    options->allocate = allocate;
    options->reallocate = reallocate;
    options->release = release;
    options->memory = spare;
}

void lspo_spare_release(lspo_spare_t *spare)
{
    while (spare->count > 0)
        __real_free(take(spare, spare->count - 1));
}
