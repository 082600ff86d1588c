/* lora: W is frozen; adapters A (m x r) and B (n x r) are trained on the GPU: Y = X W + s (X A) B^T with
 * s = alpha / r = 2.  The schedule is native's. */
#include "plan/policies.h"

const lspo_policy_t lspo_policy_lora = {
    .name = "lora",
    .help = "low-rank adapters on every linear layer, trained on the GPU; the weights are frozen",
    .citation = "Hu et al., ICLR 2022, arXiv 2106.09685",
    .semantics = LSPO_SEMANTICS_COMPRESSED,
    .clip_help = "norm of the adapters' gradients; free",
    .gradient_form = LSPO_FORM_ADAPTER,
    .method = "lora",
    .return_form = LSPO_RETURN_NOTHING,
    .build = lspo_build_on_gpu,
};
