/* The search for the best settings against simulating all of them, and against settings that people use. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/policies/endor.h"
#include "plan/policies/kvpr.h"
#include "plan/policies/lsp.h"
#include "plan/policies/shared.h"
#include "plan/policies/zero.h"
#include "plan/policy.h"
#include "sim/bound.h"
#include "sim/cost.h"
#include "sim/search.h"
#include "sim/search_axes.h"
#include "sim/tune.h"

typedef struct {
    lspo_model_t model;
    lspo_machine_t machine;
    lspo_search_options_t options;
} question_t;

static const lspo_policy_t *policy_named(const char *name)
{
    const lspo_policy_t *policy = NULL;
    if (name != NULL)
        cr_assert_eq(lspo_policy_find_any(name, &policy), LSPO_OK);
    return policy;
}

/* Fills *question, to which its options point. */
static void ask(const char *model, const char *machine, const char *policy, uint32_t sequences, question_t *question)
{
    cr_assert_eq(lspo_model_find(model, &question->model), LSPO_OK);
    cr_assert_eq(lspo_machine_find(machine, &question->machine), LSPO_OK);
    question->options = (lspo_search_options_t){.model = &question->model,
                                                .machine = &question->machine,
                                                .policy = policy_named(policy),
                                                .sequences = sequences,
                                                .most = 5};
    lspo_workload_default(&question->options.workload);
    question->options.workload.iterations = 0;
    if (question->options.workload.sequence > question->model.max_sequence)
        question->options.workload.sequence = question->model.max_sequence;
}

static lspo_search_t answer(const question_t *question)
{
    lspo_search_t search = {0};
    cr_assert_eq(lspo_search(&question->options, &search), LSPO_OK);
    return search;
}

/* A profile on which projectors are slow by their non-zeros and fast as dense matrices, which AUTO then takes. */
static void prefer_dense_products(question_t *question)
{
    question->machine.gpu.scatter_Bps = 20e9;
    question->machine.gpu.dense_apply_ratio = 1000;
}

static void expect_same_results(const lspo_search_t *a, const lspo_search_t *b, const char *what)
{
    cr_assert_eq(a->count, b->count, "%s: %u and %u", what, a->count, b->count);
    for (uint32_t i = 0; i < a->count; i++) {
        cr_expect_eq(a->found[i].policy, b->found[i].policy, "%s: place %u", what, i);
        cr_expect_float_eq(a->found[i].objective, b->found[i].objective, 0, "%s: place %u", what, i);
        cr_expect_eq(memcmp(&a->found[i].workload, &b->found[i].workload, sizeof a->found[i].workload), 0,
                     "%s: place %u has other settings", what, i);
    }
}

/* Less is simulated, and much less in sum. */
Test(search, finds_what_simulating_all_finds)
{
    static const struct {
        const char *model, *machine, *policy;
        uint32_t sequences;
        lspo_objective_t objective;
        bool dense_products;
    } cases[] = {
        {"gpt2-774m", "paper-laptop", NULL, 4, LSPO_OBJECTIVE_TIME, false},
        {"gpt2-774m", "paper-laptop", NULL, 4, LSPO_OBJECTIVE_MEMORY, false},
        {"gpt2-774m", "rtx4090", "swap", 6, LSPO_OBJECTIVE_TIME, false},
        {"gpt-tiny", "host-reference", NULL, 8, LSPO_OBJECTIVE_TIME, false},
        {"gpt-small", "host-reference", "stream", 3, LSPO_OBJECTIVE_MEMORY, false},
        {"llama-3b", "paper-workstation", NULL, 2, LSPO_OBJECTIVE_TIME, false},
        {"gpt2-124m", "rtx4090", NULL, 8, LSPO_OBJECTIVE_TIME, true},
    };
    uint32_t simulated = 0, all = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        question_t question;
        char what[128];
        snprintf(what, sizeof what, "%s on %s", cases[i].model, cases[i].machine);
        ask(cases[i].model, cases[i].machine, cases[i].policy, cases[i].sequences, &question);
        question.options.objective = cases[i].objective;
        if (cases[i].dense_products)
            prefer_dense_products(&question);
        lspo_search_t quick = answer(&question);
        question.options.exhaustive = true;
        lspo_search_t whole = answer(&question);
        cr_expect_gt(whole.count, 0u, "%s", what);
        cr_expect_leq(quick.simulated, whole.simulated);
        cr_expect_eq(whole.candidates, quick.candidates);
        expect_same_results(&quick, &whole, what);
        simulated += quick.simulated;
        all += whole.simulated;
        lspo_search_release(&whole);
        lspo_search_release(&quick);
    }
    cr_expect_lt(simulated, all / 2, "%u of %u", simulated, all);
}

/* lspo_search_options_t.prepare */
static lspo_status_t rebuild_half(void *context, const lspo_policy_t *policy, lspo_workload_t *workload)
{
    (void)context;
    lspo_policy_set_defaults(policy, NULL, false, workload);
    lspo_kvpr_values_edit(workload)->recompute_share = 0.5;
    return LSPO_OK;
}

static bool holds_native_layers(void *context, const lspo_parameter_t *parameter)
{
    (void)context;
    return parameter == &lspo_parameter_native_layers;
}

/* All settings of zero, with shares in eighths, each simulated here: finer ones are no worse. */
Test(search, is_the_best_of_a_loop_over_all_settings)
{
    static const double shares[] = {1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0};
    static const uint32_t buffers[] = {1, 2, 4, 0};
    question_t question;
    double best_s = INFINITY;
    ask("gpt2-774m", "paper-laptop", "zero", 4, &question);
    question.options.holds_order = question.options.holds_swap = true;
    question.options.holds = holds_native_layers;
    for (uint32_t batch = 1; batch <= 4; batch *= 2) {
        for (uint32_t i = 0; i < 2 * 9 * 4; i++) {
            lspo_fit_question_t asked = {&question.model, question.options.workload, question.options.policy,
                                         &question.machine};
            lspo_fit_t fit;
            lspo_policy_set_defaults(asked.policy, &question.model, false, &asked.workload);
            asked.workload.iterations = lspo_policy_iterations(asked.policy, &asked.workload);
            asked.workload.batch = batch;
            asked.workload.accumulation = 4 / batch;
            asked.workload.checkpointing = i % 2;
            lspo_zero_values_edit(&asked.workload)->cpu_share = shares[i / 2 % 9];
            lspo_zero_values_edit(&asked.workload)->gradient_buffers = buffers[i / 18];
            cr_assert_eq(lspo_fit_try(&asked, &fit), LSPO_OK);
            if (fit.fits)
                best_s = fmin(best_s, fit.iteration_s);
        }
    }
    lspo_search_t search = answer(&question);
    cr_expect_eq(search.candidates, 3u * 72u);
    cr_assert_gt(search.count, 0u);
    cr_expect_leq(search.found[0].objective, best_s);
    const lspo_fit_question_t again = {&question.model, search.found[0].workload, search.found[0].policy,
                                       &question.machine};
    lspo_fit_t fit;
    cr_assert_eq(lspo_fit_try(&again, &fit), LSPO_OK);
    cr_expect(fit.fits);
    cr_expect_float_eq(search.found[0].objective, fit.iteration_s, 0);
    lspo_search_release(&search);
}

/* ---- generation ---- */

/* The texts of a step are held, or free up to `sequences`. */
static void ask_of_texts(const char *model, const char *machine, const char *policy, uint32_t sequences,
                         question_t *question)
{
    ask(model, machine, policy, sequences, question);
    question->options.task = LSPO_TASK_GENERATE;
    question->options.workload.sequence = 64;
}

Test(search, of_generation_finds_what_simulating_all_finds)
{
    static const struct {
        const char *model, *machine, *policy;
        uint32_t sequences;
        lspo_objective_t objective;
        double gpu_memory_bytes; /* 0: the machine's */
    } cases[] = {
        {"gpt2-124m", "rtx3060", NULL, 2, LSPO_OBJECTIVE_TIME, 1e9},
        {"gpt2-124m", "rtx3060", NULL, 2, LSPO_OBJECTIVE_MEMORY, 0},
        {"moe-tiny", "host-reference", NULL, 2, LSPO_OBJECTIVE_TIME, 0},
        {"gpt2-124m", "rtx3060", "offload-weights", 64, LSPO_OBJECTIVE_THROUGHPUT, 0},
        {"gpt2-124m", "rtx3060", "qmoe", 2, LSPO_OBJECTIVE_TIME, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        question_t question;
        char what[128];
        snprintf(what, sizeof what, "%s on %s, case %zu", cases[i].model, cases[i].machine, i);
        ask_of_texts(cases[i].model, cases[i].machine, cases[i].policy, cases[i].sequences, &question);
        if (cases[i].gpu_memory_bytes > 0)
            question.machine.gpu.memory_bytes = cases[i].gpu_memory_bytes;
        question.options.objective = cases[i].objective;
        lspo_search_t quick = {0}, whole = {0};
        /* qmoe is for models with experts. */
        if (cases[i].policy != NULL && strcmp(cases[i].policy, "qmoe") == 0) {
            cr_expect_eq(lspo_search(&question.options, &quick), LSPO_ERR_INPUT);
            continue;
        }
        quick = answer(&question);
        question.options.exhaustive = true;
        whole = answer(&question);
        cr_expect_gt(whole.count, 0u, "%s", what);
        cr_expect_lt(quick.simulated, whole.simulated, "%s", what);
        for (uint32_t k = 0; k < whole.count; k++)
            cr_expect_eq(whole.found[k].policy->task, LSPO_TASK_GENERATE);
        expect_same_results(&quick, &whole, what);
        lspo_search_release(&whole);
        lspo_search_release(&quick);
    }
}

static bool holds_share(void *context, const lspo_parameter_t *parameter)
{
    (void)context;
    return parameter == &lspo_parameter_recompute_share;
}

/* All settings of kvpr with a half rebuilt and of up to 8 texts, each simulated here: the time per token of a text. */
Test(search, of_generation_is_the_best_of_a_loop_over_all_settings)
{
    question_t question;
    double best_s = INFINITY;
    uint32_t settings = 0;
    ask_of_texts("gpt2-124m", "rtx3060", "kvpr", 8, &question);
    question.machine.gpu.memory_bytes = 1.5e9;
    question.options.objective = LSPO_OBJECTIVE_THROUGHPUT;
    question.options.holds_order = true;
    question.options.holds = holds_share;
    question.options.prepare = rebuild_half;
    for (uint32_t texts = 1; texts <= 8; texts *= 2)
        for (uint32_t batch = 1; batch <= texts; batch *= 2)
            for (uint32_t i = 0; i < 2 * 3; i++) {
                lspo_fit_question_t asked = {&question.model, question.options.workload, question.options.policy,
                                             &question.machine};
                lspo_fit_t fit;
                cr_assert_eq(rebuild_half(NULL, asked.policy, &asked.workload), LSPO_OK);
                asked.workload.iterations = lspo_policy_iterations(asked.policy, &asked.workload);
                asked.workload.batch = batch;
                asked.workload.accumulation = texts / batch;
                lspo_kvpr_values_edit(&asked.workload)->schedule = i % 2;
                lspo_kvpr_values_edit(&asked.workload)->cache_slots = 2 + i / 2;
                cr_assert_eq(lspo_fit_try(&asked, &fit), LSPO_OK);
                settings++;
                if (fit.fits)
                    best_s = fmin(best_s, fit.iteration_s / texts);
            }
    lspo_search_t search = answer(&question);
    cr_expect_eq(search.candidates, settings);
    cr_assert_gt(search.count, 0u);
    cr_expect_float_eq(search.found[0].objective, best_s, 1e-12 * best_s);
    lspo_search_release(&search);
}

/* lspo_search_options_t.prepare */
static lspo_status_t only_csr(void *context, const lspo_policy_t *policy, lspo_workload_t *workload)
{
    (void)context;
    lspo_policy_set_defaults(policy, NULL, false, workload);
    lspo_endor_values_edit(workload)->weight_format = LSPO_WEIGHTS_CSR;
    return LSPO_OK;
}

static bool holds_format(void *context, const lspo_parameter_t *parameter)
{
    (void)context;
    return strcmp(parameter->key, "weight-format") == 0;
}

/* All settings of endor, whose GPU has room for some of the blocks, each simulated here: not only those in eighths. */
Test(search, of_generation_climbs_to_the_best_of_all_blocks)
{
    uint32_t in_eighths = 0;
    static const double gpu_memory_bytes[] = {0.5e9, 0.56e9, 0.6e9, 0.64e9};
    for (size_t m = 0; m < sizeof gpu_memory_bytes / sizeof gpu_memory_bytes[0]; m++) {
        question_t question;
        double best_s = INFINITY;
        uint32_t best_blocks = 0;
        ask_of_texts("gpt2-124m", "rtx3060", "endor", 1, &question);
        question.model.block_count = 20;
        question.machine.gpu.memory_bytes = gpu_memory_bytes[m];
        question.options.holds_order = true;
        for (uint32_t i = 0; i < 3 * 3 * 21; i++) {
            lspo_fit_question_t asked = {&question.model, question.options.workload, question.options.policy,
                                         &question.machine};
            lspo_fit_t fit;
            lspo_policy_set_defaults(asked.policy, &question.model, false, &asked.workload);
            asked.workload.iterations = lspo_policy_iterations(asked.policy, &asked.workload);
            asked.workload.batch = 1;
            lspo_endor_values_edit(&asked.workload)->weight_format = i % 3;
            lspo_endor_values_edit(&asked.workload)->weight_slots = 1 + i / 3 % 3;
            lspo_endor_values_edit(&asked.workload)->gpu_blocks = i / 9;
            cr_assert_eq(lspo_fit_try(&asked, &fit), LSPO_OK);
            if (fit.fits && fit.iteration_s < best_s) {
                best_s = fit.iteration_s;
                best_blocks = i / 9;
            }
        }
        lspo_search_t search = answer(&question);
        cr_assert_gt(search.count, 0u);
        cr_expect_float_eq(search.found[0].objective, best_s, 1e-12 * best_s, "%g s, not %g s",
                           search.found[0].objective, best_s);
        cr_expect_eq(lspo_endor_values_of(&search.found[0].workload)->gpu_blocks, best_blocks);
        cr_expect(best_blocks > 0 && best_blocks < 20, "%u", best_blocks);
        for (uint32_t eighths = 0; eighths <= 8; eighths++)
            in_eighths += best_blocks == question.model.block_count * eighths / 8;
        lspo_search_release(&search);
    }
    cr_expect_lt(in_eighths, 2u);
}

/* Columns of 16 bits are too few for a matrix of 70,000: csr is refused, by itself and in the place of another format;
 * without another one the refusal is the answer. */
Test(search, of_generation_leaves_out_what_the_policy_refuses)
{
    question_t question;
    ask_of_texts("gpt2-124m", "rtx3060", "endor", 1, &question);
    question.model.mlp_width = 70000;
    question.options.holds_order = true;
    question.options.most = 1;
    lspo_search_t search = answer(&question), front = {0};
    cr_assert_eq(search.count, 1u);
    cr_expect_neq(lspo_endor_values_of(&search.found[0].workload)->weight_format, LSPO_WEIGHTS_CSR);
    lspo_search_release(&search);
    cr_expect_eq(lspo_search_front(&question.options, &front), LSPO_OK);
    cr_expect_gt(front.count, 0u);
    lspo_search_release(&front);
    question.options.policy = NULL;
    search = answer(&question);
    cr_expect_eq(search.count, 1u);
    lspo_search_release(&search);
    question.options.policy = policy_named("endor");
    question.options.prepare = only_csr;
    question.options.holds = holds_format;
    cr_expect_eq(lspo_search(&question.options, &search), LSPO_ERR_INPUT);
    cr_expect_eq(lspo_search_front(&question.options, &front), LSPO_ERR_INPUT);
}

static bool holds_all(void *context, const lspo_parameter_t *parameter)
{
    (void)context;
    return parameter != NULL;
}

/* lspo_search_options_t.prepare: what another order makes faster. */
static lspo_status_t rebuild_half_in_turn(void *context, const lspo_policy_t *policy, lspo_workload_t *workload)
{
    lspo_status_t status = rebuild_half(context, policy, workload);
    lspo_kvpr_values_edit(workload)->schedule = LSPO_SCHEDULE_THROUGHPUT;
    lspo_kvpr_values_edit(workload)->cache_slots = 3;
    return status;
}

/* The plans of many micro-batches are too large for a search of orders, which finds one of fewer. */
Test(search, of_many_micro_batches_looks_for_no_order)
{
    static const uint32_t micros[] = {8, 9};
    for (size_t i = 0; i < sizeof micros / sizeof micros[0]; i++) {
        question_t question;
        ask_of_texts("gpt2-124m", "rtx3060", "kvpr", 2 * micros[i], &question);
        question.options.objective = LSPO_OBJECTIVE_THROUGHPUT;
        question.options.most = 1;
        question.options.prepare = rebuild_half_in_turn;
        question.options.holds = holds_all;
        question.options.workload.sequence = 512;
        question.options.workload.batch = 2;
        question.options.workload.accumulation = micros[i];
        question.options.holds_batch = question.options.holds_accumulation = true;
        lspo_search_t search = answer(&question);
        cr_assert_eq(search.count, 1u);
        cr_expect_eq(search.found[0].workload.accumulation, micros[i]);
        cr_expect_eq(search.found[0].workload.order == LSPO_ORDER_AUTO, micros[i] <= 8, "%u", micros[i]);
        lspo_search_release(&search);
    }
}

/* What is held is kept; a product that is held above the limit is refused. */
Test(search, of_texts_keeps_what_is_held)
{
    question_t question;
    ask_of_texts("gpt2-124m", "rtx3060", "offload-weights", 8, &question);
    question.options.objective = LSPO_OBJECTIVE_THROUGHPUT;
    question.options.workload.batch = 3;
    question.options.holds_batch = true;
    lspo_search_t search = answer(&question);
    cr_expect_eq(search.candidates, 2u); /* 3 and 6 texts */
    cr_expect_eq(search.found[0].workload.batch, 3u);
    cr_expect_eq(search.found[0].workload.accumulation, 2u);
    lspo_search_release(&search);
    question.options.workload.batch = 9;
    cr_expect_eq(lspo_search(&question.options, &search), LSPO_ERR_INPUT);
}

/* Layers become native where they fit and help, and only then: never those of lsp, none where the GPU is full. */
Test(search, gives_the_first_layers_to_the_gpu)
{
    static const struct {
        const char *model, *machine, *policy;
        bool gains;
    } cases[] = {{"llama-3b", "paper-workstation", "zero-layerwise", true},
                 {"llama-3b", "paper-workstation", "zero", true},
                 {"llama-3b", "paper-workstation", "lsp", false},
                 {"gpt2-774m", "paper-laptop", "zero", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        question_t question;
        ask(cases[i].model, cases[i].machine, cases[i].policy, 4, &question);
        question.options.most = 1;
        question.options.holds_order = true;
        lspo_search_t with = answer(&question);
        question.options.holds = holds_native_layers;
        lspo_search_t without = answer(&question);
        cr_assert(with.count == 1 && without.count == 1);
        const uint32_t *layers =
            lspo_policy_value(with.found[0].policy, &with.found[0].workload, &lspo_parameter_native_layers);
        cr_expect_eq(*layers > 0, cases[i].gains, "%s of %s: %u", cases[i].policy, cases[i].model, *layers);
        if (cases[i].gains)
            cr_expect_lt(with.found[0].objective, 0.99 * without.found[0].objective);
        else
            cr_expect_float_eq(with.found[0].objective, without.found[0].objective, 0);
        lspo_search_release(&without);
        lspo_search_release(&with);
    }
}

/* With a slow CPU and room for everything, also the layers behind the last block are the GPU's. */
Test(search, gives_more_layers_than_blocks_to_the_gpu)
{
    question_t question;
    ask("gpt2-124m", "rtx4090", "zero-layerwise", 4, &question);
    question.machine.cpu.adam_pps = question.machine.cpu.adam_cached_pps = 10e6;
    question.options.most = 1;
    question.options.holds_order = true;
    lspo_search_t search = answer(&question);
    cr_assert_eq(search.count, 1u);
    const uint32_t *layers =
        lspo_policy_value(search.found[0].policy, &search.found[0].workload, &lspo_parameter_native_layers);
    cr_expect_gt(*layers, question.model.block_count);
    lspo_search_release(&search);
}

/* What would be computed again waits on the host where it has no room on the GPU: faster with a batch that fits with
 * checkpointing only, needless with a smaller one. */
Test(search, swaps_activations_in_place_of_checkpointing)
{
    static const struct {
        uint32_t batch;
        bool gains;
    } cases[] = {{24, true}, {4, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        question_t question;
        ask("gpt2-1.3b", "rtx4090", "lsp", cases[i].batch, &question);
        question.options.workload.batch = cases[i].batch;
        question.options.holds_batch = question.options.holds_order = true;
        question.options.most = 1;
        lspo_search_t with = answer(&question);
        question.options.holds_swap = true;
        lspo_search_t without = answer(&question);
        cr_assert(with.count == 1 && without.count == 1);
        const lspo_workload_t *workload = &with.found[0].workload;
        cr_expect_eq(workload->swap_activations > 0, cases[i].gains, "%u", workload->swap_activations);
        cr_expect_not(workload->checkpointing);
        cr_expect_eq(without.found[0].workload.checkpointing, cases[i].gains);
        cr_expect_eq(with.found[0].objective < 0.99 * without.found[0].objective, cases[i].gains, "%g, %g",
                     with.found[0].objective, without.found[0].objective);
        cr_expect(with.found[0].fit.fits);
        lspo_search_release(&without);
        lspo_search_release(&with);
    }
}

/* The least memory is that of what is swapped, too. */
Test(search, swaps_activations_for_the_least_memory)
{
    question_t question;
    ask("gpt2-774m", "paper-laptop", "lora", 4, &question);
    question.options.objective = LSPO_OBJECTIVE_MEMORY;
    lspo_search_t with = answer(&question);
    question.options.holds_swap = true;
    lspo_search_t without = answer(&question);
    cr_assert(with.count > 0 && without.count > 0);
    cr_expect_lt(with.found[0].fit.gpu_bytes, without.found[0].fit.gpu_bytes);
    cr_expect_gt(with.found[0].workload.swap_activations, 0u);
    lspo_search_release(&without);
    lspo_search_release(&with);
}

static double default_s(const question_t *question, const char *policy, uint32_t batch, bool *fits_out)
{
    lspo_fit_question_t asked = {&question->model, question->options.workload, policy_named(policy),
                                 &question->machine};
    lspo_fit_t fit;
    lspo_policy_set_defaults(asked.policy, &question->model, false, &asked.workload);
    asked.workload.iterations = lspo_policy_iterations(asked.policy, &asked.workload);
    asked.workload.batch = batch;
    cr_assert_eq(lspo_fit_try(&asked, &fit), LSPO_OK);
    *fits_out = fit.fits;
    return fit.iteration_s;
}

/* Exact settings are faster than zero's usual ones, for the same step, wherever those fit.  An order, or a second
 * result, could only improve the best: they are asked for of some models, whose steps are larger. */
Test(search, exact_settings_beat_zero)
{
    static const char *const machines[] = {"paper-laptop", "paper-workstation"};
    uint32_t compared = 0;
    for (uint32_t m = 0; m < lspo_model_preset_count(); m++) {
        const bool in_full = m % 8 == 0;
        const uint32_t step = in_full ? 4 : 2;
        for (size_t i = 0; i < sizeof machines / sizeof machines[0]; i++) {
            question_t question;
            bool fits;
            lspo_model_t model;
            cr_assert_eq(lspo_model_preset(m, &model), LSPO_OK);
            if (model.expert_count > 0)
                continue; /* it is not trained */
            ask(lspo_model_preset_name(m), machines[i], NULL, step, &question);
            question.options.exact_only = true;
            if (!in_full)
                question.options.most = 1;
            question.options.holds_order = !in_full;
            double zero_s = default_s(&question, "zero", step, &fits);
            if (!fits)
                continue;
            lspo_search_t search = answer(&question);
            cr_assert_gt(search.count, 0u, "%s on %s", question.model.name, machines[i]);
            cr_expect_lt(search.found[0].objective, zero_s, "%s on %s", question.model.name, machines[i]);
            cr_expect_eq(search.found[0].policy->semantics, LSPO_SEMANTICS_EXACT);
            lspo_search_release(&search);
            compared++;
        }
    }
    cr_expect_geq(compared, 20u, "%u", compared);
}

static bool holds_compression(void *context, const lspo_parameter_t *parameter)
{
    (void)context;
    return strcmp(parameter->key, "subspace") == 0 || strcmp(parameter->key, "nnz") == 0;
}

/* With policy, d, r and batch as in the paper the settings are never slower; free, d and r are not below the
 * defaults. */
Test(search, held_settings_are_held_and_never_slower)
{
    static const struct {
        const char *model, *machine;
        uint32_t batch;
    } cases[] = {{"gpt2-774m", "paper-laptop", 8},
                 {"deepseek-coder-1.3b", "paper-laptop", 1},
                 {"llama-7b", "paper-workstation", 4},
                 {"deepseek-coder-6.7b", "paper-workstation", 4},
                 {"llama-3b", "paper-workstation", 4}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        question_t question;
        bool fits;
        ask(cases[i].model, cases[i].machine, "lsp", cases[i].batch, &question);
        const lspo_lsp_values_t *usual = lspo_lsp_values_of(&question.options.workload);
        question.options.workload.batch = cases[i].batch;
        question.options.holds_batch = true;
        question.options.holds = holds_compression;
        double usual_s = default_s(&question, "lsp", cases[i].batch, &fits);
        lspo_search_t held = answer(&question);
        cr_assert(fits && held.count > 0, "%s", cases[i].model);
        const lspo_lsp_values_t *values = lspo_lsp_values_of(&held.found[0].workload);
        cr_expect_leq(held.found[0].objective, usual_s, "%s", cases[i].model);
        cr_expect_eq(values->subspace, usual->subspace);
        cr_expect_eq(values->nnz, usual->nnz);
        cr_expect_eq(held.found[0].workload.batch, cases[i].batch);
        question.options.holds = NULL;
        lspo_search_t raised = answer(&question);
        values = lspo_lsp_values_of(&raised.found[0].workload);
        cr_expect_geq(values->subspace, usual->subspace);
        cr_expect_geq(values->nnz, usual->nnz);
        cr_expect_leq(raised.found[0].objective, 1.01 * held.found[0].objective / 0.99, "%s", cases[i].model);
        lspo_search_release(&raised);
        lspo_search_release(&held);
    }
}

/* What does not fit is not found, and a step that cannot be divided is refused. */
Test(search, refuses_what_cannot_be)
{
    question_t question;
    ask("phi-4", "paper-laptop", NULL, 4, &question);
    lspo_search_t search = answer(&question);
    cr_expect_eq(search.count, 0u);
    cr_expect_eq(search.unfit, search.candidates);
    lspo_search_release(&search);
    question.options.workload.batch = 3;
    question.options.holds_batch = true;
    cr_expect_eq(lspo_search(&question.options, &search), LSPO_ERR_INPUT);
}

/* The bound by which candidates are left out holds for each of them, as it is simulated. */
static void expect_bounds(const question_t *question)
{
    lspo_candidates_t candidates = {0};
    cr_assert_eq(lspo_search_candidates(&question->options, &candidates), LSPO_OK);
    cr_assert_gt(candidates.count, 0u);
    for (size_t i = 0; i < candidates.count; i++) {
        const lspo_candidate_t *it = &candidates.list[i];
        const lspo_fit_question_t asked = {&question->model, it->workload, it->policy, &question->machine};
        lspo_workload_t workload = it->workload;
        lspo_plan_t *plan = NULL;
        uint64_t *work_ns = NULL;
        lspo_fit_t fit;
        double busy_s = 0;
        lspo_tune_products(it->policy, &question->machine, &workload);
        cr_assert_eq(lspo_plan_build(&question->model, &workload, it->policy, &plan), LSPO_OK);
        cr_assert_eq(lspo_cost_plan(&question->machine, plan, &work_ns), LSPO_OK);
        cr_assert_eq(lspo_bound_busy(plan, work_ns, &busy_s), LSPO_OK);
        cr_assert_eq(lspo_fit_try(&asked, &fit), LSPO_OK);
        cr_expect_leq(busy_s, fit.iteration_s * (1 + 1e-9), "%s", it->policy->name);
        cr_expect_leq(plan->gpu_static_bytes, fit.gpu_bytes);
        cr_expect_leq(plan->host_static_bytes, fit.host_bytes);
        free(work_ns);
        lspo_plan_destroy(plan);
    }
    lspo_search_candidates_release(&candidates);
}

Test(search, busy_time_is_a_bound)
{
    question_t question;
    ask("gpt-tiny", "host-reference", NULL, 4, &question);
    expect_bounds(&question);
    ask("gpt2-124m", "rtx4090", "lsp", 8, &question);
    prefer_dense_products(&question);
    expect_bounds(&question);
}

static bool has_subspace(void *context, const lspo_policy_t *policy)
{
    (void)context;
    return lspo_policy_named_use(policy, "subspace", strlen("subspace")) != NULL;
}

Test(search, only_admitted_policies_are_found)
{
    question_t question;
    ask("gpt-tiny", "host-reference", NULL, 4, &question);
    question.options.admits = has_subspace;
    lspo_search_t search = answer(&question);
    cr_assert_eq(search.count, 2u); /* lsp and lsp-paper */
    for (uint32_t i = 0; i < search.count; i++)
        cr_expect(has_subspace(NULL, search.found[i].policy), "%s", search.found[i].policy->name);
    lspo_search_release(&search);
}

/* No other one is as fast with less memory, or as small and faster; naive loops over all candidates. */
static bool is_beaten(const lspo_fit_t *fits, size_t count, const lspo_fit_t *fit)
{
    bool beaten = false;
    for (size_t i = 0; i < count; i++)
        beaten =
            beaten || (fits[i].fits && fits[i].iteration_s <= fit->iteration_s && fits[i].gpu_bytes <= fit->gpu_bytes &&
                       (fits[i].iteration_s < fit->iteration_s || fits[i].gpu_bytes < fit->gpu_bytes));
    return beaten;
}

static void expect_front(const question_t *question, const lspo_search_t *front)
{
    lspo_candidates_t all = {0};
    cr_assert_eq(lspo_search_candidates(&question->options, &all), LSPO_OK);
    lspo_fit_t *fits = calloc(all.count, sizeof *fits);
    cr_assert_not_null(fits);
    for (size_t i = 0; i < all.count; i++) {
        const lspo_fit_question_t asked = {&question->model, all.list[i].workload, all.list[i].policy,
                                           &question->machine};
        cr_assert_eq(lspo_fit_try(&asked, &fits[i]), LSPO_OK);
    }
    for (uint32_t i = 0; i < front->count; i++)
        cr_expect_not(is_beaten(fits, all.count, &front->found[i].fit), "point %u of the front", i);
    for (size_t i = 0; i < all.count; i++) {
        bool found = !fits[i].fits || is_beaten(fits, all.count, &fits[i]);
        for (uint32_t k = 0; k < front->count && !found; k++)
            found = front->found[k].fit.gpu_bytes == fits[i].gpu_bytes &&
                    fabs(front->found[k].fit.iteration_s / fits[i].iteration_s - 1) < 1e-12;
        cr_expect(found, "%s, which none beats, is not on the front", all.list[i].policy->name);
    }
    free(fits);
    lspo_search_candidates_release(&all);
}

Test(search, the_front_is_what_no_setting_beats)
{
    static const char *const policies[] = {"zero", "stream"};
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        question_t question;
        lspo_search_t front = {0}, whole = {0};
        ask("gpt2-774m", "paper-laptop", policies[i], 2, &question);
        question.options.holds_order = true;
        cr_assert_eq(lspo_search_front(&question.options, &front), LSPO_OK);
        cr_expect_gt(front.count, 1u);
        expect_front(&question, &front);
        question.options.exhaustive = true;
        cr_assert_eq(lspo_search_front(&question.options, &whole), LSPO_OK);
        expect_same_results(&front, &whole, policies[i]);
        cr_expect_leq(front.simulated, whole.simulated);
        lspo_search_release(&front);
        lspo_search_release(&whole);
    }
}
