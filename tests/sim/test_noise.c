/* Random durations against the distribution that they claim, against closed forms of what follows from them, and
 * against the prediction without noise. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/policies/lsp.h"
#include "plan/policy.h"
#include "sim/cost.h"
#include "sim/engine.h"
#include "sim/memory.h"
#include "sim/noise.h"
#include "sim/sim.h"
#include "tests/plan_maker.h"
#include "traces/median.h"

/* 5 standard errors: a right program fails one in two million such comparisons, and seeds are fixed. */
static const double errors_allowed = 5;

/* Mean, variance, skewness and excess kurtosis of values that should be normal with mean 0. */
static void expect_normal(const double *values, uint32_t count, double sigma)
{
    double mean = 0, second = 0, third = 0, fourth = 0;
    for (uint32_t i = 0; i < count; i++)
        mean += values[i] / count;
    for (uint32_t i = 0; i < count; i++) {
        double x = values[i] - mean;
        second += x * x / count;
        third += x * x * x / count;
        fourth += x * x * x * x / count;
    }
    double n = count;
    cr_expect_lt(fabs(mean), errors_allowed * sigma / sqrt(n), "mean %g of sigma %g", mean, sigma);
    cr_expect_lt(fabs(second / (sigma * sigma) - 1), errors_allowed * sqrt(2 / n), "variance %g of sigma %g", second,
                 sigma);
    cr_expect_lt(fabs(third / pow(second, 1.5)), errors_allowed * sqrt(6 / n));
    cr_expect_lt(fabs(fourth / (second * second) - 3), errors_allowed * sqrt(24 / n));
}

enum { LANE_OPS = 500 };

/* Ops of 1 s, so that whole nanoseconds round nothing away, LANE_OPS on each lane in turn. */
static plan_maker_t plan_of_seconds(void)
{
    plan_maker_t maker = maker_create();
    for (uint32_t i = 0; i < LANE_OPS * LSPO_DEVICE_LANES; i++)
        maker_op(&maker, maker_kind((lspo_lane_kind_t)(i % LSPO_DEVICE_LANES)), 0, 0, 1000000000);
    return maker;
}

static gsl_rng *random_of(unsigned long seed)
{
    gsl_rng *random = gsl_rng_alloc(gsl_rng_mt19937);
    cr_assert_not_null(random);
    gsl_rng_set(random, seed);
    return random;
}

Test(noise, logarithms_of_durations_are_normal_about_the_median_of_each_lane)
{
    enum { DRAWS = 40 };
    plan_maker_t maker = plan_of_seconds();
    lspo_machine_t machine = maker_machine();
    machine.noise.gpu_sigma = 0.02;
    machine.noise.d2h_sigma = 0.3;
    machine.noise.h2d_sigma = 0.1;
    machine.noise.cpu_sigma = 0.05;
    const double sigmas[LSPO_DEVICE_LANES] = {0.02, 0.3, 0.1, 0.05};
    static double logs[LSPO_DEVICE_LANES][DRAWS * LANE_OPS];
    uint64_t op_ns[LANE_OPS * LSPO_DEVICE_LANES];
    gsl_rng *random = random_of(3);
    for (uint32_t draw = 0; draw < DRAWS; draw++) {
        lspo_noise_draw(&maker.plan, &machine, maker.work_ns, random, op_ns);
        for (uint32_t i = 0; i < LANE_OPS * LSPO_DEVICE_LANES; i++)
            logs[i % LSPO_DEVICE_LANES][draw * LANE_OPS + i / LSPO_DEVICE_LANES] = log(1e-9 * (double)op_ns[i]);
    }
    for (int lane = 0; lane < LSPO_DEVICE_LANES; lane++)
        expect_normal(logs[lane], DRAWS * LANE_OPS, sigmas[lane]);
    gsl_rng_free(random);
    maker_release(&maker);
}

/* The factor of a run is one number for GPU and CPU, and copies have none. */
Test(noise, a_run_has_one_factor_for_all_its_work)
{
    enum { DRAWS = 20000 };
    plan_maker_t maker = maker_create();
    for (uint32_t i = 0; i < 2 * LSPO_DEVICE_LANES; i++)
        maker_op(&maker, maker_kind((lspo_lane_kind_t)(i % LSPO_DEVICE_LANES)), 0, 0, 1000000000);
    lspo_machine_t machine = maker_machine();
    machine.noise.run_sigma = 0.1;
    static double logs[DRAWS];
    uint64_t op_ns[2 * LSPO_DEVICE_LANES];
    gsl_rng *random = random_of(4);
    for (uint32_t draw = 0; draw < DRAWS; draw++) {
        lspo_noise_draw(&maker.plan, &machine, maker.work_ns, random, op_ns);
        for (int i = 0; i < 2 * LSPO_DEVICE_LANES; i++) {
            bool is_copy = i % LSPO_DEVICE_LANES == LSPO_LANE_D2H || i % LSPO_DEVICE_LANES == LSPO_LANE_H2D;
            cr_assert_eq(op_ns[i], is_copy ? 1000000000 : op_ns[0]);
        }
        logs[draw] = log(1e-9 * (double)op_ns[0]);
    }
    expect_normal(logs, DRAWS, 0.1);
    gsl_rng_free(random);
    maker_release(&maker);
}

/* One op on each lane from time 0.  Their durations are independent with one median, so that
 *     P(makespan <= 1 s e^(sigma x)) = Phi(x)^4,
 * and the median of the makespan is at Phi(x) = 2^(-1/4) = 0.8409, x = 0.9982: waiting for several costs more than
 * waiting for one (Jensen's inequality).  The density of the median in units of sigma is 4 Phi(x)^3 phi(x) = 0.5766,
 * which makes its standard error 0.5 / (0.5766 sqrt(draws)) sigmas. */
Test(noise, the_last_of_parallel_lanes_is_later_than_each)
{
    enum { DRAWS = 4000 };
    const double sigma = 0.2;
    plan_maker_t maker = maker_create();
    for (int lane = 0; lane < LSPO_DEVICE_LANES; lane++)
        maker_op(&maker, maker_kind((lspo_lane_kind_t)lane), 0, 0, 1000000000);
    lspo_machine_t machine = maker_machine();
    machine.noise.gpu_sigma = machine.noise.d2h_sigma = machine.noise.h2d_sigma = machine.noise.cpu_sigma = sigma;
    static double makespans_s[DRAWS];
    gsl_rng *random = random_of(5);
    for (uint32_t draw = 0; draw < DRAWS; draw++) {
        uint64_t op_ns[LSPO_DEVICE_LANES], last_ns = 0;
        lspo_trace_t *trace = NULL;
        lspo_noise_draw(&maker.plan, &machine, maker.work_ns, random, op_ns);
        cr_assert_eq(lspo_engine_play_ops(&maker.plan, &machine, op_ns, &trace), LSPO_OK);
        for (uint32_t i = 0; i < trace->row_count; i++) {
            cr_assert_eq(trace->rows[i].end_ns, op_ns[trace->rows[i].op]);
            last_ns = trace->rows[i].end_ns > last_ns ? trace->rows[i].end_ns : last_ns;
        }
        makespans_s[draw] = 1e-9 * (double)last_ns;
        lspo_trace_destroy(trace);
    }
    double median = lspo_median(makespans_s, DRAWS);
    cr_expect_float_eq(log(median) / sigma, 0.9982, errors_allowed * 0.5 / (0.5766 * sqrt(DRAWS)));
    gsl_rng_free(random);
    maker_release(&maker);
}

/* Plans of policies */

static lspo_machine_t laptop(void)
{
    lspo_machine_t machine;
    cr_assert_eq(lspo_machine_find("paper-laptop", &machine), LSPO_OK);
    machine.noise.gpu_sigma = machine.noise.d2h_sigma = machine.noise.h2d_sigma = machine.noise.cpu_sigma =
        machine.noise.run_sigma = 0;
    return machine;
}

static lspo_plan_t *build(const char *policy_name, uint32_t iterations)
{
    lspo_model_t model;
    lspo_workload_t workload;
    const lspo_policy_t *policy = NULL;
    lspo_plan_t *plan = NULL;
    cr_assert_eq(lspo_model_find("gpt-small", &model), LSPO_OK);
    cr_assert_eq(lspo_policy_find(policy_name, &policy), LSPO_OK);
    lspo_workload_default(&workload);
    workload.sequence = 128;
    lspo_lsp_values_edit(&workload)->subspace = 64;
    workload.iterations = iterations;
    cr_assert_eq(lspo_plan_build(&model, &workload, policy, &plan), LSPO_OK);
    return plan;
}

static lspo_noise_t predict(const lspo_plan_t *plan, const lspo_machine_t *machine, lspo_noise_options_t options)
{
    lspo_noise_t noise;
    cr_assert_eq(lspo_noise_predict(plan, machine, &options, &noise), LSPO_OK);
    return noise;
}

/* All sigmas 0: every percentile, peak and error bar is the prediction without noise, to the bit. */
Test(noise, without_sigma_nothing_is_different)
{
    for (uint32_t p = 0; p < lspo_policy_count(); p++) {
        lspo_machine_t machine = laptop();
        machine.contention[LSPO_LANE_GPU][LSPO_LANE_CPU] = 0.2;
        lspo_plan_t *plan = build(lspo_policy_at(p)->name, 8);
        lspo_prediction_t prediction;
        lspo_trace_t *trace = NULL;
        cr_assert_eq(lspo_simulate(plan, &machine, &prediction, &trace), LSPO_OK);
        lspo_noise_options_t options = {.seed = 1, .draws = 3, .first_iteration = 0, .iteration_count = UINT32_MAX};
        lspo_noise_t noise = predict(plan, &machine, options);
        for (int i = 0; i < LSPO_PERCENTILES; i++) {
            cr_expect(noise.iteration_s[i] == prediction.summary.iteration_s, "%s", plan->policy->name);
            cr_expect(noise.slowdown[i] == prediction.slowdown, "%s", plan->policy->name);
        }
        cr_expect_eq(noise.peak_gpu_low_bytes, prediction.peak_gpu_bytes);
        cr_expect_eq(noise.peak_gpu_high_bytes, prediction.peak_gpu_bytes);
        cr_expect_eq(noise.peak_host_low_bytes, prediction.peak_host_bytes);
        cr_expect_eq(noise.peak_host_high_bytes, prediction.peak_host_bytes);
        cr_expect_eq(noise.fit_draws, prediction.fits ? 3u : 0u);
        for (uint32_t i = 0; i < trace->row_count; i++) {
            const lspo_gantt_spread_t *spread = &noise.spreads[trace->rows[i].op];
            double start_s = 1e-9 * (double)trace->rows[i].start_ns, end_s = 1e-9 * (double)trace->rows[i].end_ns;
            cr_assert(spread->start_low_s == start_s && spread->start_high_s == start_s);
            cr_assert(spread->end_low_s == end_s && spread->end_high_s == end_s);
        }
        lspo_noise_release(&noise);
        lspo_prediction_release(&prediction);
        lspo_trace_destroy(trace);
        lspo_plan_destroy(plan);
    }
}

/* Quantiles of the standard normal distribution at lspo_noise_percentages. */
static const double normal_quantiles[LSPO_PERCENTILES] = {-1.959964, -1.644854, -0.674490, 0,
                                                          0.674490,  1.644854,  1.959964};

/* Each quantile within 5 of its standard errors sqrt(p (1 - p) / draws) / density, as logarithms. */
static void expect_lognormal(const double quantiles[LSPO_PERCENTILES], double mu, double sigma, uint32_t draws)
{
    for (int i = 0; i < LSPO_PERCENTILES; i++) {
        double p = 0.01 * lspo_noise_percentages[i], z = normal_quantiles[i];
        double density = exp(-0.5 * z * z) / sqrt(2 * acos(-1));
        double error = sigma * sqrt(p * (1 - p) / draws) / density;
        double off = log(quantiles[i]) - (mu + sigma * z);
        cr_expect_lt(fabs(off), errors_allowed * error, "quantile %g: %g, not %g (%.1f standard errors)", p,
                     quantiles[i], exp(mu + sigma * z), off / error);
    }
}

/* native of two iterations is a chain on one lane, and its one sample the sum of each work of an iteration once.  By
 * Fenton and Wilkinson a sum of independent lognormals w_i e^(s z_i) is nearly lognormal, with
 *     mean = sum w_i e^(s^2/2)      variance = sum w_i^2 e^(s^2) (e^(s^2) - 1)
 *     sigma^2 = ln(1 + variance / mean^2)      mu = ln(mean) - sigma^2 / 2;
 * the factor of the run adds run_sigma^2 to sigma^2.  A median of works that grew with s^2 (a factor that keeps the
 * mean instead) would be e^(-s^2/2), 4.4 %, below. */
Test(noise, a_chain_has_the_percentiles_of_a_sum_of_lognormals)
{
    enum { DRAWS = 4000 };
    const double s = 0.3, run = 0.05;
    lspo_machine_t machine = laptop();
    machine.noise.gpu_sigma = s;
    machine.noise.run_sigma = run;
    lspo_plan_t *plan = build("native", 2);
    double mean = 0, variance = 0;
    for (lspo_op_id_t id = 0; id < plan->op_count; id++) {
        /* Both iterations have the same works. */
        double work_s = lspo_cost_work_s(&(lspo_cost_context_t){&machine, &plan->model, plan->workload.precision},
                                         LSPO_LANE_GPU, 0, &plan->works[plan->ops[id].work]);
        mean += 0.5 * work_s * exp(0.5 * s * s);
        variance += 0.5 * work_s * work_s * exp(s * s) * (exp(s * s) - 1);
    }
    double sum_sigma2 = log(1 + variance / (mean * mean));
    double sigma = sqrt(sum_sigma2 + run * run);
    lspo_noise_t noise = predict(plan, &machine, (lspo_noise_options_t){.seed = 7, .draws = DRAWS});
    expect_lognormal(noise.iteration_s, log(mean) - 0.5 * sum_sigma2, sigma, DRAWS);
    /* Of two runs, independent of each other: the ratio of equals. */
    expect_lognormal(noise.slowdown, 0, sqrt(2) * sigma, DRAWS);
    cr_expect_null(noise.spreads);
    lspo_noise_release(&noise);
    lspo_plan_destroy(plan);
}

/* Where lanes wait for each other, noise costs time; where one lane does it all, it costs e^(sigma^2/2) - 1 only, 0.1 %
 * at 0.05. */
Test(noise, median_under_noise_is_not_below_the_prediction_without)
{
    static const char *const policies[] = {"zero", "zero-layerwise", "swap", "lsp"};
    for (size_t p = 0; p < sizeof policies / sizeof policies[0]; p++) {
        lspo_machine_t machine = laptop();
        lspo_plan_t *plan = build(policies[p], 8);
        lspo_prediction_t prediction;
        cr_assert_eq(lspo_simulate(plan, &machine, &prediction, NULL), LSPO_OK);
        machine.noise.gpu_sigma = machine.noise.d2h_sigma = machine.noise.h2d_sigma = machine.noise.cpu_sigma = 0.05;
        lspo_noise_t noise = predict(plan, &machine, (lspo_noise_options_t){.seed = 2, .draws = 400});
        cr_expect_geq(noise.iteration_s[3], prediction.summary.iteration_s, "%s", policies[p]);
        cr_expect_lt(noise.iteration_s[3], 1.1 * prediction.summary.iteration_s, "%s", policies[p]);
        for (int i = 1; i < LSPO_PERCENTILES; i++)
            cr_expect_gt(noise.iteration_s[i], noise.iteration_s[i - 1]);
        lspo_noise_release(&noise);
        lspo_prediction_release(&prediction);
        lspo_plan_destroy(plan);
    }
}

Test(noise, equal_seeds_give_equal_bytes_and_others_do_not)
{
    lspo_machine_t machine = laptop();
    machine.noise.gpu_sigma = machine.noise.cpu_sigma = 0.03;
    machine.noise.run_sigma = 0.01;
    lspo_plan_t *plan = build("zero-layerwise", 6);
    lspo_noise_options_t options = {.seed = 11, .draws = 50, .first_iteration = 2, .iteration_count = 1};
    lspo_noise_t first = predict(plan, &machine, options), second = predict(plan, &machine, options);
    cr_expect_arr_eq(first.spreads, second.spreads, plan->op_count * sizeof *first.spreads);
    cr_expect_arr_eq(first.iteration_s, second.iteration_s, sizeof first.iteration_s);
    cr_expect_arr_eq(first.slowdown, second.slowdown, sizeof first.slowdown);
    /* What is kept of a draw changes none. */
    options.iteration_count = 0;
    lspo_noise_t bare = predict(plan, &machine, options);
    cr_expect_arr_eq(first.iteration_s, bare.iteration_s, sizeof first.iteration_s);
    options.seed = 12;
    lspo_noise_t other = predict(plan, &machine, options);
    for (int i = 0; i < LSPO_PERCENTILES; i++)
        cr_expect(first.iteration_s[i] != other.iteration_s[i]);
    lspo_noise_release(&first);
    lspo_noise_release(&second);
    lspo_noise_release(&bare);
    lspo_noise_release(&other);
    lspo_plan_destroy(plan);
}

/* A sigma that changes leaves the numbers of the other lanes as they are. */
Test(noise, lanes_keep_their_numbers_when_another_sigma_changes)
{
    plan_maker_t maker = plan_of_seconds();
    lspo_machine_t machine = maker_machine();
    machine.noise.cpu_sigma = 0.1;
    uint64_t quiet_ns[LANE_OPS * LSPO_DEVICE_LANES], loud_ns[LANE_OPS * LSPO_DEVICE_LANES];
    gsl_rng *random = random_of(6);
    lspo_noise_draw(&maker.plan, &machine, maker.work_ns, random, quiet_ns);
    gsl_rng_set(random, 6);
    machine.noise.gpu_sigma = 0.5;
    lspo_noise_draw(&maker.plan, &machine, maker.work_ns, random, loud_ns);
    for (uint32_t i = 0; i < LANE_OPS * LSPO_DEVICE_LANES; i++)
        cr_assert_eq(quiet_ns[i] == loud_ns[i], i % LSPO_DEVICE_LANES != LSPO_LANE_GPU, "op %u", i);
    gsl_rng_free(random);
    maker_release(&maker);
}

/* With nothing but the factor of a run, all times of a chain scale by it: error bars grow from the origin of the window
 * on by e^(+-1.645 run_sigma), and ops of other iterations have none. */
Test(noise, error_bars_are_relative_to_the_first_op_of_the_window)
{
    enum { DRAWS = 2000 };
    const double run = 0.1;
    lspo_machine_t machine = laptop();
    lspo_plan_t *plan = build("native", 6);
    lspo_prediction_t prediction;
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_simulate(plan, &machine, &prediction, &trace), LSPO_OK);
    machine.noise.run_sigma = run;
    lspo_noise_options_t options = {.seed = 3, .draws = DRAWS, .first_iteration = 2, .iteration_count = 2};
    lspo_noise_t noise = predict(plan, &machine, options);
    uint64_t origin_ns = UINT64_MAX;
    for (uint32_t i = 0; i < trace->row_count; i++)
        if (trace->rows[i].iteration == 2 && trace->rows[i].start_ns < origin_ns)
            origin_ns = trace->rows[i].start_ns;
    for (uint32_t i = 0; i < trace->row_count; i++) {
        const lspo_trace_row_t *row = &trace->rows[i];
        const lspo_gantt_spread_t *spread = &noise.spreads[row->op];
        if (row->iteration < 2 || row->iteration > 3) {
            cr_expect(spread->end_high_s == 0);
            continue;
        }
        double start_s = 1e-9 * (double)(row->start_ns - origin_ns), end_s = 1e-9 * (double)(row->end_ns - origin_ns);
        /* 2.11 sigmas / sqrt(draws) is the standard error of these percentiles; ops round to 1 ns each. */
        double allowed = errors_allowed * 2.11 * run / sqrt(DRAWS), rounding_s = 1e-9 * plan->op_count;
        cr_expect_float_eq(spread->end_low_s, end_s * exp(-1.645 * run), end_s * allowed + rounding_s);
        cr_expect_float_eq(spread->end_high_s, end_s * exp(1.645 * run), end_s * allowed * 1.2 + rounding_s);
        cr_expect_float_eq(spread->start_high_s, start_s * exp(1.645 * run), start_s * allowed * 1.2 + rounding_s);
    }
    lspo_noise_release(&noise);
    lspo_prediction_release(&prediction);
    lspo_trace_destroy(trace);
    lspo_plan_destroy(plan);
}

/* Delays change which buffers are held at a time.  A capacity within the spread lets some draws fit and others not. */
Test(noise, peaks_spread_and_the_draws_that_fit_are_counted)
{
    lspo_machine_t machine = laptop();
    machine.noise.gpu_sigma = machine.noise.d2h_sigma = machine.noise.h2d_sigma = machine.noise.cpu_sigma = 0.5;
    lspo_plan_t *plan = build("zero-layerwise", 6);
    lspo_noise_options_t options = {.seed = 1, .draws = 100};
    lspo_noise_t noise = predict(plan, &machine, options);
    cr_assert_lt(noise.peak_gpu_low_bytes, noise.peak_gpu_high_bytes);
    cr_expect_geq(noise.peak_gpu_low_bytes, plan->gpu_static_bytes);
    cr_expect_geq(noise.peak_host_high_bytes, noise.peak_host_low_bytes);
    cr_expect_eq(noise.fit_draws, 100u);
    machine.gpu.memory_bytes = (double)noise.peak_gpu_low_bytes + machine.gpu.context_bytes;
    lspo_noise_t tight = predict(plan, &machine, options);
    cr_expect_gt(tight.fit_draws, 0u);
    cr_expect_lt(tight.fit_draws, 100u);
    lspo_plan_destroy(plan);
}

Test(noise, a_machine_without_noise_is_refused_with_a_remedy)
{
    lspo_machine_t machine = laptop();
    cr_expect_eq(lspo_noise_check(&machine), LSPO_ERR_INPUT);
    machine.noise.run_sigma = 0.01;
    cr_expect_eq(lspo_noise_check(&machine), LSPO_OK);
    machine.noise.run_sigma = 0;
    machine.noise.h2d_sigma = 0.01;
    cr_expect_eq(lspo_noise_check(&machine), LSPO_OK);
}
