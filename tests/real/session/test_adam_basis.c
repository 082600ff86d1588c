/* --adam-basis on the host: threads, resets, memory; with P = Q = I the training is that of SOAP on full gradients,
 * whose kernel tests/kernels/test_eigen_adam.c compares with a reference. */
#include <inttypes.h>

#include "base/workers.h"
#include "plan/adam_basis.h"
#include "tests/session_fixture.h"

static lspo_workload_t workload_of(lspo_adam_basis_t basis, bool narrow)
{
    lspo_workload_t workload = segment_workload();
    workload.iterations = 12;
    workload.train_rest = LSPO_TRAIN_REST_ON;
    workload.transfer = narrow ? LSPO_BF16 : LSPO_FP32;
    lspo_lsp_values_edit(&workload)->adam_basis = basis;
    lspo_lsp_values_edit(&workload)->basis_every = 4;
    return workload;
}

Test(adam_basis, bases_leave_a_trace)
{
    double losses[LSPO_ADAM_BASIS_COUNT][STEPS];
    for (uint32_t b = 0; b < LSPO_ADAM_BASIS_COUNT; b++) {
        lspo_workload_t workload = workload_of(b, false);
        training_t training;
        training_begin("lsp", &workload, &training);
        training_run(&training, losses[b]);
        training_end(&training);
        cr_expect_eq(losses[b][0], losses[0][0]);
        cr_expect_lt(losses[b][11], losses[b][0]);
        for (uint32_t a = 0; a < b; a++)
            cr_expect_neq(losses[b][11], losses[a][11], "bases %u and %u", a, b);
    }
}

/* One thread and three. */
Test(adam_basis, threads_change_nothing)
{
    for (int narrow = 0; narrow < 2; narrow++) {
        lspo_workload_t workload = workload_of(LSPO_ADAM_BASIS_EIGEN, narrow);
        lspo_workers_t *workers = NULL;
        training_t one, three;
        double expected[STEPS], got[STEPS];
        training_begin("lsp", &workload, &one);
        training_run(&one, expected);
        training_begin("lsp", &workload, &three);
        cr_assert_eq(lspo_workers_create(3, NULL, &workers), LSPO_OK);
        cr_assert_eq(lspo_session_set_workers(three.session, workers), LSPO_OK);
        training_run(&three, got);
        cr_assert_arr_eq(got, expected, 12 * sizeof *got);
        assert_equal_weights("three threads", "lsp", &one, &three);
        training_end(&three);
        training_end(&one);
        lspo_workers_destroy(workers);
    }
}

Test(adam_basis, a_reset_begins_anew)
{
    for (uint32_t b = LSPO_ADAM_BASIS_FIXED; b < LSPO_ADAM_BASIS_COUNT; b++) {
        lspo_workload_t workload = workload_of(b, false);
        training_t training;
        double first[STEPS], again[STEPS];
        lspo_lsp_values_edit(&workload)->check_every = 5;
        lspo_lsp_values_edit(&workload)->bias_threshold = 0;
        training_begin("lsp", &workload, &training);
        training_run(&training, first);
        cr_assert_eq(lspo_session_reset(training.session), LSPO_OK);
        training_run(&training, again);
        cr_assert_arr_eq(again, first, 12 * sizeof *first);
        training_end(&training);
    }
}

Test(adam_basis, memory_is_what_the_plan_says)
{
    lspo_workload_t workload = workload_of(LSPO_ADAM_BASIS_EIGEN, false);
    lspo_host_count_t count = {{0}};
    training_t training;
    workload.iterations = 3;
    assert_planned_memory("lsp", &workload);
    training_begin("lsp", &workload, &training);
    for (uint32_t s = 0; s < training.plan->stage_count; s++)
        cr_assert_eq(lspo_session_make_host_state(training.session, s, &count), LSPO_OK);
    uint64_t planned = training.plan->footprint.host_optimizer_bytes, taken = count.bytes[LSPO_HOST_OPTIMIZERS];
    cr_expect(taken >= planned && taken < planned + 2 * 64 * STAGES_MAX, "%" PRIu64 " bytes, planned %" PRIu64, taken,
              planned);
    training_end(&training);
}
