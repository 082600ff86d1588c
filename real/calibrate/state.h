/* state.h - the internals of a calibration; private to real/calibrate/ and its tests. */
#ifndef LSPO_REAL_CALIBRATE_STATE_H
#define LSPO_REAL_CALIBRATE_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/projector.h"
#include "plan/products.h"
#include "real/calibrate/calibrate.h"
#include "real/calibrate/fit.h"
#include "real/device/device.h"
#include "real/machine/topology.h"

/* lspo_calibrate() at given sizes; NULL: the device's usual sizes. */
typedef struct lspo_calibration_shapes lspo_calibration_shapes_t;
lspo_status_t lspo_calibrate_at(const lspo_calibrate_options_t *options, const lspo_calibration_shapes_t *shapes,
                                lspo_calibration_result_t *result_out);

/* A pool of operands: kernels take successive parts of it, and start again after `around` floats, or at the end if an
 * operand would not fit. */
typedef struct {
    float *data;
    size_t count, around, at;
} lspo_pool_t;
/* The next n floats, in whole cache lines; wraps around. n <= count.  Gaps keep the addresses of pools different modulo
 * 4096, since operands whose addresses are equal modulo 4096 stall each other. */
float *lspo_pool_take(lspo_pool_t *pool, size_t n);

/* Enough for the attention and update kernels at the sizes timed here. */
enum { LSPO_CALIBRATE_SCRATCH = 1 << 20, LSPO_CALIBRATE_TARGETS = 1 << 13 };

/* Reuse distances, in bytes: up to the first the rates of the cache apply, from the second on those of memory.  The
 * second is only an initial value: by walks through memory the size of a shared last-level cache varies between 50 and
 * 400 MB from one calibration to the next; `lspo calibrate` fits it to trainings. */
enum { LSPO_CALIBRATE_NEAR_BYTES = 16 << 20, LSPO_CALIBRATE_FAR_BYTES = 48 << 20 };

/* Inputs are values in [-1, 1) in the device's format, which are also valid in fp32; they are never written. */
typedef struct {
    lspo_pool_t near_input, near_output; /* some megabytes: data of the previous kernel */
    lspo_pool_t far_input, far_output;   /* much larger than a cache */
    float *scratch;                      /* LSPO_CALIBRATE_SCRATCH floats                 */
    uint32_t *targets;                   /* LSPO_CALIBRATE_TARGETS, all 0 */
    uint32_t *columns;                   /* LSPO_CALIBRATE_TARGETS: even numbers, then odd numbers */
    uint32_t *slots; /* LSPO_CALIBRATE_TARGETS: of the first 2^n each below 2^n once, out of order */
    double *sum;
} lspo_calibration_memory_t;

/* The sizes at which kernels are timed.  They differ by device, because a shape that takes a CPU core milliseconds is
 * too small for a GPU. */
enum { LSPO_CALIBRATE_VECTORS = 7, LSPO_CALIBRATE_ATTENTIONS = 8, LSPO_CALIBRATE_NONZEROS = 3 };
struct lspo_calibration_shapes {
    size_t near_floats, far_floats; /* of a pool; a host whose cache is smaller uses less of the near ones */
    size_t product_sizes[LSPO_PRODUCT_SIZES_MAX];
    size_t vectors[LSPO_CALIBRATE_VECTORS][2];       /* rows, a power of two (see slots); width */
    size_t attentions[LSPO_CALIBRATE_ATTENTIONS][4]; /* batch, sequence, heads, head width */
    uint32_t width_p, width_q, subspace;             /* of the projectors */
    uint32_t nonzeros[LSPO_CALIBRATE_NONZEROS];      /* per row of them, ascending */
    size_t tokens;
    size_t adam_near, adam_far;
    uint32_t message_sizes;               /* from 64 B on, each four times the previous one */
    uint32_t block_width, block_sequence; /* of the GPU's work while other lanes are busy, two sequences */
};
extern const lspo_calibration_shapes_t lspo_calibrate_host_shapes, lspo_calibrate_gpu_shapes;

typedef void (*lspo_timed_function_t)(void *context);
typedef struct lspo_lanes_work lspo_lanes_work_t;

enum { LSPO_CALIBRATE_RUNS_MAX = 8 };

typedef struct {
    const lspo_topology_t *topology;
    lspo_device_t *device;
    lspo_compute_t *compute; /* the device's */
    const lspo_calibration_shapes_t *shapes;
    bool asynchronous; /* the device is: times come from events, and its memory is not host memory */
    bool quick;
    bool far;              /* operands come from memory as in a large training */
    bool evicted;          /* another kernel uses the core's own cache between two calls */
    lspo_lane_kind_t lane; /* the lane being measured */
    uint32_t repeats, cpu_threads;
    lspo_calibration_memory_t *memory; /* of the lane: one of the next two, which are the same on the host device */
    lspo_calibration_memory_t on_device;
    lspo_calibration_memory_t on_host;
    lspo_device_mark_t *marks[LSPO_DEVICE_LANES][2]; /* asynchronous: events before and after the timed work */
    lspo_lanes_work_t *lanes_work;
    size_t sample_capacity;
    double run_medians_s[2][LSPO_CALIBRATE_RUNS_MAX]; /* of one op, GPU and CPU, by call of lspo_calibrate_noise() */
    uint32_t run_count;
    _Atomic lspo_status_t status; /* the first failure, of the device or of storing a sample */
    lspo_calibration_result_t *result;
} lspo_calibration_t;

/* n numbers in the device's format.  saved: operands that were written long ago, or that are only written (from the far
 * pools if calibration->far); recent: operands that the previous kernel has just written. */
const void *lspo_calibrate_saved(lspo_calibration_t *calibration, size_t n);
const void *lspo_calibrate_recent(lspo_calibration_t *calibration, size_t n);
void *lspo_calibrate_saved_output(lspo_calibration_t *calibration, size_t n);
void *lspo_calibrate_recent_output(lspo_calibration_t *calibration, size_t n);
/* The same for n floats: statistics, moments, masters, steps. */
const float *lspo_calibrate_recent_floats(lspo_calibration_t *calibration, size_t n);
const float *lspo_calibrate_saved_floats(lspo_calibration_t *calibration, size_t n);
float *lspo_calibrate_recent_output_floats(lspo_calibration_t *calibration, size_t n);
float *lspo_calibrate_saved_output_floats(lspo_calibration_t *calibration, size_t n);

/* ---- memory (memory.c) ---- */

lspo_status_t lspo_calibrate_make_memory(lspo_calibration_t *calibration);
void lspo_calibrate_release_memory(lspo_calibration_t *calibration);

/* ---- the clock (meter.c) ---- */

/* The time between start and stop on a lane: the CPU time of its thread, which does not include other programs, or on
 * an asynchronous device the time between two events on the lane's stream, for which stop waits. */
typedef struct {
    lspo_lane_kind_t lane;
    double start_s;
} lspo_meter_t;
void lspo_meter_start(lspo_calibration_t *calibration, lspo_lane_kind_t lane, lspo_meter_t *meter);
double lspo_meter_stop(lspo_calibration_t *calibration, const lspo_meter_t *meter);
/* True if the lane's work is queued on a stream. */
bool lspo_calibrate_is_queued(const lspo_calibration_t *calibration, lspo_lane_kind_t lane);
lspo_status_t lspo_calibrate_make_marks(lspo_calibration_t *calibration);
void lspo_calibrate_release_marks(lspo_calibration_t *calibration);
/* Keep `status` if it is the first failure. */
void lspo_calibrate_fail(lspo_calibration_t *calibration, lspo_status_t status);

/* ---- samples (samples.c) ---- */

/* Consecutive samples of one shape. */
typedef struct {
    size_t first;
    uint32_t count;
    double median_s, error_s; /* error: robust standard error of the median */
} lspo_timing_t;

/* Median time (by the meter) of `repeats` calls of the function, each kept as a sample, after two more calls unless
 * they take long; a call that is too short to time is made several times per sample. */
lspo_timing_t lspo_calibrate_time(lspo_calibration_t *calibration, const char *kind, const char *shape,
                                  uint32_t repeats, lspo_timed_function_t function, void *context);
/* Keep samples that were timed elsewhere. */
lspo_timing_t lspo_calibrate_keep(lspo_calibration_t *calibration, const char *kind, const char *shape,
                                  const double *times_s, uint32_t count);
void lspo_calibrate_set_fitted(lspo_calibration_t *calibration, const lspo_timing_t *timing, double fitted_s);

/* One row per sample of a timing; returns their number (at most room). */
size_t lspo_calibrate_rows(const lspo_calibration_t *calibration, const lspo_timing_t *timing, const double *x,
                           size_t columns, lspo_fit_row_t *rows, size_t room);

/* Robust standard error of the median of at most 128 values. */
double lspo_calibrate_error(const double *values, uint32_t count);

/* Note how well `*value`, a field of the result's machine, is known. */
void lspo_calibrate_note(lspo_calibration_t *calibration, const double *value, double standard_error, uint32_t samples);

/* Describe the topology in the result: place.c. */
lspo_status_t lspo_calibrate_place(lspo_calibration_t *calibration);

/* ---- measurements, each on the core of its lane ---- */

lspo_status_t lspo_calibrate_gemm(lspo_calibration_t *calibration);           /* products, gemm_*: gemm.c    */
lspo_status_t lspo_calibrate_attention(lspo_calibration_t *calibration);      /* kernels.c from here on      */
lspo_status_t lspo_calibrate_vector_kernels(lspo_calibration_t *calibration); /* launch_s too: call it first */
lspo_status_t lspo_calibrate_projectors(lspo_calibration_t *calibration);     /* projectors.c */
lspo_status_t lspo_calibrate_dense(lspo_calibration_t *calibration);          /* dense.c */
lspo_status_t lspo_calibrate_generation(lspo_calibration_t *calibration);     /* generation.c; after vector_kernels */
lspo_status_t lspo_calibrate_near(lspo_calibration_t *calibration);           /* kept.c; before all others */
lspo_status_t lspo_calibrate_kept(lspo_calibration_t *calibration);           /* kept.c */
lspo_status_t lspo_calibrate_gpu_adam(lspo_calibration_t *calibration);       /* adam.c */
lspo_status_t lspo_calibrate_cpu_adam(lspo_calibration_t *calibration);
lspo_status_t lspo_calibrate_cpu_narrow_adam(lspo_calibration_t *calibration); /* after cpu_adam */
lspo_status_t lspo_calibrate_cpu_threads(lspo_calibration_t *calibration);     /* threads.c; after both */

/* A projector with random values whose arrays are in device memory; drawn from `rows`. */
lspo_status_t lspo_calibrate_make_projector(lspo_device_t *device, uint32_t rows, uint32_t d, uint32_t r,
                                            lspo_projector_t *projector_out);
void lspo_calibrate_release_projector(lspo_device_t *device, const lspo_projector_t *projector);

/* How often a memory must be halved until a cache holds it: read_s[i], of a weight in a memory halved i times and read
 * again and again, is at most a tenth of the way from read_s[halves] to far_s, of one that no cache holds.  0 where
 * that is no slower. */
size_t lspo_calibrate_halves(const double *read_s, size_t halves, double far_s);

/* What was read `age_s` ago, and is in cache to this share although `bytes` have been touched since, its own included.
 * The cache whose shares are nearest to those of `count` of them: gpu.kept_all_bytes, at least near_bytes;
 * gpu.kept_bytes, after which the share kept_share is left (0, or they are the most bytes of any), and kept_s; and such
 * a share. */
enum { LSPO_CALIBRATE_KEPT = 14 };
typedef struct {
    double bytes, age_s, share;
} lspo_kept_t;
typedef struct {
    double all_bytes, bytes, left, s;
} lspo_kept_cache_t;
lspo_kept_cache_t lspo_calibrate_fit_kept(double near_bytes, const lspo_kept_t *kept, size_t count);
double lspo_calibrate_kept_share(const lspo_kept_cache_t *cache, const lspo_kept_t *kept);

/* The largest ratio such that dense products are faster at it and at all smaller ones; 0: at none. */
double lspo_calibrate_dense_ratio(const double *ratios, const bool *faster, size_t count);

/* ---- lanes (lanes.c unless noted): these start their own threads ---- */

/* Run the function on the core of a lane, as the executor does, and wait for it. */
lspo_status_t lspo_calibrate_on_lane(const lspo_topology_t *topology, lspo_lane_kind_t lane,
                                     lspo_timed_function_t function, void *context);
void lspo_calibrate_enter_lane(void *topology, const lspo_lane_t *lane);

lspo_status_t lspo_lanes_work_create(lspo_device_t *device, const lspo_calibration_shapes_t *shapes,
                                     lspo_lanes_work_t **work_out);
void lspo_lanes_work_destroy(lspo_lanes_work_t *work);
lspo_status_t lspo_calibrate_contention(lspo_calibration_t *calibration, lspo_lanes_work_t *work);
/* noise.*: the noise by lane is that within this call; that of runs is over all calls, set by the last one. */
lspo_status_t lspo_calibrate_noise(lspo_calibration_t *calibration, lspo_lanes_work_t *work);
lspo_status_t lspo_calibrate_link(lspo_calibration_t *calibration);     /* link.c */
lspo_status_t lspo_calibrate_counters(lspo_calibration_t *calibration); /* counters.c */
lspo_status_t lspo_calibrate_chunks(lspo_calibration_t *calibration);   /* chunks.c */
/* ops.c; call it after the link, because it adds to its latencies. */
lspo_status_t lspo_calibrate_ops(lspo_calibration_t *calibration);

#endif
