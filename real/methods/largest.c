/* largest.c - see largest.h. */
#include "real/methods/largest.h"

#include <stdlib.h>
#include <string.h>

#include "plan/policies/fusion.h"
#include "real/methods/pipeline.h"

static size_t number_count(const lspo_session_t *session)
{
    return lspo_session_output_bytes(session) / session->number_bytes;
}

/* COMPRESS and APPLY name them; a SEND has as many bytes. */
static size_t kept_of(const lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_work_t *work = &session->plan->works[op->work];
    return op->kind == LSPO_OP_SEND ? lspo_work_link_bytes(work) / (session->number_bytes + sizeof(uint32_t))
                                    : work->kernels[0].elements;
}

static size_t packed_bytes(const lspo_session_t *session, const lspo_op_t *op)
{
    return kept_of(session, op) * (session->number_bytes + sizeof(uint32_t));
}

static bool is_gradient(const lspo_op_t *op)
{
    return op->variant == LSPO_VARIANT_GRADIENT;
}

static void **place_in(const lspo_session_t *session, void **messages, const lspo_op_t *op)
{
    return &messages[2 * (size_t)lspo_session_flight_at(session, op) + is_gradient(op)];
}

/* All of the message's numbers. */
static void **numbers_of(const lspo_session_t *session, const lspo_op_t *op)
{
    return is_gradient(op) ? lspo_session_dx(session, op) : &lspo_session_flight(session, op, op->layer)->output;
}

bool lspo_largest_is_sent(const lspo_session_t *session, const lspo_op_t *op)
{
    const bool passes = op->variant == LSPO_VARIANT_NONE || (is_gradient(op) && op->layer > 0);
    return passes && lspo_work_link_bytes(&session->plan->works[op->work]) < lspo_session_output_bytes(session);
}

/* ---- memory ---- */

static bool has_op(const lspo_session_t *session, lspo_op_variant_t variant)
{
    const lspo_plan_t *plan = session->plan;
    for (lspo_op_id_t id = 0; id < plan->op_count; id++)
        if (plan->ops[id].kind == LSPO_OP_COMPRESS && plan->ops[id].variant == variant &&
            plan->lanes.list[plan->ops[id].lane].peer == session->place.peer)
            return true;
    return false;
}

lspo_status_t lspo_largest_create(lspo_session_t *session, lspo_largest_state_t *state)
{
    const bool back = !session->alone && has_op(session, LSPO_VARIANT_GRADIENT);
    const size_t n = number_count(session);
    if (!back && (session->alone || !has_op(session, LSPO_VARIANT_ACTIVATIONS)))
        return LSPO_OK;
    state->outgoing = calloc(2 * (size_t)session->flight_count, sizeof *state->outgoing);
    state->incoming = calloc(2 * (size_t)session->flight_count, sizeof *state->incoming);
    if (!state->outgoing || !state->incoming)
        return lspo_no_memory("the messages of %u micro-batches", session->flight_count);
    lspo_status_t status = lspo_session_take(session, 2 * n * sizeof *state->scratch, (void **)&state->scratch);
    if (status == LSPO_OK)
        status = lspo_session_take(session, n * sizeof *state->places, (void **)&state->places);
    if (status == LSPO_OK && back && lspo_fusion_values_of(&session->plan->workload)->link_feedback)
        status = lspo_session_take(session, lspo_session_output_bytes(session), &state->residual);
    return status;
}

void lspo_largest_clear(lspo_session_t *session, const lspo_largest_state_t *state)
{
    if (state->residual)
        lspo_compute_zero(session->compute, lspo_session_output_bytes(session), state->residual);
}

void lspo_largest_drop(lspo_session_t *session, const lspo_largest_state_t *state)
{
    for (size_t i = 0; state->outgoing && state->incoming && i < 2 * (size_t)session->flight_count; i++) {
        lspo_session_give_back(session, &state->outgoing[i]);
        lspo_session_give_back(session, &state->incoming[i]);
    }
}

void lspo_largest_release(lspo_session_t *session, lspo_largest_state_t *state)
{
    lspo_largest_drop(session, state);
    lspo_session_give_back(session, &state->residual);
    lspo_session_give_back(session, (void **)&state->places);
    lspo_session_give_back(session, (void **)&state->scratch);
    free(state->incoming);
    free(state->outgoing);
    *state = (lspo_largest_state_t){0};
}

void lspo_largest_visit(const lspo_session_t *session, const lspo_largest_state_t *state, lspo_state_walk_t *walk)
{
    if (state->residual)
        lspo_walk_device(walk, state->residual, number_count(session), lspo_state_type_of(session->number),
                         "link_residual");
}

/* ---- the sender ---- */

lspo_status_t lspo_largest_choose(lspo_session_t *session, lspo_largest_state_t *state, const lspo_op_t *op)
{
    lspo_compute_t *c = session->compute;
    void **numbers = numbers_of(session, op), **packed = place_in(session, state->outgoing, op);
    const size_t kept = kept_of(session, op), n = number_count(session), bytes = lspo_session_output_bytes(session);
    const lspo_columns_t chosen = {1, n, kept};
    lspo_status_t status = lspo_session_take(session, packed_bytes(session, op), packed);
    if (status != LSPO_OK)
        return status;
    if (is_gradient(op) && state->residual)
        lspo_compute_add(c, n, state->residual, *numbers);
    lspo_compute_columns_split(c, &chosen, *numbers, state->scratch, state->places);
    lspo_compute_copy(c, kept * sizeof *state->places, state->places, *packed);
    lspo_compute_columns_gather(c, &chosen, state->places, *numbers, (char *)*packed + kept * sizeof *state->places);
    if (is_gradient(op) && state->residual) {
        lspo_compute_copy(c, bytes, *numbers, state->residual);
        lspo_compute_zero(c, kept * session->number_bytes, state->scratch);
        lspo_compute_columns_scatter(c, &chosen, state->places, state->scratch, state->residual);
    }
    lspo_session_give_back(session, numbers);
    return LSPO_OK;
}

lspo_status_t lspo_largest_pack(lspo_session_t *session, const lspo_largest_state_t *state, const lspo_op_t *op,
                                lspo_session_message_t *message)
{
    const size_t bytes = packed_bytes(session, op);
    lspo_status_t status = lspo_pipeline_make_room(message, bytes);
    return status == LSPO_OK
               ? lspo_device_read(session->device, message->data, *place_in(session, state->outgoing, op), bytes)
               : status;
}

lspo_status_t lspo_largest_end_send(lspo_session_t *session, const lspo_largest_state_t *state, const lspo_op_t *op)
{
    lspo_session_give_back(session, place_in(session, state->outgoing, op));
    return LSPO_OK;
}

/* ---- the receiver ---- */

static lspo_status_t check_places(const lspo_session_t *session, const lspo_op_t *op,
                                  const lspo_session_message_t *message)
{
    const size_t n = number_count(session);
    lspo_status_t status = lspo_pipeline_check_bytes(op, message->bytes, packed_bytes(session, op));
    for (size_t i = 0; status == LSPO_OK && i < kept_of(session, op); i++) {
        uint32_t place;
        memcpy(&place, (const char *)message->data + i * sizeof place, sizeof place);
        if (place >= n)
            status = lspo_error(LSPO_ERR_CHECK, "a message of stage %u has number %u of %zu", op->layer, place, n);
    }
    return status;
}

lspo_status_t lspo_largest_unpack(lspo_session_t *session, const lspo_largest_state_t *state, const lspo_op_t *op,
                                  const lspo_session_message_t *message)
{
    void **packed = place_in(session, state->incoming, op);
    lspo_status_t status = check_places(session, op, message);
    if (status == LSPO_OK)
        status = lspo_session_take(session, message->bytes, packed);
    return status == LSPO_OK ? lspo_device_write(session->device, *packed, message->data, message->bytes) : status;
}

lspo_status_t lspo_largest_spread(lspo_session_t *session, const lspo_largest_state_t *state, const lspo_op_t *op)
{
    void **numbers = numbers_of(session, op), **packed = place_in(session, state->incoming, op);
    const size_t kept = kept_of(session, op), bytes = lspo_session_output_bytes(session);
    lspo_status_t status = lspo_session_take(session, bytes, numbers);
    if (status != LSPO_OK)
        return status;
    lspo_compute_zero(session->compute, bytes, *numbers);
    lspo_compute_columns_scatter(session->compute, &(lspo_columns_t){1, number_count(session), kept}, *packed,
                                 (const char *)*packed + kept * sizeof(uint32_t), *numbers);
    lspo_session_give_back(session, packed);
    return LSPO_OK;
}
