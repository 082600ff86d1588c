/* arena.h - memory in one range of addresses, handed out in parts, that takes no more pages than were ever in use at
 * once.
 *
 * The host device keeps its memory in such a range, and the memory of the host that copies use in another.  What is
 * given back stays resident and serves whatever comes next, of any size that fits: a training takes and gives back the
 * same parts in each step, and faults no pages once it has done so.  Where what is free lies in parts too small, new
 * pages are taken, and as many free ones returned to the system, so that
 *     held <= max over time of in use,     both in units of LSPO_ARENA_UNIT_BYTES
 * (and 128 KiB at most, of pages that a part shares with its neighbours).  Where the kernel can move pages from one
 * address to another (Linux 5.7), the new ones are free ones moved, which costs a hundredth of a page fault; what is
 * left faults 0 to 12 MB a step.  Large parts come from the low end and small ones from the high end, so that small
 * ones do not lie between large ones and part them.
 * Large parts lie on huge pages where the kernel grants them: matrix products walk long strides.
 *
 * Not thread-safe. */
#ifndef LSPO_REAL_DEVICE_ARENA_H
#define LSPO_REAL_DEVICE_ARENA_H

#include <stddef.h>
#include <stdint.h>

enum { LSPO_ARENA_UNIT_BYTES = 64 };

typedef struct lspo_arena lspo_arena_t;

/* The range grows as parts are taken, up to several times as many addresses as the machine has bytes: a limit on
 * addresses (ulimit -v) bounds what is in use, not what might be.  NULL when not even a first page is to be had. */
lspo_arena_t *lspo_arena_create(void);
void lspo_arena_destroy(lspo_arena_t *arena);

/* Aligned to a unit; what it holds is undefined.  NULL when there is no room. */
void *lspo_arena_take(lspo_arena_t *arena, size_t bytes);
/* `memory` is from take(); the bytes that were asked for then. */
size_t lspo_arena_give_back(lspo_arena_t *arena, void *memory);
/* The most that was ever held at once: in use, or free and still resident once it has been written to. */
uint64_t lspo_arena_most_held_bytes(const lspo_arena_t *arena);

#endif
