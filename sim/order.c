/* order.c - order the ops of a plan on its lanes by simulation; see order.h. */
#include "sim/order.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "plan/chunks.h"
#include "sim/bound.h"
#include "sim/cost.h"
#include "sim/engine.h"
#include "sim/fit.h"
#include "sim/iterations.h"
#include "sim/pace.h"

/* Moves that are tried in all, and plays of traces: each improvement needs one. */
enum { MOVES_MOST = 2000, TRACES_MOST = 100 };

typedef struct {
    lspo_plan_t *plan;
    const lspo_machine_t *machine;
    uint64_t *work_ns;
    lspo_pace_t *pace;
    uint32_t *class_of; /* by op: counterparts have the same class, from 0 */
    uint32_t class_count;
    double *due_ns;      /* by class: due in iteration 0 */
    double *best_due_ns; /* the same of the best order so far */
    double *found_ns;    /* of the order that is being made; NaN: none */
    uint32_t *own;       /* priorities of the policy */
    double step_ns;      /* T */
    double best_s;
    uint32_t moves;
} search_t;

/* Classes */

static int compare_node(const void *left, const void *right)
{
    const lspo_node_t *a = left, *b = right;
    if (a->identity != b->identity)
        return a->identity < b->identity ? -1 : 1;
    return a->rank != b->rank ? (a->rank > b->rank) - (a->rank < b->rank) : (a->id > b->id) - (a->id < b->id);
}

static lspo_status_t find_classes(search_t *search)
{
    lspo_iterations_t its;
    lspo_status_t status = lspo_iterations_create(search->plan, &its);
    if (status == LSPO_OK) {
        for (uint32_t i = 0; i < its.count; i++)
            lspo_iterations_sort(&its, i);
        qsort(its.nodes, search->plan->op_count, sizeof *its.nodes, compare_node);
        for (uint32_t i = 0; i < search->plan->op_count; i++) {
            const lspo_node_t *node = &its.nodes[i];
            if (i == 0 || node->identity != node[-1].identity || node->rank != node[-1].rank)
                search->class_count++;
            search->class_of[node->id] = search->class_count - 1;
        }
    }
    lspo_iterations_release(&its);
    return status;
}

/* Orders */

static uint32_t iteration_of(const search_t *search, lspo_op_id_t op)
{
    return search->plan->ops[op].iteration;
}

/* Priorities that repeat exactly: due times are rounded to parts of an iteration, of which all fit in 32 bits. */
static void apply(search_t *search, const double *due_ns)
{
    double least = INFINITY, most = -INFINITY;
    for (uint32_t c = 0; c < search->class_count; c++) {
        least = fmin(least, due_ns[c]);
        most = fmax(most, due_ns[c]);
    }
    double parts =
        floor(fmin(1 << 20, 4e9 / (search->plan->workload.iterations + (most - least) / search->step_ns + 2)));
    for (lspo_op_id_t id = 0; id < search->plan->op_count; id++) {
        double part = floor((due_ns[search->class_of[id]] - least) / search->step_ns * parts);
        search->plan->ops[id].priority = (uint32_t)(part + parts * iteration_of(search, id));
        lspo_pace_set_priority(search->pace, id, search->plan->ops[id].priority);
    }
}

/* Is the order of due_ns[] the fastest so far? */
static lspo_status_t try_order(search_t *search, bool *is_best_out)
{
    lspo_pace_result_t result;
    apply(search, search->due_ns);
    lspo_status_t status = lspo_pace_play(search->pace, 0, &result);
    if (status != LSPO_OK)
        return status;
    *is_best_out = result.iteration_s < search->best_s * (1 - 1e-9);
    if (!*is_best_out)
        return LSPO_OK;
    search->best_s = result.iteration_s;
    memcpy(search->best_due_ns, search->due_ns, search->class_count * sizeof *search->due_ns);
    return LSPO_OK;
}

/* Of ops without a due time the order is that of the start of their iteration. */
static void take_found(search_t *search)
{
    for (uint32_t c = 0; c < search->class_count; c++)
        search->due_ns[c] = isnan(search->found_ns[c]) ? 0 : search->found_ns[c];
}

static void find_none(search_t *search)
{
    for (uint32_t c = 0; c < search->class_count; c++)
        search->found_ns[c] = NAN;
}

static void find(search_t *search, lspo_op_id_t op, double time_ns)
{
    double *found_ns = &search->found_ns[search->class_of[op]];
    if (isnan(*found_ns))
        *found_ns = time_ns - iteration_of(search, op) * search->step_ns;
}

static void order_by_tails(search_t *search, const lspo_window_t *window)
{
    uint32_t first = iteration_of(search, window->barrier);
    find_none(search);
    for (uint32_t i = 0; i < window->count; i++) {
        uint64_t work_ns = lspo_cost_op_ns(&search->plan->ops[window->ops[i]], search->work_ns);
        double latest_ns = (double)window->bound_ns - (double)(work_ns + window->tail_ns[i]);
        find(search, window->ops[i], latest_ns + first * search->step_ns);
    }
    take_found(search);
}

/* The iteration in the middle of the plan counts, of ops that it lacks any other. */
static void order_by_starts(search_t *search, const lspo_trace_t *trace)
{
    uint32_t middle = search->plan->workload.iterations / 2;
    find_none(search);
    for (uint32_t i = 0; i < trace->row_count; i++)
        if (iteration_of(search, trace->rows[i].op) == middle)
            find(search, trace->rows[i].op, (double)trace->rows[i].start_ns);
    for (uint32_t i = 0; i < trace->row_count; i++)
        find(search, trace->rows[i].op, (double)trace->rows[i].start_ns);
    take_found(search);
}

/* Moves on the critical path */

static bool waits_for(const lspo_plan_t *plan, lspo_op_id_t op, lspo_op_id_t dep)
{
    for (uint32_t d = 0; d < plan->ops[op].dep_count; d++)
        if (plan->deps[plan->ops[op].dep_first + d] == dep)
            return true;
    return false;
}

/* Let `moved` be due just before `other`, or behind it. */
static void move(search_t *search, lspo_op_id_t moved, lspo_op_id_t other, bool before)
{
    double apart = (double)iteration_of(search, other) - iteration_of(search, moved);
    double part_ns = search->step_ns * 1e-4;
    search->due_ns[search->class_of[moved]] =
        search->due_ns[search->class_of[other]] + apart * search->step_ns + (before ? -part_ns : part_ns);
}

/* Both moves of two ops that follow each other; stops at the first that is faster. */
static lspo_status_t try_pair(search_t *search, lspo_op_id_t first, lspo_op_id_t second, bool *is_best_out)
{
    lspo_status_t status = LSPO_OK;
    for (int way = 0; way < 2 && status == LSPO_OK && !*is_best_out && search->moves < MOVES_MOST; way++) {
        memcpy(search->due_ns, search->best_due_ns, search->class_count * sizeof *search->due_ns);
        if (way == 0)
            move(search, second, first, true);
        else
            move(search, first, second, false);
        search->moves++;
        status = try_order(search, is_best_out);
    }
    return status;
}

/* Of each pair of classes that follow each other on the path, only the first occurrence is tried. */
typedef struct {
    uint64_t classes;
    uint32_t at;
} pair_t;

static int compare_pair(const void *left, const void *right)
{
    const pair_t *a = left, *b = right;
    return a->classes != b->classes ? (a->classes > b->classes) - (a->classes < b->classes)
                                    : (a->at > b->at) - (a->at < b->at);
}

/* By place on the path: is the op there, behind the one before it, the first such pair?  The caller frees it. */
static lspo_status_t find_new_pairs(const search_t *search, const lspo_op_id_t *path, uint32_t count, bool **is_new_out)
{
    pair_t *pairs = malloc(((size_t)count + 1) * sizeof *pairs);
    bool *is_new = calloc((size_t)count + 1, sizeof *is_new);
    if (!pairs || !is_new) {
        free(is_new);
        free(pairs);
        return lspo_no_memory("a critical path of %u ops", count);
    }
    for (uint32_t at = 1; at < count; at++)
        pairs[at - 1] = (pair_t){(uint64_t)search->class_of[path[at - 1]] << 32 | search->class_of[path[at]], at};
    const uint32_t pair_count = count > 0 ? count - 1 : 0;
    qsort(pairs, pair_count, sizeof *pairs, compare_pair);
    for (uint32_t i = 0; i < pair_count; i++)
        is_new[pairs[i].at] = i == 0 || pairs[i].classes != pairs[i - 1].classes;
    free(pairs);
    *is_new_out = is_new;
    return LSPO_OK;
}

/* Try the pairs of the best order's critical path until one is faster. */
static lspo_status_t improve(search_t *search, bool *is_best_out)
{
    const lspo_plan_t *plan = search->plan;
    lspo_trace_t *trace = NULL;
    lspo_op_id_t *path = NULL;
    bool *is_new = NULL;
    uint32_t count = 0;
    apply(search, search->best_due_ns);
    lspo_status_t status = lspo_engine_play(plan, search->machine, search->work_ns, &trace);
    if (status == LSPO_OK)
        status = lspo_bound_critical_path(plan, trace, &path, &count);
    if (status == LSPO_OK)
        status = find_new_pairs(search, path, count, &is_new);
    for (uint32_t at = 1; at < count && status == LSPO_OK && !*is_best_out; at++)
        if (is_new[at] && plan->ops[path[at]].lane == plan->ops[path[at - 1]].lane &&
            !waits_for(plan, path[at], path[at - 1]))
            status = try_pair(search, path[at - 1], path[at], is_best_out);
    free(is_new);
    free(path);
    lspo_trace_destroy(trace);
    return status;
}

/* The whole search */

static lspo_status_t try_starts(search_t *search, const lspo_window_t *window, bool *found_out)
{
    bool is_best = false;
    lspo_trace_t *trace = NULL;
    lspo_status_t status = lspo_engine_play(search->plan, search->machine, search->work_ns, &trace);
    if (status != LSPO_OK)
        return status;
    order_by_starts(search, trace);
    lspo_trace_destroy(trace);
    memcpy(search->best_due_ns, search->due_ns, search->class_count * sizeof *search->due_ns);
    status = try_order(search, &is_best);
    *found_out |= is_best;
    if (status != LSPO_OK || window->count == 0)
        return status;
    order_by_tails(search, window);
    is_best = false;
    status = try_order(search, &is_best);
    *found_out |= is_best;
    return status;
}

static lspo_status_t search_orders(search_t *search, bool *found_out)
{
    lspo_window_t window = {0};
    double bound_s = 0;
    lspo_status_t status = lspo_bound_window(search->plan, search->work_ns, &window);
    if (status == LSPO_OK)
        status = lspo_bound_iteration(search->plan, search->work_ns, &bound_s);
    if (status == LSPO_OK && search->best_s > bound_s * (1 + 1e-9))
        status = try_starts(search, &window, found_out);
    bool goes_on = status == LSPO_OK;
    for (int i = 0; goes_on && i < TRACES_MOST && search->moves < MOVES_MOST && search->best_s > bound_s * (1 + 1e-9);
         i++) {
        bool is_best = false;
        status = improve(search, &is_best);
        *found_out |= is_best;
        goes_on = status == LSPO_OK && is_best;
    }
    lspo_window_release(&window);
    return status;
}

static lspo_status_t create(search_t *search)
{
    size_t ops = (size_t)search->plan->op_count + 1;
    lspo_pace_result_t result;
    lspo_status_t status = lspo_cost_plan(search->machine, search->plan, &search->work_ns);
    if (status == LSPO_OK)
        status = lspo_pace_create(search->plan, search->machine, search->work_ns, &search->pace);
    if (status == LSPO_OK)
        status = lspo_pace_play(search->pace, 0, &result);
    if (status != LSPO_OK)
        return status;
    search->best_s = result.iteration_s;
    search->step_ns = fmax(1e9 * result.iteration_s, 1);
    search->class_of = malloc(ops * sizeof *search->class_of);
    search->due_ns = calloc(ops, sizeof *search->due_ns);
    search->best_due_ns = calloc(ops, sizeof *search->best_due_ns);
    search->found_ns = calloc(ops, sizeof *search->found_ns);
    search->own = malloc(ops * sizeof *search->own);
    if (!search->class_of || !search->due_ns || !search->best_due_ns || !search->found_ns || !search->own)
        return lspo_no_memory("an order of %u ops", search->plan->op_count);
    for (lspo_op_id_t id = 0; id < search->plan->op_count; id++)
        search->own[id] = search->plan->ops[id].priority;
    return find_classes(search);
}

static void release(search_t *search)
{
    free(search->own);
    free(search->found_ns);
    free(search->best_due_ns);
    free(search->due_ns);
    free(search->class_of);
    lspo_pace_destroy(search->pace);
    free(search->work_ns);
}

static void restore(search_t *search)
{
    for (lspo_op_id_t id = 0; id < search->plan->op_count; id++)
        search->plan->ops[id].priority = search->own[id];
}

/* The best order found, unless memory is short for it only. */
static lspo_status_t keep(search_t *search)
{
    lspo_fit_t own, ordered;
    restore(search);
    lspo_status_t status = lspo_fit_plan(search->plan, search->machine, &own);
    if (status != LSPO_OK)
        return status;
    apply(search, search->best_due_ns);
    status = lspo_fit_plan(search->plan, search->machine, &ordered);
    if (status == LSPO_OK && own.fits && !ordered.fits)
        restore(search);
    return status;
}

/* The parts of a message follow each other, since the last gives back its memory. */
static bool has_parts(const lspo_plan_t *plan)
{
    bool any = false;
    for (uint32_t s = 0; s < plan->stage_count && !any; s++) {
        lspo_message_t message;
        lspo_plan_message(plan, s, &message);
        any = lspo_chunk_count(plan, message.element_count) > 1;
    }
    return any;
}

lspo_status_t lspo_order_plan(lspo_plan_t *plan, const lspo_machine_t *machine)
{
    search_t search = {.plan = plan, .machine = machine};
    bool found = false;
    if (has_parts(plan))
        return LSPO_OK;
    lspo_status_t status = create(&search);
    if (status == LSPO_OK) {
        status = search_orders(&search, &found);
        if (status == LSPO_OK && found)
            status = keep(&search);
        else
            restore(&search);
    }
    release(&search);
    return status;
}
