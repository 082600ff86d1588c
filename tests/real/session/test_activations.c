/* --swap-activations on the host: every policy trains as without it, bit for bit, for every number of blocks, in the
 * memory of the plan, and from segment to segment. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include "tests/session_fixture.h"

enum { VARIANTS = 16 };

static lspo_workload_t workload_of(int variant)
{
    lspo_workload_t workload = segment_workload();
    workload.iterations = 5;
    workload.checkpointing = variant & 1;
    workload.clip_norm = variant & 2 ? 0.05 : 0;
    workload.accumulation = variant & 4 ? 2 : 1;
    workload.train_rest = variant & 8 ? LSPO_TRAIN_REST_ON : LSPO_TRAIN_REST_AUTO;
    lspo_lsp_values_edit(&workload)->check_every = variant & 2 ? 2 : 0;
    lspo_lsp_values_edit(&workload)->fit_steps = 8;
    lspo_lsp_values_edit(&workload)->bias_threshold = 0;
    return workload;
}

static void assert_as_without(const char *policy, lspo_workload_t workload, int variant)
{
    outcome_t expected, got;
    char what[96];
    train(policy, &workload, &expected);
    for (workload.swap_activations = 1; workload.swap_activations < block_count; workload.swap_activations++) {
        snprintf(what, sizeof what, "%s, %u blocks, variant %d", policy, workload.swap_activations, variant);
        train(policy, &workload, &got);
        assert_identical(what, &workload, &expected, &got);
        outcome_release(&got);
    }
    outcome_release(&expected);
}

Test(swap_activations, every_policy_trains_as_without)
{
    for (uint32_t i = 0; i < lspo_policy_count(); i++)
        for (int variant = (int)i % 3; variant < VARIANTS; variant += 3)
            assert_as_without(lspo_policy_at(i)->name, workload_of(variant), variant);
}

Test(swap_activations, take_the_memory_of_the_plan)
{
    for (uint32_t i = 0; i < lspo_policy_count(); i++) {
        lspo_workload_t workload = workload_of((int)(i * 5 % VARIANTS));
        workload.swap_activations = 1 + i % 2;
        assert_planned_memory(lspo_policy_at(i)->name, &workload);
    }
}

/* What the allocator's mark says, too: of lsp, which keeps no gradients, a block less for each that is swapped. */
Test(swap_activations, lowers_the_peak)
{
    lspo_workload_t workload = workload_of(0);
    outcome_t without, with;
    lspo_activations_t a;
    lspo_model_t model = small_model();
    workload.batch = 8;
    lspo_activations(&model, &workload, &a);
    train("lsp", &workload, &without);
    for (workload.swap_activations = 1; workload.swap_activations < BLOCKS; workload.swap_activations++) {
        train("lsp", &workload, &with);
        double less_bytes = (double)without.peak_bytes - (double)with.peak_bytes;
        double expected_bytes = (double)workload.swap_activations * (double)(a.saved_bytes + a.input_bytes);
        cr_expect_float_eq(less_bytes, expected_bytes, 0.02 * (double)without.peak_bytes, "%g, not %g", less_bytes,
                           expected_bytes);
        outcome_release(&with);
    }
    outcome_release(&without);
}

/* From segment to segment; but the buffers on the host are those of one number of blocks. */
Test(swap_activations, segments)
{
    static const char *const policies[] = {"zero-delayed", "badam", "lsp"};
    for (int i = 0; i < 3; i++) {
        lspo_workload_t workload = segment_workload(), rest;
        training_t whole, parts;
        double expected[STEPS], first[STEPS], last[STEPS];
        workload.iterations = 6;
        training_begin(policies[i], &workload, &whole);
        training_run(&whole, expected);
        workload.swap_activations = 2;
        rest = workload;
        workload.iterations = rest.first_step = 3;
        workload.open_end = true;
        rest.iterations = 3;
        training_begin(policies[i], &workload, &parts);
        training_run(&parts, first);
        training_continue(&parts, policies[i], &rest);
        training_run(&parts, last);
        for (uint32_t step = 0; step < 6; step++)
            cr_assert_eq(step < 3 ? first[step] : last[step - 3], expected[step], "%s, step %u", policies[i], step);
        assert_equal_weights("swapping", policies[i], &whole, &parts);
        rest.swap_activations = 1;
        lspo_plan_t *other = make_plan(policies[i], &rest);
        cr_expect_eq(lspo_session_continue(parts.session, other), LSPO_ERR_INPUT);
        lspo_plan_destroy(other);
        training_end(&parts);
        training_end(&whole);
    }
}

/* Block 1 puts out infinity, which is on the host when the head's loss is judged: it is named as without. */
Test(swap_activations, finds_the_broken_stage_on_the_host, .init = cr_redirect_stderr)
{
    char line[512];
    uint32_t named = 0;
    for (uint32_t swapped = 0; swapped < BLOCKS; swapped++) {
        lspo_workload_t workload = workload_of(0);
        training_t training;
        lspo_trace_t *trace = NULL;
        workload.iterations = 1;
        workload.swap_activations = swapped;
        training_begin("native", &workload, &training);
        for (uint32_t i = 0; i < 8; i++)
            ((float *)training.session->stages[1].weights)[i] = (float)INFINITY;
        cr_expect_eq(lspo_execute(training.plan, lspo_session_run_op, NULL, training.session, NULL, &trace),
                     LSPO_ERR_NUMERIC);
        training_end(&training);
    }
    fflush(stderr);
    FILE *errors = cr_get_redirected_stderr();
    while (named < BLOCKS && fgets(line, sizeof line, errors) != NULL)
        named += strstr(line, "come from stage 1;") != NULL;
    cr_expect_eq(named, (uint32_t)BLOCKS);
}
