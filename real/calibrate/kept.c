/* kept.c - what a cache holds, gpu.near_bytes, and what is left in it of weights that were read some bytes or some time
 * ago: gpu.kept_bytes, kept_share and kept_s.
 *
 * Weights are read by products of a row
 *     near    directly after they were read; they fit in the near pools
 *     far     after all other memory and a long pause
 *     else    after so many bytes of other memory, or, as many weights as a small model has, after a pause, in which
 *             other programs use a cache that they share
 * As in generation they are read once each time, a few times with the same bytes or pause in between, and steps that
 * leave less in cache come first: what is read several times at once, or has been there for long, stays for longer.
 * A reading of t seconds per weight has the share (far - t) / (far - near) in cache; bytes, what is left after them,
 * and time are those whose shares, as in sim/reuse.h, are nearest to these.  On the host only.
 *
 * The near pools shrink first to what a cache holds, so that rates of operands in cache are measured in it: a quarter
 * of them at least, since single operands are as large. */
#include <math.h>
#include <stdio.h>
#include <time.h>

#include "kernels/few_rows.h"
#include "real/calibrate/state.h"
#include "traces/median.h"

enum { ROWS = 384, COLS = 384, FLOATS = ROWS * COLS, REPEATS_MOST = 16 };
/* Bytes of other memory, in near_bytes, or a pause, in between.  The first is far, the last near. */
static const struct {
    double apart, pause_s;
} steps[LSPO_CALIBRATE_KEPT] = {{64, 0.08}, {0, 45e-3}, {0, 25e-3}, {0, 15e-3}, {0, 10e-3}, {0, 5e-3}, {0, 2e-3},
                                {6, 0},     {4, 0},     {2, 0},     {1, 0},     {0.6, 0},   {0.3, 0},  {0, 0}};

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

/* The lower quartile: what other programs do meanwhile takes time, and never saves any. */
static double calm_s(const double *times_s, uint32_t count)
{
    return lspo_ranked(times_s, count, count / 4);
}

/* ---- gpu.near_bytes ---- */

/* Near pools are halved so often at most. */
enum { HALVES = 2, PASSES = 15 };

size_t lspo_calibrate_halves(const double *read_s, size_t halves, double far_s)
{
    const double least_difference = 1.1, most_gone = 0.1, near_s = read_s[halves];
    size_t i = 0;
    while (far_s > least_difference * near_s && read_s[i] - near_s > most_gone * (far_s - near_s))
        i++;
    return i;
}

/* Seconds per weight of reading so many floats that were just read. */
static double read_again(lspo_calibration_t *calibration, size_t floats)
{
    const float *weights = calibration->memory->far_input.data;
    lspo_meter_t meter;
    read_weights(calibration, weights, floats);
    lspo_meter_start(calibration, calibration->lane, &meter);
    read_weights(calibration, weights, floats);
    return lspo_meter_stop(calibration, &meter) / (double)(floats / FLOATS);
}

lspo_status_t lspo_calibrate_near(lspo_calibration_t *calibration)
{
    lspo_calibration_memory_t *memory = calibration->memory;
    const size_t near_floats = memory->near_input.count + memory->near_output.count, far_floats = 4 * near_floats;
    double times_s[HALVES + 2][PASSES], read_s[HALVES + 2];
    if (calibration->asynchronous || memory->far_input.count < far_floats)
        return LSPO_OK;
    for (uint32_t pass = 0; pass < PASSES; pass++)
        for (size_t i = 0; i < HALVES + 2; i++)
            times_s[i][pass] = read_again(calibration, i <= HALVES ? near_floats >> i : far_floats);
    for (size_t i = 0; i < HALVES + 2; i++) {
        char shape[48];
        snprintf(shape, sizeof shape, "%.0f MiB again and again",
                 (double)(i <= HALVES ? near_floats >> i : far_floats) * sizeof(float) / (1 << 20));
        lspo_calibrate_keep(calibration, "held", shape, times_s[i], PASSES);
        read_s[i] = calm_s(times_s[i], PASSES);
    }
    const size_t halves = lspo_calibrate_halves(read_s, HALVES, read_s[HALVES + 1]);
    memory->near_input.around >>= halves;
    memory->near_output.around >>= halves;
    calibration->result->machine.gpu.near_bytes /= (double)(1 << halves);
    lspo_calibrate_note(calibration, &calibration->result->machine.gpu.near_bytes, NAN, (HALVES + 2) * PASSES);
    return LSPO_OK;
}

/* ---- gpu.kept_* ---- */

/* What is between two times that weights of so many floats are read. */
static void pass_step(const lspo_calibration_t *calibration, size_t step, size_t floats)
{
    const lspo_pool_t *pool = &calibration->memory->far_input;
    const double apart_bytes = steps[step].apart * calibration->result->machine.gpu.near_bytes;
    const size_t asked = (size_t)(apart_bytes / sizeof(float)), room = pool->count - floats;
    read_weights(calibration, pool->data + floats, asked < room ? asked : room);
    pause_for(steps[step].pause_s);
}

/* Floats of the weights that are read at a step.  What is read after other memory fits in a cache, what is read after a
 * pause is as much as a small model where a cache holds all of the near pools. */
static size_t floats_at(const lspo_calibration_t *calibration, size_t step)
{
    const double near_bytes = calibration->result->machine.gpu.near_bytes, most_filled = 0.85;
    const size_t few = (size_t)(most_filled * near_bytes / (FLOATS * sizeof(float))), many = 3 * few;
    const bool held = calibration->memory->near_input.around == calibration->memory->near_input.count;
    return FLOATS * (held && steps[step].apart == 0 && steps[step].pause_s > 0 ? many : few);
}

/* Seconds per weight after a step; *age_s_out: from one reading to the next.  What comes from memory reaches a shared
 * cache only when it leaves the core's own one, so they are read more than once before. */
static double read_after(lspo_calibration_t *calibration, size_t step, double *age_s_out)
{
    enum { TIMES_BEFORE = 3 };
    const float *weights = calibration->memory->far_input.data;
    const size_t floats = floats_at(calibration, step);
    lspo_meter_t meter;
    for (int i = 0; i < TIMES_BEFORE; i++) {
        const uint64_t before_ns = lspo_now_ns();
        read_weights(calibration, weights, floats);
        pass_step(calibration, step, floats);
        *age_s_out = 1e-9 * (double)(lspo_now_ns() - before_ns);
    }
    lspo_meter_start(calibration, calibration->lane, &meter);
    read_weights(calibration, weights, floats);
    return lspo_meter_stop(calibration, &meter) / (double)(floats / FLOATS);
}

double lspo_calibrate_kept_share(const lspo_kept_cache_t *cache, const lspo_kept_t *kept)
{
    const double gone = fmax(0, log(kept->bytes / cache->all_bytes) / log(cache->bytes / cache->all_bytes));
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

/* From a size that is tried to the next. */
static const double step = 1.15;

/* All sizes after which nothing is left, and what may be left after the most bytes. */
static void try_ends(const lspo_kept_cache_t *cache, double most_bytes, const lspo_kept_t *kept, size_t count,
                     double *least, lspo_kept_cache_t *best)
{
    enum { SHARES = 25 };
    lspo_kept_cache_t tried = *cache;
    for (tried.bytes = step * tried.all_bytes; tried.bytes < most_bytes; tried.bytes *= step)
        try_cache(&tried, kept, count, least, best);
    tried.bytes = most_bytes;
    for (int i = 0; i <= SHARES; i++) {
        tried.left = (double)i / SHARES;
        try_cache(&tried, kept, count, least, best);
    }
}

lspo_kept_cache_t lspo_calibrate_fit_kept(double near_bytes, const lspo_kept_t *kept, size_t count)
{
    enum { TIMES = 64 };
    double most = step * near_bytes, least = INFINITY;
    lspo_kept_cache_t best = {0};
    for (size_t k = 0; k < count; k++)
        most = fmax(most, kept[k].bytes);
    for (double all_bytes = near_bytes; step * all_bytes <= most; all_bytes *= step)
        for (int j = 0; j < TIMES; j++)
            try_ends(&(lspo_kept_cache_t){.all_bytes = all_bytes, .s = 0.5e-3 * pow(1.15, j)}, most, kept, count,
                     &least, &best);
    best.all_bytes = floor(best.all_bytes);
    best.bytes = floor(best.bytes);
    return best;
}

static void keep_samples(lspo_calibration_t *calibration, const double times_s[LSPO_CALIBRATE_KEPT][REPEATS_MOST],
                         uint32_t repeats, lspo_timing_t *timings)
{
    for (size_t i = 0; i < LSPO_CALIBRATE_KEPT; i++) {
        char shape[48];
        snprintf(shape, sizeof shape, "after %.0f MiB and %.0f ms",
                 steps[i].apart * calibration->result->machine.gpu.near_bytes / (1 << 20), 1e3 * steps[i].pause_s);
        timings[i] = lspo_calibrate_keep(calibration, "kept", shape, times_s[i], repeats);
    }
}

lspo_status_t lspo_calibrate_kept(lspo_calibration_t *calibration)
{
    lspo_machine_t *machine = &calibration->result->machine;
    const uint32_t repeats = calibration->quick ? 7 : REPEATS_MOST;
    const double least_difference = 1.1;
    double times_s[LSPO_CALIBRATE_KEPT][REPEATS_MOST], ages_s[LSPO_CALIBRATE_KEPT][REPEATS_MOST];
    lspo_timing_t timings[LSPO_CALIBRATE_KEPT];
    lspo_kept_t kept[LSPO_CALIBRATE_KEPT];
    if (calibration->asynchronous || calibration->memory->far_input.count < 2 * floats_at(calibration, 1))
        return LSPO_OK;
    for (uint32_t r = 0; r < repeats; r++)
        for (size_t i = 0; i < LSPO_CALIBRATE_KEPT; i++)
            times_s[i][r] = read_after(calibration, i, &ages_s[i][r]);
    keep_samples(calibration, times_s, repeats, timings);
    const double far_s = calm_s(times_s[0], repeats), near_s = calm_s(times_s[LSPO_CALIBRATE_KEPT - 1], repeats);
    if (!(far_s > least_difference * near_s))
        return LSPO_OK; /* a cache is no faster than memory */
    for (size_t i = 0; i < LSPO_CALIBRATE_KEPT; i++)
        kept[i] = (lspo_kept_t){.bytes = (double)floats_at(calibration, i) * sizeof(float) +
                                         steps[i].apart * machine->gpu.near_bytes,
                                .age_s = lspo_median(ages_s[i], repeats),
                                .share = fmin(1, fmax(0, (far_s - calm_s(times_s[i], repeats)) / (far_s - near_s)))};
    const lspo_kept_cache_t cache = lspo_calibrate_fit_kept(machine->gpu.near_bytes, kept + 1, LSPO_CALIBRATE_KEPT - 1);
    machine->gpu.kept_all_bytes = cache.all_bytes;
    machine->gpu.kept_bytes = cache.bytes;
    machine->gpu.kept_share = cache.left;
    machine->gpu.kept_s = cache.s;
    for (size_t i = 0; i < LSPO_CALIBRATE_KEPT; i++)
        lspo_calibrate_set_fitted(calibration, &timings[i],
                                  far_s - (far_s - near_s) * lspo_calibrate_kept_share(&cache, &kept[i]));
    lspo_calibrate_note(calibration, &machine->gpu.kept_all_bytes, NAN, LSPO_CALIBRATE_KEPT * repeats);
    lspo_calibrate_note(calibration, &machine->gpu.kept_bytes, NAN, LSPO_CALIBRATE_KEPT * repeats);
    lspo_calibrate_note(calibration, &machine->gpu.kept_share, NAN, LSPO_CALIBRATE_KEPT * repeats);
    lspo_calibrate_note(calibration, &machine->gpu.kept_s, NAN, LSPO_CALIBRATE_KEPT * repeats);
    return LSPO_OK;
}
