/* --adam-basis in plans: bytes, products and renewals counted by hand. */
#include <criterion/criterion.h>

#include "plan/adam_basis.h"
#include "plan/policies.h"
#include "plan/work.h"
#include "tests/own_values.h"

enum { BLOCKS = 32, WEIGHTS = 7, D = 512 }; /* of llama-7b */

static lspo_plan_t *build_on(lspo_basis_lane_t lane, lspo_adam_basis_t basis, uint32_t first_step, uint32_t iterations)
{
    lspo_model_t model;
    lspo_workload_t workload;
    lspo_plan_t *plan = NULL;
    cr_assert_eq(lspo_model_find("llama-7b", &model), LSPO_OK);
    lspo_workload_default(&workload);
    workload.first_step = first_step;
    workload.iterations = iterations;
    lspo_lsp_values_edit(&workload)->subspace = D;
    lspo_lsp_values_edit(&workload)->adam_basis = basis;
    lspo_lsp_values_edit(&workload)->basis_lane = lane;
    cr_assert_eq(lspo_plan_build(&model, &workload, &lspo_policy_lsp, &plan), LSPO_OK);
    return plan;
}

static lspo_plan_t *build(lspo_adam_basis_t basis, uint32_t first_step, uint32_t iterations)
{
    return build_on(LSPO_BASIS_LANE_AUTO, basis, first_step, iterations);
}

/* Of the products of an op of the first block; -1: there is none. */
static double flop_in(const lspo_plan_t *plan, lspo_op_kind_t kind, lspo_op_variant_t variant)
{
    for (uint32_t id = 0; id < plan->op_count; id++) {
        const lspo_op_t *op = &plan->ops[id];
        const lspo_work_t *work = &plan->works[op->work];
        double flop = 0;
        if (op->kind != kind || op->variant != variant || op->layer != 1)
            continue;
        for (uint32_t k = 0; k < work->kernel_count; k++)
            flop += work->kernels[k].kernel_class == LSPO_KERNEL_GEMM ? work->kernels[k].flop : 0;
        return flop;
    }
    return -1;
}

static double flop_of(const lspo_plan_t *plan, lspo_op_variant_t variant)
{
    return flop_in(plan, LSPO_OP_UPD, variant);
}

/* m and v take 8 bytes per element of D x D, T_m, L, T_n and R 16. */
Test(adam_basis, hosts_hold_the_bases)
{
    lspo_plan_t *plain = build(LSPO_ADAM_BASIS_PLAIN, 0, 2), *fixed = build(LSPO_ADAM_BASIS_FIXED, 0, 2),
                *eigen = build(LSPO_ADAM_BASIS_EIGEN, 0, 2);
    const uint64_t elements = (uint64_t)BLOCKS * WEIGHTS * D * D;
    cr_expect_eq(plain->footprint.host_optimizer_bytes, 8 * elements);
    cr_expect_eq(fixed->footprint.host_optimizer_bytes, 24 * elements);
    cr_expect_eq(eigen->footprint.host_optimizer_bytes, 24 * elements);
    cr_expect_eq(plain->footprint.gpu_optimizer_bytes, eigen->footprint.gpu_optimizer_bytes);
    lspo_plan_destroy(plain);
    lspo_plan_destroy(fixed);
    lspo_plan_destroy(eigen);
}

/* Products of 2 D^3 flop.  Each step: X and the direction, two each; of L and R the upper blocks of 128: 10 of 16.  A
 * renewal: two of m, T_m, T_n, and two times the 28 of an eigendecomposition. */
Test(adam_basis, updates_have_its_products)
{
    const double product = 2.0 * D * D * D;
    lspo_plan_t *plan = build(LSPO_ADAM_BASIS_EIGEN, 0, 2);
    cr_expect_eq(flop_of(plan, LSPO_VARIANT_NONE), WEIGHTS * product * (4 + 2 * 0.625));
    cr_expect_eq(flop_of(plan, LSPO_VARIANT_RENEW), WEIGHTS * product * (2 + 2 + 56));
    lspo_plan_destroy(plan);
    plan = build(LSPO_ADAM_BASIS_FIXED, 0, 2);
    cr_expect_eq(flop_of(plan, LSPO_VARIANT_NONE), WEIGHTS * product * 4);
    cr_expect_eq(flop_of(plan, LSPO_VARIANT_RENEW), WEIGHTS * product * (2 * 0.625 + 2 + 2 + 56));
    lspo_plan_destroy(plan);
    plan = build(LSPO_ADAM_BASIS_PLAIN, 0, 2);
    cr_expect_eq(flop_of(plan, LSPO_VARIANT_NONE), 0);
    cr_expect_eq(flop_of(plan, LSPO_VARIANT_RENEW), -1);
    lspo_plan_destroy(plan);
}

/* Two products each for COMPRESS and APPLY, batched over all weights; what is left to the CPU.  T_m and T_n are on the
 * GPU in fp16, beside a scratch as large as the message, and on the host once more for the link. */
Test(adam_basis, the_gpu_lane_takes_its_share)
{
    const double product = 2.0 * D * D * D;
    const uint64_t elements = (uint64_t)WEIGHTS * D * D;
    lspo_plan_t *cpu = build_on(LSPO_BASIS_LANE_CPU, LSPO_ADAM_BASIS_EIGEN, 0, 2),
                *gpu = build_on(LSPO_BASIS_LANE_GPU, LSPO_ADAM_BASIS_EIGEN, 0, 2),
                *fixed = build_on(LSPO_BASIS_LANE_GPU, LSPO_ADAM_BASIS_FIXED, 0, 2);
    static const lspo_op_kind_t kinds[] = {LSPO_OP_COMPRESS, LSPO_OP_APPLY};
    for (size_t i = 0; i < 2; i++)
        cr_expect_eq(flop_in(gpu, kinds[i], LSPO_VARIANT_NONE) - flop_in(cpu, kinds[i], LSPO_VARIANT_NONE),
                     WEIGHTS * product * 2);
    cr_expect_eq(flop_of(gpu, LSPO_VARIANT_NONE), WEIGHTS * product * 2 * 0.625);
    cr_expect_eq(flop_of(gpu, LSPO_VARIANT_RENEW), WEIGHTS * product * (2 + 2 + 56));
    cr_expect_eq(flop_of(fixed, LSPO_VARIANT_NONE), 0);
    cr_expect_eq(flop_of(fixed, LSPO_VARIANT_RENEW), WEIGHTS * product * (2 * 0.625 + 2 + 2 + 56));
    cr_expect_eq(gpu->footprint.gpu_optimizer_bytes, BLOCKS * elements * 2 * 2);
    cr_expect_eq(gpu->footprint.gpu_workspace_bytes - cpu->footprint.gpu_workspace_bytes, elements * 2);
    cr_expect_eq(gpu->footprint.host_optimizer_bytes, cpu->footprint.host_optimizer_bytes);
    cr_expect_eq(gpu->footprint.host_outgoing_bytes - cpu->footprint.host_outgoing_bytes, BLOCKS * elements * 2 * 2);
    lspo_plan_destroy(cpu);
    lspo_plan_destroy(gpu);
    lspo_plan_destroy(fixed);
}

/* llama-7b has 4 weights of 4096 x 4096, 2 of 4096 x 11008, 1 of 11008 x 4096: T, L, T, R of the whole gradient, of
 * lora's A (m x r) and B (n x r), and of galore's r x n (m <= n) or m x r. */
Test(adam_basis, other_policies_hold_theirs)
{
    const uint64_t w = 4096, h = 11008, r = 16;
    const struct {
        const char *policy;
        uint64_t each_bytes;
    } cases[] = {{"native", 8 * (4 * 2 * w * w + 3 * (w * w + h * h))},
                 {"lora", 8 * (4 * (2 * w * w + 2 * r * r) + 3 * (w * w + h * h + 2 * r * r))},
                 {"galore", 8 * (4 * (r * r + w * w) + 3 * (r * r + h * h))}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t bytes[2];
        for (uint32_t b = 0; b < 2; b++) {
            lspo_model_t model;
            lspo_workload_t workload;
            const lspo_policy_t *policy = NULL;
            lspo_plan_t *plan = NULL;
            cr_assert_eq(lspo_model_find("llama-7b", &model), LSPO_OK);
            cr_assert_eq(lspo_policy_find(cases[i].policy, &policy), LSPO_OK);
            lspo_workload_default(&workload);
            workload.iterations = 2;
            own_value(policy, &workload, "adam-basis", b ? LSPO_ADAM_BASIS_EIGEN : LSPO_ADAM_BASIS_PLAIN);
            cr_assert_eq(lspo_plan_build(&model, &workload, policy, &plan), LSPO_OK);
            bytes[b] = plan->footprint.gpu_optimizer_bytes;
            lspo_plan_destroy(plan);
        }
        cr_expect_eq(bytes[1] - bytes[0], BLOCKS * cases[i].each_bytes, "%s", cases[i].policy);
    }
}

/* Trainings by lsp up to d = 256; nothing else. */
Test(adam_basis, trainings_have_bases_by_default)
{
    static const struct {
        const lspo_policy_t *policy;
        uint32_t subspace;
        bool training;
        lspo_adam_basis_t basis;
    } cases[] = {{&lspo_policy_lsp, 256, true, LSPO_ADAM_BASIS_EIGEN},
                 {&lspo_policy_lsp, 257, true, LSPO_ADAM_BASIS_PLAIN},
                 {&lspo_policy_lsp, 256, false, LSPO_ADAM_BASIS_PLAIN},
                 {&lspo_policy_lsp_paper, 64, true, LSPO_ADAM_BASIS_PLAIN},
                 {&lspo_policy_native, 64, true, LSPO_ADAM_BASIS_PLAIN},
                 {&lspo_policy_lora, 64, true, LSPO_ADAM_BASIS_PLAIN}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lspo_workload_t workload;
        lspo_workload_default(&workload);
        lspo_lsp_values_edit(&workload)->subspace = cases[i].subspace;
        const lspo_parameter_context_t context = {cases[i].policy, NULL, &workload, cases[i].training};
        uint32_t basis;
        lspo_parameter_set_default(&lspo_parameter_adam_basis, &context, &basis);
        cr_expect_eq(basis, cases[i].basis, "case %zu", i);
    }
}

Test(adam_basis, bases_need_fp32_moments)
{
    lspo_model_t model;
    lspo_workload_t workload;
    lspo_plan_t *plan = NULL;
    cr_assert_eq(lspo_model_find("llama-7b", &model), LSPO_OK);
    lspo_workload_default(&workload);
    own_value(&lspo_policy_native, &workload, "adam-basis", LSPO_ADAM_BASIS_FIXED);
    own_value(&lspo_policy_native, &workload, "optimizer-state", LSPO_OPTIMIZER_STATE_BF16);
    cr_expect_eq(lspo_plan_build(&model, &workload, &lspo_policy_native, &plan), LSPO_ERR_INPUT);
}

static uint32_t renewals(const lspo_plan_t *plan, uint32_t iteration)
{
    uint32_t count = 0;
    for (uint32_t id = 0; id < plan->op_count; id++)
        count += plan->ops[id].variant == LSPO_VARIANT_RENEW && plan->ops[id].iteration == iteration;
    return count;
}

/* 32 blocks in turns of 10 steps: three or four in each step, each block once in ten; all in the first step. */
Test(adam_basis, blocks_are_renewed_in_turn)
{
    lspo_plan_t *plan = build(LSPO_ADAM_BASIS_EIGEN, 0, 24), *later = build(LSPO_ADAM_BASIS_EIGEN, 17, 4),
                *fixed = build(LSPO_ADAM_BASIS_FIXED, 0, 3), *fixed_later = build(LSPO_ADAM_BASIS_FIXED, 10, 3);
    uint32_t sum = 0;
    cr_expect_eq(renewals(plan, 0), BLOCKS);
    for (uint32_t i = 1; i < 24; i++) {
        cr_expect(renewals(plan, i) == 3 || renewals(plan, i) == 4, "iteration %u: %u", i, renewals(plan, i));
        sum += i >= 1 && i <= 10 ? renewals(plan, i) : 0;
    }
    cr_expect_eq(sum, BLOCKS);
    for (uint32_t s = 1; s <= BLOCKS; s++)
        for (uint32_t i = 0; i < 4; i++)
            cr_expect_eq(lspo_plan_renews_adam_basis(later, s, i), lspo_plan_renews_adam_basis(plan, s, i + 17));
    cr_expect_eq(renewals(fixed, 0), BLOCKS);
    cr_expect_eq(renewals(fixed, 1) + renewals(fixed_later, 0), 0);
    cr_expect_eq(lspo_policy_period(plan->policy, &plan->workload), 10);
    cr_expect_eq(lspo_policy_period(fixed->policy, &fixed->workload), 1);
    lspo_plan_destroy(plan);
    lspo_plan_destroy(later);
    lspo_plan_destroy(fixed);
    lspo_plan_destroy(fixed_later);
}
