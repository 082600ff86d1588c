/* What a step consists of, against amounts by hand. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "sim/arithmetic.h"
#include "sim/tune.h"

/* gpt-tiny: 5 blocks of width 128, MLP 512, 256 tokens, 256 positions.
 *     of a block   12 x 128 x 128 weights, 13 x 128 biases and norms; of the embedding 2 x 256 x 128; the norm 256
 *     parameters   5 (196608 + 1664) + 65536 + 256 = 1057152
 *     products     6 FLOP per token and weight of a linear layer (forward, dX, dW), with the head's 256 x 128 */
static const double parameters = 1057152, linear_weights = 5 * 196608 + 256 * 128;
static const double tokens = 4 * 32;

static lspo_arithmetic_t of(const char *policy, const char *assignment, lspo_prediction_t *prediction_out)
{
    lspo_model_t model;
    lspo_machine_t machine;
    lspo_workload_t workload;
    const lspo_policy_t *found = NULL;
    lspo_plan_t *plan = NULL;
    lspo_arithmetic_t arithmetic = {0};
    cr_assert_eq(lspo_model_find("gpt-tiny", &model), LSPO_OK);
    cr_assert_eq(lspo_machine_find("host-reference", &machine), LSPO_OK);
    cr_assert_eq(lspo_policy_find(policy, &found), LSPO_OK);
    if (assignment != NULL)
        cr_assert_eq(lspo_machine_set(&machine, assignment), LSPO_OK);
    lspo_workload_default(&workload);
    workload.precision = workload.transfer = LSPO_FP32;
    workload.checkpointing = false;
    workload.batch = 4;
    workload.sequence = 32;
    lspo_policy_set_defaults(found, &model, false, &workload);
    workload.iterations = lspo_policy_iterations(found, &workload);
    cr_assert_eq(lspo_tune_transition(&model, &workload, found, &machine, &plan), LSPO_OK);
    cr_assert_eq(lspo_simulate(plan, &machine, prediction_out, NULL), LSPO_OK);
    cr_assert_eq(lspo_simulate_bound(plan, &machine, prediction_out), LSPO_OK);
    cr_assert_eq(lspo_arithmetic(plan, &machine, prediction_out, &arithmetic), LSPO_OK);
    lspo_plan_destroy(plan);
    return arithmetic;
}

static const lspo_arithmetic_row_t *row_of(const lspo_arithmetic_t *arithmetic, lspo_lane_kind_t lane, const char *work)
{
    const lspo_arithmetic_row_t *found = NULL;
    for (uint32_t i = 0; i < arithmetic->count; i++)
        if (arithmetic->rows[i].lane == lane && strcmp(arithmetic->rows[i].work, work) == 0)
            found = &arithmetic->rows[i];
    cr_assert_not_null(found, "no row %s", work);
    return found;
}

Test(arithmetic, counts_what_a_step_moves_and_computes)
{
    lspo_prediction_t prediction = {0};
    const lspo_arithmetic_t arithmetic = of("zero", NULL, &prediction);
    const lspo_arithmetic_row_t *down = row_of(&arithmetic, LSPO_LANE_D2H, "copies");
    const lspo_arithmetic_row_t *up = row_of(&arithmetic, LSPO_LANE_H2D, "copies");
    const lspo_arithmetic_row_t *adam = row_of(&arithmetic, LSPO_LANE_CPU, "Adam");
    const lspo_arithmetic_row_t *products = row_of(&arithmetic, LSPO_LANE_GPU, "products");
    cr_expect_float_eq(down->amount, 4 * parameters, 0.5);
    cr_expect_float_eq(up->amount, 4 * parameters, 0.5);
    cr_expect_float_eq(adam->amount, parameters, 0.5);
    cr_expect_float_eq(products->amount, 6 * tokens * linear_weights, 0.5);
    for (uint32_t i = 0; i < arithmetic.count; i++)
        cr_expect_float_eq(arithmetic.rows[i].least_s, arithmetic.rows[i].amount / arithmetic.rows[i].rate, 0);
    lspo_prediction_release(&prediction);
}

/* A lane alone: latency and bytes; busy at least as long, and never longer than the step. */
Test(arithmetic, lanes_follow_from_it)
{
    lspo_prediction_t prediction = {0};
    lspo_machine_t machine;
    const lspo_arithmetic_t arithmetic = of("zero", NULL, &prediction);
    const lspo_arithmetic_row_t *down = row_of(&arithmetic, LSPO_LANE_D2H, "copies");
    double busiest_s = 0;
    cr_assert_eq(lspo_machine_find("host-reference", &machine), LSPO_OK);
    cr_expect_float_eq(down->alone_s, down->least_s + (double)down->launches * machine.link.d2h_latency_s, 1e-7);
    for (uint32_t i = 0; i < arithmetic.count; i++) {
        const lspo_arithmetic_row_t *row = &arithmetic.rows[i];
        bool first = i == 0 || row->lane != row[-1].lane;
        cr_expect_eq(first, !isnan(row->alone_s));
        cr_expect_eq(first, !isnan(row->busy_s));
        if (!first)
            continue;
        busiest_s = fmax(busiest_s, row->alone_s);
        cr_expect_geq(row->busy_s, row->alone_s * (1 - 1e-6));
        cr_expect_leq(row->busy_s, prediction.summary.iteration_s * (1 + 1e-6));
    }
    cr_expect_float_eq(arithmetic.busiest_s, busiest_s, 1e-7);
    cr_expect_leq(arithmetic.busiest_s, prediction.lower_bound_s * (1 + 1e-9));
    lspo_prediction_release(&prediction);
}

/* A framework whose copies are slower than the link divides by its own rate. */
Test(arithmetic, names_the_rate_that_limits)
{
    lspo_prediction_t prediction = {0};
    lspo_arithmetic_t arithmetic = of("zero", NULL, &prediction);
    cr_expect_str_eq(row_of(&arithmetic, LSPO_LANE_D2H, "copies")->key, "d2h_Bps");
    lspo_prediction_release(&prediction);
    arithmetic = of("zero", "software.d2h_limit_Bps=1MB/s", &prediction);
    cr_expect_str_eq(row_of(&arithmetic, LSPO_LANE_D2H, "copies")->key, "d2h_limit_Bps");
    cr_expect_float_eq(row_of(&arithmetic, LSPO_LANE_D2H, "copies")->rate, 1e6, 0);
    lspo_prediction_release(&prediction);
}
