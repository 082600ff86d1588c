/* perfetto.h - traces as Chrome trace-event JSON, which https://ui.perfetto.dev and chrome://tracing open.
 *
 * Each trace is one process ("sim: lsp, gpt2-774m"), so that a prediction and its measurement lie one below the other:
 *   - a thread per lane, with a slice per op ("BWD block 5") whose arguments are layer, iteration, micro-batch and
 *     bytes;
 *   - a thread `iterations`, with a slice from the end of an iteration to the end of the next (traces/summary.h);
 *   - counters of the speed in GB/s of each lane that moves bytes and, where the plan is known, of the bytes taken on
 *     GPU and host;
 *   - where the plan is known, an arrow (flow) per dependency.
 * Times are microseconds.  The headers of the traces are in "otherData".
 */
#ifndef LSPO_TRACES_PERFETTO_H
#define LSPO_TRACES_PERFETTO_H

#include "plan/plan.h"
#include "base/status.h"
#include "traces/trace.h"

typedef struct {
    const lspo_trace_t *trace;
    const lspo_plan_t *plan; /* NULL: unknown, as of an imported trace; else lspo_trace_check() holds */
} lspo_perfetto_process_t;

/* Write `count` processes, in this order.  Streams: takes no memory per event but for sorting. */
lspo_status_t lspo_perfetto_write(const lspo_perfetto_process_t *processes, uint32_t count, const char *path);

#endif
