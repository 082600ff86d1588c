/* gantt.h - a few iterations of a trace as the table from which gnuplot draws a Gantt chart.
 *
 *     lane,kind,layer,iteration,start_s,end_s
 * One row an op of iterations [first, first + count), in the trace's order.  Times are relative to the start of the
 * first of these ops, in seconds with nine decimals.
 */
#ifndef LSPO_TRACES_GANTT_H
#define LSPO_TRACES_GANTT_H

#include <stdint.h>

#include "plan/status.h"
#include "traces/trace.h"

/* LSPO_ERR_INPUT when the trace has no op of these iterations. */
lspo_status_t lspo_trace_write_gantt(const lspo_trace_t *trace, uint32_t first_iteration, uint32_t count,
                                     const char *path);

#endif
