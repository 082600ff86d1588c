/* build_schedule.c - complete steps, and the schedules shared by several policies. */
#include "plan/build_parts.h"

static void send_gradient(lspo_builder_t *b, uint32_t iteration, uint32_t stage)
{
    lspo_build_stage_t *st = &b->stages[stage];
    st->sent = lspo_build_op(b, LSPO_OP_D2H, LSPO_VARIANT_NONE, stage, iteration);
    lspo_build_depend(b, st->backward);
    lspo_build_gpu_memory(b, 0, st->gradient_bytes);
}

void lspo_build_step(lspo_builder_t *b, uint32_t iteration, bool send)
{
    for (uint32_t s = 0; s < b->stage_count; s++)
        b->stages[s].sent = b->stages[s].returned = b->stages[s].projected = LSPO_NO_OP;
    lspo_build_calibrate(b, iteration);
    for (uint32_t micro = 0; micro < b->workload->accumulation; micro++) {
        for (uint32_t s = 0; s < b->stage_count; s++)
            lspo_build_forward(b, iteration, micro, s);
        bool last = micro + 1 == b->workload->accumulation;
        for (uint32_t s = b->stage_count; s-- > 0;) {
            lspo_build_backward(b, iteration, micro, s, LSPO_NO_OP);
            if (send && last && b->stages[s].trained && !b->stages[s].updated_on_gpu)
                send_gradient(b, iteration, s);
        }
    }
}

static void rank_stages(lspo_builder_t *b, int32_t transition)
{
    for (uint32_t s = 0; s < b->stage_count; s++)
        b->stages[s].priority_rank = (int32_t)s <= transition ? s : b->stage_count;
}

lspo_status_t lspo_build_layerwise(lspo_builder_t *b, int32_t transition)
{
    rank_stages(b, transition);
    for (uint32_t i = 0; i < b->workload->iterations; i++) {
        lspo_build_step(b, i, true);
        lspo_op_id_t norm = lspo_build_norm_to_host(b, i, lspo_build_norm(b, i));
        for (uint32_t s = b->stage_count; s-- > 0;)
            if (b->stages[s].trained)
                lspo_build_return(b, i, s, lspo_build_update(b, i, s, norm), LSPO_NO_OP);
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
