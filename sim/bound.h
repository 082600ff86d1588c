/* bound.h - a lower bound on the time of any schedule of these ops, and the critical path of a given one.
 *
 * In steady state every iteration repeats the same ops with the same dependencies, some of them on ops of earlier
 * iterations.  Take the ops of one iteration as nodes, and for each dependency of v on u an edge with weight
 * w = work of u and count c = iterations between them.  The largest of three lower bounds on the time per iteration is
 * taken, for any order in which lanes serve their ops, with the durations of ops that run alone:
 *     lane busy time      max over lanes of the sum of work on it
 *     cycle mean          max over cycles of (sum of w) / (sum of c)
 *     one-machine bound   least time between two passes of a barrier, per iteration between them (sim/window.h)
 * A chain once around a cycle takes sum w and advances by sum c iterations.  The maximum is found by
 * starting from the busy time as lambda, looking for a cycle with sum of (w - lambda c) > 0 (longest paths,
 * Bellman-Ford) and taking its ratio as the next lambda, until there is none (Lawler 1976; Dasdan 2004, Section 2).
 */
#ifndef LSPO_SIM_BOUND_H
#define LSPO_SIM_BOUND_H

#include <stdint.h>

#include "base/status.h"
#include "plan/machine.h"
#include "plan/plan.h"
#include "sim/window.h"
#include "traces/trace.h"

/* Lower bound on time per iteration in steady state.  Busy time and cycle mean are those of an inner iteration with the
 * least work; dependencies on ops without a counterpart in it are left out, which can only lower the bound.  The
 * one-machine bound is that of a whole period of the policy; where updates are late, also of as many as they are late;
 * a plan that is too short for that is bounded by the other two.  Of generation, whose caches grow, all are those of
 * the token with the least work, mostly one of the first behind the prompt.  `work_ns` comes from lspo_cost_plan(). */
lspo_status_t lspo_bound_iteration(const lspo_plan_t *plan, const uint64_t *work_ns, double *lower_bound_s_out);

/* Only the busy time of the busiest lane, in a fraction of the time. */
lspo_status_t lspo_bound_busy(const lspo_plan_t *plan, const uint64_t *work_ns, double *busy_s_out);

/* The least time from the end of the first step's passes (FWD, RECOMPUTE, BWD) to that of the second one's by
 * dependencies alone, in a small fraction of the time: the least of the longest paths from each of them.  The steps of
 * a longer plan take no less if they have the same ops and at least the same dependencies. */
lspo_status_t lspo_bound_step(const lspo_plan_t *plan, const uint64_t *work_ns, double *step_s_out);

/* The window whose bound per iteration is that one-machine bound; count 0: there is none.  Release it afterwards. */
lspo_status_t lspo_bound_window(const lspo_plan_t *plan, const uint64_t *work_ns, lspo_window_t *window_out);

/* lspo_bound_iteration() with the durations of works on `machine`; NaN for texts of fewer tokens than the policy's
 * default, which have no steady state. */
lspo_status_t lspo_bound_plan(const lspo_plan_t *plan, const lspo_machine_t *machine, double *lower_bound_s_out);

/* The critical path of a trace: ids of ops from the first to the last, each of which starts when its predecessor ends.
 * The predecessor is the dependency or the previous op of the same lane that ended last. malloc'd.  In a measured trace
 * there may be gaps between them.  `trace` must be a complete trace of `plan` (lspo_trace_check()). */
lspo_status_t lspo_bound_critical_path(const lspo_plan_t *plan, const lspo_trace_t *trace, lspo_op_id_t **ids_out,
                                       uint32_t *count_out);

#endif
