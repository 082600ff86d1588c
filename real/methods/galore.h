/* galore.h - the state of galore per stage. */
#ifndef LSPO_REAL_METHODS_GALORE_H
#define LSPO_REAL_METHODS_GALORE_H

#include "real/methods/eigen.h"

typedef struct {
    lspo_eigen_t eigen;
    lspo_gpu_adam_t gpu;
    void *basis[LSPO_LINEAR_MAX]; /* device: of the compressed weights (kernels/lowrank.h)                          */
    void *full_gradient;          /* device: from BWD to its COMPRESS; with new bases to the step's last */
} lspo_galore_stage_t;

#endif
