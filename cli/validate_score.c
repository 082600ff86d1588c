/* validate_score.c - from predictions and measurements to errors: a cell each, then a predictor each. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/table.h"
#include "cli/validate.h"
#include "plan/policy.h"
#include "traces/accuracy.h"

/* Outcomes */

static double error_of(double predicted, double measured)
{
    return predicted / measured - 1;
}

/* Of what may follow the policy's name in a grid, what is a column of the cells. */
static void write_title(const lspo_plan_t *plan, char *title, size_t capacity)
{
    const lspo_parameters_t *own = plan->policy->parameters;
    size_t used = (size_t)snprintf(title, capacity, "%s", plan->policy->name);
    for (size_t i = 0; own != NULL && i < own->count && used < capacity; i++) {
        const lspo_parameter_t *parameter = own->uses[i].parameter;
        char value[32];
        if (!own->uses[i].in_grid || parameter->column == 0)
            continue;
        lspo_parameter_format(parameter, lspo_policy_value(plan->policy, &plan->workload, parameter), value,
                              sizeof value);
        used += (size_t)snprintf(title + used, capacity - used, " %s", value);
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

/* Two predictors that need no simulator.  Both are given what no predictor has: the measured native time. */
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
        return lspo_error(LSPO_ERR_MEMORY, "no memory for %u cells", cells->count);
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
        /* A slowdown with a disturbed yardstick is no better than one with a disturbed cell. */
        if (measurements[cell->native].disturbed)
            outcome->disturbed = 1;
    }
    *outcomes_out = outcomes;
    *count_out = count;
    return LSPO_OK;
}

/* Scores */

/* Columns over the cells, for traces/accuracy.h; one allocation. */
typedef struct {
    double *predicted, *measured, *noise;
    uint32_t *group;
} columns_t;

typedef enum { NAIVE, LANES, CALIBRATED, VARIANT } predictor_t;

static lspo_status_t create_columns(uint32_t count, columns_t *columns_out)
{
    double *reals = malloc((3 * (size_t)count + 1) * sizeof *reals);
    uint32_t *group = malloc(((size_t)count + 1) * sizeof *group);
    if (reals == NULL || group == NULL) {
        free(group);
        free(reals);
        return lspo_error(LSPO_ERR_MEMORY, "no memory to score %u cells", count);
    }
    *columns_out = (columns_t){reals, reals + count, reals + 2 * (size_t)count, group};
    return LSPO_OK;
}

static void destroy_columns(columns_t *columns)
{
    free(columns->predicted);
    free(columns->group);
}

static bool is_of(const lspo_outcome_t *outcome, const char *cells)
{
    if (strcmp(cells, "disturbed too") == 0)
        return true;
    return outcome->disturbed == 0 && (strcmp(cells, "all") == 0 || strcmp(cells, outcome->bound) == 0);
}

static double mean_noise(const lspo_verdict_t *verdict)
{
    double sum = 0;
    uint32_t known = 0;
    for (uint32_t i = 0; i < verdict->count; i++)
        if (is_of(&verdict->outcomes[i], "all") && !isnan(verdict->outcomes[i].noise)) {
            sum += verdict->outcomes[i].noise;
            known++;
        }
    return known > 0 ? sum / known : 0;
}

/* Two visits may agree by luck, so that the noise of a cell is at least that of the grid. */
static void fill_columns(const lspo_verdict_t *verdict, predictor_t predictor, uint32_t variant, bool slowdown,
                         const char *cells, columns_t *columns)
{
    double least_noise = mean_noise(verdict);
    for (uint32_t i = 0; i < verdict->count; i++) {
        const lspo_outcome_t *outcome = &verdict->outcomes[i];
        double measured = slowdown ? outcome->measured_slowdown : outcome->measured_s;
        double naive_s = predictor == NAIVE ? outcome->naive_s : outcome->lanes_s;
        if (predictor == CALIBRATED)
            columns->predicted[i] = slowdown ? outcome->calibrated_slowdown : outcome->calibrated_s;
        else if (predictor != VARIANT)
            columns->predicted[i] = slowdown ? naive_s / outcome->native_s : naive_s;
        else
            columns->predicted[i] = slowdown ? outcome->variant_slowdown[variant] : outcome->variant_s[variant];
        columns->measured[i] = is_of(outcome, cells) ? measured : (double)NAN;
        columns->noise[i] = fmax(outcome->noise, least_noise);
        columns->group[i] = strcmp(outcome->rates_of, "self") != 0 ? (uint32_t)outcome->group : 0;
    }
}

static lspo_status_t add_score(lspo_verdict_t *verdict, columns_t *columns, const lspo_score_t *names,
                               predictor_t predictor, uint32_t variant)
{
    lspo_accuracy_t accuracy;
    bool slowdown = strcmp(names->quantity, "slowdown") == 0;
    fill_columns(verdict, predictor, variant, slowdown, names->cells, columns);
    lspo_status_t status = lspo_accuracy_compute(columns->predicted, columns->measured, verdict->count, &accuracy);
    if (status != LSPO_OK)
        return status;
    lspo_order_t order =
        lspo_accuracy_order(columns->predicted, columns->measured, columns->noise, columns->group, verdict->count);
    if (verdict->score_count == 0)
        verdict->order = order;
    lspo_score_t *score = &verdict->scores[verdict->score_count++];
    *score = *names;
    score->count = accuracy.count;
    score->mean = accuracy.mean;
    score->median = accuracy.median;
    score->p95 = accuracy.p95;
    score->worst = accuracy.worst;
    score->bias = accuracy.bias;
    score->tau = order.tau;
    return LSPO_OK;
}

static bool any_disturbed(const lspo_verdict_t *verdict)
{
    for (uint32_t i = 0; i < verdict->count; i++)
        if (verdict->outcomes[i].disturbed == 1)
            return true;
    return false;
}

/* The machine's own: what a second measurement differs by. */
static lspo_status_t add_noise(lspo_verdict_t *verdict, columns_t *columns)
{
    lspo_accuracy_t accuracy;
    for (uint32_t i = 0; i < verdict->count; i++) {
        const lspo_outcome_t *outcome = &verdict->outcomes[i];
        columns->predicted[i] = 1 + outcome->noise;
        columns->measured[i] = is_of(outcome, "all") ? 1 : (double)NAN;
    }
    lspo_status_t status = lspo_accuracy_compute(columns->predicted, columns->measured, verdict->count, &accuracy);
    if (status == LSPO_OK)
        verdict->scores[verdict->score_count++] = (lspo_score_t){.predictor = "measured again",
                                                                 .quantity = "time",
                                                                 .cells = "all",
                                                                 .count = accuracy.count,
                                                                 .mean = accuracy.mean,
                                                                 .median = accuracy.median,
                                                                 .p95 = accuracy.p95,
                                                                 .worst = accuracy.worst,
                                                                 .bias = NAN,
                                                                 .tau = NAN};
    return status;
}

static lspo_status_t add_quantity(lspo_verdict_t *verdict, columns_t *columns, const char *quantity)
{
    static const char *const classes[] = {"all", "gpu", "link", "cpu", "disturbed too"};
    lspo_score_t names = {.predictor = "lspo", .quantity = quantity};
    lspo_status_t status = LSPO_OK;
    for (int c = 0; status == LSPO_OK && c < (any_disturbed(verdict) ? 5 : 4); c++) {
        names.cells = classes[c];
        status = add_score(verdict, columns, &names, VARIANT, 0);
    }
    names.cells = "all";
    names.predictor = "lspo as calibrated";
    if (status == LSPO_OK)
        status = add_score(verdict, columns, &names, CALIBRATED, 0);
    names.predictor = "native + bytes/link";
    if (status == LSPO_OK)
        status = add_score(verdict, columns, &names, NAIVE, 0);
    names.predictor = "slowest lane";
    if (status == LSPO_OK)
        status = add_score(verdict, columns, &names, LANES, 0);
    for (uint32_t v = 1; status == LSPO_OK && v < verdict->variants->count; v++) {
        names.predictor = verdict->variants->names[v];
        status = add_score(verdict, columns, &names, VARIANT, v);
    }
    return status;
}

lspo_status_t lspo_validate_score(lspo_verdict_t *verdict)
{
    columns_t columns = {0};
    lspo_status_t status = create_columns(verdict->count, &columns);
    if (status != LSPO_OK)
        return status;
    verdict->score_count = 0;
    status = add_quantity(verdict, &columns, "time");
    if (status == LSPO_OK)
        status = add_noise(verdict, &columns);
    if (status == LSPO_OK)
        status = add_quantity(verdict, &columns, "slowdown");
    destroy_columns(&columns);
    return status;
}

const lspo_score_t *lspo_verdict_score(const lspo_verdict_t *verdict, const char *predictor, const char *quantity,
                                       const char *cells)
{
    for (uint32_t i = 0; i < verdict->score_count; i++) {
        const lspo_score_t *score = &verdict->scores[i];
        if (strcmp(score->predictor, predictor) == 0 && strcmp(score->quantity, quantity) == 0 &&
            strcmp(score->cells, cells) == 0)
            return score;
    }
    return NULL;
}
