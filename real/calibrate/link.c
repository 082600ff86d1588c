/* link.c - time messages by size in both directions, back to back and after a pause; on a GPU also with memory that is
 * not pinned. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "real/calibrate/state.h"
#include "real/execute/lane.h"

enum { SIZES_MAX = 11, REPEATS_MAX = 32 };
static const double smallest_bytes = 64, knee_bytes = 1 << 20; /* 64 B to 64 MiB, by factors of 4 */

typedef struct {
    lspo_calibration_t *calibration;
    lspo_copy_direction_t direction;
    size_t bytes;
    bool queued;
    void *pageable; /* used instead of pinned host memory if not NULL */
    double times_s[REPEATS_MAX];
} message_call_t;

static lspo_lane_kind_t lane_of(const message_call_t *call)
{
    return call->direction == LSPO_COPY_H2D ? LSPO_LANE_H2D : LSPO_LANE_D2H;
}

/* The addresses of the next message in the pools of both sides; on the host device these are the same pools. */
static void copy_next(message_call_t *call)
{
    lspo_calibration_t *c = call->calibration;
    lspo_calibration_memory_t *device = c->asynchronous ? &c->on_device : &c->on_host, *host = &c->on_host;
    bool up = call->direction == LSPO_COPY_H2D;
    size_t floats = (call->bytes + sizeof(float) - 1) / sizeof(float);
    void *to = lspo_pool_take(up ? &device->far_output : &host->far_output, floats);
    const void *from = lspo_pool_take(up ? &host->far_input : &device->far_input, floats);
    if (call->pageable != NULL && up)
        from = call->pageable;
    else if (call->pageable != NULL)
        to = call->pageable;
    lspo_device_copy(c->device, call->direction, to, from, call->bytes);
}

/* Large copies use the clock that excludes other programs; small ones the clock that is faster to read. */
static double time_on_host(message_call_t *call)
{
    uint64_t start_ns = lspo_now_ns();
    double start_s = lspo_lane_cpu_s();
    copy_next(call);
    return call->bytes > 65536 ? lspo_lane_cpu_s() - start_s : (double)(lspo_now_ns() - start_ns) * 1e-9;
}

/* Measured by events; queued: the mean of several that wait for each other in the stream. */
static double time_on_stream(message_call_t *call)
{
    lspo_meter_t meter;
    uint32_t count = !call->queued || call->bytes > 1 << 20 ? 1 : 16;
    if (call->queued)
        copy_next(call);
    lspo_meter_start(call->calibration, lane_of(call), &meter);
    for (uint32_t i = 0; i < count; i++)
        copy_next(call);
    return lspo_meter_stop(call->calibration, &meter) / count;
}

static void time_messages(void *context)
{
    message_call_t *call = context;
    lspo_calibration_t *c = call->calibration;
    lspo_calibrate_fail(c, lspo_device_enter_lane(c->device, lane_of(call)));
    for (uint32_t i = 0; i < c->repeats + 1; i++) { /* the first is not counted */
        if (!call->queued)
            lspo_pace(lspo_now_ns(), 300e-6);
        double time_s = c->asynchronous ? time_on_stream(call) : time_on_host(call);
        if (i > 0)
            call->times_s[i - 1] = time_s;
    }
}

/* t = latency + min(bytes, knee) / rate below + (bytes - knee) / rate above; the profile has the latency and the rate
 * above the knee, which applies to the messages that matter. */
static lspo_status_t fit_direction(lspo_calibration_t *calibration, const lspo_timing_t *timings, double *latency_s,
                                   double *bandwidth_Bps)
{
    lspo_fit_row_t rows[SIZES_MAX * REPEATS_MAX];
    double x[SIZES_MAX][3];
    size_t count = 0;
    const int sizes = (int)calibration->shapes->message_sizes;
    for (int i = 0; i < sizes; i++) {
        double bytes = smallest_bytes * pow(4, i);
        x[i][0] = fmax(bytes - knee_bytes, 0);
        x[i][1] = fmin(bytes, knee_bytes);
        x[i][2] = 1;
        count += lspo_calibrate_rows(calibration, &timings[i], x[i], 3, rows + count, SIZES_MAX * REPEATS_MAX - count);
    }
    lspo_fit_t fit;
    lspo_status_t status = lspo_fit_rows("messages", rows, count, 3, &fit);
    if (status != LSPO_OK)
        return status;
    if (!(fit.cost[0] > 0))
        return lspo_error(LSPO_ERR_CHECK, "no bandwidth fits the times of messages: is the machine busy?");
    for (int i = 0; i < sizes; i++)
        lspo_calibrate_set_fitted(calibration, &timings[i],
                                  fit.cost[0] * x[i][0] + fit.cost[1] * x[i][1] + fit.cost[2]);
    *latency_s = fit.cost[2];
    *bandwidth_Bps = 1 / fit.cost[0];
    lspo_calibrate_note(calibration, latency_s, fit.error[2], (uint32_t)count);
    lspo_calibrate_note(calibration, bandwidth_Bps, fit.error[0] / (fit.cost[0] * fit.cost[0]), (uint32_t)count);
    return LSPO_OK;
}

/* One size in one state of the queue and kind of memory. */
static lspo_status_t time_size(lspo_calibration_t *calibration, message_call_t *call, lspo_timing_t *timing_out)
{
    static const char *const kinds[2][2] = {{"h2d", "d2h"}, {"h2d pageable", "d2h pageable"}};
    char shape[48];
    calibration->lane = lane_of(call);
    lspo_status_t status = lspo_calibrate_on_lane(calibration->topology, calibration->lane, time_messages, call);
    if (status != LSPO_OK)
        return status;
    snprintf(shape, sizeof shape, "%zu B %s", call->bytes, call->queued ? "queued" : "after a pause");
    *timing_out = lspo_calibrate_keep(calibration, kinds[call->pageable != NULL][call->direction == LSPO_COPY_D2H],
                                      shape, call->times_s, calibration->repeats);
    return calibration->status;
}

static lspo_status_t calibrate_direction(lspo_calibration_t *calibration, lspo_copy_direction_t direction,
                                         double *latency_s, double *bandwidth_Bps)
{
    lspo_timing_t timings[SIZES_MAX];
    for (int queued = 0; queued < 2; queued++) /* only queued ones are fitted: ops add their own gaps */
        for (uint32_t i = 0; i < calibration->shapes->message_sizes; i++) {
            message_call_t call = {.calibration = calibration,
                                   .direction = direction,
                                   .bytes = (size_t)(smallest_bytes * pow(4, i)),
                                   .queued = queued};
            lspo_status_t status = time_size(calibration, &call, &timings[i]);
            if (status != LSPO_OK)
                return status;
        }
    return fit_direction(calibration, timings, latency_s, bandwidth_Bps);
}

/* The time of a message whose host memory the driver has to copy first; only samples, because a run that does this
 * warns. */
static lspo_status_t time_pageable(lspo_calibration_t *calibration)
{
    const size_t most_bytes = (size_t)smallest_bytes << 2 * (calibration->shapes->message_sizes - 1);
    void *memory = calloc(1, most_bytes);
    lspo_status_t status = memory ? LSPO_OK : lspo_no_memory("a message");
    lspo_timing_t timing;
    if (status != LSPO_OK)
        goto cleanup;
    for (uint32_t i = 0; i < 2 * calibration->shapes->message_sizes; i++) {
        message_call_t call = {.calibration = calibration,
                               .direction = i % 2 ? LSPO_COPY_D2H : LSPO_COPY_H2D,
                               .bytes = (size_t)smallest_bytes << 2 * (i / 2),
                               .queued = true,
                               .pageable = memory};
        status = time_size(calibration, &call, &timing);
        if (status != LSPO_OK)
            goto cleanup;
    }
cleanup:
    free(memory);
    return status;
}

lspo_status_t lspo_calibrate_link(lspo_calibration_t *calibration)
{
    lspo_machine_t *machine = &calibration->result->machine;
    lspo_status_t status =
        calibrate_direction(calibration, LSPO_COPY_D2H, &machine->link.d2h_latency_s, &machine->link.d2h_Bps);
    if (status != LSPO_OK)
        return status;
    status = calibrate_direction(calibration, LSPO_COPY_H2D, &machine->link.h2d_latency_s, &machine->link.h2d_Bps);
    if (status != LSPO_OK)
        return status;
    if (calibration->asynchronous)
        status = time_pageable(calibration);
    return status;
}
