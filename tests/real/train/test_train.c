/* The schedule by hand, and trainings of a tiny model: that they learn, what they export, and when they end. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "real/train/metrics.h"
#include "real/train/train.h"
#include "tests/tiny_training.h"

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

Test(train, exported_weights_are_the_trained_model)
{
    make_folder();
    static const char *const merged[] = {"native", "lsp", "lora", "lora"}; /* the last one on 4-bit weights */
    lspo_dataset_t *data = open_data();
    for (size_t p = 0; p < sizeof merged / sizeof merged[0]; p++) {
        weights_t kept = {0}, again = {0};
        lspo_train_options_t options = options_for(merged[p], data, &kept);
        if (p == 3)
            lspo_lora_values_edit(&options.workload)->base_weights = LSPO_BASE_WEIGHTS_NF4;
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

/* The metrics have nine digits. */
static void check_scores(const lspo_scores_t *scores, const lspo_scores_t *wanted)
{
    cr_expect_float_eq(scores->accuracy, wanted->accuracy, 1e-8);
    cr_expect_float_eq(scores->f1, wanted->f1, 1e-8);
    cr_expect_float_eq(scores->matthews, wanted->matthews, 1e-8);
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
    cr_expect_float_eq(result.state.scores_before.accuracy + other.state.scores_before.accuracy, 1, 1e-12);
    cr_expect_neq(result.state.scores_before.accuracy, other.state.scores_before.accuracy,
                  "all classes or none are right");
    cr_expect_gt(result.state.scores_last.accuracy, 0.95, "%g", result.state.scores_last.accuracy);
    cr_expect_gt(result.state.scores_best.accuracy, 0.95, "%g", result.state.scores_best.accuracy);
    lspo_metrics_row_t *rows;
    size_t count;
    cr_assert_eq(lspo_metrics_read(path_of("labels.csv"), &rows, &count), LSPO_OK);
    cr_assert_eq(count, 41);
    check_scores(&rows[0].scores, &result.state.scores_before);
    cr_expect(isnan(rows[5].scores.accuracy) && isnan(rows[5].scores.f1) && isnan(rows[10].perplexity));
    cr_expect(isfinite(rows[10].scores.f1) && isfinite(rows[10].scores.matthews) && isnan(rows[10].scores.pearson));
    check_scores(&rows[40].scores, &result.state.scores_last);
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
