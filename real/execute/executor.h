/* executor.h - run a plan on threads, one for each lane that has ops, under the lane rules of plan/plan.h, and record
 * the trace.
 *
 * The executor knows neither mathematics nor devices: it calls `run` for every op, on the thread of the op's lane, when
 * its turn has come.  A lane is synchronous, as all lanes of the host device and the CPU lane of every device are, or a
 * queue of a device that works on its own, such as a stream of a GPU:
 *   synchronous: an op runs when its dependencies have ended, and has ended when `run` returns.
 *   a queue:     `run` puts an op into the queue: it is *issued*.  It may be issued when each dependency on another
 *                lane has ended and each on its own lane has been issued, since a queue keeps its order; it has ended
 *                when a second thread of the lane, which waits for issued ops in their order, says so.  At most `depth`
 *                ops are issued and have not ended, so that an op which becomes ready later can still overtake those
 *                that wait.
 * An op of a queue is chosen when it is issued: the lane rules hold among those that may be issued then.
 *
 * A failing op stops the plan: ops under way or issued are waited for, no other starts, and the first failure is
 * returned.
 */
#ifndef LSPO_REAL_EXECUTE_EXECUTOR_H
#define LSPO_REAL_EXECUTE_EXECUTOR_H

#include <stdatomic.h>
#include <stdint.h>

#include "plan/plan.h"
#include "base/status.h"
#include "traces/trace.h"

typedef lspo_status_t (*lspo_op_function_t)(void *context, const lspo_op_t *op);

/* Called once on each lane's thread before its first op: placement, FP mode.  May be NULL. */
typedef void (*lspo_lane_function_t)(void *context, const lspo_lane_t *lane);

/* Asked once, when `stop` became nonzero and op `reached` is the highest that has begun: the number of the plan's first
 * ops that are still to be run, above `reached`; the rest is left out and the plan ends with LSPO_OK.  They must be a
 * plan of their own, as the ops of the first iterations are (plan/plan.h).  Runs under the executor's lock, on any
 * lane's thread. */
typedef uint32_t (*lspo_cut_function_t)(void *context, lspo_op_id_t reached);

/* All lanes synchronous.  `stop` (may be NULL) is polled between ops: nonzero ends the plan with
 * LSPO_ERR_INTERRUPTED. */
lspo_status_t lspo_execute(const lspo_plan_t *plan, lspo_op_function_t run, lspo_lane_function_t enter_lane,
                           void *context, const atomic_int *stop, lspo_trace_t **trace_out);

enum { LSPO_ISSUED_MAX = 2 };

typedef struct {
    void *context; /* of all calls */
    lspo_op_function_t run;
    lspo_lane_function_t enter_lane;
    /* Called after an op has ended and before what waits for it starts or, on its own lane, ends; may be NULL. */
    lspo_op_function_t finish;
    lspo_cut_function_t cut;         /* NULL: `stop` ends the plan at once, with LSPO_ERR_INTERRUPTED */
    uint32_t
        depth[LSPO_LANE_KIND_COUNT]; /* of lanes of that kind: 0: synchronous; else a queue, at most LSPO_ISSUED_MAX */
    /* GPU memory for what ops take; 0: not bounded.  An op that has no room (real/execute/room.h) is passed over until
     * another has ended; LSPO_ERR_FIT when the plan needs more even op by op. */
    uint64_t room_bytes;
    /* Queues only; `lane` is an index into plan->lanes.  begin and issued: on the lane's thread, before and after
     * `run`, whether it failed or not, unless `begin` failed.  wait: on the lane's second thread, until all that was
     * queued between them is done, with the times when it began and ended on the clock of lspo_now_ns().  `slot` is
     * below depth and not in use by another op. */
    lspo_status_t (*begin)(void *context, uint32_t lane, uint32_t slot);
    lspo_status_t (*issued)(void *context, uint32_t lane, uint32_t slot);
    lspo_status_t (*wait)(void *context, uint32_t lane, uint32_t slot, uint64_t *start_ns_out, uint64_t *end_ns_out);
} lspo_executor_calls_t;

/* Times that the clocks of queue and host put in another order than the plan's are moved up to it: an op begins when
 * its dependencies and the one before on its lane have ended, not before. */
lspo_status_t lspo_execute_calls(const lspo_plan_t *plan, const lspo_executor_calls_t *calls, const atomic_int *stop,
                                 lspo_trace_t **trace_out);

#endif
