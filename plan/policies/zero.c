/* zero: Zero-Offload [Fig. 3a].  Gradients go to the CPU stage by stage during backward.  The CPU optimizer starts when
 * all have arrived; each stage's new parameters return while the next one is updated; the next forward waits for all.
 */
#include "plan/policies.h"
#include "plan/policies/shared.h"

/* No update starts before all gradients have arrived: the first update waits for all of them, each later one for the
 * previous update. */
static lspo_op_id_t update_after_all(lspo_builder_t *b, uint32_t iteration, uint32_t stage, lspo_op_id_t previous,
                                     lspo_op_id_t norm)
{
    lspo_op_id_t id = lspo_build_update(b, iteration, stage, previous == LSPO_NO_OP ? norm : previous);
    if (previous == LSPO_NO_OP)
        for (uint32_t s = 0; s < b->stage_count; s++)
            lspo_build_depend(b, b->stages[s].sent);
    return id;
}

static lspo_status_t build(lspo_builder_t *b)
{
    lspo_build_offloaded_memory(b, 1);
    b->forward_waits_all = true;
    for (uint32_t i = 0; i < b->workload->iterations; i++) {
        lspo_build_step(b, i, true);
        lspo_op_id_t norm = lspo_build_norm_to_host(b, i, lspo_build_norm(b, i));
        lspo_op_id_t update = LSPO_NO_OP;
        for (uint32_t s = 0; s < b->stage_count; s++) {
            if (!b->stages[s].trained)
                continue;
            update = update_after_all(b, i, s, update, norm);
            lspo_build_return(b, i, s, update, LSPO_NO_OP);
        }
    }
    return b->status;
}

const lspo_policy_t lspo_policy_zero = {
    .name = "zero",
    .help =
        "Zero-Offload: gradients go to the CPU, Adam starts there after the last one, parameters return before forward",
    .citation = "Ren et al., USENIX ATC 2021; arXiv 2406.10181, Fig. 3a",
    .example = "lspo sim --policy zero --model llama-7b --machine rtx4090 --gradient-buffers 0",
    .parameters = &lspo_offload_parameters,
    .semantics = LSPO_SEMANTICS_EXACT,
    .clip_help = "norm of the full gradient; free, since updates wait for all gradients anyway",
    .train_rest_default = true,
    .method = "adam",
    .return_form = LSPO_RETURN_PARAMETERS,
    .build = build,
};
