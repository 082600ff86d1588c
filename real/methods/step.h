/* step.h - a building block of methods: steps along a direction with the layout of the message. */
#ifndef LSPO_REAL_METHODS_STEP_H
#define LSPO_REAL_METHODS_STEP_H

#include "real/session/state.h"

/* The step w <- keep w - rate direction for the op's stage; the direction is in `format`. */
typedef struct {
    float keep, rate;
    lspo_number_t format;
    const void *direction; /* the whole message */
} lspo_step_t;

/* The step of an op, with weight decay. */
lspo_step_t lspo_step_of(const lspo_session_t *session, const lspo_op_t *op, lspo_number_t format,
                         const void *direction);
/* The start of the direction of linear weight i. */
const void *lspo_step_linear(const lspo_session_t *session, const lspo_op_t *op, const lspo_step_t *step, uint32_t i);
/* Do the step of the uncompressed linear weight i; of all tensors that are not linear weights. */
void lspo_step_dense(lspo_session_t *session, const lspo_op_t *op, const lspo_step_t *step, uint32_t i);
void lspo_step_rest(lspo_session_t *session, const lspo_op_t *op, const lspo_step_t *step);

#endif
