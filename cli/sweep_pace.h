/* sweep_pace.h - the rates of a cell of a sweep whose grid gives them as shares of a policy's GPU time. */
#ifndef LSPO_CLI_SWEEP_PACE_H
#define LSPO_CLI_SWEEP_PACE_H

#include "ask/request.h"
#include "base/status.h"
#include "plan/machine.h"
#include "sweep/grid.h"

/* The rates of link and optimizer at which the gradients of the policy `rates` (self: the cell's own) take
 * link-over-gpu and cpu-over-gpu of its GPU time, as in validate/grid.h; 0: the cell has no such share.
 * `overrides` has the fields that the cell sets; `machine` is the profile without them. */
lspo_status_t lspo_sweep_pace(const lspo_sweep_cell_t *cell, const lspo_overrides_t *overrides,
                              const lspo_machine_t *machine, double *link_Bps_out, double *cpu_pps_out);

#endif
