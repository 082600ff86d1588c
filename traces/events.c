/* events.c - see events.h. */
#include "traces/events.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

static bool is_after(const lspo_trace_event_t *a, const lspo_trace_event_t *b)
{
    if (a->at_ns != b->at_ns)
        return a->at_ns > b->at_ns;
    return a->op != b->op ? a->op > b->op : a->row > b->row;
}

/* Rows are in the order of starts, and an op ends before few others that started later, so that few events are out of
 * place.  False, with events in between, where many are. */
static bool insert_all(lspo_trace_event_t *events, uint32_t count)
{
    enum { MOVES_MOST = 32 };
    uint64_t left = (uint64_t)MOVES_MOST * count;
    for (uint32_t i = 1; i < count; i++) {
        const lspo_trace_event_t event = events[i];
        uint32_t at = i;
        for (; at > 0 && is_after(&events[at - 1], &event); at--)
            events[at] = events[at - 1];
        events[at] = event;
        if (i - at > left)
            return false;
        left -= i - at;
    }
    return true;
}

static int compare(const void *left, const void *right)
{
    const lspo_trace_event_t *a = left, *b = right;
    return is_after(a, b) ? 1 : is_after(b, a) ? -1 : 0;
}

static void sort_events(lspo_trace_event_t *events, uint32_t count)
{
    if (!insert_all(events, count))
        qsort(events, count, sizeof *events, compare);
}

lspo_status_t lspo_trace_events(const lspo_trace_t *trace, lspo_trace_event_t **events_out)
{
    const uint32_t rows = trace->row_count;
    lspo_trace_event_t *events = malloc((2 * (size_t)rows + 1) * sizeof *events);
    lspo_trace_event_t *ends = malloc(((size_t)rows + 1) * sizeof *ends);
    if (!events || !ends) {
        free(ends);
        free(events);
        return lspo_no_memory("replaying %" PRIu32 " ops", rows);
    }
    lspo_trace_event_t *starts = events + rows; /* read before they are overwritten */
    for (uint32_t row = 0; row < rows; row++) {
        ends[row] = (lspo_trace_event_t){trace->rows[row].end_ns, row, trace->rows[row].op, false};
        starts[row] = (lspo_trace_event_t){trace->rows[row].start_ns, row, trace->rows[row].op, true};
    }
    sort_events(ends, rows);
    sort_events(starts, rows);
    for (uint32_t end = 0, start = 0; end + start < 2 * rows;) {
        const bool ends_first = end < rows && (start == rows || ends[end].at_ns <= starts[start].at_ns);
        events[end + start] = ends_first ? ends[end] : starts[start];
        *(ends_first ? &end : &start) += 1;
    }
    free(ends);
    *events_out = events;
    return LSPO_OK;
}
