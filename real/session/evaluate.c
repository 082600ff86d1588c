/* evaluate.c - compute the losses of batches without training on them.  See session.h. */
#include <string.h>

#include "real/session/state.h"

/* Device memory for the evaluation of one batch. */
typedef struct {
    void *saved, *x, *y;
    void *weights[2]; /* of a swapped stage, and of a swapped embedding that is the head's, if the device cannot access
                         host memory */
} evaluation_t;

/* `copy` is the place of the copy if one is needed. */
static lspo_status_t weights_for(lspo_session_t *session, void *copy, uint32_t s, const void **weights_out)
{
    const lspo_session_stage_t *stage = &session->stages[s];
    *weights_out = stage->swapped ? stage->home : stage->weights;
    if (!stage->swapped || !session->asynchronous)
        return LSPO_OK;
    *weights_out = copy;
    return lspo_device_write(session->device, copy, stage->home, stage->shape.element_count * session->number_bytes);
}

/* The loss of a batch whose last block's output is x. */
static lspo_status_t forward_head(lspo_session_t *session, const evaluation_t *evaluation, const void *x,
                                  double *loss_out)
{
    uint32_t head = session->stage_count - 1;
    const void *weights = NULL, *embedding = NULL;
    double sum;
    lspo_status_t status = weights_for(session, evaluation->weights[0], head, &weights);
    if (status == LSPO_OK && session->plan->model.tied_head)
        status = weights_for(session, evaluation->weights[1], 0, &embedding);
    if (status != LSPO_OK)
        return status;
    lspo_transformer_head_forward(session->transformer, &(lspo_head_parameters_t){weights, embedding},
                                  session->gpu_targets, x, NULL, session->gpu_loss);
    status = lspo_compute_status(session->compute);
    if (status != LSPO_OK)
        return status;
    status = lspo_device_read(session->device, &sum, session->gpu_loss, sizeof sum);
    if (status != LSPO_OK)
        return status;
    *loss_out = lspo_session_mean_loss(sum, lspo_session_counted_targets(session));
    return LSPO_OK;
}

/* Runs one batch through all stages that are here; x and y are activations that swap roles.  Returns the mean loss if
 * the head is here; *x_out has the output of the last block. */
static lspo_status_t forward_batch(lspo_session_t *session, const evaluation_t *evaluation, void **x_out,
                                   double *loss_out)
{
    lspo_transformer_t *t = session->transformer;
    void *x = evaluation->x, *y = evaluation->y;
    const void *weights = NULL;
    lspo_status_t status = LSPO_OK;
    lspo_session_upload_batch(session);
    if (session->stages[0].here)
        status = weights_for(session, evaluation->weights[0], 0, &weights);
    if (status != LSPO_OK)
        return status;
    if (session->stages[0].here)
        lspo_transformer_embed_forward(t, session->gpu_tokens, weights, x);
    for (uint32_t s = 1; s + 1 < session->stage_count; s++) {
        if (!session->stages[s].here)
            continue;
        status = weights_for(session, evaluation->weights[0], s, &weights);
        if (status != LSPO_OK)
            return status;
        const lspo_block_parameters_t block = lspo_session_block(&session->stages[s], weights);
        if (session->method->evaluate_block)
            status = session->method->evaluate_block(session, s, &block, x, evaluation->saved, y);
        else
            lspo_transformer_block_forward(t, &block, x, evaluation->saved, y);
        if (status != LSPO_OK)
            return status;
        void *swap = x;
        x = y;
        y = swap;
    }
    *x_out = x;
    return session->stages[session->stage_count - 1].here ? forward_head(session, evaluation, x, loss_out) : LSPO_OK;
}

static size_t copy_bytes(const lspo_session_t *session, uint32_t s)
{
    const lspo_session_stage_t *stage = &session->stages[s];
    return session->asynchronous && stage->swapped ? stage->shape.element_count * session->number_bytes : 0;
}

static lspo_status_t take_copies(lspo_session_t *session, evaluation_t *evaluation)
{
    size_t largest = 0, tied = session->plan->model.tied_head ? copy_bytes(session, 0) : 0;
    lspo_status_t status = LSPO_OK;
    for (uint32_t s = 0; s < session->stage_count; s++)
        largest = copy_bytes(session, s) > largest ? copy_bytes(session, s) : largest;
    if (largest > 0)
        status = lspo_session_take(session, largest, &evaluation->weights[0]);
    if (status == LSPO_OK && tied > 0)
        status = lspo_session_take(session, tied, &evaluation->weights[1]);
    return status;
}

static lspo_status_t begin_evaluation(lspo_session_t *session, evaluation_t *evaluation)
{
    size_t activation_bytes = session->tokens * session->plan->model.width * session->number_bytes;
    *evaluation = (evaluation_t){0};
    lspo_status_t status =
        lspo_session_take(session, lspo_transformer_saved_bytes(session->transformer, 1), &evaluation->saved);
    if (status != LSPO_OK)
        return status;
    status = lspo_session_take(session, activation_bytes, &evaluation->x);
    if (status != LSPO_OK)
        return status;
    status = lspo_session_take(session, activation_bytes, &evaluation->y);
    if (status != LSPO_OK)
        return status;
    return take_copies(session, evaluation);
}

static void end_evaluation(lspo_session_t *session, evaluation_t *evaluation)
{
    for (int i = 0; i < 2; i++)
        lspo_session_give_back(session, &evaluation->weights[i]);
    lspo_session_give_back(session, &evaluation->y);
    lspo_session_give_back(session, &evaluation->x);
    lspo_session_give_back(session, &evaluation->saved);
}

lspo_status_t lspo_session_held_out_loss(lspo_session_t *session, uint32_t batches, double *loss_out)
{
    const lspo_workload_t *workload = &session->plan->workload;
    evaluation_t evaluation;
    void *x = NULL;
    lspo_status_t status = begin_evaluation(session, &evaluation);
    if (status != LSPO_OK)
        goto end;
    double sum = 0;
    for (uint32_t i = 0; i < batches; i++) {
        lspo_text_held_out(
            session->text, i, batches,
            &(lspo_text_windows_t){workload->batch, workload->sequence, session->tokens_in, session->targets});
        double loss = 0;
        status = forward_batch(session, &evaluation, &x, &loss);
        if (status != LSPO_OK)
            goto end;
        sum += loss;
    }
    *loss_out = sum / batches;
end:
    end_evaluation(session, &evaluation);
    return status;
}

size_t lspo_session_boundary_bytes(const lspo_session_t *session)
{
    return lspo_session_output_bytes(session);
}

lspo_status_t lspo_session_held_out_part(lspo_session_t *session, uint32_t batch, uint32_t batches, void *x,
                                         double *loss_out)
{
    const lspo_workload_t *workload = &session->plan->workload;
    evaluation_t evaluation;
    void *last = NULL;
    lspo_status_t status = begin_evaluation(session, &evaluation);
    if (status != LSPO_OK)
        goto end;
    lspo_text_held_out(
        session->text, batch, batches,
        &(lspo_text_windows_t){workload->batch, workload->sequence, session->tokens_in, session->targets});
    session->used_step = 0; /* another batch is the current one */
    if (!session->stages[0].here)
        status = lspo_device_write(session->device, evaluation.x, x, lspo_session_output_bytes(session));
    if (status == LSPO_OK)
        status = forward_batch(session, &evaluation, &last, loss_out);
    if (status == LSPO_OK)
        status = lspo_compute_status(session->compute);
    if (status == LSPO_OK)
        status = lspo_device_read(session->device, x, last, lspo_session_output_bytes(session));
end:
    end_evaluation(session, &evaluation);
    return status;
}

/* Those of the batch whose head was computed last. */
static lspo_status_t add_predictions(const lspo_session_t *session, lspo_predictions_t *predictions)
{
    const uint32_t *targets = session->targets;
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; status == LSPO_OK && i < session->plan->workload.batch; i++) {
        float wanted;
        if (targets[i] == LSPO_TARGET_IGNORED)
            continue;
        if (session->plan->model.class_count == 1)
            memcpy(&wanted, &targets[i], sizeof wanted);
        else
            wanted = (float)targets[i];
        status = lspo_predictions_add(predictions, lspo_transformer_predicted(session->transformer, i), wanted);
    }
    return status;
}

lspo_status_t lspo_session_evaluate(lspo_session_t *session, lspo_batch_function_t function, void *context,
                                    uint32_t batches, lspo_evaluation_t *evaluation_out)
{
    const uint32_t class_count = session->plan->model.class_count;
    lspo_evaluation_t result = {.scores = lspo_scores_none()};
    lspo_predictions_t predictions = {0};
    evaluation_t evaluation;
    void *x = NULL;
    lspo_status_t status = begin_evaluation(session, &evaluation);
    if (status != LSPO_OK)
        goto end;
    double sum = 0, count = 0;
    for (uint32_t i = 0; i < batches; i++) {
        status = lspo_session_fill_batch(session, function, context, i, 0);
        if (status != LSPO_OK)
            goto end;
        double counted = (double)lspo_session_counted_targets(session), loss = 0;
        status = forward_batch(session, &evaluation, &x, &loss);
        if (status != LSPO_OK)
            goto end;
        sum += counted * loss;
        count += counted;
        if (class_count > 0)
            status = add_predictions(session, &predictions);
        if (status != LSPO_OK)
            goto end;
    }
    if (count == 0)
        status = lspo_error(LSPO_ERR_INPUT, "%u batches have no target that counts", batches);
    else if (class_count > 0)
        status = lspo_predictions_score(&predictions, class_count, &result.scores);
    if (status != LSPO_OK)
        goto end;
    result.loss = sum / count;
    *evaluation_out = result;
end:
    lspo_predictions_release(&predictions);
    end_evaluation(session, &evaluation);
    return status;
}
