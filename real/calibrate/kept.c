/* kept.c - what is left in the cache of weights that were read some bytes or some time ago: gpu.kept_bytes, kept_share
 * and kept_s.
 *
 * Weights are read by products of a row
 *     near    directly after they were read; they fit in the near pools
 *     far     after all other memory and a long pause
 *     else    after so many bytes of other memory, or, as many weights as a small model has, after a pause, in which
 *             other programs use a cache that they share
 * As in generation they are read once each time, a few times with the same bytes or pause in between, and steps that
 * leave less in cache come first: what is read several times at once, or has been there for long, stays for longer.
 * A reading of t seconds per weight has the share (far - t) / (far - near) in cache; bytes, what is left after them,
 * and time are those whose shares, as in sim/reuse.h, are nearest to these.  On the host only. */
#include <math.h>
#include <stdio.h>
#include <time.h>

#include "kernels/few_rows.h"
#include "real/calibrate/state.h"
#include "traces/summary.h"

enum { ROWS = 384, COLS = 1536, FLOATS = ROWS * COLS, FEW = 6, MANY = 18, REPEATS_MOST = 16 };
/* Weights; bytes of other memory, or a pause, in between.  The first is far, the last near. */
static const struct {
    size_t weights;
    double bytes, pause_s;
} steps[LSPO_CALIBRATE_KEPT] = {{FEW, 1e9, 0.08},   {MANY, 0, 45e-3},   {MANY, 0, 25e-3},   {MANY, 0, 15e-3},
                                {MANY, 0, 10e-3},   {MANY, 0, 5e-3},    {MANY, 0, 2e-3},    {FEW, 96 << 20, 0},
                                {FEW, 64 << 20, 0}, {FEW, 32 << 20, 0}, {FEW, 16 << 20, 0}, {FEW, 0, 0}};

/* Products of a row with weights one after the other. */
static void read_weights(const lspo_calibration_t *calibration, const float *weights, size_t floats)
{
    const lspo_calibration_memory_t *memory = calibration->memory;
    for (size_t at = 0; at + FLOATS <= floats; at += FLOATS) {
        const lspo_few_rows_t product = {
            .rows = 1, .m = ROWS, .n = COLS, .number = LSPO_NUMBER_FP32, .w = weights + at};
        lspo_few_rows_product(&product, memory->near_input.data, NULL, memory->near_output.data, NULL);
    }
}

static void pause_for(double s)
{
    const struct timespec time = {.tv_nsec = (long)(s * 1e9)};
    if (s > 0)
        clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}

/* What is between two times that weights of so many floats are read. */
static void pass_step(const lspo_calibration_t *calibration, size_t step, size_t floats)
{
    const lspo_pool_t *pool = &calibration->memory->far_input;
    const size_t asked = (size_t)(steps[step].bytes / sizeof(float)), room = pool->count - floats;
    read_weights(calibration, pool->data + floats, asked < room ? asked : room);
    pause_for(steps[step].pause_s);
}

/* Seconds per weight after a step; *age_s_out: from one reading to the next.  What comes from memory reaches a shared
 * cache only when it leaves the core's own one, so they are read more than once before. */
static double read_after(lspo_calibration_t *calibration, size_t step, double *age_s_out)
{
    enum { TIMES_BEFORE = 3 };
    const float *weights = calibration->memory->far_input.data;
    const size_t floats = steps[step].weights * FLOATS;
    lspo_meter_t meter;
    for (int i = 0; i < TIMES_BEFORE; i++) {
        const uint64_t before_ns = lspo_now_ns();
        read_weights(calibration, weights, floats);
        pass_step(calibration, step, floats);
        *age_s_out = 1e-9 * (double)(lspo_now_ns() - before_ns);
    }
    lspo_meter_start(calibration, calibration->lane, &meter);
    read_weights(calibration, weights, floats);
    return lspo_meter_stop(calibration, &meter) / (double)steps[step].weights;
}

double lspo_calibrate_kept_share(const lspo_kept_cache_t *cache, const lspo_kept_t *kept)
{
    const double gone = fmax(0, log(kept->bytes / cache->near_bytes) / log(cache->bytes / cache->near_bytes));
    return fmax(0, 1 - (1 - cache->left) * gone) * exp(-(kept->age_s / cache->s) * (kept->age_s / cache->s));
}

static void try_cache(const lspo_kept_cache_t *cache, const lspo_kept_t *kept, size_t count, double *least,
                      lspo_kept_cache_t *best)
{
    double sum = 0;
    for (size_t k = 0; k < count; k++) {
        const double error = lspo_calibrate_kept_share(cache, &kept[k]) - kept[k].share;
        sum += error * error;
    }
    if (sum < *least) {
        *least = sum;
        *best = *cache;
    }
}

lspo_kept_cache_t lspo_calibrate_fit_kept(double near_bytes, const lspo_kept_t *kept, size_t count)
{
    enum { SHARES = 50, TIMES = 64 };
    const double step = 1.25;
    double most = step * near_bytes, least = INFINITY;
    lspo_kept_cache_t best = {0};
    for (size_t k = 0; k < count; k++)
        most = fmax(most, kept[k].bytes);
    for (int j = 0; j < TIMES; j++) {
        lspo_kept_cache_t tried = {.near_bytes = near_bytes, .s = 0.5e-3 * pow(1.15, j)};
        for (tried.bytes = step * near_bytes; tried.bytes < most; tried.bytes *= step)
            try_cache(&tried, kept, count, &least, &best);
        tried.bytes = most;
        for (int i = 0; i <= SHARES; i++) {
            tried.left = (double)i / SHARES;
            try_cache(&tried, kept, count, &least, &best);
        }
    }
    best.bytes = floor(best.bytes);
    return best;
}

static void keep_samples(lspo_calibration_t *calibration, const double times_s[LSPO_CALIBRATE_KEPT][REPEATS_MOST],
                         uint32_t repeats, lspo_timing_t *timings)
{
    for (size_t i = 0; i < LSPO_CALIBRATE_KEPT; i++) {
        char shape[48];
        snprintf(shape, sizeof shape, "after %.0f MiB and %.0f ms", steps[i].bytes / (1 << 20), 1e3 * steps[i].pause_s);
        timings[i] = lspo_calibrate_keep(calibration, "kept", shape, times_s[i], repeats);
    }
}

lspo_status_t lspo_calibrate_kept(lspo_calibration_t *calibration)
{
    lspo_machine_t *machine = &calibration->result->machine;
    const uint32_t repeats = calibration->quick ? 7 : REPEATS_MOST;
    const double weight_bytes = FLOATS * sizeof(float), least_difference = 1.1;
    double times_s[LSPO_CALIBRATE_KEPT][REPEATS_MOST], ages_s[LSPO_CALIBRATE_KEPT][REPEATS_MOST];
    lspo_timing_t timings[LSPO_CALIBRATE_KEPT];
    lspo_kept_t kept[LSPO_CALIBRATE_KEPT];
    if (calibration->asynchronous || calibration->memory->far_input.count < 2 * MANY * FLOATS)
        return LSPO_OK;
    for (uint32_t r = 0; r < repeats; r++)
        for (size_t i = 0; i < LSPO_CALIBRATE_KEPT; i++)
            times_s[i][r] = read_after(calibration, i, &ages_s[i][r]);
    keep_samples(calibration, times_s, repeats, timings);
    const double far_s = timings[0].median_s, near_s = timings[LSPO_CALIBRATE_KEPT - 1].median_s;
    if (!(far_s > least_difference * near_s))
        return LSPO_OK; /* a cache is no faster than memory */
    for (size_t i = 0; i < LSPO_CALIBRATE_KEPT; i++)
        kept[i] = (lspo_kept_t){.bytes = (double)steps[i].weights * weight_bytes + steps[i].bytes,
                                .age_s = lspo_median(ages_s[i], repeats),
                                .share = fmin(1, fmax(0, (far_s - timings[i].median_s) / (far_s - near_s)))};
    const lspo_kept_cache_t cache = lspo_calibrate_fit_kept(machine->gpu.near_bytes, kept + 1, LSPO_CALIBRATE_KEPT - 1);
    machine->gpu.kept_bytes = cache.bytes;
    machine->gpu.kept_share = cache.left;
    machine->gpu.kept_s = cache.s;
    for (size_t i = 0; i < LSPO_CALIBRATE_KEPT; i++)
        lspo_calibrate_set_fitted(calibration, &timings[i],
                                  far_s - (far_s - near_s) * lspo_calibrate_kept_share(&cache, &kept[i]));
    lspo_calibrate_note(calibration, &machine->gpu.kept_bytes, NAN, LSPO_CALIBRATE_KEPT * repeats);
    lspo_calibrate_note(calibration, &machine->gpu.kept_share, NAN, LSPO_CALIBRATE_KEPT * repeats);
    lspo_calibrate_note(calibration, &machine->gpu.kept_s, NAN, LSPO_CALIBRATE_KEPT * repeats);
    return LSPO_OK;
}
