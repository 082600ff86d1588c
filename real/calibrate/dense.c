/* dense.c - find out where dense products with projectors are faster than sparse kernels: COMPRESS and APPLY of one
 * weight both ways, for three subspaces d and three numbers r of nonzeros.  Sparse arithmetic is proportional to r,
 * dense to d, so the faster one follows from d / r. */
#include <math.h>
#include <stdio.h>

#include "kernels/sketch.h"
#include "real/calibrate/state.h"

enum { SUBSPACES = 3, TRIALS = SUBSPACES * LSPO_CALIBRATE_NONZEROS };

/* Dense products are used only where they save more than this; less is within the noise of a calibration. */
static const double gain_least = 0.05;

typedef struct {
    lspo_calibration_t *calibration;
    lspo_projector_t p, q;
    void *scratch; /* owned, of the device */
    bool dense;
} call_t;

typedef struct {
    double ratio; /* d / r */
    lspo_timing_t sparse, dense;
} trial_t;

static void call_compress(void *context)
{
    const call_t *call = context;
    lspo_calibration_t *c = call->calibration;
    const size_t tokens = c->shapes->tokens, m = call->p.rows, n = call->q.rows;
    const lspo_gradient_factors_t factors = {tokens, lspo_calibrate_saved(c, tokens * m), m,
                                             lspo_calibrate_recent(c, tokens * n), n};
    (call->dense ? lspo_compute_sketch_compress : lspo_compute_projector_compress)(
        c->compute, &(lspo_projector_pair_t){&call->p, &call->q}, &factors, 0,
        lspo_calibrate_recent_output(c, (size_t)call->p.d * call->q.d), call->scratch);
}

static void call_apply(void *context)
{
    const call_t *call = context;
    lspo_calibration_t *c = call->calibration;
    const lspo_vector_step_t step = lspo_vector_step(1e-6F, 0, 1);
    (call->dense ? lspo_compute_sketch_apply : lspo_compute_projector_apply)(
        c->compute, &(lspo_projector_pair_t){&call->p, &call->q},
        lspo_calibrate_recent_floats(c, (size_t)call->p.d * call->q.d), &step,
        lspo_calibrate_saved_output(c, (size_t)call->p.rows * call->q.rows), call->scratch);
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Numbers of the largest scratch of the four calls. */
static size_t scratch_numbers(const call_t *call, size_t tokens)
{
    return larger(
        larger(lspo_sketch_compress_scratch(&call->p, &call->q, tokens), lspo_sketch_apply_scratch(&call->p, &call->q)),
        larger(lspo_projector_compress_scratch(&call->p, &call->q, tokens),
               lspo_compute_projector_apply_scratch(call->calibration->compute, &call->p, &call->q)));
}

static lspo_timing_t time_one(call_t *call, bool dense, const char *kind, lspo_timed_function_t function)
{
    lspo_calibration_t *calibration = call->calibration;
    char shape[48];
    call->dense = dense;
    snprintf(shape, sizeof shape, "d%u r%u", call->p.d, call->p.r);
    lspo_timing_t timing = lspo_calibrate_time(calibration, kind, shape, calibration->repeats, function, call);
    lspo_calibrate_set_fitted(calibration, &timing, timing.median_s);
    return timing;
}

static void time_both(call_t *call, trial_t *compress, trial_t *apply)
{
    const double ratio = (double)call->p.d / call->p.r;
    call->calibration->far = true;
    *compress = (trial_t){.ratio = ratio,
                          .sparse = time_one(call, false, "compress sparse", call_compress),
                          .dense = time_one(call, true, "compress dense", call_compress)};
    *apply = (trial_t){.ratio = ratio,
                       .sparse = time_one(call, false, "apply sparse", call_apply),
                       .dense = time_one(call, true, "apply dense", call_apply)};
}

static lspo_status_t time_at(lspo_calibration_t *calibration, uint32_t d, uint32_t r, trial_t *compress, trial_t *apply)
{
    const lspo_calibration_shapes_t *shapes = calibration->shapes;
    call_t call = {.calibration = calibration};
    lspo_status_t status = lspo_calibrate_make_projector(calibration->device, shapes->width_p, d, r, &call.p);
    if (status != LSPO_OK)
        return status;
    status = lspo_calibrate_make_projector(calibration->device, shapes->width_q, d, r, &call.q);
    if (status != LSPO_OK)
        goto release_p;
    const size_t bytes = scratch_numbers(&call, shapes->tokens) * lspo_compute_number_bytes(calibration->compute);
    status = lspo_device_alloc(calibration->device, bytes, &call.scratch);
    if (status != LSPO_OK)
        goto release_q;
    time_both(&call, compress, apply);
    lspo_device_free(calibration->device, call.scratch);
release_q:
    lspo_calibrate_release_projector(calibration->device, &call.q);
release_p:
    lspo_calibrate_release_projector(calibration->device, &call.p);
    return status;
}

static bool is_dense_faster(const trial_t *trial)
{
    return trial->dense.median_s < (1 - gain_least) * trial->sparse.median_s;
}

double lspo_calibrate_dense_ratio(const double *ratios, const bool *faster, size_t count)
{
    double least_slower = INFINITY, most = 0;
    for (size_t i = 0; i < count; i++)
        if (!faster[i])
            least_slower = fmin(least_slower, ratios[i]);
    for (size_t i = 0; i < count; i++)
        if (ratios[i] < least_slower)
            most = fmax(most, ratios[i]);
    return most;
}

static void set_ratio(lspo_calibration_t *calibration, const trial_t *trials, size_t count, double *ratio)
{
    double ratios[TRIALS];
    bool faster[TRIALS];
    for (size_t i = 0; i < count; i++) {
        ratios[i] = trials[i].ratio;
        faster[i] = is_dense_faster(&trials[i]);
    }
    *ratio = lspo_calibrate_dense_ratio(ratios, faster, count);
    lspo_calibrate_note(calibration, ratio, NAN, (uint32_t)count);
}

lspo_status_t lspo_calibrate_dense(lspo_calibration_t *calibration)
{
    const lspo_calibration_shapes_t *shapes = calibration->shapes;
    lspo_machine_t *machine = &calibration->result->machine;
    trial_t compress[TRIALS], apply[TRIALS];
    size_t count = 0;
    for (uint32_t i = 0; i < TRIALS; i++) {
        const uint32_t d = shapes->subspace >> (i / LSPO_CALIBRATE_NONZEROS),
                       r = shapes->nonzeros[i % LSPO_CALIBRATE_NONZEROS];
        if (r > d)
            continue;
        lspo_status_t status = time_at(calibration, d, r, &compress[count], &apply[count]);
        if (status != LSPO_OK)
            return status;
        count++;
    }
    set_ratio(calibration, compress, count, &machine->gpu.dense_compress_ratio);
    set_ratio(calibration, apply, count, &machine->gpu.dense_apply_ratio);
    return LSPO_OK;
}
