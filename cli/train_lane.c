/* train_lane.c - see train_lane.h. */
#include "cli/train_lane.h"

#include "plan/policies/lsp.h"
#include "real/train/checkpoint.h"

lspo_status_t lspo_train_settle_lane(lspo_request_t *request, const char *resumed)
{
    uint32_t *lane = lspo_policy_slot(request->policy, &request->workload, &lspo_parameter_basis_lane);
    char kept[LSPO_SETTING_BYTES] = "";
    bool found = false;
    if (lane == NULL || *lane != LSPO_BASIS_LANE_AUTO)
        return LSPO_OK;
    lspo_status_t status =
        resumed != NULL ? lspo_checkpoint_setting(resumed, lspo_parameter_basis_lane.key, kept, &found) : LSPO_OK;
    if (status != LSPO_OK)
        return status;
    const char *value = kept[0] != '\0' ? kept : lspo_parameter_basis_lane.unnamed;
    if (found)
        return lspo_parameter_parse(&lspo_parameter_basis_lane, resumed, value, lane);
    lspo_request_settle(request);
    return LSPO_OK;
}
