/* tune.h - choose by simulation what the user left to us.
 *
 * The transition stage of layer-wise policies: stages above it are served first come first served, the others last come
 * first served.  Every stage is tried on a short plan and the one with the least time an iteration taken; of equals,
 * the greatest.  Beyond 64 stages the trial is a coarse grid and then all stages around its best.
 */
#ifndef LSPO_SIM_TUNE_H
#define LSPO_SIM_TUNE_H

#include "base/status.h"
#include "plan/machine.h"
#include "plan/model.h"
#include "plan/plan.h"
#include "plan/policy.h"
#include "plan/workload.h"

/* Has the policy a transition stage, and is it AUTO? */
bool lspo_tune_is_open(const lspo_policy_t *policy, const lspo_workload_t *workload);

/* Build the policy's plan with the transition stage that simulates fastest, if it is AUTO and the policy has one. */
lspo_status_t lspo_tune_transition(const lspo_model_t *model, const lspo_workload_t *workload,
                                   const lspo_policy_t *policy, const lspo_machine_t *machine, lspo_plan_t **plan_out);

#endif
