/* Memory replay against levels worked out by hand and against a sum over all ops at every instant. */
#include <criterion/criterion.h>

#include "sim/engine.h"
#include "sim/memory.h"
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
