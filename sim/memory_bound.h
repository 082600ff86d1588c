/* memory_bound.h - the most memory that a plan can take when its lanes run a little earlier or later than predicted.
 *
 * The peak of one timeline (memory.h) depends on which messages are in transit when all activations exist, a matter of
 * microseconds.  Here two ops keep their predicted order only if one ends at least `slack` before the other starts, or
 * if one depends on the other; all others may overlap in any way.  A moment of such a run is a set of ops that have
 * started and a set of those that have ended, closed under
 *     ended(i) -> started(i)
 *     started(i) -> ended(j)  for each j that i depends on or that ends slack before i starts,
 * with memory static bytes + sum of what started ops took - sum of what ended ops gave back.  The greatest such sum
 * over all closed sets is a maximum-weight closure (Picard 1976): all that is taken, less the maximum flow from what is
 * taken to what must have been given back before.  With a slack of 0 it is the peak of the replay.  The bound ignores
 * that a lane serves one op at a time.  So no run within the slack takes more, but some may not reach the bound.
 *
 * It is found row by row.  Let r be the last row that has started.  What ends slack before r starts has ended, what
 * starts after r has not started, and of the rows between none ends slack before another one starts: only dependencies
 * order them.  What r waits for, directly or not, has ended.  All others of these rows may have started and ended or
 * not: they are the closure.  What all rows have taken, less what those before r must have given back, is a bound for
 * it; so is that less a flow that is easy to see, along a chain of the GPU's ops and from rows that take to rows for
 * which they wait.  The greatest flow is computed only where these are above the most so far, which begins with the
 * peak of the replay.
 *
 * Of several peers (plan/peers.h) it is the bound of the one whose peak in this timeline is the highest.
 */
#ifndef LSPO_SIM_MEMORY_BOUND_H
#define LSPO_SIM_MEMORY_BOUND_H

#include <stdint.h>

#include "base/status.h"
#include "plan/plan.h"
#include "traces/trace.h"

/* `trace` must be a complete trace of `plan` with rows in the order of their starts.  LSPO_ERR_CHECK if it has ops that
 * the plan lacks. */
lspo_status_t lspo_memory_bound(const lspo_plan_t *plan, const lspo_trace_t *trace, uint64_t slack_ns,
                                uint64_t *gpu_bytes_out, uint64_t *host_bytes_out);

#endif
