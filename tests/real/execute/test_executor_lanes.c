/* The executor on lists with several lanes of a kind: a thread for each that has ops. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "real/execute/executor.h"
#include "tests/plan_maker.h"

typedef struct {
    const lspo_plan_t *plan;
    pthread_barrier_t together; /* of the ops of layer 1 */
    atomic_uint entered[LSPO_LANE_KIND_COUNT];
    atomic_uint on_another_thread;
    pthread_t threads[64]; /* by lane */
    atomic_bool has_thread[64];
    atomic_uint runs;
} record_t;

static void enter(void *context, const lspo_lane_t *lane)
{
    record_t *record = context;
    uint32_t index = (uint32_t)(lane - record->plan->lanes.list);
    record->threads[index] = pthread_self();
    atomic_store(&record->has_thread[index], true);
    atomic_fetch_add(&record->entered[lane->kind], 1);
}

static lspo_status_t run(void *context, const lspo_op_t *op)
{
    record_t *record = context;
    atomic_fetch_add(&record->runs, 1);
    if (!pthread_equal(record->threads[op->lane], pthread_self()))
        atomic_fetch_add(&record->on_another_thread, 1);
    if (op->layer == 1)
        pthread_barrier_wait(&record->together);
    return LSPO_OK;
}

/* Two GPU lanes, two CPU lanes and a network, whose first ops meet at a barrier: were two of them on one thread, they
 * would never.  A third GPU lane has no op and gets no thread. */
Test(executor_lanes, every_lane_with_ops_has_a_thread)
{
    plan_maker_t maker = maker_create();
    uint32_t lanes[] = {LSPO_LANE_GPU, LSPO_LANE_CPU, maker_lane(&maker, LSPO_LANE_GPU, 1, 0),
                        maker_lane(&maker, LSPO_LANE_CPU, 0, 1), maker_lane(&maker, LSPO_LANE_NET, 0, 1)};
    uint32_t idle = maker_lane(&maker, LSPO_LANE_GPU, 2, 0);
    for (int i = 0; i < 5; i++)
        maker_op_on(&maker, lanes[i], maker_kind((lspo_lane_kind_t)maker.plan.lanes.list[lanes[i]].kind), 1, 0, 1);
    record_t record = {.plan = &maker.plan};
    pthread_barrier_init(&record.together, NULL, 5);
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_execute(&maker.plan, run, enter, &record, NULL, &trace), LSPO_OK);
    cr_expect_eq(lspo_trace_check(trace, &maker.plan), LSPO_OK);
    cr_expect_eq(record.entered[LSPO_LANE_GPU], 2u);
    cr_expect_eq(record.entered[LSPO_LANE_CPU], 2u);
    cr_expect_eq(record.entered[LSPO_LANE_NET], 1u);
    cr_expect_eq(record.entered[LSPO_LANE_D2H] + record.entered[LSPO_LANE_H2D], 0u);
    cr_expect_not(record.has_thread[idle]);
    pthread_barrier_destroy(&record.together);
    lspo_trace_destroy(trace);
    maker_release(&maker);
}

/* Each op once, on its lane's thread, after what it waits for; lanes drawn from lists of up to 40. */
Test(executor_lanes, random_lists_are_run_as_the_plan_says)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        plan_maker_t maker = maker_create();
        uint64_t state = seed * 77 + 3;
        uint32_t lanes = 1 + (uint32_t)maker_below(&state, 40);
        for (uint32_t i = 0; i < lanes; i++)
            maker_lane(&maker, (lspo_lane_kind_t)maker_below(&state, LSPO_LANE_KIND_COUNT), i, 1 + i);
        for (uint32_t i = 0; i < 300; i++) {
            uint32_t lane = (uint32_t)maker_below(&state, maker.plan.lanes.count);
            lspo_op_id_t id =
                maker_op_on(&maker, lane, maker_kind((lspo_lane_kind_t)maker.plan.lanes.list[lane].kind), 0, 0, 1);
            maker.plan.ops[id].priority = (uint32_t)maker_below(&state, 4);
            for (uint32_t d = (uint32_t)maker_below(&state, 3); d > 0 && id > 0; d--)
                maker_depend(&maker, id - 1 - (uint32_t)maker_below(&state, id < 20 ? id : 20));
        }
        record_t record = {.plan = &maker.plan};
        lspo_trace_t *trace = NULL;
        cr_assert_eq(lspo_execute(&maker.plan, run, enter, &record, NULL, &trace), LSPO_OK);
        cr_expect_eq(lspo_trace_check(trace, &maker.plan), LSPO_OK);
        cr_expect(lspo_lanes_equal(&trace->lanes, &maker.plan.lanes));
        cr_expect_eq(record.runs, 300u);
        cr_expect_eq(record.on_another_thread, 0u);
        lspo_trace_destroy(trace);
        maker_release(&maker);
    }
}

/* A plan that waits for itself ends with an error on every list, and no thread is left behind. */
Test(executor_lanes, a_plan_that_stands_still_is_told, .timeout = 20)
{
    plan_maker_t maker = maker_create();
    uint32_t second = maker_lane(&maker, LSPO_LANE_GPU, 1, 0);
    maker_op(&maker, LSPO_OP_FWD, 0, 0, 1);
    maker_op_on(&maker, second, LSPO_OP_FWD, 0, 0, 1);
    maker_depend(&maker, 1);
    record_t record = {.plan = &maker.plan};
    lspo_trace_t *trace = NULL;
    cr_expect_eq(lspo_execute(&maker.plan, run, enter, &record, NULL, &trace), LSPO_ERR_INTERNAL);
    cr_expect_null(trace);
    maker_release(&maker);
}
