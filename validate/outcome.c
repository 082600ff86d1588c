/* outcome.c - the prediction and the measurement of each cell, and its errors. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan/policy.h"
#include "validate/verdict.h"

static double error_of(double predicted, double measured)
{
    return predicted / measured - 1;
}

/* Of the parameters in a grid's policy name: those that are columns of the cells, and words other than the default. */
static bool is_in_title(const lspo_parameter_use_t *use, const void *value)
{
    const lspo_parameter_t *parameter = use->parameter;
    const bool word = parameter->kind == LSPO_RECORD_NAMED;
    return use->in_grid &&
           (parameter->column > 0 || (word && lspo_parameter_number(parameter, value) != parameter->preset));
}

static void write_title(const lspo_plan_t *plan, char *title, size_t capacity)
{
    const lspo_parameters_t *own = plan->policy->parameters;
    size_t used = (size_t)snprintf(title, capacity, "%s", plan->policy->name);
    for (size_t i = 0; own != NULL && i < own->count && used < capacity; i++) {
        const lspo_parameter_t *parameter = own->uses[i].parameter;
        const void *value = lspo_policy_value(plan->policy, &plan->workload, parameter);
        char text[32];
        if (!is_in_title(&own->uses[i], value))
            continue;
        lspo_parameter_format(parameter, value, text, sizeof text);
        used += (size_t)snprintf(title + used, capacity - used, " %s", text);
    }
}

static void fill_plan(const lspo_cell_t *cell, lspo_outcome_t *outcome)
{
    const lspo_plan_t *plan = cell->plan;
    const lspo_workload_t *workload = &plan->workload;
    outcome->cell = cell->number;
    outcome->group = cell->group_number;
    outcome->group_name = cell->group->name;
    outcome->rates_of = cell->group->rates_of != NULL ? cell->group->rates_of->name : "self";
    outcome->flags = cell->flags;
    outcome->model = plan->model.name;
    outcome->policy = plan->policy->name;
    outcome->batch = workload->batch;
    outcome->sequence = workload->sequence;
    outcome->iterations = workload->iterations;
    lspo_own_cells_fill(plan, outcome->own);
    write_title(plan, outcome->title, sizeof outcome->title);
    outcome->bound = cell->bound == LSPO_LANE_GPU ? "gpu" : cell->bound == LSPO_LANE_CPU ? "cpu" : "link";
    outcome->link_Bps = cell->link_Bps;
    outcome->cpu_pps = cell->cpu_pps;
}

static double foreign_share_of(const lspo_measurement_t *measurement)
{
    double most = NAN;
    for (uint32_t i = 0; i < measurement->visit_count; i++)
        if (measurement->disturbed || !measurement->visits[i].disturbed)
            most = fmax(most, measurement->visits[i].foreign_share);
    return most;
}

static void fill_measurement(const lspo_measurement_t *measurement, lspo_outcome_t *outcome)
{
    outcome->visits = measurement->counted_visits;
    outcome->no_room = measurement->no_room;
    for (uint32_t i = 0; i < measurement->visit_count; i++)
        outcome->disturbed_visits += measurement->visits[i].disturbed;
    outcome->sample_count = measurement->sample_count;
    outcome->disturbed = measurement->visit_count > 0 ? measurement->disturbed : -1;
    outcome->foreign_share = foreign_share_of(measurement);
    outcome->measured_s = measurement->median_s;
    outcome->low_s = measurement->low_s;
    outcome->high_s = measurement->high_s;
    outcome->noise = measurement->noise;
}

/* Two predictors that need no simulator.  Both get the measured native time, which other predictors do not have. */
static void fill_naive(const lspo_cell_t *cell, lspo_outcome_t *outcome)
{
    double down_s = (double)cell->d2h_bytes / cell->link_Bps, up_s = (double)cell->h2d_bytes / cell->link_Bps;
    double update_s = (double)cell->d2h_bytes / lspo_precision_bytes(cell->plan->workload.transfer) / cell->cpu_pps;
    outcome->naive_s = outcome->native_s + down_s + up_s;
    outcome->lanes_s =
        isnan(outcome->native_s) ? (double)NAN : fmax(fmax(outcome->native_s, update_s), fmax(down_s, up_s));
    outcome->naive_error = error_of(outcome->naive_s, outcome->measured_s);
    outcome->lanes_error = error_of(outcome->lanes_s, outcome->measured_s);
}

static void fill_errors(const lspo_cell_t *cell, lspo_outcome_t *outcome)
{
    memcpy(outcome->variant_s, cell->iteration_s, sizeof outcome->variant_s);
    memcpy(outcome->variant_slowdown, cell->slowdown, sizeof outcome->variant_slowdown);
    outcome->calibrated_s = cell->calibrated_s;
    outcome->calibrated_error = error_of(cell->calibrated_s, outcome->measured_s);
    outcome->calibrated_slowdown = cell->calibrated_slowdown;
    outcome->predicted_s = cell->iteration_s[0];
    outcome->predicted_peak_gpu_bytes = (double)cell->peak_gpu_bytes;
    outcome->predicted_peak_total_bytes = (double)cell->peak_total_bytes;
    outcome->measured_peak_gpu_bytes = outcome->measured_peak_total_bytes = NAN;
    outcome->predicted_slowdown = cell->slowdown[0];
    outcome->measured_slowdown = outcome->measured_s / outcome->native_s;
    outcome->error = error_of(outcome->predicted_s, outcome->measured_s);
    outcome->slowdown_error = error_of(outcome->predicted_slowdown, outcome->measured_slowdown);
}

lspo_status_t lspo_validate_outcomes(const lspo_cells_t *cells, const lspo_measurement_t *measurements,
                                     lspo_outcome_t **outcomes_out, uint32_t *count_out)
{
    uint32_t count = 0;
    lspo_outcome_t *outcomes = calloc((size_t)cells->count + 1, sizeof *outcomes);
    if (outcomes == NULL)
        return lspo_no_memory("%u cells", cells->count);
    for (uint32_t i = 0; i < cells->count; i++) {
        const lspo_cell_t *cell = &cells->cells[i];
        if (cell->number == 0)
            continue;
        lspo_outcome_t *outcome = &outcomes[count++];
        fill_plan(cell, outcome);
        fill_measurement(&measurements[i], outcome);
        outcome->native_s = measurements[cell->native].median_s;
        fill_naive(cell, outcome);
        fill_errors(cell, outcome);
        /* A slowdown is as unreliable with a disturbed yardstick as with a disturbed cell. */
        if (measurements[cell->native].disturbed)
            outcome->disturbed = 1;
    }
    *outcomes_out = outcomes;
    *count_out = count;
    return LSPO_OK;
}
