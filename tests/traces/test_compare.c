/* Two traces of one plan, op by op: means, shares and the refusal of traces of different plans. */
#include <criterion/criterion.h>

#include "tests/plan_maker.h"
#include "traces/compare.h"

/* Four iterations; each has FWD of layers 0, 1, 2 (embed, block, head), BWD of layer 1, and D2H of layer 1 which hides.
 * `scale` stretches: FWD of the block takes 20 scale. */
static lspo_trace_t *trace_of(uint64_t block_fwd_ns, uint64_t bwd_ns, uint64_t d2h_ns, bool reversed)
{
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_trace_create(32, &trace), LSPO_OK);
    uint64_t now_ns = 0;
    for (uint32_t iteration = 0; iteration < 4; iteration++) {
        const struct {
            lspo_op_kind_t kind;
            uint16_t layer;
            uint64_t duration_ns;
        } ops[] = {
            {LSPO_OP_FWD, 0, 10}, {LSPO_OP_FWD, 1, block_fwd_ns}, {LSPO_OP_FWD, 2, 10}, {LSPO_OP_BWD, 1, bwd_ns}};
        for (int i = 0; i < 4; i++) {
            trace->rows[trace->row_count] = (lspo_trace_row_t){.op = trace->row_count,
                                                               .kind = (uint8_t)ops[i].kind,
                                                               .lane = LSPO_LANE_GPU,
                                                               .layer = ops[i].layer,
                                                               .iteration = iteration,
                                                               .start_ns = now_ns,
                                                               .end_ns = now_ns + ops[i].duration_ns};
            trace->row_count++;
            now_ns += ops[i].duration_ns;
        }
        trace->rows[trace->row_count] = (lspo_trace_row_t){.op = trace->row_count,
                                                           .kind = LSPO_OP_D2H,
                                                           .lane = LSPO_LANE_D2H,
                                                           .layer = 1,
                                                           .iteration = iteration,
                                                           .start_ns = now_ns - 5,
                                                           .end_ns = now_ns - 5 + d2h_ns};
        trace->row_count++;
    }
    for (uint32_t i = 0; reversed && i < trace->row_count / 2; i++) {
        lspo_trace_row_t row = trace->rows[i];
        trace->rows[i] = trace->rows[trace->row_count - 1 - i];
        trace->rows[trace->row_count - 1 - i] = row;
    }
    return trace;
}

static const lspo_compare_row_t *row_of(const lspo_comparison_t *comparison, lspo_op_kind_t kind,
                                        lspo_stage_kind_t stage)
{
    for (uint32_t i = 0; i < comparison->row_count; i++)
        if (comparison->rows[i].kind == kind && comparison->rows[i].stage == stage)
            return &comparison->rows[i];
    cr_assert_fail("no row of kind %d, stage %d", (int)kind, (int)stage);
    return NULL;
}

/* Predicted iteration 10 + 20 + 10 + 30 = 70, measured 10 + 25 + 10 + 35 = 80: error 70 / 80 - 1 = -12.5 %.
 * One of warm-up leaves iterations 2 and 3: two ops a row.
 *     FWD block  20 against 25: -5 of 80 = -6.25 %       BWD block  30 against 35: -6.25 %
 *     D2H block  12 against 4:  +8 of 80 = +10 %, first  FWD embed, head: 0                     */
Test(compare, hand_computed_shares)
{
    for (int reversed = 0; reversed < 2; reversed++) {
        lspo_trace_t *predicted = trace_of(20, 30, 12, false), *measured = trace_of(25, 35, 4, reversed);
        lspo_comparison_t comparison;
        cr_assert_eq(lspo_compare(predicted, measured, 1, &comparison), LSPO_OK);
        cr_expect_float_eq(comparison.error, -0.125, 1e-12);
        cr_expect_eq(comparison.matched_op_count, 20u);
        cr_expect_eq(comparison.row_count, 5u);
        cr_expect_eq(comparison.rows[0].kind, LSPO_OP_D2H, "largest share first");
        const lspo_compare_row_t *d2h = row_of(&comparison, LSPO_OP_D2H, LSPO_STAGE_BLOCK);
        cr_expect_float_eq(d2h->share_of_error, 0.1, 1e-12);
        cr_expect_eq(d2h->lane_kind, LSPO_LANE_D2H);
        const lspo_compare_row_t *fwd = row_of(&comparison, LSPO_OP_FWD, LSPO_STAGE_BLOCK);
        cr_expect_eq(fwd->op_count, 2u);
        cr_expect_float_eq(fwd->predicted_s, 20e-9, 1e-18);
        cr_expect_float_eq(fwd->measured_s, 25e-9, 1e-18);
        cr_expect_float_eq(fwd->share_of_error, -0.0625, 1e-12);
        cr_expect_float_eq(row_of(&comparison, LSPO_OP_BWD, LSPO_STAGE_BLOCK)->share_of_error, -0.0625, 1e-12);
        cr_expect_float_eq(row_of(&comparison, LSPO_OP_FWD, LSPO_STAGE_EMBED)->share_of_error, 0, 1e-12);
        cr_expect_float_eq(row_of(&comparison, LSPO_OP_FWD, LSPO_STAGE_HEAD)->share_of_error, 0, 1e-12);
        lspo_comparison_release(&comparison);
        lspo_trace_destroy(predicted);
        lspo_trace_destroy(measured);
    }
}

Test(compare, refuses_traces_of_different_plans)
{
    lspo_trace_t *predicted = trace_of(20, 30, 12, false), *measured = trace_of(25, 35, 4, false);
    lspo_comparison_t comparison = {.row_count = 99};
    measured->row_count--;
    cr_expect_eq(lspo_compare(predicted, measured, 1, &comparison), LSPO_ERR_CHECK);
    cr_expect_eq(lspo_compare(measured, predicted, 1, &comparison), LSPO_ERR_CHECK);
    measured->row_count++;
    measured->rows[3].variant = 1;
    cr_expect_eq(lspo_compare(predicted, measured, 1, &comparison), LSPO_ERR_CHECK);
    measured->rows[3].variant = 0;
    cr_expect_eq(lspo_compare(predicted, measured, 3, &comparison), LSPO_ERR_INPUT, "too few iterations");
    cr_expect_eq(comparison.row_count, 99u, "set only on success");
    cr_assert_eq(lspo_compare(predicted, measured, 1, &comparison), LSPO_OK);
    lspo_comparison_release(&comparison);
    lspo_trace_destroy(predicted);
    lspo_trace_destroy(measured);
}

/* Ops that a plan has twice (parameters swapped in for FWD and for BWD) are joined in the order of their ids. */
Test(compare, joins_repeated_ops_in_order)
{
    lspo_trace_t *predicted = trace_of(20, 30, 12, false), *measured = trace_of(20, 30, 12, true);
    lspo_trace_t *traces[] = {predicted, measured};
    for (int t = 0; t < 2; t++) {
        for (uint32_t i = 0; i < 20; i++) {
            lspo_trace_row_t *row = &traces[t]->rows[i];
            if (row->layer != 2)
                continue;
            row->layer = 0; /* FWD 0 twice an iteration, the second time faster */
            row->end_ns -= 5;
        }
    }
    lspo_comparison_t comparison;
    cr_assert_eq(lspo_compare(predicted, measured, 1, &comparison), LSPO_OK);
    cr_expect_float_eq(comparison.error, 0, 1e-12);
    for (uint32_t i = 0; i < comparison.row_count; i++)
        cr_expect_float_eq(comparison.rows[i].share_of_error, 0, 1e-12);
    cr_expect_eq(row_of(&comparison, LSPO_OP_FWD, LSPO_STAGE_EMBED)->op_count, 4u);
    lspo_comparison_release(&comparison);
    lspo_trace_destroy(predicted);
    lspo_trace_destroy(measured);
}

/* The ops that differ most, named.  Of an iteration: D2H 12 against 4 (+8), BWD 30 against 35 (-5), FWD of layer 1 20
 * against 25 (-5), FWD of 0 and 2 alike; ties by micro-batch, layer and kind. */
Test(compare, names_the_ops_that_differ_most)
{
    lspo_trace_t *predicted = trace_of(20, 30, 12, false), *measured = trace_of(25, 35, 4, true);
    lspo_comparison_t comparison;
    cr_assert_eq(lspo_compare(predicted, measured, 1, &comparison), LSPO_OK);
    cr_expect_str_eq(comparison.mismatch, "");
    static const struct {
        lspo_op_kind_t kind;
        uint16_t layer;
        double predicted_s, measured_s;
    } expected[] = {{LSPO_OP_D2H, 1, 12e-9, 4e-9},
                    {LSPO_OP_FWD, 1, 20e-9, 25e-9},
                    {LSPO_OP_BWD, 1, 30e-9, 35e-9},
                    {LSPO_OP_FWD, 0, 10e-9, 10e-9},
                    {LSPO_OP_FWD, 2, 10e-9, 10e-9}};
    cr_assert_eq(comparison.op_count, 5u);
    for (uint32_t i = 0; i < 5; i++) {
        const lspo_compare_op_t *op = &comparison.ops[i];
        cr_expect(op->kind == expected[i].kind && op->layer == expected[i].layer, "op %u", i);
        cr_expect_eq(op->op_count, 2u, "once in each of two iterations");
        cr_expect_float_eq(op->predicted_s, expected[i].predicted_s, 1e-18);
        cr_expect_float_eq(op->measured_s, expected[i].measured_s, 1e-18);
    }
    lspo_comparison_release(&comparison);
    lspo_trace_destroy(predicted);
    lspo_trace_destroy(measured);
}

/* A measured trace without layers: its forward is one op of 45 where three of 10, 20, 10 were predicted, it has no D2H,
 * and an UPD of 7 that was not predicted.  Iterations of 10 + 20 + 10 + 30 = 70 and 45 + 35 = 80.
 *     D2H +12 of 80 = +15 %   UPD -7 of 80 = -8.75 %   FWD 40 - 45 = -5 of 80 = -6.25 %   BWD 30 - 35 = -6.25 % */
Test(compare, different_plans_by_kind)
{
    lspo_trace_t *predicted = trace_of(20, 30, 12, false), *measured = NULL;
    cr_assert_eq(lspo_trace_create(16, &measured), LSPO_OK);
    for (uint32_t i = 0; i < 3; i++) { /* fewer iterations than predicted, too */
        const uint64_t at_ns = 80 * i;
        const lspo_trace_row_t rows[] = {
            {.kind = LSPO_OP_FWD, .lane = LSPO_LANE_GPU, .start_ns = at_ns, .end_ns = at_ns + 45},
            {.kind = LSPO_OP_BWD, .lane = LSPO_LANE_GPU, .start_ns = at_ns + 45, .end_ns = at_ns + 80},
            {.kind = LSPO_OP_UPD, .lane = LSPO_LANE_CPU, .start_ns = at_ns + 50, .end_ns = at_ns + 57}};
        for (int k = 0; k < 3; k++) {
            measured->rows[measured->row_count] = rows[k];
            measured->rows[measured->row_count].iteration = i;
            measured->rows[measured->row_count].op = measured->row_count;
            measured->row_count++;
        }
    }
    lspo_comparison_t comparison;
    cr_assert_eq(lspo_compare_loosely(predicted, measured, 1, &comparison), LSPO_OK);
    cr_expect_str_eq(comparison.mismatch, "BWD of layer 0, iteration 0, micro-batch 0 is not in the predicted trace");
    cr_expect_float_eq(comparison.error, 70.0 / 80.0 - 1.0, 1e-12);
    cr_expect_eq(comparison.matched_op_count, 0u);
    cr_expect_eq(comparison.op_count, 0u);
    static const struct {
        lspo_op_kind_t kind;
        uint32_t predicted_count, measured_count; /* of the two and the one iteration after warm-up */
        double share;
    } expected[] = {{LSPO_OP_D2H, 2, 0, 0.15},
                    {LSPO_OP_UPD, 0, 1, -0.0875},
                    {LSPO_OP_FWD, 6, 1, -0.0625},
                    {LSPO_OP_BWD, 2, 1, -0.0625}};
    cr_assert_eq(comparison.row_count, 4u);
    for (uint32_t i = 0; i < 4; i++) {
        const lspo_compare_row_t *row = row_of(&comparison, expected[i].kind, (lspo_stage_kind_t)LSPO_STAGE_ANY);
        cr_expect_eq(row->predicted_op_count, expected[i].predicted_count);
        cr_expect_eq(row->op_count, expected[i].measured_count);
        cr_expect_float_eq(row->share_of_error, expected[i].share, 1e-12);
    }
    cr_expect_eq(comparison.rows[0].kind, LSPO_OP_D2H);
    cr_expect_eq(comparison.rows[1].kind, LSPO_OP_UPD);
    cr_expect_float_eq(row_of(&comparison, LSPO_OP_FWD, (lspo_stage_kind_t)LSPO_STAGE_ANY)->predicted_s, 40e-9 / 3,
                       1e-18);
    lspo_comparison_release(&comparison);
    lspo_trace_destroy(predicted);
    lspo_trace_destroy(measured);
}
