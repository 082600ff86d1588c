/* Trainings of a tiny model that are divided into segments, or end early and are resumed: the results are the same. */
#include <criterion/criterion.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "real/train/metrics.h"
#include "real/train/train.h"
#include "tests/tiny_training.h"

Test(interruption, segments_change_no_number)
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

Test(interruption, an_interrupted_training_goes_on_as_if_it_had_not_been)
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

static void die_in_evaluation(void *context, const char *phase, uint32_t done, uint32_t of)
{
    (void)context, (void)of;
    if (done == 1 && strcmp(phase, "evaluating") == 0)
        _exit(9);
}

/* A resumed training that is killed while it repeats its evaluation. */
static void resume_and_die(lspo_train_options_t options)
{
    int code;
    options.resume = true;
    options.stop = NULL;
    options.phase = die_in_evaluation;
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        lspo_train_result_t result;
        lspo_train(&options, &result);
        _exit(0);
    }
    cr_assert_eq(waitpid(child, &code, 0), child);
    cr_assert(WIFEXITED(code) && WEXITSTATUS(code) == 9, "status %x", (unsigned)code);
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

/* Each evaluation in turn, after steps 0, 5, 10 and, the last one, 14, is ended in its second batch, begun again by a
 * process that is killed, and done when the training is resumed. */
Test(interruption, an_interrupted_evaluation_is_done_when_resumed)
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
            if (i > 0)
                resume_and_die(options);
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

Test(interruption, an_end_in_the_middle_of_a_segment_leaves_whole_steps)
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

/* Interrupted behind the best evaluation and resumed: the best weights come out of the checkpoint. */
Test(interruption, the_best_weights_outlive_an_interruption)
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
