/* passes.c - the ops of forward and backward passes.  plan/build.h describes which op allocates and frees which
 * memory. */
#include <inttypes.h>
#include <math.h>

#include "real/session/state.h"

static uint32_t head_of(const lspo_session_t *session)
{
    return session->stage_count - 1;
}

/* With a tied embedding's, if the model ties it. */
static lspo_head_parameters_t head_parameters(lspo_session_t *session, const lspo_op_t *op)
{
    return (lspo_head_parameters_t){lspo_session_weights_for(session, op, op->layer),
                                    lspo_session_weights_for(session, op, 0)};
}

static lspo_block_parameters_t block_parameters(lspo_session_t *session, const lspo_op_t *op)
{
    return lspo_session_block(&session->stages[op->layer], lspo_session_weights_for(session, op, op->layer));
}

static lspo_status_t forward_head(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_flight_t *flight = lspo_session_flight(session, op, op->layer);
    lspo_status_t status =
        lspo_session_take(session, lspo_transformer_saved_bytes(session->transformer, op->layer), &flight->saved);
    if (status != LSPO_OK)
        return status;
    status = lspo_session_use_batch(session, op);
    if (status != LSPO_OK)
        return status;
    bool calibrates = op->variant == LSPO_VARIANT_CALIBRATE;
    session->loss_targets = calibrates ? lspo_session_counted_targets(session) : session->step_targets;
    const lspo_head_parameters_t parameters = head_parameters(session, op);
    lspo_transformer_head_forward(session->transformer, &parameters, session->gpu_targets,
                                  *lspo_session_input(session, op), flight->saved, session->gpu_loss);
    lspo_device_read_later(session->device, session->loss_read, session->gpu_loss, sizeof *session->gpu_loss);
    return LSPO_OK;
}

double lspo_session_mean_loss(double sum, size_t targets)
{
    return targets > 0 ? sum / (double)targets : 0.0;
}

/* The first stage whose output is not finite, for the message; the head if all are finite.  An asynchronous device may
 * have freed the outputs by now. */
static uint32_t find_broken_stage(const lspo_session_t *session, const lspo_op_t *op)
{
    size_t count = session->tokens * session->plan->model.width;
    for (uint32_t s = 0; !session->asynchronous && s < head_of(session); s++) {
        const float *there = lspo_session_flight(session, op, s)->output;
        const float *output = there ? there : session->stages[s + 1].kept;
        for (size_t i = 0; output && i < count; i++)
            if (!isfinite(output[i]))
                return s;
    }
    return head_of(session);
}

/* A micro-batch adds its part of the mean over the targets of the whole step. */
lspo_status_t lspo_session_judge_loss(lspo_session_t *session, const lspo_op_t *op)
{
    double loss = lspo_session_mean_loss(*session->loss_read, session->loss_targets);
    double *mean = &session->losses[op->iteration];
    if (op->variant != LSPO_VARIANT_CALIBRATE)
        *mean = (lspo_session_is_first_micro(session, op) ? 0 : *mean) + loss;
    if (isfinite(loss))
        return LSPO_OK;
    char name[16];
    return lspo_error(LSPO_ERR_NUMERIC,
                      "step %" PRIu32 ": the loss is %g; the first values that are not finite come "
                      "from stage %s; try a smaller learning rate or --clip",
                      lspo_session_step(session, op), fabs(loss), /* "nan", not "-nan" */
                      lspo_model_stage_name(&session->plan->model, find_broken_stage(session, op), name));
}

/* Load the batch.  The first one of a step fixes the values of the whole step: the number of targets in its mean loss,
 * and the loss scale, which the norm of the previous step may change meanwhile. */
static lspo_status_t load_batch(lspo_session_t *session, const lspo_op_t *op)
{
    uint32_t step = lspo_session_step(session, op);
    if (!session->alone)
        return lspo_session_use_batch(session, op);
    if (op->variant == LSPO_VARIANT_CALIBRATE)
        return session->method->load_batch(session, op);
    if (op->micro > 0)
        return lspo_session_load_batch(session, step, op->micro);
    session->norms.scale[lspo_session_parity(session, op)] = session->scaling.now;
    return lspo_session_begin_step(session, step);
}

static lspo_status_t forward_embed(lspo_session_t *session, const lspo_op_t *op, void *output)
{
    lspo_status_t status = load_batch(session, op);
    if (status != LSPO_OK)
        return status;
    if (session->alone)
        lspo_session_upload_batch(session);
    lspo_transformer_embed_forward(session->transformer, session->gpu_tokens, lspo_session_weights_for(session, op, 0),
                                   output);
    lspo_session_swap_drop(session, op);
    return LSPO_OK;
}

lspo_status_t lspo_session_forward(lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_workload_t *workload = &session->plan->workload;
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    lspo_session_flight_t *flight = lspo_session_flight(session, op, op->layer);
    if (stage->shape.kind == LSPO_STAGE_HEAD)
        return forward_head(session, op);
    lspo_status_t status = lspo_session_take(session, lspo_session_output_bytes(session), &flight->output);
    if (status != LSPO_OK)
        return status;
    if (stage->shape.kind == LSPO_STAGE_EMBED)
        return forward_embed(session, op, flight->output);
    status = lspo_session_take(session, lspo_transformer_saved_bytes(session->transformer, op->layer), &flight->saved);
    if (status != LSPO_OK)
        return status;
    const lspo_block_parameters_t block = block_parameters(session, op);
    lspo_transformer_block_forward(session->transformer, &block, *lspo_session_input(session, op), flight->saved,
                                   flight->output);
    if (workload->checkpointing || op->variant == LSPO_VARIANT_FROZEN)
        lspo_session_give_back(session, &flight->saved);
    if (op->variant == LSPO_VARIANT_FROZEN)
        lspo_session_give_back(session, lspo_session_input(session, op));
    lspo_session_swap_drop(session, op);
    return LSPO_OK;
}

lspo_status_t lspo_session_recompute(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_flight_t *flight = lspo_session_flight(session, op, op->layer);
    lspo_status_t status =
        lspo_session_take(session, lspo_transformer_saved_bytes(session->transformer, op->layer), &flight->saved);
    if (status != LSPO_OK)
        return status;
    const lspo_block_parameters_t block = block_parameters(session, op);
    lspo_transformer_block_forward(session->transformer, &block, *lspo_session_input(session, op), flight->saved, NULL);
    return LSPO_OK;
}

/* A later micro-batch adds to the gradient of the first. */
static lspo_status_t take_gradient(lspo_session_t *session, const lspo_op_t *op, uint32_t s)
{
    if (!lspo_session_forms_gradient(session, op, s) || !lspo_session_is_first_micro(session, op))
        return LSPO_OK;
    return lspo_session_take_gradient(session, op, s);
}

static void sum_squares(lspo_session_t *session, const lspo_op_t *op, uint32_t place)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    lspo_compute_sum_of_squares(session->compute, stage->gradient_count,
                                stage->gradient[lspo_session_parity(session, op)],
                                &session->squares[place * session->stage_count + op->layer]);
}

/* After the op that completes the stage's gradient for this step. */
void lspo_session_finish_gradient(lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_workload_t *workload = &session->plan->workload;
    lspo_session_stage_t *stage = &session->stages[op->layer];
    if (!lspo_session_forms_gradient(session, op, op->layer) || !lspo_session_is_last_micro(session, op) ||
        stage->gradient_count == 0)
        return;
    uint32_t parity = lspo_session_parity(session, op);
    size_t n = stage->gradient_count;
    bool probe = op->variant == LSPO_VARIANT_PROBE,
         sums = workload->clip_norm > 0 && probe == session->probes && !lspo_session_sums_replicas(session);
    if (sums)
        sum_squares(session, op, parity);
    if (lspo_session_turns(session, op, op->layer)) {
        session->method->turn(session, op);
        if (sums)
            sum_squares(session, op, 2 + parity);
    }
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
        lspo_session_give_back(session, lspo_session_dx(session, op));
}

/* Free memory that the backward pass has read for the last time; after a probe another pass follows, which recomputes
 * what is not kept and brings back what is on the host. */
void lspo_session_release_activations(lspo_session_t *session, const lspo_op_t *op)
{
    if (op->variant == LSPO_VARIANT_PROBE) {
        bool returns = lspo_plan_swaps_activations(session->plan, op->layer);
        if (session->stages[op->layer].shape.kind == LSPO_STAGE_BLOCK &&
            (session->plan->workload.checkpointing || returns))
            lspo_session_give_back(session, &lspo_session_flight(session, op, op->layer)->saved);
        if (returns)
            lspo_session_give_back(session, lspo_session_input(session, op));
        return;
    }
    lspo_session_give_back(session, &lspo_session_flight(session, op, op->layer)->saved);
    lspo_session_give_back(session, lspo_session_input(session, op));
}

/* The factor of the sum of the losses in the backward pass. */
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
    void **dx = lspo_session_dx(session, op);
    lspo_status_t status = lspo_session_use_batch(session, op);
    if (status == LSPO_OK)
        status = lspo_session_take(session, lspo_session_output_bytes(session), dx);
    if (status != LSPO_OK)
        return status;
    status = take_gradient(session, op, op->layer);
    if (status != LSPO_OK)
        return status;
    bool tied = session->plan->model.tied_head; /* the embedding's gradient starts here */
    if (tied)
        status = take_gradient(session, op, 0);
    if (status != LSPO_OK)
        return status;
    bool forms = lspo_session_forms_gradient(session, op, op->layer);
    bool forms_tied = tied && lspo_session_forms_gradient(session, op, 0);
    lspo_gradient_sink_t sink = {.rest = forms ? stage->gradient[parity] : NULL,
                                 .tied = forms_tied ? embed->gradient[parity] : NULL,
                                 .accumulate = !lspo_session_is_first_micro(session, op)};
    const lspo_head_parameters_t parameters = head_parameters(session, op);
    lspo_transformer_head_backward(
        session->transformer, &parameters, &(lspo_head_loss_t){session->gpu_targets, loss_scale(session, op)},
        &(lspo_stage_kept_t){*lspo_session_input(session, op), lspo_session_flight(session, op, op->layer)->saved},
        &sink, *dx);
    release_dx(session, op);
    lspo_session_release_activations(session, op);
    lspo_session_finish_gradient(session, op);
    lspo_session_swap_drop(session, op);
    return LSPO_OK;
}

/* The destination of the block's gradients: a dense gradient unless the method says otherwise. */
static lspo_status_t begin_backward(lspo_session_t *session, const lspo_op_t *op, lspo_session_backward_t *backward)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    *backward = (lspo_session_backward_t){.sink.accumulate = !lspo_session_is_first_micro(session, op)};
    if (lspo_session_forms_gradient(session, op, op->layer)) {
        backward->gradient = backward->sink.linear = stage->gradient[lspo_session_parity(session, op)];
        if (stage->message.rest_elements > 0)
            backward->sink.rest = lspo_session_at(session, backward->gradient, stage->message.rest_offset_elements);
    }
    return session->method->begin_backward ? session->method->begin_backward(session, op, backward) : LSPO_OK;
}

static lspo_status_t backward_block(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_backward_t backward;
    lspo_status_t status = take_gradient(session, op, op->layer);
    if (status != LSPO_OK)
        return status;
    status = begin_backward(session, op, &backward);
    if (status != LSPO_OK)
        return status;
    const lspo_block_parameters_t block = block_parameters(session, op);
    lspo_transformer_block_backward(
        session->transformer, &block,
        &(lspo_stage_kept_t){*lspo_session_input(session, op), lspo_session_flight(session, op, op->layer)->saved},
        &backward.sink, &session->operands, *lspo_session_dx(session, op));
    release_dx(session, op);
    if (!backward.more_follows) {
        lspo_session_release_activations(session, op);
        lspo_session_finish_gradient(session, op);
    }
    lspo_session_swap_drop(session, op);
    return LSPO_OK;
}

/* The embedding's gradient begins here; a tied head that is another peer's adds its part at the end. */
static lspo_status_t begin_embed_gradient(lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_session_stage_t *stage = &session->stages[0];
    lspo_status_t status = take_gradient(session, op, 0);
    if (status == LSPO_OK && lspo_session_is_tied_elsewhere(session) && lspo_session_is_first_micro(session, op))
        lspo_compute_zero(session->compute, stage->gradient_count * session->number_bytes,
                          stage->gradient[lspo_session_parity(session, op)]);
    return status;
}

static void add_tied_part(lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_tensor_t *token = &session->stages[0].shape.tensors[0];
    if (!lspo_session_is_last_micro(session, op) || !session->tied_part) /* before, it may be coming */
        return;
    lspo_compute_add(session->compute, (size_t)token->rows * token->cols, session->tied_part,
                     session->stages[0].gradient[lspo_session_parity(session, op)]);
    lspo_session_give_back(session, &session->tied_part);
}

static lspo_status_t backward_embed(lspo_session_t *session, const lspo_op_t *op)
{
    const bool begun = session->plan->model.tied_head && !lspo_session_is_tied_elsewhere(session);
    lspo_status_t status = lspo_session_use_batch(session, op);
    if (status == LSPO_OK && !begun)
        status = begin_embed_gradient(session, op);
    if (status != LSPO_OK)
        return status;
    lspo_transformer_embed_backward(session->transformer, session->gpu_tokens, lspo_session_weights_for(session, op, 0),
                                    *lspo_session_dx(session, op), !lspo_session_is_first_micro(session, op),
                                    session->stages[0].gradient[lspo_session_parity(session, op)]);
    add_tied_part(session, op);
    release_dx(session, op);
    lspo_session_finish_gradient(session, op);
    lspo_session_swap_drop(session, op);
    return LSPO_OK;
}

lspo_status_t lspo_session_backward(lspo_session_t *session, const lspo_op_t *op)
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
