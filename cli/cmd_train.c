/* cmd_train.c - `lspo train`: fine-tune a model on data, with checkpoints, and export it. */
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ask/args.h"
#include "ask/request.h"
#include "ask/version.h"
#include "base/interrupt.h"
#include "base/table.h"
#include "cli/caps.h"
#include "cli/command.h"
#include "cli/host_room.h"
#include "cli/machine_named.h"
#include "cli/request_line.h"
#include "cli/train_answer.h"
#include "cli/train_data.h"
#include "cli/train_lane.h"
#include "cli/train_paths.h"
#include "cli/train_sample.h"
#include "cli/train_view.h"
#include "real/data/dataset.h"
#include "real/device/device.h"
#include "real/formats/hf_model.h"
#include "real/tokenizer/tokenizer.h"
#include "real/train/train.h"
#include "sim/sim.h"

typedef struct {
    lspo_request_t base; /* first: its options are parsed into it, see ask/request.h */
    const char *data_path, *eval_path, *output, *export_path, *metrics_path;
    double held_out, epochs, min_learning_rate;
    uint32_t steps, warmup_steps, eval_every, patience, checkpoint_every, keep;
    uint32_t eval_batches; /* 0: not given, see count_eval_batches() */
    bool resume;
    const char *sample_text;
    uint32_t sample_tokens;
    const char *prompt_field, *answer_field, *chat_template;
    int loss;           /* index of loss_names */
    int export_weights; /* index of export_names; -1: as --eval-every says */
} train_request_t;

enum { EVAL_BATCHES = 16 };

enum { EXPORT_BEST, EXPORT_LAST };
static const char *const export_names[] = {"best", "last", NULL};

enum { LOSS_ANSWERS, LOSS_ALL };
static const char *const loss_names[] = {"answers", "all", NULL};

static lspo_status_t store_number(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    (void)arg;
    return lspo_parse_quantity(what, text, LSPO_UNIT_NONE, slot);
}

#define BASE(field) .offset_bytes = offsetof(lspo_request_t, field)
#define TRAIN(field) .offset_bytes = offsetof(train_request_t, field)
#define COUNT(field, least) .store = lspo_arg_u32, .low = least, .high = INT32_MAX, TRAIN(field)

static const lspo_arg_t train_args[] = {
    {.name = "model",
     .value = "NAME|FILE|FOLDER",
     .list = "models",
     .help = "model to train (gpt-tiny): a preset, a file of shapes, or a Hugging Face folder; help: list models",
     .store = lspo_arg_text,
     BASE(model_name)},
    {.name = "policy",
     .value = "NAME",
     .list = "policies",
     .help = "how the training is scheduled (lsp); help: list policies",
     .store = lspo_arg_text,
     BASE(policy_name)},
    {.name = "data",
     .value = "FILE",
     .help = "plain text, JSONL (also of chats), Alpaca JSON, or a .tsv file of GLUE (texts of this machine)",
     .store = lspo_arg_text,
     TRAIN(data_path)},
    {.name = "classes",
     .value = "N",
     .help = "make a RoBERTa a classifier with a new head of N classes; 1: it predicts a number (as its config.json)",
     .store = lspo_arg_u32,
     .low = 1,
     .high = 1 << 16,
     BASE(class_count)},
    {.name = "prompt-field",
     .value = "NAME",
     .help = "field of the records that has the prompt (prompt)",
     .store = lspo_arg_text,
     TRAIN(prompt_field)},
    {.name = "answer-field",
     .value = "NAME",
     .help = "field of the records that has the answer (completion)",
     .store = lspo_arg_text,
     TRAIN(answer_field)},
    {.name = "chat-template",
     .value = "NAME",
     .help = "how chats (as the model's folder says, else plain) and, if given, prompts and instructions are "
             "written: " LSPO_CHAT_OF_FOLDER " (as its folder says), " LSPO_CHAT_TEMPLATES,
     .store = lspo_arg_text,
     TRAIN(chat_template)},
    {.name = "loss",
     .value = "answers|all",
     .help = "train on answers, or on prompts, too (answers)",
     .store = lspo_arg_choice,
     .names = loss_names,
     TRAIN(loss)},
    {.name = "held-out",
     .value = "FRACTION",
     .help = "share of the data that is kept for evaluation and not trained on (0.05)",
     .store = store_number,
     TRAIN(held_out)},
    {.name = "eval-data",
     .value = "FILE",
     .help = "evaluate on this file, and train on all of --data",
     .store = lspo_arg_text,
     TRAIN(eval_path)},
    {.name = "steps", .value = "N", .help = "optimizer steps, in place of --epochs", COUNT(steps, 1)},
    {.name = "epochs",
     .value = "N",
     .help = "passes over the data, rounded up to whole steps (1)",
     .store = lspo_arg_quantity,
     .unit = LSPO_UNIT_NONE,
     TRAIN(epochs)},
    {.name = "warmup-steps",
     .value = "N",
     .help = "first steps, in which the learning rate rises (0)",
     COUNT(warmup_steps, 0)},
    {.name = "min-lr",
     .value = "RATE",
     .help = "learning rate at the end of the cosine decay (0)",
     .store = store_number,
     TRAIN(min_learning_rate)},
    {.name = "eval-every",
     .value = "N",
     .help = "steps between evaluations (0: only before and after the training)",
     COUNT(eval_every, 0)},
    {.name = "eval-batches",
     .value = "N",
     .help = "most batches per evaluation (16; for classifiers all)",
     COUNT(eval_batches, 1)},
    {.name = "patience",
     .value = "N",
     .help = "stop after N evaluations without a new lowest loss (0: never)",
     COUNT(patience, 0)},
    {.name = "output",
     .value = "FOLDER",
     .help = "write checkpoints to this folder",
     .store = lspo_arg_output,
     TRAIN(output)},
    {.name = "checkpoint-every", .value = "N", .help = "steps between checkpoints (100)", COUNT(checkpoint_every, 1)},
    {.name = "keep", .value = "N", .help = "newest checkpoints to keep (2)", COUNT(keep, 1)},
    {.name = "resume",
     .help = "continue from the newest checkpoint in --output, with the same flags",
     .store = lspo_arg_switch,
     TRAIN(resume)},
    {.name = "export",
     .value = "FOLDER",
     .help = "write the trained model to this folder, in Hugging Face's format",
     .store = lspo_arg_output,
     TRAIN(export_path)},
    {.name = "export-weights",
     .value = "best|last",
     .help = "export the weights of the best evaluation or of the last step (best with --eval-every, else last)",
     .store = lspo_arg_choice,
     .names = export_names,
     TRAIN(export_weights)},
    {.name = "sample",
     .value = "TEXT",
     .help = "continue this text greedily with the trained weights and show the result",
     .store = lspo_arg_text,
     TRAIN(sample_text)},
    {.name = "sample-tokens", .value = "N", .help = "most tokens that --sample adds (32)", COUNT(sample_tokens, 1)},
    {.name = "metrics",
     .value = "FILE",
     .help = "write each step's loss, learning rate and other values as CSV",
     .store = lspo_arg_output,
     TRAIN(metrics_path)},
    {.name = "machine",
     .value = "NAME|FILE|auto",
     .list = "machines",
     .help = "profile of this device, to predict the remaining time",
     .store = lspo_arg_text,
     BASE(machine_name)},
    LSPO_FORMAT_ARG("result", offsetof(train_request_t, base.format)),
};

/* ---- model, tokens, data ---- */

typedef struct {
    const train_request_t *request;
    lspo_hf_model_t *hf;         /* NULL: a preset */
    lspo_tokenizer_t *tokenizer; /* NULL: bytes */
    lspo_dataset_t *data;
    lspo_train_sample_t sample;
    double load_s; /* for model, tokens and data */
    lspo_train_view_t *view;
    lspo_train_encoding_t encoding;
} trainee_t;

static lspo_status_t open_data(trainee_t *trainee)
{
    const train_request_t *request = trainee->request;
    const lspo_train_data_t given = {.path = request->data_path,
                                     .eval_path = request->eval_path,
                                     .held_out = request->held_out,
                                     .prompt_field = request->prompt_field,
                                     .answer_field = request->answer_field,
                                     .chat_template = request->chat_template,
                                     .folder = trainee->hf ? request->base.model_name : NULL,
                                     .loss_all = request->loss == LOSS_ALL};
    return lspo_train_data_open(&given, &request->base, &trainee->encoding, &trainee->data);
}

static lspo_status_t open_sample(trainee_t *trainee)
{
    const train_request_t *request = trainee->request;
    trainee->sample = (lspo_train_sample_t){.model = &request->base.model,
                                            .encoder = lspo_train_encoder(&trainee->encoding),
                                            .tokenizer = trainee->tokenizer,
                                            .more = request->sample_tokens};
    return request->sample_text ? lspo_train_sample_begin(request->sample_text, &trainee->sample) : LSPO_OK;
}

static void close_trainee(trainee_t *trainee)
{
    lspo_train_sample_release(&trainee->sample);
    lspo_dataset_close(trainee->data);
    lspo_tokenizer_close(trainee->tokenizer);
    lspo_hf_model_close(trainee->hf);
}

static lspo_status_t open_folder(const lspo_request_t *base, trainee_t *trainee)
{
    lspo_status_t status = lspo_hf_model_open(base->model_name, base->class_count, &trainee->hf);
    if (status == LSPO_OK)
        status = lspo_hf_model_check_shape(trainee->hf, &base->model); /* --set may ask for another one */
    if (status != LSPO_OK)
        return status;
    return lspo_tokenizer_open_model(base->model_name, base->model.vocabulary, &trainee->tokenizer);
}

static lspo_status_t open_trainee(const train_request_t *request, lspo_train_view_t *view, trainee_t *trainee)
{
    uint64_t start_ns = lspo_now_ns();
    *trainee = (trainee_t){.request = request, .view = view};
    lspo_status_t status = LSPO_OK;
    if (lspo_request_is_folder(request->base.model_name))
        status = open_folder(&request->base, trainee);
    else if (request->export_path) /* better now than at the end */
        status = lspo_hf_model_check_made(&request->base.model);
    if (status != LSPO_OK)
        return status;
    trainee->encoding = (lspo_train_encoding_t){
        .tokenizer = trainee->tokenizer, .view = view, .vocabulary = request->base.model.vocabulary};
    status = open_sample(trainee);
    if (status != LSPO_OK)
        return status;
    status = open_data(trainee);
    trainee->load_s = 1e-9 * (double)(lspo_now_ns() - start_ns);
    return status;
}

static lspo_status_t load_stage(void *context, uint32_t stage, float *weights, bool *given_out)
{
    const trainee_t *trainee = context;
    *given_out = lspo_hf_model_has_stage(trainee->hf, stage);
    return *given_out ? lspo_hf_model_read(trainee->hf, stage, weights) : LSPO_OK;
}

/* The use of the trained weights. */
static lspo_status_t use_weights(void *context, const float *const *stages)
{
    trainee_t *trainee = context;
    const train_request_t *request = trainee->request;
    lspo_status_t status = LSPO_OK;
    if (request->export_path)
        status = lspo_hf_model_save(&request->base.model, trainee->hf, stages, request->export_path);
    if (status != LSPO_OK)
        return status;
    return request->sample_text ? lspo_train_sample_end(&trainee->sample, stages) : LSPO_OK;
}

/* ---- the training ---- */

/* The policy's values for the machine, the check of a cap, and with --machine the predicted time per step. */
static lspo_status_t tune(lspo_request_t *request, double *predicted_step_s_out)
{
    lspo_machine_t machine;
    lspo_plan_t *plan;
    lspo_prediction_t prediction;
    lspo_workload_t workload = request->workload;
    uint32_t steady = lspo_policy_iterations(request->policy, &workload);
    if (workload.iterations < steady)
        workload.iterations = steady;
    lspo_status_t status =
        lspo_machine_named(request->machine_name != NULL ? request->machine_name : "host-reference", &machine);
    if (status != LSPO_OK)
        return status;
    status = lspo_overrides_machine(&request->overrides, &machine);
    if (status != LSPO_OK)
        return status;
    status = lspo_tune_transition(&request->model, &workload, request->policy, &machine, &plan);
    if (status != LSPO_OK)
        return status;
    status = lspo_host_room_check_cap(plan, &request->overrides, &request->peak_bytes);
    if (status != LSPO_OK)
        goto cleanup;
    request->workload.values = plan->workload.values;
    if (request->machine_name != NULL) {
        status = lspo_simulate(plan, &machine, &prediction, NULL);
        if (status != LSPO_OK)
            goto cleanup;
        *predicted_step_s_out = prediction.summary.iteration_s;
        lspo_prediction_release(&prediction);
    }
cleanup:
    lspo_plan_destroy(plan);
    return status;
}

static lspo_status_t count_steps(const train_request_t *request, const lspo_dataset_t *data, uint32_t *steps_out)
{
    const lspo_workload_t *workload = &request->base.workload;
    if (request->steps > 0) {
        *steps_out = request->steps;
        return LSPO_OK;
    }
    double rows = request->epochs * (double)lspo_dataset_train_rows(data);
    double steps = ceil(rows / ((double)workload->batch * workload->accumulation));
    if (steps > INT32_MAX)
        return lspo_error(LSPO_ERR_INPUT, "--epochs %g makes %.0f steps; at most %d are possible", request->epochs,
                          steps, INT32_MAX);
    *steps_out = steps < 1 ? 1 : (uint32_t)steps;
    return LSPO_OK;
}

/* The measures of a classifier are those of all held-out rows. */
static uint32_t count_eval_batches(const train_request_t *request, const lspo_dataset_t *data)
{
    if (request->eval_batches > 0)
        return request->eval_batches;
    const uint64_t all = lspo_dataset_held_out_batches(data, request->base.workload.batch);
    if (lspo_dataset_kind(data) != LSPO_DATASET_LABELS || all < EVAL_BATCHES)
        return EVAL_BATCHES;
    return all < INT32_MAX ? (uint32_t)all : INT32_MAX;
}

static uint64_t count_evaluated(const lspo_train_options_t *options)
{
    const uint64_t rows = lspo_dataset_held_out_rows(options->data);
    const uint64_t most = (uint64_t)options->eval_batches * options->workload.batch;
    return rows == 0 ? LSPO_MISSING : most < rows ? most : rows;
}

static lspo_status_t fill_options(const train_request_t *request, trainee_t *trainee, double predicted_step_s,
                                  lspo_train_options_t *options)
{
    const lspo_request_t *base = &request->base;
    *options = (lspo_train_options_t){.model = base->model,
                                      .workload = base->workload,
                                      .policy = base->policy,
                                      .data = trainee->data,
                                      .device = base->device_name,
                                      .cpu_threads = base->cpu_threads,
                                      .warmup_steps = request->warmup_steps,
                                      .min_learning_rate = request->min_learning_rate,
                                      .eval_every = request->eval_every,
                                      .eval_batches = count_eval_batches(request, trainee->data),
                                      .patience = request->patience,
                                      .keep_best = request->export_weights == EXPORT_BEST,
                                      .output = request->output,
                                      .checkpoint_every = request->checkpoint_every,
                                      .keep = request->keep,
                                      .resume = request->resume,
                                      .metrics_path = request->metrics_path,
                                      .predicted_step_s = predicted_step_s,
                                      .load = trainee->hf ? load_stage : NULL,
                                      .save = request->export_path || request->sample_text ? use_weights : NULL,
                                      .model_context = trainee,
                                      .progress = lspo_train_view_step,
                                      .phase = lspo_train_view_phase,
                                      .progress_context = trainee->view};
    lspo_status_t status = lspo_request_caps(base, &options->caps);
    if (status != LSPO_OK)
        return status;
    return count_steps(request, trainee->data, &options->steps);
}

static lspo_status_t write_result(const train_request_t *request, const trainee_t *trainee,
                                  const lspo_train_options_t *options, const lspo_train_result_t *trained)
{
    const lspo_train_state_t *state = &trained->state;
    bool language = lspo_dataset_kind(trainee->data) != LSPO_DATASET_LABELS;
    bool lsp = request->base.policy->gradient_form == LSPO_FORM_SUBSPACE;
    double rows = (double)options->workload.batch * options->workload.accumulation * state->step;
    const lspo_train_answer_t answer = {
        .model = request->base.model.name,
        .policy = request->base.policy->name,
        .device = request->base.device_name,
        .data = lspo_dataset_source(trainee->data),
        .tokenizer = trainee->tokenizer ? lspo_tokenizer_kind(trainee->tokenizer) : "bytes",
        .seed = request->base.workload.seed,
        .steps = state->step,
        .steps_run = trained->steps_run,
        .resumed_from = request->resume ? trained->resumed_from : LSPO_MISSING,
        .epochs = rows / (double)lspo_dataset_train_rows(trainee->data),
        .ended = state->step == options->steps ? "all steps done" : "no better for --patience evaluations",
        .load_s = trainee->load_s + trained->load_s,
        .train_s = state->elapsed_s,
        .step_s = trained->step_s,
        .fit_s = lsp ? trained->fit_s : (double)NAN,
        .checkpoint_s = request->output ? trained->checkpoint_s : (double)NAN,
        .checkpoint_copy_bytes = request->output ? trained->checkpoint_copy_bytes : LSPO_MISSING,
        .predicted_step_s = options->predicted_step_s,
        .tokens_per_s = trained->tokens_per_s,
        .loss_first = state->loss_first,
        .loss_last = state->loss_last,
        .evaluated_rows = count_evaluated(options),
        .held_out_before = state->held_out_before,
        .held_out_after = state->held_out_last,
        .perplexity_before = language ? exp(state->held_out_before) : (double)NAN,
        .perplexity_after = language ? exp(state->held_out_last) : (double)NAN,
        .before = state->scores_before,
        .after = state->scores_last,
        .best = state->scores_best,
        .best_loss = state->best_loss,
        .best_step = isfinite(state->best_loss) ? state->best_step : LSPO_MISSING,
        .refits = lsp ? state->refits : LSPO_MISSING,
        .cut_rows = lspo_dataset_cut_rows(trainee->data),
        .dropped_rows = lspo_dataset_dropped_rows(trainee->data),
        .peak_gpu_bytes = trained->peak_gpu_bytes,
        .output = request->output,
        .export_path = request->export_path,
        .sample = trainee->sample.text,
        .version = lspo_version,
    };
    return lspo_train_answer_write(&answer, request->base.format);
}

static lspo_status_t train_on(train_request_t *request, trainee_t *trainee)
{
    double predicted_step_s = NAN;
    lspo_train_options_t options;
    lspo_train_result_t trained;
    const lspo_request_t *base = &request->base;
    lspo_status_t status = lspo_train_settle_lane(&request->base, request->resume ? request->output : NULL);
    if (status != LSPO_OK)
        return status;
    status = tune(&request->base, &predicted_step_s);
    if (status != LSPO_OK)
        return status;
    status = lspo_host_room_check(base->device_name, &base->model, &base->workload, base->policy, 0);
    if (status != LSPO_OK)
        return status;
    status = fill_options(request, trainee, predicted_step_s, &options);
    if (status != LSPO_OK)
        return status;
    options.stop = lspo_interrupt_catch();
    status = lspo_train(&options, &trained);
    lspo_train_view_end(trainee->view);
    if (status != LSPO_OK)
        return status;
    return write_result(request, trainee, &options, &trained);
}

static lspo_status_t check_paths(const train_request_t *request, int *export_lock_out)
{
    const lspo_train_paths_t paths = {.model = request->base.model_name,
                                      .metrics = request->metrics_path,
                                      .export = request->export_path,
                                      .output = request->output,
                                      .resume = request->resume};
    return lspo_train_paths_check(&paths, export_lock_out);
}

/* A flag that would do nothing is refused: whoever gives --checkpoint-every counts on checkpoints. */
static lspo_status_t check_pairs(const train_request_t *request)
{
    const bool holds_out = request->eval_path != NULL || request->held_out != 0;
    const char *wrong = NULL;
    if (request->steps > 0 && request->epochs > 0)
        wrong = "--steps and --epochs exclude each other; give one of them";
    else if (request->eval_path && request->held_out >= 0)
        wrong = "--held-out and --eval-data exclude each other; give one of them";
    else if (!request->output && (request->checkpoint_every > 0 || request->keep > 0))
        wrong = "--checkpoint-every and --keep need --output, the folder of the checkpoints";
    else if (!request->export_path && !request->sample_text && request->export_weights >= 0)
        wrong = "--export-weights needs --export, the folder for the weights, or --sample";
    else if (!request->sample_text && request->sample_tokens > 0)
        wrong = "--sample-tokens needs --sample, the text to continue";
    else if (!holds_out && (request->eval_every > 0 || request->eval_batches > 0))
        wrong = "--eval-every and --eval-batches need held-out data: --eval-data, or --held-out above 0";
    return wrong ? lspo_error(LSPO_ERR_INPUT, "%s", wrong) : LSPO_OK;
}

/* What the help says in brackets. */
static void take_defaults(train_request_t *request)
{
    if (request->held_out < 0)
        request->held_out = 0.05;
    if (request->checkpoint_every == 0)
        request->checkpoint_every = 100;
    if (request->keep == 0)
        request->keep = 2;
    if (request->sample_tokens == 0)
        request->sample_tokens = 32;
    if (request->epochs <= 0)
        request->epochs = 1;
    if (request->export_weights < 0)
        request->export_weights = request->eval_every > 0 ? EXPORT_BEST : EXPORT_LAST;
}

static lspo_status_t fine_tune(train_request_t *request)
{
    trainee_t trainee;
    lspo_train_view_t view;
    int export_lock = -1;
    lspo_status_t status = check_pairs(request);
    if (status != LSPO_OK)
        return status;
    take_defaults(request);
    status = check_paths(request, &export_lock);
    if (status != LSPO_OK)
        goto unlock;
    lspo_train_view_begin(&view);
    status = open_trainee(request, &view, &trainee);
    if (status != LSPO_OK)
        goto cleanup;
    status = train_on(request, &trainee);
cleanup:
    close_trainee(&trainee);
unlock:
    if (export_lock >= 0)
        close(export_lock);
    return status;
}

static lspo_status_t train(int argc, char **argv)
{
    train_request_t request = {.base = {.model_name = "gpt-tiny",
                                        .device_name = "host",
                                        .policy_name = "lsp",
                                        .training = true,
                                        .format = LSPO_FORMAT_AUTO},
                               .held_out = -1, /* these two: not given */
                               .export_weights = -1};
    lspo_status_t status = lspo_request_parse(&lspo_command_train, argc, argv, LSPO_FP32, &request.base);
    if (status != LSPO_OK)
        return status;
    status = lspo_policy_check_trains(request.base.policy, &request.base.workload);
    if (status != LSPO_OK)
        return status;
    const uint32_t peers = lspo_policy_peers(request.base.policy, &request.base.workload);
    if (peers > 1) /* a session for each, whose checkpoints would have to be of the same step */
        return lspo_error(LSPO_ERR_INPUT,
                          "lspo train has one device, and this grid has %u: lspo run executes grids, with random "
                          "weights",
                          peers);
    if (request.base.workload.order != LSPO_ORDER_POLICY)
        return lspo_error(LSPO_ERR_INPUT, "--order auto: lspo train plays its segments in the policy's order; "
                                          "`lspo sim` and `lspo run` take another one");
    return fine_tune(&request);
}

static const lspo_arg_group_t train_group = LSPO_ARG_GROUP("options", train_args);

const lspo_command_t lspo_command_train = {
    .name = "train",
    .summary = "fine-tune a model on data, with checkpoints, and export it",
    .usage = "[options]",
    .about = "Fine-tune a model with the policy's plan: AdamW, warm-up and cosine decay, evaluation on held-out data, "
             "and checkpoints from which --resume continues bit for bit.",
    .examples =
        "lspo train --model gpt-tiny --policy zero --data notes.txt --steps 500 --metrics loss.csv\n"
        "lspo train --model ./gpt2 --policy lsp --data alpaca.json --epochs 3 --output run1 --export tuned\n"
        "lspo train --model ./roberta --classes 2 --policy lsp --train-rest on --data SST-2/train.tsv --eval-data "
        "SST-2/dev.tsv\n"
        "lspo train --model ./gpt2 --policy lsp --data chat.jsonl --chat-template chatml --epochs 3 --export tuned\n"
        "lspo train --model ./gpt2 --policy lsp --data alpaca.json --epochs 3 --output run1 --export tuned --resume",
    .common = "model policy data steps epochs batch sequence learning-rate output resume export metrics",
    .details =
        "Data: plain text; JSONL of {\"text\"}, {\"prompt\",\"completion\"}, {\"messages\"} or {\"text\",\"label\"}; "
        "Alpaca's JSON; for classifiers also a .tsv file of GLUE. Prompts do not count in the loss, unless --loss all. "
        "Chats are written by the chat template of "
        "the model's folder. Tokens are those of the folder's tokenizer; without a folder they are "
        "bytes. `lspo help models` says where to get a model folder.\n\n"
        "Ctrl-C, SIGTERM and SIGHUP finish the current step at full speed, without caps, write a checkpoint and exit "
        "with 130; a second signal ends the program at once. --resume takes the newest complete checkpoint. It refuses "
        "changed flags, except for those that do not affect the numbers and for more --steps.",
    .groups = (const lspo_arg_group_t *const[]){&train_group, &lspo_device_group, &lspo_workload_group,
                                                &lspo_policy_group, &lspo_cap_group, NULL},
    .run = train,
};
