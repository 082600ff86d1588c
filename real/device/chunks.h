/* chunks.h - device memory in chunks, which are mapped into reserved ranges of addresses as what is stored there grows.
 *
 * A range is a plain array for kernels, of which only the beginning has memory: ceil(bytes / chunk_bytes) chunks of a
 * pool.  A chunk is in more than one range only by lspo_range_share().  On the host a chunk is a part of a memfd,
 * mapped with MAP_FIXED.                                                      [Xu et al., vTensor, arXiv 2407.15309]
 *
 *     made = free + mapped <= most                                 chunks
 *     mappings = sum over all ranges of their chunks >= mapped
 *
 * A chunk that no range needs any more stays in the pool.  A second thread may map ahead (lspo_range_grow_later()).
 * One lock guards the pool, its ranges and that thread's queue, also during calls of the system; functions may be
 * called from any thread, but not two of one range at once.
 */
#ifndef LSPO_REAL_DEVICE_CHUNKS_H
#define LSPO_REAL_DEVICE_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "real/device/device.h"

typedef struct lspo_chunks lspo_chunks_t;
typedef struct lspo_range lspo_range_t;

typedef struct {
    lspo_device_t *device;
    uint64_t chunk_bytes; /* a multiple of the device's unit */
    uint64_t most, made;  /* chunks: that there may be; that are made at once, the others when they are needed */
    bool access_by_chunk; /* memory becomes accessible by a call per chunk; else by one for all new chunks of a range */
    bool maps_ahead;      /* start the thread that lspo_range_grow_later() needs */
} lspo_chunks_options_t;

typedef struct {
    uint64_t made, free, mapped; /* chunks */
    uint64_t mappings;           /* of chunks into ranges, now */
    /* Calls so far, and their time. */
    uint64_t makes, maps, accesses, unmaps;
    uint64_t make_ns, map_ns, access_ns, unmap_ns;
} lspo_chunks_counts_t;

/* The unit of chunks of a device; 0: it has none. */
uint64_t lspo_chunks_unit(const lspo_device_t *device);

/* Chunks count as device memory while they are made: to the end of the pool, or to lspo_chunks_trim().  LSPO_ERR_INPUT
 * for sizes that are not multiples of the unit, and devices without it; LSPO_ERR_FIT if the device has less memory. */
lspo_status_t lspo_chunks_create(const lspo_chunks_options_t *options, lspo_chunks_t **pool_out);
/* Its ranges have been released. */
void lspo_chunks_destroy(lspo_chunks_t *pool);

/* Give the chunks that no range uses back to the device, but for those that were made at once. */
void lspo_chunks_trim(lspo_chunks_t *pool);

void lspo_chunks_count(lspo_chunks_t *pool, lspo_chunks_counts_t *counts_out);

/* Addresses for `bytes`, at least 1, without memory.  LSPO_ERR_MEMORY. */
lspo_status_t lspo_range_reserve(lspo_chunks_t *pool, uint64_t bytes, lspo_range_t **range_out);
/* Also gives all its chunks back; NULL is ignored. */
void lspo_range_release(lspo_range_t *range);

/* Its beginning. */
void *lspo_range_memory(const lspo_range_t *range);

/* Now the first `bytes` have memory, what is stored stays.  LSPO_ERR_FIT if the pool or the device has too little; then
 * nothing has changed.  LSPO_ERR_MEMORY if the system does not map them. */
lspo_status_t lspo_range_grow(lspo_range_t *range, uint64_t bytes);
/* The same by the second thread, some time; what it cannot do is left to lspo_range_grow(). */
void lspo_range_grow_later(lspo_range_t *range, uint64_t bytes);
/* Give back the chunks behind those that the first `bytes` need. */
void lspo_range_shrink(lspo_range_t *range, uint64_t bytes);

/* Let the first `bytes` of a range without memory be those of `from`: its whole chunks are shared, and what is left of
 * the last one is copied, so that either may store more behind them.  To shared chunks nothing may be stored.  As
 * lspo_range_grow(). */
lspo_status_t lspo_range_share(lspo_range_t *range, const lspo_range_t *from, uint64_t bytes);

#endif
