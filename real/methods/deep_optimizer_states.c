/* deep_optimizer_states.c - Adam in subgroups, on the CPU and, for those of which the plan says so, on the GPU.
 *     COMPRESS   copies the gradient of a subgroup of the GPU, because the stage's is given back when the rest is sent
 *     UPD        master <- master - eta adam(g)   on the host; H2D sends it, APPLY overwrites the weights
 *     SWAP_IN, UPD_GPU, SWAP_OUT of a subgroup of the GPU: real/methods/visiting.h */
#include <stdlib.h>

#include "real/methods/methods.h"
#include "real/methods/visiting.h"

typedef struct {
    lspo_host_adam_t host;
    void **kept; /* owned: gradients by part, on the device from COMPRESS to UPD_GPU */
    uint32_t part_count;
} states_stage_t;

static states_stage_t *stage_of(const lspo_session_t *session, uint32_t s)
{
    return session->stages[s].own;
}

/* ---- memory ---- */

static void describe(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++)
        lspo_host_adam_describe(session, &session->stages[s], &stage_of(session, s)->host);
}

static lspo_status_t take_host(lspo_session_t *session, uint32_t s, lspo_host_count_t *count)
{
    const lspo_session_stage_t *stage = &session->stages[s];
    lspo_host_adam_t *host = &stage_of(session, s)->host;
    if (!stage->trained)
        return LSPO_OK;
    lspo_status_t status = lspo_host_adam_take_moments(session, host, 0, count);
    if (status != LSPO_OK)
        return status;
    return stage->updated_on_host ? lspo_host_adam_take_outgoing(session, s, host, true, count)
                                  : lspo_host_adam_take_master(session, host, count);
}

static lspo_status_t create(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++) {
        states_stage_t *own = stage_of(session, s);
        own->part_count = lspo_chunk_count(session->plan, session->stages[s].message.element_count);
        own->kept = calloc(own->part_count, sizeof *own->kept);
        if (!own->kept)
            return lspo_no_memory("%u subgroups", own->part_count);
    }
    return LSPO_OK;
}

static lspo_status_t reset(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++)
        lspo_host_adam_clear(&stage_of(session, s)->host);
    return LSPO_OK;
}

static void drop(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++)
        for (uint32_t part = 0; stage_of(session, s)->kept && part < stage_of(session, s)->part_count; part++)
            lspo_session_give_back(session, &stage_of(session, s)->kept[part]);
}

static void release(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++) {
        lspo_host_adam_give_back(session, &stage_of(session, s)->host);
        free(stage_of(session, s)->kept);
        stage_of(session, s)->kept = NULL;
    }
}

static lspo_status_t weights_stored(lspo_session_t *session, uint32_t s, const float *weights)
{
    lspo_visiting_store(session, s, &stage_of(session, s)->host, weights);
    return LSPO_OK;
}

static lspo_status_t swap_in(lspo_session_t *session, const lspo_op_t *op)
{
    return lspo_visiting_in(session, op, &stage_of(session, op->layer)->host);
}

static lspo_status_t swap_out(lspo_session_t *session, const lspo_op_t *op)
{
    return lspo_visiting_out(session, op, &stage_of(session, op->layer)->host);
}

/* ---- gradients and updates ---- */

static lspo_status_t keep_gradient(lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_session_part_t part = lspo_session_part(session, op);
    const void *gradient = session->stages[op->layer].gradient[lspo_session_parity(session, op)];
    void **kept = &stage_of(session, op->layer)->kept[op->micro];
    lspo_status_t status = lspo_session_take(session, part.count * session->number_bytes, kept);
    if (status == LSPO_OK)
        lspo_compute_copy(session->compute, part.count * session->number_bytes,
                          lspo_session_at(session, gradient, part.first), *kept);
    return status;
}

static lspo_status_t update_host(lspo_session_t *session, const lspo_op_t *op)
{
    uint64_t start_ns = lspo_now_ns();
    size_t count = lspo_host_adam_update(session, op, &stage_of(session, op->layer)->host);
    lspo_session_pace_update(session, start_ns, count);
    return LSPO_OK;
}

static lspo_status_t update_gpu(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    const states_stage_t *own = stage_of(session, op->layer);
    void **gradient = own->part_count > 1 ? &own->kept[op->micro] : &stage->gradient[lspo_session_parity(session, op)];
    lspo_visiting_update(session, op, &own->host, *gradient);
    lspo_session_give_back(session, gradient);
    return LSPO_OK;
}

static void visit_stage(const lspo_session_t *session, uint32_t s, const char *name, lspo_state_walk_t *walk)
{
    lspo_host_adam_visit(&stage_of(session, s)->host, name, walk);
}

const lspo_method_t lspo_method_deep_optimizer_states = {
    .name = "deep-optimizer-states",
    .stage_bytes = sizeof(states_stage_t),
    .describe = describe,
    .take_host = take_host,
    .create = create,
    .reset = reset,
    .drop = drop,
    .release = release,
    .ops = {[LSPO_OP_COMPRESS] = keep_gradient,
            [LSPO_OP_UPD] = update_host,
            [LSPO_OP_UPD_GPU] = update_gpu,
            [LSPO_OP_SWAP_IN] = swap_in,
            [LSPO_OP_SWAP_OUT] = swap_out},
    .weights_stored = weights_stored,
    .visit_stage = visit_stage,
};
