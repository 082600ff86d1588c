/* Errors, order and noise of predictions against numbers worked out by hand. */
#include "traces/accuracy.h"

#include <criterion/criterion.h>
#include <math.h>

#include "traces/median.h"

static void expect_near(double got, double expected, const char *what)
{
    cr_expect_float_eq(got, expected, 1e-12, "%s: %.15g, expected %.15g", what, got, expected);
}

/* Errors +10 %, -20 %, 0, +30 %: mean of sizes 60/4 = 15 %, of sizes 0 10 20 30 the median 15 %, the 95th percentile at
 * rank 0.95 * 3 = 2.85: 20 + 0.85 * 10 = 28.5 %, bias 20/4 = 5 %. */
Test(accuracy, errors_by_hand)
{
    const double predicted[] = {1.1, 1.6, 3.0, 5.2}, measured[] = {1.0, 2.0, 3.0, 4.0};
    lspo_accuracy_t accuracy;
    cr_assert_eq(lspo_accuracy_compute(predicted, measured, 4, &accuracy), LSPO_OK);
    cr_expect_eq(accuracy.count, 4);
    expect_near(accuracy.mean, 0.15, "mean");
    expect_near(accuracy.median, 0.15, "median");
    expect_near(accuracy.p95, 0.285, "95th percentile");
    expect_near(accuracy.worst, 0.30, "worst");
    expect_near(accuracy.bias, 0.05, "bias");
}

/* A cell without measurement must not count as one without error. */
Test(accuracy, missing_cells_are_left_out)
{
    const double predicted[] = {1.1, (double)NAN, 7.0}, measured[] = {1.0, 2.0, (double)NAN};
    lspo_accuracy_t accuracy;
    cr_assert_eq(lspo_accuracy_compute(predicted, measured, 3, &accuracy), LSPO_OK);
    cr_expect_eq(accuracy.count, 1);
    expect_near(accuracy.mean, 0.1, "mean");
    cr_assert_eq(lspo_accuracy_compute(predicted + 1, measured + 1, 2, &accuracy), LSPO_OK);
    cr_expect_eq(accuracy.count, 0);
    cr_expect(isnan(accuracy.mean) && isnan(accuracy.worst));
}

/* Errors of 40, 10, 30, 20, 50 %: the median is the third, the 95th percentile has rank 3.8, 40 + 0.8 x 10. */
Test(accuracy, quantiles_between_order_statistics)
{
    const double predicted[] = {1.4, 1.1, 1.3, 1.2, 1.5}, measured[] = {1, 1, 1, 1, 1};
    lspo_accuracy_t accuracy;
    cr_assert_eq(lspo_accuracy_compute(predicted, measured, 5, &accuracy), LSPO_OK);
    expect_near(accuracy.median, 0.3, "middle");
    expect_near(accuracy.p95, 0.48, "rank 3.8");
    expect_near(accuracy.worst, 0.5, "greatest");
    cr_assert_eq(lspo_accuracy_compute(predicted, measured, 1, &accuracy), LSPO_OK);
    expect_near(accuracy.median, 0.4, "middle of one");
    expect_near(accuracy.p95, 0.4, "95th percentile of one");
}

/* One group, measured 1 2 3 4, predicted 1 3 2 4: of six pairs only (2, 3) is the wrong way: tau = (5 - 1) / 6. */
Test(accuracy, tau_by_hand)
{
    const double measured[] = {1, 2, 3, 4}, predicted[] = {1, 3, 2, 4}, still[] = {0, 0, 0, 0};
    const uint32_t one[] = {1, 1, 1, 1};
    lspo_order_t order = lspo_accuracy_order(predicted, measured, still, one, 4);
    cr_expect_eq(order.pairs, 6);
    cr_expect_eq(order.concordant, 5);
    cr_expect_eq(order.discordant, 1);
    expect_near(order.tau, 4.0 / 6.0, "tau");
}

/* The same with 40 % noise on the third cell, 1.2 s: its gaps to the second and fourth, 1 s, decide nothing, its gap to
 * the first, 2 s, does.  Left are (1,2) (1,3) (1,4) (2,4), all the right way. */
Test(accuracy, tau_leaves_out_what_noise_could_have_turned)
{
    const double measured[] = {1, 2, 3, 4}, predicted[] = {1, 3, 2, 4}, noise[] = {0, (double)NAN, 0.4, 0};
    const uint32_t one[] = {1, 1, 1, 1};
    lspo_order_t order = lspo_accuracy_order(predicted, measured, noise, one, 4);
    cr_expect_eq(order.pairs, 4);
    cr_expect_eq(order.too_close, 2);
    expect_near(order.tau, 1, "tau");
}

/* Two groups of two and a cell of none: two pairs, one the wrong way: 0.  An equal prediction is neither. */
Test(accuracy, tau_compares_within_groups_only)
{
    const double measured[] = {1, 2, 5, 6, 9}, predicted[] = {1, 2, 8, 7, 0}, still[] = {0, 0, 0, 0, 0};
    const uint32_t groups[] = {1, 1, 2, 2, 0}, none[] = {0, 0, 0, 0, 0};
    expect_near(lspo_accuracy_order(predicted, measured, still, groups, 5).tau, 0, "tau");
    cr_expect(isnan(lspo_accuracy_order(predicted, measured, still, none, 5).tau));
    const double equal[] = {3, 3};
    lspo_order_t order = lspo_accuracy_order(equal, measured, still, groups, 2);
    cr_expect_eq(order.pairs, 1);
    expect_near(order.tau, 0, "tau of a constant prediction");
}

/* Odd rounds 1.0 1.2 1.1 (median 1.1), even ones 1.3 1.5 (1.4); all five: 1.2.  0.3 / 1.2 = 25 %. */
Test(accuracy, noise_is_what_two_measurements_differ_by)
{
    const double samples[] = {1.0, 1.3, 1.2, 1.5, 1.1};
    const uint32_t round[] = {1, 2, 1, 2, 3}, once[] = {1, 1, 3, 1, 5};
    double noise = 0;
    cr_expect_eq(lspo_accuracy_noise(samples, round, 5, &noise), LSPO_OK);
    expect_near(noise, 0.25, "noise");
    cr_expect_eq(lspo_accuracy_noise(samples, once, 5, &noise), LSPO_OK);
    cr_expect(isnan(noise));
}

/* Of two samples the median of a resample is one of a, (a + b) / 2, b with odds 1:2:1, so that the 95 % interval
 * reaches from one to the other; of equal samples it has no width. */
Test(accuracy, bootstrap_interval_by_hand)
{
    const double two[] = {1.0, 2.0}, equal[] = {3.0, 3.0, 3.0};
    double low, high;
    lspo_median_interval(two, 2, 1, &low, &high);
    expect_near(low, 1, "low");
    expect_near(high, 2, "high");
    lspo_median_interval(equal, 3, 1, &low, &high);
    expect_near(low, 3, "low of equal samples");
    expect_near(high, 3, "high of equal samples");
}
