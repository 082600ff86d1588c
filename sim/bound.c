/* bound.c - a lower bound on the time of any schedule of these ops, and the critical path of a given one; see
 * bound.h. */
#include "sim/bound.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "plan/policy.h"
#include "sim/cost.h"
#include "sim/iterations.h"

/* The steady iteration */

typedef struct {
    uint32_t from, to; /* nodes */
    double weight_ns;  /* work of `from` */
    double count;      /* iterations from `from` to `to` */
} edge_t;

typedef struct {
    lspo_node_t *nodes; /* in the order of (identity, rank) */
    uint32_t node_count;
    edge_t *edges; /* in the order of the dependent ops' ids, so that most paths are found in one pass */
    uint32_t edge_count;
} graph_t;

static void add_edges(const lspo_plan_t *plan, const uint64_t *work_ns, lspo_iterations_t *its, uint32_t iteration,
                      graph_t *graph)
{
    for (lspo_op_id_t id = 0; id < plan->op_count; id++) {
        const lspo_op_t *op = &plan->ops[id];
        if (op->iteration != iteration)
            continue;
        for (uint32_t i = 0; i < op->dep_count; i++) {
            lspo_op_id_t dep = plan->deps[op->dep_first + i];
            uint32_t from = lspo_iterations_counterpart(its, plan, dep, iteration);
            if (from == its->first[iteration + 1])
                continue;
            graph->edges[graph->edge_count++] =
                (edge_t){from - its->first[iteration], its->place[id] - its->first[iteration],
                         (double)lspo_cost_op_ns(&plan->ops[its->nodes[from].id], work_ns),
                         (double)iteration - (double)plan->ops[dep].iteration};
        }
    }
}

/* Nodes point into `its`; edges are malloc'd. */
static lspo_status_t build_graph(const lspo_plan_t *plan, const uint64_t *work_ns, lspo_iterations_t *its,
                                 uint32_t iteration, graph_t *graph_out)
{
    lspo_iterations_sort(its, iteration);
    graph_t graph = {.nodes = its->nodes + its->first[iteration],
                     .node_count = its->first[iteration + 1] - its->first[iteration]};
    size_t capacity = 1;
    for (uint32_t i = 0; i < graph.node_count; i++)
        capacity += plan->ops[graph.nodes[i].id].dep_count;
    graph.edges = malloc(capacity * sizeof *graph.edges);
    if (!graph.edges)
        return lspo_no_memory("a graph of %zu dependencies", capacity);
    add_edges(plan, work_ns, its, iteration, &graph);
    *graph_out = graph;
    return LSPO_OK;
}

/* Maximum cycle mean */

typedef struct {
    double *length_ns; /* longest path to each node so far */
    uint32_t *last;    /* edge by which it was reached; edge_count: none */
    uint32_t *seen;    /* the walk that visited the node last */
} paths_t;

/* Rounding errors in sums of 10^12 ns stay far below this; a cycle must gain more. */
static const double tolerance_ns = 0.01;

static bool lengthen_paths(const graph_t *graph, double lambda_ns, paths_t *paths)
{
    bool changed = false;
    for (uint32_t e = 0; e < graph->edge_count; e++) {
        const edge_t *edge = &graph->edges[e];
        double length_ns = paths->length_ns[edge->from] + edge->weight_ns - lambda_ns * edge->count;
        if (length_ns > paths->length_ns[edge->to] + tolerance_ns) {
            paths->length_ns[edge->to] = length_ns;
            paths->last[edge->to] = e;
            changed = true;
        }
    }
    return changed;
}

/* The ratio of the cycle through `node`, walking backwards. */
static double cycle_ratio_ns(const graph_t *graph, const paths_t *paths, uint32_t node)
{
    double weight_ns = 0, count = 0;
    uint32_t at = node;
    do {
        const edge_t *edge = &graph->edges[paths->last[at]];
        weight_ns += edge->weight_ns;
        count += edge->count;
        at = edge->from;
    } while (at != node);
    return count > 0 ? weight_ns / count : 0;
}

/* The best ratio of the cycles closed by the backward links, 0 if there are none: a closed one has positive length. */
static double find_cycle_ns(const graph_t *graph, paths_t *paths)
{
    double best_ns = 0;
    memset(paths->seen, 0, graph->node_count * sizeof *paths->seen);
    for (uint32_t start = 0; start < graph->node_count; start++) {
        uint32_t at = start;
        while (paths->seen[at] == 0 && paths->last[at] < graph->edge_count) {
            paths->seen[at] = start + 1;
            at = graph->edges[paths->last[at]].from;
        }
        if (paths->seen[at] == start + 1 && paths->last[at] < graph->edge_count) {
            double ratio_ns = cycle_ratio_ns(graph, paths, at);
            best_ns = ratio_ns > best_ns ? ratio_ns : best_ns;
        }
    }
    return best_ns;
}

/* Ratio of some cycle above lambda; 0 when there is none. */
static double better_cycle_ns(const graph_t *graph, double lambda_ns, paths_t *paths)
{
    for (uint32_t i = 0; i < graph->node_count; i++) {
        paths->length_ns[i] = 0;
        paths->last[i] = graph->edge_count;
    }
    for (uint32_t pass = 0; pass <= graph->node_count; pass++) {
        if (!lengthen_paths(graph, lambda_ns, paths))
            return 0;
        double ratio_ns = find_cycle_ns(graph, paths);
        if (ratio_ns > lambda_ns)
            return ratio_ns;
    }
    return 0;
}

/* The larger of lambda and the maximum cycle mean. */
static lspo_status_t raise_to_cycle_mean(const graph_t *graph, double *lambda_ns)
{
    paths_t paths = {.length_ns = malloc(graph->node_count * sizeof *paths.length_ns),
                     .last = malloc(graph->node_count * sizeof *paths.last),
                     .seen = malloc(graph->node_count * sizeof *paths.seen)};
    lspo_status_t status = LSPO_OK;
    if (!paths.length_ns || !paths.last || !paths.seen) {
        status = lspo_no_memory("a graph of %" PRIu32 " ops", graph->node_count);
        goto free_paths;
    }
    for (double ratio_ns; (ratio_ns = better_cycle_ns(graph, *lambda_ns, &paths)) > 0;)
        *lambda_ns = ratio_ns;

free_paths:
    free(paths.seen);
    free(paths.last);
    free(paths.length_ns);
    return status;
}

/* Of one iteration.  Busy times only increase, so the current maximum is the final one. */
static lspo_status_t busiest_lane(const lspo_plan_t *plan, const uint64_t *work_ns, const lspo_iterations_t *its,
                                  uint32_t iteration, double *most_ns_out)
{
    double *busy_ns = calloc((size_t)plan->lanes.count + 1, sizeof *busy_ns), most_ns = 0;
    if (!busy_ns)
        return lspo_no_memory("the bound of %" PRIu32 " lanes", plan->lanes.count);
    for (uint32_t at = its->first[iteration]; at < its->first[iteration + 1]; at++) {
        const lspo_op_t *op = &plan->ops[its->nodes[at].id];
        busy_ns[op->lane] += (double)lspo_cost_op_ns(op, work_ns);
        most_ns = busy_ns[op->lane] > most_ns ? busy_ns[op->lane] : most_ns;
    }
    free(busy_ns);
    *most_ns_out = most_ns;
    return LSPO_OK;
}

lspo_status_t lspo_bound_busy(const lspo_plan_t *plan, const uint64_t *work_ns, double *busy_s_out)
{
    lspo_iterations_t its = {0};
    double busy_ns = 0;
    lspo_status_t status = lspo_iterations_create(plan, &its);
    if (status == LSPO_OK)
        status = busiest_lane(plan, work_ns, &its, lspo_iterations_pick(&its, plan, work_ns), &busy_ns);
    if (status == LSPO_OK)
        *busy_s_out = 1e-9 * busy_ns;
    lspo_iterations_release(&its);
    return status;
}

lspo_status_t lspo_bound_step(const lspo_plan_t *plan, const uint64_t *work_ns, double *step_s_out)
{
    int64_t *path_ns = malloc(((size_t)plan->op_count + 1) * sizeof *path_ns); /* from an op's end; -1: none */
    int64_t step_ns = INT64_MAX;
    bool found = false; /* the last pass of the second step */
    if (!path_ns)
        return lspo_no_memory("the bound of %" PRIu32 " ops", plan->op_count);
    memset(path_ns, 0xff, plan->op_count * sizeof *path_ns);
    for (lspo_op_id_t id = plan->op_count; id-- > 0;) {
        const lspo_op_t *op = &plan->ops[id];
        const bool ends_second = !found && lspo_op_is_pass(op) && op->iteration == 1;
        found |= ends_second;
        path_ns[id] = ends_second ? 0 : path_ns[id];
        if (lspo_op_is_pass(op) && op->iteration == 0 && path_ns[id] < step_ns)
            step_ns = path_ns[id];
        for (uint32_t d = 0; path_ns[id] >= 0 && d < op->dep_count; d++) {
            int64_t *before_ns = &path_ns[plan->deps[op->dep_first + d]];
            const int64_t through_ns = path_ns[id] + (int64_t)lspo_cost_op_ns(op, work_ns);
            *before_ns = through_ns > *before_ns ? through_ns : *before_ns;
        }
    }
    free(path_ns);
    *step_s_out = found && step_ns > 0 ? 1e-9 * (double)step_ns : 0;
    return LSPO_OK;
}

static double per_iteration_ns(const lspo_window_t *window)
{
    return (double)window->bound_ns / window->iterations;
}

/* Windows of whole periods; where updates are late, also one in which an update can begin and end. */
static lspo_status_t find_window(const lspo_plan_t *plan, const uint64_t *work_ns, lspo_iterations_t *its,
                                 lspo_window_t *window_out)
{
    uint32_t period = plan->policy != NULL ? lspo_policy_period(plan->policy, &plan->workload) : 1;
    uint32_t late = period <= plan->staleness_steps ? (plan->staleness_steps / period + 1) * period : period;
    lspo_window_t window, longer;
    lspo_status_t status = lspo_window_create(plan, work_ns, its, period, late == period ? window_out : &window);
    if (status != LSPO_OK || late == period)
        return status;
    status = lspo_window_create(plan, work_ns, its, late, &longer);
    if (status != LSPO_OK) {
        lspo_window_release(&window);
        return status;
    }
    bool is_better = per_iteration_ns(&longer) > per_iteration_ns(&window);
    *window_out = is_better ? longer : window;
    lspo_window_release(is_better ? &window : &longer);
    return LSPO_OK;
}

static lspo_status_t raise_to_window(const lspo_plan_t *plan, const uint64_t *work_ns, lspo_iterations_t *its,
                                     double *bound_ns)
{
    lspo_window_t window;
    lspo_status_t status = find_window(plan, work_ns, its, &window);
    if (status != LSPO_OK)
        return status;
    *bound_ns = per_iteration_ns(&window) > *bound_ns ? per_iteration_ns(&window) : *bound_ns;
    lspo_window_release(&window);
    return LSPO_OK;
}

lspo_status_t lspo_bound_window(const lspo_plan_t *plan, const uint64_t *work_ns, lspo_window_t *window_out)
{
    lspo_iterations_t its = {0};
    lspo_status_t status = lspo_iterations_create(plan, &its);
    if (status == LSPO_OK)
        status = find_window(plan, work_ns, &its, window_out);
    lspo_iterations_release(&its);
    return status;
}

lspo_status_t lspo_bound_iteration(const lspo_plan_t *plan, const uint64_t *work_ns, double *lower_bound_s_out)
{
    if (plan->op_count == 0)
        return lspo_error(LSPO_ERR_CHECK, "a plan without ops has no bound");
    lspo_iterations_t its = {0};
    graph_t graph = {0};
    double bound_ns = 0;
    lspo_status_t status = lspo_iterations_create(plan, &its);
    uint32_t picked = status == LSPO_OK ? lspo_iterations_pick(&its, plan, work_ns) : 0;
    if (status == LSPO_OK)
        status = build_graph(plan, work_ns, &its, picked, &graph);
    if (status == LSPO_OK)
        status = busiest_lane(plan, work_ns, &its, picked, &bound_ns);
    if (status == LSPO_OK && graph.node_count > 0)
        status = raise_to_cycle_mean(&graph, &bound_ns);
    if (status == LSPO_OK)
        status = raise_to_window(plan, work_ns, &its, &bound_ns);
    if (status == LSPO_OK)
        *lower_bound_s_out = 1e-9 * bound_ns;
    free(graph.edges);
    lspo_iterations_release(&its);
    return status;
}

/* What came to the GPU with the prompt makes the first tokens faster than all later ones. */
static bool is_short_text(const lspo_plan_t *plan)
{
    return plan->policy != NULL && plan->policy->task == LSPO_TASK_GENERATE &&
           plan->workload.iterations < lspo_policy_iterations(plan->policy, &plan->workload);
}

lspo_status_t lspo_bound_plan(const lspo_plan_t *plan, const lspo_machine_t *machine, double *lower_bound_s_out)
{
    uint64_t *work_ns;
    if (is_short_text(plan)) {
        *lower_bound_s_out = NAN;
        return LSPO_OK;
    }
    lspo_status_t status = lspo_cost_plan(machine, plan, &work_ns);
    if (status != LSPO_OK)
        return status;
    status = lspo_bound_iteration(plan, work_ns, lower_bound_s_out);
    free(work_ns);
    return status;
}

/* Critical path */

typedef struct {
    const lspo_trace_row_t **row_of; /* of each op */
    lspo_op_id_t *before;            /* the op before it on its lane, or LSPO_NO_OP */
} history_t;

static int compare_row(const void *left, const void *right)
{
    const lspo_trace_row_t *a = *(const lspo_trace_row_t *const *)left, *b = *(const lspo_trace_row_t *const *)right;
    if (a->start_ns != b->start_ns)
        return a->start_ns < b->start_ns ? -1 : 1;
    if (a->end_ns != b->end_ns)
        return a->end_ns < b->end_ns ? -1 : 1;
    return (a->op > b->op) - (a->op < b->op);
}

/* The op before each on its lane. */
static lspo_status_t link_lanes(const lspo_plan_t *plan, const lspo_trace_t *trace, history_t *history)
{
    uint32_t count = trace->row_count;
    const lspo_trace_row_t **ordered = malloc(((size_t)count + 1) * sizeof *ordered);
    lspo_op_id_t *latest = malloc(((size_t)plan->lanes.count + 1) * sizeof *latest); /* by lane */
    if (!ordered || !latest) {
        free(latest);
        free(ordered);
        return lspo_no_memory("the critical path of %" PRIu32 " ops", count);
    }
    bool sorted = true;
    for (uint32_t i = 0; i < count; i++) {
        ordered[i] = &trace->rows[i];
        sorted = sorted && (i == 0 || ordered[i - 1]->end_ns > ordered[i - 1]->start_ns) &&
                 (i == 0 || ordered[i - 1]->start_ns <= ordered[i]->start_ns);
    }
    if (!sorted)
        qsort(ordered, count, sizeof *ordered, compare_row);
    for (uint32_t lane = 0; lane < plan->lanes.count; lane++)
        latest[lane] = LSPO_NO_OP;
    for (uint32_t i = 0; i < count; i++) {
        history->before[ordered[i]->op] = latest[ordered[i]->lane];
        latest[ordered[i]->lane] = ordered[i]->op;
    }
    free(latest);
    free(ordered);
    return LSPO_OK;
}

static lspo_status_t fill_history(const lspo_plan_t *plan, const lspo_trace_t *trace, history_t *history)
{
    for (lspo_op_id_t id = 0; id < plan->op_count; id++)
        history->row_of[id] = NULL;
    for (uint32_t i = 0; i < trace->row_count; i++) {
        const lspo_trace_row_t *row = &trace->rows[i];
        if (row->op >= plan->op_count || row->lane >= plan->lanes.count || history->row_of[row->op])
            return lspo_error(LSPO_ERR_CHECK, "critical path: op %" PRIu32 " is not in the plan or twice in the trace",
                              row->op);
        history->row_of[row->op] = row;
    }
    if (trace->row_count != plan->op_count)
        return lspo_error(LSPO_ERR_CHECK, "critical path: the trace has %" PRIu32 " of %" PRIu32 " ops",
                          trace->row_count, plan->op_count);
    return link_lanes(plan, trace, history);
}

/* The op for which `id` waited: the one that ended last; dependencies have priority over the lane. */
static lspo_op_id_t waited_for(const lspo_plan_t *plan, const history_t *history, lspo_op_id_t id)
{
    const lspo_op_t *op = &plan->ops[id];
    lspo_op_id_t cause = LSPO_NO_OP;
    for (uint32_t i = 0; i < op->dep_count; i++) {
        lspo_op_id_t dep = plan->deps[op->dep_first + i];
        if (cause == LSPO_NO_OP || history->row_of[dep]->end_ns > history->row_of[cause]->end_ns)
            cause = dep;
    }
    lspo_op_id_t before = history->before[id];
    if (before != LSPO_NO_OP &&
        (cause == LSPO_NO_OP || history->row_of[before]->end_ns > history->row_of[cause]->end_ns))
        cause = before;
    return cause;
}

static lspo_op_id_t last_to_end(const lspo_plan_t *plan, const history_t *history)
{
    lspo_op_id_t last = LSPO_NO_OP;
    for (lspo_op_id_t id = 0; id < plan->op_count; id++)
        if (last == LSPO_NO_OP || history->row_of[id]->end_ns > history->row_of[last]->end_ns)
            last = id;
    return last;
}

lspo_status_t lspo_bound_critical_path(const lspo_plan_t *plan, const lspo_trace_t *trace, lspo_op_id_t **ids_out,
                                       uint32_t *count_out)
{
    history_t history = {.row_of = malloc(((size_t)plan->op_count + 1) * sizeof *history.row_of),
                         .before = malloc(((size_t)plan->op_count + 1) * sizeof *history.before)};
    lspo_op_id_t *ids = malloc(((size_t)plan->op_count + 1) * sizeof *ids);
    lspo_status_t status;
    if (!history.row_of || !history.before || !ids) {
        status = lspo_no_memory("the critical path of %" PRIu32 " ops", plan->op_count);
        goto free_all;
    }
    status = fill_history(plan, trace, &history);
    if (status != LSPO_OK)
        goto free_all;

    uint32_t count = 0;
    /* In a broken trace, ops that take no time could refer to each other in a cycle: no path is longer than the
     * plan. */
    for (lspo_op_id_t id = last_to_end(plan, &history); id != LSPO_NO_OP && count < plan->op_count;
         id = waited_for(plan, &history, id))
        ids[count++] = id;
    for (uint32_t i = 0; i < count / 2; i++) {
        lspo_op_id_t swapped = ids[i];
        ids[i] = ids[count - 1 - i];
        ids[count - 1 - i] = swapped;
    }
    *ids_out = ids;
    *count_out = count;
    ids = NULL;

free_all:
    free(ids);
    free(history.before);
    free(history.row_of);
    return status;
}
