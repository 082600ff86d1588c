/* Figures of a trace against hand-made timelines; medians, intervals and rank correlation against exact values. */
#include <criterion/criterion.h>
#include <math.h>

#include "tests/plan_maker.h"
#include "traces/median.h"
#include "traces/summary.h"
#include "traces/typical.h"

static void add(lspo_trace_t *trace, lspo_op_kind_t kind, uint32_t iteration, uint64_t start_ns, uint64_t end_ns,
                uint64_t bytes)
{
    trace->rows[trace->row_count] = (lspo_trace_row_t){.op = trace->row_count,
                                                       .kind = (uint8_t)kind,
                                                       .lane = (uint8_t)lspo_op_kind_lane(kind),
                                                       .iteration = iteration,
                                                       .start_ns = start_ns,
                                                       .end_ns = end_ns,
                                                       .bytes = bytes};
    trace->row_count++;
}

/* Iteration i ends at 100, 200, 320, 420: samples 100, 120, 100.  With one of warm-up: 120 and 100, median 110, window
 * 200 .. 420.  In it, by lane:
 *     GPU  FWD 200-260 (started at 180), BWD 290-320, FWD 340-380, BWD 400-420
 *     D2H  250-280 (20 of it while the GPU is idle), 390-460 (10 idle: 390-400, the rest beyond)
 *     CPU  270-300 (10 idle and alone: 280-290), 320-335 (alone)
 * GPU busy 60 + 30 + 40 + 20 = 150; D2H 30 + 30 = 60; CPU 30 + 15 = 45.
 * Idle GPU 260-290, 320-340, 380-400:
 *     260-280 D2H runs: comm 20     280-290 CPU: cpu 10
 *     320-335 CPU: cpu 15           335-340 nobody: other 5
 *     380-390 nobody: other 10      390-400 D2H: comm 10
 * comm 30, cpu 25, other 15; with GPU 150 these are the 220 of the window.  All over two iterations. */
static lspo_trace_t *hand_trace(void)
{
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_trace_create(20, &trace), LSPO_OK);
    add(trace, LSPO_OP_FWD, 0, 0, 60, 0);
    add(trace, LSPO_OP_BWD, 0, 60, 100, 0);
    add(trace, LSPO_OP_BWD, 1, 120, 200, 0);
    add(trace, LSPO_OP_D2H, 1, 150, 190, 7777); /* of the warm-up */
    add(trace, LSPO_OP_FWD, 2, 180, 260, 0);
    add(trace, LSPO_OP_D2H, 2, 250, 280, 1000);
    add(trace, LSPO_OP_UPD, 2, 270, 300, 0);
    add(trace, LSPO_OP_BWD, 2, 290, 320, 0);
    add(trace, LSPO_OP_UPD, 2, 320, 335, 0);
    add(trace, LSPO_OP_FWD, 3, 340, 380, 0);
    add(trace, LSPO_OP_D2H, 3, 390, 460, 3000);
    add(trace, LSPO_OP_BWD, 3, 400, 420, 0);
    trace->rows[4].start_ns = 200; /* see the next test for an op across the edge */
    return trace;
}

#define expect_ns(actual_s, wanted_ns)                                                                                 \
    cr_expect_float_eq(1e9 * (actual_s), (wanted_ns), 1e-6, "%g ns", 1e9 * (actual_s))

Test(summary, hand_computed_breakdown)
{
    for (int across = 0; across < 2; across++) {
        lspo_trace_t *trace = hand_trace();
        if (across)
            trace->rows[4].start_ns = 180; /* the window cuts it: nothing changes */
        cr_assert_eq(lspo_trace_set_meta(trace, "origin", "sim"), LSPO_OK);
        lspo_summary_t summary;
        cr_assert_eq(lspo_summary_create(trace, 1, &summary), LSPO_OK);
        cr_expect_eq(summary.sample_count, 2u);
        expect_ns(summary.samples_s[0], 120);
        expect_ns(summary.samples_s[1], 100);
        expect_ns(summary.iteration_s, 110);
        expect_ns(summary.low_s, 100); /* simulated: least and greatest */
        expect_ns(summary.high_s, 120);
        expect_ns(summary.busy_s[LSPO_LANE_GPU], 75);
        expect_ns(summary.busy_s[LSPO_LANE_D2H], 30);
        expect_ns(summary.busy_s[LSPO_LANE_H2D], 0);
        expect_ns(summary.busy_s[LSPO_LANE_CPU], 22.5);
        expect_ns(summary.exposed_comm_s, 15);
        expect_ns(summary.exposed_cpu_s, 12.5);
        expect_ns(summary.other_s, 7.5);
        expect_ns(summary.makespan_s, 460);
        cr_expect_eq(summary.link_bytes[LSPO_LANE_D2H], 2000u);
        cr_expect_eq(summary.link_bytes[LSPO_LANE_H2D], 0u);
        lspo_summary_release(&summary);
        cr_expect_null(summary.samples_s);
        lspo_trace_destroy(trace);
    }
}

/* Iterations end at 100, 200, 500, 600, 900, 1000: differences 100, 300, 100, 300, 100, whose median is 100 though four
 * iterations take 800.  A policy that does something every second step: pairs from the end, 300 + 100 twice, the first
 * difference is warm-up; samples 200 and 200, and the GPU is busy for all of 200 .. 1000.  Zenflow has two windows
 * under way, so --update-every 1 repeats after two, or with the choice of columns where that is longer and the trace
 * holds it.  Single iterations count when the period is longer than the trace.
 * The typical iteration is one iteration, whatever the period. */
Test(summary, samples_are_whole_periods)
{
    static const uint64_t ends_ns[] = {100, 200, 500, 600, 900, 1000};
    static const struct {
        const char *policy, *flag, *every;
        double wanted_ns;
        uint32_t samples, iterations, warmup;
        const char *select_every;
    } cases[] = {{"galore", "project-every", "2", 200, 2, 4, 1, NULL},
                 {"galore", "project-every", "3", 500 / 3.0, 1, 3, 2, NULL},
                 {"zenflow", "update-every", "1", 200, 2, 4, 1, NULL},
                 {"galore", "project-every", "6", 100, 5, 5, 0, NULL},
                 {"lsp", "check-every", "0", 100, 5, 5, 0, NULL},
                 {"native", "update-every", "2", 100, 5, 5, 0, NULL},
                 {"galore", "project-every", "x", 100, 5, 5, 0, NULL},
                 {"another", "project-every", "2", 100, 5, 5, 0, NULL},
                 {"zenflow", "update-every", "1", 500 / 3.0, 1, 3, 2, "3"},
                 {"zenflow", "update-every", "1", 200, 2, 4, 1, "6"},
                 {"zenflow", "update-every", "1", 200, 2, 4, 1, "1"},
                 {"zenflow", "update-every", "4", 500 / 3.0, 1, 3, 2, "3"}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        lspo_trace_t *trace = NULL;
        lspo_summary_t summary;
        lspo_typical_t typical;
        cr_assert_eq(lspo_trace_create(6, &trace), LSPO_OK);
        for (uint32_t i = 0; i < 6; i++)
            add(trace, LSPO_OP_BWD, i, i > 0 ? ends_ns[i - 1] : 0, ends_ns[i], 0);
        cr_assert_eq(lspo_trace_set_meta(trace, "origin", "sim"), LSPO_OK);
        cr_assert_eq(lspo_trace_set_meta(trace, "policy", cases[c].policy), LSPO_OK);
        cr_assert_eq(lspo_trace_set_meta(trace, cases[c].flag, cases[c].every), LSPO_OK);
        if (cases[c].select_every != NULL)
            cr_assert_eq(lspo_trace_set_meta(trace, "select-every", cases[c].select_every), LSPO_OK);
        cr_assert_eq(lspo_summary_create(trace, 0, &summary), LSPO_OK);
        expect_ns(summary.iteration_s, cases[c].wanted_ns);
        cr_expect_eq(summary.sample_count, cases[c].samples, "case %zu", c);
        cr_expect_eq(summary.iteration_count, cases[c].iterations, "case %zu", c);
        cr_expect_eq(summary.warmup, cases[c].warmup, "case %zu", c);
        double window_ns = (double)(ends_ns[5] - ends_ns[cases[c].warmup]);
        expect_ns(summary.busy_s[LSPO_LANE_GPU], window_ns / cases[c].iterations);
        cr_assert_eq(lspo_typical_iteration(trace, &typical), LSPO_OK);
        expect_ns(typical.iteration_s, 100);
        lspo_summary_release(&summary);
        lspo_trace_destroy(trace);
    }
}

Test(summary, needs_enough_and_ordered_iterations)
{
    lspo_trace_t *trace = hand_trace();
    lspo_summary_t summary = {.warmup = 77};
    cr_expect_eq(lspo_summary_create(trace, 3, &summary), LSPO_ERR_INPUT, "4 iterations, 3 of warm-up: no sample");
    cr_expect_eq(lspo_summary_create(trace, UINT32_MAX, &summary), LSPO_ERR_INPUT);
    trace->rows[7].iteration = trace->rows[4].iteration = 1; /* no iteration 2 */
    cr_expect_eq(lspo_summary_create(trace, 1, &summary), LSPO_ERR_INPUT);
    trace->rows[0].iteration = 4000000000u;
    cr_expect_eq(lspo_summary_create(trace, 1, &summary), LSPO_ERR_INPUT);
    trace->row_count = 0;
    cr_expect_eq(lspo_summary_create(trace, 0, &summary), LSPO_ERR_INPUT);
    cr_expect_eq(summary.warmup, 77u, "set only on success");
    lspo_trace_destroy(trace);
}

Test(summary, medians)
{
    double odd[] = {5, 1, 4, 2, 3}, even[] = {4, 1, 3, 2}, one[] = {7};
    cr_expect_float_eq(lspo_median(odd, 5), 3, 0);
    cr_expect_float_eq(odd[0], 5, 0, "not modified");
    cr_expect_float_eq(lspo_median(even, 4), 2.5, 0);
    cr_expect_float_eq(lspo_median(one, 1), 7, 0);
    cr_expect(isnan(lspo_median(one, 0)));
}

/* By rank and by sorting, of numbers of both signs and many equal ones. */
Test(summary, ranks_are_those_of_the_sorted)
{
    double values[61], sorted[61];
    for (int i = 0; i < 61; i++)
        sorted[i] = values[i] = (double)(i * 37 % 23 - 11) / 4;
    lspo_sort(sorted, 61);
    for (uint32_t rank = 0; rank < 61; rank++) {
        cr_expect(rank == 0 || sorted[rank - 1] <= sorted[rank]);
        cr_expect_eq(lspo_ranked(values, 61, rank), sorted[rank], "rank %u", rank);
    }
}

/* P(at least `least` of n draws succeed), each with probability p. */
static double binomial_tail(int n, int least, double p)
{
    double tail = 0;
    for (int k = least; k <= n; k++)
        tail += exp(lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0) + k * log(p) + (n - k) * log1p(-p));
    return tail;
}

/* For n = 2 h + 1 distinct values the bootstrap is known in closed form: a resample's median is at most the i-th
 * smallest value iff at least h + 1 of its n draws are, so P(median <= x_i) = P(Binomial(n, i / n) >= h + 1).  With
 * values 1..n the 2.5 % and 97.5 % quantiles of 2,000 resamples must lie within one rank of the exact ones. */
Test(summary, interval_agrees_with_the_exact_bootstrap)
{
    for (int n = 11; n <= 101; n += 30) {
        double values[101], low, high;
        int exact_low = 0, exact_high = 0;
        for (int i = 0; i < n; i++)
            values[(i * 7) % n] = i + 1; /* 7 and n are coprime: any order */
        for (int i = n - 1; i >= 1; i--) {
            double below = binomial_tail(n, n / 2 + 1, (double)i / n);
            exact_low = below >= 0.025 ? i : exact_low;
            exact_high = below >= 0.975 ? i : exact_high;
        }
        lspo_median_interval(values, (uint32_t)n, 3, &low, &high);
        cr_expect_float_eq(low, exact_low, 1, "n %d: low %f, exact %d", n, low, exact_low);
        cr_expect_float_eq(high, exact_high, 1, "n %d: high %f, exact %d", n, high, exact_high);
        cr_expect(low < n / 2 + 1 && n / 2 + 1 < high);

        double low2, high2;
        lspo_median_interval(values, (uint32_t)n, 3, &low2, &high2);
        cr_expect(low2 == low && high2 == high, "equal seed, equal interval");
    }
}

Test(summary, interval_edge_cases)
{
    double equal[] = {2, 2, 2, 2}, one[] = {7}, low, high;
    lspo_median_interval(equal, 4, 1, &low, &high);
    cr_expect(low == 2 && high == 2);
    lspo_median_interval(one, 1, 1, &low, &high);
    cr_expect(low == 7 && high == 7);
    lspo_median_interval(one, 0, 1, &low, &high);
    cr_expect(isnan(low) && isnan(high));
}
