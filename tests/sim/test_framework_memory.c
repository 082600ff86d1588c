/* Frameworks: what [software] changes in the memory of a plan, worked out in the comments. */
#include <criterion/criterion.h>
#include <string.h>

#include "plan/policies/lsp.h"
#include "plan/policy.h"
#include "sim/framework_memory.h"
#include "sim/memory.h"
#include "sim/trial.h"
#include "tests/own_values.h"

/* w 64, f 128, 4 heads of 16, 2 of K: a - k = 32; 2 sequences of 8: T = 16 */
static lspo_model_t small_llama(void)
{
    lspo_model_t model = {.name = "small",
                          .family = LSPO_FAMILY_LLAMA,
                          .block_count = 2,
                          .width = 64,
                          .head_count = 4,
                          .kv_head_count = 2,
                          .mlp_width = 128,
                          .vocabulary = 1000,
                          .max_sequence = 64};
    return model;
}

static lspo_plan_t *plan_swapping(const char *policy_name, bool checkpointing, uint32_t accumulation, uint32_t swapped)
{
    const lspo_policy_t *policy = NULL;
    lspo_workload_t workload;
    lspo_plan_t *plan = NULL;
    lspo_model_t model = small_llama();
    lspo_workload_default(&workload);
    workload.batch = 2;
    workload.sequence = 8;
    workload.precision = workload.transfer = LSPO_BF16;
    workload.checkpointing = checkpointing;
    workload.accumulation = accumulation;
    workload.swap_activations = swapped;
    workload.iterations = 6;
    lspo_lsp_values_edit(&workload)->subspace = 16;
    lspo_lsp_values_edit(&workload)->nnz = 4;
    cr_assert_eq(lspo_policy_find(policy_name, &policy), LSPO_OK);
    cr_assert_eq(lspo_plan_build(&model, &workload, policy, &plan), LSPO_OK);
    return plan;
}

static lspo_plan_t *plan_of(const char *policy_name, bool checkpointing, uint32_t accumulation)
{
    return plan_swapping(policy_name, checkpointing, accumulation, 0);
}

static lspo_machine_t rtx4090(void)
{
    lspo_machine_t machine;
    cr_assert_eq(lspo_machine_find("rtx4090", &machine), LSPO_OK);
    return machine;
}

static bool is_block(const lspo_op_t *op)
{
    return op->layer == 1 || op->layer == 2;
}

/* What the framework adds to an op. */
static uint64_t taken(const lspo_framework_memory_t *memory, const lspo_plan_t *plan, uint32_t op)
{
    return memory->plan->ops[op].gpu_alloc_bytes - plan->ops[op].gpu_alloc_bytes;
}

static uint64_t given(const lspo_framework_memory_t *memory, const lspo_plan_t *plan, uint32_t op)
{
    return memory->plan->ops[op].gpu_free_bytes - plan->ops[op].gpu_free_bytes;
}

static void expect_op(const lspo_framework_memory_t *memory, const lspo_plan_t *plan, uint32_t op,
                      const uint64_t wanted[2])
{
    cr_expect(taken(memory, plan, op) == wanted[0] && given(memory, plan, op) == wanted[1],
              "op %u: takes %lu and gives %lu, not %lu and %lu", op, taken(memory, plan, op), given(memory, plan, op),
              wanted[0], wanted[1]);
}

/* lspo's own: the same plan, not a copy, and no more than its replay. */
Test(framework_memory, without_values_nothing_changes)
{
    lspo_plan_t *plan = plan_of("native", true, 1);
    lspo_machine_t machine = rtx4090();
    lspo_framework_memory_t memory;
    cr_assert_eq(lspo_framework_memory_create(plan, &machine, &memory), LSPO_OK);
    cr_expect_eq(memory.plan, plan);
    lspo_framework_memory_release(&memory);
    cr_expect_eq(lspo_framework_reserve_bytes(&machine, 1000), 0u);
    cr_expect_eq(lspo_framework_reserve_most_bytes(&machine, 1000, 100), 0u);
    lspo_plan_destroy(plan);
}

/* A block: 16 (12 x 64 + 2 x 128 + 4 x 32 + 7 x 4 heads x 8) = 16 (768 + 256 + 128 + 224) = 22,016 B.  Under
 * checkpointing during BWD; without it from FWD to BWD of the same micro-batch. */
Test(framework_memory, blocks_keep_more)
{
    lspo_machine_t machine = rtx4090();
    machine.software.saved_width_bytes = 12;
    machine.software.saved_mlp_bytes = 2;
    machine.software.saved_repeat_bytes = 4;
    machine.software.saved_score_bytes = 7;
    for (int checkpointing = 0; checkpointing <= 1; checkpointing++) {
        lspo_plan_t *plan = plan_of("native", checkpointing, 2);
        lspo_framework_memory_t memory;
        uint32_t seen = 0;
        cr_assert_eq(lspo_framework_memory_create(plan, &machine, &memory), LSPO_OK);
        for (uint32_t op = 0; op < plan->op_count; op++) {
            bool forward = is_block(&plan->ops[op]) && plan->ops[op].kind == LSPO_OP_FWD;
            bool backward = is_block(&plan->ops[op]) && plan->ops[op].kind == LSPO_OP_BWD;
            seen += backward;
            expect_op(&memory, plan, op,
                      (uint64_t[2]){(checkpointing ? backward : forward) ? 22016 : 0, backward ? 22016 : 0});
        }
        cr_expect_eq(seen, 6u * 2 * 2, "steps x micro-batches x blocks");
        cr_expect_eq(memory.plan->gpu_static_bytes, plan->gpu_static_bytes);
        lspo_framework_memory_release(&memory);
        lspo_plan_destroy(plan);
    }
}

/* What block 1 keeps leaves with its SWAP_OUT and returns with its SWAP_IN: 16 x 12 x 64 = 12,288 B more. */
Test(framework_memory, what_blocks_keep_more_is_swapped)
{
    lspo_plan_t *plan = plan_swapping("native", false, 2, 1);
    lspo_machine_t machine = rtx4090();
    lspo_framework_memory_t memory;
    uint32_t swaps = 0;
    machine.software.saved_width_bytes = 12;
    cr_assert_eq(lspo_framework_memory_create(plan, &machine, &memory), LSPO_OK);
    for (uint32_t i = 0; i < plan->op_count; i++) {
        const lspo_op_t *op = &plan->ops[i];
        bool takes = is_block(op) && (op->kind == LSPO_OP_FWD || op->kind == LSPO_OP_SWAP_IN);
        bool gives = is_block(op) && (op->kind == LSPO_OP_BWD || op->kind == LSPO_OP_SWAP_OUT);
        swaps += lspo_op_swaps_activations(op);
        expect_op(&memory, plan, i, (uint64_t[2]){takes ? 12288 : 0, gives ? 12288 : 0});
    }
    cr_expect_eq(swaps, 6u * 2 * 2, "steps x micro-batches x out and in");
    lspo_framework_memory_release(&memory);
    lspo_plan_destroy(plan);
}

/* Adapters of rank 4 on qkv (64 x 128), attention's output (64 x 64), gate and up (64 x 128 each, or one of 64 x 256)
 * and down (128 x 64).  The inputs of all are counted from the plan's own weights here. */
Test(framework_memory, adapters_are_cast)
{
    lspo_plan_t *plan = plan_of("lora", true, 1);
    lspo_machine_t machine = rtx4090();
    lspo_framework_memory_t memory;
    uint64_t inputs = 0, elements = 0;
    for (uint32_t s = 0; s < plan->stage_count; s++) {
        lspo_message_t message;
        lspo_plan_message(plan, s, &message);
        for (uint32_t i = 0; i < message.linear_count; i++) {
            inputs += s == 1 ? message.linear[i].rows : 0;
            elements += (uint64_t)lspo_plan_rank(plan) * (message.linear[i].rows + message.linear[i].cols);
        }
    }
    cr_assert_gt(elements, 0u);
    machine.software.saved_adapter_bytes = 3;
    machine.software.adapter_cast_bytes = 2;
    cr_assert_eq(lspo_framework_memory_create(plan, &machine, &memory), LSPO_OK);
    cr_expect_eq(memory.plan->gpu_static_bytes, plan->gpu_static_bytes + 2 * elements);
    for (uint32_t op = 0; op < plan->op_count; op++)
        if (is_block(&plan->ops[op]) && plan->ops[op].kind == LSPO_OP_BWD)
            expect_op(&memory, plan, op, (uint64_t[2]){16 * 3 * inputs, 16 * 3 * inputs});
    lspo_framework_memory_release(&memory);
    lspo_plan_destroy(plan);
}

/* Logits: 12 x 16 x 1000 = 192,000 B.  The plan has for them 2 x 16 x 1000 = 32,000 B and its workspace, the larger of
 * backward's 16 x 2 (2 x 64 + 64 + 2 x 32 + 64 + 2 x 128) = 18,432 B and the head's 16 (2 (64 + 1000) + 4) = 34,112 B,
 * with the table of 16 angles for 8 positions, 4 x 16 x 8 = 512 B.  192,000 - 32,000 - 34,624 = 125,376 B more. */
Test(framework_memory, logits_are_copied)
{
    lspo_plan_t *plan = plan_of("native", true, 1);
    lspo_machine_t machine = rtx4090();
    lspo_framework_memory_t memory;
    machine.software.logit_bytes = 12;
    cr_assert_eq(lspo_framework_memory_create(plan, &machine, &memory), LSPO_OK);
    for (uint32_t op = 0; op < plan->op_count; op++) {
        bool head = plan->ops[op].layer == 3 && plan->ops[op].kind != LSPO_OP_UPD_GPU;
        expect_op(&memory, plan, op, (uint64_t[2]){head ? 125376 : 0, head ? 125376 : 0});
    }
    lspo_framework_memory_release(&memory);
    machine.software.logit_bytes = 4; /* 64,000 B: less than the plan has */
    cr_assert_eq(lspo_framework_memory_create(plan, &machine, &memory), LSPO_OK);
    for (uint32_t op = 0; op < plan->op_count; op++)
        expect_op(&memory, plan, op, (uint64_t[2]){0, 0});
    lspo_framework_memory_release(&memory);
    lspo_plan_destroy(plan);
}

static uint64_t parameters(const lspo_plan_t *plan)
{
    return plan->footprint.gpu_parameters_bytes / 2; /* in bf16 */
}

/* native has 12 B of state per parameter; in bf16 moments take 4. The foreach loop takes 4 B per parameter more, 2 B of
 * moments in bf16, during the first update of each step. */
Test(framework_memory, states_and_temporaries_of_the_optimizer)
{
    lspo_plan_t *plan = plan_of("native", true, 1);
    lspo_machine_t machine = rtx4090();
    for (int half = 0; half <= 1; half++) {
        lspo_framework_memory_t memory;
        uint64_t each = half ? 2 : 4, steps = 0;
        machine.software.update_bytes = 4;
        machine.software.half_states = half;
        cr_assert_eq(lspo_framework_memory_create(plan, &machine, &memory), LSPO_OK);
        cr_expect_eq(memory.plan->gpu_static_bytes, plan->gpu_static_bytes - (half ? 8 * parameters(plan) : 0));
        for (uint32_t op = 0; op < plan->op_count; op++) {
            bool first = plan->ops[op].kind == LSPO_OP_UPD_GPU && plan->ops[op].layer == 0;
            steps += first;
            expect_op(&memory, plan, op,
                      (uint64_t[2]){first ? each * parameters(plan) : 0, first ? each * parameters(plan) : 0});
        }
        cr_expect_eq(steps, 6u);
        lspo_framework_memory_release(&memory);
    }
    lspo_plan_destroy(plan);
}

/* axonn in fp32: its state visits in buckets, each of which takes the temporaries of its own parameters, 4 B each. */
Test(framework_memory, temporaries_of_a_bucket)
{
    lspo_plan_t *whole = plan_of("axonn", true, 1), *plan = NULL;
    lspo_machine_t machine = rtx4090();
    lspo_framework_memory_t memory;
    lspo_workload_t workload = whole->workload;
    uint64_t sum = 0;
    own_value(whole->policy, &workload, "bucket-size", 16384);
    cr_assert_eq(lspo_plan_build(&whole->model, &workload, whole->policy, &plan), LSPO_OK);
    machine.software.update_bytes = 4;
    cr_assert_eq(lspo_framework_memory_create(plan, &machine, &memory), LSPO_OK);
    for (uint32_t op = 0; op < plan->op_count; op++) {
        bool updates = plan->ops[op].kind == LSPO_OP_UPD_GPU;
        uint64_t bytes = updates ? 4 * plan->works[plan->ops[op].work].kernels[0].elements : 0;
        sum += bytes;
        cr_expect_leq(bytes, 4u * 16384);
        expect_op(&memory, plan, op, (uint64_t[2]){bytes, bytes});
    }
    cr_expect_eq(sum, plan->workload.iterations * 4 * parameters(plan));
    lspo_framework_memory_release(&memory);
    lspo_plan_destroy(plan);
    lspo_plan_destroy(whole);
}

/* 24 B per parameter in host memory, of each peer of a pipeline for its own; m, v and the copy are 12. */
Test(framework_memory, each_peer_has_its_own_share)
{
    lspo_plan_t *one = plan_of("axonn", true, 1), *plan = NULL;
    lspo_machine_t machine = rtx4090();
    lspo_framework_memory_t memory;
    lspo_workload_t workload = one->workload;
    own_value(one->policy, &workload, "pipeline", 2);
    cr_assert_eq(lspo_plan_build(&one->model, &workload, one->policy, &plan), LSPO_OK);
    machine.software.host_parameter_bytes = 24;
    cr_assert_eq(lspo_framework_memory_create(plan, &machine, &memory), LSPO_OK);
    for (uint32_t peer = 0; peer < 2; peer++) {
        cr_expect_eq(memory.plan->peer_static[peer].host_bytes, 2 * plan->peer_static[peer].host_bytes);
        cr_expect_eq(memory.plan->peer_static[peer].gpu_bytes, plan->peer_static[peer].gpu_bytes);
    }
    cr_expect_eq(memory.plan->host_static_bytes, 2 * plan->host_static_bytes);
    lspo_framework_memory_release(&memory);
    lspo_plan_destroy(plan);
    lspo_plan_destroy(one);
}

/* The same plan with m and v in another format. */
static lspo_plan_t *plan_in(const char *policy_name, lspo_optimizer_state_t state)
{
    lspo_plan_t *fp32 = plan_of(policy_name, true, 1), *plan = NULL;
    lspo_workload_t workload = fp32->workload;
    own_value(fp32->policy, &workload, "optimizer-state", state);
    cr_assert_eq(lspo_plan_build(&fp32->model, &workload, fp32->policy, &plan), LSPO_OK);
    lspo_plan_destroy(fp32);
    return plan;
}

/* States that a plan has chosen are not halved again: with half_states, fp32 and bf16 take the same. */
Test(framework_memory, states_are_halved_once)
{
    static const char *const policies[] = {"native", "zero"};
    for (int i = 0; i < 2; i++) {
        lspo_plan_t *fp32 = plan_in(policies[i], LSPO_OPTIMIZER_STATE_FP32);
        lspo_plan_t *bf16 = plan_in(policies[i], LSPO_OPTIMIZER_STATE_BF16);
        lspo_plan_t *codes = plan_in(policies[i], LSPO_OPTIMIZER_STATE_8BIT);
        lspo_machine_t machine = rtx4090();
        lspo_framework_memory_t of_fp32, of_bf16, of_codes;
        machine.software.half_states = 1;
        machine.software.update_bytes = 4;
        machine.software.host_parameter_bytes = 8;
        cr_assert_eq(lspo_framework_memory_create(fp32, &machine, &of_fp32), LSPO_OK);
        cr_assert_eq(lspo_framework_memory_create(bf16, &machine, &of_bf16), LSPO_OK);
        cr_assert_eq(lspo_framework_memory_create(codes, &machine, &of_codes), LSPO_OK);
        cr_expect_eq(of_bf16.plan->gpu_static_bytes, bf16->gpu_static_bytes);
        cr_expect_eq(of_bf16.plan->gpu_static_bytes, of_fp32.plan->gpu_static_bytes);
        cr_expect_eq(of_bf16.plan->host_static_bytes, of_fp32.plan->host_static_bytes);
        cr_expect_eq(of_codes.plan->gpu_static_bytes, codes->gpu_static_bytes);
        cr_expect_eq(of_codes.plan->host_static_bytes, codes->host_static_bytes);
        for (uint32_t op = 0; op < bf16->op_count; op++)
            cr_expect_eq(taken(&of_bf16, bf16, op), taken(&of_fp32, fp32, op));
        lspo_framework_memory_release(&of_codes);
        lspo_framework_memory_release(&of_bf16);
        lspo_framework_memory_release(&of_fp32);
        lspo_plan_destroy(codes);
        lspo_plan_destroy(bf16);
        lspo_plan_destroy(fp32);
    }
}

/* zero: 24 B per parameter in host memory, whatever the plan's buffers; two buffers of 1,000 gradients in bf16. */
Test(framework_memory, offloading_takes_buffers)
{
    lspo_plan_t *plan = plan_of("zero", true, 1), *resident = plan_of("native", true, 1);
    lspo_machine_t machine = rtx4090();
    lspo_framework_memory_t memory;
    machine.software.bucket_elements = 2000;
    machine.software.host_parameter_bytes = 24;
    cr_assert_eq(lspo_framework_memory_create(plan, &machine, &memory), LSPO_OK);
    cr_expect_eq(memory.plan->gpu_static_bytes, plan->gpu_static_bytes + 4000);
    cr_expect_eq(memory.plan->host_static_bytes, 24 * parameters(plan));
    lspo_framework_memory_release(&memory);
    cr_assert_eq(lspo_framework_memory_create(resident, &machine, &memory), LSPO_OK);
    cr_expect_eq(memory.plan->gpu_static_bytes, resident->gpu_static_bytes, "nothing is sent");
    cr_expect_eq(memory.plan->host_static_bytes, resident->host_static_bytes);
    lspo_framework_memory_release(&memory);
    lspo_plan_destroy(resident);
    lspo_plan_destroy(plan);
}

/* Of 800 B that come and go the allocator holds 200 B more, 20 % of 1,000; at most half of all. */
Test(framework_memory, allocator_leaves_some_unused)
{
    lspo_machine_t machine = rtx4090();
    machine.software.allocator_share = 0.2;
    cr_expect_eq(lspo_framework_reserve_bytes(&machine, 800), 200u);
    cr_expect_eq(lspo_framework_reserve_most_bytes(&machine, 5000, 800), 200u);
    machine.software.allocator_most = 0.5;
    cr_expect_eq(lspo_framework_reserve_most_bytes(&machine, 5000, 800), 5000u);
}

/* The parts of a predicted peak. */
Test(framework_memory, peak_is_the_sum_of_its_parts)
{
    lspo_plan_t *plan = plan_of("native", true, 1);
    lspo_machine_t machine = rtx4090(), own = rtx4090();
    lspo_trial_t trial = {0};
    lspo_memory_t memory = {0}, bound = {0}, without = {0};
    machine.software.library_bytes = 1e6;
    machine.software.allocator_share = 0.2;
    machine.software.allocator_most = 0.5;
    cr_assert_eq(lspo_trial_play(plan, &machine, &trial), LSPO_OK);
    cr_assert_eq(lspo_memory_predict(plan, &own, trial.trace, &without), LSPO_OK);
    cr_assert_eq(lspo_memory_predict(plan, &machine, trial.trace, &memory), LSPO_OK);
    cr_assert_eq(lspo_memory_predict_bound(plan, &machine, trial.trace, 0, &bound), LSPO_OK);
    cr_expect_eq(without.gpu_bytes, without.gpu_tensor_bytes);
    cr_expect_eq(memory.gpu_tensor_bytes, without.gpu_bytes);
    cr_expect_eq(memory.gpu_reserve_bytes, (without.gpu_bytes - plan->gpu_static_bytes) / 4);
    cr_expect_eq(memory.gpu_library_bytes, 1000000u);
    cr_expect_eq(memory.gpu_bytes, memory.gpu_tensor_bytes + memory.gpu_reserve_bytes + memory.gpu_library_bytes);
    cr_expect_eq(bound.gpu_bytes, 2 * without.gpu_bytes + 1000000);
    cr_expect_eq(memory.host_bytes, without.host_bytes);
    lspo_trial_release(&trial);
    lspo_plan_destroy(plan);
}

/* Of every policy, with and without checkpointing: what is taken is given back. */
Test(framework_memory, every_policy_balances)
{
    lspo_machine_t machine = rtx4090();
    machine.software.saved_width_bytes = 12;
    machine.software.logit_bytes = 50;
    machine.software.update_bytes = 4;
    machine.software.adapter_cast_bytes = 2;
    for (uint32_t p = 0; p < lspo_policy_count(); p++)
        for (int checkpointing = 0; checkpointing <= 1; checkpointing++) {
            lspo_plan_t *plan = plan_of(lspo_policy_at(p)->name, checkpointing, 1);
            lspo_framework_memory_t memory;
            cr_assert_eq(lspo_framework_memory_create(plan, &machine, &memory), LSPO_OK);
            cr_expect_eq(lspo_plan_check(memory.plan), LSPO_OK, "%s", plan->policy->name);
            cr_expect_neq(memory.plan, plan);
            lspo_framework_memory_release(&memory);
            lspo_plan_destroy(plan);
        }
}
