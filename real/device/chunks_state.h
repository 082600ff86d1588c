/* chunks_state.h - what chunks are on a device; for real/device/chunks*.c and the tables of device_*.c. */
#ifndef LSPO_REAL_DEVICE_CHUNKS_STATE_H
#define LSPO_REAL_DEVICE_CHUNKS_STATE_H

#include "real/device/chunks.h"

/* `state` is of a pool, made by open.  Addresses are multiples of the unit from the start of a range. */
typedef struct lspo_chunks_backend {
    uint64_t (*unit)(const lspo_device_t *device);
    lspo_status_t (*open)(lspo_device_t *device, uint64_t chunk_bytes, uint64_t most, void **state_out);
    void (*close)(void *state);
    lspo_status_t (*make)(void *state, uint64_t chunk);
    void (*unmake)(void *state, uint64_t chunk);
    lspo_status_t (*reserve)(void *state, uint64_t bytes, char **at_out);
    void (*release)(void *state, char *at, uint64_t bytes);
    lspo_status_t (*map)(void *state, char *at, uint64_t chunk);
    lspo_status_t (*access)(void *state, char *at, uint64_t bytes);
    void (*unmap)(void *state, char *at, uint64_t bytes);
    void (*copy)(void *state, char *to, const char *from, uint64_t bytes);
} lspo_chunks_backend_t;

extern const lspo_chunks_backend_t lspo_chunks_host, lspo_chunks_cuda;

#endif
