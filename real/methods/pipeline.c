/* pipeline.c - see pipeline.h. */
#include "real/methods/pipeline.h"

#include <stdlib.h>
#include <string.h>

static size_t token_count(const lspo_session_t *session)
{
    const lspo_tensor_t *token = &session->stages[0].shape.tensors[0];
    return (size_t)token->rows * token->cols;
}

/* What the sender `from` reads, and the receiver writes, each in its own session. */
static lspo_pipeline_range_t range_of(const lspo_session_t *session, const lspo_op_t *op, uint32_t from)
{
    const bool sends = session->place.peer == from;
    const size_t boundary = lspo_session_output_bytes(session) / session->number_bytes;
    if (op->variant == LSPO_VARIANT_PARAMETERS)
        return (lspo_pipeline_range_t){session->stages[0].weights, token_count(session)};
    if (op->variant != LSPO_VARIANT_GRADIENT)
        return (lspo_pipeline_range_t){lspo_session_flight(session, op, op->layer)->output, boundary};
    if (op->layer > 0)
        return (lspo_pipeline_range_t){*lspo_session_dx(session, op), boundary};
    return (lspo_pipeline_range_t){sends ? session->stages[0].gradient[lspo_session_parity(session, op)]
                                         : session->tied_part,
                                   token_count(session)};
}

/* ---- sending ---- */

lspo_status_t lspo_pipeline_make_room(lspo_session_message_t *message, size_t bytes)
{
    if (bytes > message->capacity) {
        free(message->data);
        *message = (lspo_session_message_t){.data = malloc(bytes)};
        if (!message->data)
            return lspo_no_memory("a message of %zu bytes", bytes);
        message->capacity = bytes;
    }
    message->bytes = bytes;
    return LSPO_OK;
}

lspo_status_t lspo_pipeline_pack_range(lspo_session_t *session, lspo_pipeline_range_t range,
                                       lspo_session_message_t *message)
{
    lspo_status_t status = lspo_pipeline_make_room(message, range.count * session->number_bytes);
    return status == LSPO_OK ? lspo_device_read(session->device, message->data, range.numbers, message->bytes) : status;
}

/* In the order of the peers, and nothing is there twice. */
static lspo_status_t pack_squares(const lspo_session_t *session, lspo_session_message_t *message)
{
    double sum = 0;
    lspo_status_t status = lspo_pipeline_make_room(message, sizeof sum);
    if (status != LSPO_OK)
        return status;
    for (uint32_t i = 0; i < session->place.peer_count; i++)
        sum += session->partials[i];
    memcpy(message->data, &sum, sizeof sum);
    return LSPO_OK;
}

lspo_status_t lspo_pipeline_pack(lspo_session_t *session, const lspo_op_t *op, uint32_t to,
                                 lspo_session_message_t *message)
{
    (void)to;
    if (op->variant == LSPO_VARIANT_NORM_SCALAR)
        return pack_squares(session, message);
    return lspo_pipeline_pack_range(session, range_of(session, op, session->place.peer), message);
}

/* The sender's last part of the pass, or of the step. */
lspo_status_t lspo_pipeline_end_send(lspo_session_t *session, const lspo_op_t *op)
{
    if (op->variant == LSPO_VARIANT_NONE)
        lspo_session_give_back(session, &lspo_session_flight(session, op, op->layer)->output);
    if (op->variant == LSPO_VARIANT_GRADIENT && op->layer > 0)
        lspo_session_give_back(session, lspo_session_dx(session, op));
    if (op->variant == LSPO_VARIANT_GRADIENT && op->layer == 0)
        lspo_session_give_back(session, &session->stages[0].gradient[lspo_session_parity(session, op)]);
    return LSPO_OK;
}

/* ---- receiving ---- */

/* The memory that the op takes is the receiver's. */
static lspo_status_t take_place(lspo_session_t *session, const lspo_op_t *op)
{
    const size_t boundary_bytes = lspo_session_output_bytes(session);
    if (op->variant == LSPO_VARIANT_NONE)
        return lspo_session_take(session, boundary_bytes, &lspo_session_flight(session, op, op->layer)->output);
    if (op->variant == LSPO_VARIANT_GRADIENT && op->layer > 0)
        return lspo_session_take(session, boundary_bytes, lspo_session_dx(session, op));
    if (op->variant == LSPO_VARIANT_GRADIENT)
        return lspo_session_take(session, token_count(session) * session->number_bytes, &session->tied_part);
    return LSPO_OK;
}

lspo_status_t lspo_pipeline_check_bytes(const lspo_op_t *op, size_t bytes, size_t expected)
{
    if (bytes == expected)
        return LSPO_OK;
    return lspo_error(LSPO_ERR_CHECK, "a message of stage %u has %zu bytes, not %zu", op->layer, bytes, expected);
}

lspo_status_t lspo_pipeline_unpack_range(lspo_session_t *session, const lspo_op_t *op, lspo_pipeline_range_t range,
                                         const lspo_session_message_t *message)
{
    lspo_status_t status = lspo_pipeline_check_bytes(op, message->bytes, range.count * session->number_bytes);
    return status == LSPO_OK ? lspo_device_write(session->device, range.numbers, message->data, message->bytes)
                             : status;
}

/* What comes contains all that is known: before the own sum is added, or with it. */
static lspo_status_t keep_squares(lspo_session_t *session, const lspo_op_t *op, const lspo_session_message_t *message)
{
    lspo_status_t status = lspo_pipeline_check_bytes(op, message->bytes, sizeof *session->partials);
    if (status != LSPO_OK)
        return status;
    memset(session->partials, 0, session->place.peer_count * sizeof *session->partials);
    memcpy(&session->partials[0], message->data, message->bytes);
    return LSPO_OK;
}

lspo_status_t lspo_pipeline_unpack(lspo_session_t *session, const lspo_op_t *op, uint32_t from,
                                   const lspo_session_message_t *message)
{
    if (op->variant == LSPO_VARIANT_NORM_SCALAR)
        return keep_squares(session, op, message);
    lspo_status_t status = take_place(session, op);
    if (status != LSPO_OK)
        return status;
    return lspo_pipeline_unpack_range(session, op, range_of(session, op, from), message);
}

lspo_status_t lspo_pipeline_apply(lspo_session_t *session, const lspo_op_t *op)
{
    return session->stages[op->layer].copied_elements > 0 ? LSPO_OK : lspo_session_overwrite(session, op);
}
