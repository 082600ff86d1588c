/* mark_cuda.h - events of a CUDA device, and their times on the clock of lspo_now_ns(). */
#ifndef LSPO_REAL_DEVICE_MARK_CUDA_H
#define LSPO_REAL_DEVICE_MARK_CUDA_H

#include <cuda_runtime_api.h>
#include <stdint.h>

#include "real/device/device_state.h"

typedef struct lspo_clock_cuda lspo_clock_cuda_t;
cudaError_t lspo_clock_create(lspo_clock_cuda_t **clock_out);
void lspo_clock_destroy(lspo_clock_cuda_t *clock);

cudaError_t lspo_cuda_mark_create(lspo_device_mark_t **mark_out);
void lspo_cuda_mark_destroy(lspo_device_mark_t *mark);
cudaError_t lspo_cuda_mark_record(lspo_clock_cuda_t *clock, cudaStream_t stream, lspo_device_mark_t *mark);
cudaError_t lspo_cuda_mark_wait(const lspo_device_mark_t *mark);
cudaError_t lspo_cuda_mark_time(const lspo_device_mark_t *mark, uint64_t *ns_out);

#endif
