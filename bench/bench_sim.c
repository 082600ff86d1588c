/* bench_sim.c - how many ops a second the event engine plays on one core: 32 layers, 100 iterations.
 *
 * Plan building and the pricing of its works are timed apart.  Two machines: without losses (the fast path) and with
 * losses between every pair of lanes (each start and end re-rates the others).  Wanted are 20 million ops a second on a
 * server's core.  What a core can do is measured beside it: as many numbers are sorted by qsort(), and an op must take at
 * most half of what a number does (10 M numbers a second: 20 M ops).
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

int main(void)
{
    static const char *const policies[] = {"lsp", "zero-layerwise"};
    printf("llama-7b (32 layers), %d iterations, one core, median of %d\n", ITERATIONS, REPEATS);
    printf("%-16s %8s %10s %10s %14s %18s %14s\n", "policy", "ops", "build ms", "price ms", "M ops/s",
           "M ops/s contended", "M sorted/s");
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++)
        bench_policy(policies[i]);
    return measure_missed > 0;
}
