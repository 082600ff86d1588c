/* --optimizer-state in plans: bytes counted by hand. */
#include <criterion/criterion.h>

#include "plan/optimizer_state.h"
#include "plan/work.h"
#include "tests/own_values.h"

/* 32 blocks of 4 x 4096^2 + 3 x 4096 x 11008 + 2 x 4096, embedding and head of 32000 x 4096 each, a norm of 4096. */
static const uint64_t llama_7b = 6738415616;

static lspo_plan_t *build(const char *model_name, const char *policy_name, lspo_precision_t precision,
                          lspo_optimizer_state_t state)
{
    lspo_model_t model;
    lspo_workload_t workload;
    const lspo_policy_t *policy = NULL;
    lspo_plan_t *plan = NULL;
    cr_assert_eq(lspo_model_find(model_name, &model), LSPO_OK);
    cr_assert_eq(lspo_policy_find(policy_name, &policy), LSPO_OK);
    lspo_workload_default(&workload);
    workload.precision = workload.transfer = precision;
    workload.iterations = 2;
    workload.batch = 1;
    workload.sequence = 64;
    own_value(policy, &workload, "optimizer-state", state);
    cr_assert_eq(lspo_plan_build(&model, &workload, policy, &plan), LSPO_OK);
    return plan;
}

static const lspo_optimizer_state_t all[] = {LSPO_OPTIMIZER_STATE_FP32, LSPO_OPTIMIZER_STATE_BF16,
                                             LSPO_OPTIMIZER_STATE_8BIT};

/* 12, 4 and 2 + 8 / 256 bytes per parameter beside bf16 weights; 8, 4 and 2 + 8 / 256 beside fp32 ones. */
Test(optimizer_state, native_holds_less)
{
    static const double each[2][3] = {{12, 4, 2.03125}, {8, 4, 2.03125}};
    for (int fp32 = 0; fp32 <= 1; fp32++)
        for (int i = 0; i < 3; i++) {
            lspo_plan_t *plan = build("llama-7b", "native", fp32 ? LSPO_FP32 : LSPO_BF16, all[i]);
            cr_expect_eq(plan->footprint.gpu_optimizer_bytes, (uint64_t)(each[fp32][i] * (double)llama_7b));
            cr_expect_eq(plan->footprint.gpu_parameters_bytes, (fp32 ? 4 : 2) * llama_7b);
            lspo_plan_destroy(plan);
        }
}

/* The CPU's copy of bf16 weights is the master, and is sent itself; an fp32 one is rounded into a buffer. */
Test(optimizer_state, zero_holds_less_on_the_host)
{
    static const double moments[3] = {8, 4, 2.03125}, master[3] = {4, 2, 2}, outgoing[3] = {2, 0, 0};
    for (int i = 0; i < 3; i++) {
        lspo_plan_t *plan = build("llama-7b", "zero", LSPO_BF16, all[i]);
        const lspo_footprint_t *f = &plan->footprint;
        cr_expect_eq(f->host_optimizer_bytes, (uint64_t)(moments[i] * (double)llama_7b));
        cr_expect_eq(f->host_master_bytes, (uint64_t)(master[i] * (double)llama_7b));
        cr_expect_eq(f->host_outgoing_bytes, (uint64_t)(outgoing[i] * (double)llama_7b));
        cr_expect_eq(f->host_gradients_bytes, 2 * llama_7b);
        lspo_plan_destroy(plan);
    }
}

/* stream's weights are on the CPU anyway. */
Test(optimizer_state, stream_needs_no_master)
{
    for (int i = 0; i < 3; i++) {
        lspo_plan_t *plan = build("llama-7b", "stream", LSPO_BF16, all[i]);
        cr_expect_eq(plan->footprint.host_master_bytes, i == 0 ? 4 * llama_7b : 0);
        cr_expect_eq(plan->footprint.host_parameters_bytes, 2 * llama_7b);
        lspo_plan_destroy(plan);
    }
}

static uint64_t swapped_bytes(const lspo_plan_t *plan)
{
    uint64_t bytes = 0;
    for (uint32_t id = 0; id < plan->op_count; id++) {
        const lspo_op_t *op = &plan->ops[id];
        if (op->kind == LSPO_OP_SWAP_IN && op->variant == LSPO_VARIANT_OPTIMIZER && op->iteration == 0)
            bytes += lspo_work_link_bytes(&plan->works[op->work]);
    }
    return bytes;
}

/* swap brings the state of 32 blocks, of 202,383,360 weights each, in every step. */
Test(optimizer_state, swap_moves_less)
{
    static const double each[3] = {12, 4, 2.03125};
    for (int i = 0; i < 3; i++) {
        lspo_plan_t *plan = build("llama-7b", "swap", LSPO_BF16, all[i]);
        cr_expect_eq(swapped_bytes(plan), (uint64_t)(each[i] * 32 * 202383360));
        lspo_plan_destroy(plan);
    }
}

/* Whole blocks of 256, for linear weights and for the rest: 100 and 300 weights take 1 + 2 of them. */
Test(optimizer_state, blocks_are_whole)
{
    cr_expect_eq(lspo_optimizer_state_bytes(LSPO_OPTIMIZER_STATE_8BIT, 100, 300), 3u * (2 * 256 + 2 * 4));
    cr_expect_eq(lspo_optimizer_state_bytes(LSPO_OPTIMIZER_STATE_8BIT, 0, 256), 520u);
    cr_expect_eq(lspo_optimizer_state_bytes(LSPO_OPTIMIZER_STATE_BF16, 100, 300), 1600u);
    cr_expect_eq(lspo_optimizer_state_bytes(LSPO_OPTIMIZER_STATE_FP32, 100, 300), 3200u);
}

static double adam_bytes(const lspo_plan_t *plan, lspo_op_kind_t kind)
{
    for (uint32_t id = 0; id < plan->op_count; id++)
        if (plan->ops[id].kind == kind && plan->ops[id].layer == 1) {
            const lspo_kernel_t *kernel = &plan->works[plan->ops[id].work].kernels[0];
            return (double)kernel->bytes / (double)kernel->elements;
        }
    return 0;
}

/* In bf16: gradient 2, weight 2 + 2, moments read and written. */
Test(optimizer_state, updates_move_less)
{
    static const double each[3] = {28, 6 + 8, 6 + 4.0625};
    for (int i = 0; i < 3; i++) {
        lspo_plan_t *native = build("llama-7b", "native", LSPO_BF16, all[i]);
        lspo_plan_t *zero = build("llama-7b", "zero", LSPO_BF16, all[i]);
        cr_expect_float_eq(adam_bytes(native, LSPO_OP_UPD_GPU), each[i], 1e-6);
        cr_expect_float_eq(adam_bytes(zero, LSPO_OP_UPD), each[i], 1e-6);
        lspo_plan_destroy(zero);
        lspo_plan_destroy(native);
    }
}

/* badam holds the state of one block, or of the head: 32000 x 4096 + 4096 weights; galore has no master anyway. */
Test(optimizer_state, policies_with_less_state)
{
    lspo_plan_t *plan = build("llama-7b", "badam", LSPO_BF16, LSPO_OPTIMIZER_STATE_8BIT);
    cr_expect_eq(plan->footprint.gpu_optimizer_bytes, (uint64_t)(2.03125 * 202375168)); /* without norms */
    lspo_plan_destroy(plan);
    lspo_plan_t *fp32 = build("llama-7b", "galore", LSPO_BF16, LSPO_OPTIMIZER_STATE_FP32);
    lspo_plan_t *bf16 = build("llama-7b", "galore", LSPO_BF16, LSPO_OPTIMIZER_STATE_BF16);
    cr_expect_eq(fp32->footprint.gpu_optimizer_bytes, 2 * bf16->footprint.gpu_optimizer_bytes);
    lspo_plan_destroy(bf16);
    lspo_plan_destroy(fp32);
}

/* The baseline of slowdowns has the same format. */
Test(optimizer_state, native_as_the_baseline_has_the_same)
{
    lspo_plan_t *plan = build("gpt-tiny", "zero", LSPO_FP32, LSPO_OPTIMIZER_STATE_8BIT), *baseline = NULL;
    const lspo_workload_t workload = lspo_policy_workload(plan);
    const lspo_policy_t *native = NULL;
    cr_assert_eq(lspo_policy_find("native", &native), LSPO_OK);
    cr_assert_eq(lspo_plan_build(&plan->model, &workload, native, &baseline), LSPO_OK);
    cr_expect_eq(lspo_plan_optimizer_state(baseline), LSPO_OPTIMIZER_STATE_8BIT);
    lspo_plan_destroy(baseline);
    lspo_plan_destroy(plan);
}
