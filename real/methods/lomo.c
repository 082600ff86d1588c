/* lomo.c - plain gradient descent without state: UPD_GPU  w <- (1 - eta decay) w - eta scale g. */
#include "real/methods/methods.h"
#include "real/session/state.h"

static lspo_status_t descend(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    void **gradient = &stage->gradient[lspo_session_parity(session, op)];
    float rate = lspo_session_rate(session, op);
    const lspo_vector_step_t step = {.keep = lspo_session_kept(session, rate),
                                     .rate = rate * lspo_session_op_scale(session, op, &session->norms),
                                     .seed = lspo_session_op_seed(session, op, 0)};
    if (!lspo_session_skips_step(session, op, &session->norms))
        lspo_compute_step_along(session->compute, stage->message.element_count, &step, session->number, *gradient,
                                stage->weights);
    lspo_session_give_back(session, gradient);
    return LSPO_OK;
}

const lspo_method_t lspo_method_lomo = {.name = "lomo", .ops = {[LSPO_OP_UPD_GPU] = descend}};
