/* sms_cuda.h - a stream whose kernels run on some of the multiprocessors (a green context, CUDA 12.4). */
#ifndef LSPO_REAL_DEVICE_SMS_CUDA_H
#define LSPO_REAL_DEVICE_SMS_CUDA_H

#include <cuda_runtime_api.h>
#include <stdint.h>

#include "base/status.h"

typedef struct {
    void *context;
    cudaStream_t stream;
    uint32_t count; /* of multiprocessors, at least as many as asked for */
} lspo_sms_t;
lspo_status_t lspo_sms_open(int number, uint32_t count, int priority, lspo_sms_t *sms_out);
/* After the stream, which is the caller's to destroy. */
void lspo_sms_close(const lspo_sms_t *sms);

#endif
