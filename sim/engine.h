/* engine.h - the discrete-event engine: play a plan on its lanes, given how long each work takes alone.
 *
 * Each lane serves one op at a time (rules in plan/plan.h: lowest priority value, then first ready, then lowest id).
 * An op holds `work_ns`, its duration when it runs alone (sim/cost.h, or drawn: sim/noise.h). Under contention a lane
 * works at a rate below 1 that depends on the other running lanes of its peer (sim/contention.h). When the set of
 * running lanes changes, each lane whose rate changes is re-rated: what it has done is taken off its remaining work and
 * its end set to now + ceil(remaining / rate), so that a re-rate lengthens an op by 1 ns at most. Without losses there
 * is no arithmetic but end = start + work_ns. Everything is integer or ordered IEEE arithmetic: equal input gives equal
 * bytes.
 *
 * An instant visits the lanes that end there or get an op, and no others; the next instant comes from a tree of minima
 * (sim/ends.h). So the time to play a plan grows with its ops and the logarithm of its lanes.
 *
 * An op that runs under contention never takes less than its work_ns.  The makespan may nevertheless shrink: delays
 * change the order in which lanes serve their ops (Graham's anomalies); not so where each lane's order is fixed.
 */
#ifndef LSPO_SIM_ENGINE_H
#define LSPO_SIM_ENGINE_H

#include <stdint.h>

#include "plan/machine.h"
#include "plan/plan.h"
#include "base/status.h"
#include "traces/trace.h"

/* `plan` must pass lspo_plan_check; `work_ns` is that of lspo_cost_plan.  The trace has rows in start order and no
 * header.  LSPO_ERR_INPUT when the plan lasts more than 73 years, LSPO_ERR_CHECK when ops wait for each other. */
lspo_status_t lspo_engine_play(const lspo_plan_t *plan, const lspo_machine_t *machine, const uint64_t *work_ns,
                               lspo_trace_t **trace_out);

/* The same with a duration for each op: op_ns[id]. */
lspo_status_t lspo_engine_play_ops(const lspo_plan_t *plan, const lspo_machine_t *machine, const uint64_t *op_ns,
                                   lspo_trace_t **trace_out);

#endif
