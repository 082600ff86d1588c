/* counters.h - counters of the processor and the kernel (PAPI) while a plan runs, per lane.
 *
 * Hardware events (cycles, instructions, last-level misses) if the machine provides them, software events (CPU time,
 * page faults, context switches, migrations) if the kernel does.  Virtual machines often have only the latter. */
#ifndef LSPO_REAL_MACHINE_COUNTERS_H
#define LSPO_REAL_MACHINE_COUNTERS_H

#include "base/status.h"
#include "plan/op.h"
#include "traces/trace.h"

typedef struct lspo_counters lspo_counters_t;

/* Find the events that this machine can count.  Never fails: if PAPI can count none, as in most containers,
 * *counters_out is NULL, which the functions below accept. */
void lspo_counters_open(lspo_counters_t **counters_out);
void lspo_counters_close(lspo_counters_t *counters);

/* From now until it ends, the calling thread is counted for `lane`. */
void lspo_counters_enter(lspo_counters_t *counters, lspo_lane_kind_t lane);

/* After the lanes' threads have ended: write header entries "counter.LANE.EVENT" with the sums of all plays so far, and
 * reset the sums.  Without counters, write one entry "counters" that says so. */
lspo_status_t lspo_counters_describe(lspo_counters_t *counters, lspo_trace_t *trace);

#endif
