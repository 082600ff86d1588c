/* train.c - see train.h. */
#include "real/train/train.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

#include "real/execute/lane.h"
#include "real/execute/play.h"
#include "real/methods/methods.h"
#include "real/train/origin.h"
#include "real/train/train_state.h"

static double rate_of_step(void *context, uint32_t step)
{
    return lspo_schedule_rate(context, step);
}

static double tokens_a_step(const lspo_train_options_t *options)
{
    return (double)lspo_workload_tokens(&options->workload) * options->workload.accumulation;
}

static double rows_a_step(const lspo_train_options_t *options)
{
    return (double)options->workload.batch * options->workload.accumulation;
}

static lspo_status_t train_batch(void *context, uint32_t step, uint32_t micro, lspo_batch_t *batch)
{
    const lspo_train_options_t *options = context;
    lspo_dataset_batch(options->data, step, micro, options->workload.accumulation, options->workload.batch, batch);
    return LSPO_OK;
}

/* ---- segments ---- */

/* The next step after `step` that is a multiple of `every`; 0: never. */
static uint32_t next_multiple(uint32_t step, uint32_t every)
{
    return every == 0 || step > UINT32_MAX - every ? UINT32_MAX : step - step % every + every;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t segment_end(const trainer_t *trainer)
{
    const lspo_train_options_t *options = trainer->options;
    uint32_t step = trainer->state.step, end = options->steps;
    if (end - step > options->workload.iterations)
        end = step + options->workload.iterations;
    end = least(end, next_multiple(step, options->eval_every));
    return least(end, next_multiple(step, options->output ? options->checkpoint_every : 0));
}

static lspo_status_t build_steps(const trainer_t *trainer, uint32_t end, bool open_end, lspo_plan_t **plan_out)
{
    const lspo_train_options_t *options = trainer->options;
    lspo_workload_t workload = options->workload;
    workload.first_step = trainer->state.step;
    workload.iterations = end - trainer->state.step;
    workload.open_end = open_end;
    return lspo_plan_build(&options->model, &workload, options->policy, plan_out);
}

static lspo_status_t build_segment(const trainer_t *trainer, uint32_t end, lspo_plan_t **plan_out)
{
    return build_steps(trainer, end, end < trainer->options->steps, plan_out);
}

static void enter_lane(void *context, const lspo_lane_t *lane)
{
    const trainer_t *trainer = context;
    lspo_topology_enter(&trainer->topology, (lspo_lane_kind_t)lane->kind);
    lspo_lane_flush_denormals();
}

/* Part of a pass that checks lsp's projectors and fits them again; not part of the cost of a step. */
static bool is_of_fit(const trainer_t *trainer, const lspo_op_t *op)
{
    if (trainer->options->policy->gradient_form != LSPO_FORM_SUBSPACE)
        return false;
    return op->kind == LSPO_OP_PROJECT || op->variant == LSPO_VARIANT_CALIBRATE || op->variant == LSPO_VARIANT_FIT ||
           op->variant == LSPO_VARIANT_DECIDE;
}

/* On the GPU lane, like all ops of a fit. */
static lspo_status_t run_op_of_fit(trainer_t *trainer, const lspo_op_t *op)
{
    uint64_t start_ns = lspo_now_ns();
    lspo_status_t status = lspo_session_run_op(trainer->session, op);
    double spent_s = (double)(lspo_now_ns() - start_ns) * 1e-9;
    trainer->fit_s += spent_s;
    trainer->row_fit_s[op->iteration] += spent_s;
    if (status != LSPO_OK)
        return status;
    if (op->kind == LSPO_OP_PROJECT)
        lspo_train_report_phase(trainer->options, "fitting projectors", ++trainer->projects_done, trainer->projects);
    return LSPO_OK;
}

/* NORM and PROJECT run on the GPU lane and wait for the device: their results are those of this step until the next
 * one. */
static lspo_status_t run_op(void *context, const lspo_op_t *op)
{
    trainer_t *trainer = context;
    if (op->iteration >= trainer->plan->workload.iterations)
        return lspo_session_run_op(trainer->session, op);
    lspo_status_t status =
        is_of_fit(trainer, op) ? run_op_of_fit(trainer, op) : lspo_session_run_op(trainer->session, op);
    if (status != LSPO_OK)
        return status;
    lspo_metrics_row_t *row = &trainer->rows[op->iteration];
    if (op->kind == LSPO_OP_NORM)
        row->gradient_norm = lspo_session_gradient_norm(trainer->session);
    if (op->kind == LSPO_OP_PROJECT) {
        lspo_session_bias_t bias = lspo_session_bias(trainer->session);
        if (bias.checked > 0) {
            row->bias = bias.bias_before;
            row->bias_fitted = bias.bias_after;
            row->refits = (double)(trainer->refits_before + bias.fitted_total);
        }
    }
    return status;
}

static lspo_status_t finish_op(void *context, const lspo_op_t *op)
{
    return lspo_session_finish_op(((trainer_t *)context)->session, op);
}

/* All steps of a segment are assumed to take the same time, except for their fits. */
static void fill_rows(trainer_t *trainer, uint32_t count, double stepping_s)
{
    const lspo_train_options_t *options = trainer->options;
    const double *losses = lspo_session_losses(trainer->session);
    double fits_s = 0;
    for (uint32_t i = 0; i < count; i++) {
        lspo_metrics_row_t *row = &trainer->rows[i];
        row->step = trainer->state.step + i + 1;
        row->epoch = rows_a_step(options) * row->step / (double)lspo_dataset_train_rows(options->data);
        row->loss = losses[i];
        row->learning_rate = lspo_schedule_rate(&trainer->schedule, row->step - 1);
        fits_s += trainer->row_fit_s[i];
        row->time_s = trainer->state.elapsed_s + fits_s + stepping_s * (i + 1) / count;
        row->tokens_per_s = trainer->tokens_per_s;
    }
    if (trainer->state.step == 0)
        trainer->state.loss_first = losses[0];
    trainer->state.loss_last = losses[count - 1];
}

static bool stop_asked(const trainer_t *trainer)
{
    return trainer->options->stop && atomic_load(trainer->options->stop) != 0;
}

/* A model is identified by its bytes: hash them as they were read. */
static lspo_status_t load_stage(void *context, uint32_t s, float *weights, bool *given_out)
{
    const trainer_t *trainer = context;
    const lspo_train_options_t *options = trainer->options;
    lspo_stage_t stage;
    lspo_model_stage(&options->model, s, &stage);
    lspo_train_report_phase(trainer->options, "loading weights", s, lspo_model_stage_count(&options->model));
    if (stop_asked(trainer))
        return lspo_error(LSPO_ERR_INTERRUPTED, "interrupted before the first step");
    lspo_status_t status = options->load(options->model_context, s, weights, given_out);
    if (status != LSPO_OK)
        return status;
    if (*given_out && trainer->weights_hash)
        XXH3_128bits_update(trainer->weights_hash, weights, stage.element_count * sizeof *weights);
    return LSPO_OK;
}

/* Create a session with the initial weights. */
static lspo_status_t create_session(trainer_t *trainer, const lspo_plan_t *plan)
{
    const lspo_first_weights_t first = {trainer->options->load ? load_stage : NULL, trainer};
    char text[64] = "seeded";
    trainer->weights_hash = XXH3_createState();
    if (!trainer->weights_hash || XXH3_128bits_reset(trainer->weights_hash) != XXH_OK) {
        XXH3_freeState(trainer->weights_hash);
        return lspo_no_memory("a hash");
    }
    lspo_status_t status = lspo_session_create_from(plan, trainer->device, NULL, &first, &trainer->session);
    XXH128_hash_t digest = XXH3_128bits_digest(trainer->weights_hash);
    XXH3_freeState(trainer->weights_hash);
    trainer->weights_hash = NULL;
    if (first.load)
        snprintf(text, sizeof text, "xxh3 %016" PRIx64 "%016" PRIx64, digest.high64, digest.low64);
    lspo_train_set_weights(trainer, text);
    return status;
}

static lspo_status_t make_session(trainer_t *trainer, lspo_plan_t *plan)
{
    const lspo_train_options_t *options = trainer->options;
    lspo_status_t status = create_session(trainer, plan);
    if (status != LSPO_OK)
        return status;
    trainer->plan = plan;
    lspo_session_set_batches(trainer->session, train_batch, (void *)options);
    lspo_session_set_learning_rate(trainer->session, rate_of_step, &trainer->schedule);
    return LSPO_OK;
}

static lspo_status_t continue_session(trainer_t *trainer, uint32_t end)
{
    lspo_plan_t *plan;
    lspo_status_t status = build_segment(trainer, end, &plan);
    if (status != LSPO_OK)
        return status;
    status = lspo_session_continue(trainer->session, plan);
    if (status != LSPO_OK) {
        lspo_plan_destroy(plan);
        return status;
    }
    lspo_plan_destroy(trainer->plan);
    trainer->plan = plan;
    return LSPO_OK;
}

/* The rest of the segment when a stop is requested: the steps that have begun.  A plan of fewer steps is a prefix of a
 * plan of more. */
static uint32_t cut(void *context, lspo_op_id_t reached)
{
    trainer_t *trainer = context;
    uint32_t step = trainer->state.step, steps = trainer->plan->workload.iterations;
    for (uint32_t count = 1; count < steps; count++) {
        lspo_plan_t *begun;
        if (build_steps(trainer, step + count, true, &begun) != LSPO_OK)
            break;
        uint32_t op_count = begun->op_count;
        lspo_plan_destroy(begun);
        if (op_count > reached) {
            trainer->cut_count = count;
            return op_count;
        }
    }
    return trainer->plan->op_count;
}

/* For the segment; ops of a pass that needs no fit return immediately. */
static void count_projects(trainer_t *trainer)
{
    trainer->projects = trainer->projects_done = 0;
    for (uint32_t i = 0; i < trainer->plan->op_count; i++)
        trainer->projects +=
            is_of_fit(trainer, &trainer->plan->ops[i]) && trainer->plan->ops[i].kind == LSPO_OP_PROJECT;
}

static lspo_status_t run_segment(trainer_t *trainer, uint32_t *count_out)
{
    uint32_t end = segment_end(trainer), count = end - trainer->state.step; /* fewer if it is cut */
    lspo_trace_t *trace = NULL;
    lspo_status_t status = continue_session(trainer, end);
    if (status != LSPO_OK)
        return status;
    for (uint32_t i = 0; i < count; i++) {
        trainer->rows[i] = lspo_metrics_row(0);
        trainer->row_fit_s[i] = 0;
    }
    count_projects(trainer);
    double fit_before_s = trainer->fit_s;
    const lspo_play_t play = {.device = trainer->device,
                              .context = trainer,
                              .run = run_op,
                              .finish = finish_op,
                              .enter_lane = enter_lane,
                              .cut = cut};
    trainer->cut_count = 0;
    uint64_t start_ns = lspo_now_ns();
    status = lspo_play(trainer->plan, &play, trainer->options->stop, &trace);
    double elapsed_s = (double)(lspo_now_ns() - start_ns) * 1e-9;
    double stepping_s = fmax(elapsed_s - (trainer->fit_s - fit_before_s), 0);
    lspo_trace_destroy(trace);
    if (status != LSPO_OK)
        return status;
    if (trainer->cut_count > 0)
        count = trainer->cut_count;
    trainer->tokens_per_s = tokens_a_step(trainer->options) * count / stepping_s;
    fill_rows(trainer, count, stepping_s);
    trainer->sitting_s += stepping_s;
    trainer->state.elapsed_s += elapsed_s;
    trainer->state.step += count;
    trainer->state.refits = trainer->refits_before + lspo_session_bias(trainer->session).fitted_total;
    *count_out = count;
    return LSPO_OK;
}

/* ---- between segments ---- */

static bool evaluates_now(const trainer_t *trainer)
{
    const lspo_train_options_t *options = trainer->options;
    if (lspo_dataset_held_out_rows(options->data) == 0)
        return false;
    return trainer->state.step == options->steps ||
           (options->eval_every > 0 && trainer->state.step % options->eval_every == 0);
}

/* ---- beginning and end ---- */

/* All steps are done, or there was no improvement for long. */
static bool is_finished(const trainer_t *trainer)
{
    const lspo_train_options_t *options = trainer->options;
    const lspo_train_state_t *state = &trainer->state;
    return !state->evaluation_due &&
           (state->step == options->steps || (options->patience > 0 && state->worse_count >= options->patience));
}

/* Before the first step.  If it is interrupted, nothing of it remains: a resumed training begins with it. */
static lspo_status_t evaluate_first(trainer_t *trainer)
{
    lspo_metrics_row_t row = lspo_metrics_row(0);
    if (lspo_dataset_held_out_rows(trainer->options->data) == 0)
        return LSPO_OK;
    lspo_status_t status = lspo_train_evaluate(trainer, &row);
    if (status == LSPO_ERR_INTERRUPTED)
        return LSPO_OK;
    if (status != LSPO_OK)
        return status;
    return trainer->metrics ? lspo_metrics_add(trainer->metrics, &row, 1) : LSPO_OK;
}

/* Repeat the interrupted evaluation.  It may be the training's last: then a checkpoint has to say so. */
static lspo_status_t evaluate_due(trainer_t *trainer, lspo_metrics_row_t *row)
{
    lspo_status_t status = lspo_train_evaluate(trainer, row);
    if (status != LSPO_OK && status != LSPO_ERR_INTERRUPTED)
        return status;
    trainer->state.evaluation_due = status == LSPO_ERR_INTERRUPTED;
    status = trainer->metrics ? lspo_metrics_replace(trainer->metrics, row) : LSPO_OK;
    trainer->state.finished = is_finished(trainer);
    if (status != LSPO_OK || !trainer->state.finished)
        return status;
    trainer->saved_step = UINT32_MAX;
    return lspo_train_save(trainer, true);
}

/* `row` is the row of the pending evaluation, which stays until that replaces it. */
static lspo_status_t begin_metrics(trainer_t *trainer, lspo_metrics_row_t *row)
{
    const lspo_train_state_t *state = &trainer->state;
    lspo_status_t status = state->evaluation_due ? lspo_metrics_find(trainer->metrics, state->step, row) : LSPO_OK;
    if (status != LSPO_OK)
        return status;
    status = lspo_metrics_begin(trainer->metrics, state->step > 0, state->step);
    const char *path = lspo_metrics_path(trainer->metrics);
    if (status != LSPO_OK || !path)
        return status;
    return lspo_origin_write(path, trainer->options->model.name, trainer->settings.list, trainer->settings.count);
}

static lspo_status_t begin(trainer_t *trainer, uint64_t start_ns)
{
    const lspo_train_options_t *options = trainer->options;
    lspo_status_t status = options->resume ? lspo_train_resume(trainer) : LSPO_OK;
    if (status != LSPO_OK)
        return status;
    trainer->first_step = trainer->state.step;
    trainer->refits_before = trainer->state.refits;
    lspo_metrics_row_t row = lspo_metrics_row(trainer->state.step);
    row.loss = trainer->state.loss_last;
    if (trainer->metrics)
        status = begin_metrics(trainer, &row);
    if (status != LSPO_OK)
        return status;
    trainer->load_s = (double)(lspo_now_ns() - start_ns) * 1e-9;
    if (trainer->state.step == 0)
        return evaluate_first(trainer);
    return trainer->state.evaluation_due ? evaluate_due(trainer, &row) : LSPO_OK;
}

static void report(const trainer_t *trainer)
{
    const lspo_train_options_t *options = trainer->options;
    if (!options->progress)
        return;
    const lspo_train_state_t *state = &trainer->state;
    uint32_t left = options->steps - state->step;
    lspo_train_progress_t progress = {.step = state->step,
                                      .steps = options->steps,
                                      .loss = state->loss_last,
                                      .held_out_loss = state->held_out_last,
                                      .scores = state->scores_last,
                                      .tokens_per_s = trainer->tokens_per_s,
                                      .remaining_s = trainer->sitting_s / (state->step - trainer->first_step) * left,
                                      .predicted_s = options->predicted_step_s * left};
    options->progress(options->progress_context, &progress);
}

/* The work after a segment: its evaluation, its metrics, its checkpoint. */
static lspo_status_t finish_segment(trainer_t *trainer, uint32_t count)
{
    const lspo_train_options_t *options = trainer->options;
    lspo_train_state_t *state = &trainer->state;
    lspo_status_t status = evaluates_now(trainer) ? lspo_train_evaluate(trainer, &trainer->rows[count - 1]) : LSPO_OK;
    state->evaluation_due = status == LSPO_ERR_INTERRUPTED;
    if (state->evaluation_due)
        status = LSPO_OK;
    if (status != LSPO_OK)
        return status;
    if (trainer->metrics)
        status = lspo_metrics_add(trainer->metrics, trainer->rows, count);
    if (status != LSPO_OK)
        return status;
    state->finished = is_finished(trainer);
    report(trainer);
    status = trainer->saver ? lspo_saver_poll(trainer->saver) : LSPO_OK;
    if (status != LSPO_OK)
        return status;
    bool due = options->checkpoint_every > 0 && state->step % options->checkpoint_every == 0;
    bool last = state->finished || stop_asked(trainer);
    return due || last ? lspo_train_save(trainer, last) : LSPO_OK;
}

/* Runs until all steps are done or a stop is requested, after which a checkpoint is written. */
static lspo_status_t run_until_stop(trainer_t *trainer)
{
    while (!trainer->state.finished && !stop_asked(trainer)) {
        uint32_t count = 0;
        lspo_status_t status = run_segment(trainer, &count);
        if (status != LSPO_OK)
            return status;
        status = finish_segment(trainer, count);
        if (status != LSPO_OK)
            return status;
    }
    return trainer->state.finished ? LSPO_OK : lspo_train_save(trainer, true);
}

static lspo_status_t run_segments(trainer_t *trainer)
{
    lspo_status_t status = run_until_stop(trainer);
    lspo_status_t written = trainer->saver ? lspo_saver_wait(trainer->saver) : LSPO_OK;
    if (status != LSPO_OK || written != LSPO_OK || trainer->state.finished)
        return status != LSPO_OK ? status : written;
    return lspo_error(LSPO_ERR_INTERRUPTED, "interrupted after step %" PRIu32 " of %" PRIu32 "%s", trainer->state.step,
                      trainer->options->steps,
                      trainer->options->output ? "; continue with --resume" : "; nothing is kept without --output");
}

/* Locks and other checks that can fail, before anything is loaded. */
static lspo_status_t open_files(trainer_t *trainer)
{
    const lspo_train_options_t *options = trainer->options;
    lspo_status_t status = LSPO_OK;
    if (options->output)
        status = lspo_checkpoint_prepare(options->output, options->resume, &trainer->lock);
    if (status != LSPO_OK)
        return status;
    if (options->output && !(trainer->saver = lspo_saver_create(options->output, options->keep)))
        return lspo_no_memory("checkpoints");
    if (options->metrics_path)
        status = lspo_metrics_open(options->metrics_path, &trainer->metrics);
    return status;
}

static lspo_status_t open_device(trainer_t *trainer)
{
    const lspo_train_options_t *options = trainer->options;
    lspo_status_t status = lspo_device_open(options->device, &options->caps, &trainer->device);
    if (status != LSPO_OK)
        return status;
    lspo_train_set_all(trainer); /* they name the kernels of OpenBLAS, which the device has loaded or refused */
    lspo_device_set_hurry(trainer->device, options->stop);
    return lspo_play_place(trainer->device, options->cpu_threads, &trainer->topology, &trainer->workers);
}

static lspo_status_t open_session(trainer_t *trainer)
{
    lspo_plan_t *plan = NULL;
    lspo_status_t status = build_segment(trainer, segment_end(trainer), &plan);
    if (status != LSPO_OK)
        return status;
    status = make_session(trainer, plan);
    if (status != LSPO_OK) {
        lspo_plan_destroy(plan);
        return status;
    }
    return trainer->workers ? lspo_session_set_workers(trainer->session, trainer->workers) : LSPO_OK;
}

static lspo_status_t open_trainer(trainer_t *trainer)
{
    const lspo_train_options_t *options = trainer->options;
    uint32_t most = least(options->workload.iterations, options->steps);
    trainer->rows = calloc(most, sizeof *trainer->rows);
    trainer->row_fit_s = calloc(most, sizeof *trainer->row_fit_s);
    if (!trainer->rows || !trainer->row_fit_s)
        return lspo_no_memory("the metrics of a segment");
    lspo_status_t status = open_files(trainer);
    if (status != LSPO_OK)
        return status;
    if (lspo_train_tracks_best(options))
        status = lspo_train_alloc_stages(options, &trainer->best);
    if (status != LSPO_OK)
        return status;
    status = open_device(trainer);
    if (status != LSPO_OK)
        return status;
    return open_session(trainer);
}

static void close_trainer(trainer_t *trainer)
{
    lspo_saver_destroy(trainer->saver);
    lspo_metrics_close(trainer->metrics);
    lspo_session_destroy(trainer->session);
    lspo_plan_destroy(trainer->plan);
    lspo_workers_destroy(trainer->workers);
    lspo_device_close(trainer->device);
    free(trainer->row_fit_s);
    free(trainer->rows);
    lspo_train_free_stages(trainer->options, trainer->best);
    if (trainer->lock >= 0)
        close(trainer->lock);
}

static void fill_result(const trainer_t *trainer, lspo_train_result_t *result)
{
    uint32_t steps_run = trainer->state.step - trainer->first_step;
    double step_s = steps_run > 0 ? trainer->sitting_s / steps_run : (double)NAN;
    *result = (lspo_train_result_t){.state = trainer->state,
                                    .steps_run = steps_run,
                                    .resumed_from = trainer->first_step,
                                    .load_s = trainer->load_s,
                                    .step_s = step_s,
                                    .fit_s = trainer->fit_s,
                                    .checkpoint_s = trainer->saver ? lspo_saver_held_s(trainer->saver) : 0,
                                    .checkpoint_copy_bytes = trainer->saver ? lspo_saver_copy_bytes(trainer->saver) : 0,
                                    .tokens_per_s = tokens_a_step(trainer->options) / step_s,
                                    .peak_gpu_bytes = lspo_device_peak_bytes(trainer->device)};
}

lspo_status_t lspo_train(const lspo_train_options_t *options, lspo_train_result_t *result_out)
{
    uint64_t start_ns = lspo_now_ns();
    lspo_status_t status = lspo_train_check_options(options);
    if (status != LSPO_OK)
        return status;
    trainer_t trainer = {.options = options,
                         .schedule = {.peak = options->workload.learning_rate,
                                      .last = options->min_learning_rate,
                                      .warmup_steps = options->warmup_steps,
                                      .steps = options->steps},
                         .state = {.steps = options->steps,
                                   .loss_first = NAN,
                                   .loss_last = NAN,
                                   .held_out_before = NAN,
                                   .held_out_last = NAN,
                                   .best_loss = NAN,
                                   .scores_before = lspo_scores_none(),
                                   .scores_last = lspo_scores_none(),
                                   .scores_best = lspo_scores_none()},
                         .saved_step = UINT32_MAX,
                         .lock = -1};
    status = open_trainer(&trainer);
    if (status != LSPO_OK)
        goto cleanup;
    status = begin(&trainer, start_ns);
    if (status != LSPO_OK)
        goto cleanup;
    status = run_segments(&trainer);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_train_export(&trainer);
    if (status != LSPO_OK)
        goto cleanup;
    fill_result(&trainer, result_out);
cleanup:
    close_trainer(&trainer);
    return status;
}
