/* generation_table.c - the table of the policies of generation, in the order of lists; see policy.h. */
#include "plan/policies.h"

static const lspo_policy_t *const policies[] = {
    &lspo_policy_resident,
    &lspo_policy_offload_weights,
    &lspo_policy_offload_cache,
    &lspo_policy_kvpr,
    &lspo_policy_marlin,
    &lspo_policy_endor,
    &lspo_policy_qmoe,
    &lspo_policy_vtensor,
};

uint32_t lspo_generation_policy_count(void)
{
    return (uint32_t)(sizeof policies / sizeof policies[0]);
}

const lspo_policy_t *lspo_generation_policy_at(uint32_t index)
{
    return policies[index];
}
