/* lspo_simulate() on the plans of every policy: bounds, memory, tuning, and checks that must fail. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/policies/lsp.h"
#include "plan/policies/shared.h"
#include "plan/policy.h"
#include "sim/advice.h"
#include "sim/memory.h"
#include "sim/sim.h"
#include "tests/own_values.h"

static void small_case(lspo_model_t *model, lspo_workload_t *workload, lspo_machine_t *machine)
{
    cr_assert_eq(lspo_model_find("gpt-small", model), LSPO_OK);
    cr_assert_eq(lspo_machine_find("paper-laptop", machine), LSPO_OK);
    cr_assert_eq(lspo_machine_use_framework(machine, "lspo"), LSPO_OK);
    machine->gpu.context_bytes = 0;
    lspo_workload_default(workload);
    workload->sequence = 128;
    lspo_lsp_values_edit(workload)->subspace = 64;
    workload->transfer = LSPO_FP32;
    workload->iterations = 12;
}

static lspo_plan_t *tuned_plan(const lspo_model_t *model, const lspo_workload_t *workload, const lspo_policy_t *policy,
                               const lspo_machine_t *machine)
{
    lspo_plan_t *plan = NULL;
    cr_assert_eq(lspo_tune_transition(model, workload, policy, machine, &plan), LSPO_OK, "%s", policy->name);
    return plan;
}

static const lspo_policy_t *find(const char *name)
{
    const lspo_policy_t *policy = NULL;
    cr_assert_eq(lspo_policy_find(name, &policy), LSPO_OK);
    return policy;
}

static lspo_prediction_t predict(const lspo_plan_t *plan, const lspo_machine_t *machine)
{
    lspo_prediction_t prediction;
    cr_assert_eq(lspo_simulate(plan, machine, &prediction, NULL), LSPO_OK, "%s", plan->policy->name);
    cr_assert_eq(lspo_simulate_bound(plan, machine, &prediction), LSPO_OK, "%s", plan->policy->name);
    return prediction;
}

static lspo_workload_t variant_of(uint32_t variant, lspo_model_t *model, lspo_machine_t *machine)
{
    lspo_workload_t workload;
    small_case(model, &workload, machine);
    workload.clip_norm = variant & 1 ? 1 : 0;
    workload.accumulation = variant & 2 ? 2 : 1;
    machine->contention[LSPO_LANE_GPU][LSPO_LANE_CPU] = variant & 4 ? 0.2 : 0;
    machine->contention[LSPO_LANE_CPU][LSPO_LANE_H2D] = variant & 4 ? 0.3 : 0;
    return workload;
}

static void expect_invariants(const lspo_policy_t *policy, const lspo_model_t *model, const lspo_workload_t *workload,
                              const lspo_machine_t *machine)
{
    lspo_plan_t *plan = tuned_plan(model, workload, policy, machine);
    lspo_prediction_t prediction;
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_simulate(plan, machine, &prediction, &trace), LSPO_OK);
    cr_expect(isnan(prediction.lower_bound_s), "only where it is asked for");
    cr_assert_eq(lspo_simulate_bound(plan, machine, &prediction), LSPO_OK);
    const lspo_summary_t *summary = &prediction.summary;
    cr_expect_eq(lspo_trace_check(trace, plan), LSPO_OK);
    cr_expect_leq(prediction.lower_bound_s, summary->iteration_s * (1 + 1e-9), "%s: bound %g, simulated %g",
                  policy->name, prediction.lower_bound_s, summary->iteration_s);
    cr_expect_gt(prediction.lower_bound_s, 0.2 * summary->iteration_s, "%s: a bound that says nothing", policy->name);
    cr_expect_geq(prediction.peak_gpu_bytes, plan->gpu_static_bytes);
    cr_expect_geq(prediction.peak_host_bytes, plan->host_static_bytes);
    cr_expect_geq(prediction.peak_gpu_bound_bytes, prediction.peak_gpu_bytes);
    double parts_s =
        summary->busy_s[LSPO_LANE_GPU] + summary->exposed_comm_s + summary->exposed_cpu_s + summary->other_s;
    double mean_s = 0;
    for (uint32_t i = 0; i < summary->sample_count; i++)
        mean_s += summary->samples_s[i] / summary->sample_count;
    cr_expect_float_eq(parts_s, mean_s, 1e-9, "GPU, comm, CPU and other make up an iteration");
    cr_expect_float_eq(prediction.tokens_per_s * summary->iteration_s, 4 * 128 * workload->accumulation, 1e-6);
    cr_expect_eq(strncmp(prediction.bound, "bound by the ", 13), 0, "%s", prediction.bound);
    cr_expect_str_eq(lspo_trace_meta(trace, "policy"), policy->name);
    cr_expect_str_eq(lspo_trace_meta(trace, "machine"), "paper-laptop");
    if (strcmp(policy->name, "native") == 0)
        cr_expect_float_eq(prediction.slowdown, 1, 1e-12);
    lspo_prediction_release(&prediction);
    lspo_trace_destroy(trace);
    lspo_plan_destroy(plan);
}

/* A cache that others use, too: behind the prompt, which takes long, the first token finds less of the weights in it
 * than later ones do. */
static void share_cache(lspo_machine_t *machine)
{
    machine->gpu.few_rows_Bps = 1e11;
    machine->gpu.few_rows_cached_Bps = 4e11;
    machine->gpu.near_bytes = 1e6;
    machine->gpu.cache_bytes = machine->gpu.kept_bytes = 4e9;
    machine->gpu.kept_share = 1;
    machine->gpu.kept_s = 5e-3;
}

/* The texts of a step in micro-batches, with little and much to send; what the prompt brought lets the first tokens
 * pass. */
static void expect_bound_of_text(const lspo_policy_t *policy, uint32_t variant, uint32_t tokens)
{
    lspo_model_t model;
    lspo_machine_t machine;
    lspo_workload_t workload;
    cr_assert_eq(lspo_model_find(policy->experts == LSPO_EXPERTS_ALWAYS ? "moe-tiny" : "gpt2-124m", &model), LSPO_OK);
    cr_assert_eq(lspo_machine_find("rtx3060", &machine), LSPO_OK);
    machine.link.d2h_Bps = machine.link.h2d_Bps = 1e9 * (double)(1 << variant % 7);
    lspo_workload_default(&workload);
    lspo_policy_set_defaults(policy, &model, false, &workload);
    if (variant >= 7)
        share_cache(&machine);
    workload.sequence = 64;
    workload.batch = 1 + variant % 2 * 15;
    workload.accumulation = 1 + variant / 2 % 2 * 2;
    workload.iterations = tokens;
    lspo_plan_t *plan = tuned_plan(&model, &workload, policy, &machine);
    lspo_prediction_t prediction = predict(plan, &machine);
    const double time_s = prediction.summary.iteration_s;
    if (tokens < 8)
        cr_expect(isnan(prediction.lower_bound_s), "%s", policy->name);
    else
        cr_expect(prediction.lower_bound_s <= time_s * (1 + 1e-9) && prediction.lower_bound_s > 0.5 * time_s,
                  "%s, case %u: bound %g, simulated %g", policy->name, variant, prediction.lower_bound_s, time_s);
    cr_expect_eq(lspo_simulate_check_settled(plan, &prediction), LSPO_OK);
    lspo_prediction_release(&prediction);
    lspo_plan_destroy(plan);
}

Test(simulate, bounds_of_texts)
{
    static const uint32_t tokens[] = {4, 8, 20};
    for (uint32_t p = 0; p < lspo_any_policy_count(); p++)
        for (uint32_t variant = 0; lspo_any_policy_at(p)->task == LSPO_TASK_GENERATE && variant < 14; variant++)
            expect_bound_of_text(lspo_any_policy_at(p), variant, tokens[(p + variant) % 3]);
}

/* For every policy, with and without losses, with and without clipping and accumulation. */
Test(simulate, invariants_of_every_policy)
{
    for (uint32_t p = 0; p < lspo_policy_count(); p++) {
        for (uint32_t variant = 0; variant < 8; variant++) {
            const lspo_policy_t *policy = lspo_policy_at(p);
            lspo_model_t model;
            lspo_machine_t machine;
            lspo_workload_t workload = variant_of(variant, &model, &machine);
            workload.iterations = lspo_policy_iterations(policy, &workload) + 4;
            expect_invariants(policy, &model, &workload, &machine);
        }
    }
}

/* Also where the window is one layer or the whole model, and where the GPU updates some layers or all. */
Test(simulate, invariants_of_windows_and_shares)
{
    static const uint32_t windows[] = {1, 3, 1000};
    static const double shares[] = {0, 0.3, 0.8};
    for (uint32_t variant = 0; variant < 8; variant++) {
        for (uint32_t i = 0; i < 3; i++) {
            lspo_model_t model;
            lspo_machine_t machine;
            lspo_workload_t workload = variant_of(variant, &model, &machine);
            lspo_stream_values_edit(&workload)->window = windows[i];
            lspo_stream_values_edit(&workload)->update = (i + variant) % 2;
            lspo_zero_values_edit(&workload)->cpu_share = shares[i];
            expect_invariants(find("stream"), &model, &workload, &machine);
            expect_invariants(find("zero"), &model, &workload, &machine);
        }
    }
}

/* A step of more than 10,000 ops, whose messages move only at its end, when all activations are there again. */
Test(simulate, the_memory_bound_holds_for_long_steps)
{
    static const char *const names[] = {"zero", "zero-layerwise", "zero-delayed", "lsp"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        lspo_model_t model;
        lspo_workload_t workload;
        lspo_machine_t machine;
        small_case(&model, &workload, &machine);
        model.block_count = 300;
        workload.accumulation = 16;
        workload.iterations = 4;
        lspo_plan_t *plan = tuned_plan(&model, &workload, find(names[i]), &machine);
        cr_assert_gt(plan->op_count / workload.iterations, 10000u);
        lspo_prediction_t prediction = predict(plan, &machine);
        cr_expect_geq(prediction.peak_gpu_bound_bytes, prediction.peak_gpu_bytes, "%s: %lu, peak %lu", names[i],
                      prediction.peak_gpu_bound_bytes, prediction.peak_gpu_bytes);
        lspo_prediction_release(&prediction);
        lspo_plan_destroy(plan);
    }
}

/* One lane and no losses: native takes the sum of its works, its bound is its time, and it waits for nothing. */
Test(simulate, native_is_its_own_bound)
{
    lspo_model_t model;
    lspo_workload_t workload;
    lspo_machine_t machine;
    small_case(&model, &workload, &machine);
    lspo_plan_t *plan = tuned_plan(&model, &workload, find("native"), &machine);
    double total_s = 0;
    for (lspo_op_id_t id = 0; id < plan->op_count; id++)
        total_s += lspo_cost_work_s(&(lspo_cost_context_t){&machine, &plan->model, workload.precision}, LSPO_LANE_GPU,
                                    0, &plan->works[plan->ops[id].work]);
    lspo_prediction_t prediction = predict(plan, &machine);
    cr_expect_float_eq(prediction.summary.iteration_s, total_s / workload.iterations, 1e-9 * plan->op_count);
    cr_expect_float_eq(prediction.lower_bound_s, prediction.summary.iteration_s, 1e-9);
    cr_expect_str_eq(prediction.bound, "bound by the GPU: busy 100 % of an iteration");
    lspo_prediction_release(&prediction);
    lspo_plan_destroy(plan);
}

/* Native with its activations on the GPU: swapping them over a link that takes 1,000 times as long as forward and
 * backward is a slowdown. */
Test(simulate, slowdown_counts_what_swapped_activations_cost)
{
    lspo_model_t model;
    lspo_workload_t workload;
    lspo_machine_t machine;
    small_case(&model, &workload, &machine);
    lspo_plan_t *plan = tuned_plan(&model, &workload, find("native"), &machine);
    lspo_prediction_t stays = predict(plan, &machine);
    lspo_plan_destroy(plan);
    machine.link.d2h_Bps /= 1000;
    machine.link.h2d_Bps /= 1000;
    workload.swap_activations = 1;
    plan = tuned_plan(&model, &workload, find("native"), &machine);
    lspo_prediction_t leaves = predict(plan, &machine);
    cr_expect_float_eq(leaves.native.iteration_s, stays.summary.iteration_s, 1e-9 * stays.summary.iteration_s);
    cr_expect_gt(leaves.slowdown, 1.5);
    lspo_prediction_release(&stays);
    lspo_prediction_release(&leaves);
    lspo_plan_destroy(plan);
}

/* What slows a policy must not slow the native baseline: half the memory leaves slowdown alone, half the link does
 * not. */
Test(simulate, slowdown_is_against_native_with_unlimited_memory)
{
    lspo_model_t model;
    lspo_workload_t workload;
    lspo_machine_t machine;
    small_case(&model, &workload, &machine);
    lspo_plan_t *plan = tuned_plan(&model, &workload, find("zero"), &machine);
    lspo_prediction_t whole = predict(plan, &machine);
    machine.gpu.memory_bytes = 1;
    lspo_prediction_t tiny = predict(plan, &machine);
    machine.link.d2h_Bps /= 2;
    machine.link.h2d_Bps /= 2;
    lspo_prediction_t slow = predict(plan, &machine);
    cr_expect_float_eq(tiny.slowdown, whole.slowdown, 1e-12);
    cr_expect_gt(slow.slowdown, 1.1 * whole.slowdown);
    cr_expect(whole.fits && !tiny.fits);
    lspo_prediction_release(&whole);
    lspo_prediction_release(&tiny);
    lspo_prediction_release(&slow);
    lspo_plan_destroy(plan);
}

/* A driver's context is not the plan's to use: the limit is where memory less context is the peak.  A cap by
 * --gpu-memory is what plans may take, beside the context (ask/request.c). */
Test(simulate, the_context_of_the_driver_counts)
{
    lspo_model_t model;
    lspo_workload_t workload;
    lspo_machine_t machine;
    small_case(&model, &workload, &machine);
    lspo_plan_t *plan = tuned_plan(&model, &workload, find("native"), &machine);
    lspo_prediction_t prediction = predict(plan, &machine);
    lspo_prediction_release(&prediction);
    machine.gpu.context_bytes = 1 << 20;
    machine.gpu.memory_bytes = (double)prediction.peak_gpu_bytes + (1 << 20);
    lspo_prediction_t enough = predict(plan, &machine);
    machine.gpu.memory_bytes -= 1;
    lspo_prediction_t short_by_one = predict(plan, &machine);
    cr_expect_eq(enough.peak_gpu_bytes, prediction.peak_gpu_bytes);
    cr_expect(enough.fits && !short_by_one.fits);
    char advice[LSPO_ADVICE_BYTES];
    cr_assert_eq(lspo_advise(plan, &machine, &short_by_one, sizeof advice, advice), LSPO_OK);
    cr_expect_not_null(strstr(advice, ", 1 B more than"), "%s", advice);
    lspo_prediction_release(&enough);
    lspo_prediction_release(&short_by_one);
    lspo_plan_destroy(plan);
}

/* Between peak and bound a plan fits as predicted, and the advice says that it may not; from the bound on it says
 * nothing. */
Test(simulate, a_bound_above_the_memory_is_said)
{
    lspo_model_t model;
    lspo_workload_t workload;
    lspo_machine_t machine;
    uint32_t with_margin = 0;
    small_case(&model, &workload, &machine);
    for (uint32_t i = 0; i < lspo_policy_count(); i++) {
        lspo_plan_t *plan = tuned_plan(&model, &workload, lspo_policy_at(i), &machine);
        lspo_prediction_t prediction = predict(plan, &machine);
        lspo_machine_t tight = machine;
        cr_expect_geq(prediction.peak_gpu_bound_bytes, prediction.peak_gpu_bytes, "%s", plan->policy->name);
        cr_expect_geq(prediction.peak_host_bound_bytes, prediction.peak_host_bytes, "%s", plan->policy->name);
        tight.gpu.memory_bytes = (double)prediction.peak_gpu_bound_bytes;
        char advice[LSPO_ADVICE_BYTES];
        lspo_prediction_t safe = predict(plan, &tight);
        cr_assert_eq(lspo_advise(plan, &tight, &safe, sizeof advice, advice), LSPO_OK);
        cr_expect(safe.fits && advice[0] == '\0', "%s: %s", plan->policy->name, advice);
        tight.gpu.memory_bytes -= 1;
        lspo_prediction_t unsafe = predict(plan, &tight);
        cr_assert_eq(lspo_advise(plan, &tight, &unsafe, sizeof advice, advice), LSPO_OK);
        if (prediction.peak_gpu_bound_bytes > prediction.peak_gpu_bytes) {
            with_margin++;
            cr_expect(unsafe.fits, "%s", plan->policy->name);
            cr_expect_not_null(strstr(advice, "fits as predicted; if lanes run early or late it may need"), "%s",
                               advice);
        }
        lspo_prediction_release(&prediction);
        lspo_prediction_release(&safe);
        lspo_prediction_release(&unsafe);
        lspo_plan_destroy(plan);
    }
    cr_expect_gt(with_margin, 0u);
}

/* Tuned is at least as good as every fixed transition, where the transition matters. */
Test(simulate, tuned_transition_is_the_best)
{
    lspo_model_t model;
    lspo_workload_t workload;
    lspo_machine_t machine;
    cr_assert_eq(lspo_model_find("gpt2-774m", &model), LSPO_OK);
    cr_assert_eq(lspo_machine_find("paper-workstation", &machine), LSPO_OK);
    cr_assert_eq(lspo_machine_use_framework(&machine, "lspo"), LSPO_OK);
    lspo_workload_default(&workload);
    const lspo_policy_t *policy = find("zero-layerwise");
    lspo_plan_t *plan = tuned_plan(&model, &workload, policy, &machine);
    lspo_prediction_t tuned = predict(plan, &machine);
    cr_expect_geq(transition_of(plan), 0);
    lspo_plan_destroy(plan);
    double worst_s = 0;
    for (uint32_t stage = 0; stage < lspo_model_stage_count(&model); stage++) {
        set_transition(&workload, (int32_t)stage);
        plan = tuned_plan(&model, &workload, policy, &machine);
        cr_expect_eq(transition_of(plan), (int32_t)stage, "a given transition is kept");
        lspo_prediction_t fixed = predict(plan, &machine);
        worst_s = fmax(worst_s, fixed.summary.iteration_s);
        cr_expect_leq(tuned.summary.iteration_s, fixed.summary.iteration_s * 1.001, "stage %u", stage);
        lspo_prediction_release(&fixed);
        lspo_plan_destroy(plan);
    }
    cr_expect_gt(worst_s, 1.001 * tuned.summary.iteration_s, "here the transition matters");
    lspo_prediction_release(&tuned);
}

/* A policy whose best stage is known: native, with one more pass over the gradients a step for each stage that the
 * transition is away from best_stage. */
static int32_t best_stage;

static lspo_status_t build_detour(lspo_builder_t *b)
{
    for (uint32_t i = 0; i < b->workload->iterations; i++) {
        lspo_build_step(b, i, false);
        lspo_op_id_t last = b->last_compute;
        for (int32_t extra = abs(transition_of(b->plan) - best_stage); extra > 0; extra--) {
            lspo_op_id_t op = lspo_build_op(b, LSPO_OP_NORM, LSPO_VARIANT_NONE, 0, i);
            lspo_build_depend(b, last);
            last = op;
        }
        for (uint32_t s = 0; s < b->stage_count; s++)
            if (b->stages[s].trained)
                lspo_build_update_gpu(b, i, s, last);
    }
    return b->status;
}

Test(simulate, finds_the_best_stage_wherever_it_is)
{
    lspo_policy_t detour = *find("native");
    detour.name = "detour";
    detour.parameters = &lspo_layerwise_parameters;
    detour.build = build_detour;
    detour.periods[0].parameter = NULL;
    static const struct {
        uint32_t blocks;
        int32_t best;
    } cases[] = {{6, 0}, {6, 3}, {6, 7}, {62, 41}, {150, 0}, {150, 76}, {150, 77}, {150, 78}, {150, 151}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lspo_model_t model;
        lspo_workload_t workload;
        lspo_machine_t machine;
        small_case(&model, &workload, &machine);
        model.block_count = cases[i].blocks;
        best_stage = cases[i].best;
        lspo_plan_t *plan = tuned_plan(&model, &workload, &detour, &machine);
        cr_expect_eq(transition_of(plan), cases[i].best, "%u blocks: %d, not %d", cases[i].blocks, transition_of(plan),
                     cases[i].best);
        lspo_plan_destroy(plan);
    }
}

/* A model deeper than the trial limit: coarse grid, then around its best. */
Test(simulate, tunes_deep_models_in_bounded_time)
{
    lspo_model_t model;
    lspo_workload_t workload;
    lspo_machine_t machine;
    small_case(&model, &workload, &machine);
    model.block_count = 150;
    lspo_plan_t *plan = tuned_plan(&model, &workload, find("lsp"), &machine);
    cr_expect(transition_of(plan) >= 0 && transition_of(plan) <= 151);
    lspo_plan_destroy(plan);
}

Test(simulate, too_few_iterations_are_the_users_error)
{
    lspo_model_t model;
    lspo_workload_t workload;
    lspo_machine_t machine;
    small_case(&model, &workload, &machine);
    workload.iterations = 1;
    lspo_plan_t *plan = tuned_plan(&model, &workload, find("native"), &machine);
    lspo_prediction_t prediction = {.slowdown = 7};
    cr_expect_eq(lspo_simulate(plan, &machine, &prediction, NULL), LSPO_ERR_INPUT);
    cr_expect_float_eq(prediction.slowdown, 7, 0);
    lspo_plan_destroy(plan);
    for (workload.iterations = 2; workload.iterations < 9; workload.iterations++) {
        plan = tuned_plan(&model, &workload, find("native"), &machine);
        prediction = predict(plan, &machine);
        cr_expect_geq(prediction.summary.sample_count, 1u);
        lspo_prediction_release(&prediction);
        lspo_plan_destroy(plan);
    }
}

/* Copy of a plan without the dependencies of ops of kind `later` on ops of kind `earlier`. */
static lspo_plan_t mutate(const lspo_plan_t *plan, lspo_op_kind_t later, lspo_op_kind_t earlier)
{
    lspo_plan_t mutant = *plan;
    mutant.ops = malloc(plan->op_count * sizeof *mutant.ops);
    mutant.deps = malloc(plan->dep_count * sizeof *mutant.deps);
    mutant.dep_count = 0;
    for (lspo_op_id_t id = 0; id < plan->op_count; id++) {
        const lspo_op_t *op = &plan->ops[id];
        mutant.ops[id] = *op;
        mutant.ops[id].dep_first = mutant.dep_count;
        for (uint32_t i = 0; i < op->dep_count; i++) {
            lspo_op_id_t dep = plan->deps[op->dep_first + i];
            if (op->kind != later || plan->ops[dep].kind != earlier)
                mutant.deps[mutant.dep_count++] = dep;
        }
        mutant.ops[id].dep_count = mutant.dep_count - mutant.ops[id].dep_first;
    }
    return mutant;
}

/* The engine plays what the true plan forbids: the trace checker must see it. */
static void expect_rejected(const char *policy_name, lspo_op_kind_t later, lspo_op_kind_t earlier)
{
    lspo_model_t model;
    lspo_workload_t workload;
    lspo_machine_t machine;
    small_case(&model, &workload, &machine);
    set_gradient_buffers(&workload, 0);
    lspo_plan_t *plan = tuned_plan(&model, &workload, find(policy_name), &machine);
    lspo_plan_t mutant = mutate(plan, later, earlier);
    cr_assert_lt(mutant.dep_count, plan->dep_count, "%s: %d does not wait for %d", policy_name, (int)later,
                 (int)earlier);

    uint64_t *work_ns = NULL;
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_cost_plan(&machine, &mutant, &work_ns), LSPO_OK);
    cr_assert_eq(lspo_engine_play(&mutant, &machine, work_ns, &trace), LSPO_OK);
    cr_expect_eq(lspo_trace_check(trace, &mutant), LSPO_OK);
    cr_expect_eq(lspo_trace_check(trace, plan), LSPO_ERR_CHECK, "%s without %d -> %d", policy_name, (int)earlier,
                 (int)later);
    lspo_trace_destroy(trace);
    free(work_ns);
    free(mutant.deps);
    free(mutant.ops);
    lspo_plan_destroy(plan);
}

Test(simulate, traces_of_mutated_plans_are_rejected)
{
    expect_rejected("zero", LSPO_OP_FWD, LSPO_OP_APPLY);
    expect_rejected("zero", LSPO_OP_UPD, LSPO_OP_D2H);
    expect_rejected("zero-layerwise", LSPO_OP_FWD, LSPO_OP_APPLY);
    expect_rejected("zero-layerwise", LSPO_OP_H2D, LSPO_OP_UPD);
    expect_rejected("zero-layerwise", LSPO_OP_APPLY, LSPO_OP_H2D);
    expect_rejected("lsp", LSPO_OP_D2H, LSPO_OP_COMPRESS);
    expect_rejected("swap", LSPO_OP_FWD, LSPO_OP_SWAP_IN);
}

/* Mutated memory: a plan that forgets to give a buffer back. */
Test(simulate, leaks_of_mutated_plans_are_found)
{
    lspo_model_t model;
    lspo_workload_t workload;
    lspo_machine_t machine;
    small_case(&model, &workload, &machine);
    lspo_plan_t *plan = tuned_plan(&model, &workload, find("zero"), &machine);
    for (lspo_op_id_t id = 0; id < plan->op_count; id++) {
        if (plan->ops[id].gpu_free_bytes > 0) {
            plan->ops[id].gpu_free_bytes--;
            break;
        }
    }
    lspo_prediction_t prediction;
    cr_expect_eq(lspo_simulate(plan, &machine, &prediction, NULL), LSPO_ERR_CHECK);
    lspo_plan_destroy(plan);
}

/* d / r = 64 / 8 = 8: dense up to a ratio of 8, if nothing else is asked for; lsp-paper is dense without a profile. */
Test(simulate, a_profile_makes_products_of_projectors_dense)
{
    lspo_model_t model;
    lspo_machine_t machine;
    lspo_workload_t workload;
    small_case(&model, &workload, &machine);
    lspo_lsp_values_edit(&workload)->nnz = 8;
    static const struct {
        const char *policy;
        double compress_ratio, apply_ratio;
        lspo_products_by_t asked;
        bool compress, apply;
    } cases[] = {
        {"lsp", 0, 0, LSPO_PRODUCTS_AUTO, false, false},        {"lsp", 8, 7.9, LSPO_PRODUCTS_AUTO, true, false},
        {"lsp", 7.9, 8, LSPO_PRODUCTS_AUTO, false, true},       {"lsp", 100, 100, LSPO_PRODUCTS_SPARSE, false, false},
        {"lsp", 0, 0, LSPO_PRODUCTS_DENSE, true, true},         {"lsp-paper", 0, 0, LSPO_PRODUCTS_AUTO, true, true},
        {"lsp-paper", 8, 8, LSPO_PRODUCTS_SPARSE, false, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        machine.gpu.dense_compress_ratio = cases[i].compress_ratio;
        machine.gpu.dense_apply_ratio = cases[i].apply_ratio;
        lspo_lsp_values_edit(&workload)->compress_by = lspo_lsp_values_edit(&workload)->apply_by = cases[i].asked;
        lspo_plan_t *plan = tuned_plan(&model, &workload, find(cases[i].policy), &machine);
        cr_expect_eq(plan->dense_compress, cases[i].compress, "case %zu", i);
        cr_expect_eq(plan->dense_apply, cases[i].apply, "case %zu", i);
        lspo_plan_destroy(plan);
    }
}

/* On a slow CPU the GPU turns gradients into Adam's basis, on a slow GPU the CPU does, and where the GPU has no room or
 * projectors are checked; nobody where there is no basis. */
Test(simulate, the_faster_lane_turns)
{
    lspo_model_t model;
    lspo_machine_t machine;
    lspo_workload_t workload;
    small_case(&model, &workload, &machine);
    const double gpu_flops = machine.gpu.gemm_flops[workload.precision], cpu_flops = machine.cpu.compute_flops;
    const double memory_bytes = machine.gpu.memory_bytes;
    static const struct {
        double gpu, cpu;
        lspo_adam_basis_t basis;
        uint32_t check_every;
        bool full;
        lspo_basis_lane_t asked, chosen;
    } cases[] = {{1, 1e-2, LSPO_ADAM_BASIS_EIGEN, 0, false, LSPO_BASIS_LANE_AUTO, LSPO_BASIS_LANE_GPU},
                 {1, 1e-2, LSPO_ADAM_BASIS_EIGEN, 0, false, LSPO_BASIS_LANE_CPU, LSPO_BASIS_LANE_CPU},
                 {1, 1e-2, LSPO_ADAM_BASIS_EIGEN, 0, true, LSPO_BASIS_LANE_AUTO, LSPO_BASIS_LANE_CPU},
                 {1, 1e-2, LSPO_ADAM_BASIS_EIGEN, 4, false, LSPO_BASIS_LANE_AUTO, LSPO_BASIS_LANE_CPU},
                 {1, 1e-2, LSPO_ADAM_BASIS_PLAIN, 0, false, LSPO_BASIS_LANE_AUTO, LSPO_BASIS_LANE_CPU},
                 {1e-2, 1, LSPO_ADAM_BASIS_EIGEN, 0, false, LSPO_BASIS_LANE_AUTO, LSPO_BASIS_LANE_CPU},
                 {1e-2, 1, LSPO_ADAM_BASIS_EIGEN, 0, false, LSPO_BASIS_LANE_GPU, LSPO_BASIS_LANE_GPU}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lspo_lsp_values_t *lsp = lspo_lsp_values_edit(&workload);
        lsp->adam_basis = cases[i].basis;
        lsp->check_every = cases[i].check_every;
        lsp->basis_lane = LSPO_BASIS_LANE_CPU;
        machine.gpu.gemm_flops[workload.precision] = gpu_flops * cases[i].gpu;
        machine.cpu.compute_flops = cpu_flops * cases[i].cpu;
        machine.gpu.memory_bytes = memory_bytes;
        lspo_plan_t *plan = tuned_plan(&model, &workload, find("lsp"), &machine);
        if (cases[i].full) /* for one lane's static memory, not for the other's */
            machine.gpu.memory_bytes = (double)plan->gpu_static_bytes + 1;
        lspo_plan_destroy(plan);
        lsp->basis_lane = cases[i].asked;
        plan = tuned_plan(&model, &workload, find("lsp"), &machine);
        cr_expect_eq(lspo_lsp_values_of(&plan->workload)->basis_lane, cases[i].chosen, "case %zu", i);
        lspo_plan_destroy(plan);
    }
}
