/* bound.h - what no schedule of these ops can beat, and what this one was waiting for.
 *
 * In steady state every iteration repeats the same ops with the same dependencies, some of them on ops of earlier
 * iterations.  Take the ops of one iteration as nodes, and for each dependency of v on u an edge with weight
 * w = work of u and count c = iterations between them.  Two bounds on time per iteration, whatever the order in
 * which lanes serve their ops, both with the durations that ops have when alone:
 *     lane busy time      max over lanes of the sum of work on it
 *     cycle mean          max over cycles of (sum of w) / (sum of c)
 * A chain that goes around a cycle once takes sum w and gets sum c iterations further.  The maximum is found by
 * starting from the busy time as lambda, looking for a cycle with sum of (w - lambda c) > 0 (longest paths,
 * Bellman-Ford) and taking its ratio as the next lambda, until there is none (Lawler 1976; Dasdan 2004, Section 2).
 */
#ifndef LSPO_SIM_BOUND_H
#define LSPO_SIM_BOUND_H

#include <stdint.h>

#include "plan/plan.h"
#include "base/status.h"
#include "traces/trace.h"

/* Lower bound on time per iteration in steady state: the larger of the largest busy time of a lane an iteration and the
 * maximum cycle mean of the dependence graph across iterations, both with uncontended durations.  The iteration looked
 * at is an inner one (of those, one with the least work); dependencies on ops that have no counterpart in it are left
 * out, which can only lower the bound.  `work_ns` is that of lspo_cost_plan. */
lspo_status_t lspo_bound_iteration(const lspo_plan_t *plan, const uint64_t *work_ns, double *lower_bound_s_out);

/* The critical path of a trace: ids of ops from the first to the last, each starting when its predecessor (a
 * dependency, or the op before it on its lane; of these the one that ended last) ended.  malloc'd.  In a measured trace
 * there may be gaps between them.  `trace` is a complete one of `plan` (lspo_trace_check). */
lspo_status_t lspo_bound_critical_path(const lspo_plan_t *plan, const lspo_trace_t *trace, lspo_op_id_t **ids_out,
                                       uint32_t *count_out);

#endif
