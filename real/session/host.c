/* host.c - the ops of the links and of the CPU lane.  See session.h. */
#include <string.h>

#include "kernels/adam.h"
#include "real/session/state.h"

bool lspo_session_packs(const lspo_session_t *session)
{
    return session->link != LSPO_NUMBER_FP32;
}

static size_t swap_bytes(const lspo_session_t *session, const lspo_session_stage_t *stage, const lspo_op_t *op)
{
    if (op->variant == LSPO_VARIANT_OPTIMIZER)
        return (2 * stage->message.element_count + stage->gpu_master) * sizeof(float);
    return stage->shape.element_count * session->number_bytes;
}

static void *swap_home(const lspo_session_stage_t *stage, const lspo_op_t *op)
{
    return op->variant == LSPO_VARIANT_OPTIMIZER ? (void *)stage->host_optimizer : stage->home;
}

/* The clipped norm, and the scale that goes with it where that changes. */
static void send_norm(lspo_session_t *session, uint32_t parity)
{
    lspo_device_copy(session->device, LSPO_COPY_D2H, &session->host_norms->norm[parity],
                     &session->gpu_norms->norm[parity], sizeof(float));
    if (session->scaling.dynamic)
        lspo_device_copy(session->device, LSPO_COPY_D2H, &session->host_norms->scale[parity],
                         &session->gpu_norms->scale[parity], sizeof(float));
}

static lspo_status_t send_gradient(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    uint32_t parity = lspo_session_parity(session, op);
    if (op->variant == LSPO_VARIANT_NORM_SCALAR) {
        send_norm(session, parity);
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
    const void *from = stage->packed[parity] ? stage->packed[parity] : stage->gradient[parity];
    lspo_device_copy(session->device, LSPO_COPY_D2H, stage->landing[lspo_session_slot(session, op)], from,
                     stage->link_bytes);
    lspo_session_give_back(session, &stage->packed[parity]);
    lspo_session_give_back(session, &stage->gradient[parity]);
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

float *lspo_session_update_scratch(const lspo_session_t *session, uint32_t worker)
{
    return session->update_scratch + (size_t)worker * LSPO_UPDATE_BLOCK;
}

const float *lspo_session_landed(lspo_session_t *session, uint32_t worker, const void *landing, size_t at, size_t n)
{
    const void *part = lspo_session_link_at(session, landing, at);
    if (!lspo_session_packs(session))
        return part;
    float *scratch = lspo_session_update_scratch(session, worker);
    lspo_session_unpack_numbers(session->link, n, part, scratch);
    return scratch;
}

/* An UPD, shared out among the workers block by block. */
typedef struct {
    lspo_session_t *session;
    lspo_session_stage_t *stage;
    lspo_adam_t adam;
    uint32_t slot;
    bool skips; /* the step: masters stay, and go out as they are */
} update_t;

/* One block of a parameters update: the master steps, and a copy goes out where the master cannot. */
static void update_parameters(const update_t *update, const float *gradient, size_t at, size_t n)
{
    lspo_session_stage_t *stage = update->stage;
    float *m = stage->host_optimizer + at, *v = m + stage->message.element_count, *master = stage->master + at;
    void *outgoing = stage->outgoing[update->slot];
    if (!update->skips)
        lspo_adam_parameters(&update->adam, n, gradient, m, v, master);
    if (outgoing)
        lspo_session_pack_numbers(update->session->link, n, master,
                                  lspo_session_link_at(update->session, outgoing, at));
}

static void update_direction(const update_t *update, uint32_t worker, const float *gradient, size_t at, size_t n)
{
    lspo_session_t *session = update->session;
    float *m = update->stage->host_optimizer + at, *v = m + update->stage->message.element_count;
    void *outgoing = lspo_session_link_at(session, update->stage->outgoing[update->slot], at);
    if (!lspo_session_packs(session)) {
        lspo_adam_direction(&update->adam, n, gradient, m, v, outgoing);
        return;
    }
    float *scratch = lspo_session_update_scratch(session, worker); /* which `gradient` is: allowed */
    lspo_adam_direction(&update->adam, n, gradient, m, v, scratch);
    lspo_session_pack_numbers(session->link, n, scratch, outgoing);
}

static void update_block(void *context, uint32_t worker, size_t block)
{
    const update_t *update = context;
    size_t at = block * LSPO_UPDATE_BLOCK, count = update->stage->message.element_count;
    size_t n = count - at < LSPO_UPDATE_BLOCK ? count - at : LSPO_UPDATE_BLOCK;
    const float *gradient = lspo_session_landed(update->session, worker, update->stage->landing[update->slot], at, n);
    if (update->session->plan->return_form != LSPO_RETURN_DELTA)
        update_parameters(update, gradient, at, n);
    else if (!update->skips)
        update_direction(update, worker, gradient, at, n);
}

static lspo_status_t update(lspo_session_t *session, const lspo_op_t *op)
{
    uint64_t start_ns = lspo_now_ns();
    lspo_session_stage_t *stage = &session->stages[op->layer];
    uint32_t parity = lspo_session_parity(session, op);
    size_t count = stage->message.element_count;
    if (session->plan->gradient_form == LSPO_FORM_COLUMNS)
        return lspo_session_columns_update_host(session, op);
    lspo_session_carry_moments(session, op);
    update_t work = {.session = session,
                     .stage = stage,
                     .adam = lspo_adam_default(lspo_session_rate(session, op), lspo_session_step(session, op) + 1),
                     .slot = lspo_session_slot(session, op),
                     .skips = lspo_session_skips_step(session, op, session->host_norms)};
    work.adam.weight_decay = (float)session->plan->workload.weight_decay; /* of the parameters form only */
    work.adam.gradient_scale = lspo_session_gradient_scale(session, session->host_norms->norm[parity],
                                                           lspo_session_scale_of(session, parity, session->host_norms));
    lspo_workers_run(session->workers, (count + LSPO_UPDATE_BLOCK - 1) / LSPO_UPDATE_BLOCK, update_block, &work);
    double cpu_pps = lspo_device_caps(session->device)->cpu_pps;
    if (cpu_pps > 0)
        lspo_device_pace(session->device, start_ns, (double)count / cpu_pps);
    return LSPO_OK;
}

lspo_status_t lspo_session_make_worker_scratch(lspo_session_t *session)
{
    size_t workers = lspo_workers_count(session->workers);
    lspo_device_host_free(session->device, session->update_scratch);
    lspo_device_host_free(session->device, session->row_scratch);
    session->update_scratch = session->row_scratch = NULL;
    lspo_status_t status = lspo_device_host_alloc(session->device, workers * LSPO_UPDATE_BLOCK * sizeof(float),
                                                  (void **)&session->update_scratch);
    if (status == LSPO_OK && session->widest_row > 0)
        status = lspo_device_host_alloc(session->device, workers * 3 * session->widest_row * sizeof(float),
                                        (void **)&session->row_scratch);
    return status;
}

lspo_status_t lspo_session_set_workers(lspo_session_t *session, lspo_workers_t *workers)
{
    session->workers = workers;
    return lspo_session_make_worker_scratch(session);
}

static lspo_status_t swap_in(lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    lspo_swap_use_t *use = &session->swaps[op - session->plan->ops];
    size_t bytes = swap_bytes(session, stage, op);
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
    lspo_device_copy(session->device, LSPO_COPY_D2H, swap_home(stage, op), use->memory, swap_bytes(session, stage, op));
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
