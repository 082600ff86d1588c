/* own_values.h - values of a policy's own parameters, by name: what the policy does not have is left out. */
#ifndef LSPO_TESTS_OWN_VALUES_H
#define LSPO_TESTS_OWN_VALUES_H

#include <string.h>

#include "plan/policy.h"

static inline void own_value(const lspo_policy_t *policy, lspo_workload_t *workload, const char *key, double value)
{
    const lspo_parameter_use_t *use = lspo_policy_named_use(policy, key, strlen(key));
    if (use != NULL)
        lspo_parameter_store(use->parameter, value, lspo_policy_slot(policy, workload, use->parameter));
}

#endif
