#include "traces/typical.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "traces/summary.h"

typedef struct {
    const lspo_trace_t *trace;
    const lspo_summary_t *summary;
    uint64_t *ends_ns; /* owned: of the first iteration and those of the samples */
    double *values;    /* owned: one a sample                                    */
} window_t;

static void find_ends(window_t *window)
{
    for (uint32_t i = 0; i < window->trace->row_count; i++) {
        const lspo_trace_row_t *row = &window->trace->rows[i];
        bool marks = row->kind == LSPO_OP_FWD || row->kind == LSPO_OP_RECOMPUTE || row->kind == LSPO_OP_BWD;
        if (marks && row->iteration <= window->summary->sample_count && row->end_ns > window->ends_ns[row->iteration])
            window->ends_ns[row->iteration] = row->end_ns;
    }
}

/* The first sample that ends after `at_ns`. */
static uint32_t sample_at(const window_t *window, uint64_t at_ns)
{
    uint32_t low = 0, high = window->summary->sample_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (window->ends_ns[middle + 1] <= at_ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static double median_busy_s(window_t *window, lspo_lane_t lane)
{
    uint32_t count = window->summary->sample_count;
    memset(window->values, 0, count * sizeof *window->values);
    for (uint32_t i = 0; i < window->trace->row_count; i++) {
        const lspo_trace_row_t *row = &window->trace->rows[i];
        if (row->lane != lane)
            continue;
        for (uint32_t at = sample_at(window, row->start_ns); at < count && window->ends_ns[at] < row->end_ns; at++) {
            uint64_t from_ns = row->start_ns > window->ends_ns[at] ? row->start_ns : window->ends_ns[at];
            uint64_t to_ns = row->end_ns < window->ends_ns[at + 1] ? row->end_ns : window->ends_ns[at + 1];
            window->values[at] += 1e-9 * (double)(to_ns - from_ns);
        }
    }
    return lspo_median(window->values, count);
}

static double median_bytes(window_t *window, lspo_lane_t lane)
{
    uint32_t count = window->summary->sample_count;
    memset(window->values, 0, count * sizeof *window->values);
    for (uint32_t i = 0; i < window->trace->row_count; i++) {
        const lspo_trace_row_t *row = &window->trace->rows[i];
        if (row->lane == lane && row->iteration > 0 && row->iteration <= count)
            window->values[row->iteration - 1] += (double)row->bytes;
    }
    return lspo_median(window->values, count);
}

lspo_status_t lspo_typical_iteration(const lspo_trace_t *trace, lspo_typical_t *typical_out)
{
    lspo_summary_t summary;
    lspo_status_t status = lspo_summary_create(trace, 0, &summary);
    if (status != LSPO_OK)
        return status;
    window_t window = {.trace = trace, .summary = &summary};
    window.ends_ns = calloc((size_t)summary.sample_count + 1, sizeof *window.ends_ns);
    window.values = malloc(summary.sample_count * sizeof *window.values);
    lspo_typical_t typical = {.iteration_s = summary.iteration_s};
    if (window.ends_ns && window.values) {
        find_ends(&window);
        for (lspo_lane_t lane = 0; lane < LSPO_LANE_COUNT; lane++) {
            typical.busy_s[lane] = median_busy_s(&window, lane);
            typical.link_bytes[lane] = median_bytes(&window, lane);
        }
        *typical_out = typical;
    } else {
        status = lspo_error(LSPO_ERR_MEMORY, "out of memory for %" PRIu32 " iterations", summary.sample_count);
    }
    free(window.values);
    free(window.ends_ns);
    lspo_summary_release(&summary);
    return status;
}
