/* link.c - messages on the link: gradients to the host, updates back and into the weights. */
#include <stdlib.h>

#include "real/session/state.h"

lspo_session_part_t lspo_session_part(const lspo_session_t *session, const lspo_op_t *op)
{
    const uint64_t elements = session->stages[op->layer].message.element_count;
    uint64_t first, count = lspo_chunk_elements(session->plan, elements, op->micro, &first);
    return (lspo_session_part_t){.first = first, .count = count, .is_last = first + count == elements};
}

/* Send the norm for clipping and, if the loss scale is dynamic, the scale of its step. */
static void send_norm(lspo_session_t *session, uint32_t parity)
{
    lspo_device_copy(session->device, LSPO_COPY_D2H, &session->host_norms->norm[parity],
                     &session->gpu_norms->norm[parity], sizeof(float));
    if (session->scaling.dynamic)
        lspo_device_copy(session->device, LSPO_COPY_D2H, &session->host_norms->scale[parity],
                         &session->gpu_norms->scale[parity], sizeof(float));
}

lspo_status_t lspo_session_make_parts(lspo_session_t *session, lspo_session_stage_t *stage)
{
    uint32_t count = lspo_chunk_count(session->plan, stage->message.element_count);
    free(stage->parts);
    stage->parts = NULL;
    stage->part_count = 0;
    if (count == 1 || session->plan->return_form != LSPO_RETURN_PARAMETERS)
        return LSPO_OK;
    stage->parts = calloc((size_t)2 * count, sizeof *stage->parts);
    stage->part_count = count;
    return stage->parts ? LSPO_OK : lspo_no_memory("%u parts of a message", count);
}

/* Where H2D lands. */
static void **staging_of(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    uint32_t parity = lspo_session_parity(session, op);
    return stage->parts ? &stage->parts[(size_t)parity * stage->part_count + op->micro] : &stage->staging[parity];
}

/* The part of a message of so many bytes. */
static void copy_part(lspo_session_t *session, lspo_copy_direction_t direction, lspo_session_part_t part, void *to,
                      const void *from, size_t whole_bytes)
{
    bool whole = part.first == 0 && part.is_last;
    size_t bytes = whole ? whole_bytes : part.count * lspo_number_bytes(session->link);
    lspo_device_copy(session->device, direction, lspo_session_link_at(session, to, part.first),
                     lspo_session_link_at(session, from, part.first), bytes);
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
    const lspo_session_part_t part = lspo_session_part(session, op);
    copy_part(session, LSPO_COPY_D2H, part, landing, from, stage->sent_bytes);
    if (op->gpu_free_bytes == 0) /* another part follows */
        return LSPO_OK;
    lspo_session_give_back(session, &stage->packed[parity]);
    lspo_session_give_back(session, &stage->gradient[parity]);
    return LSPO_OK;
}

lspo_status_t lspo_session_return(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    void **staging = staging_of(session, op);
    const void *outgoing = stage->outgoing[lspo_session_slot(session, op)];
    const void *from = outgoing ? outgoing : stage->returned;
    const lspo_session_part_t part = lspo_session_part(session, op);
    const size_t bytes = stage->parts ? part.count * lspo_number_bytes(session->link) : stage->returned_bytes;
    lspo_status_t status = stage->parts || part.first == 0 ? lspo_session_take(session, bytes, staging) : LSPO_OK;
    if (status != LSPO_OK)
        return status;
    if (stage->parts)
        lspo_device_copy(session->device, LSPO_COPY_H2D, *staging, lspo_session_link_at(session, from, part.first),
                         bytes);
    else
        copy_part(session, LSPO_COPY_H2D, part, *staging, from, bytes);
    return LSPO_OK;
}

lspo_status_t lspo_session_overwrite(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    void **staging = staging_of(session, op);
    const lspo_session_part_t part = lspo_session_part(session, op);
    lspo_compute_convert(session->compute, part.count, session->link, *staging, session->number,
                         lspo_session_at(session, stage->weights, part.first));
    lspo_session_give_back(session, staging);
    return LSPO_OK;
}
