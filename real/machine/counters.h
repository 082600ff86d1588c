/* counters.h - what the processor and the kernel count while a plan runs (PAPI), lane by lane.
 *
 * Hardware events (cycles, instructions, last-level misses) where the machine shows them, software events (CPU time,
 * page faults, context switches, migrations) where the kernel does.  Virtual machines often have the latter only. */
#ifndef LSPO_REAL_MACHINE_COUNTERS_H
#define LSPO_REAL_MACHINE_COUNTERS_H

#include "base/status.h"
#include "plan/op.h"
#include "traces/trace.h"

typedef struct lspo_counters lspo_counters_t;

/* Find out which events this machine counts.  Never fails: where PAPI counts none, as in most containers, *counters_out
 * is NULL and the calls below take it. */
void lspo_counters_open(lspo_counters_t **counters_out);
void lspo_counters_close(lspo_counters_t *counters);

/* From now until it ends, the calling thread counts for `lane`. */
void lspo_counters_enter(lspo_counters_t *counters, lspo_lane_kind_t lane);

/* After the lanes' threads have ended: write header entries "counter.LANE.EVENT" of all plays so far, and start from 0
 * again.  Without counters the one entry "counters" says so. */
lspo_status_t lspo_counters_describe(lspo_counters_t *counters, lspo_trace_t *trace);

#endif
