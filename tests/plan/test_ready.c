/* The lane rules of plan/ready.h against a naive scan written only from plan/plan.h. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "plan/ready.h"
#include "tests/plan_maker.h"

enum { ENTRIES_MAX = 600 };

/* What plan.h says: lowest priority value, then first ready, then lowest id. */
typedef struct {
    uint32_t priority, turn;
    lspo_op_id_t op;
} naive_t;

static bool naive_before(naive_t a, naive_t b)
{
    if (a.priority != b.priority)
        return a.priority < b.priority;
    if (a.turn != b.turn)
        return a.turn < b.turn;
    return a.op < b.op;
}

/* Take the first of an unordered list. */
static lspo_op_id_t naive_pop(naive_t *list, uint32_t *count)
{
    uint32_t first = 0;
    for (uint32_t i = 1; i < *count; i++)
        if (naive_before(list[i], list[first]))
            first = i;
    lspo_op_id_t op = list[first].op;
    list[first] = list[--*count];
    return op;
}

/* Few priorities and turns, so that every kind of tie occurs; one in 16 has the greatest value of each. */
static naive_t random_entry(uint64_t *state, lspo_op_id_t op)
{
    naive_t entry = {(uint32_t)maker_below(state, 4), (uint32_t)maker_below(state, 8), op};
    if (maker_below(state, 16) == 0)
        entry.priority = UINT32_MAX;
    if (maker_below(state, 16) == 0)
        entry.turn = UINT32_MAX;
    return entry;
}

/* A plan of one GPU op whose priority is set before each push: lspo_ready_add() must pack what plan.h compares. */
static void push(lspo_ready_t *ready, naive_t entry)
{
    ready->ops[entry.op].priority = entry.priority;
    lspo_ready_add(ready, entry.op, entry.turn);
}

Test(ready, random_pushes_and_pops_are_in_the_order_of_a_naive_scan)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        plan_maker_t maker = maker_create();
        /* None is ready at first: each waits for the one before, the first for nothing. */
        for (uint32_t i = 0; i < ENTRIES_MAX; i++) {
            maker_op(&maker, LSPO_OP_FWD, 0, 0, 1);
            maker_depend(&maker, i > 0 ? i - 1 : LSPO_NO_OP);
        }
        lspo_ready_t ready;
        cr_assert_eq(lspo_ready_create(&maker.plan, &ready), LSPO_OK);
        lspo_ready_lane_t *lane = &ready.lanes[LSPO_LANE_GPU];
        cr_assert_eq(lane->count, 1u);
        cr_assert_eq(lspo_ready_pop(lane), 0u);

        naive_t list[ENTRIES_MAX];
        uint32_t count = 0, pushed = 0;
        lspo_op_id_t ids[ENTRIES_MAX];
        uint64_t state = seed * 0x9e3779b97f4a7c15u;
        for (uint32_t i = 0; i < ENTRIES_MAX; i++) {
            uint32_t other = (uint32_t)maker_below(&state, i + 1);
            ids[i] = ids[other];
            ids[other] = i;
        }
        while (pushed < ENTRIES_MAX || count > 0) {
            if (pushed < ENTRIES_MAX && (count == 0 || maker_below(&state, 5) < 3)) {
                list[count] = random_entry(&state, ids[pushed++]);
                push(&ready, list[count++]);
            } else {
                cr_assert_eq(lspo_ready_pop(lane), naive_pop(list, &count));
            }
            cr_assert_eq(lane->count, count);
        }
        lspo_ready_release(&ready);
        maker_release(&maker);
    }
}

static bool all_ended(const lspo_plan_t *plan, const lspo_op_t *op, const bool *ended)
{
    for (uint32_t d = op->dep_first; d < op->dep_first + op->dep_count; d++)
        if (!ended[plan->deps[d]])
            return false;
    return true;
}

/* The lanes that should get an op when `id` ends: those of ops that are now free and were not before. */
static uint32_t naive_fed(const lspo_plan_t *plan, lspo_op_id_t id, bool *ended)
{
    uint32_t fed = 0;
    for (uint32_t i = 0; i < plan->op_count; i++) {
        bool before = all_ended(plan, &plan->ops[i], ended);
        ended[id] = true;
        if (!before && all_ended(plan, &plan->ops[i], ended))
            fed |= 1u << plan->ops[i].lane;
        ended[id] = false;
    }
    ended[id] = true;
    return fed;
}

/* Empty the set of lanes that got an op: a bit each. */
static uint32_t take_fed(lspo_ready_t *ready)
{
    uint32_t fed = 0;
    for (uint32_t lane; (lane = lspo_lane_set_take(&ready->fed)) != LSPO_NO_LANE;)
        fed |= 1u << lane;
    return fed;
}

/* End ops of random plans one by one, from a random lane each time: what becomes ready is exactly what the dependencies
 * set free, and in the end nothing is left. */
Test(ready, what_ends_sets_free_what_waited_for_it_alone)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        plan_maker_t maker = maker_random_plan(seed, 150);
        const lspo_plan_t *plan = &maker.plan;
        bool ended[MAKER_OPS_MAX] = {false};
        lspo_ready_t ready;
        cr_assert_eq(lspo_ready_create(plan, &ready), LSPO_OK);
        uint64_t state = seed + 99;
        take_fed(&ready);
        for (uint32_t turn = 1; turn <= plan->op_count; turn++) {
            uint32_t total = 0;
            for (int lane = 0; lane < LSPO_DEVICE_LANES; lane++)
                total += ready.lanes[lane].count;
            cr_assert_gt(total, 0u, "ops are left, but none is ready");
            uint64_t lane = maker_below(&state, LSPO_DEVICE_LANES);
            while (ready.lanes[lane].count == 0)
                lane = (lane + 1) % LSPO_DEVICE_LANES;
            lspo_op_id_t id = lspo_ready_pop(&ready.lanes[lane]);
            cr_assert_eq(plan->ops[id].lane, lane);
            cr_assert_not(ended[id]);
            cr_assert(all_ended(plan, &plan->ops[id], ended));
            uint32_t expected = naive_fed(plan, id, ended);
            lspo_ready_end(&ready, id, turn);
            cr_assert_eq(take_fed(&ready), expected);
        }
        lspo_ready_release(&ready);
        maker_release(&maker);
    }
}

/* Where lanes are queues: an op is issued as soon as what it waits for has been issued on its lane and has ended on
 * others, never before, and both halves together free what an end does. */
static bool may_be_issued(const lspo_plan_t *plan, const lspo_op_t *op, const bool *issued, const bool *ended)
{
    for (uint32_t d = op->dep_first; d < op->dep_first + op->dep_count; d++) {
        lspo_op_id_t dep = plan->deps[d];
        if (plan->ops[dep].lane == op->lane ? !issued[dep] : !ended[dep])
            return false;
    }
    return true;
}

static uint32_t count_issuable(const lspo_plan_t *plan, const bool *issued, const bool *ended)
{
    uint32_t count = 0;
    for (lspo_op_id_t id = 0; id < plan->op_count; id++)
        count += !issued[id] && may_be_issued(plan, &plan->ops[id], issued, ended);
    return count;
}

static uint32_t ready_count(const lspo_ready_t *ready)
{
    uint32_t count = 0;
    for (int lane = 0; lane < LSPO_DEVICE_LANES; lane++)
        count += ready->lanes[lane].count;
    return count;
}

Test(ready, issue_and_end_are_the_halves_of_an_end)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        plan_maker_t maker = maker_random_plan(seed, 150);
        const lspo_plan_t *plan = &maker.plan;
        bool issued[MAKER_OPS_MAX] = {false}, ended[MAKER_OPS_MAX] = {false};
        lspo_op_id_t queue[MAKER_OPS_MAX]; /* issued, of all lanes, the oldest at `first` */
        uint32_t first = 0, last = 0, turn = 0;
        lspo_ready_t ready;
        cr_assert_eq(lspo_ready_create(plan, &ready), LSPO_OK);
        uint64_t state = seed + 5;
        take_fed(&ready);
        while (first < plan->op_count) {
            uint32_t lane = (uint32_t)maker_below(&state, LSPO_DEVICE_LANES);
            if (ready.lanes[lane].count > 0 && (first == last || maker_below(&state, 2))) {
                lspo_op_id_t id = lspo_ready_pop(&ready.lanes[lane]);
                cr_assert(!issued[id] && may_be_issued(plan, &plan->ops[id], issued, ended));
                issued[id] = true;
                queue[last++] = id;
                lspo_ready_issue(&ready, id, ++turn);
                cr_assert_eq(take_fed(&ready) & ~(1u << lane), 0u);
            } else if (first < last) {
                lspo_op_id_t id = queue[first++];
                ended[id] = true;
                lspo_ready_end_issued(&ready, id, ++turn);
                cr_assert_eq(take_fed(&ready) & 1u << plan->ops[id].lane, 0u);
            }
            cr_assert_eq(ready_count(&ready), count_issuable(plan, issued, ended));
        }
        lspo_ready_release(&ready);
        maker_release(&maker);
    }
}

Test(ready, an_op_on_no_lane_is_refused)
{
    plan_maker_t maker = maker_create();
    maker_op(&maker, LSPO_OP_FWD, 0, 0, 1);
    maker.plan.ops[0].lane = LSPO_DEVICE_LANES;
    lspo_ready_t ready = {0};
    cr_expect_eq(lspo_ready_create(&maker.plan, &ready), LSPO_ERR_INTERNAL);
    cr_expect_null(ready.ops, "set on success only");
    maker_release(&maker);
}
