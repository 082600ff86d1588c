/* partition_tune.h - the chain of a model over the peers of a file, from the cost of each kind of peer. */
#ifndef LSPO_SIM_PARTITION_TUNE_H
#define LSPO_SIM_PARTITION_TUNE_H

#include "plan/machine.h"
#include "plan/model.h"
#include "plan/policy.h"
#include "plan/workload.h"

/* Set an open --chain of the workload to the fastest that fits (sim/partition.h); times are those of the ops of a plan
 * of one peer on the profile of each kind.  LSPO_ERR_INPUT if no chain fits, with what is needed and what there is. */
lspo_status_t lspo_partition_tune(const lspo_model_t *model, const lspo_policy_t *policy, const lspo_machine_t *machine,
                                  lspo_workload_t *workload);

#endif
