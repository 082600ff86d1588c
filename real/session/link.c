/* link.c - messages on the link: gradients to the host, updates back and into the weights. */
#include "real/session/state.h"

/* Send the norm for clipping and, if the loss scale is dynamic, the scale of its step. */
static void send_norm(lspo_session_t *session, uint32_t parity)
{
    lspo_device_copy(session->device, LSPO_COPY_D2H, &session->host_norms->norm[parity],
                     &session->gpu_norms->norm[parity], sizeof(float));
    if (session->scaling.dynamic)
        lspo_device_copy(session->device, LSPO_COPY_D2H, &session->host_norms->scale[parity],
                         &session->gpu_norms->scale[parity], sizeof(float));
}

lspo_status_t lspo_session_send(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    uint32_t parity = lspo_session_parity(session, op);
    void *landing = stage->landing[lspo_session_slot(session, op)];
    if (op->variant == LSPO_VARIANT_NORM_SCALAR) {
        send_norm(session, parity);
        return LSPO_OK;
    }
    if (stage->sending) {
        lspo_device_copy(session->device, LSPO_COPY_D2H, landing, stage->sending, stage->sent_bytes);
        lspo_session_give_back(session, &stage->sending);
        return LSPO_OK;
    }
    const void *from = stage->packed[parity] ? stage->packed[parity] : stage->gradient[parity];
    lspo_device_copy(session->device, LSPO_COPY_D2H, landing, from, stage->sent_bytes);
    lspo_session_give_back(session, &stage->packed[parity]);
    lspo_session_give_back(session, &stage->gradient[parity]);
    return LSPO_OK;
}

lspo_status_t lspo_session_return(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    void **staging = &stage->staging[lspo_session_parity(session, op)];
    const void *outgoing = stage->outgoing[lspo_session_slot(session, op)];
    lspo_status_t status = lspo_session_take(session, stage->returned_bytes, staging);
    if (status != LSPO_OK)
        return status;
    lspo_device_copy(session->device, LSPO_COPY_H2D, *staging, outgoing ? outgoing : stage->returned,
                     stage->returned_bytes);
    return LSPO_OK;
}

lspo_status_t lspo_session_overwrite(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    void **staging = &stage->staging[lspo_session_parity(session, op)];
    lspo_compute_convert(session->compute, stage->message.element_count, session->link, *staging, session->number,
                         stage->weights);
    lspo_session_give_back(session, staging);
    return LSPO_OK;
}
