/* window.c - the ops between two passes of a barrier, and the least time that they take; see window.h. */
#include "sim/window.h"

#include <stdbool.h>
#include <stdlib.h>

#include "plan/policy.h"
#include "sim/cost.h"
#include "sim/heads.h"

/* The barrier */

enum {
    STARTS_MOST = 16,   /* ops that are tried as the start of the longest cycle                         */
    BARRIERS_MOST = 64, /* barriers tried at once, a bit each; then those around the best                */
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

/* Of an op, a bit for each barrier that is tried: does it depend on the first pass, or is it that; does the second one
 * depend on it, or is it that? */
typedef struct {
    uint64_t behind, ahead;
} sides_t;

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

/* Marks the ops on which `last` depends and that depend on `first`; returns whether `last` does. */
static bool mark_between(search_t *search, lspo_op_id_t first, lspo_op_id_t last)
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
        return false;
    search->mark[last] = WITHIN;
    for (lspo_op_id_t id = last; id > first; id--) {
        const lspo_op_t *op = &plan->ops[id];
        if (search->mark[id] != WITHIN)
            continue;
        for (uint32_t i = 0; i < op->dep_count; i++) {
            lspo_op_id_t dep = plan->deps[op->dep_first + i];
            if (dep >= first && search->mark[dep] == AFTER)
                search->mark[dep] = WITHIN;
        }
    }
    return true;
}

/* Barriers that are tried at once. */
typedef struct {
    uint32_t count;
    lspo_op_id_t first[BARRIERS_MOST],
        second[BARRIERS_MOST];      /* their passes; firsts rise, a second may be LSPO_NO_OP */
    lspo_op_id_t last;              /* of all passes */
    sides_t *sides;                 /* of each op from first[0] to `last` */
    uint64_t sum_ns[BARRIERS_MOST]; /* of the work between both passes */
} trial_t;

static void list_barriers(search_t *search, uint32_t first, uint32_t last, uint32_t step, trial_t *trial)
{
    *trial = (trial_t){.last = search->spine[first]};
    for (uint32_t at = first; at <= last; at += step) {
        const lspo_op_id_t op = search->spine[at], second = later(search, op, search->iterations);
        trial->first[trial->count] = op;
        trial->second[trial->count++] = second;
        if (second != LSPO_NO_OP && second > trial->last)
            trial->last = second;
    }
}

/* Which ops depend on the first passes, or are one. */
static void find_behind(const search_t *search, trial_t *trial)
{
    const lspo_plan_t *plan = search->plan;
    const lspo_op_id_t base = trial->first[0];
    uint32_t next = 0;
    for (lspo_op_id_t id = base; id <= trial->last; id++) {
        const lspo_op_t *op = &plan->ops[id];
        uint64_t behind = 0;
        for (uint32_t i = 0; i < op->dep_count; i++) {
            lspo_op_id_t dep = plan->deps[op->dep_first + i];
            behind |= dep >= base ? trial->sides[dep - base].behind : 0;
        }
        if (next < trial->count && id == trial->first[next])
            behind |= (uint64_t)1 << next++;
        trial->sides[id - base] = (sides_t){.behind = behind};
    }
    for (uint32_t i = 0; i < trial->count; i++)
        if (trial->second[i] != LSPO_NO_OP && trial->second[i] > trial->first[i])
            trial->sides[trial->second[i] - base].ahead |= (uint64_t)1 << i;
}

/* To the sums of these barriers, where runs of bits begin and, negative, behind their ends. */
static void add_work(uint64_t barriers, uint64_t work_ns, uint64_t *sum_ns)
{
    for (uint64_t begins = barriers & ~(barriers << 1); begins != 0; begins &= begins - 1)
        sum_ns[__builtin_ctzll(begins)] += work_ns;
    for (uint64_t ends = ~barriers & (barriers << 1); ends != 0; ends &= ends - 1)
        sum_ns[__builtin_ctzll(ends)] -= work_ns;
}

/* The sums of what depends on a first pass and on what the second depends: backwards, once for all barriers. */
static void sum_between(const search_t *search, trial_t *trial)
{
    const lspo_plan_t *plan = search->plan;
    const lspo_op_id_t base = trial->first[0];
    uint32_t next = trial->count;
    for (lspo_op_id_t id = trial->last + 1; id-- > base;) {
        const lspo_op_t *op = &plan->ops[id];
        uint64_t between = trial->sides[id - base].behind & trial->sides[id - base].ahead;
        if (next > 0 && id == trial->first[next - 1])
            between &= ~((uint64_t)1 << --next);
        if (between == 0)
            continue;
        add_work(between, lspo_cost_op_ns(op, search->work_ns), trial->sum_ns);
        for (uint32_t i = 0; i < op->dep_count; i++) {
            lspo_op_id_t dep = plan->deps[op->dep_first + i];
            if (dep >= base)
                trial->sides[dep - base].ahead |= between;
        }
    }
    for (uint32_t i = 1; i < trial->count; i++)
        trial->sum_ns[i] += trial->sum_ns[i - 1];
}

/* The place on the spine of the barrier with the most work between its passes, of every step-th one from `first` to
 * `last`. */
static lspo_status_t try_barriers(search_t *search, uint32_t first, uint32_t last, uint32_t step, uint32_t *best_out)
{
    trial_t trial;
    list_barriers(search, first, last, step, &trial);
    const size_t count = (size_t)(trial.last - trial.first[0]) + 1;
    trial.sides = malloc(count * sizeof *trial.sides);
    if (!trial.sides)
        return lspo_no_memory("barriers among %zu ops", count);
    find_behind(search, &trial);
    sum_between(search, &trial);
    free(trial.sides);
    uint32_t best = 0;
    for (uint32_t i = 1; i < trial.count; i++)
        if (trial.sum_ns[i] > trial.sum_ns[best])
            best = i;
    *best_out = first + best * step;
    return LSPO_OK;
}

static lspo_status_t best_barrier(search_t *search, uint32_t *best_out)
{
    uint32_t last = search->spine_count - 1, step = last / BARRIERS_MOST + 1;
    lspo_status_t status = try_barriers(search, 0, last, step, best_out);
    while (status == LSPO_OK && step > 1) {
        uint32_t low = *best_out > step ? *best_out - step : 0;
        uint32_t high = *best_out + step < last ? *best_out + step : last;
        step = (high - low) / BARRIERS_MOST + 1;
        status = try_barriers(search, low, high, step, best_out);
    }
    return status;
}

/* The window */

static void list_window(const search_t *search, lspo_op_id_t last, lspo_window_t *window)
{
    for (lspo_op_id_t id = window->barrier + 1; id <= last; id++)
        if (search->mark[id] == WITHIN)
            window->ops[window->count++] = id;
}

/* Dependencies between ops of the window; before[id] becomes their index in it. */
static void fill_dag(search_t *search, const lspo_window_t *window, const uint32_t *lane_of, lspo_heads_dag_t *dag)
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

static lspo_status_t build_dag(search_t *search, const lspo_window_t *window, lspo_heads_dag_t *dag)
{
    const lspo_plan_t *plan = search->plan;
    uint32_t *lane_of = malloc(((size_t)plan->lanes.count + 1) * sizeof *lane_of);
    if (!lane_of)
        return lspo_no_memory("the lanes of a window");
    size_t dep_count = 0;
    for (uint32_t i = 0; i < window->count; i++)
        dep_count += plan->ops[window->ops[i]].dep_count;
    lspo_status_t status = lspo_heads_dag_create(window->count, number_lanes(plan, window, lane_of), dep_count, dag);
    if (status == LSPO_OK)
        fill_dag(search, window, lane_of, dag);
    free(lane_of);
    return status;
}

/* Heads, tails and the bound of the ops that are listed. */
static lspo_status_t bound_window(search_t *search, lspo_window_t *window)
{
    lspo_heads_dag_t dag = {0};
    lspo_status_t status = build_dag(search, window, &dag);
    if (status == LSPO_OK)
        status = lspo_heads_bound(&dag, window->head_ns, window->tail_ns, &window->bound_ns);
    lspo_heads_dag_release(&dag);
    return status;
}

static lspo_status_t fill_window(search_t *search, lspo_window_t *window)
{
    if (!find_cycle(search))
        return LSPO_OK;
    uint32_t best = 0;
    lspo_status_t status = best_barrier(search, &best);
    if (status != LSPO_OK)
        return status;
    window->barrier = search->spine[best];
    lspo_op_id_t last = later(search, window->barrier, search->iterations);
    if (last == LSPO_NO_OP || !mark_between(search, window->barrier, last))
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
