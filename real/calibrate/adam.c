/* adam.c - measure the parameters per second of the optimizer, from cache and from memory. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/adam_state.h"
#include "real/calibrate/state.h"

typedef struct {
    lspo_calibration_t *calibration;
    size_t n;
    lspo_adam_format_t format; /* of m and v */
} adam_call_t;

/* By which m and v are apart beyond their size, so that their addresses differ modulo 4096 (state.h). */
enum { PLACES_APART = 336 };

/* One call each of the parameters form and the direction form. */
static void call_cpu_adam(void *context)
{
    const adam_call_t *call = context;
    lspo_calibration_t *c = call->calibration;
    lspo_adam_t adam = lspo_adam_default(1e-3F, 1);
    for (int form = 0; form < 2; form++) {
        c->memory->far_output.at = c->memory->near_input.at = 0; /* the same state, as of a small subspace */
        const float *gradient = lspo_calibrate_recent_floats(c, call->n);
        const size_t places = lspo_adam_places(call->format, call->n + PLACES_APART);
        const size_t bytes = lspo_adam_state_bytes(call->format, places);
        void *moments = lspo_calibrate_saved_output_floats(c, (bytes + sizeof(float) - 1) / sizeof(float));
        float *w = lspo_calibrate_saved_output_floats(c, call->n);
        const lspo_adam_state_t state = lspo_adam_state_at(call->format, moments, places, 0, call->n);
        (form == 0 ? lspo_adam_parameters : lspo_adam_direction)(&adam, &state, gradient, w);
    }
}

static void call_gpu_adam(void *context)
{
    const adam_call_t *call = context;
    lspo_calibration_t *c = call->calibration;
    lspo_adam_t adam = lspo_adam_default(1e-3F, 1);
    bool has_master = lspo_compute_number(c->compute) != LSPO_NUMBER_FP32;
    for (int form = 0; form < 2; form++) {
        if (!c->far)
            c->memory->near_output.at = 0; /* the same state, as of a small model */
        const void *gradient = lspo_calibrate_saved(c, call->n);
        float *m = lspo_calibrate_saved_output_floats(c, call->n), *v = lspo_calibrate_saved_output_floats(c, call->n);
        float *master = has_master && form == 0 ? lspo_calibrate_saved_output_floats(c, call->n) : NULL;
        void *w = lspo_calibrate_saved_output(c, call->n);
        const lspo_adam_state_t state = {.count = call->n, .m = m, .v = v, .master = master};
        (form == 0 ? lspo_compute_adam_parameters : lspo_compute_adam_direction)(c->compute, &adam, &state, gradient,
                                                                                 w);
    }
}

/* Second moments must be valid, so they start at zero.  n is constant within a timing, so that every call finds m, v
 * and w where the previous one left them. */
static lspo_timing_t time_gpu_adam(lspo_calibration_t *calibration, size_t n, bool far)
{
    adam_call_t call = {.calibration = calibration, .n = n};
    lspo_pool_t *pool = far ? &calibration->memory->far_output : &calibration->memory->near_output;
    char shape[48];
    lspo_compute_zero(calibration->compute, pool->count * sizeof(float), pool->data);
    pool->at = 0;
    calibration->far = far;
    snprintf(shape, sizeof shape, "%zu parameters %s", n, far ? "far" : "near");
    return lspo_calibrate_time(calibration, "adam gpu", shape, calibration->repeats, call_gpu_adam, &call);
}

static lspo_timing_t time_cpu_adam(lspo_calibration_t *calibration, lspo_adam_format_t format, size_t n)
{
    static const char *const kinds[] = {
        [LSPO_ADAM_FP32] = "adam cpu", [LSPO_ADAM_BF16] = "adam cpu bf16", [LSPO_ADAM_8BIT] = "adam cpu 8bit"};
    adam_call_t call = {.calibration = calibration, .n = n, .format = format};
    char shape[48];
    memset(calibration->memory->far_output.data, 0, (3 * n + 4 * PLACES_APART) * sizeof(float));
    calibration->far = true;
    snprintf(shape, sizeof shape, "%zu parameters again and again", n);
    return lspo_calibrate_time(calibration, kinds[format], shape, calibration->repeats, call_cpu_adam, &call);
}

static void set_rate(lspo_calibration_t *calibration, lspo_timing_t timing, size_t n, double *pps)
{
    *pps = 2 * (double)n / timing.median_s;
    lspo_calibrate_set_fitted(calibration, &timing, timing.median_s);
    lspo_calibrate_note(calibration, pps, *pps * timing.error_s / timing.median_s, timing.count);
}

lspo_status_t lspo_calibrate_gpu_adam(lspo_calibration_t *calibration)
{
    const size_t near = calibration->shapes->adam_near, far = calibration->shapes->adam_far;
    lspo_machine_t *machine = &calibration->result->machine;
    set_rate(calibration, time_gpu_adam(calibration, near, false), near, &machine->gpu.adam_cached_pps);
    set_rate(calibration, time_gpu_adam(calibration, far, true), far, &machine->gpu.adam_pps);
    machine->gpu.adam_pps = fmin(machine->gpu.adam_pps, machine->gpu.adam_cached_pps);
    return LSPO_OK;
}

/* The sizes of a state on the CPU are 2048 parameters and its doubles. */
enum { CPU_SIZES = 11, NARROW_SMALL = 3, NARROW_LARGE = CPU_SIZES - 1 };

/* States from 32 KiB to 32 MiB, each used repeatedly: the time depends on how much of it fits in a cache. */
lspo_status_t lspo_calibrate_cpu_adam(lspo_calibration_t *calibration)
{
    enum { SIZES = CPU_SIZES, STATE_BYTES = 16 };
    lspo_machine_t *machine = &calibration->result->machine;
    lspo_fit_row_t rows[SIZES * 64];
    lspo_timing_t timings[SIZES];
    size_t count = 0;
    for (size_t i = 0; i < SIZES; i++) {
        size_t n = (size_t)2048 << i;
        double x[2] = {2 * (double)n, STATE_BYTES * (double)n};
        timings[i] = time_cpu_adam(calibration, LSPO_ADAM_FP32, n);
        count += lspo_calibrate_rows(calibration, &timings[i], x, 2, rows + count, SIZES * 64 - count);
    }
    lspo_cache_fit_t fit;
    lspo_status_t status =
        lspo_fit_cache("the CPU optimizer", rows, count, 128e3, (double)(STATE_BYTES * 2048) * 1024, &fit);
    if (status != LSPO_OK)
        return status;
    for (size_t i = 0; i < SIZES; i++) {
        double n = 2048.0 * (double)(1 << i), held = fmin(1, fit.size / (STATE_BYTES * n));
        lspo_calibrate_set_fitted(calibration, &timings[i], 2 * n * (held * fit.near + (1 - held) * fit.far));
    }
    machine->cpu.cache_bytes = floor(fit.size);
    machine->cpu.adam_cached_pps = 1 / fit.near;
    machine->cpu.adam_pps = 1 / fit.far;
    machine->cpu.compute_flops = machine->gpu.gemm_flops[LSPO_FP32]; /* all cores are equal */
    lspo_calibrate_note(calibration, &machine->cpu.cache_bytes, fit.size * fit.size_error, (uint32_t)count);
    lspo_calibrate_note(calibration, &machine->cpu.adam_cached_pps, timings[2].error_s / timings[2].median_s / fit.near,
                        (uint32_t)count);
    lspo_calibrate_note(calibration, &machine->cpu.adam_pps,
                        timings[SIZES - 1].error_s / timings[SIZES - 1].median_s / fit.far, (uint32_t)count);
    return LSPO_OK;
}

static void note_rate(lspo_calibration_t *calibration, const lspo_timing_t *timing, double pps, double *pps_out)
{
    *pps_out = pps;
    lspo_calibrate_note(calibration, pps_out, pps * timing->error_s / timing->median_s, timing->count);
}

/* From cache by a small state.  Of a large one the cache holds the share that it holds of fp32's; if that is most of
 * it, there is no more to be told of memory. */
static void calibrate_narrow(lspo_calibration_t *calibration, lspo_optimizer_state_t state, lspo_adam_format_t format)
{
    lspo_machine_t *machine = &calibration->result->machine;
    const size_t small = (size_t)2048 << NARROW_SMALL, large = (size_t)2048 << NARROW_LARGE;
    const lspo_timing_t near = time_cpu_adam(calibration, format, small);
    const lspo_timing_t far = time_cpu_adam(calibration, format, large);
    const double near_s = near.median_s / (2 * (double)small), far_s = far.median_s / (2 * (double)large);
    const double state_bytes = lspo_optimizer_state_held_bytes(state, LSPO_FP32) + sizeof(float);
    const double held = fmin(1, machine->cpu.cache_bytes / (state_bytes * (double)large));
    double memory_s = fmax(near_s, held < 0.5 ? (far_s - held * near_s) / (1 - held) : far_s);
    lspo_calibrate_set_fitted(calibration, &near, near.median_s);
    lspo_calibrate_set_fitted(calibration, &far, 2 * (double)large * (held * near_s + (1 - held) * memory_s));
    size_t narrow = state - LSPO_OPTIMIZER_STATE_BF16;
    note_rate(calibration, &near, 1 / near_s, &machine->cpu.adam_narrow[narrow].cached_pps);
    note_rate(calibration, &far, 1 / memory_s, &machine->cpu.adam_narrow[narrow].memory_pps);
}

lspo_status_t lspo_calibrate_cpu_narrow_adam(lspo_calibration_t *calibration)
{
    calibrate_narrow(calibration, LSPO_OPTIMIZER_STATE_BF16, LSPO_ADAM_BF16);
    calibrate_narrow(calibration, LSPO_OPTIMIZER_STATE_8BIT, LSPO_ADAM_8BIT);
    return LSPO_OK;
}
