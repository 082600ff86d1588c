/* score.c - the errors of each predictor over all cells. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "traces/accuracy.h"
#include "validate/verdict.h"

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
        return lspo_no_memory("scoring %u cells", count);
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

/* Two visits may agree by chance, so the noise of a cell is at least that of the grid. */
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

/* Of lspo, for all cells, without an order. */
static lspo_score_t score_of(const char *quantity, const lspo_accuracy_t *accuracy)
{
    return (lspo_score_t){.predictor = "lspo",
                          .quantity = quantity,
                          .cells = "all",
                          .count = accuracy->count,
                          .mean = accuracy->mean,
                          .median = accuracy->median,
                          .p95 = accuracy->p95,
                          .worst = accuracy->worst,
                          .bias = accuracy->bias,
                          .tau = NAN};
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
    *score = score_of(names->quantity, &accuracy);
    score->predictor = names->predictor;
    score->cells = names->cells;
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

/* The machine's own noise: the difference to a second measurement. */
static lspo_status_t add_noise(lspo_verdict_t *verdict, columns_t *columns)
{
    lspo_accuracy_t accuracy;
    for (uint32_t i = 0; i < verdict->count; i++) {
        const lspo_outcome_t *outcome = &verdict->outcomes[i];
        columns->predicted[i] = 1 + outcome->noise;
        columns->measured[i] = is_of(outcome, "all") ? 1 : (double)NAN;
    }
    lspo_status_t status = lspo_accuracy_compute(columns->predicted, columns->measured, verdict->count, &accuracy);
    if (status != LSPO_OK)
        return status;
    lspo_score_t *score = &verdict->scores[verdict->score_count++];
    *score = score_of("time", &accuracy);
    score->predictor = "measured again";
    score->bias = NAN;
    return LSPO_OK;
}

static lspo_status_t add_quantity(lspo_verdict_t *verdict, columns_t *columns, const char *quantity)
{
    static const char *const classes[] = {"all", "gpu", "link", "cpu", "disturbed too"};
    lspo_score_t names = {.predictor = "lspo", .quantity = quantity};
    static const struct {
        const char *name;
        predictor_t predictor;
    } others[] = {{"lspo as calibrated", CALIBRATED}, {"native + bytes/link", NAIVE}, {"slowest lane", LANES}};
    for (int c = 0; c < (any_disturbed(verdict) ? 5 : 4); c++) {
        names.cells = classes[c];
        lspo_status_t status = add_score(verdict, columns, &names, VARIANT, 0);
        if (status != LSPO_OK)
            return status;
    }
    names.cells = "all";
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        names.predictor = others[i].name;
        lspo_status_t status = add_score(verdict, columns, &names, others[i].predictor, 0);
        if (status != LSPO_OK)
            return status;
    }
    for (uint32_t v = 1; v < verdict->variants->count; v++) {
        names.predictor = verdict->variants->names[v];
        lspo_status_t status = add_score(verdict, columns, &names, VARIANT, v);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

/* Peaks, whatever disturbed the times. */
static lspo_status_t add_memory(lspo_verdict_t *verdict, columns_t *columns, bool of_device)
{
    lspo_accuracy_t accuracy;
    for (uint32_t i = 0; i < verdict->count; i++) {
        const lspo_outcome_t *outcome = &verdict->outcomes[i];
        columns->predicted[i] = of_device ? outcome->predicted_peak_gpu_bytes : outcome->predicted_peak_total_bytes;
        columns->measured[i] = of_device ? outcome->measured_peak_gpu_bytes : outcome->measured_peak_total_bytes;
    }
    lspo_status_t status = lspo_accuracy_compute(columns->predicted, columns->measured, verdict->count, &accuracy);
    if (status != LSPO_OK || accuracy.count == 0)
        return status;
    verdict->scores[verdict->score_count++] = score_of(of_device ? "device" : "memory", &accuracy);
    return LSPO_OK;
}

lspo_status_t lspo_validate_score(lspo_verdict_t *verdict)
{
    columns_t columns = {0};
    lspo_status_t status = create_columns(verdict->count, &columns);
    if (status != LSPO_OK)
        return status;
    verdict->score_count = 0;
    status = add_quantity(verdict, &columns, "time");
    if (status != LSPO_OK)
        goto cleanup;
    status = add_noise(verdict, &columns);
    if (status != LSPO_OK)
        goto cleanup;
    status = add_quantity(verdict, &columns, "slowdown");
    if (status == LSPO_OK)
        status = add_memory(verdict, &columns, true);
    if (status == LSPO_OK)
        status = add_memory(verdict, &columns, false);
cleanup:
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
