/* published_points.c - see published_points.h. */
#include "validate/published_points.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "sim/pace.h"

/* Plans */

lspo_status_t lspo_published_case_create(const lspo_published_t *published, const lspo_published_options_t *options,
                                         const lspo_published_row_t *row, lspo_published_case_t *case_out)
{
    bool micro = strcmp(row->kind, "micro") == 0;
    lspo_published_case_t it = {.row = row};
    lspo_status_t status = lspo_published_plan(
        published, options, micro ? LSPO_PUBLISHED_MICROS_FEW : row->accumulation, row, &it.machine, &it.few);
    if (status != LSPO_OK)
        return status;
    if (micro)
        status = lspo_published_plan(published, options, LSPO_PUBLISHED_MICROS_MANY, row, &it.machine, &it.many);
    if (status != LSPO_OK) {
        lspo_plan_destroy(it.few);
        return status;
    }
    *case_out = it;
    return LSPO_OK;
}

/* Points */

typedef struct {
    lspo_published_framework_t *framework;
    const double *values;
} job_t;

/* A row whose flags set a value themselves keeps it. */
static void set_value(const lspo_published_knob_t *knob, double value, lspo_machine_t *machine)
{
    char *slot = (char *)machine + lspo_machine_fields[knob->field].offset_bytes;
    if (memcmp(slot, &knob->builtin, sizeof knob->builtin) == 0)
        memcpy(slot, &value, sizeof value);
}

static void play_item(void *context, uint32_t worker, size_t item)
{
    const job_t *job = context;
    lspo_published_case_t *it = &job->framework->cases[item];
    lspo_machine_t machine = it->machine;
    double few_s = 0, many_s = 0;
    (void)worker;
    for (uint32_t k = 0; k < job->framework->knob_count; k++)
        set_value(&job->framework->knobs[k], job->values[k], &machine);
    it->status = lspo_pace_of(it->few, &machine, &few_s);
    if (it->status == LSPO_OK && it->many != NULL)
        it->status = lspo_pace_of(it->many, &machine, &many_s);
    it->predicted_s =
        it->many != NULL ? (many_s - few_s) / (LSPO_PUBLISHED_MICROS_MANY - LSPO_PUBLISHED_MICROS_FEW) : few_s;
}

static lspo_status_t play_cases(lspo_published_framework_t *framework, const double *values, lspo_workers_t *workers,
                                double *predicted_s)
{
    job_t job = {framework, values};
    lspo_workers_run(workers, framework->case_count, play_item, &job);
    for (uint32_t i = 0; i < framework->case_count; i++) {
        const lspo_published_case_t *it = &framework->cases[i];
        if (it->status != LSPO_OK)
            return lspo_error(it->status, "row '%s' cannot be predicted while %s is fitted", it->row->id,
                              framework->file.name);
        predicted_s[i] = it->predicted_s;
    }
    return LSPO_OK;
}

lspo_status_t lspo_published_point(lspo_published_framework_t *framework, const double *values, lspo_workers_t *workers,
                                   const double **predicted_s_out)
{
    size_t bytes = framework->knob_count * sizeof *values, i = 0;
    while (i < framework->point_count && memcmp(framework->points[i].values, values, bytes) != 0)
        i++;
    if (i == framework->point_count) {
        lspo_published_point_t point = {0};
        lspo_status_t status = lspo_array_grow(&framework->points, &framework->point_capacity, i + 1,
                                               sizeof *framework->points, "points of a fit");
        if (status != LSPO_OK)
            return status;
        point.predicted_s = calloc(framework->case_count, sizeof *point.predicted_s);
        if (point.predicted_s == NULL)
            return lspo_no_memory("a point of a fit");
        memcpy(point.values, values, bytes);
        status = play_cases(framework, values, workers, point.predicted_s);
        if (status != LSPO_OK) {
            free(point.predicted_s);
            return status;
        }
        framework->points[framework->point_count++] = point;
    }
    *predicted_s_out = framework->points[i].predicted_s;
    return LSPO_OK;
}

void lspo_published_framework_release(lspo_published_framework_t *framework)
{
    for (uint32_t i = 0; i < framework->case_count; i++) {
        lspo_plan_destroy(framework->cases[i].few);
        lspo_plan_destroy(framework->cases[i].many);
    }
    for (size_t i = 0; i < framework->point_count; i++)
        free(framework->points[i].predicted_s);
    free(framework->cases);
    free(framework->points);
    *framework = (lspo_published_framework_t){0};
}
