/* projectors.c - time gathers and scatters of sparse projectors, by nonzeros per row. */
#include <math.h>
#include <stdio.h>

#include "kernels/projector.h"
#include "real/calibrate/state.h"

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

static void scatter(lspo_calibration_t *c, const lspo_projector_t *p, const lspo_projector_t *q)
{
    size_t d_elements = (size_t)p->d * q->d, w_elements = (size_t)p->rows * q->rows;
    const lspo_vector_step_t step = lspo_vector_step(1e-6F, 0, 1);
    lspo_compute_projector_apply(c->compute, &(lspo_projector_pair_t){p, q},
                                 lspo_calibrate_recent_floats(c, d_elements), &step,
                                 lspo_calibrate_saved_output(c, w_elements), c->memory->scratch);
}

static void call_scatter_wide(void *context)
{
    const projector_call_t *call = context;
    scatter(call->calibration, &call->p, &call->q);
}

static void call_scatter_tall(void *context)
{
    const projector_call_t *call = context;
    scatter(call->calibration, &call->q, &call->p);
}

enum { PROJECTOR_TIMINGS = 2 * LSPO_CALIBRATE_NONZEROS };

/* By nonzeros per row, near and far; into a weight of few long rows and one of many short ones. */
typedef struct {
    lspo_timing_t gather[PROJECTOR_TIMINGS], wide[PROJECTOR_TIMINGS], tall[PROJECTOR_TIMINGS];
} projector_times_t;

lspo_status_t lspo_calibrate_make_projector(lspo_device_t *device, uint32_t rows, uint32_t d, uint32_t r,
                                            lspo_projector_t *projector_out)
{
    lspo_projector_t host, made;
    if (!lspo_projector_random(rows, d, r, rows, &host))
        return lspo_no_memory("a projector");
    made = host;
    void **to[] = {(void **)&made.index, (void **)&made.value, (void **)&made.column_first,
                   (void **)&made.column_entry};
    const void *from[] = {host.index, host.value, host.column_first, host.column_entry};
    const size_t entries = (size_t)rows * r;
    const size_t bytes[] = {entries * sizeof *host.index, entries * sizeof *host.value,
                            ((size_t)d + 1) * sizeof *host.column_first, entries * sizeof *host.column_entry};
    size_t count = 0;
    lspo_status_t status = LSPO_OK;
    while (count < sizeof to / sizeof *to) {
        status = lspo_device_alloc(device, bytes[count], to[count]);
        if (status != LSPO_OK)
            goto failed;
        count++;
        status = lspo_device_write(device, *to[count - 1], from[count - 1], bytes[count - 1]);
        if (status != LSPO_OK)
            goto failed;
    }
    lspo_projector_release(&host);
    *projector_out = made;
    return LSPO_OK;
failed:
    for (size_t i = 0; i < count; i++)
        lspo_device_free(device, *to[i]);
    lspo_projector_release(&host);
    return status;
}

void lspo_calibrate_release_projector(lspo_device_t *device, const lspo_projector_t *projector)
{
    void *arrays[] = {projector->column_entry, projector->column_first, projector->value, projector->index};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        lspo_device_free(device, arrays[i]);
}

static lspo_status_t time_projectors(lspo_calibration_t *calibration, uint32_t index, projector_times_t *times)
{
    const lspo_calibration_shapes_t *shapes = calibration->shapes;
    projector_call_t call = {.calibration = calibration, .tokens = shapes->tokens};
    uint32_t r = shapes->nonzeros[index / 2], d = shapes->subspace;
    char shape[48];
    calibration->far = index % 2;
    snprintf(shape, sizeof shape, "d%u r%u %s", d, r, calibration->far ? "far" : "near");
    lspo_status_t status = lspo_calibrate_make_projector(calibration->device, shapes->width_p, d, r, &call.p);
    if (status != LSPO_OK)
        return status;
    status = lspo_calibrate_make_projector(calibration->device, shapes->width_q, d, r, &call.q);
    if (status != LSPO_OK)
        goto release_p;
    times->gather[index] = lspo_calibrate_time(calibration, "gather", shape, calibration->repeats, call_gather, &call);
    times->wide[index] =
        lspo_calibrate_time(calibration, "scatter", shape, calibration->repeats, call_scatter_wide, &call);
    times->tall[index] =
        lspo_calibrate_time(calibration, "scatter tall", shape, calibration->repeats, call_scatter_tall, &call);
    lspo_calibrate_release_projector(calibration->device, &call.q);
release_p:
    lspo_calibrate_release_projector(calibration->device, &call.p);
    return status;
}

/* The amounts in the six timings of one shape: FLOPs per nonzero, of P D and of others, and bytes. */
typedef struct {
    const lspo_timing_t *timings;
    const uint32_t *nonzeros;
    double flop, inner_flop, bytes;
} shape_t;

enum { AMOUNTS = 4 };

/* Arithmetic, bytes, additional bytes if far, arithmetic of P D. */
static void amounts_of(const shape_t *shape, uint32_t timing, double x[AMOUNTS])
{
    x[0] = shape->flop * shape->nonzeros[timing / 2];
    x[1] = shape->bytes;
    x[2] = timing % 2 ? shape->bytes : 0;
    x[3] = shape->inner_flop * shape->nonzeros[timing / 2];
}

/* The fitted fields of the profile. */
typedef struct {
    double *flops, *memory_Bps, *cached_Bps;
    double *inner_flops; /* NULL: no P D */
} rates_t;

/* Times are sums of amounts times costs: robust regression over all shapes and nonzeros. */
static lspo_status_t fit_projector_rates(lspo_calibration_t *calibration, const char *kind, const shape_t *shapes,
                                         size_t shape_count, const rates_t *rates)
{
    double *flops = rates->flops, *inner_flops = rates->inner_flops, *memory_Bps = rates->memory_Bps;
    double *cached_Bps = rates->cached_Bps;
    enum { ROWS_MAX = 2 * PROJECTOR_TIMINGS * 64 };
    lspo_fit_row_t rows[ROWS_MAX];
    lspo_fit_t fit;
    double x[AMOUNTS];
    size_t count = 0, columns = inner_flops != NULL ? AMOUNTS : AMOUNTS - 1;
    for (uint32_t i = 0; i < shape_count * PROJECTOR_TIMINGS; i++) {
        const shape_t *shape = &shapes[i / PROJECTOR_TIMINGS];
        amounts_of(shape, i % PROJECTOR_TIMINGS, x);
        count += lspo_calibrate_rows(calibration, &shape->timings[i % PROJECTOR_TIMINGS], x, columns, rows + count,
                                     ROWS_MAX - count);
    }
    lspo_status_t status = lspo_fit_rows(kind, rows, count, columns, &fit);
    if (status != LSPO_OK)
        return status;
    /* If one is hidden by the other, only an upper bound of it is known. */
    if (!(fit.cost[0] > 0))
        fit.cost[0] = shapes->timings[PROJECTOR_TIMINGS - 2].median_s /
                      (shapes->flop * shapes->nonzeros[PROJECTOR_TIMINGS / 2 - 1]);
    if (!(fit.cost[1] > 0))
        fit.cost[1] = shapes->timings[0].median_s / shapes->bytes;
    double far = fit.cost[1] + fit.cost[2];
    *flops = 1 / fit.cost[0];
    *cached_Bps = 1 / fit.cost[1];
    *memory_Bps = 1 / far;
    lspo_calibrate_note(calibration, flops, fit.error[0] * *flops * *flops, (uint32_t)count);
    lspo_calibrate_note(calibration, cached_Bps, fit.error[1] * *cached_Bps * *cached_Bps, (uint32_t)count);
    lspo_calibrate_note(calibration, memory_Bps, hypot(fit.error[1], fit.error[2]) / (far * far), (uint32_t)count);
    if (columns == AMOUNTS && fit.cost[3] > 0) { /* otherwise the cost of P D cannot be distinguished */
        *inner_flops = 1 / fit.cost[3];
        lspo_calibrate_note(calibration, inner_flops, fit.error[3] * *inner_flops * *inner_flops, (uint32_t)count);
    }
    for (uint32_t i = 0; i < shape_count * PROJECTOR_TIMINGS; i++) {
        double fitted_s = 0;
        amounts_of(&shapes[i / PROJECTOR_TIMINGS], i % PROJECTOR_TIMINGS, x);
        for (size_t j = 0; j < columns; j++)
            fitted_s += fit.cost[j] * x[j];
        lspo_calibrate_set_fitted(calibration, &shapes[i / PROJECTOR_TIMINGS].timings[i % PROJECTOR_TIMINGS], fitted_s);
    }
    return LSPO_OK;
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
    const shape_t gather = {times.gather, shapes->nonzeros, 2 * t * f, 0, number * t * (f + d)};
    const double w_bytes = number * 2 * w * f + 4 * d * d;
    const shape_t scatters[] = {{times.wide, shapes->nonzeros, 2 * w * f, 2 * w * d, w_bytes},
                                {times.tall, shapes->nonzeros, 2 * w * f, 2 * f * d, w_bytes}};
    const rates_t gather_rates = {.flops = &machine->gpu.gather_flops,
                                  .memory_Bps = &machine->gpu.gather_Bps,
                                  .cached_Bps = &machine->gpu.gather_cached_Bps};
    const rates_t scatter_rates = {.flops = &machine->gpu.scatter_flops,
                                   .memory_Bps = &machine->gpu.scatter_Bps,
                                   .cached_Bps = &machine->gpu.scatter_cached_Bps,
                                   .inner_flops = &machine->gpu.scatter_inner_flops};
    lspo_status_t status = fit_projector_rates(calibration, "gather", &gather, 1, &gather_rates);
    if (status != LSPO_OK)
        return status;
    return fit_projector_rates(calibration, "scatter", scatters, 2, &scatter_rates);
}
