#include "sim/engine.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>

#include "plan/ready.h"
#include "sim/cost.h"

/* 73 years.  Twice that, the latest possible end, is still within 63 bits. */
static const uint64_t last_start_ns = UINT64_C(1) << 61;

typedef struct {
    bool running;
    uint32_t row; /* of the trace, while running */
    lspo_op_id_t op;
    uint64_t end_ns;
    /* Contention only: work left at since_ns, done at `rate` since then. */
    double remaining_ns, rate;
    uint64_t since_ns;
} lane_t;

typedef struct {
    const lspo_plan_t *plan;
    const uint64_t *work_ns; /* by work and lane, or NULL: */
    const uint64_t *op_ns;   /* by op */
    lspo_ready_t ready;
    lane_t lanes[LSPO_LANE_COUNT];
    uint32_t running_mask;
    uint64_t now_ns;
    uint32_t event;     /* counts instants: ops that become ready at one instant tie */
    bool takes_no_time; /* some op did: rows may be out of order */
    bool contended;
    double rates[1 << LSPO_LANE_COUNT][LSPO_LANE_COUNT]; /* of each lane, by the set of running lanes */
    lspo_trace_t *trace;
} engine_t;

/* Contention */

static void fill_rates(engine_t *engine, const lspo_machine_t *machine)
{
    double speed[LSPO_LANE_COUNT][LSPO_LANE_COUNT];
    for (int a = 0; a < LSPO_LANE_COUNT; a++)
        for (int b = 0; b < LSPO_LANE_COUNT; b++)
            speed[a][b] = a == b ? 1 : 1 - machine->contention[a][b];
    speed[LSPO_LANE_D2H][LSPO_LANE_H2D] *= 1 - machine->link.d2h_duplex_loss;
    speed[LSPO_LANE_H2D][LSPO_LANE_D2H] *= 1 - machine->link.h2d_duplex_loss;

    for (uint32_t mask = 0; mask < 1u << LSPO_LANE_COUNT; mask++) {
        for (int a = 0; a < LSPO_LANE_COUNT; a++) {
            double rate = 1;
            for (int b = 0; b < LSPO_LANE_COUNT; b++)
                if (mask >> b & 1)
                    rate *= speed[a][b];
            engine->rates[mask][a] = rate;
            engine->contended |= rate < 1;
        }
    }
}

/* Ends are whole: what is left of a nanosecond counts as one, unless it is a rounding error. */
static uint64_t end_at(const lane_t *lane)
{
    double left_ns = fmin(fmax(ceil(lane->remaining_ns / lane->rate - 1e-6), 0), (double)last_start_ns);
    return lane->since_ns + (uint64_t)left_ns;
}

/* After ops started or ended at now_ns: lanes whose rate has changed get a new end. */
static void rerate(engine_t *engine)
{
    const double *rates = engine->rates[engine->running_mask];
    for (int i = 0; i < LSPO_LANE_COUNT; i++) {
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
    lspo_op_id_t id = lspo_ready_pop(&engine->ready.lanes[lane_index]);
    uint64_t work_ns = engine->work_ns ? lspo_cost_op_ns(&engine->plan->ops[id], engine->work_ns) : engine->op_ns[id];
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

static void end(engine_t *engine, lane_t *lane, uint32_t lane_bit)
{
    lane->running = false;
    engine->running_mask &= ~lane_bit;
    engine->trace->rows[lane->row].end_ns = engine->now_ns;
    lspo_ready_end(&engine->ready, lane->op, engine->event);
}

static bool start_idle_lanes(engine_t *engine)
{
    for (int i = 0; i < LSPO_LANE_COUNT; i++)
        if (!engine->lanes[i].running && engine->ready.lanes[i].count > 0 && !start(engine, i))
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
    for (int i = 0; i < LSPO_LANE_COUNT; i++)
        if (engine->lanes[i].running && engine->lanes[i].end_ns < next_ns)
            next_ns = engine->lanes[i].end_ns;
    engine->event++;
    engine->now_ns = next_ns;
    for (int i = 0; i < LSPO_LANE_COUNT; i++)
        if (engine->lanes[i].running && engine->lanes[i].end_ns == next_ns)
            end(engine, &engine->lanes[i], 1u << i);
    return true;
}

static lspo_status_t play(engine_t *engine)
{
    do {
        if (!start_idle_lanes(engine))
            return lspo_error(LSPO_ERR_INPUT, "the plan lasts more than 73 years");
    } while (advance(engine));
    if (engine->trace->row_count != engine->plan->op_count)
        return lspo_error(LSPO_ERR_CHECK, "%" PRIu32 " of %" PRIu32 " ops wait for each other",
                          engine->plan->op_count - engine->trace->row_count, engine->plan->op_count);
    if (engine->takes_no_time)
        lspo_trace_sort(engine->trace);
    return LSPO_OK;
}

/* The engine knows its plan and durations, all else is made here. */
static lspo_status_t run(engine_t *engine, const lspo_machine_t *machine, lspo_trace_t **trace_out)
{
    fill_rates(engine, machine);
    lspo_status_t status = lspo_ready_create(engine->plan, &engine->ready);
    if (status == LSPO_OK)
        status = lspo_trace_create(engine->plan->op_count, &engine->trace);
    if (status == LSPO_OK)
        status = play(engine);
    if (status == LSPO_OK) {
        *trace_out = engine->trace;
        engine->trace = NULL;
    }
    lspo_trace_destroy(engine->trace);
    lspo_ready_release(&engine->ready);
    return status;
}

lspo_status_t lspo_engine_play(const lspo_plan_t *plan, const lspo_machine_t *machine, const uint64_t *work_ns,
                               lspo_trace_t **trace_out)
{
    return run(&(engine_t){.plan = plan, .work_ns = work_ns}, machine, trace_out);
}

lspo_status_t lspo_engine_play_ops(const lspo_plan_t *plan, const lspo_machine_t *machine, const uint64_t *op_ns,
                                   lspo_trace_t **trace_out)
{
    return run(&(engine_t){.plan = plan, .op_ns = op_ns}, machine, trace_out);
}
