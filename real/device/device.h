/* device.h - a device: a GPU, or the host in place of one, with memory, a link and lanes.
 *
 * The host device has its own memory (with a capacity, exact accounting, and a high-water mark that is independent of
 * plans) and a duplex link.  Its copies are real memcpys in chunks, paced so that a message of n bytes takes latency +
 * n / rate, with rate x (1 - duplex_loss) while the other direction is busy.  Pacing can only slow copies down.
 */
#ifndef LSPO_REAL_DEVICE_DEVICE_H
#define LSPO_REAL_DEVICE_DEVICE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "kernels/number.h"
#include "plan/op.h"
#include "real/device/compute.h"

typedef struct lspo_device lspo_device_t;

typedef enum { LSPO_COPY_H2D, LSPO_COPY_D2H } lspo_copy_direction_t;

typedef struct {
    uint64_t memory_bytes;      /* 0: no cap */
    uint64_t peak_bytes;        /* predicted for what will run; only named when memory is short.  0: unknown */
    uint64_t host_memory_bytes; /* host memory that may be reserved, not counting memory_bytes; 0: no cap */
    double h2d_Bps, d2h_Bps;    /* 0: as fast as memcpy */
    double h2d_latency_s, d2h_latency_s;
    double h2d_duplex_loss, d2h_duplex_loss;
    double net_Bps, net_latency_s; /* of what is sent to another peer (real/train/grid.h); 0: as fast as memcpy */
    double cpu_pps;                /* pace of the CPU optimizer, parameters per second; 0: unpaced */
    uint32_t sms; /* multiprocessors for kernels (rounded up to what the GPU can partition); 0: all.  GPU only */
    bool nvtx;    /* ranges of lspo_device_range_begin() for NVIDIA's profilers; nothing on the host */
} lspo_device_caps_t;

/* `name` is "host", "cuda" (the first GPU) or "cuda:N"; LSPO_ERR_INPUT for another name or a cap out of range.
 * LSPO_ERR_DEVICE for a GPU in a build without CUDA, a GPU that the machine does not have, one below sm_75, or one that
 * cannot be limited to `caps->sms`. */
lspo_status_t lspo_device_open(const char *name, const lspo_device_caps_t *caps, lspo_device_t **device_out);
void lspo_device_close(lspo_device_t *device);

/* The GPUs of this machine, from 0; does not open them.  None without a driver or in a build without CUDA. */
typedef struct {
    char name[16];         /* for lspo_device_open(): "cuda:0" */
    char place[32];        /* its PCI address                  */
    char description[320]; /* name and memory                */
    uint32_t sm_count;
} lspo_device_gpu_t;
uint32_t lspo_device_gpu_count(void);
/* LSPO_ERR_DEVICE if the GPU cannot be queried. */
lspo_status_t lspo_device_gpu_at(uint32_t number, lspo_device_gpu_t *gpu_out);

/* 64-byte aligned device memory.  Freed memory stays resident, so that steady-state iterations have few page faults or
 * none.  LSPO_ERR_FIT if it would exceed the cap; the message has the requested, used and allowed sizes. */
lspo_status_t lspo_device_alloc(lspo_device_t *device, size_t bytes, void **memory_out);
void lspo_device_free(lspo_device_t *device, void *memory);
/* Like lspo_device_alloc(), but not counted against the memory cap: for the few bytes per batch element or stage that
 * are exchanged with the host. */
lspo_status_t lspo_device_alloc_uncounted(lspo_device_t *device, size_t bytes, void **memory_out);
/* High-water mark of allocated bytes.  On an asynchronous device, memory that a lane has given back counts for other
 * lanes until a later mark of that lane has passed, so the GPU never holds more than this. */
uint64_t lspo_device_peak_bytes(const lspo_device_t *device);
/* Bytes that may still be allocated, limited by the cap and by what was free on the GPU once its kernels were loaded,
 * without a reserve (real/device/pool_cuda.c); UINT64_MAX: no limit. */
uint64_t lspo_device_room_bytes(lspo_device_t *device);
/* The most system memory that device memory ever had at once, allocated or kept for reuse: what the host measures of
 * the device, for example in VmHWM. Rounded up by at most 127 bytes per allocation. */
uint64_t lspo_device_most_held_bytes(const lspo_device_t *device);
/* The same for lspo_device_host_alloc(). */
uint64_t lspo_device_most_host_held_bytes(const lspo_device_t *device);
/* Bytes of the GPU's memory that are in use now, by this program and all others: what a monitor of the card shows.  The
 * pool keeps what is freed, so after an execution this is its peak.  0: the host, or the driver does not say. */
uint64_t lspo_device_card_bytes(lspo_device_t *device);
const lspo_device_caps_t *lspo_device_caps(const lspo_device_t *device);

/* Call `add` for each entry of a trace's header about the device; stops at the first failure.  A GPU has: "gpu" (name),
 * "sm count" (for kernels), "compute capability", "driver", "cuda runtime", "pageable bytes" (of messages so far whose
 * host memory was not pinned, which a GPU copies slowly and without overlap; the first one is warned of), "gpu memory
 * bytes" (that may be given out), "gpu reserved bytes" (the most that the GPU has provided so far for what was given
 * out or is kept for reuse, in the driver's units).  The host has none. */
typedef lspo_status_t (*lspo_device_entry_t)(void *context, const char *key, const char *value);
lspo_status_t lspo_device_describe(const lspo_device_t *device, lspo_device_entry_t add, void *context);
/* The PCI address of the GPU, such as "0000:3b:00.0"; NULL on the host. */
const char *lspo_device_pci_address(const lspo_device_t *device);

/* Reserve host memory for later lspo_device_host_alloc() calls, each rounded up to 64 bytes; `items` lists it by
 * purpose.  LSPO_ERR_FIT, with all items in the message, if the cap, the machine or the process's cgroup has less.  For
 * a GPU it is pinned at once as one block; if that is refused, in pieces of 256 MiB, or as memory of the driver; if
 * that is refused, too, it stays pageable. */
typedef struct {
    const char *purpose;
    uint64_t bytes;
} lspo_device_host_item_t;
lspo_status_t lspo_device_host_reserve(lspo_device_t *device, uint64_t bytes, const lspo_device_host_item_t *items,
                                       size_t item_count);

/* Zeroed, 64-byte aligned host memory for copies at full speed: first from the reserved memory, in order, then
 * additional memory.  LSPO_ERR_MEMORY. */
lspo_status_t lspo_device_host_alloc(lspo_device_t *device, size_t bytes, void **memory_out);
void lspo_device_host_free(lspo_device_t *device, void *memory);

/* The device's kernels on its compute stream, owned by the device.  The format of weights and activations is fp32 until
 * another is set.  LSPO_ERR_INPUT for a format that the device does not support (the host has only fp32; a GPU below
 * sm_80 has no bf16). */
lspo_compute_t *lspo_device_compute(lspo_device_t *device);
lspo_status_t lspo_device_set_number(lspo_device_t *device, lspo_number_t number);

/* Exchange data with the host outside of messages (batches, losses, state): never paced, in the order of the calling
 * lane's stream, complete on return.  On the host a memcpy. */
lspo_status_t lspo_device_read(lspo_device_t *device, void *to, const void *from, size_t bytes);
lspo_status_t lspo_device_write(lspo_device_t *device, void *to, const void *from, size_t bytes);
/* The same, but only queued: the host side must be memory of lspo_device_host_alloc() that does not change until the op
 * has ended.  On a GPU, 1 MiB or less does not wait for messages of other lanes. */
void lspo_device_read_later(lspo_device_t *device, void *to, const void *from, size_t bytes);
void lspo_device_write_later(lspo_device_t *device, void *to, const void *from, size_t bytes);

/* ---- lanes.  On an asynchronous device every lane except the CPU's has a stream.  The work of a lane's thread is
 * queued on it, and is complete when a later mark has passed.  Memory that an op gives back may be given at once to a
 * later op of the same lane, and to another lane after a later mark has been waited for; if there is enough memory, the
 * device may give it out earlier and order the two. ---- */

bool lspo_device_is_asynchronous(const lspo_device_t *device);
/* From now on the calling thread works for `lane`; work of threads without a lane is queued on the compute stream. */
lspo_status_t lspo_device_enter_lane(lspo_device_t *device, lspo_lane_kind_t lane);

/* A point in a lane's stream (asynchronous devices only).  record: from the lane's thread.  wait: from any thread;
 * LSPO_ERR_DEVICE if something before the mark failed.  time: of a mark that has passed, on the clock of
 * lspo_now_ns(). */
typedef struct lspo_device_mark lspo_device_mark_t;
lspo_status_t lspo_device_mark_create(lspo_device_t *device, lspo_device_mark_t **mark_out);
void lspo_device_mark_destroy(lspo_device_t *device, lspo_device_mark_t *mark);
lspo_status_t lspo_device_mark_record(lspo_device_t *device, lspo_lane_kind_t lane, lspo_device_mark_t *mark);
lspo_status_t lspo_device_mark_wait(lspo_device_t *device, lspo_device_mark_t *mark);
lspo_status_t lspo_device_mark_time(lspo_device_t *device, lspo_device_mark_t *mark, uint64_t *ns_out);

/* Mark the work of the calling thread until the end as a range of this name for profilers (caps.nvtx). */
void lspo_device_range_begin(lspo_device_t *device, const char *name);
void lspo_device_range_end(lspo_device_t *device);

/* Copy one message; returns when it has arrived or, on an asynchronous device without pacing, when it is queued on the
 * calling lane's stream.  Only one call at a time in each direction. */
void lspo_device_copy(lspo_device_t *device, lspo_copy_direction_t direction, void *to, const void *from, size_t bytes);

/* Sleep until `seconds` after `start_ns` (CLOCK_MONOTONIC_RAW), if that is in the future; this is how work is paced. */
uint64_t lspo_now_ns(void);
void lspo_pace(uint64_t start_ns, double seconds);

/* The same for the device's caps, until *hurry becomes nonzero: then everything runs at full speed, so that an
 * interrupted training need not wait for a slow link.  NULL, the default: always pace.  Not while a plan runs. */
void lspo_device_pace(const lspo_device_t *device, uint64_t start_ns, double seconds);
void lspo_device_set_hurry(lspo_device_t *device, const atomic_int *hurry);

#endif
