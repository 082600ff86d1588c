/* published_fit.h - fit the values of frameworks to published steps, and say how well fits predict sources that they
 * have not seen.
 *
 * The fitted values are those whose notes say so (framework_values.h).  For each framework, with the rows i whose
 * column `framework` is that one, they minimise
 *
 *     sum_i w_i |log(predicted_i / measured_i)| / sum_i w_i  +  0.2 / S  sum_k log(value_k / prior_k)^2
 *
 * w is 1, or 1/2 for rows of high uncertainty; S is the number of sources of the rows.  This is the most probable value
 * if errors have a Laplace distribution of scale b = 0.1, the logarithm of a value has a normal distribution about that
 * of the prior with sigma = 0.5, and all rows of a source have one error: b / (2 sigma^2) = 0.2.  So odd rows are weak,
 * and a value stays near its prior if few sources tell it.  A value is not fitted unless two of its rows change by
 * 0.1 % when it is doubled; so no value is fitted to a single row.  Values are between a tenth and ten times their
 * priors, within the range of their field, shares at most 1, and have three digits.
 *
 * The search is by coordinate descent from the priors: each value in turn is multiplied or divided by 2^s, s = 1, 1/2,
 * ... 1/64, until no step helps.  It uses no clock and no random numbers, and the result does not depend on the values
 * that are built in.  A framework with a base takes that one's fitted values, which are fitted first; a framework that
 * is not built in keeps its values.
 *
 * Leave-out: for each source, all values are fitted without its rows and then predict them.  A value without two other
 * rows is its prior there.
 */
#ifndef LSPO_VALIDATE_PUBLISHED_FIT_H
#define LSPO_VALIDATE_PUBLISHED_FIT_H

#include "validate/published.h"

typedef struct lspo_published_fit lspo_published_fit_t;

/* Build the plans of rows that have been predicted; the caller destroys the fit, before the rows are released. */
lspo_status_t lspo_published_fit_create(const lspo_published_options_t *options, lspo_published_t *published,
                                        lspo_published_fit_t **fit_out);
void lspo_published_fit_destroy(lspo_published_fit_t *fit);

/* Fit to all rows, whose predicted_s and error are then those of the fitted values. */
lspo_status_t lspo_published_fit(lspo_published_fit_t *fit);

/* Write FOLDER/NAME.ini of each framework that has fitted values, each completely or not at all.  _check() refuses,
 * before the fit, a folder with files that would lose changes (framework_values.h). */
lspo_status_t lspo_published_fit_check(const lspo_published_fit_t *fit, const char *folder);
lspo_status_t lspo_published_fit_write(const lspo_published_fit_t *fit, const char *folder);

/* Fit without each source: sets left_out_s and left_out_error of all rows. */
lspo_status_t lspo_published_leave_out(lspo_published_fit_t *fit);

/* The fitted values; 0 before lspo_published_fit().  They live as long as the fit. */
uint32_t lspo_published_fit_values(const lspo_published_fit_t *fit, const lspo_published_value_t **values_out);

#endif
