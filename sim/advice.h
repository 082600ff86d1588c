/* advice.h - what would make a plan fit. */
#ifndef LSPO_SIM_ADVICE_H
#define LSPO_SIM_ADVICE_H

#include <stddef.h>

#include "plan/machine.h"
#include "plan/plan.h"
#include "base/status.h"
#include "sim/sim.h"

enum { LSPO_ADVICE_BYTES = 512 };

/* By how much the peaks exceed the machine's memory, and what makes the plan fit, tried by simulation:
 *     for the policy asked for    --checkpointing on, else the largest --batch, else both
 *     among all others            the fastest of the same semantics that fits this workload, else the fastest of any
 *                                 semantics, which is then named
 * or else which policy comes nearest with a batch of 1.  Where the peaks are within the memory and a bound is not,
 * that is said; empty when the bounds fit too. */
lspo_status_t lspo_advise(const lspo_plan_t *plan, const lspo_machine_t *machine, const lspo_prediction_t *prediction,
                          size_t text_bytes, char *text_out);

#endif
