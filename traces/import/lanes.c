/* lanes.c - the last steps of every import; see lanes.h. */
#include "traces/import/lanes.h"

#include <stdlib.h>
#include <string.h>

#include "traces/order.h"

static int compare_by_lane(const void *left, const void *right)
{
    const lspo_trace_row_t *a = left, *b = right;
    LSPO_ORDER(a->lane, b->lane)
    LSPO_ORDER(a->start_ns, b->start_ns)
    LSPO_ORDER(a->end_ns, b->end_ns)
    LSPO_ORDER(a->iteration, b->iteration)
    LSPO_ORDER(a->kind, b->kind)
    return 0;
}

/* Join `row` to `last`, the latest of its lane, or shorten it to start after `last`; true if nothing of it remains. */
static bool join_row(lspo_trace_row_t *last, lspo_trace_row_t *row, uint64_t slack_ns)
{
    if (row->lane != last->lane)
        return false;
    bool same = row->kind == last->kind && row->iteration == last->iteration && row->micro == last->micro;
    bool hidden = row->start_ns < last->end_ns && row->end_ns <= last->end_ns;
    if (hidden || (same && row->start_ns <= last->end_ns + slack_ns)) {
        last->bytes += row->bytes;
        if (row->end_ns > last->end_ns)
            last->end_ns = row->end_ns;
        return true;
    }
    if (row->start_ns < last->end_ns)
        row->start_ns = last->end_ns;
    return false;
}

void lspo_import_merge_lanes(lspo_trace_t *trace, uint64_t slack_ns)
{
    qsort(trace->rows, trace->row_count, sizeof *trace->rows, compare_by_lane);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < trace->row_count; i++) {
        lspo_trace_row_t row = trace->rows[i];
        if (kept == 0 || !join_row(&trace->rows[kept - 1], &row, slack_ns))
            trace->rows[kept++] = row;
    }
    trace->row_count = kept;
    lspo_trace_sort(trace);
    for (uint32_t i = 0; i < kept; i++)
        trace->rows[i].op = i;
}

lspo_status_t lspo_import_describe(lspo_trace_t *trace, const char *source, const char *path)
{
    /* Make a value for a header entry: one line without blanks at its ends; a file name may contain anything. */
    char file[256];
    snprintf(file, sizeof file, "%s", path);
    for (char *p = file; *p != '\0'; p++)
        if (*p == '\n' || *p == '\r' || *p == '\t' || *p == ' ')
            *p = '_';
    lspo_status_t status = lspo_trace_set_meta(trace, "origin", "import");
    if (status != LSPO_OK)
        return status;
    status = lspo_trace_set_meta(trace, "source", source);
    if (status != LSPO_OK)
        return status;
    status = lspo_trace_set_meta(trace, "file", file);
    if (status != LSPO_OK)
        return status;
    return lspo_trace_set_meta(trace, "version", PACKAGE_VERSION);
}
