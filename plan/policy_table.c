/* policy_table.c - the table of all policies, in the order of lists; see policy.h. */
#include "plan/policies.h"

static const lspo_policy_t *const policies[] = {
    &lspo_policy_native,
    &lspo_policy_swap,
    &lspo_policy_stream,
    &lspo_policy_zero,
    &lspo_policy_zero_delayed,
    &lspo_policy_zero_layerwise,
    &lspo_policy_backward_update,
    &lspo_policy_deep_optimizer_states,
    &lspo_policy_axonn,
    &lspo_policy_fusion,
    &lspo_policy_lsp,
    &lspo_policy_lsp_paper,
    &lspo_policy_lora,
    &lspo_policy_meft,
    &lspo_policy_galore,
    &lspo_policy_lomo,
    &lspo_policy_badam,
    &lspo_policy_zenflow,
};

uint32_t lspo_policy_count(void)
{
    return (uint32_t)(sizeof policies / sizeof policies[0]);
}

const lspo_policy_t *lspo_policy_at(uint32_t index)
{
    return policies[index];
}
