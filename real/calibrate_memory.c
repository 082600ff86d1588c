/* calibrate_memory.c - how much of a training's data a cache keeps from one use to the next. */
#include <math.h>
#include <stdio.h>

#include "kernels/norm.h"
#include "real/calibrate_state.h"

enum { WALK_ROWS = 512, WALK_WIDTH = 128, WALK_SETS = 9, WALK_ROWS_MAX = WALK_SETS * 16 };

/* Forward through the arrays and back again, as the two passes of a training go through activations and weights. */
typedef struct {
    const float *input;
    float *output;
    size_t arrays;
} walk_t;

static void walk_step(const walk_t *walk, size_t index, float *statistics)
{
    size_t at = index * WALK_ROWS * WALK_WIDTH;
    lspo_norm_forward(WALK_ROWS, WALK_WIDTH, walk->input + at, walk->input, walk->input + WALK_WIDTH, walk->output + at,
                      statistics, statistics + WALK_ROWS);
}

static void walk_call(void *context)
{
    const walk_t *walk = context;
    float statistics[2 * WALK_ROWS];
    for (size_t i = 0; i < walk->arrays; i++)
        walk_step(walk, i, statistics);
    for (size_t i = walk->arrays; i-- > 0;)
        walk_step(walk, i, statistics);
}

static double held_by_walk(double size, double set)
{
    return lspo_machine_cached_share(LSPO_CALIBRATE_NEAR_BYTES, size, set);
}

lspo_status_t lspo_calibrate_cache(lspo_calibration_t *calibration)
{
    lspo_machine_t *machine = &calibration->result->machine;
    const size_t array_bytes = WALK_ROWS * WALK_WIDTH * sizeof(float);
    size_t most_bytes = 2 * calibration->memory.far_input.count * sizeof(float), row_count = 0;
    lspo_fit_row_t rows[WALK_ROWS_MAX];
    lspo_timing_t timings[WALK_SETS];
    double sets[WALK_SETS], amounts[WALK_SETS];
    uint32_t count = 0;
    for (double set = (double)most_bytes; count < WALK_SETS && set >= 4e6; set /= 2) {
        walk_t walk = {.input = calibration->memory.far_input.data,
                       .output = calibration->memory.far_output.data,
                       .arrays = (size_t)(set / 2 / (double)array_bytes)};
        char shape[48];
        snprintf(shape, sizeof shape, "set %.4g MB", set * 1e-6);
        timings[count] = lspo_calibrate_time(calibration, "walk", shape, calibration->quick ? 3 : 7, walk_call, &walk);
        sets[count] = set;
        amounts[count] = 4 * (double)array_bytes * (double)walk.arrays; /* read and written, there and back */
        double x[2] = {amounts[count], sets[count]};
        row_count +=
            lspo_calibrate_rows(calibration, &timings[count], x, 2, rows + row_count, WALK_ROWS_MAX - row_count);
        count++;
    }
    lspo_cache_fit_t fit;
    lspo_status_t status = lspo_fit_cache("walks through memory", held_by_walk, rows, row_count,
                                          1.01 * LSPO_CALIBRATE_NEAR_BYTES, (double)most_bytes, &fit);
    if (status != LSPO_OK)
        return status;
    for (uint32_t i = 0; i < count; i++) {
        double held = held_by_walk(fit.size, sets[i]);
        lspo_calibrate_set_fitted(calibration, &timings[i], amounts[i] * (held * fit.near + (1 - held) * fit.far));
    }
    machine->gpu.near_bytes = LSPO_CALIBRATE_NEAR_BYTES;
    machine->gpu.cache_bytes = floor(fit.size);
    lspo_calibrate_note(calibration, &machine->gpu.cache_bytes, fit.size * fit.size_error, (uint32_t)row_count);
    return LSPO_OK;
}
