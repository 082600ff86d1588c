/* methods.c - the table of training methods. */
#include "real/methods/methods.h"

#include <string.h>

#include "plan/policy.h"

static const lspo_method_t *const methods[] = {
    &lspo_method_adam,  &lspo_method_lsp,   &lspo_method_lora,    &lspo_method_galore,
    &lspo_method_lomo,  &lspo_method_badam, &lspo_method_zenflow, &lspo_method_deep_optimizer_states,
    &lspo_method_axonn, &lspo_method_meft,
};

lspo_status_t lspo_method_find(const lspo_plan_t *plan, const lspo_method_t **method_out)
{
    const char *name = plan->policy->method;
    for (size_t i = 0; name && i < sizeof methods / sizeof methods[0]; i++)
        if (strcmp(methods[i]->name, name) == 0) {
            *method_out = methods[i];
            return LSPO_OK;
        }
    return lspo_error(LSPO_ERR_INTERNAL, "policy %s names method %s, which real/methods/methods.c does not have",
                      plan->policy->name, name ? name : "(none)");
}

lspo_status_t lspo_session_create(const lspo_plan_t *plan, lspo_device_t *device, const lspo_text_t *text,
                                  lspo_session_t **session_out)
{
    const lspo_first_weights_t seeded = {0};
    return lspo_session_create_from(plan, device, text, &seeded, session_out);
}

lspo_status_t lspo_session_create_from(const lspo_plan_t *plan, lspo_device_t *device, const lspo_text_t *text,
                                       const lspo_first_weights_t *first, lspo_session_t **session_out)
{
    const lspo_session_start_t start = {.text = text, .weights = *first};
    const lspo_method_t *method = NULL;
    if (lspo_policy_peers(plan->policy, &plan->workload) > 1)
        return lspo_error(LSPO_ERR_INTERNAL, "a plan of several peers needs a session for each");
    lspo_status_t status = lspo_policy_check_trains(plan->policy, &plan->workload);
    if (status == LSPO_OK)
        status = lspo_method_find(plan, &method);
    if (status != LSPO_OK)
        return status;
    return lspo_session_create_with(plan, device, method, &start, session_out);
}
