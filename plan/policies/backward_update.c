/* backward-update: the strongest exact baseline with full gradients.  Each stage's Adam starts when its gradient
 * arrives, first in, first out on every lane (LoHan's active gradient offload, SlideFormer, torchao). */
#include "plan/policies.h"
#include "plan/policies/shared.h"

static lspo_status_t build(lspo_builder_t *b)
{
    lspo_build_offloaded_memory(b, 1);
    return lspo_build_layerwise(b, -1);
}

const lspo_policy_t lspo_policy_backward_update = {
    .name = "backward-update",
    .help = "full gradients go to the CPU; each layer's Adam starts when its gradient arrives, first in, first out",
    .citation = "Liao et al., LoHan, ICDE 2025",
    .example = "lspo sim --policy backward-update --model llama-7b --machine rtx4090 --gradient-buffers 4",
    .parameters = &lspo_offload_parameters,
    .semantics = LSPO_SEMANTICS_EXACT,
    .clip_help = "norm of the full gradient; a barrier: no update starts before the last gradient is known",
    .train_rest_default = true,
    .method = "adam",
    .return_form = LSPO_RETURN_PARAMETERS,
    .build = build,
};
