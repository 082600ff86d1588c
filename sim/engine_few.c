/* engine_few.c - the engine for at most four lanes: those of one GPU and its host.
 *
 * Rules and results are exactly those of engine.c (tests/sim/test_engine_lanes.c).  It keeps sets of lanes in the bits
 * of a word and the ends of their ops side by side, in code whose loops the compiler unrolls, so that the processor
 * predicts its branches separately for each lane, and it takes the rates under contention from a table by the set of
 * running lanes.
 */
#include "sim/engine_few.h"

#include <inttypes.h>
#include <stdbool.h>

#include "plan/ready.h"
#include "sim/contention.h"
#include "sim/cost.h"

enum { FEW = LSPO_ENGINE_FEW };

static const uint64_t last_start_ns = LSPO_ENGINE_LAST_START_NS;

uint64_t lspo_engine_wake_of(const lspo_plan_t *plan, const lspo_machine_t *machine)
{
    return lspo_lanes_of_kind(&plan->lanes, LSPO_LANE_GPU) > 1 ? 0 : (uint64_t)(machine->cpu.wake_s * 1e9 + 0.5);
}

/* The rates of every set of running lanes, from the general engine. */
static lspo_status_t fill_rates(lspo_few_t *few, const lspo_machine_t *machine)
{
    lspo_contention_t contention;
    lspo_status_t status = lspo_contention_create(&few->call->plan->lanes, machine, &contention);
    if (status != LSPO_OK || !contention.any)
        return status;
    few->contended = true;
    for (uint32_t mask = 0; mask < 1u << FEW; mask++) {
        for (uint32_t i = 0; i < few->call->plan->lanes.count; i++)
            if (mask >> i & 1)
                lspo_contention_start(&contention, i);
        lspo_contention_settle(&contention);
        for (uint32_t i = 0; i < few->call->plan->lanes.count; i++) {
            few->rates[mask][i] = mask >> i & 1 ? contention.rate[i] : 1;
            few->slows[mask] |= few->rates[mask][i] != 1;
            if (mask >> i & 1)
                lspo_contention_end(&contention, i);
        }
    }
    lspo_contention_release(&contention);
    return LSPO_OK;
}

static uint64_t end_at(const lspo_few_lane_t *lane)
{
    return lane->since_ns + lspo_engine_left_ns(lane->remaining_ns, lane->rate);
}

/* After ops started or ended at now_ns: lanes whose rate has changed get a new end. */
static void rerate(lspo_few_t *few)
{
    const double *rates = few->rates[few->running_mask];
    if (!few->slowed && !few->slows[few->running_mask])
        return;
    few->slowed = few->slows[few->running_mask];
    for (int i = 0; i < FEW; i++) {
        lspo_few_lane_t *lane = &few->lanes[i];
        if (!lane->running || lane->rate == rates[i]) /* copies of table entries: equal or another entry */
            continue;
        lane->remaining_ns -= lane->rate * (double)(few->now_ns - lane->since_ns);
        lane->since_ns = few->now_ns;
        lane->rate = rates[i];
        lane->end_ns = few->next_ns[i] = end_at(lane);
    }
}

/* Events */

/* The op that is served next, first in its heap, may be first only because of its rank. */
static void note_overtaking(lspo_few_t *few, const lspo_ready_lane_t *queue)
{
    lspo_ready_entry_t served = queue->heap[0];
    uint32_t priority = (uint32_t)(served.rank >> 32), turn = (uint32_t)served.rank;
    uint32_t rank = priority % few->ranks, limit = priority - rank + few->ranks;
    for (uint32_t i = 1; i < queue->count && rank >= few->overtook; i++) {
        lspo_ready_entry_t other = queue->heap[i];
        uint32_t its_priority = (uint32_t)(other.rank >> 32), its_turn = (uint32_t)other.rank;
        if (its_priority > priority && its_priority < limit &&
            (its_turn < turn || (its_turn == turn && other.op < served.op)))
            few->overtook = rank + 1;
    }
}

static void take_memory(lspo_few_t *few, lspo_op_id_t id)
{
    lspo_few_memory_t *memory = few->memory;
    const lspo_op_t *op = &memory->ops[id];
    memory->gpu_bytes += (int64_t)op->gpu_alloc_bytes;
    memory->host_bytes += (int64_t)op->host_alloc_bytes;
    if (memory->gpu_bytes > memory->gpu_peak_bytes)
        memory->gpu_peak_bytes = memory->gpu_bytes;
    if (memory->host_bytes > memory->host_peak_bytes)
        memory->host_peak_bytes = memory->host_bytes;
    few->reached |= memory->gpu_bytes > memory->gpu_most_bytes || memory->host_bytes > memory->host_most_bytes;
}

static void give_memory(lspo_few_memory_t *memory, lspo_op_id_t id)
{
    memory->gpu_bytes -= (int64_t)memory->ops[id].gpu_free_bytes;
    memory->host_bytes -= (int64_t)memory->ops[id].host_free_bytes;
}

static bool start(lspo_few_t *few, int lane_index)
{
    lspo_few_lane_t *lane = &few->lanes[lane_index];
    if (few->ranks > 0 && few->queues[lane_index].count > 1)
        note_overtaking(few, &few->queues[lane_index]);
    lspo_op_id_t id = lspo_ready_pop(&few->queues[lane_index]);
    few->ready_mask &= ~((uint32_t)(few->queues[lane_index].count == 0) << lane_index);
    uint64_t work_ns = few->call->work_ns
                           ? few->call->work_ns[(uint64_t)few->ready.ops[id].work * LSPO_LANE_KIND_COUNT + lane->kind]
                           : few->call->op_ns[id];
    const uint64_t wake_ns = lspo_engine_wake_ns(few->call, lane->kind, few->gpu_ended, few->now_ns - lane->end_ns);
    if (few->now_ns > last_start_ns || work_ns > last_start_ns)
        return false;
    lane->running = true;
    lane->op = id;
    lane->end_ns = few->next_ns[lane_index] = few->now_ns + wake_ns + work_ns;
    if (few->contended) {
        lane->since_ns = few->now_ns;
        lane->remaining_ns = (double)(wake_ns + work_ns);
        lane->rate = 1;
    }
    few->running_mask |= 1u << lane_index;
    few->unsorted |= work_ns == 0 || wake_ns > 0;
    if (few->trace) {
        lane->row = few->trace->row_count++;
        few->trace->rows[lane->row].op = id;
        few->trace->rows[lane->row].start_ns = few->now_ns + wake_ns;
    } else if (few->memory)
        take_memory(few, id);
    return true;
}

/* `id` has ended: ops that waited only for it become ready. */
static void feed(lspo_few_t *few, lspo_op_id_t id)
{
    const lspo_ready_t *ready = &few->ready;
    for (uint32_t i = ready->successor_first[id]; i < ready->successor_first[id + 1]; i++) {
        lspo_op_id_t successor = ready->successors[i];
        lspo_ready_op_t *op = &ready->ops[successor];
        if (--op->waiting == 0)
            lspo_few_push(few, op->lane, (lspo_ready_entry_t){(uint64_t)op->priority << 32 | few->event, successor});
    }
}

static void end(lspo_few_t *few, int lane_index)
{
    lspo_few_lane_t *lane = &few->lanes[lane_index];
    lane->running = false;
    few->next_ns[lane_index] = UINT64_MAX;
    few->gpu_ended |= lane->kind == LSPO_LANE_GPU;
    few->running_mask &= ~(1u << lane_index);
    if (few->trace)
        few->trace->rows[lane->row].end_ns = few->now_ns;
    else if (few->marks[lane->op] != UINT32_MAX) {
        few->ends_ns[few->marks[lane->op]] = few->now_ns;
        few->reached |= lane->op == few->awaited;
    }
    if (few->memory)
        give_memory(few->memory, lane->op);
    feed(few, lane->op);
}

static bool start_idle_lanes(lspo_few_t *few)
{
    for (uint32_t idle = few->ready_mask & ~few->running_mask; idle != 0; idle &= idle - 1)
        if (!start(few, __builtin_ctz(idle)))
            return false;
    if (few->contended)
        rerate(few);
    return true;
}

/* Move to the next end and end all ops that end there; false when nothing runs. */
static bool advance(lspo_few_t *few)
{
    if (few->running_mask == 0)
        return false;
    uint64_t next_ns = UINT64_MAX;
    for (int i = 0; i < FEW; i++)
        next_ns = few->next_ns[i] < next_ns ? few->next_ns[i] : next_ns;
    few->event++;
    few->gpu_ended &= next_ns == few->now_ns;
    few->now_ns = next_ns;
    for (int i = 0; i < FEW; i++)
        if (few->next_ns[i] == next_ns)
            end(few, i);
    return true;
}

bool lspo_few_run(lspo_few_t *few)
{
    few->reached = false;
    do {
        if (!start_idle_lanes(few))
            return false;
    } while (advance(few) && !few->reached);
    return true;
}

lspo_status_t lspo_few_create(const lspo_engine_call_t *call, const lspo_ready_t *ready, lspo_few_t *few_out)
{
    *few_out = (lspo_few_t){.call = call, .ready = *ready, .awaited = LSPO_NO_OP};
    for (int i = 0; i < FEW; i++)
        few_out->next_ns[i] = UINT64_MAX;
    for (uint32_t i = 0; i < call->plan->lanes.count; i++) {
        few_out->lanes[i].kind = call->plan->lanes.list[i].kind;
        few_out->queues[i] = ready->lanes[i];
        few_out->ready_mask |= (uint32_t)(ready->lanes[i].count > 0) << i;
    }
    return fill_rates(few_out, call->machine);
}

lspo_status_t lspo_engine_too_long(void)
{
    return lspo_error(LSPO_ERR_INPUT, "the plan lasts more than 73 years");
}

lspo_status_t lspo_engine_play_few(const lspo_engine_call_t *call, lspo_ready_t *ready, lspo_trace_t *trace,
                                   lspo_engine_end_t *end_out)
{
    lspo_few_t few;
    lspo_status_t status = lspo_few_create(call, ready, &few);
    if (status != LSPO_OK)
        return status;
    few.trace = trace;
    end_out->too_long = !lspo_few_run(&few);
    end_out->unsorted = few.unsorted;
    return LSPO_OK;
}
