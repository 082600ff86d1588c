/* calibrate_projectors.c - gathers and scatters of sparse projectors, by nonzeros a row. */
#include <math.h>
#include <stdio.h>

#include "kernels/projector.h"
#include "real/calibrate_state.h"

typedef struct {
    lspo_calibration_t *calibration;
    size_t tokens;
    lspo_projector_t p, q;
} projector_call_t;

static void call_gather(void *context)
{
    projector_call_t *call = context;
    lspo_calibration_t *c = call->calibration;
    lspo_compute_projector_gather(c->compute, &call->q, call->tokens,
                                  lspo_calibrate_saved(c, call->tokens * call->q.rows), call->q.rows,
                                  lspo_calibrate_recent_output(c, call->tokens * call->q.d));
}

static void call_scatter(void *context)
{
    projector_call_t *call = context;
    size_t d_elements = (size_t)call->p.d * call->q.d, w_elements = (size_t)call->p.rows * call->q.rows;
    lspo_calibration_t *c = call->calibration;
    lspo_compute_projector_apply(c->compute, &call->p, &call->q, lspo_calibrate_recent_floats(c, d_elements), 1e-6F, 0,
                                 1, lspo_calibrate_saved_output(c, w_elements), c->memory->scratch);
}

enum { PROJECTOR_TIMINGS = 6 };

/* By nonzeros (1, 4, 8), near and far. */
typedef struct {
    lspo_timing_t gather[PROJECTOR_TIMINGS], scatter[PROJECTOR_TIMINGS];
} projector_times_t;

static const uint32_t nonzeros[PROJECTOR_TIMINGS / 2] = {1, 4, 8};

/* A projector whose arrays are in the device's memory. */
static lspo_status_t make_projector(lspo_device_t *device, uint32_t rows, uint32_t d, uint32_t r, uint64_t seed,
                                    lspo_projector_t *projector_out)
{
    lspo_projector_t host, made;
    if (!lspo_projector_random(rows, d, r, seed, &host))
        return lspo_error(LSPO_ERR_MEMORY, "no memory for a projector");
    made = host;
    void **to[] = {(void **)&made.index, (void **)&made.value, (void **)&made.column_first, (void **)&made.column_row,
                   (void **)&made.column_value};
    const void *from[] = {host.index, host.value, host.column_first, host.column_row, host.column_value};
    size_t entries = (size_t)rows * r, count = 0;
    lspo_status_t status = LSPO_OK;
    for (; status == LSPO_OK && count < 5; count++) {
        size_t bytes = 4 * (count == 2 ? (size_t)d + 1 : entries);
        status = lspo_device_alloc(device, bytes, to[count]);
        if (status != LSPO_OK)
            break;
        status = lspo_device_write(device, *to[count], from[count], bytes);
    }
    for (size_t i = 0; status != LSPO_OK && i < count; i++)
        lspo_device_free(device, *to[i]);
    lspo_projector_release(&host);
    if (status == LSPO_OK)
        *projector_out = made;
    return status;
}

static void release_projector(lspo_device_t *device, const lspo_projector_t *projector)
{
    void *arrays[] = {projector->column_value, projector->column_row, projector->column_first, projector->value,
                      projector->index};
    for (size_t i = 0; i < 5; i++)
        lspo_device_free(device, arrays[i]);
}

static lspo_status_t time_projectors(lspo_calibration_t *calibration, uint32_t index, projector_times_t *times)
{
    const lspo_calibration_shapes_t *shapes = calibration->shapes;
    projector_call_t call = {.calibration = calibration, .tokens = shapes->tokens};
    uint32_t r = nonzeros[index / 2], d = shapes->subspace;
    char shape[48];
    calibration->far = index % 2;
    snprintf(shape, sizeof shape, "d%u r%u %s", d, r, calibration->far ? "far" : "near");
    lspo_status_t status = make_projector(calibration->device, shapes->width_p, d, r, 1, &call.p);
    if (status != LSPO_OK)
        return status;
    status = make_projector(calibration->device, shapes->width_q, d, r, 2, &call.q);
    if (status != LSPO_OK)
        goto release_p;
    times->gather[index] = lspo_calibrate_time(calibration, "gather", shape, calibration->repeats, call_gather, &call);
    times->scatter[index] =
        lspo_calibrate_time(calibration, "scatter", shape, calibration->repeats, call_scatter, &call);
    release_projector(calibration->device, &call.q);
release_p:
    release_projector(calibration->device, &call.p);
    return status;
}

/* With one nonzero a row memory decides, with many arithmetic does.  The rate of the latter is taken where it is used,
 * at 4 and 8 nonzeros near: geometric mean. */
static void set_projector_rates(lspo_calibration_t *calibration, const lspo_timing_t *timings, double bytes,
                                double flop_a_nonzero, double *flops, double *memory_Bps, double *cached_Bps)
{
    *flops = flop_a_nonzero * sqrt(nonzeros[1] / timings[2].median_s * (nonzeros[2] / timings[4].median_s));
    *cached_Bps = bytes / timings[0].median_s;
    *memory_Bps = fmin(bytes / timings[1].median_s, *cached_Bps);
    for (uint32_t i = 0; i < PROJECTOR_TIMINGS; i++)
        lspo_calibrate_set_fitted(
            calibration, &timings[i],
            fmax(flop_a_nonzero * nonzeros[i / 2] / *flops, bytes / (i % 2 ? *memory_Bps : *cached_Bps)));
    uint32_t samples = timings[0].count;
    lspo_calibrate_note(
        calibration, flops,
        *flops * hypot(timings[2].error_s / timings[2].median_s, timings[4].error_s / timings[4].median_s) / 2,
        2 * samples);
    lspo_calibrate_note(calibration, cached_Bps, *cached_Bps * timings[0].error_s / timings[0].median_s, samples);
    lspo_calibrate_note(calibration, memory_Bps, *memory_Bps * timings[1].error_s / timings[1].median_s, samples);
}

lspo_status_t lspo_calibrate_projectors(lspo_calibration_t *calibration)
{
    const lspo_calibration_shapes_t *shapes = calibration->shapes;
    const double d = shapes->subspace, w = shapes->width_p, f = shapes->width_q, t = (double)shapes->tokens;
    const double number = (double)lspo_compute_number_bytes(calibration->compute);
    lspo_machine_t *machine = &calibration->result->machine;
    projector_times_t times;
    for (uint32_t i = 0; i < PROJECTOR_TIMINGS; i++) {
        lspo_status_t status = time_projectors(calibration, i, &times);
        if (status != LSPO_OK)
            return status;
    }
    set_projector_rates(calibration, times.gather, number * t * (f + d), 2 * t * f, &machine->gpu.gather_flops,
                        &machine->gpu.gather_Bps, &machine->gpu.gather_cached_Bps);
    set_projector_rates(calibration, times.scatter, number * 2 * w * f + 4 * d * d, 2 * w * d + 2 * w * f,
                        &machine->gpu.scatter_flops, &machine->gpu.scatter_Bps, &machine->gpu.scatter_cached_Bps);
    return LSPO_OK;
}
