/* Jackson's schedule and heads against all sets of jobs, and the window between two passes of a barrier against plans
 * that are added up by hand and against the best of all schedules of small ones. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "sim/bound.h"
#include "sim/engine.h"
#include "sim/heads.h"
#include "sim/jackson.h"
#include "sim/window.h"
#include "tests/plan_maker.h"
#include "traces/summary.h"

enum { JOBS_MAX = 9, ITERATIONS = 6, LAYERS_MAX = 64 };

/* max over sets S of jobs of (min head + sum work + min tail), [Carlier 1982]. */
static uint64_t largest_set_ns(const lspo_job_t *jobs, uint32_t count)
{
    uint64_t largest_ns = 0;
    for (uint32_t set = 1; set < 1u << count; set++) {
        uint64_t head_ns = UINT64_MAX, work_ns = 0, tail_ns = UINT64_MAX;
        for (uint32_t j = 0; j < count; j++) {
            if ((set >> j & 1) == 0)
                continue;
            head_ns = jobs[j].head_ns < head_ns ? jobs[j].head_ns : head_ns;
            tail_ns = jobs[j].tail_ns < tail_ns ? jobs[j].tail_ns : tail_ns;
            work_ns += jobs[j].work_ns;
        }
        uint64_t set_ns = head_ns + work_ns + tail_ns;
        largest_ns = set_ns > largest_ns ? set_ns : largest_ns;
    }
    return largest_ns;
}

Test(jackson, is_the_largest_of_all_sets)
{
    lspo_waiting_job_t room[2 * JOBS_MAX];
    cr_expect_eq(lspo_jackson_ns(NULL, 0, room), 0u);
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        uint64_t state = seed * 0x9e3779b97f4a7c15u, head_ns = 0;
        uint32_t count = 1 + (uint32_t)maker_below(&state, JOBS_MAX);
        lspo_job_t jobs[JOBS_MAX];
        for (uint32_t j = 0; j < count; j++) {
            head_ns += maker_below(&state, 12);
            jobs[j] = (lspo_job_t){head_ns, maker_below(&state, 20), maker_below(&state, 60)};
        }
        uint64_t wanted_ns = largest_set_ns(jobs, count);
        cr_expect_eq(lspo_jackson_ns(jobs, count, room), wanted_ns, "seed %lu", seed);
    }
}

enum { DAG_OPS = 16, DAG_LANES = 3 };

/* Ops on three lanes; each waits for up to three earlier ones. */
static lspo_heads_dag_t random_dag(uint64_t seed)
{
    uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
    lspo_heads_dag_t dag;
    cr_assert_eq(lspo_heads_dag_create(DAG_OPS, DAG_LANES, 3 * DAG_OPS, &dag), LSPO_OK);
    for (uint32_t op = 0, deps = 0; op < DAG_OPS; op++) {
        dag.lane[op] = (uint32_t)maker_below(&state, DAG_LANES);
        dag.lane_first[dag.lane[op] + 1]++;
        dag.work_ns[op] = maker_below(&state, 30);
        for (uint64_t d = op > 0 ? maker_below(&state, 4) : 0; d > 0; d--)
            dag.deps[deps++] = op - 1 - (uint32_t)maker_below(&state, op < 6 ? op : 6);
        dag.dep_first[op + 1] = deps;
    }
    for (uint32_t lane = 0; lane < DAG_LANES; lane++)
        dag.lane_first[lane + 1] += dag.lane_first[lane];
    return dag;
}

/* The longest path from the end of `from` to the start of `to`; -1: there is none. */
static int64_t longest_path_ns(const lspo_heads_dag_t *dag, uint32_t from, uint32_t to)
{
    int64_t longest_ns = from == to ? -(int64_t)dag->work_ns[to] : -1;
    bool found = from == to;
    for (uint32_t d = dag->dep_first[to]; d < dag->dep_first[to + 1]; d++) {
        const uint32_t dep = dag->deps[d];
        const int64_t before_ns = dep < from ? -1 : dep == from ? 0 : longest_path_ns(dag, from, dep);
        const int64_t path_ns = before_ns < 0 ? -1 : before_ns + (dep == from ? 0 : (int64_t)dag->work_ns[dep]);
        longest_ns = path_ns >= 0 && (!found || path_ns > longest_ns) ? path_ns : longest_ns;
        found |= path_ns >= 0;
    }
    return longest_ns;
}

/* By the definition in sim/window.h, with the heads of the ops before it. */
static uint64_t defined_head_ns(const lspo_heads_dag_t *dag, uint32_t op, const uint64_t *head_ns)
{
    uint64_t most_ns = 0;
    for (uint32_t d = dag->dep_first[op]; d < dag->dep_first[op + 1]; d++) {
        const uint64_t end_ns = head_ns[dag->deps[d]] + dag->work_ns[dag->deps[d]];
        most_ns = end_ns > most_ns ? end_ns : most_ns;
    }
    const bool joins = dag->dep_first[op + 1] - dag->dep_first[op] > 1;
    for (uint32_t lane = 0; joins && lane < DAG_LANES; lane++) {
        lspo_job_t jobs[DAG_OPS];
        uint32_t count = 0;
        for (uint32_t i = 0; i < op; i++) {
            const int64_t path_ns = dag->lane[i] == lane ? longest_path_ns(dag, i, op) : -1;
            if (path_ns >= 0)
                jobs[count++] = (lspo_job_t){head_ns[i], dag->work_ns[i], (uint64_t)path_ns};
        }
        const uint64_t set_ns = largest_set_ns(jobs, count);
        most_ns = set_ns > most_ns ? set_ns : most_ns;
    }
    return most_ns;
}

Test(heads, are_those_of_all_sets_before_an_op)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        lspo_heads_dag_t dag = random_dag(seed);
        uint64_t head_ns[DAG_OPS], tail_ns[DAG_OPS], bound_ns = 0, wanted_ns = 0;
        cr_assert_eq(lspo_heads_bound(&dag, head_ns, tail_ns, &bound_ns), LSPO_OK);
        for (uint32_t op = 0; op < DAG_OPS; op++)
            cr_expect_eq(head_ns[op], defined_head_ns(&dag, op, head_ns), "seed %lu, op %u", seed, op);
        for (uint32_t lane = 0; lane < DAG_LANES; lane++) {
            lspo_job_t jobs[DAG_OPS];
            uint32_t count = 0;
            for (uint32_t op = 0; op < DAG_OPS; op++)
                if (dag.lane[op] == lane)
                    jobs[count++] = (lspo_job_t){head_ns[op], dag.work_ns[op], tail_ns[op]};
            const uint64_t set_ns = largest_set_ns(jobs, count);
            wanted_ns = set_ns > wanted_ns ? set_ns : wanted_ns;
        }
        cr_expect_eq(bound_ns, wanted_ns, "seed %lu", seed);
        lspo_heads_dag_release(&dag);
    }
}

enum { MANY_OPS = 300, MANY_LANES = 6 };

/* Lanes take turns to have a run of ops; each waits for the one before it on its lane, as a rule, and for a late one of
 * another lane. */
static lspo_heads_dag_t long_dag(uint64_t seed)
{
    uint64_t state = seed * 0x9e3779b97f4a7c15u + 5;
    uint32_t last[MANY_LANES] = {0};
    lspo_heads_dag_t dag;
    cr_assert_eq(lspo_heads_dag_create(MANY_OPS, MANY_LANES, 2 * MANY_OPS, &dag), LSPO_OK);
    for (uint32_t op = 0, deps = 0; op < MANY_OPS; op++) {
        const uint32_t lane = op < MANY_LANES ? op : (uint32_t)maker_below(&state, MANY_LANES);
        dag.lane[op] = lane;
        dag.lane_first[lane + 1]++;
        dag.work_ns[op] = maker_below(&state, 30);
        if (op >= MANY_LANES && maker_below(&state, 8) > 0)
            dag.deps[deps++] = last[lane];
        if (op > 0 && maker_below(&state, 2) > 0)
            dag.deps[deps++] = op - 1 - (uint32_t)maker_below(&state, op < 20 ? op : 20);
        last[lane] = op;
        dag.dep_first[op + 1] = deps;
    }
    for (uint32_t lane = 0; lane < MANY_LANES; lane++)
        dag.lane_first[lane + 1] += dag.lane_first[lane];
    return dag;
}

static int compare_jobs(const void *left, const void *right)
{
    const lspo_job_t *a = left, *b = right;
    return (a->head_ns > b->head_ns) - (a->head_ns < b->head_ns);
}

/* The head of `op` by Jackson's schedules of the ops from which there are paths to it. */
static uint64_t scheduled_head_ns(const lspo_heads_dag_t *dag, uint32_t op, const uint64_t *head_ns)
{
    int64_t path_ns[MANY_OPS];
    lspo_waiting_job_t room[2 * MANY_OPS];
    uint64_t most_ns = 0;
    for (uint32_t i = 0; i <= op; i++)
        path_ns[i] = i < op ? -1 : -(int64_t)dag->work_ns[op];
    for (uint32_t i = op + 1; i-- > 0;)
        for (uint32_t d = dag->dep_first[i]; d < dag->dep_first[i + 1] && (i == op || path_ns[i] >= 0); d++) {
            const int64_t through_ns = path_ns[i] + (int64_t)dag->work_ns[i];
            path_ns[dag->deps[d]] = through_ns > path_ns[dag->deps[d]] ? through_ns : path_ns[dag->deps[d]];
        }
    const bool joins = dag->dep_first[op + 1] - dag->dep_first[op] > 1;
    for (uint32_t lane = 0; lane < MANY_LANES; lane++) {
        lspo_job_t jobs[MANY_OPS];
        uint32_t count = 0;
        for (uint32_t i = 0; i < op; i++) {
            if (path_ns[i] < 0 || dag->lane[i] != lane)
                continue;
            jobs[count++] = (lspo_job_t){head_ns[i], dag->work_ns[i], (uint64_t)path_ns[i]};
            const uint64_t path_end_ns = head_ns[i] + dag->work_ns[i] + (uint64_t)path_ns[i];
            most_ns = path_end_ns > most_ns ? path_end_ns : most_ns;
        }
        qsort(jobs, count, sizeof *jobs, compare_jobs);
        const uint64_t lane_ns = joins ? lspo_jackson_ns(jobs, count, room) : 0;
        most_ns = lane_ns > most_ns ? lane_ns : most_ns;
    }
    return most_ns;
}

Test(heads, are_those_of_schedules_of_all_before_an_op)
{
    uint64_t head_ns[MANY_OPS], tail_ns[MANY_OPS];
    for (uint64_t seed = 1; seed <= 20; seed++) {
        lspo_heads_dag_t dag = long_dag(seed);
        uint64_t bound_ns = 0;
        cr_assert_eq(lspo_heads_bound(&dag, head_ns, tail_ns, &bound_ns), LSPO_OK);
        for (uint32_t op = 0; op < MANY_OPS; op++)
            cr_expect_eq(head_ns[op], scheduled_head_ns(&dag, op, head_ns), "seed %lu, op %u", seed, op);
        lspo_heads_dag_release(&dag);
    }
}

/* The three layers of zero: FWD 10 each; BWD 20 each, then D2H 8; UPD 30 each once all have arrived; H2D 5; the next
 * FWD of layer 0 waits for all.  From the end of a first FWD of layer 0 to that of the next one:
 *     FWD 1, FWD 2, BWD 2, BWD 1, BWD 0, D2H 0    10 + 10 + 60 + 8 = 88, where the UPD of all begin
 *     on the CPU                                  88 + 3 x 30 = 178
 *     then the last H2D and the next FWD          178 + 5 + 10 = 193
 * Neither a chain of ops (one UPD: 133) nor a busy lane (100, the GPU) shows this. */
static plan_maker_t zero_plan(void)
{
    enum { LAYERS = 3 };
    plan_maker_t maker = maker_create();
    lspo_op_id_t sent[LAYERS], returned[LAYERS], last = LSPO_NO_OP;
    for (uint32_t i = 0; i < ITERATIONS; i++) {
        for (uint32_t l = 0; l < LAYERS; l++) {
            lspo_op_id_t fwd = maker_op(&maker, LSPO_OP_FWD, l, i, 10);
            maker_depend(&maker, last);
            for (uint32_t other = 0; l == 0 && i > 0 && other < LAYERS; other++)
                maker_depend(&maker, returned[other]);
            last = fwd;
        }
        for (uint32_t l = LAYERS; l-- > 0;) {
            lspo_op_id_t bwd = maker_op(&maker, LSPO_OP_BWD, l, i, 20);
            maker_depend(&maker, last);
            last = bwd;
            sent[l] = maker_op(&maker, LSPO_OP_D2H, l, i, 8);
            maker_depend(&maker, bwd);
        }
        for (uint32_t l = 0; l < LAYERS; l++) {
            lspo_op_id_t upd = maker_op(&maker, LSPO_OP_UPD, l, i, 30);
            for (uint32_t other = 0; other < LAYERS; other++)
                maker_depend(&maker, sent[other]);
            returned[l] = maker_op(&maker, LSPO_OP_H2D, l, i, 5);
            maker_depend(&maker, upd);
        }
    }
    return maker;
}

static lspo_window_t window_of(const plan_maker_t *maker, uint32_t iterations)
{
    lspo_iterations_t its;
    lspo_window_t window = {0};
    cr_assert_eq(lspo_iterations_create(&maker->plan, &its), LSPO_OK);
    cr_assert_eq(lspo_window_create(&maker->plan, maker->work_ns, &its, iterations, &window), LSPO_OK);
    lspo_iterations_release(&its);
    return window;
}

Test(window, by_hand)
{
    plan_maker_t maker = zero_plan();
    lspo_window_t window = window_of(&maker, 1);
    cr_expect_eq(window.bound_ns, 193u);
    cr_expect_eq(window.count, 15u, "all ops of an iteration, %u", window.count);
    for (uint32_t i = 0; i < window.count; i++) {
        const lspo_op_t *op = &maker.plan.ops[window.ops[i]];
        if (op->kind != LSPO_OP_UPD)
            continue;
        cr_expect_eq(window.head_ns[i], 88u);
        cr_expect_eq(window.tail_ns[i], 15u);
    }
    lspo_window_release(&window);
    window = window_of(&maker, 2);
    cr_expect_eq(window.bound_ns, 2 * 193u);
    lspo_window_release(&window);
    window = window_of(&maker, ITERATIONS); /* does not fit */
    cr_expect_eq(window.count, 0u);
    lspo_window_release(&window);
    maker_release(&maker);
}

/* Iterations that begin with op 0, for which all others wait and which waits for all of the iteration before; the
 * others wait for some earlier ones.  Three lanes. */
static plan_maker_t barrier_plan(uint64_t seed, uint32_t count)
{
    plan_maker_t maker = maker_create();
    for (uint32_t iteration = 0; iteration < ITERATIONS; iteration++) {
        uint64_t state = seed * 0x9e3779b97f4a7c15u + 3;
        uint32_t first = iteration * count;
        for (uint32_t i = 0; i < count; i++) {
            lspo_lane_kind_t lane = (lspo_lane_kind_t)maker_below(&state, 3);
            maker_op(&maker, maker_kind(lane), i, iteration, 1 + maker_below(&state, 30));
            maker_depend(&maker, i > 0 ? first : LSPO_NO_OP);
            for (uint64_t d = maker_below(&state, 3); d > 0 && i > 1; d--)
                maker_depend(&maker, first + 1 + (uint32_t)maker_below(&state, i - 1));
            for (uint32_t other = 0; i == 0 && iteration > 0 && other < count; other++)
                maker_depend(&maker, first - 1 - other);
        }
    }
    return maker;
}

typedef struct {
    const plan_maker_t *maker;
    uint32_t count;
    uint64_t end_ns[JOBS_MAX], free_ns[LSPO_DEVICE_LANES], best_ns;
    bool done[JOBS_MAX];
} schedule_t;

/* All orders in which ops 1 to count - 1 of the first iteration may be started, each as early as it can: the best
 * schedule is one of them. */
static void try_orders(schedule_t *schedule, uint32_t left, uint64_t length_ns)
{
    if (left == 0)
        schedule->best_ns = length_ns < schedule->best_ns ? length_ns : schedule->best_ns;
    for (uint32_t i = 1; left > 0 && length_ns < schedule->best_ns && i < schedule->count; i++) {
        const lspo_op_t *op = &schedule->maker->plan.ops[i];
        uint64_t free_ns = schedule->free_ns[op->lane], start_ns = free_ns;
        bool ready = !schedule->done[i];
        for (uint32_t d = 0; d < op->dep_count; d++) {
            lspo_op_id_t dep = schedule->maker->plan.deps[op->dep_first + d];
            ready &= dep == 0 || schedule->done[dep];
            start_ns = dep > 0 && schedule->end_ns[dep] > start_ns ? schedule->end_ns[dep] : start_ns;
        }
        if (!ready)
            continue;
        uint64_t end_ns = start_ns + schedule->maker->work_ns[i * LSPO_LANE_KIND_COUNT];
        schedule->done[i] = true;
        schedule->end_ns[i] = schedule->free_ns[op->lane] = end_ns;
        try_orders(schedule, left - 1, end_ns > length_ns ? end_ns : length_ns);
        schedule->done[i] = false;
        schedule->free_ns[op->lane] = free_ns;
    }
}

static uint64_t simulated_ns(const plan_maker_t *maker)
{
    lspo_machine_t machine = maker_machine();
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_engine_play(&maker->plan, &machine, maker->work_ns, &trace), LSPO_OK);
    uint64_t last_ns = 0;
    for (uint32_t i = 0; i < trace->row_count; i++)
        last_ns = trace->rows[i].end_ns > last_ns ? trace->rows[i].end_ns : last_ns;
    lspo_trace_destroy(trace);
    return last_ns / ITERATIONS;
}

/* The bound is the best schedule in most of these plans, and never more. */
Test(window, is_never_above_the_best_schedule)
{
    enum { PLANS = 400 };
    uint32_t tight = 0;
    for (uint64_t seed = 1; seed <= PLANS; seed++) {
        uint32_t count = 4 + (uint32_t)(seed % (JOBS_MAX - 3));
        plan_maker_t maker = barrier_plan(seed, count);
        schedule_t schedule = {.maker = &maker, .count = count, .best_ns = UINT64_MAX};
        try_orders(&schedule, count - 1, 0);
        uint64_t best_ns = schedule.best_ns + maker.work_ns[0];
        double bound_s = 0;
        cr_assert_eq(lspo_bound_iteration(&maker.plan, maker.work_ns, &bound_s), LSPO_OK);
        cr_expect_leq(1e9 * bound_s, (double)best_ns + 1e-3, "seed %lu: bound %f, best %lu", seed, 1e9 * bound_s,
                      best_ns);
        cr_expect_geq(simulated_ns(&maker), best_ns, "seed %lu: no order of the engine beats the best", seed);
        tight += 1e9 * bound_s > (double)best_ns - 1e-3;
        maker_release(&maker);
    }
    cr_log_info("tight in %u of %u", tight, PLANS);
    cr_expect_geq(tight, 0.9 * PLANS, "%u of %u", tight, PLANS);
}

/* Heads and tails are least times: with them, no schedule that is played starts an op earlier after the barrier, or
 * passes it earlier after an op. */
Test(window, heads_and_tails_hold_in_a_played_plan)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        plan_maker_t maker = barrier_plan(seed, 60);
        lspo_machine_t machine = maker_machine();
        lspo_window_t window = window_of(&maker, 1);
        lspo_trace_t *trace = NULL;
        static uint64_t start_ns[MAKER_OPS_MAX], end_ns[MAKER_OPS_MAX];
        cr_assert_eq(lspo_engine_play(&maker.plan, &machine, maker.work_ns, &trace), LSPO_OK);
        for (uint32_t i = 0; i < trace->row_count; i++) {
            start_ns[trace->rows[i].op] = trace->rows[i].start_ns;
            end_ns[trace->rows[i].op] = trace->rows[i].end_ns;
        }
        cr_assert_eq(window.count, 60u);
        uint64_t from_ns = end_ns[window.barrier], to_ns = end_ns[window.ops[59]];
        cr_expect_leq(window.bound_ns, to_ns - from_ns);
        for (uint32_t i = 0; i < window.count; i++) {
            cr_expect_leq(window.head_ns[i], start_ns[window.ops[i]] - from_ns, "seed %lu, op %u", seed, i);
            cr_expect_leq(window.tail_ns[i], to_ns - end_ns[window.ops[i]], "seed %lu, op %u", seed, i);
        }
        lspo_trace_destroy(trace);
        lspo_window_release(&window);
        maker_release(&maker);
    }
}

/* A chain of FWD through all iterations, with D2H that each run beside some links of it. */
static plan_maker_t chain_plan(uint64_t seed, uint32_t layers)
{
    plan_maker_t maker = maker_create();
    uint64_t state = seed * 0x9e3779b97f4a7c15u + 5;
    lspo_op_id_t last = LSPO_NO_OP, side[3 * LAYERS_MAX];
    uint32_t until[LAYERS_MAX];
    for (uint32_t l = 0; l < layers; l++)
        until[l] = maker_below(&state, 3) > 0 ? 2 + (uint32_t)maker_below(&state, layers) : 0;
    for (uint32_t place = 0; place < ITERATIONS * layers; place++) {
        const uint32_t layer = place % layers, iteration = place / layers;
        const lspo_op_id_t fwd = maker_op(&maker, LSPO_OP_FWD, layer, iteration, 1 + 7 * layer % 5);
        maker_depend(&maker, last);
        for (uint32_t from = place > 2 * layers ? place - 2 * layers : 0; from < place; from++)
            if (until[from % layers] > 0 && from + until[from % layers] == place)
                maker_depend(&maker, side[from % (3 * layers)]);
        last = fwd;
        if (until[layer] == 0)
            continue;
        side[place % (3 * layers)] = maker_op(&maker, LSPO_OP_D2H, layer, iteration, 1 + 11 * layer % 13);
        maker_depend(&maker, fwd);
    }
    return maker;
}

/* The work of the ops that depend on `first` and on which `last` depends, and of that. */
static uint64_t work_between_ns(const plan_maker_t *maker, lspo_op_id_t first, lspo_op_id_t last)
{
    const lspo_plan_t *plan = &maker->plan;
    static bool behind[MAKER_OPS_MAX], ahead[MAKER_OPS_MAX];
    uint64_t sum_ns = 0;
    for (lspo_op_id_t id = 0; id <= last; id++) {
        behind[id] = ahead[id] = false;
        for (uint32_t d = 0; d < plan->ops[id].dep_count; d++) {
            const lspo_op_id_t dep = plan->deps[plan->ops[id].dep_first + d];
            behind[id] |= dep == first || behind[dep];
        }
    }
    ahead[last] = true;
    for (lspo_op_id_t id = last + 1; id-- > 0;) {
        sum_ns += ahead[id] && behind[id] ? maker->work_ns[(size_t)id * LSPO_LANE_KIND_COUNT] : 0;
        for (uint32_t d = 0; ahead[id] && d < plan->ops[id].dep_count; d++)
            ahead[plan->deps[plan->ops[id].dep_first + d]] = true;
    }
    return sum_ns;
}

/* Of all FWD, the first of those with the most work between two passes; up to 64, as many as are tried at once. */
Test(window, begins_where_most_work_is_between)
{
    for (uint64_t seed = 1; seed <= 62; seed++) {
        const uint32_t layers = 3 + (uint32_t)(seed % (LAYERS_MAX - 2)), iterations = 1 + (uint32_t)(seed % 2);
        plan_maker_t maker = chain_plan(seed, layers);
        lspo_window_t window = window_of(&maker, iterations);
        lspo_op_id_t first[LAYERS_MAX], last[LAYERS_MAX], wanted = LSPO_NO_OP;
        uint64_t most_ns = 0, listed_ns = 0;
        const uint32_t iteration = ITERATIONS - iterations - 2;
        for (lspo_op_id_t id = 0; id < maker.plan.op_count; id++) {
            const lspo_op_t *op = &maker.plan.ops[id];
            if (op->kind == LSPO_OP_FWD && op->iteration == iteration)
                first[op->layer] = id;
            if (op->kind == LSPO_OP_FWD && op->iteration == iteration + iterations)
                last[op->layer] = id;
        }
        for (uint32_t l = 0; l < layers; l++) {
            const uint64_t sum_ns = work_between_ns(&maker, first[l], last[l]);
            wanted = sum_ns > most_ns ? first[l] : wanted;
            most_ns = sum_ns > most_ns ? sum_ns : most_ns;
        }
        for (uint32_t i = 0; i < window.count; i++)
            listed_ns += maker.work_ns[(size_t)window.ops[i] * LSPO_LANE_KIND_COUNT];
        cr_expect_eq(window.barrier, wanted, "seed %lu: %u, not %u", seed, window.barrier, wanted);
        cr_expect_eq(listed_ns, most_ns, "seed %lu", seed);
        lspo_window_release(&window);
        maker_release(&maker);
    }
}
