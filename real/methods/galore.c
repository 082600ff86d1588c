/* galore.c - gradients in the span of their leading singular vectors.
 *     COMPRESS  R = A^T G (or G A)      PROJECT   a new basis A of the gradient of the whole step
 *     UPD_GPU   R <- adam(R)            APPLY     W <- W - eta / 4 A R
 * There are no master weights: 16-bit weights are rounded stochastically. */
#include "plan/policies/galore.h"
#include "real/methods/galore.h"

#include <inttypes.h>

#include "kernels/lowrank.h"
#include "real/methods/methods.h"
#include "real/methods/step.h"

/* A quarter of a full-rank step: the authors' default. */
static const float lowrank_scale = 0.25F;

static lspo_galore_stage_t *stage_of(const lspo_session_t *session, uint32_t s)
{
    return session->stages[s].own;
}

static void describe(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++)
        lspo_gpu_adam_describe(session, &session->stages[s], false, &stage_of(session, s)->gpu);
}

/* The number of elements of a weight's basis. */
static size_t basis_count(const lspo_session_t *session, const lspo_projection_t *linear)
{
    size_t shorter = linear->rows < linear->cols ? linear->rows : linear->cols;
    return shorter * lspo_galore_values_of(&session->plan->workload)->rank;
}

static lspo_status_t take_device(lspo_session_t *session, uint32_t s)
{
    lspo_session_stage_t *stage = &session->stages[s];
    lspo_galore_stage_t *own = stage_of(session, s);
    lspo_status_t status = lspo_gpu_adam_take(session, stage, &own->gpu);
    if (status != LSPO_OK)
        return status;
    status = lspo_eigen_take_device(session, s, &own->eigen);
    if (status != LSPO_OK)
        return status;
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        const lspo_projection_t *linear = &stage->message.linear[i];
        if (linear->compressed)
            status = lspo_session_take(session, basis_count(session, linear) * session->number_bytes, &own->basis[i]);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

static lspo_status_t create(lspo_session_t *session)
{
    return lspo_eigen_take_device_scratch(session, session->own);
}

static lspo_status_t reset(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++) {
        lspo_gpu_adam_clear(session, &stage_of(session, s)->gpu);
        lspo_eigen_begin(session, s, &stage_of(session, s)->eigen);
    }
    return LSPO_OK;
}

static void drop(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++)
        lspo_session_give_back(session, &stage_of(session, s)->full_gradient);
}

static void release(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++) {
        lspo_galore_stage_t *own = stage_of(session, s);
        lspo_eigen_give_back(session, &own->eigen);
        lspo_gpu_adam_give_back(session, &own->gpu);
        for (int i = 0; i < LSPO_LINEAR_MAX; i++)
            lspo_session_give_back(session, &own->basis[i]);
    }
    lspo_eigen_give_back_scratch(session, &(lspo_eigen_scratch_t){0}, session->own);
}

/* In a step with new bases the full gradients of all micro-batches are summed before they are compressed. */
static lspo_status_t begin_backward(lspo_session_t *session, const lspo_op_t *op, lspo_session_backward_t *backward)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    lspo_galore_stage_t *own = stage_of(session, op->layer);
    bool keeps = lspo_plan_keeps_gradients(session->plan, op->iteration);
    lspo_status_t status = LSPO_OK;
    if (!own->full_gradient)
        status = lspo_session_take(session, stage->linear_elements * session->number_bytes, &own->full_gradient);
    backward->sink.linear = own->full_gradient;
    backward->sink.overwrite_linear = !keeps;
    backward->more_follows = !keeps || lspo_session_is_last_micro(session, op);
    return status;
}

/* A compressed weight and its basis. */
static lspo_lowrank_t lowrank_of(const lspo_session_t *session, const lspo_op_t *op, uint32_t i)
{
    const lspo_projection_t *linear = &session->stages[op->layer].message.linear[i];
    return (lspo_lowrank_t){.m = linear->rows,
                            .n = linear->cols,
                            .r = lspo_galore_values_of(&session->plan->workload)->rank,
                            .basis = stage_of(session, op->layer)->basis[i]};
}

/* Compress a full gradient, of one micro-batch or of all. */
static lspo_status_t compress(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    lspo_galore_stage_t *own = stage_of(session, op->layer);
    bool adds = op->micro > 0 && !lspo_plan_keeps_gradients(session->plan, op->iteration);
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        const lspo_projection_t *linear = &stage->message.linear[i];
        const void *full = lspo_session_at(session, own->full_gradient, stage->shape.tensors[i].offset_elements);
        void *gradient = lspo_session_at(session, stage->gradient[lspo_session_parity(session, op)],
                                         linear->message_offset_elements);
        const lspo_lowrank_t lowrank = lowrank_of(session, op, i);
        if (linear->compressed)
            lspo_compute_lowrank_compress(session->compute, &lowrank, full, adds ? 1.0F : 0.0F, gradient);
        else if (adds)
            lspo_compute_add(session->compute, linear->message_elements, full, gradient);
        else
            lspo_compute_copy(session->compute, linear->message_elements * session->number_bytes, full, gradient);
    }
    lspo_session_give_back(session, &own->full_gradient);
    lspo_session_release_activations(session, op);
    lspo_session_finish_gradient(session, op);
    return LSPO_OK;
}

static size_t basis_scratch_bytes(const lspo_session_stage_t *stage, uint32_t rank)
{
    size_t largest = 0;
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        const lspo_projection_t *linear = &stage->message.linear[i];
        size_t bytes = linear->compressed ? lspo_lowrank_basis_scratch_bytes(linear->rows, linear->cols, rank) : 0;
        largest = bytes > largest ? bytes : largest;
    }
    return largest;
}

/* The gradient of a weight and its basis, in fp32 if the host computes. */
typedef struct {
    float *gradient, *basis;
    void *scratch;
} basis_t;

static lspo_status_t take_basis(lspo_session_t *session, const lspo_session_stage_t *stage, basis_t *basis)
{
    size_t scratch_bytes = basis_scratch_bytes(stage, lspo_galore_values_of(&session->plan->workload)->rank),
           largest = 0;
    lspo_status_t status =
        scratch_bytes ? lspo_session_take_for_host(session, scratch_bytes, &basis->scratch) : LSPO_OK;
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        size_t count = (size_t)stage->message.linear[i].rows * stage->message.linear[i].cols;
        largest = count > largest ? count : largest;
    }
    if (status != LSPO_OK)
        return status;
    if (!session->asynchronous)
        return LSPO_OK;
    status = lspo_session_take_for_host(session, largest * sizeof(float), (void **)&basis->gradient);
    if (status != LSPO_OK)
        return status;
    /* a basis is no larger than its weight */
    return lspo_session_take_for_host(session, largest * sizeof(float), (void **)&basis->basis);
}

static lspo_status_t renew_basis(lspo_session_t *session, const lspo_op_t *op, uint32_t i, const basis_t *work)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    const lspo_galore_stage_t *own = stage_of(session, op->layer);
    const lspo_tensor_t *tensor = &stage->shape.tensors[i];
    uint32_t rank = lspo_galore_values_of(&session->plan->workload)->rank;
    size_t count = (size_t)tensor->rows * tensor->cols;
    const void *full = lspo_session_at(session, own->full_gradient, tensor->offset_elements);
    float *basis = session->asynchronous ? work->basis : own->basis[i];
    lspo_status_t status = LSPO_OK;
    if (session->asynchronous) {
        status = lspo_session_read_numbers(session, count, full, work->gradient);
        full = work->gradient;
    }
    if (status != LSPO_OK)
        return status;
    if (!lspo_lowrank_basis(tensor->rows, tensor->cols, rank, full, basis, work->scratch))
        return lspo_error(LSPO_ERR_NUMERIC,
                          "step %" PRIu32 ": cannot compute singular vectors of the gradient of %s, block %u: it is "
                          "not finite, or they do not converge",
                          lspo_session_step(session, op), tensor->name, op->layer);
    return lspo_session_write_numbers(session, basis_count(session, &stage->message.linear[i]), basis, own->basis[i]);
}

/* New bases from the gradient of the whole step.  The moments are unchanged, as in the authors' code. */
static lspo_status_t renew_bases(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    basis_t work = {0};
    lspo_status_t status = take_basis(session, stage, &work);
    if (status != LSPO_OK)
        goto give_back;
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        if (stage->message.linear[i].compressed)
            status = renew_basis(session, op, i, &work);
        if (status != LSPO_OK)
            goto give_back;
    }
give_back:
    if (session->asynchronous) {
        lspo_session_give_back_for_host(session, (void **)&work.basis);
        lspo_session_give_back_for_host(session, (void **)&work.gradient);
    }
    lspo_session_give_back_for_host(session, &work.scratch);
    return status;
}

/* The direction replaces the gradient until APPLY. */
static lspo_status_t update(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    const lspo_galore_stage_t *own = stage_of(session, op->layer);
    void *gradient = stage->gradient[lspo_session_parity(session, op)];
    lspo_adam_t adam = lspo_gpu_adam_of(session, op);
    size_t first = 0;
    if (lspo_session_skips_step(session, op, &session->norms))
        return LSPO_OK;
    if (own->eigen.device)
        first = lspo_eigen_update_device(session, op, &own->gpu, &own->eigen, session->own);
    const lspo_adam_state_t state =
        lspo_gpu_adam_at(session, op, &own->gpu, first, stage->message.element_count - first);
    void *others = lspo_session_at(session, gradient, first);
    lspo_compute_adam_direction(session->compute, &adam, &state, others, others);
    return LSPO_OK;
}

/* 16 bits: W <- keep W - rate E with E = A N or N A^T formed, so that the sum is rounded stochastically. */
static lspo_status_t apply_rounded(lspo_session_t *session, const lspo_op_t *op, const lspo_step_t *step, uint32_t i)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    const lspo_lowrank_t lowrank = lowrank_of(session, op, i);
    const void *basis = lowrank.basis, *direction = lspo_step_linear(session, op, step, i);
    size_t m = lowrank.m, n = lowrank.n, r = lowrank.r;
    void *full = NULL;
    lspo_status_t status = lspo_session_take(session, m * n * session->number_bytes, &full);
    if (status != LSPO_OK)
        return status;
    lspo_gemm_t product = {.m = m, .n = n, .k = r, .alpha = 1, .c = full, .c_stride = n};
    if (m <= n) {
        product.a = basis, product.a_stride = r;
        product.b = direction, product.b_stride = n;
        lspo_compute_gemm_nn(session->compute, &product);
    } else {
        product.a = direction, product.a_stride = r;
        product.b = basis, product.b_stride = r;
        lspo_compute_gemm_nt(session->compute, &product);
    }
    const lspo_vector_step_t along = {
        .keep = step->keep, .rate = lowrank_scale * step->rate, .seed = lspo_session_op_seed(session, op, i)};
    lspo_compute_step_along(session->compute, m * n, &along, session->number, full,
                            lspo_session_linear_weight(session, stage, i));
    lspo_session_give_back(session, &full);
    return LSPO_OK;
}

static lspo_status_t apply_lowrank(lspo_session_t *session, const lspo_op_t *op, const lspo_step_t *step, uint32_t i)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    const lspo_lowrank_t lowrank = lowrank_of(session, op, i);
    void *w = lspo_session_linear_weight(session, stage, i);
    if (session->number != LSPO_NUMBER_FP32)
        return apply_rounded(session, op, step, i);
    if (step->keep < 1)
        lspo_compute_step_along(session->compute, lowrank.m * lowrank.n, &(lspo_vector_step_t){.keep = step->keep},
                                session->number, w, w); /* only w */
    lspo_compute_lowrank_apply(session->compute, &lowrank, lspo_step_linear(session, op, step, i),
                               lowrank_scale * step->rate, w);
    return LSPO_OK;
}

/* Transform out of the subspace, if there is one. */
static lspo_status_t apply_all(lspo_session_t *session, const lspo_op_t *op, const lspo_step_t *step)
{
    const lspo_message_t *message = &session->stages[op->layer].message;
    for (uint32_t i = 0; i < message->linear_count; i++) {
        if (!message->linear[i].compressed) {
            lspo_step_dense(session, op, step, i);
            continue;
        }
        lspo_status_t status = apply_lowrank(session, op, step, i);
        if (status != LSPO_OK)
            return status;
    }
    lspo_step_rest(session, op, step);
    return LSPO_OK;
}

static lspo_status_t apply(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    void **direction = &stage->gradient[lspo_session_parity(session, op)];
    lspo_step_t step = lspo_step_of(session, op, session->number, *direction);
    lspo_status_t status = LSPO_OK;
    if (!lspo_session_skips_step(session, op, &session->norms))
        status = apply_all(session, op, &step);
    lspo_session_give_back(session, direction);
    return status;
}

static void visit_stage(const lspo_session_t *session, uint32_t s, const char *name, lspo_state_walk_t *walk)
{
    const lspo_session_stage_t *stage = &session->stages[s];
    const lspo_galore_stage_t *own = stage_of(session, s);
    lspo_gpu_adam_visit(&own->gpu, name, walk);
    lspo_eigen_visit(session, s, &own->eigen, name, walk);
    for (uint32_t i = 0; i < stage->message.linear_count; i++)
        lspo_walk_device(walk, own->basis[i], basis_count(session, &stage->message.linear[i]),
                         lspo_state_type_of(session->number), "%s.basis%" PRIu32, name, i);
}

const lspo_method_t lspo_method_galore = {
    .name = "galore",
    .state_bytes = sizeof(lspo_eigen_scratch_t),
    .stage_bytes = sizeof(lspo_galore_stage_t),
    .norm_comes_late = true, /* bases are computed before */
    .describe = describe,
    .take_device = take_device,
    .create = create,
    .reset = reset,
    .drop = drop,
    .release = release,
    .ops = {[LSPO_OP_COMPRESS] = compress,
            [LSPO_OP_PROJECT] = renew_bases,
            [LSPO_OP_UPD_GPU] = update,
            [LSPO_OP_APPLY] = apply},
    .begin_backward = begin_backward,
    .visit_stage = visit_stage,
};
