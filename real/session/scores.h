/* scores.h - how good a classifier's predictions are, by the measures of GLUE [Wang et al., arXiv 1804.07461].
 *
 * For classes, from the counts of pairs (predicted p, wanted t) over s rows:
 *     accuracy = c / s, c the rows with p = t
 *     F1 of class 1, of two classes = 2 TP / (2 TP + FP + FN); 0 if it was neither wanted nor predicted
 *     Matthews = (c s - sum_k p_k t_k) / sqrt((s^2 - sum_k p_k^2)(s^2 - sum_k t_k^2)), p_k and t_k the rows predicted
 *     as and of class k [Gorodkin, doi 10.1016/j.compbiolchem.2004.09.006]; 0 where a root is 0
 * For numbers, Pearson's correlation, and Spearman's: Pearson's of the ranks, equal numbers having the mean of theirs;
 * NaN if all predicted or all wanted numbers are equal. */
#ifndef LSPO_REAL_SESSION_SCORES_H
#define LSPO_REAL_SESSION_SCORES_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* NaN: not a measure of such a model. */
typedef struct {
    double accuracy, f1, matthews, pearson, spearman;
} lspo_scores_t;

/* All unknown. */
lspo_scores_t lspo_scores_none(void);

/* The pairs so far; begins as {0}, and the owner calls lspo_predictions_release(). */
typedef struct {
    float *predicted, *wanted;
    size_t count, predicted_capacity, wanted_capacity;
} lspo_predictions_t;

lspo_status_t lspo_predictions_add(lspo_predictions_t *predictions, float predicted, float wanted);
/* Of at least one pair; classes are below class_count, 1: numbers.  LSPO_ERR_MEMORY. */
lspo_status_t lspo_predictions_score(const lspo_predictions_t *predictions, uint32_t class_count,
                                     lspo_scores_t *scores_out);
void lspo_predictions_release(lspo_predictions_t *predictions);

#endif
