/* pinned_cuda.c - page-locked host memory in blocks: one reserved block, and one for each part for which it had no
 * room.
 *
 * A block is pinned as a whole.  If the driver refuses, it is pinned in pieces from its start, as many as possible.  If
 * not even one piece can be pinned, the driver allocates the memory, which some systems permit although they refuse to
 * pin existing memory.  A copy must not cross pieces: the driver refuses a range that spans two. */
#if LSPO_HAVE_CUDA
#include <cuda_runtime_api.h>
#include <linux/mempolicy.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/array.h"
#include "real/device/pinned_cuda.h"

enum { UNIT_BYTES = 64 };
#define PIECE_BYTES ((size_t)256 << 20)

typedef struct {
    size_t at, bytes; /* whole units */
    bool taken;
} part_t;

typedef struct {
    char *memory;
    size_t bytes;
    size_t piece_bytes, pinned_bytes; /* pinned from the start, in pieces of this size except for the last */
    bool drivers;                     /* memory of cudaHostAlloc(), pinned as one */
    size_t used_bytes, touched_bytes; /* up to the end of the last part; of any part so far: the rest is still zero */
    part_t *parts;
    size_t part_count, part_room, taken_count;
} block_t;

struct lspo_pinned {
    int node; /* the NUMA node nearest to the GPU; negative: any */
    block_t *blocks;
    size_t block_count;
    uint64_t held_bytes, most_held_bytes;
};

lspo_status_t lspo_pinned_create(int node, lspo_pinned_t **pinned_out)
{
    lspo_pinned_t *pinned = calloc(1, sizeof *pinned);
    if (!pinned)
        return lspo_no_memory("a device");
    pinned->node = node;
    *pinned_out = pinned;
    return LSPO_OK;
}

/* Request memory near the GPU, and huge pages, because the CPU's optimizer uses all of it in every step.  These are
 * only hints. */
static void place(const lspo_pinned_t *pinned, void *memory, size_t bytes)
{
    unsigned long nodes = 1;
    const int bits = (int)(8 * sizeof nodes);
    madvise(memory, bytes, MADV_HUGEPAGE);
    if (pinned->node < 0 || pinned->node >= bits)
        return;
    nodes <<= pinned->node;
    syscall(SYS_mbind, memory, bytes, MPOL_PREFERRED, &nodes, (unsigned long)bits + 1, 0U);
}

static bool pin(const block_t *block, size_t at, size_t bytes)
{
    if (cudaHostRegister(block->memory + at, bytes, cudaHostRegisterMapped) == cudaSuccess)
        return true;
    cudaGetLastError(); /* clear the error: a refusal is not a later failure */
    return false;
}

static void pin_block(block_t *block)
{
    block->piece_bytes = block->bytes;
    if (pin(block, 0, block->bytes)) {
        block->pinned_bytes = block->bytes;
        return;
    }
    block->piece_bytes = PIECE_BYTES;
    while (block->pinned_bytes < block->bytes) {
        size_t rest_bytes = block->bytes - block->pinned_bytes;
        size_t bytes = rest_bytes < PIECE_BYTES ? rest_bytes : PIECE_BYTES;
        if (!pin(block, block->pinned_bytes, bytes))
            return;
        block->pinned_bytes += bytes;
    }
}

static bool map_block(const lspo_pinned_t *pinned, block_t *block)
{
    void *memory = mmap(NULL, block->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return false;
    place(pinned, memory, block->bytes);
    block->memory = memory;
    return true;
}

/* The driver's memory is not zero everywhere, but memory that take_from() has not touched must be. */
static void ask_driver(block_t *block)
{
    void *memory;
    madvise(block->memory, block->bytes, MADV_DONTNEED); /* release the pages touched by the refused pinning */
    if (cudaHostAlloc(&memory, block->bytes, cudaHostAllocPortable | cudaHostAllocMapped) != cudaSuccess) {
        cudaGetLastError();
        return;
    }
    munmap(block->memory, block->bytes);
    memset(memory, 0, block->bytes);
    block->memory = memory;
    block->drivers = true;
    block->piece_bytes = block->pinned_bytes = block->bytes;
}

static lspo_status_t add_block(lspo_pinned_t *pinned, uint64_t bytes, block_t **block_out)
{
    block_t *blocks = realloc(pinned->blocks, (pinned->block_count + 1) * sizeof *blocks);
    if (!blocks)
        return lspo_no_memory("a device");
    pinned->blocks = blocks;
    block_t *block = &blocks[pinned->block_count];
    *block = (block_t){.bytes = (size_t)bytes};
    if (!map_block(pinned, block))
        return lspo_no_memory("%zu bytes of host memory", (size_t)bytes);
    pinned->block_count++;
    pin_block(block);
    if (block->pinned_bytes == 0)
        ask_driver(block);
    pinned->held_bytes += bytes;
    if (pinned->held_bytes > pinned->most_held_bytes)
        pinned->most_held_bytes = pinned->held_bytes;
    *block_out = block;
    return LSPO_OK;
}

static void remove_block(lspo_pinned_t *pinned, block_t *block)
{
    for (size_t at = 0; !block->drivers && at < block->pinned_bytes; at += block->piece_bytes)
        cudaHostUnregister(block->memory + at);
    if (block->drivers)
        cudaFreeHost(block->memory);
    else
        munmap(block->memory, block->bytes);
    free(block->parts);
    pinned->held_bytes -= block->bytes;
    *block = pinned->blocks[--pinned->block_count];
}

void lspo_pinned_destroy(lspo_pinned_t *pinned)
{
    if (!pinned)
        return;
    while (pinned->block_count > 0)
        remove_block(pinned, &pinned->blocks[pinned->block_count - 1]);
    free(pinned->blocks);
    free(pinned);
}

lspo_status_t lspo_pinned_reserve(lspo_pinned_t *pinned, uint64_t bytes)
{
    block_t *block;
    for (size_t i = pinned->block_count; i-- > 0;) { /* blocks of an earlier session */
        if (pinned->blocks[i].taken_count == 0)
            remove_block(pinned, &pinned->blocks[i]);
    }
    return add_block(pinned, (bytes + UNIT_BYTES - 1) / UNIT_BYTES * UNIT_BYTES, &block);
}

static void *hand_out(block_t *block, part_t *part)
{
    size_t end = part->at + part->bytes;
    if (part->at < block->touched_bytes)
        memset(block->memory + part->at, 0, (end < block->touched_bytes ? end : block->touched_bytes) - part->at);
    if (end > block->touched_bytes)
        block->touched_bytes = end;
    part->taken = true;
    block->taken_count++;
    return block->memory + part->at;
}

/* A freed part of this size, or a new one at the end; NULL if there is neither, or no memory. */
static void *take_from(block_t *block, size_t bytes)
{
    for (size_t i = 0; i < block->part_count; i++)
        if (!block->parts[i].taken && block->parts[i].bytes == bytes)
            return hand_out(block, &block->parts[i]);
    if (bytes > block->bytes - block->used_bytes)
        return NULL;
    if (lspo_array_grow(&block->parts, &block->part_room, block->part_count + 1, sizeof *block->parts, NULL) != LSPO_OK)
        return NULL;
    part_t *part = &block->parts[block->part_count++];
    *part = (part_t){.at = block->used_bytes, .bytes = bytes};
    block->used_bytes += bytes;
    return hand_out(block, part);
}

lspo_status_t lspo_pinned_take(lspo_pinned_t *pinned, size_t bytes, void **memory_out)
{
    if (bytes > SIZE_MAX / 2)
        return lspo_no_memory("%zu bytes of host memory", bytes);
    size_t whole_bytes = (bytes + UNIT_BYTES - 1) / UNIT_BYTES * UNIT_BYTES;
    whole_bytes = whole_bytes ? whole_bytes : UNIT_BYTES;
    void *memory = NULL;
    for (size_t i = 0; !memory && i < pinned->block_count; i++)
        memory = take_from(&pinned->blocks[i], whole_bytes);
    if (!memory) {
        block_t *block;
        lspo_status_t status = add_block(pinned, whole_bytes, &block);
        if (status != LSPO_OK)
            return status;
        memory = take_from(block, whole_bytes);
    }
    if (!memory)
        return lspo_no_memory("%zu bytes of host memory", bytes);
    *memory_out = memory;
    return LSPO_OK;
}

static block_t *block_of(const lspo_pinned_t *pinned, const void *memory)
{
    const char *at = memory;
    for (size_t i = 0; i < pinned->block_count; i++)
        if (at >= pinned->blocks[i].memory && at < pinned->blocks[i].memory + pinned->blocks[i].bytes)
            return &pinned->blocks[i];
    return NULL;
}

/* A block is kept until the next reservation, so that a steady state pins nothing. */
void lspo_pinned_give_back(lspo_pinned_t *pinned, void *memory)
{
    block_t *block = block_of(pinned, memory);
    if (!block)
        return;
    for (size_t i = 0; i < block->part_count; i++)
        if (block->parts[i].taken && block->memory + block->parts[i].at == memory) {
            block->parts[i].taken = false;
            block->taken_count--;
        }
    while (block->part_count > 0 && !block->parts[block->part_count - 1].taken)
        block->used_bytes = block->parts[--block->part_count].at;
}

uint64_t lspo_pinned_most_held_bytes(const lspo_pinned_t *pinned)
{
    return pinned->most_held_bytes;
}

size_t lspo_pinned_piece(const lspo_pinned_t *pinned, const void *memory, size_t bytes, bool *is_pinned_out)
{
    const block_t *block = block_of(pinned, memory);
    size_t at = block ? (size_t)((const char *)memory - block->memory) : 0;
    *is_pinned_out = block && at < block->pinned_bytes;
    if (!*is_pinned_out)
        return bytes;
    size_t end = (at / block->piece_bytes + 1) * block->piece_bytes;
    end = end < block->pinned_bytes ? end : block->pinned_bytes;
    return bytes < end - at ? bytes : end - at;
}

/* The driver gives an address for the start of what was pinned at once. */
void *lspo_pinned_mapped(const lspo_pinned_t *pinned, const void *memory, size_t bytes)
{
    bool is_pinned;
    if (lspo_pinned_piece(pinned, memory, bytes, &is_pinned) < bytes || !is_pinned)
        return NULL;
    const block_t *block = block_of(pinned, memory);
    size_t at = (size_t)((const char *)memory - block->memory), start = at / block->piece_bytes * block->piece_bytes;
    void *piece = NULL;
    if (cudaHostGetDevicePointer(&piece, block->memory + start, 0) == cudaSuccess)
        return (char *)piece + (at - start);
    cudaGetLastError(); /* clear the error: copy engines can still copy it */
    return NULL;
}
#endif
