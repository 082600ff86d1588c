/* swap.c - copy data that is kept on the host between uses to and from device memory. */
#include "real/session/state.h"

lspo_swap_use_t *lspo_session_swap_of(lspo_session_t *session, const lspo_op_t *op, uint32_t stage,
                                      lspo_op_variant_t variant)
{
    const lspo_plan_t *plan = session->plan;
    if (!session->swaps)
        return NULL;
    for (uint32_t i = 0; i < op->dep_count; i++) {
        lspo_op_id_t id = plan->deps[op->dep_first + i];
        const lspo_op_t *before = &plan->ops[id];
        if (before->layer != stage)
            continue;
        if (before->kind == LSPO_OP_SWAP_IN && before->variant == variant)
            return &session->swaps[id];
        if (op->kind == LSPO_OP_SWAP_OUT && before->kind == LSPO_OP_UPD_GPU)
            return lspo_session_swap_of(session, before, stage, variant);
    }
    return NULL;
}

void lspo_session_swap_drop(lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_plan_t *plan = session->plan;
    for (uint32_t i = 0; session->swaps && i < op->dep_count; i++) {
        lspo_op_id_t id = plan->deps[op->dep_first + i];
        const lspo_op_t *before = &plan->ops[id];
        bool parameters = before->kind == LSPO_OP_SWAP_IN && before->variant == LSPO_VARIANT_PARAMETERS;
        if (parameters && session->swaps[id].last_user == (lspo_op_id_t)(op - plan->ops))
            lspo_session_give_back(session, &session->swaps[id].memory);
    }
}

const void *lspo_session_weights_for(lspo_session_t *session, const lspo_op_t *op, uint32_t stage)
{
    const lspo_swap_use_t *use = lspo_session_swap_of(session, op, stage, LSPO_VARIANT_PARAMETERS);
    return use ? use->memory : session->stages[stage].weights;
}

lspo_status_t lspo_session_swap_in(lspo_session_t *session, const lspo_op_t *op, const void *home, size_t bytes)
{
    lspo_swap_use_t *use = &session->swaps[op - session->plan->ops];
    lspo_status_t status = lspo_session_take(session, bytes, &use->memory);
    if (status != LSPO_OK)
        return status;
    lspo_device_copy(session->device, LSPO_COPY_H2D, use->memory, home, bytes);
    return LSPO_OK;
}

lspo_status_t lspo_session_swap_out(lspo_session_t *session, const lspo_op_t *op, void *home, size_t bytes)
{
    lspo_swap_use_t *use = lspo_session_swap_of(session, op, op->layer, (lspo_op_variant_t)op->variant);
    if (!use)
        return lspo_error(LSPO_ERR_INTERNAL, "a SWAP_OUT of stage %u follows no SWAP_IN", op->layer);
    lspo_device_copy(session->device, LSPO_COPY_D2H, home, use->memory, bytes);
    lspo_session_give_back(session, &use->memory);
    return LSPO_OK;
}

lspo_status_t lspo_session_swap_weights_in(lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    return lspo_session_swap_in(session, op, stage->home, stage->shape.element_count * session->number_bytes);
}

lspo_status_t lspo_session_swap_weights_out(lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    return lspo_session_swap_out(session, op, stage->home, stage->shape.element_count * session->number_bytes);
}

static size_t sum_bytes(const lspo_session_t *session, const lspo_session_stage_t *stage)
{
    return stage->gradient_count * session->number_bytes;
}

lspo_status_t lspo_session_swap_sum_in(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    lspo_status_t status = lspo_session_take_gradient(session, op, op->layer);
    if (status != LSPO_OK)
        return status;
    lspo_device_copy(session->device, LSPO_COPY_H2D, stage->gradient[lspo_session_parity(session, op)],
                     stage->landing[lspo_session_slot(session, op)], sum_bytes(session, stage));
    return LSPO_OK;
}

lspo_status_t lspo_session_swap_sum_out(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    uint32_t parity = lspo_session_parity(session, op);
    lspo_device_copy(session->device, LSPO_COPY_D2H, stage->landing[lspo_session_slot(session, op)],
                     stage->gradient[parity], sum_bytes(session, stage));
    lspo_session_give_back(session, &stage->packed[parity]);
    lspo_session_give_back(session, &stage->gradient[parity]);
    return LSPO_OK;
}
