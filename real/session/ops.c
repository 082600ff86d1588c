/* ops.c - the table of functions that execute the ops of a plan. */
#include <stdlib.h>

#include "real/session/state.h"

/* The session's own handlers; a method's handler has priority. */
static const lspo_method_op_t own_handlers[LSPO_OP_KIND_COUNT] = {
    [LSPO_OP_FWD] = lspo_session_forward,
    [LSPO_OP_RECOMPUTE] = lspo_session_recompute,
    [LSPO_OP_BWD] = lspo_session_backward,
    [LSPO_OP_NORM] = lspo_session_norm,
    [LSPO_OP_D2H] = lspo_session_send,
    [LSPO_OP_H2D] = lspo_session_return,
    [LSPO_OP_APPLY] = lspo_session_overwrite,
    [LSPO_OP_SWAP_IN] = lspo_session_swap_weights_in,
    [LSPO_OP_SWAP_OUT] = lspo_session_swap_weights_out,
};

static bool skips(const lspo_session_t *session, const lspo_op_t *op)
{
    return session->method->skips && session->method->skips(session, op);
}

static lspo_status_t handle(lspo_session_t *session, const lspo_op_t *op)
{
    if (lspo_op_swaps_activations(op))
        return op->kind == LSPO_OP_SWAP_OUT ? lspo_session_activations_out(session, op)
                                            : lspo_session_activations_in(session, op);
    lspo_method_op_t handler = session->method->ops[op->kind];
    if (!handler)
        handler = own_handlers[op->kind];
    if (!handler)
        return lspo_error(LSPO_ERR_INPUT, "method %s does not execute %s ops", session->method->name,
                          lspo_op_kind_name((lspo_op_kind_t)op->kind));
    return handler(session, op);
}

void lspo_session_message_release(lspo_session_message_t *message)
{
    free(message->data);
    *message = (lspo_session_message_t){0};
}

lspo_status_t lspo_session_begin_send(lspo_session_t *session, const lspo_op_t *op)
{
    return session->method->begin_send ? session->method->begin_send(session, op) : LSPO_OK;
}

lspo_status_t lspo_session_pack(lspo_session_t *session, const lspo_op_t *op, uint32_t to,
                                lspo_session_message_t *message)
{
    return session->method->pack(session, op, to, message);
}

lspo_status_t lspo_session_unpack(lspo_session_t *session, const lspo_op_t *op, uint32_t from,
                                  const lspo_session_message_t *message)
{
    return session->method->unpack(session, op, from, message);
}

lspo_status_t lspo_session_end_send(lspo_session_t *session, const lspo_op_t *op)
{
    return session->method->end_send(session, op);
}

lspo_status_t lspo_session_finish_op(void *session_void, const lspo_op_t *op)
{
    lspo_session_t *session = session_void;
    if (op->kind != LSPO_OP_FWD || op->layer + 1U != session->stage_count || skips(session, op))
        return LSPO_OK;
    return lspo_session_judge_loss(session, op);
}

lspo_status_t lspo_session_run_op(void *session_void, const lspo_op_t *op)
{
    lspo_session_t *session = session_void;
    if (lspo_op_kind_lane((lspo_op_kind_t)op->kind) != LSPO_LANE_GPU)
        return handle(session, op);
    lspo_status_t status = op->kind == LSPO_OP_UPD_GPU ? lspo_session_settle_norm(session, op) : LSPO_OK;
    if (status == LSPO_OK && !skips(session, op))
        status = handle(session, op);
    if (status != LSPO_OK)
        return status;
    status = lspo_compute_status(session->compute);
    if (status != LSPO_OK)
        return status;
    return !session->asynchronous ? lspo_session_finish_op(session, op) : LSPO_OK;
}
