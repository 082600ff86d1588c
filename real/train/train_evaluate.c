/* train_evaluate.c - compute the held-out loss between two segments, and track the best one. */
#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>

#include "real/train/train_state.h"

static uint32_t batch_count(const lspo_train_options_t *options)
{
    uint64_t all = lspo_dataset_held_out_batches(options->data, options->workload.batch);
    return all < options->eval_batches ? (uint32_t)all : options->eval_batches;
}

static lspo_status_t held_out_batch(void *context, uint32_t step, uint32_t micro, lspo_batch_t *batch)
{
    const lspo_train_options_t *options = context;
    (void)micro;
    lspo_train_report_phase(options, "evaluating", step, batch_count(options));
    if (options->stop && atomic_load(options->stop) != 0)
        return LSPO_ERR_INTERRUPTED; /* not logged: a resumed training repeats it */
    lspo_dataset_held_out(options->data, step, batch_count(options), options->workload.batch, batch);
    return LSPO_OK;
}

static lspo_status_t note_best(trainer_t *trainer, const lspo_evaluation_t *evaluation)
{
    lspo_train_state_t *state = &trainer->state;
    state->best_loss = evaluation->loss;
    state->best_step = state->step;
    state->scores_best = evaluation->scores;
    state->worse_count = 0;
    return trainer->best ? lspo_train_copy_weights(trainer, trainer->best) : LSPO_OK;
}

lspo_status_t lspo_train_evaluate(trainer_t *trainer, lspo_metrics_row_t *row)
{
    const lspo_train_options_t *options = trainer->options;
    lspo_train_state_t *state = &trainer->state;
    lspo_evaluation_t evaluation;
    lspo_status_t status =
        lspo_session_evaluate(trainer->session, held_out_batch, (void *)options, batch_count(options), &evaluation);
    if (status != LSPO_OK)
        return status;
    double loss = evaluation.loss;
    if (!isfinite(loss))
        return lspo_error(LSPO_ERR_NUMERIC, "step %" PRIu32 ": the held-out loss is %g", state->step,
                          fabs(loss)); /* "nan", not "-nan" */
    row->held_out_loss = state->held_out_last = loss;
    state->scores_last = evaluation.scores;
    row->scores = evaluation.scores;
    if (lspo_dataset_kind(options->data) != LSPO_DATASET_LABELS)
        row->perplexity = exp(loss);
    if (state->step == 0) {
        state->held_out_before = loss;
        state->scores_before = evaluation.scores;
    }
    state->worse_count++;
    if (isnan(state->best_loss) || loss < state->best_loss)
        status = note_best(trainer, &evaluation);
    return status;
}
