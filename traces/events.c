/* events.c - see events.h. */
#include "traces/events.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/radix.h"

/* First all ends and then all starts, each in the order of ops; a stable sort by time keeps this order of ties. */
static lspo_status_t order_events(const lspo_trace_t *trace, const uint32_t *by_op, uint64_t *at_ns,
                                  lspo_trace_event_t *events)
{
    uint32_t rows = trace->row_count, *order = NULL;
    for (uint32_t i = 0; i < rows; i++) {
        at_ns[i] = trace->rows[by_op[i]].end_ns;
        at_ns[rows + i] = trace->rows[by_op[i]].start_ns;
    }
    lspo_status_t status = lspo_radix_order(at_ns, 2 * rows, &order);
    if (status != LSPO_OK)
        return status;
    for (uint32_t i = 0; i < 2 * rows; i++) {
        uint32_t row = by_op[order[i] % rows];
        events[i] = (lspo_trace_event_t){at_ns[order[i]], row, trace->rows[row].op, order[i] >= rows};
    }
    free(order);
    return LSPO_OK;
}

lspo_status_t lspo_trace_events(const lspo_trace_t *trace, lspo_trace_event_t **events_out)
{
    size_t count = 2 * ((size_t)trace->row_count + 1);
    lspo_trace_event_t *events = malloc(count * sizeof *events);
    uint64_t *keys = malloc(count * sizeof *keys);
    uint32_t *by_op = NULL;
    lspo_status_t status = LSPO_OK;
    if (!events || !keys) {
        status = lspo_no_memory("replaying %" PRIu32 " ops", trace->row_count);
        goto cleanup;
    }
    for (uint32_t i = 0; i < trace->row_count; i++)
        keys[i] = trace->rows[i].op;
    status = lspo_radix_order(keys, trace->row_count, &by_op);
    if (status != LSPO_OK)
        goto cleanup;
    status = order_events(trace, by_op, keys, events);
    if (status != LSPO_OK)
        goto cleanup;
    *events_out = events;
    events = NULL;
cleanup:
    free(by_op);
    free(keys);
    free(events);
    return status;
}
