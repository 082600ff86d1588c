/* memory_bound.c - the most memory that a plan can take when its lanes run a little earlier or later than predicted;
 * see memory_bound.h. */
#include "sim/memory_bound.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

#include "sim/flow.h"
#include "traces/order.h"

typedef struct {
    uint64_t taken_bytes, given_bytes;
} change_t;

/* All moments at which no row after the newest has started.  Rows that end at least `slack` before it starts are
 * closed: they have ended at each of these moments.  The other rows up to it are open. */
typedef struct {
    const lspo_plan_t *plan;
    const lspo_trace_t *trace;
    uint64_t slack_ns;
    uint32_t *row_of; /* of each op; UINT32_MAX: not in the trace */
    uint32_t *by_end; /* rows in the order of their ends */
    bool on_gpu;      /* or on the host */

    uint32_t newest;
    bool *is_open;         /* of each row up to the newest                                        */
    uint32_t closed_count; /* the first rows of by_end are closed */
    uint32_t oldest;       /* no row before it is open                                            */
    uint32_t *place_of;    /* index of each open row among them, the newest first */
    int64_t closed_bytes;  /* allocated minus freed by the closed rows */
    uint64_t taken_bytes;  /* allocated by all open rows, if none has freed */
} sweep_t;

static const lspo_op_t *op_of(const sweep_t *sweep, uint32_t row)
{
    return &sweep->plan->ops[sweep->trace->rows[row].op];
}

static change_t change_of(const sweep_t *sweep, uint32_t row)
{
    const lspo_op_t *op = op_of(sweep, row);
    return sweep->on_gpu ? (change_t){op->gpu_alloc_bytes, op->gpu_free_bytes}
                         : (change_t){op->host_alloc_bytes, op->host_free_bytes};
}

/* The open row that ends first, if it closes before `next` starts; UINT32_MAX: none.  Rows are sorted by start, so a
 * row that is closed for one row is closed for all later ones. */
static uint32_t next_to_close(const sweep_t *sweep, uint32_t next)
{
    const lspo_trace_row_t *rows = sweep->trace->rows;
    if (sweep->closed_count == sweep->trace->row_count)
        return UINT32_MAX;
    uint32_t row = sweep->by_end[sweep->closed_count];
    return row < next && rows[row].end_ns + sweep->slack_ns <= rows[next].start_ns ? row : UINT32_MAX;
}

/* `next` becomes the newest. */
static void advance(sweep_t *sweep, uint32_t next)
{
    for (uint32_t row; (row = next_to_close(sweep, next)) != UINT32_MAX; sweep->closed_count++) {
        change_t change = change_of(sweep, row);
        sweep->is_open[row] = false;
        sweep->taken_bytes -= change.taken_bytes;
        sweep->closed_bytes += (int64_t)(change.taken_bytes - change.given_bytes);
    }
    sweep->newest = next;
    sweep->is_open[next] = true;
    sweep->taken_bytes += change_of(sweep, next).taken_bytes;
    while (!sweep->is_open[sweep->oldest])
        sweep->oldest++;
}

/* Nodes: the source; two per open row, that it has ended and that it has started, the newest row first; the sink. */
static uint32_t ended(const sweep_t *sweep, uint32_t row)
{
    return 1 + 2 * sweep->place_of[row];
}

static uint32_t started(const sweep_t *sweep, uint32_t row)
{
    return 2 + 2 * sweep->place_of[row];
}

static void add_row(const sweep_t *sweep, uint32_t row, uint32_t sink, lspo_flow_t *flow)
{
    enum { SOURCE = 0 };
    const lspo_op_t *op = op_of(sweep, row);
    change_t change = change_of(sweep, row);
    lspo_flow_add(flow, ended(sweep, row), started(sweep, row), LSPO_FLOW_UNLIMITED);
    for (uint32_t d = 0; d < op->dep_count; d++) {
        uint32_t before = sweep->row_of[sweep->plan->deps[op->dep_first + d]];
        if (before <= sweep->newest && sweep->is_open[before])
            lspo_flow_add(flow, started(sweep, row), ended(sweep, before), LSPO_FLOW_UNLIMITED);
    }
    if (change.taken_bytes > 0)
        lspo_flow_add(flow, SOURCE, started(sweep, row), (int64_t)change.taken_bytes);
    if (change.given_bytes > 0)
        lspo_flow_add(flow, ended(sweep, row), sink, (int64_t)change.given_bytes);
}

/* The most bytes at these moments.  Rows are added from the newest to the oldest, so that flow starts at the oldest,
 * which usually reaches less than younger ones. */
static lspo_status_t find_most_now(sweep_t *sweep, int64_t *most_bytes_out)
{
    enum { EDGES_A_ROW = 3 }; /* besides dependencies */
    uint32_t count = 0, edges = 0, oldest = sweep->oldest;
    for (uint32_t row = sweep->newest + 1; row-- > oldest;) {
        if (!sweep->is_open[row])
            continue;
        sweep->place_of[row] = count++;
        edges += EDGES_A_ROW + op_of(sweep, row)->dep_count;
    }
    lspo_flow_t *flow = NULL;
    lspo_status_t status = lspo_flow_create(2 + 2 * count, edges, &flow);
    if (status != LSPO_OK)
        return status;
    for (uint32_t row = sweep->newest + 1; row-- > oldest;)
        if (sweep->is_open[row])
            add_row(sweep, row, 1 + 2 * count, flow);
    *most_bytes_out = sweep->closed_bytes + (int64_t)sweep->taken_bytes - lspo_flow_maximum(flow, 0, 1 + 2 * count);
    lspo_flow_destroy(flow);
    return LSPO_OK;
}

/* The most dynamic bytes on the GPU or on the host. */
static lspo_status_t find_most(sweep_t *sweep, bool on_gpu, uint64_t *most_bytes_out)
{
    uint32_t count = sweep->trace->row_count;
    int64_t most_bytes = 0, limit_bytes = 0; /* the bound of these moments */
    sweep->on_gpu = on_gpu;
    sweep->closed_bytes = 0;
    sweep->taken_bytes = 0;
    sweep->closed_count = sweep->oldest = 0;
    for (uint32_t row = 0; row < count; row++) {
        advance(sweep, row);
        int64_t all_bytes = sweep->closed_bytes + (int64_t)sweep->taken_bytes;
        limit_bytes += (int64_t)change_of(sweep, row).taken_bytes;
        limit_bytes = all_bytes < limit_bytes ? all_bytes : limit_bytes;
        /* Until a row closes, later moments include all of the current ones. */
        if (limit_bytes <= most_bytes || (row + 1 < count && next_to_close(sweep, row + 1) == UINT32_MAX))
            continue;
        lspo_status_t status = find_most_now(sweep, &limit_bytes);
        if (status != LSPO_OK)
            return status;
        most_bytes = limit_bytes > most_bytes ? limit_bytes : most_bytes;
    }
    *most_bytes_out = (uint64_t)most_bytes;
    return LSPO_OK;
}

typedef struct {
    uint64_t end_ns;
    uint32_t row;
} end_t;

static int compare_end(const void *left, const void *right)
{
    const end_t *a = left, *b = right;
    LSPO_ORDER(a->end_ns, b->end_ns)
    LSPO_ORDER(a->row, b->row)
    return 0;
}

static lspo_status_t sort_ends(sweep_t *sweep)
{
    uint32_t count = sweep->trace->row_count;
    end_t *ends = malloc(((size_t)count + 1) * sizeof *ends);
    if (!ends)
        return lspo_no_memory("a bound of %" PRIu32 " ops", count);
    for (uint32_t row = 0; row < count; row++)
        ends[row] = (end_t){sweep->trace->rows[row].end_ns, row};
    qsort(ends, count, sizeof *ends, compare_end);
    for (uint32_t i = 0; i < count; i++)
        sweep->by_end[i] = ends[i].row;
    free(ends);
    return LSPO_OK;
}

static lspo_status_t index_rows(sweep_t *sweep)
{
    const lspo_trace_t *trace = sweep->trace;
    for (uint32_t op = 0; op < sweep->plan->op_count; op++)
        sweep->row_of[op] = UINT32_MAX;
    for (uint32_t row = 0; row < trace->row_count; row++) {
        if (trace->rows[row].op >= sweep->plan->op_count)
            return lspo_error(LSPO_ERR_CHECK, "memory bound: op %" PRIu32 " is not in the plan", trace->rows[row].op);
        sweep->row_of[trace->rows[row].op] = row;
    }
    return sort_ends(sweep);
}

static lspo_status_t sweep_create(const lspo_plan_t *plan, const lspo_trace_t *trace, uint64_t slack_ns, sweep_t *sweep)
{
    size_t rows = (size_t)trace->row_count + 1;
    *sweep = (sweep_t){.plan = plan, .trace = trace, .slack_ns = slack_ns};
    sweep->row_of = malloc(((size_t)plan->op_count + 1) * sizeof *sweep->row_of);
    sweep->by_end = malloc(rows * sizeof *sweep->by_end);
    sweep->is_open = malloc(rows * sizeof *sweep->is_open);
    sweep->place_of = malloc(rows * sizeof *sweep->place_of);
    return sweep->row_of && sweep->by_end && sweep->is_open && sweep->place_of
               ? index_rows(sweep)
               : lspo_no_memory("a bound of %" PRIu32 " ops", plan->op_count);
}

static void sweep_release(sweep_t *sweep)
{
    free(sweep->place_of);
    free(sweep->is_open);
    free(sweep->by_end);
    free(sweep->row_of);
}

lspo_status_t lspo_memory_bound(const lspo_plan_t *plan, const lspo_trace_t *trace, uint64_t slack_ns,
                                uint64_t *gpu_bytes_out, uint64_t *host_bytes_out)
{
    sweep_t sweep;
    uint64_t gpu_bytes = 0, host_bytes = 0;
    lspo_status_t status = sweep_create(plan, trace, slack_ns, &sweep);
    if (status != LSPO_OK)
        goto cleanup;
    status = find_most(&sweep, true, &gpu_bytes);
    if (status != LSPO_OK)
        goto cleanup;
    status = find_most(&sweep, false, &host_bytes);
    if (status != LSPO_OK)
        goto cleanup;
    *gpu_bytes_out = plan->gpu_static_bytes + gpu_bytes;
    *host_bytes_out = plan->host_static_bytes + host_bytes;
cleanup:
    sweep_release(&sweep);
    return status;
}
