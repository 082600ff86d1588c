/* fit.c - robust linear regression of times; see fit.h. */
#include "real/calibrate/fit.h"

#include <gsl/gsl_errno.h>
#include <gsl/gsl_multifit.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/status.h"

typedef struct {
    gsl_matrix *x, *covariance;
    gsl_vector *y, *c;
    gsl_multifit_robust_workspace *space;
} problem_t;

static bool open_problem(size_t rows, size_t columns, problem_t *problem)
{
    *problem = (problem_t){.x = gsl_matrix_alloc(rows, columns),
                           .covariance = gsl_matrix_alloc(columns, columns),
                           .y = gsl_vector_alloc(rows),
                           .c = gsl_vector_alloc(columns),
                           .space = gsl_multifit_robust_alloc(gsl_multifit_robust_bisquare, rows, columns)};
    return problem->x && problem->covariance && problem->y && problem->c && problem->space;
}

static void close_problem(problem_t *problem)
{
    gsl_multifit_robust_free(problem->space);
    gsl_vector_free(problem->c);
    gsl_vector_free(problem->y);
    gsl_matrix_free(problem->covariance);
    gsl_matrix_free(problem->x);
}

/* The largest entry of a column, by which the column is divided: amounts of bytes and counts of launches differ by a
 * factor of 10^9. */
static double column_scale(const lspo_fit_row_t *rows, size_t count, size_t column)
{
    double largest = 0;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(rows[i].x[column] / rows[i].scale));
    return largest > 0 ? largest : 1;
}

static bool solve(const lspo_fit_row_t *rows, size_t count, const size_t *used, size_t used_count, lspo_fit_t *fit)
{
    problem_t problem;
    double scale[LSPO_FIT_COLUMNS_MAX];
    bool solved = open_problem(count, used_count, &problem);
    for (size_t j = 0; solved && j < used_count; j++)
        scale[j] = column_scale(rows, count, used[j]);
    for (size_t i = 0; solved && i < count; i++) {
        for (size_t j = 0; j < used_count; j++)
            gsl_matrix_set(problem.x, i, j, rows[i].x[used[j]] / rows[i].scale / scale[j]);
        gsl_vector_set(problem.y, i, rows[i].y / rows[i].scale);
    }
    if (solved) {
        gsl_multifit_robust_maxiter(500, problem.space);
        int code = gsl_multifit_robust(problem.x, problem.y, problem.c, problem.covariance, problem.space);
        solved = code == GSL_SUCCESS || code == GSL_EMAXITER;
    }
    for (size_t j = 0; solved && j < used_count; j++) {
        fit->cost[used[j]] = gsl_vector_get(problem.c, j) / scale[j];
        fit->error[used[j]] = sqrt(fmax(gsl_matrix_get(problem.covariance, j, j), 0)) / scale[j];
        solved = isfinite(fit->cost[used[j]]);
    }
    close_problem(&problem);
    return solved;
}

/* Removes the most negative cost, relative to the time, from `used`; false if there is none. */
static bool drop_negative(const lspo_fit_t *fit, const lspo_fit_row_t *rows, size_t count, size_t *used,
                          size_t *used_count)
{
    size_t worst = *used_count;
    double lowest = 0;
    for (size_t j = 0; j < *used_count; j++) {
        double share = fit->cost[used[j]] * column_scale(rows, count, used[j]);
        if (share < lowest) {
            lowest = share;
            worst = j;
        }
    }
    if (worst == *used_count)
        return false;
    for (size_t j = worst; j + 1 < *used_count; j++)
        used[j] = used[j + 1];
    --*used_count;
    return true;
}

lspo_status_t lspo_fit_rows(const char *what, const lspo_fit_row_t *rows, size_t count, size_t columns,
                            lspo_fit_t *fit_out)
{
    size_t used[LSPO_FIT_COLUMNS_MAX], used_count = columns;
    lspo_fit_t fit;
    bool solved;
    for (size_t j = 0; j < columns; j++)
        used[j] = j;
    gsl_error_handler_t *handler = gsl_set_error_handler_off();
    do {
        fit = (lspo_fit_t){0};
        solved = count > columns && (used_count == 0 || solve(rows, count, used, used_count, &fit));
    } while (solved && drop_negative(&fit, rows, count, used, &used_count));
    gsl_set_error_handler(handler);
    if (!solved)
        return lspo_error(LSPO_ERR_CHECK, "the times of %s do not fit the model: is the machine busy?", what);
    *fit_out = fit;
    return LSPO_OK;
}

/* Sum of squared relative errors, each limited to 30 %: a disturbed sample must not determine the size. */
static double misfit(const lspo_fit_row_t *rows, size_t count, const lspo_fit_t *fit)
{
    const double most = 0.3;
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        double error = (fit->cost[0] * rows[i].x[0] + fit->cost[1] * rows[i].x[1] - rows[i].y) / rows[i].scale;
        sum += fmin(error * error, most * most);
    }
    return sum;
}

enum { SIZES_TRIED = 61 };

lspo_status_t lspo_fit_cache(const char *what, const lspo_fit_row_t *rows, size_t count, double low, double high,
                             lspo_cache_fit_t *fit_out)
{
    double step = log(high / low) / (SIZES_TRIED - 1), misfits[SIZES_TRIED], best = INFINITY, within = 0;
    lspo_fit_row_t *split = calloc(count, sizeof *split);
    if (!split)
        return lspo_no_memory("%zu times", count);
    for (int tried = 0; tried < SIZES_TRIED; tried++) {
        double size = low * exp(tried * step);
        lspo_fit_t fit = {0};
        for (size_t i = 0; i < count; i++) {
            double held = fmin(1, size / rows[i].x[1]);
            /* near, and the additional cost of far: neither can be negative */
            split[i] = (lspo_fit_row_t){
                .x = {rows[i].x[0], rows[i].x[0] * (1 - held)}, .y = rows[i].y, .scale = rows[i].scale};
        }
        misfits[tried] = INFINITY;
        if (lspo_fit_rows(what, split, count, 2, &fit) != LSPO_OK)
            break;
        misfits[tried] = misfit(split, count, &fit);
        if (misfits[tried] < best) {
            best = misfits[tried];
            *fit_out = (lspo_cache_fit_t){.size = size, .near = fit.cost[0], .far = fit.cost[0] + fit.cost[1]};
        }
    }
    free(split);
    if (!isfinite(best))
        return LSPO_ERR_CHECK;                        /* logged */
    for (int tried = 0; tried < SIZES_TRIED; tried++) /* sizes whose fit is nearly as good: chi squared within 1 */
        within += misfits[tried] <= best * (1 + 1 / fmax((double)count - 3, 1));
    fit_out->size_error = within * step / 2;
    return LSPO_OK;
}
