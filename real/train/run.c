/* run.c - see run.h. */
#include "real/train/run.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/workers.h"
#include "kernels/blas.h"
#include "kernels/gemm.h"
#include "plan/policy.h"
#include "real/execute/lane.h"
#include "real/execute/play.h"
#include "real/generate/session.h"
#include "real/machine/counters.h"
#include "real/machine/process.h"
#include "real/machine/topology.h"
#include "real/methods/methods.h"
#include "real/session/session.h"
#include "real/train/grid.h"
#include "traces/median.h"

enum { HELD_OUT_TOKENS = 2048 };

/* Data shared by all executions. */
typedef struct {
    const lspo_run_options_t *options;
    lspo_counters_t *counters;
    lspo_text_t *text;
} bench_t;

/* One plan, executed several times. */
typedef struct {
    const bench_t *bench;
    const lspo_plan_t *plan;
    lspo_row_function_t op_ended; /* NULL: not wanted of this plan */
    lspo_device_t *device;
    lspo_topology_t topology;
    lspo_workers_t *workers;
    lspo_session_t *session;
    lspo_generation_session_t *generation; /* in place of the session, for a plan of generation */
    lspo_grid_t *grid;                     /* in place of device and session, for a plan of several peers */
    lspo_trace_t *trace;                   /* of the last execution */
    lspo_summary_t sum;                    /* samples of all executions; the rest summed up until finish_plays() */
    uint32_t plays;
    double least_core_share;      /* of a grid's ranks */
    double gpu_cpu_s, gpu_busy_s; /* of the GPU lane's ops: CPU time, and elapsed time; 0 with a GPU */
} player_t;

lspo_status_t lspo_run_default(lspo_run_options_t *options_out)
{
    *options_out = (lspo_run_options_t){.device = "host", .repeat = 1, .warmup = 2};
    return LSPO_OK;
}

static void enter_lane(void *context, const lspo_lane_t *lane)
{
    const player_t *player = context;
    if (lane->kind < LSPO_DEVICE_LANES)
        lspo_counters_enter(player->bench->counters, (lspo_lane_kind_t)lane->kind);
    if (player->grid) {
        lspo_grid_enter_lane(player->grid, lane);
        return;
    }
    lspo_topology_enter(&player->topology, (lspo_lane_kind_t)lane->kind);
    lspo_lane_flush_denormals();
}

static lspo_status_t run_own_op(const player_t *player, const lspo_op_t *op)
{
    return player->generation ? lspo_generation_session_run_op(player->generation, op)
                              : lspo_session_run_op(player->session, op);
}

static lspo_status_t run_op(void *context, const lspo_op_t *op)
{
    player_t *player = context;
    if (player->grid)
        return lspo_grid_run_op(player->grid, op);
    if (lspo_op_kind_lane((lspo_op_kind_t)op->kind) != LSPO_LANE_GPU || lspo_device_is_asynchronous(player->device))
        return run_own_op(player, op);
    double cpu_s = lspo_lane_cpu_s();
    uint64_t start_ns = lspo_now_ns();
    lspo_status_t status = run_own_op(player, op);
    player->gpu_busy_s += (double)(lspo_now_ns() - start_ns) * 1e-9;
    player->gpu_cpu_s += lspo_lane_cpu_s() - cpu_s;
    return status;
}

static lspo_status_t finish_op(void *context, const lspo_op_t *op)
{
    const player_t *player = context;
    return player->grid ? lspo_grid_finish_op(player->grid, op) : lspo_session_finish_op(player->session, op);
}

static lspo_status_t open_bench(const lspo_run_options_t *options, bench_t *bench)
{
    *bench = (bench_t){.options = options};
    lspo_blas_open(); /* before memory is counted; lspo_device_open() reports errors of it */
    lspo_status_t status = lspo_text_open(options->text_path, &bench->text);
    if (status != LSPO_OK)
        return status;
    lspo_counters_open(&bench->counters);
    return LSPO_OK;
}

static void close_bench(bench_t *bench)
{
    lspo_counters_close(bench->counters);
    lspo_text_close(bench->text);
}

/* Does this process have the results? */
static bool leads(const bench_t *bench)
{
    return lspo_mail_rank(bench->options->mail) == 0;
}

static lspo_status_t open_grid(const bench_t *bench, const lspo_device_caps_t *caps, player_t *player)
{
    const lspo_grid_options_t options = {.device = bench->options->device,
                                         .caps = *caps,
                                         .text = bench->text,
                                         .mail = bench->options->mail,
                                         .repeat = bench->options->repeat,
                                         .timing_only = bench->options->timing_only};
    lspo_status_t status = lspo_grid_create(player->plan, &options, &player->grid);
    if (status != LSPO_OK)
        return status;
    player->device = lspo_grid_device(player->grid);
    if (!lspo_device_is_asynchronous(player->device) && !lspo_grid_has_cores(player->grid) && leads(bench))
        lspo_warn(
            "there are fewer cores than devices (%u), which share them: the times are not those of so many devices",
            lspo_grid_peers(player->grid));
    return LSPO_OK;
}

static lspo_status_t open_player(const bench_t *bench, const lspo_plan_t *plan, const lspo_device_caps_t *caps,
                                 player_t *player)
{
    *player = (player_t){.bench = bench, .plan = plan};
    if (lspo_grid_is_for(plan))
        return open_grid(bench, caps, player);
    lspo_status_t status = lspo_device_open(bench->options->device, caps, &player->device);
    if (status != LSPO_OK)
        return status;
    status = lspo_play_place(player->device, bench->options->cpu_threads, &player->topology, &player->workers);
    if (status != LSPO_OK)
        return status;
    if (plan->policy->task == LSPO_TASK_GENERATE)
        return lspo_generation_session_create(plan, player->device, &player->generation);
    status = lspo_session_create(plan, player->device, bench->text, &player->session);
    if (status != LSPO_OK)
        return status;
    if (player->workers)
        status = lspo_session_set_workers(player->session, player->workers);
    return status;
}

static void close_player(player_t *player)
{
    lspo_summary_release(&player->sum);
    lspo_trace_destroy(player->trace);
    lspo_generation_session_destroy(player->generation);
    lspo_session_destroy(player->session);
    lspo_workers_destroy(player->workers);
    if (!player->grid)
        lspo_device_close(player->device);
    lspo_grid_destroy(player->grid);
}

static lspo_status_t add_samples(lspo_summary_t *sum, const lspo_summary_t *play)
{
    size_t count = (size_t)sum->sample_count + play->sample_count;
    double *samples_s = realloc(sum->samples_s, count * sizeof *samples_s);
    if (!samples_s)
        return lspo_no_memory("%zu samples", count);
    memcpy(samples_s + sum->sample_count, play->samples_s, play->sample_count * sizeof *samples_s);
    sum->samples_s = samples_s;
    sum->sample_count = (uint32_t)count;
    return LSPO_OK;
}

static lspo_status_t add_play(player_t *player, const lspo_summary_t *play)
{
    lspo_summary_t *sum = &player->sum;
    lspo_status_t status = add_samples(sum, play);
    if (status != LSPO_OK)
        return status;
    for (int kind = 0; kind < LSPO_LANE_KIND_COUNT; kind++) {
        sum->busy_s[kind] += play->busy_s[kind];
        sum->link_bytes[kind] = play->link_bytes[kind]; /* the same in each play */
    }
    sum->exposed_comm_s += play->exposed_comm_s;
    sum->exposed_cpu_s += play->exposed_cpu_s;
    sum->other_s += play->other_s;
    sum->makespan_s += play->makespan_s;
    sum->warmup = play->warmup;
    sum->first_s = play->first_s;
    player->plays++;
    return LSPO_OK;
}

static lspo_status_t finish_plays(player_t *player)
{
    lspo_summary_t *sum = &player->sum;
    double plays = player->plays;
    for (int kind = 0; kind < LSPO_LANE_KIND_COUNT; kind++)
        sum->busy_s[kind] /= plays;
    sum->exposed_comm_s /= plays;
    sum->exposed_cpu_s /= plays;
    sum->other_s /= plays;
    sum->makespan_s /= plays;
    sum->iteration_s = lspo_median(sum->samples_s, sum->sample_count);
    return lspo_median_interval(sum->samples_s, sum->sample_count, player->plan->workload.seed, &sum->low_s,
                                &sum->high_s);
}

static lspo_status_t reset(const player_t *player)
{
    if (player->grid)
        return lspo_grid_reset(player->grid);
    if (!player->generation)
        return lspo_session_reset(player->session);
    lspo_generation_session_reset(player->generation);
    return LSPO_OK;
}

static lspo_status_t add_trace(player_t *player)
{
    lspo_summary_t summary;
    const lspo_plan_t *plan = player->plan;
    const uint32_t warmup = lspo_policy_warmup(plan->policy, &plan->workload, player->bench->options->warmup);
    lspo_status_t status = lspo_trace_describe_plan(player->trace, plan);
    if (status != LSPO_OK)
        return status;
    status = lspo_summary_create(player->trace, warmup, &summary);
    if (status != LSPO_OK)
        return status;
    status = add_play(player, &summary);
    lspo_summary_release(&summary);
    return status;
}

static lspo_status_t play_once(player_t *player)
{
    const lspo_run_options_t *options = player->bench->options;
    lspo_status_t status = player->plays > 0 ? reset(player) : LSPO_OK;
    if (status != LSPO_OK)
        return status;
    lspo_trace_destroy(player->trace);
    player->trace = NULL;
    const lspo_play_t play = {.device = player->device,
                              .context = player,
                              .run = run_op,
                              .finish = finish_op,
                              .enter_lane = enter_lane,
                              .part = player->grid ? lspo_grid_part(player->grid) : NULL,
                              .row = player->op_ended,
                              .row_context = options->op_ended_context};
    status = lspo_play(player->plan, &play, options->stop, &player->trace);
    if (status != LSPO_OK)
        return status;
    if (player->grid)
        status = lspo_grid_gather_trace(player->grid, player->trace);
    if (status != LSPO_OK)
        return status;
    if (leads(player->bench))
        return add_trace(player);
    player->plays++;
    return LSPO_OK;
}

static lspo_status_t held_out_loss(const player_t *player, double *loss_out)
{
    uint64_t tokens = lspo_workload_tokens(&player->plan->workload);
    uint32_t batches = tokens >= HELD_OUT_TOKENS ? 1 : (uint32_t)(HELD_OUT_TOKENS / tokens);
    if (!player->bench->options->timing_only && player->grid)
        return lspo_grid_held_out_loss(player->grid, batches, loss_out);
    if (!player->bench->options->timing_only && !player->generation)
        return lspo_session_held_out_loss(player->session, batches, loss_out);
    *loss_out = NAN;
    return LSPO_OK;
}

static lspo_status_t keep_losses(const player_t *player, lspo_run_result_t *result)
{
    uint32_t count = player->plan->workload.iterations;
    if (player->generation) {
        result->loss_first = result->loss_last = NAN;
        return LSPO_OK;
    }
    double *losses = malloc(count * sizeof *losses);
    if (!losses)
        return lspo_no_memory("%u losses", count);
    lspo_status_t status = LSPO_OK;
    if (player->grid)
        status = lspo_grid_losses(player->grid, losses);
    else
        memcpy(losses, lspo_session_losses(player->session), count * sizeof *losses);
    if (status != LSPO_OK) {
        free(losses);
        return status;
    }
    result->loss_first = losses[0];
    result->loss_last = losses[count - 1];
    if (!result->losses) {
        result->losses = losses;
        result->loss_count = count;
    } else {
        free(losses);
    }
    return LSPO_OK;
}

static void report(const lspo_run_options_t *options, const char *label, uint32_t done)
{
    if (options->progress)
        options->progress(options->progress_context, label, done, options->repeat);
}

static uint64_t above(uint64_t peak_bytes, uint64_t base_bytes)
{
    return peak_bytes > base_bytes ? peak_bytes - base_bytes : 0;
}

/* The host device's memory is in the process, a GPU's is not; what is left without that of copies is extra. */
static void keep_memory(lspo_device_t *device, const lspo_process_mark_t *mark, lspo_run_result_t *result)
{
    uint64_t process_bytes = lspo_process_peak_bytes(mark);
    bool apart = lspo_device_is_asynchronous(device);
    result->peak_host_bytes = apart ? process_bytes : above(process_bytes, lspo_device_most_held_bytes(device));
    result->peak_total_bytes = apart ? process_bytes + lspo_device_peak_bytes(device) : process_bytes;
    result->extra_bytes = above(result->peak_host_bytes, lspo_device_most_host_held_bytes(device));
    result->card_bytes = lspo_device_card_bytes(device);
}

/* Of the peer that needs most, as the plan's; with what the process has beside, once. */
static lspo_status_t keep_grid_memory(lspo_grid_t *grid, const lspo_process_mark_t *mark, lspo_run_result_t *result)
{
    lspo_grid_host_t host;
    double card = (double)lspo_device_card_bytes(lspo_grid_device(grid));
    lspo_status_t status = lspo_grid_host_memory(grid, mark, &host);
    if (status == LSPO_OK)
        status = lspo_grid_extreme(grid, false, &card);
    if (status != LSPO_OK)
        return status;
    result->card_bytes = (uint64_t)card;
    result->extra_bytes = host.extra;
    result->peak_host_bytes = host.peak;
    result->peak_total_bytes = host.total;
    return LSPO_OK;
}

/* Memory is measured after the first execution, before `native` adds its own. */
static lspo_status_t play_and_keep(player_t *player, const lspo_process_mark_t *mark, lspo_run_result_t *result)
{
    lspo_status_t status = play_once(player);
    if (status != LSPO_OK)
        return status;
    status = keep_losses(player, result);
    if (status != LSPO_OK)
        return status;
    if (player->plays == 1 && player->grid)
        return keep_grid_memory(player->grid, mark, result);
    if (player->plays == 1)
        keep_memory(player->device, mark, result);
    return LSPO_OK;
}

static lspo_status_t build_native(const lspo_plan_t *plan, lspo_plan_t **native_out)
{
    lspo_workload_t workload = plan->workload;
    workload.swap_activations = 0; /* native's stay on the GPU */
    return lspo_plan_build(&plan->model, &workload, lspo_policy_baseline(plan->policy->task), native_out);
}

/* Execute the plan repeatedly and, with `slowdown`, native after each time, so that both see the same state of the
 * machine. */
static lspo_status_t play_all(const bench_t *bench, player_t *player, const lspo_process_mark_t *mark,
                              lspo_run_result_t *result)
{
    const lspo_run_options_t *options = bench->options;
    const lspo_device_caps_t no_caps = {.sms = options->caps.sms};
    lspo_plan_t *native_plan = NULL;
    player_t native = {0};
    lspo_status_t status = options->slowdown ? build_native(player->plan, &native_plan) : LSPO_OK;
    if (status != LSPO_OK)
        goto cleanup;
    for (uint32_t i = 0; i < options->repeat; i++) {
        report(options, player->plan->policy->name, i);
        status = play_and_keep(player, mark, result);
        if (status != LSPO_OK)
            goto cleanup;
        if (!native_plan)
            continue;
        report(options, native_plan->policy->name, i);
        if (!native.device)
            status = open_player(bench, native_plan, &no_caps, &native);
        if (status != LSPO_OK)
            goto cleanup;
        status = play_once(&native);
        if (status != LSPO_OK)
            goto cleanup;
    }
    report(options, player->plan->policy->name, options->repeat);
    if (leads(bench))
        status = finish_plays(player);
    if (status != LSPO_OK)
        goto cleanup;
    if (native_plan)
        status = finish_plays(&native);
    if (status != LSPO_OK)
        goto cleanup;
    if (native_plan) {
        result->native_iteration_s = native.sum.iteration_s;
        result->slowdown = player->sum.iteration_s / native.sum.iteration_s;
    }
cleanup:
    close_player(&native);
    lspo_plan_destroy(native_plan);
    return status;
}

static double core_share(const player_t *player)
{
    if (player->grid)
        return player->least_core_share;
    return player->gpu_busy_s > 0 ? fmin(player->gpu_cpu_s / player->gpu_busy_s, 1) : 1;
}

static void warn_of_other_work(const player_t *player)
{
    if (core_share(player) >= LSPO_TRACE_CORE_SHARE_LEAST)
        return;
    if (player->grid && lspo_grid_has_cores(player->grid))
        lspo_warn(
            "this measurement is disturbed: other programs took %.0f %% of the cores that stand in for GPUs; close "
            "them and run again",
            100 * (1 - core_share(player)));
    else if (!player->grid)
        lspo_warn("this measurement is disturbed: other programs took %.0f %% of cpu %d, which stands in for the GPU; "
                  "close them and run again",
                  100 * (1 - core_share(player)), player->topology.cpu[LSPO_LANE_GPU]);
}

static lspo_status_t add_entry(void *trace, const char *key, const char *value)
{
    return lspo_trace_set_meta(trace, key, value);
}

/* Only for the host device: how much of its core the GPU lane had. */
static lspo_status_t describe_device(const player_t *player, lspo_trace_t *trace)
{
    char share[16];
    snprintf(share, sizeof share, "%.3f", core_share(player));
    lspo_status_t status = lspo_device_describe(player->device, add_entry, trace);
    if (status != LSPO_OK)
        return status;
    if (!lspo_device_is_asynchronous(player->device))
        status = lspo_trace_set_meta(trace, "gpu core share", share);
    if (status != LSPO_OK)
        return status;
    return lspo_run_describe_caps(&player->bench->options->caps, trace);
}

static lspo_status_t describe_trace(const player_t *player, const lspo_run_result_t *result, lspo_trace_t *trace)
{
    const bench_t *bench = player->bench;
    char repeat[16], threads[16], gpu_bytes[24], total_bytes[24];
    snprintf(gpu_bytes, sizeof gpu_bytes, "%" PRIu64, result->peak_gpu_bytes);
    snprintf(total_bytes, sizeof total_bytes, "%" PRIu64, result->peak_total_bytes);
    snprintf(threads, sizeof threads, "%" PRIu32, lspo_workers_count(player->workers));
    snprintf(repeat, sizeof repeat, "%" PRIu32, bench->options->repeat);
    const char *const entries[][2] = {
        {"origin", "run"},
        {"device", bench->options->device},
        {"repeat", repeat},
        {"topology", player->grid ? lspo_grid_topology(player->grid) : player->topology.description},
        {"cpu threads", threads},
        {"blas core", lspo_gemm_core()},
        {"text", lspo_text_source(bench->text)},
        {"peak_gpu_bytes", gpu_bytes},
        {"peak_total_bytes", total_bytes}};
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        lspo_status_t status = lspo_trace_set_meta(trace, entries[i][0], entries[i][1]);
        if (status != LSPO_OK)
            return status;
    }
    lspo_status_t status = describe_device(player, trace);
    if (status == LSPO_OK && player->session)
        status = lspo_session_report(player->session, add_entry, trace);
    if (status != LSPO_OK)
        return status;
    return lspo_counters_describe(bench->counters, trace);
}

static lspo_status_t measure_device(player_t *player, lspo_run_result_t *result)
{
    double peak = (double)lspo_device_peak_bytes(player->device);
    lspo_status_t status = LSPO_OK;
    if (player->grid) {
        peak = (double)lspo_grid_memory(player->grid).most_gpu;
        player->least_core_share = lspo_grid_core_share(player->grid);
        status = lspo_grid_extreme(player->grid, false, &peak);
    }
    if (status == LSPO_OK && player->grid)
        status = lspo_grid_extreme(player->grid, true, &player->least_core_share);
    result->peak_gpu_bytes = (uint64_t)peak;
    return status;
}

/* `result` is released by the caller on failure. */
static lspo_status_t measure(const bench_t *bench, player_t *player, const lspo_process_mark_t *mark,
                             lspo_run_result_t *result)
{
    const lspo_plan_t *plan = player->plan;
    lspo_status_t status = held_out_loss(player, &result->held_out_before);
    if (status != LSPO_OK)
        return status;
    status = play_all(bench, player, mark, result);
    if (status != LSPO_OK)
        return status;
    status = held_out_loss(player, &result->held_out_after);
    if (status != LSPO_OK)
        return status;
    status = measure_device(player, result);
    if (status != LSPO_OK || !leads(bench))
        return status;
    status = describe_trace(player, result, player->trace);
    if (status != LSPO_OK)
        return status;
    warn_of_other_work(player);
    result->gpu_core_share = core_share(player);
    result->blas_core = lspo_gemm_core();
    result->summary = player->sum;
    player->sum = (lspo_summary_t){0};
    result->tokens_per_s = lspo_plan_tokens(plan) / result->summary.iteration_s;
    return LSPO_OK;
}

static lspo_status_t check_options(const lspo_plan_t *plan, const lspo_run_options_t *options)
{
    const uint32_t peers = lspo_policy_peers(plan->policy, &plan->workload);
    if (options->mail && peers == 1)
        return lspo_error(LSPO_ERR_INPUT, "this plan has one device: run it in one process, without mpirun");
    if (options->mail && options->slowdown)
        return lspo_error(LSPO_ERR_INPUT, "--slowdown measures in one process: run it without mpirun");
    if (options->repeat < 1)
        return lspo_error(LSPO_ERR_INPUT, "a run needs at least one repeat");
    if (plan->workload.iterations < (uint64_t)options->warmup + 2)
        return lspo_error(LSPO_ERR_INPUT, "--iterations %u is too few: %u are warm-up and two more are measured",
                          plan->workload.iterations, options->warmup);
    return LSPO_OK;
}

lspo_status_t lspo_run(const lspo_plan_t *plan, const lspo_run_options_t *options, lspo_run_result_t *result_out,
                       lspo_trace_t **trace_out)
{
    lspo_status_t status = check_options(plan, options);
    if (status != LSPO_OK)
        return status;
    lspo_run_result_t result = {.slowdown = NAN, .native_iteration_s = NAN};
    player_t player = {0};
    bench_t bench;
    status = open_bench(options, &bench);
    if (status != LSPO_OK)
        goto close;
    lspo_process_mark_t mark;
    lspo_process_mark(&mark);
    status = open_player(&bench, plan, &options->caps, &player);
    player.op_ended = options->op_ended;
    if (status != LSPO_OK)
        goto close;
    status = measure(&bench, &player, &mark, &result);
    if (status != LSPO_OK)
        goto close;
    *result_out = result;
    result = (lspo_run_result_t){0};
    if (trace_out) {
        *trace_out = player.trace;
        player.trace = NULL;
    }
close:
    lspo_run_result_release(&result);
    close_player(&player);
    close_bench(&bench);
    return status;
}

void lspo_run_result_release(lspo_run_result_t *result)
{
    if (!result)
        return;
    lspo_summary_release(&result->summary);
    free(result->losses);
    *result = (lspo_run_result_t){0};
}
