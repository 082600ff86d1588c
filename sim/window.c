/* window.c - the ops between two passes of a barrier, and the least time that they take; see window.h. */
#include "sim/window.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "plan/policy.h"
#include "sim/cost.h"
#include "sim/jackson.h"

/* The barrier */

enum {
    STARTS_MOST = 16,   /* ops that are tried as the start of the longest cycle                         */
    BARRIERS_MOST = 64, /* barriers tried in one pass; a second one tries those around the best         */
    AFTER = 1,
    WITHIN = 2 /* marks: depends on the first pass; and the second one on it, too              */
};

typedef struct {
    const lspo_plan_t *plan;
    const uint64_t *work_ns;
    lspo_iterations_t *its;
    uint32_t iterations;  /* k */
    uint8_t *mark;        /* by op */
    uint32_t *length;     /* by op: ops on the longest path from the start to it; 0: none */
    lspo_op_id_t *before; /* by op: the last but one op of that path                       */
    lspo_op_id_t *spine;  /* the ops of the cycle, in the order of dependencies            */
    uint32_t spine_count;
} search_t;

static void release_search(search_t *search)
{
    free(search->spine);
    free(search->before);
    free(search->length);
    free(search->mark);
}

static lspo_status_t create_search(search_t *search)
{
    size_t count = (size_t)search->plan->op_count + 1;
    search->mark = malloc(count * sizeof *search->mark);
    search->length = malloc(count * sizeof *search->length);
    search->before = malloc(count * sizeof *search->before);
    search->spine = malloc(count * sizeof *search->spine);
    if (!search->mark || !search->length || !search->before || !search->spine)
        return lspo_no_memory("the barriers of %u ops", search->plan->op_count);
    return LSPO_OK;
}

/* The same op `iterations` later, or LSPO_NO_OP. */
static lspo_op_id_t later(const search_t *search, lspo_op_id_t op, uint32_t iterations)
{
    uint32_t iteration = search->plan->ops[op].iteration + iterations;
    if (iteration >= search->its->count)
        return LSPO_NO_OP;
    uint32_t place = lspo_iterations_counterpart(search->its, search->plan, op, iteration);
    return place < search->its->first[iteration + 1] ? search->its->nodes[place].id : LSPO_NO_OP;
}

/* The ops of the path of most ops from `start` to the one before `end`; returns whether there is one. */
static bool find_spine(search_t *search, lspo_op_id_t start, lspo_op_id_t end)
{
    const lspo_plan_t *plan = search->plan;
    search->length[start] = 1;
    for (lspo_op_id_t id = start + 1; id <= end; id++) {
        const lspo_op_t *op = &plan->ops[id];
        search->length[id] = 0;
        for (uint32_t i = 0; i < op->dep_count; i++) {
            lspo_op_id_t dep = plan->deps[op->dep_first + i];
            if (dep < start || search->length[dep] == 0 || search->length[dep] < search->length[id])
                continue;
            search->length[id] = search->length[dep] + 1;
            search->before[id] = dep;
        }
    }
    if (search->length[end] == 0)
        return false;
    search->spine_count = search->length[end] - 1;
    for (lspo_op_id_t id = end; id != start; id = search->before[id])
        search->spine[search->length[id] - 2] = search->before[id];
    return true;
}

/* Ops of the spine may be of this iteration and the next one: the window of the latter must be in the plan.  Of
 * generation it is that with the least work: later tokens have longer caches, and the first one behind the prompt's may
 * find weights that have left the cache meanwhile. */
static bool find_cycle(search_t *search)
{
    const lspo_iterations_t *its = search->its;
    const bool generates = search->plan->policy != NULL && search->plan->policy->task == LSPO_TASK_GENERATE;
    if (its->count < search->iterations + (generates ? 3 : 2))
        return false;
    uint32_t iteration = its->count - search->iterations - 2, tried = 0;
    const uint32_t least = generates ? lspo_iterations_pick(its, search->plan, search->work_ns) : iteration;
    iteration = least < iteration ? least : iteration;
    for (lspo_op_id_t id = 0; id < search->plan->op_count && tried < STARTS_MOST; id++) {
        if (search->plan->ops[id].iteration != iteration)
            continue;
        lspo_op_id_t end = later(search, id, 1);
        if (end != LSPO_NO_OP && end > id && find_spine(search, id, end))
            return true;
        tried++;
    }
    return false;
}

/* Marks the ops behind `first` up to `last` and returns the sum of the work of those between both, 0 if `last` does not
 * depend on `first`. */
static uint64_t mark_between(search_t *search, lspo_op_id_t first, lspo_op_id_t last)
{
    const lspo_plan_t *plan = search->plan;
    search->mark[first] = AFTER;
    for (lspo_op_id_t id = first + 1; id <= last; id++) {
        const lspo_op_t *op = &plan->ops[id];
        search->mark[id] = 0;
        for (uint32_t i = 0; i < op->dep_count && search->mark[id] == 0; i++) {
            lspo_op_id_t dep = plan->deps[op->dep_first + i];
            search->mark[id] = dep >= first ? search->mark[dep] : 0;
        }
    }
    if (search->mark[last] == 0)
        return 0;
    uint64_t sum_ns = 0;
    search->mark[last] = WITHIN;
    for (lspo_op_id_t id = last; id > first; id--) {
        const lspo_op_t *op = &plan->ops[id];
        if (search->mark[id] != WITHIN)
            continue;
        sum_ns += lspo_cost_op_ns(op, search->work_ns);
        for (uint32_t i = 0; i < op->dep_count; i++) {
            lspo_op_id_t dep = plan->deps[op->dep_first + i];
            if (dep >= first && search->mark[dep] == AFTER)
                search->mark[dep] = WITHIN;
        }
    }
    return sum_ns;
}

/* The place on the spine of the barrier with the most work between its passes, of every step-th one from `first` to
 * `last`. */
static uint32_t try_barriers(search_t *search, uint32_t first, uint32_t last, uint32_t step)
{
    uint32_t best = first;
    uint64_t most_ns = 0;
    for (uint32_t at = first; at <= last; at += step) {
        lspo_op_id_t second = later(search, search->spine[at], search->iterations);
        uint64_t sum_ns = second != LSPO_NO_OP ? mark_between(search, search->spine[at], second) : 0;
        if (sum_ns > most_ns) {
            most_ns = sum_ns;
            best = at;
        }
    }
    return best;
}

static uint32_t best_barrier(search_t *search)
{
    uint32_t last = search->spine_count - 1, step = last / BARRIERS_MOST + 1;
    uint32_t best = try_barriers(search, 0, last, step);
    while (step > 1) {
        uint32_t low = best > step ? best - step : 0, high = best + step < last ? best + step : last;
        step = (high - low) / BARRIERS_MOST + 1;
        best = try_barriers(search, low, high, step);
    }
    return best;
}

/* Heads */

/* The ops of a window, from the first to the last or backwards; every dependency has a lower index. */
typedef struct {
    uint32_t count, lane_count;
    uint32_t *lane;       /* of each op, from 0 without gaps */
    uint32_t *lane_first; /* where a lane's ops begin in lists of all, lane_count + 1 */
    uint64_t *work_ns;
    uint32_t *dep_first; /* count + 1 */
    uint32_t *deps;
} dag_t;

static void release_dag(dag_t *dag)
{
    free(dag->deps);
    free(dag->dep_first);
    free(dag->work_ns);
    free(dag->lane_first);
    free(dag->lane);
}

static lspo_status_t create_dag(uint32_t count, uint32_t lane_count, size_t dep_count, dag_t *dag)
{
    *dag = (dag_t){.count = count,
                   .lane_count = lane_count,
                   .lane = malloc(((size_t)count + 1) * sizeof *dag->lane),
                   .lane_first = calloc((size_t)lane_count + 1, sizeof *dag->lane_first),
                   .work_ns = malloc(((size_t)count + 1) * sizeof *dag->work_ns),
                   .dep_first = calloc((size_t)count + 2, sizeof *dag->dep_first),
                   .deps = malloc((dep_count + 1) * sizeof *dag->deps)};
    if (!dag->lane || !dag->lane_first || !dag->work_ns || !dag->dep_first || !dag->deps)
        return lspo_no_memory("a window of %u ops", count);
    return LSPO_OK;
}

/* What finding the heads needs, besides them. */
typedef struct {
    int64_t *path_ns;       /* by op: the longest path from its end to the op whose head is sought; -1: none */
    uint32_t *listed;       /* the ops of each lane with known heads, in the order of heads, from dag->lane_first */
    uint32_t *listed_count; /* by lane */
    lspo_job_t *jobs;
    lspo_waiting_job_t *waiting;
} scratch_t;

static void release_scratch(scratch_t *scratch)
{
    free(scratch->waiting);
    free(scratch->jobs);
    free(scratch->listed_count);
    free(scratch->listed);
    free(scratch->path_ns);
}

static lspo_status_t create_scratch(const dag_t *dag, scratch_t *scratch)
{
    size_t count = (size_t)dag->count + 1;
    *scratch = (scratch_t){.path_ns = malloc(count * sizeof *scratch->path_ns),
                           .listed = malloc(count * sizeof *scratch->listed),
                           .listed_count = calloc((size_t)dag->lane_count + 1, sizeof *scratch->listed_count),
                           .jobs = malloc(count * sizeof *scratch->jobs),
                           .waiting = malloc(2 * count * sizeof *scratch->waiting)};
    if (!scratch->path_ns || !scratch->listed || !scratch->listed_count || !scratch->jobs || !scratch->waiting)
        return lspo_no_memory("a window of %u ops", dag->count);
    return LSPO_OK;
}

static void list_op(const dag_t *dag, const uint64_t *head_ns, uint32_t op, scratch_t *scratch)
{
    uint32_t *list = scratch->listed + dag->lane_first[dag->lane[op]], at = scratch->listed_count[dag->lane[op]]++;
    for (; at > 0 && head_ns[list[at - 1]] > head_ns[op]; at--)
        list[at] = list[at - 1];
    list[at] = op;
}

/* The larger of `known_ns` and Jackson's schedule of the listed ops of one lane; those with a negative tail are left
 * out.  To serve them in the order of their heads is a schedule, too: no shorter one, and the same where no tail is
 * longer than the one before it. */
static uint64_t raise_to_lane_ns(const dag_t *dag, uint32_t lane, const uint64_t *head_ns, const int64_t *tail_ns,
                                 uint64_t known_ns, scratch_t *scratch)
{
    const uint32_t *list = scratch->listed + dag->lane_first[lane];
    const uint32_t listed = scratch->listed_count[lane];
    uint64_t now_ns = 0, length_ns = 0;
    int64_t last_ns = INT64_MAX;
    uint32_t count = 0;
    bool falls = true;
    for (uint32_t i = 0; i < listed; i++) {
        const uint32_t op = list[i];
        const int64_t its_ns = tail_ns[op];
        if (its_ns < 0)
            continue;
        scratch->jobs[count++] = (lspo_job_t){head_ns[op], dag->work_ns[op], (uint64_t)its_ns};
        now_ns = (head_ns[op] > now_ns ? head_ns[op] : now_ns) + dag->work_ns[op];
        length_ns = now_ns + (uint64_t)its_ns > length_ns ? now_ns + (uint64_t)its_ns : length_ns;
        falls &= its_ns <= last_ns;
        last_ns = its_ns;
    }
    if (length_ns <= known_ns)
        return known_ns;
    if (!falls)
        length_ns = lspo_jackson_ns(scratch->jobs, count, scratch->waiting);
    return length_ns > known_ns ? length_ns : known_ns;
}

/* The longest paths from the ends of all ops before `op` to its start. */
static void find_paths(const dag_t *dag, uint32_t op, int64_t *path_ns)
{
    for (uint32_t i = 0; i < op; i++)
        path_ns[i] = -1;
    path_ns[op] = -(int64_t)dag->work_ns[op];
    for (uint32_t i = op + 1; i-- > 0;) {
        int64_t through_ns = path_ns[i] + (int64_t)dag->work_ns[i];
        if (i < op && path_ns[i] < 0)
            continue;
        for (uint32_t d = dag->dep_first[i]; d < dag->dep_first[i + 1]; d++)
            if (path_ns[dag->deps[d]] < through_ns)
                path_ns[dag->deps[d]] = through_ns;
    }
}

/* The least time to the start of `op`, which is at least `path_ns`, by the lanes of the ops before it. */
static uint64_t busy_head_ns(const dag_t *dag, uint32_t op, const uint64_t *head_ns, uint64_t path_ns,
                             scratch_t *scratch)
{
    uint64_t most_ns = path_ns;
    find_paths(dag, op, scratch->path_ns);
    for (uint32_t lane = 0; lane < dag->lane_count; lane++)
        most_ns = raise_to_lane_ns(dag, lane, head_ns, scratch->path_ns, most_ns, scratch);
    return most_ns;
}

/* Where paths join, lanes are looked at: at every step-th of these ops, so that the time stays bounded. */
static uint32_t joins_step(const dag_t *dag)
{
    enum { WORK_MOST = 1 << 20 };
    uint64_t joins = 0;
    for (uint32_t i = 0; i < dag->count; i++)
        joins += dag->dep_first[i + 1] - dag->dep_first[i] > 1;
    return (uint32_t)(joins * dag->count / WORK_MOST) + 1;
}

/* All heads; all ops are listed then. */
static void find_heads(const dag_t *dag, scratch_t *scratch, uint64_t *head_ns)
{
    uint32_t step = joins_step(dag), joins = 0;
    for (uint32_t op = 0; op < dag->count; op++) {
        head_ns[op] = 0;
        for (uint32_t d = dag->dep_first[op]; d < dag->dep_first[op + 1]; d++) {
            uint64_t end_ns = head_ns[dag->deps[d]] + dag->work_ns[dag->deps[d]];
            head_ns[op] = end_ns > head_ns[op] ? end_ns : head_ns[op];
        }
        if (dag->dep_first[op + 1] - dag->dep_first[op] > 1 && (joins++ % step == 0 || op + 1 == dag->count))
            head_ns[op] = busy_head_ns(dag, op, head_ns, head_ns[op], scratch);
        list_op(dag, head_ns, op, scratch);
    }
}

/* The window */

static void list_window(const search_t *search, lspo_op_id_t last, lspo_window_t *window)
{
    for (lspo_op_id_t id = window->barrier + 1; id <= last; id++)
        if (search->mark[id] == WITHIN)
            window->ops[window->count++] = id;
}

/* Dependencies between ops of the window; before[id] becomes their index in it. */
static void fill_dag(search_t *search, const lspo_window_t *window, const uint32_t *lane_of, dag_t *dag)
{
    const lspo_plan_t *plan = search->plan;
    uint32_t dep_count = 0;
    for (uint32_t i = 0; i < window->count; i++) {
        const lspo_op_t *op = &plan->ops[window->ops[i]];
        search->before[window->ops[i]] = i;
        dag->lane[i] = lane_of[op->lane];
        dag->lane_first[dag->lane[i] + 1]++;
        dag->work_ns[i] = lspo_cost_op_ns(op, search->work_ns);
        for (uint32_t d = 0; d < op->dep_count; d++) {
            lspo_op_id_t dep = plan->deps[op->dep_first + d];
            if (dep > window->barrier && search->mark[dep] == WITHIN)
                dag->deps[dep_count++] = search->before[dep];
        }
        dag->dep_first[i + 1] = dep_count;
    }
    for (uint32_t lane = 0; lane < dag->lane_count; lane++)
        dag->lane_first[lane + 1] += dag->lane_first[lane];
}

/* Numbers the lanes that have ops in the window; lane_of[] is UINT32_MAX for others. */
static uint32_t number_lanes(const lspo_plan_t *plan, const lspo_window_t *window, uint32_t *lane_of)
{
    uint32_t count = 0;
    for (uint32_t lane = 0; lane < plan->lanes.count; lane++)
        lane_of[lane] = UINT32_MAX;
    for (uint32_t i = 0; i < window->count; i++)
        if (lane_of[plan->ops[window->ops[i]].lane] == UINT32_MAX)
            lane_of[plan->ops[window->ops[i]].lane] = count++;
    return count;
}

static lspo_status_t build_dag(search_t *search, const lspo_window_t *window, dag_t *dag)
{
    const lspo_plan_t *plan = search->plan;
    uint32_t *lane_of = malloc(((size_t)plan->lanes.count + 1) * sizeof *lane_of);
    if (!lane_of)
        return lspo_no_memory("the lanes of a window");
    size_t dep_count = 0;
    for (uint32_t i = 0; i < window->count; i++)
        dep_count += plan->ops[window->ops[i]].dep_count;
    lspo_status_t status = create_dag(window->count, number_lanes(plan, window, lane_of), dep_count, dag);
    if (status == LSPO_OK)
        fill_dag(search, window, lane_of, dag);
    free(lane_of);
    return status;
}

/* The same ops in reverse order: index i is count - 1 - i there, and dependencies point the other way. */
static lspo_status_t reverse_dag(const dag_t *dag, dag_t *reversed)
{
    uint32_t count = dag->count;
    lspo_status_t status = create_dag(count, dag->lane_count, dag->dep_first[count], reversed);
    if (status != LSPO_OK)
        return status;
    memcpy(reversed->lane_first, dag->lane_first, ((size_t)dag->lane_count + 1) * sizeof *dag->lane_first);
    uint32_t *next =
        reversed->dep_first + 1; /* the place of an op's next dependency, in the end that behind its last */
    for (uint32_t d = 0; d < dag->dep_first[count]; d++)
        if (count - 1 - dag->deps[d] + 1 < count)
            next[count - 1 - dag->deps[d] + 1]++;
    for (uint32_t i = 1; i < count; i++)
        next[i] += next[i - 1];
    for (uint32_t i = 0; i < count; i++) {
        reversed->lane[count - 1 - i] = dag->lane[i];
        reversed->work_ns[count - 1 - i] = dag->work_ns[i];
        for (uint32_t d = dag->dep_first[i]; d < dag->dep_first[i + 1]; d++)
            reversed->deps[next[count - 1 - dag->deps[d]]++] = count - 1 - i;
    }
    return LSPO_OK;
}

static lspo_status_t find_tails(const dag_t *dag, uint64_t *tail_ns)
{
    dag_t reversed = {0};
    scratch_t scratch = {0};
    lspo_status_t status = reverse_dag(dag, &reversed);
    if (status == LSPO_OK)
        status = create_scratch(&reversed, &scratch);
    if (status == LSPO_OK)
        find_heads(&reversed, &scratch, tail_ns);
    release_scratch(&scratch);
    release_dag(&reversed);
    for (uint32_t i = 0; status == LSPO_OK && i < dag->count / 2; i++) {
        uint64_t swapped_ns = tail_ns[i];
        tail_ns[i] = tail_ns[dag->count - 1 - i];
        tail_ns[dag->count - 1 - i] = swapped_ns;
    }
    return status;
}

/* Heads, tails and the bound of the ops that are listed. */
static lspo_status_t bound_window(search_t *search, lspo_window_t *window)
{
    dag_t dag = {0};
    scratch_t scratch = {0};
    lspo_status_t status = build_dag(search, window, &dag);
    if (status != LSPO_OK)
        goto release;
    status = find_tails(&dag, window->tail_ns);
    if (status != LSPO_OK)
        goto release;
    status = create_scratch(&dag, &scratch);
    if (status != LSPO_OK)
        goto release;
    find_heads(&dag, &scratch, window->head_ns);
    for (uint32_t i = 0; i < dag.count; i++)
        scratch.path_ns[i] = (int64_t)window->tail_ns[i];
    for (uint32_t lane = 0; lane < dag.lane_count; lane++)
        window->bound_ns = raise_to_lane_ns(&dag, lane, window->head_ns, scratch.path_ns, window->bound_ns, &scratch);
release:
    release_scratch(&scratch);
    release_dag(&dag);
    return status;
}

static lspo_status_t fill_window(search_t *search, lspo_window_t *window)
{
    if (!find_cycle(search))
        return LSPO_OK;
    window->barrier = search->spine[best_barrier(search)];
    lspo_op_id_t last = later(search, window->barrier, search->iterations);
    if (last == LSPO_NO_OP || mark_between(search, window->barrier, last) == 0)
        return LSPO_OK;
    size_t most = (size_t)(last - window->barrier) + 1;
    window->ops = malloc(most * sizeof *window->ops);
    window->head_ns = malloc(most * sizeof *window->head_ns);
    window->tail_ns = malloc(most * sizeof *window->tail_ns);
    if (!window->ops || !window->head_ns || !window->tail_ns)
        return lspo_no_memory("a window of %zu ops", most);
    list_window(search, last, window);
    return bound_window(search, window);
}

lspo_status_t lspo_window_create(const lspo_plan_t *plan, const uint64_t *work_ns, lspo_iterations_t *its,
                                 uint32_t iterations, lspo_window_t *window_out)
{
    search_t search = {.plan = plan, .work_ns = work_ns, .its = its, .iterations = iterations};
    lspo_window_t window = {.barrier = LSPO_NO_OP, .iterations = iterations};
    lspo_status_t status = create_search(&search);
    if (status == LSPO_OK)
        status = fill_window(&search, &window);
    release_search(&search);
    if (status == LSPO_OK)
        *window_out = window;
    else
        lspo_window_release(&window);
    return status;
}

void lspo_window_release(lspo_window_t *window)
{
    free(window->tail_ns);
    free(window->head_ns);
    free(window->ops);
    *window = (lspo_window_t){.barrier = LSPO_NO_OP};
}
