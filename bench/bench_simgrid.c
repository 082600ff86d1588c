/* bench_simgrid.c - the event engine beside SimGrid (Casanova et al. 2014) on the same schedule.
 *
 * The engine plays a plan.  SimGrid gets the same ops with the same durations and dependencies, and as their order on
 * each lane, which it does not choose itself, the engine's.  So both must find the same makespan.  Both are timed from
 * the list of ops to the makespan, in CPU time of this thread; the engine also fills its trace.
 *
 * SimGrid plays once per process, so each of its plays is in a process of its own.  Plays of both alternate, and the
 * ratio is the median of the pairs': one play alone differs by half.
 *
 * What limits the ratio: of the engine's time 55 % is the play itself, 17 % turns dependencies around, 9 % copies what
 * the play needs of each op, and 10 % fills the trace (perf record).
 */
#include <math.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/measure.h"
#include "bench/simgrid_peer.h"
#include "plan/machine.h"
#include "plan/model.h"
#include "plan/policy.h"
#include "sim/cost.h"
#include "sim/engine.h"
#include "traces/trace.h"

enum { REPEATS = 21, PAIRS = 7, ITERATIONS = 100 };
/* Medians on calm machines are 89.6 to 120; other programs, which take cache and memory, cost the engine more than
 * SimGrid. */
static const double ratio_least = 90;

static int fail(const char *what)
{
    fprintf(stderr, "bench_simgrid: %s failed\n", what);
    exit(1);
}

static lspo_plan_t *build(lspo_machine_t *machine)
{
    lspo_model_t model;
    lspo_workload_t workload;
    const lspo_policy_t *policy;
    lspo_plan_t *plan = NULL;
    if (lspo_model_find("llama-7b", &model) != LSPO_OK || lspo_policy_find("lsp", &policy) != LSPO_OK ||
        lspo_machine_find("paper-workstation", machine) != LSPO_OK)
        fail("finding model, policy and machine");
    if (lspo_machine_ablate(machine, "contention") != LSPO_OK)
        fail("a machine without contention");
    lspo_workload_default(&workload);
    workload.iterations = ITERATIONS;
    if (lspo_plan_build(&model, &workload, policy, &plan) != LSPO_OK)
        fail("building a plan");
    return plan;
}

/* Median seconds of a play; the trace of the last one. */
static double time_engine(const lspo_plan_t *plan, const lspo_machine_t *machine, const uint64_t *work_ns,
                          lspo_trace_t **trace_out)
{
    double times_s[REPEATS];
    *trace_out = NULL;
    for (int i = 0; i < REPEATS; i++) {
        lspo_trace_destroy(*trace_out);
        double start_s = measure_thread_s();
        if (lspo_engine_play(plan, machine, work_ns, trace_out) != LSPO_OK)
            fail("playing a plan");
        times_s[i] = measure_thread_s() - start_s;
    }
    return measure_median(times_s, REPEATS);
}

/* The plan's ops in the order of their starts. */
static double time_simgrid(const lspo_plan_t *plan, const lspo_trace_t *trace, double *makespan_s_out)
{
    size_t ops = (size_t)plan->op_count + 1, deps = (size_t)plan->dep_count + 1;
    uint32_t *lanes = malloc(ops * sizeof *lanes), *first = malloc(ops * sizeof *first),
             *list = malloc(deps * sizeof *list), *place = malloc(ops * sizeof *place), count = 0;
    uint64_t *ns = malloc(ops * sizeof *ns);
    if (!lanes || !first || !list || !place || !ns)
        fail("memory for a schedule");
    for (uint32_t i = 0; i < trace->row_count; i++) {
        const lspo_trace_row_t *row = &trace->rows[i];
        const lspo_op_t *op = &plan->ops[row->op];
        first[i] = count;
        for (uint32_t d = 0; d < op->dep_count; d++)
            list[count++] = place[plan->deps[op->dep_first + d]];
        lanes[i] = row->lane;
        ns[i] = row->end_ns - row->start_ns;
        place[row->op] = i;
    }
    first[trace->row_count] = count;
    simgrid_schedule_t schedule = {trace->row_count, plan->lanes.count, lanes, first, list, ns};
    double took_s = 0;
    *makespan_s_out = simgrid_play(&schedule, measure_thread_s, &took_s);
    free(ns);
    free(place);
    free(list);
    free(first);
    free(lanes);
    return took_s;
}

/* The same in a process of its own. */
static double time_simgrid_alone(const lspo_plan_t *plan, const lspo_trace_t *trace, double *makespan_s_out)
{
    double found[2] = {0};
    int ends[2], status;
    if (pipe(ends) != 0)
        fail("a pipe");
    pid_t child = fork();
    if (child < 0)
        fail("a process");
    if (child == 0) {
        found[0] = time_simgrid(plan, trace, &found[1]);
        _exit(write(ends[1], found, sizeof found) != (ssize_t)sizeof found);
    }
    close(ends[1]);
    if (read(ends[0], found, sizeof found) != (ssize_t)sizeof found || waitpid(child, &status, 0) != child ||
        status != 0)
        fail("SimGrid");
    close(ends[0]);
    *makespan_s_out = found[1];
    return found[0];
}

int main(void)
{
    lspo_machine_t machine;
    lspo_plan_t *plan = build(&machine);
    lspo_trace_t *trace = NULL;
    uint64_t *work_ns = NULL, last_ns = 0;
    double makespan_s = 0;
    if (lspo_cost_plan(&machine, plan, &work_ns) != LSPO_OK)
        fail("pricing a plan");
    double own_s[PAIRS], its_s[PAIRS], ratios[PAIRS];
    for (int i = 0; i < PAIRS; i++) {
        lspo_trace_destroy(trace);
        own_s[i] = time_engine(plan, &machine, work_ns, &trace);
        its_s[i] = time_simgrid_alone(plan, trace, &makespan_s);
        ratios[i] = its_s[i] / own_s[i];
    }
    for (uint32_t i = 0; i < trace->row_count; i++)
        last_ns = trace->rows[i].end_ns > last_ns ? trace->rows[i].end_ns : last_ns;
    printf("lsp, llama-7b of 32 layers, %d iterations, %u ops: engine %.2f ms, SimGrid %.1f ms; makespan %.9g and %.9g "
           "s\n",
           ITERATIONS, plan->op_count, 1e3 * measure_median(own_s, PAIRS), 1e3 * measure_median(its_s, PAIRS),
           1e-9 * (double)last_ns, makespan_s);
    double median = measure_median(ratios, PAIRS); /* which sorts them */
    printf("ratios of %d pairs: %.1f to %.1f\n", PAIRS, ratios[0], ratios[PAIRS - 1]);
    measure_gate("SimGrid's time over the engine's", median, ratio_least, INFINITY);
    if (fabs(makespan_s - 1e-9 * (double)last_ns) > 1e-6 * makespan_s)
        fail("finding the same makespan");
    free(work_ns);
    lspo_trace_destroy(trace);
    lspo_plan_destroy(plan);
    return measure_missed > 0;
}
