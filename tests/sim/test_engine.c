/* The event engine against timelines worked out by hand and against a slow simulator written from plan.h alone. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "sim/engine.h"
#include "tests/plan_maker.h"
#include "traces/trace.h"

static lspo_trace_t *play(const plan_maker_t *maker, const lspo_machine_t *machine)
{
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_engine_play(&maker->plan, machine, maker->work_ns, &trace), LSPO_OK);
    return trace;
}

static const lspo_trace_row_t *row_of(const lspo_trace_t *trace, lspo_op_id_t op)
{
    for (uint32_t i = 0; i < trace->row_count; i++)
        if (trace->rows[i].op == op)
            return &trace->rows[i];
    cr_assert_fail("op %u is not in the trace", op);
    return NULL;
}

static void expect(const lspo_trace_t *trace, lspo_op_id_t op, uint64_t start_ns, uint64_t end_ns)
{
    const lspo_trace_row_t *row = row_of(trace, op);
    cr_expect_eq(row->start_ns, start_ns, "op %u starts at %lu, not %lu", op, row->start_ns, start_ns);
    cr_expect_eq(row->end_ns, end_ns, "op %u ends at %lu, not %lu", op, row->end_ns, end_ns);
}

static uint64_t makespan_ns(const lspo_trace_t *trace)
{
    uint64_t last_ns = 0;
    for (uint32_t i = 0; i < trace->row_count; i++)
        last_ns = trace->rows[i].end_ns > last_ns ? trace->rows[i].end_ns : last_ns;
    return last_ns;
}

/* Three layers of FWD 10 each on the GPU, D2H 15 after each:
 *     GPU  0-10  10-20  20-30
 *     D2H        10-25  25-40  40-55 */
Test(engine, pipeline_of_two_lanes)
{
    plan_maker_t maker = maker_create();
    for (uint32_t layer = 0; layer < 3; layer++) {
        lspo_op_id_t fwd = maker_op(&maker, LSPO_OP_FWD, layer, 0, 10);
        maker_op(&maker, LSPO_OP_D2H, layer, 0, 15);
        maker_depend(&maker, fwd);
        maker_bytes(&maker, 1000 + layer);
    }
    lspo_machine_t machine = maker_machine();
    lspo_trace_t *trace = play(&maker, &machine);
    expect(trace, 0, 0, 10);
    expect(trace, 2, 10, 20);
    expect(trace, 4, 20, 30);
    expect(trace, 1, 10, 25);
    expect(trace, 3, 25, 40);
    expect(trace, 5, 40, 55);
    cr_expect_eq(row_of(trace, 3)->bytes, 1001);
    cr_expect_eq(row_of(trace, 2)->bytes, 0);
    cr_expect_eq(lspo_trace_check(trace, &maker.plan), LSPO_OK);
    lspo_trace_destroy(trace);
    maker_release(&maker);
}

/* Ops 0 (GPU, 5 ns) and 1 (D2H, 7 ns) hold up six CPU ops of 10 ns:
 *     id  priority  waits for  ready at   CPU
 *     2   3         0          5          45-55   the greatest priority value goes last
 *     3   1         1          7          25-35   after 7, which was ready first; before 6, whose id is higher
 *     4   1         0          5           5-15   before 2 by priority, before 7 by id
 *     5   0         2          55         55-65
 *     6   1         1          7          35-45
 *     7   1         0          5          15-25 */
Test(engine, lane_order_is_priority_then_first_ready_then_id)
{
    plan_maker_t maker = maker_create();
    maker_op(&maker, LSPO_OP_FWD, 0, 0, 5);
    maker_op(&maker, LSPO_OP_D2H, 0, 0, 7);
    static const struct {
        uint32_t priority;
        lspo_op_id_t dep;
    } ops[] = {{3, 0}, {1, 1}, {1, 0}, {0, 2}, {1, 1}, {1, 0}};
    for (int i = 0; i < 6; i++) {
        lspo_op_id_t id = maker_op(&maker, LSPO_OP_UPD, 0, 0, 10);
        maker.plan.ops[id].priority = ops[i].priority;
        maker_depend(&maker, ops[i].dep);
    }
    lspo_machine_t machine = maker_machine();
    lspo_trace_t *trace = play(&maker, &machine);
    expect(trace, 4, 5, 15);
    expect(trace, 7, 15, 25);
    expect(trace, 3, 25, 35);
    expect(trace, 6, 35, 45);
    expect(trace, 2, 45, 55);
    expect(trace, 5, 55, 65);
    lspo_trace_destroy(trace);
    maker_release(&maker);
}

/* An op from time 0 on a lane, which the other lane of a pair costs `loss` of its speed. */
typedef struct {
    lspo_lane_kind_t lane;
    double loss;
    uint64_t work_ns, end_ns;
} half_t;

static void expect_pair(half_t a, half_t b)
{
    plan_maker_t maker = maker_create();
    maker_op(&maker, maker_kind(a.lane), 0, 0, a.work_ns);
    maker_op(&maker, maker_kind(b.lane), 0, 0, b.work_ns);
    lspo_machine_t machine = maker_machine();
    machine.contention[a.lane][b.lane] = a.loss;
    machine.contention[b.lane][a.lane] = b.loss;
    lspo_trace_t *trace = play(&maker, &machine);
    expect(trace, 0, 0, a.end_ns);
    expect(trace, 1, 0, b.end_ns);
    lspo_trace_destroy(trace);
    maker_release(&maker);
}

Test(engine, contention_of_two_lanes)
{
    /* Both at half speed throughout: 100 / 0.5 = 200. */
    expect_pair((half_t){LSPO_LANE_GPU, 0.5, 100, 200}, (half_t){LSPO_LANE_CPU, 0.5, 100, 200});
    /* CPU: 40 / 0.5 = 80.  The GPU has then done 80 * 0.5 = 40 of its 100 and does the other 60 alone: 140. */
    expect_pair((half_t){LSPO_LANE_GPU, 0.5, 100, 140}, (half_t){LSPO_LANE_CPU, 0.5, 40, 80});
    /* Only the GPU suffers: CPU ends at 40; GPU has done 40 * 0.75 = 30, 70 alone: 110. */
    expect_pair((half_t){LSPO_LANE_GPU, 0.25, 100, 110}, (half_t){LSPO_LANE_CPU, 0, 40, 40});
    /* Ends are rounded up: 1 / 0.3 = 3.33 -> 4; by then the D2H op has done 4 of 10 and needs 6 more: 10. */
    expect_pair((half_t){LSPO_LANE_GPU, 0.7, 1, 4}, (half_t){LSPO_LANE_D2H, 0, 10, 10});
}

/* D2H 80 and H2D 100 from 0; D2H loses 0.2, H2D 0.5 by duplex.  D2H: 80 / 0.8 = 100.  H2D has done 50, then 50 alone:
 * 150.  With contention[H2D][D2H] = 0.2 on top, H2D's rate is 0.5 * 0.8 = 0.4: 40 done at 100, 60 alone: 160. */
Test(engine, duplex_loss_of_the_link)
{
    plan_maker_t maker = maker_create();
    maker_op(&maker, LSPO_OP_D2H, 0, 0, 80);
    maker_op(&maker, LSPO_OP_H2D, 0, 0, 100);
    lspo_machine_t machine = maker_machine();
    machine.link.d2h_duplex_loss = 0.2;
    machine.link.h2d_duplex_loss = 0.5;
    lspo_trace_t *trace = play(&maker, &machine);
    expect(trace, 0, 0, 100);
    expect(trace, 1, 0, 150);
    lspo_trace_destroy(trace);

    machine.contention[LSPO_LANE_H2D][LSPO_LANE_D2H] = 0.2;
    trace = play(&maker, &machine);
    expect(trace, 0, 0, 100);
    expect(trace, 1, 0, 160);
    lspo_trace_destroy(trace);
    maker_release(&maker);
}

/* The GPU loses 0.5 to D2H and 0.5 to the CPU; nobody else loses.  GPU 100; CPU 40; D2H 20 after the CPU, then CPU 40
 * again after the first.
 *     0-40    CPU runs            GPU at 0.5:  20 done, 80 left
 *     40-60   CPU and D2H run     GPU at 0.25:  5 done, 75 left
 *     60-80   CPU runs            GPU at 0.5:  10 done, 65 left
 *     80-145  alone                                           */
Test(engine, contention_of_three_lanes_multiplies)
{
    plan_maker_t maker = maker_create();
    maker_op(&maker, LSPO_OP_FWD, 0, 0, 100);
    maker_op(&maker, LSPO_OP_UPD, 0, 0, 40);
    maker_op(&maker, LSPO_OP_D2H, 0, 0, 20);
    maker_depend(&maker, 1);
    maker_op(&maker, LSPO_OP_UPD, 1, 0, 40);
    maker_depend(&maker, 1);
    lspo_machine_t machine = maker_machine();
    machine.contention[LSPO_LANE_GPU][LSPO_LANE_CPU] = 0.5;
    machine.contention[LSPO_LANE_GPU][LSPO_LANE_D2H] = 0.5;
    lspo_trace_t *trace = play(&maker, &machine);
    expect(trace, 0, 0, 145);
    expect(trace, 1, 0, 40);
    expect(trace, 2, 40, 60);
    expect(trace, 3, 40, 80);
    lspo_trace_destroy(trace);
    maker_release(&maker);
}

/* An op without work ends when it starts, and what waits for it starts then too: GPU 0-0, then 0-10; D2H 0-5. */
Test(engine, ops_that_take_no_time)
{
    plan_maker_t maker = maker_create();
    maker_op(&maker, LSPO_OP_FWD, 0, 0, 10);
    maker.plan.ops[0].priority = 1;
    maker_op(&maker, LSPO_OP_FWD, 1, 0, 0);
    maker_op(&maker, LSPO_OP_D2H, 1, 0, 5);
    maker_depend(&maker, 1);
    lspo_machine_t machine = maker_machine();
    lspo_trace_t *trace = play(&maker, &machine);
    expect(trace, 1, 0, 0);
    expect(trace, 0, 0, 10);
    expect(trace, 2, 0, 5);
    cr_expect_eq(lspo_trace_check(trace, &maker.plan), LSPO_OK);
    lspo_trace_destroy(trace);
    maker_release(&maker);
}

/* UPD 0-0 lets FWD start at 0 too: rows come in the order of start, then lane, whichever the engine started first. */
Test(engine, rows_are_sorted_when_ops_take_no_time)
{
    plan_maker_t maker = maker_create();
    maker_op(&maker, LSPO_OP_UPD, 0, 0, 0);
    maker_op(&maker, LSPO_OP_FWD, 0, 0, 10);
    maker_depend(&maker, 0);
    lspo_machine_t machine = maker_machine();
    lspo_trace_t *trace = play(&maker, &machine);
    expect(trace, 0, 0, 0);
    expect(trace, 1, 0, 10);
    cr_expect_eq(trace->rows[0].op, 1u);
    lspo_trace_destroy(trace);
    maker_release(&maker);
}

Test(engine, refuses_plans_that_never_end)
{
    lspo_machine_t machine = maker_machine();
    lspo_trace_t *trace = NULL;
    plan_maker_t maker = maker_create();
    maker_op(&maker, LSPO_OP_FWD, 0, 0, 1);
    maker_op(&maker, LSPO_OP_FWD, 1, 0, 1);
    maker_depend(&maker, 1); /* on itself */
    cr_expect_eq(lspo_engine_play(&maker.plan, &machine, maker.work_ns, &trace), LSPO_ERR_CHECK);
    maker_release(&maker);

    maker = maker_create();
    for (int i = 0; i < 4; i++)
        maker_op(&maker, LSPO_OP_FWD, 0, 0, UINT64_C(1) << 61);
    cr_expect_eq(lspo_engine_play(&maker.plan, &machine, maker.work_ns, &trace), LSPO_ERR_INPUT);
    cr_expect_null(trace);
    maker_release(&maker);
}

/* The reference: at each instant look at every op.  Time is real-valued here; ends are not rounded. */
typedef struct {
    double start, end;
} span_t;

static bool is_ready(const lspo_plan_t *plan, const span_t *spans, lspo_op_id_t id, double now, double *ready_at)
{
    *ready_at = 0;
    for (uint32_t i = 0; i < plan->ops[id].dep_count; i++) {
        double end = spans[plan->deps[plan->ops[id].dep_first + i]].end;
        if (end < 0 || end > now)
            return false;
        *ready_at = fmax(*ready_at, end);
    }
    return true;
}

static lspo_op_id_t choose(const lspo_plan_t *plan, const span_t *spans, int lane, double now)
{
    lspo_op_id_t best = LSPO_NO_OP;
    double best_ready = 0, ready;
    for (lspo_op_id_t id = 0; id < plan->op_count; id++) {
        if (plan->ops[id].lane != (uint32_t)lane || spans[id].start >= 0 || !is_ready(plan, spans, id, now, &ready))
            continue;
        if (best == LSPO_NO_OP || plan->ops[id].priority < plan->ops[best].priority ||
            (plan->ops[id].priority == plan->ops[best].priority && ready < best_ready)) {
            best = id;
            best_ready = ready;
        }
    }
    return best;
}

static double lane_rate(const lspo_machine_t *machine, const lspo_op_id_t running[LSPO_DEVICE_LANES], int a)
{
    double rate = 1;
    for (int b = 0; b < LSPO_DEVICE_LANES; b++) {
        if (b == a || running[b] == LSPO_NO_OP)
            continue;
        rate *= 1 - machine->contention[a][b];
        if (a == LSPO_LANE_D2H && b == LSPO_LANE_H2D)
            rate *= 1 - machine->link.d2h_duplex_loss;
        if (a == LSPO_LANE_H2D && b == LSPO_LANE_D2H)
            rate *= 1 - machine->link.h2d_duplex_loss;
    }
    return rate;
}

static void reference_play(const plan_maker_t *maker, const lspo_machine_t *machine, span_t *spans)
{
    const lspo_plan_t *plan = &maker->plan;
    lspo_op_id_t running[LSPO_DEVICE_LANES];
    double left[LSPO_DEVICE_LANES] = {0}, now = 0;
    for (int lane = 0; lane < LSPO_DEVICE_LANES; lane++)
        running[lane] = LSPO_NO_OP;
    for (lspo_op_id_t id = 0; id < plan->op_count; id++)
        spans[id] = (span_t){-1, -1};
    for (bool busy = true; busy;) {
        busy = false;
        for (int lane = 0; lane < LSPO_DEVICE_LANES; lane++) {
            if (running[lane] == LSPO_NO_OP && (running[lane] = choose(plan, spans, lane, now)) != LSPO_NO_OP) {
                spans[running[lane]].start = now;
                left[lane] = (double)maker->work_ns[running[lane] * LSPO_LANE_KIND_COUNT];
            }
            busy |= running[lane] != LSPO_NO_OP;
        }
        double step = INFINITY;
        for (int lane = 0; lane < LSPO_DEVICE_LANES; lane++)
            if (running[lane] != LSPO_NO_OP)
                step = fmin(step, left[lane] / lane_rate(machine, running, lane));
        double rates[LSPO_DEVICE_LANES];
        for (int lane = 0; lane < LSPO_DEVICE_LANES; lane++)
            rates[lane] = lane_rate(machine, running, lane);
        if (busy)
            now += step;
        for (int lane = 0; lane < LSPO_DEVICE_LANES; lane++) {
            if (running[lane] == LSPO_NO_OP)
                continue;
            left[lane] -= step * rates[lane];
            if (left[lane] < 1e-6) {
                spans[running[lane]].end = now;
                running[lane] = LSPO_NO_OP;
            }
        }
    }
}

Test(engine, equals_the_reference_without_losses)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        plan_maker_t maker = maker_random_plan(seed, 200);
        lspo_machine_t machine = maker_machine();
        lspo_trace_t *trace = play(&maker, &machine);
        static span_t spans[200];
        reference_play(&maker, &machine, spans);
        for (lspo_op_id_t id = 0; id < 200; id++)
            expect(trace, id, (uint64_t)spans[id].start, (uint64_t)spans[id].end);
        lspo_trace_destroy(trace);
        maker_release(&maker);
    }
}

/* Each lane in the order of ids, so that rounding cannot change the order and both simulators play the same
 * schedule. */
static plan_maker_t ordered_plan(uint64_t seed, uint32_t count)
{
    plan_maker_t random = maker_random_plan(seed, count), maker = maker_create();
    lspo_op_id_t last[LSPO_DEVICE_LANES];
    for (int lane = 0; lane < LSPO_DEVICE_LANES; lane++)
        last[lane] = LSPO_NO_OP;
    for (lspo_op_id_t id = 0; id < count; id++) {
        const lspo_op_t *op = &random.plan.ops[id];
        maker_op(&maker, (lspo_op_kind_t)op->kind, op->layer, op->iteration,
                 1000 * random.work_ns[id * LSPO_LANE_KIND_COUNT]);
        for (uint32_t i = 0; i < op->dep_count; i++)
            maker_depend(&maker, random.plan.deps[op->dep_first + i]);
        maker_depend(&maker, last[op->lane]);
        last[op->lane] = id;
    }
    maker_release(&random);
    return maker;
}

/* Durations of up to 1 ms: a re-rate adds 1 ns at most, an op sees a few, and a chain has at most all 200 ops. */
Test(engine, agrees_with_the_reference_under_losses)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        plan_maker_t maker = ordered_plan(seed, 200);
        lspo_machine_t machine = maker_contended_machine(seed);
        lspo_trace_t *trace = play(&maker, &machine);
        static span_t spans[200];
        reference_play(&maker, &machine, spans);
        for (lspo_op_id_t id = 0; id < 200; id++) {
            const lspo_trace_row_t *row = row_of(trace, id);
            cr_expect_float_eq((double)row->end_ns, spans[id].end, 2000, "seed %lu op %u: %lu, reference %f", seed, id,
                               row->end_ns, spans[id].end);
        }
        lspo_trace_destroy(trace);
        maker_release(&maker);
    }
}

static uint64_t longest_path_ns(const plan_maker_t *maker)
{
    static uint64_t end_ns[MAKER_OPS_MAX];
    uint64_t longest_ns = 0;
    for (lspo_op_id_t id = 0; id < maker->plan.op_count; id++) {
        const lspo_op_t *op = &maker->plan.ops[id];
        uint64_t start_ns = 0;
        for (uint32_t i = 0; i < op->dep_count; i++)
            if (end_ns[maker->plan.deps[op->dep_first + i]] > start_ns)
                start_ns = end_ns[maker->plan.deps[op->dep_first + i]];
        end_ns[id] = start_ns + maker->work_ns[id * LSPO_LANE_KIND_COUNT];
        longest_ns = end_ns[id] > longest_ns ? end_ns[id] : longest_ns;
    }
    return longest_ns;
}

Test(engine, invariants_of_random_plans)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        plan_maker_t maker = maker_random_plan(seed, 20 + (uint32_t)seed);
        lspo_machine_t machine = seed % 2 ? maker_machine() : maker_contended_machine(seed);
        lspo_trace_t *trace = play(&maker, &machine);
        cr_expect_eq(lspo_trace_check(trace, &maker.plan), LSPO_OK);
        uint64_t busy_ns[LSPO_DEVICE_LANES] = {0}, total_ns = makespan_ns(trace);
        for (uint32_t i = 0; i < trace->row_count; i++) {
            const lspo_trace_row_t *row = &trace->rows[i];
            uint64_t work_ns = maker.work_ns[row->op * LSPO_LANE_KIND_COUNT];
            busy_ns[row->lane] += work_ns;
            cr_expect_geq(row->end_ns - row->start_ns, work_ns, "an op under contention is never faster than alone");
            if (seed % 2)
                cr_expect_eq(row->end_ns - row->start_ns, work_ns);
        }
        for (int lane = 0; lane < LSPO_DEVICE_LANES; lane++)
            cr_expect_geq(total_ns, busy_ns[lane]);
        cr_expect_geq(total_ns, longest_path_ns(&maker));
        lspo_trace_destroy(trace);
        maker_release(&maker);
    }
}

/* With each lane's order fixed, losses can only delay (without, Graham's anomalies may shorten a schedule). */
Test(engine, losses_never_shorten_a_plan_in_fixed_order)
{
    uint32_t longer = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        plan_maker_t maker = ordered_plan(seed, 150);
        lspo_machine_t alone = maker_machine(), contended = maker_contended_machine(seed);
        lspo_trace_t *without = play(&maker, &alone), *with = play(&maker, &contended);
        for (lspo_op_id_t id = 0; id < 150; id++)
            cr_expect_geq(row_of(with, id)->end_ns, row_of(without, id)->end_ns);
        longer += makespan_ns(with) > makespan_ns(without);
        lspo_trace_destroy(without);
        lspo_trace_destroy(with);
        maker_release(&maker);
    }
    cr_expect_eq(longer, 60u, "losses must show");
}

static char *file_text(const char *path, size_t *length_out)
{
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    char *text = malloc(1 << 20);
    *length_out = fread(text, 1, 1 << 20, file);
    fclose(file);
    return text;
}

Test(engine, equal_input_gives_equal_files)
{
    char paths[2][64];
    char *texts[2];
    size_t lengths[2];
    for (int i = 0; i < 2; i++) {
        plan_maker_t maker = maker_random_plan(42, 500);
        lspo_machine_t machine = maker_contended_machine(42);
        lspo_trace_t *trace = play(&maker, &machine);
        snprintf(paths[i], sizeof paths[i], "/tmp/lspo-engine-%ld-%d.trace", (long)getpid(), i);
        cr_assert_eq(lspo_trace_write(trace, paths[i]), LSPO_OK);
        texts[i] = file_text(paths[i], &lengths[i]);
        unlink(paths[i]);
        lspo_trace_destroy(trace);
        maker_release(&maker);
    }
    cr_expect_eq(lengths[0], lengths[1]);
    cr_expect_gt(lengths[0], 10000u);
    cr_expect_eq(memcmp(texts[0], texts[1], lengths[0]), 0);
    free(texts[0]);
    free(texts[1]);
}
