/* adam.c - Adam on full gradients, on the GPU or on the CPU as in the plan.
 *     UPD_GPU   w <- w - eta adam(g)            a swapped stage's state comes with SWAP_IN and leaves with SWAP_OUT
 *     UPD       master <- master - eta adam(g)  H2D sends the master, APPLY overwrites the weights; those of a swapped
 *                                               stage are overwritten on the host, or are the master themselves
 * Of a chain of peers (fusion) each has a session of its own; pipeline.h has the messages between them, largest.h those
 * of which only the largest numbers are sent. */
#include <string.h>

#include "real/methods/eigen.h"
#include "real/methods/largest.h"
#include "real/methods/methods.h"
#include "real/methods/pipeline.h"

typedef struct {
    lspo_eigen_scratch_t host, device;
    lspo_largest_state_t largest;
} adam_t;

typedef struct {
    lspo_eigen_t eigen;
    lspo_gpu_adam_t gpu;
    lspo_host_adam_t host; /* of a swapped stage: host copies of m, v and the GPU's master */
} adam_stage_t;

static adam_stage_t *stage_of(const lspo_session_t *session, uint32_t s)
{
    return session->stages[s].own;
}

static lspo_largest_state_t *largest_of(const lspo_session_t *session)
{
    return &((adam_t *)session->own)->largest;
}

static void describe(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++) {
        adam_stage_t *own = stage_of(session, s);
        lspo_gpu_adam_describe(session, &session->stages[s], true, &own->gpu);
        lspo_host_adam_describe(session, &session->stages[s], &own->host);
    }
    lspo_eigen_describe(session);
}

/* Are the stage's weights on the host its master, too? */
static bool master_is_home(const lspo_session_t *session, const lspo_session_stage_t *stage)
{
    return stage->updated_on_host && stage->swapped && lspo_moments_update(session) == session->number;
}

static lspo_status_t take_host(lspo_session_t *session, uint32_t s, lspo_host_count_t *count)
{
    const lspo_session_stage_t *stage = &session->stages[s];
    adam_stage_t *own = stage_of(session, s);
    lspo_status_t status = LSPO_OK;
    if (stage->updated_on_host || stage->swapped)
        status = lspo_host_adam_take_moments(session, &own->host, stage->swapped ? own->gpu.master : 0, count);
    if (status != LSPO_OK)
        return status;
    status = lspo_eigen_take_host(session, s, &own->eigen, count);
    if (status != LSPO_OK)
        return status;
    if (master_is_home(session, stage))
        own->host.master = stage->home;
    else if (stage->updated_on_host && stage->swapped)
        status = lspo_host_adam_take_master(session, &own->host, count);
    else if (stage->updated_on_host)
        status = lspo_host_adam_take_outgoing(session, s, &own->host, true, count);
    if (status == LSPO_OK && stage->updated_on_host && lspo_plan_speculates(session->plan))
        status = lspo_host_adam_take_second(session, &own->host, count);
    return status;
}

static lspo_status_t take_device(lspo_session_t *session, uint32_t s)
{
    adam_stage_t *own = stage_of(session, s);
    lspo_status_t status = lspo_gpu_adam_take(session, &session->stages[s], &own->gpu);
    return status == LSPO_OK ? lspo_eigen_take_device(session, s, &own->eigen) : status;
}

static lspo_status_t create(lspo_session_t *session)
{
    adam_t *adam = session->own;
    lspo_status_t status = lspo_eigen_take_host_scratch(session, &adam->host);
    if (status == LSPO_OK)
        status = lspo_eigen_take_device_scratch(session, &adam->device);
    return status == LSPO_OK ? lspo_largest_create(session, &adam->largest) : status;
}

static lspo_status_t reset(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++) {
        lspo_host_adam_clear(&stage_of(session, s)->host);
        lspo_gpu_adam_clear(session, &stage_of(session, s)->gpu);
        lspo_eigen_begin(session, s, &stage_of(session, s)->eigen);
    }
    lspo_largest_clear(session, largest_of(session));
    return LSPO_OK;
}

static void release(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++) {
        adam_stage_t *own = stage_of(session, s);
        if (master_is_home(session, &session->stages[s]))
            own->host.master = NULL; /* the session gives it back */
        lspo_eigen_give_back(session, &own->eigen);
        lspo_gpu_adam_give_back(session, &own->gpu);
        lspo_host_adam_give_back(session, &own->host);
    }
    lspo_eigen_give_back_scratch(session, &((adam_t *)session->own)->host, &((adam_t *)session->own)->device);
    lspo_largest_release(session, largest_of(session));
}

static void drop(lspo_session_t *session)
{
    lspo_largest_drop(session, largest_of(session));
}

/* For a swapped stage: the master of its 16-bit weights. */
static float *swapped_master(const lspo_session_stage_t *stage, const adam_stage_t *own)
{
    size_t moments_bytes = lspo_moments_bytes(&own->host.moments);
    return stage->swapped ? (float *)own->host.moments.memory + moments_bytes / sizeof(float) : NULL;
}

static lspo_status_t weights_stored(lspo_session_t *session, uint32_t s, const float *weights)
{
    const lspo_session_stage_t *stage = &session->stages[s];
    const adam_stage_t *own = stage_of(session, s);
    float *swapped = swapped_master(stage, own);
    if (own->host.master &&
        !master_is_home(session, stage)) /* a message without the rest is the start of the stage's array */
        lspo_session_pack_numbers(own->host.number, stage->message.element_count, weights, own->host.master);
    if (swapped)
        memcpy(swapped, weights, own->gpu.master * sizeof *weights);
    return lspo_gpu_adam_write_master(session, &own->gpu, 0, stage->message.element_count, weights);
}

static lspo_status_t update_gpu(lspo_session_t *session, const lspo_op_t *op)
{
    const adam_stage_t *own = stage_of(session, op->layer);
    const lspo_swap_use_t *optimizer = lspo_session_swap_of(session, op, op->layer, LSPO_VARIANT_OPTIMIZER);
    const lspo_swap_use_t *weights = lspo_session_swap_of(session, op, op->layer, LSPO_VARIANT_PARAMETERS);
    lspo_gpu_adam_t gpu = own->gpu;
    if (optimizer)
        gpu.moments.memory = optimizer->memory;
    lspo_eigen_update_stage(session, op, &gpu, &own->eigen, &((adam_t *)session->own)->device,
                            weights ? weights->memory : session->stages[op->layer].weights);
    return LSPO_OK;
}

static lspo_status_t update_host(lspo_session_t *session, const lspo_op_t *op)
{
    uint64_t start_ns = lspo_now_ns();
    adam_stage_t *own = stage_of(session, op->layer);
    size_t count = session->stages[op->layer].message.element_count;
    bool begins; /* only the CPU has them */
    if (op->variant == LSPO_VARIANT_SPECULATE)
        count = lspo_host_adam_speculate(session, op, &own->host);
    else if (lspo_op_settles(op))
        count = lspo_host_adam_settle(session, op, &own->host);
    else if (own->eigen.host) /* a cap is one of Adam alone */
        start_ns +=
            lspo_eigen_update_host(session, op, &own->host, &own->eigen, &((adam_t *)session->own)->host, &begins);
    else
        count = lspo_host_adam_update(session, op, &own->host);
    lspo_session_pace_update(session, start_ns, count);
    return LSPO_OK;
}

static lspo_status_t swap_in(lspo_session_t *session, const lspo_op_t *op)
{
    const adam_stage_t *own = stage_of(session, op->layer);
    if (op->variant == LSPO_VARIANT_SUM)
        return lspo_session_swap_sum_in(session, op);
    if (op->variant != LSPO_VARIANT_OPTIMIZER)
        return lspo_session_swap_weights_in(session, op);
    return lspo_session_swap_in(session, op, own->host.moments.memory, lspo_gpu_adam_bytes(&own->gpu));
}

static lspo_status_t swap_out(lspo_session_t *session, const lspo_op_t *op)
{
    const adam_stage_t *own = stage_of(session, op->layer);
    if (op->variant == LSPO_VARIANT_SUM)
        return lspo_session_swap_sum_out(session, op);
    if (op->variant != LSPO_VARIANT_OPTIMIZER)
        return lspo_session_swap_weights_out(session, op);
    return lspo_session_swap_out(session, op, own->host.moments.memory, lspo_gpu_adam_bytes(&own->gpu));
}

static void visit_stage(const lspo_session_t *session, uint32_t s, const char *name, lspo_state_walk_t *walk)
{
    const adam_stage_t *own = stage_of(session, s);
    lspo_host_adam_t host = own->host;
    if (master_is_home(session, &session->stages[s]))
        host.master = NULL; /* the session visits it as the weights */
    lspo_host_adam_visit(&host, name, walk);
    lspo_walk_host(walk, swapped_master(&session->stages[s], own), own->gpu.master, LSPO_STATE_F32, "%s.gpu_master",
                   name);
    lspo_gpu_adam_visit(&own->gpu, name, walk);
    lspo_eigen_visit(session, s, &own->eigen, name, walk);
}

static void visit(const lspo_session_t *session, lspo_state_walk_t *walk)
{
    lspo_largest_visit(session, largest_of(session), walk);
}

/* ---- messages of a chain ---- */

static lspo_status_t compress(lspo_session_t *session, const lspo_op_t *op)
{
    return lspo_largest_choose(session, largest_of(session), op);
}

static bool is_of_numbers(const lspo_op_t *op)
{
    return op->variant == LSPO_VARIANT_ACTIVATIONS || op->variant == LSPO_VARIANT_GRADIENT;
}

static lspo_status_t apply(lspo_session_t *session, const lspo_op_t *op)
{
    return is_of_numbers(op) ? lspo_largest_spread(session, largest_of(session), op) : lspo_pipeline_apply(session, op);
}

static lspo_status_t pack(lspo_session_t *session, const lspo_op_t *op, uint32_t to, lspo_session_message_t *message)
{
    return lspo_largest_is_sent(session, op) ? lspo_largest_pack(session, largest_of(session), op, message)
                                             : lspo_pipeline_pack(session, op, to, message);
}

static lspo_status_t unpack(lspo_session_t *session, const lspo_op_t *op, uint32_t from,
                            const lspo_session_message_t *message)
{
    return lspo_largest_is_sent(session, op) ? lspo_largest_unpack(session, largest_of(session), op, message)
                                             : lspo_pipeline_unpack(session, op, from, message);
}

static lspo_status_t end_send(lspo_session_t *session, const lspo_op_t *op)
{
    return lspo_largest_is_sent(session, op) ? lspo_largest_end_send(session, largest_of(session), op)
                                             : lspo_pipeline_end_send(session, op);
}

const lspo_method_t lspo_method_adam = {
    .name = "adam",
    .state_bytes = sizeof(adam_t),
    .stage_bytes = sizeof(adam_stage_t),
    .describe = describe,
    .take_host = take_host,
    .take_device = take_device,
    .create = create,
    .reset = reset,
    .drop = drop,
    .release = release,
    .ops = {[LSPO_OP_UPD] = update_host,
            [LSPO_OP_COMPRESS] = compress,
            [LSPO_OP_UPD_GPU] = update_gpu,
            [LSPO_OP_SWAP_IN] = swap_in,
            [LSPO_OP_SWAP_OUT] = swap_out,
            [LSPO_OP_APPLY] = apply},
    .end_send = end_send,
    .pack = pack,
    .unpack = unpack,
    .weights_stored = weights_stored,
    .visit_stage = visit_stage,
    .visit = visit,
};
