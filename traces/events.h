/* events.h - the starts and ends of a trace's ops in order of time, for a replay. */
#ifndef LSPO_TRACES_EVENTS_H
#define LSPO_TRACES_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "traces/trace.h"

typedef struct {
    uint64_t at_ns;
    uint32_t row; /* of the trace */
    lspo_op_id_t op;
    bool starts; /* false: the op ends */
} lspo_trace_event_t;

/* 2 * trace->row_count events; malloc'd.  At the same instant, ends come before starts, and lower ids before higher
 * ones; so an op that takes no time ends "before" it starts. */
lspo_status_t lspo_trace_events(const lspo_trace_t *trace, lspo_trace_event_t **events_out);

#endif
