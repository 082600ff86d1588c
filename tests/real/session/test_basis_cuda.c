/* Adam in eigenbases on the CUDA device, whose GPU turns gradients into them or leaves that to the CPU. */
#include "plan/policies/lsp.h"
#include "real/methods/pairs.h"
#include "tests/cuda_on_host/cuda_on_host.h"
#include "tests/cuda_session.h"

/* On the CPU they are the host's, and lsp's GPU may turn gradients into them; policies that update on the GPU do not
 * have them there.  A gradient of full rank has one eigenbasis on both devices: of G^ (8 x 8) from 32 tokens, but not
 * of zero's. */
Test(basis_cuda, bases_of_adam_are_on_the_cpu)
{
    lspo_model_t model = gpt();
    for (uint32_t i = 0; i < lspo_policy_count(); i++) {
        const lspo_policy_t *policy = lspo_policy_at(i);
        lspo_workload_t workload = small_workload();
        training_t training = {0};
        lspo_device_caps_t caps = {0};
        if (lspo_policy_use(policy, &lspo_parameter_adam_basis) == NULL)
            continue;
        own_value(policy, &workload, "adam-basis", LSPO_ADAM_BASIS_EIGEN);
        own_value(policy, &workload, "basis-every", 2);
        own_value(policy, &workload, "subspace", 8);
        bool delta = policy->return_form == LSPO_RETURN_DELTA;
        for (int variant = 0; delta && variant < (policy->dense_sketches ? 3 : 6); variant++) {
            lspo_precision_t half = cuda_has_bf16() ? LSPO_BF16 : LSPO_FP16;
            workload.precision = variant & 1 ? half : LSPO_FP32;
            workload.transfer = variant == 4 ? half : variant == 5 ? LSPO_FP32 : workload.precision;
            own_value(policy, &workload, "basis-lane", variant < 2 ? LSPO_BASIS_LANE_CPU : LSPO_BASIS_LANE_GPU);
            compare(&model, policy->name, &workload, variant & 1 || variant == 4 ? 5e-3 : 1e-3);
        }
        if (policy->return_form != LSPO_RETURN_NOTHING) {
            check_peak(policy->name, &workload);
            continue;
        }
        training.plan = make_plan(&model, policy->name, &workload);
        cr_assert_eq(lspo_device_open("cuda", &caps, &training.device), LSPO_OK);
        cr_expect_eq(lspo_session_create(training.plan, training.device, NULL, &training.session), LSPO_ERR_DEVICE,
                     "%s", policy->name);
        lspo_device_close(training.device);
        lspo_plan_destroy(training.plan);
    }
}

static lspo_workload_t turning_in_fp16(lspo_basis_lane_t lane)
{
    lspo_workload_t workload = small_workload();
    lspo_lsp_values_t *lsp = lspo_lsp_values_edit(&workload);
    workload.precision = workload.transfer = LSPO_FP16;
    workload.clip_norm = 1;
    workload.learning_rate = rate_of("lsp");
    lsp->adam_basis = LSPO_ADAM_BASIS_EIGEN;
    lsp->subspace = 8;
    lsp->basis_lane = lane;
    return workload;
}

Test(basis_cuda, either_lane_turns_scaled_gradients)
{
    lspo_model_t model = gpt();
    double losses[2][STEPS_MAX];
    for (int gpu = 0; gpu < 2; gpu++) {
        lspo_workload_t workload = turning_in_fp16(gpu ? LSPO_BASIS_LANE_GPU : LSPO_BASIS_LANE_CPU);
        workload.iterations = STEPS_MAX;
        losses_on("cuda", &model, "lsp", &workload, losses[gpu]);
    }
    for (uint32_t i = 0; i < STEPS_MAX; i++)
        cr_expect_float_eq(losses[1][i], losses[0][i], 1e-2, "step %u: %g, not %g", i, losses[1][i], losses[0][i]);
    cr_expect_lt(losses[0][7], losses[0][0] - 0.1);
}

/* A gradient may overflow only where it is turned, here by a T that is far too large: the step is skipped, the scale
 * halved.  The CPU's own T, which the step sends, makes the next one good. */
Test(basis_cuda, an_overflow_in_the_basis_skips_the_step)
{
    lspo_model_t model = gpt();
    lspo_workload_t workload = turning_in_fp16(LSPO_BASIS_LANE_GPU);
    training_t training;
    double losses[STEPS_MAX];
    uint16_t large[2 * 8 * 8];
    workload.iterations = 2;
    training_begin("cuda", &model, "lsp", &workload, &training);
    const float before = training.session->scaling.now;
    for (size_t i = 0; i < sizeof large / sizeof large[0]; i++)
        large[i] = 0x7bff; /* 65504 */
    cr_assert_eq(
        lspo_device_write(training.device, lspo_pairs_of(training.session, 1)->gpu_bases.device, large, sizeof large),
        LSPO_OK);
    training_run(&training, losses);
    cr_expect_eq(training.session->scaling.now, before / 2);
    cr_expect_eq(training.session->scaling.good_steps, 1);
    training_end(&training);
}
