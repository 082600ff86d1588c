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

static lspo_pipeline_range_t slice_of(const lspo_session_t *session, const lspo_op_t *op, uint32_t replica)
{
    uint64_t begin;
    const size_t count = slice_count(session, op, replica, &begin);
    const void *gradient = session->stages[op->layer].gradient[lspo_session_parity(session, op)];
    return (lspo_pipeline_range_t){lspo_session_at(session, gradient, begin), count};
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
    const lspo_pipeline_range_t slice = slice_of(session, op, replica_of(session, session->place.peer));
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

/* This replica may have no gradient yet. */
static lspo_status_t keep_share(lspo_session_t *session, const lspo_op_t *op, uint32_t from,
                                const lspo_session_message_t *message)
{
    lspo_axonn_exchange_t *exchange = exchange_of(session);
    uint64_t begin;
    const size_t count = slice_count(session, op, replica_of(session, session->place.peer), &begin);
    lspo_status_t status = lspo_pipeline_check_bytes(op, message->bytes, count * session->number_bytes);
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

lspo_status_t lspo_axonn_pack(lspo_session_t *session, const lspo_op_t *op, uint32_t to,
                              lspo_session_message_t *message)
{
    if (op->variant == LSPO_VARIANT_SHARE)
        return lspo_pipeline_pack_range(session, slice_of(session, op, replica_of(session, to)), message);
    if (op->variant == LSPO_VARIANT_SUM)
        return lspo_pipeline_pack_range(session, slice_of(session, op, replica_of(session, session->place.peer)),
                                        message);
    if (op->variant != LSPO_VARIANT_NORM_SCALAR)
        return lspo_pipeline_pack(session, op, to, message);
    lspo_status_t status = lspo_pipeline_make_room(message, sizeof *session->partials);
    if (status == LSPO_OK)
        *(double *)message->data = session->partials[session->place.peer - session->place.first_peer];
    return status;
}

/* ---- receiving ---- */

static lspo_status_t keep_norm(lspo_session_t *session, const lspo_op_t *op, uint32_t from,
                               const lspo_session_message_t *message)
{
    lspo_status_t status = lspo_pipeline_check_bytes(op, message->bytes, sizeof *session->partials);
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
    if (op->variant == LSPO_VARIANT_SUM)
        return lspo_pipeline_unpack_range(session, op, slice_of(session, op, replica_of(session, from)), message);
    return lspo_pipeline_unpack(session, op, from, message);
}
