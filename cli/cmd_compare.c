/* cmd_compare.c - `lspo compare`: where does a prediction miss a measurement of the same plan? */
#include <stddef.h>
#include <stdio.h>

#include "cli/args.h"
#include "cli/command.h"
#include "cli/table.h"
#include "traces/compare.h"

static const char usage[] = "lspo compare SIM.trace RUN.trace [--warmup N] [--format table|csv|json]";

typedef struct {
    uint32_t warmup;
    int format;
} compare_request_t;

static const lspo_arg_t compare_args[] = {
    {.name = "warmup",
     .value = "N",
     .help = "iterations left out at the start (2)",
     .store = lspo_arg_u32,
     .high = UINT32_MAX - 2,
     .offset_bytes = offsetof(compare_request_t, warmup)},
    {.name = "format",
     .value = "table|csv|json",
     .help = "of the result (table on a terminal, else csv)",
     .store = lspo_arg_choice,
     .names = lspo_format_names,
     .offset_bytes = offsetof(compare_request_t, format)},
};

typedef struct {
    const char *kind, *lane, *stage;
    uint64_t op_count;
    double predicted_s, measured_s, error, share_of_error;
} compare_record_t;

static const lspo_field_t compare_fields[] = {
    {"kind", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(compare_record_t, kind)},
    {"stage", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(compare_record_t, stage)},
    {"lane", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(compare_record_t, lane)},
    {"op_count", LSPO_FIELD_INTEGER, LSPO_UNIT_NONE, offsetof(compare_record_t, op_count)},
    {"predicted_s", LSPO_FIELD_REAL, LSPO_UNIT_SECONDS, offsetof(compare_record_t, predicted_s)},
    {"measured_s", LSPO_FIELD_REAL, LSPO_UNIT_SECONDS, offsetof(compare_record_t, measured_s)},
    {"error", LSPO_FIELD_REAL, LSPO_UNIT_NONE, offsetof(compare_record_t, error)},
    {"share_of_error", LSPO_FIELD_REAL, LSPO_UNIT_NONE, offsetof(compare_record_t, share_of_error)},
};

static void print_help(const lspo_arg_group_t *group)
{
    printf(
        "usage: %s\n\n"
        "Join two traces of one plan op by op.  The first row is the time an iteration; the others are op kinds, with\n"
        "the mean duration of an op and the share of the iteration's error that it explains, largest first.\n",
        usage);
    lspo_args_print(group, 1, stdout);
    puts("\nexample:\n"
         "  lspo compare sim.trace run.trace --format csv");
}

static lspo_status_t write_comparison(const lspo_comparison_t *comparison, int format)
{
    static const char *const stage_names[] = {"embed", "block", "head"};
    compare_record_t records[1 + LSPO_COMPARE_ROWS_MAX];
    records[0] = (compare_record_t){.kind = "ITERATION",
                                    .op_count = comparison->matched_op_count,
                                    .predicted_s = comparison->predicted.iteration_s,
                                    .measured_s = comparison->measured.iteration_s,
                                    .error = comparison->error,
                                    .share_of_error = comparison->error};
    for (uint32_t i = 0; i < comparison->row_count; i++) {
        const lspo_compare_row_t *row = &comparison->rows[i];
        records[1 + i] = (compare_record_t){.kind = lspo_op_kind_name(row->kind),
                                            .lane = lspo_lane_name(row->lane),
                                            .stage = stage_names[row->stage],
                                            .op_count = row->op_count,
                                            .predicted_s = row->predicted_s,
                                            .measured_s = row->measured_s,
                                            .error = row->predicted_s / row->measured_s - 1.0,
                                            .share_of_error = row->share_of_error};
    }
    lspo_table_t table = {.fields = compare_fields,
                          .field_count = sizeof compare_fields / sizeof compare_fields[0],
                          .records = records,
                          .record_bytes = sizeof records[0],
                          .record_count = 1 + comparison->row_count};
    return lspo_table_write(&table, lspo_format_resolve(format), stdout);
}

static lspo_status_t compare_files(const char *predicted_path, const char *measured_path,
                                   const compare_request_t *request)
{
    lspo_trace_t *predicted, *measured;
    lspo_comparison_t comparison;
    lspo_status_t status = lspo_trace_read(predicted_path, &predicted);
    if (status != LSPO_OK)
        return status;
    status = lspo_trace_read(measured_path, &measured);
    if (status != LSPO_OK)
        goto destroy_predicted;
    status = lspo_compare(predicted, measured, request->warmup, &comparison);
    if (status != LSPO_OK)
        goto destroy_measured;
    status = write_comparison(&comparison, request->format);
    lspo_comparison_release(&comparison);
destroy_measured:
    lspo_trace_destroy(measured);
destroy_predicted:
    lspo_trace_destroy(predicted);
    return status;
}

lspo_status_t lspo_command_compare(int argc, char **argv)
{
    compare_request_t request = {.warmup = 2, .format = LSPO_FORMAT_AUTO};
    const lspo_arg_group_t group = {"options", compare_args, sizeof compare_args / sizeof compare_args[0], &request};
    lspo_positionals_t positionals;
    bool help;
    lspo_status_t status = lspo_args_parse(argc, argv, &group, 1, &positionals, &help);
    if (status != LSPO_OK)
        return status;
    if (help) {
        print_help(&group);
        return LSPO_OK;
    }
    status = lspo_args_expect(&positionals, 2, 2, usage);
    if (status != LSPO_OK)
        return status;
    return compare_files(positionals.texts[0], positionals.texts[1], &request);
}
