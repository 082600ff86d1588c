/* build_activations.c - activations that wait on the host between forward and backward: --swap-activations N.
 *
 * Of B blocks the first N do not keep their activations on the GPU: what a block keeps (its input and, without
 * checkpointing, `saved`) leaves behind its FWD (SWAP_OUT) and returns ahead of its BWD or RECOMPUTE (SWAP_IN).  The
 * GPU has places for K = B - N blocks:
 *     FWD of block s      waits until block s - K has left
 *     SWAP_IN of block s  waits until the backward of block s + K has given its activations back
 * So the last K blocks, whose backward comes first, need not leave.  K = 1 has no place ahead: each copy then blocks
 * the GPU.  In the probe of lomo --clip the last K blocks keep their places for the second pass, and the others have
 * two places in addition. */
#include "plan/build_parts.h"

static uint32_t places(const lspo_builder_t *b)
{
    return b->model->block_count - b->workload->swap_activations;
}

/* The pass that a SWAP_OUT or SWAP_IN is of, by the variant of its FWD or BWD. */
static lspo_op_variant_t swap_variant(lspo_op_variant_t variant)
{
    return variant == LSPO_VARIANT_CALIBRATE || variant == LSPO_VARIANT_PROBE ? variant : LSPO_VARIANT_ACTIVATIONS;
}

void lspo_build_activations_leave(lspo_builder_t *b, lspo_op_variant_t variant, uint32_t iteration, uint32_t micro,
                                  uint32_t stage)
{
    const uint32_t block = stage > 0 ? stage - 1 : 0;
    if (!lspo_plan_swaps_activations(b->plan, block))
        return;
    b->stages[block].left = LSPO_NO_OP;
    if (variant != LSPO_VARIANT_CALIBRATE && block < lowest_trained(b, iteration))
        return; /* it keeps nothing */
    b->stages[block].left = lspo_build_emit(b, &(lspo_new_op_t){.kind = LSPO_OP_SWAP_OUT,
                                                                .variant = swap_variant(variant),
                                                                .stage = block,
                                                                .iteration = iteration,
                                                                .micro = micro});
    lspo_build_depend(b, b->last_compute);
    lspo_build_gpu_memory(b, 0, kept_bytes(b));
}

void lspo_build_activations_place(lspo_builder_t *b, uint32_t stage)
{
    if (b->workload->swap_activations > 0 && stage < head_of(b) && stage > places(b))
        lspo_build_depend(b, b->stages[stage - places(b)].left);
}

lspo_op_id_t lspo_build_activations_return(lspo_builder_t *b, lspo_op_variant_t variant, uint32_t iteration,
                                           uint32_t micro, uint32_t stage)
{
    const uint32_t ahead = variant == LSPO_VARIANT_PROBE ? 2 : places(b), above = stage + ahead;
    if (!lspo_plan_swaps_activations(b->plan, stage))
        return LSPO_NO_OP;
    lspo_op_id_t id = lspo_build_emit(b, &(lspo_new_op_t){.kind = LSPO_OP_SWAP_IN,
                                                          .variant = swap_variant(variant),
                                                          .stage = stage,
                                                          .iteration = iteration,
                                                          .micro = micro});
    lspo_build_depend(b, b->stages[stage].left);
    lspo_build_depend(b, b->stages[above].backward);
    lspo_build_gpu_memory(b, kept_bytes(b), 0);
    return id;
}
