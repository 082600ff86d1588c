/* session_gpu.c - the ops of the GPU lane.  See session.h; who takes and gives back which memory: plan/build.h. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "kernels/adam.h"
#include "kernels/gemm.h"
#include "kernels/loss.h"
#include "kernels/lowrank.h"
#include "kernels/pack.h"
#include "kernels/sketch.h"
#include "kernels/vector.h"
#include "real/session_state.h"

/* galore adds a quarter of what a full-rank step would: its authors' default. */
static const float lowrank_scale = 0.25F;

static uint32_t head_of(const lspo_session_t *session)
{
    return session->stage_count - 1;
}

static size_t activation_bytes(const lspo_session_t *session)
{
    return session->tokens * session->plan->model.width * sizeof(float);
}

static const float *weights_for(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_swap_use_t *use = lspo_session_swap_of(session, op, LSPO_VARIANT_PARAMETERS);
    return use ? use->memory : session->stages[op->layer].weights;
}

/* The first stage whose output is not finite, for the message; the head when all are. */
static uint32_t find_broken_stage(const lspo_session_t *session)
{
    size_t count = activation_bytes(session) / sizeof(float);
    for (uint32_t s = 0; s < head_of(session); s++)
        for (size_t i = 0; i < count; i++)
            if (!isfinite(session->stages[s].output[i]))
                return s;
    return head_of(session);
}

/* Targets of the micro-batch that count, what the loss is a mean of; 1 in place of none. */
static size_t loss_divisor(const lspo_session_t *session)
{
    size_t counted = lspo_targets_counted(lspo_transformer_targets(session->transformer), session->targets);
    return counted > 0 ? counted : 1;
}

static lspo_status_t forward_head(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    lspo_status_t status = lspo_session_take(session, lspo_transformer_saved_bytes(session->transformer, op->layer),
                                             (void **)&stage->saved);
    if (status != LSPO_OK)
        return status;
    double loss;
    lspo_transformer_head_forward(session->transformer, stage->weights, session->stages[0].weights, session->targets,
                                  session->stages[op->layer - 1].output, stage->saved, &loss);
    loss /= (double)loss_divisor(session);
    double *mean = &session->losses[op->iteration];
    if (op->variant != LSPO_VARIANT_CALIBRATE)
        *mean = (op->micro ? *mean : 0) + loss / session->plan->workload.accumulation;
    if (isfinite(loss))
        return LSPO_OK;
    char name[16];
    return lspo_error(LSPO_ERR_NUMERIC,
                      "step %" PRIu32 ": the loss is %g; the first values that are not finite come "
                      "from stage %s; try a smaller learning rate or --clip",
                      lspo_session_step(session, op), loss,
                      lspo_model_stage_name(&session->plan->model, find_broken_stage(session), name));
}

static lspo_status_t forward(lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_workload_t *workload = &session->plan->workload;
    lspo_session_stage_t *stage = &session->stages[op->layer];
    if (stage->shape.kind == LSPO_STAGE_HEAD)
        return forward_head(session, op);
    lspo_status_t status = lspo_session_take(session, activation_bytes(session), (void **)&stage->output);
    if (status != LSPO_OK)
        return status;
    if (stage->shape.kind == LSPO_STAGE_EMBED) {
        if (op->variant == LSPO_VARIANT_CALIBRATE)
            status = lspo_session_load_calibration(session, op);
        else
            status = lspo_session_load_batch(session, lspo_session_step(session, op), op->micro);
        if (status != LSPO_OK)
            return status;
        lspo_transformer_embed_forward(session->transformer, session->tokens_in, stage->weights, stage->output);
        return LSPO_OK;
    }
    status = lspo_session_take(session, lspo_transformer_saved_bytes(session->transformer, op->layer),
                               (void **)&stage->saved);
    if (status != LSPO_OK)
        return status;
    lspo_transformer_block_forward(session->transformer, weights_for(session, op),
                                   lspo_session_adapters(session, op->layer), session->stages[op->layer - 1].output,
                                   stage->saved, stage->output);
    if (workload->checkpointing || op->variant == LSPO_VARIANT_FROZEN)
        lspo_session_give_back(session, (void **)&stage->saved);
    if (op->variant == LSPO_VARIANT_FROZEN)
        lspo_session_give_back(session, (void **)&session->stages[op->layer - 1].output);
    lspo_session_swap_drop(session, op);
    return LSPO_OK;
}

static lspo_status_t recompute(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    lspo_status_t status = lspo_session_take(session, lspo_transformer_saved_bytes(session->transformer, op->layer),
                                             (void **)&stage->saved);
    if (status == LSPO_OK)
        lspo_transformer_block_forward(session->transformer, weights_for(session, op),
                                       lspo_session_adapters(session, op->layer), session->stages[op->layer - 1].output,
                                       stage->saved, NULL);
    return status;
}

static bool forms_gradient(const lspo_session_t *session, const lspo_op_t *op, uint32_t s)
{
    return op->variant != LSPO_VARIANT_CALIBRATE && session->stages[s].trained &&
           lspo_plan_trains(session->plan, s, op->iteration);
}

/* The stage's message in fp32 and, where the link carries 16 bits, packed. */
static lspo_status_t take_gradient(lspo_session_t *session, const lspo_op_t *op, uint32_t s)
{
    lspo_session_stage_t *stage = &session->stages[s];
    if (!forms_gradient(session, op, s) || op->micro > 0)
        return LSPO_OK;
    uint32_t parity = lspo_session_parity(session, op);
    lspo_status_t status =
        lspo_session_take(session, stage->gradient_count * sizeof(float), (void **)&stage->gradient[parity]);
    if (status == LSPO_OK && stage->updated_on_host && lspo_session_packs(session) && stage->sent_count == 0)
        status = lspo_session_take(session, stage->link_bytes, (void **)&stage->packed[parity]);
    return status;
}

/* After the op that completes the stage's gradient for this step. */
static void finish_gradient(lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_workload_t *workload = &session->plan->workload;
    lspo_session_stage_t *stage = &session->stages[op->layer];
    if (!forms_gradient(session, op, op->layer) || op->micro + 1U < workload->accumulation)
        return;
    uint32_t parity = lspo_session_parity(session, op);
    size_t n = stage->gradient_count;
    bool probe = op->variant == LSPO_VARIANT_PROBE;
    if (workload->clip_norm > 0 && probe == session->probes)
        session->squares[parity * session->stage_count + op->layer] = lspo_sum_of_squares(n, stage->gradient[parity]);
    if (stage->packed[parity])
        lspo_session_pack(session, n, stage->gradient[parity], stage->packed[parity]);
    if (probe)
        lspo_session_give_back(session, (void **)&stage->gradient[parity]);
}

static void release_dx(lspo_session_t *session, const lspo_op_t *op)
{
    bool calibrates = op->variant == LSPO_VARIANT_CALIBRATE;
    if (op->layer == (calibrates ? 1 : lspo_plan_lowest_trained(session->plan, op->iteration)))
        lspo_session_give_back(session, (void **)&session->dx);
}

/* What backward has read for the last time; after a probe another pass follows, which computes again what is not kept. */
static void release_activations(lspo_session_t *session, const lspo_op_t *op)
{
    if (op->variant == LSPO_VARIANT_PROBE) {
        if (session->stages[op->layer].shape.kind == LSPO_STAGE_BLOCK && session->plan->workload.checkpointing)
            lspo_session_give_back(session, (void **)&session->stages[op->layer].saved);
        return;
    }
    lspo_session_give_back(session, (void **)&session->stages[op->layer].saved);
    lspo_session_give_back(session, (void **)&session->stages[op->layer - 1].output);
}

static lspo_status_t backward_head(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer], *embed = &session->stages[0];
    uint32_t parity = lspo_session_parity(session, op);
    lspo_status_t status = lspo_session_take(session, activation_bytes(session), (void **)&session->dx);
    if (status == LSPO_OK)
        status = take_gradient(session, op, op->layer);
    bool tied = session->plan->model.tied_head; /* then the embedding's gradient starts here */
    if (status == LSPO_OK && tied)
        status = take_gradient(session, op, 0);
    if (status != LSPO_OK)
        return status;
    bool forms = forms_gradient(session, op, op->layer);
    lspo_gradient_sink_t sink = {.rest = forms ? stage->gradient[parity] : NULL, .accumulate = op->micro > 0};
    lspo_transformer_head_backward(
        session->transformer, stage->weights, embed->weights, session->targets, session->stages[op->layer - 1].output,
        stage->saved, 1.0F / (float)session->plan->workload.accumulation / (float)loss_divisor(session), &sink,
        tied && forms_gradient(session, op, 0) ? embed->gradient[parity] : NULL, session->dx);
    release_dx(session, op);
    release_activations(session, op);
    finish_gradient(session, op);
    return LSPO_OK;
}

static lspo_gradient_sink_t block_sink(const lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    const lspo_message_t *message = &stage->message;
    float *gradient = stage->gradient[lspo_session_parity(session, op)];
    lspo_gradient_sink_t sink = {.accumulate = op->micro > 0};
    if (!forms_gradient(session, op, op->layer))
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
        sink.linear = session->full_gradient;
        sink.overwrite_linear = true;
        break;
    }
    if (message->rest_elements > 0)
        sink.rest = gradient + (session->plan->gradient_form == LSPO_FORM_COLUMNS ? stage->linear_elements
                                                                                  : message->rest_offset_elements);
    return sink;
}

static lspo_status_t backward_block(lspo_session_t *session, const lspo_op_t *op)
{
    const float *weights = weights_for(session, op);
    lspo_gradient_form_t form = session->plan->gradient_form;
    lspo_status_t status = take_gradient(session, op, op->layer);
    if (status == LSPO_OK && form == LSPO_FORM_LOWRANK)
        status = lspo_session_take(session, session->stages[op->layer].linear_elements * sizeof(float),
                                   (void **)&session->full_gradient);
    if (status != LSPO_OK)
        return status;
    lspo_gradient_sink_t sink = block_sink(session, op);
    lspo_transformer_block_backward(session->transformer, weights, lspo_session_adapters(session, op->layer),
                                    session->stages[op->layer - 1].output, session->stages[op->layer].saved, &sink,
                                    &session->operands, session->dx);
    release_dx(session, op);
    if (form == LSPO_FORM_DENSE || form == LSPO_FORM_ADAPTER || form == LSPO_FORM_COLUMNS) {
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
    lspo_transformer_embed_backward(session->transformer, session->tokens_in, session->dx, op->micro > 0,
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
        float *gradient = stage->gradient[lspo_session_parity(session, op)] + linear->message_offset_elements;
        if (linear->compressed)
            (session->plan->dense_sketches ? lspo_sketch_compress : lspo_projector_compress)(
                &stage->p[i], &stage->q[i], session->tokens, from->x[i], from->x_stride[i], from->dy[i],
                from->dy_stride[i], beta, gradient, session->scratch);
        else
            lspo_gemm_tn(linear->rows, linear->cols, session->tokens, 1, from->x[i], from->x_stride[i], from->dy[i],
                         from->dy_stride[i], beta, gradient, linear->cols);
    }
}

/* galore: the compression of a gradient that was formed. */
static void compress_gradient(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        const lspo_projection_t *linear = &stage->message.linear[i];
        const float *full = session->full_gradient + stage->shape.tensors[i].offset_elements;
        float *gradient = stage->gradient[lspo_session_parity(session, op)] + linear->message_offset_elements;
        if (linear->compressed)
            lspo_lowrank_compress(linear->rows, linear->cols, session->plan->workload.rank, full, stage->basis[i],
                                  op->micro > 0 ? 1.0F : 0.0F, gradient);
        else if (op->micro > 0)
            lspo_vector_add(linear->message_elements, full, gradient);
        else
            memcpy(gradient, full, linear->message_elements * sizeof(float));
    }
    lspo_session_give_back(session, (void **)&session->full_gradient);
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

/* galore: new bases from the gradient at hand.  The moments stay as they are, as in the authors' code. */
static lspo_status_t renew_bases(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    uint32_t rank = session->plan->workload.rank;
    size_t scratch_bytes = basis_scratch_bytes(stage, rank);
    void *scratch = NULL;
    lspo_status_t status = scratch_bytes ? lspo_session_take(session, scratch_bytes, &scratch) : LSPO_OK;
    for (uint32_t i = 0; status == LSPO_OK && i < stage->message.linear_count; i++) {
        const lspo_tensor_t *tensor = &stage->shape.tensors[i];
        const float *full = session->full_gradient + tensor->offset_elements;
        if (stage->message.linear[i].compressed &&
            !lspo_lowrank_basis(tensor->rows, tensor->cols, rank, full, stage->basis[i], scratch))
            status = lspo_error(LSPO_ERR_NUMERIC,
                                "step %" PRIu32 ": no singular vectors of the gradient of %s, block %u: it is not "
                                "finite or they do not converge",
                                lspo_session_step(session, op), tensor->name, op->layer);
    }
    lspo_session_give_back(session, &scratch);
    return status;
}

/* Stages are summed in one order whatever the schedule was, so that clipping is the same under all of them. */
static lspo_status_t norm(lspo_session_t *session, const lspo_op_t *op)
{
    uint32_t parity = lspo_session_parity(session, op);
    double sum = 0;
    for (uint32_t s = 0; s < session->stage_count; s++)
        if (forms_gradient(session, op, s))
            sum += session->squares[parity * session->stage_count + s];
    session->norm_gpu[parity] = (float)sqrt(sum);
    session->gradient_norm = sqrt(sum);
    if (isfinite(session->norm_gpu[parity]))
        return LSPO_OK;
    return lspo_error(LSPO_ERR_NUMERIC, "step %" PRIu32 ": the gradient's norm is %g", lspo_session_step(session, op),
                      sqrt(sum));
}

/* What decoupled weight decay leaves of a weight: 1 - eta decay. */
static float kept(const lspo_session_t *session, float rate)
{
    return 1.0F - rate * (float)session->plan->workload.weight_decay;
}

/* lomo: w <- (1 - eta decay) w - eta scale g. */
static void descend(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    uint32_t parity = lspo_session_parity(session, op);
    float rate = lspo_session_rate(session, op);
    lspo_step_along(stage->message.element_count, kept(session, rate),
                    rate * lspo_session_clip_scale(session, session->norm_gpu[parity]), stage->gradient[parity],
                    stage->weights);
    lspo_session_give_back(session, (void **)&stage->gradient[parity]);
}

/* lora: the message's head moves the adapters; its rest, when trained, the stage's other tensors. */
static void update_adapters(lspo_session_stage_t *stage, const lspo_adam_t *adam, const float *gradient)
{
    size_t n = stage->message.element_count, factors = lspo_session_factor_count(stage);
    float *m = stage->optimizer, *v = m + n;
    lspo_adam_parameters(adam, factors, gradient, m, v, stage->factors);
    lspo_adam_parameters(adam, stage->message.rest_elements, gradient + factors, m + factors, v + factors,
                         stage->weights + stage->linear_elements);
}

static lspo_status_t update(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    uint32_t parity = lspo_session_parity(session, op);
    lspo_swap_use_t *weights = lspo_session_swap_of(session, op, LSPO_VARIANT_PARAMETERS);
    lspo_swap_use_t *optimizer = lspo_session_swap_of(session, op, LSPO_VARIANT_OPTIMIZER);
    float *m = optimizer ? optimizer->memory : stage->optimizer;
    size_t n = stage->message.element_count;
    if (session->plan->gradient_form == LSPO_FORM_COLUMNS)
        return lspo_session_columns_update_gpu(session, op);
    if (session->plan->optimizer == LSPO_OPTIMIZER_SGD) {
        descend(session, op);
        return LSPO_OK;
    }
    lspo_adam_t adam =
        lspo_adam_default(lspo_session_rate(session, op), lspo_plan_adam_step(session->plan, op->iteration));
    adam.weight_decay = (float)session->plan->workload.weight_decay; /* of the parameters form only */
    if (session->turn_state && adam.step == 1)
        memset(m, 0, 2 * n * sizeof(float));
    adam.gradient_scale = lspo_session_clip_scale(session, session->norm_gpu[parity]);
    if (session->plan->gradient_form == LSPO_FORM_LOWRANK) { /* the direction takes the gradient's place until APPLY */
        lspo_adam_direction(&adam, n, stage->gradient[parity], m, m + n, stage->gradient[parity]);
        return LSPO_OK;
    }
    if (stage->factors)
        update_adapters(stage, &adam, stage->gradient[parity]);
    else
        lspo_adam_parameters(&adam, n, stage->gradient[parity], m, m + n, weights ? weights->memory : stage->weights);
    lspo_session_give_back(session, (void **)&stage->gradient[parity]);
    return LSPO_OK;
}

static void overwrite(lspo_session_t *session, lspo_session_stage_t *stage, const void *staging)
{
    size_t n = stage->message.element_count;
    if (lspo_session_packs(session))
        lspo_session_unpack(session, n, staging, stage->weights);
    else
        memcpy(stage->weights, staging, n * sizeof(float));
}

/* Part of a delta in fp32: where it lies, or unpacked. */
static const float *delta_part(lspo_session_t *session, const void *staging, size_t offset, size_t n)
{
    if (!lspo_session_packs(session))
        return (const float *)staging + offset;
    lspo_session_unpack(session, n, (const uint16_t *)staging + offset, session->unpacked);
    return session->unpacked;
}

static void add_delta(lspo_session_t *session, lspo_session_stage_t *stage, float rate, const void *staging)
{
    const lspo_message_t *message = &stage->message;
    float keep = kept(session, rate);
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *linear = &message->linear[i];
        float *w = stage->weights + stage->shape.tensors[i].offset_elements;
        const float *delta = delta_part(session, staging, linear->message_offset_elements, linear->message_elements);
        if (linear->compressed)
            (session->plan->dense_sketches ? lspo_sketch_apply : lspo_projector_apply)(
                &stage->p[i], &stage->q[i], delta, rate, (float)session->plan->workload.weight_decay, w,
                session->scratch);
        else
            lspo_step_along(linear->message_elements, keep, rate, delta, w);
    }
    if (message->rest_elements > 0)
        lspo_step_along(message->rest_elements, keep, rate,
                        delta_part(session, staging, message->rest_offset_elements, message->rest_elements),
                        stage->weights + stage->linear_elements);
}

/* galore: out of the subspace where there is one. */
static void apply_direction(lspo_session_t *session, lspo_session_stage_t *stage, float rate, float **direction)
{
    const lspo_message_t *message = &stage->message;
    float keep = kept(session, rate);
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *linear = &message->linear[i];
        const float *part = *direction + linear->message_offset_elements;
        float *w = stage->weights + stage->shape.tensors[i].offset_elements;
        if (linear->compressed && keep < 1)
            lspo_step_along((size_t)linear->rows * linear->cols, keep, 0, w, w); /* w alone */
        if (linear->compressed)
            lspo_lowrank_apply(linear->rows, linear->cols, session->plan->workload.rank, stage->basis[i], part,
                               lowrank_scale * rate, w);
        else
            lspo_step_along(linear->message_elements, keep, rate, part, w);
    }
    lspo_step_along(message->rest_elements, keep, rate, *direction + message->rest_offset_elements,
                    stage->weights + stage->linear_elements);
    lspo_session_give_back(session, (void **)direction);
}

/* lsp: the last op that reads a block's activations in a calibration pass. */
static lspo_status_t project(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_status_t status = lspo_session_project(session, op);
    release_activations(session, op);
    return status;
}

static lspo_status_t apply(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    float rate = lspo_session_rate(session, op);
    if (session->plan->gradient_form == LSPO_FORM_LOWRANK) {
        apply_direction(session, stage, rate, &stage->gradient[lspo_session_parity(session, op)]);
        return LSPO_OK;
    }
    void **staging = &stage->staging[lspo_session_parity(session, op)];
    if (session->plan->gradient_form == LSPO_FORM_COLUMNS)
        lspo_session_columns_apply(session, op, *staging);
    else if (session->plan->return_form == LSPO_RETURN_DELTA)
        add_delta(session, stage, rate, *staging);
    else
        overwrite(session, stage, *staging);
    lspo_session_give_back(session, staging);
    return LSPO_OK;
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
        if (session->plan->gradient_form == LSPO_FORM_COLUMNS) {
            lspo_session_columns_select(session, op);
            return LSPO_OK;
        }
        return session->plan->gradient_form == LSPO_FORM_LOWRANK ? renew_bases(session, op) : project(session, op);
    case LSPO_OP_NORM:
        return norm(session, op);
    case LSPO_OP_UPD_GPU:
        return update(session, op);
    case LSPO_OP_APPLY:
        return apply(session, op);
    default:
        return lspo_error(LSPO_ERR_INPUT, "this version does not execute %s ops",
                          lspo_op_kind_name((lspo_op_kind_t)op->kind));
    }
}
