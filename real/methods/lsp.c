/* lsp.c - gradients in sparse subspaces.
 *     COMPRESS  g^ = P^T X^T dY Q       UPD    direction = adam(g^), on the CPU
 *     PROJECT   checks (P, Q)           APPLY  w <- w - eta P direction Q^T
 * Weights whose gradients are sent uncompressed: w <- w - eta direction.  There are no master weights: 16-bit weights
 * are rounded stochastically.
 *     UPD_GPU   the stages of --native-layers, with full gradients and Adam's state and masters on the GPU */
#include <inttypes.h>

#include "kernels/sketch.h"
#include "real/methods/methods.h"
#include "real/methods/pairs.h"
#include "real/methods/step.h"

static void describe(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++) {
        lspo_gpu_adam_describe(session, &session->stages[s], true, &lspo_pairs_of(session, s)->gpu);
        lspo_host_adam_describe(session, &session->stages[s], &lspo_pairs_of(session, s)->host);
    }
    lspo_eigen_describe(session);
}

static lspo_status_t take_host(lspo_session_t *session, uint32_t s, lspo_host_count_t *count)
{
    lspo_host_adam_t *host = &lspo_pairs_of(session, s)->host;
    if (!session->stages[s].updated_on_host)
        return LSPO_OK;
    lspo_status_t status = lspo_host_adam_take_moments(session, host, 0, count);
    if (status != LSPO_OK)
        return status;
    status = lspo_eigen_take_host(session, s, &lspo_pairs_of(session, s)->eigen, count);
    if (status != LSPO_OK)
        return status;
    status = lspo_gpu_bases_take_host(session, s, &lspo_pairs_of(session, s)->gpu_bases, count);
    if (status != LSPO_OK)
        return status;
    return lspo_host_adam_take_outgoing(session, s, host, false, count);
}

static lspo_status_t take_device(lspo_session_t *session, uint32_t s)
{
    lspo_pairs_stage_t *own = lspo_pairs_of(session, s);
    lspo_status_t status = lspo_pairs_make(session, s);
    if (status != LSPO_OK)
        return status;
    status = lspo_gpu_adam_take(session, &session->stages[s], &own->gpu);
    if (status == LSPO_OK)
        status = lspo_eigen_take_device(session, s, &own->eigen);
    return status == LSPO_OK ? lspo_gpu_bases_take_device(session, s, &own->gpu_bases) : status;
}

static size_t projection_scratch(const lspo_session_t *session, const lspo_projector_t *p, const lspo_projector_t *q)
{
    size_t compress = session->plan->dense_compress ? lspo_sketch_compress_scratch(p, q, session->tokens)
                                                    : lspo_projector_compress_scratch(p, q, session->tokens);
    size_t apply = session->plan->dense_apply ? lspo_sketch_apply_scratch(p, q)
                                              : lspo_compute_projector_apply_scratch(session->compute, p, q);
    return compress > apply ? compress : apply;
}

/* A packed delta needs memory to be unpacked. */
static lspo_status_t create(lspo_session_t *session)
{
    lspo_pairs_t *pairs = session->own;
    size_t scratch = 0, unpacked = 0;
    for (uint32_t s = 0; s < session->stage_count; s++) {
        const lspo_message_t *message = &session->stages[s].message;
        const lspo_pairs_stage_t *own = lspo_pairs_of(session, s);
        for (uint32_t i = 0; i < message->linear_count; i++) {
            if (!message->linear[i].compressed)
                continue;
            if (message->linear[i].message_elements > unpacked)
                unpacked = message->linear[i].message_elements;
            size_t needed = projection_scratch(session, &own->p[i], &own->q[i]);
            scratch = needed > scratch ? needed : scratch;
        }
    }
    lspo_status_t status = lspo_pairs_make_carry(session);
    if (status != LSPO_OK)
        return status;
    status = lspo_eigen_take_host_scratch(session, &pairs->eigen);
    if (status != LSPO_OK)
        return status;
    status = lspo_eigen_take_device_scratch(session, &pairs->gpu_eigen);
    if (status != LSPO_OK)
        return status;
    status = lspo_gpu_bases_take_scratch(session, &pairs->gpu_bases);
    if (status != LSPO_OK)
        return status;
    if (scratch)
        status = lspo_session_take(session, scratch * session->number_bytes, &pairs->scratch);
    if (status != LSPO_OK)
        return status;
    if (unpacked && lspo_session_packs(session))
        status = lspo_session_take(session, unpacked * sizeof(float), (void **)&pairs->unpacked);
    return status;
}

static lspo_status_t write_bases(lspo_session_t *session)
{
    lspo_status_t status = LSPO_OK;
    for (uint32_t s = 0; status == LSPO_OK && s < session->stage_count; s++) {
        lspo_pairs_stage_t *own = lspo_pairs_of(session, s);
        status = lspo_gpu_bases_write(session, s, &own->eigen, &own->gpu_bases);
    }
    return status;
}

static lspo_status_t reset(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++) {
        lspo_host_adam_clear(&lspo_pairs_of(session, s)->host);
        lspo_gpu_adam_clear(session, &lspo_pairs_of(session, s)->gpu);
    }
    lspo_status_t status = lspo_pairs_reset(session);
    if (status == LSPO_OK)
        status = lspo_pairs_begin_bases(session);
    return status == LSPO_OK ? write_bases(session) : status;
}

static void drop(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++)
        for (uint32_t i = 0; i < LSPO_LINEAR_MAX; i++)
            lspo_pairs_drop_candidate(session, &lspo_pairs_of(session, s)->own_pairs[i]);
}

static void release(lspo_session_t *session)
{
    lspo_pairs_t *pairs = session->own;
    lspo_session_give_back(session, (void **)&pairs->unpacked);
    lspo_session_give_back(session, &pairs->scratch);
    lspo_device_host_free(session->device, pairs->carry_scratch);
    lspo_pairs_release(session);
    lspo_eigen_give_back_scratch(session, &pairs->eigen, &pairs->gpu_eigen);
    lspo_gpu_bases_give_back_scratch(session, &pairs->gpu_bases);
    for (uint32_t s = 0; s < session->stage_count; s++) {
        lspo_gpu_adam_give_back(session, &lspo_pairs_of(session, s)->gpu);
        lspo_host_adam_give_back(session, &lspo_pairs_of(session, s)->host);
        lspo_eigen_give_back(session, &lspo_pairs_of(session, s)->eigen);
        lspo_gpu_bases_give_back(session, &lspo_pairs_of(session, s)->gpu_bases);
    }
}

/* COMPRESS computes the gradient from its factors, and PROJECT uses them. */
static lspo_status_t begin_backward(lspo_session_t *session, const lspo_op_t *op, lspo_session_backward_t *backward)
{
    if (session->stages[op->layer].updated_on_gpu)
        return LSPO_OK;
    backward->sink.linear = NULL;
    backward->more_follows = true;
    return LSPO_OK;
}

static lspo_status_t compress(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    const lspo_pairs_stage_t *own = stage->own;
    const lspo_linear_operands_t *from = &session->operands;
    float beta = op->micro > 0 ? 1.0F : 0.0F;
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        const lspo_projection_t *linear = &stage->message.linear[i];
        void *gradient = lspo_session_at(session, stage->gradient[lspo_session_parity(session, op)],
                                         linear->message_offset_elements);
        if (linear->compressed)
            (session->plan->dense_compress ? lspo_compute_sketch_compress : lspo_compute_projector_compress)(
                session->compute, &(lspo_projector_pair_t){&own->p[i], &own->q[i]}, &from->of[i], beta, gradient,
                ((const lspo_pairs_t *)session->own)->scratch);
        else
            lspo_pairs_form_gradient(session, linear, i, beta, gradient);
    }
    lspo_session_release_activations(session, op);
    lspo_session_finish_gradient(session, op);
    return LSPO_OK;
}

/* The last op that reads a block's activations in a calibration pass. */
static lspo_status_t project(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_status_t status = lspo_pairs_project(session, op);
    lspo_session_release_activations(session, op);
    return status;
}

static lspo_status_t send(lspo_session_t *session, const lspo_op_t *op)
{
    if (op->variant != LSPO_VARIANT_PROJECTORS)
        return lspo_session_send(session, op);
    lspo_pairs_send(session, op);
    return LSPO_OK;
}

static void turn(lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_pairs_t *pairs = session->own;
    lspo_gpu_bases_turn_gradient(session, op, &lspo_pairs_of(session, op->layer)->gpu_bases, &pairs->gpu_bases);
}

/* New bases, with those of a first gradient that came late with the message of its step: its D is 0. */
static lspo_status_t bring(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_gpu_bases_t *bases = &lspo_pairs_of(session, op->layer)->gpu_bases;
    if (op->variant == LSPO_VARIANT_RENEW || bases->unsent)
        lspo_gpu_bases_send(session, op->layer, bases);
    return op->variant == LSPO_VARIANT_RENEW ? LSPO_OK : lspo_session_return(session, op);
}

/* Returns the nanoseconds that the matrices took. */
static uint64_t update_in_basis(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_pairs_stage_t *own = lspo_pairs_of(session, op->layer);
    const lspo_pairs_t *pairs = session->own;
    bool begins;
    uint64_t took_ns = lspo_eigen_update_host(session, op, &own->host, &own->eigen, &pairs->eigen, &begins);
    if (!own->gpu_bases.device)
        return took_ns;
    own->gpu_bases.unsent |= begins;
    if (begins || !lspo_plan_turns_on_gpu(session->plan, op->iteration)) /* a pair may be new */
        lspo_gpu_bases_pack(session, op->layer, &own->eigen, &own->gpu_bases);
    return took_ns;
}

static lspo_status_t update(lspo_session_t *session, const lspo_op_t *op)
{
    uint64_t start_ns = lspo_now_ns();
    const lspo_pairs_stage_t *own = lspo_pairs_of(session, op->layer);
    size_t count = session->stages[op->layer].message.element_count;
    if (op->variant == LSPO_VARIANT_RENEW) {
        lspo_eigen_renew_host(session, op, &own->host, &own->eigen, &((lspo_pairs_t *)session->own)->eigen);
        lspo_gpu_bases_pack(session, op->layer, &own->eigen, &own->gpu_bases);
        return LSPO_OK;
    }
    if (lspo_session_part(session, op).first == 0)
        lspo_pairs_carry_moments(session, op);
    if (own->eigen.host) /* a cap is one of Adam alone */
        start_ns += update_in_basis(session, op);
    else
        count = lspo_host_adam_update(session, op, &own->host);
    lspo_session_pace_update(session, start_ns, count);
    return LSPO_OK;
}

static lspo_status_t update_gpu(lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_pairs_stage_t *own = lspo_pairs_of(session, op->layer);
    lspo_eigen_update_stage(session, op, &own->gpu, &own->eigen, &((lspo_pairs_t *)session->own)->gpu_eigen,
                            session->stages[op->layer].weights);
    return LSPO_OK;
}

static lspo_status_t weights_stored(lspo_session_t *session, uint32_t s, const float *weights)
{
    return lspo_gpu_adam_write_master(session, &lspo_pairs_of(session, s)->gpu, 0,
                                      session->stages[s].message.element_count, weights);
}

/* The delta of a compressed weight in fp32: in place, or unpacked; from turned directions into the place of a message
 * that is itself in fp32. */
static const float *delta_of(lspo_session_t *session, const lspo_op_t *op, const lspo_step_t *step,
                             const lspo_step_t *linear, uint32_t i)
{
    const lspo_pairs_t *pairs = session->own;
    const void *part = lspo_step_linear(session, op, linear, i);
    float *room = pairs->unpacked;
    if (linear->format == LSPO_NUMBER_FP32)
        return part;
    if (!lspo_session_packs(session))
        room = (float *)lspo_step_linear(session, op, step, i);
    lspo_compute_convert(session->compute, session->stages[op->layer].message.linear[i].message_elements,
                         linear->format, part, LSPO_NUMBER_FP32, room);
    return room;
}

/* The step of the linear weights, whose directions the GPU may have to turn. */
static lspo_step_t linear_step(lspo_session_t *session, const lspo_op_t *op, const lspo_step_t *step)
{
    const lspo_gpu_bases_t *bases = &lspo_pairs_of(session, op->layer)->gpu_bases;
    lspo_step_t linear = *step;
    if (!bases->device || !lspo_plan_turns_on_gpu(session->plan, op->iteration))
        return linear;
    linear.direction = lspo_gpu_bases_turn_directions(session, op, bases, &((lspo_pairs_t *)session->own)->gpu_bases,
                                                      (void *)step->direction);
    linear.format = session->number;
    return linear;
}

static void add_delta(lspo_session_t *session, const lspo_op_t *op, const lspo_step_t *step)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    const lspo_pairs_stage_t *own = stage->own;
    const lspo_pairs_t *pairs = session->own;
    const lspo_step_t linear = linear_step(session, op, step);
    float decay = (float)session->plan->workload.weight_decay;
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        if (!stage->message.linear[i].compressed) {
            lspo_step_dense(session, op, &linear, i);
            continue;
        }
        const lspo_vector_step_t along = lspo_vector_step(step->rate, decay, lspo_session_op_seed(session, op, i));
        (session->plan->dense_apply ? lspo_compute_sketch_apply : lspo_compute_projector_apply)(
            session->compute, &(lspo_projector_pair_t){&own->p[i], &own->q[i]}, delta_of(session, op, step, &linear, i),
            &along, lspo_session_linear_weight(session, stage, i), pairs->scratch);
    }
    lspo_step_rest(session, op, step);
}

static lspo_status_t apply(lspo_session_t *session, const lspo_op_t *op)
{
    void **staging = &session->stages[op->layer].staging[lspo_session_parity(session, op)];
    lspo_step_t step = lspo_step_of(session, op, session->link, *staging);
    if (!lspo_session_skips_step(session, op, &session->norms))
        add_delta(session, op, &step);
    lspo_session_give_back(session, staging);
    return LSPO_OK;
}

static void visit_projector(lspo_state_walk_t *walk, const lspo_projector_t *p, const char *stage, uint32_t weight,
                            char side)
{
    uint64_t count = (uint64_t)p->rows * p->r;
    lspo_walk_host(walk, p->index, count, LSPO_STATE_U32, "%s.%c%" PRIu32 ".index", stage, side, weight);
    lspo_walk_host(walk, p->value, count, LSPO_STATE_F32, "%s.%c%" PRIu32 ".value", stage, side, weight);
}

/* Projectors shared by weights belong to the first of them. */
static void visit_stage(const lspo_session_t *session, uint32_t s, const char *name, lspo_state_walk_t *walk)
{
    const lspo_pairs_stage_t *own = lspo_pairs_of(session, s);
    lspo_host_adam_visit(&own->host, name, walk);
    lspo_gpu_adam_visit(&own->gpu, name, walk);
    lspo_eigen_visit(session, s, &own->eigen, name, walk);
    for (uint32_t i = 0; i < session->stages[s].message.linear_count; i++)
        if (lspo_pairs_owns(session, s, i)) {
            visit_projector(walk, &own->pair[i]->host_p, name, i, 'p');
            visit_projector(walk, &own->pair[i]->host_q, name, i, 'q');
        }
}

static bool positions_are_sound(const lspo_projector_t *p)
{
    for (size_t e = 0; e < (size_t)p->rows * p->r; e++)
        if (p->index[e] >= p->d || (e % p->r > 0 && p->index[e] <= p->index[e - 1]))
            return false;
    return true;
}

static lspo_status_t projector_written(lspo_session_t *session, uint32_t s, lspo_pair_t *pair)
{
    if (!positions_are_sound(&pair->host_p) || !positions_are_sound(&pair->host_q))
        return lspo_error(LSPO_ERR_INPUT,
                          "the state's projectors of stage %" PRIu32 " have positions that are "
                          "out of range or not in order",
                          s);
    lspo_projector_refresh(&pair->host_p);
    lspo_projector_refresh(&pair->host_q);
    return lspo_pairs_upload(session, pair);
}

static lspo_status_t written(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++)
        for (uint32_t i = 0; i < session->stages[s].message.linear_count; i++) {
            if (!lspo_pairs_owns(session, s, i))
                continue;
            lspo_status_t status = projector_written(session, s, lspo_pairs_of(session, s)->pair[i]);
            if (status != LSPO_OK)
                return status;
        }
    lspo_pairs_learn(session);
    return write_bases(session);
}

const lspo_method_t lspo_method_lsp = {
    .name = "lsp",
    .state_bytes = sizeof(lspo_pairs_t),
    .stage_bytes = sizeof(lspo_pairs_stage_t),
    .describe = describe,
    .take_host = take_host,
    .take_device = take_device,
    .create = create,
    .reset = reset,
    .drop = drop,
    .release = release,
    .ops = {[LSPO_OP_COMPRESS] = compress,
            [LSPO_OP_PROJECT] = project,
            [LSPO_OP_D2H] = send,
            [LSPO_OP_UPD] = update,
            [LSPO_OP_UPD_GPU] = update_gpu,
            [LSPO_OP_H2D] = bring,
            [LSPO_OP_APPLY] = apply},
    .skips = lspo_pairs_skip_calibration,
    .load_batch = lspo_pairs_load_calibration,
    .begin_backward = begin_backward,
    .weights_stored = weights_stored,
    .turn = turn,
    .visit_stage = visit_stage,
    .written = written,
};
