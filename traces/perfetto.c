#include "traces/perfetto.h"

#include <inttypes.h>
#include <jansson.h>

#include "plan/output_file.h"

enum { PROCESS = 1 };

/* jansson's packers take `s` values that must be UTF-8 and give NULL otherwise; "?" stands for those. */
static json_t *text(const char *value)
{
    json_t *string = json_string(value ? value : "?");
    return string ? string : json_string("?");
}

static json_t *process_name(const lspo_trace_t *trace)
{
    const char *origin = lspo_trace_meta(trace, "origin"), *policy = lspo_trace_meta(trace, "policy");
    const char *model = lspo_trace_meta(trace, "model");
    if (!policy && !model) { /* of another program */
        policy = lspo_trace_meta(trace, "source");
        model = lspo_trace_meta(trace, "file");
    }
    char name[256];
    snprintf(name, sizeof name, "%s: %s, %s", origin ? origin : "trace", policy ? policy : "?", model ? model : "?");
    return json_pack("{s:s, s:s, s:i, s:{s:o}}", "name", "process_name", "ph", "M", "pid", PROCESS, "args", "name",
                     text(name));
}

static json_t *thread_name(lspo_lane_t lane)
{
    return json_pack("{s:s, s:s, s:i, s:i, s:{s:s}}", "name", "thread_name", "ph", "M", "pid", PROCESS, "tid",
                     (int)lane, "args", "name", lspo_lane_name(lane));
}

static json_t *thread_order(lspo_lane_t lane)
{
    return json_pack("{s:s, s:s, s:i, s:i, s:{s:i}}", "name", "thread_sort_index", "ph", "M", "pid", PROCESS, "tid",
                     (int)lane, "args", "sort_index", (int)lane);
}

static json_t *op_event(const lspo_trace_row_t *row)
{
    const char *kind = lspo_op_kind_name((lspo_op_kind_t)row->kind);
    char name[48];
    snprintf(name, sizeof name, "%s %u", kind, row->layer);
    return json_pack("{s:s, s:s, s:s, s:i, s:i, s:f, s:f, s:{s:I, s:i, s:I, s:i, s:i, s:I}}", "name", name, "cat", kind,
                     "ph", "X", "pid", PROCESS, "tid", (int)row->lane, "ts", 1e-3 * (double)row->start_ns, "dur",
                     1e-3 * (double)(row->end_ns - row->start_ns), "args", "op", (json_int_t)row->op, "layer",
                     (int)row->layer, "iteration", (json_int_t)row->iteration, "micro", (int)row->micro, "variant",
                     (int)row->variant, "bytes", (json_int_t)row->bytes);
}

/* New array, or NULL when out of memory. */
static json_t *all_events(const lspo_trace_t *trace)
{
    json_t *events = json_array();
    int failed = !events || json_array_append_new(events, process_name(trace));
    for (int lane = 0; lane < LSPO_LANE_COUNT && !failed; lane++) {
        failed = json_array_append_new(events, thread_name((lspo_lane_t)lane)) ||
                 json_array_append_new(events, thread_order((lspo_lane_t)lane));
    }
    for (uint32_t i = 0; i < trace->row_count && !failed; i++)
        failed = json_array_append_new(events, op_event(&trace->rows[i]));
    if (failed) {
        json_decref(events);
        return NULL;
    }
    return events;
}

static json_t *header(const lspo_trace_t *trace)
{
    json_t *entries = json_object();
    for (uint32_t i = 0; i < trace->meta_count && entries; i++) {
        /* A key that is no UTF-8 cannot be a JSON key; it is left out. */
        json_t *key = json_string(trace->meta[i].key);
        if (key)
            json_object_set_new(entries, trace->meta[i].key, text(trace->meta[i].value));
        json_decref(key);
    }
    return entries;
}

lspo_status_t lspo_trace_write_perfetto(const lspo_trace_t *trace, const char *path)
{
    json_t *root = json_pack("{s:s, s:o, s:o}", "displayTimeUnit", "ms", "otherData", header(trace), "traceEvents",
                             all_events(trace));
    if (!root)
        return lspo_error(LSPO_ERR_MEMORY, "out of memory to export %" PRIu32 " ops to %s", trace->row_count, path);
    lspo_output_t output;
    lspo_status_t status = lspo_output_open(path, &output);
    if (status == LSPO_OK) {
        if (json_dumpf(root, output.file, JSON_COMPACT | JSON_REAL_PRECISION(15)) != 0)
            status = lspo_error(LSPO_ERR_IO, "cannot write %s", path);
        status = lspo_output_finish(&output, status);
    }
    json_decref(root);
    return status;
}
