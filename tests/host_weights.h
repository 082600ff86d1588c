/* host_weights.h - where a session on the host device has a stage's weights: tests look at them without a copy. */
#ifndef LSPO_TESTS_HOST_WEIGHTS_H
#define LSPO_TESTS_HOST_WEIGHTS_H

#include "real/session/state.h"

static inline const float *host_weights(const lspo_session_t *session, uint32_t stage)
{
    const lspo_session_stage_t *of = &session->stages[stage];
    return of->swapped ? of->home : of->weights;
}

#endif
