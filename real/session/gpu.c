/* gpu.c - the ops of the GPU lane.  See session.h; who takes and gives back which memory: plan/build.h. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "kernels/lowrank.h"
#include "real/session/state.h"

static uint32_t head_of(const lspo_session_t *session)
{
    return session->stage_count - 1;
}

static size_t activation_bytes(const lspo_session_t *session)
{
    return session->tokens * session->plan->model.width * session->number_bytes;
}

static const void *weights_for(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_swap_use_t *use = lspo_session_swap_of(session, op, LSPO_VARIANT_PARAMETERS);
    return use ? use->memory : session->stages[op->layer].weights;
}

static lspo_status_t forward_head(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    lspo_status_t status =
        lspo_session_take(session, lspo_transformer_saved_bytes(session->transformer, op->layer), &stage->saved);
    if (status != LSPO_OK)
        return status;
    bool calibrates = op->variant == LSPO_VARIANT_CALIBRATE;
    session->loss_targets = calibrates ? lspo_session_counted_targets(session) : session->step_targets;
    lspo_transformer_head_forward(session->transformer, stage->weights, session->stages[0].weights,
                                  session->gpu_targets, session->stages[op->layer - 1].output, stage->saved,
                                  session->gpu_loss);
    lspo_device_read_later(session->device, session->loss_read, session->gpu_loss, sizeof *session->gpu_loss);
    return LSPO_OK;
}

double lspo_session_mean_loss(double sum, size_t targets)
{
    return targets > 0 ? sum / (double)targets : 0.0;
}

/* The first stage whose output is not finite, for the message; the head when all are.  An asynchronous device may have
 * given the outputs back by now. */
static uint32_t find_broken_stage(const lspo_session_t *session)
{
    size_t count = session->tokens * session->plan->model.width;
    for (uint32_t s = 0; !session->asynchronous && s < head_of(session); s++) {
        const float *output = session->stages[s].output;
        for (size_t i = 0; i < count; i++)
            if (!isfinite(output[i]))
                return s;
    }
    return head_of(session);
}

/* A micro-batch adds its share to the mean over the targets of the whole step. */
static lspo_status_t judge_loss(lspo_session_t *session, const lspo_op_t *op)
{
    double loss = lspo_session_mean_loss(*session->loss_read, session->loss_targets);
    double *mean = &session->losses[op->iteration];
    if (op->variant != LSPO_VARIANT_CALIBRATE)
        *mean = (op->micro ? *mean : 0) + loss;
    if (isfinite(loss))
        return LSPO_OK;
    char name[16];
    return lspo_error(LSPO_ERR_NUMERIC,
                      "step %" PRIu32 ": the loss is %g; the first values that are not finite come "
                      "from stage %s; try a smaller learning rate or --clip",
                      lspo_session_step(session, op), loss,
                      lspo_model_stage_name(&session->plan->model, find_broken_stage(session), name));
}

lspo_status_t lspo_session_finish_op(void *session, const lspo_op_t *op)
{
    const lspo_session_t *of = session;
    bool calibration_skipped = lspo_session_skips_calibration(of, op);
    if (op->kind != LSPO_OP_FWD || op->layer != head_of(of) || calibration_skipped)
        return LSPO_OK;
    return judge_loss(session, op);
}

/* The batch at hand.  The first one of a step fixes what holds for all of it: the targets that its loss is a mean over,
 * and the loss scale, whatever the norm of the step before changes meanwhile. */
static lspo_status_t load_batch(lspo_session_t *session, const lspo_op_t *op)
{
    uint32_t step = lspo_session_step(session, op);
    if (op->variant == LSPO_VARIANT_CALIBRATE)
        return lspo_session_load_calibration(session, op);
    if (op->micro > 0)
        return lspo_session_load_batch(session, step, op->micro);
    session->norms.scale[lspo_session_parity(session, op)] = session->scaling.now;
    return lspo_session_begin_step(session, step);
}

static lspo_status_t forward(lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_workload_t *workload = &session->plan->workload;
    lspo_session_stage_t *stage = &session->stages[op->layer];
    if (stage->shape.kind == LSPO_STAGE_HEAD)
        return forward_head(session, op);
    lspo_status_t status = lspo_session_take(session, activation_bytes(session), &stage->output);
    if (status != LSPO_OK)
        return status;
    if (stage->shape.kind == LSPO_STAGE_EMBED) {
        status = load_batch(session, op);
        if (status != LSPO_OK)
            return status;
        lspo_session_upload_batch(session);
        lspo_transformer_embed_forward(session->transformer, session->gpu_tokens, stage->weights, stage->output);
        return LSPO_OK;
    }
    status = lspo_session_take(session, lspo_transformer_saved_bytes(session->transformer, op->layer), &stage->saved);
    if (status != LSPO_OK)
        return status;
    lspo_transformer_block_forward(session->transformer, weights_for(session, op),
                                   lspo_session_adapters(session, op->layer), session->stages[op->layer - 1].output,
                                   stage->saved, stage->output);
    if (workload->checkpointing || op->variant == LSPO_VARIANT_FROZEN)
        lspo_session_give_back(session, &stage->saved);
    if (op->variant == LSPO_VARIANT_FROZEN)
        lspo_session_give_back(session, &session->stages[op->layer - 1].output);
    lspo_session_swap_drop(session, op);
    return LSPO_OK;
}

static lspo_status_t recompute(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    lspo_status_t status =
        lspo_session_take(session, lspo_transformer_saved_bytes(session->transformer, op->layer), &stage->saved);
    if (status == LSPO_OK)
        lspo_transformer_block_forward(session->transformer, weights_for(session, op),
                                       lspo_session_adapters(session, op->layer), session->stages[op->layer - 1].output,
                                       stage->saved, NULL);
    return status;
}

bool lspo_session_forms_gradient(const lspo_session_t *session, const lspo_op_t *op, uint32_t s)
{
    return op->variant != LSPO_VARIANT_CALIBRATE && session->stages[s].trained &&
           lspo_plan_trains(session->plan, s, op->iteration);
}

/* The stage's message and, where the link carries another format, as it goes there. */
static lspo_status_t take_gradient(lspo_session_t *session, const lspo_op_t *op, uint32_t s)
{
    lspo_session_stage_t *stage = &session->stages[s];
    if (!lspo_session_forms_gradient(session, op, s) || op->micro > 0)
        return LSPO_OK;
    uint32_t parity = lspo_session_parity(session, op);
    lspo_status_t status =
        lspo_session_take(session, stage->gradient_count * session->number_bytes, &stage->gradient[parity]);
    if (status == LSPO_OK && stage->updated_on_host && session->link != session->number && stage->sent_count == 0)
        status = lspo_session_take(session, stage->link_bytes, &stage->packed[parity]);
    return status;
}

static bool is_last_micro(const lspo_session_t *session, const lspo_op_t *op)
{
    return op->micro + 1U == session->plan->workload.accumulation;
}

/* After the op that completes the stage's gradient for this step. */
static void finish_gradient(lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_workload_t *workload = &session->plan->workload;
    lspo_session_stage_t *stage = &session->stages[op->layer];
    if (!lspo_session_forms_gradient(session, op, op->layer) || !is_last_micro(session, op))
        return;
    uint32_t parity = lspo_session_parity(session, op);
    size_t n = stage->gradient_count;
    bool probe = op->variant == LSPO_VARIANT_PROBE;
    if (workload->clip_norm > 0 && probe == session->probes)
        lspo_compute_sum_of_squares(session->compute, n, stage->gradient[parity],
                                    &session->squares[parity * session->stage_count + op->layer]);
    if (stage->packed[parity])
        lspo_compute_convert(session->compute, n, session->number, stage->gradient[parity], session->link,
                             stage->packed[parity]);
    if (probe)
        lspo_session_give_back(session, &stage->gradient[parity]);
}

static void release_dx(lspo_session_t *session, const lspo_op_t *op)
{
    bool calibrates = op->variant == LSPO_VARIANT_CALIBRATE;
    if (op->layer == (calibrates ? 1 : lspo_plan_lowest_trained(session->plan, op->iteration)))
        lspo_session_give_back(session, &session->dx);
}

/* What backward has read for the last time; after a probe another pass follows, which computes again what is not
 * kept. */
static void release_activations(lspo_session_t *session, const lspo_op_t *op)
{
    if (op->variant == LSPO_VARIANT_PROBE) {
        if (session->stages[op->layer].shape.kind == LSPO_STAGE_BLOCK && session->plan->workload.checkpointing)
            lspo_session_give_back(session, &session->stages[op->layer].saved);
        return;
    }
    lspo_session_give_back(session, &session->stages[op->layer].saved);
    lspo_session_give_back(session, &session->stages[op->layer - 1].output);
}

/* What backward multiplies the sum of the losses by. */
static float loss_scale(const lspo_session_t *session, const lspo_op_t *op)
{
    float scale = op->variant == LSPO_VARIANT_CALIBRATE
                      ? session->scaling.now
                      : lspo_session_scale_of(session, lspo_session_parity(session, op), &session->norms);
    return scale / (float)(session->loss_targets > 0 ? session->loss_targets : 1);
}

static lspo_status_t backward_head(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer], *embed = &session->stages[0];
    uint32_t parity = lspo_session_parity(session, op);
    lspo_status_t status = lspo_session_take(session, activation_bytes(session), &session->dx);
    if (status == LSPO_OK)
        status = take_gradient(session, op, op->layer);
    bool tied = session->plan->model.tied_head; /* then the embedding's gradient starts here */
    if (status == LSPO_OK && tied)
        status = take_gradient(session, op, 0);
    if (status != LSPO_OK)
        return status;
    bool forms = lspo_session_forms_gradient(session, op, op->layer);
    lspo_gradient_sink_t sink = {.rest = forms ? stage->gradient[parity] : NULL, .accumulate = op->micro > 0};
    lspo_transformer_head_backward(session->transformer, stage->weights, embed->weights, session->gpu_targets,
                                   session->stages[op->layer - 1].output, stage->saved, loss_scale(session, op), &sink,
                                   tied && lspo_session_forms_gradient(session, op, 0) ? embed->gradient[parity] : NULL,
                                   session->dx);
    release_dx(session, op);
    release_activations(session, op);
    finish_gradient(session, op);
    return LSPO_OK;
}

static lspo_gradient_sink_t block_sink(const lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    const lspo_message_t *message = &stage->message;
    void *gradient = stage->gradient[lspo_session_parity(session, op)];
    lspo_gradient_sink_t sink = {.accumulate = op->micro > 0};
    if (!lspo_session_forms_gradient(session, op, op->layer))
        return sink;
    switch (session->plan->gradient_form) {
    case LSPO_FORM_DENSE:
    case LSPO_FORM_COLUMNS:
        sink.linear = gradient;
        break;
    case LSPO_FORM_SUBSPACE: /* COMPRESS makes it */
        break;
    case LSPO_FORM_ADAPTER:
        sink.adapters = gradient;
        break;
    case LSPO_FORM_LOWRANK:
        sink.linear = stage->full_gradient;
        sink.overwrite_linear = !lspo_plan_keeps_gradients(session->plan, op->iteration);
        break;
    }
    if (message->rest_elements > 0)
        sink.rest = lspo_session_at(session, gradient,
                                    session->plan->gradient_form == LSPO_FORM_COLUMNS ? stage->linear_elements
                                                                                      : message->rest_offset_elements);
    return sink;
}

static lspo_status_t backward_block(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    const void *weights = weights_for(session, op);
    lspo_gradient_form_t form = session->plan->gradient_form;
    bool waits = lspo_plan_keeps_gradients(session->plan, op->iteration) && !is_last_micro(session, op);
    lspo_status_t status = take_gradient(session, op, op->layer);
    if (status == LSPO_OK && form == LSPO_FORM_LOWRANK && !stage->full_gradient)
        status = lspo_session_take(session, stage->linear_elements * session->number_bytes, &stage->full_gradient);
    if (status != LSPO_OK)
        return status;
    lspo_gradient_sink_t sink = block_sink(session, op);
    lspo_transformer_block_backward(session->transformer, weights, lspo_session_adapters(session, op->layer),
                                    session->stages[op->layer - 1].output, stage->saved, &sink, &session->operands,
                                    session->dx);
    release_dx(session, op);
    if (form == LSPO_FORM_DENSE || form == LSPO_FORM_ADAPTER || form == LSPO_FORM_COLUMNS || waits) {
        release_activations(session, op);
        finish_gradient(session, op);
    }
    lspo_session_swap_drop(session, op);
    return LSPO_OK;
}

static lspo_status_t backward_embed(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_status_t status = session->plan->model.tied_head ? LSPO_OK : take_gradient(session, op, 0);
    if (status != LSPO_OK)
        return status;
    lspo_transformer_embed_backward(session->transformer, session->gpu_tokens, session->dx, op->micro > 0,
                                    session->stages[0].gradient[lspo_session_parity(session, op)]);
    release_dx(session, op);
    finish_gradient(session, op);
    return LSPO_OK;
}

static lspo_status_t backward(lspo_session_t *session, const lspo_op_t *op)
{
    switch (session->stages[op->layer].shape.kind) {
    case LSPO_STAGE_HEAD:
        return backward_head(session, op);
    case LSPO_STAGE_BLOCK:
        return backward_block(session, op);
    case LSPO_STAGE_EMBED:
        break;
    }
    return backward_embed(session, op);
}

/* lsp: the gradient's compression from its factors. */
static void compress_operands(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    const lspo_linear_operands_t *from = &session->operands;
    float beta = op->micro > 0 ? 1.0F : 0.0F;
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        const lspo_projection_t *linear = &stage->message.linear[i];
        void *gradient = lspo_session_at(session, stage->gradient[lspo_session_parity(session, op)],
                                         linear->message_offset_elements);
        if (linear->compressed)
            (session->plan->dense_sketches ? lspo_compute_sketch_compress : lspo_compute_projector_compress)(
                session->compute, &stage->p[i], &stage->q[i], session->tokens, from->x[i], from->x_stride[i],
                from->dy[i], from->dy_stride[i], beta, gradient, session->scratch);
        else
            lspo_compute_gemm_tn(session->compute, linear->rows, linear->cols, session->tokens, 1, from->x[i],
                                 from->x_stride[i], from->dy[i], from->dy_stride[i], beta, gradient, linear->cols);
    }
}

/* galore: the compression of a gradient that was formed, of one micro-batch or of all of them. */
static void compress_gradient(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    bool adds = op->micro > 0 && !lspo_plan_keeps_gradients(session->plan, op->iteration);
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        const lspo_projection_t *linear = &stage->message.linear[i];
        const void *full = lspo_session_at(session, stage->full_gradient, stage->shape.tensors[i].offset_elements);
        void *gradient = lspo_session_at(session, stage->gradient[lspo_session_parity(session, op)],
                                         linear->message_offset_elements);
        if (linear->compressed)
            lspo_compute_lowrank_compress(session->compute, linear->rows, linear->cols, session->plan->workload.rank,
                                          full, stage->basis[i], adds ? 1.0F : 0.0F, gradient);
        else if (adds)
            lspo_compute_add(session->compute, linear->message_elements, full, gradient);
        else
            lspo_compute_copy(session->compute, linear->message_elements * session->number_bytes, full, gradient);
    }
    lspo_session_give_back(session, &stage->full_gradient);
}

static lspo_status_t compress(lspo_session_t *session, const lspo_op_t *op)
{
    if (session->plan->gradient_form == LSPO_FORM_COLUMNS)
        return lspo_session_columns_compress(session, op);
    if (session->plan->gradient_form == LSPO_FORM_LOWRANK)
        compress_gradient(session, op);
    else
        compress_operands(session, op);
    release_activations(session, op);
    finish_gradient(session, op);
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

/* The gradient of a weight and its basis, both in fp32 where the host works on them. */
typedef struct {
    float *gradient, *basis;
    void *scratch;
} basis_t;

static lspo_status_t take_basis(lspo_session_t *session, const lspo_session_stage_t *stage, basis_t *basis)
{
    size_t scratch_bytes = basis_scratch_bytes(stage, session->plan->workload.rank), largest = 0;
    lspo_status_t status =
        scratch_bytes ? lspo_session_take_for_host(session, scratch_bytes, &basis->scratch) : LSPO_OK;
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        size_t count = (size_t)stage->message.linear[i].rows * stage->message.linear[i].cols;
        largest = count > largest ? count : largest;
    }
    if (status != LSPO_OK || !session->asynchronous)
        return status;
    status = lspo_session_take_for_host(session, largest * sizeof(float), (void **)&basis->gradient);
    if (status == LSPO_OK) /* a basis is no larger than its weight */
        status = lspo_session_take_for_host(session, largest * sizeof(float), (void **)&basis->basis);
    return status;
}

static lspo_status_t renew_basis(lspo_session_t *session, const lspo_op_t *op, uint32_t i, const basis_t *work)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    const lspo_tensor_t *tensor = &stage->shape.tensors[i];
    uint32_t rank = session->plan->workload.rank;
    size_t count = (size_t)tensor->rows * tensor->cols,
           shorter = tensor->rows < tensor->cols ? tensor->rows : tensor->cols;
    const void *full = lspo_session_at(session, stage->full_gradient, tensor->offset_elements);
    float *basis = session->asynchronous ? work->basis : stage->basis[i];
    lspo_status_t status = LSPO_OK;
    if (session->asynchronous) {
        status = lspo_session_read_numbers(session, count, full, work->gradient);
        full = work->gradient;
    }
    if (status != LSPO_OK)
        return status;
    if (!lspo_lowrank_basis(tensor->rows, tensor->cols, rank, full, basis, work->scratch))
        return lspo_error(LSPO_ERR_NUMERIC,
                          "step %" PRIu32 ": no singular vectors of the gradient of %s, block %u: it is not "
                          "finite or they do not converge",
                          lspo_session_step(session, op), tensor->name, op->layer);
    return lspo_session_write_numbers(session, shorter * rank, basis, stage->basis[i]);
}

/* galore: new bases from the gradient of the whole step.  The moments stay as they are, as in the authors' code. */
static lspo_status_t renew_bases(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    basis_t work = {0};
    lspo_status_t status = take_basis(session, stage, &work);
    for (uint32_t i = 0; status == LSPO_OK && i < stage->message.linear_count; i++)
        if (stage->message.linear[i].compressed)
            status = renew_basis(session, op, i, &work);
    if (session->asynchronous) {
        lspo_session_give_back_for_host(session, (void **)&work.basis);
        lspo_session_give_back_for_host(session, (void **)&work.gradient);
    }
    lspo_session_give_back_for_host(session, &work.scratch);
    return status;
}

/* lsp: the last op that reads a block's activations in a calibration pass. */
static lspo_status_t project(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_status_t status = lspo_session_project(session, op);
    release_activations(session, op);
    return status;
}

lspo_status_t lspo_session_gpu_op(lspo_session_t *session, const lspo_op_t *op)
{
    if (lspo_session_skips_calibration(session, op))
        return LSPO_OK;
    switch ((lspo_op_kind_t)op->kind) {
    case LSPO_OP_FWD:
        return forward(session, op);
    case LSPO_OP_RECOMPUTE:
        return recompute(session, op);
    case LSPO_OP_BWD:
        return backward(session, op);
    case LSPO_OP_COMPRESS:
        return compress(session, op);
    case LSPO_OP_PROJECT:
        if (session->plan->gradient_form == LSPO_FORM_COLUMNS)
            return lspo_session_columns_select(session, op);
        return session->plan->gradient_form == LSPO_FORM_LOWRANK ? renew_bases(session, op) : project(session, op);
    case LSPO_OP_NORM:
        return lspo_session_norm(session, op);
    case LSPO_OP_UPD_GPU:
        return lspo_session_update_gpu(session, op);
    case LSPO_OP_APPLY:
        return lspo_session_apply(session, op);
    default:
        return lspo_error(LSPO_ERR_INPUT, "this version does not execute %s ops",
                          lspo_op_kind_name((lspo_op_kind_t)op->kind));
    }
}
