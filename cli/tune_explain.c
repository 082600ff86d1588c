/* tune_explain.c - the front of time against memory, and the arithmetic; see tune_explain.h. */
#include "cli/tune_explain.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/wrap.h"
#include "sim/report.h"
#include "sim/tune.h"

lspo_status_t lspo_tune_explain_arithmetic(const lspo_tune_report_t *report, const lspo_found_t *found,
                                           lspo_tune_explain_t *explain)
{
    lspo_prediction_t prediction = {0};
    lspo_plan_t *plan = NULL;
    lspo_status_t status = lspo_tune_transition(report->model, &found->workload, found->policy, report->machine, &plan);
    if (status == LSPO_OK)
        status = lspo_simulate(plan, report->machine, &prediction, NULL);
    if (status == LSPO_OK)
        status = lspo_simulate_bound(plan, report->machine, &prediction);
    if (status == LSPO_OK)
        status = lspo_arithmetic(plan, report->machine, &prediction, &explain->arithmetic);
    explain->iteration_s = prediction.summary.iteration_s;
    explain->lower_bound_s = prediction.lower_bound_s;
    explain->bound_lane = prediction.bound_lane;
    lspo_prediction_release(&prediction);
    lspo_plan_destroy(plan);
    return status;
}

/* ---- tables ---- */

typedef struct {
    const char *policy, *quality, *settings, *command;
    char quality_text[64], settings_text[LSPO_TUNE_SETTINGS_BYTES], command_text[LSPO_TUNE_COMMAND_BYTES];
    uint64_t batch, accumulation, gpu_bytes, host_bytes;
    double iteration_s, time_to_loss_s;
} point_t;

#define POINT(name, field, kind, unit)                                                                                 \
    {                                                                                                                  \
        name, LSPO_FIELD_##kind, LSPO_UNIT_##unit, offsetof(point_t, field)                                            \
    }

static const lspo_field_t point_fields[] = {
    POINT("policy", policy, TEXT, NONE),
    POINT("quality", quality, TEXT, NONE),
    POINT("batch", batch, INTEGER, NONE),
    POINT("accumulation", accumulation, INTEGER, NONE),
    POINT("settings", settings, TEXT, NONE),
    POINT("iteration_s", iteration_s, REAL, SECONDS),
    POINT("time_to_loss_s", time_to_loss_s, REAL, SECONDS),
    POINT("peak_gpu_bytes", gpu_bytes, INTEGER, BYTES),
    POINT("peak_host_bytes", host_bytes, INTEGER, BYTES),
    POINT("command", command, TEXT, NONE),
};

/* For people. */
static const lspo_field_t point_columns[] = {
    POINT("step", iteration_s, REAL, SECONDS), POINT("GPU", gpu_bytes, INTEGER, BYTES),
    POINT("host", host_bytes, INTEGER, BYTES), POINT("policy", policy, TEXT, NONE),
    POINT("quality", quality, TEXT, NONE),     POINT("batch", batch, INTEGER, NONE),
    POINT("settings", settings, TEXT, NONE),
};

typedef struct {
    const char *lane, *title, *work, *unit, *amount_text, *field, *rate_text;
    char amount_buffer[32], field_buffer[64], rate_buffer[32];
    uint64_t launches;
    double amount, rate, least_s, alone_s, busy_s;
} sum_t;

#define SUM(name, field, kind, unit)                                                                                   \
    {                                                                                                                  \
        name, LSPO_FIELD_##kind, LSPO_UNIT_##unit, offsetof(sum_t, field)                                              \
    }

static const lspo_field_t sum_fields[] = {
    SUM("lane", lane, TEXT, NONE),
    SUM("work", work, TEXT, NONE),
    SUM("amount", amount, REAL, NONE),
    SUM("unit", unit, TEXT, NONE),
    SUM("launches", launches, INTEGER, NONE),
    SUM("rate", rate, REAL, NONE),
    SUM("rate_field", field, TEXT, NONE),
    SUM("quotient_s", least_s, REAL, SECONDS),
    SUM("alone_s", alone_s, REAL, SECONDS),
    SUM("busy_s", busy_s, REAL, SECONDS),
};

/* For people. */
static const lspo_field_t sum_columns[] = {
    SUM("lane", title, TEXT, NONE),
    SUM("work", work, TEXT, NONE),
    SUM("amount", amount_text, TEXT, NONE),
    SUM("rate", rate_text, TEXT, NONE),
    SUM("quotient", least_s, REAL, SECONDS),
    SUM("launches", launches, INTEGER, NONE),
    SUM("lane alone", alone_s, REAL, SECONDS),
    SUM("lane busy", busy_s, REAL, SECONDS),
    SUM("the rate is", field, TEXT, NONE),
};

static lspo_status_t fill_point(const lspo_tune_report_t *report, const lspo_found_t *found, point_t *point)
{
    *point =
        (point_t){.policy = found->policy->name,
                  .batch = found->workload.batch,
                  .accumulation = found->workload.accumulation,
                  .gpu_bytes = found->fit.gpu_bytes,
                  .host_bytes = found->fit.host_bytes,
                  .iteration_s = found->fit.iteration_s,
                  .time_to_loss_s = report->objective == LSPO_OBJECTIVE_TIME_TO_LOSS ? found->objective : (double)NAN};
    point->quality = point->quality_text;
    point->settings = point->settings_text;
    point->command = point->command_text;
    lspo_tune_quality(found, sizeof point->quality_text, point->quality_text);
    lspo_status_t status = lspo_tune_settings(report, found, point->settings_text);
    return status == LSPO_OK ? lspo_tune_command(report, found, point->settings_text, "sim", point->command_text)
                             : status;
}

/* "12.3 TFLOP": the quantity of which the rate is one per second. */
static void format_amount(double amount, lspo_unit_t unit, size_t text_bytes, char *text)
{
    lspo_format_quantity(amount, unit, text, text_bytes);
    char *per_second = strstr(text, "/s");
    if (per_second != NULL)
        *per_second = '\0';
}

static void fill_sum(const lspo_arithmetic_row_t *row, sum_t *sum)
{
    static const char *const units[] = {
        [LSPO_UNIT_FLOPS] = "flop", [LSPO_UNIT_BPS] = "bytes", [LSPO_UNIT_PPS] = "parameters"};
    *sum = (sum_t){.lane = lspo_lane_kind_name(row->lane),
                   .title = lspo_report_lane_title(row->lane),
                   .work = row->work,
                   .unit = units[row->unit],
                   .launches = row->launches,
                   .amount = row->amount,
                   .rate = row->rate,
                   .least_s = row->least_s,
                   .alone_s = row->alone_s,
                   .busy_s = row->busy_s};
    sum->amount_text = sum->amount_buffer;
    sum->field = sum->field_buffer;
    sum->rate_text = sum->rate_buffer;
    snprintf(sum->field_buffer, sizeof sum->field_buffer, "%s.%s", row->section, row->key);
    format_amount(row->amount, row->unit, sizeof sum->amount_buffer, sum->amount_buffer);
    lspo_format_quantity(row->rate, row->unit, sum->rate_buffer, sizeof sum->rate_buffer);
}

/* ---- writing ---- */

static void print_front_title(FILE *file, const void *context)
{
    const lspo_search_t *front = context;
    fprintf(file,
            "Time against memory, of the settings in eighths and quarters and of the best above: none of them that "
            "fits needs less GPU memory and not more time than one of these.  Of %u settings, %u were found not to "
            "fit, and %u had to be simulated.\n",
            front->candidates, front->unfit, front->simulated);
}

static void print_sum_title(FILE *file, const void *context)
{
    (void)context;
    fputs(
        "The best in numbers, per step.  A quotient is amount / rate, with the rate of `lspo show machine`.  A lane "
        "alone takes the quotients, and what launches, latencies, shapes of products, caches, backward passes and the "
        "framework change; a busy lane also what others slow it down.\n",
        file);
}

static void print_bound(FILE *file, const void *context)
{
    const lspo_tune_explain_t *explain = context;
    char step[32], bound[32], lane[32];
    lspo_format_quantity(explain->iteration_s, LSPO_UNIT_SECONDS, step, sizeof step);
    lspo_format_quantity(explain->lower_bound_s, LSPO_UNIT_SECONDS, bound, sizeof bound);
    lspo_format_quantity(explain->arithmetic.busiest_s, LSPO_UNIT_SECONDS, lane, sizeof lane);
    if (isnan(explain->lower_bound_s)) { /* of short texts */
        fprintf(file, "The busiest lane alone takes %s; a step takes %s, limited by %s.\n", lane, step,
                lspo_report_lane_title(explain->bound_lane));
        return;
    }
    fprintf(file,
            "The busiest lane alone takes %s; the lower bound of any order of these ops is %s%s; a step takes %s, %.1f "
            "%% more, limited by %s.\n",
            lane, bound,
            explain->lower_bound_s > explain->arithmetic.busiest_s * 1.0005 ? ", because ops wait for one another" : "",
            step, 100 * (explain->iteration_s / explain->lower_bound_s - 1),
            lspo_report_lane_title(explain->bound_lane));
}

static lspo_status_t write_front(const lspo_tune_report_t *report, const lspo_search_t *front, lspo_format_t format)
{
    point_t *points = calloc((size_t)front->count + 1, sizeof *points);
    lspo_status_t status = points != NULL ? LSPO_OK : lspo_no_memory("%u rows", front->count);
    bool for_people = format == LSPO_FORMAT_TABLE;
    for (uint32_t i = 0; i < front->count && status == LSPO_OK; i++)
        status = fill_point(report, &front->found[i], &points[i]);
    const lspo_table_t table = {.fields = for_people ? point_columns : point_fields,
                                .field_count = for_people ? sizeof point_columns / sizeof *point_columns
                                                          : sizeof point_fields / sizeof *point_fields,
                                .records = points,
                                .record_bytes = sizeof *points,
                                .record_count = front->count};
    if (status == LSPO_OK)
        status = lspo_table_write(&table, format, stdout);
    free(points);
    return status;
}

static lspo_status_t write_sums(const lspo_arithmetic_t *arithmetic, lspo_format_t format)
{
    sum_t sums[LSPO_ARITHMETIC_ROWS_MAX];
    bool for_people = format == LSPO_FORMAT_TABLE;
    for (uint32_t i = 0; i < arithmetic->count; i++)
        fill_sum(&arithmetic->rows[i], &sums[i]);
    const lspo_table_t table = {.fields = for_people ? sum_columns : sum_fields,
                                .field_count = for_people ? sizeof sum_columns / sizeof *sum_columns
                                                          : sizeof sum_fields / sizeof *sum_fields,
                                .records = sums,
                                .record_bytes = sizeof *sums,
                                .record_count = arithmetic->count};
    return lspo_table_write(&table, format, stdout);
}

lspo_status_t lspo_tune_explain_write(const lspo_tune_report_t *report, const lspo_tune_explain_t *explain,
                                      lspo_format_t format)
{
    const bool for_people = format == LSPO_FORMAT_TABLE, is_json = format == LSPO_FORMAT_JSON;
    puts(is_json ? ",\n\"front\":" : "");
    if (for_people)
        lspo_wrap_print(stdout, print_front_title, &explain->front);
    lspo_status_t status = write_front(report, &explain->front, format);
    if (status != LSPO_OK)
        return status;
    puts(is_json ? ",\n\"arithmetic\":" : "");
    if (for_people)
        lspo_wrap_print(stdout, print_sum_title, NULL);
    status = write_sums(&explain->arithmetic, format);
    if (status == LSPO_OK && for_people)
        lspo_wrap_print(stdout, print_bound, explain);
    else if (status == LSPO_OK && is_json)
        puts("}");
    return status;
}
