/* activations.c - what blocks keep between forward and backward, on the host meanwhile: --swap-activations. */
#include "real/session/state.h"

/* Of what a block saves beside its input; 0: it computes it again. */
static size_t saved_bytes_of(const lspo_session_t *session)
{
    lspo_activations_t activations;
    lspo_activations(&session->plan->model, &session->plan->workload, &activations);
    return session->plan->workload.checkpointing ? 0 : activations.saved_bytes;
}

size_t lspo_session_kept_bytes(const lspo_session_t *session)
{
    return lspo_session_output_bytes(session) + saved_bytes_of(session);
}

/* Where the block's part of `kept` begins; its input is before. */
static void *saved_place(const lspo_session_t *session, const lspo_session_stage_t *stage)
{
    return (char *)stage->kept + lspo_session_output_bytes(session);
}

lspo_status_t lspo_session_activations_out(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    lspo_session_flight_t *flight = lspo_session_flight(session, op, op->layer);
    void **input = lspo_session_input(session, op);
    const size_t input_bytes = lspo_session_output_bytes(session);
    const size_t saved_bytes = saved_bytes_of(session);
    lspo_device_copy(session->device, LSPO_COPY_D2H, stage->kept, *input, input_bytes);
    if (saved_bytes > 0)
        lspo_device_copy(session->device, LSPO_COPY_D2H, saved_place(session, stage), flight->saved, saved_bytes);
    lspo_session_give_back(session, &flight->saved);
    lspo_session_give_back(session, input);
    return LSPO_OK;
}

lspo_status_t lspo_session_activations_in(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    lspo_session_flight_t *flight = lspo_session_flight(session, op, op->layer);
    void **input = lspo_session_input(session, op);
    const size_t input_bytes = lspo_session_output_bytes(session);
    const size_t saved_bytes = saved_bytes_of(session);
    lspo_status_t status = lspo_session_take(session, input_bytes, input);
    if (status == LSPO_OK && saved_bytes > 0)
        status = lspo_session_take(session, saved_bytes, &flight->saved);
    if (status != LSPO_OK)
        return status;
    lspo_device_copy(session->device, LSPO_COPY_H2D, *input, stage->kept, input_bytes);
    if (saved_bytes > 0)
        lspo_device_copy(session->device, LSPO_COPY_H2D, flight->saved, saved_place(session, stage), saved_bytes);
    return LSPO_OK;
}
