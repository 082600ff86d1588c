/* kept.c - see kept.h. */
#include "lib/kept.h"

#include <malloc.h> /* malloc_usable_size() */
#include <string.h>

/* Not those of allocator.h, which call these. */
void *__real_malloc(size_t bytes);
void *__real_realloc(void *block, size_t bytes);
void __real_free(void *block);

enum { LEAST_BYTES = 16 << 10, MOST_BYTES = 64 << 20 };

/* Takes the block at `place` out. */
static void *take(lspo_kept_t *kept, uint32_t place)
{
    void *block = kept->blocks[place];
    kept->bytes -= malloc_usable_size(block);
    kept->count--;
    memmove(&kept->blocks[place], &kept->blocks[place + 1], (kept->count - place) * sizeof *kept->blocks);
    return block;
}

/* The smallest kept block with so much room, but less than twice as much; `count`: none. */
static uint32_t find(const lspo_kept_t *kept, size_t bytes)
{
    uint32_t best = kept->count;
    size_t best_bytes = 2 * bytes;
    for (uint32_t i = 0; i < kept->count; i++) {
        const size_t room_bytes = malloc_usable_size(kept->blocks[i]);
        if (room_bytes < bytes || room_bytes >= best_bytes)
            continue;
        best = i;
        best_bytes = room_bytes;
    }
    return best;
}

static void *allocate(void *memory, size_t bytes)
{
    lspo_kept_t *kept = memory;
    if (bytes >= LEAST_BYTES && bytes <= MOST_BYTES) {
        const uint32_t place = find(kept, bytes);
        if (place < kept->count)
            return take(kept, place);
    }
    void *block = __real_malloc(bytes);
    if (block == NULL && kept->count > 0) {
        lspo_kept_release(kept);
        block = __real_malloc(bytes);
    }
    return block;
}

static void release(void *memory, void *block)
{
    lspo_kept_t *kept = memory;
    const size_t bytes = malloc_usable_size(block); /* 0 of NULL */
    if (bytes < LEAST_BYTES || bytes > MOST_BYTES) {
        __real_free(block);
        return;
    }
    while (kept->count == LSPO_KEPT_BLOCKS || kept->bytes + bytes > MOST_BYTES)
        __real_free(take(kept, 0));
    kept->blocks[kept->count++] = block;
    kept->bytes += bytes;
}

static void *reallocate(void *memory, void *block, size_t bytes)
{
    if (block == NULL)
        return allocate(memory, bytes);
    void *moved = __real_realloc(block, bytes);
    if (moved == NULL && bytes > 0) {
        lspo_kept_release(memory);
        moved = __real_realloc(block, bytes);
    }
    return moved;
}

void lspo_kept_use(lspo_kept_t *kept, lspo_options *options)
{
    options->allocate = allocate;
    options->reallocate = reallocate;
    options->release = release;
    options->memory = kept;
}

void lspo_kept_release(lspo_kept_t *kept)
{
    while (kept->count > 0)
        __real_free(take(kept, kept->count - 1));
}
