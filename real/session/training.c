/* training.c - a session's functions for a training loop: batches and learning rates. */
#include <inttypes.h>
#include <string.h>

#include "real/session/state.h"

void lspo_session_set_batches(lspo_session_t *session, lspo_batch_function_t function, void *context)
{
    session->batches = function;
    session->batches_context = context;
}

void lspo_session_set_learning_rate(lspo_session_t *session, lspo_rate_function_t function, void *context)
{
    session->rate = function;
    session->rate_context = context;
}

float lspo_session_rate_at(const lspo_session_t *session, uint32_t step)
{
    double rate = session->rate ? session->rate(session->rate_context, step) : session->plan->workload.learning_rate;
    return (float)rate;
}

float lspo_session_rate(const lspo_session_t *session, const lspo_op_t *op)
{
    return lspo_session_rate_at(session, lspo_session_step(session, op));
}

lspo_adam_t lspo_session_adam(const lspo_session_t *session, float learning_rate, uint32_t step)
{
    const lspo_workload_t *workload = &session->plan->workload;
    lspo_adam_t adam = lspo_adam_default(learning_rate, step);
    adam.epsilon = (float)workload->adam_epsilon;
    adam.root_epsilon = (float)workload->adam_root_epsilon;
    adam.weight_decay = (float)workload->weight_decay; /* only for the parameters form */
    return adam;
}

/* Ids are indices of tables: larger ones would read other memory. */
static lspo_status_t check_batch(const lspo_session_t *session, uint32_t step)
{
    const lspo_model_t *model = &session->plan->model;
    bool classifies = model->class_count > 0;
    for (size_t i = 0; i < session->tokens; i++)
        if (session->tokens_in[i] >= model->vocabulary)
            return lspo_error(LSPO_ERR_INPUT,
                              "step %" PRIu32 ": token %" PRIu32 " is outside the vocabulary of %" PRIu32, step,
                              session->tokens_in[i], model->vocabulary);
    bool numbers = model->class_count == 1; /* targets are the bits of floats */
    uint32_t limit = classifies ? model->class_count : model->vocabulary;
    size_t count = classifies ? session->plan->workload.batch : session->tokens;
    for (size_t i = 0; !numbers && i < count; i++)
        if (session->targets[i] >= limit && session->targets[i] != LSPO_TARGET_IGNORED)
            return lspo_error(LSPO_ERR_INPUT, "step %" PRIu32 ": target %" PRIu32 " must be below %" PRIu32, step,
                              session->targets[i], limit);
    return LSPO_OK;
}

lspo_status_t lspo_session_fill_batch(lspo_session_t *session, lspo_batch_function_t function, void *context,
                                      uint32_t step, uint32_t micro)
{
    lspo_batch_t batch = {.tokens = session->tokens_in, .targets = session->targets, .lengths = session->lengths};
    for (uint32_t i = 0; i < session->plan->workload.batch; i++)
        batch.lengths[i] = session->plan->workload.sequence;
    lspo_status_t status = function(context, step, micro, &batch);
    if (status != LSPO_OK)
        return status;
    status = check_batch(session, step);
    if (status != LSPO_OK)
        return status;
    return lspo_transformer_set_lengths(session->transformer, batch.lengths);
}

lspo_status_t lspo_session_load_batch(lspo_session_t *session, uint32_t step, uint32_t micro)
{
    const lspo_workload_t *workload = &session->plan->workload;
    if (session->batches)
        return lspo_session_fill_batch(session, session->batches, session->batches_context, step, micro);
    if (!session->text)
        return lspo_error(LSPO_ERR_INPUT, "a session has neither a text nor a function that makes batches");
    lspo_text_batch(session->text, workload->seed, step, micro,
                    &(lspo_text_windows_t){workload->batch, workload->sequence, session->tokens_in, session->targets});
    return LSPO_OK;
}

lspo_status_t lspo_session_use_batch(lspo_session_t *session, const lspo_op_t *op)
{
    const uint32_t step = lspo_session_step(session, op);
    lspo_status_t status = LSPO_OK;
    if (session->alone || (session->used_step == step + 1 && session->used_micro == op->micro))
        return LSPO_OK;
    if (session->used_step != step + 1 && session->place.last_stage + 1U == session->stage_count)
        status = lspo_session_begin_step(session, step);
    if (status == LSPO_OK)
        status = lspo_session_load_batch(session, step, op->micro);
    if (status != LSPO_OK)
        return status;
    session->used_step = step + 1;
    session->used_micro = op->micro;
    lspo_session_upload_batch(session);
    return LSPO_OK;
}

size_t lspo_session_counted_targets(const lspo_session_t *session)
{
    return lspo_targets_counted(lspo_transformer_targets(session->transformer), session->targets);
}

/* Warn at the first such step, and each time their number has doubled: a training may have thousands. */
static void warn_of_empty_step(lspo_session_t *session, uint32_t step)
{
    uint32_t count = ++session->empty_steps;
    if (count == 1)
        lspo_warn("step %" PRIu32 ": no target of its batch counts, so its loss is 0 and it trains nothing", step);
    else if ((count & (count - 1)) == 0)
        lspo_warn("step %" PRIu32 ": no target of its batch counts; %" PRIu32 " such steps so far", step, count);
}

/* A step has one mean over its targets, whatever its micro-batches, so all are counted before the first one runs. */
lspo_status_t lspo_session_begin_step(lspo_session_t *session, uint32_t step)
{
    session->step_targets = 0;
    for (uint32_t micro = session->plan->workload.accumulation; micro-- > 0;) {
        lspo_status_t status = lspo_session_load_batch(session, step, micro);
        if (status != LSPO_OK)
            return status;
        session->step_targets += lspo_session_counted_targets(session);
    }
    if (session->step_targets == 0 && session->place.first_micro == 0)
        warn_of_empty_step(session, step);
    return LSPO_OK;
}

/* Copy the loaded batch to device memory.  The same pinned array is reused only after the next batch has been copied,
 * so long after this copy. */
void lspo_session_upload_batch(lspo_session_t *session)
{
    size_t bytes = session->tokens * sizeof(uint32_t);
    if (!session->asynchronous)
        return;
    uint32_t *pinned = session->pinned_batch[session->batch_count++ & 1];
    memcpy(pinned, session->tokens_in, bytes);
    memcpy(pinned + session->tokens, session->targets, bytes);
    lspo_device_write_later(session->device, session->gpu_tokens, pinned, bytes);
    lspo_device_write_later(session->device, session->gpu_targets, pinned + session->tokens, bytes);
}

double lspo_session_gradient_norm(const lspo_session_t *session)
{
    return session->gradient_norm;
}

lspo_status_t lspo_session_report(const lspo_session_t *session, lspo_device_entry_t add, void *context)
{
    return session->method->report ? session->method->report(session, add, context) : LSPO_OK;
}

lspo_session_bias_t lspo_session_bias(const lspo_session_t *session)
{
    return session->bias;
}
