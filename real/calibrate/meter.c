/* meter.c - measure the time of a lane's work on any device. */
#include "real/calibrate/state.h"
#include "real/execute/lane.h"

bool lspo_calibrate_is_queued(const lspo_calibration_t *calibration, lspo_lane_kind_t lane)
{
    return calibration->asynchronous && lane != LSPO_LANE_CPU;
}

void lspo_calibrate_fail(lspo_calibration_t *calibration, lspo_status_t status)
{
    lspo_status_t none = LSPO_OK;
    if (status != LSPO_OK)
        atomic_compare_exchange_strong(&calibration->status, &none, status);
}

void lspo_meter_start(lspo_calibration_t *calibration, lspo_lane_kind_t lane, lspo_meter_t *meter)
{
    meter->lane = lane;
    if (lspo_calibrate_is_queued(calibration, lane))
        lspo_calibrate_fail(calibration,
                            lspo_device_mark_record(calibration->device, lane, calibration->marks[lane][0]));
    else
        meter->start_s = lspo_lane_cpu_s();
}

/* The time of the lane's queue since the first of its two events; 0 if unknown. */
static lspo_status_t time_marks(lspo_calibration_t *calibration, lspo_lane_kind_t lane, uint64_t *taken_ns_out)
{
    lspo_device_t *device = calibration->device;
    lspo_device_mark_t *const *marks = calibration->marks[lane];
    uint64_t start_ns = 0, end_ns = 0;
    lspo_status_t status = lspo_device_mark_record(device, lane, marks[1]);
    if (status != LSPO_OK)
        return status;
    status = lspo_device_mark_wait(device, marks[1]);
    if (status != LSPO_OK)
        return status;
    status = lspo_device_mark_time(device, marks[0], &start_ns);
    if (status != LSPO_OK)
        return status;
    status = lspo_device_mark_time(device, marks[1], &end_ns);
    if (status != LSPO_OK)
        return status;
    if (lane == LSPO_LANE_GPU)
        status = lspo_compute_status(calibration->compute);
    if (status != LSPO_OK)
        return status;
    *taken_ns_out = end_ns > start_ns ? end_ns - start_ns : 0;
    return LSPO_OK;
}

double lspo_meter_stop(lspo_calibration_t *calibration, const lspo_meter_t *meter)
{
    if (!lspo_calibrate_is_queued(calibration, meter->lane))
        return lspo_lane_cpu_s() - meter->start_s;
    uint64_t taken_ns = 0;
    lspo_calibrate_fail(calibration, time_marks(calibration, meter->lane, &taken_ns));
    return taken_ns > 0 ? (double)taken_ns * 1e-9 : 1e-9;
}

lspo_status_t lspo_calibrate_make_marks(lspo_calibration_t *calibration)
{
    lspo_status_t status = LSPO_OK;
    if (!calibration->asynchronous)
        return LSPO_OK;
    for (int i = 0; i < 2 * LSPO_DEVICE_LANES; i++) {
        if (i / 2 != LSPO_LANE_CPU)
            status = lspo_device_mark_create(calibration->device, &calibration->marks[i / 2][i % 2]);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

void lspo_calibrate_release_marks(lspo_calibration_t *calibration)
{
    for (int i = 2 * LSPO_DEVICE_LANES - 1; i >= 0; i--)
        if (calibration->marks[i / 2][i % 2] != NULL)
            lspo_device_mark_destroy(calibration->device, calibration->marks[i / 2][i % 2]);
}
