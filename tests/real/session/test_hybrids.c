/* --native-layers on the host: policies with exact semantics train as native, bit for bit, for every number of native
 * layers; lsp does so with all; and the memory is that of the plan. */
#include "tests/session_fixture.h"

enum { LAYERS = BLOCKS + 2, VARIANTS = 16 };

static lspo_workload_t workload_of(int variant)
{
    lspo_workload_t workload = small_workload();
    workload.iterations = 5;
    workload.weight_decay = 0.1;
    workload.checkpointing = variant & 1;
    workload.clip_norm = variant & 2 ? 0.05 : 0;
    workload.accumulation = variant & 4 ? 2 : 1;
    workload.train_rest = variant & 8 ? LSPO_TRAIN_REST_OFF : LSPO_TRAIN_REST_ON;
    return workload;
}

static void set_native(const char *policy_name, uint32_t layers, lspo_workload_t *workload)
{
    const lspo_policy_t *policy = NULL;
    cr_assert_eq(lspo_policy_find(policy_name, &policy), LSPO_OK);
    own_value(policy, workload, "native-layers", layers);
}

static void assert_as_native(const char *policy, uint32_t layers, const lspo_workload_t *workload, int variant)
{
    outcome_t expected, got;
    char what[96];
    snprintf(what, sizeof what, "%s, %u native layers, variant %d", policy, layers, variant);
    train("native", workload, &expected);
    train(policy, workload, &got);
    assert_identical(what, workload, &expected, &got);
    cr_assert_eq(got.held_out_after, expected.held_out_after, "%s", what);
    cr_assert_neq(got.losses[4], got.losses[0]);
    outcome_release(&got);
    outcome_release(&expected);
}

Test(native_layers, equal_native_bit_for_bit)
{
    static const char *const policies[] = {"zero", "zero-layerwise", "backward-update"};
    for (int variant = 0; variant < VARIANTS; variant++)
        for (int i = 0; i < 3; i++) {
            lspo_workload_t workload = workload_of(variant);
            uint32_t layers = 1 + (uint32_t)(variant + 2 * i) % LAYERS;
            set_native(policies[i], layers, &workload);
            set_accumulate_on(&workload, variant & 1 ? LSPO_ACCUMULATE_ON_HOST : LSPO_ACCUMULATE_ON_GPU);
            assert_as_native(policies[i], layers, &workload, variant);
        }
}

Test(native_layers, all_equal_native_whatever_the_rest_would_do)
{
    static const char *const policies[] = {"lsp", "zero-delayed"};
    for (int variant = 0; variant < VARIANTS; variant += 3)
        for (int i = 0; i < 2; i++) {
            lspo_workload_t workload = workload_of(variant);
            set_native(policies[i], LAYERS, &workload);
            workload.transfer = variant & 1 ? LSPO_BF16 : LSPO_FP32;
            assert_as_native(policies[i], LAYERS, &workload, variant);
        }
}

Test(native_layers, equal_native_in_eigenbases)
{
    lspo_workload_t workload = workload_of(2), native;
    outcome_t expected, got;
    const lspo_policy_t *policy = NULL;
    cr_assert_eq(lspo_policy_find("native", &policy), LSPO_OK);
    own_value(policy, &workload, "adam-basis", LSPO_ADAM_BASIS_EIGEN);
    native = workload;
    lspo_lsp_values_edit(&workload)->adam_basis = LSPO_ADAM_BASIS_EIGEN;
    lspo_lsp_values_edit(&workload)->native_layers = LAYERS;
    train("native", &native, &expected);
    train("lsp", &workload, &got);
    assert_identical("lsp in eigenbases", &workload, &expected, &got);
    outcome_release(&got);
    outcome_release(&expected);
}

/* After one step from equal weights: a native block has native's weights, a compressed one its own. */
Test(native_layers, lsp_trains_them_in_full)
{
    for (int eigen = 0; eigen < 2; eigen++) {
        lspo_workload_t workload = workload_of(0);
        outcome_t native, got;
        const lspo_policy_t *policy = NULL;
        workload.iterations = 1;
        cr_assert_eq(lspo_policy_find("native", &policy), LSPO_OK);
        own_value(policy, &workload, "adam-basis", eigen ? LSPO_ADAM_BASIS_EIGEN : LSPO_ADAM_BASIS_PLAIN);
        lspo_lsp_values_edit(&workload)->adam_basis = eigen ? LSPO_ADAM_BASIS_EIGEN : LSPO_ADAM_BASIS_PLAIN;
        lspo_lsp_values_edit(&workload)->native_layers = 3;
        train("native", &workload, &native);
        train("lsp", &workload, &got);
        for (uint32_t s = 0; s + 1 < LAYERS; s++) {
            bool same = memcmp(got.weights[s], native.weights[s], native.counts[s] * sizeof(float)) == 0;
            cr_expect_eq(same, s < 3, "stage %u", s);
        }
        outcome_release(&got);
        outcome_release(&native);
    }
}

static double last_loss(const lspo_workload_t *workload)
{
    outcome_t got;
    train("lsp", workload, &got);
    double loss = got.losses[workload->iterations - 1];
    outcome_release(&got);
    return loss;
}

/* Layers that train in full train better: with equal steps the loss falls with their number. */
Test(native_layers, of_lsp_lower_the_loss)
{
    lspo_workload_t workload = workload_of(8);
    double before = INFINITY;
    workload.iterations = 30;
    for (uint32_t layers = 1; layers <= 4; layers += 3) {
        lspo_lsp_values_edit(&workload)->native_layers = layers;
        double loss = last_loss(&workload);
        cr_expect_lt(loss, before, "%u native layers: %g", layers, loss);
        before = loss;
    }
}

Test(native_layers, take_the_memory_of_the_plan)
{
    static const char *const policies[] = {"zero", "zero-layerwise", "lsp", "zero-delayed"};
    for (int variant = 0; variant < VARIANTS; variant += 5)
        for (int i = 0; i < 4; i++) {
            lspo_workload_t workload = workload_of(variant);
            workload.transfer = variant & 1 ? LSPO_BF16 : LSPO_FP32;
            set_native(policies[i], 2 + (uint32_t)i % 2, &workload);
            lspo_lsp_values_edit(&workload)->check_every = variant & 4 ? 2 : 0;
            lspo_lsp_values_edit(&workload)->bias_threshold = 0;
            lspo_lsp_values_edit(&workload)->projectors = variant & 8 ? LSPO_PROJECTORS_SHAPE : LSPO_PROJECTORS_WEIGHT;
            assert_planned_memory(policies[i], &workload);
        }
}

/* Another number is another place for the state. */
Test(native_layers, another_number_cannot_continue)
{
    lspo_workload_t workload = segment_workload();
    training_t training;
    workload.iterations = 2;
    training_begin("lsp", &workload, &training);
    workload.first_step = 2;
    set_native("lsp", 2, &workload);
    lspo_plan_t *plan = make_plan("lsp", &workload);
    cr_assert_eq(lspo_session_continue(training.session, plan), LSPO_ERR_INPUT);
    lspo_plan_destroy(plan);
    training_end(&training);
}
