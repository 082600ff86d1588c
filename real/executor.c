/* executor.c - see executor.h.  One mutex guards everything; it is held for the few hundred nanoseconds between ops
 * only, and each lane sleeps on a condition variable of its own, so that an end wakes none but the lanes it feeds. */
#include "real/executor.h"

#include <pthread.h>
#include <stdbool.h>

#include "plan/ready.h"
#include "real/device.h"

typedef struct {
    const lspo_plan_t *plan;
    lspo_op_function_t run;
    lspo_lane_function_t enter_lane;
    void *context;
    const atomic_int *stop;
    lspo_trace_t *trace;
    lspo_ready_t ready;
    pthread_mutex_t lock;
    pthread_cond_t entered; /* all lanes are on their threads */
    uint32_t entered_count;
    uint32_t ended_count, running_count;
    uint64_t zero_ns;
    lspo_status_t status;
    pthread_cond_t wake[LSPO_LANE_COUNT];
} executor_t;

typedef struct {
    executor_t *executor;
    lspo_lane_t lane;
} lane_argument_t;

static void wake_all(executor_t *executor)
{
    for (int lane = 0; lane < LSPO_LANE_COUNT; lane++)
        pthread_cond_broadcast(&executor->wake[lane]);
}

/* The first reason to end is the one that is returned. */
static void stop_with(executor_t *executor, lspo_status_t status)
{
    if (executor->status == LSPO_OK)
        executor->status = status;
    wake_all(executor);
}

/* Lock held.  True when this lane has nothing left to wait for. */
static bool lane_is_done(executor_t *executor)
{
    if (executor->status != LSPO_OK || executor->ended_count == executor->plan->op_count)
        return true;
    uint32_t ready_count = 0;
    for (int lane = 0; lane < LSPO_LANE_COUNT; lane++)
        ready_count += executor->ready.lanes[lane].count;
    if (executor->running_count == 0 && ready_count == 0) {
        stop_with(executor, lspo_error(LSPO_ERR_INTERNAL,
                                       "the plan stands still after %u of %u ops: a dependency "
                                       "can never end",
                                       executor->ended_count, executor->plan->op_count));
        return true;
    }
    return false;
}

/* Lock held. */
static void end_op(executor_t *executor, lspo_op_id_t op, uint64_t start_ns, uint64_t end_ns)
{
    lspo_trace_row_t *row = &executor->trace->rows[executor->trace->row_count++];
    lspo_trace_row_from_op(executor->plan, op, row);
    row->start_ns = start_ns - executor->zero_ns;
    row->end_ns = end_ns - executor->zero_ns;
    executor->ended_count++;
    /* Readiness counts in ended ops. */
    uint32_t fed = lspo_ready_end(&executor->ready, op, executor->ended_count);
    for (int lane = 0; lane < LSPO_LANE_COUNT; lane++)
        if (fed >> lane & 1)
            pthread_cond_signal(&executor->wake[lane]);
    if (executor->ended_count == executor->plan->op_count)
        wake_all(executor);
}

/* Lock held on entry and return, released while the op runs. */
static void run_next(executor_t *executor, lspo_ready_lane_t *lane)
{
    if (executor->stop && atomic_load_explicit(executor->stop, memory_order_relaxed)) {
        stop_with(executor, lspo_error(LSPO_ERR_INTERRUPTED, "interrupted after %u of %u ops", executor->ended_count,
                                       executor->plan->op_count));
        return;
    }
    lspo_op_id_t op = lspo_ready_pop(lane);
    executor->running_count++;
    pthread_mutex_unlock(&executor->lock);

    uint64_t start_ns = lspo_now_ns();
    lspo_status_t status = executor->run(executor->context, &executor->plan->ops[op]);
    uint64_t end_ns = lspo_now_ns();

    pthread_mutex_lock(&executor->lock);
    executor->running_count--;
    if (status == LSPO_OK)
        end_op(executor, op, start_ns, end_ns);
    else
        stop_with(executor, status);
}

/* Lock held.  Time zero is when the last lane stands ready. */
static void wait_for_all_lanes(executor_t *executor)
{
    if (++executor->entered_count == LSPO_LANE_COUNT) {
        executor->zero_ns = lspo_now_ns();
        pthread_cond_broadcast(&executor->entered);
    }
    while (executor->entered_count < LSPO_LANE_COUNT && executor->status == LSPO_OK)
        pthread_cond_wait(&executor->entered, &executor->lock);
}

static void *lane_main(void *argument_void)
{
    const lane_argument_t *argument = argument_void;
    executor_t *executor = argument->executor;
    lspo_ready_lane_t *lane = &executor->ready.lanes[argument->lane];
    if (executor->enter_lane)
        executor->enter_lane(executor->context, argument->lane);

    pthread_mutex_lock(&executor->lock);
    wait_for_all_lanes(executor);
    while (!lane_is_done(executor)) {
        if (lane->count > 0)
            run_next(executor, lane);
        else
            pthread_cond_wait(&executor->wake[argument->lane], &executor->lock);
    }
    pthread_mutex_unlock(&executor->lock);
    return NULL;
}

static void executor_release(executor_t *executor)
{
    for (int lane = 0; lane < LSPO_LANE_COUNT; lane++)
        pthread_cond_destroy(&executor->wake[lane]);
    pthread_cond_destroy(&executor->entered);
    pthread_mutex_destroy(&executor->lock);
    lspo_ready_release(&executor->ready);
    lspo_trace_destroy(executor->trace);
}

static lspo_status_t run_lanes(executor_t *executor)
{
    pthread_t threads[LSPO_LANE_COUNT];
    lane_argument_t arguments[LSPO_LANE_COUNT];
    int started = 0;
    for (; started < LSPO_LANE_COUNT; started++) {
        arguments[started] = (lane_argument_t){.executor = executor, .lane = (lspo_lane_t)started};
        if (pthread_create(&threads[started], NULL, lane_main, &arguments[started]) != 0)
            break;
    }
    if (started < LSPO_LANE_COUNT) {
        pthread_mutex_lock(&executor->lock);
        stop_with(executor, lspo_error(LSPO_ERR_MEMORY, "cannot start a thread for lane %s",
                                       lspo_lane_name((lspo_lane_t)started)));
        pthread_cond_broadcast(&executor->entered);
        pthread_mutex_unlock(&executor->lock);
    }
    for (int lane = 0; lane < started; lane++)
        pthread_join(threads[lane], NULL);
    return executor->status;
}

lspo_status_t lspo_execute(const lspo_plan_t *plan, lspo_op_function_t run, lspo_lane_function_t enter_lane,
                           void *context, const atomic_int *stop, lspo_trace_t **trace_out)
{
    executor_t executor = {.plan = plan, .run = run, .enter_lane = enter_lane, .context = context, .stop = stop};
    pthread_mutex_init(&executor.lock, NULL);
    pthread_cond_init(&executor.entered, NULL);
    for (int lane = 0; lane < LSPO_LANE_COUNT; lane++)
        pthread_cond_init(&executor.wake[lane], NULL);

    lspo_status_t status = lspo_trace_create(plan->op_count, &executor.trace);
    if (status == LSPO_OK)
        status = lspo_ready_create(plan, &executor.ready);
    if (status == LSPO_OK)
        status = run_lanes(&executor);
    if (status == LSPO_OK) {
        lspo_trace_sort(executor.trace);
        *trace_out = executor.trace;
        executor.trace = NULL;
    }
    executor_release(&executor);
    return status;
}
