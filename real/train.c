/* train.c - see train.h. */
#include "real/train.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "real/lane.h"
#include "real/metrics.h"
#include "real/play.h"
#include "real/session.h"
#include "real/topology.h"
#include "real/workers.h"

enum { SETTINGS_MAX = 40 };

typedef struct {
    const lspo_train_options_t *options;
    lspo_schedule_t schedule;
    lspo_topology_t topology;
    lspo_workers_t *workers;
    lspo_device_t *device;
    lspo_plan_t *plan; /* of the segment that ran last */
    lspo_session_t *session;
    lspo_metrics_t *metrics;
    lspo_metrics_row_t *rows; /* of the segment under way, one a step */
    lspo_setting_t settings[SETTINGS_MAX];
    size_t setting_count;
    lspo_train_state_t state;
    float **best;                    /* weights of the best evaluation, a stage each; NULL: not kept */
    int lock;                        /* of the folder of checkpoints */
    uint32_t first_step, saved_step; /* of this sitting; that the newest checkpoint holds */
    uint64_t refits_before;          /* this sitting */
    double sitting_s;                /* of training */
    double tokens_per_s;             /* of the latest segment */
} trainer_t;

double lspo_schedule_rate(const lspo_schedule_t *schedule, uint32_t step)
{
    if (step < schedule->warmup_steps)
        return schedule->peak * (step + 1) / schedule->warmup_steps;
    double done = (double)(step - schedule->warmup_steps) / (schedule->steps - schedule->warmup_steps);
    return schedule->last + (schedule->peak - schedule->last) * (1 + cos(M_PI * done)) / 2;
}

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

static uint32_t eval_batches(const lspo_train_options_t *options)
{
    uint64_t all = lspo_dataset_held_out_batches(options->data, options->workload.batch);
    return all < options->eval_batches ? (uint32_t)all : options->eval_batches;
}

static lspo_status_t held_out_batch(void *context, uint32_t step, uint32_t micro, lspo_batch_t *batch)
{
    const lspo_train_options_t *options = context;
    (void)micro;
    lspo_dataset_held_out(options->data, step, eval_batches(options), options->workload.batch, batch);
    return LSPO_OK;
}

/* ---- settings: all that decides the numbers ---- */

__attribute__((format(printf, 3, 4))) static void set(trainer_t *trainer, const char *key, const char *format, ...)
{
    lspo_setting_t *setting = &trainer->settings[trainer->setting_count++];
    va_list values;
    setting->key = key;
    va_start(values, format);
    vsnprintf(setting->value, sizeof setting->value, format, values);
    va_end(values);
}

static void set_model(trainer_t *trainer, const lspo_model_t *model)
{
    set(trainer, "model",
        "%s %" PRIu32 "x%" PRIu32 " heads %" PRIu32 "/%" PRIu32 " mlp %" PRIu32 " vocabulary %" PRIu32,
        lspo_family_name(model->family), model->block_count, model->width, model->head_count, model->kv_head_count,
        model->mlp_width, model->vocabulary);
    set(trainer, "weights", "%s", trainer->options->initial ? trainer->options->initial : "seed");
}

static void set_workload(trainer_t *trainer, const lspo_workload_t *workload)
{
    char scale[32];
    set(trainer, "batch", "%" PRIu32, workload->batch);
    set(trainer, "sequence", "%" PRIu32, workload->sequence);
    set(trainer, "accumulation", "%" PRIu32, workload->accumulation);
    set(trainer, "precision", "%s", lspo_precision_name(workload->precision));
    set(trainer, "transfer", "%s", lspo_precision_name(workload->transfer));
    set(trainer, "clip", "%.17g", workload->clip_norm);
    set(trainer, "train-rest", "%d", (int)workload->train_rest);
    set(trainer, "subspace", "%" PRIu32, workload->subspace);
    set(trainer, "nnz", "%" PRIu32, workload->nnz);
    set(trainer, "check-every", "%" PRIu32, workload->check_every);
    set(trainer, "bias-threshold", "%.17g", workload->bias_threshold);
    set(trainer, "fit-steps", "%" PRIu32, workload->fit_steps);
    set(trainer, "fit-beta", "%.17g", workload->fit_beta);
    set(trainer, "fit-batches", "%" PRIu32, workload->fit_batches);
    set(trainer, "projector-values", "%d", (int)workload->projector_values);
    set(trainer, "projectors", "%d", (int)workload->projectors);
    set(trainer, "rank", "%" PRIu32, workload->rank);
    set(trainer, "project-every", "%" PRIu32, workload->project_every);
    set(trainer, "switch-every", "%" PRIu32, workload->switch_every);
    set(trainer, "seed", "%" PRIu64, workload->seed);
    set(trainer, "learning-rate", "%.17g", workload->learning_rate);
    set(trainer, "weight-decay", "%.17g", workload->weight_decay);
    lspo_loss_scale_format(workload->loss_scale, scale, sizeof scale);
    set(trainer, "loss-scale", "%s", scale);
}

static void set_all(trainer_t *trainer)
{
    const lspo_train_options_t *options = trainer->options;
    set(trainer, "policy", "%s", options->policy->name);
    set_model(trainer, &options->model);
    set_workload(trainer, &options->workload);
    set(trainer, "steps", "%" PRIu32, options->steps);
    set(trainer, "warmup-steps", "%" PRIu32, options->warmup_steps);
    set(trainer, "min-lr", "%.17g", options->min_learning_rate);
    set(trainer, "eval-every", "%" PRIu32, options->eval_every);
    set(trainer, "eval-batches", "%" PRIu32, options->eval_batches);
    set(trainer, "patience", "%" PRIu32, options->patience);
    set(trainer, "export-weights", "%s", options->keep_best ? "best" : "last");
    set(trainer, "data", "%016" PRIx64 ", %" PRIu64 " rows and %" PRIu64 " held out", lspo_dataset_hash(options->data),
        lspo_dataset_train_rows(options->data), lspo_dataset_held_out_rows(options->data));
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

static lspo_status_t build_segment(const trainer_t *trainer, uint32_t end, lspo_plan_t **plan_out)
{
    const lspo_train_options_t *options = trainer->options;
    lspo_workload_t workload = options->workload;
    workload.first_step = trainer->state.step;
    workload.iterations = end - trainer->state.step;
    workload.open_end = end < options->steps;
    return lspo_plan_build(&options->model, &workload, options->policy, plan_out);
}

static void enter_lane(void *context, lspo_lane_t lane)
{
    const trainer_t *trainer = context;
    lspo_topology_enter(&trainer->topology, lane);
    lspo_lane_flush_denormals();
}

/* NORM and PROJECT run on the GPU lane and wait for the device: what they found is this step's until the next one. */
static lspo_status_t run_op(void *context, const lspo_op_t *op)
{
    trainer_t *trainer = context;
    lspo_status_t status = lspo_session_run_op(trainer->session, op);
    if (status != LSPO_OK || op->iteration >= trainer->plan->workload.iterations)
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

static void fill_rows(trainer_t *trainer, uint32_t count, double elapsed_s)
{
    const lspo_train_options_t *options = trainer->options;
    const double *losses = lspo_session_losses(trainer->session);
    for (uint32_t i = 0; i < count; i++) {
        lspo_metrics_row_t *row = &trainer->rows[i];
        row->step = trainer->state.step + i + 1;
        row->epoch = rows_a_step(options) * row->step / (double)lspo_dataset_train_rows(options->data);
        row->loss = losses[i];
        row->learning_rate = lspo_schedule_rate(&trainer->schedule, row->step - 1);
        row->time_s = trainer->state.elapsed_s + elapsed_s * (i + 1) / count;
        row->tokens_per_s = trainer->tokens_per_s;
    }
    if (trainer->state.step == 0)
        trainer->state.loss_first = losses[0];
    trainer->state.loss_last = losses[count - 1];
}

static lspo_status_t make_session(trainer_t *trainer, lspo_plan_t *plan)
{
    const lspo_train_options_t *options = trainer->options;
    lspo_status_t status = lspo_session_create(plan, trainer->device, NULL, &trainer->session);
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

static lspo_status_t run_segment(trainer_t *trainer, uint32_t *count_out)
{
    uint32_t end = segment_end(trainer), count = end - trainer->state.step;
    lspo_trace_t *trace = NULL;
    lspo_status_t status = continue_session(trainer, end);
    if (status != LSPO_OK)
        return status;
    for (uint32_t i = 0; i < count; i++)
        trainer->rows[i] = lspo_metrics_row(0);
    const lspo_play_t play = {
        .device = trainer->device, .context = trainer, .run = run_op, .finish = finish_op, .enter_lane = enter_lane};
    uint64_t start_ns = lspo_now_ns();
    status = lspo_play(trainer->plan, &play, NULL, &trace);
    double elapsed_s = (double)(lspo_now_ns() - start_ns) * 1e-9;
    lspo_trace_destroy(trace);
    if (status != LSPO_OK)
        return status;
    trainer->tokens_per_s = tokens_a_step(trainer->options) * count / elapsed_s;
    fill_rows(trainer, count, elapsed_s);
    trainer->sitting_s += elapsed_s;
    trainer->state.elapsed_s += elapsed_s;
    trainer->state.step = end;
    trainer->state.refits = trainer->refits_before + lspo_session_bias(trainer->session).fitted_total;
    *count_out = count;
    return LSPO_OK;
}

/* ---- weights that are kept ---- */

static void free_stages(const lspo_train_options_t *options, float **stages)
{
    for (uint32_t s = 0; stages && s < lspo_model_stage_count(&options->model); s++)
        free(stages[s]);
    free(stages);
}

static lspo_status_t alloc_stages(const lspo_train_options_t *options, float ***stages_out)
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
        free_stages(options, stages);
        return lspo_error(LSPO_ERR_MEMORY, "no memory for a copy of the weights");
    }
    *stages_out = stages;
    return LSPO_OK;
}

static lspo_status_t copy_weights(const trainer_t *trainer, float **stages)
{
    lspo_status_t status = LSPO_OK;
    for (uint32_t s = 0; status == LSPO_OK && s < lspo_model_stage_count(&trainer->options->model); s++)
        status = lspo_session_merged_weights(trainer->session, s, stages[s]);
    return status;
}

/* Whether the best weights are needed: for an export, or for a checkpoint that may be resumed with one. */
static bool tracks_best(const lspo_train_options_t *options)
{
    return options->keep_best && (options->save || options->output) && lspo_dataset_held_out_rows(options->data) > 0;
}

/* ---- between segments ---- */

static lspo_status_t note_best(trainer_t *trainer, const lspo_evaluation_t *evaluation)
{
    lspo_train_state_t *state = &trainer->state;
    state->best_loss = evaluation->loss;
    state->best_step = state->step;
    state->accuracy_best = evaluation->accuracy;
    state->worse_count = 0;
    return trainer->best ? copy_weights(trainer, trainer->best) : LSPO_OK;
}

static lspo_status_t evaluate(trainer_t *trainer, lspo_metrics_row_t *row)
{
    const lspo_train_options_t *options = trainer->options;
    lspo_train_state_t *state = &trainer->state;
    lspo_evaluation_t evaluation;
    lspo_status_t status =
        lspo_session_evaluate(trainer->session, held_out_batch, (void *)options, eval_batches(options), &evaluation);
    if (status != LSPO_OK)
        return status;
    double loss = evaluation.loss;
    if (!isfinite(loss))
        return lspo_error(LSPO_ERR_NUMERIC, "step %" PRIu32 ": the held-out loss is %g", state->step, loss);
    row->held_out_loss = state->held_out_last = loss;
    row->accuracy = state->accuracy_last = evaluation.accuracy;
    if (lspo_dataset_kind(options->data) != LSPO_DATASET_LABELS)
        row->perplexity = exp(loss);
    if (state->step == 0) {
        state->held_out_before = loss;
        state->accuracy_before = evaluation.accuracy;
    }
    state->worse_count++;
    if (isnan(state->best_loss) || loss < state->best_loss)
        status = note_best(trainer, &evaluation);
    return status;
}

static bool evaluates_now(const trainer_t *trainer)
{
    const lspo_train_options_t *options = trainer->options;
    if (lspo_dataset_held_out_rows(options->data) == 0)
        return false;
    return trainer->state.step == options->steps ||
           (options->eval_every > 0 && trainer->state.step % options->eval_every == 0);
}

/* What a checkpoint holds: the session's arrays and the best weights. */
static lspo_status_t state_arrays(const trainer_t *trainer, lspo_state_array_t **arrays_out, uint32_t *count_out)
{
    const lspo_model_t *model = &trainer->options->model;
    uint32_t count = lspo_session_state_count(trainer->session);
    uint32_t kept = trainer->best ? lspo_model_stage_count(model) : 0;
    lspo_state_array_t *arrays = calloc(count + kept, sizeof *arrays);
    if (!arrays)
        return lspo_error(LSPO_ERR_MEMORY, "no memory for the list of a checkpoint's arrays");
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

static lspo_status_t save_checkpoint(trainer_t *trainer)
{
    const lspo_train_options_t *options = trainer->options;
    lspo_state_array_t *arrays;
    uint32_t count;
    if (!options->output || trainer->saved_step == trainer->state.step)
        return LSPO_OK;
    lspo_status_t status = state_arrays(trainer, &arrays, &count);
    if (status != LSPO_OK)
        return status;
    status = lspo_checkpoint_write(options->output, &trainer->state, trainer->settings, trainer->setting_count, arrays,
                                   count, options->keep);
    if (status == LSPO_OK)
        trainer->saved_step = trainer->state.step;
    free(arrays);
    return status;
}

static lspo_status_t read_checkpoint(trainer_t *trainer, const char *path)
{
    lspo_state_array_t *arrays;
    uint32_t count;
    lspo_status_t status = state_arrays(trainer, &arrays, &count);
    if (status != LSPO_OK)
        return status;
    status = lspo_checkpoint_read(path, trainer->settings, trainer->setting_count, arrays, count, &trainer->state);
    free(arrays);
    if (status == LSPO_OK && trainer->state.step > trainer->options->steps)
        status = lspo_error(LSPO_ERR_INPUT, "%s: step %" PRIu32 " is beyond the %" PRIu32 " of this training", path,
                            trainer->state.step, trainer->options->steps);
    if (status == LSPO_OK)
        status = lspo_session_state_written(trainer->session);
    if (status == LSPO_OK)
        trainer->saved_step = trainer->state.step;
    return status;
}

/* ---- beginning and end ---- */

static lspo_status_t load_weights(trainer_t *trainer)
{
    const lspo_train_options_t *options = trainer->options;
    lspo_status_t status = LSPO_OK;
    for (uint32_t s = 0; options->load && status == LSPO_OK && s < lspo_model_stage_count(&options->model); s++) {
        lspo_stage_t stage;
        lspo_model_stage(&options->model, s, &stage);
        float *weights = malloc((stage.element_count + 1) * sizeof *weights);
        if (!weights)
            return lspo_error(LSPO_ERR_MEMORY, "no memory for the weights of stage %" PRIu32, s);
        status = lspo_session_weights(trainer->session, s, weights);
        if (status == LSPO_OK)
            status = options->load(options->model_context, s, weights);
        if (status == LSPO_OK)
            status = lspo_session_set_weights(trainer->session, s, weights);
        free(weights);
    }
    return status;
}

static lspo_status_t save_weights(trainer_t *trainer)
{
    const lspo_train_options_t *options = trainer->options;
    float **stages = NULL;
    if (!options->save)
        return LSPO_OK;
    if (trainer->best)
        return options->save(options->model_context, (const float *const *)trainer->best);
    lspo_status_t status = alloc_stages(options, &stages);
    if (status != LSPO_OK)
        return status;
    status = copy_weights(trainer, stages);
    if (status == LSPO_OK)
        status = options->save(options->model_context, (const float *const *)stages);
    free_stages(options, stages);
    return status;
}

static lspo_status_t begin(trainer_t *trainer)
{
    const lspo_train_options_t *options = trainer->options;
    char *path = NULL;
    lspo_status_t status = load_weights(trainer);
    if (status == LSPO_OK && options->resume)
        status = lspo_checkpoint_latest(options->output, &path);
    if (status == LSPO_OK && path) {
        status = read_checkpoint(trainer, path);
        if (status == LSPO_OK)
            status = lspo_checkpoint_prune(options->output, options->keep);
    } else if (status == LSPO_OK && options->resume) {
        lspo_warn("%s holds no checkpoint: beginning at step 0", options->output);
    }
    free(path);
    trainer->first_step = trainer->state.step;
    trainer->refits_before = trainer->state.refits;
    if (status == LSPO_OK && options->metrics_path)
        status =
            lspo_metrics_open(options->metrics_path, trainer->state.step > 0, trainer->state.step, &trainer->metrics);
    if (status != LSPO_OK || trainer->state.step > 0 || lspo_dataset_held_out_rows(options->data) == 0)
        return status;
    lspo_metrics_row_t row = lspo_metrics_row(0);
    status = evaluate(trainer, &row);
    return status == LSPO_OK && trainer->metrics ? lspo_metrics_add(trainer->metrics, &row, 1) : status;
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
                                      .accuracy = state->accuracy_last,
                                      .tokens_per_s = trainer->tokens_per_s,
                                      .remaining_s = trainer->sitting_s / (state->step - trainer->first_step) * left,
                                      .predicted_s = options->predicted_step_s * left};
    options->progress(options->progress_context, &progress);
}

static bool stop_asked(const trainer_t *trainer)
{
    return trainer->options->stop && atomic_load(trainer->options->stop) != 0;
}

/* What follows a segment: its evaluation, its metrics, its checkpoint. */
static lspo_status_t finish_segment(trainer_t *trainer, uint32_t count)
{
    const lspo_train_options_t *options = trainer->options;
    lspo_train_state_t *state = &trainer->state;
    lspo_status_t status = evaluates_now(trainer) ? evaluate(trainer, &trainer->rows[count - 1]) : LSPO_OK;
    if (status == LSPO_OK && trainer->metrics)
        status = lspo_metrics_add(trainer->metrics, trainer->rows, count);
    if (status != LSPO_OK)
        return status;
    state->finished =
        state->step == options->steps || (options->patience > 0 && state->worse_count >= options->patience);
    report(trainer);
    bool due = options->checkpoint_every > 0 && state->step % options->checkpoint_every == 0;
    return due || state->finished || stop_asked(trainer) ? save_checkpoint(trainer) : LSPO_OK;
}

static lspo_status_t run_segments(trainer_t *trainer)
{
    lspo_status_t status = LSPO_OK;
    while (status == LSPO_OK && !trainer->state.finished && !stop_asked(trainer)) {
        uint32_t count = 0;
        status = run_segment(trainer, &count);
        if (status == LSPO_OK)
            status = finish_segment(trainer, count);
    }
    if (status != LSPO_OK || trainer->state.finished)
        return status;
    status = save_checkpoint(trainer);
    if (status != LSPO_OK)
        return status;
    return lspo_error(LSPO_ERR_INTERRUPTED, "interrupted after step %" PRIu32 " of %" PRIu32 "%s", trainer->state.step,
                      trainer->options->steps,
                      trainer->options->output ? "; continue with --resume" : "; nothing is kept without --output");
}

static lspo_status_t check_options(const lspo_train_options_t *options)
{
    if (options->steps == 0)
        return lspo_error(LSPO_ERR_INPUT, "a training needs at least one step");
    if (options->warmup_steps >= options->steps)
        return lspo_error(LSPO_ERR_INPUT,
                          "--warmup-steps %" PRIu32 " must be below the %" PRIu32 " steps of the training",
                          options->warmup_steps, options->steps);
    if (!(options->min_learning_rate >= 0 && options->min_learning_rate <= options->workload.learning_rate))
        return lspo_error(LSPO_ERR_INPUT, "--min-lr %g must be from 0 to --learning-rate %g",
                          options->min_learning_rate, options->workload.learning_rate);
    if (options->resume && !options->output)
        return lspo_error(LSPO_ERR_INPUT, "--resume needs --output, the folder of the checkpoints");
    if (options->patience > 0 && (options->eval_every == 0 || lspo_dataset_held_out_rows(options->data) == 0))
        return lspo_error(LSPO_ERR_INPUT, "--patience counts evaluations: it needs --eval-every and held-out data");
    return LSPO_OK;
}

static lspo_status_t open_trainer(trainer_t *trainer)
{
    const lspo_train_options_t *options = trainer->options;
    lspo_plan_t *plan = NULL;
    set_all(trainer);
    trainer->rows = calloc(least(options->workload.iterations, options->steps), sizeof *trainer->rows);
    if (!trainer->rows)
        return lspo_error(LSPO_ERR_MEMORY, "no memory for the metrics of a segment");
    lspo_status_t status = tracks_best(options) ? alloc_stages(options, &trainer->best) : LSPO_OK;
    if (status == LSPO_OK && options->output)
        status = lspo_checkpoint_prepare(options->output, options->resume, &trainer->lock);
    if (status == LSPO_OK)
        status = lspo_device_open(options->device, &options->caps, &trainer->device);
    if (status == LSPO_OK)
        lspo_device_set_hurry(trainer->device, options->stop);
    if (status == LSPO_OK)
        status = lspo_play_place(trainer->device, options->cpu_threads, &trainer->topology, &trainer->workers);
    if (status == LSPO_OK)
        status = build_segment(trainer, segment_end(trainer), &plan);
    if (status == LSPO_OK)
        status = make_session(trainer, plan);
    if (status != LSPO_OK)
        lspo_plan_destroy(plan);
    else if (trainer->workers)
        status = lspo_session_set_workers(trainer->session, trainer->workers);
    return status;
}

static void close_trainer(trainer_t *trainer)
{
    lspo_metrics_close(trainer->metrics);
    lspo_session_destroy(trainer->session);
    lspo_plan_destroy(trainer->plan);
    lspo_workers_destroy(trainer->workers);
    lspo_device_close(trainer->device);
    free(trainer->rows);
    free_stages(trainer->options, trainer->best);
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
                                    .step_s = step_s,
                                    .tokens_per_s = tokens_a_step(trainer->options) / step_s,
                                    .peak_gpu_bytes = lspo_device_peak_bytes(trainer->device)};
}

lspo_status_t lspo_train(const lspo_train_options_t *options, lspo_train_result_t *result_out)
{
    lspo_status_t status = check_options(options);
    if (status != LSPO_OK)
        return status;
    trainer_t trainer = {.options = options,
                         .schedule = {.peak = options->workload.learning_rate,
                                      .last = options->min_learning_rate,
                                      .warmup_steps = options->warmup_steps,
                                      .steps = options->steps},
                         .state = {.loss_first = NAN,
                                   .loss_last = NAN,
                                   .held_out_before = NAN,
                                   .held_out_last = NAN,
                                   .best_loss = NAN,
                                   .accuracy_before = NAN,
                                   .accuracy_last = NAN,
                                   .accuracy_best = NAN},
                         .saved_step = UINT32_MAX,
                         .lock = -1};
    status = open_trainer(&trainer);
    if (status == LSPO_OK)
        status = begin(&trainer);
    if (status == LSPO_OK)
        status = run_segments(&trainer);
    if (status == LSPO_OK)
        status = save_weights(&trainer);
    if (status == LSPO_OK)
        fill_result(&trainer, result_out);
    close_trainer(&trainer);
    return status;
}
