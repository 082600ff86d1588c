/* noise.c - play a plan many times with random durations, to predict the spread of runs; see noise.h. */
#include "sim/noise.h"

#include <gsl/gsl_errno.h>
#include <gsl/gsl_randist.h>
#include <gsl/gsl_sort.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim/cost.h"
#include "sim/engine.h"
#include "sim/fit.h"
#include "sim/memory.h"
#include "sim/sim.h"
#include "sim/trial.h"
#include "traces/summary.h"

const double lspo_noise_percentages[LSPO_PERCENTILES] = {2.5, 5, 25, 50, 75, 95, 97.5};

/* Percentages of an op's error bars. */
static const double bar_low = 5, bar_high = 95;

lspo_status_t lspo_noise_check(const lspo_machine_t *machine)
{
    if (machine->noise.gpu_sigma > 0 || machine->noise.d2h_sigma > 0 || machine->noise.h2d_sigma > 0 ||
        machine->noise.cpu_sigma > 0 || machine->noise.run_sigma > 0)
        return LSPO_OK;
    return lspo_error(
        LSPO_ERR_INPUT,
        "machine '%s' has no noise: every sigma of its [noise] is 0; measure them with `lspo calibrate`, or "
        "set one: --set noise.gpu_sigma=0.02",
        machine->name);
}

void lspo_noise_draw(const lspo_plan_t *plan, const lspo_machine_t *machine, const uint64_t *work_ns, gsl_rng *random,
                     uint64_t *op_ns)
{
    /* Longer than any play of the engine, but within 64 bits. */
    const double longest_ns = 9e18;
    double run = machine->noise.run_sigma * gsl_ran_gaussian_ziggurat(random, 1);
    const double sigmas[LSPO_LANE_KIND_COUNT] = {[LSPO_LANE_GPU] = machine->noise.gpu_sigma,
                                                 [LSPO_LANE_D2H] = machine->noise.d2h_sigma,
                                                 [LSPO_LANE_H2D] = machine->noise.h2d_sigma,
                                                 [LSPO_LANE_CPU] = machine->noise.cpu_sigma};
    const double offsets[LSPO_LANE_KIND_COUNT] = {[LSPO_LANE_GPU] = run, [LSPO_LANE_CPU] = run};
    for (lspo_op_id_t id = 0; id < plan->op_count; id++) {
        const lspo_op_t *op = &plan->ops[id];
        lspo_lane_kind_t lane = lspo_op_kind_lane((lspo_op_kind_t)op->kind);
        double exponent = offsets[lane] + sigmas[lane] * gsl_ran_gaussian_ziggurat(random, 1);
        double ns = (double)lspo_cost_op_ns(op, work_ns) * exp(exponent) + 0.5;
        op_ns[id] = (uint64_t)fmin(ns, longest_ns);
    }
}

/* Linear interpolation, exact between equal values, unlike gsl_stats_quantile_from_sorted_data. */
static double percentile(const double *sorted, uint32_t count, double percentage)
{
    double at = 0.01 * percentage * (count - 1);
    uint32_t below = (uint32_t)at, above = below + 1 < count ? below + 1 : below;
    return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}

/* Times of the ops of some iterations, relative to the first start among them in each draw */

enum { NOT_KEPT = UINT32_MAX };

typedef struct {
    uint32_t op_count, draws;
    uint32_t *slots;  /* of each op of the plan; NOT_KEPT: of another iteration */
    double *times_ns; /* [slot][start, end][draw] */
} window_t;

static double *window_times(const window_t *window, uint32_t slot, bool is_end)
{
    return window->times_ns + (2 * (size_t)slot + is_end) * window->draws;
}

static void window_release(window_t *window)
{
    free(window->times_ns);
    free(window->slots);
}

/* On failure the window still owns what was created. */
static lspo_status_t window_prepare(const lspo_plan_t *plan, const lspo_noise_options_t *options, window_t *window)
{
    window->draws = options->draws;
    window->slots = malloc(((size_t)plan->op_count + 1) * sizeof *window->slots);
    if (window->slots) {
        for (lspo_op_id_t id = 0; id < plan->op_count; id++) {
            uint32_t iteration = plan->ops[id].iteration;
            bool kept = iteration >= options->first_iteration &&
                        iteration - options->first_iteration < options->iteration_count;
            window->slots[id] = kept ? window->op_count++ : NOT_KEPT;
        }
        window->times_ns = malloc((2 * (size_t)window->op_count * window->draws + 1) * sizeof *window->times_ns);
    }
    if (!window->times_ns)
        return lspo_no_memory("the times of %" PRIu32 " ops in %" PRIu32 " draws", window->op_count, window->draws);
    return LSPO_OK;
}

static void window_keep(const window_t *window, const lspo_trace_t *trace, uint32_t draw)
{
    uint64_t origin_ns = UINT64_MAX;
    for (uint32_t i = 0; i < trace->row_count; i++)
        if (window->slots[trace->rows[i].op] != NOT_KEPT && trace->rows[i].start_ns < origin_ns)
            origin_ns = trace->rows[i].start_ns;
    for (uint32_t i = 0; i < trace->row_count; i++) {
        const lspo_trace_row_t *row = &trace->rows[i];
        uint32_t slot = window->slots[row->op];
        if (slot == NOT_KEPT)
            continue;
        window_times(window, slot, false)[draw] = (double)(row->start_ns - origin_ns);
        window_times(window, slot, true)[draw] = (double)(row->end_ns - origin_ns);
    }
}

static lspo_status_t window_spreads(const window_t *window, uint32_t op_count, lspo_gantt_spread_t **spreads_out)
{
    lspo_gantt_spread_t *spreads = calloc((size_t)op_count + 1, sizeof *spreads);
    if (!spreads)
        return lspo_no_memory("the spreads of %" PRIu32 " ops", op_count);
    for (lspo_op_id_t id = 0; id < op_count; id++) {
        if (window->slots[id] == NOT_KEPT)
            continue;
        double *starts_ns = window_times(window, window->slots[id], false);
        double *ends_ns = window_times(window, window->slots[id], true);
        gsl_sort(starts_ns, 1, window->draws);
        gsl_sort(ends_ns, 1, window->draws);
        spreads[id] = (lspo_gantt_spread_t){.start_low_s = 1e-9 * percentile(starts_ns, window->draws, bar_low),
                                            .start_high_s = 1e-9 * percentile(starts_ns, window->draws, bar_high),
                                            .end_low_s = 1e-9 * percentile(ends_ns, window->draws, bar_low),
                                            .end_high_s = 1e-9 * percentile(ends_ns, window->draws, bar_high)};
    }
    *spreads_out = spreads;
    return LSPO_OK;
}

/* Draws */

/* A plan that is played in every draw. */
typedef struct {
    const lspo_plan_t *plan;
    uint64_t *work_ns; /* owned */
} player_t;

typedef struct {
    const lspo_machine_t *machine;
    uint32_t draws;
    player_t player, native;
    lspo_plan_t *native_plan;       /* owned */
    gsl_rng *random;                /* owned */
    uint64_t *op_ns;                /* owned: of the draw that is played */
    double *iteration_s, *slowdown; /* owned: by draw */
    window_t window;
    lspo_noise_t noise;
} experiment_t;

/* One draw of one plan. */
static lspo_status_t play(const experiment_t *experiment, const player_t *player, double *iteration_s_out,
                          lspo_trace_t **trace_out)
{
    const lspo_plan_t *plan = player->plan;
    lspo_trace_t *trace = NULL;
    lspo_noise_draw(plan, experiment->machine, player->work_ns, experiment->random, experiment->op_ns);
    lspo_status_t status = lspo_engine_play_ops(plan, experiment->machine, experiment->op_ns, &trace);
    if (status != LSPO_OK)
        goto failed;
    status = lspo_trial_time(plan, trace, iteration_s_out);
    if (status != LSPO_OK)
        goto failed;
    *trace_out = trace;
    return LSPO_OK;
failed:
    lspo_trace_destroy(trace);
    return status;
}

static void widen(uint64_t value, uint64_t *low, uint64_t *high)
{
    if (value < *low)
        *low = value;
    if (value > *high)
        *high = value;
}

static lspo_status_t play_plan(experiment_t *experiment, uint32_t draw)
{
    lspo_noise_t *noise = &experiment->noise;
    lspo_trace_t *trace = NULL;
    lspo_memory_t memory = {0};
    lspo_short_peer_t short_peer;
    lspo_status_t status = play(experiment, &experiment->player, &experiment->iteration_s[draw], &trace);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_memory_predict(experiment->player.plan, experiment->machine, trace, &memory);
    if (status != LSPO_OK)
        goto cleanup;
    widen(memory.gpu_bytes, &noise->peak_gpu_low_bytes, &noise->peak_gpu_high_bytes);
    widen(memory.host_bytes, &noise->peak_host_low_bytes, &noise->peak_host_high_bytes);
    bool fits = false;
    status = lspo_fits_plan(experiment->player.plan, experiment->machine, trace, &memory, &short_peer, &fits);
    if (status != LSPO_OK)
        goto cleanup;
    noise->fit_draws += fits;
    if (experiment->window.slots)
        window_keep(&experiment->window, trace, draw);
cleanup:
    lspo_trace_destroy(trace);
    return status;
}

static lspo_status_t play_native(experiment_t *experiment, uint32_t draw)
{
    lspo_trace_t *trace = NULL;
    double native_s = 0;
    lspo_status_t status = play(experiment, &experiment->native, &native_s, &trace);
    if (status != LSPO_OK)
        goto cleanup;
    experiment->slowdown[draw] = experiment->iteration_s[draw] / native_s;
cleanup:
    lspo_trace_destroy(trace);
    return status;
}

/* Without GSL's default handler, which ends the process if memory runs out. */
static gsl_rng *random_create(uint32_t seed)
{
    gsl_error_handler_t *handler = gsl_set_error_handler_off();
    gsl_rng *random = gsl_rng_alloc(gsl_rng_mt19937);
    gsl_set_error_handler(handler);
    if (random)
        gsl_rng_set(random, seed);
    return random;
}

/* On failure the experiment still owns what was created. */
static lspo_status_t prepare(experiment_t *experiment, const lspo_noise_options_t *options)
{
    const lspo_plan_t *plan = experiment->player.plan;
    lspo_status_t status = lspo_cost_plan(experiment->machine, plan, &experiment->player.work_ns);
    if (status != LSPO_OK)
        return status;
    status = lspo_simulate_native(plan, plan->workload.iterations, &experiment->native_plan);
    if (status != LSPO_OK)
        return status;
    status = lspo_cost_plan(experiment->machine, experiment->native_plan, &experiment->native.work_ns);
    if (status != LSPO_OK)
        return status;
    if (options->iteration_count > 0)
        status = window_prepare(plan, options, &experiment->window);
    if (status != LSPO_OK)
        return status;
    experiment->native.plan = experiment->native_plan;
    uint32_t ops =
        plan->op_count > experiment->native_plan->op_count ? plan->op_count : experiment->native_plan->op_count;
    experiment->op_ns = malloc(((size_t)ops + 1) * sizeof *experiment->op_ns);
    experiment->iteration_s = malloc((size_t)options->draws * sizeof *experiment->iteration_s);
    experiment->slowdown = malloc((size_t)options->draws * sizeof *experiment->slowdown);
    experiment->random = random_create(options->seed);
    experiment->noise.peak_gpu_low_bytes = experiment->noise.peak_host_low_bytes = UINT64_MAX;
    if (!experiment->op_ns || !experiment->iteration_s || !experiment->slowdown || !experiment->random)
        return lspo_no_memory("%" PRIu32 " draws", options->draws);
    return LSPO_OK;
}

static void experiment_release(experiment_t *experiment)
{
    lspo_noise_release(&experiment->noise);
    window_release(&experiment->window);
    if (experiment->random)
        gsl_rng_free(experiment->random);
    free(experiment->slowdown);
    free(experiment->iteration_s);
    free(experiment->op_ns);
    free(experiment->native.work_ns);
    lspo_plan_destroy(experiment->native_plan);
    free(experiment->player.work_ns);
}

/* Sorts the draws. */
static lspo_status_t summarise(experiment_t *experiment)
{
    lspo_noise_t *noise = &experiment->noise;
    gsl_sort(experiment->iteration_s, 1, experiment->draws);
    gsl_sort(experiment->slowdown, 1, experiment->draws);
    for (int i = 0; i < LSPO_PERCENTILES; i++) {
        noise->iteration_s[i] = percentile(experiment->iteration_s, experiment->draws, lspo_noise_percentages[i]);
        noise->slowdown[i] = percentile(experiment->slowdown, experiment->draws, lspo_noise_percentages[i]);
    }
    return experiment->window.slots
               ? window_spreads(&experiment->window, experiment->player.plan->op_count, &noise->spreads)
               : LSPO_OK;
}

lspo_status_t lspo_noise_predict(const lspo_plan_t *plan, const lspo_machine_t *machine,
                                 const lspo_noise_options_t *options, lspo_noise_t *noise_out)
{
    experiment_t experiment = {.machine = machine, .draws = options->draws, .player.plan = plan};
    lspo_status_t status = prepare(&experiment, options);
    if (status != LSPO_OK)
        goto cleanup;
    for (uint32_t draw = 0; draw < options->draws; draw++) {
        if (options->progress != NULL)
            options->progress(options->progress_context, "draws", draw, options->draws);
        status = play_plan(&experiment, draw);
        if (status != LSPO_OK)
            goto cleanup;
        status = play_native(&experiment, draw);
        if (status != LSPO_OK)
            goto cleanup;
    }
    status = summarise(&experiment);
    if (status != LSPO_OK)
        goto cleanup;
    *noise_out = experiment.noise;
    experiment.noise.spreads = NULL;
cleanup:
    experiment_release(&experiment);
    return status;
}

lspo_status_t lspo_noise_describe(const lspo_noise_options_t *options, lspo_trace_t *trace)
{
    char seed[16], draws[16];
    snprintf(seed, sizeof seed, "%" PRIu32, options->seed);
    snprintf(draws, sizeof draws, "%" PRIu32, options->draws);
    lspo_status_t status = lspo_trace_set_meta(trace, "noise_seed", seed);
    if (status != LSPO_OK)
        return status;
    return lspo_trace_set_meta(trace, "draws", draws);
}

void lspo_noise_release(lspo_noise_t *noise)
{
    free(noise->spreads);
}
