/* calibrate_link.c - messages by size, each way, one after the other and after a pause. */
#include <math.h>
#include <stdio.h>

#include "real/calibrate_state.h"
#include "real/lane.h"

enum { SIZES = 11, REPEATS_MAX = 32 };
static const double smallest_bytes = 64, knee_bytes = 1 << 20; /* 64 B to 64 MiB, by factors of 4 */

typedef struct {
    lspo_calibration_t *calibration;
    lspo_copy_direction_t direction;
    size_t bytes;
    bool queued;
    double times_s[REPEATS_MAX];
} message_call_t;

static void time_messages(void *context)
{
    message_call_t *call = context;
    lspo_calibration_t *c = call->calibration;
    size_t floats = (call->bytes + sizeof(float) - 1) / sizeof(float);
    for (uint32_t i = 0; i < c->repeats + 1; i++) { /* the first does not count */
        void *to = lspo_pool_take(&c->memory.far_output, floats);
        const void *from = lspo_pool_take(&c->memory.far_input, floats);
        if (!call->queued)
            lspo_pace(lspo_now_ns(), 300e-6);
        uint64_t start_ns = lspo_now_ns();
        double start_s = lspo_lane_cpu_s();
        lspo_device_copy(c->device, call->direction, to, from, call->bytes);
        /* the clock of large copies is blind to what else runs; that of small ones is faster to read */
        double time_s = call->bytes > 65536 ? lspo_lane_cpu_s() - start_s : (double)(lspo_now_ns() - start_ns) * 1e-9;
        if (i > 0)
            call->times_s[i - 1] = time_s;
    }
}

/* t = latency + min(bytes, knee) / rate below it + (bytes - knee) / rate above it; the profile has the latency and the
 * rate above, to which the messages that take time belong. */
static lspo_status_t fit_direction(lspo_calibration_t *calibration, const lspo_timing_t *timings, double *latency_s,
                                   double *bandwidth_Bps)
{
    lspo_fit_row_t rows[SIZES * REPEATS_MAX];
    double x[SIZES][3];
    size_t count = 0;
    for (int i = 0; i < SIZES; i++) {
        double bytes = smallest_bytes * pow(4, i);
        x[i][0] = fmax(bytes - knee_bytes, 0);
        x[i][1] = fmin(bytes, knee_bytes);
        x[i][2] = 1;
        count += lspo_calibrate_rows(calibration, &timings[i], x[i], 3, rows + count, SIZES * REPEATS_MAX - count);
    }
    lspo_fit_t fit;
    lspo_status_t status = lspo_fit_rows("messages", rows, count, 3, &fit);
    if (status == LSPO_OK && !(fit.cost[0] > 0))
        status = lspo_error(LSPO_ERR_CHECK, "no bandwidth fits the times of messages: is the machine busy?");
    if (status != LSPO_OK)
        return status;
    for (int i = 0; i < SIZES; i++)
        lspo_calibrate_set_fitted(calibration, &timings[i],
                                  fit.cost[0] * x[i][0] + fit.cost[1] * x[i][1] + fit.cost[2]);
    *latency_s = fit.cost[2];
    *bandwidth_Bps = 1 / fit.cost[0];
    lspo_calibrate_note(calibration, latency_s, fit.error[2], (uint32_t)count);
    lspo_calibrate_note(calibration, bandwidth_Bps, fit.error[0] / (fit.cost[0] * fit.cost[0]), (uint32_t)count);
    return LSPO_OK;
}

static lspo_status_t calibrate_direction(lspo_calibration_t *calibration, lspo_copy_direction_t direction,
                                         double *latency_s, double *bandwidth_Bps)
{
    lspo_timing_t timings[SIZES];
    bool up = direction == LSPO_COPY_H2D;
    for (int queued = 0; queued < 2; queued++) /* the fit is to the queued ones: ops add their own gaps */
        for (int i = 0; i < SIZES; i++) {
            message_call_t call = {.calibration = calibration,
                                   .direction = direction,
                                   .bytes = (size_t)(smallest_bytes * pow(4, i)),
                                   .queued = queued};
            char shape[48];
            lspo_status_t status =
                lspo_calibrate_on_lane(calibration->topology, up ? LSPO_LANE_H2D : LSPO_LANE_D2H, time_messages, &call);
            if (status != LSPO_OK)
                return status;
            snprintf(shape, sizeof shape, "%zu B %s", call.bytes, queued ? "queued" : "after a pause");
            timings[i] =
                lspo_calibrate_keep(calibration, up ? "h2d" : "d2h", shape, call.times_s, calibration->repeats);
        }
    return fit_direction(calibration, timings, latency_s, bandwidth_Bps);
}

lspo_status_t lspo_calibrate_link(lspo_calibration_t *calibration)
{
    lspo_machine_t *machine = &calibration->result->machine;
    lspo_status_t status =
        calibrate_direction(calibration, LSPO_COPY_D2H, &machine->link.d2h_latency_s, &machine->link.d2h_Bps);
    if (status == LSPO_OK)
        status = calibrate_direction(calibration, LSPO_COPY_H2D, &machine->link.h2d_latency_s, &machine->link.h2d_Bps);
    return status;
}
