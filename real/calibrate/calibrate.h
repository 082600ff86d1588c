/* calibrate.h - measure this machine's rates, one kernel class after the other, and fill a machine profile.
 *
 * Each kernel is timed at several shapes, twice: with operands in the cache (near), and as in a large training (far):
 * there operands that the forward pass or the last iteration wrote come from memory, and those that the previous kernel
 * wrote come from the cache.  Rates are fitted to all samples by robust regression (GSL, bisquare weights) of relative
 * errors, so that disturbed samples have little weight; the rates of matrix products by shape are a grid of medians
 * (plan/products.h).  Calibration is independent of any plan.
 */
#ifndef LSPO_REAL_CALIBRATE_CALIBRATE_H
#define LSPO_REAL_CALIBRATE_CALIBRATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/machine.h"
#include "plan/workload.h"

typedef struct {
    const char *device;         /* "host", "cuda", "cuda:N" */
    lspo_precision_t precision; /* of the timed kernels; the host has only fp32 */
    bool quick;                 /* under 30 s instead of under 3 minutes */
    uint32_t cpu_threads;       /* of the CPU optimizer; 0: the default of a run on that device */
    void (*progress)(void *context, const char *label, unsigned done, unsigned of); /* may be NULL */
    void *progress_context;
} lspo_calibrate_options_t;

/* One timed call (or the mean of several, if one is too short to time). */
typedef struct {
    const char *kind; /* "gemm", "norm", ...; static */
    char shape[48];   /* "m64 n128 k256 near" */
    uint32_t repeat;  /* of this shape, from 0 */
    double time_s;
    double fitted_s; /* by the fitted parameters; NaN: no parameter is fitted to it */
} lspo_calibration_sample_t;

/* How well one field of the profile is known. */
typedef struct {
    double standard_error; /* in the field's unit; NaN: not estimated */
    uint32_t samples;      /* 0: not measured                         */
} lspo_calibration_error_t;

typedef struct {
    lspo_machine_t machine;
    lspo_calibration_error_t errors[LSPO_MACHINE_FIELDS_MAX]; /* by field of lspo_machine_fields */
    lspo_calibration_sample_t *samples;
    size_t sample_count;
    char topology[512];         /* a description of caches, NUMA nodes and the GPU's place; lines end in \n */
    double counted_bytes;       /* memory traffic of one pass over a stream, by hardware counters; NaN: none */
    double counted_model_bytes; /* the same by the model */
    double counted_cycles;
} lspo_calibration_result_t;

/* Fills every field of the profile.  On a GPU kernels are timed by events on their stream, with many in the queue as in
 * training; rates are those of operands in GPU memory (gpu.cache_bytes is 0).  LSPO_ERR_DEVICE if there is no such
 * device. */
lspo_status_t lspo_calibrate(const lspo_calibrate_options_t *options, lspo_calibration_result_t *result_out);
void lspo_calibration_release(lspo_calibration_result_t *result);

#endif
