/* zenflow.h - the state of zenflow. */
#ifndef LSPO_REAL_METHODS_ZENFLOW_H
#define LSPO_REAL_METHODS_ZENFLOW_H

#include "real/methods/gpu_adam.h"
#include "real/methods/host_adam.h"

typedef struct {
    size_t sent_count;     /* elements of the gradient that the CPU updates                                       */
    lspo_gpu_adam_t gpu;   /* of the critical columns: m, then v; then of the rest: m, then v              */
    lspo_host_adam_t host; /* of all linear weights, since any column may be sent; no master                */
    void *critical;        /* device, COMPRESS to UPD_GPU: the GPU's part of the gradient, the critical columns of
                             each weight and the rest                                                            */
    uint32_t *columns[2][LSPO_LINEAR_MAX];     /* host: splits (kernels/columns.h), of even and odd selections   */
    uint32_t *gpu_columns[2][LSPO_LINEAR_MAX]; /* the same for the device; the same arrays if it sees host memory */
    float *window_sum[2];                      /* host: gradients of even and odd windows                        */
} lspo_zenflow_stage_t;

typedef struct {
    void *scratch; /* device */
    size_t scratch_elements;
    size_t widest_row; /* columns of the widest weight */
} lspo_zenflow_t;

#endif
