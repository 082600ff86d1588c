/* What fits and with what batch, against every batch tried; the order of choices; advice, and that following it
 * helps; times that are those of a long training, over random workloads and machines. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/texts.h"
#include "plan/policies/badam.h"
#include "plan/policies/deep_optimizer_states.h"
#include "plan/policies/fusion.h"
#include "plan/policies/galore.h"
#include "plan/policies/lsp.h"
#include "plan/policies/meft.h"
#include "plan/policies/shared.h"
#include "plan/policies/swap.h"
#include "plan/policies/zenflow.h"
#include "plan/policy.h"
#include "sim/advice.h"
#include "sim/choose.h"
#include "sim/fit.h"
#include "sim/sim.h"
#include "sim/tune.h"
#include "tests/own_folder.h"
#include "tests/own_values.h"
#include "tests/plan_maker.h"

typedef struct {
    lspo_model_t model;
    lspo_workload_t workload;
    lspo_machine_t machine;
} case_t;

static case_t small_case(void)
{
    case_t it;
    cr_assert_eq(lspo_model_find("gpt-small", &it.model), LSPO_OK);
    cr_assert_eq(lspo_machine_find("paper-laptop", &it.machine), LSPO_OK);
    it.machine.gpu.context_bytes = 0;
    lspo_workload_default(&it.workload);
    it.workload.sequence = 128;
    lspo_lsp_values_edit(&it.workload)->subspace = 64;
    lspo_meft_values_edit(&it.workload)->adapter_width = it.model.width; /* its default */
    return it;
}

static const lspo_policy_t *find(const char *name)
{
    const lspo_policy_t *policy = NULL;
    cr_assert_eq(lspo_policy_find(name, &policy), LSPO_OK);
    return policy;
}

static lspo_fit_question_t ask(const case_t *it, const lspo_policy_t *policy)
{
    lspo_fit_question_t question = {&it->model, it->workload, policy, &it->machine};
    question.workload.iterations = lspo_policy_iterations(policy, &it->workload);
    return question;
}

static lspo_fit_t fit_of(const lspo_fit_question_t *question)
{
    lspo_fit_t fit;
    cr_assert_eq(lspo_fit_try(question, &fit), LSPO_OK);
    return fit;
}

/* ---- without a play ---- */

/* What a play finds missing is as much or more, of each memory and of both, and a byte less than what is held is
 * missed. */
static void check_held(case_t it, const lspo_policy_t *policy)
{
    const lspo_fit_question_t question = ask(&it, policy);
    uint64_t held_bytes = 0, missing_bytes = 0;
    for (int gpu = 0; gpu < 2; gpu++) {
        it.machine.gpu.memory_bytes = gpu ? 0 : 1e18;
        it.machine.cpu.memory_bytes = gpu ? 1e18 : 0;
        cr_assert_eq(lspo_fit_least_excess(&question, &held_bytes), LSPO_OK);
        const lspo_fit_t fit = fit_of(&question);
        cr_expect_leq(held_bytes, gpu ? fit.gpu_bytes : fit.host_bytes, "%s, %d", policy->name, gpu);
    }
    it.machine.gpu.memory_bytes = it.machine.cpu.memory_bytes = 0;
    cr_assert_eq(lspo_fit_least_excess(&question, &held_bytes), LSPO_OK);
    const lspo_fit_t fit = fit_of(&question);
    cr_expect_gt(held_bytes, 0u);
    cr_expect_leq(held_bytes, fit.gpu_bytes + fit.host_bytes, "%s", policy->name);
    it.machine.gpu.memory_bytes = (double)held_bytes;
    it.machine.cpu.memory_bytes = 0;
    cr_assert_eq(lspo_fit_least_excess(&question, &missing_bytes), LSPO_OK);
    it.machine.gpu.memory_bytes = (double)(held_bytes - missing_bytes); /* all of the GPU's */
    it.machine.cpu.memory_bytes = (double)missing_bytes;
    cr_assert_eq(lspo_fit_least_excess(&question, &missing_bytes), LSPO_OK);
    cr_expect_eq(missing_bytes, 0u, "%s", policy->name);
    it.machine.gpu.memory_bytes--;
    cr_assert_eq(lspo_fit_least_excess(&question, &missing_bytes), LSPO_OK);
    cr_expect_eq(missing_bytes, 1u, "%s", policy->name);
}

/* By each policy, also with a stride, or a share to rebuild, that is chosen; with frameworks that keep states of half
 * the size, or other states on the host. */
Test(choose, what_is_held_all_the_time_needs_no_play)
{
    static const char *const frameworks[] = {"lspo", "eager", "torchao"};
    for (uint32_t i = 0; i < 3 * lspo_policy_count(); i++) {
        case_t it = small_case();
        cr_assert_eq(lspo_machine_use_framework(&it.machine, frameworks[i % 3]), LSPO_OK);
        it.workload.precision = LSPO_BF16;
        it.workload.batch = 1;
        it.workload.sequence = 16;
        check_held(it, lspo_policy_at(i / 3));
    }
    for (uint32_t p = 0; p < lspo_generation_policy_count(); p++) {
        case_t it = small_case();
        const lspo_policy_t *policy = lspo_generation_policy_at(p);
        if (!lspo_policy_takes(policy, &it.model))
            cr_assert_eq(lspo_model_find("moe-tiny", &it.model), LSPO_OK);
        check_held(it, policy);
    }
}

/* Peers have their own memory, and none is missing there. */
Test(choose, the_memory_of_peers_is_not_the_machines, .init = make_folder, .fini = remove_folder)
{
    case_t it = small_case();
    uint64_t missing_bytes = 1;
    lspo_fit_question_t question = ask(&it, find("fusion"));
    it.machine.gpu.memory_bytes = it.machine.cpu.memory_bytes = 0;
    cr_assert_eq(lspo_fit_least_excess(&question, &missing_bytes), LSPO_OK);
    cr_expect_gt(missing_bytes, 0u);
    const char *file = own_file("peers.ini", "[peers]\nmachine = a100-80gb-sxm\nBps = 1 GB/s\n[peer a]\ncount = 2\n");
    cr_assert_eq(lspo_text_number(file, &lspo_fusion_values_edit(&question.workload)->peers), LSPO_OK);
    cr_assert_eq(lspo_fit_least_excess(&question, &missing_bytes), LSPO_OK);
    cr_expect(fit_of(&question).fits);
    cr_expect_eq(missing_bytes, 0u);
}

/* With exactly the memory and the time that a play finds necessary it may fit, by any policy, with large and small
 * activations; with a third of the time most may not. */
Test(choose, what_fits_may_fit)
{
    uint32_t too_slow = 0;
    for (uint32_t i = 0; i < 4 * lspo_policy_count(); i++) {
        case_t it = small_case();
        const lspo_policy_t *policy = lspo_policy_at(i / 4);
        it.workload.batch = i % 2 ? 16 : 1;
        it.workload.accumulation = i / 2 % 2 ? 2 : 1;
        it.workload.checkpointing = i % 2;
        const lspo_fit_question_t question = ask(&it, policy);
        it.machine.gpu.memory_bytes = it.machine.cpu.memory_bytes = 1e18;
        const lspo_fit_t fit = fit_of(&question);
        bool may = false;
        it.machine.gpu.memory_bytes = (double)fit.gpu_bytes;
        it.machine.cpu.memory_bytes = (double)fit.host_bytes;
        cr_assert_eq(lspo_fit_may(&question, INFINITY, &may), LSPO_OK);
        cr_expect(may, "%s, case %u", policy->name, i % 4);
        cr_assert_eq(lspo_fit_may(&question, fit.iteration_s * (1 + 1e-12), &may), LSPO_OK);
        cr_expect(may, "%s, case %u: %g s", policy->name, i % 4, fit.iteration_s);
        cr_assert_eq(lspo_fit_may(&question, 0.3 * fit.iteration_s, &may), LSPO_OK);
        too_slow += !may;
        it.machine.gpu.memory_bytes = 0;
        cr_assert_eq(lspo_fit_may(&question, INFINITY, &may), LSPO_OK);
        cr_expect(!may, "%s, case %u", policy->name, i % 4);
    }
    cr_expect_gt(too_slow, 2 * lspo_policy_count(), "%u", too_slow);
}

/* Bases that stay are computed in the first step, which then takes longer than all others. */
Test(choose, a_long_first_step_may_be_fast_enough)
{
    uint32_t judged = 0;
    for (uint32_t i = 0; i < lspo_policy_count(); i++) {
        case_t it = small_case();
        const lspo_policy_t *policy = lspo_policy_at(i);
        const lspo_parameter_t *const parameters[] = {&lspo_parameter_adam_basis, &lspo_parameter_check_every};
        const uint32_t values[] = {LSPO_ADAM_BASIS_FIXED, 0};
        for (int k = 0; k < 2; k++)
            if (lspo_policy_value(policy, &it.workload, parameters[k]) != NULL)
                *(uint32_t *)lspo_policy_slot(policy, &it.workload, parameters[k]) = values[k];
        if (lspo_policy_value(policy, &it.workload, parameters[0]) == NULL)
            continue;
        const lspo_fit_question_t question = ask(&it, policy);
        it.machine.gpu.memory_bytes = it.machine.cpu.memory_bytes = 1e18;
        bool may = false;
        cr_assert_eq(lspo_fit_may(&question, fit_of(&question).iteration_s * (1 + 1e-12), &may), LSPO_OK);
        cr_expect(may, "%s", policy->name);
        judged++;
    }
    cr_expect_geq(judged, 3u);
}

/* Without a play: native's activations of 64 sequences are more than what it holds all the time, and too much for it
 * and half of them. */
Test(choose, activations_need_no_play)
{
    case_t it = small_case();
    uint64_t held_bytes = 0;
    bool may = true;
    it.workload.batch = 64;
    it.machine.gpu.memory_bytes = 1e18;
    const lspo_fit_question_t question = ask(&it, find("native"));
    const double all_bytes = (double)fit_of(&question).gpu_bytes;
    it.machine.gpu.memory_bytes = 0;
    cr_assert_eq(lspo_fit_least_excess(&question, &held_bytes), LSPO_OK);
    cr_expect_gt(all_bytes, 1.2 * (double)held_bytes, "%g, %lu", all_bytes, held_bytes);
    it.machine.gpu.memory_bytes = 0.99 * all_bytes;
    cr_assert_eq(lspo_fit_may(&question, INFINITY, &may), LSPO_OK);
    cr_expect(!may);
}

/* ---- the stride ---- */

/* The first of the fastest strides, of those that fit if any does. */
static int32_t best_stride(const lspo_fit_question_t *question)
{
    int32_t best = 0;
    bool any_fits = false;
    double best_s = 0;
    for (uint32_t i = 0; lspo_tune_stride_at(i) > 0; i++) {
        lspo_fit_question_t asked = *question;
        lspo_deep_optimizer_states_values_edit(&asked.workload)->stride = lspo_tune_stride_at(i);
        const lspo_fit_t fit = fit_of(&asked);
        if (best != 0 && (fit.fits != any_fits ? any_fits : fit.iteration_s >= best_s))
            continue;
        best = lspo_tune_stride_at(i);
        any_fits = fit.fits;
        best_s = fit.iteration_s;
    }
    return best;
}

/* On CPUs and links of several speeds, with room for all strides, for some, and for none. */
Test(choose, the_stride_is_that_of_trying_all)
{
    static const double speeds[] = {0.1, 1, 10}, gpu_bytes[] = {1e12, 4.9e9, 4.2e9, 1e9};
    uint32_t different = 0;
    int32_t last = 0;
    for (size_t i = 0; i < 3 * 3 * 4; i++) {
        case_t it = small_case();
        lspo_fit_question_t question = ask(&it, find("deep-optimizer-states"));
        lspo_deep_optimizer_states_values_edit(&question.workload)->subgroup_size = 1u << 20;
        it.machine.cpu.adam_pps *= speeds[i % 3];
        it.machine.link.h2d_Bps *= speeds[i / 3 % 3];
        it.machine.gpu.memory_bytes = gpu_bytes[i / 9];
        const int32_t wanted = best_stride(&question);
        cr_assert_eq(lspo_tune_stride(&it.model, question.policy, &it.machine, &question.workload), LSPO_OK);
        const int32_t found = lspo_deep_optimizer_states_values_of(&question.workload)->stride;
        cr_expect_eq(found, wanted, "case %zu: %d, not %d", i, found, wanted);
        different += found != last;
        last = found;
    }
    cr_expect_gt(different, 5u, "%u", different);
}

/* ---- the largest batch ---- */

/* Memory that holds what batches 1, 2, 3, 5 and 11 take, to the byte and a byte less: every batch is tried.  With a
 * stride of its own: one that is chosen depends on that memory. */
Test(choose, the_largest_batch_is_that_of_trying_all)
{
    enum { MOST = 24 };
    static const uint32_t at[] = {1, 2, 3, 5, 11};
    for (uint32_t p = 0; p < lspo_policy_count(); p++) {
        case_t it = small_case();
        lspo_fit_question_t question = ask(&it, lspo_policy_at(p));
        uint64_t gpu_bytes[MOST + 1];
        lspo_deep_optimizer_states_values_edit(&question.workload)->stride = 2;
        for (uint32_t batch = 1; batch <= MOST; batch++) {
            question.workload.batch = batch;
            gpu_bytes[batch] = fit_of(&question).gpu_bytes;
        }
        question.workload.batch = 4;
        for (size_t i = 0; i < 2 * sizeof at / sizeof at[0]; i++) {
            it.machine.gpu.memory_bytes = (double)gpu_bytes[at[i / 2]] - (double)(i % 2);
            uint32_t wanted = 0, found = 77;
            for (uint32_t batch = 1; batch <= MOST; batch++)
                wanted = (double)gpu_bytes[batch] <= it.machine.gpu.memory_bytes ? batch : wanted;
            cr_assert_eq(lspo_fit_largest_batch(&question, &found), LSPO_OK);
            cr_expect_eq(found, wanted, "%s, %.0f bytes: %u, not %u", question.policy->name,
                         it.machine.gpu.memory_bytes, found, wanted);
        }
    }
}

/* With room for all, the answer is what flags allow at most. */
Test(choose, the_largest_batch_ends_where_flags_end)
{
    case_t it = small_case();
    it.machine.gpu.memory_bytes = it.machine.cpu.memory_bytes = 1e18;
    lspo_fit_question_t question = ask(&it, find("native"));
    uint32_t found = 0;
    cr_assert_eq(lspo_fit_largest_batch(&question, &found), LSPO_OK);
    cr_expect_eq(found, lspo_workload_batch_most(&question.workload, &it.model));
    cr_expect_eq(found, (1u << 26) / 128);
    question.workload.batch = found;
    cr_expect_eq(lspo_workload_check(&question.workload, &it.model), LSPO_OK);
    question.workload.batch = found + 1;
    cr_expect_eq(lspo_workload_check(&question.workload, &it.model), LSPO_ERR_INPUT);
}

/* Host memory decides, too: native needs none, zero 16 bytes a parameter. */
Test(choose, host_memory_decides)
{
    case_t it = small_case();
    it.machine.cpu.memory_bytes = it.machine.cpu.process_bytes + 1e6;
    lspo_fit_question_t native = ask(&it, find("native")), zero = ask(&it, find("zero"));
    cr_expect(fit_of(&native).fits);
    lspo_fit_t fit = fit_of(&zero);
    cr_expect_not(fit.fits);
    cr_expect_eq(lspo_fit_gpu_excess(&it.machine, fit.gpu_bytes), 0u);
    cr_expect_eq(lspo_fit_host_excess(&it.machine, fit.host_bytes),
                 fit.host_bytes - (uint64_t)it.machine.cpu.memory_bytes);
}

/* ---- choices ---- */

static uint64_t excess_bytes(const lspo_choice_t *choice)
{
    return choice->gpu_excess_bytes + choice->host_excess_bytes;
}

static void expect_order(const lspo_choice_t *choices, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        const lspo_choice_t *a = &choices[i - 1], *b = &choices[i];
        cr_expect_geq(a->prediction.fits, b->prediction.fits);
        if (a->prediction.fits && b->prediction.fits)
            cr_expect_geq(a->prediction.tokens_per_s, b->prediction.tokens_per_s);
        if (!a->prediction.fits)
            cr_expect_leq(excess_bytes(a), excess_bytes(b));
        cr_expect_eq(b->prediction.fits, excess_bytes(b) == 0);
    }
}

/* As small_case() has them. */
static lspo_status_t prepare(void *model, const lspo_policy_t *policy, lspo_workload_t *workload)
{
    lspo_policy_set_defaults(policy, model, false, workload);
    own_value(policy, workload, "subspace", 64);
    return LSPO_OK;
}

/* Policies of one machine. */
static uint32_t offered(bool exact_only)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < lspo_policy_count(); i++)
        count += !lspo_policy_at(i)->of_peers && (!exact_only || lspo_policy_at(i)->semantics == LSPO_SEMANTICS_EXACT);
    return count;
}

/* All policies, each once, in order, as a prediction of its own has them. */
Test(choose, choices_are_predictions_in_order)
{
    static const double memories_bytes[] = {1e18, 4e8, 1e8, 1e6};
    for (size_t m = 0; m < sizeof memories_bytes / sizeof memories_bytes[0]; m++) {
        case_t it = small_case();
        it.machine.gpu.memory_bytes = memories_bytes[m];
        it.workload.iterations = 0;
        lspo_choose_options_t options = {.model = &it.model,
                                         .machine = &it.machine,
                                         .workload = it.workload,
                                         .prepare = prepare,
                                         .prepare_context = &it.model};
        lspo_choice_t *choices = NULL;
        uint32_t count = 0;
        cr_assert_eq(lspo_choose(&options, &choices, &count), LSPO_OK);
        cr_expect_eq(count, offered(false));
        expect_order(choices, count);
        for (uint32_t i = 0; i < count; i++) {
            lspo_plan_t *plan = NULL;
            lspo_prediction_t own;
            lspo_fit_question_t question = ask(&it, choices[i].policy);
            cr_assert_eq(lspo_tune_transition(&it.model, &question.workload, question.policy, &it.machine, &plan),
                         LSPO_OK);
            cr_assert_eq(lspo_simulate(plan, &it.machine, &own, NULL), LSPO_OK);
            cr_expect_eq(own.summary.iteration_s, choices[i].prediction.summary.iteration_s);
            cr_expect_eq(own.peak_gpu_bytes, choices[i].prediction.peak_gpu_bytes);
            cr_expect_eq(own.fits, choices[i].prediction.fits);
            if (own.fits)
                cr_expect_geq(choices[i].largest_batch, 4u, "%s", question.policy->name);
            lspo_prediction_release(&own);
            lspo_plan_destroy(plan);
        }
        free(choices);
    }
}

/* Generation: its own policies, as predictions of their own have them; those for models with experts refuse others. */
Test(choose, compares_the_policies_of_generation)
{
    case_t it = small_case();
    lspo_choose_options_t options = {
        .model = &it.model, .machine = &it.machine, .workload = it.workload, .task = LSPO_TASK_GENERATE};
    lspo_choice_t *choices = NULL;
    uint32_t count = 0, refusals = 0;
    cr_assert_eq(lspo_choose(&options, &choices, &count), LSPO_OK);
    cr_expect_eq(count, lspo_generation_policy_count());
    for (uint32_t i = 0; i < count; i++) {
        const bool refuses = choices[i].refusal[0] != '\0';
        lspo_plan_t *plan = NULL;
        lspo_prediction_t own;
        refusals += refuses;
        cr_expect_eq(refuses, strcmp(choices[i].policy->name, "qmoe") == 0, "%s", choices[i].refusal);
        if (refuses)
            continue;
        lspo_policy_set_defaults(choices[i].policy, &it.model, false, &it.workload);
        cr_assert_eq(lspo_tune_transition(&it.model, &it.workload, choices[i].policy, &it.machine, &plan), LSPO_OK);
        cr_assert_eq(lspo_simulate(plan, &it.machine, &own, NULL), LSPO_OK);
        cr_expect_eq(own.summary.iteration_s, choices[i].prediction.summary.iteration_s);
        cr_expect_eq(own.peak_gpu_bytes, choices[i].prediction.peak_gpu_bytes);
        lspo_prediction_release(&own);
        lspo_plan_destroy(plan);
    }
    cr_expect_eq(refusals, 1u);
    expect_order(choices, count - refusals);
    cr_expect_str_eq(choices[count - 1].policy->name, "qmoe", "those that refuse are the last");
    free(choices);
}

/* No policy of trainings takes a model with experts. */
Test(choose, is_an_error_where_all_refuse)
{
    case_t it = small_case();
    lspo_choice_t *choices = NULL;
    uint32_t count = 0;
    char said[256];
    cr_assert_eq(lspo_model_find("moe-tiny", &it.model), LSPO_OK);
    lspo_choose_options_t options = {.model = &it.model, .machine = &it.machine, .workload = it.workload};
    lspo_messages_keep(said, sizeof said);
    cr_expect_eq(lspo_choose(&options, &choices, &count), LSPO_ERR_INPUT);
    lspo_messages_keep(NULL, 0);
    cr_expect_str_eq(said, "policy native is not for models with experts, such as moe-tiny; lspo only generates with "
                           "them (--task generate)");
}

Test(choose, exact_only_and_the_best_of_a_class)
{
    case_t it = small_case();
    it.workload.iterations = 0;
    lspo_choose_options_t options = {
        .model = &it.model, .machine = &it.machine, .workload = it.workload, .exact_only = true};
    lspo_choice_t *choices = NULL;
    uint32_t count = 0;
    cr_assert_eq(lspo_choose(&options, &choices, &count), LSPO_OK);
    cr_expect_eq(count, offered(true));
    cr_expect_eq(lspo_choice_best(choices, count, LSPO_CLASS_EXACT), &choices[0]);
    cr_expect_null(lspo_choice_best(choices, count, LSPO_CLASS_COMPRESSED));
    free(choices);

    /* Only some batch fits: the one with the largest is nearest. */
    lspo_choice_t made[] = {{.policy = find("zero"), .gpu_excess_bytes = 10},
                            {.policy = find("swap"), .gpu_excess_bytes = 20, .largest_batch = 2},
                            {.policy = find("zenflow"), .gpu_excess_bytes = 30}};
    cr_expect_eq(lspo_choice_best(made, 3, LSPO_CLASS_EXACT), &made[1]);
    made[1].largest_batch = 0;
    cr_expect_eq(lspo_choice_best(made, 3, LSPO_CLASS_EXACT), &made[0], "what misses least");
    cr_expect_eq(lspo_choice_best(made, 3, LSPO_CLASS_OTHER), &made[2], "stale ones are among the others");
}

/* ---- advice ---- */

/* What the policy takes, and the advice that a machine with so much less GPU memory is given. */
static void advise(case_t *it, const char *name, double less_bytes, char advice[LSPO_ADVICE_BYTES])
{
    const lspo_policy_t *policy = find(name);
    lspo_fit_question_t question = ask(it, policy);
    lspo_plan_t *plan = NULL;
    lspo_prediction_t prediction;
    it->machine.gpu.memory_bytes = (double)fit_of(&question).gpu_bytes - less_bytes;
    cr_assert_eq(lspo_tune_transition(&it->model, &question.workload, policy, &it->machine, &plan), LSPO_OK);
    cr_assert_eq(lspo_simulate(plan, &it->machine, &prediction, NULL), LSPO_OK);
    cr_expect_not(prediction.fits);
    cr_assert_eq(lspo_advise(plan, &it->machine, &prediction, LSPO_ADVICE_BYTES, advice), LSPO_OK);
    lspo_prediction_release(&prediction);
    lspo_plan_destroy(plan);
}

Test(choose, advice_names_a_flag_of_the_policy_asked_for)
{
    case_t it = small_case();
    char advice[LSPO_ADVICE_BYTES];
    it.workload.checkpointing = false;
    advise(&it, "zero", 1e6, advice);
    cr_expect_not_null(strstr(advice, "; --checkpointing on or --policy stream (exact too) would make it fit"), "%s",
                       advice);

    /* Seven do not fit by a byte, six do: halves would say 3.  All activations that can wait on the host do so. */
    it.workload.checkpointing = true;
    it.workload.swap_activations = it.model.block_count - 2;
    it.workload.batch = 7;
    advise(&it, "zero", 1, advice);
    cr_expect_not_null(strstr(advice, ", 1 B more than"), "%s", advice);
    cr_expect_not_null(strstr(advice, "; --batch 6 or --policy stream (exact too) would make it fit"), "%s", advice);
}

/* The smallest number of blocks that is enough, of eight at most six: before a smaller batch, behind checkpointing. */
Test(choose, advice_swaps_activations_before_it_takes_sequences)
{
    case_t it = small_case();
    char advice[LSPO_ADVICE_BYTES];
    lspo_activations_t a;
    it.model.block_count = 8;
    it.workload.batch = 32;
    lspo_activations(&it.model, &it.workload, &a);
    const lspo_fit_question_t with = ask(&it, find("lsp"));
    double recomputing_bytes = (double)fit_of(&with).gpu_bytes;
    advise(&it, "lsp", 1.5 * (double)a.input_bytes, advice);
    cr_expect_not_null(strstr(advice, "; --swap-activations 2 "), "%s", advice);
    advise(&it, "lsp", 6.5 * (double)a.input_bytes, advice);
    cr_expect_not_null(strstr(advice, "; --batch "), "%s", advice);

    it.workload.checkpointing = false;
    const lspo_fit_question_t without = ask(&it, find("lsp"));
    advise(&it, "lsp", (double)fit_of(&without).gpu_bytes - recomputing_bytes + 1.5 * (double)a.input_bytes, advice);
    cr_expect_not_null(strstr(advice, "; --checkpointing on --swap-activations 2 "), "%s", advice);
}

/* Native's state does not shrink with the batch.  An exact policy is answered with an exact one where one fits, and
 * else with the word that it is another kind. */
Test(choose, advice_keeps_to_the_semantics_asked_for)
{
    case_t it = small_case();
    char advice[LSPO_ADVICE_BYTES];
    it.workload.batch = 1;
    advise(&it, "native", 1e6, advice);
    cr_expect_not_null(strstr(advice, "(exact too) would make it fit"), "%s", advice);
    cr_expect_null(strstr(advice, "--batch"), "%s", advice);

    it.machine.cpu.memory_bytes = it.machine.cpu.process_bytes + 2e6; /* no exact one has room for its state */
    advise(&it, "native", 1e6, advice);
    cr_expect_not_null(strstr(advice, ", not exact) would make it fit"), "%s", advice);
}

/* Following the advice makes it fit, for every policy; what cannot be helped is told by the nearest, not by "more
 * memory". */
Test(choose, no_policy_is_told_to_buy_memory)
{
    for (uint32_t p = 0; p < lspo_policy_count(); p++) {
        case_t it = small_case();
        char advice[LSPO_ADVICE_BYTES], nearest[LSPO_NAME_BYTES] = "";
        lspo_fit_question_t question = ask(&it, lspo_policy_at(p));
        double all_bytes = (double)fit_of(&question).gpu_bytes;
        advise(&it, lspo_policy_at(p)->name, all_bytes - 1000, advice);
        cr_expect_null(strstr(advice, "--gpu-memory"), "%s", advice);
        const char *at = strstr(advice, "no policy fits at any batch size; the nearest is --policy ");
        cr_assert_not_null(at, "%s", advice);
        sscanf(at + strlen("no policy fits at any batch size; the nearest is --policy "), "%63s", nearest);
        const lspo_policy_t *named = find(nearest);
        question = ask(&it, named);
        question.workload.batch = 1;
        uint64_t least_bytes = fit_of(&question).gpu_bytes;
        for (uint32_t i = 0; i < lspo_policy_count(); i++) {
            lspo_fit_question_t other = ask(&it, lspo_policy_at(i));
            other.workload.batch = 1;
            cr_expect_leq(least_bytes, fit_of(&other).gpu_bytes, "%s before %s", named->name, other.policy->name);
        }
    }
}

/* With half of the cached tokens rebuilt, kvpr needs 20.6 GiB of the host; with the fastest share it fits. */
Test(choose, advice_knows_that_an_open_share_may_be_small)
{
    case_t it;
    char advice[LSPO_ADVICE_BYTES];
    const lspo_policy_t *resident = NULL;
    lspo_plan_t *plan = NULL;
    lspo_prediction_t prediction;
    cr_assert_eq(lspo_model_find("opt-6.7b", &it.model), LSPO_OK);
    cr_assert_eq(lspo_machine_find("t4", &it.machine), LSPO_OK);
    it.machine.gpu.memory_bytes = 26 * 0x1p30;
    it.machine.cpu.memory_bytes = 20 * 0x1p30;
    lspo_workload_default(&it.workload);
    it.workload.batch = 32;
    it.workload.sequence = 1024;
    it.workload.iterations = 32;
    cr_assert_eq(lspo_policy_find_any("resident", &resident), LSPO_OK);
    cr_assert_eq(lspo_plan_build(&it.model, &it.workload, resident, &plan), LSPO_OK);
    cr_assert_eq(lspo_simulate(plan, &it.machine, &prediction, NULL), LSPO_OK);
    cr_assert_eq(lspo_advise(plan, &it.machine, &prediction, LSPO_ADVICE_BYTES, advice), LSPO_OK);
    cr_expect_not_null(strstr(advice, "; --policy kvpr would make it fit"), "%s", advice);
    lspo_prediction_release(&prediction);
    lspo_plan_destroy(plan);
}

/* ---- settled times ---- */

/* Late by s steps: the first that is not begins s + 1 steps in, and two more, or a period, are timed by the ends of one
 * more: 1 + s + 1 + max(2, the period by which it is late).  Zenflow of S steps a window is late by s = 2 S - 1, period
 * 2 S, and chooses columns every 16 steps, so that its steps are alike again after the longer of both. */
Test(choose, iterations_that_policies_need)
{
    static const struct {
        const char *policy;
        uint32_t update_every, project_every, check_every, period, staleness, least, usual;
    } cases[] = {{"native", 4, 200, 0, 1, 0, 2, 8},
                 {"zero-delayed", 4, 200, 0, 1, 1, 5, 16},
                 {"zenflow", 4, 200, 0, 16, 7, 17, 32},
                 {"zenflow", 1, 200, 0, 16, 1, 5, 32},
                 {"zenflow", 10, 200, 0, 20, 19, 41, 41},
                 {"galore", 4, 200, 0, 200, 0, 2, 8},
                 {"galore", 4, 5, 0, 5, 0, 2, 10},
                 {"lsp", 4, 200, 0, 1, 0, 2, 8},
                 {"lsp-paper", 4, 200, 16, 16, 0, 2, 32},
                 {"lsp", 4, 200, 32, 32, 0, 2, 64},
                 {"lsp", 4, 200, 33, 33, 0, 2, 8},
                 {"zenflow", UINT32_MAX, 1, 0, UINT32_MAX, UINT32_MAX - 1, UINT32_MAX, UINT32_MAX}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lspo_workload_t workload;
        const lspo_policy_t *policy = find(cases[i].policy);
        lspo_workload_default(&workload);
        lspo_zenflow_values_edit(&workload)->update_every = cases[i].update_every;
        lspo_galore_values_edit(&workload)->project_every = cases[i].project_every;
        lspo_lsp_values_edit(&workload)->check_every = cases[i].check_every;
        cr_expect_eq(lspo_policy_period(policy, &workload), cases[i].period, "case %zu", i);
        cr_expect_eq(lspo_policy_staleness(policy, &workload), cases[i].staleness, "case %zu", i);
        cr_expect_eq(lspo_policy_iterations_least(policy, &workload), cases[i].least, "case %zu", i);
        cr_expect_eq(lspo_policy_iterations(policy, &workload), cases[i].usual, "case %zu", i);
        workload.iterations = cases[i].least;
        cr_expect_eq(lspo_policy_warmup(policy, &workload, 0), cases[i].staleness ? cases[i].staleness + 1 : 0);
        cr_expect_eq(lspo_policy_warmup(policy, &workload, UINT32_MAX), UINT32_MAX, "what is asked, where it is more");
        workload.iterations = cases[i].least - 1;
        cr_expect_eq(lspo_policy_warmup(policy, &workload, 1), 1u, "a plan too short is left as it is");
    }
}

static double scaled(uint64_t *state, double value)
{
    static const double factors[] = {0.01, 0.1, 0.3, 1, 3, 10};
    return value * factors[maker_below(state, 6)];
}

static case_t random_case(uint64_t seed)
{
    case_t it = small_case();
    uint64_t state = seed * 0x9e3779b97f4a7c15u + 3;
    lspo_workload_t *w = &it.workload;
    w->iterations = 2 + (uint32_t)maker_below(&state, 30);
    w->accumulation = 1 + (uint32_t)maker_below(&state, 2);
    w->clip_norm = maker_below(&state, 3) == 0;
    w->checkpointing = maker_below(&state, 2);
    set_gradient_buffers(w, (uint32_t)maker_below(&state, 4));
    lspo_swap_values_edit(w)->swap_slots = 1 + (uint32_t)maker_below(&state, 3);
    lspo_zenflow_values_edit(w)->update_every = 1 + (uint32_t)maker_below(&state, 5);
    lspo_zenflow_values_edit(w)->select_every =
        lspo_zenflow_values_of(w)->update_every * (1 + (uint32_t)maker_below(&state, 4));
    lspo_galore_values_edit(w)->project_every = 1 + (uint32_t)maker_below(&state, 9);
    lspo_badam_values_edit(w)->switch_every = 1 + (uint32_t)maker_below(&state, 9);
    lspo_lsp_values_edit(w)->check_every = (uint32_t)maker_below(&state, 9);
    lspo_lsp_values_edit(w)->fit_steps = 4;
    lspo_lsp_values_edit(w)->fit_batches = 3;
    it.machine.link.d2h_Bps = scaled(&state, it.machine.link.d2h_Bps);
    it.machine.link.h2d_Bps = scaled(&state, it.machine.link.h2d_Bps);
    it.machine.cpu.adam_pps = scaled(&state, it.machine.cpu.adam_pps);
    it.machine.cpu.adam_cached_pps = it.machine.cpu.adam_pps;
    return it;
}

/* The mean over a long plan of the same. */
static double long_run_s(const case_t *it, const lspo_policy_t *policy)
{
    case_t longer = *it;
    lspo_plan_t *plan = NULL;
    lspo_prediction_t prediction;
    longer.workload.iterations = 96;
    cr_assert_eq(lspo_plan_build(&it->model, &longer.workload, policy, &plan), LSPO_OK);
    cr_assert_eq(lspo_simulate(plan, &it->machine, &prediction, NULL), LSPO_OK);
    double sum_s = 0;
    for (uint32_t i = 0; i < prediction.summary.sample_count; i++)
        sum_s += prediction.summary.samples_s[i];
    double mean_s = sum_s / prediction.summary.sample_count;
    lspo_prediction_release(&prediction);
    lspo_plan_destroy(plan);
    return mean_s;
}

/* Whatever is asked: either the iterations are refused as too few, or the time is no less than the bound, and, where
 * they are the default, within 15 % of a long training's. */
Test(choose, times_are_refused_or_above_the_bound)
{
    uint32_t refused = 0, kept = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        for (uint32_t p = 0; p < lspo_policy_count(); p++) {
            case_t it = random_case(seed);
            const lspo_policy_t *policy = lspo_policy_at(p);
            lspo_plan_t *plan = NULL;
            lspo_prediction_t prediction;
            bool by_default = seed % 3 == 0;
            if (by_default)
                it.workload.iterations = lspo_policy_iterations(policy, &it.workload);
            cr_assert_eq(lspo_plan_build(&it.model, &it.workload, policy, &plan), LSPO_OK);
            cr_assert_eq(lspo_simulate(plan, &it.machine, &prediction, NULL), LSPO_OK);
            cr_assert_eq(lspo_simulate_bound(plan, &it.machine, &prediction), LSPO_OK);
            bool settled = lspo_simulate_check_settled(plan, &prediction) == LSPO_OK;
            uint32_t least = lspo_policy_iterations_least(policy, &it.workload);
            if (it.workload.iterations < least)
                cr_expect_not(settled, "%s, %u iterations", policy->name, it.workload.iterations);
            if (settled)
                cr_expect_geq(prediction.summary.iteration_s, prediction.lower_bound_s * (1 - 1e-9),
                              "%s, seed %u: %g s below %g s", policy->name, (unsigned)seed,
                              prediction.summary.iteration_s, prediction.lower_bound_s);
            bool counted = lspo_policy_period(policy, &it.workload) <= prediction.summary.iteration_count;
            if (by_default && counted && policy->optimizer != LSPO_OPTIMIZER_BLOCK_ADAM) {
                double wanted_s = long_run_s(&it, policy), found_s = prediction.summary.iteration_s;
                cr_expect(settled, "%s, seed %u", policy->name, (unsigned)seed);
                cr_expect(found_s > 0.85 * wanted_s && found_s < 1.15 * wanted_s, "%s, seed %u: %g s, not %g s",
                          policy->name, (unsigned)seed, found_s, wanted_s);
            }
            settled ? kept++ : refused++;
            lspo_prediction_release(&prediction);
            lspo_plan_destroy(plan);
        }
    }
    cr_expect_gt(refused, 5u);
    cr_expect_gt(kept, 400u);
}
