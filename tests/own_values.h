/* own_values.h - set a policy's own parameters by name; those that the policy does not have are skipped. */
#ifndef LSPO_TESTS_OWN_VALUES_H
#define LSPO_TESTS_OWN_VALUES_H

#include <string.h>

#include "plan/policies/galore.h"
#include "plan/policies/lora.h"
#include "plan/policies/lsp.h"
#include "plan/policies/shared.h"
#include "plan/policies/stream.h"
#include "plan/policies/zero.h"
#include "plan/policy.h"

static inline void own_value(const lspo_policy_t *policy, lspo_workload_t *workload, const char *key, double value)
{
    const lspo_parameter_use_t *use = lspo_policy_named_use(policy, key, strlen(key));
    if (use != NULL)
        lspo_parameter_store(use->parameter, value, lspo_policy_slot(policy, workload, use->parameter));
}

/* What several policies have, given to each of them. */
static inline void set_rank(lspo_workload_t *workload, uint32_t rank)
{
    lspo_lora_values_edit(workload)->rank = lspo_galore_values_edit(workload)->rank = rank;
}

static inline void set_transition(lspo_workload_t *workload, int32_t transition)
{
    lspo_lsp_values_edit(workload)->transition = lspo_layerwise_values_edit(workload)->transition = transition;
}

static inline void set_gradient_buffers(lspo_workload_t *workload, uint32_t buffers)
{
    lspo_offload_values_edit(workload)->gradient_buffers = buffers;
    lspo_zero_values_edit(workload)->gradient_buffers = buffers;
    lspo_stream_values_edit(workload)->gradient_buffers = buffers;
    lspo_layerwise_values_edit(workload)->gradient_buffers = buffers;
}

static inline void set_accumulate_on(lspo_workload_t *workload, lspo_accumulate_on_t where)
{
    lspo_offload_values_edit(workload)->accumulate_on = where;
    lspo_zero_values_edit(workload)->accumulate_on = where;
    lspo_layerwise_values_edit(workload)->accumulate_on = where;
}

static inline int32_t transition_of(const lspo_plan_t *plan)
{
    return *(const int32_t *)lspo_policy_value(plan->policy, &plan->workload, &lspo_parameter_transition);
}

#endif
