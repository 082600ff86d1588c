/* Calibration: the fit against times made from known rates.  The whole: test_calibrate_cuda.c here, and on this machine
 * tests/cli/test_calibrate_command.c. */
#include "real/calibrate/calibrate.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/random.h"
#include "real/calibrate/state.h"

/* y = 5 us + bytes / 5 GB/s, and half as much again for every second shape; one sample of ten may be ten times too
 * slow. */
static size_t make_rows(double noise, bool disturbed, lspo_fit_row_t *rows)
{
    size_t count = 0;
    for (int shape = 0; shape < 12; shape++) {
        double bytes = 1e4 * (1 << shape), truth = 5e-6 + bytes * 2e-10 + (shape % 2 ? bytes * 1e-10 : 0);
        for (int repeat = 0; repeat < 10; repeat++) {
            double y = truth * (1 + noise * lspo_random_normal(1, 1, count));
            if (disturbed && repeat == shape % 10)
                y *= 10;
            rows[count++] = (lspo_fit_row_t){.x = {1, bytes, shape % 2 ? bytes : 0}, .y = y, .scale = truth};
        }
    }
    return count;
}

/* A tenth of the samples ten times too slow moves nothing: within 1 % of what made them, as are samples without. */
Test(calibrate, fits_are_robust)
{
    for (int disturbed = 0; disturbed < 2; disturbed++) {
        lspo_fit_row_t rows[120];
        lspo_fit_t fit;
        cr_assert_eq(lspo_fit_rows("rows", rows, make_rows(0.01, disturbed, rows), 3, &fit), LSPO_OK);
        cr_expect_float_eq(fit.cost[0] / 5e-6, 1, 0.02);
        cr_expect_float_eq(fit.cost[1] / 2e-10, 1, 0.01);
        cr_expect_float_eq(fit.cost[2] / 1e-10, 1, 0.05);
    }
}

/* Over 40 sets of samples, the estimates scatter as the standard errors say, to a factor of two. */
Test(calibrate, standard_errors_are_those_of_the_estimates)
{
    double sum = 0, squares = 0, errors = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        lspo_fit_row_t rows[120];
        lspo_fit_t fit;
        for (size_t i = 0; i < 120; i++) {
            double x = 1 + (double)(i % 12);
            rows[i] =
                (lspo_fit_row_t){.x = {x}, .y = 2 * x * (1 + 0.1 * lspo_random_normal(7, seed, i)), .scale = 2 * x};
        }
        cr_assert_eq(lspo_fit_rows("rows", rows, 120, 1, &fit), LSPO_OK);
        sum += fit.cost[0];
        squares += fit.cost[0] * fit.cost[0];
        errors += fit.error[0] / 40;
    }
    double deviation = sqrt(fmax(squares / 40 - sum / 40 * (sum / 40), 0));
    cr_expect_float_eq(sum / 40, 2, 0.02);
    cr_expect(errors > deviation / 2 && errors < deviation * 2, "said %g, were %g", errors, deviation);
}

/* y = 2 x0 - 0.5 x1 would have a negative cost: it is left out, none is below 0, and nothing at all is a fit as
 * well. */
Test(calibrate, costs_are_never_negative)
{
    lspo_fit_row_t rows[30];
    lspo_fit_t fit;
    for (int i = 0; i < 30; i++) {
        double x0 = 1 + i % 7, x1 = 1 + i % 3, y = 2 * x0 - 0.5 * x1 + 0.01 * i;
        rows[i] = (lspo_fit_row_t){.x = {x0, x1}, .y = y, .scale = fabs(y)};
    }
    cr_assert_eq(lspo_fit_rows("rows", rows, 30, 2, &fit), LSPO_OK);
    cr_expect_gt(fit.cost[0], 0);
    cr_expect_eq(fit.cost[1], 0);
    for (int i = 0; i < 30; i++)
        rows[i] = (lspo_fit_row_t){.x = {1 + i}, .y = -1 - i, .scale = 1 + i};
    cr_assert_eq(lspo_fit_rows("rows", rows, 30, 1, &fit), LSPO_OK);
    cr_expect_eq(fit.cost[0], 0);
}

Test(calibrate, too_few_rows_are_refused)
{
    lspo_fit_row_t rows[2] = {{.x = {1, 2}, .y = 1, .scale = 1}, {.x = {2, 1}, .y = 1, .scale = 1}};
    lspo_fit_t fit = {.cost = {7}};
    cr_expect_eq(lspo_fit_rows("rows", rows, 2, 2, &fit), LSPO_ERR_CHECK);
    cr_expect_eq(fit.cost[0], 7, "set on success only");
}

/* Costs 1 near and 3 far, a cache of 40: sets 10 to 320 cost amount (h + 3 (1 - h)), h = min(1, 40/set). */
Test(calibrate, cache_size_is_found)
{
    lspo_fit_row_t rows[60];
    lspo_cache_fit_t fit;
    for (size_t i = 0; i < 60; i++) {
        double set = 10 * (double)(1 << (i % 6)), held = fmin(1, 40 / set), truth = set * (held + 3 * (1 - held));
        rows[i] =
            (lspo_fit_row_t){.x = {set, set}, .y = truth * (1 + 0.01 * lspo_random_normal(3, 1, i)), .scale = truth};
    }
    cr_assert_eq(lspo_fit_cache("walks", rows, 60, 1, 1000, &fit), LSPO_OK);
    cr_expect_float_eq(fit.size / 40, 1, 0.1, "%g", fit.size);
    cr_expect_float_eq(fit.near, 1, 0.03);
    cr_expect_float_eq(fit.far / 3, 1, 0.1);
    cr_expect_lt(fit.size_error, 0.2);
}

/* A cache that keeps all of 16 MB, nothing of 1 GB, and after 20 ms exp(-1) of what others leave: 200 MB right after
 * each other are there by log(1000 / 200) / log(1000 / 16) = 0.389. */
static lspo_kept_cache_t found_cache(const lspo_kept_cache_t *cache)
{
    static const double bytes[] = {16e6, 50e6, 80e6, 100e6, 150e6, 200e6, 400e6},
                        ages_s[] = {0, 0.005, 0.01, 0.02, 0.03};
    enum { COUNT = 35 };
    lspo_kept_t kept[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        kept[i] = (lspo_kept_t){.bytes = bytes[i / 5], .age_s = ages_s[i % 5]};
        kept[i].share = lspo_calibrate_kept_share(cache, &kept[i]) + 0.02 * lspo_random_normal(3, 2, i);
    }
    return lspo_calibrate_fit_kept(16e6, kept, COUNT);
}

/* One that is empty after fewer bytes than were tried, and one that is not. */
Test(calibrate, what_a_cache_keeps_is_found)
{
    const lspo_kept_cache_t small = {16e6, 1e8, 0, 0.02}, large = {16e6, 4e8, 0.7, 0.02}, steep = {60e6, 2e8, 0, 0.02};
    cr_expect_float_eq(lspo_calibrate_kept_share(&small, &(lspo_kept_t){4e7, 0, 0}), 0.5, 1e-3);
    cr_expect_float_eq(lspo_calibrate_kept_share(&large, &(lspo_kept_t){8e7, 0, 0}), 0.85, 1e-12);
    cr_expect_float_eq(lspo_calibrate_kept_share(&small, &(lspo_kept_t){15e6, 0.02, 0}), exp(-1), 1e-12);
    cr_expect_eq(lspo_calibrate_kept_share(&small, &(lspo_kept_t){1e9, 0, 0}), 0);
    lspo_kept_cache_t found = found_cache(&small);
    cr_expect_float_eq(found.bytes / 1e8, 1, 0.25, "%g", found.bytes);
    cr_expect_eq(found.left, 0);
    cr_expect_float_eq(found.s / 0.02, 1, 0.15, "%g", found.s);
    found = found_cache(&large);
    cr_expect_eq(found.bytes, 4e8);
    cr_expect_float_eq(found.left, 0.7, 0.05, "%g", found.left);
    cr_expect_float_eq(found.s / 0.02, 1, 0.15, "%g", found.s);
    found = found_cache(&steep);
    cr_expect_float_eq(found.all_bytes / 60e6, 1, 0.2, "%g", found.all_bytes);
    cr_expect_float_eq(found.bytes / 2e8, 1, 0.2, "%g", found.bytes);
}

/* Times per weight in all of a memory, a half and a quarter, which a cache of all, of half and of a quarter of them
 * holds, though a tenth may be gone; and where a cache is no faster than memory. */
Test(calibrate, near_pools_are_what_a_cache_holds)
{
    static const struct {
        double read_s[3], far_s;
        size_t wanted;
    } cases[] = {{{20, 20, 20}, 70, 0}, {{24.9, 22, 20}, 70, 0}, {{25.1, 22, 20}, 70, 1},
                 {{70, 26, 20}, 70, 2}, {{71, 60, 20}, 70, 2},   {{40, 30, 20}, 21.9, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_expect_eq(lspo_calibrate_halves(cases[i].read_s, 2, cases[i].far_s), cases[i].wanted, "case %zu", i);
}

/* Pools hand out neighbouring regions with a gap of 336 floats and start again when the next one does not fit. */
Test(calibrate, pools_wrap)
{
    float data[500];
    lspo_pool_t pool = {.data = data, .count = 500, .around = 500};
    cr_assert_eq(lspo_pool_take(&pool, 40) - data, 0);
    cr_assert_eq(lspo_pool_take(&pool, 40) - data, 48 + 336);
    cr_assert_eq(lspo_pool_take(&pool, 16) - data, 0);
    pool = (lspo_pool_t){.data = data, .count = 500, .around = 384};
    cr_assert_eq(lspo_pool_take(&pool, 40) - data, 0);
    cr_assert_eq(lspo_pool_take(&pool, 16) - data, 0, "what a cache holds ends here");
}

/* Kept samples come back as rows, and notes find their field. */
Test(calibrate, samples_are_kept)
{
    lspo_calibration_result_t result = {0};
    lspo_calibration_t calibration = {.result = &result};
    const double times_s[5] = {5, 1, 2, 3, 400}, x[2] = {7, 8};
    lspo_timing_t timing = lspo_calibrate_keep(&calibration, "kind", "shape", times_s, 5);
    lspo_fit_row_t rows[4];
    cr_expect_eq(timing.median_s, 3);
    cr_expect_eq(lspo_calibrate_rows(&calibration, &timing, x, 2, rows, 4), 4u, "no more than there is room for");
    cr_expect(rows[3].x[0] == 7 && rows[3].x[1] == 8 && rows[3].y == 3 && rows[3].scale == 3);
    cr_expect(isnan(result.samples[4].fitted_s));
    lspo_calibrate_set_fitted(&calibration, &timing, 4);
    cr_expect_eq(result.samples[4].fitted_s, 4);
    lspo_calibrate_note(&calibration, &result.machine.link.h2d_Bps, 0.5, 12);
    for (size_t i = 0; i < lspo_machine_field_count; i++) {
        bool noted = strcmp(lspo_machine_fields[i].key, "h2d_Bps") == 0;
        cr_expect_eq(result.errors[i].samples, noted ? 12u : 0u);
    }
    lspo_calibration_release(&result);
}

/* Medians of 1, 2, 3, 4, 5: deviations 2, 1, 0, 1, 2, whose median is 1: 1.2533 x 1.4826 / sqrt(5) = 0.83098. */
Test(calibrate, error_of_a_median)
{
    const double values[5] = {5, 1, 4, 2, 3};
    cr_expect_float_eq(lspo_calibrate_error(values, 5), 0.83098, 1e-4);
}

Test(calibrate, unknown_device_is_refused)
{
    lspo_calibrate_options_t options = {.device = "cuda:9"};
    lspo_calibration_result_t result;
    cr_assert_eq(lspo_calibrate(&options, &result), LSPO_ERR_DEVICE);
    options.device = "nonsense";
    cr_assert_eq(lspo_calibrate(&options, &result), LSPO_ERR_INPUT);
}

/* Dense products count up to the largest ratio below the first at which they are not faster. */
Test(calibrate, dense_up_to_the_first_ratio_that_is_slower)
{
    static const double ratios[] = {128, 32, 64, 64, 16};
    const bool all[] = {true, true, true, true, true}, none[] = {false, false, false, false, false};
    const bool one_of_64[] = {true, true, true, false, true}, not_16[] = {true, true, true, true, false};
    cr_expect_eq(lspo_calibrate_dense_ratio(ratios, all, 5), 128);
    cr_expect_eq(lspo_calibrate_dense_ratio(ratios, none, 5), 0);
    cr_expect_eq(lspo_calibrate_dense_ratio(ratios, one_of_64, 5), 32);
    cr_expect_eq(lspo_calibrate_dense_ratio(ratios, not_16, 5), 0);
}
