/* engine.h - the discrete-event engine: play a plan on its lanes, given the duration of each work alone.
 *
 * Each lane serves one op at a time (rules in plan/plan.h: lowest priority value, then first ready, then lowest id).
 * An op has `work_ns`, its duration when it runs alone (from sim/cost.h, or drawn at random by sim/noise.h).  Under
 * contention a lane works at a rate below 1 that depends on the other running lanes of its peer (sim/contention.h).
 * When the set of running lanes changes, the engine updates each lane whose rate changes: it subtracts the work that is
 * done and sets the end to now + ceil(remaining / rate), so that an update lengthens an op by at most 1 ns.  Without
 * losses the only arithmetic is end = start + work_ns.  All arithmetic is integer or ordered IEEE arithmetic, so the
 * same input gives the same bytes.
 *
 * The GPU's lane, if it has waited for longer than cpu.wake_s until an op is ready, begins it so much later, because
 * its thread sleeps on a core of its own; so does another lane that an op of the GPU wakes.  For the contention with
 * others such a lane runs from the start of the wake.  In a plan of several GPUs no lane takes time to wake.
 *
 * An event visits only the lanes on which an op ends or starts; the next event comes from a tree of minima
 * (sim/ends.h).  So the time to play a plan grows with the number of ops and the logarithm of the number of lanes.
 *
 * An op that runs under contention never takes less than its work_ns.  Nevertheless contention may shorten the
 * makespan, because delays change the order in which lanes serve their ops (Graham's anomalies).  With a fixed order
 * per lane it cannot.
 */
#ifndef LSPO_SIM_ENGINE_H
#define LSPO_SIM_ENGINE_H

#include <stdint.h>

#include "base/status.h"
#include "plan/machine.h"
#include "plan/plan.h"
#include "traces/trace.h"

/* `plan` must pass lspo_plan_check(); `work_ns` comes from lspo_cost_plan().  The trace has its rows in the order of
 * their starts, and no header.  LSPO_ERR_INPUT if the plan lasts more than 73 years, LSPO_ERR_CHECK if ops wait for
 * each other. */
lspo_status_t lspo_engine_play(const lspo_plan_t *plan, const lspo_machine_t *machine, const uint64_t *work_ns,
                               lspo_trace_t **trace_out);

/* The same with a duration for each op: op_ns[id]. */
lspo_status_t lspo_engine_play_ops(const lspo_plan_t *plan, const lspo_machine_t *machine, const uint64_t *op_ns,
                                   lspo_trace_t **trace_out);

#endif
