/* lsp's projectors are checked and fitted in a training, and may be shared by weights of one shape. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/fit.h"
#include "real/methods/pairs.h"
#include "tests/session_fixture.h"

Test(checks, checks_fit_what_is_above_the_threshold)
{
    lspo_workload_t workload = checking_workload();
    workload.iterations = 5;
    training_t training;
    double losses[5];
    training_begin("lsp", &workload, &training);
    cr_assert_eq(lspo_session_bias(training.session).checked, 0);
    training_run(&training, losses);
    lspo_session_bias_t bias = lspo_session_bias(training.session);
    cr_assert_eq(bias.step, 3);
    cr_assert_eq(bias.checked, 12, "three blocks of four weights: %u", bias.checked);
    cr_assert_eq(bias.checked_total, 24);
    cr_assert_geq(bias.fitted_total, 12, "the first check finds random projectors");
    cr_assert_leq(bias.bias_after, bias.bias_before);
    cr_assert_lt(bias.bias_before, 1);
    cr_assert_lt(losses[4], losses[0]);
    training_end(&training);

    lspo_lsp_values_edit(&workload)->bias_threshold = 1; /* no projector is worse than that at its best scale */
    training_begin("lsp", &workload, &training);
    training_run(&training, losses);
    bias = lspo_session_bias(training.session);
    cr_assert_eq(bias.fitted_total, 0);
    cr_assert_eq(bias.fit_steps, 0);
    cr_assert_gt(bias.bias_before, 0.5);
    training_end(&training);
}

/* Two plays from the seed are equal, fitted projectors and all. */
Test(checks, reset_undoes_fits)
{
    lspo_workload_t workload = checking_workload();
    workload.iterations = 5;
    training_t training;
    double first[5], second[5];
    training_begin("lsp", &workload, &training);
    training_run(&training, first);
    cr_assert_eq(lspo_session_reset(training.session), LSPO_OK);
    cr_assert_eq(lspo_session_bias(training.session).checked_total, 0);
    training_run(&training, second);
    cr_assert_arr_eq(first, second, sizeof first);
    training_end(&training);
}

/* Weights as good as still: the second pass finds the pairs of the first better than random ones, on other batches. */
Test(checks, what_a_pass_learns_holds_for_other_batches)
{
    lspo_workload_t workload = checking_workload();
    workload.iterations = 4;
    workload.learning_rate = 1e-9;
    training_t training;
    double losses[4];
    training_begin("lsp", &workload, &training);
    training_run(&training, losses);
    lspo_session_bias_t second = lspo_session_bias(training.session);
    training_end(&training);
    workload.iterations = 1;
    training_begin("lsp", &workload, &training);
    training_run(&training, losses);
    lspo_session_bias_t first = lspo_session_bias(training.session);
    training_end(&training);
    cr_assert_eq(second.step, 3);
    cr_assert_eq(first.fitted, 12);
    cr_assert_eq(first.fit_steps, 12 * 30, "30 steps of each of 12 fits, 5 on each of 6 batches");
    cr_assert_lt(first.bias_after, 0.95 * first.bias_before);
    cr_assert_lt(second.bias_before, 0.95 * first.bias_before, "%g, and %g at first", second.bias_before,
                 first.bias_before);
}

/* Nothing above the threshold, but not known before: the pass is planned and ends after its first micro-batch. */
Test(checks, a_pass_ends_when_nothing_needs_a_fit)
{
    lspo_workload_t workload = checking_workload();
    workload.iterations = 4;
    lspo_lsp_values_edit(&workload)->bias_threshold = 0.99999;
    training_t with, without;
    double losses[2][4];
    training_begin("lsp", &workload, &with);
    training_run(&with, losses[0]);
    lspo_session_bias_t bias = lspo_session_bias(with.session);
    cr_assert_eq(bias.checked_total, 24);
    cr_assert_eq(bias.fit_steps, 0);
    lspo_lsp_values_edit(&workload)->check_every = 0;
    training_begin("lsp", &workload, &without);
    training_run(&without, losses[1]);
    cr_assert_arr_eq(losses[0], losses[1], sizeof losses[0]);
    assert_equal_weights("skipped", "lsp", &with, &without);
    training_end(&without);
    training_end(&with);
}

Test(checks, projectors_of_signs)
{
    lspo_workload_t workload = segment_workload();
    lspo_lsp_values_edit(&workload)->projector_values = LSPO_PROJECTOR_SIGN;
    training_t training;
    training_begin("lsp", &workload, &training);
    const lspo_projector_t *q = &lspo_pairs_of(training.session, 1)->q[2];
    int negative = 0;
    for (size_t e = 0; e < (size_t)q->rows * q->r; e++) {
        cr_assert_float_eq(fabs((double)q->value[e]), 1 / sqrt((double)q->r), 1e-6);
        negative += q->value[e] < 0;
    }
    cr_assert_gt(negative, 0);
    training_end(&training);
}

/* Never above the threshold: the losses are those of a training without checks. */
Test(checks, checks_that_find_nothing_change_nothing)
{
    lspo_workload_t workload = checking_workload();
    workload.iterations = 7;
    lspo_lsp_values_edit(&workload)->bias_threshold = 1;
    training_t with, without;
    double losses[2][7];
    training_begin("lsp", &workload, &with);
    training_run(&with, losses[0]);
    lspo_lsp_values_edit(&workload)->check_every = 0;
    training_begin("lsp", &workload, &without);
    training_run(&without, losses[1]);
    cr_assert_arr_eq(losses[0], losses[1], sizeof losses[0]);
    assert_equal_weights("checked", "lsp", &with, &without);
    training_end(&without);
    training_end(&with);
}

typedef struct {
    uint32_t *index;
    float *value;
    lspo_projector_t view;
} rows_t;

static rows_t copy_rows(const lspo_projector_t *p)
{
    size_t count = (size_t)p->rows * p->r;
    rows_t rows = {.index = malloc(count * sizeof(uint32_t)), .value = malloc(count * sizeof(float)), .view = *p};
    memcpy(rows.index, p->index, count * sizeof(uint32_t));
    memcpy(rows.value, p->value, count * sizeof(float));
    rows.view.index = rows.index;
    rows.view.value = rows.value;
    return rows;
}

static void free_rows(rows_t *rows)
{
    free(rows->index);
    free(rows->value);
}

/* The second of two steps renews every projector: M and V after it are 0.9 M' + 0.1 g and 0.999 V' + 0.001 g^2, with M'
 * and V' those after the first step carried over (tested against dense formulas in test_fit.c), and g what landed. */
static void check_carried(lspo_projectors_t projectors, uint32_t s, uint32_t i)
{
    lspo_workload_t workload = checking_workload(), second;
    workload.iterations = 1;
    lspo_lsp_values_edit(&workload)->check_every = 1;
    lspo_lsp_values_edit(&workload)->bias_threshold = 0;
    lspo_lsp_values_edit(&workload)->projectors = projectors;
    second = workload;
    second.first_step = 1;
    training_t training;
    double loss;
    training_begin("lsp", &workload, &training);
    training_run(&training, &loss);
    const lspo_session_stage_t *stage = &training.session->stages[s];
    const lspo_projection_t *linear = &stage->message.linear[i];
    size_t count = linear->message_elements, at = linear->message_offset_elements, all = stage->message.element_count;
    const lspo_pairs_stage_t *own = stage->own;
    const float *moments = own->host.moments.memory;
    rows_t p = copy_rows(&own->p[i]), q = copy_rows(&own->q[i]);
    float *m = floats(count), *v = floats(count), *scratch = floats(lspo_fit_carry_scratch(&own->p[i], &own->q[i]));
    memcpy(m, moments + at, count * sizeof *m);
    memcpy(v, moments + all + at, count * sizeof *v);
    training_continue(&training, "lsp", &second);
    training_run(&training, &loss);
    stage = &training.session->stages[s];
    cr_assert_neq(memcmp(p.value, own->p[i].value, (size_t)p.view.rows * p.view.r * sizeof(float)), 0,
                  "the second step did not renew this projector: choose another");
    lspo_fit_carry(&(lspo_projector_pair_t){&p.view, &q.view}, &(lspo_projector_pair_t){&own->p[i], &own->q[i]}, true,
                   m, v, scratch);
    const float *g = (const float *)stage->landing[0] + at, *m_after = moments + at, *v_after = m_after + all;
    double largest = 0;
    for (size_t e = 0; e < count; e++)
        largest = fmax(largest, fabs((double)m[e]));
    cr_assert_gt(largest, 0);
    for (size_t e = 0; e < count; e++) {
        double ge = (double)g[e];
        cr_assert_float_eq(m_after[e], 0.9 * (double)m[e] + 0.1 * ge, 1e-5 * (largest + fabs(ge)));
        cr_assert_float_eq(v_after[e], 0.999 * (double)v[e] + 0.001 * ge * ge, 1e-4 * (double)v_after[e]);
    }
    free(scratch);
    free(v);
    free(m);
    free_rows(&q);
    free_rows(&p);
    training_end(&training);
}

Test(checks, moments_follow_their_projectors)
{
    check_carried(LSPO_PROJECTORS_WEIGHT, 2, 1);
}

Test(checks, moments_of_all_weights_follow_a_shared_pair)
{
    for (uint32_t s = 1; s <= 3; s++)
        check_carried(LSPO_PROJECTORS_SHAPE, s, 1);
}

Test(checks, device_memory_of_checks_is_what_the_plan_says)
{
    for (int variant = 0; variant < 4; variant++) {
        lspo_workload_t workload = checking_workload();
        workload.iterations = 4;
        workload.transfer = variant & 1 ? LSPO_BF16 : LSPO_FP32;
        lspo_lsp_values_edit(&workload)->projectors = variant & 2 ? LSPO_PROJECTORS_SHAPE : LSPO_PROJECTORS_WEIGHT;
        assert_planned_memory("lsp", &workload);
        outcome_t with, without;
        train("lsp", &workload, &with);
        lspo_lsp_values_edit(&workload)->check_every = 0;
        train("lsp", &workload, &without);
        cr_assert_gt(with.peak_bytes, without.peak_bytes);
        outcome_release(&with);
        outcome_release(&without);
    }
}

/* With one block of four shapes every weight has its shape to itself: the same bits. */
Test(checks, pairs_by_shape_are_those_by_weight_where_no_shape_comes_twice)
{
    lspo_workload_t workload = checking_workload();
    workload.iterations = 7;
    block_count = 1;
    training_t by[2];
    double losses[2][7];
    for (int shape = 0; shape < 2; shape++) {
        lspo_lsp_values_edit(&workload)->projectors = shape ? LSPO_PROJECTORS_SHAPE : LSPO_PROJECTORS_WEIGHT;
        training_begin("lsp", &workload, &by[shape]);
        training_run(&by[shape], losses[shape]);
    }
    cr_assert_arr_eq(losses[0], losses[1], sizeof losses[0]);
    assert_equal_weights("by shape", "lsp", &by[0], &by[1]);
    cr_assert_gt(lspo_session_bias(by[1].session).fitted_total, 0);
    training_end(&by[1]);
    training_end(&by[0]);
    block_count = BLOCKS;
}

/* One pair for three blocks: a third of the memory, and arrays that all three read. */
Test(checks, pairs_by_shape_are_held_once)
{
    lspo_workload_t workload = segment_workload();
    training_t weight, shape;
    training_begin("lsp", &workload, &weight);
    lspo_lsp_values_edit(&workload)->projectors = LSPO_PROJECTORS_SHAPE;
    training_begin("lsp", &workload, &shape);
    cr_assert_eq(3 * shape.plan->footprint.gpu_projectors_bytes, weight.plan->footprint.gpu_projectors_bytes);
    for (uint32_t i = 0; i < LINEARS; i++) {
        cr_assert_eq(lspo_pairs_of(shape.session, 3)->p[i].index, lspo_pairs_of(shape.session, 1)->p[i].index);
        cr_assert_neq(lspo_pairs_of(weight.session, 3)->p[i].index, lspo_pairs_of(weight.session, 1)->p[i].index);
    }
    training_end(&shape);
    training_end(&weight);
}
