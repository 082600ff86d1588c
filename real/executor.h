/* executor.h - run a plan on threads, one a lane, under the lane rules of plan/plan.h, and record the trace.
 *
 * The executor knows neither mathematics nor devices: it calls `run` for every op, on the thread of the op's lane,
 * when its dependencies have ended and its turn has come.  A failing op stops the plan: ops under way end, no
 * other starts, and the first failure is returned.
 */
#ifndef LSPO_REAL_EXECUTOR_H
#define LSPO_REAL_EXECUTOR_H

#include <stdatomic.h>
#include <stdint.h>

#include "plan/plan.h"
#include "plan/status.h"
#include "traces/trace.h"

typedef lspo_status_t (*lspo_op_function_t)(void *context, const lspo_op_t *op);

/* Called once on each lane's thread before its first op: placement, FP mode.  May be NULL. */
typedef void (*lspo_lane_function_t)(void *context, lspo_lane_t lane);

/* `stop` (may be NULL) is polled between ops: nonzero ends the plan with LSPO_ERR_INTERRUPTED. */
lspo_status_t lspo_execute(const lspo_plan_t *plan, lspo_op_function_t run, lspo_lane_function_t enter_lane,
                           void *context, const atomic_int *stop, lspo_trace_t **trace_out);

#endif
