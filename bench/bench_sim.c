/* bench_sim.c - how fast the simulator is on one core: the event engine by number of ops and lanes, whole predictions
 * by layers and iterations.
 *
 * Speeds are gated as ratios to the time that qsort() takes to sort a number, which stands for the speed of this core:
 * the goals are those of a server's core that sorts 10 million numbers per second.  Required there are 20 million ops
 * per second (an op in half the time of a number), a prediction of 32 layers, transition included, in 1.2 ms (12,000
 * numbers), and 2.5 million ops per second on 4,000 lanes (an op in the time of 4 numbers; with losses 6).  There an op
 * costs more than on four lanes because ops of a hundred chains are under way, each in memory that no other touches:
 * most of the time is cache misses on the ops that wait and on their durations.
 *
 * A plan is played as soon as it is built ("fresh": the cache holds what the builder left) and again and again.  On the
 * machine with losses each start and end changes the rates of the other lanes.
 */
#include <string.h>

#include "base/heap.h"
#include "bench/measure.h"
#include "plan/machine.h"
#include "plan/model.h"
#include "plan/policy.h"
#include "sim/cost.h"
#include "sim/engine.h"
#include "sim/sim.h"
#include "sim/tune.h"
#include "traces/trace.h"

enum { REPEATS = 21 };
static const double sorted_an_op_most = 0.5, sorted_a_prediction_most = 12000;
static const double sorted_an_op_wide_most = 4, sorted_an_op_wide_contended_most = 6;

static int fail(const char *what)
{
    fprintf(stderr, "bench_sim: %s failed\n", what);
    exit(1);
}

/* Inputs */

typedef struct {
    lspo_model_t model;
    lspo_machine_t machine;
    lspo_workload_t workload;
    const lspo_policy_t *policy;
} cell_t;

static void set_losses(lspo_machine_t *machine, double loss)
{
    for (int a = 0; a < LSPO_DEVICE_LANES; a++)
        for (int b = 0; b < LSPO_DEVICE_LANES; b++)
            machine->contention[a][b] = a == b ? 0 : loss;
    machine->link.d2h_duplex_loss = machine->link.h2d_duplex_loss = loss;
}

static cell_t cell_of(const char *policy_name, uint32_t layers, uint32_t iterations)
{
    cell_t cell;
    if (lspo_model_find("llama-7b", &cell.model) != LSPO_OK ||
        lspo_machine_find("paper-workstation", &cell.machine) != LSPO_OK ||
        lspo_policy_find(policy_name, &cell.policy) != LSPO_OK)
        fail("finding model, machine and policy");
    lspo_workload_default(&cell.workload);
    lspo_policy_set_defaults(cell.policy, &cell.model, false, &cell.workload);
    cell.model.block_count = layers;
    cell.workload.iterations = iterations;
    return cell;
}

static lspo_plan_t *build(const cell_t *cell)
{
    lspo_plan_t *plan = NULL;
    if (lspo_plan_build(&cell->model, &cell->workload, cell->policy, &plan) != LSPO_OK)
        fail("building a plan");
    return plan;
}

/* The engine by size */

static double play_s(const lspo_plan_t *plan, const lspo_machine_t *machine, const uint64_t *work_ns)
{
    lspo_trace_t *trace = NULL;
    double start_s = measure_thread_s();
    if (lspo_engine_play(plan, machine, work_ns, &trace) != LSPO_OK)
        fail("playing a plan");
    double took_s = measure_thread_s() - start_s;
    lspo_trace_destroy(trace);
    return took_s;
}

/* Median seconds of one play. */
static double replay_s(const lspo_plan_t *plan, const lspo_machine_t *machine, const uint64_t *work_ns, int repeats)
{
    double times_s[REPEATS];
    for (int i = 0; i < repeats; i++)
        times_s[i] = play_s(plan, machine, work_ns);
    return measure_median(times_s, (size_t)repeats);
}

/* Median seconds to build, to price and to play a new plan. */
typedef struct {
    double build_s, price_s, play_s;
} fresh_t;

static fresh_t time_fresh(const cell_t *cell, int repeats)
{
    double build_s[REPEATS], price_s[REPEATS], first_s[REPEATS];
    for (int i = 0; i < repeats; i++) {
        uint64_t *work_ns = NULL;
        double start_s = measure_thread_s();
        lspo_plan_t *plan = build(cell);
        double built_s = measure_thread_s();
        if (lspo_cost_plan(&cell->machine, plan, &work_ns) != LSPO_OK)
            fail("pricing a plan");
        build_s[i] = built_s - start_s;
        price_s[i] = measure_thread_s() - built_s;
        first_s[i] = play_s(plan, &cell->machine, work_ns);
        free(work_ns);
        lspo_plan_destroy(plan);
    }
    return (fresh_t){measure_median(build_s, (size_t)repeats), measure_median(price_s, (size_t)repeats),
                     measure_median(first_s, (size_t)repeats)};
}

/* Gates only the usual size. */
static void bench_size(const char *policy_name, uint32_t iterations, int repeats, bool gates)
{
    cell_t cell = cell_of(policy_name, 32, iterations);
    set_losses(&cell.machine, 0);
    fresh_t fresh = time_fresh(&cell, repeats);
    lspo_plan_t *plan = build(&cell);
    uint64_t *work_ns = NULL;
    if (lspo_cost_plan(&cell.machine, plan, &work_ns) != LSPO_OK)
        fail("pricing a plan");
    double ops = plan->op_count, alone_s = replay_s(plan, &cell.machine, work_ns, repeats) / ops;
    double number_s = gates ? measure_sort_s(plan->op_count) : 0;
    set_losses(&cell.machine, 0.1);
    double contended_s = replay_s(plan, &cell.machine, work_ns, repeats) / ops;
    printf("%-16s %8.0f %10.2f %10.3f %14.2f %14.2f %18.2f\n", policy_name, ops, 1e3 * fresh.build_s,
           1e3 * fresh.price_s, 1e-6 * ops / fresh.play_s, 1e-6 / alone_s, 1e-6 / contended_s);
    if (gates) {
        measure_gate("an op alone over a sorted number", alone_s / number_s, 0, sorted_an_op_most);
        measure_gate("an op contended over a sorted number", contended_s / number_s, 0, sorted_an_op_most);
    }
    free(work_ns);
    lspo_plan_destroy(plan);
}

static void bench_sizes(void)
{
    printf("engine, llama-7b of 32 layers, median of %d\n", REPEATS);
    printf("%-16s %8s %10s %10s %14s %14s %18s\n", "policy", "ops", "build ms", "price ms", "M ops/s fresh",
           "M ops/s again", "M ops/s contended");
    bench_size("lsp", 10, REPEATS, false);
    bench_size("lsp", 100, REPEATS, true);
    bench_size("zero-layerwise", 100, REPEATS, true);
    bench_size("lsp", 1000, 5, false);
    bench_size("lsp", 4000, 3, false);
}

/* The engine by lanes: 400,000 ops in chains through `lane_count` lanes, each lane's in turn too: op i waits for the op
 * before it in its chain and for the one before it on its lane.  Lanes are those of peers: gpu, d2h, cpu, h2d, and of
 * many lanes net. */
enum { WIDE_OPS = 400000, WIDE_LANES = 4000, WIDE_REPEATS = 5 };

static void fill_wide(lspo_plan_t *plan, uint32_t lane_count)
{
    static const lspo_op_kind_t kinds[] = {LSPO_OP_FWD, LSPO_OP_D2H, LSPO_OP_UPD, LSPO_OP_H2D, LSPO_OP_SEND};
    uint32_t per_peer = lane_count == 4 ? 4 : 5;
    for (uint32_t i = 0; i < lane_count; i++) {
        uint32_t index;
        lspo_lane_t lane = {.kind = (uint8_t)lspo_op_kind_lane(kinds[i % per_peer]), .peer = i / per_peer};
        if (lspo_lanes_add(&plan->lanes, &lane, &index) != LSPO_OK)
            fail("adding a lane");
    }
    for (uint32_t i = 0; i < WIDE_OPS; i++) {
        uint32_t lane = i % lane_count;
        lspo_op_t *op = &plan->ops[i];
        *op = (lspo_op_t){.kind = (uint8_t)kinds[lane % per_peer], .lane = lane, .dep_first = plan->dep_count};
        if (lane > 0)
            plan->deps[op->dep_first + op->dep_count++] = i - 1;
        if (i >= lane_count)
            plan->deps[op->dep_first + op->dep_count++] = i - lane_count;
        plan->dep_count += op->dep_count;
    }
    plan->op_count = WIDE_OPS;
}

/* Least seconds per op of one play. */
static double time_wide(uint32_t lane_count, const lspo_machine_t *machine)
{
    double least_s = 1e9;
    lspo_plan_t plan = {.ops = calloc(WIDE_OPS, sizeof *plan.ops),
                        .deps = calloc(2 * WIDE_OPS, sizeof *plan.deps),
                        .works = calloc(1, sizeof *plan.works),
                        .work_count = 1};
    uint64_t *op_ns = malloc(WIDE_OPS * sizeof *op_ns);
    if (!plan.ops || !plan.deps || !plan.works || !op_ns)
        fail("memory for a plan");
    fill_wide(&plan, lane_count);
    for (uint32_t i = 0; i < WIDE_OPS; i++)
        op_ns[i] = 500 + i * UINT64_C(2654435761) % 1000;
    for (int i = 0; i < WIDE_REPEATS; i++) {
        lspo_trace_t *trace = NULL;
        double start_s = measure_thread_s();
        if (lspo_engine_play_ops(&plan, machine, op_ns, &trace) != LSPO_OK)
            fail("playing a plan");
        double took_s = measure_thread_s() - start_s;
        least_s = took_s < least_s ? took_s : least_s;
        lspo_trace_destroy(trace);
    }
    free(op_ns);
    free(plan.works);
    free(plan.deps);
    free(plan.ops);
    lspo_lanes_release(&plan.lanes);
    return least_s / WIDE_OPS;
}

static void bench_lanes(void)
{
    static const uint32_t counts[] = {4, 40, 400, WIDE_LANES};
    double number_s = measure_sort_s(WIDE_OPS);
    printf("engine, %d ops, best of %d\n%8s %14s %18s\n", WIDE_OPS, WIDE_REPEATS, "lanes", "M ops/s",
           "M ops/s contended");
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        cell_t cell = cell_of("lsp", 32, 8);
        set_losses(&cell.machine, 0);
        double alone_s = time_wide(counts[i], &cell.machine);
        set_losses(&cell.machine, 0.1);
        double contended_s = time_wide(counts[i], &cell.machine);
        printf("%8u %14.2f %18.2f\n", counts[i], 1e-6 / alone_s, 1e-6 / contended_s);
        if (counts[i] < WIDE_LANES)
            continue;
        measure_gate("an op on one of 4,000 lanes over a sorted number", alone_s / number_s, 0, sorted_an_op_wide_most);
        measure_gate("the same contended", contended_s / number_s, 0, sorted_an_op_wide_contended_most);
    }
}

/* Predictions */

typedef struct {
    double tune_s, simulate_s;
    uint32_t ops;
} predicted_t;

/* Median seconds: the plan with the transition that simulates fastest; everything about it. */
static predicted_t time_prediction(const cell_t *cell, int repeats)
{
    double tune_s[REPEATS], simulate_s[REPEATS];
    predicted_t predicted = {0};
    for (int i = 0; i < repeats; i++) {
        lspo_plan_t *plan = NULL;
        lspo_prediction_t prediction;
        double start_s = measure_thread_s();
        if (lspo_tune_transition(&cell->model, &cell->workload, cell->policy, &cell->machine, &plan) != LSPO_OK)
            fail("tuning a plan");
        double tuned_s = measure_thread_s();
        if (lspo_simulate(plan, &cell->machine, &prediction, NULL) != LSPO_OK)
            fail("simulating a plan");
        simulate_s[i] = measure_thread_s() - tuned_s;
        tune_s[i] = tuned_s - start_s;
        predicted.ops = plan->op_count;
        lspo_prediction_release(&prediction);
        lspo_plan_destroy(plan);
    }
    predicted.tune_s = measure_median(tune_s, (size_t)repeats);
    predicted.simulate_s = measure_median(simulate_s, (size_t)repeats);
    return predicted;
}

static void print_prediction(const cell_t *cell, const predicted_t *predicted)
{
    double total_s = predicted->tune_s + predicted->simulate_s;
    printf("%-16s %6u %10u %8u %10.3f %12.3f %10.3f %10.0f\n", cell->policy->name, cell->model.block_count,
           cell->workload.iterations, predicted->ops, 1e3 * predicted->tune_s, 1e3 * predicted->simulate_s,
           1e3 * total_s, 1 / total_s);
}

static void bench_predictions(void)
{
    static const char *const policies[] = {"lsp", "zero-layerwise", "zero", "native"};
    static const uint32_t layers[] = {100, 316, 1000}, iterations[] = {80, 800};
    double number_s = measure_sort_s((size_t)sorted_a_prediction_most);
    printf("predictions with the transition, llama-7b on paper-workstation, median of %d\n", REPEATS);
    printf("%-16s %6s %10s %8s %10s %12s %10s %10s\n", "policy", "layers", "iterations", "ops", "tune ms",
           "simulate ms", "ms", "cells/s");
    double per_layer_s = 0;
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        cell_t cell = cell_of(policies[i], 32, 8);
        predicted_t predicted = time_prediction(&cell, REPEATS);
        print_prediction(&cell, &predicted);
        if (strcmp(policies[i], "lsp") == 0)
            per_layer_s = predicted.simulate_s / 32;
        measure_gate("a prediction over as many sorted numbers",
                     (predicted.tune_s + predicted.simulate_s) / number_s / sorted_a_prediction_most, 0, 1);
    }
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
        cell_t cell = cell_of("lsp", layers[i], 8);
        predicted_t predicted = time_prediction(&cell, 5);
        print_prediction(&cell, &predicted);
        if (layers[i] == 1000) /* more than 1: a plan of 32 layers stays in the cache */
            measure_gate("simulating a layer of 1,000 over one of 32", predicted.simulate_s / 1000 / per_layer_s, 0, 2);
    }
    for (size_t i = 0; i < sizeof iterations / sizeof iterations[0]; i++) {
        cell_t cell = cell_of("lsp", 32, iterations[i]);
        predicted_t predicted = time_prediction(&cell, 5);
        print_prediction(&cell, &predicted);
    }
}

int main(void)
{
    lspo_heap_keep();
    bench_sizes();
    bench_lanes();
    bench_predictions();
    return measure_missed > 0;
}
