/* galore: the full gradient is projected onto r left (or right) singular vectors, Adam runs in that subspace on the
 * GPU, and its direction is projected back: W <- W - eta s A Adam(A^T G), s = 1/4.  The basis is renewed every
 * `project_every` steps (PROJECT); the moments are kept.  A new basis comes from the gradient of the whole step: with
 * --accumulation, such a step keeps the blocks' full gradients on the GPU until the last micro-batch. (The authors'
 * optimizer keeps them in every step.) Weights with min(m, n) <= r keep their full gradient and take a plain step. */
#include "plan/policies/galore.h"
#include "plan/policies.h"
#include "plan/policies/shared.h"

static const lspo_parameter_t project_every = {
    .key = "project-every",
    .value = "N",
    .unit = "steps",
    .help = "steps between new bases; with --accumulation, a step with new bases keeps the blocks' full gradients",
    .kind = LSPO_RECORD_U32,
    .preset = 200,
    .low = 1,
    .affects = LSPO_AFFECTS_BOTH,
};

static const lspo_parameter_use_t uses[] = {
    {&lspo_parameter_rank, offsetof(lspo_galore_values_t, rank), true, NULL},
    {&project_every, offsetof(lspo_galore_values_t, project_every), false, NULL},
    {&lspo_parameter_optimizer_state, offsetof(lspo_galore_values_t, optimizer_state), true, NULL},
    {&lspo_parameter_adam_basis, offsetof(lspo_galore_values_t, adam_basis), false, NULL},
    {&lspo_parameter_basis_every, offsetof(lspo_galore_values_t, basis_every), false, NULL},
};
const lspo_parameters_t lspo_galore_parameters = LSPO_PARAMETERS(uses, lspo_galore_values_t);

static void describe_message(const lspo_workload_t *workload, const lspo_stage_t *stage, bool train_rest,
                             lspo_message_t *message_out)
{
    lspo_message_lowrank(stage, lspo_galore_values_of(workload)->rank, train_rest, message_out);
}

const lspo_policy_t lspo_policy_galore = {
    .name = "galore",
    .help = "gradients are projected onto their leading singular vectors; Adam runs in that subspace on the GPU",
    .citation = "Zhao et al., ICML 2024, arXiv 2403.03507",
    .example = "lspo sim --policy galore --model llama-7b --machine rtx4090 --rank 128 --project-every 50",
    .parameters = &lspo_galore_parameters,
    .semantics = LSPO_SEMANTICS_COMPRESSED,
    .periods = {{&project_every, 1, "new bases"}, LSPO_BASIS_PERIOD},
    .clip_help = "norm of the projected gradients; free",
    .gradient_form = LSPO_FORM_LOWRANK,
    .method = "galore",
    .return_form = LSPO_RETURN_NOTHING,
    .build = lspo_build_on_gpu,
    .describe_message = describe_message,
};
