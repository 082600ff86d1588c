/* axonn on the host: for every bucket size and number of slots, losses and weights are those of zero and of native, bit
 * for bit, in every format of the state; the memory is that of the plan; and between two segments all state is on the
 * host. */
#include "plan/policies/axonn.h"
#include "tests/state_variants.h"

static const char name[] = "axonn";

static lspo_axonn_values_t *own_of(lspo_workload_t *workload)
{
    return lspo_axonn_values_edit(workload);
}

static void assert_as(const char *policy, const char *what, const lspo_workload_t *workload)
{
    outcome_t expected, got;
    lspo_workload_t same = *workload;
    const lspo_policy_t *other = NULL;
    cr_assert_eq(lspo_policy_find(policy, &other), LSPO_OK);
    *(uint32_t *)lspo_policy_slot(other, &same, &lspo_parameter_optimizer_state) =
        lspo_axonn_values_of(workload)->optimizer_state;
    train(policy, &same, &expected);
    train(name, workload, &got);
    assert_identical(what, workload, &expected, &got);
    cr_assert_eq(got.held_out_before, expected.held_out_before, "%s", what);
    cr_assert_eq(got.held_out_after, expected.held_out_after, "%s", what);
    cr_assert_neq(got.losses[SHORT - 1], got.losses[0]);
    outcome_release(&got);
    outcome_release(&expected);
}

/* A bucket size of 16e6 makes each layer one bucket: the update that is not divided. */
Test(axonn, equals_zero_and_native_for_every_bucket_size, .init = widen, .fini = narrow)
{
    static const uint32_t sizes[] = {1, 16384, 20000, 40000, 16000000};
    for (int variant = 0; variant < VARIANTS; variant++) {
        lspo_workload_t workload = workload_of(variant);
        char what[96];
        own_of(&workload)->bucket_size = sizes[(size_t)variant % (sizeof sizes / sizeof sizes[0])];
        own_of(&workload)->bucket_slots = 1 + (uint32_t)(variant / 2) % 3;
        own_of(&workload)->pipeline_order = (uint32_t)variant % 3; /* one GPU has only one */
        snprintf(what, sizeof what, "variant %d, buckets of %u", variant, own_of(&workload)->bucket_size);
        assert_as(variant % 2 ? "zero" : "native", what, &workload);
    }
}

Test(axonn, equals_zero_in_every_format, .init = widen, .fini = narrow)
{
    for (uint32_t state = LSPO_OPTIMIZER_STATE_FP32; state < LSPO_OPTIMIZER_STATE_COUNT; state++)
        for (int whole = 0; whole < 2; whole++) {
            lspo_workload_t workload = workload_of(2);
            own_of(&workload)->bucket_size = whole ? 16000000 : 1;
            own_of(&workload)->optimizer_state = state;
            assert_as("zero", lspo_optimizer_state_names[state], &workload);
        }
}

Test(axonn, device_memory_is_what_the_plan_says, .init = widen, .fini = narrow)
{
    for (int variant = 0; variant < VARIANTS; variant += 3) {
        lspo_workload_t workload = workload_of(variant);
        own_of(&workload)->bucket_size = variant & 1 ? 1 : 16000000;
        own_of(&workload)->bucket_slots = 1 + (uint32_t)variant % 3;
        assert_planned_memory(name, &workload);
    }
}

/* A training in two segments, the second with other buckets, is the training as a whole. */
Test(axonn, continues_with_other_buckets, .init = widen, .fini = narrow)
{
    lspo_workload_t workload = segment_workload(), second;
    training_t whole, parts;
    double losses[STEPS], first[STEPS], rest[STEPS];
    workload.iterations = 6;
    own_of(&workload)->bucket_size = 1;
    training_begin(name, &workload, &whole);
    training_run(&whole, losses);
    second = workload;
    workload.iterations = second.first_step = 3;
    second.iterations = 3;
    own_of(&second)->bucket_size = 40000;
    own_of(&second)->bucket_slots = 2;
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
