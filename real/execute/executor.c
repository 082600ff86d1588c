/* executor.c - see executor.h.  One mutex guards everything; it is held only for a few hundred nanoseconds between ops.
 * Each thread sleeps on its own condition variable, so the end of an op wakes only the lanes with ops that depend on
 * it. */
#include "real/execute/executor.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "plan/lane_set.h"
#include "plan/ready.h"
#include "real/device/device.h"
#include "real/execute/room.h"

typedef struct executor executor_t;

typedef struct {
    executor_t *executor;
    uint32_t lane; /* index into plan->lanes */
    pthread_t thread;
    pthread_cond_t wake; /* its thread: an op is ready or a slot is free */
    /* The ops of a queue that are issued and have not ended, the oldest at `oldest`; an op's slot is its index here. */
    lspo_op_id_t issued[LSPO_ISSUED_MAX];
    uint32_t depth, oldest, issued_count;
    bool closed;                /* nothing more will be issued */
    bool starves;               /* none of its ready ops had room */
    pthread_cond_t wake_waiter; /* its second thread: an op is issued, or the lane is closed */
    uint64_t ended_ns;          /* when the latest op ended */
} lane_t;

struct executor {
    const lspo_plan_t *plan;
    const lspo_executor_calls_t *calls;
    const atomic_int *stop;
    lspo_trace_t *trace;
    lspo_ready_t ready;
    bool bounded; /* room limits the ops */
    lspo_room_t room;
    lspo_ready_entry_t *passed_over; /* while a lane searches for an op that has room */
    uint64_t *end_ns;                /* of each op; NULL if no lane is a queue */
    pthread_mutex_t lock;
    pthread_cond_t entered; /* all lanes are on their threads */
    uint32_t entered_count;
    bool begun;            /* all lanes are, and other processes are ready */
    uint32_t op_count;     /* to be run: the plan's, or fewer after a cut */
    uint32_t end_count;    /* that will end here: the same, or fewer if this is a part */
    uint32_t coming_count; /* of these, ops that arrive and have not come */
    atomic_int halted;     /* not 0: the plan ends before its end */
    pthread_t arrivals;
    lspo_op_id_t reached; /* the highest that has begun */
    bool cut;
    uint32_t ended_count;
    uint32_t busy_count; /* ops that run or are issued */
    uint32_t turn;       /* of readiness: counts events that make ops ready */
    uint64_t zero_ns;
    lspo_status_t status;
    lane_t *lanes; /* those of the plan that have ops */
    uint32_t lane_count;
    uint32_t *place;          /* index in `lanes` of each lane of the plan */
    lspo_lane_set_t starving; /* lanes whose ready ops had no room */
};

static void wake_lanes(executor_t *executor, lspo_lane_set_t *lanes)
{
    for (uint32_t lane; (lane = lspo_lane_set_take(lanes)) != LSPO_NO_LANE;)
        if (executor->place[lane] != LSPO_NO_LANE)
            pthread_cond_signal(&executor->lanes[executor->place[lane]].wake);
}

static void wake_all(executor_t *executor)
{
    for (uint32_t i = 0; i < executor->lane_count; i++)
        pthread_cond_signal(&executor->lanes[i].wake);
}

/* Lock held: `op` has ended.  The memory that it freed may make room for others. */
static void make_room(executor_t *executor, lspo_op_id_t op)
{
    if (!executor->bounded)
        return;
    lspo_room_end(&executor->room, op);
    wake_lanes(executor, &executor->starving);
}

/* The first reason to stop is returned. */
static void stop_with(executor_t *executor, lspo_status_t status)
{
    if (executor->status == LSPO_OK)
        executor->status = status;
    atomic_store(&executor->halted, 1);
    wake_all(executor);
}

/* Lock held.  Called only if no op is running. */
static bool has_ready_op(const executor_t *executor)
{
    for (uint32_t i = 0; i < executor->lane_count; i++)
        if (executor->ready.lanes[executor->lanes[i].lane].count > 0)
            return true;
    return false;
}

/* Lock held.  True if this lane has nothing left to wait for. */
static bool lane_is_done(executor_t *executor)
{
    if (executor->status != LSPO_OK || executor->ended_count == executor->end_count)
        return true;
    if (executor->busy_count == 0 && !has_ready_op(executor)) {
        stop_with(executor, lspo_error(LSPO_ERR_INTERNAL,
                                       "deadlock after %u of %u ops: the others depend on ops that can never end",
                                       executor->ended_count, executor->end_count));
        return true;
    }
    return false;
}

static uint64_t latest(uint64_t a_ns, uint64_t b_ns)
{
    return a_ns > b_ns ? a_ns : b_ns;
}

/* Lock held; if there are two clocks, see lspo_execute_calls(). */
static void keep_order(const executor_t *executor, const lane_t *lane, lspo_op_id_t id, uint64_t *start_ns,
                       uint64_t *end_ns)
{
    const lspo_op_t *op = &executor->plan->ops[id];
    *start_ns = latest(*start_ns, latest(executor->zero_ns, lane->ended_ns));
    for (uint32_t d = op->dep_first; d < op->dep_first + op->dep_count; d++)
        *start_ns = latest(*start_ns, executor->end_ns[executor->plan->deps[d]]);
    *end_ns = latest(*start_ns, *end_ns);
    executor->end_ns[id] = *end_ns;
}

/* Lock held. */
static void end_op(executor_t *executor, lane_t *lane, lspo_op_id_t op, uint64_t start_ns, uint64_t end_ns)
{
    if (executor->end_ns)
        keep_order(executor, lane, op, &start_ns, &end_ns);
    lane->ended_ns = end_ns;
    lspo_trace_row_t *row = &executor->trace->rows[executor->trace->row_count++];
    lspo_trace_row_from_op(executor->plan, op, row);
    row->start_ns = start_ns - executor->zero_ns;
    row->end_ns = end_ns - executor->zero_ns;
    if (executor->calls->row)
        executor->calls->row(executor->calls->row_context, row);
    executor->ended_count++;
    executor->turn++;
    make_room(executor, op);
    if (lane->depth > 0)
        lspo_ready_end_issued(&executor->ready, op, executor->turn);
    else
        lspo_ready_end(&executor->ready, op, executor->turn);
    wake_lanes(executor, &executor->ready.fed);
    if (executor->ended_count == executor->end_count)
        wake_all(executor);
}

static lspo_status_t finish_op(const executor_t *executor, lspo_op_id_t op)
{
    const lspo_executor_calls_t *calls = executor->calls;
    return calls->finish ? calls->finish(calls->context, &executor->plan->ops[op]) : LSPO_OK;
}

/* Lock held on entry and return, released while the op runs. */
static lspo_status_t run_and_finish(const executor_t *executor, lspo_op_id_t op)
{
    lspo_status_t status = executor->calls->run(executor->calls->context, &executor->plan->ops[op]);
    if (status != LSPO_OK)
        return status;
    return finish_op(executor, op);
}

static void run_op(executor_t *executor, lane_t *lane, lspo_op_id_t op)
{
    pthread_mutex_unlock(&executor->lock);
    uint64_t start_ns = lspo_now_ns();
    lspo_status_t status = run_and_finish(executor, op);
    uint64_t end_ns = lspo_now_ns();

    pthread_mutex_lock(&executor->lock);
    executor->busy_count--;
    if (status != LSPO_OK) {
        stop_with(executor, status);
        return;
    }
    end_op(executor, lane, op, start_ns, end_ns);
}

/* ---- queues ---- */

/* True if something may have been queued, for which the executor has to wait. */
static bool queue_op(const executor_t *executor, const lane_t *lane, lspo_op_id_t op, uint32_t slot,
                     lspo_status_t *status)
{
    const lspo_executor_calls_t *calls = executor->calls;
    *status = calls->begin(calls->context, lane->lane, slot);
    if (*status != LSPO_OK)
        return false;
    *status = calls->run(calls->context, &executor->plan->ops[op]);
    lspo_status_t issued = calls->issued(calls->context, lane->lane, slot);
    *status = *status != LSPO_OK ? *status : issued;
    return issued == LSPO_OK;
}

/* Lock held on entry and return, released while the op is issued to the queue. */
static void issue_op(executor_t *executor, lane_t *lane, lspo_op_id_t op)
{
    lspo_status_t status;
    uint32_t slot = (lane->oldest + lane->issued_count) % lane->depth;
    pthread_mutex_unlock(&executor->lock);
    bool queued = queue_op(executor, lane, op, slot, &status);

    pthread_mutex_lock(&executor->lock);
    if (status != LSPO_OK)
        stop_with(executor, status);
    if (!queued) {
        executor->busy_count--;
        return;
    }
    lane->issued[slot] = op;
    lane->issued_count++;
    lspo_ready_issue(&executor->ready, op, ++executor->turn);
    pthread_cond_signal(&lane->wake_waiter);
}

/* Lock held on entry and return.  Its slot is in use until it has ended. */
static void end_oldest(executor_t *executor, lane_t *lane)
{
    const lspo_executor_calls_t *calls = executor->calls;
    uint32_t slot = lane->oldest;
    lspo_op_id_t op = lane->issued[slot];
    uint64_t start_ns = 0, end_ns = 0;
    pthread_mutex_unlock(&executor->lock);
    lspo_status_t status = calls->wait(calls->context, lane->lane, slot, &start_ns, &end_ns);

    pthread_mutex_lock(&executor->lock);
    if (status == LSPO_OK && executor->status == LSPO_OK) {
        pthread_mutex_unlock(&executor->lock);
        status = finish_op(executor, op);
        pthread_mutex_lock(&executor->lock);
    }
    executor->busy_count--;
    lane->oldest = (slot + 1) % lane->depth;
    lane->issued_count--;
    if (status != LSPO_OK)
        stop_with(executor, status);
    else if (executor->status == LSPO_OK)
        end_op(executor, lane, op, start_ns, end_ns);
    if (executor->ready.lanes[lane->lane].count > 0 || lane_is_done(executor))
        pthread_cond_signal(&lane->wake);
}

/* The second thread of a queue. */
static void *waiter_main(void *lane_void)
{
    lane_t *lane = lane_void;
    executor_t *executor = lane->executor;
    pthread_mutex_lock(&executor->lock);
    while (lane->issued_count > 0 || !lane->closed) {
        if (lane->issued_count > 0)
            end_oldest(executor, lane);
        else
            pthread_cond_wait(&lane->wake_waiter, &executor->lock);
    }
    pthread_mutex_unlock(&executor->lock);
    return NULL;
}

/* ---- lanes ---- */

/* Lock held.  The first of the lane's ready ops that has room; false if none has.  Ops after the cut are dropped. */
static bool choose_op(executor_t *executor, lane_t *lane, lspo_op_id_t *op_out)
{
    lspo_ready_lane_t *ready = &executor->ready.lanes[lane->lane];
    uint32_t passed_count = 0;
    lane->starves = true;
    while (lane->starves && ready->count > 0) {
        lspo_ready_entry_t first = ready->heap[0];
        *op_out = lspo_ready_pop(ready);
        if (*op_out >= executor->op_count)
            continue;
        lane->starves = executor->bounded && !lspo_room_admits(&executor->room, *op_out);
        if (lane->starves)
            executor->passed_over[passed_count++] = first;
    }
    if (passed_count > 0 && lane->starves)
        lspo_lane_set_add(&executor->starving, lane->lane);
    while (passed_count > 0)
        lspo_ready_push(ready, executor->passed_over[--passed_count]);
    return !lane->starves;
}

/* Lock held. */
static void interrupt(executor_t *executor)
{
    const lspo_executor_calls_t *calls = executor->calls;
    if (!calls->cut) {
        stop_with(executor, lspo_error(LSPO_ERR_INTERRUPTED, "interrupted after %u of %u ops", executor->ended_count,
                                       executor->plan->op_count));
        return;
    }
    uint32_t op_count = calls->cut(calls->context, executor->reached);
    assert(op_count > executor->reached && op_count <= executor->plan->op_count);
    executor->op_count = executor->end_count = op_count;
    executor->cut = true;
    wake_all(executor);
}

/* Lock held on entry and return.  False if nothing can be served until another op has ended. */
static bool serve_next(executor_t *executor, lane_t *lane)
{
    lspo_op_id_t op;
    if (executor->stop && !executor->cut && atomic_load_explicit(executor->stop, memory_order_relaxed)) {
        interrupt(executor);
        return true;
    }
    if (!choose_op(executor, lane, &op))
        return false;
    if (op > executor->reached)
        executor->reached = op;
    executor->busy_count++;
    if (executor->bounded)
        lspo_room_begin(&executor->room, op);
    if (lane->depth > 0)
        issue_op(executor, lane, op);
    else
        run_op(executor, lane, op);
    return true;
}

/* Lock held on entry and return, released while this process waits for others. */
static void begin(executor_t *executor)
{
    const lspo_executor_part_t *part = executor->calls->part;
    executor->zero_ns = lspo_now_ns();
    if (part) {
        pthread_mutex_unlock(&executor->lock);
        lspo_status_t status = part->begin(part->context, &executor->zero_ns);
        pthread_mutex_lock(&executor->lock);
        if (status != LSPO_OK)
            stop_with(executor, status);
    }
    executor->begun = true;
    pthread_cond_broadcast(&executor->entered);
}

/* Lock held.  Time zero is when the last lane is ready. */
static void wait_for_all_lanes(executor_t *executor)
{
    if (++executor->entered_count == executor->lane_count)
        begin(executor);
    while (!executor->begun && executor->status == LSPO_OK)
        pthread_cond_wait(&executor->entered, &executor->lock);
}

/* Lock held. */
static void serve(executor_t *executor, lane_t *lane)
{
    const lspo_ready_lane_t *ready = &executor->ready.lanes[lane->lane];
    while (!lane_is_done(executor)) {
        bool may_serve = ready->count > 0 && (lane->depth == 0 || lane->issued_count < lane->depth);
        if (!may_serve || !serve_next(executor, lane))
            pthread_cond_wait(&lane->wake, &executor->lock);
    }
}

static lspo_status_t no_thread(const lane_t *lane)
{
    return lspo_error(LSPO_ERR_MEMORY, "cannot start a thread for lane %s",
                      lane->executor->plan->lanes.list[lane->lane].name);
}

/* Without the lock.  The lane's own thread starts its waiter, which thus inherits its placement. */
static void *lane_main(void *lane_void)
{
    lane_t *lane = lane_void;
    executor_t *executor = lane->executor;
    pthread_t waiter;
    if (executor->calls->enter_lane)
        executor->calls->enter_lane(executor->calls->context, &executor->plan->lanes.list[lane->lane]);
    bool waits = lane->depth > 0;
    lspo_status_t status = LSPO_OK;
    if (waits && pthread_create(&waiter, NULL, waiter_main, lane) != 0) {
        status = no_thread(lane);
        waits = false;
    }

    pthread_mutex_lock(&executor->lock);
    if (status != LSPO_OK)
        stop_with(executor, status);
    wait_for_all_lanes(executor);
    serve(executor, lane);
    lane->closed = true;
    pthread_cond_signal(&lane->wake_waiter);
    pthread_mutex_unlock(&executor->lock);
    if (waits)
        pthread_join(waiter, NULL);
    return NULL;
}

/* ---- ops that other processes run ---- */

/* Lock held.  The plan's own row of it is that of the process that ran it. */
static void end_arrived(executor_t *executor, lspo_op_id_t op)
{
    executor->coming_count--;
    executor->ended_count++;
    if (executor->end_ns)
        executor->end_ns[op] = lspo_now_ns();
    lspo_ready_end(&executor->ready, op, ++executor->turn);
    wake_lanes(executor, &executor->ready.fed);
    if (executor->ended_count == executor->end_count || executor->coming_count == 0)
        wake_all(executor);
}

/* While ops are to come, nobody can say that there is a deadlock. */
static void *arrivals_main(void *executor_void)
{
    executor_t *executor = executor_void;
    const lspo_executor_calls_t *calls = executor->calls;
    pthread_mutex_lock(&executor->lock);
    while (executor->status == LSPO_OK && executor->coming_count > 0) {
        lspo_op_id_t op = LSPO_NO_OP;
        pthread_mutex_unlock(&executor->lock);
        lspo_status_t status = calls->part->arrive(calls->part->context, &executor->halted, &op);
        pthread_mutex_lock(&executor->lock);
        if (status == LSPO_OK)
            end_arrived(executor, op);
        else
            stop_with(executor, status);
    }
    executor->busy_count--;
    wake_all(executor);
    pthread_mutex_unlock(&executor->lock);
    return NULL;
}

static bool runs_here(const executor_t *executor, const lspo_op_t *op)
{
    const lspo_executor_part_t *part = executor->calls->part;
    return !part || part->runs(part->context, op);
}

static void count_ends(executor_t *executor)
{
    const lspo_plan_t *plan = executor->plan;
    const lspo_executor_part_t *part = executor->calls->part;
    executor->end_count = part ? 0 : plan->op_count;
    for (lspo_op_id_t id = 0; part && id < plan->op_count; id++) {
        const bool runs = runs_here(executor, &plan->ops[id]);
        const bool arrives = !runs && part->arrives(part->context, &plan->ops[id]);
        executor->coming_count += arrives;
        executor->end_count += runs || arrives;
    }
}

/* ---- beginning and end ---- */

/* A lane_t for each lane with ops, in the order of the plan's list. */
static lspo_status_t prepare_lanes(executor_t *executor)
{
    const lspo_plan_t *plan = executor->plan;
    executor->place = malloc(((size_t)plan->lanes.count + 1) * sizeof *executor->place);
    if (!executor->place)
        return lspo_no_memory("%u lanes", plan->lanes.count);
    for (uint32_t lane = 0; lane < plan->lanes.count; lane++)
        executor->place[lane] = LSPO_NO_LANE;
    uint32_t count = 0;
    for (lspo_op_id_t id = 0; id < plan->op_count; id++)
        if (executor->place[plan->ops[id].lane] == LSPO_NO_LANE && runs_here(executor, &plan->ops[id])) {
            executor->place[plan->ops[id].lane] = 0;
            count++;
        }
    executor->lanes = calloc((size_t)count + 1, sizeof *executor->lanes);
    if (!executor->lanes)
        return lspo_no_memory("%u lanes", count);
    for (uint32_t i = 0; i < plan->lanes.count; i++) {
        if (executor->place[i] == LSPO_NO_LANE)
            continue;
        lane_t *lane = &executor->lanes[executor->place[i] = executor->lane_count++];
        *lane = (lane_t){.executor = executor, .lane = i, .depth = executor->calls->depth[plan->lanes.list[i].kind]};
        pthread_cond_init(&lane->wake, NULL);
        pthread_cond_init(&lane->wake_waiter, NULL);
    }
    return lspo_lane_set_create(plan->lanes.count, &executor->starving);
}

static void executor_release(executor_t *executor)
{
    for (uint32_t i = 0; i < executor->lane_count; i++) {
        pthread_cond_destroy(&executor->lanes[i].wake_waiter);
        pthread_cond_destroy(&executor->lanes[i].wake);
    }
    pthread_cond_destroy(&executor->entered);
    pthread_mutex_destroy(&executor->lock);
    lspo_lane_set_release(&executor->starving);
    free(executor->lanes);
    free(executor->place);
    free(executor->end_ns);
    free(executor->passed_over);
    lspo_room_release(&executor->room);
    lspo_ready_release(&executor->ready);
    lspo_trace_destroy(executor->trace);
}

static lspo_status_t make_end_times(executor_t *executor)
{
    bool queues = false;
    for (int kind = 0; kind < LSPO_LANE_KIND_COUNT; kind++)
        if (executor->calls->depth[kind] > LSPO_ISSUED_MAX)
            return lspo_error(LSPO_ERR_INTERNAL, "lanes of kind %s: at most %d ops can be issued, not %u",
                              lspo_lane_kind_name((lspo_lane_kind_t)kind), LSPO_ISSUED_MAX,
                              executor->calls->depth[kind]);
    for (uint32_t i = 0; i < executor->lane_count; i++)
        queues |= executor->lanes[i].depth > 0;
    if (!queues)
        return LSPO_OK;
    executor->end_ns = calloc((size_t)executor->plan->op_count + 1, sizeof *executor->end_ns);
    return executor->end_ns ? LSPO_OK : lspo_no_memory("the times of ops");
}

static lspo_status_t bound_memory(executor_t *executor)
{
    uint64_t room_bytes = executor->calls->room_bytes;
    if (room_bytes == 0)
        return LSPO_OK;
    executor->passed_over = calloc((size_t)executor->plan->op_count + 1, sizeof *executor->passed_over);
    if (!executor->passed_over)
        return lspo_no_memory("%u ops", executor->plan->op_count);
    lspo_status_t status = lspo_room_create(executor->plan, room_bytes, &executor->room);
    if (status != LSPO_OK)
        return status;
    executor->bounded = true;
    return LSPO_OK;
}

static lspo_status_t run_lanes(executor_t *executor)
{
    uint32_t started = 0;
    bool arrives = executor->coming_count > 0;
    executor->busy_count += arrives;
    if (arrives && pthread_create(&executor->arrivals, NULL, arrivals_main, executor) != 0)
        return lspo_error(LSPO_ERR_MEMORY, "cannot start a thread for what other processes send");
    for (; started < executor->lane_count; started++)
        if (pthread_create(&executor->lanes[started].thread, NULL, lane_main, &executor->lanes[started]) != 0)
            break;
    if (started < executor->lane_count) {
        pthread_mutex_lock(&executor->lock);
        stop_with(executor, no_thread(&executor->lanes[started]));
        pthread_cond_broadcast(&executor->entered);
        pthread_mutex_unlock(&executor->lock);
    }
    for (uint32_t i = 0; i < started; i++)
        pthread_join(executor->lanes[i].thread, NULL);
    if (arrives)
        pthread_join(executor->arrivals, NULL);
    return executor->status;
}

lspo_status_t lspo_execute_calls(const lspo_plan_t *plan, const lspo_executor_calls_t *calls, const atomic_int *stop,
                                 lspo_trace_t **trace_out)
{
    executor_t executor = {.plan = plan, .calls = calls, .stop = stop, .op_count = plan->op_count};
    pthread_mutex_init(&executor.lock, NULL);
    pthread_cond_init(&executor.entered, NULL);
    lspo_status_t status = lspo_ready_create(plan, &executor.ready); /* refuses ops on no lane */
    if (status != LSPO_OK)
        goto cleanup;
    status = prepare_lanes(&executor);
    if (status != LSPO_OK)
        goto cleanup;
    count_ends(&executor);
    status = make_end_times(&executor);
    if (status != LSPO_OK)
        goto cleanup;
    status = bound_memory(&executor);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_trace_create_on(plan->op_count, &plan->lanes, &executor.trace);
    if (status != LSPO_OK)
        goto cleanup;
    status = run_lanes(&executor);
    if (status != LSPO_OK)
        goto cleanup;
    lspo_trace_sort(executor.trace);
    *trace_out = executor.trace;
    executor.trace = NULL;
cleanup:
    executor_release(&executor);
    return status;
}

lspo_status_t lspo_execute(const lspo_plan_t *plan, lspo_op_function_t run, lspo_lane_function_t enter_lane,
                           void *context, const atomic_int *stop, lspo_trace_t **trace_out)
{
    const lspo_executor_calls_t calls = {.context = context, .run = run, .enter_lane = enter_lane};
    return lspo_execute_calls(plan, &calls, stop, trace_out);
}
