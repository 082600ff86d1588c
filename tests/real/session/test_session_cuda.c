/* A session on the CUDA device, against the host's: every policy learns the same there.  On the CPU that stands in for
 * a GPU (tests/cuda_on_host/) streams are threads that dawdle, so that an op which does not wait for what it reads
 * computes something else, and memory that was given back holds NaN. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plan/policies/axonn.h"
#include "plan/policies/deep_optimizer_states.h"
#include "plan/policies/lsp.h"
#include "plan/policies/stream.h"
#include "plan/policies/zero.h"
#include "plan/policy.h"
#include "real/execute/play.h"
#include "real/methods/methods.h"
#include "real/session/state.h"
#include "real/train/checkpoint.h"
#include "sim/memory.h"
#include "tests/cuda_on_host/cuda_on_host.h"
#include "tests/cuda_session.h"
#include "tests/own_values.h"
#include "tests/uneven_rows.h"

/* For gpt() in what has no part in attention: there a second head would take time only. */
static lspo_model_t of_one_head(lspo_model_t model)
{
    model.head_count = model.kv_head_count = 1;
    return model;
}

static lspo_model_t llama(void)
{
    lspo_model_t model = gpt();
    model.family = LSPO_FAMILY_LLAMA;
    model.kv_head_count = 1;
    model.tied_head = false;
    return model;
}

static lspo_workload_t workload_in_4_bits(void)
{
    lspo_workload_t workload = small_workload();
    lspo_lora_values_edit(&workload)->base_weights = LSPO_BASE_WEIGHTS_NF4;
    return workload;
}

static void compare_all(const lspo_model_t *model, const lspo_workload_t *workload, double tolerance)
{
    for (uint32_t i = 0; i < lspo_policy_count(); i++)
        compare(model, lspo_policy_at(i)->name, workload, tolerance);
}

/* fp32: sums run in another order, roots are rounded otherwise.  What is packed on the way may be rounded the other
 * way. */
static const double fp32_tolerance = 1e-5, packed_tolerance = 1e-4;

Test(session_cuda, every_policy_in_fp32)
{
    lspo_model_t model = gpt();
    lspo_workload_t workload = small_workload();
    compare_all(&model, &workload, fp32_tolerance);
}

Test(session_cuda, clipping_accumulation_checkpointing_decay_and_packed_messages)
{
    lspo_model_t model = gpt();
    lspo_workload_t workload = small_workload();
    workload.clip_norm = 0.5;
    workload.accumulation = 2;
    workload.checkpointing = true;
    workload.weight_decay = 0.1;
    workload.transfer = LSPO_BF16;
    compare_all(&model, &workload, packed_tolerance);
}

Test(session_cuda, llama_in_fp32)
{
    static const char *const policies[] = {"native", "zero-layerwise", "lsp", "lora"};
    lspo_model_t model = llama();
    lspo_workload_t workload = small_workload();
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++)
        compare(&model, policies[i], &workload, fp32_tolerance);
}

/* Numbers of 8 significant bits: a loss of 5.5 moves by some thousandths. */
Test(session_cuda, every_policy_in_bf16)
{
    ONLY_WITH_BF16();
    lspo_model_t model = gpt();
    lspo_workload_t workload = small_workload();
    workload.precision = workload.transfer = LSPO_BF16;
    workload.weight_decay = 0.1;
    compare_all(&model, &workload, 4e-3);
}

/* The host's Adam, the same rounding: in 16 bits, too, zero's losses bit for bit, with every window and time of update,
 * with a tied head and without. */
Test(session_cuda, stream_is_zero_in_bf16)
{
    ONLY_WITH_BF16();
    const lspo_model_t models[] = {of_one_head(gpt()), llama()};
    for (uint32_t variant = 0; variant < 8; variant++) {
        lspo_workload_t workload = small_workload();
        double expected[STEPS_MAX], got[STEPS_MAX];
        workload.precision = workload.transfer = LSPO_BF16;
        workload.learning_rate = 0.01;
        workload.checkpointing = variant & 1;
        workload.accumulation = variant & 2 ? 2 : 1;
        workload.clip_norm = variant & 4 ? 0.5 : 0;
        lspo_stream_values_edit(&workload)->window = 1 + variant % 3;
        lspo_stream_values_edit(&workload)->update = (variant + variant / 2 + variant / 4) % 2;
        losses_on("cuda", &models[variant / 4], "zero", &workload, expected);
        losses_on("cuda", &models[variant / 4], "stream", &workload, got);
        for (uint32_t i = 0; i < workload.iterations; i++)
            cr_expect_eq(got[i], expected[i], "variant %u: loss of step %u is %.9g, not %.9g", variant, i, got[i],
                         expected[i]);
        cr_expect_neq(got[3], got[1]);
    }
}

/* Half on each side. */
Test(session_cuda, a_share_on_the_gpu)
{
    lspo_model_t model = gpt();
    lspo_workload_t workload = small_workload();
    lspo_zero_values_edit(&workload)->cpu_share = 0.5;
    compare(&model, "zero", &workload, fp32_tolerance);
    ONLY_WITH_BF16();
    workload.precision = workload.transfer = LSPO_BF16;
    workload.clip_norm = 0.5;
    compare(&model, "zero", &workload, 4e-3);
}

/* Blocks of three subgroups, which the CPU and the GPU update in turn: gradients that stay are copied before the rest
 * leaves, and states come and go beside updates. */
Test(session_cuda, subgroups_on_both_sides)
{
    lspo_model_t model = gpt();
    lspo_workload_t workload = small_workload();
    lspo_deep_optimizer_states_values_t *own = lspo_deep_optimizer_states_values_edit(&workload);
    model.width = 64;
    model.mlp_width = 256;
    workload.iterations = 3;
    own->stride = 2;
    own->subgroup_size = 16384;
    compare(&model, "deep-optimizer-states", &workload, fp32_tolerance);
    own->stride = 3;
    own->subgroup_slots = 1;
    workload.clip_norm = 0.5;
    workload.accumulation = 2;
    workload.precision = LSPO_FP16;
    compare(&model, "deep-optimizer-states", &workload, 2e-3);
    own->optimizer_state = LSPO_OPTIMIZER_STATE_8BIT;
    workload.transfer = LSPO_FP16;
    compare(&model, "deep-optimizer-states", &workload, 5e-3);
}

/* 11 bits, and a scale of 1024; with clipping, below, a dynamic one of 65536, at which nothing overflows here. */
Test(session_cuda, every_policy_in_fp16)
{
    lspo_model_t model = gpt();
    lspo_workload_t workload = small_workload();
    workload.precision = workload.transfer = LSPO_FP16;
    compare_all(&model, &workload, 2e-3);
}

Test(session_cuda, clipping_and_accumulation_in_fp16)
{
    static const char *const policies[] = {"native", "stream", "zero-delayed", "lsp", "zenflow", "lomo"};
    lspo_model_t model = gpt();
    lspo_workload_t workload = small_workload();
    workload.precision = workload.transfer = LSPO_FP16;
    workload.clip_norm = 0.5;
    workload.accumulation = 2;
    workload.checkpointing = true;
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++)
        compare(&model, policies[i], &workload, 2e-3);
}

static void uneven_losses(const char *device, const lspo_model_t *model, const char *policy,
                          const lspo_workload_t *workload, double *losses)
{
    training_t training;
    uneven_t rows = {.workload = *workload};
    training_begin(device, model, policy, workload, &training);
    lspo_session_set_batches(training.session, uneven_batch, &rows);
    training_run(&training, losses);
    training_end(&training);
}

/* One mean over the targets of a step in every precision, too; expected is the whole batch in the host's fp32.  16 bits
 * are held to it in the most micro-batches only: the whole batch in 16 bits is every_policy's. */
static void compare_cuts(const lspo_model_t *model, const char *policy, lspo_precision_t precision, double tolerance)
{
    lspo_workload_t workload = small_training(UNEVEN_ROWS, UNEVEN_SEQUENCE, 4, LSPO_FP32);
    double expected[STEPS_MAX], got[STEPS_MAX];
    workload.clip_norm = precision == LSPO_FP16 ? 0.5 : 0;
    uneven_losses("host", model, policy, &workload, expected);
    workload.precision = workload.transfer = precision;
    for (uint32_t cut = precision == LSPO_FP32 ? 0 : UNEVEN_CUTS - 1; cut < UNEVEN_CUTS; cut++) {
        workload.batch = uneven_cuts[cut].batch;
        workload.accumulation = uneven_cuts[cut].accumulation;
        uneven_losses("cuda", model, policy, &workload, got);
        for (uint32_t i = 0; i < workload.iterations; i++)
            cr_expect(fabs(got[i] / expected[i] - 1) <= tolerance, "%s, %s, %u x %u: loss of step %u is %.9g, not %.9g",
                      policy, lspo_precision_name(precision), workload.batch, workload.accumulation, i, got[i],
                      expected[i]);
    }
}

Test(session_cuda, accumulation_is_the_larger_batch)
{
    static const char *const policies[] = {"native", "zero-layerwise", "lsp", "galore", "zenflow"};
    lspo_model_t models[] = {of_one_head(gpt()), llama()};
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        compare_cuts(&models[i & 1], policies[i], LSPO_FP32, fp32_tolerance);
        if (cuda_has_bf16())
            compare_cuts(&models[i & 1], policies[i], LSPO_BF16, 4e-3);
        compare_cuts(&models[i & 1], policies[i], LSPO_FP16, 2e-3);
    }
}

/* What the link carries need not be what the GPU computes in. */
Test(session_cuda, messages_in_another_format)
{
    ONLY_WITH_BF16();
    static const char *const policies[] = {"zero", "zero-delayed", "lsp", "zenflow"};
    lspo_model_t model = llama();
    lspo_workload_t workload = small_workload();
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        workload.precision = LSPO_BF16;
        workload.transfer = LSPO_FP32;
        compare(&model, policies[i], &workload, 4e-3);
        workload.precision = LSPO_FP16;
        workload.transfer = LSPO_BF16;
        compare(&model, policies[i], &workload, 4e-3);
    }
}

/* Projectors that are checked and fitted, by weight and by shape; moments that follow them. */
Test(session_cuda, projectors_are_fitted_as_on_the_host)
{
    lspo_model_t model = gpt();
    lspo_workload_t workload = small_workload();
    lspo_lsp_values_edit(&workload)->check_every = 2;
    workload.iterations = 3;
    lspo_lsp_values_edit(&workload)->fit_batches = 3;
    lspo_lsp_values_edit(&workload)->fit_steps = 4;
    lspo_lsp_values_edit(&workload)->bias_threshold = 0.1;
    for (int shared = 0; shared < 2; shared++) {
        lspo_lsp_values_edit(&workload)->projectors = shared ? LSPO_PROJECTORS_SHAPE : LSPO_PROJECTORS_WEIGHT;
        compare(&model, "lsp", &workload, 2 * fp32_tolerance);
    }
}

Test(session_cuda, memory_is_what_the_plan_says)
{
    static const lspo_precision_t precisions[] = {LSPO_FP32, LSPO_BF16};
    for (uint32_t i = 0; i < lspo_policy_count(); i++)
        for (size_t k = 0; k < 1u + cuda_has_bf16(); k++) {
            lspo_workload_t workload = small_workload();
            workload.precision = workload.transfer = precisions[k];
            workload.iterations = 2;
            check_peak(lspo_policy_at(i)->name, &workload);
        }
}

/* What blocks keep, on the host meanwhile: each policy's losses bit for bit, in the memory of the plan.  What
 * attention keeps has a size per head: some policies have two. */
Test(session_cuda, activations_on_the_host)
{
    for (uint32_t i = 0; i < lspo_policy_count(); i++) {
        lspo_model_t model = i % 5 == 0 ? gpt() : of_one_head(gpt());
        model.block_count = 3;
        const char *policy = lspo_policy_at(i)->name;
        lspo_workload_t workload = small_workload();
        double expected[STEPS_MAX], got[STEPS_MAX];
        workload.checkpointing = i % 2;
        workload.accumulation = 1 + i / 2 % 2;
        workload.clip_norm = i / 4 % 2 ? 0.5 : 0;
        workload.iterations = 3;
        workload.learning_rate = rate_of(policy);
        workload.precision = workload.transfer = i % 3 == 0 && cuda_has_bf16() ? LSPO_BF16 : LSPO_FP32;
        losses_on("cuda", &model, policy, &workload, expected);
        workload.swap_activations = 1 + i % 2;
        losses_on("cuda", &model, policy, &workload, got);
        for (uint32_t step = 0; step < workload.iterations; step++)
            cr_expect_eq(got[step], expected[step], "%s: loss of step %u is %.9g, not %.9g", policy, step, got[step],
                         expected[step]);
        workload.swap_activations = 1;
        check_peak(policy, &workload);
    }
}

/* Updates before the norm is known, into a second place, are those behind it: where all steps clip, some, or none. */
Test(session_cuda, speculative_clipping)
{
    static const lspo_precision_t precisions[] = {LSPO_FP32, LSPO_FP16, LSPO_BF16};
    static const double bounds[] = {1e-3, 1, 1e6};
    lspo_model_t model = of_one_head(gpt());
    for (size_t i = 0; i < 6u + 3u * cuda_has_bf16(); i++) {
        lspo_workload_t workload = small_workload();
        double expected[STEPS_MAX], got[STEPS_MAX];
        workload.precision = workload.transfer = precisions[i / 3];
        workload.clip_norm = bounds[i % 3];
        workload.iterations = 5;
        workload.learning_rate = 0.01;
        losses_on("cuda", &model, "zero-layerwise", &workload, expected);
        lspo_layerwise_values_edit(&workload)->speculate_clip = LSPO_SPECULATE_ON;
        losses_on("cuda", &model, "zero-layerwise", &workload, got);
        for (uint32_t step = 0; step < workload.iterations; step++)
            cr_expect_eq(got[step], expected[step], "%s, %g: loss of step %u is %.9g, not %.9g",
                         lspo_precision_name(workload.precision), workload.clip_norm, step, got[step], expected[step]);
    }
}

/* Weights that were quantized on the host, expanded on the GPU. */
Test(session_cuda, lora_on_4_bit_weights)
{
    static const lspo_precision_t precisions[] = {LSPO_FP32, LSPO_FP16, LSPO_BF16};
    static const double tolerances[] = {1e-5, 2e-3, 4e-3};
    lspo_model_t models[] = {gpt(), llama()};
    for (size_t i = 0; i < 4u + 2u * cuda_has_bf16(); i++) {
        lspo_workload_t workload = workload_in_4_bits();
        workload.precision = workload.transfer = precisions[i / 2];
        workload.checkpointing = i % 2;
        compare(&models[i % 2], "lora", &workload, tolerances[i / 2]);
        check_peak("lora", &workload);
    }
}

/* ---- m and v in other formats ---- */

static bool set_state(const lspo_policy_t *policy, lspo_workload_t *workload, uint32_t state)
{
    own_value(policy, workload, "optimizer-state", state);
    return lspo_policy_use(policy, &lspo_parameter_optimizer_state) != NULL;
}

/* As on the host, but for numbers at a limit of two codes or bf16 numbers: each policy beside fp32 weights with one
 * format, beside bf16 ones with the other.  (galore: see check_peak().) */
Test(session_cuda, every_format_of_the_state)
{
    lspo_model_t model = of_one_head(gpt());
    for (uint32_t i = 0; i < lspo_policy_count(); i++) {
        const lspo_policy_t *policy = lspo_policy_at(i);
        lspo_workload_t workload = small_workload();
        if (!set_state(policy, &workload, 1 + i % 2))
            continue;
        compare(&model, policy->name, &workload, 1e-4);
        set_state(policy, &workload, 2 - i % 2);
        workload.precision = workload.transfer = cuda_has_bf16() ? LSPO_BF16 : LSPO_FP16;
        compare(&model, policy->name, &workload, 5e-3);
        if (policy->gradient_form != LSPO_FORM_LOWRANK)
            check_peak(policy->name, &workload);
    }
}

/* Without an fp32 master 16-bit weights on the CPU are rounded randomly, by the same bits wherever they are. */
Test(session_cuda, stream_is_zero_in_every_format_of_the_state)
{
    lspo_model_t model = of_one_head(gpt());
    for (uint32_t state = 1; state < LSPO_OPTIMIZER_STATE_COUNT; state++)
        for (int half = cuda_has_bf16() ? 0 : 1; half < 2; half++) {
            lspo_workload_t workload = small_workload();
            double expected[STEPS_MAX], got[STEPS_MAX];
            workload.precision = workload.transfer = half ? LSPO_FP16 : LSPO_BF16;
            workload.learning_rate = 0.01;
            for (uint32_t i = 0; i < lspo_policy_count(); i++)
                set_state(lspo_policy_at(i), &workload, state);
            losses_on("cuda", &model, "zero", &workload, expected);
            losses_on("cuda", &model, "stream", &workload, got);
            cr_expect_arr_eq(got, expected, workload.iterations * sizeof *got);
            losses_on("cuda", &model, "zero-layerwise", &workload, got);
            cr_expect_arr_eq(got, expected, workload.iterations * sizeof *got);
            losses_on("cuda", &model, "native", &workload, expected);
            losses_on("cuda", &model, "swap", &workload, got);
            cr_expect_arr_eq(got, expected, workload.iterations * sizeof *got);
        }
}

static char *make_folder(char *path)
{
    strcpy(path, "/tmp/lspo-session-cuda-XXXXXX");
    cr_assert_not_null(mkdtemp(path));
    return path;
}

static lspo_state_array_t *arrays_of(lspo_session_t *session, uint32_t *count_out)
{
    *count_out = lspo_session_state_count(session);
    lspo_state_array_t *arrays = calloc(*count_out, sizeof *arrays);
    cr_assert_not_null(arrays);
    for (uint32_t i = 0; i < *count_out; i++)
        lspo_session_state_at(session, i, &arrays[i]);
    return arrays;
}

static void write_checkpoint(lspo_session_t *session, const char *folder)
{
    uint32_t count;
    lspo_state_array_t *arrays = arrays_of(session, &count);
    lspo_train_state_t state = {.step = 3};
    const lspo_checkpoint_t checkpoint = {.state = &state, .arrays = arrays, .array_count = count};
    cr_assert_eq(lspo_checkpoint_write(folder, &checkpoint, 1), LSPO_OK);
    free(arrays);
}

static lspo_status_t read_checkpoint(lspo_session_t *session, const char *folder)
{
    uint32_t count;
    bool found;
    lspo_train_state_t state = {0};
    lspo_state_array_t *arrays = arrays_of(session, &count);
    const lspo_checkpoint_t checkpoint = {.state = &state, .arrays = arrays, .array_count = count};
    lspo_status_t status = lspo_checkpoint_resume(folder, &checkpoint, false, &found);
    if (status == LSPO_OK)
        status = lspo_session_state_written(session);
    free(arrays);
    return status;
}

static void remove_folder(const char *folder)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert_eq(system(command), 0);
}

/* Two steps on one device, a checkpoint, two on the other: the losses of four on the host. */
static void check_resume(const char *policy, const lspo_workload_t *base, const char *first_device,
                         const char *then_device)
{
    enum { FIRST = 2, ALL = 4 };
    char folder[64];
    double expected[ALL], got[ALL];
    lspo_model_t model = gpt();
    lspo_workload_t whole = *base, first, rest;
    training_t training;
    whole.iterations = ALL;
    whole.weight_decay = 0.1;
    first = rest = whole;
    first.iterations = FIRST;
    first.open_end = true;
    rest.iterations = ALL - FIRST;
    rest.first_step = FIRST;
    losses_on("host", &model, policy, &whole, expected);
    training_begin(first_device, &model, policy, &first, &training);
    training_run(&training, got);
    write_checkpoint(training.session, make_folder(folder));
    training_end(&training);
    training_begin(then_device, &model, policy, &rest, &training);
    cr_assert_eq(read_checkpoint(training.session, folder), LSPO_OK, "%s", policy);
    training_run(&training, got + FIRST);
    training_end(&training);
    remove_folder(folder);
    for (uint32_t i = 0; i < ALL; i++)
        cr_expect_float_eq(got[i] / expected[i], 1, fp32_tolerance, "%s, %s to %s: step %u", policy, first_device,
                           then_device, i);
}

Test(session_cuda, checkpoints_go_from_one_device_to_the_other)
{
    lspo_workload_t workload = small_workload(), in_4_bits = workload_in_4_bits();
    for (uint32_t i = 0; i < lspo_policy_count(); i++) {
        check_resume(lspo_policy_at(i)->name, &workload, "cuda", "host");
        check_resume(lspo_policy_at(i)->name, &workload, "host", "cuda");
    }
    check_resume("lora", &in_4_bits, "cuda", "host");
    check_resume("lora", &in_4_bits, "host", "cuda");
}

/* A checkpoint of 16-bit weights says so: fp32 does not take it, bf16 goes on with it bit for bit. */
static void check_resume_in_bf16(uint32_t state)
{
    static const char *const policies[] = {"native", "zero-delayed", "lsp", "swap", "badam", "stream"};
    lspo_model_t model = of_one_head(gpt());
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        char folder[64];
        lspo_workload_t workload = small_workload(), rest;
        for (uint32_t p = 0; p < lspo_policy_count(); p++)
            set_state(lspo_policy_at(p), &workload, state);
        double whole[2], resumed[2];
        training_t training;
        workload.iterations = 3;
        workload.precision = workload.transfer = LSPO_BF16;
        workload.open_end = true;
        rest = workload;
        rest.first_step = 3;
        rest.iterations = 2;
        training_begin("cuda", &model, policies[i], &workload, &training);
        lspo_trace_t *trace = NULL;
        cr_assert_eq(training_try(&training, &trace), LSPO_OK);
        lspo_trace_destroy(trace);
        write_checkpoint(training.session, make_folder(folder));
        lspo_plan_t *plan = make_plan(&model, policies[i], &rest);
        cr_assert_eq(lspo_session_continue(training.session, plan), LSPO_OK);
        lspo_plan_destroy(training.plan);
        training.plan = plan;
        training_run(&training, whole);
        training_end(&training);
        training_begin("cuda", &model, policies[i], &rest, &training);
        cr_assert_eq(read_checkpoint(training.session, folder), LSPO_OK);
        training_run(&training, resumed);
        training_end(&training);
        cr_assert_arr_eq(resumed, whole, sizeof whole, "%s", policies[i]);
        rest.precision = rest.transfer = LSPO_FP32;
        training_begin("cuda", &model, policies[i], &rest, &training);
        cr_assert_eq(read_checkpoint(training.session, folder), LSPO_ERR_INPUT);
        training_end(&training);
        remove_folder(folder);
    }
}

Test(session_cuda, checkpoints_in_bf16)
{
    ONLY_WITH_BF16();
    for (uint32_t state = 0; state < LSPO_OPTIMIZER_STATE_COUNT; state++)
        check_resume_in_bf16(state);
}

static double held_out_on(const char *device, const char *policy, lspo_precision_t precision)
{
    lspo_model_t model = gpt();
    lspo_workload_t workload = small_workload();
    lspo_evaluation_t evaluation;
    training_t training;
    workload.precision = precision;
    training_begin(device, &model, policy, &workload, &training);
    cr_assert_eq(lspo_session_evaluate(training.session, made_up_batch, NULL, 3, &evaluation), LSPO_OK);
    training_end(&training);
    return evaluation.loss;
}

/* swap: weights that are at home go to the device for it. */
Test(session_cuda, evaluation_of_resident_and_swapped_weights)
{
    double expected = held_out_on("host", "native", LSPO_FP32);
    cr_expect_float_eq(held_out_on("cuda", "native", LSPO_FP32) / expected, 1, 1e-5);
    cr_expect_float_eq(held_out_on("cuda", "swap", LSPO_FP32) / expected, 1, 1e-5);
    ONLY_WITH_BF16();
    cr_expect_float_eq(held_out_on("cuda", "swap", LSPO_BF16) / expected, 1, 2e-3);
}

/* Weights in and out, rounded to bf16 at most once. */
Test(session_cuda, weights_come_and_go_in_fp32)
{
    ONLY_WITH_BF16();
    lspo_model_t model = gpt();
    lspo_workload_t workload = small_workload();
    training_t training;
    workload.precision = workload.transfer = LSPO_BF16;
    training_begin("cuda", &model, "native", &workload, &training);
    size_t count = training.session->stages[1].shape.element_count;
    float *in = malloc(count * sizeof *in), *out = malloc(count * sizeof *out);
    for (size_t i = 0; i < count; i++)
        in[i] = (float)(i % 1001) / 1001.0F - 0.5F;
    cr_assert_eq(lspo_session_set_weights(training.session, 1, in), LSPO_OK);
    cr_assert_eq(lspo_session_weights(training.session, 1, out), LSPO_OK);
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &out[i], sizeof bits);
        cr_assert_eq(bits & 0xffff, 0);
        cr_assert_leq(fabsf(out[i] - in[i]), fabsf(in[i]) / 256);
    }
    free(out);
    free(in);
    training_end(&training);
}

/* Everything past the first matrix product is NaN: the step and the loss are named, whatever was issued behind. */
Test(session_cuda, a_loss_that_is_not_finite_ends_the_training)
{
    lspo_model_t model = gpt();
    lspo_workload_t workload = small_workload();
    training_t training;
    lspo_trace_t *trace = NULL;
    training_begin("cuda", &model, "zero", &workload, &training);
    size_t count = training.session->stages[1].shape.element_count;
    float *weights = malloc(count * sizeof *weights);
    for (size_t i = 0; i < count; i++)
        weights[i] = (float)NAN;
    cr_assert_eq(lspo_session_set_weights(training.session, 1, weights), LSPO_OK);
    cr_assert_eq(training_try(&training, &trace), LSPO_ERR_NUMERIC);
    free(weights);
    training_end(&training);
}

/* fp16 with the first scale of 65536 and a gain of 300 before the logits: the gradients behind it overflow, and neither
 * side may move anything.  Twice halved, they still do. */
Test(session_cuda, steps_whose_gradients_overflow_are_skipped)
{
    static const char *const policies[] = {"native", "zero", "zero-delayed",   "lsp",
                                           "lomo",   "swap", "zero-layerwise", "axonn"};
    lspo_model_t model = of_one_head(gpt());
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        lspo_workload_t workload = small_workload();
        training_t training;
        double losses[STEPS_MAX];
        workload.precision = workload.transfer = LSPO_FP16;
        workload.clip_norm = 1;
        workload.iterations = 2;
        workload.weight_decay = 0.1;
        lspo_layerwise_values_edit(&workload)->speculate_clip = LSPO_SPECULATE_ON;
        training_begin("cuda", &model, policies[i], &workload, &training);
        uint32_t head = training.plan->stage_count - 1;
        size_t head_count = training.session->stages[head].shape.element_count;
        size_t count = training.session->stages[1].shape.element_count;
        float *gain = malloc(head_count * sizeof *gain);
        float *before = malloc(count * sizeof *before), *after = malloc(count * sizeof *after);
        for (size_t k = 0; k < head_count; k++)
            gain[k] = k < model.width ? 300 : 0;
        cr_assert_eq(lspo_session_set_weights(training.session, head, gain), LSPO_OK);
        cr_assert_eq(lspo_session_weights(training.session, 1, before), LSPO_OK);
        training_run(&training, losses);
        cr_assert_eq(lspo_session_weights(training.session, 1, after), LSPO_OK);
        cr_expect_arr_eq(after, before, count * sizeof *after, "%s moved", policies[i]);
        cr_expect_eq(training.session->scaling.now, 65536 / 4, "%s", policies[i]);
        cr_expect_gt(losses[0], 5);
        free(after);
        free(before);
        free(gain);
        training_end(&training);
    }
}

/* A hash of the state of all stages, without that of the loss scale. */
static uint64_t state_hash(lspo_session_t *session)
{
    uint64_t hash = 1;
    for (uint32_t i = 0; i < lspo_session_state_count(session); i++) {
        lspo_state_array_t array;
        lspo_session_state_at(session, i, &array);
        if (!strchr(array.name, '.'))
            continue;
        const size_t bytes = lspo_state_array_bytes(&array);
        unsigned char *copy = malloc(bytes);
        cr_assert_eq(lspo_state_array_read(&array, 0, bytes, copy), LSPO_OK);
        for (size_t k = 0; k < bytes; k++)
            hash = (hash ^ copy[k]) * UINT64_C(1099511628211);
        free(copy);
    }
    return hash;
}

/* axonn, three buckets a block: the gradients of the blocks overflow, those of the head's norm do not.  No bucket's
 * weights, master, m or v may change, not even of those with a finite gradient. */
Test(session_cuda, an_overflow_in_one_bucket_changes_none)
{
    lspo_model_t model = gpt();
    lspo_workload_t workload = small_workload();
    training_t training;
    double losses[STEPS_MAX];
    uint32_t finite = 0, infinite = 0;
    model.width = 64;
    model.mlp_width = 256;
    lspo_axonn_values_edit(&workload)->bucket_size = 16384;
    workload.precision = workload.transfer = LSPO_FP16;
    workload.clip_norm = 1;
    workload.weight_decay = 0.1;
    workload.iterations = 1;
    training_begin("cuda", &model, "axonn", &workload, &training);
    const uint32_t head = training.plan->stage_count - 1;
    const size_t head_count = training.session->stages[head].shape.element_count;
    float *gain = malloc(head_count * sizeof *gain);
    for (size_t k = 0; k < head_count; k++)
        gain[k] = k < model.width ? 300 : 0;
    cr_assert_eq(lspo_session_set_weights(training.session, head, gain), LSPO_OK);
    const uint64_t before = state_hash(training.session);
    training_run(&training, losses);
    for (uint32_t s = 0; s <= head; s++)
        *(isfinite(training.session->squares_read[s]) ? &finite : &infinite) += 1;
    cr_expect(finite > 0 && infinite > 0, "%u finite, %u not", finite, infinite);
    cr_expect_eq(state_hash(training.session), before, "something moved");
    cr_expect_eq(training.session->scaling.now, 65536 / 2);
    training_end(&training);
    free(gain);
}

/* Buckets come, are updated and leave on three streams; one at a time and two. */
Test(session_cuda, buckets_of_axonn)
{
    lspo_model_t model = gpt();
    lspo_workload_t workload = small_workload();
    lspo_axonn_values_t *own = lspo_axonn_values_edit(&workload);
    model.width = 64;
    model.mlp_width = 256;
    workload.iterations = 3;
    own->bucket_size = 16384;
    compare(&model, "axonn", &workload, fp32_tolerance);
    own->bucket_slots = 2;
    workload.clip_norm = 0.5;
    workload.accumulation = 2;
    workload.precision = LSPO_FP16;
    compare(&model, "axonn", &workload, 2e-3);
    own->optimizer_state = LSPO_OPTIMIZER_STATE_8BIT;
    compare(&model, "axonn", &workload, 5e-3);
}

/* Many updates of a thousandth of a weight's spacing in bf16: rounded to the nearest they would all be lost.  native
 * and zero have no master with m and v in bf16. */
Test(session_cuda, small_steps_add_up_without_a_master)
{
    ONLY_WITH_BF16();
    static const char *const policies[] = {"lsp", "galore", "lomo", "zenflow", "native", "zero"};
    lspo_model_t model = of_one_head(gpt());
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        lspo_workload_t workload = small_workload();
        training_t training;
        double losses[STEPS_MAX], moved = 0;
        workload.precision = workload.transfer = LSPO_BF16;
        workload.learning_rate = strcmp(policies[i], "lomo") == 0 ? 1e-3 : 1e-6;
        workload.iterations = 4;
        for (uint32_t p = 0; i >= 4 && p < lspo_policy_count(); p++)
            set_state(lspo_policy_at(p), &workload, LSPO_OPTIMIZER_STATE_BF16);
        training_begin("cuda", &model, policies[i], &workload, &training);
        size_t count = training.session->stages[1].linear_elements;
        float *before = malloc(training.session->stages[1].shape.element_count * sizeof *before);
        float *after = malloc(training.session->stages[1].shape.element_count * sizeof *after);
        cr_assert_eq(lspo_session_weights(training.session, 1, before), LSPO_OK);
        training_run(&training, losses);
        cr_assert_eq(lspo_session_weights(training.session, 1, after), LSPO_OK);
        for (size_t k = 0; k < count; k++)
            moved += before[k] != after[k];
        cr_expect_gt(moved, 0, "%s: no weight moved", policies[i]);
        cr_expect_lt(moved, 0.5 * (double)count, "%s: %.0f of %zu weights moved", policies[i], moved, count);
        free(after);
        free(before);
        training_end(&training);
    }
}
