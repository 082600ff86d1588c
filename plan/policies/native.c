/* native: forward, backward and update on the GPU, everything resident [Fig. 7].  The yardstick of every slowdown. */
#include "plan/policies.h"

static lspo_status_t build(lspo_builder_t *b)
{
    lspo_build_resident_memory(b);
    for (uint32_t i = 0; i < b->workload->iterations; i++) {
        lspo_build_step(b, i, false);
        lspo_op_id_t gradients = b->last_compute; /* optimizer.step() follows the whole backward pass */
        lspo_op_id_t norm = lspo_build_norm(b, i, false);
        for (uint32_t s = 0; s < b->stage_count; s++)
            if (b->stages[s].trained)
                lspo_build_update_gpu(b, i, s, norm == LSPO_NO_OP ? gradients : norm);
    }
    return b->status;
}

const lspo_policy_t lspo_policy_native = {
    .name = "native",
    .help = "forward, backward and Adam on the GPU, all state resident",
    .citation = "arXiv 2406.10181, Fig. 7",
    .semantics = LSPO_SEMANTICS_EXACT,
    .clip_help = "norm of the full gradient; costs one pass over it",
    .train_rest_default = true,
    .return_form = LSPO_RETURN_NOTHING,
    .build = build,
};
