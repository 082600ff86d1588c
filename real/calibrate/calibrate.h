/* calibrate.h - measure this machine's rates, kernel class by kernel class, into a machine profile.
 *
 * Kernels are timed by shape, twice: with operands that the kernel before has just written or that fit a cache (near),
 * and as the passes find them in a large training (far): what the forward pass or the last iteration left comes from
 * memory, what the kernel before wrote does not.  Rates are fitted to all samples by robust regression (GSL, bisquare
 * weights) of relative errors, so that a disturbed sample counts for little; the rates of matrix products by shape
 * are a grid of medians (plan/products.h).  A calibration never looks at a plan.
 */
#ifndef LSPO_REAL_CALIBRATE_CALIBRATE_H
#define LSPO_REAL_CALIBRATE_CALIBRATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan/machine.h"
#include "base/status.h"
#include "plan/workload.h"

typedef struct {
    const char *device;         /* "host", "cuda", "cuda:N" */
    lspo_precision_t precision; /* in which kernels are timed; the host has fp32 only */
    bool quick;                 /* under 30 s instead of under 3 minutes */
    uint32_t cpu_threads;       /* of the CPU optimizer; 0: as a run on that device has by default */
    void (*progress)(void *context, const char *label, unsigned done, unsigned of); /* may be NULL */
    void *progress_context;
} lspo_calibrate_options_t;

/* One timed call (or the mean of some, where one is too short to time). */
typedef struct {
    const char *kind; /* "gemm", "norm", ...; static */
    char shape[48];   /* "m64 n128 k256 near" */
    uint32_t repeat;  /* of this shape, from 0 */
    double time_s;
    double fitted_s; /* by the fitted parameters; NaN where none is fitted to it */
} lspo_calibration_sample_t;

/* How well one field of the profile is known. */
typedef struct {
    double standard_error; /* in the field's unit; NaN: not estimated */
    uint32_t samples;      /* 0: not measured                         */
} lspo_calibration_error_t;

enum { LSPO_CALIBRATION_FIELDS_MAX = 96 };

typedef struct {
    lspo_machine_t machine;
    lspo_calibration_error_t errors[LSPO_CALIBRATION_FIELDS_MAX]; /* by field of lspo_machine_fields */
    lspo_calibration_sample_t *samples;
    size_t sample_count;
    char topology[512];   /* caches, NUMA nodes, GPU's place, in words; lines ended by \n */
    double counted_bytes; /* of memory that one pass of a known stream moved, by hardware counters; NaN: no counters */
    double counted_model_bytes; /* what the model counts for it */
    double counted_cycles;
} lspo_calibration_result_t;

/* Fills every field of the profile.  On a GPU kernels are timed by marks on their stream, many in a queue, as in
 * training; rates are those of operands in its memory (gpu.cache_bytes is 0).  LSPO_ERR_DEVICE where there is none. */
lspo_status_t lspo_calibrate(const lspo_calibrate_options_t *options, lspo_calibration_result_t *result_out);
void lspo_calibration_release(lspo_calibration_result_t *result);

#endif
