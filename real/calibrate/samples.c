/* samples.c - time a function and keep every sample. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "real/calibrate/state.h"
#include "traces/median.h"

enum { REPEATS_MAX = 128 };

/* What takes longer than this does not notice what it finds in the caches: its first two calls are samples, too. */
static const double longest_warm_up_s = 2e-3;
/* Reading the clock of a thread's CPU time takes a fraction of a microsecond. */
static const double shortest_sample_s = 60e-6;
/* Writes go to memory later: only a long stream shows their cost. */
static const double shortest_far_sample_s = 1e-3;
/* Events are accurate to about a microsecond, and a launch lies between the first event and the first kernel. */
static const double shortest_queued_sample_s = 500e-6;

/* 1.4826 times the median distance to the median is a standard deviation that is robust to outliers; the median of n
 * normal values has sqrt(pi / 2) times the error of their mean. */
double lspo_calibrate_error(const double *values, uint32_t count)
{
    double distances[REPEATS_MAX], median = lspo_median(values, count);
    for (uint32_t i = 0; i < count; i++)
        distances[i] = fabs(values[i] - median);
    return 1.2533 * 1.4826 * lspo_median(distances, count) / sqrt(count);
}

/* Make room for `count` more samples. */
static bool make_room(lspo_calibration_t *calibration, size_t count)
{
    lspo_calibration_result_t *result = calibration->result;
    lspo_status_t status = lspo_array_grow(&result->samples, &calibration->sample_capacity,
                                           result->sample_count + count, sizeof *result->samples, "samples");
    lspo_calibrate_fail(calibration, status);
    return status == LSPO_OK;
}

lspo_timing_t lspo_calibrate_keep(lspo_calibration_t *calibration, const char *kind, const char *shape,
                                  const double *times_s, uint32_t count)
{
    lspo_calibration_result_t *result = calibration->result;
    count = count < REPEATS_MAX ? count : REPEATS_MAX;
    double median_s = lspo_median(times_s, count);
    double error_s = lspo_calibrate_error(times_s, count);
    lspo_timing_t timing = {.first = result->sample_count, .count = count, .median_s = median_s, .error_s = error_s};
    if (!make_room(calibration, count)) {
        timing.count = 0;
        return timing;
    }
    for (uint32_t i = 0; i < count; i++) {
        lspo_calibration_sample_t *sample = &result->samples[result->sample_count++];
        *sample = (lspo_calibration_sample_t){.kind = kind, .repeat = i, .time_s = times_s[i], .fitted_s = NAN};
        snprintf(sample->shape, sizeof sample->shape, "%s", shape);
    }
    return timing;
}

/* Earlier timings have evicted the near pools from the caches, so load them again. */
static void bring_near(lspo_calibration_memory_t *memory)
{
    volatile float sink = 0;
    for (size_t i = 0; i < memory->near_input.around; i += 16)
        sink = sink + memory->near_input.data[i];
    for (size_t i = 0; i < memory->near_output.around; i += 16)
        sink = sink + memory->near_output.data[i];
}

/* Simulates the effect of other kernels on the core's own cache between two calls. */
static void evict(const lspo_calibration_memory_t *memory)
{
    volatile float sink = 0;
    for (size_t i = 0; i < memory->near_input.around / 2; i += 16)
        sink = sink + memory->near_input.data[i];
}

/* Starts with a call that is not counted, so that a stream is busy while the others are queued. */
static double time_calls(lspo_calibration_t *calibration, lspo_timed_function_t function, void *context, uint32_t calls)
{
    lspo_meter_t meter;
    if (lspo_calibrate_is_queued(calibration, calibration->lane))
        function(context);
    lspo_meter_start(calibration, calibration->lane, &meter);
    for (uint32_t i = 0; i < calls; i++)
        function(context);
    return lspo_meter_stop(calibration, &meter) / calls;
}

static double shortest_sample(const lspo_calibration_t *calibration)
{
    if (lspo_calibrate_is_queued(calibration, calibration->lane))
        return shortest_queued_sample_s;
    return calibration->evicted ? 20e-6 : calibration->far ? shortest_far_sample_s : shortest_sample_s;
}

/* Of a function that takes this long. */
static uint32_t calls_per_sample(const lspo_calibration_t *calibration, double once_s)
{
    const double shortest_s = shortest_sample(calibration);
    const double least_s = lspo_calibrate_is_queued(calibration, calibration->lane) ? 1e-6 : 1e-8;
    return once_s < shortest_s ? (uint32_t)(shortest_s / fmax(once_s, least_s)) + 1 : 1;
}

lspo_timing_t lspo_calibrate_time(lspo_calibration_t *calibration, const char *kind, const char *shape,
                                  uint32_t repeats, lspo_timed_function_t function, void *context)
{
    double times_s[REPEATS_MAX];
    bool queued = lspo_calibrate_is_queued(calibration, calibration->lane);
    repeats = repeats < REPEATS_MAX ? repeats : REPEATS_MAX;
    if (!queued)
        bring_near(calibration->memory);
    times_s[0] = time_calls(calibration, function, context, 1);
    times_s[1] = time_calls(calibration, function, context, 1);
    const uint32_t calls = calls_per_sample(calibration, times_s[1]);
    const bool is_long = times_s[1] > longest_warm_up_s && !queued && !calibration->far && !calibration->evicted;
    for (uint32_t i = is_long ? 2 : 0; i < repeats; i++) {
        if (calibration->evicted && calls == 1)
            evict(calibration->memory);
        times_s[i] = time_calls(calibration, function, context, calls);
    }
    return lspo_calibrate_keep(calibration, kind, shape, times_s, repeats);
}

void lspo_calibrate_set_fitted(lspo_calibration_t *calibration, const lspo_timing_t *timing, double fitted_s)
{
    for (uint32_t i = 0; i < timing->count; i++)
        calibration->result->samples[timing->first + i].fitted_s = fitted_s;
}

size_t lspo_calibrate_rows(const lspo_calibration_t *calibration, const lspo_timing_t *timing, const double *x,
                           size_t columns, lspo_fit_row_t *rows, size_t room)
{
    size_t count = timing->count < room ? timing->count : room;
    for (size_t i = 0; i < count; i++) {
        rows[i] =
            (lspo_fit_row_t){.y = calibration->result->samples[timing->first + i].time_s, .scale = timing->median_s};
        memcpy(rows[i].x, x, columns * sizeof *x);
    }
    return count;
}

void lspo_calibrate_note(lspo_calibration_t *calibration, const double *value, double standard_error, uint32_t samples)
{
    size_t offset_bytes = (size_t)((const char *)value - (const char *)&calibration->result->machine);
    for (size_t i = 0; i < lspo_machine_field_count; i++)
        if (lspo_machine_fields[i].offset_bytes == offset_bytes)
            calibration->result->errors[i] =
                (lspo_calibration_error_t){.standard_error = standard_error, .samples = samples};
}
