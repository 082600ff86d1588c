/* lsp: LSP-Offload [Alg. 1, Fig. 3d].  Each block's gradient is compressed into its subspace on the GPU; the CPU runs
 * Adam there; the GPU adds P D Q^T.  Scheduled stage by stage around the transition. */
#include "plan/policies.h"

static lspo_status_t build(lspo_builder_t *b)
{
    lspo_build_offloaded_memory(b, 1);
    return lspo_build_layerwise(b, b->workload->transition);
}

const lspo_policy_t lspo_policy_lsp = {
    .name = "lsp",
    .help = "LSP-Offload: sparse projectors compress the gradient, Adam in the d x d subspace on the CPU, layer-wise",
    .citation = "Chen et al., AAAI 2025, arXiv 2406.10181, Alg. 1",
    .semantics = LSPO_SEMANTICS_COMPRESSED,
    .period_flag = "check-every",
    .period_offset_bytes = offsetof(lspo_workload_t, check_every),
    .period_work = "checks of the projectors",
    .clip_help =
        "norm over the compressed gradients and what is sent uncompressed (the full one never exists); a barrier",
    .train_rest_default = false,
    .uses_transition = true,
    .gradient_form = LSPO_FORM_SUBSPACE,
    .method = "lsp",
    .return_form = LSPO_RETURN_DELTA,
    .build = build,
};
