/* deep-optimizer-states on the host: for every stride and with each of its parts switched off, losses and weights are
 * zero's bit for bit, in every format of the state; the memory is that of the plan; and between two segments all state
 * is on the host. */
#include "plan/policies/deep_optimizer_states.h"
#include "tests/state_variants.h"

static const char name[] = "deep-optimizer-states";

static lspo_deep_optimizer_states_values_t *own_of(lspo_workload_t *workload)
{
    return lspo_deep_optimizer_states_values_edit(workload);
}

static uint32_t count_of(const lspo_plan_t *plan, lspo_op_kind_t kind)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < plan->op_count; i++)
        count += plan->ops[i].kind == kind;
    return count;
}

static void assert_as_zero(const char *what, const lspo_workload_t *workload)
{
    outcome_t expected, got;
    lspo_workload_t same = *workload;
    lspo_zero_values_edit(&same)->optimizer_state = lspo_deep_optimizer_states_values_of(workload)->optimizer_state;
    train("zero", &same, &expected);
    train(name, workload, &got);
    assert_identical(what, workload, &expected, &got);
    cr_assert_eq(got.held_out_before, expected.held_out_before, "%s", what);
    cr_assert_eq(got.held_out_after, expected.held_out_after, "%s", what);
    cr_assert_neq(got.losses[SHORT - 1], got.losses[0]);
    outcome_release(&got);
    outcome_release(&expected);
}

Test(deep_optimizer_states, equals_zero_for_every_stride, .init = widen, .fini = narrow)
{
    for (int variant = 0; variant < VARIANTS; variant++) {
        lspo_workload_t workload = workload_of(variant);
        int32_t stride = own_of(&workload)->stride = 2 + (variant + variant / 4) % 4;
        char what[96];
        own_of(&workload)->subgroup_size = variant % 3 == 0 ? 100000000 : 1;
        own_of(&workload)->subgroup_slots = 1 + (uint32_t)variant % 2;
        snprintf(what, sizeof what, "variant %d, stride %d", variant, stride);
        assert_as_zero(what, &workload);
    }
}

/* Subgroups that begin within a layer, whole ones, and both sides in every step. */
Test(deep_optimizer_states, both_sides_update, .init = widen, .fini = narrow)
{
    for (int32_t stride = 2; stride <= 5; stride++) {
        lspo_workload_t workload = workload_of(0);
        own_of(&workload)->stride = stride;
        own_of(&workload)->subgroup_size = 1;
        lspo_plan_t *plan = make_plan(name, &workload);
        uint32_t on_gpu = count_of(plan, LSPO_OP_UPD_GPU), on_cpu = count_of(plan, LSPO_OP_UPD);
        cr_expect_gt(count_of(plan, LSPO_OP_COMPRESS), 0u);
        cr_expect_eq(on_gpu, SHORT * ((on_gpu + on_cpu) / SHORT / (uint32_t)stride));
        lspo_plan_destroy(plan);
        assert_as_zero("both sides", &workload);
    }
}

Test(deep_optimizer_states, equals_zero_with_each_part_switched_off, .init = widen, .fini = narrow)
{
    for (int parts = 0; parts < 8; parts++) {
        lspo_workload_t workload = workload_of(parts & 1 ? 2 : 0);
        char what[32];
        own_of(&workload)->stride = 2;
        own_of(&workload)->subgroup_size = 1;
        own_of(&workload)->gradient_buffers = parts & 1 ? 2 : 1;
        own_of(&workload)->down_convert = parts & 2 ? LSPO_DOWN_CONVERT_ASYNC : LSPO_DOWN_CONVERT_BLOCKING;
        own_of(&workload)->interleave = parts & 4;
        snprintf(what, sizeof what, "parts %d", parts);
        assert_as_zero(what, &workload);
    }
}

Test(deep_optimizer_states, equals_zero_in_every_format, .init = widen, .fini = narrow)
{
    for (uint32_t state = LSPO_OPTIMIZER_STATE_FP32; state < LSPO_OPTIMIZER_STATE_COUNT; state++)
        for (int whole = 0; whole < 2; whole++) {
            lspo_workload_t workload = workload_of(2);
            own_of(&workload)->stride = 3;
            own_of(&workload)->subgroup_size = whole ? 100000000 : 1;
            own_of(&workload)->optimizer_state = state;
            assert_as_zero(lspo_optimizer_state_names[state], &workload);
        }
}

/* 16 bits on the link round the CPU's gradients and parameters, as zero's, but not the GPU's: near, not equal. */
Test(deep_optimizer_states, a_narrow_link_rounds_the_cpus_share_only, .init = widen, .fini = narrow)
{
    lspo_workload_t workload = workload_of(0);
    outcome_t exact, narrow_link, all_narrow;
    own_of(&workload)->stride = 2;
    train(name, &workload, &exact);
    workload.transfer = LSPO_BF16;
    train(name, &workload, &narrow_link);
    train("zero", &workload, &all_narrow);
    cr_expect_neq(narrow_link.losses[SHORT - 1], exact.losses[SHORT - 1]);
    cr_expect_neq(narrow_link.losses[SHORT - 1], all_narrow.losses[SHORT - 1]);
    cr_expect_float_eq(narrow_link.losses[SHORT - 1], exact.losses[SHORT - 1], 1e-2 * exact.losses[SHORT - 1]);
    outcome_release(&all_narrow);
    outcome_release(&narrow_link);
    outcome_release(&exact);
}

Test(deep_optimizer_states, device_memory_is_what_the_plan_says, .init = widen, .fini = narrow)
{
    for (int variant = 0; variant < VARIANTS; variant += 3) {
        lspo_workload_t workload = workload_of(variant);
        workload.transfer = variant & 4 ? LSPO_BF16 : LSPO_FP32;
        own_of(&workload)->stride = 2 + variant % 2;
        own_of(&workload)->subgroup_size = variant & 1 ? 1 : 100000000;
        own_of(&workload)->subgroup_slots = 1 + (uint32_t)variant % 3;
        assert_planned_memory(name, &workload);
    }
}

/* Between two plans all state is on the host: a training in two segments, the second with other slots and a blocking
 * down-convert, is the training as a whole. */
Test(deep_optimizer_states, continues_with_other_switches, .init = widen, .fini = narrow)
{
    lspo_workload_t workload = segment_workload(), second;
    training_t whole, parts;
    double losses[STEPS], first[STEPS], rest[STEPS];
    workload.iterations = 6;
    own_of(&workload)->stride = 2;
    own_of(&workload)->subgroup_size = 1;
    training_begin(name, &workload, &whole);
    training_run(&whole, losses);
    second = workload;
    workload.iterations = second.first_step = 3;
    second.iterations = 3;
    own_of(&second)->subgroup_slots = 1;
    own_of(&second)->down_convert = LSPO_DOWN_CONVERT_BLOCKING;
    training_begin(name, &workload, &parts);
    training_run(&parts, first);
    training_continue(&parts, name, &second);
    training_run(&parts, rest);
    for (uint32_t i = 0; i < 6; i++)
        cr_assert_eq(i < 3 ? first[i] : rest[i - 3], losses[i], "step %u", i);
    assert_equal_weights("two segments", name, &whole, &parts);
    training_end(&parts);
    training_end(&whole);
}

/* Another stride is another division of the session's buffers; a checkpoint can be resumed with one
 * (tests/test_settings.sh). */
Test(deep_optimizer_states, another_stride_cannot_continue)
{
    lspo_workload_t workload = segment_workload();
    training_t training;
    workload.iterations = 2;
    own_of(&workload)->stride = 2;
    training_begin(name, &workload, &training);
    workload.first_step = 2;
    own_of(&workload)->stride = 3;
    lspo_plan_t *plan = make_plan(name, &workload);
    cr_assert_eq(lspo_session_continue(training.session, plan), LSPO_ERR_INPUT);
    lspo_plan_destroy(plan);
    training_end(&training);
}
