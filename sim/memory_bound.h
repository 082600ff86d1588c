/* memory_bound.h - the most memory that a plan can take when its lanes run a little earlier or later than predicted.
 *
 * The peak of one timeline (memory.h) depends on which messages are under way when the activations are all there, and
 * that on microseconds.  Here two ops keep their predicted order only where one ends at least `slack` before the other
 * starts, or depends on it; all others may overlap in any way.  A moment of such a run is a set of ops that have
 * started and a set of those that have ended, closed under
 *     ended(i) -> started(i)
 *     started(i) -> ended(j)  for each j that i depends on or that ends slack before i starts,
 * and takes static bytes + sum of what the started took - sum of what the ended gave back.  The greatest such sum over
 * all closed sets is a maximum-weight closure (Picard 1976): all that is taken, less the maximum flow from what is
 * taken to what must have been given back before.  With a slack of 0 it is the replay's peak.  That a lane serves one
 * op at a time is not used, so no run within the slack takes more, and some bound may not be reached.
 *
 * It is found row by row.  Let r be the last row that has started.  What ends slack before r starts has ended, what
 * starts after r has not started, and of the rows between none ends slack before another one starts: dependencies alone
 * order them.  So each r is a small closure of the rows about it.  From one r to the next the most grows by no more
 * than what the new row takes; only where this could exceed the most so far is a closure solved.
 */
#ifndef LSPO_SIM_MEMORY_BOUND_H
#define LSPO_SIM_MEMORY_BOUND_H

#include <stdint.h>

#include "plan/plan.h"
#include "base/status.h"
#include "traces/trace.h"

/* `trace` is a complete one of `plan`, or a part that holds what each of its ops waits for: rows in the order of their
 * starts.  LSPO_ERR_CHECK when it names ops that the plan lacks. */
lspo_status_t lspo_memory_bound(const lspo_plan_t *plan, const lspo_trace_t *trace, uint64_t slack_ns,
                                uint64_t *gpu_bytes_out, uint64_t *host_bytes_out);

#endif
