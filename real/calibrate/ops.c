/* ops.c - measure the overhead of an op: dispatch, handing over to another lane, and waking one that sleeps. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/plan.h"
#include "real/calibrate/state.h"
#include "real/execute/play.h"

enum { CHAIN_ROUNDS = 120 };
/* Of ops that take so long that threads of other lanes sleep. */
static const double long_op_s = 0.5e-3;

typedef struct {
    lspo_plan_t plan;
    lspo_op_t *ops;
    lspo_op_id_t *deps;
    lspo_work_t nothing;
} chain_t;

typedef lspo_status_t (*run_t)(void *context, const lspo_op_t *op);

/* Ops, each after the previous one, on the lanes of `kinds` in turn. */
static lspo_status_t make_chain(const lspo_op_kind_t *kinds, uint32_t kind_count, chain_t *chain)
{
    uint32_t count = kind_count * CHAIN_ROUNDS;
    memset(chain, 0, sizeof *chain);
    lspo_lanes_t lanes;
    lspo_status_t status = lspo_lanes_create(&lanes);
    if (status != LSPO_OK)
        return status;
    chain->ops = calloc(count, sizeof *chain->ops);
    chain->deps = calloc(count, sizeof *chain->deps);
    if (!chain->ops || !chain->deps) {
        free(chain->ops);
        free(chain->deps);
        lspo_lanes_release(&lanes);
        return lspo_no_memory("%u ops", count);
    }
    for (uint32_t i = 0; i < count; i++) {
        lspo_op_kind_t kind = kinds[i % kind_count];
        chain->ops[i] = (lspo_op_t){
            .kind = (uint8_t)kind, .lane = lspo_op_kind_lane(kind), .dep_first = i ? i - 1 : 0, .dep_count = i > 0};
        chain->deps[i] = i;
    }
    chain->plan = (lspo_plan_t){.ops = chain->ops,
                                .op_count = count,
                                .deps = chain->deps,
                                .dep_count = count,
                                .works = &chain->nothing,
                                .work_count = 1,
                                .lanes = lanes};
    return LSPO_OK;
}

static lspo_status_t no_work(void *context, const lspo_op_t *op)
{
    (void)context;
    (void)op;
    return LSPO_OK;
}

static lspo_status_t wait_for_a_while(void *context, const lspo_op_t *op)
{
    (void)context;
    (void)op;
    lspo_pace(lspo_now_ns(), long_op_s);
    return LSPO_OK;
}

/* Median time from the end of an op to the start of the next, by the lane of the next. */
static lspo_status_t time_chain(lspo_calibration_t *calibration, run_t run, const lspo_op_kind_t *kinds,
                                uint32_t kind_count, lspo_timing_t gaps_out[LSPO_DEVICE_LANES])
{
    const char *const shape = kind_count == 1  ? "gap between ops of the lane"
                              : run == no_work ? "gap after an op of another lane"
                                               : "gap after a long op of another lane";
    chain_t chain;
    lspo_trace_t *trace = NULL;
    lspo_status_t status = make_chain(kinds, kind_count, &chain);
    if (status != LSPO_OK)
        return status;
    const lspo_play_t play = {.device = calibration->device,
                              .context = (void *)calibration->topology,
                              .run = run,
                              .enter_lane = lspo_calibrate_enter_lane};
    status = lspo_play(&chain.plan, &play, NULL, &trace);
    if (status != LSPO_OK)
        goto cleanup;
    for (int lane = 0; lane < LSPO_DEVICE_LANES; lane++) {
        double gaps_s[CHAIN_ROUNDS];
        uint32_t count = 0;
        for (uint32_t row = 1; row < trace->row_count && count < CHAIN_ROUNDS; row++)
            if (trace->rows[row].lane == (uint32_t)lane)
                gaps_s[count++] = (double)(trace->rows[row].start_ns - trace->rows[row - 1].end_ns) * 1e-9;
        gaps_out[lane] = (lspo_timing_t){0};
        if (count > 0) {
            gaps_out[lane] =
                lspo_calibrate_keep(calibration, lspo_lane_kind_name((lspo_lane_kind_t)lane), shape, gaps_s, count);
            lspo_calibrate_set_fitted(calibration, &gaps_out[lane], gaps_out[lane].median_s);
        }
    }
cleanup:
    lspo_trace_destroy(trace);
    lspo_lanes_release(&chain.plan.lanes);
    free(chain.deps);
    free(chain.ops);
    return status;
}

/* What a lane that sleeps takes longer than is counted for its ops already, if one on another core wakes it: the mean
 * of a GPU's lane and a link's.  A GPU's streams do not sleep. */
static lspo_status_t time_waking(lspo_calibration_t *calibration, double counted_gpu_s, double counted_h2d_s)
{
    static const lspo_op_kind_t between[] = {LSPO_OP_BWD, LSPO_OP_H2D};
    lspo_timing_t gaps[LSPO_DEVICE_LANES];
    double *wake_s = &calibration->result->machine.cpu.wake_s;
    if (calibration->asynchronous)
        return LSPO_OK;
    lspo_status_t status = time_chain(calibration, wait_for_a_while, between, 2, gaps);
    if (status != LSPO_OK)
        return status;
    const lspo_timing_t *gpu = &gaps[LSPO_LANE_GPU], *h2d = &gaps[LSPO_LANE_H2D];
    *wake_s = 0.5 * (fmax(0, gpu->median_s - counted_gpu_s) + fmax(0, h2d->median_s - counted_h2d_s));
    lspo_calibrate_note(calibration, wake_s, 0.5 * hypot(gpu->error_s, h2d->error_s), gpu->count + h2d->count);
    return LSPO_OK;
}

/* GPU ops mostly follow GPU ops; ops of the other lanes wait for another lane. */
lspo_status_t lspo_calibrate_ops(lspo_calibration_t *calibration)
{
    static const lspo_op_kind_t gpu[] = {LSPO_OP_FWD};
    static const lspo_op_kind_t around[] = {LSPO_OP_BWD, LSPO_OP_D2H, LSPO_OP_UPD, LSPO_OP_H2D};
    lspo_timing_t gaps[LSPO_DEVICE_LANES];
    lspo_machine_t *machine = &calibration->result->machine;
    lspo_status_t status = time_chain(calibration, no_work, gpu, 1, gaps);
    if (status != LSPO_OK)
        return status;
    machine->gpu.op_s = gaps[LSPO_LANE_GPU].median_s;
    lspo_calibrate_note(calibration, &machine->gpu.op_s, gaps[LSPO_LANE_GPU].error_s, gaps[LSPO_LANE_GPU].count);
    status = time_chain(calibration, no_work, around, 4, gaps);
    if (status != LSPO_OK)
        return status;
    machine->cpu.op_s = gaps[LSPO_LANE_CPU].median_s;
    lspo_calibrate_note(calibration, &machine->cpu.op_s, gaps[LSPO_LANE_CPU].error_s, gaps[LSPO_LANE_CPU].count);
    machine->link.d2h_latency_s += gaps[LSPO_LANE_D2H].median_s;
    machine->link.h2d_latency_s += gaps[LSPO_LANE_H2D].median_s;
    return time_waking(calibration, machine->gpu.op_s, gaps[LSPO_LANE_H2D].median_s);
}
