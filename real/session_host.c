/* session_host.c - the ops of the links and of the CPU lane.  See session.h. */
#include <string.h>

#include "kernels/adam.h"
#include "real/session_state.h"

static size_t swap_bytes(const lspo_session_stage_t *stage, const lspo_op_t *op)
{
    if (op->variant == LSPO_VARIANT_OPTIMIZER)
        return 2 * stage->message.element_count * sizeof(float);
    return stage->shape.element_count * sizeof(float);
}

static float *swap_home(const lspo_session_stage_t *stage, const lspo_op_t *op)
{
    return op->variant == LSPO_VARIANT_OPTIMIZER ? stage->host_optimizer : stage->home;
}

static lspo_status_t send_gradient(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    uint32_t parity = lspo_session_parity(session, op);
    if (op->variant == LSPO_VARIANT_NORM_SCALAR) {
        lspo_device_copy(session->device, LSPO_COPY_D2H, &session->norm_host[parity], &session->norm_gpu[parity],
                         sizeof(float));
        return LSPO_OK;
    }
    if (op->variant == LSPO_VARIANT_PROJECTORS) {
        lspo_session_send_projectors(session, op);
        return LSPO_OK;
    }
    if (stage->sending) {
        lspo_device_copy(session->device, LSPO_COPY_D2H, stage->landing[0], stage->sending, stage->link_bytes);
        lspo_session_give_back(session, &stage->sending);
        return LSPO_OK;
    }
    const void *from = stage->packed[parity] ? (const void *)stage->packed[parity] : stage->gradient[parity];
    lspo_device_copy(session->device, LSPO_COPY_D2H, stage->landing[lspo_session_slot(session, op)], from,
                     stage->link_bytes);
    lspo_session_give_back(session, (void **)&stage->packed[parity]);
    lspo_session_give_back(session, (void **)&stage->gradient[parity]);
    return LSPO_OK;
}

static const void *outgoing_of(const lspo_session_t *session, const lspo_session_stage_t *stage, const lspo_op_t *op)
{
    const void *outgoing = stage->outgoing[lspo_session_slot(session, op)];
    return outgoing ? outgoing : stage->master;
}

static lspo_status_t return_update(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    void **staging = &stage->staging[lspo_session_parity(session, op)];
    lspo_status_t status = lspo_session_take(session, stage->link_bytes, staging);
    if (status == LSPO_OK)
        lspo_device_copy(session->device, LSPO_COPY_H2D, *staging, outgoing_of(session, stage, op), stage->link_bytes);
    return status;
}

const float *lspo_session_landed(lspo_session_t *session, const void *landing, size_t at, size_t n)
{
    if (!lspo_session_packs(session))
        return (const float *)landing + at;
    lspo_session_unpack(session, n, (const uint16_t *)landing + at, session->update_scratch);
    return session->update_scratch;
}

/* One block of a parameters update: the master steps, and a copy goes out where the master cannot. */
static void update_parameters(lspo_session_t *session, const lspo_adam_t *adam, const float *gradient, float *m,
                              float *v, float *master, void *outgoing, size_t at, size_t n)
{
    lspo_adam_parameters(adam, n, gradient, m, v, master);
    if (!outgoing)
        return;
    if (lspo_session_packs(session))
        lspo_session_pack(session, n, master, (uint16_t *)outgoing + at);
    else
        memcpy((float *)outgoing + at, master, n * sizeof(float));
}

static void update_direction(lspo_session_t *session, const lspo_adam_t *adam, const float *gradient, float *m,
                             float *v, void *outgoing, size_t at, size_t n)
{
    if (!lspo_session_packs(session)) {
        lspo_adam_direction(adam, n, gradient, m, v, (float *)outgoing + at);
        return;
    }
    lspo_adam_direction(adam, n, gradient, m, v, session->update_scratch); /* which `gradient` is: allowed */
    lspo_session_pack(session, n, session->update_scratch, (uint16_t *)outgoing + at);
}

static lspo_status_t update(lspo_session_t *session, const lspo_op_t *op)
{
    uint64_t start_ns = lspo_now_ns();
    lspo_session_stage_t *stage = &session->stages[op->layer];
    uint32_t slot = lspo_session_slot(session, op);
    size_t count = stage->message.element_count;
    if (session->plan->gradient_form == LSPO_FORM_COLUMNS)
        return lspo_session_columns_update_host(session, op);
    lspo_session_carry_moments(session, op);
    float *m = stage->host_optimizer, *v = m + count;
    lspo_adam_t adam = lspo_adam_default(lspo_session_rate(session, op), lspo_session_step(session, op) + 1);
    adam.weight_decay = (float)session->plan->workload.weight_decay; /* of the parameters form only */
    adam.gradient_scale = lspo_session_clip_scale(session, session->norm_host[lspo_session_parity(session, op)]);
    for (size_t at = 0; at < count; at += LSPO_UPDATE_BLOCK) {
        size_t n = count - at < LSPO_UPDATE_BLOCK ? count - at : LSPO_UPDATE_BLOCK;
        const float *gradient = lspo_session_landed(session, stage->landing[slot], at, n);
        if (session->plan->return_form == LSPO_RETURN_DELTA)
            update_direction(session, &adam, gradient, m + at, v + at, stage->outgoing[slot], at, n);
        else
            update_parameters(session, &adam, gradient, m + at, v + at, stage->master + at, stage->outgoing[slot], at,
                              n);
    }
    double cpu_pps = lspo_device_caps(session->device)->cpu_pps;
    if (cpu_pps > 0)
        lspo_pace(start_ns, (double)count / cpu_pps);
    return LSPO_OK;
}

static lspo_status_t swap_in(lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    lspo_swap_use_t *use = &session->swaps[op - session->plan->ops];
    size_t bytes = swap_bytes(stage, op);
    lspo_status_t status = lspo_session_take(session, bytes, &use->memory);
    if (status == LSPO_OK)
        lspo_device_copy(session->device, LSPO_COPY_H2D, use->memory, swap_home(stage, op), bytes);
    return status;
}

static lspo_status_t swap_out(lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    lspo_swap_use_t *use = lspo_session_swap_of(session, op, (lspo_op_variant_t)op->variant);
    if (!use)
        return lspo_error(LSPO_ERR_INTERNAL, "a SWAP_OUT of stage %u follows no SWAP_IN", op->layer);
    lspo_device_copy(session->device, LSPO_COPY_D2H, swap_home(stage, op), use->memory, swap_bytes(stage, op));
    lspo_session_give_back(session, &use->memory);
    return LSPO_OK;
}

lspo_status_t lspo_session_host_op(lspo_session_t *session, const lspo_op_t *op)
{
    switch ((lspo_op_kind_t)op->kind) {
    case LSPO_OP_D2H:
        return send_gradient(session, op);
    case LSPO_OP_H2D:
        return return_update(session, op);
    case LSPO_OP_UPD:
        return update(session, op);
    case LSPO_OP_SWAP_IN:
        return swap_in(session, op);
    case LSPO_OP_SWAP_OUT:
        return swap_out(session, op);
    default:
        return lspo_error(LSPO_ERR_INTERNAL, "a %s op is on lane %s", lspo_op_kind_name((lspo_op_kind_t)op->kind),
                          lspo_lane_name((lspo_lane_t)op->lane));
    }
}
