/* typical.c - the iteration of median time in a trace, and its parts; see typical.h. */
#include "traces/typical.h"

#include <inttypes.h>
#include <stdlib.h>

#include "traces/order.h"
#include "traces/summary.h"

/* An iteration: its number, and the ends of the previous one and of itself. */
typedef struct {
    uint64_t from_ns, to_ns;
    uint32_t iteration;
} window_t;

static int compare_window(const void *left, const void *right)
{
    const window_t *a = left, *b = right;
    LSPO_ORDER(a->to_ns - a->from_ns, b->to_ns - b->from_ns)
    LSPO_ORDER(a->iteration, b->iteration)
    return 0;
}

/* windows[i] of iteration i + 1. */
static void find_windows(const lspo_trace_t *trace, uint32_t count, window_t *windows)
{
    for (uint32_t i = 0; i < trace->row_count; i++) {
        const lspo_trace_row_t *row = &trace->rows[i];
        if (!lspo_op_kind_is_pass((lspo_op_kind_t)row->kind))
            continue;
        if (row->iteration < count && row->end_ns > windows[row->iteration].from_ns)
            windows[row->iteration].from_ns = row->end_ns;
        if (row->iteration > 0 && row->iteration <= count && row->end_ns > windows[row->iteration - 1].to_ns)
            windows[row->iteration - 1].to_ns = row->end_ns;
    }
    for (uint32_t i = 0; i < count; i++)
        windows[i].iteration = i + 1;
}

static void add_parts(const lspo_trace_t *trace, const window_t *window, double share, lspo_typical_t *typical)
{
    typical->iteration_s += share * 1e-9 * (double)(window->to_ns - window->from_ns);
    for (uint32_t i = 0; i < trace->row_count; i++) {
        const lspo_trace_row_t *row = &trace->rows[i];
        uint64_t from_ns = row->start_ns > window->from_ns ? row->start_ns : window->from_ns;
        uint64_t to_ns = row->end_ns < window->to_ns ? row->end_ns : window->to_ns;
        if (from_ns < to_ns)
            typical->busy_s[lspo_trace_lane_kind(trace, row)] += share * 1e-9 * (double)(to_ns - from_ns);
        if (row->iteration == window->iteration)
            typical->link_bytes[lspo_trace_lane_kind(trace, row)] += share * (double)row->bytes;
    }
}

lspo_status_t lspo_typical_iteration(const lspo_trace_t *trace, lspo_typical_t *typical_out)
{
    lspo_summary_t summary; /* reports errors in the iterations */
    lspo_status_t status = lspo_summary_create(trace, 0, &summary);
    if (status != LSPO_OK)
        return status;
    uint32_t count = summary.warmup + summary.iteration_count; /* all but the first one */
    lspo_summary_release(&summary);
    window_t *windows = calloc(count, sizeof *windows);
    if (!windows)
        return lspo_no_memory("%" PRIu32 " iterations", count);
    find_windows(trace, count, windows);
    qsort(windows, count, sizeof *windows, compare_window);
    lspo_typical_t typical = {0};
    add_parts(trace, &windows[(count - 1) / 2], 0.5, &typical);
    add_parts(trace, &windows[count / 2], 0.5, &typical);
    free(windows);
    *typical_out = typical;
    return LSPO_OK;
}
