/* pace.c - only the time per iteration of a plan; see pace.h. */
#include "sim/pace.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "plan/ready.h"
#include "sim/cost.h"
#include "sim/engine.h"
#include "sim/engine_few.h"
#include "sim/sim.h"
#include "sim/trial.h"
#include "traces/summary.h"

enum { NO_MARK = UINT32_MAX };

/* The state at the end of an iteration. */
typedef struct {
    bool known;
    uint64_t now_ns;
    uint32_t event;
    bool gpu_ended;
    lspo_few_lane_t lanes[LSPO_ENGINE_FEW];
    uint32_t counts[LSPO_ENGINE_FEW];
    lspo_ready_entry_t *entries; /* of all heaps, one after the other */
    uint32_t *waiting;           /* of the ops of the block           */
} moment_t;

/* The state in the middle of the first iteration, from which later plays start. */
typedef struct {
    bool known;
    lspo_op_id_t at;   /* the pass that has just ended */
    lspo_op_id_t next; /* a later one, whose end the next play takes; LSPO_NO_OP: none */
    lspo_few_t few;
    uint64_t end_ns; /* of the first iteration so far */
    lspo_ready_op_t *ops;
    lspo_ready_entry_t *entries; /* of all heaps, one after the other */
} held_t;

struct lspo_pace {
    const lspo_plan_t *plan;
    lspo_engine_call_t call;
    lspo_ready_t ready;   /* as at the start of a play */
    lspo_ready_op_t *ops; /* those of the play         */
    lspo_few_t start;     /* as at the start of a play */
    lspo_op_id_t *roots;  /* the ops that wait for nothing */
    uint32_t root_count;
    uint32_t iterations;
    uint32_t *marks;      /* by op: its iteration if it may end it, or NO_MARK */
    uint64_t *ends_ns;    /* by iteration */
    lspo_op_id_t *last;   /* E(i), by iteration */
    lspo_op_id_t *first;  /* of block i; of `iterations` + 1 */
    bool is_searched;     /* for k and P */
    uint32_t steady_from; /* k; `iterations`: no two blocks are alike */
    uint32_t block_ops;   /* P */
    uint32_t *seen;       /* by op: how many marked ops are before it or itself */
    uint32_t span;        /* the most ids from an op to one that waits for it */
    uint32_t changed;     /* ops from there on are as at the start of a play */
    moment_t moment;      /* at the end of the iteration before, with arrays of its own */
    held_t held;          /* with arrays of its own */
};

/* The structure of the plan */

static void mark_ops(lspo_pace_t *pace)
{
    for (lspo_op_id_t id = 0; id < pace->plan->op_count; id++) {
        const lspo_op_t *op = &pace->plan->ops[id];
        const bool marks = lspo_op_is_pass(op);
        pace->marks[id] = marks ? op->iteration : NO_MARK;
        if (marks && op->iteration >= pace->iterations)
            pace->iterations = op->iteration + 1;
        pace->root_count += op->dep_count == 0;
    }
}

static void list_roots(lspo_pace_t *pace)
{
    uint32_t count = 0;
    for (lspo_op_id_t id = 0; count < pace->root_count; id++)
        if (pace->plan->ops[id].dep_count == 0)
            pace->roots[count++] = id;
}

/* Do the marked ops form one chain, iteration by iteration? Finds the last one of each. */
static bool find_chain(lspo_pace_t *pace)
{
    const lspo_plan_t *plan = pace->plan;
    uint32_t links = 0, iteration = 0;
    for (lspo_op_id_t id = 0; id < plan->op_count; id++) {
        uint32_t seen = 0;
        for (uint32_t d = 0; d < plan->ops[id].dep_count; d++) {
            const lspo_op_id_t dep = plan->deps[plan->ops[id].dep_first + d];
            const uint32_t its = pace->seen[dep];
            seen = its > seen ? its : seen;
            pace->span = id - dep > pace->span ? id - dep : pace->span;
        }
        if (pace->marks[id] != NO_MARK) {
            if (seen != links || pace->marks[id] < iteration || pace->marks[id] > iteration + (links > 0))
                return false;
            iteration = pace->marks[id];
            pace->last[iteration] = id;
            seen = ++links;
        }
        pace->seen[id] = seen;
    }
    return links > 0;
}

/* Block i + 1 begins where every later op waits for E(i). */
static void find_blocks(lspo_pace_t *pace)
{
    lspo_op_id_t begin = pace->plan->op_count;
    for (uint32_t i = pace->iterations; i > 0; i--) {
        lspo_op_id_t last = pace->last[i - 1];
        while (begin > last + 1 && pace->seen[begin - 1] >= pace->seen[last])
            begin--;
        pace->first[i] = begin;
    }
    pace->first[0] = 0;
}

/* Is `id` + P this op one iteration later? */
static bool is_alike(const lspo_pace_t *pace, lspo_op_id_t id, uint32_t priority_step)
{
    const lspo_plan_t *plan = pace->plan;
    uint32_t shift = pace->block_ops;
    const lspo_op_t *op = &plan->ops[id], *next = &plan->ops[id + shift];
    if (op->lane != next->lane || op->work != next->work || op->dep_count != next->dep_count ||
        next->priority - op->priority != priority_step ||
        (pace->marks[id] == NO_MARK ? NO_MARK : pace->marks[id] + 1) != pace->marks[id + shift])
        return false;
    for (uint32_t d = 0; d < op->dep_count; d++)
        if (plan->deps[op->dep_first + d] + shift != plan->deps[next->dep_first + d])
            return false;
    return true;
}

static bool blocks_are_alike(const lspo_pace_t *pace, uint32_t block, uint32_t priority_step)
{
    const lspo_op_id_t *first = pace->first;
    if (first[block + 1] - first[block] != pace->block_ops || first[block + 2] - first[block + 1] != pace->block_ops)
        return false;
    for (lspo_op_id_t id = first[block]; id < first[block + 1]; id++)
        if (!is_alike(pace, id, priority_step))
            return false;
    return true;
}

/* From the last block back: each is like the one behind it. */
static void find_steady(lspo_pace_t *pace)
{
    uint32_t blocks = pace->iterations;
    pace->is_searched = true;
    pace->steady_from = blocks;
    if (blocks < 3 || !find_chain(pace))
        return;
    find_blocks(pace);
    lspo_op_id_t begin = pace->first[blocks - 1];
    pace->block_ops = pace->first[blocks] - begin;
    if (pace->block_ops > begin)
        return;
    uint32_t priority_step = pace->plan->ops[begin].priority - pace->plan->ops[begin - pace->block_ops].priority;
    while (pace->steady_from > 1) {
        uint32_t block = pace->steady_from == blocks ? blocks - 2 : pace->steady_from - 1;
        if (!blocks_are_alike(pace, block, priority_step))
            return;
        pace->steady_from = block;
    }
}

/* Ops from there on have not changed while those of blocks up to this one have been played. */
static uint32_t changed_by(const lspo_pace_t *pace, uint32_t block)
{
    const uint32_t end = pace->first[block + 1], count = pace->plan->op_count;
    return pace->span < count - end ? end + pace->span : count;
}

/* Moments */

/* Returns how many there are. */
static uint32_t copy_heaps(const lspo_few_t *few, lspo_ready_entry_t *entries)
{
    uint32_t count = 0;
    for (int i = 0; i < LSPO_ENGINE_FEW; count += few->queues[i++].count)
        if (few->queues[i].count > 0)
            memcpy(&entries[count], few->queues[i].heap, few->queues[i].count * sizeof *entries);
    return count;
}

static bool is_of_block(const lspo_pace_t *pace, const lspo_few_t *few, uint32_t block)
{
    lspo_op_id_t first = pace->first[block];
    for (int i = 0; i < LSPO_ENGINE_FEW; i++) {
        if (few->lanes[i].running && few->lanes[i].op < first)
            return false;
        for (uint32_t k = 0; k < few->queues[i].count; k++)
            if (few->queues[i].heap[k].op < first)
                return false;
    }
    return true;
}

/* Keeps the state at the end of iteration `block`, unless an op of an earlier block is unfinished: of the unfinished
 * ops of earlier blocks, the one with the lowest id would be running or ready. */
static void remember(lspo_pace_t *pace, const lspo_few_t *few, uint32_t block)
{
    moment_t *moment = &pace->moment;
    moment->known = block >= pace->steady_from && is_of_block(pace, few, block);
    if (!moment->known)
        return;
    moment->now_ns = few->now_ns;
    moment->event = few->event;
    moment->gpu_ended = few->gpu_ended;
    memcpy(moment->lanes, few->lanes, sizeof moment->lanes);
    for (int i = 0; i < LSPO_ENGINE_FEW; i++)
        moment->counts[i] = few->queues[i].count;
    copy_heaps(few, moment->entries);
    for (uint32_t k = 0; k < pace->block_ops; k++)
        moment->waiting[k] = few->ready.ops[pace->first[block] + k].waiting;
}

/* The wait of an idle lane, as far as it decides whether the next op has to wake the lane. */
static uint64_t wait_ns(const lspo_few_t *few, uint64_t now_ns, const lspo_few_lane_t *lane)
{
    const uint64_t waited_ns = now_ns - lane->end_ns, longest_ns = few->call->wake_ns + 1;
    return waited_ns < longest_ns ? waited_ns : longest_ns;
}

static bool lanes_repeat(const lspo_pace_t *pace, const lspo_few_t *few)
{
    const moment_t *before = &pace->moment;
    uint64_t passed_ns = few->now_ns - before->now_ns;
    const bool wakes = few->call->wake_ns > 0;
    if (wakes && few->gpu_ended != before->gpu_ended)
        return false;
    for (int i = 0; i < LSPO_ENGINE_FEW; i++) {
        const lspo_few_lane_t *now = &few->lanes[i], *then = &before->lanes[i];
        if (now->running != then->running)
            return false;
        if (!now->running) {
            if (wakes && wait_ns(few, few->now_ns, now) != wait_ns(few, before->now_ns, then))
                return false;
            continue;
        }
        if (now->op != then->op + pace->block_ops || now->end_ns != then->end_ns + passed_ns)
            return false;
        if (few->contended && (now->remaining_ns != then->remaining_ns || now->rate != then->rate ||
                               now->since_ns != then->since_ns + passed_ns))
            return false;
    }
    return true;
}

static bool queues_repeat(const lspo_pace_t *pace, const lspo_few_t *few)
{
    const moment_t *before = &pace->moment;
    const lspo_ready_entry_t *then = before->entries;
    uint32_t events = few->event - before->event;
    for (int i = 0; i < LSPO_ENGINE_FEW; i++) {
        if (few->queues[i].count != before->counts[i])
            return false;
        for (uint32_t k = 0; k < before->counts[i]; k++, then++) {
            /* The event is the low half of a rank; the high half, the priority, is alike if the ops are. */
            const lspo_ready_entry_t *now = &few->queues[i].heap[k];
            if (now->op != then->op + pace->block_ops || (uint32_t)now->rank != (uint32_t)then->rank + events)
                return false;
        }
    }
    return true;
}

static bool repeats(const lspo_pace_t *pace, const lspo_few_t *few, uint32_t block)
{
    if (!pace->moment.known || !lanes_repeat(pace, few) || !queues_repeat(pace, few))
        return false;
    for (uint32_t k = 0; k < pace->block_ops; k++)
        if (few->ready.ops[pace->first[block] + k].waiting != pace->moment.waiting[k])
            return false;
    return true;
}

/* Plays */

/* Later iterations take as long as this one; false if that would be too long for a play. */
static bool continue_ends(lspo_pace_t *pace, uint32_t iteration)
{
    uint64_t *ends_ns = pace->ends_ns, step_ns = ends_ns[iteration] - ends_ns[iteration - 1];
    uint32_t left = pace->iterations - 1 - iteration;
    if (ends_ns[iteration] > LSPO_ENGINE_LAST_START_NS ||
        (left > 0 && step_ns > (LSPO_ENGINE_LAST_START_NS - ends_ns[iteration]) / left))
        return false;
    for (uint32_t i = iteration + 1; i < pace->iterations; i++)
        ends_ns[i] = ends_ns[i - 1] + step_ns;
    return true;
}

/* Until the pass that is asked for has ended; keeps the state there. */
static bool hold(lspo_pace_t *pace, lspo_few_t *few)
{
    held_t *held = &pace->held;
    few->awaited = held->next;
    if (!lspo_few_run(few))
        return false;
    held->known = true;
    held->at = held->next;
    held->next = LSPO_NO_OP;
    held->few = *few;
    held->end_ns = pace->ends_ns[0];
    memcpy(held->ops, pace->ops, changed_by(pace, 0) * sizeof *held->ops);
    copy_heaps(few, held->entries);
    return true;
}

/* Fills the ends of iterations. */
static lspo_status_t play(lspo_pace_t *pace, lspo_few_t *few, uint32_t *played_out)
{
    if (!pace->is_searched && few->memory == NULL)
        find_steady(pace);
    const bool may_repeat = few->memory == NULL && pace->steady_from < pace->iterations;
    *played_out = pace->iterations;
    pace->changed = pace->plan->op_count;
    pace->moment.known = false;
    if (may_repeat && pace->held.next != LSPO_NO_OP && !hold(pace, few))
        return lspo_engine_too_long();
    for (uint32_t i = 0; i < pace->iterations; i++) {
        few->awaited = may_repeat ? pace->last[i] : LSPO_NO_OP;
        if (!lspo_few_run(few))
            return lspo_engine_too_long();
        if (!may_repeat)
            return LSPO_OK;
        if (repeats(pace, few, i) && continue_ends(pace, i)) {
            *played_out = i + 1;
            pace->changed = changed_by(pace, i);
            return LSPO_OK;
        }
        remember(pace, few, i);
    }
    return LSPO_OK;
}

/* The engine before the first event, with the ops that wait for nothing ready. */
static void start_over(lspo_pace_t *pace, lspo_few_t *few)
{
    *few = pace->start;
    few->ready.ops = pace->ops;
    few->marks = pace->marks;
    few->ends_ns = pace->ends_ns;
    memcpy(pace->ops, pace->ready.ops, pace->changed * sizeof *pace->ops);
    few->ready_mask = 0;
    for (int i = 0; i < LSPO_ENGINE_FEW; i++)
        few->queues[i].count = 0;
    for (uint32_t i = 0; i < pace->root_count; i++) {
        const lspo_ready_op_t *op = &pace->ops[pace->roots[i]];
        lspo_few_push(few, op->lane, (lspo_ready_entry_t){(uint64_t)op->priority << 32, pace->roots[i]});
    }
}

static void resume(lspo_pace_t *pace, lspo_few_t *few)
{
    const held_t *held = &pace->held;
    const uint32_t kept = changed_by(pace, 0);
    const lspo_ready_entry_t *entries = held->entries;
    *few = held->few;
    memcpy(pace->ops, held->ops, kept * sizeof *pace->ops);
    if (pace->changed > kept)
        memcpy(pace->ops + kept, pace->ready.ops + kept, (pace->changed - kept) * sizeof *pace->ops);
    for (int i = 0; i < LSPO_ENGINE_FEW; entries += few->queues[i++].count)
        if (few->queues[i].count > 0)
            memcpy(few->queues[i].heap, entries, few->queues[i].count * sizeof *entries);
    pace->ends_ns[0] = held->end_ns;
}

static void restart(lspo_pace_t *pace, lspo_few_t *few)
{
    memset(pace->ends_ns, 0, pace->iterations * sizeof *pace->ends_ns);
    if (pace->held.known)
        resume(pace, few);
    else
        start_over(pace, few);
}

/* More lanes: the ends are those of a trace. */
static lspo_status_t play_many(const lspo_pace_t *pace, double *iteration_s_out)
{
    lspo_trace_t *trace = NULL;
    lspo_status_t status = lspo_engine_play(pace->plan, pace->call.machine, pace->call.work_ns, &trace);
    if (status == LSPO_OK)
        status = lspo_trial_time(pace->plan, trace, iteration_s_out);
    lspo_trace_destroy(trace);
    return status;
}

lspo_status_t lspo_pace_play(lspo_pace_t *pace, uint32_t ranks, lspo_pace_result_t *result_out)
{
    lspo_pace_result_t result = {.played = pace->iterations, .overtook = ranks};
    lspo_status_t status = LSPO_OK;
    if (pace->plan->lanes.count > LSPO_ENGINE_FEW) {
        status = play_many(pace, &result.iteration_s);
    } else {
        lspo_few_t few;
        result.resumed = pace->held.known;
        restart(pace, &few);
        few.ranks = ranks;
        status = play(pace, &few, &result.played);
        if (status == LSPO_OK)
            status = lspo_summary_time(pace->plan, pace->ends_ns, pace->iterations, lspo_simulate_warmup(pace->plan),
                                       &result.iteration_s);
        result.overtook = few.overtook;
    }
    if (status == LSPO_OK)
        *result_out = result;
    return status;
}

/* Is it that of one peer, with few lanes? */
static bool is_of_one(const lspo_lanes_t *lanes)
{
    for (uint32_t i = 1; i < lanes->count; i++)
        if (lanes->list[i].peer != lanes->list[0].peer)
            return false;
    return lanes->count <= LSPO_ENGINE_FEW;
}

static bool has_stopped(const lspo_few_memory_t *memory)
{
    return memory->gpu_peak_bytes > memory->gpu_most_bytes || memory->host_peak_bytes > memory->host_most_bytes;
}

lspo_status_t lspo_pace_peaks(lspo_pace_t *pace, lspo_few_memory_t *memory, bool *known_out, double *iteration_s_out)
{
    lspo_few_t few;
    uint32_t played;
    *known_out = false;
    if (!is_of_one(&pace->plan->lanes))
        return LSPO_OK;
    start_over(pace, &few);
    memset(pace->ends_ns, 0, pace->iterations * sizeof *pace->ends_ns);
    few.memory = memory;
    lspo_status_t status = play(pace, &few, &played);
    *known_out = !few.unsorted;
    if (status != LSPO_OK || has_stopped(memory))
        return status;
    assert(few.unsorted || (memory->gpu_bytes == 0 && memory->host_bytes == 0));
    return lspo_summary_time(pace->plan, pace->ends_ns, pace->iterations, lspo_simulate_warmup(pace->plan),
                             iteration_s_out);
}

/* An op that is ready in the held state was queued with its old priority: the state is then of no use. */
void lspo_pace_set_priority(lspo_pace_t *pace, lspo_op_id_t op, uint32_t priority)
{
    held_t *held = &pace->held;
    if (pace->plan->lanes.count > LSPO_ENGINE_FEW)
        return;
    pace->ready.ops[op].priority = pace->ops[op].priority = priority;
    if (!held->known)
        return;
    const bool is_kept = op < changed_by(pace, 0);
    held->known = (is_kept ? held->ops : pace->ready.ops)[op].waiting > 0;
    if (is_kept)
        held->ops[op].priority = priority;
}

void lspo_pace_hold(lspo_pace_t *pace, lspo_op_id_t pass)
{
    held_t *held = &pace->held;
    held->next = LSPO_NO_OP;
    if (pace->plan->lanes.count > LSPO_ENGINE_FEW)
        return;
    if (!pace->is_searched)
        find_steady(pace);
    const bool may_hold = pace->steady_from < pace->iterations && pace->marks[pass] == 0 && pass < pace->last[0];
    if (may_hold && (!held->known || pass > held->at))
        held->next = pass;
}

/* Creation */

static lspo_status_t allocate(lspo_pace_t *pace)
{
    size_t ops = (size_t)pace->plan->op_count + 1, iterations = (size_t)pace->iterations + 1;
    pace->ops = malloc(ops * sizeof *pace->ops);
    pace->seen = malloc(ops * sizeof *pace->seen);
    pace->roots = malloc(((size_t)pace->root_count + 1) * sizeof *pace->roots);
    pace->ends_ns = malloc(iterations * sizeof *pace->ends_ns);
    pace->last = malloc(iterations * sizeof *pace->last);
    pace->first = malloc(iterations * sizeof *pace->first);
    pace->moment.entries = malloc(ops * sizeof *pace->moment.entries);
    pace->moment.waiting = malloc(ops * sizeof *pace->moment.waiting);
    pace->held.ops = malloc(ops * sizeof *pace->held.ops);
    pace->held.entries = malloc(ops * sizeof *pace->held.entries);
    pace->held.next = LSPO_NO_OP;
    pace->changed = pace->plan->op_count;
    return pace->ops && pace->roots && pace->seen && pace->ends_ns && pace->last && pace->first &&
                   pace->moment.entries && pace->moment.waiting && pace->held.ops && pace->held.entries
               ? LSPO_OK
               : lspo_no_memory("the pace of %" PRIu32 " ops", pace->plan->op_count);
}

static lspo_status_t prepare(lspo_pace_t *pace)
{
    const lspo_plan_t *plan = pace->plan;
    lspo_status_t status = LSPO_OK;
    if (plan->lanes.count > LSPO_ENGINE_FEW)
        return status;
    status = lspo_ready_create(plan, &pace->ready);
    if (status != LSPO_OK)
        return status;
    status = lspo_few_create(&pace->call, &pace->ready, &pace->start);
    if (status != LSPO_OK)
        return status;
    pace->marks = malloc(((size_t)plan->op_count + 1) * sizeof *pace->marks);
    if (!pace->marks)
        return lspo_no_memory("the pace of %" PRIu32 " ops", plan->op_count);
    mark_ops(pace);
    if (pace->iterations > plan->op_count)
        return lspo_error(LSPO_ERR_INPUT, "an iteration %" PRIu32 " in a plan of %" PRIu32 " ops", pace->iterations - 1,
                          plan->op_count);
    status = allocate(pace);
    if (status != LSPO_OK)
        return status;
    list_roots(pace);
    return LSPO_OK;
}

lspo_status_t lspo_pace_create(const lspo_plan_t *plan, const lspo_machine_t *machine, const uint64_t *work_ns,
                               lspo_pace_t **pace_out)
{
    lspo_status_t status = lspo_trial_check(plan);
    if (status != LSPO_OK)
        return status;
    lspo_pace_t *pace = calloc(1, sizeof *pace);
    if (!pace)
        return lspo_no_memory("the pace of a plan");
    pace->plan = plan;
    pace->call = (lspo_engine_call_t){
        .plan = plan, .machine = machine, .work_ns = work_ns, .wake_ns = lspo_engine_wake_of(plan, machine)};
    status = prepare(pace);
    if (status != LSPO_OK) {
        lspo_pace_destroy(pace);
        return status;
    }
    *pace_out = pace;
    return LSPO_OK;
}

void lspo_pace_destroy(lspo_pace_t *pace)
{
    if (!pace)
        return;
    free(pace->held.entries);
    free(pace->held.ops);
    free(pace->moment.waiting);
    free(pace->moment.entries);
    free(pace->first);
    free(pace->last);
    free(pace->ends_ns);
    free(pace->seen);
    free(pace->roots);
    free(pace->ops);
    free(pace->marks);
    lspo_ready_release(&pace->ready);
    free(pace);
}

lspo_status_t lspo_pace_of(const lspo_plan_t *plan, const lspo_machine_t *machine, double *iteration_s_out)
{
    uint64_t *work_ns = NULL;
    lspo_pace_t *pace = NULL;
    lspo_pace_result_t result = {0};
    lspo_status_t status = lspo_cost_plan(machine, plan, &work_ns);
    if (status != LSPO_OK)
        return status;
    status = lspo_pace_create(plan, machine, work_ns, &pace);
    if (status == LSPO_OK)
        status = lspo_pace_play(pace, 0, &result);
    if (status == LSPO_OK)
        *iteration_s_out = result.iteration_s;
    lspo_pace_destroy(pace);
    free(work_ns);
    return status;
}
