/* galore: the full gradient is projected onto r left (or right) singular vectors, Adam runs there on the GPU, and the
 * direction comes back: W <- W - eta s A Adam(A^T G), s = 1/4.  The basis is renewed every `project_every` steps
 * (PROJECT), the moments are kept.  It is made of the gradient of the whole step: with --accumulation the blocks' full
 * gradients stay on the GPU in such a step until the last micro-batch, as the authors' optimizer keeps them in every
 * step.  Weights with min(m, n) <= r keep their full gradient and take a plain step. */
#include "plan/policies.h"

const lspo_policy_t lspo_policy_galore = {
    .name = "galore",
    .help = "gradients projected onto their leading singular vectors, Adam there on the GPU",
    .citation = "Zhao et al., ICML 2024, arXiv 2403.03507",
    .semantics = LSPO_SEMANTICS_COMPRESSED,
    .period_flag = "project-every",
    .period_offset_bytes = offsetof(lspo_workload_t, project_every),
    .period_work = "new bases",
    .clip_help = "norm of the projected gradients; free",
    .gradient_form = LSPO_FORM_LOWRANK,
    .method = "galore",
    .return_form = LSPO_RETURN_NOTHING,
    .build = lspo_build_on_gpu,
};
