/* trial.h - cost, play and summarise a plan: the common steps of predictions.  Where only the time is wanted, see
 * sim/pace.h. */
#ifndef LSPO_SIM_TRIAL_H
#define LSPO_SIM_TRIAL_H

#include <stdint.h>

#include "base/status.h"
#include "plan/machine.h"
#include "plan/plan.h"
#include "traces/summary.h"
#include "traces/trace.h"

typedef struct {
    uint64_t *work_ns; /* durations of works, sim/cost.h */
    lspo_trace_t *trace;
    lspo_summary_t summary;
} lspo_trial_t;

/* The trace's header has origin, machine and the entries of lspo_trace_describe_plan().  Plans of fewer than 2
 * iterations are LSPO_ERR_INPUT.  The caller releases the trial. */
lspo_status_t lspo_trial_play(const lspo_plan_t *plan, const lspo_machine_t *machine, lspo_trial_t *trial_out);
void lspo_trial_release(lspo_trial_t *trial);

/* LSPO_ERR_INPUT for a plan of fewer than 2 iterations: it has no time per iteration. */
lspo_status_t lspo_trial_check(const lspo_plan_t *plan);

/* Only the time per iteration, of a trace of the plan without a header (sim/noise.h, sim/fit.h). */
lspo_status_t lspo_trial_time(const lspo_plan_t *plan, const lspo_trace_t *trace, double *iteration_s_out);

#endif
