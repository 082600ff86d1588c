/* backward-update: the strongest exact full-rank baseline: each stage's Adam runs as soon as its gradient lands, first
 * in first out on every lane (LoHan's active gradient offload, SlideFormer, torchao). */
#include "plan/policies.h"
#include "plan/policies/shared.h"

static lspo_status_t build(lspo_builder_t *b)
{
    lspo_build_offloaded_memory(b, 1);
    return lspo_build_layerwise(b, -1);
}

const lspo_policy_t lspo_policy_backward_update = {
    .name = "backward-update",
    .help = "exact full-rank offload: each stage's Adam as soon as its gradient lands, first in first out",
    .citation = "Liao et al., LoHan, ICDE 2025",
    .example = "lspo sim --policy backward-update --model llama-7b --machine rtx4090 --gradient-buffers 4",
    .parameters = &lspo_offload_parameters,
    .semantics = LSPO_SEMANTICS_EXACT,
    .clip_help = "norm of the full gradient; a barrier: no update before the last gradient is known",
    .train_rest_default = true,
    .method = "adam",
    .return_form = LSPO_RETURN_PARAMETERS,
    .build = build,
};
