/* Micro-batches are equivalent to the larger batch: a step has one mean over the targets of all its rows, for any
 * division and any number of targets per row.  Rows: uneven_rows.h. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "plan/policy.h"
#include "real/execute/executor.h"
#include "real/methods/methods.h"
#include "tests/small_training.h"
#include "tests/uneven_rows.h"

enum { STEPS = 6 };

typedef struct {
    uneven_t rows;
    lspo_plan_t *plan;
    lspo_device_t *device;
    lspo_session_t *session;
} training_t;

static void training_begin(const lspo_model_t *model, const char *policy_name, const lspo_workload_t *workload,
                           training_t *training)
{
    const lspo_policy_t *policy = NULL;
    const lspo_device_caps_t caps = {0};
    *training = (training_t){.rows = {.workload = *workload, .class_count = model->class_count}};
    cr_assert_eq(lspo_policy_find(policy_name, &policy), LSPO_OK);
    cr_assert_eq(lspo_plan_build(model, workload, policy, &training->plan), LSPO_OK, "%s", policy_name);
    cr_assert_eq(lspo_device_open("host", &caps, &training->device), LSPO_OK);
    cr_assert_eq(lspo_session_create(training->plan, training->device, NULL, &training->session), LSPO_OK);
    lspo_session_set_batches(training->session, uneven_batch, &training->rows);
}

static void training_run(training_t *training)
{
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_execute(training->plan, lspo_session_run_op, NULL, training->session, NULL, &trace), LSPO_OK);
    lspo_trace_destroy(trace);
}

static double evaluated(training_t *training)
{
    lspo_evaluation_t evaluation;
    cr_assert_eq(lspo_session_evaluate(training->session, uneven_evaluated, &training->rows,
                                       training->rows.workload.accumulation, &evaluation),
                 LSPO_OK);
    return evaluation.loss;
}

static void training_end(training_t *training)
{
    lspo_session_destroy(training->session);
    lspo_device_close(training->device);
    lspo_plan_destroy(training->plan);
}

typedef struct {
    double before, losses[STEPS], norm, after;
} outcome_t;

static outcome_t outcome_of(const lspo_model_t *model, const char *policy, lspo_workload_t workload, uint32_t cut)
{
    training_t training;
    outcome_t outcome;
    workload.batch = uneven_cuts[cut].batch;
    workload.accumulation = uneven_cuts[cut].accumulation;
    workload.learning_rate *= strcmp(policy, "lomo") == 0 ? 30 : 1;
    training_begin(model, policy, &workload, &training);
    outcome.before = evaluated(&training);
    training_run(&training);
    memcpy(outcome.losses, lspo_session_losses(training.session), sizeof outcome.losses);
    outcome.norm = lspo_session_gradient_norm(training.session);
    outcome.after = evaluated(&training);
    training_end(&training);
    return outcome;
}

static lspo_workload_t small_workload(void)
{
    lspo_workload_t workload = small_training(UNEVEN_ROWS, UNEVEN_SEQUENCE, STEPS, LSPO_FP32);
    workload.clip_norm = 0.5;
    workload.train_rest = LSPO_TRAIN_REST_ON;
    return workload;
}

/* Sums run in another order: a step along Adam's direction carries that on in full where a gradient is tiny. */
static void assert_close(double got, double expected, double tolerance, const char *policy, const char *what)
{
    cr_assert(fabs(got / expected - 1) <= tolerance, "%s: %s is %.9g, not %.9g", policy, what, got, expected);
}

static void check_policy(const lspo_model_t *model, const char *policy)
{
    lspo_workload_t workload = small_workload();
    const outcome_t whole = outcome_of(model, policy, workload, 0);
    assert_close(whole.losses[0], whole.before, 1e-6, policy, "the first loss of the whole batch");
    cr_assert(fabs(whole.after / whole.before - 1) > 2e-4, "%s: learns too little for a comparison", policy);
    for (uint32_t cut = 1; cut < UNEVEN_CUTS; cut++) {
        const outcome_t parts = outcome_of(model, policy, workload, cut);
        assert_close(parts.losses[0], whole.losses[0], 1e-6, policy, "the first loss");
        for (uint32_t step = 1; step < STEPS; step++)
            assert_close(parts.losses[step], whole.losses[step], 1e-5, policy, "a loss");
        assert_close(parts.norm, whole.norm, 1e-4, policy, "the last norm");
        assert_close(parts.after, whole.after, 1e-5, policy, "the held-out loss");
    }
}

static void check_family(lspo_family_t family)
{
    const lspo_model_t model = uneven_model(family);
    for (uint32_t i = 0; i < lspo_policy_count(); i++)
        check_policy(&model, lspo_policy_at(i)->name);
}

Test(accumulation, is_the_larger_batch_under_every_policy)
{
    check_family(LSPO_FAMILY_GPT);
}

Test(accumulation, is_the_larger_batch_of_a_llama)
{
    check_family(LSPO_FAMILY_LLAMA);
}

Test(accumulation, is_the_larger_batch_of_a_classifier)
{
    check_family(LSPO_FAMILY_BERT);
}

/* A step against the gradient g lowers the loss by rate x |g|^2: the norm that is told is that of the mean whose value
 * is told. */
Test(accumulation, norm_and_loss_are_of_one_mean)
{
    const lspo_model_t model = uneven_model(LSPO_FAMILY_GPT);
    const double rate = 1e-3;
    for (uint32_t cut = 0; cut < UNEVEN_CUTS; cut++) {
        training_t training;
        lspo_workload_t workload = small_workload();
        workload.batch = uneven_cuts[cut].batch;
        workload.accumulation = uneven_cuts[cut].accumulation;
        workload.iterations = 2;
        workload.clip_norm = 1e6;
        workload.learning_rate = rate;
        training_begin(&model, "lomo", &workload, &training);
        training.rows.one_step = true;
        training_run(&training);
        const double *losses = lspo_session_losses(training.session);
        double norm = lspo_session_gradient_norm(training.session); /* of the second step, a little lower */
        cr_assert_float_eq((losses[0] - losses[1]) / (rate * norm * norm), 1, 0.02, "%u x %u: %.9g to %.9g, norm %g",
                           workload.batch, workload.accumulation, losses[0], losses[1], norm);
        training_end(&training);
    }
}

/* Nothing is divided by nothing. */
Test(accumulation, a_step_without_a_target_is_told_and_teaches_nothing)
{
    const lspo_model_t model = uneven_model(LSPO_FAMILY_GPT);
    for (uint32_t cut = 0; cut < UNEVEN_CUTS; cut++) {
        training_t training;
        lspo_workload_t workload = small_workload();
        workload.batch = uneven_cuts[cut].batch;
        workload.accumulation = uneven_cuts[cut].accumulation;
        workload.iterations = 3;
        training_begin(&model, "lomo", &workload, &training);
        training.rows.empty_step = true;
        training_run(&training);
        const double *losses = lspo_session_losses(training.session);
        cr_assert_eq(losses[1], 0);
        cr_assert(losses[2] > 1 && losses[2] < 10, "%g", losses[2]);
        cr_assert(isfinite(evaluated(&training)));
        training_end(&training);
    }
}

/* The 1st, 2nd, 4th, 8th and 16th of 17 such steps are told. */
Test(accumulation, thousands_of_steps_without_a_target_are_told_a_few_times)
{
    const lspo_model_t model = uneven_model(LSPO_FAMILY_GPT);
    training_t training;
    lspo_workload_t workload = small_workload();
    workload.batch = UNEVEN_ROWS;
    workload.accumulation = 1;
    workload.iterations = 17;
    training_begin(&model, "lomo", &workload, &training);
    training.rows.always_empty = true;
    FILE *messages = tmpfile();
    cr_assert_not_null(messages);
    fflush(stderr);
    int kept = dup(STDERR_FILENO);
    dup2(fileno(messages), STDERR_FILENO);
    training_run(&training);
    dup2(kept, STDERR_FILENO);
    close(kept);
    rewind(messages);
    char line[256];
    int count = 0;
    while (fgets(line, sizeof line, messages))
        count += strstr(line, "no target of its batch counts") != NULL;
    cr_expect_eq(count, 5);
    fclose(messages);
    training_end(&training);
}
