/* engine_few.c - the engine for at most four lanes: those of one GPU and its host.
 *
 * Rules and results are exactly those of engine.c (tests/sim/test_engine_lanes.c).  At every event it checks all four
 * lanes in code without a loop, whose branches the processor predicts separately for each lane, and it takes the rates
 * under contention from a table by the set of running lanes.  That is twice as fast as sets and trees.
 */
#include "sim/engine_few.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>

#include "plan/ready.h"
#include "sim/contention.h"
#include "sim/cost.h"

enum { FEW = LSPO_ENGINE_FEW };

static const uint64_t last_start_ns = LSPO_ENGINE_LAST_START_NS;

typedef struct {
    bool running;
    uint8_t kind;
    uint32_t row; /* of the trace, while running */
    lspo_op_id_t op;
    uint64_t end_ns;
    /* Only with contention: work left at since_ns, done at `rate` since then. */
    double remaining_ns, rate;
    uint64_t since_ns;
} lane_t;

typedef struct {
    const lspo_plan_t *plan;
    const uint64_t *work_ns; /* by work and lane, or NULL: */
    const uint64_t *op_ns;   /* by op */
    lspo_ready_t ready;
    lspo_ready_lane_t queues[FEW]; /* the ready ops: those of `ready`, and empty ones */
    lane_t lanes[FEW];
    uint32_t running_mask;
    uint64_t now_ns;
    uint32_t event;     /* counts events: ops that become ready at the same event tie */
    bool takes_no_time; /* an op took none: rows may be out of order */
    bool contended;
    double rates[1 << FEW][FEW]; /* of each lane, by the set of running lanes */
    lspo_trace_t *trace;
} engine_t;

/* The rates of every set of running lanes, from the general engine. */
static lspo_status_t fill_rates(engine_t *engine, const lspo_machine_t *machine)
{
    lspo_contention_t contention;
    lspo_status_t status = lspo_contention_create(&engine->plan->lanes, machine, &contention);
    if (status != LSPO_OK || !contention.any)
        return status;
    engine->contended = true;
    for (uint32_t mask = 0; mask < 1u << FEW; mask++) {
        for (uint32_t i = 0; i < engine->plan->lanes.count; i++)
            if (mask >> i & 1)
                lspo_contention_start(&contention, i);
        lspo_contention_settle(&contention);
        for (uint32_t i = 0; i < engine->plan->lanes.count; i++) {
            engine->rates[mask][i] = mask >> i & 1 ? contention.rate[i] : 1;
            if (mask >> i & 1)
                lspo_contention_end(&contention, i);
        }
    }
    lspo_contention_release(&contention);
    return LSPO_OK;
}

/* Ends are integers: a fraction of a nanosecond is rounded up, unless it is a rounding error. */
static uint64_t end_at(const lane_t *lane)
{
    double left_ns = fmin(fmax(ceil(lane->remaining_ns / lane->rate - 1e-6), 0), (double)last_start_ns);
    return lane->since_ns + (uint64_t)left_ns;
}

/* After ops started or ended at now_ns: lanes whose rate has changed get a new end. */
static void rerate(engine_t *engine)
{
    const double *rates = engine->rates[engine->running_mask];
    for (int i = 0; i < FEW; i++) {
        lane_t *lane = &engine->lanes[i];
        if (!lane->running || lane->rate == rates[i]) /* copies of table entries: equal or another entry */
            continue;
        lane->remaining_ns -= lane->rate * (double)(engine->now_ns - lane->since_ns);
        lane->since_ns = engine->now_ns;
        lane->rate = rates[i];
        lane->end_ns = end_at(lane);
    }
}

/* Events */

static bool start(engine_t *engine, int lane_index)
{
    lane_t *lane = &engine->lanes[lane_index];
    lspo_op_id_t id = lspo_ready_pop(&engine->queues[lane_index]);
    uint64_t work_ns = engine->work_ns
                           ? engine->work_ns[(uint64_t)engine->plan->ops[id].work * LSPO_LANE_KIND_COUNT + lane->kind]
                           : engine->op_ns[id];
    if (engine->now_ns > last_start_ns || work_ns > last_start_ns)
        return false;
    lane->running = true;
    lane->op = id;
    lane->row = engine->trace->row_count++;
    lane->end_ns = engine->now_ns + work_ns;
    lane->since_ns = engine->now_ns;
    lane->remaining_ns = (double)work_ns;
    lane->rate = 1;
    engine->running_mask |= 1u << lane_index;
    engine->takes_no_time |= work_ns == 0;

    lspo_trace_row_t *row = &engine->trace->rows[lane->row];
    lspo_trace_row_from_op(engine->plan, id, row);
    row->start_ns = engine->now_ns;
    return true;
}

/* `id` has ended: ops that waited only for it become ready. */
static void feed(engine_t *engine, lspo_op_id_t id)
{
    const lspo_ready_t *ready = &engine->ready;
    for (uint32_t i = ready->successor_first[id]; i < ready->successor_first[id + 1]; i++) {
        lspo_op_id_t successor = ready->successors[i];
        if (--ready->waiting[successor] > 0)
            continue;
        const lspo_op_t *op = &engine->plan->ops[successor];
        lspo_ready_push(&engine->queues[op->lane],
                        (lspo_ready_entry_t){(uint64_t)op->priority << 32 | engine->event, successor});
    }
}

static void end(engine_t *engine, lane_t *lane, uint32_t lane_bit)
{
    lane->running = false;
    engine->running_mask &= ~lane_bit;
    engine->trace->rows[lane->row].end_ns = engine->now_ns;
    feed(engine, lane->op);
}

static bool start_idle_lanes(engine_t *engine)
{
    for (int i = 0; i < FEW; i++)
        if (!engine->lanes[i].running && engine->queues[i].count > 0 && !start(engine, i))
            return false;
    if (engine->contended)
        rerate(engine);
    return true;
}

/* Move to the next end and end all ops that end there; false when nothing runs. */
static bool advance(engine_t *engine)
{
    if (engine->running_mask == 0)
        return false;
    uint64_t next_ns = UINT64_MAX;
    for (int i = 0; i < FEW; i++)
        if (engine->lanes[i].running && engine->lanes[i].end_ns < next_ns)
            next_ns = engine->lanes[i].end_ns;
    engine->event++;
    engine->now_ns = next_ns;
    for (int i = 0; i < FEW; i++)
        if (engine->lanes[i].running && engine->lanes[i].end_ns == next_ns)
            end(engine, &engine->lanes[i], 1u << i);
    return true;
}

static bool play(engine_t *engine)
{
    do {
        if (!start_idle_lanes(engine))
            return false;
    } while (advance(engine));
    return true;
}

lspo_status_t lspo_engine_play_few(const lspo_engine_call_t *call, lspo_ready_t *ready, lspo_trace_t *trace,
                                   lspo_engine_end_t *end_out)
{
    engine_t engine = {
        .plan = call->plan, .work_ns = call->work_ns, .op_ns = call->op_ns, .ready = *ready, .trace = trace};
    for (uint32_t i = 0; i < call->plan->lanes.count; i++) {
        engine.lanes[i].kind = call->plan->lanes.list[i].kind;
        engine.queues[i] = ready->lanes[i];
    }
    lspo_status_t status = fill_rates(&engine, call->machine);
    if (status != LSPO_OK)
        return status;
    end_out->too_long = !play(&engine);
    end_out->unsorted = engine.takes_no_time;
    return LSPO_OK;
}
