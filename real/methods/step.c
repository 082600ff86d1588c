/* step.c - a part of methods: steps along a direction in the layout of the message. */
#include "real/methods/step.h"

lspo_step_t lspo_step_of(const lspo_session_t *session, const lspo_op_t *op, lspo_number_t format,
                         const void *direction)
{
    float rate = lspo_session_rate(session, op);
    return (lspo_step_t){
        .keep = lspo_session_kept(session, rate), .rate = rate, .format = format, .direction = direction};
}

static const void *direction_at(const lspo_step_t *step, size_t at)
{
    return (const char *)step->direction + at * lspo_number_bytes(step->format);
}

const void *lspo_step_linear(const lspo_session_t *session, const lspo_op_t *op, const lspo_step_t *step, uint32_t i)
{
    return direction_at(step, session->stages[op->layer].message.linear[i].message_offset_elements);
}

void lspo_step_dense(lspo_session_t *session, const lspo_op_t *op, const lspo_step_t *step, uint32_t i)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    const lspo_vector_step_t along = {step->keep, step->rate, lspo_session_op_seed(session, op, i)};
    lspo_compute_step_along(session->compute, stage->message.linear[i].message_elements, &along, step->format,
                            lspo_step_linear(session, op, step, i), lspo_session_linear_weight(session, stage, i));
}

void lspo_step_rest(lspo_session_t *session, const lspo_op_t *op, const lspo_step_t *step)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    const lspo_vector_step_t along = {step->keep, step->rate, lspo_session_op_seed(session, op, LSPO_LINEAR_MAX)};
    if (stage->message.rest_elements > 0)
        lspo_compute_step_along(session->compute, stage->message.rest_elements, &along, step->format,
                                direction_at(step, stage->message.rest_offset_elements),
                                lspo_session_at(session, stage->weights, stage->linear_elements));
}
