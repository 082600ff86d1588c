/* bench_sim.c - how many ops per second the event engine plays on one core: 32 layers, 100 iterations.
 *
 * Building the plan and computing its costs are timed separately.  There are two machines: without losses (the fast
 * path) and with losses between every pair of lanes (each start and end changes the rates of the others).  Required are
 * 20 million ops per second on a server's core.  The speed of this core is measured by sorting the same count of
 * numbers with qsort(): an op may take at most half the time of a number (10 million numbers per second: 20 million
 * ops).
 *
 * A plan of 4,000 lanes in 800 peers is compared with one of four lanes with the same number of ops and dependencies:
 * the ratio of their times per op is limited.
 */
#include "bench/measure.h"
#include "plan/machine.h"
#include "plan/model.h"
#include "plan/policy.h"
#include "sim/cost.h"
#include "sim/engine.h"
#include "traces/trace.h"

enum { REPEATS = 21, ITERATIONS = 100 };
static const double sorted_an_op_most = 0.5;

static int fail(const char *what)
{
    fprintf(stderr, "bench_sim: %s failed\n", what);
    exit(1);
}

static lspo_plan_t *build(const char *policy_name, double *build_s)
{
    lspo_model_t model;
    lspo_workload_t workload;
    const lspo_policy_t *policy;
    lspo_plan_t *plan = NULL;
    if (lspo_model_find("llama-7b", &model) != LSPO_OK || lspo_policy_find(policy_name, &policy) != LSPO_OK)
        fail("finding model and policy");
    lspo_workload_default(&workload);
    workload.iterations = ITERATIONS;
    double times_s[REPEATS];
    for (int i = 0; i < REPEATS; i++) {
        lspo_plan_destroy(plan);
        double start_s = measure_now_s();
        if (lspo_plan_build(&model, &workload, policy, &plan) != LSPO_OK)
            fail("building a plan");
        times_s[i] = measure_now_s() - start_s;
    }
    *build_s = measure_median(times_s, REPEATS);
    return plan;
}

/* Median seconds of one play. */
static double time_play(const lspo_plan_t *plan, const lspo_machine_t *machine, const uint64_t *work_ns)
{
    double times_s[REPEATS];
    for (int i = 0; i < REPEATS; i++) {
        lspo_trace_t *trace = NULL;
        double start_s = measure_now_s();
        if (lspo_engine_play(plan, machine, work_ns, &trace) != LSPO_OK)
            fail("playing a plan");
        times_s[i] = measure_now_s() - start_s;
        lspo_trace_destroy(trace);
    }
    return measure_median(times_s, REPEATS);
}

static void set_losses(lspo_machine_t *machine, double loss)
{
    for (int a = 0; a < LSPO_DEVICE_LANES; a++)
        for (int b = 0; b < LSPO_DEVICE_LANES; b++)
            machine->contention[a][b] = a == b ? 0 : loss;
    machine->link.d2h_duplex_loss = machine->link.h2d_duplex_loss = loss;
}

/* Median seconds to sort `count` numbers. */
static double time_sort(size_t count)
{
    double times_s[REPEATS], *numbers = malloc(count * sizeof *numbers);
    if (!numbers)
        fail("memory for numbers");
    for (int i = 0; i < REPEATS; i++) {
        uint64_t state = 1;
        for (size_t k = 0; k < count; k++) {
            state = state * 6364136223846793005U + 1442695040888963407U;
            numbers[k] = (double)(state >> 11);
        }
        double start_s = measure_now_s();
        qsort(numbers, count, sizeof *numbers, measure_order);
        times_s[i] = measure_now_s() - start_s;
    }
    free(numbers);
    return measure_median(times_s, REPEATS);
}

static void bench_policy(const char *policy_name)
{
    lspo_machine_t machine;
    if (lspo_machine_find("paper-workstation", &machine) != LSPO_OK)
        fail("finding the machine");
    double build_s;
    lspo_plan_t *plan = build(policy_name, &build_s);
    uint64_t *work_ns = NULL;
    double start_s = measure_now_s();
    if (lspo_cost_plan(&machine, plan, &work_ns) != LSPO_OK)
        fail("pricing a plan");
    double price_s = measure_now_s() - start_s;
    set_losses(&machine, 0);
    double alone_s = time_play(plan, &machine, work_ns);
    set_losses(&machine, 0.1);
    double sort_s = time_sort(plan->op_count);
    double contended_s = time_play(plan, &machine, work_ns);

    double ops = plan->op_count;
    printf("%-16s %8.0f %10.2f %10.3f %14.2f %18.2f %14.2f\n", policy_name, ops, 1e3 * build_s, 1e3 * price_s,
           1e-6 * ops / alone_s, 1e-6 * ops / contended_s, 1e-6 * ops / sort_s);
    measure_gate("an op alone over a sorted number", alone_s / sort_s, 0, sorted_an_op_most);
    measure_gate("an op contended over a sorted number", contended_s / sort_s, 0, sorted_an_op_most);
    free(work_ns);
    lspo_plan_destroy(plan);
}

/* 400,000 ops in chains through `lane_count` lanes, each lane's in turn too: op i waits for the op before it in its
 * chain and for the one before it on its lane.  Lanes are those of peers: gpu, d2h, cpu, h2d, and of many lanes net. */
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

/* Least seconds of one play. */
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
        double start_s = measure_now_s();
        if (lspo_engine_play_ops(&plan, machine, op_ns, &trace) != LSPO_OK)
            fail("playing a plan");
        double took_s = measure_now_s() - start_s;
        least_s = took_s < least_s ? took_s : least_s;
        lspo_trace_destroy(trace);
    }
    free(op_ns);
    free(plan.works);
    free(plan.deps);
    free(plan.ops);
    lspo_lanes_release(&plan.lanes);
    return least_s;
}

static void bench_lanes(double loss)
{
    lspo_machine_t machine;
    if (lspo_machine_find("paper-workstation", &machine) != LSPO_OK)
        fail("finding the machine");
    set_losses(&machine, loss);
    double few_s = time_wide(4, &machine), many_s = time_wide(WIDE_LANES, &machine);
    printf("%d ops %s: 4 lanes %.2f M ops/s, %d lanes %.2f M ops/s\n", WIDE_OPS, loss > 0 ? "contended" : "alone",
           1e-6 * WIDE_OPS / few_s, WIDE_LANES, 1e-6 * WIDE_OPS / many_s);
    measure_gate("an op on one of 4,000 lanes over one on four", many_s / few_s, 0, 5);
}

int main(void)
{
    static const char *const policies[] = {"lsp", "zero-layerwise"};
    printf("llama-7b (32 layers), %d iterations, one core, median of %d\n", ITERATIONS, REPEATS);
    printf("%-16s %8s %10s %10s %14s %18s %14s\n", "policy", "ops", "build ms", "price ms", "M ops/s",
           "M ops/s contended", "M sorted/s");
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++)
        bench_policy(policies[i]);
    bench_lanes(0);
    bench_lanes(0.1);
    return measure_missed > 0;
}
