/* engine.c - see engine.h.  engine_few.c plays plans with few lanes. */
#include "sim/engine.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

#include "plan/lane_set.h"
#include "plan/ready.h"
#include "sim/contention.h"
#include "sim/cost.h"
#include "sim/ends.h"
#include "sim/engine_few.h"

static const uint64_t last_start_ns = LSPO_ENGINE_LAST_START_NS;

typedef struct {
    bool running;
    uint8_t kind;
    uint32_t row; /* of the trace, while running */
    lspo_op_id_t op;
    uint64_t free_ns; /* when its latest op ended */
    /* Only with contention: work left at since_ns, done at `rate` since then. */
    double remaining_ns, rate;
    uint64_t since_ns;
} lane_t;

typedef struct {
    const lspo_engine_call_t *call;
    lspo_ready_t ready; /* its set of fed lanes includes those that ended */
    lane_t *lanes;
    lspo_ends_t ends;
    uint64_t now_ns;
    uint32_t event; /* counts events: ops that become ready at the same event tie */
    bool unsorted;  /* rows may be out of order */
    bool gpu_ended; /* an op of a GPU, at now_ns */
    lspo_contention_t contention;
    lspo_trace_t *trace;
} engine_t;

static uint64_t end_at(const lane_t *lane)
{
    return lane->since_ns + lspo_engine_left_ns(lane->remaining_ns, lane->rate);
}

/* After ops started or ended at now_ns: lanes whose rate has changed get a new end. */
static void rerate(engine_t *engine)
{
    lspo_contention_settle(&engine->contention);
    for (uint32_t i = 0; i < engine->contention.changed_lane_count; i++) {
        uint32_t index = engine->contention.changed_lanes[i];
        lane_t *lane = &engine->lanes[index];
        lane->remaining_ns -= lane->rate * (double)(engine->now_ns - lane->since_ns);
        lane->since_ns = engine->now_ns;
        lane->rate = engine->contention.rate[index];
        engine->ends.levels[0][index] = end_at(lane);
        lspo_ends_update(&engine->ends, index);
    }
}

/* Events */

static bool start(engine_t *engine, uint32_t index)
{
    lane_t *lane = &engine->lanes[index];
    lspo_op_id_t id = lspo_ready_pop(&engine->ready.lanes[index]);
    const lspo_engine_call_t *call = engine->call;
    uint64_t work_ns = call->work_ns
                           ? call->work_ns[(uint64_t)engine->ready.ops[id].work * LSPO_LANE_KIND_COUNT + lane->kind]
                           : call->op_ns[id];
    const uint64_t wake_ns = lspo_engine_wake_ns(call, lane->kind, engine->gpu_ended, engine->now_ns - lane->free_ns);
    if (engine->now_ns > last_start_ns || work_ns > last_start_ns)
        return false;
    /* Prefetch for its end: with thousands of lanes it is no longer in the cache by then. */
    __builtin_prefetch(&engine->ready.successor_first[id]);
    lane->running = true;
    lane->op = id;
    lane->row = engine->trace->row_count++;
    engine->ends.levels[0][index] = engine->now_ns + wake_ns + work_ns;
    engine->unsorted |= work_ns == 0 || wake_ns > 0;
    if (engine->contention.any) {
        lane->since_ns = engine->now_ns;
        lane->remaining_ns = (double)(wake_ns + work_ns);
        lane->rate = 1;
        lspo_contention_start(&engine->contention, index);
    }
    engine->trace->rows[lane->row].op = id;
    engine->trace->rows[lane->row].start_ns = engine->now_ns + wake_ns;
    return true;
}

static void end(engine_t *engine, uint32_t index)
{
    lane_t *lane = &engine->lanes[index];
    lane->running = false;
    lane->free_ns = engine->now_ns;
    engine->gpu_ended |= lane->kind == LSPO_LANE_GPU;
    engine->ends.levels[0][index] = LSPO_NEVER;
    engine->trace->rows[lane->row].end_ns = engine->now_ns;
    if (engine->contention.any)
        lspo_contention_end(&engine->contention, index);
    lspo_ready_end(&engine->ready, lane->op, engine->event);
    lspo_lane_set_add(&engine->ready.fed, index);
}

/* Start ops on the lanes that ended or got ops, in order. */
static bool start_idle_lanes(engine_t *engine)
{
    for (uint32_t i; (i = lspo_lane_set_take(&engine->ready.fed)) != LSPO_NO_LANE;) {
        if (engine->lanes[i].running)
            continue;
        if (engine->ready.lanes[i].count > 0 && !start(engine, i))
            return false;
        lspo_ends_update(&engine->ends, i);
    }
    if (engine->contention.any)
        rerate(engine);
    return true;
}

/* Move to the next end and end all ops that end there; false when nothing runs. */
static bool advance(engine_t *engine)
{
    uint64_t next_ns = lspo_ends_first_ns(&engine->ends);
    if (next_ns == LSPO_NEVER)
        return false;
    engine->event++;
    engine->gpu_ended &= next_ns == engine->now_ns;
    engine->now_ns = next_ns;
    uint32_t count;
    const uint32_t *due = lspo_ends_due(&engine->ends, next_ns, &count);
    for (uint32_t i = 0; i < count; i++)
        end(engine, due[i]);
    return true;
}

static lspo_status_t prepare(engine_t *engine)
{
    const lspo_lanes_t *lanes = &engine->call->plan->lanes;
    engine->lanes = calloc((size_t)lanes->count + 1, sizeof *engine->lanes);
    if (!engine->lanes)
        return lspo_no_memory("%" PRIu32 " lanes", lanes->count);
    for (uint32_t i = 0; i < lanes->count; i++)
        engine->lanes[i].kind = lanes->list[i].kind;
    lspo_status_t status = lspo_ends_create(lanes->count, &engine->ends);
    if (status != LSPO_OK)
        return status;
    return lspo_contention_create(lanes, engine->call->machine, &engine->contention);
}

static lspo_status_t play_many(const lspo_engine_call_t *call, lspo_ready_t *ready, lspo_trace_t *trace,
                               lspo_engine_end_t *end_out)
{
    engine_t engine = {.call = call, .ready = *ready, .trace = trace};
    lspo_status_t status = prepare(&engine);
    if (status != LSPO_OK)
        goto cleanup;
    do
        end_out->too_long = !start_idle_lanes(&engine);
    while (!end_out->too_long && advance(&engine));
    end_out->unsorted = engine.unsorted;
cleanup:
    lspo_contention_release(&engine.contention);
    lspo_ends_release(&engine.ends);
    free(engine.lanes);
    return status;
}

static lspo_status_t check_end(const lspo_engine_call_t *call, const lspo_engine_end_t *end, lspo_trace_t *trace)
{
    uint32_t op_count = call->plan->op_count;
    if (end->too_long)
        return lspo_engine_too_long();
    if (trace->row_count != op_count)
        return lspo_error(LSPO_ERR_CHECK, "%" PRIu32 " of %" PRIu32 " ops wait for each other",
                          op_count - trace->row_count, op_count);
    return LSPO_OK;
}

static lspo_status_t run(const lspo_engine_call_t *call, lspo_trace_t **trace_out)
{
    const lspo_plan_t *plan = call->plan;
    lspo_trace_t *trace = NULL;
    lspo_ready_t ready = {0};
    lspo_engine_end_t end = {0};
    lspo_status_t status = lspo_ready_create(plan, &ready);
    if (status != LSPO_OK)
        return status;
    status = lspo_trace_create_on(plan->op_count, &plan->lanes, &trace);
    if (status != LSPO_OK)
        goto cleanup;
    status = plan->lanes.count <= LSPO_ENGINE_FEW ? lspo_engine_play_few(call, &ready, trace, &end)
                                                  : play_many(call, &ready, trace, &end);
    if (status != LSPO_OK)
        goto cleanup;
    status = check_end(call, &end, trace);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_trace_fill_rows(plan, trace);
    if (status != LSPO_OK)
        goto cleanup;
    if (end.unsorted)
        lspo_trace_sort(trace);
    *trace_out = trace;
    trace = NULL;
cleanup:
    lspo_trace_destroy(trace);
    lspo_ready_release(&ready);
    return status;
}

lspo_status_t lspo_engine_play(const lspo_plan_t *plan, const lspo_machine_t *machine, const uint64_t *work_ns,
                               lspo_trace_t **trace_out)
{
    return run(
        &(lspo_engine_call_t){
            .plan = plan, .machine = machine, .work_ns = work_ns, .wake_ns = lspo_engine_wake_of(plan, machine)},
        trace_out);
}

lspo_status_t lspo_engine_play_ops(const lspo_plan_t *plan, const lspo_machine_t *machine, const uint64_t *op_ns,
                                   lspo_trace_t **trace_out)
{
    return run(
        &(lspo_engine_call_t){
            .plan = plan, .machine = machine, .op_ns = op_ns, .wake_ns = lspo_engine_wake_of(plan, machine)},
        trace_out);
}
