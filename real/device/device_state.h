/* device_state.h - the state of all devices, and the table of functions in which they differ; for real/device/device*.c
 * only. */
#ifndef LSPO_REAL_DEVICE_DEVICE_STATE_H
#define LSPO_REAL_DEVICE_DEVICE_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "real/device/device.h"

/* A part of a paced message.  Its slot is free again when it was waited for. */
enum { LSPO_COPY_SLOTS = 2 };
typedef struct {
    lspo_copy_direction_t direction;
    unsigned slot;
    void *to;
    const void *from;
    size_t bytes;
} lspo_copy_part_t;

/* Functions of real/device/device.h without `lspo_device_`, unless stated otherwise.  NULL: nothing to do or to
 * report. */
typedef struct {
    bool is_asynchronous;
    size_t chunk_bytes;   /* of a paced copy                                                            */
    unsigned parts_ahead; /* of it, begun before the one that is waited for; less than LSPO_COPY_SLOTS */
    void (*close)(lspo_device_t *device);

    /* Called under the device's lock and within its cap; give_back returns the bytes that were counted. */
    lspo_status_t (*take)(lspo_device_t *device, size_t bytes, bool counted, void **memory_out);
    size_t (*give_back)(lspo_device_t *device, void *memory);
    lspo_status_t (*host_take)(lspo_device_t *device, size_t bytes, void **memory_out);
    void (*host_give_back)(lspo_device_t *device, void *memory);
    lspo_status_t (*host_reserve)(lspo_device_t *device, uint64_t bytes);

    uint64_t (*most_held_bytes)(const lspo_device_t *device);
    uint64_t (*most_host_held_bytes)(const lspo_device_t *device);
    uint64_t (*card_bytes)(lspo_device_t *device);
    lspo_status_t (*describe)(const lspo_device_t *device, lspo_device_entry_t add, void *context);
    const char *(*pci_address)(const lspo_device_t *device);

    lspo_compute_t *(*compute)(lspo_device_t *device);
    lspo_status_t (*set_number)(lspo_device_t *device, lspo_number_t number);

    /* Begin a part of a paced message; wait until it has arrived (NULL: it has when the first returns).  Queue a whole
     * message without pacing. */
    void (*copy_begin)(lspo_device_t *device, const lspo_copy_part_t *part);
    void (*copy_wait)(lspo_device_t *device, const lspo_copy_part_t *part);
    void (*copy_later)(lspo_device_t *device, lspo_copy_direction_t direction, void *to, const void *from,
                       size_t bytes);
    lspo_status_t (*read)(lspo_device_t *device, void *to, const void *from, size_t bytes);
    lspo_status_t (*write)(lspo_device_t *device, void *to, const void *from, size_t bytes);
    void (*read_later)(lspo_device_t *device, void *to, const void *from, size_t bytes);
    void (*write_later)(lspo_device_t *device, void *to, const void *from, size_t bytes);

    /* For asynchronous devices.  lane_here: the lane of the calling thread; CPU for a thread without one. */
    lspo_lane_kind_t (*lane_here)(lspo_device_t *device);
    lspo_status_t (*enter_lane)(lspo_device_t *device, lspo_lane_kind_t lane);
    lspo_status_t (*mark_create)(lspo_device_t *device, lspo_device_mark_t **mark_out);
    void (*mark_destroy)(lspo_device_t *device, lspo_device_mark_t *mark);
    lspo_status_t (*mark_record)(lspo_device_t *device, lspo_lane_kind_t lane, lspo_device_mark_t *mark);
    lspo_status_t (*mark_wait)(lspo_device_t *device, lspo_device_mark_t *mark);
    lspo_status_t (*mark_time)(lspo_device_t *device, lspo_device_mark_t *mark, uint64_t *ns_out);
    void (*range_begin)(lspo_device_t *device, const char *name);
    void (*range_end)(lspo_device_t *device);

    const struct lspo_chunks_backend *chunks; /* real/device/chunks_state.h; NULL: it has none */
} lspo_device_backend_t;

/* A backend's own mark begins with this. */
struct lspo_device_mark {
    lspo_lane_kind_t lane;
    uint64_t given_back_bytes; /* on the lane's stream before it */
};

/* A backend's own state begins with this. */
struct lspo_device {
    const lspo_device_backend_t *backend;
    lspo_device_caps_t caps;
    pthread_mutex_t lock;
    uint64_t free_bytes;                        /* of a GPU for what is given out; 0: unknown */
    uint64_t in_use_bytes;                      /* taken and not given back by calls */
    uint64_t claimed_bytes, most_claimed_bytes; /* of in_use_bytes, chunks */
    uint64_t peak_bytes; /* including memory given back that may still be in use when a lane takes more */
    /* Per lane's stream: all bytes given back there, and those of them before marks that have passed. */
    uint64_t given_back_bytes[LSPO_DEVICE_LANES], passed_bytes[LSPO_DEVICE_LANES];
    pthread_cond_t passed;   /* more of them */
    atomic_bool busy[2];     /* by direction, where copies are paced */
    const atomic_int *hurry; /* nonzero: stop pacing; NULL: always pace */
};

/* `caps` is checked. */
lspo_status_t lspo_device_open_host(const lspo_device_caps_t *caps, lspo_device_t **device_out);
lspo_status_t lspo_device_open_cuda(const char *name, uint32_t number, const lspo_device_caps_t *caps,
                                    lspo_device_t **device_out);

/* Count memory that the backend's take() does not give, of chunks.  LSPO_ERR_FIT as lspo_device_alloc(). */
lspo_status_t lspo_device_claim(lspo_device_t *device, uint64_t bytes);
void lspo_device_unclaim(lspo_device_t *device, uint64_t bytes);

/* For backends: set up and release the shared state. */
void lspo_device_begin(lspo_device_t *device, const lspo_device_backend_t *backend, const lspo_device_caps_t *caps);
void lspo_device_end(lspo_device_t *device);

#endif
