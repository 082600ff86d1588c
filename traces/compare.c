#include "traces/compare.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#define COMPARE(a, b)                                                                                                  \
    if ((a) != (b))                                                                                                    \
        return (a) < (b) ? -1 : 1;

/* What both traces call the same op. */
static int compare_identity(const lspo_trace_row_t *a, const lspo_trace_row_t *b)
{
    COMPARE(a->iteration, b->iteration)
    COMPARE(a->micro, b->micro)
    COMPARE(a->layer, b->layer)
    COMPARE(a->kind, b->kind)
    COMPARE(a->variant, b->variant)
    return 0;
}

static int compare_row(const void *left, const void *right)
{
    const lspo_trace_row_t *a = *(const lspo_trace_row_t *const *)left, *b = *(const lspo_trace_row_t *const *)right;
    int order = compare_identity(a, b);
    return order ? order : (a->op > b->op) - (a->op < b->op);
}

/* Pointers to the rows in the order of their identity; malloc'd. */
static const lspo_trace_row_t **order_rows(const lspo_trace_t *trace)
{
    const lspo_trace_row_t **rows = malloc(((size_t)trace->row_count + 1) * sizeof *rows);
    if (!rows)
        return NULL;
    for (uint32_t i = 0; i < trace->row_count; i++)
        rows[i] = &trace->rows[i];
    qsort(rows, trace->row_count, sizeof *rows, compare_row);
    return rows;
}

static lspo_status_t report_missing(const lspo_trace_row_t *row, const char *missing_in)
{
    return lspo_error(LSPO_ERR_CHECK,
                      "traces of different plans: %s of layer %u, iteration %" PRIu32
                      ", micro-batch %u is not in the %s"
                      " trace",
                      lspo_op_kind_name((lspo_op_kind_t)row->kind), row->layer, row->iteration, row->micro, missing_in);
}

static lspo_status_t check_join(const lspo_trace_row_t **predicted, uint32_t predicted_count,
                                const lspo_trace_row_t **measured, uint32_t measured_count)
{
    for (uint32_t i = 0; i < predicted_count || i < measured_count; i++) {
        if (i == predicted_count)
            return report_missing(measured[i], "predicted");
        if (i == measured_count)
            return report_missing(predicted[i], "measured");
        int order = compare_identity(predicted[i], measured[i]);
        if (order < 0)
            return report_missing(predicted[i], "measured");
        if (order > 0)
            return report_missing(measured[i], "predicted");
    }
    return LSPO_OK;
}

static uint16_t last_layer(const lspo_trace_t *trace)
{
    uint16_t last = 0;
    for (uint32_t i = 0; i < trace->row_count; i++)
        if (trace->rows[i].layer > last)
            last = trace->rows[i].layer;
    return last;
}

static lspo_stage_kind_t stage_kind(uint16_t layer, uint16_t last)
{
    return layer == 0 ? LSPO_STAGE_EMBED : layer == last ? LSPO_STAGE_HEAD : LSPO_STAGE_BLOCK;
}

static double duration_s(const lspo_trace_row_t *row)
{
    return 1e-9 * (double)(row->end_ns - row->start_ns);
}

/* rows[kind * 3 + stage] holds sums for now. */
static void sum_rows(const lspo_trace_row_t **predicted, const lspo_trace_row_t **measured, uint32_t count,
                     uint16_t last, const lspo_summary_t *window, lspo_compare_row_t *rows)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t iteration = measured[i]->iteration;
        if (iteration <= window->warmup || iteration > window->warmup + window->sample_count)
            continue;
        lspo_stage_kind_t stage = stage_kind(measured[i]->layer, last);
        lspo_compare_row_t *row = &rows[measured[i]->kind * 3 + stage];
        row->kind = measured[i]->kind;
        row->lane = measured[i]->lane;
        row->stage = (uint8_t)stage;
        row->op_count++;
        row->predicted_s += duration_s(predicted[i]);
        row->measured_s += duration_s(measured[i]);
    }
}

static int compare_share(const void *left, const void *right)
{
    double a = fabs(((const lspo_compare_row_t *)left)->share_of_error);
    double b = fabs(((const lspo_compare_row_t *)right)->share_of_error);
    return (a < b) - (a > b);
}

/* From sums to means and shares; empty rows go. */
static void finish_rows(lspo_comparison_t *comparison)
{
    lspo_compare_row_t *rows = comparison->rows;
    const lspo_summary_t *measured = &comparison->measured;
    for (uint32_t i = 0; i < LSPO_COMPARE_ROWS_MAX; i++) {
        if (rows[i].op_count == 0)
            continue;
        lspo_compare_row_t row = rows[i];
        row.share_of_error = (row.predicted_s - row.measured_s) / measured->sample_count / measured->iteration_s;
        row.predicted_s /= row.op_count;
        row.measured_s /= row.op_count;
        rows[comparison->row_count++] = row;
    }
    qsort(rows, comparison->row_count, sizeof *rows, compare_share);
}

static lspo_status_t summarize(const lspo_trace_t *predicted, const lspo_trace_t *measured, uint32_t warmup,
                               lspo_comparison_t *comparison)
{
    lspo_status_t status = lspo_summary_create(predicted, warmup, &comparison->predicted);
    if (status != LSPO_OK)
        return status;
    status = lspo_summary_create(measured, warmup, &comparison->measured);
    if (status != LSPO_OK) {
        lspo_summary_release(&comparison->predicted);
        return status;
    }
    comparison->error = comparison->predicted.iteration_s / comparison->measured.iteration_s - 1;
    return LSPO_OK;
}

lspo_status_t lspo_compare(const lspo_trace_t *predicted, const lspo_trace_t *measured, uint32_t warmup,
                           lspo_comparison_t *comparison_out)
{
    lspo_comparison_t comparison = {.matched_op_count = measured->row_count};
    const lspo_trace_row_t **predicted_rows = order_rows(predicted);
    const lspo_trace_row_t **measured_rows = order_rows(measured);
    lspo_status_t status = LSPO_OK;
    if (!predicted_rows || !measured_rows) {
        status =
            lspo_error(LSPO_ERR_MEMORY, "out of memory to compare traces of %" PRIu32 " rows", measured->row_count);
        goto free_rows;
    }
    status = check_join(predicted_rows, predicted->row_count, measured_rows, measured->row_count);
    if (status == LSPO_OK)
        status = summarize(predicted, measured, warmup, &comparison);
    if (status != LSPO_OK)
        goto free_rows;
    sum_rows(predicted_rows, measured_rows, measured->row_count, last_layer(measured), &comparison.measured,
             comparison.rows);
    finish_rows(&comparison);
    *comparison_out = comparison;

free_rows:
    free(measured_rows);
    free(predicted_rows);
    return status;
}

void lspo_comparison_release(lspo_comparison_t *comparison)
{
    lspo_summary_release(&comparison->predicted);
    lspo_summary_release(&comparison->measured);
}
