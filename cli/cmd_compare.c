/* cmd_compare.c - `lspo compare`: where do two traces differ, above all a prediction and its measurement? */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask/args.h"
#include "base/table.h"
#include "base/wrap.h"
#include "cli/command.h"
#include "traces/compare.h"

typedef struct {
    uint32_t warmup, top;
    bool same_plan;
    int format;
} compare_request_t;

static const lspo_arg_t compare_args[] = {
    {.name = "warmup",
     .value = "N",
     .help = "iterations to leave out at the start (2)",
     .store = lspo_arg_u32,
     .high = UINT32_MAX - 2,
     .offset_bytes = offsetof(compare_request_t, warmup)},
    {.name = "top",
     .value = "N",
     .help = "single ops to list, those that differ most (10)",
     .store = lspo_arg_u32,
     .high = 1000000,
     .offset_bytes = offsetof(compare_request_t, top)},
    {.name = "same-plan",
     .help = "fail (exit 1) unless both are traces of the same plan",
     .store = lspo_arg_switch,
     .offset_bytes = offsetof(compare_request_t, same_plan)},
    {.name = "format",
     .value = "table|csv|json",
     .help = "format of the result (table on a terminal, else csv)",
     .store = lspo_arg_choice,
     .names = lspo_format_names,
     .offset_bytes = offsetof(compare_request_t, format)},
};

/* Times are of an iteration. */
typedef struct {
    const char *row, *kind, *stage, *lane;
    uint64_t layer, micro, variant;
    double op_count, predicted_s, measured_s, difference_s, error, share_of_error, share_of_difference;
} compare_record_t;

static const lspo_field_t compare_fields[] = {
    {"row", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(compare_record_t, row)},
    {"kind", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(compare_record_t, kind)},
    {"stage", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(compare_record_t, stage)},
    {"lane", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(compare_record_t, lane)},
    {"layer", LSPO_FIELD_INTEGER, LSPO_UNIT_NONE, offsetof(compare_record_t, layer)},
    {"micro", LSPO_FIELD_INTEGER, LSPO_UNIT_NONE, offsetof(compare_record_t, micro)},
    {"variant", LSPO_FIELD_INTEGER, LSPO_UNIT_NONE, offsetof(compare_record_t, variant)},
    {"op_count", LSPO_FIELD_REAL, LSPO_UNIT_NONE, offsetof(compare_record_t, op_count)},
    {"predicted_s", LSPO_FIELD_REAL, LSPO_UNIT_SECONDS, offsetof(compare_record_t, predicted_s)},
    {"measured_s", LSPO_FIELD_REAL, LSPO_UNIT_SECONDS, offsetof(compare_record_t, measured_s)},
    {"difference_s", LSPO_FIELD_REAL, LSPO_UNIT_SECONDS, offsetof(compare_record_t, difference_s)},
    {"error", LSPO_FIELD_REAL, LSPO_UNIT_NONE, offsetof(compare_record_t, error)},
    {"share_of_error", LSPO_FIELD_REAL, LSPO_UNIT_NONE, offsetof(compare_record_t, share_of_error)},
    {"share_of_difference", LSPO_FIELD_REAL, LSPO_UNIT_NONE, offsetof(compare_record_t, share_of_difference)},
};

/* The columns that every row has for its two times. */
static compare_record_t record_of(const lspo_comparison_t *comparison, const char *row, const char *kind,
                                  const char *lane, double predicted_s, double measured_s)
{
    double iteration_s = comparison->measured.iteration_s, difference_s = predicted_s - measured_s;
    return (compare_record_t){.row = row,
                              .kind = kind,
                              .lane = lane,
                              .layer = LSPO_MISSING,
                              .micro = LSPO_MISSING,
                              .variant = LSPO_MISSING,
                              .op_count = (double)NAN,
                              .predicted_s = predicted_s,
                              .measured_s = measured_s,
                              .difference_s = difference_s,
                              .error = predicted_s / measured_s - 1.0,
                              .share_of_error = difference_s / iteration_s,
                              .share_of_difference = difference_s / (comparison->predicted.iteration_s - iteration_s)};
}

/* Of the window of busy times; iteration_s is the median. */
static double mean_iteration_s(const lspo_summary_t *summary)
{
    double sum_s = 0;
    for (uint32_t i = 0; i < summary->sample_count; i++)
        sum_s += summary->samples_s[i];
    return sum_s / summary->sample_count;
}

static size_t add_lanes(const lspo_comparison_t *comparison, compare_record_t *records)
{
    size_t count = 0;
    const lspo_summary_t *predicted = &comparison->predicted, *measured = &comparison->measured;
    double predicted_mean_s = mean_iteration_s(predicted), measured_mean_s = mean_iteration_s(measured);
    for (uint32_t i = 0; i < comparison->busy_lane_count; i++) {
        const lspo_compare_lane_t *lane = &comparison->busy_lanes[i];
        records[count++] = record_of(comparison, "lane", "BUSY", lane->name, lane->predicted_s, lane->measured_s);
        records[count++] = record_of(comparison, "lane", "WAIT", lane->name, predicted_mean_s - lane->predicted_s,
                                     measured_mean_s - lane->measured_s);
    }
    return count;
}

static size_t add_kinds(const lspo_comparison_t *comparison, compare_record_t *records)
{
    static const char *const stage_names[] = {"embed", "block", "head", "all"};
    const lspo_summary_t *predicted = &comparison->predicted, *measured = &comparison->measured;
    for (uint32_t i = 0; i < comparison->row_count; i++) {
        const lspo_compare_row_t *row = &comparison->rows[i];
        double predicted_count = (double)row->predicted_op_count / predicted->iteration_count;
        double measured_count = (double)row->op_count / measured->iteration_count;
        records[i] = record_of(comparison, "kind", lspo_op_kind_name(row->kind), lspo_lane_kind_name(row->lane_kind),
                               row->predicted_s * predicted_count, row->measured_s * measured_count);
        records[i].stage = stage_names[row->stage];
        records[i].op_count = measured_count;
    }
    return comparison->row_count;
}

static size_t add_ops(const lspo_comparison_t *comparison, uint32_t top, compare_record_t *records)
{
    uint32_t count = comparison->op_count < top ? comparison->op_count : top;
    for (uint32_t i = 0; i < count; i++) {
        const lspo_compare_op_t *op = &comparison->ops[i];
        records[i] = record_of(comparison, "op", lspo_op_kind_name(op->kind), comparison->lanes.list[op->lane].name,
                               op->predicted_s, op->measured_s);
        records[i].layer = op->layer;
        records[i].micro = op->micro;
        records[i].variant = op->variant;
        records[i].op_count = (double)op->op_count / comparison->measured.iteration_count;
    }
    return count;
}

/* ---- for people: the verdict first ---- */

typedef struct {
    const lspo_comparison_t *comparison;
    const char *paths[2];
    bool judges;    /* a prediction and a measurement, not any two traces */
    bool has_parts; /* both traces have the parts of an iteration */
    char disturbance[512];
} verdict_t;

static const char *const stage_words[] = {" of the embedding", " of the blocks", " of the head", ""};

/* The largest difference. */
static void print_largest(FILE *file, const lspo_comparison_t *comparison, bool judges)
{
    const lspo_compare_row_t *row = &comparison->rows[0];
    double percent = 100 * row->share_of_error;
    if (comparison->row_count == 0 || fabs(percent) < 0.05)
        return;
    fprintf(file, "; the largest part of the difference is %s%s on the lane %s, %.1f %% of an iteration %s",
            lspo_op_kind_name((lspo_op_kind_t)row->kind), stage_words[row->stage],
            lspo_lane_kind_name((lspo_lane_kind_t)row->lane_kind), fabs(percent),
            percent > 0 ? (judges ? "too long" : "longer") : (judges ? "too short" : "shorter"));
}

/* "Predicted 412 ms per iteration, measured 398 ms: 3.5 % too long; ..." */
static void print_verdict(FILE *file, const void *context)
{
    const verdict_t *verdict = context;
    const lspo_comparison_t *comparison = verdict->comparison;
    char first[32], second[32];
    double percent = 100 * comparison->error;
    lspo_format_quantity(comparison->predicted.iteration_s, LSPO_UNIT_SECONDS, first, sizeof first);
    lspo_format_quantity(comparison->measured.iteration_s, LSPO_UNIT_SECONDS, second, sizeof second);
    if (verdict->disturbance[0] != '\0')
        fprintf(file, "%s.\n", verdict->disturbance);
    if (verdict->judges)
        fprintf(file, "Predicted %s per iteration, measured %s: ", first, second);
    else
        fprintf(file, "%s: %s per iteration, %s: %s: ", verdict->paths[0], first, verdict->paths[1], second);
    if (fabs(percent) < 0.05)
        fprintf(file, "equal");
    else
        fprintf(file, "%.1f %% %s", fabs(percent),
                percent > 0 ? (verdict->judges ? "too long" : "longer") : (verdict->judges ? "too short" : "shorter"));
    if (verdict->has_parts)
        print_largest(file, comparison, verdict->judges);
    fputs(".\n", file);
}

/* With prediction and measurement swapped, all signs would be wrong. */
static lspo_status_t check_order(const lspo_trace_t *predicted, const lspo_trace_t *measured, verdict_t *verdict)
{
    const char *first = lspo_trace_meta(predicted, "origin"), *second = lspo_trace_meta(measured, "origin");
    bool first_simulated = first && strcmp(first, "sim") == 0, second_simulated = second && strcmp(second, "sim") == 0;
    if (first && second_simulated && !first_simulated)
        return lspo_error(
            LSPO_ERR_INPUT,
            "%s is measured (origin %s) and %s is predicted; give the prediction first: lspo compare %s %s",
            verdict->paths[0], first, verdict->paths[1], verdict->paths[1], verdict->paths[0]);
    verdict->judges = first_simulated && !second_simulated;
    return LSPO_OK;
}

/* Prints nothing if nothing is known, as for other programs. */
static void describe_disturbance(const lspo_trace_t *measured, verdict_t *verdict)
{
    double share = lspo_trace_core_share(measured);
    if (share < LSPO_TRACE_CORE_SHARE_LEAST)
        snprintf(
            verdict->disturbance, sizeof verdict->disturbance,
            "This measurement was disturbed: in %s other programs took %.0f %% of the core that stands in for the GPU",
            verdict->paths[1], 100 * (1 - share));
}

static lspo_status_t write_comparison(const verdict_t *verdict, const compare_request_t *request)
{
    const lspo_comparison_t *comparison = verdict->comparison;
    lspo_format_t format = lspo_format_resolve(request->format);
    uint32_t top = request->top < comparison->op_count ? request->top : comparison->op_count;
    size_t count = 1 + 2 * (size_t)comparison->busy_lane_count + LSPO_COMPARE_ROWS_MAX + (size_t)top;
    compare_record_t *records = malloc(count * sizeof *records);
    if (!records)
        return lspo_no_memory("%zu rows", count);
    records[0] = record_of(comparison, "iteration", "ITERATION", NULL, comparison->predicted.iteration_s,
                           comparison->measured.iteration_s);
    count = 1;
    if (verdict->has_parts) {
        count += add_lanes(comparison, records + count);
        count += add_kinds(comparison, records + count);
        count += add_ops(comparison, top, records + count);
    }
    lspo_table_t table = {.fields = compare_fields,
                          .field_count = sizeof compare_fields / sizeof compare_fields[0],
                          .records = records,
                          .record_bytes = sizeof records[0],
                          .record_count = count};
    if (format == LSPO_FORMAT_TABLE) {
        lspo_wrap_print(stdout, print_verdict, verdict);
        puts("");
    } else if (verdict->disturbance[0] != '\0')
        lspo_warn("%s", verdict->disturbance);
    lspo_status_t status = lspo_table_write(&table, format, stdout);
    free(records);
    return status;
}

static lspo_status_t compare_traces(const lspo_trace_t *predicted, const lspo_trace_t *measured, const char *paths[2],
                                    const compare_request_t *request)
{
    lspo_comparison_t comparison;
    verdict_t verdict = {.comparison = &comparison, .paths = {paths[0], paths[1]}};
    lspo_status_t status = check_order(predicted, measured, &verdict);
    if (status != LSPO_OK)
        return status;
    status =
        (request->same_plan ? lspo_compare : lspo_compare_loosely)(predicted, measured, request->warmup, &comparison);
    if (status != LSPO_OK)
        return status;
    bool has_parts = lspo_trace_meta(predicted, "parts") == NULL && lspo_trace_meta(measured, "parts") == NULL;
    if (!has_parts)
        lspo_warn("one of the traces has only the times of iterations, so nothing else is compared");
    else if (comparison.mismatch[0] != '\0')
        lspo_warn("the traces have different plans and are compared by kind only: %s", comparison.mismatch);
    verdict.has_parts = has_parts;
    describe_disturbance(measured, &verdict);
    status = write_comparison(&verdict, request);
    lspo_comparison_release(&comparison);
    return status;
}

static lspo_status_t compare_files(const char *paths[2], const compare_request_t *request)
{
    lspo_trace_t *predicted, *measured;
    lspo_status_t status = lspo_trace_read(paths[0], &predicted);
    if (status != LSPO_OK)
        return status;
    status = lspo_trace_read(paths[1], &measured);
    if (status != LSPO_OK)
        goto cleanup;
    status = compare_traces(predicted, measured, paths, request);
    lspo_trace_destroy(measured);
cleanup:
    lspo_trace_destroy(predicted);
    return status;
}

static lspo_status_t compare(int argc, char **argv)
{
    compare_request_t request = {.warmup = 2, .top = 10, .format = LSPO_FORMAT_AUTO};
    lspo_positionals_t positionals;
    lspo_status_t status = lspo_command_parse(&lspo_command_compare, argc, argv, &request, &positionals);
    if (status != LSPO_OK)
        return status;
    const char *paths[2] = {positionals.texts[0], positionals.texts[1]};
    return compare_files(paths, &request);
}

static const lspo_arg_group_t compare_group = LSPO_ARG_GROUP("options", compare_args);

const lspo_command_t lspo_command_compare = {
    .name = "compare",
    .summary = "compare a predicted with a measured trace, op by op",
    .usage = "SIM.trace RUN.trace [options]",
    .about = "Show where two traces differ; `lspo trace diff` is the same command. Times are per iteration. Rows:\n\n"
             "  iteration   time per iteration\n"
             "  lane        how long each lane was BUSY, and how long it had to WAIT\n"
             "  kind        ops of one kind in one kind of stage, largest difference first\n"
             "  op          the --top single ops with the largest differences",
    .examples = "lspo compare sim.trace run.trace --top 5\n"
                "lspo compare sim.trace run.trace --same-plan --format csv",
    .common = "top same-plan",
    .details = "difference_s is predicted_s - measured_s. share_of_error divides it by the measured time per "
               "iteration, share_of_difference by the difference of the two times per iteration. Lanes work at the "
               "same time, so their shares add up to more than the whole. Traces of different plans, such as those of "
               "`lspo trace import`, are compared by kind only. The predicted trace comes first; the reverse order is "
               "refused. A table begins with the verdict, and says if other programs disturbed the measurement.",
    .groups = (const lspo_arg_group_t *const[]){&compare_group, NULL},
    .positional_least = 2,
    .positional_most = 2,
    .positionals = "TRACE",
    .run = compare,
};
