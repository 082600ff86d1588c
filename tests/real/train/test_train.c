/* The schedule by hand, metrics, and trainings of a tiny model: cuts, interruptions and exports must change no
 * number. */
#include <criterion/criterion.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plan/policies/badam.h"
#include "plan/policies/galore.h"
#include "plan/policies/lsp.h"
#include "real/train/metrics.h"
#include "real/train/train.h"
#include "tests/own_values.h"

enum { STAGES_MAX = 8, STEPS = 14 };

static char folder[32];

/* Each test that writes files calls both: under ThreadSanitizer there are no fixtures. */
static void make_folder(void)
{
    strcpy(folder, "/tmp/lspo-train-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static void remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    int code = system(command);
    cr_assert_eq(code, 0);
}

static const char *path_of(const char *name)
{
    static char paths[4][256];
    static int turn;
    char *path = paths[turn++ & 3];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

/* ---- schedule and metrics ---- */

Test(train, the_rate_rises_in_a_line_and_falls_along_a_cosine)
{
    lspo_schedule_t schedule = {.peak = 1, .last = 0.1, .warmup_steps = 4, .steps = 12};
    cr_expect_float_eq(lspo_schedule_rate(&schedule, 0), 0.25, 1e-15);
    cr_expect_float_eq(lspo_schedule_rate(&schedule, 3), 1, 1e-15);
    cr_expect_float_eq(lspo_schedule_rate(&schedule, 4), 1, 1e-15);
    cr_expect_float_eq(lspo_schedule_rate(&schedule, 8), 0.55, 1e-15); /* half way: the mean of both */
    /* 7/8 of the way: 0.1 + 0.9 (1 - 0.92387953251) / 2 */
    cr_expect_float_eq(lspo_schedule_rate(&schedule, 11), 0.13425421037, 1e-10);
    lspo_schedule_t flat = {.peak = 3, .last = 3, .steps = 5};
    for (uint32_t step = 0; step < 5; step++)
        cr_expect_eq(lspo_schedule_rate(&flat, step), 3);
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
}

static size_t count_rows(const char *path)
{
    lspo_metrics_row_t *rows;
    size_t count;
    cr_assert_eq(lspo_metrics_read(path, &rows, &count), LSPO_OK);
    free(rows);
    return count;
}

Test(train, metrics_are_read_as_written)
{
    make_folder();
    const char *path = path_of("m.csv");
    lspo_metrics_t *metrics;
    lspo_metrics_row_t row = lspo_metrics_row(0), *rows;
    size_t count;
    cr_assert_eq(lspo_metrics_open(path, &metrics), LSPO_OK);
    cr_assert_eq(lspo_metrics_begin(metrics, false, 0), LSPO_OK);
    for (uint32_t step = 0; step < 5; step++) {
        row.step = step;
        row.loss = 5.0 - step;
        cr_assert_eq(lspo_metrics_add(metrics, &row, 1), LSPO_OK);
    }
    lspo_metrics_close(metrics);
    cr_assert_eq(lspo_metrics_read(path, &rows, &count), LSPO_OK);
    cr_assert_eq(count, 5);
    cr_expect_eq(rows[3].step, 3);
    cr_expect_eq(rows[3].loss, 2);
    cr_expect(isnan(rows[3].held_out_loss) && isnan(rows[3].refits));
    free(rows);
    /* A resumed run drops what is beyond its checkpoint, and a row that was cut. */
    FILE *file = fopen(path, "a");
    cr_assert_not_null(file);
    fputs("5,,1.2", file);
    fclose(file);
    cr_expect_eq(count_rows(path), 5);
    cr_assert_eq(lspo_metrics_open(path, &metrics), LSPO_OK);
    lspo_metrics_t *second;
    cr_expect_eq(lspo_metrics_open(path, &second), LSPO_ERR_INPUT, "another training writes there");
    cr_assert_eq(lspo_metrics_begin(metrics, true, 2), LSPO_OK);
    row.step = 3;
    cr_assert_eq(lspo_metrics_add(metrics, &row, 1), LSPO_OK);
    lspo_metrics_close(metrics);
    cr_expect_eq(count_rows(path), 4);
    remove_folder();
}

Test(train, metrics_overwrite_nothing_else)
{
    make_folder();
    lspo_metrics_t *metrics;
    const char *text = path_of("notes.txt"), *link = path_of("link.csv"), *fresh = path_of("fresh.csv");
    write_text(text, "notes that were never copied\n");
    cr_assert_eq(symlink(text, link), 0);
    cr_expect_eq(lspo_metrics_open(text, &metrics), LSPO_ERR_INPUT);
    cr_expect_eq(lspo_metrics_open(link, &metrics), LSPO_ERR_INPUT);
    cr_expect_eq(lspo_metrics_open(folder, &metrics), LSPO_ERR_IO);
    cr_assert_eq(mkfifo(path_of("pipe"), 0600), 0);
    cr_expect_eq(lspo_metrics_open(path_of("pipe"), &metrics), LSPO_ERR_IO, "nobody reads it");
    cr_assert_eq(lspo_metrics_open(fresh, &metrics), LSPO_OK);
    lspo_metrics_close(metrics);
    cr_expect_neq(access(fresh, F_OK), 0, "nothing was begun");
    cr_assert_eq(lspo_metrics_open("/dev/null", &metrics), LSPO_OK);
    cr_expect_eq(lspo_metrics_begin(metrics, true, 3), LSPO_OK);
    lspo_metrics_close(metrics);
    remove_folder();
}

Test(train, what_is_no_metrics_is_refused)
{
    make_folder();
    lspo_metrics_row_t *rows;
    size_t count;
    const char *path = path_of("m.csv");
    static const char header[] = "step,epoch,loss,learning_rate,gradient_norm,time_s,tokens_per_s,held_out_loss,"
                                 "perplexity,bias,bias_fitted,refits,accuracy\n";
    char text[512];
    cr_expect_eq(lspo_metrics_read("/nonexistent", &rows, &count), LSPO_ERR_INPUT);
    write_text(path, "");
    cr_expect_eq(lspo_metrics_read(path, &rows, &count), LSPO_ERR_INPUT);
    static const char *const lines[] = {"x,,,,,,,,,,,,\n", "1,,,\n", "-1,,,,,,,,,,,,\n", "1,,nan,,,,,,,,,,\n",
                                        "1,,,,,,,,,,,,,\n"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        snprintf(text, sizeof text, "%s%s", header, lines[i]);
        write_text(path, text);
        cr_expect_eq(lspo_metrics_read(path, &rows, &count), LSPO_ERR_INPUT, "%s", lines[i]);
    }
    mkfifo(path_of("pipe.csv"), 0600);
    cr_expect_eq(lspo_metrics_read(path_of("pipe.csv"), &rows, &count), LSPO_ERR_INPUT);
    remove_folder();
}

/* A table program writes a byte-order mark and "\r\n", an editor no end of the last line. */
Test(metrics, files_that_went_through_another_program_are_read)
{
    make_folder();
    lspo_metrics_row_t *rows;
    size_t count;
    const char *path = path_of("m.csv");
    write_text(path, "\xef\xbb\xbfstep,epoch,loss,learning_rate,gradient_norm,time_s,tokens_per_s,held_out_loss,"
                     "perplexity,bias,bias_fitted,refits,accuracy\r\n1,,5,,,,,,,,,,\r\n2,,4.5,,,,,,,,,,0.5");
    cr_assert_eq(lspo_metrics_read(path, &rows, &count), LSPO_OK);
    cr_assert_eq(count, 2);
    cr_expect_float_eq(rows[0].loss, 5, 0);
    cr_expect_float_eq(rows[1].accuracy, 0.5, 0);
    free(rows);
    remove_folder();
}

/* ---- trainings ---- */

/* Weights as the training leaves them, and where the next one begins. */
typedef struct {
    float *stages[STAGES_MAX];
    size_t counts[STAGES_MAX];
    uint32_t count;
} weights_t;

static lspo_model_t tiny_model(void)
{
    lspo_model_t model;
    cr_assert_eq(lspo_model_find("gpt-tiny", &model), LSPO_OK);
    model.block_count = 2;
    model.width = 32;
    model.head_count = model.kv_head_count = 2;
    model.mlp_width = 64;
    model.max_sequence = 16;
    return model;
}

static lspo_status_t keep_weights(void *context, const float *const *stages)
{
    weights_t *kept = context;
    lspo_model_t model = tiny_model();
    kept->count = lspo_model_stage_count(&model);
    for (uint32_t s = 0; s < kept->count; s++) {
        lspo_stage_t stage;
        lspo_model_stage(&model, s, &stage);
        kept->counts[s] = stage.element_count;
        kept->stages[s] = malloc(stage.element_count * sizeof(float));
        cr_assert_not_null(kept->stages[s]);
        memcpy(kept->stages[s], stages[s], stage.element_count * sizeof(float));
    }
    return LSPO_OK;
}

static lspo_status_t give_weights(void *context, uint32_t stage, float *weights, bool *given_out)
{
    const weights_t *kept = context;
    *given_out = true;
    memcpy(weights, kept->stages[stage], kept->counts[stage] * sizeof(float));
    return LSPO_OK;
}

static void release(weights_t *kept)
{
    for (uint32_t s = 0; s < kept->count; s++)
        free(kept->stages[s]);
}

static bool equal(const weights_t *a, const weights_t *b)
{
    for (uint32_t s = 0; s < a->count; s++)
        if (memcmp(a->stages[s], b->stages[s], a->counts[s] * sizeof(float)) != 0)
            return false;
    return a->count == b->count && a->count > 0;
}

static lspo_dataset_t *open_data(void)
{
    char text[2048] = "";
    for (int i = 0; i < 40; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%d times %d is %d; ", i, i, i * i);
    const char *path = path_of("data.txt");
    write_text(path, text);
    lspo_dataset_options_t options = {
        .path = path, .sequence = 16, .seed = 3, .held_out = 0.2, .encoder = lspo_encoder_bytes()};
    lspo_dataset_t *data;
    cr_assert_eq(lspo_dataset_open(&options, &data), LSPO_OK);
    return data;
}

static lspo_train_options_t options_for(const char *policy, const lspo_dataset_t *data, weights_t *kept)
{
    lspo_train_options_t options = {.model = tiny_model(),
                                    .data = data,
                                    .device = "host",
                                    .steps = STEPS,
                                    .warmup_steps = 3,
                                    .eval_batches = 4,
                                    .keep = 2,
                                    .predicted_step_s = NAN,
                                    .save = keep_weights,
                                    .model_context = kept};
    cr_assert_eq(lspo_policy_find(policy, &options.policy), LSPO_OK);
    lspo_workload_default(&options.workload);
    lspo_workload_t *workload = &options.workload;
    workload->precision = workload->transfer = LSPO_FP32;
    workload->batch = 2;
    workload->sequence = 16;
    workload->checkpointing = false;
    workload->iterations = 4;
    lspo_lsp_values_edit(workload)->subspace = 16;
    lspo_lsp_values_edit(workload)->nnz = 2;
    set_rank(workload, 4);
    lspo_lsp_values_edit(workload)->check_every = 5;
    lspo_lsp_values_edit(workload)->fit_steps = 10;
    lspo_galore_values_edit(workload)->project_every = 5;
    lspo_badam_values_edit(workload)->switch_every = 3;
    workload->learning_rate = 1e-2;
    workload->weight_decay = 0.01;
    return options;
}

static lspo_train_result_t train(const lspo_train_options_t *options)
{
    lspo_train_result_t result = {0};
    cr_assert_eq(lspo_train(options, &result), LSPO_OK, "%s", options->policy->name);
    return result;
}

Test(train, a_tiny_model_learns)
{
    make_folder();
    lspo_dataset_t *data = open_data();
    weights_t kept = {0};
    lspo_train_options_t options = options_for("native", data, &kept);
    options.steps = 60;
    options.metrics_path = path_of("m.csv");
    options.eval_every = 20;
    options.workload.clip_norm = 1;
    lspo_train_result_t result = train(&options);
    cr_expect_float_eq(result.state.held_out_before, log(256), 0.2, "all bytes are alike at first");
    cr_expect_lt(result.state.held_out_last, 3, "held-out loss %g", result.state.held_out_last);
    cr_expect_lt(result.state.loss_last, 3);
    cr_expect_eq(result.state.step, 60);
    cr_expect(result.state.finished);
    cr_expect_gt(result.peak_gpu_bytes, 0);
    lspo_metrics_row_t *rows;
    size_t count, evaluated = 0;
    cr_assert_eq(lspo_metrics_read(options.metrics_path, &rows, &count), LSPO_OK);
    cr_assert_eq(count, 61);
    lspo_schedule_t schedule = {.peak = 1e-2, .warmup_steps = 3, .steps = 60};
    for (uint32_t i = 0; i < count; i++) {
        cr_expect_eq(rows[i].step, i);
        evaluated += isfinite(rows[i].held_out_loss) != 0;
        if (isfinite(rows[i].held_out_loss))
            cr_expect_float_eq(rows[i].perplexity / exp(rows[i].held_out_loss), 1, 1e-6);
        if (i == 0)
            continue;
        cr_expect_float_eq(rows[i].learning_rate, lspo_schedule_rate(&schedule, i - 1), 1e-10);
        cr_expect_gt(rows[i].gradient_norm, 0);
        cr_expect(isfinite(rows[i].loss));
        cr_expect_gt(rows[i].time_s, i == 1 ? 0 : rows[i - 1].time_s);
        /* Rows of 2 of some 22 */
        cr_expect_float_eq(rows[i].epoch, 2.0 * i / (double)lspo_dataset_train_rows(data), 1e-6);
    }
    cr_expect_eq(evaluated, 4, "0, 20, 40, 60");
    cr_expect_float_eq(rows[60].loss, result.state.loss_last, 1e-6);
    free(rows);
    release(&kept);
    lspo_dataset_close(data);
    remove_folder();
}

static const char *const policies[] = {"native", "swap", "zero",   "zero-delayed", "zero-layerwise", "backward-update",
                                       "lsp",    "lora", "galore", "lomo",         "badam",          "zenflow"};
enum { POLICY_COUNT = sizeof policies / sizeof policies[0] };

Test(train, segments_change_no_number)
{
    make_folder();
    lspo_dataset_t *data = open_data();
    for (size_t p = 0; p < POLICY_COUNT; p++) {
        weights_t whole = {0}, parts = {0};
        lspo_train_options_t options = options_for(policies[p], data, &whole);
        options.workload.iterations = STEPS;
        train(&options);
        options.model_context = &parts;
        options.workload.iterations = 3;
        options.eval_every = 5;
        train(&options);
        cr_expect(equal(&whole, &parts), "%s", policies[p]);
        release(&whole);
        release(&parts);
    }
    lspo_dataset_close(data);
    remove_folder();
}

/* Stops the training once `at` steps are done. */
typedef struct {
    atomic_int stop;
    uint32_t at;
} stopper_t;

static void stop_at(void *context, const lspo_train_progress_t *progress)
{
    stopper_t *stopper = context;
    if (progress->step >= stopper->at)
        atomic_store(&stopper->stop, 1);
}

Test(train, an_interrupted_training_goes_on_as_if_it_had_not_been)
{
    make_folder();
    lspo_dataset_t *data = open_data();
    for (size_t p = 0; p < POLICY_COUNT; p++) {
        weights_t whole = {0}, resumed = {0};
        lspo_train_result_t first, second;
        lspo_train_options_t options = options_for(policies[p], data, &whole);
        first = train(&options);
        stopper_t stopper = {.at = 4 + (uint32_t)p % 3 * 4};
        options.model_context = &resumed;
        options.output = path_of(policies[p]);
        options.progress = stop_at;
        options.progress_context = &stopper;
        options.stop = &stopper.stop;
        cr_assert_eq(lspo_train(&options, &second), LSPO_ERR_INTERRUPTED);
        cr_expect_eq(resumed.count, 0, "nothing is exported");
        options.progress = NULL;
        options.stop = NULL;
        cr_expect_eq(lspo_train(&options, &second), LSPO_ERR_INPUT, "without --resume");
        options.resume = true;
        options.workload.learning_rate *= 2;
        cr_expect_eq(lspo_train(&options, &second), LSPO_ERR_INPUT, "with another flag");
        options.workload.learning_rate /= 2;
        second = train(&options);
        cr_expect(equal(&whole, &resumed), "%s", policies[p]);
        cr_expect_eq(second.resumed_from, stopper.at);
        cr_expect_eq(second.steps_run, STEPS - stopper.at);
        cr_expect_eq(first.state.held_out_last, second.state.held_out_last);
        cr_expect_eq(first.state.loss_first, second.state.loss_first);
        release(&resumed);
        /* Once more: there is nothing left to do. */
        second = train(&options);
        cr_expect_eq(second.steps_run, 0);
        cr_expect(equal(&whole, &resumed));
        release(&whole);
        release(&resumed);
    }
    lspo_dataset_close(data);
    remove_folder();
}

/* Asks for an end when so many evaluations have begun. */
typedef struct {
    atomic_int stop;
    uint32_t evaluations_left;
} evaluation_stopper_t;

static void stop_in_evaluation(void *context, const char *phase, uint32_t done, uint32_t of)
{
    evaluation_stopper_t *stopper = context;
    if (strcmp(phase, "evaluating") != 0)
        return;
    cr_assert_lt(done, of);
    if (done == 1 && --stopper->evaluations_left == 0)
        atomic_store(&stopper->stop, 1);
}

static bool alike(double a, double b)
{
    return (isnan(a) && isnan(b)) || a == b;
}

static void expect_equal_metrics(const char *wanted_path, const char *found_path)
{
    lspo_metrics_row_t *wanted, *found;
    size_t wanted_count, found_count;
    cr_assert_eq(lspo_metrics_read(wanted_path, &wanted, &wanted_count), LSPO_OK);
    cr_assert_eq(lspo_metrics_read(found_path, &found, &found_count), LSPO_OK);
    cr_assert_eq(found_count, wanted_count);
    for (size_t i = 0; i < found_count; i++) {
        cr_expect_eq(found[i].step, wanted[i].step);
        cr_expect(alike(found[i].loss, wanted[i].loss), "step %u", found[i].step);
        cr_expect(alike(found[i].held_out_loss, wanted[i].held_out_loss), "step %u", found[i].step);
        cr_expect(alike(found[i].learning_rate, wanted[i].learning_rate), "step %u", found[i].step);
        cr_expect(alike(found[i].gradient_norm, wanted[i].gradient_norm), "step %u", found[i].step);
    }
    free(wanted);
    free(found);
}

/* Each evaluation in turn, after steps 0, 5, 10 and, the last one, 14, is ended in its second batch and done when the
 * training is resumed. */
Test(train, an_interrupted_evaluation_is_done_when_resumed)
{
    enum { EVERY = 5 };
    static const uint32_t ends[] = {0, 5, 10, STEPS};
    make_folder();
    lspo_dataset_t *data = open_data();
    for (size_t p = 0; p < POLICY_COUNT; p++) {
        weights_t whole = {0}, resumed = {0};
        lspo_train_result_t first, last = {0};
        char name[64], whole_path[256], resumed_path[256];
        lspo_train_options_t options = options_for(policies[p], data, &whole);
        snprintf(name, sizeof name, "whole-%s.csv", policies[p]);
        strcpy(whole_path, path_of(name));
        strcpy(resumed_path, path_of(name + strlen("whole-")));
        options.eval_every = EVERY;
        options.keep_best = true;
        options.workload.clip_norm = 1;
        options.metrics_path = whole_path;
        first = train(&options);
        options.metrics_path = resumed_path;
        options.model_context = &resumed;
        options.output = path_of(policies[p]);
        options.phase = stop_in_evaluation;
        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
            evaluation_stopper_t stopper = {.evaluations_left = i == 0 ? 1 : 2};
            options.progress_context = &stopper;
            options.stop = &stopper.stop;
            options.resume = i > 0;
            cr_assert_eq(lspo_train(&options, &last), LSPO_ERR_INTERRUPTED, "%s, step %u", policies[p], ends[i]);
            cr_assert_eq(stopper.evaluations_left, 0u, "%s, step %u", policies[p], ends[i]);
            cr_expect_eq(resumed.count, 0, "nothing is exported");
        }
        options.phase = NULL;
        options.stop = NULL;
        last = train(&options);
        cr_expect_eq(last.resumed_from, (uint32_t)STEPS);
        cr_expect(equal(&whole, &resumed), "%s", policies[p]);
        cr_expect_eq(last.state.held_out_last, first.state.held_out_last);
        cr_expect_eq(last.state.best_step, first.state.best_step);
        cr_expect_eq(last.state.best_loss, first.state.best_loss);
        cr_expect_eq(last.state.worse_count, first.state.worse_count);
        expect_equal_metrics(whole_path, resumed_path);
        release(&resumed);
        last = train(&options); /* there is nothing left to do */
        cr_expect_eq(last.steps_run, 0);
        cr_expect(equal(&whole, &resumed), "%s", policies[p]);
        release(&whole);
        release(&resumed);
    }
    lspo_dataset_close(data);
    remove_folder();
}

typedef struct {
    atomic_int stop;
    double after_s;
} alarm_t;

static void *stop_later(void *argument)
{
    alarm_t *timer = argument;
    lspo_pace(lspo_now_ns(), timer->after_s);
    atomic_store(&timer->stop, 1);
    return NULL;
}

/* One segment of all the steps: an end that is asked for in its middle leaves the step under way done, and no more. */
static lspo_status_t interrupt(lspo_train_options_t *options, double after_s)
{
    alarm_t timer = {.after_s = after_s};
    lspo_train_result_t result = {0};
    pthread_t thread;
    options->stop = &timer.stop;
    cr_assert_eq(pthread_create(&thread, NULL, stop_later, &timer), 0);
    lspo_status_t status = lspo_train(options, &result);
    pthread_join(thread, NULL);
    options->stop = NULL;
    return status;
}

/* Interrupt the training between its first step and its last, however fast this machine is at the moment, and resume
 * it.  After an end that came too late it is tried again earlier, after one before the first step later.  Returns the
 * step from which it went on. */
static uint32_t interrupt_and_resume(lspo_train_options_t *options, weights_t *exported, double after_s)
{
    for (int attempt = 0; attempt < 60; attempt++) {
        char name[64];
        snprintf(name, sizeof name, "%s-%d", options->policy->name, attempt);
        options->output = path_of(name);
        lspo_status_t status = interrupt(options, after_s);
        cr_assert(status == LSPO_OK || status == LSPO_ERR_INTERRUPTED);
        uint32_t resumed_from = status == LSPO_OK ? 0 : train(options).resumed_from;
        if (resumed_from > 0 && resumed_from < options->steps)
            return resumed_from;
        release(exported);
        *exported = (weights_t){0};
        after_s *= status == LSPO_OK ? 0.5 : 1.4;
    }
    return 0;
}

Test(train, an_end_in_the_middle_of_a_segment_leaves_whole_steps)
{
    enum { LONG = 400 };
    make_folder();
    lspo_dataset_t *data = open_data();
    for (size_t p = 0; p < POLICY_COUNT; p++) {
        weights_t whole = {0}, resumed = {0};
        lspo_train_options_t options = options_for(policies[p], data, &whole);
        options.steps = options.workload.iterations = LONG;
        lspo_lsp_values_edit(&options.workload)->check_every = 50;
        uint64_t start_ns = lspo_now_ns();
        train(&options);
        double whole_s = 1e-9 * (double)(lspo_now_ns() - start_ns);
        options.model_context = &resumed;
        options.resume = true;
        uint32_t resumed_from = interrupt_and_resume(&options, &resumed, 0.4 * whole_s);
        cr_expect_gt(resumed_from, 0, "%s was never interrupted", policies[p]);
        cr_expect(equal(&whole, &resumed), "%s, interrupted after step %u", policies[p], resumed_from);
        release(&whole);
        release(&resumed);
    }
    lspo_dataset_close(data);
    remove_folder();
}

Test(train, exported_weights_are_the_trained_model)
{
    make_folder();
    static const char *const merged[] = {"native", "lsp", "lora"};
    lspo_dataset_t *data = open_data();
    for (size_t p = 0; p < sizeof merged / sizeof merged[0]; p++) {
        weights_t kept = {0}, again = {0};
        lspo_train_options_t options = options_for(merged[p], data, &kept);
        lspo_train_result_t trained = train(&options);
        options = options_for("native", data, &again);
        options.save = NULL;
        options.load = give_weights;
        options.model_context = &kept;
        options.steps = 4;
        lspo_train_result_t loaded = train(&options);
        cr_expect_neq(trained.state.held_out_before, trained.state.held_out_last);
        cr_expect_float_eq(loaded.state.held_out_before, trained.state.held_out_last, 1e-5, "%s: %.9g, %.9g", merged[p],
                           loaded.state.held_out_before, trained.state.held_out_last);
        release(&kept);
    }
    lspo_dataset_close(data);
    remove_folder();
}

Test(train, a_training_that_gets_no_better_stops)
{
    make_folder();
    lspo_dataset_t *data = open_data();
    weights_t kept = {0};
    lspo_train_options_t options = options_for("native", data, &kept);
    options.workload.learning_rate = 1e-30; /* nothing moves: the first evaluation stays the best */
    options.eval_every = 2;
    options.patience = 3;
    lspo_train_result_t result = train(&options);
    cr_expect_eq(result.state.step, 6);
    cr_expect_eq(result.state.best_step, 0);
    cr_expect(result.state.finished);
    release(&kept);
    lspo_dataset_close(data);
    remove_folder();
}

/* Held-out loss of weights that another training left, evaluated before the first step of a new one. */
static double loss_of(weights_t *weights, const lspo_dataset_t *data)
{
    weights_t none = {0};
    lspo_train_options_t options = options_for("native", data, &none);
    options.save = NULL;
    options.load = give_weights;
    options.model_context = weights;
    options.steps = 4;
    return train(&options).state.held_out_before;
}

/* At a rate this high the model soon gets worse and stays so: the best evaluation is in between, and patience ends
 * it. */
static lspo_train_options_t options_past_the_best(const char *policy, const lspo_dataset_t *data, weights_t *kept)
{
    lspo_train_options_t options = options_for(policy, data, kept);
    options.workload.learning_rate = 0.3;
    options.steps = 60;
    options.eval_every = 1;
    options.patience = 4;
    return options;
}

Test(train, the_best_evaluation_is_what_is_exported)
{
    make_folder();
    lspo_dataset_t *data = open_data();
    weights_t best = {0}, last = {0};
    lspo_train_options_t options = options_past_the_best("native", data, &last);
    lspo_train_result_t result = train(&options);
    cr_assert_eq(result.state.step, result.state.best_step + 4, "stopped at %u, best at %u", result.state.step,
                 result.state.best_step);
    cr_assert_gt(result.state.best_step, 0, "the test wants a best between the first and the last");
    cr_assert_lt(result.state.best_loss, result.state.held_out_last);
    options.keep_best = true;
    options.model_context = &best;
    train(&options);
    cr_expect_float_eq(loss_of(&best, data), result.state.best_loss, 1e-6);
    cr_expect_float_eq(loss_of(&last, data), result.state.held_out_last, 1e-6);
    cr_expect(!equal(&best, &last));
    release(&best);
    release(&last);
    lspo_dataset_close(data);
    remove_folder();
}

/* Interrupted behind the best evaluation and resumed: the best weights come out of the checkpoint. */
Test(train, the_best_weights_outlive_an_interruption)
{
    static const char *const names[] = {"native", "zero-delayed", "lsp", "lora"};
    make_folder();
    lspo_dataset_t *data = open_data();
    for (size_t p = 0; p < sizeof names / sizeof names[0]; p++) {
        weights_t whole = {0}, resumed = {0};
        lspo_train_options_t options = options_past_the_best(names[p], data, &whole);
        options.keep_best = true;
        lspo_train_result_t first = train(&options), second;
        cr_assert_lt(first.state.best_step, first.state.step, "%s", names[p]);
        stopper_t stopper = {.at = first.state.best_step + 1};
        options.model_context = &resumed;
        options.output = path_of(names[p]);
        options.progress = stop_at;
        options.progress_context = &stopper;
        options.stop = &stopper.stop;
        cr_assert_eq(lspo_train(&options, &second), LSPO_ERR_INTERRUPTED);
        options.progress = NULL;
        options.stop = NULL;
        options.resume = true;
        options.keep_best = false;
        cr_expect_eq(lspo_train(&options, &second), LSPO_ERR_INPUT, "its checkpoint holds the best weights");
        options.keep_best = true;
        second = train(&options);
        cr_expect_eq(second.state.best_step, first.state.best_step);
        cr_expect(equal(&whole, &resumed), "%s", names[p]);
        release(&whole);
        release(&resumed);
    }
    lspo_dataset_close(data);
    remove_folder();
}

/* zero-delayed owes an update whenever it stops early.  It is left out: the last weights are those that were evaluated.
 * A training that has as many steps from the beginning applies it. */
Test(train, an_early_stop_leaves_a_pending_update_out)
{
    make_folder();
    lspo_dataset_t *data = open_data();
    weights_t stopped = {0}, drained = {0};
    lspo_train_options_t options = options_past_the_best("zero-delayed", data, &stopped);
    options.warmup_steps = 0;
    options.min_learning_rate = options.workload.learning_rate; /* the same at each step, however many there are */
    lspo_train_result_t early = train(&options);
    cr_assert(early.state.finished);
    cr_assert_lt(early.state.step, options.steps);
    cr_expect_float_eq(loss_of(&stopped, data), early.state.held_out_last, 1e-6);
    options.steps = early.state.step;
    options.model_context = &drained;
    lspo_train_result_t whole = train(&options);
    cr_assert_eq(whole.state.step, early.state.step);
    cr_expect_eq(whole.state.loss_last, early.state.loss_last, "the same steps");
    cr_expect(!equal(&stopped, &drained), "the last update");
    cr_expect_float_eq(loss_of(&drained, data), whole.state.held_out_last, 1e-6);
    release(&stopped);
    release(&drained);
    lspo_dataset_close(data);
    remove_folder();
}

static lspo_model_t tiny_classifier(void)
{
    return (lspo_model_t){.name = "classifier",
                          .family = LSPO_FAMILY_BERT,
                          .block_count = 1,
                          .width = 32,
                          .head_count = 2,
                          .kv_head_count = 2,
                          .mlp_width = 64,
                          .vocabulary = 256,
                          .max_sequence = 16,
                          .class_count = 2};
}

/* Texts of a's and of b's, which are class `first` and the other one. */
static lspo_dataset_t *open_labels(const char *name, unsigned first)
{
    char text[8192] = "";
    for (unsigned i = 0; i < 120; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "{\"text\":\"%c%c%c\",\"label\":%u}\n",
                 i % 3 ? 'a' : 'b', i % 3 ? 'a' : 'b', 'c' + (int)(i % 7), i % 3 ? first : 1 - first);
    const char *path = path_of(name);
    write_text(path, text);
    lspo_dataset_options_t options = {
        .path = path, .sequence = 16, .seed = 3, .held_out = 0.3, .class_count = 2, .encoder = lspo_encoder_bytes()};
    lspo_dataset_t *data;
    cr_assert_eq(lspo_dataset_open(&options, &data), LSPO_OK);
    return data;
}

/* Of two classes, what is right with labels is wrong with the others: both accuracies of one model add up to 1. */
Test(train, classifiers_report_how_much_is_right)
{
    make_folder();
    weights_t none = {0};
    lspo_dataset_t *data = open_labels("a.jsonl", 0), *swapped = open_labels("b.jsonl", 1);
    lspo_train_options_t options = options_for("native", data, &none);
    options.model = tiny_classifier();
    options.save = NULL;
    options.workload.train_rest = LSPO_TRAIN_REST_ON;
    options.workload.batch = 4;
    options.eval_batches = 100;
    options.eval_every = 10;
    options.steps = 40;
    options.keep_best = true;
    options.metrics_path = path_of("labels.csv");
    lspo_train_result_t result = train(&options);
    options.data = swapped;
    options.metrics_path = NULL;
    lspo_train_result_t other = train(&options);
    cr_expect_float_eq(result.state.accuracy_before + other.state.accuracy_before, 1, 1e-12);
    cr_expect_neq(result.state.accuracy_before, other.state.accuracy_before, "all classes or none are right");
    cr_expect_gt(result.state.accuracy_last, 0.95, "%g", result.state.accuracy_last);
    cr_expect_gt(result.state.accuracy_best, 0.95, "%g", result.state.accuracy_best);
    lspo_metrics_row_t *rows;
    size_t count;
    cr_assert_eq(lspo_metrics_read(path_of("labels.csv"), &rows, &count), LSPO_OK);
    cr_assert_eq(count, 41);
    cr_expect_float_eq(rows[0].accuracy, result.state.accuracy_before, 1e-8);
    cr_expect(isnan(rows[5].accuracy) && isnan(rows[10].perplexity));
    cr_expect_float_eq(rows[40].accuracy, result.state.accuracy_last, 1e-8);
    free(rows);
    lspo_dataset_close(data);
    lspo_dataset_close(swapped);
    remove_folder();
}

Test(train, a_loss_that_is_not_finite_ends_it)
{
    make_folder();
    lspo_dataset_t *data = open_data();
    weights_t kept = {0};
    lspo_train_result_t result;
    lspo_train_options_t options = options_for("native", data, &kept);
    options.workload.learning_rate = 1e30;
    cr_expect_eq(lspo_train(&options, &result), LSPO_ERR_NUMERIC);
    lspo_dataset_close(data);
    remove_folder();
}

Test(train, options_that_make_no_sense_are_refused)
{
    make_folder();
    lspo_dataset_t *data = open_data();
    weights_t kept = {0};
    lspo_train_result_t result;
    lspo_train_options_t options = options_for("zero", data, &kept);
    options.steps = 0;
    cr_expect_eq(lspo_train(&options, &result), LSPO_ERR_INPUT);
    options = options_for("zero", data, &kept);
    options.warmup_steps = STEPS;
    cr_expect_eq(lspo_train(&options, &result), LSPO_ERR_INPUT);
    options = options_for("zero", data, &kept);
    options.min_learning_rate = 1;
    cr_expect_eq(lspo_train(&options, &result), LSPO_ERR_INPUT);
    options = options_for("zero", data, &kept);
    options.resume = true;
    cr_expect_eq(lspo_train(&options, &result), LSPO_ERR_INPUT);
    options = options_for("zero", data, &kept);
    options.patience = 1;
    cr_expect_eq(lspo_train(&options, &result), LSPO_ERR_INPUT);
    lspo_dataset_close(data);
    remove_folder();
}
