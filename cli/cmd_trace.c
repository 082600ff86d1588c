/* cmd_trace.c - `lspo trace`: traces in other forms, and other programs' traces in ours. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask/args.h"
#include "base/table.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "cli/recorded_plan.h"
#include "cli/trace_draw.h"
#include "traces/gantt.h"
#include "traces/import/deepspeed.h"
#include "traces/import/kineto.h"
#include "traces/import/rules.h"
#include "traces/perfetto.h"
#include "traces/typical.h"

static const lspo_command_t command_trace_export, command_trace_import;

/* export */

typedef struct {
    const char *perfetto_path, *gantt_path;
    uint32_t first, count;
} export_request_t;

static const lspo_arg_t export_args[] = {
    {.name = "perfetto",
     .value = "FILE",
     .help = "write Chrome trace-event JSON for https://ui.perfetto.dev; two traces become two processes",
     .store = lspo_arg_output,
     .offset_bytes = offsetof(export_request_t, perfetto_path)},
    {.name = "gantt",
     .value = "FILE",
     .help = "write a few iterations as CSV: lane,kind,layer,iteration,start_s,end_s,bytes",
     .store = lspo_arg_output,
     .offset_bytes = offsetof(export_request_t, gantt_path)},
    {.name = "first",
     .value = "N",
     .help = "first iteration in --gantt (3)",
     .store = lspo_arg_u32,
     .high = UINT32_MAX,
     .offset_bytes = offsetof(export_request_t, first)},
    {.name = "count",
     .value = "N",
     .help = "iterations in --gantt (2)",
     .store = lspo_arg_u32,
     .low = 1,
     .high = UINT32_MAX,
     .offset_bytes = offsetof(export_request_t, count)},
};

enum { EXPORTED_MAX = 2 };

typedef struct {
    lspo_trace_t *traces[EXPORTED_MAX];
    lspo_recorded_plan_t plans[EXPORTED_MAX]; /* all zero if unknown */
    uint32_t count;
} exported_t;

static void release_exported(exported_t *exported)
{
    for (uint32_t i = 0; i < exported->count; i++) {
        lspo_recorded_plan_close(&exported->plans[i]);
        lspo_trace_destroy(exported->traces[i]);
    }
}

static lspo_status_t read_exported(const lspo_positionals_t *paths, exported_t *exported)
{
    for (size_t i = 0; i < paths->count; i++) {
        lspo_status_t status = lspo_trace_read(paths->texts[i], &exported->traces[i]);
        if (status != LSPO_OK)
            return status;
        exported->count++;
    }
    return LSPO_OK;
}

/* Without its plan a trace has no arrows and no memory; a note says so.  An imported trace never has a plan. */
static lspo_status_t write_perfetto(const lspo_positionals_t *paths, exported_t *exported, const char *path)
{
    lspo_perfetto_process_t processes[EXPORTED_MAX];
    for (uint32_t i = 0; i < exported->count; i++) {
        const lspo_trace_t *trace = exported->traces[i];
        lspo_status_t status =
            lspo_recorded_plan_is_named(trace) ? lspo_recorded_plan_open(trace, &exported->plans[i]) : LSPO_OK;
        if (status == LSPO_ERR_MEMORY)
            return status;
        if (status != LSPO_OK)
            lspo_warn("%s: its plan cannot be built here, so the export has no dependencies and no memory",
                      paths->texts[i]);
        processes[i] = (lspo_perfetto_process_t){trace, exported->plans[i].plan};
    }
    return lspo_perfetto_write(processes, exported->count, path);
}

static lspo_status_t export_traces(const lspo_positionals_t *paths, const export_request_t *request)
{
    exported_t exported = {0};
    lspo_status_t status = read_exported(paths, &exported);
    if (status != LSPO_OK)
        goto cleanup;
    if (request->perfetto_path != NULL)
        status = write_perfetto(paths, &exported, request->perfetto_path);
    if (status != LSPO_OK)
        goto cleanup;
    if (request->gantt_path != NULL)
        status = lspo_trace_write_gantt(exported.traces[0], request->first, request->count, request->gantt_path);
cleanup:
    release_exported(&exported);
    return status;
}

static lspo_status_t command_export(int argc, char **argv)
{
    export_request_t request = {.first = 3, .count = 2};
    lspo_positionals_t positionals;
    lspo_status_t status = lspo_command_parse(&command_trace_export, argc, argv, &request, &positionals);
    if (status != LSPO_OK)
        return status;
    if (request.perfetto_path == NULL && request.gantt_path == NULL)
        return lspo_error(LSPO_ERR_INPUT, "nothing to write: give --perfetto FILE or --gantt FILE");
    if (request.gantt_path != NULL && positionals.count > 1)
        return lspo_error(LSPO_ERR_INPUT, "--gantt takes one trace; only --perfetto takes two");
    return export_traces(&positionals, &request);
}

static const lspo_arg_group_t export_group = LSPO_ARG_GROUP("options", export_args);

static const lspo_command_t command_trace_export = {
    .name = "trace export",
    .summary = "convert a trace for Perfetto or a Gantt chart",
    .usage = "TRACE [TRACE] [--perfetto FILE] [--gantt FILE [--first N] [--count N]]",
    .about = "Convert a trace to another format.",
    .examples = "lspo trace export run.trace --perfetto run.json\n"
                "lspo trace export sim.trace run.trace --perfetto both.json\n"
                "lspo trace export run.trace --gantt gantt.csv --first 3 --count 2",
    .groups = (const lspo_arg_group_t *const[]){&export_group, NULL},
    .positional_least = 1,
    .positional_most = EXPORTED_MAX,
    .positionals = "TRACE",
    .run = command_export,
};

/* import */

typedef struct {
    const char *kineto_path, *map_path, *deepspeed_path, *output_path;
    uint32_t batch;
    int format;
} import_request_t;

static const lspo_arg_t import_args[] = {
    {.name = "kineto",
     .value = "FILE",
     .help = "trace of the PyTorch profiler, .json or .json.gz, with ProfilerStep#N",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(import_request_t, kineto_path)},
    {.name = "map",
     .value = "FILE",
     .help = "your own rules for --kineto, one 'KIND LANE PATTERN' per line",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(import_request_t, map_path)},
    {.name = "deepspeed-log",
     .value = "FILE",
     .help = "output of DeepSpeed with \"wall_clock_breakdown\": true, of Megatron, or of a Trainer",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(import_request_t, deepspeed_path)},
    {.name = "batch",
     .value = "N",
     .help = "samples per step on all GPUs, for a --deepspeed-log that only has samples per second",
     .store = lspo_arg_u32,
     .low = 1,
     .high = UINT32_MAX,
     .offset_bytes = offsetof(import_request_t, batch)},
    {.name = "output",
     .letter = 'o',
     .value = "TRACE",
     .help = "trace to write",
     .store = lspo_arg_output,
     .offset_bytes = offsetof(import_request_t, output_path)},
    {.name = "format",
     .value = "table|csv|json",
     .help = "format of the summary (table on a terminal, else csv)",
     .store = lspo_arg_choice,
     .names = lspo_format_names,
     .offset_bytes = offsetof(import_request_t, format)},
};

static void write_rules(FILE *file)
{
    uint32_t count;
    const lspo_import_rule_t *rules = lspo_import_rules_builtin(&count);
    fputs("rules of --kineto; the first match counts, and rules of --map come before these:\n", file);
    for (uint32_t i = 0; i < count; i++)
        fprintf(file, "  %-9s %-4s %s\n", lspo_import_rule_kind_name(rules[i].kind),
                lspo_lane_kind_name((lspo_lane_kind_t)rules[i].lane), rules[i].pattern);
}

typedef struct {
    const char *source;
    uint64_t iterations, rows, d2h_bytes, h2d_bytes;
    double iteration_s, gpu_busy_s, d2h_busy_s, h2d_busy_s, cpu_busy_s, unnamed_gpu_share;
} import_record_t;

static const lspo_field_t import_fields[] = {
    {"source", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(import_record_t, source)},
    {"iterations", LSPO_FIELD_INTEGER, LSPO_UNIT_NONE, offsetof(import_record_t, iterations)},
    {"rows", LSPO_FIELD_INTEGER, LSPO_UNIT_NONE, offsetof(import_record_t, rows)},
    {"iteration_s", LSPO_FIELD_REAL, LSPO_UNIT_SECONDS, offsetof(import_record_t, iteration_s)},
    {"gpu_busy_s", LSPO_FIELD_REAL, LSPO_UNIT_SECONDS, offsetof(import_record_t, gpu_busy_s)},
    {"d2h_busy_s", LSPO_FIELD_REAL, LSPO_UNIT_SECONDS, offsetof(import_record_t, d2h_busy_s)},
    {"h2d_busy_s", LSPO_FIELD_REAL, LSPO_UNIT_SECONDS, offsetof(import_record_t, h2d_busy_s)},
    {"cpu_busy_s", LSPO_FIELD_REAL, LSPO_UNIT_SECONDS, offsetof(import_record_t, cpu_busy_s)},
    {"d2h_bytes", LSPO_FIELD_INTEGER, LSPO_UNIT_BYTES, offsetof(import_record_t, d2h_bytes)},
    {"h2d_bytes", LSPO_FIELD_INTEGER, LSPO_UNIT_BYTES, offsetof(import_record_t, h2d_bytes)},
    {"unnamed_gpu_share", LSPO_FIELD_REAL, LSPO_UNIT_NONE, offsetof(import_record_t, unnamed_gpu_share)},
};

static uint64_t iteration_count(const lspo_trace_t *trace)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < trace->row_count; i++)
        if (trace->rows[i].iteration >= count)
            count = (uint64_t)trace->rows[i].iteration + 1;
    return count;
}

static uint64_t bytes_of_link(const lspo_trace_t *trace, const lspo_typical_t *typical, lspo_lane_kind_t link)
{
    const char *known = lspo_trace_meta(trace, link == LSPO_LANE_D2H ? "d2h-bytes" : "h2d-bytes");
    return known == NULL ? (uint64_t)llround(typical->link_bytes[link]) : LSPO_MISSING;
}

/* Times and bytes per iteration, from the second iteration on; missing if there is only one.  A log has no data on the
 * links. */
static lspo_status_t fill_record(const lspo_trace_t *trace, bool tells_links, import_record_t *record)
{
    const char *unnamed = lspo_trace_meta(trace, "unnamed-gpu-share");
    *record = (import_record_t){.source = lspo_trace_meta(trace, "source"),
                                .iterations = iteration_count(trace),
                                .rows = trace->row_count,
                                .d2h_bytes = LSPO_MISSING,
                                .h2d_bytes = LSPO_MISSING,
                                .iteration_s = (double)NAN,
                                .gpu_busy_s = (double)NAN,
                                .d2h_busy_s = (double)NAN,
                                .h2d_busy_s = (double)NAN,
                                .cpu_busy_s = (double)NAN,
                                .unnamed_gpu_share = unnamed != NULL ? strtod(unnamed, NULL) : (double)NAN};
    if (record->iterations < 2) {
        lspo_warn("there is only one iteration, so the time per iteration is unknown (it is measured from one end to "
                  "the next); record at least two steps");
        return LSPO_OK;
    }
    lspo_typical_t typical;
    lspo_status_t status = lspo_typical_iteration(trace, &typical);
    if (status != LSPO_OK)
        return status;
    record->iteration_s = typical.iteration_s;
    if (lspo_trace_meta(trace, "parts") != NULL)
        return LSPO_OK;
    record->gpu_busy_s = typical.busy_s[LSPO_LANE_GPU];
    record->cpu_busy_s = typical.busy_s[LSPO_LANE_CPU];
    if (tells_links) {
        record->d2h_busy_s = typical.busy_s[LSPO_LANE_D2H];
        record->h2d_busy_s = typical.busy_s[LSPO_LANE_H2D];
        record->d2h_bytes = bytes_of_link(trace, &typical, LSPO_LANE_D2H);
        record->h2d_bytes = bytes_of_link(trace, &typical, LSPO_LANE_H2D);
    }
    return LSPO_OK;
}

static lspo_status_t read_source(const import_request_t *request, lspo_trace_t **trace_out)
{
    if (request->kineto_path == NULL)
        return lspo_import_deepspeed(request->deepspeed_path, request->batch, trace_out);
    lspo_progress_t bar;
    lspo_progress_start(&bar);
    const lspo_import_progress_t progress = {lspo_progress_update, &bar};
    lspo_status_t status = lspo_import_kineto(request->kineto_path, request->map_path, &progress, trace_out);
    lspo_progress_end(&bar);
    return status;
}

static lspo_status_t import_trace(const import_request_t *request)
{
    lspo_trace_t *trace;
    lspo_status_t status = read_source(request, &trace);
    if (status != LSPO_OK)
        return status;
    import_record_t record;
    status = fill_record(trace, request->kineto_path != NULL, &record);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_trace_write(trace, request->output_path);
    if (status != LSPO_OK)
        goto cleanup;
    const lspo_table_t table = {.fields = import_fields,
                                .field_count = sizeof import_fields / sizeof import_fields[0],
                                .records = &record,
                                .record_bytes = sizeof record,
                                .record_count = 1};
    status = lspo_table_write_record(&table, lspo_format_resolve(request->format), stdout);
cleanup:
    lspo_trace_destroy(trace);
    return status;
}

static lspo_status_t command_import(int argc, char **argv)
{
    import_request_t request = {.format = LSPO_FORMAT_AUTO};
    lspo_positionals_t positionals;
    lspo_status_t status = lspo_command_parse(&command_trace_import, argc, argv, &request, &positionals);
    if (status != LSPO_OK)
        return status;
    if ((request.kineto_path == NULL) == (request.deepspeed_path == NULL))
        return lspo_error(LSPO_ERR_INPUT, "give either --kineto FILE or --deepspeed-log FILE");
    if (request.map_path != NULL && request.kineto_path == NULL)
        return lspo_error(LSPO_ERR_INPUT, "--map needs --kineto");
    if (request.batch > 0 && request.deepspeed_path == NULL)
        return lspo_error(LSPO_ERR_INPUT, "--batch needs --deepspeed-log");
    if (request.output_path == NULL)
        return lspo_error(LSPO_ERR_INPUT, "-o TRACE is required");
    return import_trace(&request);
}

static const lspo_arg_group_t import_group = LSPO_ARG_GROUP("options", import_args);

static const lspo_command_t command_trace_import = {
    .name = "trace import",
    .summary = "convert a PyTorch profiler trace or a DeepSpeed log to a trace",
    .usage = "--kineto FILE [--map FILE] | --deepspeed-log FILE [--batch N], -o TRACE [--format table|csv|json]",
    .about = "Convert what another program measured to a trace for compare and export. docs/import.md says how each "
             "event is mapped, and what such a file cannot tell.",
    .examples = "lspo trace import --kineto profile.json.gz -o theirs.trace\n"
                "lspo trace import --deepspeed-log train.log -o theirs.trace\n"
                "lspo compare sim.trace theirs.trace",
    .write_more = write_rules,
    .groups = (const lspo_arg_group_t *const[]){&import_group, NULL},
    .run = command_import,
};

static const lspo_command_t command_trace_diff = {
    .name = "trace diff",
    .summary = "compare two traces op by op, like lspo compare",
    .same_as = &lspo_command_compare,
};

static const lspo_command_t *const subcommands[] = {&command_trace_export, &lspo_command_trace_draw,
                                                    &command_trace_import, &command_trace_diff, NULL};

const lspo_command_t lspo_command_trace = {
    .name = "trace",
    .summary = "export traces, or import those of PyTorch and DeepSpeed",
    .usage = "export|import|diff [options]",
    .about = "A trace has start and end of every op. `lspo sim` and `lspo run` write one with --trace.",
    .subcommands = subcommands,
};
