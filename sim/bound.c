/* bound.c - a lower bound on the time of any schedule of these ops, and the critical path of a given one; see
 * bound.h. */
#include "sim/bound.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "sim/cost.h"

/* The steady iteration */

/* An op of one iteration; its counterparts in other iterations have the same identity. */
typedef struct {
    uint64_t identity; /* kind, layer, micro, variant */
    uint32_t rank;     /* among the ops of its iteration with this identity */
    lspo_op_id_t id;
} node_t;

typedef struct {
    uint32_t from, to; /* nodes */
    double weight_ns;  /* work of `from` */
    double count;      /* iterations from `from` to `to` */
} edge_t;

typedef struct {
    node_t *nodes; /* in the order of (identity, rank) */
    uint32_t node_count;
    edge_t *edges; /* in the order of the dependent ops' ids, so that most paths are found in one pass */
    uint32_t edge_count;
} graph_t;

static uint64_t identity(const lspo_op_t *op)
{
    return (uint64_t)op->kind << 48 | (uint64_t)op->layer << 32 | (uint64_t)op->micro << 16 | op->variant;
}

static int compare_node(const void *left, const void *right)
{
    const node_t *a = left, *b = right;
    if (a->identity != b->identity)
        return a->identity < b->identity ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

/* All ops of the plan: those of iteration i are nodes[first[i] .. first[i + 1]), with ranks and in order once
 * sort_iteration() has been called. */
typedef struct {
    node_t *nodes;
    uint32_t *first;
    uint32_t *place; /* of each op in `nodes` */
    bool *is_sorted; /* by iteration          */
    uint32_t iteration_count;
} iterations_t;

static void release_iterations(iterations_t *iterations)
{
    free(iterations->is_sorted);
    free(iterations->place);
    free(iterations->first);
    free(iterations->nodes);
}

/* In the order of ids. */
static void split_iterations(const lspo_plan_t *plan, iterations_t *its)
{
    for (lspo_op_id_t id = 0; id < plan->op_count; id++)
        its->first[plan->ops[id].iteration + 1]++;
    for (uint32_t i = 0; i < its->iteration_count; i++)
        its->first[i + 1] += its->first[i];
    for (lspo_op_id_t id = plan->op_count; id-- > 0;) {
        /* place[] serves as the cursor of its iteration here; sort_iteration() fills it. */
        uint32_t *cursor = &its->place[plan->ops[id].iteration];
        uint32_t at = its->first[plan->ops[id].iteration + 1] - 1 - (*cursor)++;
        its->nodes[at] = (node_t){identity(&plan->ops[id]), 0, id};
    }
}

static void sort_iteration(iterations_t *its, uint32_t iteration)
{
    uint32_t first = its->first[iteration], end = its->first[iteration + 1];
    if (its->is_sorted[iteration])
        return;
    its->is_sorted[iteration] = true;
    qsort(its->nodes + first, end - first, sizeof *its->nodes, compare_node);
    for (uint32_t at = first; at < end; at++) {
        if (at > first && its->nodes[at].identity == its->nodes[at - 1].identity)
            its->nodes[at].rank = its->nodes[at - 1].rank + 1;
        its->place[its->nodes[at].id] = at;
    }
}

static lspo_status_t index_iterations(const lspo_plan_t *plan, iterations_t *its)
{
    for (lspo_op_id_t id = 0; id < plan->op_count; id++) {
        if (plan->ops[id].iteration >= plan->op_count)
            return lspo_error(LSPO_ERR_CHECK, "op %" PRIu32 " is of iteration %" PRIu32 " in a plan of %" PRIu32 " ops",
                              id, plan->ops[id].iteration, plan->op_count);
        if (plan->ops[id].iteration >= its->iteration_count)
            its->iteration_count = plan->ops[id].iteration + 1;
    }
    its->nodes = malloc(((size_t)plan->op_count + 1) * sizeof *its->nodes);
    its->first = calloc((size_t)its->iteration_count + 1, sizeof *its->first);
    its->place = calloc((size_t)plan->op_count + 1, sizeof *its->place);
    its->is_sorted = calloc((size_t)its->iteration_count + 1, sizeof *its->is_sorted);
    if (!its->nodes || !its->first || !its->place || !its->is_sorted)
        return lspo_no_memory("the bound of %" PRIu32 " ops", plan->op_count);
    split_iterations(plan, its);
    return LSPO_OK;
}

static uint64_t work_of(const lspo_plan_t *plan, const uint64_t *work_ns, const iterations_t *its, uint32_t iteration)
{
    uint64_t sum_ns = 0;
    for (uint32_t at = its->first[iteration]; at < its->first[iteration + 1]; at++)
        sum_ns += lspo_cost_op_ns(&plan->ops[its->nodes[at].id], work_ns);
    return sum_ns;
}

/* The last inner iteration with the least work, so that work that occurs only in some iterations is not counted; if
 * there are no inner iterations, the last one. */
static uint32_t pick_iteration(const lspo_plan_t *plan, const uint64_t *work_ns, const iterations_t *its)
{
    if (its->iteration_count < 3)
        return its->iteration_count - 1;
    uint32_t best = 1;
    uint64_t least_ns = work_of(plan, work_ns, its, best);
    for (uint32_t i = 2; i + 1 < its->iteration_count; i++) {
        uint64_t sum_ns = work_of(plan, work_ns, its, i);
        if (sum_ns <= least_ns) {
            best = i;
            least_ns = sum_ns;
        }
    }
    return best;
}

/* node_count if the chosen iteration has none. */
static uint32_t counterpart(const graph_t *graph, const node_t *node)
{
    uint32_t low = 0, high = graph->node_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const node_t *at = &graph->nodes[middle];
        if (at->identity < node->identity || (at->identity == node->identity && at->rank < node->rank))
            low = middle + 1;
        else
            high = middle;
    }
    if (low < graph->node_count && graph->nodes[low].identity == node->identity && graph->nodes[low].rank == node->rank)
        return low;
    return graph->node_count;
}

static void add_edges(const lspo_plan_t *plan, const uint64_t *work_ns, iterations_t *its, uint32_t iteration,
                      graph_t *graph)
{
    for (lspo_op_id_t id = 0; id < plan->op_count; id++) {
        const lspo_op_t *op = &plan->ops[id];
        if (op->iteration != iteration)
            continue;
        for (uint32_t i = 0; i < op->dep_count; i++) {
            lspo_op_id_t dep = plan->deps[op->dep_first + i];
            sort_iteration(its, plan->ops[dep].iteration);
            uint32_t from = counterpart(graph, &its->nodes[its->place[dep]]);
            if (from == graph->node_count)
                continue;
            graph->edges[graph->edge_count++] = (edge_t){from, its->place[id] - its->first[iteration],
                                                         (double)lspo_cost_op_ns(&plan->ops[dep], work_ns),
                                                         (double)iteration - (double)plan->ops[dep].iteration};
        }
    }
}

/* Nodes point into `its`; edges are malloc'd. */
static lspo_status_t build_graph(const lspo_plan_t *plan, const uint64_t *work_ns, iterations_t *its,
                                 uint32_t iteration, graph_t *graph_out)
{
    sort_iteration(its, iteration);
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

/* Busy times only increase, so the current maximum is the final one. */
static lspo_status_t busiest_lane(const lspo_plan_t *plan, const uint64_t *work_ns, const graph_t *graph,
                                  double *most_ns_out)
{
    double *busy_ns = calloc((size_t)plan->lanes.count + 1, sizeof *busy_ns), most_ns = 0;
    if (!busy_ns)
        return lspo_no_memory("the bound of %" PRIu32 " lanes", plan->lanes.count);
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const lspo_op_t *op = &plan->ops[graph->nodes[i].id];
        busy_ns[op->lane] += (double)lspo_cost_op_ns(op, work_ns);
        most_ns = busy_ns[op->lane] > most_ns ? busy_ns[op->lane] : most_ns;
    }
    free(busy_ns);
    *most_ns_out = most_ns;
    return LSPO_OK;
}

lspo_status_t lspo_bound_iteration(const lspo_plan_t *plan, const uint64_t *work_ns, double *lower_bound_s_out)
{
    if (plan->op_count == 0)
        return lspo_error(LSPO_ERR_CHECK, "a plan without ops has no bound");
    iterations_t its = {0};
    graph_t graph = {0};
    lspo_status_t status = index_iterations(plan, &its);
    if (status != LSPO_OK)
        goto release;
    status = build_graph(plan, work_ns, &its, pick_iteration(plan, work_ns, &its), &graph);
    if (status != LSPO_OK)
        goto release;
    double bound_ns = 0;
    status = busiest_lane(plan, work_ns, &graph, &bound_ns);
    if (status != LSPO_OK)
        goto release;
    if (graph.node_count > 0)
        status = raise_to_cycle_mean(&graph, &bound_ns);
    if (status != LSPO_OK)
        goto release;
    *lower_bound_s_out = 1e-9 * bound_ns;

release:
    free(graph.edges);
    release_iterations(&its);
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
