/* zero-layerwise: full gradients under the layer-wise schedule of LSP-Offload [Fig. 7, "+layer-wise sch."]. */
#include "plan/policies.h"
#include "plan/policies/shared.h"

static lspo_status_t build(lspo_builder_t *b)
{
    lspo_build_offloaded_memory(b, 1);
    return lspo_build_layerwise(b, lspo_layerwise_values_of(b->workload)->transition);
}

const lspo_policy_t lspo_policy_zero_layerwise = {
    .name = "zero-layerwise",
    .help = "Zero-Offload layer by layer: each update starts when its gradient arrives; shallow layers first up to the "
            "transition",
    .citation = "arXiv 2406.10181, Alg. 1 and Fig. 7",
    .example = "lspo sim --policy zero-layerwise --model llama-7b --machine rtx4090 --transition 8",
    .parameters = &lspo_layerwise_parameters,
    .semantics = LSPO_SEMANTICS_EXACT,
    .clip_help = "norm of the full gradient; a barrier: no update starts before the last gradient is known",
    .train_rest_default = true,
    .method = "adam",
    .return_form = LSPO_RETURN_PARAMETERS,
    .build = build,
};
