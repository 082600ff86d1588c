/* device_cuda.h - a CUDA device: for the sources of real/device/ whose names end in _cuda.c. */
#ifndef LSPO_REAL_DEVICE_DEVICE_CUDA_H
#define LSPO_REAL_DEVICE_DEVICE_CUDA_H

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <stdatomic.h>

#include "real/device/device_state.h"
#include "real/device/mark_cuda.h"
#include "real/device/pinned_cuda.h"
#include "real/device/pool_cuda.h"
#include "real/device/sms_cuda.h"

typedef struct {
    void *memory;
    size_t bytes; /* that were counted */
} lspo_device_part_t;

typedef struct {
    lspo_device_t device;
    int number;
    uint64_t serial; /* number of this device among all ever opened */
    char gpu_name[256], pci_address[32];
    int capability; /* 10 major + minor */
    int sm_count;   /* that kernels may use */

    lspo_sms_t sms;
    cudaStream_t streams[LSPO_DEVICE_LANES]; /* the CPU lane's is the compute stream */
    cudaEvent_t entered;
    cudaEvent_t arrived[2][LSPO_COPY_SLOTS]; /* by direction: parts of a paced copy */
    cudaMemPool_t pool;
    cublasHandle_t cublas;
    void *workspace;
    lspo_compute_t *compute;
    unsigned warm_formats; /* bits: 1 << lspo_number_t */
    lspo_clock_cuda_t *clock;
    lspo_pinned_t *pinned;

    lspo_device_part_t *parts; /* handed out */
    size_t part_count, part_room;
    uint64_t pageable_bytes;
    atomic_bool failed;
} lspo_device_cuda_t;

/* True if there is no error.  The first error of a device is logged and remembered. */
bool lspo_device_cuda_good(lspo_device_cuda_t *d, cudaError_t error, const char *what);
extern const lspo_device_backend_t lspo_device_cuda_backend;
/* Run something of everything in the format of the device, unless that was done before, and then measure the memory
 * that may be given out.  LSPO_ERR_FIT if there is none. */
lspo_status_t lspo_device_cuda_warm(lspo_device_cuda_t *d);
/* Also closes a device that was only partly opened. */
void lspo_device_cuda_close(lspo_device_t *device);

#endif
