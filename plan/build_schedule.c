/* build_schedule.c - complete steps, and the schedules shared by several policies. */
#include "plan/build_parts.h"

/* The gradient; or, before the last micro-batch, its sum so far. */
static void send_gradient(lspo_builder_t *b, uint32_t iteration, uint32_t micro, uint32_t stage)
{
    lspo_build_stage_t *st = &b->stages[stage];
    if (micro + 1 == b->workload->accumulation) {
        lspo_build_send(b, iteration, stage);
        return;
    }
    st->sent = lspo_build_op(b, LSPO_OP_SWAP_OUT, LSPO_VARIANT_SUM, stage, iteration);
    lspo_build_micro(b, micro);
    lspo_build_depend(b, st->backward);
    lspo_build_gpu_memory(b, 0, st->gradient_bytes);
}

/* The sum of the earlier micro-batches, to which BWD adds, in a place that an older gradient has left. */
static lspo_op_id_t bring_sum(lspo_builder_t *b, uint32_t iteration, uint32_t micro, uint32_t stage)
{
    lspo_build_stage_t *st = &b->stages[stage];
    lspo_op_id_t id = lspo_build_op(b, LSPO_OP_SWAP_IN, LSPO_VARIANT_SUM, stage, iteration);
    lspo_build_micro(b, micro);
    lspo_build_depend(b, st->sent);
    if (stage > 0 || !tied(b))
        lspo_build_bound_gradients(b, micro, stage);
    lspo_build_gpu_memory(b, st->gradient_bytes, 0);
    return id;
}

/* BWD of a tied head begins the embedding's gradient, too. */
static void backward(lspo_builder_t *b, uint32_t iteration, uint32_t micro, uint32_t stage, bool send)
{
    bool brings = send && micro > 0 && b->sums_on_host, tied_embedding = stage == 0 && tied(b);
    lspo_op_id_t own = LSPO_NO_OP, shared = LSPO_NO_OP;
    if (brings && lspo_build_is_sent(b, stage) && !tied_embedding)
        own = bring_sum(b, iteration, micro, stage);
    if (brings && stage == head_of(b) && tied(b) && lspo_build_is_sent(b, 0))
        shared = bring_sum(b, iteration, micro, 0);
    lspo_build_backward(b, iteration, micro, stage, LSPO_NO_OP);
    lspo_build_depend(b, own);
    lspo_build_depend(b, shared);
    if (send && lspo_build_is_sent(b, stage) && (b->sums_on_host || micro + 1 == b->workload->accumulation))
        send_gradient(b, iteration, micro, stage);
}

void lspo_build_step(lspo_builder_t *b, uint32_t iteration, bool send)
{
    for (uint32_t s = 0; s < b->stage_count; s++)
        b->stages[s].sent = b->stages[s].returned = b->stages[s].projected = LSPO_NO_OP;
    lspo_build_calibrate(b, iteration);
    for (uint32_t micro = 0; micro < b->workload->accumulation; micro++) {
        for (uint32_t s = 0; s < b->stage_count; s++)
            lspo_build_forward(b, iteration, micro, s);
        for (uint32_t s = b->stage_count; s-- > 0;)
            backward(b, iteration, micro, s, send);
    }
}

static void rank_stages(lspo_builder_t *b, int32_t transition)
{
    for (uint32_t s = 0; s < b->stage_count; s++)
        b->stages[s].priority_rank = lspo_build_layerwise_rank(s, transition, b->stage_count);
}

/* The updates of a step that do not wait for the norm, then what follows it: where steps clip, shallow layers first. */
static void speculate(lspo_builder_t *b, uint32_t iteration, lspo_op_id_t norm)
{
    const bool redoes = lspo_plan_redoes(b->plan, iteration);
    b->update_variant = LSPO_VARIANT_SPECULATE;
    for (uint32_t s = b->stage_count; s-- > 0;)
        if (lspo_build_is_sent(b, s))
            lspo_build_update(b, iteration, s, LSPO_NO_OP);
    b->update_variant = LSPO_VARIANT_NONE;
    for (uint32_t s = 0; s < b->stage_count; s++) {
        lspo_op_id_t update = b->stages[s].updated;
        if (!lspo_build_is_sent(b, s))
            continue;
        lspo_op_id_t settled =
            lspo_build_op(b, LSPO_OP_UPD, redoes ? LSPO_VARIANT_REDO : LSPO_VARIANT_SETTLE, s, iteration);
        lspo_build_depend(b, update);
        lspo_build_depend(b, norm);
        b->stages[s].updated = settled;
        lspo_build_return(b, iteration, s, settled, LSPO_NO_OP);
    }
}

lspo_status_t lspo_build_layerwise(lspo_builder_t *b, int32_t transition)
{
    rank_stages(b, transition);
    b->plan->layerwise = true;
    for (uint32_t i = 0; i < b->workload->iterations; i++) {
        lspo_build_step(b, i, true);
        lspo_op_id_t norm = lspo_build_updates_gpu(b, i);
        if (lspo_plan_speculates(b->plan)) {
            speculate(b, i, norm);
            continue;
        }
        for (uint32_t s = b->stage_count; s-- > 0;)
            if (lspo_build_is_sent(b, s))
                lspo_build_return(b, i, s, lspo_build_update(b, i, s, norm), LSPO_NO_OP);
        lspo_build_renew(b, i);
    }
    return b->status;
}

lspo_status_t lspo_build_on_gpu(lspo_builder_t *b)
{
    lspo_build_resident_memory(b);
    for (uint32_t i = 0; i < b->workload->iterations; i++) {
        lspo_build_step(b, i, false);
        lspo_op_id_t gradients = b->last_compute;
        lspo_op_id_t norm = lspo_build_norm(b, i);
        for (uint32_t s = 0; s < b->stage_count; s++)
            if (trains(b, s, i))
                lspo_build_update_gpu(b, i, s, norm == LSPO_NO_OP ? gradients : norm);
    }
    return b->status;
}
