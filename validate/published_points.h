/* published_points.h - the predicted times of a framework's published steps at points: values of its fitted keys.
 *
 * Plans do not depend on these values, so each row's plan is built once; a point is only costed and played.  Points are
 * kept: fits without one source or another visit mostly the same ones.
 */
#ifndef LSPO_VALIDATE_PUBLISHED_POINTS_H
#define LSPO_VALIDATE_PUBLISHED_POINTS_H

#include "base/workers.h"
#include "validate/framework_values.h"
#include "validate/published.h"

typedef struct {
    const lspo_published_row_t *row;
    lspo_machine_t machine;  /* with the row's flags; the framework's values as built in */
    lspo_plan_t *few, *many; /* many: only of kind micro */
    lspo_status_t status;    /* of the last point */
    double predicted_s;
} lspo_published_case_t;

/* A value on which a framework's times may depend: its own, or one that its file takes from a base. */
typedef struct {
    size_t field;
    double prior, builtin;
    uint32_t framework, key; /* whose file has it: index of the framework, and in its `fitted` */
} lspo_published_knob_t;

typedef struct {
    double values[LSPO_FRAMEWORK_FITTED_MAX]; /* by knob */
    double *predicted_s;                      /* by case; owned */
} lspo_published_point_t;

typedef struct {
    lspo_framework_file_t file;
    lspo_published_knob_t knobs[LSPO_FRAMEWORK_FITTED_MAX]; /* own ones first, as in the file */
    uint32_t knob_count, depth;                             /* depth: number of bases */
    lspo_published_case_t *cases;                           /* owned */
    uint32_t case_count;
    lspo_published_point_t *points; /* owned */
    size_t point_count, point_capacity;
} lspo_published_framework_t;

/* The times of all cases at this point, by case; they live as long as the framework. */
lspo_status_t lspo_published_point(lspo_published_framework_t *framework, const double *values, lspo_workers_t *workers,
                                   const double **predicted_s_out);

/* Build the plans of one row. */
lspo_status_t lspo_published_case_create(const lspo_published_t *published, const lspo_published_options_t *options,
                                         const lspo_published_row_t *row, lspo_published_case_t *case_out);

void lspo_published_framework_release(lspo_published_framework_t *framework);

#endif
