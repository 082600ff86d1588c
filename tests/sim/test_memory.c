/* Memory replay against levels worked out by hand and against a sum over all ops at every instant. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "plan/machine.h"
#include "plan/policies/lsp.h"
#include "plan/policy.h"
#include "sim/engine.h"
#include "sim/memory.h"
#include "sim/memory_bound.h"
#include "sim/memory_least.h"
#include "sim/sim.h"
#include "sim/trial.h"
#include "tests/plan_maker.h"

/* FWD 0 (0-10) takes 100; FWD 1 (10-20) takes 50 and gives back 100; D2H (10-40) takes 30 and gives back all 80.
 *     0: 100    10: 100 + 50 + 30 = 180    20: 80    40: 0          static 1,000 -> peak 1,180
 * Host: D2H takes 7 (and gives 7 back)                              static 500   -> peak 507 */
static plan_maker_t hand_plan(void)
{
    plan_maker_t maker = maker_create();
    maker.plan.gpu_static_bytes = 1000;
    maker.plan.host_static_bytes = 500;
    maker_op(&maker, LSPO_OP_FWD, 0, 0, 10);
    maker.plan.ops[0].gpu_alloc_bytes = 100;
    maker_op(&maker, LSPO_OP_FWD, 1, 0, 10);
    maker_depend(&maker, 0);
    maker.plan.ops[1].gpu_alloc_bytes = 50;
    maker.plan.ops[1].gpu_free_bytes = 100;
    maker_op(&maker, LSPO_OP_D2H, 0, 0, 30);
    maker_depend(&maker, 0);
    maker.plan.ops[2].gpu_alloc_bytes = 30;
    maker.plan.ops[2].gpu_free_bytes = 80;
    maker.plan.ops[2].host_alloc_bytes = maker.plan.ops[2].host_free_bytes = 7;
    return maker;
}

static lspo_trace_t *play(const plan_maker_t *maker)
{
    lspo_machine_t machine = maker_machine();
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_engine_play(&maker->plan, &machine, maker->work_ns, &trace), LSPO_OK);
    return trace;
}

Test(memory, hand_computed_peak)
{
    plan_maker_t maker = hand_plan();
    lspo_trace_t *trace = play(&maker);
    uint64_t gpu_bytes = 0, host_bytes = 0;
    cr_assert_eq(lspo_memory_replay(&maker.plan, trace, &gpu_bytes, &host_bytes), LSPO_OK);
    cr_expect_eq(gpu_bytes, 1180u, "%lu", gpu_bytes);
    cr_expect_eq(host_bytes, 507u, "%lu", host_bytes);
    lspo_trace_destroy(trace);
    maker_release(&maker);
}

static uint64_t least_of(const plan_maker_t *maker)
{
    uint64_t gpu_bytes = 0;
    cr_assert_eq(lspo_memory_least(&maker->plan, &gpu_bytes), LSPO_OK);
    return gpu_bytes;
}

/* D2H may have ended when FWD 1 starts: 100 when FWD 0 does, 100 - 50 + 50 then.  Where D2H waits for FWD 1, and FWD 1
 * for an H2D, too, that takes 20: 100 + 20 + 50.  D2H may give back 10 of them before BWD takes 200. */
Test(memory_least, by_hand)
{
    plan_maker_t maker = hand_plan();
    cr_expect_eq(least_of(&maker), 1100u);
    maker_release(&maker);
    maker = maker_create();
    maker.plan.gpu_static_bytes = 1000;
    maker_op(&maker, LSPO_OP_FWD, 0, 0, 10);
    maker.plan.ops[0].gpu_alloc_bytes = 100;
    maker_op(&maker, LSPO_OP_H2D, 1, 0, 10);
    maker.plan.ops[1].gpu_alloc_bytes = 20;
    maker_op(&maker, LSPO_OP_FWD, 1, 0, 10);
    maker_depend(&maker, 0);
    maker_depend(&maker, 1);
    maker.plan.ops[2].gpu_alloc_bytes = 50;
    maker_op(&maker, LSPO_OP_D2H, 1, 0, 10);
    maker_depend(&maker, 2);
    maker.plan.ops[3].gpu_free_bytes = 10;
    cr_expect_eq(least_of(&maker), 1170u);
    maker_op(&maker, LSPO_OP_BWD, 1, 0, 10);
    maker_depend(&maker, 2);
    maker.plan.ops[4].gpu_alloc_bytes = 200;
    maker.plan.ops[4].gpu_free_bytes = 360;
    cr_expect_eq(least_of(&maker), 1360u);
    maker_release(&maker);
}

/* FWD of peer 0 (0-10) takes 100, SEND (10-20) gives them back there and takes 70 at peer 1, whose FWD (20-30) takes 50
 * and gives back 120.  Static memory 1,000 and 1,005: peaks 1,100 and 1,125, not their sum. */
Test(memory, each_peer_has_its_own)
{
    static lspo_peer_static_t statics[] = {{1000, 0}, {1005, 0}};
    plan_maker_t maker = maker_create();
    uint64_t gpu_bytes = 0, host_bytes = 0;
    lspo_peer_peaks_t peaks = {0};
    const uint32_t net = maker_lane(&maker, LSPO_LANE_NET, 0, 0), gpu = maker_lane(&maker, LSPO_LANE_GPU, 0, 1);
    maker.plan.gpu_static_bytes = 1005;
    maker.plan.peer_static = statics;
    maker_op(&maker, LSPO_OP_FWD, 0, 0, 10);
    maker.plan.ops[0].gpu_alloc_bytes = 100;
    maker_op_on(&maker, net, LSPO_OP_SEND, 0, 0, 10);
    maker_depend(&maker, 0);
    maker.plan.ops[1].gpu_alloc_bytes = 70;
    maker.plan.ops[1].gpu_free_bytes = 100;
    maker_op_on(&maker, gpu, LSPO_OP_FWD, 1, 0, 10);
    maker_depend(&maker, 1);
    maker.plan.ops[2].gpu_alloc_bytes = 50;
    maker.plan.ops[2].gpu_free_bytes = 120;
    lspo_trace_t *trace = play(&maker);
    cr_assert_eq(lspo_memory_replay_peers(&maker.plan, trace, &peaks), LSPO_OK);
    cr_assert_eq(peaks.count, 2u);
    cr_expect_eq(peaks.gpu_bytes[0], 1100u);
    cr_expect_eq(peaks.gpu_bytes[1], 1125u);
    cr_assert_eq(lspo_memory_replay(&maker.plan, trace, &gpu_bytes, &host_bytes), LSPO_OK);
    cr_expect_eq(gpu_bytes, 1125u);
    cr_assert_eq(lspo_memory_bound(&maker.plan, trace, 0, &gpu_bytes, &host_bytes), LSPO_OK);
    cr_expect_eq(gpu_bytes, 1125u);
    lspo_peer_peaks_release(&peaks);
    lspo_trace_destroy(trace);
    maker_release(&maker);
}

/* Two ops back to back that take 100 each and give it back: at 10 the end comes first, so the peak is 100, not 200. */
Test(memory, ends_come_before_starts)
{
    plan_maker_t maker = maker_create();
    for (uint32_t i = 0; i < 2; i++) {
        maker_op(&maker, LSPO_OP_FWD, i, 0, 10);
        maker.plan.ops[i].gpu_alloc_bytes = maker.plan.ops[i].gpu_free_bytes = 100;
    }
    lspo_trace_t *trace = play(&maker);
    uint64_t gpu_bytes = 0, host_bytes = 1;
    cr_assert_eq(lspo_memory_replay(&maker.plan, trace, &gpu_bytes, &host_bytes), LSPO_OK);
    cr_expect_eq(gpu_bytes, 100u);
    cr_expect_eq(host_bytes, 0u);
    lspo_trace_destroy(trace);
    maker_release(&maker);
}

Test(memory, refuses_what_does_not_balance)
{
    plan_maker_t maker = hand_plan();
    lspo_trace_t *trace = play(&maker);
    uint64_t gpu_bytes = 0, host_bytes = 0;
    maker.plan.ops[2].gpu_free_bytes = 79;
    cr_expect_eq(lspo_memory_replay(&maker.plan, trace, &gpu_bytes, &host_bytes), LSPO_ERR_CHECK);
    maker.plan.ops[2].gpu_free_bytes = 80;
    maker.plan.ops[0].host_free_bytes = 1;
    cr_expect_eq(lspo_memory_replay(&maker.plan, trace, &gpu_bytes, &host_bytes), LSPO_ERR_CHECK);
    maker.plan.ops[0].host_free_bytes = 0;
    trace->rows[0].op = 3;
    cr_expect_eq(lspo_memory_replay(&maker.plan, trace, &gpu_bytes, &host_bytes), LSPO_ERR_CHECK);
    cr_expect_eq(gpu_bytes, 0u, "set only on success");
    lspo_trace_destroy(trace);
    maker_release(&maker);
}

/* Level right after every start, from scratch: all that started less all that ended by then. */
static int64_t reference_peak(const lspo_plan_t *plan, const lspo_trace_t *trace)
{
    int64_t peak_bytes = 0;
    for (uint32_t at = 0; at < trace->row_count; at++) {
        int64_t level_bytes = 0;
        for (uint32_t i = 0; i < trace->row_count; i++) {
            const lspo_trace_row_t *row = &trace->rows[i];
            if (row->start_ns <= trace->rows[at].start_ns)
                level_bytes += (int64_t)plan->ops[row->op].gpu_alloc_bytes;
            if (row->end_ns <= trace->rows[at].start_ns)
                level_bytes -= (int64_t)plan->ops[row->op].gpu_free_bytes;
        }
        peak_bytes = level_bytes > peak_bytes ? level_bytes : peak_bytes;
    }
    return peak_bytes;
}

Test(memory, equals_a_recount_on_random_plans)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        plan_maker_t maker = maker_random_plan(seed, 150);
        maker.plan.gpu_static_bytes = 12345;
        maker.plan.host_static_bytes = 678;
        lspo_trace_t *trace = play(&maker);
        uint64_t gpu_bytes = 0, host_bytes = 0;
        cr_assert_eq(lspo_memory_replay(&maker.plan, trace, &gpu_bytes, &host_bytes), LSPO_OK);
        cr_expect_eq((int64_t)gpu_bytes, 12345 + reference_peak(&maker.plan, trace));
        cr_expect_gt(host_bytes, 678u);
        lspo_trace_destroy(trace);
        maker_release(&maker);
    }
}

/* What most ops take is given back by an op that waits for them, perhaps on another lane.  In whichever order lanes
 * serve their ops, the peak is no less. */
Test(memory_least, is_below_the_peak_of_plays)
{
    uint32_t above_static = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        plan_maker_t maker = maker_random_plan(seed, 150);
        uint64_t state = seed;
        for (lspo_op_id_t id = 0; id < maker.plan.op_count; id++) {
            const lspo_op_t *op = &maker.plan.ops[id];
            for (uint32_t d = 0; d < op->dep_count; d++) {
                lspo_op_t *before = &maker.plan.ops[maker.plan.deps[op->dep_first + d]];
                maker.plan.ops[id].gpu_free_bytes += before->gpu_free_bytes;
                before->gpu_free_bytes = 0;
            }
        }
        const uint64_t least_bytes = least_of(&maker);
        above_static += least_bytes > maker.plan.gpu_static_bytes + 1000;
        for (int i = 0; i < 20; i++) {
            for (lspo_op_id_t id = 0; id < maker.plan.op_count; id++)
                maker.plan.ops[id].priority = (uint32_t)maker_below(&state, 100);
            lspo_trace_t *trace = play(&maker);
            uint64_t gpu_bytes = 0, host_bytes = 0;
            cr_assert_eq(lspo_memory_replay(&maker.plan, trace, &gpu_bytes, &host_bytes), LSPO_OK);
            cr_expect_leq(least_bytes, gpu_bytes, "seed %lu", seed);
            lspo_trace_destroy(trace);
        }
        maker_release(&maker);
    }
    cr_expect_gt(above_static, 10u, "%u", above_static);
}

static uint64_t bound_of(const lspo_plan_t *plan, const lspo_trace_t *trace, uint64_t slack_ns)
{
    uint64_t gpu_bytes = 0, host_bytes = 0;
    cr_assert_eq(lspo_memory_bound(plan, trace, slack_ns, &gpu_bytes, &host_bytes), LSPO_OK);
    return gpu_bytes;
}

/* The plan of memory.hand_computed_peak and FWD 2 of 10 ns, which takes 40 and gives them back.  Where it waits for FWD
 * 1 it runs from 20 to 30, when 100 have been given back: 80 + 40, less than the 100 + 50 + 30 before, and no slack
 * changes that.  Where it waits for nothing it runs from 10 to 20 and FWD 1 from 20 to 30: 100 + 40 + 30, then 100 + 50
 * + 30.  Only their times keep the two apart: with slack they may overlap, 100 + 50 + 30 + 40. */
Test(memory_bound, hand_computed)
{
    for (int waits = 0; waits <= 1; waits++) {
        plan_maker_t maker = hand_plan();
        maker_op(&maker, LSPO_OP_FWD, 2, 0, 10);
        if (waits)
            maker_depend(&maker, 1);
        maker.plan.ops[3].gpu_alloc_bytes = maker.plan.ops[3].gpu_free_bytes = 40;
        lspo_trace_t *trace = play(&maker);
        if (waits)
            cr_assert_eq(trace->rows[trace->row_count - 1].start_ns, 20u);
        cr_expect_eq(bound_of(&maker.plan, trace, 0), 1180u);
        cr_expect_eq(bound_of(&maker.plan, trace, 11), waits ? 1180u : 1220u);
        lspo_trace_destroy(trace);
        maker_release(&maker);
    }
}

/* Every op takes time, and of what an op takes about half is given back by one that waits for it. */
static plan_maker_t random_plan(uint64_t seed, uint32_t count)
{
    plan_maker_t maker = maker_random_plan(seed, count);
    for (uint32_t i = 0; i < count; i++) {
        lspo_op_t *op = &maker.plan.ops[i];
        for (int lane = 0; lane < LSPO_LANE_KIND_COUNT; lane++)
            maker.work_ns[i * LSPO_LANE_KIND_COUNT + (uint32_t)lane]++;
        if (op->dep_count == 0 || i % 2 == 0)
            continue;
        lspo_op_t *before = &maker.plan.ops[maker.plan.deps[op->dep_first]];
        op->gpu_free_bytes += before->gpu_free_bytes;
        before->gpu_free_bytes = 0;
    }
    return maker;
}

/* Without slack the order is that of the timeline, and so is the peak. */
Test(memory_bound, is_the_replay_without_slack)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        plan_maker_t maker = random_plan(seed, 150);
        lspo_trace_t *trace = play(&maker);
        uint64_t gpu_bytes = 0, host_bytes = 0, gpu_bound = 0, host_bound = 0;
        cr_assert_eq(lspo_memory_replay(&maker.plan, trace, &gpu_bytes, &host_bytes), LSPO_OK);
        cr_assert_eq(lspo_memory_bound(&maker.plan, trace, 0, &gpu_bound, &host_bound), LSPO_OK);
        cr_expect_eq(gpu_bound, gpu_bytes, "seed %lu: %lu, replayed %lu", seed, gpu_bound, gpu_bytes);
        cr_expect_eq(host_bound, host_bytes);
        lspo_trace_destroy(trace);
        maker_release(&maker);
    }
}

enum { WAITING, RUNNING, DONE, STATES };

static bool needs(const plan_maker_t *maker, const lspo_trace_row_t *row, const lspo_trace_row_t *other,
                  uint64_t slack_ns)
{
    const lspo_op_t *op = &maker->plan.ops[row->op];
    for (uint32_t d = 0; d < op->dep_count; d++)
        if (maker->plan.deps[op->dep_first + d] == other->op)
            return true;
    return other->end_ns + slack_ns <= row->start_ns;
}

/* All moments: each op waiting, running or done, three to the power of ops in all. */
static uint64_t most_of_all_moments(const plan_maker_t *maker, const lspo_trace_t *trace, uint64_t slack_ns)
{
    uint32_t moments = 1;
    int64_t most_bytes = 0;
    for (uint32_t i = 0; i < trace->row_count; i++)
        moments *= STATES;
    for (uint32_t moment = 0; moment < moments; moment++) {
        int state[16];
        int64_t level_bytes = 0;
        bool possible = true;
        for (uint32_t i = 0, rest = moment; i < trace->row_count; i++, rest /= STATES) {
            const lspo_op_t *op = &maker->plan.ops[trace->rows[i].op];
            state[i] = (int)(rest % STATES);
            level_bytes += state[i] >= RUNNING ? (int64_t)op->gpu_alloc_bytes : 0;
            level_bytes -= state[i] == DONE ? (int64_t)op->gpu_free_bytes : 0;
        }
        for (uint32_t i = 0; i < trace->row_count && possible; i++)
            for (uint32_t j = 0; j < trace->row_count && possible; j++)
                possible = i == j || state[i] == WAITING || state[j] == DONE ||
                           !needs(maker, &trace->rows[i], &trace->rows[j], slack_ns);
        if (possible && level_bytes > most_bytes)
            most_bytes = level_bytes;
    }
    return (uint64_t)most_bytes;
}

Test(memory_bound, is_the_most_of_all_moments)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        plan_maker_t maker = random_plan(seed, 9);
        lspo_trace_t *trace = play(&maker);
        cr_assert_leq(trace->row_count, 10u);
        uint64_t last_ns = trace->rows[trace->row_count - 1].end_ns;
        for (uint64_t part = 0; part <= 8; part++) {
            uint64_t slack_ns = part * last_ns / 8, bound = bound_of(&maker.plan, trace, slack_ns);
            cr_expect_eq(bound, most_of_all_moments(&maker, trace, slack_ns), "seed %lu, slack %lu", seed, slack_ns);
        }
        lspo_trace_destroy(trace);
        maker_release(&maker);
    }
}

/* The closure of a whole trace as one graph: nodes 2 i and 2 i + 1 for that row i started and ended, then source and
 * sink; one augmenting path after the other (Ford, Fulkerson 1956) on a matrix of what each edge has left. */
enum { WHOLE_ROWS = 60, WHOLE_NODES = 2 * WHOLE_ROWS + 2 };
static const int64_t unlimited = INT64_MAX / 4;

static bool augment(int64_t left[WHOLE_NODES][WHOLE_NODES], uint32_t nodes, int64_t *sent)
{
    uint32_t source = nodes - 2, sink = nodes - 1, queue[WHOLE_NODES] = {source}, from[WHOLE_NODES], tail = 1;
    bool seen[WHOLE_NODES] = {false};
    int64_t amount = unlimited;
    seen[source] = true;
    for (uint32_t head = 0; head < tail && !seen[sink]; head++)
        for (uint32_t to = 0; to < nodes; to++)
            if (left[queue[head]][to] > 0 && !seen[to]) {
                seen[to] = true;
                from[to] = queue[head];
                queue[tail++] = to;
            }
    if (!seen[sink])
        return false;
    for (uint32_t to = sink; to != source; to = from[to])
        amount = left[from[to]][to] < amount ? left[from[to]][to] : amount;
    for (uint32_t to = sink; to != source; to = from[to]) {
        left[from[to]][to] -= amount;
        left[to][from[to]] += amount;
    }
    *sent += amount;
    return true;
}

static uint64_t whole_closure(const plan_maker_t *maker, const lspo_trace_t *trace, uint64_t slack_ns)
{
    static int64_t left[WHOLE_NODES][WHOLE_NODES];
    uint32_t count = trace->row_count, nodes = 2 * count + 2;
    int64_t taken_bytes = 0, sent_bytes = 0;
    memset(left, 0, sizeof left);
    for (uint32_t i = 0; i < count; i++) {
        const lspo_op_t *op = &maker->plan.ops[trace->rows[i].op];
        left[2 * i + 1][2 * i] = unlimited;
        left[nodes - 2][2 * i] = (int64_t)op->gpu_alloc_bytes;
        left[2 * i + 1][nodes - 1] = (int64_t)op->gpu_free_bytes;
        taken_bytes += (int64_t)op->gpu_alloc_bytes;
        for (uint32_t j = 0; j < count; j++)
            if (i != j && needs(maker, &trace->rows[i], &trace->rows[j], slack_ns))
                left[2 * i][2 * j + 1] = unlimited;
    }
    while (augment(left, nodes, &sent_bytes))
        ;
    return (uint64_t)(taken_bytes - sent_bytes);
}

/* Most ops are the GPU's, each of which usually waits for the one before and for some older ones; half of what an op
 * took is given back by a later one. */
static plan_maker_t random_chain(uint64_t seed, uint32_t count)
{
    plan_maker_t maker = maker_create();
    uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
    lspo_op_id_t tail = LSPO_NO_OP;
    for (uint32_t i = 0; i < count; i++) {
        bool gpu = maker_below(&state, 3) > 0;
        uint32_t lane = gpu ? (uint32_t)LSPO_LANE_GPU : (uint32_t)maker_below(&state, LSPO_DEVICE_LANES);
        lspo_op_id_t id =
            maker_op(&maker, maker_kind((lspo_lane_kind_t)lane), i % 7, i * 4 / count, 1 + maker_below(&state, 1000));
        lspo_op_t *op = &maker.plan.ops[id];
        if (gpu && maker_below(&state, 8) > 0)
            maker_depend(&maker, tail);
        for (uint32_t d = (uint32_t)maker_below(&state, 3); d > 0 && id > 0; d--)
            maker_depend(&maker, id - 1 - (uint32_t)maker_below(&state, id < 20 ? id : 20));
        tail = gpu ? id : tail;
        op->gpu_alloc_bytes = op->gpu_free_bytes = maker_below(&state, 1000);
        if (op->dep_count == 0 || maker_below(&state, 2) == 0)
            continue;
        lspo_op_t *before = &maker.plan.ops[maker.plan.deps[op->dep_first]];
        op->gpu_free_bytes += before->gpu_free_bytes;
        before->gpu_free_bytes = 0;
    }
    return maker;
}

static uint32_t expect_whole_closure(const plan_maker_t *maker, uint64_t seed)
{
    static const uint64_t divisors[] = {50, 20, 10, 5, 2, 1};
    uint32_t between = 0;
    lspo_trace_t *trace = play(maker);
    cr_assert_leq(trace->row_count, (uint32_t)WHOLE_ROWS);
    uint64_t last_ns = trace->rows[trace->row_count - 1].end_ns;
    uint64_t least = bound_of(&maker->plan, trace, 0), most = bound_of(&maker->plan, trace, last_ns);
    for (size_t d = 0; d < sizeof divisors / sizeof divisors[0]; d++) {
        uint64_t slack_ns = last_ns / divisors[d], bound = bound_of(&maker->plan, trace, slack_ns);
        cr_expect_eq(bound, whole_closure(maker, trace, slack_ns), "seed %lu, slack %lu", seed, slack_ns);
        between += bound > least && bound < most;
    }
    lspo_trace_destroy(trace);
    return between;
}

Test(memory_bound, is_the_closure_of_the_whole_trace)
{
    uint32_t between = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        plan_maker_t maker = random_plan(seed, WHOLE_ROWS - 5);
        between += expect_whole_closure(&maker, seed);
        maker_release(&maker);
    }
    cr_expect_gt(between, 20u, "few bounds depend on the slack");
}

Test(memory_bound, is_the_closure_of_the_whole_trace_along_chains)
{
    for (uint64_t seed = 1; seed <= 400; seed++) {
        plan_maker_t maker = random_chain(seed, 12 + (uint32_t)(seed * 7 % (WHOLE_ROWS - 15)));
        expect_whole_closure(&maker, seed);
        maker_release(&maker);
    }
}

static double cpu_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

typedef struct {
    const char *policy, *model;
    uint32_t iterations, check_every;
} long_case_t;

/* Seconds to bound a plan, the least of three times. */
static double time_bound(const long_case_t *it, uint32_t iterations)
{
    const lspo_policy_t *policy = NULL;
    lspo_plan_t *plan = NULL;
    lspo_model_t model;
    lspo_workload_t workload;
    lspo_machine_t machine;
    lspo_trial_t trial = {0};
    uint64_t gpu_bytes = 0, host_bytes = 0;
    cr_assert_eq(lspo_model_find(it->model, &model), LSPO_OK);
    cr_assert_eq(lspo_machine_find("rtx4090", &machine), LSPO_OK);
    cr_assert_eq(lspo_policy_find(it->policy, &policy), LSPO_OK);
    lspo_workload_default(&workload);
    workload.iterations = iterations;
    lspo_lsp_values_edit(&workload)->check_every = it->check_every;
    cr_assert_eq(lspo_plan_build(&model, &workload, policy, &plan), LSPO_OK);
    cr_assert_eq(lspo_trial_play(plan, &machine, &trial), LSPO_OK);
    uint64_t slack_ns = (uint64_t)(LSPO_SIMULATE_SLACK * 1e9 * trial.summary.iteration_s);
    double least_s = INFINITY;
    for (int i = 0; i < 3; i++) {
        double start_s = cpu_s();
        cr_assert_eq(lspo_memory_bound(plan, trial.trace, slack_ns, &gpu_bytes, &host_bytes), LSPO_OK);
        least_s = fmin(least_s, cpu_s() - start_s);
    }
    lspo_trial_release(&trial);
    lspo_plan_destroy(plan);
    return least_s;
}

/* Four times the iterations take about four times as long.  One graph of the whole trace took 36 times as long for
 * swap. */
Test(memory_bound, time_grows_with_the_plan)
{
    static const long_case_t cases[] = {{"swap", "llama-7b", 10, 0},
                                        {"zenflow", "llama-7b", 17, 0},
                                        {"lomo", "llama-7b", 20, 0},
                                        {"lsp-paper", "gpt2-774m", 3, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double short_s = time_bound(&cases[i], cases[i].iterations);
        double long_s = time_bound(&cases[i], 4 * cases[i].iterations);
        cr_expect_lt(long_s, 10 * short_s, "%s: %g s, four times as long %g s", cases[i].policy, short_s, long_s);
    }
}

Test(memory_bound, refuses_ops_that_the_plan_lacks)
{
    plan_maker_t maker = hand_plan();
    lspo_trace_t *trace = play(&maker);
    uint64_t gpu_bytes = 77, host_bytes = 77;
    trace->rows[0].op = 3;
    cr_expect_eq(lspo_memory_bound(&maker.plan, trace, 0, &gpu_bytes, &host_bytes), LSPO_ERR_CHECK);
    cr_expect_eq(gpu_bytes, 77u, "set only on success");
    lspo_trace_destroy(trace);
    maker_release(&maker);
}
