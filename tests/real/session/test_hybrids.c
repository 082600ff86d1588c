/* Hybrids on the host: with --native-layers, policies with exact semantics train as native, bit for bit, for every
 * number of native layers, and lsp does so with all; with --chunk-bytes every policy trains as without, with
 * --speculate-clip as without whether steps clip or not; and the memory is that of the plan. */
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

/* ---- --chunk-bytes ---- */

static const char *const sending[] = {"zero", "zero-layerwise", "backward-update", "zero-delayed", "lsp", "lsp-paper"};
enum { SENDING = sizeof sending / sizeof sending[0] };

/* Blocks of 32768 weights: two parts. */
static void widen(void)
{
    width_factor = 2;
}

static void narrow(void)
{
    width_factor = 1;
}

static void set_chunk(const char *policy_name, double bytes, lspo_workload_t *workload)
{
    const lspo_policy_t *policy = NULL;
    cr_assert_eq(lspo_policy_find(policy_name, &policy), LSPO_OK);
    own_value(policy, workload, "chunk-bytes", bytes);
}

static uint32_t parts_of(const char *policy, const lspo_workload_t *workload)
{
    lspo_plan_t *plan = make_plan(policy, workload);
    uint32_t most = 0;
    for (uint32_t i = 0; i < plan->op_count; i++)
        if (plan->ops[i].kind == LSPO_OP_UPD && plan->ops[i].micro > most)
            most = plan->ops[i].micro;
    lspo_plan_destroy(plan);
    return most + 1;
}

Test(chunk_bytes, equal_whole_messages_bit_for_bit, .init = widen, .fini = narrow)
{
    for (int variant = 0; variant < VARIANTS; variant += 3)
        for (int i = 0; i < SENDING; i++) {
            lspo_workload_t workload = workload_of(variant);
            outcome_t whole, parts;
            char what[96];
            workload.iterations = 4;
            workload.transfer = variant & 1 ? LSPO_BF16 : LSPO_FP32;
            lspo_lsp_values_edit(&workload)->subspace = 100;
            train(sending[i], &workload, &whole);
            set_chunk(sending[i], 1024, &workload);
            train(sending[i], &workload, &parts);
            snprintf(what, sizeof what, "%s, variant %d", sending[i], variant);
            assert_identical(what, &workload, &whole, &parts);
            outcome_release(&parts);
            outcome_release(&whole);
        }
}

/* In 8 bits parts begin with blocks of moments, and rounded masters with their random numbers; bases are not cut. */
Test(chunk_bytes, equal_whole_messages_in_every_format, .init = widen, .fini = narrow)
{
    static const struct {
        const char *policy, *key;
        double value;
    } cases[] = {{"zero", "optimizer-state", LSPO_OPTIMIZER_STATE_BF16},
                 {"zero", "optimizer-state", LSPO_OPTIMIZER_STATE_8BIT},
                 {"zero", "adam-basis", LSPO_ADAM_BASIS_EIGEN},
                 {"lsp", "adam-basis", LSPO_ADAM_BASIS_EIGEN}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const lspo_policy_t *policy = NULL;
        lspo_workload_t workload = workload_of(2);
        outcome_t whole, parts;
        workload.iterations = 4;
        cr_assert_eq(lspo_policy_find(cases[i].policy, &policy), LSPO_OK);
        own_value(policy, &workload, cases[i].key, cases[i].value);
        lspo_lsp_values_edit(&workload)->subspace = 100;
        train(policy->name, &workload, &whole);
        set_chunk(policy->name, 1024, &workload);
        cr_expect_gt(parts_of(policy->name, &workload), 1u); /* in bases of the embedding */
        train(policy->name, &workload, &parts);
        assert_identical(cases[i].key, &workload, &whole, &parts);
        outcome_release(&parts);
        outcome_release(&whole);
    }
}

Test(chunk_bytes, take_the_memory_of_the_plan, .init = widen, .fini = narrow)
{
    for (int variant = 0; variant < VARIANTS; variant += 5)
        for (int i = 0; i < 5; i++) {
            lspo_workload_t workload = workload_of(variant);
            workload.iterations = 4;
            workload.transfer = variant & 1 ? LSPO_BF16 : LSPO_FP32;
            lspo_lsp_values_edit(&workload)->subspace = 100;
            set_chunk(sending[i], 1024, &workload);
            set_native(sending[i], variant & 4 ? 2 : 0, &workload);
            cr_assert_gt(parts_of(sending[i], &workload), 1u);
            assert_planned_memory(sending[i], &workload);
        }
}

/* The parts are no part of a training's state: another size continues it. */
Test(chunk_bytes, another_size_continues, .init = widen, .fini = narrow)
{
    lspo_workload_t workload = segment_workload(), rest;
    training_t whole, parts;
    double expected[STEPS], first[STEPS], last[STEPS];
    workload.iterations = 6;
    training_begin("zero-layerwise", &workload, &whole);
    training_run(&whole, expected);
    rest = workload;
    workload.iterations = rest.first_step = 3;
    rest.iterations = 3;
    set_chunk("zero-layerwise", 1024, &rest);
    training_begin("zero-layerwise", &workload, &parts);
    training_run(&parts, first);
    training_continue(&parts, "zero-layerwise", &rest);
    training_run(&parts, last);
    for (uint32_t i = 0; i < 6; i++)
        cr_assert_eq(i < 3 ? first[i] : last[i - 3], expected[i], "step %u", i);
    assert_equal_weights("in parts", "zero-layerwise", &whole, &parts);
    training_end(&parts);
    training_end(&whole);
}

/* ---- --speculate-clip ---- */

/* How many of the steps clip; *largest_out: the largest norm. */
static uint32_t count_clipped(lspo_workload_t workload, double *largest_out)
{
    training_t training;
    double loss;
    uint32_t clipped = 0, steps = workload.iterations;
    *largest_out = 0;
    workload.iterations = 1;
    training_begin("zero-layerwise", &workload, &training);
    for (uint32_t step = 0; step < steps; step++) {
        workload.first_step = step;
        if (step > 0)
            training_continue(&training, "zero-layerwise", &workload);
        training_run(&training, &loss);
        double norm = lspo_session_gradient_norm(training.session);
        clipped += norm > workload.clip_norm;
        *largest_out = fmax(*largest_out, norm);
    }
    training_end(&training);
    return clipped;
}

static void assert_speculates_as_it_waits(lspo_workload_t workload, const char *what)
{
    training_t waiting, speculating;
    double expected[STEPS], got[STEPS];
    training_begin("zero-layerwise", &workload, &waiting);
    training_run(&waiting, expected);
    lspo_layerwise_values_edit(&workload)->speculate_clip = LSPO_SPECULATE_ON;
    training_begin("zero-layerwise", &workload, &speculating);
    training_run(&speculating, got);
    for (uint32_t i = 0; i < workload.iterations; i++)
        cr_assert_eq(got[i], expected[i], "%s: step %u", what, i);
    assert_equal_weights(what, "zero-layerwise", &waiting, &speculating);
    training_end(&speculating);
    training_end(&waiting);
}

/* All steps, none, and some. */
Test(speculate_clip, equals_waiting_bit_for_bit)
{
    for (int variant = 0; variant < VARIANTS; variant += 3) {
        lspo_workload_t workload = workload_of(variant);
        const double bounds[] = {1e-3, 1e9, 0};
        const char *const names[] = {"all clip", "none clips", "some clip"};
        double largest;
        workload.iterations = 12;
        workload.transfer = variant & 1 ? LSPO_BF16 : LSPO_FP32;
        set_native("zero-layerwise", variant & 4 ? 2 : 0, &workload);
        workload.clip_norm = bounds[1];
        count_clipped(workload, &largest);
        for (int i = 0; i < 3; i++) {
            uint32_t clipped;
            double share = 0.95;
            workload.clip_norm = bounds[i] > 0 ? bounds[i] : share * largest;
            clipped = count_clipped(workload, &(double){0});
            while (i == 2 && (clipped == 0 || clipped == workload.iterations) && share > 0.3) {
                workload.clip_norm = (share -= 0.05) * largest;
                clipped = count_clipped(workload, &(double){0});
            }
            cr_assert(i == 0   ? clipped == 12
                      : i == 1 ? clipped == 0
                               : clipped > 0 && clipped < 12,
                      "%s: %u", names[i], clipped);
            assert_speculates_as_it_waits(workload, names[i]);
        }
    }
}

Test(speculate_clip, takes_the_memory_of_the_plan)
{
    lspo_workload_t workload = workload_of(2);
    lspo_layerwise_values_edit(&workload)->speculate_clip = LSPO_SPECULATE_ON;
    assert_planned_memory("zero-layerwise", &workload);
}

/* The second place is no part of a training's state: what follows a segment may wait again, in a session that reads its
 * checkpoint (tests/test_settings.sh), but not in this one, which has no such place. */
Test(speculate_clip, segments)
{
    lspo_workload_t workload = workload_of(2), rest;
    training_t whole, parts;
    double expected[STEPS], first[STEPS], last[STEPS];
    workload.iterations = 6;
    training_begin("zero-layerwise", &workload, &whole);
    training_run(&whole, expected);
    lspo_layerwise_values_edit(&workload)->speculate_clip = LSPO_SPECULATE_ON;
    rest = workload;
    workload.iterations = rest.first_step = 3; /* each place is the first in turn: an odd number of steps */
    rest.iterations = 3;
    training_begin("zero-layerwise", &workload, &parts);
    training_run(&parts, first);
    training_continue(&parts, "zero-layerwise", &rest);
    training_run(&parts, last);
    for (uint32_t i = 0; i < 6; i++)
        cr_assert_eq(i < 3 ? first[i] : last[i - 3], expected[i], "step %u", i);
    assert_equal_weights("speculating", "zero-layerwise", &whole, &parts);
    lspo_layerwise_values_edit(&rest)->speculate_clip = LSPO_SPECULATE_OFF;
    lspo_plan_t *other = make_plan("zero-layerwise", &rest);
    cr_expect_eq(lspo_session_continue(parts.session, other), LSPO_ERR_INPUT);
    lspo_plan_destroy(other);
    training_end(&parts);
    training_end(&whole);
}
