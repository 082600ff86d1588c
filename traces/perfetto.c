/* perfetto.c - see perfetto.h.  Events are written directly; jansson escapes names that need it. */
#include "traces/perfetto.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/json_file.h"
#include "base/output_file.h"
#include "base/printable.h"
#include "traces/events.h"
#include "traces/summary.h"

enum { TEXT_BYTES = 4096 };

typedef struct {
    FILE *file;
    uint32_t process; /* from 1 */
    const lspo_trace_t *trace;
    const lspo_plan_t *plan;
    uint64_t events, flows; /* written so far, in the whole file */
} writer_t;

static double microseconds(uint64_t ns)
{
    return 1e-3 * (double)ns;
}

/* The separator and the fields with which all events begin. */
static void begin_event(writer_t *writer, const char *phase)
{
    fprintf(writer->file, "%s\n{\"ph\":\"%s\",\"pid\":%" PRIu32, writer->events++ ? "," : "", phase, writer->process);
}

/* A JSON string of any text, with escapes for bytes that are not UTF-8.  malloc'd; NULL if out of memory. */
static char *quoted(const char *text)
{
    char valid[TEXT_BYTES];
    lspo_valid_utf8(text ? text : "?", valid, sizeof valid);
    json_t *string = json_string(valid);
    char *json = lspo_json_print(string, JSON_ENCODE_ANY);
    json_decref(string);
    return json;
}

/* ---- names ---- */

static lspo_status_t write_process_name(writer_t *writer)
{
    const char *origin = lspo_trace_meta(writer->trace, "origin"), *policy = lspo_trace_meta(writer->trace, "policy");
    const char *model = lspo_trace_meta(writer->trace, "model");
    if (!policy && !model) { /* of another program */
        policy = lspo_trace_meta(writer->trace, "source");
        model = lspo_trace_meta(writer->trace, "file");
    }
    char name[256];
    snprintf(name, sizeof name, "%s: %s, %s", origin ? origin : "trace", policy ? policy : "?", model ? model : "?");
    char *json = quoted(name);
    if (!json)
        return lspo_no_memory("exporting a trace");
    begin_event(writer, "M");
    fprintf(writer->file, ",\"name\":\"process_name\",\"args\":{\"name\":%s}}", json);
    begin_event(writer, "M");
    fprintf(writer->file, ",\"name\":\"process_sort_index\",\"args\":{\"sort_index\":%" PRIu32 "}}", writer->process);
    free(json);
    return LSPO_OK;
}

/* Threads of a process: the lanes, then this one. */
static uint32_t iterations_thread(const writer_t *writer)
{
    return writer->trace->lanes.count;
}

static void write_thread(writer_t *writer, uint32_t thread, const char *name, uint32_t order)
{
    begin_event(writer, "M");
    fprintf(writer->file, ",\"tid\":%" PRIu32 ",\"name\":\"thread_name\",\"args\":{\"name\":\"%s\"}}", thread, name);
    begin_event(writer, "M");
    fprintf(writer->file, ",\"tid\":%" PRIu32 ",\"name\":\"thread_sort_index\",\"args\":{\"sort_index\":%" PRIu32 "}}",
            thread, order);
}

static void write_threads(writer_t *writer)
{
    const lspo_lanes_t *lanes = &writer->trace->lanes;
    write_thread(writer, iterations_thread(writer), "iterations", 0);
    for (uint32_t lane = 0; lane < lanes->count; lane++)
        write_thread(writer, lane, lanes->list[lane].name, lane + 1);
}

/* "block 5", counted as in plan/model.h; "layer 5" if the model is unknown. */
static const char *stage_name(const lspo_plan_t *plan, uint32_t layer, char name[32])
{
    if (plan && layer == 0)
        return "embedding";
    if (plan && layer == plan->stage_count - 1)
        return "head";
    snprintf(name, 32, "%s %" PRIu32, plan ? "block" : "layer", layer);
    return name;
}

/* ---- slices ---- */

static void write_op(writer_t *writer, const lspo_trace_row_t *row)
{
    const char *kind = lspo_op_kind_name((lspo_op_kind_t)row->kind);
    char stage[32];
    begin_event(writer, "X");
    fprintf(writer->file,
            ",\"tid\":%u,\"ts\":%.3f,\"dur\":%.3f,\"cat\":\"%s\",\"name\":\"%s %s\",\"args\":{\"op\":%" PRIu32
            ",\"layer\":%u,\"iteration\":%" PRIu32 ",\"micro\":%u,\"variant\":%u,\"bytes\":%" PRIu64 "}}",
            row->lane, microseconds(row->start_ns), microseconds(row->end_ns - row->start_ns), kind, kind,
            stage_name(writer->plan, row->layer, stage), row->op, row->layer, row->iteration, row->micro, row->variant,
            row->bytes);
}

/* An iteration without its own end, as in imported traces, has no slice. */
static lspo_status_t write_iterations(writer_t *writer)
{
    uint64_t *ends_ns, begin_ns = 0;
    uint32_t count;
    lspo_status_t status = lspo_trace_iteration_ends(writer->trace, &ends_ns, &count);
    if (status != LSPO_OK)
        return status;
    for (uint32_t i = 0; i < count; i++) {
        if (ends_ns[i] <= begin_ns)
            continue;
        begin_event(writer, "X");
        fprintf(writer->file,
                ",\"tid\":%" PRIu32 ",\"ts\":%.3f,\"dur\":%.3f,\"cat\":\"iteration\",\"name\":\"iteration %" PRIu32
                "\"}",
                iterations_thread(writer), microseconds(begin_ns), microseconds(ends_ns[i] - begin_ns), i);
        begin_ns = ends_ns[i];
    }
    free(ends_ns);
    return LSPO_OK;
}

/* ---- flows ---- */

/* An arrow begins inside its source slice: a nanosecond before the end, if the slice is that long. */
static void write_flow(writer_t *writer, const lspo_trace_row_t *from, const lspo_trace_row_t *to)
{
    uint64_t id = writer->flows++, leave_ns = from->end_ns > from->start_ns ? from->end_ns - 1 : from->end_ns;
    begin_event(writer, "s");
    fprintf(writer->file, ",\"tid\":%u,\"ts\":%.3f,\"id\":%" PRIu64 ",\"cat\":\"dependency\",\"name\":\"waits for\"}",
            from->lane, microseconds(leave_ns), id);
    begin_event(writer, "f");
    fprintf(writer->file,
            ",\"bp\":\"e\",\"tid\":%u,\"ts\":%.3f,\"id\":%" PRIu64 ",\"cat\":\"dependency\",\"name\":\"waits for\"}",
            to->lane, microseconds(to->start_ns), id);
}

static lspo_status_t write_flows(writer_t *writer)
{
    const lspo_plan_t *plan = writer->plan;
    const lspo_trace_row_t **row_of = calloc((size_t)plan->op_count + 1, sizeof *row_of);
    if (!row_of)
        return lspo_no_memory("exporting %" PRIu32 " ops", plan->op_count);
    for (uint32_t i = 0; i < writer->trace->row_count; i++)
        row_of[writer->trace->rows[i].op] = &writer->trace->rows[i];
    for (uint32_t i = 0; i < plan->op_count; i++)
        for (uint32_t d = 0; d < plan->ops[i].dep_count; d++)
            write_flow(writer, row_of[plan->deps[plan->ops[i].dep_first + d]], row_of[i]);
    free(row_of);
    return LSPO_OK;
}

/* ---- counters ---- */

static void begin_counter(writer_t *writer, const char *name, uint64_t at_ns)
{
    begin_event(writer, "C");
    fprintf(writer->file, ",\"ts\":%.3f,\"name\":\"%s\"", microseconds(at_ns), name);
}

/* Bytes over time during a copy, 0 between copies. */
static void write_link_speed(writer_t *writer, const lspo_trace_event_t *event)
{
    const lspo_trace_row_t *row = &writer->trace->rows[event->row];
    double ns = (double)(row->end_ns - row->start_ns);
    if (row->bytes == 0 || row->end_ns == row->start_ns)
        return;
    char name[LSPO_LANE_NAME_BYTES + sizeof " (GB/s)"];
    snprintf(name, sizeof name, "%s (GB/s)", lspo_trace_lane_name(writer->trace, row));
    begin_counter(writer, name, event->at_ns);
    fprintf(writer->file, ",\"args\":{\"GB/s\":%.6g}}", event->starts ? (double)row->bytes / ns : 0.0);
}

typedef struct {
    uint64_t gpu_bytes, host_bytes;
} level_t;

static void write_level(writer_t *writer, uint64_t at_ns, const level_t *level)
{
    begin_counter(writer, "GPU memory (bytes)", at_ns);
    fprintf(writer->file, ",\"args\":{\"bytes\":%" PRIu64 "}}", level->gpu_bytes);
    begin_counter(writer, "host memory (bytes)", at_ns);
    fprintf(writer->file, ",\"args\":{\"bytes\":%" PRIu64 "}}", level->host_bytes);
}

/* Whether the event changes the level.  The level may wrap between events at the same time; it is right after the last
 * of them. */
static bool change_level(const lspo_plan_t *plan, const lspo_trace_event_t *event, level_t *level)
{
    const lspo_op_t *op = &plan->ops[event->op];
    uint64_t gpu_bytes = event->starts ? op->gpu_alloc_bytes : -op->gpu_free_bytes;
    uint64_t host_bytes = event->starts ? op->host_alloc_bytes : -op->host_free_bytes;
    level->gpu_bytes += gpu_bytes;
    level->host_bytes += host_bytes;
    return gpu_bytes != 0 || host_bytes != 0;
}

static lspo_status_t write_counters(writer_t *writer)
{
    lspo_trace_event_t *events;
    size_t count = 2 * (size_t)writer->trace->row_count;
    lspo_status_t status = lspo_trace_events(writer->trace, &events);
    if (status != LSPO_OK)
        return status;
    level_t level = {0};
    const lspo_plan_t *plan = writer->plan != NULL && writer->plan->peer_static == NULL ? writer->plan : NULL;
    bool changed = plan != NULL;
    if (plan)
        level = (level_t){plan->gpu_static_bytes, plan->host_static_bytes};
    for (size_t i = 0; i < count; i++) {
        write_link_speed(writer, &events[i]);
        if (!plan)
            continue;
        changed |= change_level(plan, &events[i], &level);
        if (changed && (i + 1 == count || events[i + 1].at_ns > events[i].at_ns)) {
            write_level(writer, events[i].at_ns, &level);
            changed = false;
        }
    }
    free(events);
    return LSPO_OK;
}

/* ---- the file ---- */

static lspo_status_t write_process(writer_t *writer)
{
    lspo_status_t status = write_process_name(writer);
    if (status != LSPO_OK)
        return status;
    write_threads(writer);
    for (uint32_t i = 0; i < writer->trace->row_count; i++)
        write_op(writer, &writer->trace->rows[i]);
    status = write_iterations(writer);
    if (status != LSPO_OK)
        return status;
    if (writer->plan)
        status = write_flows(writer);
    if (status != LSPO_OK)
        return status;
    return write_counters(writer);
}

static lspo_status_t write_entry(const char *key, const char *value, const char *separator, FILE *file)
{
    char *key_json = quoted(key), *value_json = quoted(value);
    lspo_status_t status = LSPO_OK;
    if (key_json && value_json)
        fprintf(file, "%s\n%s:%s", separator, key_json, value_json);
    else
        status = lspo_no_memory("exporting a trace");
    free(value_json);
    free(key_json);
    return status;
}

/* "otherData": {"model": ..., ...}, or {"1 model": ..., "2 model": ...} of several processes. */
static lspo_status_t write_headers(const lspo_perfetto_process_t *processes, uint32_t count, FILE *file)
{
    const char *separator = "";
    char numbered[256];
    fprintf(file, "{\"displayTimeUnit\":\"ms\",\n\"otherData\":{");
    for (uint32_t p = 0; p < count; p++)
        for (uint32_t i = 0; i < processes[p].trace->meta_count; i++) {
            const lspo_trace_meta_t *meta = &processes[p].trace->meta[i];
            snprintf(numbered, sizeof numbered, "%" PRIu32 " %s", p + 1, meta->key);
            lspo_status_t status = write_entry(count > 1 ? numbered : meta->key, meta->value, separator, file);
            if (status != LSPO_OK)
                return status;
            separator = ",";
        }
    fprintf(file, "},\n\"traceEvents\":[");
    return LSPO_OK;
}

static lspo_status_t write_all(const lspo_perfetto_process_t *processes, uint32_t count, FILE *file)
{
    writer_t writer = {.file = file};
    lspo_status_t status = write_headers(processes, count, file);
    if (status != LSPO_OK)
        return status;
    for (uint32_t i = 0; i < count; i++) {
        writer.process = i + 1;
        writer.trace = processes[i].trace;
        writer.plan = processes[i].plan;
        status = write_process(&writer);
        if (status != LSPO_OK)
            return status;
    }
    fputs("\n]}\n", file);
    return LSPO_OK;
}

lspo_status_t lspo_perfetto_write(const lspo_perfetto_process_t *processes, uint32_t count, const char *path)
{
    lspo_output_t output;
    lspo_status_t status = lspo_output_open(path, &output);
    if (status != LSPO_OK)
        return status;
    return lspo_output_finish(&output, write_all(processes, count, output.file));
}
