/* axonn.c - Adam on the device, bucket by bucket, with state that is on the host: SWAP_IN, UPD_GPU and SWAP_OUT of
 * real/methods/visiting.h.  A stage's gradient stays on the device until its last bucket has been updated.  Of a grid
 * of GPUs each has a session of its own; axonn.h has the messages between them. */
#include "real/methods/axonn.h"

#include "real/methods/methods.h"
#include "real/methods/visiting.h"

static lspo_host_adam_t *stage_of(const lspo_session_t *session, uint32_t s)
{
    return session->stages[s].own;
}

static void describe(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++)
        lspo_host_adam_describe(session, &session->stages[s], stage_of(session, s));
}

static lspo_status_t take_host(lspo_session_t *session, uint32_t s, lspo_host_count_t *count)
{
    if (!session->stages[s].trained)
        return LSPO_OK;
    lspo_status_t status = lspo_host_adam_take_moments(session, stage_of(session, s), 0, count);
    return status == LSPO_OK ? lspo_host_adam_take_master(session, stage_of(session, s), count) : status;
}

static lspo_status_t create(lspo_session_t *session)
{
    lspo_axonn_exchange_t *exchange = session->own;
    pthread_mutex_init(&exchange->lock, NULL);
    return LSPO_OK;
}

static lspo_status_t reset(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++)
        lspo_host_adam_clear(stage_of(session, s));
    return LSPO_OK;
}

static void release(lspo_session_t *session)
{
    lspo_axonn_exchange_t *exchange = session->own;
    pthread_mutex_destroy(&exchange->lock);
    for (uint32_t s = 0; s < session->stage_count; s++)
        lspo_host_adam_give_back(session, stage_of(session, s));
}

static lspo_status_t weights_stored(lspo_session_t *session, uint32_t s, const float *weights)
{
    lspo_visiting_store(session, s, stage_of(session, s), weights);
    return LSPO_OK;
}

static lspo_status_t swap_in(lspo_session_t *session, const lspo_op_t *op)
{
    return lspo_visiting_in(session, op, stage_of(session, op->layer));
}

static lspo_status_t swap_out(lspo_session_t *session, const lspo_op_t *op)
{
    return lspo_visiting_out(session, op, stage_of(session, op->layer));
}

static lspo_status_t update(lspo_session_t *session, const lspo_op_t *op)
{
    void **gradient = &session->stages[op->layer].gradient[lspo_session_parity(session, op)];
    const lspo_session_part_t part = lspo_session_part(session, op);
    lspo_visiting_update(session, op, stage_of(session, op->layer), lspo_session_at(session, *gradient, part.first));
    if (part.is_last)
        lspo_session_give_back(session, gradient);
    return LSPO_OK;
}

static void visit_stage(const lspo_session_t *session, uint32_t s, const char *name, lspo_state_walk_t *walk)
{
    lspo_host_adam_visit(stage_of(session, s), name, walk);
}

const lspo_method_t lspo_method_axonn = {
    .name = "axonn",
    .state_bytes = sizeof(lspo_axonn_exchange_t),
    .stage_bytes = sizeof(lspo_host_adam_t),
    .describe = describe,
    .take_host = take_host,
    .create = create,
    .reset = reset,
    .drop = lspo_axonn_drop_shares,
    .release = release,
    .ops = {[LSPO_OP_UPD_GPU] = update, [LSPO_OP_SWAP_IN] = swap_in, [LSPO_OP_SWAP_OUT] = swap_out},
    .begin_send = lspo_axonn_begin_send,
    .end_send = lspo_pipeline_end_send,
    .pack = lspo_axonn_pack,
    .unpack = lspo_axonn_unpack,
    .weights_stored = weights_stored,
    .visit_stage = visit_stage,
};
