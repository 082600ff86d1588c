/* perfetto.h - a trace as Chrome trace-event JSON, which https://ui.perfetto.dev and chrome://tracing open.
 *
 * One process ("sim: lsp, gpt2-774m"), one thread a lane, one complete event ("ph": "X") an op with its layer,
 * iteration, micro-batch and bytes as arguments; ts and dur in microseconds.  The trace's header is in "otherData".
 */
#ifndef LSPO_TRACES_PERFETTO_H
#define LSPO_TRACES_PERFETTO_H

#include "plan/status.h"
#include "traces/trace.h"

lspo_status_t lspo_trace_write_perfetto(const lspo_trace_t *trace, const char *path);

#endif
