/* split.h - which share of the cached tokens kvpr rebuilds.               [Jiang et al., arXiv 2411.17089, scheduler]
 *
 * Of s cached tokens l = u s are rebuilt.  X(l), KV(s - l) are the times of a block's inputs and of the rest of its
 * cache on the link, R(l) and F those of rebuilding and of the forward pass on the GPU, W that of its weights on the
 * link, n micro-batches:
 *     latency      T = X(l) + max(R(l), KV(s - l)) + F
 *     throughput   T = max(W + n (X(l) + KV(s - l)), n (R(l) + F))
 * All grow linearly with l but for the shapes of products, so that T is the largest of two lines, and its minimum a
 * linear program of two variables:  minimise T where T >= each line and 0 <= u <= 1.
 */
#ifndef LSPO_SIM_SPLIT_H
#define LSPO_SIM_SPLIT_H

#include "base/status.h"
#include "sim/fit.h"

/* The profiler and its program: the lines go through the durations of the ops in plans with u near 1/4 and 3/4. */
lspo_status_t lspo_split_by_program(const lspo_fit_question_t *question, double *share_out);
/* The minimum of the simulated time per token, by golden section to 1/256 or one token, and that time. */
lspo_status_t lspo_split_by_simulation(const lspo_fit_question_t *question, double *share_out, double *token_s_out);

/* Set an open --recompute-share of the workload: the fastest of these two, and of none at all, by simulation. */
lspo_status_t lspo_split_tune(const lspo_model_t *model, const lspo_policy_t *policy, const lspo_machine_t *machine,
                              lspo_workload_t *workload);

#endif
