/* executor.h - run a plan with one thread per lane that has ops, by the lane rules of plan/plan.h, and record the
 * trace.
 *
 * The executor knows neither mathematics nor devices: it calls `run` for every op in its turn, on the thread of the
 * op's lane.  A lane is either synchronous, like all lanes of the host device and the CPU lane of every device, or a
 * queue of a device that works asynchronously, like a stream of a GPU:
 *   synchronous: an op runs when its dependencies have ended, and has ended when `run` returns.
 *   a queue:     `run` puts an op into the queue: it is *issued*.  It may be issued when each dependency on another
 *                lane has ended and each on its own lane has been issued, since a queue keeps its order; a second
 * thread of the lane waits for issued ops in their order and reports their ends.  At most `depth` ops are issued and
 * not ended, so that an op that becomes ready later can still overtake the waiting ones.  An op of a queue is chosen
 * when it is issued; the lane rules apply to the ops that may be issued then.
 *
 * If an op fails, no other op starts, the executor waits for running and issued ops, and returns the first failure.
 */
#ifndef LSPO_REAL_EXECUTE_EXECUTOR_H
#define LSPO_REAL_EXECUTE_EXECUTOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/plan.h"
#include "traces/trace.h"

typedef lspo_status_t (*lspo_op_function_t)(void *context, const lspo_op_t *op);

/* Called once on each lane's thread before its first op: placement, FP mode.  May be NULL. */
typedef void (*lspo_lane_function_t)(void *context, const lspo_lane_t *lane);

/* Called once when `stop` becomes nonzero; `reached` is the highest op that has begun.  Returns how many of the plan's
 * first ops are still to run, more than `reached`; the rest is left out, and the plan ends with LSPO_OK. These ops must
 * be a complete plan, like the ops of the first iterations (plan/plan.h).  Called under the executor's lock, on any
 * lane's thread. */
typedef uint32_t (*lspo_cut_function_t)(void *context, lspo_op_id_t reached);

/* Called with the row of each op that has ended, under the executor's lock, on any lane's thread: it must return at
 * once. */
typedef void (*lspo_row_function_t)(void *context, const lspo_trace_row_t *row);

/* Run with synchronous lanes.  `stop` (may be NULL) is polled between ops; nonzero ends the plan with
 * LSPO_ERR_INTERRUPTED. */
lspo_status_t lspo_execute(const lspo_plan_t *plan, lspo_op_function_t run, lspo_lane_function_t enter_lane,
                           void *context, const atomic_int *stop, lspo_trace_t **trace_out);

/* The part of a plan that this process runs, if others run the rest.  Of other ops, those that arrive end here when
 * they have come, in any order; own ops must not depend on any that neither run nor arrive here. */
typedef struct {
    void *context; /* of these functions */
    bool (*runs)(void *context, const lspo_op_t *op);
    bool (*arrives)(void *context, const lspo_op_t *op);
    /* Wait until the next one has come.  Called on a thread of its own; returns LSPO_ERR_INTERRUPTED when *halted is
     * not 0. */
    lspo_status_t (*arrive)(void *context, const atomic_int *halted, lspo_op_id_t *op_out);
    /* All lanes of this process are ready: wait for the others, and return the time zero of this process. */
    lspo_status_t (*begin)(void *context, uint64_t *zero_ns_out);
} lspo_executor_part_t;

enum { LSPO_ISSUED_MAX = 2 };

typedef struct {
    void *context; /* of all calls */
    lspo_op_function_t run;
    lspo_lane_function_t enter_lane;
    /* Called after an op has ended, before its successors start or, on its own lane, end; may be NULL. */
    lspo_op_function_t finish;
    const lspo_executor_part_t *part; /* NULL: the whole plan; with one, the trace has its ops, and `cut` is NULL */
    lspo_cut_function_t cut;          /* NULL: `stop` ends the plan at once, with LSPO_ERR_INTERRUPTED */
    lspo_row_function_t row;          /* may be NULL */
    void *row_context;                /* of `row`, in place of `context` */
    uint32_t
        depth[LSPO_LANE_KIND_COUNT]; /* of lanes of that kind: 0: synchronous; else a queue, at most LSPO_ISSUED_MAX */
    /* GPU memory for ops; 0: no limit.  An op without room (real/execute/room.h) is skipped until another has ended;
     * LSPO_ERR_FIT if the plan needs more even when ops run one by one. */
    uint64_t room_bytes;
    /* For queues only; `lane` is an index into plan->lanes. begin and issued are called on the lane's thread before and
     * after `run`, also if it failed, but not if `begin` failed.  wait is called on the lane's second thread; it waits
     * until everything queued between them is done and returns start and end on the clock of lspo_now_ns().  `slot` is
     * below depth and not used by another op. */
    lspo_status_t (*begin)(void *context, uint32_t lane, uint32_t slot);
    lspo_status_t (*issued)(void *context, uint32_t lane, uint32_t slot);
    lspo_status_t (*wait)(void *context, uint32_t lane, uint32_t slot, uint64_t *start_ns_out, uint64_t *end_ns_out);
} lspo_executor_calls_t;

/* If the clocks of queue and host contradict the order of the plan, the later time is used: an op begins when its
 * dependencies and the previous op of its lane have ended, not earlier. */
lspo_status_t lspo_execute_calls(const lspo_plan_t *plan, const lspo_executor_calls_t *calls, const atomic_int *stop,
                                 lspo_trace_t **trace_out);

#endif
