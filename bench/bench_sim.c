/* bench_sim.c - how many ops a second the event engine plays on one core: 32 layers, 100 iterations.
 *
 * Plan building and the pricing of its works are timed apart.  Two machines: without losses (the fast path) and with
 * losses between every pair of lanes (each start and end re-rates the others).  Fails below 2 million ops a
 * second.
 */
#include "bench/measure.h"
#include "plan/machine.h"
#include "plan/model.h"
#include "plan/policy.h"
#include "sim/cost.h"
#include "sim/engine.h"
#include "traces/trace.h"

enum { REPEATS = 21, ITERATIONS = 100 };
static const double required_ops_a_second = 2e6;

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
    for (int a = 0; a < LSPO_LANE_COUNT; a++)
        for (int b = 0; b < LSPO_LANE_COUNT; b++)
            machine->contention[a][b] = a == b ? 0 : loss;
    machine->link.d2h_duplex_loss = machine->link.h2d_duplex_loss = loss;
}

/* Returns the slower of the two rates. */
static double bench_policy(const char *policy_name)
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
    double contended_s = time_play(plan, &machine, work_ns);

    double ops = plan->op_count;
    printf("%-16s %8.0f %10.2f %10.3f %14.2f %18.2f\n", policy_name, ops, 1e3 * build_s, 1e3 * price_s,
           1e-6 * ops / alone_s, 1e-6 * ops / contended_s);
    free(work_ns);
    lspo_plan_destroy(plan);
    return ops / (alone_s > contended_s ? alone_s : contended_s);
}

int main(void)
{
    static const char *const policies[] = {"lsp", "zero-layerwise"};
    double slowest = 1e300;
    printf("llama-7b (32 layers), %d iterations, one core, median of %d\n", ITERATIONS, REPEATS);
    printf("%-16s %8s %10s %10s %14s %18s\n", "policy", "ops", "build ms", "price ms", "M ops/s", "M ops/s contended");
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        double rate = bench_policy(policies[i]);
        slowest = rate < slowest ? rate : slowest;
    }
    if (slowest < required_ops_a_second) {
        fprintf(stderr, "bench_sim: %.2f M ops/s is below the %.0f M ops/s required\n", 1e-6 * slowest,
                1e-6 * required_ops_a_second);
        return 1;
    }
    return 0;
}
