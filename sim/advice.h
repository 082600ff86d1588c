/* advice.h - what would make a plan fit. */
#ifndef LSPO_SIM_ADVICE_H
#define LSPO_SIM_ADVICE_H

#include <stddef.h>

#include "base/status.h"
#include "plan/machine.h"
#include "plan/plan.h"
#include "sim/sim.h"

enum { LSPO_ADVICE_BYTES = 512 };

/* Say by how much the peaks exceed the machine's memory and what would make the plan fit, found by simulation:
 *     for the requested policy    --checkpointing on; else with it the smallest --swap-activations; else the largest
 *                                 --batch, with checkpointing as it is or on
 *     among all others           the fastest of the same semantics that fits this workload, else the fastest of any
 * semantics, which the text names or else the policy that is nearest to fitting with a batch of 1.  If the peaks fit
 * and a bound does not, the text says so; it is empty if the bounds fit, too. */
lspo_status_t lspo_advise(const lspo_plan_t *plan, const lspo_machine_t *machine, const lspo_prediction_t *prediction,
                          size_t text_bytes, char *text_out);

#endif
