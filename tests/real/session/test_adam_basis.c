/* --adam-basis on the host: schedules, threads, resets, memory; with P = Q = I lsp trains as native does.  That this is
 * SOAP is what tests/kernels/test_eigen_adam.c compares with a reference. */
#include <inttypes.h>

#include "base/workers.h"
#include "plan/adam_basis.h"
#include "plan/policies/zero.h"
#include "tests/session_fixture.h"

static bool has_bases(const lspo_policy_t *policy)
{
    return lspo_policy_use(policy, &lspo_parameter_adam_basis) != NULL;
}

/* For every policy that has the parameter. */
static void set_basis(lspo_workload_t *workload, lspo_adam_basis_t basis)
{
    for (uint32_t i = 0; i < lspo_policy_count(); i++) {
        own_value(lspo_policy_at(i), workload, "adam-basis", basis);
        own_value(lspo_policy_at(i), workload, "basis-every", 4);
    }
}

static lspo_workload_t workload_of(lspo_adam_basis_t basis, bool narrow)
{
    lspo_workload_t workload = segment_workload();
    workload.iterations = 12;
    workload.train_rest = LSPO_TRAIN_REST_ON;
    workload.transfer = narrow ? LSPO_BF16 : LSPO_FP32;
    set_basis(&workload, basis);
    set_rank(&workload, 5);
    return workload;
}

Test(adam_basis, bases_leave_a_trace)
{
    for (uint32_t i = 0; i < lspo_policy_count(); i++) {
        const char *name = lspo_policy_at(i)->name;
        double losses[LSPO_ADAM_BASIS_COUNT][STEPS];
        for (uint32_t b = 0; has_bases(lspo_policy_at(i)) && b < LSPO_ADAM_BASIS_COUNT; b++) {
            lspo_workload_t workload = workload_of(b, false);
            training_t training;
            training_begin(name, &workload, &training);
            training_run(&training, losses[b]);
            training_end(&training);
            cr_expect_eq(losses[b][0], losses[0][0], "%s", name);
            cr_expect_lt(losses[b][11], losses[b][0], "%s", name);
            for (uint32_t a = 0; a < b; a++)
                cr_expect_neq(losses[b][11], losses[a][11], "%s, bases %u and %u", name, a, b);
        }
    }
}

/* zero, whose CPU has the masters, and zero with half of the stages updated on the GPU: native's numbers, bit for
 * bit. */
Test(adam_basis, schedules_change_nothing)
{
    for (int variant = 0; variant < 4; variant++) {
        lspo_workload_t workload = small_workload();
        outcome_t native, got;
        workload.iterations = 9;
        workload.weight_decay = 0.1;
        workload.clip_norm = variant & 1 ? 0.05 : 0;
        workload.accumulation = variant & 1 ? 2 : 1;
        workload.train_rest = variant & 1 ? LSPO_TRAIN_REST_OFF : LSPO_TRAIN_REST_ON;
        set_basis(&workload, variant & 2 ? LSPO_ADAM_BASIS_FIXED : LSPO_ADAM_BASIS_EIGEN);
        train("native", &workload, &native);
        for (int share = 0; share < 2; share++) {
            lspo_zero_values_edit(&workload)->cpu_share = share ? 0.5 : 1;
            train("zero", &workload, &got);
            assert_identical("zero", &workload, &native, &got);
            outcome_release(&got);
        }
        outcome_release(&native);
    }
}

/* Their sums are rounded in another order. */
Test(adam_basis, lsp_with_identity_projectors_is_native)
{
    lspo_workload_t workload = small_workload();
    outcome_t native, lsp;
    workload.iterations = 9;
    workload.train_rest = LSPO_TRAIN_REST_ON;
    workload.identity_projectors = true;
    set_basis(&workload, LSPO_ADAM_BASIS_EIGEN);
    train("native", &workload, &native);
    train("lsp", &workload, &lsp);
    for (uint32_t i = 0; i < workload.iterations; i++)
        cr_expect_float_eq(lsp.losses[i], native.losses[i], 2e-3, "step %u: %.9g, not %.9g", i, lsp.losses[i],
                           native.losses[i]);
    cr_expect_lt(native.losses[8], native.losses[0] - 0.1);
    outcome_release(&native);
    outcome_release(&lsp);
}

/* The GPU lane turns as the CPU does: the same bits in fp32 without --clip, also where projectors change.  Otherwise X
 * is rounded or scaled in place of G^. */
Test(adam_basis, either_lane_turns)
{
    for (int variant = 0; variant < 16; variant++) {
        const char *policy = variant & 1 ? "lsp-paper" : "lsp";
        lspo_workload_t workload = workload_of(variant & 2 ? LSPO_ADAM_BASIS_FIXED : LSPO_ADAM_BASIS_EIGEN, false);
        lspo_lsp_values_t *lsp = lspo_lsp_values_edit(&workload);
        outcome_t cpu, gpu;
        workload.accumulation = variant & 4 ? 2 : 1;
        lsp->native_layers = variant & 4 ? 0 : 2;
        lsp->check_every = variant & 4 ? 5 : 0;
        lsp->bias_threshold = 0;
        lsp->fit_steps = 4;
        workload.clip_norm = variant & 8 ? 0.05 : 0;
        workload.transfer = variant & 8 ? LSPO_BF16 : LSPO_FP32;
        lsp->basis_lane = LSPO_BASIS_LANE_CPU;
        train(policy, &workload, &cpu);
        lsp->basis_lane = LSPO_BASIS_LANE_GPU;
        train(policy, &workload, &gpu);
        if (!(variant & 8))
            assert_identical(policy, &workload, &cpu, &gpu);
        for (uint32_t i = 0; i < workload.iterations; i++)
            cr_expect_float_eq(gpu.losses[i], cpu.losses[i], 1e-2, "variant %d, step %u: %.9g, not %.9g", variant, i,
                               gpu.losses[i], cpu.losses[i]);
        outcome_release(&cpu);
        outcome_release(&gpu);
    }
}

/* No target counts in the first steps. */
static lspo_status_t late_batch(void *context, uint32_t step, uint32_t micro, lspo_batch_t *batch)
{
    const lspo_workload_t *workload = context;
    lspo_status_t status = made_up_batch(context, step, micro, batch);
    for (uint32_t i = 0; step < 2 && i < workload->batch * workload->sequence; i++)
        batch->targets[i] = LSPO_TARGET_IGNORED;
    return status;
}

/* Bases of a first gradient in a step that renews none reach the GPU, too: of blocks 1 and 3, and 2 is renewed. */
Test(adam_basis, either_lane_turns_gradients_that_begin_late)
{
    for (lspo_adam_basis_t basis = LSPO_ADAM_BASIS_FIXED; basis <= LSPO_ADAM_BASIS_EIGEN; basis++) {
        lspo_workload_t workload = workload_of(basis, false);
        double losses[2][STEPS];
        training_t trainings[2];
        for (int gpu = 0; gpu < 2; gpu++) {
            lspo_lsp_values_edit(&workload)->basis_lane = gpu ? LSPO_BASIS_LANE_GPU : LSPO_BASIS_LANE_CPU;
            training_begin("lsp", &workload, &trainings[gpu]);
            lspo_session_set_batches(trainings[gpu].session, late_batch, &trainings[gpu].workload);
            training_run(&trainings[gpu], losses[gpu]);
        }
        cr_expect_lt(losses[0][11], losses[0][2]);
        assert_equal_weights("both lanes", "lsp", &trainings[0], &trainings[1]);
        training_end(&trainings[0]);
        training_end(&trainings[1]);
    }
}

/* One thread and three. */
Test(adam_basis, threads_change_nothing)
{
    for (int variant = 0; variant < 5; variant++) {
        const char *policy = variant & 2 ? "zero" : "lsp";
        lspo_workload_t workload = workload_of(LSPO_ADAM_BASIS_EIGEN, variant & 1);
        lspo_lsp_values_edit(&workload)->basis_lane = variant & 4 ? LSPO_BASIS_LANE_GPU : LSPO_BASIS_LANE_CPU;
        lspo_workers_t *workers = NULL;
        training_t one, three;
        double expected[STEPS], got[STEPS];
        training_begin(policy, &workload, &one);
        training_run(&one, expected);
        training_begin(policy, &workload, &three);
        cr_assert_eq(lspo_workers_create(3, NULL, &workers), LSPO_OK);
        cr_assert_eq(lspo_session_set_workers(three.session, workers), LSPO_OK);
        training_run(&three, got);
        cr_assert_arr_eq(got, expected, 12 * sizeof *got);
        assert_equal_weights("three threads", policy, &one, &three);
        training_end(&three);
        training_end(&one);
        lspo_workers_destroy(workers);
    }
}

Test(adam_basis, a_reset_begins_anew)
{
    for (uint32_t i = 0; i < lspo_policy_count(); i++) {
        lspo_workload_t workload = workload_of(i % 2 ? LSPO_ADAM_BASIS_FIXED : LSPO_ADAM_BASIS_EIGEN, false);
        training_t training;
        double first[STEPS], again[STEPS];
        if (!has_bases(lspo_policy_at(i)))
            continue;
        lspo_lsp_values_edit(&workload)->check_every = 5;
        lspo_lsp_values_edit(&workload)->bias_threshold = 0;
        lspo_lsp_values_edit(&workload)->basis_lane = LSPO_BASIS_LANE_GPU;
        training_begin(lspo_policy_at(i)->name, &workload, &training);
        training_run(&training, first);
        cr_assert_eq(lspo_session_reset(training.session), LSPO_OK);
        training_run(&training, again);
        cr_assert_arr_eq(again, first, 12 * sizeof *first, "%s", lspo_policy_at(i)->name);
        training_end(&training);
    }
}

static void check_host_memory(const char *policy, const lspo_workload_t *workload)
{
    lspo_host_count_t count = {{0}};
    training_t training;
    training_begin(policy, workload, &training);
    for (uint32_t s = 0; s < training.plan->stage_count; s++)
        cr_assert_eq(lspo_session_make_host_state(training.session, s, &count), LSPO_OK);
    const lspo_footprint_t *f = &training.plan->footprint;
    const uint64_t planned[] = {f->host_optimizer_bytes, f->host_outgoing_bytes},
                   taken[] = {count.bytes[LSPO_HOST_OPTIMIZERS], count.bytes[LSPO_HOST_OUTGOING]};
    for (size_t i = 0; i < 2; i++)
        cr_expect(taken[i] >= planned[i] && taken[i] < planned[i] + 2 * 64 * STAGES_MAX,
                  "%s: %" PRIu64 " bytes, planned %" PRIu64, policy, taken[i], planned[i]);
    training_end(&training);
}

Test(adam_basis, memory_is_what_the_plan_says)
{
    for (uint32_t i = 0; i < lspo_policy_count(); i++) {
        const lspo_policy_t *policy = lspo_policy_at(i);
        lspo_workload_t workload = workload_of(LSPO_ADAM_BASIS_EIGEN, i % 2);
        if (!has_bases(policy))
            continue;
        workload.iterations = 3;
        lspo_zero_values_edit(&workload)->cpu_share = 0.5;
        for (uint32_t lane = LSPO_BASIS_LANE_CPU; lane <= LSPO_BASIS_LANE_GPU; lane++) {
            if (lane == LSPO_BASIS_LANE_GPU && lspo_policy_use(policy, &lspo_parameter_basis_lane) == NULL)
                continue;
            own_value(policy, &workload, "basis-lane", lane);
            assert_planned_memory(policy->name, &workload);
            check_host_memory(policy->name, &workload);
        }
    }
}
