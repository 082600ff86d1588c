/* zero-delayed: Zero-Offload with the update one step late [Fig. 3b]: W_{i+1} = W_i - eta Adam(g_{i-1}).  While the GPU
 * computes iteration i, the CPU updates with the gradients of i-1; a stage's new parameters return once its backward
 * pass of iteration i is done.  The first step updates nothing, and the last gradient is drained at the end.  UPD, H2D
 * and APPLY carry the iteration of their gradient.  In a segment of a longer training (plan/workload.h) the first step
 * updates with the gradient that the previous segment left (variant PENDING); a segment with an open end leaves its
 * last gradient to the next one.  With --native-layers the GPU updates the first layers after each backward pass, so
 * that only the others are late. */
#include "plan/policies.h"
#include "plan/policies/shared.h"

#include <stdlib.h>

static void update_all(lspo_builder_t *b, uint32_t iteration, lspo_op_id_t norm, lspo_op_id_t *updates)
{
    lspo_op_id_t previous = LSPO_NO_OP;
    for (uint32_t s = 0; s < b->stage_count; s++) {
        if (!lspo_build_is_sent(b, s))
            continue;
        previous = updates[s] = lspo_build_update_in_turn(b, iteration, s, previous, norm);
    }
}

/* The weights of a stage may change once its backward pass is done; a tied head reads the embedding's before that. */
static void return_all(lspo_builder_t *b, uint32_t iteration, const lspo_op_id_t *updates)
{
    for (uint32_t s = b->stage_count; s-- > 0;)
        if (lspo_build_is_sent(b, s))
            lspo_build_return(b, iteration, s, updates[s], b->stages[s].backward);
}

static lspo_status_t build(lspo_builder_t *b)
{
    uint32_t iterations = b->workload->iterations;
    lspo_op_id_t *updates = malloc(b->stage_count * sizeof *updates);
    if (!updates)
        return lspo_no_memory("a plan");
    lspo_build_offloaded_memory(b, 2);
    lspo_op_id_t norm = LSPO_NO_OP;
    bool pending = b->workload->first_step > 0;
    for (uint32_t i = 0; i < iterations; i++) {
        uint32_t of = i > 0 ? i - 1 : 0;
        b->update_variant = i > 0 ? LSPO_VARIANT_NONE : LSPO_VARIANT_PENDING;
        if (i > 0 || pending)
            update_all(b, of, norm, updates);
        lspo_build_step(b, i, true);
        norm = lspo_build_updates_gpu(b, i);
        if (i > 0 || pending)
            return_all(b, of, updates);
    }
    b->update_variant = LSPO_VARIANT_NONE;
    if (!b->workload->open_end) {
        update_all(b, iterations - 1, norm, updates);
        return_all(b, iterations - 1, updates);
    }
    free(updates);
    return b->status;
}

const lspo_policy_t lspo_policy_zero_delayed = {
    .name = "zero-delayed",
    .help = "Zero-Offload with Adam one step late, during the next iteration's forward and backward",
    .citation = "Ren et al., USENIX ATC 2021 (DPU); arXiv 2406.10181, Fig. 3b",
    .example = "lspo sim --policy zero-delayed --model llama-7b --machine rtx4090",
    .parameters = &lspo_offload_parameters,
    .semantics = LSPO_SEMANTICS_STALE,
    .staleness_steps = 1,
    .clip_help = "norm of the full gradient, known long before its late update; free",
    .train_rest_default = true,
    .method = "adam",
    .return_form = LSPO_RETURN_PARAMETERS,
    .build = build,
};
