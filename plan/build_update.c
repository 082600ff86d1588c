/* build_update.c - clipping, updates, the transfer of their results, and the schedules shared by several policies. */
#include "plan/build_parts.h"

lspo_op_id_t lspo_build_norm(lspo_builder_t *b, uint32_t iteration)
{
    if (!(b->workload->clip_norm > 0))
        return LSPO_NO_OP;
    lspo_op_id_t norm = lspo_build_op(b, LSPO_OP_NORM, LSPO_VARIANT_NONE, head_of(b), iteration);
    lspo_build_depend(b, b->last_compute);
    return norm;
}

lspo_op_id_t lspo_build_norm_to_host(lspo_builder_t *b, uint32_t iteration, lspo_op_id_t norm)
{
    if (norm == LSPO_NO_OP)
        return LSPO_NO_OP;
    lspo_op_id_t scalar = lspo_build_op(b, LSPO_OP_D2H, LSPO_VARIANT_NORM_SCALAR, head_of(b), iteration);
    lspo_build_depend(b, norm);
    return scalar;
}

bool lspo_build_is_sent(const lspo_builder_t *b, uint32_t stage)
{
    return b->stages[stage].trained && !b->stages[stage].updated_on_gpu;
}

void lspo_build_keep_on_gpu(lspo_build_stage_t *stage)
{
    stage->updated_on_gpu = true;
    stage->gradient_bytes -= stage->packed_bytes;
    stage->packed_bytes = 0;
}

lspo_op_id_t lspo_build_updates_gpu(lspo_builder_t *b, uint32_t iteration)
{
    lspo_op_id_t gradients = b->last_compute, norm = lspo_build_norm(b, iteration);
    bool any_sent = false;
    for (uint32_t s = 0; s < b->stage_count; s++) {
        if (b->stages[s].updated_on_gpu)
            lspo_build_update_gpu(b, iteration, s, norm == LSPO_NO_OP ? gradients : norm);
        any_sent |= lspo_build_is_sent(b, s);
    }
    return any_sent ? lspo_build_norm_to_host(b, iteration, norm) : LSPO_NO_OP;
}

lspo_op_id_t lspo_build_update(lspo_builder_t *b, uint32_t iteration, uint32_t stage, lspo_op_id_t wait)
{
    bool renews = lspo_plan_renews_adam_basis(b->plan, stage, iteration) && !lspo_plan_renews_apart(b->plan);
    lspo_op_id_t id = lspo_build_emit(b, &(lspo_new_op_t){.kind = LSPO_OP_UPD,
                                                          .variant = renews ? LSPO_VARIANT_RENEW : b->update_variant,
                                                          .stage = stage,
                                                          .iteration = iteration,
                                                          .tail = turn_tail(b, iteration, stage)});
    lspo_build_depend(b, b->stages[stage].sent);
    lspo_build_depend(b, b->stages[stage].projected);
    lspo_build_depend(b, b->stages[stage].renewed);
    lspo_build_depend(b, wait);
    b->stages[stage].renewed = LSPO_NO_OP;
    return b->stages[stage].updated = id;
}

lspo_op_id_t lspo_build_update_in_turn(lspo_builder_t *b, uint32_t iteration, uint32_t stage, lspo_op_id_t previous,
                                       lspo_op_id_t norm)
{
    lspo_op_id_t id = lspo_build_update(b, iteration, stage, previous == LSPO_NO_OP ? norm : previous);
    for (uint32_t s = 0; previous == LSPO_NO_OP && s < b->stage_count; s++)
        lspo_build_depend(b, b->stages[s].sent);
    return id;
}

void lspo_build_return(lspo_builder_t *b, uint32_t iteration, uint32_t stage, lspo_op_id_t update, lspo_op_id_t wait)
{
    lspo_build_stage_t *st = &b->stages[stage];
    st->returned = lspo_build_op(b, LSPO_OP_H2D, b->update_variant, stage, iteration);
    lspo_build_depend(b, update);
    lspo_build_depend(b, wait);
    lspo_build_gpu_memory(b, st->link_bytes, 0);
    st->ready = lspo_build_emit(b, &(lspo_new_op_t){.kind = LSPO_OP_APPLY,
                                                    .variant = b->update_variant,
                                                    .stage = stage,
                                                    .iteration = iteration,
                                                    .tail = turn_tail(b, iteration, stage)});
    lspo_build_depend(b, st->returned);
    lspo_build_gpu_memory(b, 0, st->link_bytes);
}

/* Low rank in 16 bits: the steps of one weight at a time are transformed out of the subspace. */
static uint64_t full_step_bytes(const lspo_builder_t *b, const lspo_message_t *message)
{
    uint64_t largest = 0;
    for (uint32_t i = 0; b->workload->precision != LSPO_FP32 && i < message->linear_count; i++) {
        uint64_t elements = (uint64_t)message->linear[i].rows * message->linear[i].cols;
        if (message->linear[i].compressed && elements > largest)
            largest = elements;
    }
    return largest * lspo_precision_bytes(b->workload->precision);
}

lspo_op_id_t lspo_build_update_gpu(lspo_builder_t *b, uint32_t iteration, uint32_t stage, lspo_op_id_t wait)
{
    lspo_build_stage_t *st = &b->stages[stage];
    bool renews = lspo_plan_renews_adam_basis(b->plan, stage, iteration);
    st->ready = lspo_build_op(b, LSPO_OP_UPD_GPU, renews ? LSPO_VARIANT_RENEW : LSPO_VARIANT_NONE, stage, iteration);
    lspo_build_depend(b, st->backward);
    lspo_build_depend(b, wait);
    if (lowrank(b)) {
        lspo_op_id_t update = st->ready;
        st->ready = lspo_build_op(b, LSPO_OP_APPLY, LSPO_VARIANT_NONE, stage, iteration);
        lspo_build_depend(b, update);
        uint64_t scratch_bytes = full_step_bytes(b, &st->message);
        lspo_build_gpu_memory(b, scratch_bytes, scratch_bytes);
    }
    lspo_build_gpu_memory(b, 0, st->gradient_bytes);
    return st->ready;
}
