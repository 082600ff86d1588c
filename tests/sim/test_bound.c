/* Lower bound and critical path against cycles added up by hand, and against the growth of unrolled longest paths. */
#include <criterion/criterion.h>
#include <math.h>

#include "sim/bound.h"
#include "sim/engine.h"
#include "tests/plan_maker.h"
#include "traces/summary.h"

static double bound_ns(const plan_maker_t *maker)
{
    double bound_s = 0;
    cr_assert_eq(lspo_bound_iteration(&maker->plan, maker->work_ns, &bound_s), LSPO_OK);
    return 1e9 * bound_s;
}

static lspo_trace_t *play(const plan_maker_t *maker)
{
    lspo_machine_t machine = maker_machine();
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_engine_play(&maker->plan, &machine, maker->work_ns, &trace), LSPO_OK);
    return trace;
}

/* One layer: FWD 10, BWD 20, D2H 5, UPD, H2D 5, APPLY 2; the next FWD but `staleness` waits for APPLY. */
static plan_maker_t one_layer_plan(uint32_t iterations, uint32_t staleness, uint64_t upd_ns)
{
    plan_maker_t maker = maker_create();
    lspo_op_id_t apply[64], bwd = LSPO_NO_OP;
    for (uint32_t i = 0; i < iterations; i++) {
        lspo_op_id_t fwd = maker_op(&maker, LSPO_OP_FWD, 1, i, 10);
        maker_depend(&maker, i > staleness ? apply[i - staleness - 1] : LSPO_NO_OP);
        maker_depend(&maker, bwd);
        bwd = maker_op(&maker, LSPO_OP_BWD, 1, i, 20);
        maker_depend(&maker, fwd);
        static const lspo_op_kind_t kinds[] = {LSPO_OP_D2H, LSPO_OP_UPD, LSPO_OP_H2D, LSPO_OP_APPLY};
        const uint64_t works_ns[] = {5, upd_ns, 5, 2};
        lspo_op_id_t last = bwd;
        for (int k = 0; k < 4; k++) {
            lspo_op_id_t op = maker_op(&maker, kinds[k], 1, i, works_ns[k]);
            maker_depend(&maker, last);
            last = op;
        }
        apply[i] = last;
    }
    return maker;
}

/*     cycle of all ops   10 + 20 + 5 + 30 + 5 + 2 = 72, once an iteration          -> 72
 *     one step stale     the same cycle spans two iterations: 36; the GPU is busy 32 -> 36
 *     two steps stale    72 / 3 = 24 < 32                                            -> 32, the GPU
 *     UPD 90, 2 stale    132 / 3 = 44 < 90                                           -> 90, the CPU
 * 16 samples: one step stale, iterations alternate between 32 and 40. */
Test(bound, hand_computed_cycles)
{
    static const struct {
        uint32_t staleness;
        uint64_t upd_ns;
        double wanted_ns;
    } cases[] = {{0, 30, 72}, {1, 30, 36}, {2, 30, 32}, {2, 90, 90}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        plan_maker_t maker = one_layer_plan(24, cases[i].staleness, cases[i].upd_ns);
        cr_expect_float_eq(bound_ns(&maker), cases[i].wanted_ns, 1e-3, "case %zu: %f", i, bound_ns(&maker));
        lspo_trace_t *trace = play(&maker);
        lspo_summary_t summary;
        cr_assert_eq(lspo_summary_create(trace, 7, &summary), LSPO_OK);
        double mean_ns = 0;
        for (uint32_t s = 0; s < summary.sample_count; s++)
            mean_ns += 1e9 * summary.samples_s[s] / summary.sample_count;
        cr_expect_geq(mean_ns, cases[i].wanted_ns - 1e-3, "no schedule beats the bound: %f", mean_ns);
        lspo_summary_release(&summary);
        lspo_trace_destroy(trace);
        maker_release(&maker);
    }
}

/* From the end of BWD to that of the next one: 5 + 30 + 5 + 2 + 10 + 20 = 72 without staleness, else 10 + 20.  Where
 * the second step does not wait for some pass of the first, nothing is known. */
Test(bound, a_step_takes_its_longest_path)
{
    static const double wanted_s[] = {72e-9, 30e-9};
    double step_s = 7;
    for (uint32_t staleness = 0; staleness < 2; staleness++) {
        plan_maker_t maker = one_layer_plan(2 + staleness, staleness, 30);
        cr_assert_eq(lspo_bound_step(&maker.plan, maker.work_ns, &step_s), LSPO_OK);
        cr_expect_float_eq(step_s, wanted_s[staleness], 1e-15, "%u: %g", staleness, step_s);
        maker_release(&maker);
    }
    plan_maker_t maker = one_layer_plan(2, 0, 30);
    maker_op(&maker, LSPO_OP_BWD, 1, 0, 10);
    cr_assert_eq(lspo_bound_step(&maker.plan, maker.work_ns, &step_s), LSPO_OK);
    cr_expect_float_eq(step_s, 0, 0);
    maker.plan.op_count = 0;
    cr_assert_eq(lspo_bound_step(&maker.plan, maker.work_ns, &step_s), LSPO_OK);
    cr_expect_float_eq(step_s, 0, 0);
    maker_release(&maker);
}

/* Fewer than three iterations have no steady one: the bound stays one (the cycle is not seen, the busy time is). */
Test(bound, short_plans_and_odd_iterations)
{
    plan_maker_t maker = one_layer_plan(1, 0, 30);
    cr_expect_float_eq(bound_ns(&maker), 32, 1e-3);
    maker.plan.ops[0].iteration = 4000000000u;
    double bound_s = 7;
    cr_expect_eq(lspo_bound_iteration(&maker.plan, maker.work_ns, &bound_s), LSPO_ERR_CHECK);
    maker.plan.op_count = 0;
    cr_expect_eq(lspo_bound_iteration(&maker.plan, maker.work_ns, &bound_s), LSPO_ERR_CHECK);
    cr_expect_float_eq(bound_s, 7, 0, "set only on success");
    maker_release(&maker);
}

/* A random iteration repeated: `count` ops on random lanes, each waiting for some earlier ops of its iteration and,
 * half of the time, for any op of one of the two iterations before.  Even seeds make long chains, whose cycles
 * decide. */
static plan_maker_t periodic_plan(uint64_t seed, uint32_t count, uint32_t iterations)
{
    plan_maker_t maker = maker_create();
    for (uint32_t iteration = 0; iteration < iterations; iteration++) {
        uint64_t state = seed * 0x9e3779b97f4a7c15u + 3;
        for (uint32_t i = 0; i < count; i++) {
            lspo_lane_kind_t lane = (lspo_lane_kind_t)maker_below(&state, LSPO_DEVICE_LANES);
            lspo_op_id_t id = maker_op(&maker, maker_kind(lane), i, iteration, 1 + maker_below(&state, 1000));
            for (uint64_t d = maker_below(&state, 3) + (seed % 2 == 0); d > 0 && i > 0; d--)
                maker_depend(&maker, id - 1 - (uint32_t)maker_below(&state, seed % 2 ? i : 1 + i / 8));
            uint32_t back = 1 + (uint32_t)maker_below(&state, 2), other = (uint32_t)maker_below(&state, count);
            if (maker_below(&state, 2) && back <= iteration)
                maker_depend(&maker, (iteration - back) * count + other);
        }
    }
    return maker;
}

/* Longest path to the end of each iteration, lanes unlimited. */
static void unrolled_ends(const plan_maker_t *maker, uint32_t count, uint64_t *iteration_end_ns)
{
    static uint64_t end_ns[MAKER_OPS_MAX];
    for (lspo_op_id_t id = 0; id < maker->plan.op_count; id++) {
        const lspo_op_t *op = &maker->plan.ops[id];
        uint64_t start_ns = 0, *last_ns = &iteration_end_ns[id / count];
        for (uint32_t d = 0; d < op->dep_count; d++) {
            uint64_t dep_ns = end_ns[maker->plan.deps[op->dep_first + d]];
            start_ns = dep_ns > start_ns ? dep_ns : start_ns;
        }
        end_ns[id] = start_ns + maker->work_ns[id * LSPO_LANE_KIND_COUNT];
        *last_ns = end_ns[id] > *last_ns ? end_ns[id] : *last_ns;
    }
}

/* Each op of an iteration on a lane of its own. */
static void spread_lanes(plan_maker_t *maker, uint32_t count)
{
    uint32_t first = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t lane = maker_lane(maker, lspo_op_kind_lane((lspo_op_kind_t)maker->plan.ops[i].kind), 1 + i, 0);
        first = i == 0 ? lane : first;
    }
    for (lspo_op_id_t id = 0; id < maker->plan.op_count; id++)
        maker->plan.ops[id].lane = first + id % count;
}

/* The cycle mean is the rate at which unrolled longest paths grow.  200 iterations, the first 80 dropped: over 120 (a
 * multiple of every period a cycle of 20 ops is likely to have) the growth is exact but for a rest below 1 %.  Busy
 * time is added up here once more.  Both decide in some of the seeds.  Where ops share no lane, the larger of both is
 * the whole bound; where they do, it may be higher. */
Test(bound, equals_the_growth_of_unrolled_paths)
{
    enum { COUNT = 20, ITERATIONS = 200 };
    uint32_t by_cycle = 0, higher = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        plan_maker_t maker = periodic_plan(seed, COUNT, ITERATIONS);
        uint64_t end_ns[ITERATIONS] = {0};
        unrolled_ends(&maker, COUNT, end_ns);
        double cycle_ns = (double)(end_ns[ITERATIONS - 1] - end_ns[ITERATIONS - 121]) / 120,
               busy_ns[LSPO_DEVICE_LANES] = {0};
        double wanted_ns = cycle_ns;
        for (uint32_t i = 0; i < COUNT; i++)
            busy_ns[maker.plan.ops[i].lane] += (double)maker.work_ns[i * LSPO_LANE_KIND_COUNT];
        for (int lane = 0; lane < LSPO_DEVICE_LANES; lane++)
            wanted_ns = busy_ns[lane] > wanted_ns ? busy_ns[lane] : wanted_ns;
        by_cycle += wanted_ns <= cycle_ns;
        higher += bound_ns(&maker) > 1.01 * wanted_ns;
        cr_expect_geq(bound_ns(&maker), 0.99 * wanted_ns, "seed %lu: %f, unrolled %f", seed, bound_ns(&maker),
                      wanted_ns);
        wanted_ns = cycle_ns;
        for (uint32_t i = 0; i < COUNT; i++)
            wanted_ns = fmax(wanted_ns, (double)maker.work_ns[i * LSPO_LANE_KIND_COUNT]);
        spread_lanes(&maker, COUNT);
        cr_expect_float_eq(bound_ns(&maker), wanted_ns, 0.01 * wanted_ns, "seed %lu: %f, unrolled %f", seed,
                           bound_ns(&maker), wanted_ns);
        maker_release(&maker);
    }
    cr_expect(higher >= 5, "%u", higher);
    cr_expect(by_cycle >= 10 && by_cycle <= 90, "%u", by_cycle);
}

/* Makespan over many iterations: no schedule grows slower than the bound, whatever the priorities. */
Test(bound, is_below_the_simulated_time)
{
    enum { COUNT = 20, ITERATIONS = 200 };
    for (uint64_t seed = 1; seed <= 200; seed++) {
        plan_maker_t maker = periodic_plan(seed % 40, COUNT, ITERATIONS);
        uint64_t state = seed, rank[COUNT];
        for (uint32_t i = 0; i < COUNT; i++)
            rank[i] = maker_below(&state, seed <= 40 ? 1 : COUNT);
        for (lspo_op_id_t id = 0; id < maker.plan.op_count; id++)
            maker.plan.ops[id].priority = (uint32_t)(id / COUNT * COUNT + rank[id % COUNT]);
        lspo_trace_t *trace = play(&maker);
        uint64_t last_ns = 0;
        for (uint32_t i = 0; i < trace->row_count; i++)
            last_ns = trace->rows[i].end_ns > last_ns ? trace->rows[i].end_ns : last_ns;
        cr_expect_leq(bound_ns(&maker) * (ITERATIONS - 2), (double)last_ns, "seed %lu", seed);
        lspo_trace_destroy(trace);
        maker_release(&maker);
    }
}

/* FWD a 0-10; UPD b 0-25; D2H c 10-15 after a; FWD d 25-30 after b and c; FWD e 30-50 after b, with low
 * priority; H2D f 30-33 after d.  The last to end is e, which waited for the lane (d), which waited for b. */
Test(bound, critical_path_by_hand)
{
    plan_maker_t maker = maker_create();
    maker_op(&maker, LSPO_OP_FWD, 0, 0, 10);
    maker_op(&maker, LSPO_OP_UPD, 0, 0, 25);
    maker_op(&maker, LSPO_OP_D2H, 0, 0, 5);
    maker_depend(&maker, 0);
    maker_op(&maker, LSPO_OP_FWD, 1, 0, 5);
    maker_depend(&maker, 1);
    maker_depend(&maker, 2);
    maker_op(&maker, LSPO_OP_FWD, 2, 0, 20);
    maker_depend(&maker, 1);
    maker.plan.ops[4].priority = 5;
    maker_op(&maker, LSPO_OP_H2D, 0, 0, 3);
    maker_depend(&maker, 3);
    lspo_trace_t *trace = play(&maker);
    lspo_op_id_t *ids = NULL;
    uint32_t count = 0;
    cr_assert_eq(lspo_bound_critical_path(&maker.plan, trace, &ids, &count), LSPO_OK);
    static const lspo_op_id_t wanted[] = {1, 3, 4};
    cr_assert_eq(count, 3u);
    cr_expect_arr_eq(ids, wanted, sizeof wanted);
    free(ids);

    ids = NULL;
    trace->row_count--;
    cr_expect_eq(lspo_bound_critical_path(&maker.plan, trace, &ids, &count), LSPO_ERR_CHECK);
    cr_expect_null(ids);
    lspo_trace_destroy(trace);
    maker_release(&maker);
}

/* In a simulated trace the path has no gaps: it starts at 0 and each op starts when the one before ends. */
Test(bound, critical_path_explains_the_makespan)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        plan_maker_t maker = maker_random_plan(seed, 200);
        lspo_trace_t *trace = play(&maker);
        static const lspo_trace_row_t *row_of[200];
        uint64_t last_ns = 0;
        for (uint32_t i = 0; i < trace->row_count; i++) {
            row_of[trace->rows[i].op] = &trace->rows[i];
            last_ns = trace->rows[i].end_ns > last_ns ? trace->rows[i].end_ns : last_ns;
        }
        lspo_op_id_t *ids = NULL;
        uint32_t count = 0;
        cr_assert_eq(lspo_bound_critical_path(&maker.plan, trace, &ids, &count), LSPO_OK);
        uint64_t now_ns = 0;
        for (uint32_t i = 0; i < count; i++) {
            cr_expect_eq(row_of[ids[i]]->start_ns, now_ns);
            now_ns = row_of[ids[i]]->end_ns;
        }
        cr_expect_eq(now_ns, last_ns);
        free(ids);
        lspo_trace_destroy(trace);
        maker_release(&maker);
    }
}
