/* native: forward, backward and update on the GPU, which has all data in its memory [Fig. 7].  The baseline of every
 * slowdown. */
#include "plan/policies.h"

const lspo_policy_t lspo_policy_native = {
    .name = "native",
    .help = "forward, backward and Adam on the GPU, which holds all weights and optimizer state",
    .citation = "arXiv 2406.10181, Fig. 7",
    .example = "lspo sim --policy native --model llama-7b --machine a100-80gb-sxm",
    .semantics = LSPO_SEMANTICS_EXACT,
    .clip_help = "norm of the full gradient; costs one pass over it",
    .train_rest_default = true,
    .method = "adam",
    .return_form = LSPO_RETURN_NOTHING,
    .build = lspo_build_on_gpu,
};
