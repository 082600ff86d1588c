/* GLUE's measures against other formulas: Matthews' of two classes is Pearson's of the same numbers, that of more
 * classes a covariance of indicators; F1 by hand; Spearman's against ranks written out. */
#include <criterion/criterion.h>
#include <math.h>

#include "real/session/scores.h"

enum { COUNT = 12 };

static lspo_scores_t score(size_t count, const float *predicted, const float *wanted, uint32_t class_count)
{
    lspo_predictions_t predictions = {0};
    lspo_scores_t scores;
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(lspo_predictions_add(&predictions, predicted[i], wanted[i]), LSPO_OK);
    cr_assert_eq(lspo_predictions_score(&predictions, class_count, &scores), LSPO_OK);
    lspo_predictions_release(&predictions);
    return scores;
}

/* TP 3, FP 2, FN 1, TN 6: F1 = 6 / 9; Matthews = (18 - 2) / sqrt(5 4 8 7). */
Test(scores, two_classes_by_hand)
{
    static const float predicted[COUNT] = {1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0};
    static const float wanted[COUNT] = {1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
    const lspo_scores_t scores = score(COUNT, predicted, wanted, 2), as_numbers = score(COUNT, predicted, wanted, 1);
    cr_expect_float_eq(scores.accuracy, 9.0 / 12, 1e-12);
    cr_expect_float_eq(scores.f1, 6.0 / 9, 1e-12);
    cr_expect_float_eq(scores.matthews, 16 / sqrt(1120.0), 1e-12);
    cr_expect_float_eq(scores.matthews, as_numbers.pearson, 1e-12);
    cr_expect(isnan(scores.pearson) && isnan(scores.spearman) && isnan(as_numbers.accuracy));
}

/* cov(X, Y) = sum over classes of the covariance of the indicators of that class. */
static double covariance(const float *x, const float *y, uint32_t class_count)
{
    double sum = 0;
    for (uint32_t k = 0; k < class_count; k++) {
        double x_mean = 0, y_mean = 0;
        for (int i = 0; i < COUNT; i++) {
            x_mean += (x[i] == (float)k) / (double)COUNT;
            y_mean += (y[i] == (float)k) / (double)COUNT;
        }
        for (int i = 0; i < COUNT; i++)
            sum += ((x[i] == (float)k) - x_mean) * ((y[i] == (float)k) - y_mean);
    }
    return sum;
}

Test(scores, more_classes_are_correlated)
{
    static const float predicted[COUNT] = {0, 1, 2, 2, 1, 0, 0, 2, 1, 1, 0, 2};
    static const float wanted[COUNT] = {0, 1, 2, 1, 1, 0, 2, 2, 0, 1, 0, 0};
    const lspo_scores_t scores = score(COUNT, predicted, wanted, 3);
    cr_expect_float_eq(scores.accuracy, 8.0 / 12, 1e-12);
    cr_expect_float_eq(scores.matthews,
                       covariance(predicted, wanted, 3) /
                           sqrt(covariance(predicted, predicted, 3) * covariance(wanted, wanted, 3)),
                       1e-12);
    cr_expect(isnan(scores.f1), "not of three classes");
}

Test(scores, one_class_alone_is_no_correlation)
{
    static const float ones[COUNT] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, zeros[COUNT] = {0};
    cr_expect_eq(score(COUNT, ones, zeros, 2).matthews, 0);
    cr_expect_eq(score(COUNT, ones, zeros, 2).f1, 0);
    cr_expect_eq(score(COUNT, zeros, zeros, 2).f1, 0);
    cr_expect_eq(score(COUNT, zeros, zeros, 2).accuracy, 1);
    cr_expect(isnan(score(COUNT, ones, zeros, 1).pearson) && isnan(score(COUNT, ones, zeros, 1).spearman));
}

/* Ranks 1 2 3.5 3.5 5 and 2 1 3 5 4. */
Test(scores, spearman_is_pearson_of_the_ranks)
{
    static const float predicted[] = {-3, 0.5F, 7, 7, 1e6F}, wanted[] = {2, 1, 3, 50, 40};
    static const float x[] = {1, 2, 3.5F, 3.5F, 5}, y[] = {2, 1, 3, 5, 4};
    cr_expect_float_eq(score(5, predicted, wanted, 1).spearman, score(5, x, y, 1).pearson, 1e-12);
    /* sum (x-3)(y-3) = 2 + 2 + 0 + 1 + 2 = 7; 9.5 and 10 of squares */
    cr_expect_float_eq(score(5, x, y, 1).pearson, 7 / sqrt(95.0), 1e-12);
}
