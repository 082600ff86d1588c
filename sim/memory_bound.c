#include "sim/memory_bound.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

#include "sim/flow.h"

enum { EDGES_A_ROW = 5 + LSPO_LANE_COUNT }; /* besides dependencies */

/* Nodes: of each row r that it started, that it ended, and that it and all before it on its lane ended; source, sink. */
typedef struct {
    const lspo_plan_t *plan;
    const lspo_trace_t *trace;
    uint64_t slack_ns;
    uint32_t *row_of; /* of each op; UINT32_MAX: not in the trace */
    lspo_flow_t *flow;
} bound_t;

static uint32_t started(uint32_t row)
{
    return row;
}

static uint32_t ended(const bound_t *bound, uint32_t row)
{
    return bound->trace->row_count + row;
}

static uint32_t all_ended(const bound_t *bound, uint32_t row)
{
    return 2 * bound->trace->row_count + row;
}

static uint32_t source_of(const bound_t *bound)
{
    return 3 * bound->trace->row_count;
}

static uint32_t sink_of(const bound_t *bound)
{
    return source_of(bound) + 1;
}

static void need(const bound_t *bound, uint32_t node, uint32_t needed)
{
    lspo_flow_add(bound->flow, node, needed, LSPO_FLOW_UNLIMITED);
}

static void add_dependencies(const bound_t *bound, uint32_t row)
{
    const lspo_op_t *op = &bound->plan->ops[bound->trace->rows[row].op];
    need(bound, ended(bound, row), started(row));
    for (uint32_t d = 0; d < op->dep_count; d++) {
        uint32_t before = bound->row_of[bound->plan->deps[op->dep_first + d]];
        if (before != UINT32_MAX)
            need(bound, started(row), ended(bound, before));
    }
}

/* That a row and all before it on its lane ended. */
static void add_lanes(const bound_t *bound)
{
    uint32_t previous[LSPO_LANE_COUNT];
    for (int lane = 0; lane < LSPO_LANE_COUNT; lane++)
        previous[lane] = UINT32_MAX;
    for (uint32_t row = 0; row < bound->trace->row_count; row++) {
        uint32_t *before = &previous[bound->trace->rows[row].lane];
        need(bound, all_ended(bound, row), ended(bound, row));
        if (*before != UINT32_MAX)
            need(bound, all_ended(bound, row), all_ended(bound, *before));
        *before = row;
    }
}

/* What ends at least slack before a row starts, lane by lane: the last such row stands for all before it.  Starts only
 * grow, so on each lane the last one only moves on. */
static void add_order(const bound_t *bound)
{
    const lspo_trace_row_t *rows = bound->trace->rows;
    for (uint32_t lane = 0; lane < LSPO_LANE_COUNT; lane++) {
        uint32_t last = UINT32_MAX, next = 0;
        for (uint32_t row = 0; row < bound->trace->row_count; row++) {
            for (; next < row; next++) {
                if (rows[next].lane != lane)
                    continue;
                if (rows[next].end_ns + bound->slack_ns > rows[row].start_ns)
                    break;
                last = next;
            }
            if (last != UINT32_MAX)
                need(bound, started(row), all_ended(bound, last));
        }
    }
}

typedef struct {
    uint64_t taken_bytes, given_bytes;
} change_t;

static change_t change_of(const lspo_op_t *op, bool on_gpu)
{
    return on_gpu ? (change_t){op->gpu_alloc_bytes, op->gpu_free_bytes}
                  : (change_t){op->host_alloc_bytes, op->host_free_bytes};
}

/* The most dynamic bytes on the GPU or on the host. */
static lspo_status_t find_most(bound_t *bound, bool on_gpu, uint64_t *most_bytes_out)
{
    uint32_t count = bound->trace->row_count;
    uint64_t taken_bytes = 0, edges = 0;
    for (uint32_t row = 0; row < count; row++) {
        const lspo_op_t *op = &bound->plan->ops[bound->trace->rows[row].op];
        taken_bytes += change_of(op, on_gpu).taken_bytes;
        edges += EDGES_A_ROW + op->dep_count;
    }
    *most_bytes_out = 0;
    if (taken_bytes == 0)
        return LSPO_OK;
    lspo_status_t status = lspo_flow_create(sink_of(bound) + 1, (uint32_t)edges, &bound->flow);
    if (status != LSPO_OK)
        return status;
    add_lanes(bound);
    add_order(bound);
    for (uint32_t row = 0; row < count; row++) {
        change_t change = change_of(&bound->plan->ops[bound->trace->rows[row].op], on_gpu);
        add_dependencies(bound, row);
        if (change.taken_bytes > 0)
            lspo_flow_add(bound->flow, source_of(bound), started(row), (int64_t)change.taken_bytes);
        if (change.given_bytes > 0)
            lspo_flow_add(bound->flow, ended(bound, row), sink_of(bound), (int64_t)change.given_bytes);
    }
    *most_bytes_out = taken_bytes - (uint64_t)lspo_flow_maximum(bound->flow, source_of(bound), sink_of(bound));
    lspo_flow_destroy(bound->flow);
    return LSPO_OK;
}

static lspo_status_t index_rows(bound_t *bound)
{
    const lspo_trace_t *trace = bound->trace;
    for (uint32_t op = 0; op < bound->plan->op_count; op++)
        bound->row_of[op] = UINT32_MAX;
    for (uint32_t row = 0; row < trace->row_count; row++) {
        if (trace->rows[row].op >= bound->plan->op_count)
            return lspo_error(LSPO_ERR_CHECK, "memory bound: op %" PRIu32 " is not in the plan", trace->rows[row].op);
        bound->row_of[trace->rows[row].op] = row;
    }
    return LSPO_OK;
}

lspo_status_t lspo_memory_bound(const lspo_plan_t *plan, const lspo_trace_t *trace, uint64_t slack_ns,
                                uint64_t *gpu_bytes_out, uint64_t *host_bytes_out)
{
    bound_t bound = {.plan = plan, .trace = trace, .slack_ns = slack_ns};
    uint64_t gpu_bytes = 0, host_bytes = 0;
    bound.row_of = malloc(((size_t)plan->op_count + 1) * sizeof *bound.row_of);
    if (!bound.row_of)
        return lspo_error(LSPO_ERR_MEMORY, "out of memory to bound that of %" PRIu32 " ops", plan->op_count);
    lspo_status_t status = index_rows(&bound);
    if (status == LSPO_OK)
        status = find_most(&bound, true, &gpu_bytes);
    if (status == LSPO_OK)
        status = find_most(&bound, false, &host_bytes);
    free(bound.row_of);
    if (status != LSPO_OK)
        return status;
    *gpu_bytes_out = plan->gpu_static_bytes + gpu_bytes;
    *host_bytes_out = plan->host_static_bytes + host_bytes;
    return LSPO_OK;
}
