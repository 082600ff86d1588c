/* axonn_messages.c - see axonn.h. */
#include "plan/policies/axonn.h"

#include <inttypes.h>
#include <stdlib.h>

#include "real/methods/axonn.h"

static lspo_axonn_exchange_t *exchange_of(const lspo_session_t *session)
{
    return session->own;
}

/* ---- what a SEND is about ---- */

/* Numbers on the device; squares are on the host. */
typedef struct {
    void *numbers;
    size_t count;
} range_t;

static size_t token_count(const lspo_session_t *session)
{
    const lspo_tensor_t *token = &session->stages[0].shape.tensors[0];
    return (size_t)token->rows * token->cols;
}

static uint32_t replica_of(const lspo_session_t *session, uint32_t peer)
{
    return peer / session->place.peer_count;
}

/* The part of the op's group that this replica sums; returns its elements. */
static size_t slice_count(const lspo_session_t *session, const lspo_op_t *op, uint32_t replica, uint64_t *begin_out)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    const uint64_t replicas = session->plan->workload.accumulation / session->place.micro_count;
    uint64_t first, count;
    lspo_axonn_sum_range(session->plan, op, stage->message.element_count, &first, &count);
    *begin_out = first + count * replica / replicas;
    return first + count * (replica + 1) / replicas - *begin_out;
}

static range_t slice_of(const lspo_session_t *session, const lspo_op_t *op, uint32_t replica)
{
    uint64_t begin;
    const size_t count = slice_count(session, op, replica, &begin);
    const void *gradient = session->stages[op->layer].gradient[lspo_session_parity(session, op)];
    return (range_t){lspo_session_at(session, gradient, begin), count};
}

/* What the sender `from` reads, and the receiver `to` writes, each in its own session. */
static range_t range_of(const lspo_session_t *session, const lspo_op_t *op, uint32_t from, uint32_t to)
{
    const bool sends = session->place.peer == from;
    const size_t boundary = lspo_session_output_bytes(session) / session->number_bytes;
    switch (op->variant) {
    case LSPO_VARIANT_SHARE:
        return slice_of(session, op, replica_of(session, to));
    case LSPO_VARIANT_SUM:
        return slice_of(session, op, replica_of(session, from));
    case LSPO_VARIANT_PARAMETERS:
        return (range_t){session->stages[0].weights, token_count(session)};
    case LSPO_VARIANT_GRADIENT:
        if (op->layer > 0)
            return (range_t){*lspo_session_dx(session, op), boundary};
        return (range_t){sends ? session->stages[0].gradient[lspo_session_parity(session, op)] : session->tied_part,
                         token_count(session)};
    default:
        return (range_t){lspo_session_flight(session, op, op->layer)->output, boundary};
    }
}

/* ---- sums ---- */

static lspo_axonn_share_t *take_share(lspo_axonn_exchange_t *exchange, const lspo_op_t *op, uint32_t replica)
{
    lspo_axonn_share_t *found = NULL;
    pthread_mutex_lock(&exchange->lock);
    for (lspo_axonn_share_t **at = &exchange->shares; *at && !found; at = &(*at)->next) {
        if ((*at)->stage != op->layer || (*at)->part != op->micro || (*at)->replica != replica)
            continue;
        found = *at;
        *at = found->next;
        break;
    }
    pthread_mutex_unlock(&exchange->lock);
    return found;
}

void lspo_axonn_drop_shares(lspo_session_t *session)
{
    lspo_axonn_exchange_t *exchange = exchange_of(session);
    while (exchange->shares) {
        lspo_axonn_share_t *first = exchange->shares;
        exchange->shares = first->next;
        free(first);
    }
}

static lspo_status_t add_shares(lspo_session_t *session, const lspo_op_t *op, const float *own, size_t count,
                                float *sum)
{
    const uint32_t replicas = session->plan->workload.accumulation / session->place.micro_count;
    const uint32_t here = replica_of(session, session->place.peer);
    for (uint32_t r = 0; r < replicas; r++) {
        lspo_axonn_share_t *share = r == here ? NULL : take_share(exchange_of(session), op, r);
        if (r != here && !share)
            return lspo_error(LSPO_ERR_INTERNAL, "stage %u: no share of replica %" PRIu32 " has come", op->layer, r);
        const float *from = share ? share->numbers : own;
        for (size_t i = 0; i < count; i++)
            sum[i] = r == 0 ? from[i] : sum[i] + from[i];
        free(share);
    }
    return LSPO_OK;
}

static lspo_status_t sum_slice(lspo_session_t *session, const lspo_op_t *op)
{
    const range_t slice = slice_of(session, op, replica_of(session, session->place.peer));
    float *own = malloc((2 * slice.count + 1) * sizeof *own);
    if (!own)
        return lspo_no_memory("the sum of %zu numbers", slice.count);
    lspo_status_t status = lspo_session_read_numbers(session, slice.count, slice.numbers, own);
    if (status == LSPO_OK)
        status = add_shares(session, op, own, slice.count, own + slice.count);
    if (status == LSPO_OK)
        status = lspo_session_write_numbers(session, slice.count, own + slice.count, slice.numbers);
    free(own);
    return status;
}

static lspo_status_t check_bytes(const lspo_op_t *op, size_t bytes, size_t expected)
{
    if (bytes == expected)
        return LSPO_OK;
    return lspo_error(LSPO_ERR_CHECK, "a message of stage %u has %zu bytes, not %zu", op->layer, bytes, expected);
}

/* This replica may have no gradient yet. */
static lspo_status_t keep_share(lspo_session_t *session, const lspo_op_t *op, uint32_t from,
                                const lspo_session_message_t *message)
{
    lspo_axonn_exchange_t *exchange = exchange_of(session);
    uint64_t begin;
    const size_t count = slice_count(session, op, replica_of(session, session->place.peer), &begin);
    lspo_status_t status = check_bytes(op, message->bytes, count * session->number_bytes);
    if (status != LSPO_OK)
        return status;
    lspo_axonn_share_t *share = malloc(sizeof *share + count * sizeof *share->numbers);
    if (!share)
        return lspo_no_memory("a share of %zu numbers", count);
    share->stage = op->layer;
    share->part = op->micro;
    share->replica = replica_of(session, from);
    lspo_session_unpack_numbers(session->number, count, message->data, share->numbers);
    pthread_mutex_lock(&exchange->lock);
    share->next = exchange->shares;
    exchange->shares = share;
    pthread_mutex_unlock(&exchange->lock);
    return LSPO_OK;
}

/* ---- sending ---- */

lspo_status_t lspo_axonn_begin_send(lspo_session_t *session, const lspo_op_t *op)
{
    return op->variant == LSPO_VARIANT_SUM ? sum_slice(session, op) : LSPO_OK;
}

static lspo_status_t make_room(lspo_session_message_t *message, size_t bytes)
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

lspo_status_t lspo_axonn_pack(lspo_session_t *session, const lspo_op_t *op, uint32_t to,
                              lspo_session_message_t *message)
{
    if (op->variant == LSPO_VARIANT_NORM_SCALAR) {
        lspo_status_t status = make_room(message, sizeof *session->partials);
        if (status == LSPO_OK)
            *(double *)message->data = session->partials[session->place.peer - session->place.first_peer];
        return status;
    }
    const range_t range = range_of(session, op, session->place.peer, to);
    lspo_status_t status = make_room(message, range.count * session->number_bytes);
    return status == LSPO_OK ? lspo_device_read(session->device, message->data, range.numbers, message->bytes) : status;
}

/* The sender's last part of the pass, or of the step. */
lspo_status_t lspo_axonn_end_send(lspo_session_t *session, const lspo_op_t *op)
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

static lspo_status_t keep_norm(lspo_session_t *session, const lspo_op_t *op, uint32_t from,
                               const lspo_session_message_t *message)
{
    lspo_status_t status = check_bytes(op, message->bytes, sizeof *session->partials);
    if (status == LSPO_OK)
        session->partials[from - session->place.first_peer] = *(const double *)message->data;
    return status;
}

lspo_status_t lspo_axonn_unpack(lspo_session_t *session, const lspo_op_t *op, uint32_t from,
                                const lspo_session_message_t *message)
{
    if (op->variant == LSPO_VARIANT_NORM_SCALAR)
        return keep_norm(session, op, from, message);
    if (op->variant == LSPO_VARIANT_SHARE)
        return keep_share(session, op, from, message);
    lspo_status_t status = take_place(session, op);
    if (status != LSPO_OK)
        return status;
    const range_t range = range_of(session, op, from, session->place.peer);
    status = check_bytes(op, message->bytes, range.count * session->number_bytes);
    return status == LSPO_OK ? lspo_device_write(session->device, range.numbers, message->data, message->bytes)
                             : status;
}
