/* The memory of a training that several GPUs share: shares of a model, and ZeRO-3 by replay. */
#include <criterion/criterion.h>
#include <string.h>

#include "plan/policies.h"
#include "sim/fit.h"
#include "sim/parallel.h"

static lspo_fit_question_t question_of(const lspo_model_t *model, const lspo_machine_t *machine, uint32_t accumulation)
{
    lspo_fit_question_t question = {.model = model, .policy = &lspo_policy_native, .machine = machine};
    lspo_workload_default(&question.workload);
    question.workload.sequence = 128;
    question.workload.accumulation = accumulation;
    question.workload.iterations = 3;
    return question;
}

static lspo_model_t model_named(const char *name)
{
    lspo_model_t model;
    cr_assert_eq(lspo_model_find(name, &model), LSPO_OK);
    return model;
}

static lspo_machine_t machine_named(const char *name)
{
    lspo_machine_t machine;
    cr_assert_eq(lspo_machine_find(name, &machine), LSPO_OK);
    return machine;
}

static uint64_t linear_elements(const lspo_model_t *model)
{
    lspo_stage_t block;
    uint64_t elements = 0;
    lspo_model_stage(model, 1, &block);
    for (uint32_t i = 0; i < block.linear_count; i++)
        elements += (uint64_t)block.tensors[i].rows * block.tensors[i].cols;
    return elements;
}

/* Of each matrix a half, of norms all; heads keep their width. */
Test(parallel, a_share_has_half_of_each_matrix)
{
    static const char *const names[] = {"gpt2-1.3b", "llama-7b", "opt-1.3b"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        lspo_model_t model = model_named(names[i]), share;
        cr_assert_eq(lspo_parallel_share(&model, 2, &share),
                     strcmp(names[i], "gpt2-1.3b") == 0 ? LSPO_ERR_INPUT : LSPO_OK);
        if (strcmp(names[i], "gpt2-1.3b") == 0) /* 50257 tokens are odd */
            continue;
        cr_expect_eq(2 * linear_elements(&share), linear_elements(&model), "%s", names[i]);
        cr_expect_eq(lspo_model_head_width(&share), lspo_model_head_width(&model));
        cr_expect_eq(share.width, model.width);
        cr_expect_eq(2 * share.vocabulary, model.vocabulary);
    }
}

/* 4 GPUs: T of 1, 2 and 4, and with both 2 and 4 replicas with and without ZeRO-3. */
Test(parallel, lists_every_division)
{
    lspo_parallel_t layouts[16];
    char title[64];
    static const char *const titles[] = {"data 4", "zero-3 4", "tensor 2, data 2", "tensor 2, zero-3 2", "tensor 4"};
    lspo_model_t opt = model_named("opt-1.3b"), gpt = model_named("gpt2-124m");
    cr_assert_eq(lspo_parallel_list(&opt, 4, layouts, 16), 5u);
    for (size_t i = 0; i < 5; i++)
        cr_expect_str_eq(lspo_parallel_title(&layouts[i], title, sizeof title), titles[i]);
    cr_expect_eq(lspo_parallel_list(&gpt, 4, layouts, 16), 2u); /* 50257 tokens cannot be divided */
    cr_expect_eq(lspo_parallel_list(&opt, 4, layouts, 3), 3u);
    cr_assert_eq(lspo_parallel_list(&opt, 1, layouts, 16), 1u);
    cr_expect_str_eq(lspo_parallel_title(&layouts[0], title, sizeof title), "single");
}

static uint64_t rounded_up(uint64_t bytes, uint64_t parts)
{
    return (bytes + parts - 1) / parts;
}

/* One part is all of it, to the byte; more parts take less, but at least their shares and what a step must have: the
 * largest stage's gathered weights and whole gradient; at most two stages are gathered more than one GPU alone needs.
 */
static void check_zero_3(const lspo_model_t *model, const char *machine_name, uint32_t accumulation, bool checkpointing)
{
    lspo_machine_t machine = machine_named(machine_name);
    lspo_fit_question_t question = question_of(model, &machine, accumulation);
    lspo_needs_t alone, before;
    question.workload.checkpointing = checkpointing;
    cr_assert_eq(lspo_parallel_needs(&question, &(lspo_parallel_t){1, 1, false}, &alone), LSPO_OK);
    cr_assert_eq(lspo_parallel_needs(&question, &(lspo_parallel_t){1, 1, true}, &before), LSPO_OK);
    cr_expect_arr_eq(&before, &alone, sizeof alone);
    uint64_t largest = 0;
    for (uint32_t s = 0; s < lspo_model_stage_count(model); s++) {
        lspo_stage_t stage;
        lspo_model_stage(model, s, &stage);
        largest = stage.element_count > largest ? stage.element_count : largest;
    }
    for (uint32_t parts = 2; parts <= 16; parts *= 2) {
        lspo_needs_t needs;
        cr_assert_eq(lspo_parallel_needs(&question, &(lspo_parallel_t){1, parts, true}, &needs), LSPO_OK);
        cr_expect_eq(needs.gpu_weights_bytes, rounded_up(alone.gpu_weights_bytes, parts));
        cr_expect_eq(needs.gpu_optimizer_bytes, rounded_up(alone.gpu_optimizer_bytes, parts));
        cr_expect_lt(needs.gpu_bytes, before.gpu_bytes, "%u parts", parts);
        cr_expect_geq(needs.gpu_step_bytes, 2 * largest + 2 * largest - rounded_up(2 * largest, parts));
        cr_expect_leq(needs.gpu_step_bytes, alone.gpu_step_bytes + 4 * largest + 4 * largest);
        cr_expect_eq(needs.gpu_bytes, needs.gpu_weights_bytes + needs.gpu_optimizer_bytes + needs.gpu_workspace_bytes +
                                          needs.gpu_step_bytes + needs.gpu_reserve_bytes + needs.gpu_context_bytes);
        before = needs;
    }
}

Test(parallel, zero_3_takes_a_share)
{
    lspo_model_t gpt = model_named("gpt2-774m"), llama = model_named("llama-3b");
    check_zero_3(&gpt, "rtx4090", 1, true);
    check_zero_3(&llama, "rtx4090", 1, false);
    check_zero_3(&llama, "rtx4090", 3, true);
}

/* With one block, batch and token the weights are all that counts.  fp16, 2 parts: 2 e of weights, of which e are here
 * and e gathered.  Of stage 0 with e0 and so on, in the backward pass of the block: e1 gathered, e0 gathered ahead, the
 * block's gradient 2 e1, e2 of the head's gradient kept. */
Test(parallel, zero_3_by_hand)
{
    lspo_model_t model = {.name = "test",
                          .family = LSPO_FAMILY_LLAMA,
                          .block_count = 1,
                          .width = 256,
                          .head_count = 4,
                          .kv_head_count = 4,
                          .mlp_width = 8192,
                          .vocabulary = 16,
                          .max_sequence = 16};
    lspo_machine_t machine = machine_named("rtx4090");
    lspo_fit_question_t question = question_of(&model, &machine, 1);
    lspo_stage_t stages[3];
    lspo_needs_t needs;
    lspo_activations_t activations;
    question.workload.batch = 1;
    question.workload.sequence = 1;
    question.workload.checkpointing = false;
    for (uint32_t s = 0; s < 3; s++)
        lspo_model_stage(&model, s, &stages[s]);
    cr_assert_eq(lspo_parallel_needs(&question, &(lspo_parallel_t){1, 2, true}, &needs), LSPO_OK);
    lspo_activations(&model, &question.workload, &activations);
    uint64_t e0 = stages[0].element_count, e1 = stages[1].element_count, e2 = stages[2].element_count;
    uint64_t here = activations.saved_bytes + 2 * activations.input_bytes + activations.head_bytes;
    cr_expect_geq(needs.gpu_step_bytes, e1 + e0 + 2 * e1 + e2);
    cr_expect_leq(needs.gpu_step_bytes, e1 + e0 + 2 * e1 + e2 + here);
    cr_expect_lt(here, e1 / 100);
}

/* A GPU of T has the share's weights and states, and less than one GPU alone of all that comes and goes. */
Test(parallel, tensor_parallelism_takes_the_share)
{
    lspo_model_t model = model_named("llama-7b");
    lspo_machine_t machine = machine_named("rtx4090");
    lspo_fit_question_t question = question_of(&model, &machine, 1);
    lspo_needs_t before;
    cr_assert_eq(lspo_parallel_needs(&question, &(lspo_parallel_t){1, 1, false}, &before), LSPO_OK);
    for (uint32_t tensor = 2; tensor <= 8; tensor *= 2) {
        lspo_model_t share;
        lspo_needs_t needs;
        cr_assert_eq(lspo_parallel_share(&model, tensor, &share), LSPO_OK);
        cr_assert_eq(lspo_parallel_needs(&question, &(lspo_parallel_t){tensor, 1, false}, &needs), LSPO_OK);
        cr_expect_eq(needs.gpu_weights_bytes, 2 * lspo_model_parameter_count(&share));
        cr_expect_eq(needs.gpu_optimizer_bytes, 12 * lspo_model_parameter_count(&share));
        cr_expect_lt(needs.gpu_step_bytes, before.gpu_step_bytes);
        cr_expect_gt(needs.gpu_step_bytes, before.gpu_step_bytes / 2);
        before = needs;
    }
}

static void check_sums(const lspo_needs_t *needs, const char *what)
{
    uint64_t gpu = needs->gpu_weights_bytes + needs->gpu_gradients_bytes + needs->gpu_optimizer_bytes +
                   needs->gpu_projectors_bytes + needs->gpu_workspace_bytes + needs->gpu_framework_bytes +
                   needs->gpu_step_bytes + needs->gpu_reserve_bytes + needs->gpu_context_bytes;
    uint64_t host = needs->host_weights_bytes + needs->host_optimizer_bytes + needs->host_buffers_bytes +
                    needs->host_activations_bytes + needs->host_framework_bytes + needs->host_step_bytes;
    cr_expect_eq(gpu, needs->gpu_bytes, "%s: GPU %lu, not %lu", what, gpu, needs->gpu_bytes);
    cr_expect_eq(host, needs->host_bytes, "%s: host %lu, not %lu", what, host, needs->host_bytes);
}

/* The items are all there is, whatever the policy and the framework; lspo's own has nothing besides the plan's. */
Test(parallel, items_add_up)
{
    static const char *const frameworks[] = {"lspo", "deepspeed", "deepspeed-blocking", "torchao", "eager"};
    lspo_model_t model = model_named("gpt2-124m");
    for (uint32_t i = 0; i < lspo_policy_count(); i++)
        for (size_t f = 0; f < sizeof frameworks / sizeof frameworks[0]; f++)
            for (uint32_t swap = 0; swap < 2; swap++) {
                lspo_machine_t machine = machine_named("rtx3060");
                cr_assert_eq(lspo_machine_use_framework(&machine, frameworks[f]), LSPO_OK);
                lspo_fit_question_t question = question_of(&model, &machine, 1);
                lspo_needs_t needs;
                question.policy = lspo_policy_at(i);
                lspo_policy_set_defaults(question.policy, &model, false, &question.workload);
                question.workload.swap_activations = 5 * swap;
                question.workload.iterations = lspo_policy_iterations(question.policy, &question.workload);
                cr_assert_eq(lspo_parallel_needs(&question, &(lspo_parallel_t){1, 1, false}, &needs), LSPO_OK);
                check_sums(&needs, question.policy->name);
                cr_expect_eq(needs.host_activations_bytes > 0, swap > 0, "%s", question.policy->name);
                cr_expect(f > 0 || (needs.gpu_framework_bytes == 0 && needs.host_framework_bytes == 0), "%s",
                          question.policy->name);
                lspo_needs_share_host(&needs, 4);
                check_sums(&needs, question.policy->name);
            }
}

Test(parallel, only_native_is_divided)
{
    lspo_model_t model = model_named("gpt2-774m");
    lspo_machine_t machine = machine_named("rtx4090");
    lspo_fit_question_t question = question_of(&model, &machine, 1);
    lspo_needs_t needs;
    question.policy = &lspo_policy_zero;
    cr_expect_eq(lspo_parallel_needs(&question, &(lspo_parallel_t){1, 2, true}, &needs), LSPO_ERR_INPUT);
}
