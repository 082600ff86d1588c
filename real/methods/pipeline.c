/* pipeline.c - see pipeline.h. */
#include "real/methods/pipeline.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/columns.h"

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

/* How many of the largest numbers the plan sends; 0: all. */
static size_t kept_count(const lspo_session_t *session, const lspo_op_t *op)
{
    const uint64_t bytes = lspo_work_link_bytes(&session->plan->works[op->work]);
    const bool passes = op->variant == LSPO_VARIANT_NONE || (op->variant == LSPO_VARIANT_GRADIENT && op->layer > 0);
    return passes && bytes < lspo_session_output_bytes(session) ? bytes / (session->number_bytes + sizeof(uint32_t))
                                                                : 0;
}

/* The message has been packed: cut it down to its largest numbers. */
static lspo_status_t keep_largest(const lspo_session_t *session, size_t kept, lspo_session_message_t *message)
{
    const size_t bytes = session->number_bytes, count = message->bytes / bytes;
    float *numbers = malloc((3 * count + 1) * sizeof *numbers);
    uint32_t *indices = malloc((count + 1) * sizeof *indices);
    char *values = malloc(message->bytes + 1), *data = message->data;
    if (!numbers || !indices || !values) {
        free(values);
        free(indices);
        free(numbers);
        return lspo_no_memory("the largest of %zu numbers", count);
    }
    lspo_session_unpack_numbers(session->number, count, data, numbers);
    lspo_columns_split(&(lspo_columns_t){1, count, kept}, numbers, numbers + count, indices);
    for (size_t i = 0; i < kept; i++)
        memcpy(values + i * bytes, data + indices[i] * bytes, bytes);
    memcpy(data, indices, kept * sizeof *indices);
    memcpy(data + kept * sizeof *indices, values, kept * bytes);
    message->bytes = kept * (sizeof *indices + bytes);
    free(values);
    free(indices);
    free(numbers);
    return LSPO_OK;
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
    const size_t kept = kept_count(session, op);
    lspo_status_t status = lspo_pipeline_pack_range(session, range_of(session, op, session->place.peer), message);
    return status == LSPO_OK && kept > 0 ? keep_largest(session, kept, message) : status;
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

static lspo_status_t unpack_largest(lspo_session_t *session, const lspo_op_t *op, lspo_pipeline_range_t range,
                                    const lspo_session_message_t *message)
{
    const size_t bytes = session->number_bytes, kept = kept_count(session, op);
    const char *values = (const char *)message->data + kept * sizeof(uint32_t);
    lspo_status_t status = lspo_pipeline_check_bytes(op, message->bytes, kept * (sizeof(uint32_t) + bytes));
    if (status != LSPO_OK)
        return status;
    char *all = calloc(range.count + 1, bytes);
    if (!all)
        return lspo_no_memory("a message of %zu numbers", range.count);
    for (size_t i = 0; i < kept && status == LSPO_OK; i++) {
        uint32_t index;
        memcpy(&index, (const char *)message->data + i * sizeof index, sizeof index);
        if (index < range.count)
            memcpy(all + index * bytes, values + i * bytes, bytes);
        else
            status =
                lspo_error(LSPO_ERR_CHECK, "a message of stage %u has number %u of %zu", op->layer, index, range.count);
    }
    if (status == LSPO_OK)
        status = lspo_device_write(session->device, range.numbers, all, range.count * bytes);
    free(all);
    return status;
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
    const lspo_pipeline_range_t range = range_of(session, op, from);
    return kept_count(session, op) > 0 ? unpack_largest(session, op, range, message)
                                       : lspo_pipeline_unpack_range(session, op, range, message);
}

lspo_status_t lspo_pipeline_apply(lspo_session_t *session, const lspo_op_t *op)
{
    return session->stages[op->layer].copied_elements > 0 ? LSPO_OK : lspo_session_overwrite(session, op);
}
