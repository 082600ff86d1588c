/* sms_cuda.h - a stream whose kernels use only some multiprocessors (a green context, CUDA 12.4). */
#ifndef LSPO_REAL_DEVICE_SMS_CUDA_H
#define LSPO_REAL_DEVICE_SMS_CUDA_H

#include <cuda_runtime_api.h>
#include <stdint.h>

#include "base/status.h"

typedef struct {
    void *context;       /* NULL: the whole GPU               */
    cudaStream_t stream; /* NULL then, too: any stream will do */
    uint32_t count;      /* multiprocessors, at least as many as requested */
} lspo_sms_t;
lspo_status_t lspo_sms_open(int number, uint32_t count, int priority, lspo_sms_t *sms_out);
/* Call after destroying the stream, which the caller owns. */
void lspo_sms_close(const lspo_sms_t *sms);

#endif
