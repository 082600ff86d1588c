/* pinned_cuda.h - host memory that the GPU copies at full speed.  Not thread-safe. */
#ifndef LSPO_REAL_DEVICE_PINNED_CUDA_H
#define LSPO_REAL_DEVICE_PINNED_CUDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct lspo_pinned lspo_pinned_t;
/* `node`: the NUMA node nearest to the GPU; negative: unknown. */
lspo_status_t lspo_pinned_create(int node, lspo_pinned_t **pinned_out);
void lspo_pinned_destroy(lspo_pinned_t *pinned);
/* See lspo_device_host_reserve() and lspo_device_host_alloc(). */
lspo_status_t lspo_pinned_reserve(lspo_pinned_t *pinned, uint64_t bytes);
lspo_status_t lspo_pinned_take(lspo_pinned_t *pinned, size_t bytes, void **memory_out);
void lspo_pinned_give_back(lspo_pinned_t *pinned, void *memory);
uint64_t lspo_pinned_most_held_bytes(const lspo_pinned_t *pinned);
/* How many of `bytes` from `memory` on one call may copy; a copy must not cross separately pinned pieces. */
size_t lspo_pinned_piece(const lspo_pinned_t *pinned, const void *memory, size_t bytes, bool *is_pinned_out);
/* Where kernels find `bytes` from `memory` on; NULL if they are not pinned, or not together. */
void *lspo_pinned_mapped(const lspo_pinned_t *pinned, const void *memory, size_t bytes);

#endif
