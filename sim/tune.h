/* tune.h - choose the transition stage, the lane of Adam's bases and the stride of subgroups by simulation, and the
 * products of projectors by the profile.  sim/split.h chooses which share of a cache is rebuilt.
 *
 * Layer-wise policies serve stages above the transition stage first in, first out, the others last in, first out.
 * Every stage is tried on a plan of 8 iterations, and the one with the shortest time per iteration is taken, or the
 * highest of equal ones.  With more than 64 stages, a coarse grid is tried first and then all stages around its best.
 * Trials play no longer than shows the time (sim/pace.h).  A plan of lspo_build_layerwise() is built and priced once,
 * and trials only change its priorities.  What they do up to the first change is played once (lspo_pace_hold()).
 */
#ifndef LSPO_SIM_TUNE_H
#define LSPO_SIM_TUNE_H

#include "base/status.h"
#include "plan/machine.h"
#include "plan/model.h"
#include "plan/plan.h"
#include "plan/policy.h"
#include "plan/workload.h"

/* Does the policy have a transition stage, a stride or a share to rebuild, and is it AUTO? */
bool lspo_tune_is_open(const lspo_policy_t *policy, const lspo_workload_t *workload);

/* Make --compress-by and --apply-by dense where they are AUTO and the machine's profile says that this is faster at the
 * d / r of the workload (dense_compress_ratio, dense_apply_ratio).  The rest stays AUTO, which is the policy's way. */
void lspo_tune_products(const lspo_policy_t *policy, const lspo_machine_t *machine, lspo_workload_t *workload);

/* Give --basis-lane, if it is AUTO, the lane that simulates faster, or the CPU's if both are alike, or if the GPU has
 * no room for what it would hold; with the highest transition stage where that is AUTO.  Where projectors are checked
 * the CPU's.  Call lspo_tune_products() before. */
lspo_status_t lspo_tune_lane(const lspo_model_t *model, const lspo_policy_t *policy, const lspo_machine_t *machine,
                             lspo_workload_t *workload);

/* Give --stride, if it is AUTO, the value that simulates fastest of 2 to 10, 16, 32 and 64, or of equal ones the
 * largest, which needs least GPU memory; those that do not fit count only if none does.  Only strides are played whose
 * longest path per step is below the time of the best. */
lspo_status_t lspo_tune_stride(const lspo_model_t *model, const lspo_policy_t *policy, const lspo_machine_t *machine,
                               lspo_workload_t *workload);

/* Is --stride AUTO?  And the strides that lspo_tune_stride() tries; 0 behind the last. */
bool lspo_tune_stride_is_open(const lspo_policy_t *policy, const lspo_workload_t *workload);
int32_t lspo_tune_stride_at(uint32_t index);

/* Append " --compress-by dense" and so on to `text`, for a command that does not know the machine: the products and the
 * lane that are not as in `asked`, or with NULL all that are not what such a command takes, and the stride. */
void lspo_tune_write_products(const lspo_policy_t *policy, const lspo_workload_t *asked, const lspo_workload_t *tuned,
                              size_t text_bytes, char *text);

/* Build the policy's plan with these products, this lane and this stride, with the share of sim/split.h and the chain
 * of sim/partition_tune.h, with the transition stage that simulates fastest, if it is AUTO, and in the order that
 * simulates fastest with LSPO_ORDER_AUTO (sim/order.h). */
lspo_status_t lspo_tune_transition(const lspo_model_t *model, const lspo_workload_t *workload,
                                   const lspo_policy_t *policy, const lspo_machine_t *machine, lspo_plan_t **plan_out);

#endif
