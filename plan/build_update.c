/* build_update.c - clipping, updates, the transfer of their results, and the schedules shared by several policies. */
#include "plan/build_parts.h"
#include "plan/chunks.h"

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

/* One of `parts` ops that follow each other. */
static lspo_op_id_t build_part(lspo_builder_t *b, lspo_new_op_t op, uint32_t part, uint32_t parts)
{
    op.micro = part;
    if (parts > 1)
        op.tail = part + 1 < parts ? PART_FULL : PART_LAST;
    return lspo_build_emit(b, &op);
}

lspo_op_id_t lspo_build_part(lspo_builder_t *b, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t stage,
                             uint32_t iteration, uint32_t part)
{
    const lspo_new_op_t op = {.kind = kind, .variant = variant, .stage = stage, .iteration = iteration};
    return build_part(b, op, part, b->stages[stage].parts);
}

/* The op of that part, of which the last is `last`. */
static lspo_op_id_t part_of(lspo_op_id_t last, uint32_t part, uint32_t parts)
{
    return last == LSPO_NO_OP ? last : last + 1 - parts + part;
}

void lspo_build_send(lspo_builder_t *b, uint32_t iteration, uint32_t stage)
{
    lspo_build_stage_t *st = &b->stages[stage];
    for (uint32_t part = 0; part < st->parts; part++) {
        st->sent = build_part(b, (lspo_new_op_t){.kind = LSPO_OP_D2H, .stage = stage, .iteration = iteration}, part,
                              st->parts);
        lspo_build_depend(b, st->backward);
    }
    lspo_build_gpu_memory(b, 0, st->gradient_bytes);
}

/* Part `part` waits for its own D2H, or the only one for that of the last part; with `all` for those of all stages. */
static lspo_op_id_t update_part(lspo_builder_t *b, const lspo_new_op_t *op, uint32_t part, lspo_op_id_t wait, bool all)
{
    const lspo_build_stage_t *st = &b->stages[op->stage];
    lspo_op_id_t id = build_part(b, *op, part, st->update_parts);
    lspo_build_depend(b, st->update_parts > 1 ? part_of(st->sent, part, st->parts) : st->sent);
    lspo_build_depend(b, st->projected);
    lspo_build_depend(b, st->renewed);
    lspo_build_depend(b, wait);
    for (uint32_t s = 0; all && s < b->stage_count; s++)
        lspo_build_depend(b, b->stages[s].sent);
    return id;
}

static lspo_op_id_t update(lspo_builder_t *b, uint32_t iteration, uint32_t stage, lspo_op_id_t wait, bool all)
{
    bool renews = lspo_plan_renews_adam_basis(b->plan, stage, iteration) && !lspo_plan_renews_apart(b->plan);
    lspo_build_stage_t *st = &b->stages[stage];
    const lspo_new_op_t op = {.kind = LSPO_OP_UPD,
                              .variant = renews ? LSPO_VARIANT_RENEW : b->update_variant,
                              .stage = stage,
                              .iteration = iteration,
                              .tail = turn_tail(b, iteration, stage)};
    for (uint32_t part = 0; part < st->update_parts; part++)
        st->updated = update_part(b, &op, part, wait, all);
    st->renewed = LSPO_NO_OP;
    return st->updated;
}

lspo_op_id_t lspo_build_update(lspo_builder_t *b, uint32_t iteration, uint32_t stage, lspo_op_id_t wait)
{
    return update(b, iteration, stage, wait, false);
}

lspo_op_id_t lspo_build_update_in_turn(lspo_builder_t *b, uint32_t iteration, uint32_t stage, lspo_op_id_t previous,
                                       lspo_op_id_t norm)
{
    return update(b, iteration, stage, previous == LSPO_NO_OP ? norm : previous, previous == LSPO_NO_OP);
}

/* Of the part that has just returned, or of the whole after its last part. */
static void apply(lspo_builder_t *b, const lspo_new_op_t *h2d, uint32_t part, uint32_t parts, uint64_t bytes)
{
    lspo_build_stage_t *st = &b->stages[h2d->stage];
    lspo_new_op_t op = *h2d;
    op.kind = LSPO_OP_APPLY;
    op.tail = turn_tail(b, h2d->iteration, h2d->stage);
    st->ready = build_part(b, op, parts > 1 ? part : 0, parts);
    lspo_build_depend(b, st->returned);
    lspo_build_gpu_memory(b, 0, bytes);
}

void lspo_build_return(lspo_builder_t *b, uint32_t iteration, uint32_t stage, lspo_op_id_t update, lspo_op_id_t wait)
{
    lspo_build_stage_t *st = &b->stages[stage];
    const uint32_t returns = b->plan->return_form == LSPO_RETURN_PARAMETERS ? st->parts : 1;
    for (uint32_t part = 0; part < st->parts; part++) {
        const lspo_new_op_t h2d = {
            .kind = LSPO_OP_H2D, .variant = b->update_variant, .stage = stage, .iteration = iteration};
        const uint64_t elements = lspo_build_part_elements(b, stage, part);
        uint64_t bytes = returns > 1 ? elements * lspo_precision_bytes(b->workload->transfer) : st->link_bytes;
        st->returned = build_part(b, h2d, part, st->parts);
        lspo_build_depend(b, st->update_parts > 1 ? part_of(update, part, st->parts) : update);
        lspo_build_depend(b, wait);
        lspo_build_gpu_memory(b, returns > 1 || part == 0 ? bytes : 0, 0);
        if (returns > 1 || part + 1 == st->parts)
            apply(b, &h2d, part, returns, bytes);
    }
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
