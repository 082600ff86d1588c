/* trial.h - cost, play and summarise a plan: the common steps of predictions, their baseline, searches and random
 * draws. */
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

/* Add the header and compute the summary of a trace that was played by other means (sim/noise.h). */
lspo_status_t lspo_trial_summarise(const lspo_plan_t *plan, const lspo_machine_t *machine, lspo_trace_t *trace,
                                   lspo_summary_t *summary_out);

#endif
