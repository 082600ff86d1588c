/* gantt.h - write a few iterations of a trace as a table for a Gantt chart by gnuplot.
 *
 *     lane,kind,layer,iteration,start_s,end_s,bytes
 * One row per op of iterations [first, first + count), in the trace's order.  Times are relative to the start of the
 * first of these ops, in seconds with nine decimals.  A prediction with noise (sim/noise.h) has four more columns, the
 * 5 and 95 % percentiles of both times over the draws, relative to the first start in each draw:
 *     start_low_s,start_high_s,end_low_s,end_high_s
 */
#ifndef LSPO_TRACES_GANTT_H
#define LSPO_TRACES_GANTT_H

#include <stdint.h>

#include "base/status.h"
#include "traces/trace.h"

typedef struct {
    double start_low_s, start_high_s, end_low_s, end_high_s;
} lspo_gantt_spread_t;

/* LSPO_ERR_INPUT if the trace has no op of these iterations. */
lspo_status_t lspo_trace_write_gantt(const lspo_trace_t *trace, uint32_t first_iteration, uint32_t count,
                                     const char *path);

/* The same with the four columns: spreads[op] of each op of the trace in these iterations. */
lspo_status_t lspo_trace_write_gantt_spread(const lspo_trace_t *trace, uint32_t first_iteration, uint32_t count,
                                            const lspo_gantt_spread_t *spreads, const char *path);

#endif
