/* badam: block-coordinate Adam.  One block is trained for switch_every steps with Adam state that starts from zero;
 * then the next one is.  The backward pass ends at that block: the blocks above it only compute dx, those below keep no
 * activations.  Order: plan/plan.h, lspo_plan_trains(). */
#include "plan/policies/badam.h"
#include "plan/policies.h"
#include "plan/policies/shared.h"

static const lspo_parameter_t switch_every = {
    .key = "switch-every",
    .value = "N",
    .unit = "steps",
    .help = "steps for which one block is trained before the next one",
    .kind = LSPO_RECORD_U32,
    .preset = 50,
    .low = 1,
    .affects = LSPO_AFFECTS_BOTH,
};

static const lspo_parameter_use_t uses[] = {
    {&switch_every, offsetof(lspo_badam_values_t, switch_every), false, NULL},
    {&lspo_parameter_optimizer_state, offsetof(lspo_badam_values_t, optimizer_state), true, NULL},
};
const lspo_parameters_t lspo_badam_parameters = LSPO_PARAMETERS(uses, lspo_badam_values_t);

const lspo_policy_t lspo_policy_badam = {
    .name = "badam",
    .help = "Adam on the GPU trains one block at a time, the others are frozen; the block changes every --switch-every "
            "steps",
    .citation = "Luo, Yu, Li, NeurIPS 2024, arXiv 2404.02827",
    .example = "lspo sim --policy badam --model llama-7b --machine rtx4090 --switch-every 100",
    .parameters = &lspo_badam_parameters,
    .semantics = LSPO_SEMANTICS_OTHER,
    .clip_help = "norm of the gradient of the block being trained; free",
    .optimizer = LSPO_OPTIMIZER_BLOCK_ADAM,
    .turn = &switch_every,
    .method = "badam",
    .return_form = LSPO_RETURN_NOTHING,
    .build = lspo_build_on_gpu,
};
