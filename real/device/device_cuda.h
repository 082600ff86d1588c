/* device_cuda.h - the parts of a CUDA device: for real/device/device_cuda.c, open_cuda.c, mark_cuda.c, pinned_cuda.c
 * and sms_cuda.c only. */
#ifndef LSPO_REAL_DEVICE_DEVICE_CUDA_H
#define LSPO_REAL_DEVICE_DEVICE_CUDA_H

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <stdatomic.h>

#include "real/device/device_state.h"

/* ---- pinned_cuda.c: host memory that the GPU copies at full speed.  Not thread-safe ---- */

typedef struct lspo_pinned lspo_pinned_t;
/* `node`: of the machine's memory, nearest to the GPU; below 0 where that is not known. */
lspo_status_t lspo_pinned_create(int node, lspo_pinned_t **pinned_out);
void lspo_pinned_destroy(lspo_pinned_t *pinned);
/* See lspo_device_host_reserve() and lspo_device_host_alloc(). */
lspo_status_t lspo_pinned_reserve(lspo_pinned_t *pinned, uint64_t bytes);
lspo_status_t lspo_pinned_take(lspo_pinned_t *pinned, size_t bytes, void **memory_out);
void lspo_pinned_give_back(lspo_pinned_t *pinned, void *memory);
uint64_t lspo_pinned_most_held_bytes(const lspo_pinned_t *pinned);
/* How many of `bytes` from `memory` on one call may copy, which must not cross pieces that were pinned apart. */
size_t lspo_pinned_piece(const lspo_pinned_t *pinned, const void *memory, size_t bytes, bool *is_pinned_out);

/* ---- sms_cuda.c: a stream whose kernels run on some of the multiprocessors (a green context, CUDA 12.4) ---- */

typedef struct {
    void *context;
    cudaStream_t stream;
    uint32_t count; /* of multiprocessors, at least as many as asked for */
} lspo_sms_t;
lspo_status_t lspo_sms_open(int number, uint32_t count, int priority, lspo_sms_t *sms_out);
/* After the stream, which is the caller's to destroy. */
void lspo_sms_close(const lspo_sms_t *sms);

/* ---- mark_cuda.c: events, and their times on the clock of lspo_now_ns() ---- */

typedef struct lspo_clock_cuda lspo_clock_cuda_t;
cudaError_t lspo_clock_create(lspo_clock_cuda_t **clock_out);
void lspo_clock_destroy(lspo_clock_cuda_t *clock);

cudaError_t lspo_cuda_mark_create(lspo_device_mark_t **mark_out);
void lspo_cuda_mark_destroy(lspo_device_mark_t *mark);
cudaError_t lspo_cuda_mark_record(lspo_clock_cuda_t *clock, cudaStream_t stream, lspo_device_mark_t *mark);
cudaError_t lspo_cuda_mark_wait(const lspo_device_mark_t *mark);
cudaError_t lspo_cuda_mark_time(const lspo_device_mark_t *mark, uint64_t *ns_out);

/* ---- device_cuda.c, open_cuda.c ---- */

typedef struct {
    void *memory;
    size_t bytes; /* that were counted */
} lspo_device_part_t;

typedef struct {
    lspo_device_t device;
    int number;
    uint64_t serial; /* of all devices that were ever opened, this one */
    char gpu_name[256], pci_address[32];
    int capability; /* 10 major + minor */
    int sm_count;   /* that kernels may use */

    lspo_sms_t sms;
    cudaStream_t streams[LSPO_DEVICE_LANES]; /* the CPU lane's is the compute stream */
    cudaEvent_t entered, arrived[2];       /* the latter by direction: a part of a paced copy */
    cudaMemPool_t pool;
    cublasHandle_t cublas;
    void *workspace;
    lspo_compute_t *compute;
    lspo_clock_cuda_t *clock;
    lspo_pinned_t *pinned;

    lspo_device_part_t *parts; /* handed out */
    size_t part_count, part_room;
    uint64_t pageable_bytes;
    atomic_bool failed;
} lspo_device_cuda_t;

/* True when there is no error.  A device's first is logged, and stays. */
bool lspo_device_cuda_good(lspo_device_cuda_t *d, cudaError_t error, const char *what);
extern const lspo_device_backend_t lspo_device_cuda_backend;
/* Also of one that was opened in part. */
void lspo_device_cuda_close(lspo_device_t *device);

#endif
