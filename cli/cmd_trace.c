/* cmd_trace.c - `lspo trace export`: a trace for Perfetto, or as the table of a Gantt chart. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "cli/args.h"
#include "cli/command.h"
#include "traces/gantt.h"
#include "traces/perfetto.h"

static const char usage[] = "lspo trace export TRACE [--perfetto FILE] [--gantt FILE [--first N] [--count N]]";

typedef struct {
    const char *perfetto_path, *gantt_path;
    uint32_t first, count;
} trace_request_t;

static const lspo_arg_t trace_args[] = {
    {.name = "perfetto",
     .value = "FILE",
     .help = "Chrome trace-event JSON, which https://ui.perfetto.dev opens",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(trace_request_t, perfetto_path)},
    {.name = "gantt",
     .value = "FILE",
     .help = "CSV of a few iterations: lane,kind,layer,iteration,start_s,end_s",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(trace_request_t, gantt_path)},
    {.name = "first",
     .value = "N",
     .help = "first iteration of --gantt (3)",
     .store = lspo_arg_u32,
     .high = UINT32_MAX,
     .offset_bytes = offsetof(trace_request_t, first)},
    {.name = "count",
     .value = "N",
     .help = "iterations in --gantt (2)",
     .store = lspo_arg_u32,
     .low = 1,
     .high = UINT32_MAX,
     .offset_bytes = offsetof(trace_request_t, count)},
};

static void print_help(const lspo_arg_group_t *group)
{
    printf("usage: %s\n\nWrite a trace in another form.\n", usage);
    lspo_args_print(group, 1, stdout);
    puts("\nexample:\n"
         "  lspo sim --trace sim.trace && lspo trace export sim.trace --perfetto sim.json");
}

static lspo_status_t export_trace(const char *path, const trace_request_t *request)
{
    lspo_trace_t *trace;
    lspo_status_t status = lspo_trace_read(path, &trace);
    if (status != LSPO_OK)
        return status;
    if (request->perfetto_path != NULL)
        status = lspo_trace_write_perfetto(trace, request->perfetto_path);
    if (status == LSPO_OK && request->gantt_path != NULL)
        status = lspo_trace_write_gantt(trace, request->first, request->count, request->gantt_path);
    lspo_trace_destroy(trace);
    return status;
}

lspo_status_t lspo_command_trace(int argc, char **argv)
{
    trace_request_t request = {.first = 3, .count = 2};
    const lspo_arg_group_t group = {"options", trace_args, sizeof trace_args / sizeof trace_args[0], &request};
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
    if (strcmp(positionals.texts[0], "export") != 0)
        return lspo_error(LSPO_ERR_INPUT, "unknown trace command '%s'; usage: %s", positionals.texts[0], usage);
    if (request.perfetto_path == NULL && request.gantt_path == NULL)
        return lspo_error(LSPO_ERR_INPUT, "nothing to write: give --perfetto FILE or --gantt FILE");
    return export_trace(positionals.texts[1], &request);
}
