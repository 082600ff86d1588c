/* arena.h - an allocator in one range of addresses that holds no more pages than were ever in use at once.
 *
 * The host device has one arena for its memory and another for the host memory of copies.  Freed parts stay resident
 * and are reused for any size that fits: a training takes and gives back the same parts in each step, so after the
 * first step it has no page faults.  If all free parts are too small, new pages are taken and as many free ones are
 * returned to the system, so that
 *     held <= max over time of in use,     both in units of LSPO_ARENA_UNIT_BYTES
 * (plus at most 128 KiB, for pages that a part shares with its neighbours).  Where the kernel can move pages from one
 * address to another (Linux 5.7), the new ones are free ones moved, which costs a hundredth of a page fault; 0 to 12 MB
 * of page faults per step remain.  Large parts are taken from the low end and small ones from the high end, so that
 * small ones do not fragment the space of large ones.  Large parts use huge pages if the kernel grants them, because
 * matrix products have long strides.
 *
 * Not thread-safe. */
#ifndef LSPO_REAL_DEVICE_ARENA_H
#define LSPO_REAL_DEVICE_ARENA_H

#include <stddef.h>
#include <stdint.h>

enum { LSPO_ARENA_UNIT_BYTES = 64 };

typedef struct lspo_arena lspo_arena_t;

/* The range grows as parts are taken, up to several times as many addresses as the machine has bytes: a limit on
 * addresses (ulimit -v) bounds what is in use, not what might be.  NULL if not even one page is available. */
lspo_arena_t *lspo_arena_create(void);
void lspo_arena_destroy(lspo_arena_t *arena);

/* Aligned to a unit; the contents are undefined.  NULL if there is no room. */
void *lspo_arena_take(lspo_arena_t *arena, size_t bytes);
/* `memory` comes from take(); returns the bytes that were requested then. */
size_t lspo_arena_give_back(lspo_arena_t *arena, void *memory);
/* The most that was ever held at once: in use, or free but still resident. */
uint64_t lspo_arena_most_held_bytes(const lspo_arena_t *arena);

#endif
