/* native: forward, backward and update on the GPU, which has all data in its memory [Fig. 7].  The baseline of every
 * slowdown. */
#include "plan/policies.h"
#include "plan/policies/shared.h"

typedef struct LSPO_VALUES_BLOCK {
    uint32_t optimizer_state; /* lspo_optimizer_state_t */
    uint32_t adam_basis;      /* lspo_adam_basis_t */
    uint32_t basis_every;
} native_values_t;

static const lspo_parameter_use_t uses[] = {
    {&lspo_parameter_optimizer_state, offsetof(native_values_t, optimizer_state), true, NULL},
    {&lspo_parameter_adam_basis, offsetof(native_values_t, adam_basis), false, NULL},
    {&lspo_parameter_basis_every, offsetof(native_values_t, basis_every), false, NULL},
};
static const lspo_parameters_t parameters = LSPO_PARAMETERS(uses, native_values_t);

const lspo_policy_t lspo_policy_native = {
    .name = "native",
    .help = "forward, backward and Adam on the GPU, which holds all weights and optimizer state",
    .citation = "arXiv 2406.10181, Fig. 7",
    .elsewhere = LSPO_ELSEWHERE_OPTIMIZERS,
    .example = "lspo sim --policy native --model llama-7b --machine a100-80gb-sxm",
    .parameters = &parameters,
    .semantics = LSPO_SEMANTICS_EXACT,
    .periods = {LSPO_BASIS_PERIOD},
    .clip_help = "norm of the full gradient; costs one pass over it",
    .train_rest_default = true,
    .method = "adam",
    .return_form = LSPO_RETURN_NOTHING,
    .build = lspo_build_on_gpu,
};
