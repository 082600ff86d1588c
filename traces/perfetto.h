/* perfetto.h - write traces as Chrome trace-event JSON for https://ui.perfetto.dev and chrome://tracing.
 *
 * Each trace is one process ("sim: lsp, gpt2-774m"), so that a prediction and its measurement are shown one below the
 * other:
 *   - a thread per lane, with a slice per op ("BWD block 5") whose arguments are layer, iteration, micro-batch and
 *     bytes;
 *   - a thread `iterations`, with a slice from the end of an iteration to the end of the next (traces/summary.h);
 *   - counters of the speed in GB/s of each lane that moves bytes and, if the plan is known and has one peer, of the
 *     memory in use on GPU and host;
 *   - if the plan is known, an arrow (flow) per dependency.
 * Times are microseconds.  The headers of the traces are in "otherData".
 */
#ifndef LSPO_TRACES_PERFETTO_H
#define LSPO_TRACES_PERFETTO_H

#include "base/status.h"
#include "plan/plan.h"
#include "traces/trace.h"

typedef struct {
    const lspo_trace_t *trace;
    const lspo_plan_t *plan; /* NULL: unknown (imported trace); else it passes lspo_trace_check() */
} lspo_perfetto_process_t;

/* Write `count` processes, in this order.  Events are streamed; only sorting needs memory per event. */
lspo_status_t lspo_perfetto_write(const lspo_perfetto_process_t *processes, uint32_t count, const char *path);

#endif
