/* Segments of a longer training, one after the other on one session, and its state: the same numbers, bit for bit. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/session_fixture.h"

static void copy_state(lspo_session_t *from, lspo_session_t *to)
{
    uint32_t count = lspo_session_state_count(from);
    cr_assert_gt(count, 0);
    cr_assert_eq(lspo_session_state_count(to), count);
    for (uint32_t i = 0; i < count; i++) {
        lspo_state_array_t a, b;
        lspo_session_state_at(from, i, &a);
        lspo_session_state_at(to, i, &b);
        cr_assert_str_eq(a.name, b.name);
        cr_assert_eq(a.type, b.type);
        cr_assert_eq(a.element_count, b.element_count);
        memcpy(b.data, a.data, lspo_state_array_bytes(&a));
    }
    cr_assert_eq(lspo_session_state_written(to), LSPO_OK);
}

/* Ten steps in one plan; 5 + 1 + 4 in three; and 5, whose state alone goes to another session, which does the rest. */
static void check_segments(const char *policy, const lspo_workload_t *base)
{
    enum { WHOLE = 10, FIRST = 5 };
    lspo_workload_t whole = *base, first = *base, middle = *base, last = *base, rest = *base;
    double expected[WHOLE], got[WHOLE];
    training_t one, parts, resumed;
    whole.iterations = WHOLE;
    first.iterations = FIRST;
    middle.iterations = 1;
    last.iterations = WHOLE - FIRST - 1;
    rest.iterations = WHOLE - FIRST;
    first.open_end = middle.open_end = true;
    middle.first_step = rest.first_step = FIRST;
    last.first_step = FIRST + 1;

    training_begin(policy, &whole, &one);
    training_run(&one, expected);
    training_begin(policy, &first, &parts);
    training_run(&parts, got);
    training_begin(policy, &rest, &resumed);
    copy_state(parts.session, resumed.session);
    training_continue(&parts, policy, &middle);
    training_run(&parts, got + FIRST);
    training_continue(&parts, policy, &last);
    training_run(&parts, got + FIRST + 1);
    cr_assert_arr_eq(got, expected, sizeof got, "%s", policy);
    assert_equal_weights("in segments", policy, &one, &parts);
    training_run(&resumed, got + FIRST);
    cr_assert_arr_eq(got, expected, sizeof got, "%s", policy);
    assert_equal_weights("resumed", policy, &one, &resumed);
    cr_assert_neq(expected[WHOLE - 1], expected[0]);
    training_end(&resumed);
    training_end(&parts);
    training_end(&one);
}

Test(segments, segments_are_one_training_bit_for_bit)
{
    for (uint32_t i = 0; i < lspo_policy_count(); i++) {
        lspo_workload_t workload = segment_workload();
        check_segments(lspo_policy_at(i)->name, &workload);
    }
}

Test(segments, segments_are_one_training_on_4_bit_weights)
{
    lspo_workload_t workload = segment_workload();
    lspo_lora_values_edit(&workload)->base_weights = LSPO_BASE_WEIGHTS_NF4;
    workload.train_rest = LSPO_TRAIN_REST_ON;
    workload.clip_norm = 0.05;
    workload.accumulation = 2;
    check_segments("lora", &workload);
}

Test(segments, segments_are_one_training_with_clipping_packing_and_accumulation)
{
    static const char *const policies[] = {"native", "zero", "zero-delayed", "lsp", "galore"};
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        lspo_workload_t workload = segment_workload();
        workload.clip_norm = 0.05;
        workload.accumulation = 2;
        workload.transfer = LSPO_BF16;
        check_segments(policies[i], &workload);
    }
}

Test(segments, segments_are_one_training_in_every_format_of_the_state)
{
    for (uint32_t i = 0; i < lspo_policy_count(); i++) {
        const lspo_policy_t *policy = lspo_policy_at(i);
        for (uint32_t state = 1; state < LSPO_OPTIMIZER_STATE_COUNT; state++) {
            lspo_workload_t workload = segment_workload();
            if (lspo_policy_use(policy, &lspo_parameter_optimizer_state) == NULL)
                continue;
            own_value(policy, &workload, "optimizer-state", state);
            check_segments(policy->name, &workload);
        }
    }
}

/* Renewals, fits and the segments' ends fall on different steps. */
Test(segments, segments_are_one_training_in_every_basis_of_adam)
{
    for (uint32_t basis = LSPO_ADAM_BASIS_FIXED; basis < LSPO_ADAM_BASIS_COUNT; basis++)
        for (int variant = 0; variant < 6; variant++) {
            lspo_workload_t workload = segment_workload();
            lspo_lsp_values_t *lsp = lspo_lsp_values_edit(&workload);
            lsp->adam_basis = basis;
            lsp->basis_lane = variant & 4 ? LSPO_BASIS_LANE_GPU : LSPO_BASIS_LANE_CPU;
            lsp->basis_every = 3;
            lsp->check_every = variant & 1 ? 4 : 0;
            lsp->bias_threshold = 0;
            lsp->projectors = variant & 2 ? LSPO_PROJECTORS_SHAPE : LSPO_PROJECTORS_WEIGHT;
            workload.clip_norm = variant & 2 ? 0.05 : 0;
            workload.accumulation = variant & 2 ? 2 : 1;
            workload.transfer = variant & 2 ? LSPO_BF16 : LSPO_FP32;
            check_segments("lsp", &workload);
        }
}

Test(segments, segments_are_one_training_of_every_policy_in_bases)
{
    for (uint32_t i = 0; i < lspo_policy_count(); i++) {
        const lspo_policy_t *policy = lspo_policy_at(i);
        lspo_workload_t workload = segment_workload();
        if (lspo_policy_use(policy, &lspo_parameter_adam_basis) == NULL)
            continue;
        own_value(policy, &workload, "adam-basis", LSPO_ADAM_BASIS_EIGEN);
        own_value(policy, &workload, "basis-every", 3);
        workload.clip_norm = 0.05;
        workload.accumulation = 2;
        workload.transfer = LSPO_BF16;
        check_segments(policy->name, &workload);
    }
}

/* Some layers are native, and lsp's projectors are fitted meanwhile. */
Test(segments, segments_are_one_training_with_native_layers)
{
    for (uint32_t i = 0; i < lspo_policy_count(); i++) {
        const lspo_policy_t *policy = lspo_policy_at(i);
        lspo_workload_t workload = checking_workload();
        if (lspo_policy_use(policy, &lspo_parameter_native_layers) == NULL)
            continue;
        own_value(policy, &workload, "native-layers", 2);
        own_value(policy, &workload, "adam-basis", LSPO_ADAM_BASIS_EIGEN);
        workload.clip_norm = 0.05;
        workload.transfer = LSPO_BF16;
        check_segments(policy->name, &workload);
    }
}

/* A plan that leaves its update and has no other: one step, then the rest. */
Test(segments, a_segment_may_be_one_step_without_an_update)
{
    lspo_workload_t workload = segment_workload(), whole = workload, rest = workload;
    double expected[4], got[4];
    training_t one, parts;
    whole.iterations = 4;
    workload.iterations = 1;
    workload.open_end = true;
    rest.first_step = 1;
    rest.iterations = 3;
    training_begin("zero-delayed", &whole, &one);
    training_run(&one, expected);
    training_begin("zero-delayed", &workload, &parts);
    training_run(&parts, got);
    training_continue(&parts, "zero-delayed", &rest);
    training_run(&parts, got + 1);
    cr_assert_arr_eq(got, expected, sizeof got);
    assert_equal_weights("in segments", "zero-delayed", &one, &parts);
    training_end(&parts);
    training_end(&one);
}

Test(segments, another_policy_or_batch_does_not_go_on)
{
    lspo_workload_t workload = segment_workload();
    workload.iterations = 1;
    training_t training;
    training_begin("zero", &workload, &training);
    lspo_plan_t *other = make_plan("native", &workload);
    cr_assert_eq(lspo_session_continue(training.session, other), LSPO_ERR_INPUT);
    lspo_plan_destroy(other);
    workload.batch++;
    other = make_plan("zero", &workload);
    cr_assert_eq(lspo_session_continue(training.session, other), LSPO_ERR_INPUT);
    lspo_plan_destroy(other);
    training_end(&training);
}

Test(segments, segments_are_one_training_with_checks)
{
    lspo_workload_t workload = checking_workload();
    check_segments("lsp", &workload);
    workload.transfer = LSPO_BF16;
    workload.accumulation = 2;
    workload.clip_norm = 0.05;
    check_segments("lsp", &workload);
}

Test(segments, segments_are_one_training_with_pairs_by_shape)
{
    lspo_workload_t workload = checking_workload();
    lspo_lsp_values_edit(&workload)->projectors = LSPO_PROJECTORS_SHAPE;
    check_segments("lsp", &workload);
    workload.transfer = LSPO_BF16;
    workload.accumulation = 2;
    workload.clip_norm = 0.05;
    check_segments("lsp", &workload);
}
