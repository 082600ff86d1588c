/* threads.c - fit the CPU optimizer's time by number of threads: time per parameter = parallel / threads + serial
 * (Amdahl; a limit by memory bandwidth counts as serial).
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/workers.h"
#include "kernels/adam_state.h"
#include "real/calibrate/state.h"

/* Sizes as in the session's updates; the complete state is much larger than a cache. */
enum { BLOCK = 1 << 16, ITEMS_MAX = 128, COUNTS_MAX = 16, REPEATS_MAX = 15 };

typedef struct {
    lspo_adam_format_t format; /* of m and v */
    float *gradient, *moments, *w;
    size_t items;
} threads_call_t;

static void update_block(void *context, uint32_t worker, size_t item)
{
    const threads_call_t *call = context;
    const lspo_adam_t adam = lspo_adam_default(1e-3F, 1);
    const size_t at = item * BLOCK;
    (void)worker;
    const lspo_adam_state_t state = lspo_adam_state_at(call->format, call->moments, call->items * BLOCK, at, BLOCK);
    lspo_adam_parameters(&adam, &state, call->gradient + at, call->w + at);
}

/* By wall-clock time, because threads share the work. */
static lspo_status_t time_count(lspo_calibration_t *calibration, threads_call_t *call, uint32_t count,
                                lspo_timing_t *timing_out)
{
    static const char *const kinds[] = {[LSPO_ADAM_FP32] = "adam cpu threads",
                                        [LSPO_ADAM_BF16] = "adam cpu threads bf16",
                                        [LSPO_ADAM_8BIT] = "adam cpu threads 8bit"};
    double times_s[REPEATS_MAX];
    char shape[48];
    lspo_workers_t *workers = NULL;
    const int *cpus = calibration->asynchronous ? calibration->topology->worker_cpu : NULL; /* host: on any core */
    lspo_status_t status = lspo_workers_create(count, cpus, &workers);
    if (status != LSPO_OK)
        return status;
    for (uint32_t i = 0; i <= calibration->repeats; i++) { /* the first is not counted */
        uint64_t start_ns = lspo_now_ns();
        lspo_workers_run(workers, call->items, update_block, call);
        if (i > 0)
            times_s[i - 1] = (double)(lspo_now_ns() - start_ns) * 1e-9;
    }
    lspo_workers_destroy(workers);
    snprintf(shape, sizeof shape, "%u thread%s", count, count == 1 ? "" : "s");
    *timing_out = lspo_calibrate_keep(calibration, kinds[call->format], shape, times_s, calibration->repeats);
    return LSPO_OK;
}

/* 1, 2, 4, ..., the number that a run uses, and all; ascending. */
static size_t thread_counts(uint32_t used, uint32_t all, uint32_t *counts)
{
    size_t count = 0;
    for (uint32_t threads = 1; threads < all && count < COUNTS_MAX - 2; threads *= 2) {
        counts[count++] = threads;
        if (threads < used && used < 2 * threads && used < all)
            counts[count++] = used;
    }
    counts[count++] = all;
    return count;
}

/* Parameters per second with `threads` by the fit, in the form of the profile's rates: the rate of one thread times the
 * speed-up by more threads.  Also for one thread, where the factor is 1. */
static void set_rates(lspo_calibration_t *calibration, double one_s, double used_s, const lspo_timing_t *used)
{
    lspo_machine_t *machine = &calibration->result->machine;
    machine->cpu.adam_pps *= one_s / used_s;
    machine->cpu.adam_cached_pps *= one_s / used_s;
    lspo_calibrate_note(calibration, &machine->cpu.adam_pps, machine->cpu.adam_pps * used->error_s / used->median_s,
                        used->count);
}

/* The same of another format, with as many threads as a run uses. */
static lspo_status_t set_narrow_rates(lspo_calibration_t *calibration, threads_call_t call, lspo_adam_format_t format,
                                      lspo_optimizer_state_t state)
{
    lspo_machine_t *machine = &calibration->result->machine;
    lspo_timing_t one, used;
    call.format = format;
    memset(call.moments, 0, lspo_adam_state_bytes(format, call.items * BLOCK));
    lspo_status_t status = time_count(calibration, &call, 1, &one);
    if (status != LSPO_OK)
        return status;
    status = time_count(calibration, &call, calibration->cpu_threads, &used);
    if (status != LSPO_OK)
        return status;
    lspo_calibrate_set_fitted(calibration, &one, one.median_s);
    lspo_calibrate_set_fitted(calibration, &used, used.median_s);
    const size_t narrow = state - LSPO_OPTIMIZER_STATE_BF16;
    double *memory_pps = &machine->cpu.adam_narrow[narrow].memory_pps, faster = one.median_s / used.median_s;
    machine->cpu.adam_narrow[narrow].cached_pps *= faster;
    *memory_pps *= faster;
    lspo_calibrate_note(calibration, memory_pps, *memory_pps * used.error_s / used.median_s, used.count);
    return LSPO_OK;
}

static void tell(lspo_calibration_t *calibration, const lspo_fit_t *fit, uint32_t all)
{
    char *text = calibration->result->topology;
    const size_t length = strlen(text), room = sizeof calibration->result->topology - length;
    const double most = 1 / (fit->cost[0] / all + fit->cost[1]);
    snprintf(text + length, room,
             "CPU optimizer: %.3g G parameters/s on 1 thread, %.3g on %u; %.2g ns + %.2g ns / threads each; %u used\n",
             1e-9 / (fit->cost[0] + fit->cost[1]), 1e-9 * most, all, 1e9 * fit->cost[1], 1e9 * fit->cost[0],
             calibration->cpu_threads);
}

static lspo_status_t fit_counts(lspo_calibration_t *calibration, double parameters, const uint32_t *counts,
                                const lspo_timing_t *timings, size_t count)
{
    lspo_fit_row_t rows[COUNTS_MAX * REPEATS_MAX] = {0};
    lspo_fit_t fit;
    size_t row_count = 0;
    for (size_t i = 0; i < count; i++) {
        const double x[2] = {parameters / counts[i], parameters};
        row_count +=
            lspo_calibrate_rows(calibration, &timings[i], x, 2, rows + row_count, COUNTS_MAX * REPEATS_MAX - row_count);
    }
    lspo_status_t status = lspo_fit_rows("the CPU optimizer by threads", rows, row_count, count > 1 ? 2 : 1, &fit);
    if (status != LSPO_OK)
        return status;
    for (size_t i = 0; i < count; i++)
        lspo_calibrate_set_fitted(calibration, &timings[i],
                                  parameters * (fit.cost[0] / counts[i] + (count > 1 ? fit.cost[1] : 0)));
    if (count == 1)
        fit.cost[1] = 0;
    tell(calibration, &fit, counts[count - 1]);
    return LSPO_OK;
}

lspo_status_t lspo_calibrate_cpu_threads(lspo_calibration_t *calibration)
{
    const lspo_topology_t *topology = calibration->topology;
    lspo_calibration_memory_t *memory = &calibration->on_host;
    const size_t room = memory->far_output.count / 3 / BLOCK, items = room < ITEMS_MAX ? room : ITEMS_MAX;
    const size_t n = items * BLOCK;
    threads_call_t call = {.gradient = memory->far_input.data, .moments = memory->far_output.data, .items = items};
    lspo_timing_t timings[COUNTS_MAX];
    uint32_t counts[COUNTS_MAX], all = calibration->asynchronous ? topology->worker_count : topology->core_count;
    size_t count = thread_counts(calibration->cpu_threads, all, counts), used = 0;
    call.w = call.moments + 2 * n;
    memset(call.moments, 0, 3 * n * sizeof(float));
    for (size_t i = 0; i < count; i++) {
        lspo_status_t status = time_count(calibration, &call, counts[i], &timings[i]);
        if (status != LSPO_OK)
            return status;
        used = counts[i] <= calibration->cpu_threads ? i : used;
    }
    lspo_status_t status = fit_counts(calibration, (double)n, counts, timings, count);
    if (status != LSPO_OK || used == 0)
        return status;
    set_rates(calibration, timings[0].median_s, timings[used].median_s, &timings[used]);
    status = set_narrow_rates(calibration, call, LSPO_ADAM_BF16, LSPO_OPTIMIZER_STATE_BF16);
    return status != LSPO_OK ? status : set_narrow_rates(calibration, call, LSPO_ADAM_8BIT, LSPO_OPTIMIZER_STATE_8BIT);
}
