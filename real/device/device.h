/* device.h - the small interface behind which a GPU, or the host standing in for one, does its work.
 *
 * The host device has memory of its own (a capacity, exact accounting, a high-water mark that knows nothing of
 * plans) and a duplex link whose copies are real memcpys in chunks, paced so that a message of n bytes takes
 * latency + n / rate, and rate x (1 - duplex_loss) while the other direction is busy.  Pacing only slows.
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
    uint64_t host_memory_bytes; /* that may be reserved of the host's, beside what stands for a GPU's; 0: no cap */
    double h2d_Bps, d2h_Bps;    /* 0: as fast as memcpy goes */
    double h2d_latency_s, d2h_latency_s;
    double h2d_duplex_loss, d2h_duplex_loss;
    double cpu_pps; /* pace of the CPU optimizer, parameters a second; 0: unpaced */
    uint32_t sms;   /* multiprocessors that kernels may use (rounded up to what the GPU can part); 0: all.  GPU only */
    bool nvtx;      /* ranges of lspo_device_range_begin() for NVIDIA's profilers; nothing on the host */
} lspo_device_caps_t;

/* `name` is "host", "cuda" (the first GPU) or "cuda:N"; LSPO_ERR_INPUT for another name or a cap out of range.  A GPU
 * is LSPO_ERR_DEVICE in a build without CUDA, on a machine that lacks it, below sm_75, or when it cannot be limited to
 * `caps->sms`. */
lspo_status_t lspo_device_open(const char *name, const lspo_device_caps_t *caps, lspo_device_t **device_out);
void lspo_device_close(lspo_device_t *device);

/* The GPUs of this machine, from 0; nothing is opened.  None where there is no driver or the build has no CUDA. */
typedef struct {
    char name[16];         /* for lspo_device_open(): "cuda:0" */
    char place[32];        /* its PCI address                  */
    char description[320]; /* what it is, its memory           */
    uint32_t sm_count;
} lspo_device_gpu_t;
uint32_t lspo_device_gpu_count(void);
/* LSPO_ERR_DEVICE for one that does not tell. */
lspo_status_t lspo_device_gpu_at(uint32_t number, lspo_device_gpu_t *gpu_out);

/* 64-byte aligned device memory; what is free stays resident, so that steady-state iterations fault few pages or none.
 * LSPO_ERR_FIT when it would exceed the cap: the message says how much was asked for, in use and allowed. */
lspo_status_t lspo_device_alloc(lspo_device_t *device, size_t bytes, void **memory_out);
void lspo_device_free(lspo_device_t *device, void *memory);
/* The same beyond cap and count, as the context of a GPU is: the few bytes an element of a batch or a stage that the
 * host tells or is told, which on the host device are its own. */
lspo_status_t lspo_device_alloc_uncounted(lspo_device_t *device, size_t bytes, void **memory_out);
/* High-water mark of bytes handed out.  On an asynchronous device what a lane has given back counts for other lanes
 * until a mark behind it was waited for, so that the GPU never holds more than this. */
uint64_t lspo_device_peak_bytes(const lspo_device_t *device);
/* What may still be taken, by the cap and by what was free on the GPU; UINT64_MAX where nothing bounds it. */
uint64_t lspo_device_room_bytes(lspo_device_t *device);
/* The most bytes of the system's that device memory ever had at once, handed out or kept for reuse: what a host-side
 * instrument such as VmHWM sees of the device.  Rounded up by at most 127 bytes an allocation. */
uint64_t lspo_device_most_held_bytes(const lspo_device_t *device);
/* The same of lspo_device_host_alloc(). */
uint64_t lspo_device_most_host_held_bytes(const lspo_device_t *device);
const lspo_device_caps_t *lspo_device_caps(const lspo_device_t *device);

/* What a trace's header says of the device, entry by entry; ends with the first failure of `add`.  A GPU's: "gpu"
 * (name), "sm count" (that kernels may use), "compute capability", "driver", "cuda runtime", "pageable bytes" (of
 * messages so far whose host side was not pinned, which a GPU copies slowly and not beside other work; the first is
 * warned of), "gpu memory bytes" (free when it was opened).  The host's: none. */
typedef lspo_status_t (*lspo_device_entry_t)(void *context, const char *key, const char *value);
lspo_status_t lspo_device_describe(const lspo_device_t *device, lspo_device_entry_t add, void *context);
/* Where the GPU sits, as "0000:3b:00.0"; NULL on the host. */
const char *lspo_device_pci_address(const lspo_device_t *device);

/* What lspo_device_host_alloc() will be asked for, each part rounded up to 64 bytes, by purpose.  LSPO_ERR_FIT, item by
 * item, when the cap, the machine or the process's cgroup has less to give.  A GPU's is pinned at once, in one piece;
 * where that is refused in pieces of 256 MiB, or it is memory of the driver's; what is refused even then stays
 * pageable. */
typedef struct {
    const char *purpose;
    uint64_t bytes;
} lspo_device_host_item_t;
lspo_status_t lspo_device_host_reserve(lspo_device_t *device, uint64_t bytes, const lspo_device_host_item_t *items,
                                       size_t item_count);

/* Zeroed, 64-byte aligned host memory that copies can use at full speed: what was reserved, in order, then more.
 * LSPO_ERR_MEMORY. */
lspo_status_t lspo_device_host_alloc(lspo_device_t *device, size_t bytes, void **memory_out);
void lspo_device_host_free(lspo_device_t *device, void *memory);

/* The device's kernels, on its compute stream; the device's.  The format of weights and activations is fp32 until set:
 * LSPO_ERR_INPUT for one that the device does not compute in (the host: all but fp32; a GPU before sm_80: bf16). */
lspo_compute_t *lspo_device_compute(lspo_device_t *device);
lspo_status_t lspo_device_set_number(lspo_device_t *device, lspo_number_t number);

/* What the host is told or tells outside of messages (batches, losses, state): never paced, in the order of the calling
 * lane's stream, done on return.  On the host a memcpy. */
lspo_status_t lspo_device_read(lspo_device_t *device, void *to, const void *from, size_t bytes);
lspo_status_t lspo_device_write(lspo_device_t *device, void *to, const void *from, size_t bytes);
/* The same, queued: the host side is memory of lspo_device_host_alloc() that stays as it is until the op has ended. */
void lspo_device_read_later(lspo_device_t *device, void *to, const void *from, size_t bytes);
void lspo_device_write_later(lspo_device_t *device, void *to, const void *from, size_t bytes);

/* ---- lanes.  On an asynchronous device every lane but the CPU's has a stream: what a lane's thread asks for is queued
 * there, and has been done when a mark behind it has been passed.  Memory that an op gives back may be handed to a
 * later op of its lane at once, and to another lane's when a mark behind it was waited for; where there is memory
 * enough, the device may hand it out before and order the two. ---- */

bool lspo_device_is_asynchronous(const lspo_device_t *device);
/* The calling thread works for `lane` from now on; others' work is queued on the compute stream. */
lspo_status_t lspo_device_enter_lane(lspo_device_t *device, lspo_lane_kind_t lane);

/* A point in a lane's stream (asynchronous devices only).  record: from the lane's thread.  wait: from any thread;
 * LSPO_ERR_DEVICE when something before it failed.  time: of a mark that was passed, on the clock of lspo_now_ns(). */
typedef struct lspo_device_mark lspo_device_mark_t;
lspo_status_t lspo_device_mark_create(lspo_device_t *device, lspo_device_mark_t **mark_out);
void lspo_device_mark_destroy(lspo_device_t *device, lspo_device_mark_t *mark);
lspo_status_t lspo_device_mark_record(lspo_device_t *device, lspo_lane_kind_t lane, lspo_device_mark_t *mark);
lspo_status_t lspo_device_mark_wait(lspo_device_t *device, lspo_device_mark_t *mark);
lspo_status_t lspo_device_mark_time(lspo_device_t *device, lspo_device_mark_t *mark, uint64_t *ns_out);

/* What the calling thread asks for until the end is a range of this name where profilers see one (caps.nvtx). */
void lspo_device_range_begin(lspo_device_t *device, const char *name);
void lspo_device_range_end(lspo_device_t *device);

/* One message; returns when it has arrived, on an asynchronous device without a pace when it is queued on the calling
 * lane's stream.  One call at a time in each direction. */
void lspo_device_copy(lspo_device_t *device, lspo_copy_direction_t direction, void *to, const void *from, size_t bytes);

/* Sleep until `seconds` after `start_ns` (CLOCK_MONOTONIC_RAW) if that has not passed: how paces are kept. */
uint64_t lspo_now_ns(void);
void lspo_pace(uint64_t start_ns, double seconds);

/* The same for the device's caps, which are kept until *hurry is nonzero: then all is as fast as it goes, for an end in
 * order that does not wait for a slow link.  NULL, as after open: always kept.  Not while a plan runs. */
void lspo_device_pace(const lspo_device_t *device, uint64_t start_ns, double seconds);
void lspo_device_set_hurry(lspo_device_t *device, const atomic_int *hurry);

#endif
