/* The loss scale: it must not change results, and it skips steps that overflow.  On the host, where a power of two is
 * exact. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/policies/galore.h"
#include "plan/policy.h"
#include "real/execute/executor.h"
#include "real/methods/methods.h"
#include "real/session/state.h"
#include "tests/host_weights.h"
#include "tests/small_training.h"

enum { STEPS = 6, SKIPPED = 3 };

static const lspo_model_t model = {.name = "test",
                                   .family = LSPO_FAMILY_GPT,
                                   .block_count = 2,
                                   .width = 32,
                                   .head_count = 2,
                                   .kv_head_count = 2,
                                   .mlp_width = 64,
                                   .vocabulary = 97,
                                   .max_sequence = 16,
                                   .tied_head = true};

static lspo_workload_t small_workload(void)
{
    lspo_workload_t workload = small_training(2, 16, STEPS, LSPO_FP32);
    workload.weight_decay = 0.1;
    lspo_galore_values_edit(&workload)->project_every = 4;
    return workload;
}

static lspo_status_t made_up_batch(void *context, uint32_t step, uint32_t micro, lspo_batch_t *batch)
{
    (void)context;
    for (uint32_t i = 0; i < 2 * 16; i++) {
        batch->tokens[i] = (200 - i * 3 + step + 7 * micro) % 97;
        batch->targets[i] = i % 3 == 2 ? LSPO_TARGET_IGNORED : (batch->tokens[i] + 90) % 97;
    }
    return LSPO_OK;
}

typedef struct {
    lspo_plan_t *plan;
    lspo_device_t *device;
    lspo_session_t *session;
} training_t;

static void training_begin(const char *policy_name, const lspo_workload_t *workload, training_t *training)
{
    const lspo_policy_t *policy = NULL;
    lspo_device_caps_t caps = {0};
    cr_assert_eq(lspo_policy_find(policy_name, &policy), LSPO_OK);
    cr_assert_eq(lspo_plan_build(&model, workload, policy, &training->plan), LSPO_OK);
    cr_assert_eq(lspo_device_open("host", &caps, &training->device), LSPO_OK);
    cr_assert_eq(lspo_session_create(training->plan, training->device, NULL, &training->session), LSPO_OK);
    lspo_session_set_batches(training->session, made_up_batch, NULL);
}

static lspo_status_t training_run(training_t *training)
{
    lspo_trace_t *trace = NULL;
    lspo_status_t status = lspo_execute(training->plan, lspo_session_run_op, NULL, training->session, NULL, &trace);
    lspo_trace_destroy(trace);
    return status;
}

static void training_end(training_t *training)
{
    lspo_session_destroy(training->session);
    lspo_device_close(training->device);
    lspo_plan_destroy(training->plan);
}

static void assert_same_training(const char *what, training_t *a, training_t *b)
{
    cr_assert_eq(training_run(a), LSPO_OK, "%s", what);
    cr_assert_eq(training_run(b), LSPO_OK, "%s", what);
    cr_assert_arr_eq(lspo_session_losses(a->session), lspo_session_losses(b->session), STEPS * sizeof(double), "%s",
                     what);
    for (uint32_t s = 0; s < a->plan->stage_count; s++)
        cr_assert_arr_eq(host_weights(a->session, s), host_weights(b->session, s),
                         a->session->stages[s].shape.element_count * sizeof(float), "%s: weights of stage %u", what, s);
}

static void check_scale(const char *policy, double scale, double clip, uint32_t accumulation)
{
    lspo_workload_t plain = small_workload(), scaled;
    training_t a, b;
    plain.clip_norm = clip;
    plain.accumulation = accumulation;
    scaled = plain;
    scaled.loss_scale = scale;
    training_begin(policy, &plain, &a);
    training_begin(policy, &scaled, &b);
    assert_same_training(policy, &a, &b);
    if (clip > 0)
        cr_assert_eq(lspo_session_gradient_norm(a.session), lspo_session_gradient_norm(b.session), "%s", policy);
    training_end(&b);
    training_end(&a);
}

Test(loss_scale, a_static_scale_changes_no_bit)
{
    for (uint32_t i = 0; i < lspo_policy_count(); i++) {
        check_scale(lspo_policy_at(i)->name, 1024, 0, 1);
        check_scale(lspo_policy_at(i)->name, 4096, 0.02, 2);
    }
}

/* 65536 at first, and no gradient is near fp32's end. */
Test(loss_scale, a_dynamic_scale_changes_no_bit)
{
    for (uint32_t i = 0; i < lspo_policy_count(); i++)
        check_scale(lspo_policy_at(i)->name, LSPO_LOSS_SCALE_DYNAMIC, 0.02, 1);
}

/* The final norm's gain at 1e36: logits near 1e34 and a loss that fp32 holds, but gradients behind the norm of about
 * 1e36 x 1e-3 x 30, which do not stand a factor of 8192. */
static void make_gradients_large(training_t *training)
{
    uint32_t head = training->plan->stage_count - 1;
    size_t count = training->session->stages[head].shape.element_count;
    float *weights = malloc(count * sizeof *weights);
    cr_assert_eq(lspo_session_weights(training->session, head, weights), LSPO_OK);
    for (uint32_t i = 0; i < model.width; i++)
        weights[i] = 1e36F;
    cr_assert_eq(lspo_session_set_weights(training->session, head, weights), LSPO_OK);
    free(weights);
}

/* All arrays of the state that training moves, one after the other. */
static char *copy_state(lspo_session_t *session, size_t *bytes_out)
{
    char *all = NULL;
    size_t bytes = 0;
    for (uint32_t i = 0; i < lspo_session_state_count(session); i++) {
        lspo_state_array_t array;
        lspo_session_state_at(session, i, &array);
        bool told = strncmp(array.name, "norm", 4) == 0 || strncmp(array.name, "scale", 5) == 0 ||
                    strstr(array.name, ".pending") || strstr(array.name, ".basis") || strstr(array.name, ".columns");
        if (told) /* of gradients, not of what they moved */
            continue;
        all = realloc(all, bytes + lspo_state_array_bytes(&array));
        cr_assert_eq(lspo_state_array_read(&array, 0, lspo_state_array_bytes(&array), all + bytes), LSPO_OK);
        bytes += lspo_state_array_bytes(&array);
    }
    *bytes_out = bytes;
    return all;
}

static void check_skips(const char *policy)
{
    lspo_workload_t workload = small_workload();
    training_t training;
    size_t before_bytes, after_bytes;
    workload.iterations = SKIPPED;
    workload.clip_norm = 1;
    workload.loss_scale = LSPO_LOSS_SCALE_DYNAMIC;
    workload.train_rest = LSPO_TRAIN_REST_ON;
    training_begin(policy, &workload, &training);
    make_gradients_large(&training);
    char *before = copy_state(training.session, &before_bytes);
    cr_assert_eq(training_run(&training), LSPO_OK, "%s", policy);
    cr_assert_not(isfinite(lspo_session_gradient_norm(training.session)), "%s", policy);
    cr_assert_eq(training.session->scaling.now, 65536.0F / 8, "%s", policy);
    char *after = copy_state(training.session, &after_bytes);
    cr_assert_eq(before_bytes, after_bytes);
    bool zenflow = strcmp(policy, "zenflow") == 0; /* its windows end: an update by gradients of zero, and decay */
    if (!zenflow)
        cr_assert_eq(memcmp(before, after, before_bytes), 0, "%s: a skipped step moved something", policy);
    free(after);
    free(before);
    training_end(&training);
}

Test(loss_scale, an_infinite_norm_skips_the_step_everywhere)
{
    for (uint32_t i = 0; i < lspo_policy_count(); i++)
        if (strcmp(lspo_policy_at(i)->name, "galore") != 0) /* singular vectors of what is not finite: an error */
            check_skips(lspo_policy_at(i)->name);
}

/* Where the scale is fixed, an infinite norm ends the training, as ever. */
Test(loss_scale, a_static_scale_does_not_skip)
{
    lspo_workload_t workload = small_workload();
    training_t training;
    workload.clip_norm = 1;
    workload.loss_scale = 65536;
    training_begin("native", &workload, &training);
    make_gradients_large(&training);
    cr_assert_eq(training_run(&training), LSPO_ERR_NUMERIC);
    training_end(&training);
}

/* After 200 good steps in a row it doubles, and they are counted anew. */
Test(loss_scale, good_steps_double_a_dynamic_scale)
{
    lspo_workload_t workload = small_workload();
    training_t training;
    workload.clip_norm = 1;
    workload.loss_scale = LSPO_LOSS_SCALE_DYNAMIC;
    training_begin("native", &workload, &training);
    training.session->scaling.good_steps = 200 - STEPS + 1; /* the last step but one is the 200th */
    cr_assert_eq(training_run(&training), LSPO_OK);
    cr_assert_eq(training.session->scaling.now, 131072);
    cr_assert_eq(training.session->scaling.good_steps, 1);
    training_end(&training);
}

Test(loss_scale, other_scales_are_refused)
{
    const double refused[] = {0.5, 3, 33554432, -2, (double)NAN, (double)INFINITY};
    const lspo_policy_t *policy = NULL;
    lspo_plan_t *plan = NULL;
    lspo_workload_t workload = small_workload();
    cr_assert_eq(lspo_policy_find("native", &policy), LSPO_OK);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        workload.loss_scale = refused[i];
        cr_expect_eq(lspo_plan_build(&model, &workload, policy, &plan), LSPO_ERR_INPUT, "%g", refused[i]);
    }
    workload.loss_scale = LSPO_LOSS_SCALE_DYNAMIC;
    cr_expect_eq(lspo_plan_build(&model, &workload, policy, &plan), LSPO_ERR_INPUT, "without --clip");
}

Test(loss_scale, is_read_from_text)
{
    double scale = 7;
    cr_expect_eq(lspo_loss_scale_parse("--loss-scale", "auto", &scale), LSPO_OK);
    cr_expect_eq(scale, LSPO_LOSS_SCALE_AUTO);
    cr_expect_eq(lspo_loss_scale_parse("--loss-scale", "dynamic", &scale), LSPO_OK);
    cr_expect_eq(scale, LSPO_LOSS_SCALE_DYNAMIC);
    cr_expect_eq(lspo_loss_scale_parse("--loss-scale", "512", &scale), LSPO_OK);
    cr_expect_eq(scale, 512);
    char text[3][16];
    lspo_loss_scale_format(LSPO_LOSS_SCALE_AUTO, text[0], sizeof text[0]);
    lspo_loss_scale_format(LSPO_LOSS_SCALE_DYNAMIC, text[1], sizeof text[1]);
    lspo_loss_scale_format(scale, text[2], sizeof text[2]);
    cr_expect_str_eq(text[0], "auto");
    cr_expect_str_eq(text[1], "dynamic");
    cr_expect_str_eq(text[2], "512");
    cr_expect_eq(lspo_loss_scale_parse("--loss-scale", "fast", &scale), LSPO_ERR_INPUT);
    cr_expect_eq(lspo_loss_scale_parse("--loss-scale", "8 dB", &scale), LSPO_ERR_INPUT);
    cr_expect_eq(scale, 512);
}
