#include "plan/policies.h"

#include <stdio.h>
#include <string.h>

static const lspo_policy_t *const policies[] = {
    &lspo_policy_native,       &lspo_policy_swap,           &lspo_policy_zero,
    &lspo_policy_zero_delayed, &lspo_policy_zero_layerwise, &lspo_policy_backward_update,
    &lspo_policy_lsp,          &lspo_policy_lsp_paper,      &lspo_policy_lora,
    &lspo_policy_galore,       &lspo_policy_lomo,           &lspo_policy_badam,
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

lspo_status_t lspo_policy_find(const char *name, const lspo_policy_t **policy_out)
{
    char valid[512] = "";
    for (uint32_t i = 0; i < lspo_policy_count(); i++) {
        if (strcmp(policies[i]->name, name) == 0) {
            *policy_out = policies[i];
            return LSPO_OK;
        }
        size_t used = strlen(valid);
        snprintf(valid + used, sizeof valid - used, "%s%s", i ? ", " : "", policies[i]->name);
    }
    return lspo_error(LSPO_ERR_INPUT, "unknown policy '%s'; valid: %s", name, valid);
}

const char *lspo_semantics_name(lspo_semantics_t semantics)
{
    switch (semantics) {
    case LSPO_SEMANTICS_EXACT:
        return "exact";
    case LSPO_SEMANTICS_STALE:
        return "stale";
    case LSPO_SEMANTICS_COMPRESSED:
        return "compressed";
    case LSPO_SEMANTICS_OTHER:
        return "other";
    }
    return "?";
}
