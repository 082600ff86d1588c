/* step.h - a piece of methods: steps along a direction that lies like the message. */
#ifndef LSPO_REAL_METHODS_STEP_H
#define LSPO_REAL_METHODS_STEP_H

#include "real/session/state.h"

/* A step w <- keep w - rate direction of the op's stage; the direction is in `format`. */
typedef struct {
    float keep, rate;
    lspo_number_t format;
    const void *direction; /* the whole message */
} lspo_step_t;

/* The step of an op, with weight decay. */
lspo_step_t lspo_step_of(const lspo_session_t *session, const lspo_op_t *op, lspo_number_t format,
                         const void *direction);
/* Where the direction of linear weight i begins. */
const void *lspo_step_linear(const lspo_session_t *session, const lspo_op_t *op, const lspo_step_t *step, uint32_t i);
/* The step of linear weight i, which is not compressed; of all tensors that are no linear weights. */
void lspo_step_dense(lspo_session_t *session, const lspo_op_t *op, const lspo_step_t *step, uint32_t i);
void lspo_step_rest(lspo_session_t *session, const lspo_op_t *op, const lspo_step_t *step);

#endif
