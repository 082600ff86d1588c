/* compare.c - align two traces of the same plan op by op; see compare.h. */
#include "traces/compare.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "traces/order.h"

/* The identity of an op in both traces. */
static int compare_identity(const lspo_trace_row_t *a, const lspo_trace_row_t *b)
{
    LSPO_ORDER(a->iteration, b->iteration)
    LSPO_ORDER(a->micro, b->micro)
    LSPO_ORDER(a->layer, b->layer)
    LSPO_ORDER(a->kind, b->kind)
    LSPO_ORDER(a->variant, b->variant)
    return 0;
}

static int compare_row(const void *left, const void *right)
{
    const lspo_trace_row_t *a = *(const lspo_trace_row_t *const *)left, *b = *(const lspo_trace_row_t *const *)right;
    int order = compare_identity(a, b);
    if (order != 0)
        return order;
    LSPO_ORDER(a->lane, b->lane)
    LSPO_ORDER(a->op, b->op)
    return 0;
}

/* Pointers to the rows, sorted by identity; malloc'd. */
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

static bool say_missing(const lspo_trace_row_t *row, const char *missing_in, char *text, size_t text_bytes)
{
    snprintf(text, text_bytes, "%s of layer %u, iteration %" PRIu32 ", micro-batch %u is not in the %s trace",
             lspo_op_kind_name((lspo_op_kind_t)row->kind), row->layer, row->iteration, row->micro, missing_in);
    return false;
}

/* True when each op of one trace is in the other; else `text` names the first that is not. */
static bool can_join(const lspo_trace_row_t **predicted, uint32_t predicted_count, const lspo_trace_row_t **measured,
                     uint32_t measured_count, char *text, size_t text_bytes)
{
    for (uint32_t i = 0; i < predicted_count || i < measured_count; i++) {
        int order = i == predicted_count ? 1 : i == measured_count ? -1 : compare_identity(predicted[i], measured[i]);
        if (order < 0)
            return say_missing(predicted[i], "measured", text, text_bytes);
        if (order > 0)
            return say_missing(measured[i], "predicted", text, text_bytes);
    }
    return true;
}

static bool have_equal_lanes(const lspo_trace_t *predicted, const lspo_trace_t *measured, char *text, size_t text_bytes)
{
    if (lspo_lanes_equal(&predicted->lanes, &measured->lanes))
        return true;
    snprintf(text, text_bytes,
             "their lanes differ: %" PRIu32 " in the predicted trace, %" PRIu32 " in the measured one",
             predicted->lanes.count, measured->lanes.count);
    return false;
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

static bool is_sampled(const lspo_trace_row_t *row, const lspo_summary_t *window)
{
    return row->iteration > window->warmup && row->iteration <= window->warmup + window->iteration_count;
}

/* comparison->rows[kind * 3 + stage] holds sums for now. */
static void sum_rows(const lspo_trace_row_t **predicted, const lspo_trace_row_t **measured, uint32_t count,
                     uint16_t last, lspo_comparison_t *comparison)
{
    const lspo_summary_t *window = &comparison->measured;
    lspo_compare_row_t *rows = comparison->rows;
    for (uint32_t i = 0; i < count; i++) {
        if (!is_sampled(measured[i], window))
            continue;
        lspo_stage_kind_t stage = stage_kind(measured[i]->layer, last);
        lspo_compare_row_t *row = &rows[measured[i]->kind * 3 + stage];
        row->kind = measured[i]->kind;
        row->lane_kind = comparison->lanes.list[measured[i]->lane].kind;
        row->stage = (uint8_t)stage;
        row->op_count++;
        row->predicted_op_count++;
        row->predicted_s += duration_s(predicted[i]);
        row->measured_s += duration_s(measured[i]);
    }
}

/* Ops of one name in the order of the join, regardless of their iteration. */
static int compare_op_name(const void *left, const void *right)
{
    const lspo_compare_op_t *a = left, *b = right;
    LSPO_ORDER(a->micro, b->micro)
    LSPO_ORDER(a->layer, b->layer)
    LSPO_ORDER(a->kind, b->kind)
    LSPO_ORDER(a->variant, b->variant)
    LSPO_ORDER(a->lane, b->lane)
    return 0;
}

static int compare_op_difference(const void *left, const void *right)
{
    const lspo_compare_op_t *a = left, *b = right;
    double a_s = fabs(a->predicted_s - a->measured_s), b_s = fabs(b->predicted_s - b->measured_s);
    LSPO_ORDER(b_s, a_s)
    return compare_op_name(left, right);
}

static lspo_status_t sum_ops(const lspo_trace_row_t **predicted, const lspo_trace_row_t **measured, uint32_t count,
                             lspo_comparison_t *comparison)
{
    lspo_compare_op_t *ops = malloc(((size_t)count + 1) * sizeof *ops);
    if (!ops)
        return lspo_no_memory("comparing %" PRIu32 " ops", count);
    double scale = 1.0 / comparison->measured.iteration_count;
    uint32_t sampled = 0, kept = 0;
    for (uint32_t i = 0; i < count; i++)
        if (is_sampled(measured[i], &comparison->measured))
            ops[sampled++] = (lspo_compare_op_t){.kind = measured[i]->kind,
                                                 .lane = measured[i]->lane,
                                                 .layer = measured[i]->layer,
                                                 .micro = measured[i]->micro,
                                                 .variant = measured[i]->variant,
                                                 .op_count = 1,
                                                 .predicted_s = scale * duration_s(predicted[i]),
                                                 .measured_s = scale * duration_s(measured[i])};
    qsort(ops, sampled, sizeof *ops, compare_op_name);
    for (uint32_t i = 0; i < sampled; i++) {
        if (kept == 0 || compare_op_name(&ops[kept - 1], &ops[i]) != 0) {
            ops[kept++] = ops[i];
            continue;
        }
        ops[kept - 1].op_count++;
        ops[kept - 1].predicted_s += ops[i].predicted_s;
        ops[kept - 1].measured_s += ops[i].measured_s;
    }
    qsort(ops, kept, sizeof *ops, compare_op_difference);
    comparison->ops = ops;
    comparison->op_count = kept;
    return LSPO_OK;
}

/* The sums of one trace by kind, rows[kind]; ops on a lane other than the usual one of their kind count too. */
static void sum_kinds(const lspo_trace_t *trace, const lspo_summary_t *window, bool is_predicted,
                      lspo_compare_row_t *rows)
{
    for (uint32_t i = 0; i < trace->row_count; i++) {
        const lspo_trace_row_t *op = &trace->rows[i];
        if (!is_sampled(op, window))
            continue;
        lspo_compare_row_t *row = &rows[op->kind];
        row->kind = op->kind;
        row->lane_kind = trace->lanes.list[op->lane].kind;
        row->stage = LSPO_STAGE_ANY;
        *(is_predicted ? &row->predicted_op_count : &row->op_count) += 1;
        *(is_predicted ? &row->predicted_s : &row->measured_s) += duration_s(op);
    }
}

/* The lanes with work, joined by name. */
static lspo_status_t list_busy_lanes(const lspo_lanes_t *predicted, lspo_comparison_t *comparison)
{
    const lspo_lanes_t *measured = &comparison->lanes;
    const lspo_lane_t **by_name = NULL;
    lspo_status_t status = lspo_lanes_sort(measured, &by_name);
    if (status != LSPO_OK)
        return status;
    bool *joined = calloc((size_t)measured->count + 1, sizeof *joined);
    lspo_compare_lane_t *busy = calloc((size_t)predicted->count + measured->count + 1, sizeof *busy);
    if (!joined || !busy) {
        free(busy);
        status = lspo_no_memory("comparing %" PRIu32 " lanes", measured->count);
        goto free_lists;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < predicted->count; i++) {
        uint32_t other = lspo_lanes_find(measured, by_name, predicted->list[i].name);
        lspo_compare_lane_t lane = {.predicted_s = comparison->predicted.lane_busy_s[i]};
        memcpy(lane.name, predicted->list[i].name, sizeof lane.name);
        if (other < measured->count) {
            lane.measured_s = comparison->measured.lane_busy_s[other];
            joined[other] = true;
        }
        if (lane.predicted_s + lane.measured_s > 0)
            busy[count++] = lane;
    }
    for (uint32_t i = 0; i < measured->count; i++) {
        if (joined[i] || comparison->measured.lane_busy_s[i] <= 0)
            continue;
        busy[count].measured_s = comparison->measured.lane_busy_s[i];
        memcpy(busy[count++].name, measured->list[i].name, sizeof busy[0].name);
    }
    comparison->busy_lanes = busy;
    comparison->busy_lane_count = count;

free_lists:
    free(joined);
    free(by_name);
    return status;
}

static int compare_share(const void *left, const void *right)
{
    double a = fabs(((const lspo_compare_row_t *)left)->share_of_error);
    double b = fabs(((const lspo_compare_row_t *)right)->share_of_error);
    return (a < b) - (a > b);
}

/* Convert sums to means and shares; remove empty rows. */
static void finish_rows(lspo_comparison_t *comparison)
{
    lspo_compare_row_t *rows = comparison->rows;
    const lspo_summary_t *predicted = &comparison->predicted, *measured = &comparison->measured;
    for (uint32_t i = 0; i < LSPO_COMPARE_ROWS_MAX; i++) {
        lspo_compare_row_t row = rows[i];
        if (row.op_count == 0 && row.predicted_op_count == 0)
            continue;
        row.share_of_error =
            (row.predicted_s / predicted->iteration_count - row.measured_s / measured->iteration_count) /
            measured->iteration_s;
        row.predicted_s /= row.predicted_op_count ? row.predicted_op_count : 1;
        row.measured_s /= row.op_count ? row.op_count : 1;
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

static lspo_status_t compare(const lspo_trace_t *predicted, const lspo_trace_t *measured, uint32_t warmup, bool loosely,
                             lspo_comparison_t *comparison_out)
{
    lspo_comparison_t comparison = {0};
    const lspo_trace_row_t **predicted_rows = order_rows(predicted);
    const lspo_trace_row_t **measured_rows = order_rows(measured);
    lspo_status_t status = LSPO_OK;
    if (!predicted_rows || !measured_rows) {
        status = lspo_no_memory("comparing traces of %" PRIu32 " rows", measured->row_count);
        goto free_rows;
    }
    bool joined = have_equal_lanes(predicted, measured, comparison.mismatch, sizeof comparison.mismatch) &&
                  can_join(predicted_rows, predicted->row_count, measured_rows, measured->row_count,
                           comparison.mismatch, sizeof comparison.mismatch);
    if (!joined && !loosely) {
        status = lspo_error(LSPO_ERR_CHECK, "traces of different plans: %s", comparison.mismatch);
        goto free_rows;
    }
    status = summarize(predicted, measured, warmup, &comparison);
    if (status != LSPO_OK)
        goto free_rows;
    status = lspo_lanes_copy(&measured->lanes, &comparison.lanes);
    if (status != LSPO_OK)
        goto failed;
    status = list_busy_lanes(&predicted->lanes, &comparison);
    if (status != LSPO_OK)
        goto failed;
    if (joined) {
        comparison.matched_op_count = measured->row_count;
        sum_rows(predicted_rows, measured_rows, measured->row_count, last_layer(measured), &comparison);
        status = sum_ops(predicted_rows, measured_rows, measured->row_count, &comparison);
    } else {
        sum_kinds(predicted, &comparison.predicted, true, comparison.rows);
        sum_kinds(measured, &comparison.measured, false, comparison.rows);
    }
    if (status != LSPO_OK)
        goto failed;
    finish_rows(&comparison);
    *comparison_out = comparison;
    goto free_rows;

failed:
    lspo_comparison_release(&comparison);
free_rows:
    free(measured_rows);
    free(predicted_rows);
    return status;
}

lspo_status_t lspo_compare(const lspo_trace_t *predicted, const lspo_trace_t *measured, uint32_t warmup,
                           lspo_comparison_t *comparison_out)
{
    return compare(predicted, measured, warmup, false, comparison_out);
}

lspo_status_t lspo_compare_loosely(const lspo_trace_t *predicted, const lspo_trace_t *measured, uint32_t warmup,
                                   lspo_comparison_t *comparison_out)
{
    return compare(predicted, measured, warmup, true, comparison_out);
}

void lspo_comparison_release(lspo_comparison_t *comparison)
{
    lspo_lanes_release(&comparison->lanes);
    free(comparison->busy_lanes);
    comparison->busy_lanes = NULL;
    comparison->busy_lane_count = 0;
    free(comparison->ops);
    comparison->ops = NULL;
    comparison->op_count = 0;
    lspo_summary_release(&comparison->predicted);
    lspo_summary_release(&comparison->measured);
}
