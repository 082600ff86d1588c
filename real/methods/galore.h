/* galore.h - what galore holds of a stage. */
#ifndef LSPO_REAL_METHODS_GALORE_H
#define LSPO_REAL_METHODS_GALORE_H

#include "real/methods/gpu_adam.h"

typedef struct {
    lspo_gpu_adam_t gpu;
    void *basis[LSPO_LINEAR_MAX]; /* device: of the compressed weights (kernels/lowrank.h)                          */
    void *full_gradient;          /* device: from a BWD to its COMPRESS, in a step with new bases to the last one's */
} lspo_galore_stage_t;

#endif
