/* The time of a play that stops early against the time of the whole play, and the transition that is found by playing
 * one plan with many priorities against the one that is found by playing many plans. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "plan/policies/shared.h"
#include "plan/policy.h"
#include "sim/cost.h"
#include "sim/engine.h"
#include "sim/fit.h"
#include "sim/memory.h"
#include "sim/pace.h"
#include "sim/sim.h"
#include "sim/trial.h"
#include "sim/tune.h"
#include "tests/own_values.h"
#include "tests/plan_maker.h"

/* A plan whose iterations are alike from the second one on: a chain of FWD on the GPU, and between its links ops on any
 * lane, which wait for ops of this and of the last iteration.  Where `closed`, each of them waits for a link of its
 * iteration; else some may start early, and the end of one iteration may not be that of all before it. */
typedef struct {
    uint32_t lane, rank;
    uint32_t deps[4]; /* places in this iteration, or `ops` and more: in the one before */
    uint32_t dep_count;
} place_t;

enum { PLACES_MAX = 40, RANKS = 4 };

static uint32_t make_places(uint64_t *state, bool closed, place_t *places)
{
    uint32_t ops = 3 + (uint32_t)maker_below(state, PLACES_MAX - 3), link = 0;
    for (uint32_t i = 0; i < ops; i++) {
        bool chained = i == 0 || maker_below(state, 3) == 0;
        place_t *place = &places[i];
        *place = (place_t){.lane = chained ? 0 : 1 + (uint32_t)maker_below(state, 4),
                           .rank = (uint32_t)maker_below(state, 3)};
        if (chained && i > 0)
            place->deps[place->dep_count++] = link;
        if (!chained && closed)
            place->deps[place->dep_count++] = link;
        if (i > 0 && maker_below(state, 2))
            place->deps[place->dep_count++] = (uint32_t)maker_below(state, i);
        if (maker_below(state, 2))
            place->deps[place->dep_count++] = ops + (uint32_t)maker_below(state, ops);
        link = chained ? i : link;
    }
    places[0].deps[places[0].dep_count++] = ops + link; /* of the iteration before */
    return ops;
}

/* Lane 0 is the chain; 4 is the GPU, too, with ops that do not end an iteration. */
static const lspo_op_kind_t kinds[] = {LSPO_OP_FWD, LSPO_OP_D2H, LSPO_OP_H2D, LSPO_OP_UPD, LSPO_OP_APPLY};

static plan_maker_t repeated_plan(uint64_t seed, uint32_t iterations)
{
    uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
    place_t places[PLACES_MAX];
    uint32_t ops = make_places(&state, seed % 4 != 0, places);
    plan_maker_t maker = maker_create();
    maker.plan.workload.iterations = iterations;
    for (uint32_t id = 0; id < ops * iterations; id++) {
        const place_t *place = &places[id % ops];
        maker_op(&maker, kinds[place->lane], 0, id / ops, 0);
        maker.plan.ops[id].work = id % ops;
        maker.plan.ops[id].priority = id / ops * RANKS + place->rank;
        for (uint32_t d = 0; d < place->dep_count; d++) {
            uint32_t dep = place->deps[d];
            uint32_t distance = dep < ops ? id % ops - dep : id % ops + 2 * ops - dep;
            maker_depend(&maker, distance <= id ? id - distance : LSPO_NO_OP);
        }
    }
    bool some_take_no_time = seed % 3 == 0;
    for (uint32_t place = 0; place < ops; place++) {
        uint64_t work_ns = maker_below(&state, 1000) + !some_take_no_time;
        work_ns = some_take_no_time && maker_below(&state, 4) == 0 && place > 0 ? 0 : work_ns + (place == 0);
        for (uint32_t lane = 0; lane < LSPO_LANE_KIND_COUNT; lane++)
            maker.work_ns[place * LSPO_LANE_KIND_COUNT + lane] = work_ns;
    }
    return maker;
}

/* The time of a whole play. */
static double long_run_s(const plan_maker_t *maker, const lspo_machine_t *machine)
{
    lspo_trace_t *trace = NULL;
    double iteration_s = 0;
    cr_assert_eq(lspo_engine_play(&maker->plan, machine, maker->work_ns, &trace), LSPO_OK);
    cr_assert_eq(lspo_trial_time(&maker->plan, trace, &iteration_s), LSPO_OK);
    lspo_trace_destroy(trace);
    return iteration_s;
}

Test(pace, is_that_of_the_long_run_of_random_plans)
{
    uint32_t early = 0, plans = 0;
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        uint32_t iterations = 2 + (uint32_t)(seed % 29);
        plan_maker_t maker = repeated_plan(seed, iterations);
        lspo_machine_t machine = seed % 2 ? maker_machine() : maker_contended_machine(seed);
        machine.cpu.wake_s = 1e-9 * (double)(seed / 2 % 3 * 700);
        lspo_pace_t *pace = NULL;
        lspo_pace_result_t result = {0};
        double expected_s = long_run_s(&maker, &machine);
        cr_assert_eq(lspo_pace_create(&maker.plan, &machine, maker.work_ns, &pace), LSPO_OK);
        for (int again = 0; again < 2; again++) {
            cr_assert_eq(lspo_pace_play(pace, 0, &result), LSPO_OK);
            cr_expect_eq(result.iteration_s, expected_s, "seed %lu: %.12g s after %u of %u iterations, not %.12g s",
                         seed, result.iteration_s, result.played, iterations, expected_s);
        }
        early += result.played < iterations;
        plans++;
        lspo_pace_destroy(pace);
        maker_release(&maker);
    }
    cr_expect_gt(early, plans / 4, "%u of %u plays stopped early", early, plans);
}

static lspo_workload_t random_workload(uint64_t *state)
{
    lspo_workload_t workload;
    lspo_workload_default(&workload);
    workload.sequence = 64u << maker_below(state, 3);
    workload.batch = 1 + (uint32_t)maker_below(state, 8);
    workload.accumulation = 1 + (uint32_t)maker_below(state, 3);
    workload.clip_norm = maker_below(state, 2) ? 1 : 0;
    workload.checkpointing = maker_below(state, 2);
    return workload;
}

static lspo_machine_t random_machine(uint64_t *state)
{
    lspo_machine_t machine;
    cr_assert_eq(lspo_machine_find("paper-workstation", &machine), LSPO_OK);
    double link = 0.1 * (double)(1 + maker_below(state, 30)), cpu = 0.1 * (double)(1 + maker_below(state, 30));
    machine.link.d2h_Bps *= link;
    machine.link.h2d_Bps *= link;
    machine.cpu.adam_pps *= cpu;
    machine.cpu.adam_cached_pps *= cpu;
    bool contended = maker_below(state, 2);
    machine.contention[LSPO_LANE_GPU][LSPO_LANE_CPU] = contended ? 0.13 : 0;
    machine.contention[LSPO_LANE_CPU][LSPO_LANE_H2D] = contended ? 0.3 : 0;
    machine.cpu.wake_s = 1e-6 * (double)(maker_below(state, 2) * maker_below(state, 200));
    return machine;
}

Test(pace, is_that_of_the_long_run_of_every_policy)
{
    lspo_model_t model;
    uint64_t state = 12345;
    uint32_t early = 0;
    cr_assert_eq(lspo_model_find("gpt-small", &model), LSPO_OK);
    for (uint32_t p = 0; p < lspo_policy_count(); p++) {
        for (int variant = 0; variant < 12; variant++) {
            const lspo_policy_t *policy = lspo_policy_at(p);
            lspo_machine_t machine = random_machine(&state);
            lspo_workload_t workload = random_workload(&state);
            lspo_policy_set_defaults(policy, &model, false, &workload);
            workload.iterations = lspo_policy_iterations(policy, &workload) + (uint32_t)maker_below(&state, 20);
            lspo_plan_t *plan = NULL;
            lspo_trial_t trial = {0};
            lspo_pace_t *pace = NULL;
            lspo_pace_result_t result = {0};
            cr_assert_eq(lspo_plan_build(&model, &workload, policy, &plan), LSPO_OK);
            cr_assert_eq(lspo_trial_play(plan, &machine, &trial), LSPO_OK);
            cr_assert_eq(lspo_pace_create(plan, &machine, trial.work_ns, &pace), LSPO_OK);
            cr_assert_eq(lspo_pace_play(pace, 0, &result), LSPO_OK);
            cr_expect_eq(result.iteration_s, trial.summary.iteration_s, "%s, %u of %u iterations", policy->name,
                         result.played, workload.iterations);
            early += result.played < workload.iterations;
            lspo_pace_destroy(pace);
            lspo_trial_release(&trial);
            lspo_plan_destroy(plan);
        }
    }
    cr_expect_gt(early, 12 * lspo_policy_count() / 3, "%u plays stopped early", early);
}

/* What a play from the start shows. */
static lspo_pace_result_t play_anew(const plan_maker_t *maker, const lspo_machine_t *machine)
{
    lspo_pace_t *pace = NULL;
    lspo_pace_result_t result = {0};
    cr_assert_eq(lspo_pace_create(&maker->plan, machine, maker->work_ns, &pace), LSPO_OK);
    cr_assert_eq(lspo_pace_play(pace, RANKS, &result), LSPO_OK);
    cr_expect_not(result.resumed);
    lspo_pace_destroy(pace);
    return result;
}

/* Priorities change between plays, of ops that are ready where the state is held and of others. */
Test(pace, plays_from_a_held_state_are_those_from_the_start)
{
    uint32_t resumed = 0, overtaking = 0;
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        const uint32_t iterations = 5 + (uint32_t)(seed % 9);
        plan_maker_t maker = repeated_plan(seed, iterations);
        const uint32_t ops = maker.plan.op_count / iterations;
        lspo_machine_t machine = seed % 2 ? maker_machine() : maker_contended_machine(seed);
        lspo_pace_t *pace = NULL;
        uint64_t state = seed;
        cr_assert_eq(lspo_pace_create(&maker.plan, &machine, maker.work_ns, &pace), LSPO_OK);
        for (uint32_t round = 0; round < 8; round++) {
            lspo_pace_result_t result = {0};
            const uint32_t place = (uint32_t)maker_below(&state, ops), rank = (uint32_t)maker_below(&state, RANKS);
            lspo_pace_hold(pace, (lspo_op_id_t)maker_below(&state, ops));
            cr_assert_eq(lspo_pace_play(pace, RANKS, &result), LSPO_OK);
            const lspo_pace_result_t anew = play_anew(&maker, &machine);
            cr_expect_eq(result.iteration_s, long_run_s(&maker, &machine), "seed %lu, round %u", seed, round);
            cr_expect_eq(result.overtook, anew.overtook, "seed %lu, round %u", seed, round);
            resumed += result.resumed;
            overtaking += result.resumed && result.overtook > 0;
            for (uint32_t i = 0; i < iterations && round % 2; i++) {
                maker.plan.ops[i * ops + place].priority = i * RANKS + rank;
                lspo_pace_set_priority(pace, i * ops + place, i * RANKS + rank);
            }
        }
        lspo_pace_destroy(pace);
        maker_release(&maker);
    }
    cr_expect_gt(resumed, 1000, "%u of 8000 plays", resumed);
    cr_expect_gt(overtaking, 100, "%u of them", overtaking);
}

/* Every op takes memory that it or another one gives back. */
static void take_memory(plan_maker_t *maker, uint64_t seed)
{
    uint64_t state = seed;
    for (uint32_t id = 0; id < maker->plan.op_count; id++) {
        const uint64_t gpu_bytes = maker_below(&state, 1000), host_bytes = maker_below(&state, 1000);
        lspo_op_t *later = &maker->plan.ops[id + maker_below(&state, maker->plan.op_count - id)];
        maker->plan.ops[id].gpu_alloc_bytes += gpu_bytes;
        maker->plan.ops[id].host_alloc_bytes += host_bytes;
        later->gpu_free_bytes += gpu_bytes;
        later->host_free_bytes += host_bytes;
    }
}

/* Where they are known, which is where all ops take time and no lane is woken; and the play ends where there is a byte
 * less. */
Test(pace, peaks_are_those_of_the_trace_of_random_plans)
{
    uint32_t known_plans = 0;
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        plan_maker_t maker = repeated_plan(seed, 2 + (uint32_t)(seed % 29));
        lspo_machine_t machine = seed % 2 ? maker_machine() : maker_contended_machine(seed);
        machine.cpu.wake_s = 1e-9 * (double)(seed % 5 == 0 ? 700 : 0);
        take_memory(&maker, seed);
        lspo_pace_t *pace = NULL;
        lspo_trace_t *trace = NULL;
        lspo_few_memory_t memory = {.ops = maker.plan.ops, .gpu_most_bytes = INT64_MAX, .host_most_bytes = INT64_MAX};
        uint64_t gpu_bytes = 0, host_bytes = 0;
        bool known = false;
        double iteration_s = 0, stopped_s = 0;
        cr_assert_eq(lspo_engine_play(&maker.plan, &machine, maker.work_ns, &trace), LSPO_OK);
        cr_assert_eq(lspo_memory_replay(&maker.plan, trace, &gpu_bytes, &host_bytes), LSPO_OK);
        cr_assert_eq(lspo_pace_create(&maker.plan, &machine, maker.work_ns, &pace), LSPO_OK);
        cr_assert_eq(lspo_pace_peaks(pace, &memory, &known, &iteration_s), LSPO_OK);
        cr_expect_eq(iteration_s, long_run_s(&maker, &machine), "seed %lu", seed);
        if (known) {
            cr_expect_eq((uint64_t)memory.gpu_peak_bytes, gpu_bytes, "seed %lu", seed);
            cr_expect_eq((uint64_t)memory.host_peak_bytes, host_bytes, "seed %lu", seed);
            memory = (lspo_few_memory_t){.ops = maker.plan.ops,
                                         .gpu_most_bytes = (int64_t)gpu_bytes - (seed % 4 < 2),
                                         .host_most_bytes = (int64_t)host_bytes - (seed % 4 >= 2)};
            cr_assert_eq(lspo_pace_peaks(pace, &memory, &known, &stopped_s), LSPO_OK);
            cr_expect(memory.gpu_peak_bytes > memory.gpu_most_bytes || memory.host_peak_bytes > memory.host_most_bytes);
            cr_expect_eq(stopped_s, 0.0, "seed %lu", seed);
        }
        known_plans += known;
        lspo_pace_destroy(pace);
        lspo_trace_destroy(trace);
        maker_release(&maker);
    }
    cr_expect_gt(known_plans, 400u, "%u", known_plans);
}

/* What a plan needs against the replay of its trace, also with several peers, and with a byte less room. */
Test(pace, what_fits_is_that_of_the_trace_of_every_policy)
{
    lspo_model_t model;
    uint64_t state = 4711;
    cr_assert_eq(lspo_model_find("gpt-small", &model), LSPO_OK);
    for (uint32_t i = 0; i < 6 * lspo_policy_count(); i++) {
        const lspo_policy_t *policy = lspo_policy_at(i / 6);
        lspo_machine_t machine = random_machine(&state);
        lspo_workload_t workload = random_workload(&state);
        lspo_plan_t *plan = NULL;
        lspo_trial_t trial = {0};
        lspo_memory_t memory = {0};
        lspo_fit_t fit = {0}, stopped = {0};
        cr_assert_eq(lspo_machine_use_framework(&machine, i % 2 ? "eager" : "lspo"), LSPO_OK);
        lspo_policy_set_defaults(policy, &model, false, &workload);
        workload.iterations = lspo_policy_iterations(policy, &workload);
        cr_assert_eq(lspo_plan_build(&model, &workload, policy, &plan), LSPO_OK);
        cr_assert_eq(lspo_trial_play(plan, &machine, &trial), LSPO_OK);
        cr_assert_eq(lspo_memory_predict(plan, &machine, trial.trace, &memory), LSPO_OK);
        machine.gpu.context_bytes = 0;
        for (uint32_t less = 0; less < 2; less++) {
            const uint32_t of_host = i % 3 == 0 && memory.host_bytes > 0 ? less : 0;
            machine.gpu.memory_bytes = (double)(memory.gpu_bytes - (less - of_host));
            machine.cpu.memory_bytes = (double)(memory.host_bytes - of_host);
            cr_assert_eq(lspo_fit_plan(plan, &machine, &fit), LSPO_OK);
            cr_assert_eq(lspo_fit_plan_or_stop(plan, &machine, &stopped), LSPO_OK);
            cr_expect_eq(fit.gpu_bytes, memory.gpu_bytes, "%s", policy->name);
            cr_expect_eq(fit.host_bytes, memory.host_bytes, "%s", policy->name);
            cr_expect_eq(fit.iteration_s, trial.summary.iteration_s, "%s", policy->name);
            cr_expect_eq(fit.fits, less == 0, "%s", policy->name);
            cr_expect_eq(stopped.fits, less == 0, "%s", policy->name);
            cr_expect(less || stopped.iteration_s == fit.iteration_s, "%s", policy->name);
        }
        lspo_trial_release(&trial);
        lspo_plan_destroy(plan);
    }
}

/* A lane that is never used waits longer and longer, which is no reason to play on. */
Test(pace, ends_early_where_lanes_are_not_used)
{
    static const char *const names[] = {"native", "zero"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const lspo_policy_t *policy = NULL;
        lspo_model_t model;
        lspo_machine_t machine;
        lspo_workload_t workload;
        lspo_plan_t *plan = NULL;
        lspo_pace_t *pace = NULL;
        lspo_pace_result_t result = {0};
        uint64_t *work_ns = NULL;
        cr_assert_eq(lspo_policy_find(names[i], &policy), LSPO_OK);
        cr_assert_eq(lspo_model_find("gpt-small", &model), LSPO_OK);
        cr_assert_eq(lspo_machine_find("host-reference", &machine), LSPO_OK);
        machine.cpu.wake_s = 42e-6;
        lspo_workload_default(&workload);
        workload.sequence = 64;
        lspo_policy_set_defaults(policy, &model, false, &workload);
        workload.iterations = 48;
        cr_assert_eq(lspo_plan_build(&model, &workload, policy, &plan), LSPO_OK);
        cr_assert_eq(lspo_cost_plan(&machine, plan, &work_ns), LSPO_OK);
        cr_assert_eq(lspo_pace_create(plan, &machine, work_ns, &pace), LSPO_OK);
        cr_assert_eq(lspo_pace_play(pace, 0, &result), LSPO_OK);
        cr_expect_lt(result.played, 10u, "%s: %u", names[i], result.played);
        lspo_pace_destroy(pace);
        lspo_plan_destroy(plan);
        free(work_ns);
    }
}

typedef struct {
    double best_s;
    int32_t best; /* -1: none yet */
} found_t;

/* The fastest of the stages first, first + step, ... up to last, the highest of equal ones, each by the whole play of a
 * plan of its own. */
static void try_stages(const lspo_fit_question_t *question, const int32_t first_last_step[3], found_t *found)
{
    lspo_workload_t workload = question->workload;
    workload.iterations = 8;
    for (int32_t stage = first_last_step[0]; stage <= first_last_step[1]; stage += first_last_step[2]) {
        lspo_plan_t *plan = NULL;
        lspo_trial_t trial = {0};
        set_transition(&workload, stage);
        cr_assert_eq(lspo_plan_build(question->model, &workload, question->policy, &plan), LSPO_OK);
        cr_assert_eq(lspo_trial_play(plan, question->machine, &trial), LSPO_OK);
        double iteration_s = trial.summary.iteration_s;
        if (found->best < 0 || iteration_s < found->best_s || (iteration_s <= found->best_s && stage > found->best))
            *found = (found_t){iteration_s, stage};
        lspo_trial_release(&trial);
        lspo_plan_destroy(plan);
    }
}

static int32_t best_transition(const lspo_fit_question_t *question)
{
    int32_t last = (int32_t)lspo_model_stage_count(question->model) - 1, step = last / 64 + 1;
    found_t found = {.best = -1};
    try_stages(question, (int32_t[]){0, last, step}, &found);
    int32_t low = found.best - step + 1, high = found.best + step - 1;
    if (step > 1)
        try_stages(question, (int32_t[]){low > 0 ? low : 0, high < last ? high : last, 1}, &found);
    return found.best;
}

/* Also with other iterations than those of the trials, for which the plan is built anew. */
Test(pace, the_tuner_finds_what_whole_plays_find)
{
    static const char *const names[] = {"lsp", "zero-layerwise", "lsp-paper"};
    uint64_t state = 777;
    uint32_t inner = 0;
    for (int variant = 0; variant < 60; variant++) {
        const lspo_policy_t *policy = NULL;
        lspo_model_t model;
        lspo_plan_t *plan = NULL, *expected = NULL;
        lspo_machine_t machine = random_machine(&state);
        lspo_workload_t workload = random_workload(&state);
        cr_assert_eq(lspo_policy_find(names[variant % 3], &policy), LSPO_OK);
        cr_assert_eq(lspo_model_find("gpt2-774m", &model), LSPO_OK);
        model.block_count = variant < 3 ? 90 : 3 + (uint32_t)maker_below(&state, 20);
        lspo_policy_set_defaults(policy, &model, false, &workload);
        workload.iterations = variant % 4 ? 8 : 5;
        cr_assert_eq(lspo_tune_transition(&model, &workload, policy, &machine, &plan), LSPO_OK);
        int32_t best = best_transition(&(lspo_fit_question_t){&model, workload, policy, &machine});
        cr_expect_eq(transition_of(plan), best, "variant %d: %d, not %d", variant, transition_of(plan), best);
        set_transition(&workload, best);
        cr_assert_eq(lspo_plan_build(&model, &workload, policy, &expected), LSPO_OK);
        cr_assert_eq(plan->op_count, expected->op_count);
        for (uint32_t id = 0; id < plan->op_count; id++)
            cr_expect_eq(plan->ops[id].priority, expected->ops[id].priority, "variant %d, op %u", variant, id);
        inner += best < (int32_t)plan->stage_count - 1;
        lspo_plan_destroy(expected);
        lspo_plan_destroy(plan);
    }
    cr_expect_gt(inner, 6u, "a stage below the last is best in %u cases", inner);
}
