/* savers.c - what fits only with fewer bits; see savers.h. */
#include "sim/savers.h"

#include "plan/optimizer_state.h"
#include "plan/policies/lora.h"
#include "plan/policies/shared.h"

static const lspo_saver_t savers[] = {
    {&lspo_parameter_optimizer_state, LSPO_OPTIMIZER_STATE_BF16, "Adam's m and v in bf16"},
    {&lspo_parameter_optimizer_state, LSPO_OPTIMIZER_STATE_8BIT, "Adam's m and v in 8 bits"},
    {&lspo_parameter_base_weights, LSPO_BASE_WEIGHTS_NF4, "adapters on 4-bit weights"},
};

const lspo_saver_t *lspo_saver_at(uint32_t index)
{
    return index < sizeof savers / sizeof savers[0] ? &savers[index] : NULL;
}

typedef struct {
    const lspo_choose_options_t *options;
    const lspo_saver_t *saver;
} context_t;

/* The policy's own values as they are given, and then the saver's. */
static lspo_status_t prepare(void *context, const lspo_policy_t *policy, lspo_workload_t *workload)
{
    const context_t *it = context;
    lspo_status_t status = lspo_choose_prepare(it->options, policy, workload);
    if (status == LSPO_OK)
        lspo_parameter_store(it->saver->parameter, it->saver->value,
                             lspo_policy_slot(policy, workload, it->saver->parameter));
    return status;
}

lspo_status_t lspo_choose_with_saver(const lspo_choose_options_t *options, const lspo_saver_t *saver,
                                     lspo_choice_t *choice_out)
{
    context_t context = {options, saver};
    lspo_choose_options_t with = *options;
    lspo_choice_t best = {0};
    with.prepare = prepare;
    with.prepare_context = &context;
    for (uint32_t i = 0; i < lspo_any_policy_count(); i++) {
        const lspo_policy_t *policy = lspo_any_policy_at(i);
        lspo_choice_t choice = {0};
        if (!lspo_choose_wants(options, policy) ||
            lspo_policy_value(policy, &options->workload, saver->parameter) == NULL)
            continue;
        lspo_status_t status = lspo_choose_policy(&with, policy, &choice);
        if (status != LSPO_OK)
            return status;
        if (choice.prediction.fits && (best.policy == NULL || lspo_choice_precedes(&choice, &best)))
            best = choice;
    }
    *choice_out = best;
    return LSPO_OK;
}
