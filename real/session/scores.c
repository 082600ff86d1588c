/* scores.c - see scores.h. */
#include "real/session/scores.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/array.h"

lspo_scores_t lspo_scores_none(void)
{
    return (lspo_scores_t){NAN, NAN, NAN, NAN, NAN};
}

lspo_status_t lspo_predictions_add(lspo_predictions_t *predictions, float predicted, float wanted)
{
    const size_t count = predictions->count + 1;
    lspo_status_t status =
        lspo_array_grow(&predictions->predicted, &predictions->predicted_capacity, count, sizeof(float), "predictions");
    if (status == LSPO_OK)
        status =
            lspo_array_grow(&predictions->wanted, &predictions->wanted_capacity, count, sizeof(float), "predictions");
    if (status != LSPO_OK)
        return status;
    predictions->predicted[predictions->count] = predicted;
    predictions->wanted[predictions->count++] = wanted;
    return LSPO_OK;
}

void lspo_predictions_release(lspo_predictions_t *predictions)
{
    free(predictions->predicted);
    free(predictions->wanted);
}

/* ---- classes ---- */

static size_t count_of(const float *classes, size_t count, uint32_t class)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += (uint32_t)classes[i] == class;
    return found;
}

static void score_classes(const lspo_predictions_t *of, uint32_t class_count, lspo_scores_t *scores)
{
    const double s = (double)of->count;
    double right = 0, both = 0, products = 0, predicted_squares = 0, wanted_squares = 0;
    for (size_t i = 0; i < of->count; i++) {
        right += of->predicted[i] == of->wanted[i];
        both += of->predicted[i] == 1 && of->wanted[i] == 1;
    }
    for (uint32_t k = 0; k < class_count; k++) {
        const double p = (double)count_of(of->predicted, of->count, k), t = (double)count_of(of->wanted, of->count, k);
        products += p * t;
        predicted_squares += p * p;
        wanted_squares += t * t;
        if (k == 1 && class_count == 2)
            scores->f1 = p + t > 0 ? 2 * both / (p + t) : 0;
    }
    const double root = sqrt((s * s - predicted_squares) * (s * s - wanted_squares));
    scores->accuracy = right / s;
    scores->matthews = root > 0 ? (right * s - products) / root : 0;
}

/* ---- numbers ---- */

static double correlation(size_t count, const double *x, const double *y)
{
    double x_mean = 0, y_mean = 0, xy = 0, xx = 0, yy = 0;
    bool x_varies = false, y_varies = false; /* a mean of equal numbers may be rounded */
    for (size_t i = 0; i < count; i++) {
        x_varies |= x[i] != x[0];
        y_varies |= y[i] != y[0];
        x_mean += x[i] / (double)count;
        y_mean += y[i] / (double)count;
    }
    for (size_t i = 0; i < count; i++) {
        xy += (x[i] - x_mean) * (y[i] - y_mean);
        xx += (x[i] - x_mean) * (x[i] - x_mean);
        yy += (y[i] - y_mean) * (y[i] - y_mean);
    }
    return x_varies && y_varies ? xy / (sqrt(xx) * sqrt(yy)) : (double)NAN;
}

typedef struct {
    float value;
    size_t place;
} ranked_t;

static int by_value(const void *a, const void *b)
{
    const float x = ((const ranked_t *)a)->value, y = ((const ranked_t *)b)->value;
    return (x > y) - (x < y);
}

static void rank(size_t count, const float *values, ranked_t *sorted, double *ranks)
{
    for (size_t i = 0; i < count; i++)
        sorted[i] = (ranked_t){values[i], i};
    qsort(sorted, count, sizeof *sorted, by_value);
    for (size_t first = 0, end; first < count; first = end) {
        for (end = first + 1; end < count && sorted[end].value == sorted[first].value;)
            end++;
        for (size_t i = first; i < end; i++)
            ranks[sorted[i].place] = ((double)first + (double)end - 1) / 2;
    }
}

static lspo_status_t score_numbers(const lspo_predictions_t *of, lspo_scores_t *scores)
{
    double *x = calloc(of->count, sizeof *x), *y = calloc(of->count, sizeof *y);
    ranked_t *sorted = calloc(of->count, sizeof *sorted);
    lspo_status_t status = x && y && sorted ? LSPO_OK : lspo_no_memory("%zu predictions", of->count);
    if (status != LSPO_OK)
        goto cleanup;
    for (size_t i = 0; i < of->count; i++) {
        x[i] = (double)of->predicted[i];
        y[i] = (double)of->wanted[i];
    }
    scores->pearson = correlation(of->count, x, y);
    rank(of->count, of->predicted, sorted, x);
    rank(of->count, of->wanted, sorted, y);
    scores->spearman = correlation(of->count, x, y);
cleanup:
    free(sorted);
    free(y);
    free(x);
    return status;
}

lspo_status_t lspo_predictions_score(const lspo_predictions_t *predictions, uint32_t class_count,
                                     lspo_scores_t *scores_out)
{
    lspo_scores_t scores = lspo_scores_none();
    lspo_status_t status = LSPO_OK;
    if (class_count == 1)
        status = score_numbers(predictions, &scores);
    else
        score_classes(predictions, class_count, &scores);
    if (status == LSPO_OK)
        *scores_out = scores;
    return status;
}
