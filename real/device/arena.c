/* arena.c - see arena.h.  The range is a list of parts in order of address; each is in use, free (resident) or empty
 * (without pages).  Adjacent free parts, or adjacent empty parts, are merged. */
#include "real/device/arena.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/array.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
enum { RED_ZONE_BYTES = 64 }; /* after each part, to detect writes beyond its end */
#else
#define ASAN_POISON_MEMORY_REGION(memory, bytes) ((void)(memory), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(memory, bytes) ((void)(memory), (void)(bytes))
enum { RED_ZONE_BYTES = 0 };
#endif

/* ThreadSanitizer leaves 1.5 TB of addresses for all mappings of a program. */
#if defined(__SANITIZE_THREAD__)
#define RANGE_BYTES_MOST (UINT64_C(1) << 35)
#else
#define RANGE_BYTES_MOST UINT64_MAX
#endif

enum { PAGE_BYTES = 4096, HUGE_PAGE_BYTES = 2 << 20 };
enum { ADDRESSES_A_BYTE = 4 }; /* addresses per byte of the machine's memory */
enum { PLACES_MAX = 64 };
enum { EDGES_BYTES = 128 << 10 }; /* partial pages left by moves: not worth new pages */
enum { LARGE_PARTS = 4 };         /* a large part has at least 1/4 of the largest ever freed */

typedef enum { PART_USED, PART_FREE, PART_EMPTY } part_state_t;

typedef struct {
    uint64_t at, bytes; /* from the start of the range       */
    size_t asked_bytes; /* of a part in use: before rounding */
    part_state_t state;
} part_t;

struct lspo_arena {
    char *range;
    uint64_t range_bytes;  /* limit of the range */
    uint64_t mapped_bytes; /* from its start: mapped so far */
    part_t *parts;
    size_t part_count, part_capacity;
    uint64_t used_bytes, free_bytes, peak_bytes, most_held_bytes;
    uint64_t reached; /* the end of the highest part ever in use */
    uint64_t largest_returned_bytes;
};

static uint64_t round_up(uint64_t bytes, uint64_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

static uint64_t round_down(uint64_t bytes, uint64_t unit)
{
    return bytes / unit * unit;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t machine_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    uint64_t bytes = pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : UINT64_C(1) << 36;
    return round_up(bytes, HUGE_PAGE_BYTES);
}

/* Map addresses exactly at `at`. */
static bool map_at(char *at, uint64_t bytes)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
    void *range = mmap(at, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (range != MAP_FAILED && range != at)
        munmap(range, bytes); /* kernels before 4.17 take the address only as a hint */
    return range == at;
}

/* An address, aligned to huge pages, from which the range can grow.  The system puts new mappings below existing ones,
 * so it lies a whole range below them, and below the ranges of other arenas. */
static bool find_range(lspo_arena_t *arena)
{
    arena->range_bytes = least(ADDRESSES_A_BYTE * machine_bytes(), RANGE_BYTES_MOST);
    char *probe = mmap(NULL, PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (probe == MAP_FAILED)
        return false;
    munmap(probe, PAGE_BYTES);
    uint64_t top = round_down((uint64_t)(uintptr_t)probe, HUGE_PAGE_BYTES);
    for (uint64_t i = 2; i < PLACES_MAX && i < top / arena->range_bytes; i++) {
        arena->range = probe - ((uint64_t)(uintptr_t)probe - top) - i * arena->range_bytes;
        if (map_at(arena->range, HUGE_PAGE_BYTES)) {
            arena->mapped_bytes = HUGE_PAGE_BYTES;
            return true;
        }
    }
    return false;
}

/* Map the range up to `bytes`; false if a limit of the process (ulimit -v) or of the system forbids it. */
static bool grow(lspo_arena_t *arena, uint64_t bytes)
{
    if (bytes <= arena->mapped_bytes)
        return true;
    uint64_t more = round_up(bytes, HUGE_PAGE_BYTES) - arena->mapped_bytes;
    if (!map_at(arena->range + arena->mapped_bytes, more))
        return false;
    arena->mapped_bytes += more;
    return true;
}

lspo_arena_t *lspo_arena_create(void)
{
    lspo_arena_t *arena = calloc(1, sizeof *arena);
    if (!arena)
        return NULL;
    arena->part_capacity = 64;
    arena->parts = malloc(arena->part_capacity * sizeof *arena->parts);
    if (!arena->parts || !find_range(arena)) {
        free(arena->parts);
        free(arena);
        return NULL;
    }
    arena->part_count = 1;
    arena->parts[0] = (part_t){.bytes = arena->range_bytes, .state = PART_EMPTY};
    return arena;
}

void lspo_arena_destroy(lspo_arena_t *arena)
{
    if (!arena)
        return;
    for (size_t i = 0; i < arena->part_count; i++)
        if (arena->parts[i].state != PART_EMPTY)
            ASAN_UNPOISON_MEMORY_REGION(arena->range + arena->parts[i].at, arena->parts[i].bytes);
    munmap(arena->range, arena->mapped_bytes);
    free(arena->parts);
    free(arena);
}

/* One call of take() or give_back() splits at most four times, and each split adds a part. */
static bool make_room(lspo_arena_t *arena)
{
    return lspo_array_grow(&arena->parts, &arena->part_capacity, arena->part_count + 4, sizeof *arena->parts, NULL) ==
           LSPO_OK;
}

/* Split part `i` after `bytes`; the rest is a part of the same state. */
static void cut(lspo_arena_t *arena, size_t i, uint64_t bytes)
{
    part_t *part = &arena->parts[i];
    if (bytes == part->bytes)
        return;
    memmove(part + 2, part + 1, (arena->part_count - i - 1) * sizeof *part);
    arena->part_count++;
    part[1] = (part_t){.at = part->at + bytes, .bytes = part->bytes - bytes, .state = part->state};
    part->bytes = bytes;
}

/* Merge part `i` with its neighbours of the same state. */
static void join(lspo_arena_t *arena, size_t i)
{
    part_t *parts = arena->parts;
    size_t first = i > 0 && parts[i - 1].state == parts[i].state ? i - 1 : i;
    size_t end = i + 1 < arena->part_count && parts[i + 1].state == parts[i].state ? i + 2 : i + 1;
    for (size_t j = first + 1; j < end; j++)
        parts[first].bytes += parts[j].bytes;
    memmove(parts + first + 1, parts + end, (arena->part_count - end) * sizeof *parts);
    arena->part_count -= end - first - 1;
}

/* A run of parts that are not in use: first .. end. */
typedef struct {
    size_t first, end;
    uint64_t bytes;
} gap_t;

static gap_t gap_from(const lspo_arena_t *arena, size_t first)
{
    gap_t gap = {first, first, 0};
    while (gap.end < arena->part_count && arena->parts[gap.end].state != PART_USED)
        gap.bytes += arena->parts[gap.end++].bytes;
    return gap;
}

/* The last gap has no end: nothing beyond `reached` was ever used. */
static uint64_t usable_bytes(const lspo_arena_t *arena, gap_t gap)
{
    uint64_t at = arena->parts[gap.first].at, end = at + gap.bytes;
    if (end <= arena->reached)
        return gap.bytes;
    return at < arena->reached ? arena->reached - at : 0;
}

/* The place for `bytes`: the lowest gap for large parts, the highest for small ones, so that small ones do not fragment
 * the space of large ones; if no gap fits, after all others. */
static bool find_place(const lspo_arena_t *arena, uint64_t bytes, uint64_t *at_out)
{
    bool large = LARGE_PARTS * bytes >= arena->largest_returned_bytes, found = false;
    for (size_t i = 0; i < arena->part_count; i++) {
        if (arena->parts[i].state == PART_USED)
            continue;
        gap_t gap = gap_from(arena, i);
        uint64_t at = arena->parts[i].at, usable = usable_bytes(arena, gap);
        if (usable >= bytes && !(large && found)) {
            *at_out = large ? at : at + usable - bytes;
            found = true;
        }
        if (!found && gap.end == arena->part_count && gap.bytes >= bytes) {
            *at_out = at;
            found = true;
        }
        i = gap.end;
    }
    return found;
}

/* Only pages that belong to this part alone: with a shared huge page at its end, the whole page would become
 * resident. */
static void ask_for_huge_pages(const lspo_arena_t *arena, const part_t *part)
{
    uint64_t first = round_up(part->at, HUGE_PAGE_BYTES), end = round_down(part->at + part->bytes, HUGE_PAGE_BYTES);
    if (end > first)
        madvise(arena->range + first, end - first, MADV_HUGEPAGE);
}

static size_t find_at(const lspo_arena_t *arena, uint64_t at)
{
    size_t low = 0, high = arena->part_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (arena->parts[middle].at <= at)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* lspo_arena_t.part_count if no part wholly outside of first_at .. end_at is free. */
static size_t largest_free(const lspo_arena_t *arena, uint64_t first_at, uint64_t end_at)
{
    size_t largest = arena->part_count;
    for (size_t i = 0; i < arena->part_count; i++)
        if (arena->parts[i].state == PART_FREE &&
            (arena->parts[i].at + arena->parts[i].bytes <= first_at || arena->parts[i].at >= end_at) &&
            (largest == arena->part_count || arena->parts[i].bytes > arena->parts[largest].bytes))
            largest = i;
    return largest;
}

/* No huge pages there until a part requests them: a smaller part would make a whole huge page resident. */
static void forbid_huge_pages(const lspo_arena_t *arena, uint64_t first, uint64_t end)
{
    first = round_down(first, HUGE_PAGE_BYTES);
    madvise(arena->range + first, round_up(end, HUGE_PAGE_BYTES) - first, MADV_NOHUGEPAGE);
}

static void return_range(const lspo_arena_t *arena, uint64_t first, uint64_t end)
{
    madvise(arena->range + first, end - first, MADV_DONTNEED);
    forbid_huge_pages(arena, first, end);
}

/* Return pages of the largest free part to the system, at least `bytes` if possible; false if it has none. */
static bool return_pages(lspo_arena_t *arena, uint64_t bytes)
{
    size_t i = largest_free(arena, 0, 0);
    if (i == arena->part_count || !make_room(arena))
        return false;
    const part_t part = arena->parts[i];
    uint64_t unit = part.bytes >= 2 * (uint64_t)HUGE_PAGE_BYTES ? HUGE_PAGE_BYTES : PAGE_BYTES;
    uint64_t end = round_down(part.at + part.bytes, unit), first = round_up(part.at, unit);
    if (end <= first)
        return false;
    if (end - first > round_up(bytes, unit))
        first = end - round_up(bytes, unit);
    cut(arena, i, end - part.at);
    if (first > part.at)
        cut(arena, i++, first - part.at);
    return_range(arena, first, end);
    arena->parts[i].state = PART_EMPTY;
    arena->free_bytes -= end - first;
    join(arena, i);
    return true;
}

/* Merge the parts from `at` on, which are not in use, into one that is; returns its index. */
static size_t claim(lspo_arena_t *arena, uint64_t at, uint64_t bytes)
{
    size_t first = find_at(arena, at), end;
    if (at > arena->parts[first].at) {
        cut(arena, first, at - arena->parts[first].at);
        first++;
    }
    uint64_t claimed = 0, empty = 0;
    for (end = first; claimed < bytes; end++) {
        part_t *part = &arena->parts[end];
        if (part->bytes > bytes - claimed)
            cut(arena, end, bytes - claimed);
        part = &arena->parts[end];
        claimed += part->bytes;
        empty += part->state == PART_EMPTY ? part->bytes : 0;
    }
    arena->free_bytes -= bytes - empty;
    arena->parts[first].bytes = bytes;
    arena->parts[first].state = PART_USED;
    memmove(arena->parts + first + 1, arena->parts + end, (arena->part_count - end) * sizeof *arena->parts);
    arena->part_count -= end - first - 1;
    if (empty > 0)
        ask_for_huge_pages(arena, &arena->parts[first]);
    return first;
}

/* The number of bytes of a range without pages. */
static uint64_t empty_bytes(const lspo_arena_t *arena, uint64_t at, uint64_t end)
{
    uint64_t bytes = 0;
    for (size_t i = find_at(arena, at); i < arena->part_count && arena->parts[i].at < end; i++) {
        const part_t *part = &arena->parts[i];
        uint64_t first = part->at > at ? part->at : at,
                 last = part->at + part->bytes < end ? part->at + part->bytes : end;
        bytes += part->state == PART_EMPTY ? last - first : 0;
    }
    return bytes;
}

/* Change the state of `bytes` from `at` on, all within one part. */
static void set_state(lspo_arena_t *arena, uint64_t at, uint64_t bytes, part_state_t state)
{
    size_t i = find_at(arena, at);
    cut(arena, i, at + bytes - arena->parts[i].at);
    if (at > arena->parts[i].at) {
        cut(arena, i, at - arena->parts[i].at);
        i++;
    }
    arena->parts[i].state = state;
    join(arena, i);
}

/* Move pages of a free part elsewhere to one empty part of the range, at most `bytes`, without the page faults of new
 * pages; returns how many. */
static uint64_t move_pages(lspo_arena_t *arena, uint64_t at, uint64_t end, uint64_t bytes)
{
    size_t from = largest_free(arena, at, end);
    if (from == arena->part_count || !make_room(arena))
        return 0;
    const part_t source = arena->parts[from];
    uint64_t first = round_up(source.at, PAGE_BYTES), last = round_down(source.at + source.bytes, PAGE_BYTES);
    for (size_t i = find_at(arena, at); i < arena->part_count && arena->parts[i].at < end; i++) {
        const part_t part = arena->parts[i];
        uint64_t to = round_up(part.at > at ? part.at : at, PAGE_BYTES);
        uint64_t to_end = round_down(part.at + part.bytes < end ? part.at + part.bytes : end, PAGE_BYTES);
        if (part.state != PART_EMPTY || to_end <= to || last <= first)
            continue;
        uint64_t moved = least(least(to_end - to, last - first), round_up(bytes, PAGE_BYTES));
        if (mremap(arena->range + last - moved, moved, moved, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
                   arena->range + to) == MAP_FAILED)
            return 0;
        forbid_huge_pages(arena, last - moved, last);
        forbid_huge_pages(arena, to, to + moved);
        set_state(arena, last - moved, moved, PART_EMPTY);
        set_state(arena, to, moved, PART_FREE);
        return moved;
    }
    return 0;
}

/* Before a range is used: move free pages from elsewhere into it, as far as new pages would exceed the limit. */
static void fill(lspo_arena_t *arena, uint64_t at, uint64_t bytes)
{
    uint64_t used = arena->used_bytes + bytes, most = used > arena->peak_bytes ? used : arena->peak_bytes, moved = 1;
    while (moved > 0) {
        uint64_t empty = empty_bytes(arena, at, at + bytes);
        uint64_t held = arena->used_bytes + arena->free_bytes + empty;
        moved = held > most ? move_pages(arena, at, at + bytes, held - most) : 0;
    }
}

static void return_surplus(lspo_arena_t *arena)
{
    while (arena->used_bytes + arena->free_bytes > arena->peak_bytes + EDGES_BYTES)
        if (!return_pages(arena, arena->used_bytes + arena->free_bytes - arena->peak_bytes))
            return;
}

void *lspo_arena_take(lspo_arena_t *arena, size_t bytes)
{
    if (bytes > arena->range_bytes || !make_room(arena))
        return NULL;
    uint64_t whole_bytes = round_up((bytes ? bytes : 1) + RED_ZONE_BYTES, LSPO_ARENA_UNIT_BYTES);
    uint64_t at = 0;
    if (!find_place(arena, whole_bytes, &at) || !grow(arena, at + whole_bytes))
        return NULL;
    fill(arena, at, whole_bytes);
    if (!make_room(arena))
        return NULL;
    size_t i = claim(arena, at, whole_bytes);
    arena->parts[i].asked_bytes = bytes;
    char *memory = arena->range + arena->parts[i].at;
    arena->used_bytes += whole_bytes;
    if (arena->used_bytes > arena->peak_bytes)
        arena->peak_bytes = arena->used_bytes;
    if (at + whole_bytes > arena->reached)
        arena->reached = at + whole_bytes;
    return_surplus(arena);
    if (arena->used_bytes + arena->free_bytes > arena->most_held_bytes)
        arena->most_held_bytes = arena->used_bytes + arena->free_bytes;
    ASAN_POISON_MEMORY_REGION(memory, whole_bytes);
    ASAN_UNPOISON_MEMORY_REGION(memory, bytes);
    return memory;
}

size_t lspo_arena_give_back(lspo_arena_t *arena, void *memory)
{
    size_t i = find_at(arena, (uint64_t)((char *)memory - arena->range));
    part_t *part = &arena->parts[i];
    assert(part->state == PART_USED && arena->range + part->at == (char *)memory);
    ASAN_POISON_MEMORY_REGION(memory, part->bytes);
    size_t asked_bytes = part->asked_bytes;
    part->state = PART_FREE;
    if (part->bytes > arena->largest_returned_bytes)
        arena->largest_returned_bytes = part->bytes;
    arena->used_bytes -= part->bytes;
    arena->free_bytes += part->bytes;
    join(arena, i);
    return asked_bytes;
}

uint64_t lspo_arena_most_held_bytes(const lspo_arena_t *arena)
{
    return arena->most_held_bytes;
}
