/* bound.h - what no schedule of these ops can beat, and what this one was waiting for. */
#ifndef LSPO_SIM_BOUND_H
#define LSPO_SIM_BOUND_H

#include <stdint.h>

#include "plan/plan.h"
#include "traces/trace.h"

/* Lower bound on time an iteration in steady state: the larger of the largest busy time of a lane an iteration and the
 * maximum cycle mean of the dependence graph across iterations, both with uncontended durations. */
lspo_status_t lspo_bound_iteration(const lspo_plan_t *plan, const uint64_t *work_ns, double *lower_bound_s_out);

/* The critical path of a trace: ids of ops from the first to the last, each starting when its predecessor (a
 * dependency, or the op before it on its lane) ended.  malloc'd. */
lspo_status_t lspo_bound_critical_path(const lspo_plan_t *plan, const lspo_trace_t *trace, lspo_op_id_t **ids_out,
                                       uint32_t *count_out);

#endif
