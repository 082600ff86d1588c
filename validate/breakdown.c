/* breakdown.c - see breakdown.h. */
#include "validate/breakdown.h"

#include <stdlib.h>
#include <string.h>

#include "sim/engine.h"
#include "sim/sim.h"
#include "traces/summary.h"
#include "validate/visits.h"

typedef struct {
    const lspo_plan_t *plan;
    uint64_t *predicted_ns, *measured_ns, *op_ns; /* by op */
} replay_t;

static const lspo_machine_t *no_contention(void)
{
    static const lspo_machine_t machine;
    return &machine;
}

static uint64_t *durations(const lspo_plan_t *plan, const lspo_trace_t *trace)
{
    uint64_t *op_ns = calloc((size_t)plan->op_count + 1, sizeof *op_ns);
    for (uint32_t i = 0; op_ns != NULL && i < trace->row_count; i++)
        op_ns[trace->rows[i].op] = trace->rows[i].end_ns - trace->rows[i].start_ns;
    return op_ns;
}

static lspo_status_t iteration_of(const lspo_trace_t *trace, double *iteration_s_out)
{
    lspo_summary_t summary;
    lspo_status_t status = lspo_summary_create(trace, LSPO_VALIDATE_WARMUP, &summary);
    if (status != LSPO_OK)
        return status;
    *iteration_s_out = summary.iteration_s;
    lspo_summary_release(&summary);
    return LSPO_OK;
}

static lspo_status_t play(const replay_t *replay, double *iteration_s_out)
{
    lspo_trace_t *trace;
    lspo_status_t status = lspo_engine_play_ops(replay->plan, no_contention(), replay->op_ns, &trace);
    if (status != LSPO_OK)
        return status;
    status = lspo_trace_describe_plan(trace, replay->plan);
    if (status != LSPO_OK)
        goto cleanup;
    status = iteration_of(trace, iteration_s_out);
cleanup:
    lspo_trace_destroy(trace);
    return status;
}

/* Add half of each kind's contribution in seconds, in one order of the kinds. */
static lspo_status_t add_order(replay_t *replay, bool reverse, lspo_breakdown_t *breakdown)
{
    double before_s, after_s;
    memcpy(replay->op_ns, replay->predicted_ns, replay->plan->op_count * sizeof *replay->op_ns);
    lspo_status_t status = play(replay, &before_s);
    if (status != LSPO_OK)
        return status;
    for (int i = 0; i < LSPO_OP_KIND_COUNT; i++) {
        int kind = reverse ? LSPO_OP_KIND_COUNT - 1 - i : i;
        if (!breakdown->present[kind])
            continue;
        for (uint32_t op = 0; op < replay->plan->op_count; op++)
            if (replay->plan->ops[op].kind == kind)
                replay->op_ns[op] = replay->measured_ns[op];
        status = play(replay, &after_s);
        if (status != LSPO_OK)
            return status;
        breakdown->share[kind] += (before_s - after_s) / 2;
        before_s = after_s;
    }
    return LSPO_OK;
}

/* Convert seconds to fractions of the measured time; the rest is waiting. */
static void finish(double predicted_s, double measured_s, lspo_breakdown_t *breakdown)
{
    breakdown->known = true;
    breakdown->error = predicted_s / measured_s - 1;
    breakdown->waiting = breakdown->error;
    for (int kind = 0; kind < LSPO_OP_KIND_COUNT; kind++) {
        breakdown->share[kind] /= measured_s;
        breakdown->waiting -= breakdown->share[kind];
    }
}

lspo_status_t lspo_validate_breakdown(const lspo_cell_t *cell, const lspo_trace_t *measured,
                                      lspo_breakdown_t *breakdown_out)
{
    lspo_breakdown_t breakdown = {0};
    double measured_s, predicted_s;
    lspo_status_t status = lspo_trace_check(measured, cell->plan);
    if (status != LSPO_OK)
        return status;
    status = iteration_of(measured, &measured_s);
    if (status != LSPO_OK)
        return status;
    status = iteration_of(cell->trace, &predicted_s);
    if (status != LSPO_OK)
        return status;
    replay_t replay = {.plan = cell->plan,
                       .predicted_ns = durations(cell->plan, cell->trace),
                       .measured_ns = durations(cell->plan, measured),
                       .op_ns = calloc((size_t)cell->plan->op_count + 1, sizeof *replay.op_ns)};
    for (uint32_t op = 0; op < cell->plan->op_count; op++)
        breakdown.present[cell->plan->ops[op].kind] = true;
    if (replay.predicted_ns == NULL || replay.measured_ns == NULL || replay.op_ns == NULL) {
        status = lspo_no_memory("replaying %u ops", cell->plan->op_count);
        goto cleanup;
    }
    status = add_order(&replay, false, &breakdown);
    if (status != LSPO_OK)
        goto cleanup;
    status = add_order(&replay, true, &breakdown);
    if (status != LSPO_OK)
        goto cleanup;
    finish(predicted_s, measured_s, &breakdown);
    *breakdown_out = breakdown;
cleanup:
    free(replay.op_ns);
    free(replay.measured_ns);
    free(replay.predicted_ns);
    return status;
}
