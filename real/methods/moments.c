/* moments.c - a part of methods: m and v of one message; see moments.h. */
#include "real/methods/moments.h"

static lspo_optimizer_state_t state_of(const lspo_session_t *session)
{
    return lspo_plan_optimizer_state(session->plan);
}

lspo_moments_t lspo_moments_of(const lspo_session_t *session, const lspo_message_t *message)
{
    static const lspo_adam_format_t formats[LSPO_OPTIMIZER_STATE_COUNT] = {[LSPO_OPTIMIZER_STATE_FP32] = LSPO_ADAM_FP32,
                                                                           [LSPO_OPTIMIZER_STATE_BF16] = LSPO_ADAM_BF16,
                                                                           [LSPO_OPTIMIZER_STATE_8BIT] =
                                                                               LSPO_ADAM_8BIT};
    lspo_adam_format_t format = formats[state_of(session)];
    size_t linear = message->element_count - message->rest_elements;
    return (lspo_moments_t){.places =
                                lspo_adam_places(format, linear) + lspo_adam_places(format, message->rest_elements),
                            .format = format};
}

size_t lspo_moments_bytes(const lspo_moments_t *moments)
{
    return lspo_adam_state_bytes(moments->format, moments->places);
}

lspo_adam_state_t lspo_moments_at(const lspo_session_t *session, const lspo_op_t *op, const lspo_moments_t *moments,
                                  size_t at, size_t count)
{
    size_t place = lspo_adam_places(moments->format, at);
    lspo_adam_state_t state = lspo_adam_state_at(moments->format, moments->memory, moments->places, place, count);
    lspo_moments_seed(session, op, at, &state);
    return state;
}

void lspo_moments_seed(const lspo_session_t *session, const lspo_op_t *op, size_t at, lspo_adam_state_t *state)
{
    state->seed =
        lspo_session_op_seed(session, op, LSPO_LINEAR_MAX + 1); /* after those of tensors, real/methods/step.c */
    state->first = at;
}

bool lspo_moments_have_master(const lspo_session_t *session)
{
    return lspo_optimizer_state_has_master(state_of(session), session->plan->workload.precision);
}

lspo_number_t lspo_moments_update(const lspo_session_t *session)
{
    return lspo_moments_have_master(session) ? LSPO_NUMBER_FP32 : session->number;
}

void lspo_moments_visit(const lspo_moments_t *moments, const char *name, lspo_moments_walk_t *visit,
                        lspo_state_walk_t *walk)
{
    size_t count = 2 * moments->places;
    switch (moments->format) {
    case LSPO_ADAM_FP32:
        visit(walk, moments->memory, count, LSPO_STATE_F32, "%smoments", name);
        break;
    case LSPO_ADAM_BF16:
        visit(walk, moments->memory, count, LSPO_STATE_BF16, "%smoments", name);
        break;
    case LSPO_ADAM_8BIT:
        visit(walk, moments->memory, count, LSPO_STATE_U8, "%scodes", name);
        visit(walk, moments->memory ? (char *)moments->memory + count : NULL, count / LSPO_ADAM_BLOCK, LSPO_STATE_F32,
              "%sscales", name);
        break;
    }
}
