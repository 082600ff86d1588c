/* calibrate_state.h - private to real/calibrate*.c and their test. */
#ifndef LSPO_REAL_CALIBRATE_STATE_H
#define LSPO_REAL_CALIBRATE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan/machine.h"
#include "plan/status.h"
#include "real/topology.h"

/* One timed matrix product. */
typedef struct {
    double m, n, k;
    double time_s;
} lspo_gemm_time_t;

/* time = flop / flops (1 + m_half/m + n_half/n + k_half/k) + launch_s, all >= 0, flop = 2 m n k: the least squares of
 * relative errors (GSL).  A coefficient that comes out negative is left out and the others fitted again. */
typedef struct {
    double flops, m_half, n_half, k_half, launch_s;
} lspo_gemm_fit_t;
lspo_status_t lspo_calibrate_fit_gemm(const lspo_gemm_time_t *times, size_t count, lspo_gemm_fit_t *fit_out);

typedef void (*lspo_timed_function_t)(void *context);
/* Median CPU time of `samples` calls after one that is not counted. */
double lspo_calibrate_time_s(lspo_timed_function_t function, void *context, uint32_t samples);

/* Kernels take their operands from pools, one after the other, so that none finds them in a core's own cache: as in
 * training, where megabytes of other tensors have passed by since. */
typedef struct {
    float *data;
    size_t count, at;
} lspo_pool_t;
/* The next n floats; wraps.  n <= count. */
float *lspo_pool_take(lspo_pool_t *pool, size_t n);

/* Enough for the attention and update kernels at the sizes timed here. */
enum { LSPO_CALIBRATE_SCRATCH = 1 << 20 };

typedef struct {
    const lspo_topology_t *topology;
    bool quick;
    uint32_t samples;
    lspo_pool_t input;  /* values in [-1, 1), never written */
    lspo_pool_t output; /* whatever kernels wrote           */
    lspo_pool_t state;  /* Adam's, from zero                */
    float *scratch;     /* LSPO_CALIBRATE_SCRATCH floats    */
    lspo_machine_t *machine;
} lspo_calibration_t;

/* calibrate_kernels.c: gpu.* except op_s.  To be called on the GPU lane's core. */
lspo_status_t lspo_calibrate_gemm(lspo_calibration_t *calibration);
void lspo_calibrate_attention(lspo_calibration_t *calibration);
void lspo_calibrate_vector_kernels(lspo_calibration_t *calibration);
lspo_status_t lspo_calibrate_projectors(lspo_calibration_t *calibration);
/* Parameters a second of Adam on states that come from memory, and on one of `state_bytes` (16 an element) that stays
 * in cache; mean of the parameters and the direction form.  On whichever core calls. */
double lspo_calibrate_adam_pps(lspo_calibration_t *calibration);
double lspo_calibrate_adam_cached_pps(lspo_calibration_t *calibration, size_t state_bytes);

#endif
