/* events.c - see events.h. */
#include "traces/events.h"

#include <inttypes.h>
#include <stdlib.h>

static int compare_event(const void *left, const void *right)
{
    const lspo_trace_event_t *a = left, *b = right;
    if (a->at_ns != b->at_ns)
        return a->at_ns < b->at_ns ? -1 : 1;
    if (a->starts != b->starts)
        return a->starts - b->starts;
    return (a->op > b->op) - (a->op < b->op);
}

lspo_status_t lspo_trace_events(const lspo_trace_t *trace, lspo_trace_event_t **events_out)
{
    lspo_trace_event_t *events = malloc(2 * ((size_t)trace->row_count + 1) * sizeof *events);
    if (!events)
        return lspo_no_memory("replaying %" PRIu32 " ops", trace->row_count);
    for (uint32_t i = 0; i < trace->row_count; i++) {
        const lspo_trace_row_t *row = &trace->rows[i];
        events[2 * i] = (lspo_trace_event_t){row->start_ns, i, row->op, true};
        events[2 * i + 1] = (lspo_trace_event_t){row->end_ns, i, row->op, false};
    }
    qsort(events, 2 * (size_t)trace->row_count, sizeof *events, compare_event);
    *events_out = events;
    return LSPO_OK;
}
