/* train_save.c - save a training: the weights of the best evaluation, and its state in checkpoints. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "plan/policy.h"
#include "real/train/train_state.h"

/* ---- weights that are kept ---- */

void lspo_train_free_stages(const lspo_train_options_t *options, float **stages)
{
    for (uint32_t s = 0; stages && s < lspo_model_stage_count(&options->model); s++)
        free(stages[s]);
    free(stages);
}

lspo_status_t lspo_train_alloc_stages(const lspo_train_options_t *options, float ***stages_out)
{
    uint32_t count = lspo_model_stage_count(&options->model);
    float **stages = calloc(count, sizeof *stages);
    bool complete = stages != NULL;
    for (uint32_t s = 0; complete && s < count; s++) {
        lspo_stage_t stage;
        lspo_model_stage(&options->model, s, &stage);
        stages[s] = calloc(stage.element_count + 1, sizeof **stages);
        complete = stages[s] != NULL;
    }
    if (!complete) {
        lspo_train_free_stages(options, stages);
        return lspo_no_memory("a copy of the weights");
    }
    *stages_out = stages;
    return LSPO_OK;
}

lspo_status_t lspo_train_copy_weights(const trainer_t *trainer, float **stages)
{
    for (uint32_t s = 0; s < lspo_model_stage_count(&trainer->options->model); s++) {
        lspo_status_t status = lspo_session_merged_weights(trainer->session, s, stages[s]);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

bool lspo_train_tracks_best(const lspo_train_options_t *options)
{
    return options->keep_best && !options->policy->stands_apart && (options->save || options->output) &&
           lspo_dataset_held_out_rows(options->data) > 0;
}

lspo_status_t lspo_train_export(trainer_t *trainer)
{
    const lspo_train_options_t *options = trainer->options;
    float **stages = NULL;
    if (!options->save)
        return LSPO_OK;
    if (trainer->best)
        return options->save(options->model_context, (const float *const *)trainer->best);
    lspo_status_t status = lspo_train_alloc_stages(options, &stages);
    if (status != LSPO_OK)
        return status;
    status = lspo_train_copy_weights(trainer, stages);
    if (status != LSPO_OK)
        goto cleanup;
    status = options->save(options->model_context, (const float *const *)stages);
cleanup:
    lspo_train_free_stages(options, stages);
    return status;
}

/* ---- checkpoints ---- */

/* The session's arrays and the best weights; the caller frees `arrays`. */
static lspo_status_t list_arrays(const trainer_t *trainer, lspo_state_array_t **arrays_out, size_t *count_out)
{
    const lspo_model_t *model = &trainer->options->model;
    uint32_t count = lspo_session_state_count(trainer->session);
    uint32_t kept = trainer->best ? lspo_model_stage_count(model) : 0;
    lspo_state_array_t *arrays = calloc(count + kept, sizeof *arrays);
    if (!arrays)
        return lspo_no_memory("the list of a checkpoint's arrays");
    for (uint32_t i = 0; i < count; i++)
        lspo_session_state_at(trainer->session, i, &arrays[i]);
    for (uint32_t s = 0; s < kept; s++) {
        lspo_stage_t stage;
        lspo_model_stage(model, s, &stage);
        lspo_state_array_t *array = &arrays[count + s];
        snprintf(array->name, sizeof array->name, "best%" PRIu32 ".weights", s);
        array->data = trainer->best[s];
        array->element_count = stage.element_count;
        array->type = LSPO_STATE_F32;
    }
    *arrays_out = arrays;
    *count_out = count + kept;
    return LSPO_OK;
}

static lspo_checkpoint_t checkpoint_of(trainer_t *trainer, const lspo_state_array_t *arrays, size_t count)
{
    return (lspo_checkpoint_t){.state = &trainer->state,
                               .settings = trainer->settings.list,
                               .setting_count = trainer->settings.count,
                               .arrays = arrays,
                               .array_count = count,
                               .progress_context = (void *)trainer->options};
}

static void report_writing(void *context, uint32_t done_mb, uint32_t of_mb)
{
    lspo_train_report_phase(context, "MB of the checkpoint written", done_mb, of_mb);
}

static void report_reading(void *context, uint32_t done_mb, uint32_t of_mb)
{
    lspo_train_report_phase(context, "MB of the checkpoint read", done_mb, of_mb);
}

lspo_status_t lspo_train_save(trainer_t *trainer, bool last)
{
    lspo_state_array_t *arrays;
    size_t count;
    if (!trainer->saver || trainer->saved_step == trainer->state.step)
        return LSPO_OK;
    lspo_status_t status = list_arrays(trainer, &arrays, &count);
    if (status != LSPO_OK)
        return status;
    lspo_checkpoint_t checkpoint = checkpoint_of(trainer, arrays, count);
    if (last) /* the others are written in the background */
        checkpoint.progress = report_writing;
    status = lspo_saver_save(trainer->saver, &checkpoint, last);
    if (status != LSPO_OK)
        goto cleanup;
    trainer->saved_step = trainer->state.step;
cleanup:
    free(arrays);
    return status;
}

/* The learning rate of a step depends on the number of steps: with another number the result differs from here on. */
static void tell_of_other_steps(const trainer_t *trainer, uint32_t before)
{
    uint32_t step = trainer->state.step;
    lspo_schedule_t schedule = trainer->schedule;
    schedule.steps = before;
    double last = step > 0 ? lspo_schedule_rate(&schedule, step - 1) : (double)NAN;
    lspo_warn("the training was started with %" PRIu32 " steps and now has %" PRIu32 ": from step %" PRIu32
              " on the learning rate follows the schedule of %" PRIu32
              " steps (%.3g after %.3g), so it ends differently from a training that was started with these steps",
              before, trainer->options->steps, step + 1, trainer->options->steps,
              lspo_schedule_rate(&trainer->schedule, step), last);
}

/* The state that was read is of a training of state.steps; this one may have more. */
static lspo_status_t adopt(trainer_t *trainer)
{
    const lspo_train_options_t *options = trainer->options;
    lspo_train_state_t *state = &trainer->state;
    uint32_t before = state->steps;
    if (options->steps < before)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s: the training was started with %" PRIu32
                          " steps; it can have more, but not only %" PRIu32,
                          options->output, before, options->steps);
    state->steps = options->steps;
    if (options->steps > before) {
        state->finished = options->patience > 0 && state->worse_count >= options->patience;
        if (!state->finished)
            tell_of_other_steps(trainer, before);
    }
    trainer->saved_step = state->step;
    return lspo_session_state_written(trainer->session);
}

lspo_status_t lspo_train_resume(trainer_t *trainer)
{
    const lspo_train_options_t *options = trainer->options;
    lspo_state_array_t *arrays;
    size_t count;
    bool found = false, stale = options->policy->semantics == LSPO_SEMANTICS_STALE;
    lspo_status_t status = list_arrays(trainer, &arrays, &count);
    if (status != LSPO_OK)
        return status;
    lspo_checkpoint_t checkpoint = checkpoint_of(trainer, arrays, count);
    checkpoint.progress = report_reading;
    status = lspo_checkpoint_resume(options->output, &checkpoint, stale, &found);
    free(arrays);
    if (status != LSPO_OK)
        return status;
    if (!found) {
        lspo_warn("%s has no checkpoint; starting at step 0", options->output);
        return LSPO_OK;
    }
    status = adopt(trainer);
    if (status != LSPO_OK)
        return status;
    return lspo_checkpoint_prune(options->output, trainer->state.step, options->keep, false);
}
