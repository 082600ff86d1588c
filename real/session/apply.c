/* apply.c - the GPU lane's updates: UPD_GPU, and APPLY of what an update made.  See session.h. */
#include "kernels/adam.h"
#include "real/session/state.h"

/* galore adds a quarter of what a full-rank step would: its authors' default. */
static const float lowrank_scale = 0.25F;

/* What decoupled weight decay leaves of a weight: 1 - eta decay. */
static float kept(const lspo_session_t *session, float rate)
{
    return 1.0F - rate * (float)session->plan->workload.weight_decay;
}

static uint64_t rounding_seed(const lspo_session_t *session, const lspo_op_t *op, uint32_t tensor)
{
    return lspo_session_rounding_seed(session, lspo_session_step(session, op), op->layer, tensor, 0);
}

static float gradient_scale(const lspo_session_t *session, uint32_t parity)
{
    return lspo_session_gradient_scale(session, session->norms.norm[parity],
                                       lspo_session_scale_of(session, parity, &session->norms));
}

/* lomo: w <- (1 - eta decay) w - eta scale g. */
static void descend(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    uint32_t parity = lspo_session_parity(session, op);
    float rate = lspo_session_rate(session, op);
    lspo_compute_step_along(session->compute, stage->message.element_count, kept(session, rate),
                            rate * gradient_scale(session, parity), session->number, stage->gradient[parity],
                            rounding_seed(session, op, 0), stage->weights);
}

/* lora: the message's head moves the adapters; its rest, when trained, the stage's other tensors. */
static void update_adapters(lspo_session_t *session, lspo_session_stage_t *stage, const lspo_adam_t *adam,
                            const void *gradient)
{
    size_t n = stage->message.element_count, factors = lspo_session_factor_count(stage);
    float *m = stage->optimizer, *v = m + n, *master = stage->gpu_master > 0 ? v + n : NULL;
    lspo_compute_adam_parameters(session->compute, adam, factors, gradient, m, v, master, stage->factors);
    if (stage->message.rest_elements > 0)
        lspo_compute_adam_parameters(session->compute, adam, stage->message.rest_elements,
                                     lspo_session_at(session, gradient, factors), m + factors, v + factors,
                                     master ? master + factors : NULL,
                                     lspo_session_at(session, stage->weights, stage->linear_elements));
}

/* badam, the first step of a turn: moments from nothing, the master from the weights. */
static void begin_turn(lspo_session_t *session, const lspo_session_stage_t *stage, float *m)
{
    size_t n = stage->message.element_count;
    lspo_compute_zero(session->compute, 2 * n * sizeof(float), m);
    if (stage->gpu_master > 0)
        lspo_compute_convert(session->compute, n, session->number, stage->weights, LSPO_NUMBER_FP32, m + 2 * n);
}

static void step_with_adam(lspo_session_t *session, const lspo_op_t *op, const lspo_adam_t *adam, float *m)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    lspo_swap_use_t *weights = lspo_session_swap_of(session, op, LSPO_VARIANT_PARAMETERS);
    void *gradient = stage->gradient[lspo_session_parity(session, op)];
    size_t n = stage->message.element_count;
    if (session->plan->gradient_form == LSPO_FORM_LOWRANK) /* the direction takes the gradient's place until APPLY */
        lspo_compute_adam_direction(session->compute, adam, n, gradient, m, m + n, gradient);
    else if (stage->factors)
        update_adapters(session, stage, adam, gradient);
    else
        lspo_compute_adam_parameters(session->compute, adam, n, gradient, m, m + n,
                                     stage->gpu_master > 0 ? m + 2 * n : NULL,
                                     weights ? weights->memory : stage->weights);
}

lspo_status_t lspo_session_update_gpu(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    uint32_t parity = lspo_session_parity(session, op);
    lspo_swap_use_t *optimizer = lspo_session_swap_of(session, op, LSPO_VARIANT_OPTIMIZER);
    float *m = optimizer ? optimizer->memory : stage->optimizer;
    bool skips = lspo_session_skips_step(session, op, &session->norms);
    if (session->plan->gradient_form == LSPO_FORM_COLUMNS)
        return lspo_session_columns_update_gpu(session, op);
    lspo_adam_t adam =
        lspo_adam_default(lspo_session_rate(session, op), lspo_plan_adam_step(session->plan, op->iteration));
    adam.weight_decay = (float)session->plan->workload.weight_decay; /* of the parameters form only */
    adam.gradient_scale = gradient_scale(session, parity);
    if (session->turn_state && adam.step == 1)
        begin_turn(session, stage, m);
    if (!skips && session->plan->optimizer == LSPO_OPTIMIZER_SGD)
        descend(session, op);
    else if (!skips)
        step_with_adam(session, op, &adam, m);
    if (session->plan->gradient_form != LSPO_FORM_LOWRANK)
        lspo_session_give_back(session, &stage->gradient[parity]);
    return LSPO_OK;
}

/* What is no linear weight steps along `direction` as it lies in the message. */
static void step_rest(lspo_session_t *session, const lspo_op_t *op, float keep, float rate, lspo_number_t format,
                      const void *direction)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    if (stage->message.rest_elements > 0)
        lspo_compute_step_along(session->compute, stage->message.rest_elements, keep, rate, format, direction,
                                rounding_seed(session, op, LSPO_LINEAR_MAX),
                                lspo_session_at(session, stage->weights, stage->linear_elements));
}

/* Part of a delta in fp32: where it lies, or unpacked. */
static const float *delta_part(lspo_session_t *session, const void *staging, size_t offset, size_t n)
{
    const void *part = lspo_session_link_at(session, staging, offset);
    if (!lspo_session_packs(session))
        return part;
    lspo_compute_convert(session->compute, n, session->link, part, LSPO_NUMBER_FP32, session->unpacked);
    return session->unpacked;
}

static void add_delta(lspo_session_t *session, const lspo_op_t *op, float rate, const void *staging)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    const lspo_message_t *message = &stage->message;
    float keep = kept(session, rate), decay = (float)session->plan->workload.weight_decay;
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *linear = &message->linear[i];
        void *w = lspo_session_at(session, stage->weights, stage->shape.tensors[i].offset_elements);
        if (linear->compressed)
            (session->plan->dense_sketches ? lspo_compute_sketch_apply : lspo_compute_projector_apply)(
                session->compute, &stage->p[i], &stage->q[i],
                delta_part(session, staging, linear->message_offset_elements, linear->message_elements), rate, decay,
                rounding_seed(session, op, i), w, session->scratch);
        else
            lspo_compute_step_along(session->compute, linear->message_elements, keep, rate, session->link,
                                    lspo_session_link_at(session, staging, linear->message_offset_elements),
                                    rounding_seed(session, op, i), w);
    }
    step_rest(session, op, keep, rate, session->link,
              lspo_session_link_at(session, staging, message->rest_offset_elements));
}

/* galore, 16 bits: W <- keep W - rate E with E = A N or N A^T formed, so that the sum is rounded at random. */
static lspo_status_t apply_rounded(lspo_session_t *session, const lspo_op_t *op, uint32_t i, float keep, float rate,
                                   const void *direction, void *w)
{
    const lspo_projection_t *linear = &session->stages[op->layer].message.linear[i];
    const void *basis = session->stages[op->layer].basis[i];
    size_t m = linear->rows, n = linear->cols, r = session->plan->workload.rank;
    void *full = NULL;
    lspo_status_t status = lspo_session_take(session, m * n * session->number_bytes, &full);
    if (status != LSPO_OK)
        return status;
    if (m <= n)
        lspo_compute_gemm_nn(session->compute, m, n, r, 1, basis, r, direction, n, 0, full, n);
    else
        lspo_compute_gemm_nt(session->compute, m, n, r, 1, direction, r, basis, r, 0, full, n);
    lspo_compute_step_along(session->compute, m * n, keep, lowrank_scale * rate, session->number, full,
                            rounding_seed(session, op, i), w);
    lspo_session_give_back(session, &full);
    return LSPO_OK;
}

static lspo_status_t apply_lowrank(lspo_session_t *session, const lspo_op_t *op, uint32_t i, float keep, float rate,
                                   const void *direction, void *w)
{
    const lspo_projection_t *linear = &session->stages[op->layer].message.linear[i];
    if (session->number != LSPO_NUMBER_FP32)
        return apply_rounded(session, op, i, keep, rate, direction, w);
    if (keep < 1)
        lspo_compute_step_along(session->compute, (size_t)linear->rows * linear->cols, keep, 0, session->number, w, 0,
                                w); /* w alone */
    lspo_compute_lowrank_apply(session->compute, linear->rows, linear->cols, session->plan->workload.rank,
                               session->stages[op->layer].basis[i], direction, lowrank_scale * rate, w);
    return LSPO_OK;
}

/* galore: out of the subspace where there is one. */
static lspo_status_t apply_direction(lspo_session_t *session, const lspo_op_t *op, float rate, const void *direction)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    const lspo_message_t *message = &stage->message;
    float keep = kept(session, rate);
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; status == LSPO_OK && i < message->linear_count; i++) {
        const lspo_projection_t *linear = &message->linear[i];
        const void *part = lspo_session_at(session, direction, linear->message_offset_elements);
        void *w = lspo_session_at(session, stage->weights, stage->shape.tensors[i].offset_elements);
        if (linear->compressed)
            status = apply_lowrank(session, op, i, keep, rate, part, w);
        else
            lspo_compute_step_along(session->compute, linear->message_elements, keep, rate, session->number, part,
                                    rounding_seed(session, op, i), w);
    }
    step_rest(session, op, keep, rate, session->number,
              lspo_session_at(session, direction, message->rest_offset_elements));
    return status;
}

/* What came from the host, which a skipped step made nothing of: new parameters are then the old ones. */
static void apply_returned(lspo_session_t *session, const lspo_op_t *op, float rate, const void *staging)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    if (session->plan->gradient_form == LSPO_FORM_COLUMNS)
        lspo_session_columns_apply(session, op, staging);
    else if (session->plan->return_form != LSPO_RETURN_DELTA)
        lspo_compute_convert(session->compute, stage->message.element_count, session->link, staging, session->number,
                             stage->weights);
    else if (!lspo_session_skips_step(session, op, &session->norms))
        add_delta(session, op, rate, staging);
}

lspo_status_t lspo_session_apply(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    uint32_t parity = lspo_session_parity(session, op);
    float rate = lspo_session_rate(session, op);
    bool lowrank = session->plan->gradient_form == LSPO_FORM_LOWRANK;
    lspo_status_t status = LSPO_OK;
    void **from = lowrank ? &stage->gradient[parity] : &stage->staging[parity];
    if (!lowrank)
        apply_returned(session, op, rate, *from);
    else if (!lspo_session_skips_step(session, op, &session->norms))
        status = apply_direction(session, op, rate, *from);
    lspo_session_give_back(session, from);
    return status;
}
