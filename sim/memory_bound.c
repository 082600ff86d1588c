/* memory_bound.c - the most memory that a plan can take when its lanes run a little earlier or later than predicted;
 * see memory_bound.h. */
#include "sim/memory_bound.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/radix.h"
#include "plan/peers.h"
#include "plan/policy.h"
#include "sim/flow.h"

typedef struct {
    uint64_t taken_bytes, given_bytes;
} change_t;

/* What was known when a row was the newest. */
typedef struct {
    int64_t closed_bytes;
    uint32_t oldest;
} past_t;

/* All open rows that `row` waits for, and itself: a chain's next row waits for the same and a few others. */
typedef struct {
    uint32_t row;         /* UINT32_MAX: none */
    uint32_t number;      /* counts such sets, from 1 */
    uint32_t *number_of;  /* of each open row: the number of the last set that it is part of */
    uint64_t given_bytes; /* given back by them */
} base_t;

/* All moments at which no row after the newest has started.  Rows that end at least `slack` before it starts are
 * closed: they have ended at each of these moments.  The other rows up to it are open. */
typedef struct {
    const lspo_plan_t *plan;
    const lspo_trace_t *trace;
    uint64_t slack_ns;
    uint32_t *row_of;       /* of each op; UINT32_MAX: not in the trace */
    uint32_t *by_end;       /* rows in the order of their ends */
    uint32_t *before;       /* rows of an op's dependencies, or UINT32_MAX: those of a row begin at ... */
    uint32_t *before_first; /* ... this index; one more than there are rows */
    change_t *changes;      /* by row */
    bool on_gpu;            /* or on the host */
    lspo_peers_t peers;
    uint32_t peer; /* whose memory it is: no op of another changes it */

    uint32_t newest;
    bool *is_open;         /* of each row up to the newest                                        */
    uint32_t closed_count; /* the first rows of by_end are closed */
    uint32_t oldest;       /* no row before it is open                                            */
    uint32_t *place_of;    /* index of each row of a graph among them, the newest first; else scratch */
    int64_t closed_bytes;  /* allocated minus freed by the closed rows */
    uint64_t taken_bytes;  /* allocated by all open rows, if none has freed */
    uint32_t *needed_by;   /* of each open row: the last row that waits for it, directly or not, as far as asked for */
    uint32_t *found;       /* scratch: rows */
    base_t bases[LSPO_LANE_KIND_COUNT]; /* by the lane of their row, since chains differ by lane */
    base_t *base;                       /* that of the newest row's lane */
    uint32_t period;                    /* rows of a period of the policy; 0: the plan has no two */
    past_t *past;                       /* of each row up to the newest */
    uint32_t alike_from;                /* from this row on, each is like the one a period before it */
} sweep_t;

static const lspo_op_t *op_of(const sweep_t *sweep, uint32_t row)
{
    return &sweep->plan->ops[sweep->trace->rows[row].op];
}

static change_t find_change(const sweep_t *sweep, uint32_t row)
{
    const lspo_op_t *op = op_of(sweep, row);
    change_t change = sweep->on_gpu ? (change_t){op->gpu_alloc_bytes, op->gpu_free_bytes}
                                    : (change_t){op->host_alloc_bytes, op->host_free_bytes};
    if (sweep->peers.count == 1)
        return change;
    change.taken_bytes = sweep->peers.taker[sweep->trace->rows[row].op] == sweep->peer ? change.taken_bytes : 0;
    change.given_bytes = lspo_peers_giver(&sweep->peers, op) == sweep->peer ? change.given_bytes : 0;
    return change;
}

static void find_changes(const sweep_t *sweep)
{
    for (uint32_t row = 0; row < sweep->trace->row_count; row++)
        sweep->changes[row] = find_change(sweep, row);
}

static change_t change_of(const sweep_t *sweep, uint32_t row)
{
    return sweep->changes[row];
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

static bool is_in(const base_t *base, uint32_t row)
{
    return base->row != UINT32_MAX && base->number_of[row] == base->number;
}

/* `next` becomes the newest. */
static void advance(sweep_t *sweep, uint32_t next)
{
    for (uint32_t row; (row = next_to_close(sweep, next)) != UINT32_MAX; sweep->closed_count++) {
        change_t change = change_of(sweep, row);
        sweep->is_open[row] = false;
        for (int lane = 0; lane < LSPO_LANE_KIND_COUNT; lane++)
            if (is_in(&sweep->bases[lane], row))
                sweep->bases[lane].given_bytes -= change.given_bytes;
        sweep->taken_bytes -= change.taken_bytes;
        sweep->closed_bytes += (int64_t)(change.taken_bytes - change.given_bytes);
    }
    sweep->newest = next;
    sweep->base = &sweep->bases[lspo_op_kind_lane((lspo_op_kind_t)sweep->trace->rows[next].kind)];
    sweep->is_open[next] = true;
    sweep->taken_bytes += change_of(sweep, next).taken_bytes;
    while (!sweep->is_open[sweep->oldest])
        sweep->oldest++;
}

/* Must it have ended where the newest one has started? Of those that find_needed() has found. */
static bool is_needed(const sweep_t *sweep, uint32_t row)
{
    const base_t *base = sweep->base;
    return sweep->needed_by[row] == sweep->newest ||
           (base->row == sweep->newest && row < sweep->newest && is_in(base, row));
}

static void add_to_base(const sweep_t *sweep, uint32_t row, base_t *base)
{
    base->number_of[row] = base->number;
    base->given_bytes += change_of(sweep, row).given_bytes;
}

/* Rows for which found[first .. count) wait, directly or not, are found, too; where `outside`, not beyond the base.
 * Returns their new count, once those behind the first have given back `enough_bytes`; is the row of the base one of
 * them? */
static uint32_t find_before(sweep_t *sweep, uint32_t count, bool outside, uint64_t enough_bytes, bool *reaches_base)
{
    const base_t *base = sweep->base;
    uint64_t given_bytes = 0;
    for (uint32_t first = 0; first < count && given_bytes < enough_bytes; first++) {
        given_bytes += first > 0 ? change_of(sweep, sweep->found[first]).given_bytes : 0;
        const uint32_t row = sweep->found[first];
        if (outside && row != sweep->newest && is_in(base, row))
            continue;
        for (uint32_t d = sweep->before_first[row]; d < sweep->before_first[row + 1]; d++) {
            const uint32_t before = sweep->before[d];
            if (before >= sweep->newest || !sweep->is_open[before] || sweep->needed_by[before] == sweep->newest)
                continue;
            sweep->needed_by[before] = sweep->newest;
            sweep->found[count++] = before;
            *reaches_base = *reaches_base || before == base->row;
        }
    }
    return count;
}

/* Finds the open rows that must have ended where the newest one has started: what they have given back.  Where that is
 * `enough_bytes` or more, perhaps not all of them are found, and what is returned is at least enough. */
static uint64_t find_needed(sweep_t *sweep, uint64_t enough_bytes)
{
    base_t *base = sweep->base;
    uint64_t given_bytes = 0;
    bool reaches_base = false;
    sweep->found[0] = sweep->newest;
    const bool has_base = base->row != UINT32_MAX && sweep->is_open[base->row];
    uint32_t count = find_before(sweep, 1, true, UINT64_MAX, &reaches_base);
    if (!reaches_base)
        count = find_before(sweep, count, false, has_base ? enough_bytes : UINT64_MAX, &reaches_base);
    bool renews = !reaches_base && !has_base;
    if (renews) {
        base->number++;
        base->given_bytes = 0;
        base->row = sweep->newest;
    }
    for (uint32_t i = 1; i < count; i++) {
        given_bytes += change_of(sweep, sweep->found[i]).given_bytes;
        if ((renews || reaches_base) && !is_in(base, sweep->found[i]))
            add_to_base(sweep, sweep->found[i], base);
    }
    if (!renews && !reaches_base)
        return given_bytes;
    given_bytes = base->given_bytes;
    base->row = sweep->newest;
    add_to_base(sweep, sweep->newest, base);
    return given_bytes;
}

/* Nodes: the source; two per row, that it has ended and that it has started, the newest row first; the sink. */
static uint32_t ended(const sweep_t *sweep, uint32_t row)
{
    return 1 + 2 * sweep->place_of[row];
}

static uint32_t started(const sweep_t *sweep, uint32_t row)
{
    return 2 + 2 * sweep->place_of[row];
}

/* Rows of a graph: those of which it is open whether they have started and ended. */
static bool is_free(const sweep_t *sweep, uint32_t row)
{
    return row <= sweep->newest && sweep->is_open[row] && !is_needed(sweep, row);
}

static void add_row(const sweep_t *sweep, uint32_t row, uint32_t sink, lspo_flow_t *flow)
{
    enum { SOURCE = 0 };
    const lspo_op_t *op = op_of(sweep, row);
    change_t change = change_of(sweep, row);
    lspo_flow_add(flow, ended(sweep, row), started(sweep, row), LSPO_FLOW_UNLIMITED);
    for (uint32_t d = 0; d < op->dep_count; d++) {
        uint32_t before = sweep->row_of[sweep->plan->deps[op->dep_first + d]];
        if (is_free(sweep, before))
            lspo_flow_add(flow, started(sweep, row), ended(sweep, before), LSPO_FLOW_UNLIMITED);
    }
    if (change.taken_bytes > 0)
        lspo_flow_add(flow, SOURCE, started(sweep, row), (int64_t)change.taken_bytes);
    if (change.given_bytes > 0)
        lspo_flow_add(flow, ended(sweep, row), sink, (int64_t)change.given_bytes);
}

/* What of the memory that free rows take others of them must have given back.  Rows are added from the newest to the
 * oldest, so that flow starts at the oldest, which usually reaches less than younger ones. */
static lspo_status_t find_returned(sweep_t *sweep, int64_t *returned_bytes_out)
{
    enum { EDGES_A_ROW = 3 }; /* besides dependencies */
    uint32_t count = 0, edges = 0, oldest = sweep->oldest;
    bool gives = false;
    for (uint32_t row = sweep->newest + 1; row-- > oldest;) {
        if (!is_free(sweep, row))
            continue;
        sweep->place_of[row] = count++;
        edges += EDGES_A_ROW + op_of(sweep, row)->dep_count;
        gives = gives || (row < sweep->newest && change_of(sweep, row).given_bytes > 0);
    }
    *returned_bytes_out = 0;
    if (!gives)
        return LSPO_OK;
    lspo_flow_t *flow = NULL;
    lspo_status_t status = lspo_flow_create(2 + 2 * count, edges, &flow);
    if (status != LSPO_OK)
        return status;
    for (uint32_t row = sweep->newest + 1; row-- > oldest;)
        if (is_free(sweep, row))
            add_row(sweep, row, 1 + 2 * count, flow);
    *returned_bytes_out = lspo_flow_maximum(flow, 0, 1 + 2 * count);
    lspo_flow_destroy(flow);
    return LSPO_OK;
}

static bool depends_on(const sweep_t *sweep, uint32_t row, lspo_op_id_t id)
{
    const lspo_op_t *op = op_of(sweep, row);
    for (uint32_t d = 0; d < op->dep_count; d++)
        if (sweep->plan->deps[op->dep_first + d] == id)
            return true;
    return false;
}

/* What free rows other than `tail`, for which this one waits, have given back by its start; each is counted once. */
static uint64_t given_for(const sweep_t *sweep, uint32_t row, lspo_op_id_t tail)
{
    const lspo_op_t *op = op_of(sweep, row);
    uint64_t given_bytes = 0;
    for (uint32_t d = 0; d < op->dep_count; d++) {
        lspo_op_id_t id = sweep->plan->deps[op->dep_first + d];
        uint32_t before = sweep->row_of[id];
        if (id == tail || !is_free(sweep, before) || sweep->place_of[before] == sweep->newest)
            continue;
        sweep->place_of[before] = sweep->newest;
        given_bytes += change_of(sweep, before).given_bytes;
    }
    return given_bytes;
}

/* Free rows of GPUs, each of which waits for the one before, hold less than all of them take: by how much, at least.
 * With each goes what others have given back before it. */
static uint64_t chain_excess(const sweep_t *sweep)
{
    lspo_op_id_t tail = LSPO_NO_OP;
    uint64_t all_bytes = 0;
    int64_t now_bytes = 0, most_bytes = 0;
    for (uint32_t row = sweep->oldest; row <= sweep->newest; row++) {
        if (!is_free(sweep, row) || lspo_op_kind_lane((lspo_op_kind_t)sweep->trace->rows[row].kind) != LSPO_LANE_GPU)
            continue;
        change_t change = change_of(sweep, row);
        if (tail == LSPO_NO_OP ? change.taken_bytes == 0 : !depends_on(sweep, row, tail))
            continue;
        all_bytes += change.taken_bytes;
        now_bytes += (int64_t)(change.taken_bytes - given_for(sweep, row, tail));
        most_bytes = now_bytes > most_bytes ? now_bytes : most_bytes;
        now_bytes -= (int64_t)change.given_bytes;
        sweep->place_of[row] = sweep->newest; /* counted: later rows may wait for it, too */
        tail = sweep->trace->rows[row].op;
    }
    return all_bytes - (uint64_t)most_bytes;
}

/* Where free rows, not counted in a chain, have taken memory, others for which they wait had given back some of it;
 * each is counted once. */
static uint64_t direct_excess(const sweep_t *sweep)
{
    uint64_t given_bytes = 0;
    for (uint32_t row = sweep->oldest; row <= sweep->newest; row++) {
        const uint64_t taken_bytes = change_of(sweep, row).taken_bytes;
        if (taken_bytes == 0 || !is_free(sweep, row) || sweep->place_of[row] == sweep->newest)
            continue;
        const uint64_t before_bytes = given_for(sweep, row, LSPO_NO_OP);
        given_bytes += before_bytes < taken_bytes ? before_bytes : taken_bytes;
    }
    return given_bytes;
}

/* The most bytes where the newest row has started, if that is more than `most_bytes`. */
static lspo_status_t raise_most(sweep_t *sweep, int64_t *most_bytes)
{
    int64_t bytes = sweep->closed_bytes + (int64_t)sweep->taken_bytes, returned_bytes = 0;
    if (change_of(sweep, sweep->newest).taken_bytes == 0 || bytes <= *most_bytes)
        return LSPO_OK;
    bytes -= (int64_t)find_needed(sweep, (uint64_t)(bytes - *most_bytes));
    if (bytes <= *most_bytes)
        return LSPO_OK;
    const int64_t in_chain_bytes = bytes - (int64_t)chain_excess(sweep);
    if (in_chain_bytes <= *most_bytes || in_chain_bytes - (int64_t)direct_excess(sweep) <= *most_bytes)
        return LSPO_OK;
    lspo_status_t status = find_returned(sweep, &returned_bytes);
    if (status != LSPO_OK)
        return status;
    bytes -= returned_bytes;
    *most_bytes = bytes > *most_bytes ? bytes : *most_bytes;
    return LSPO_OK;
}

/* Is a row the one a period before it, all ids and times larger by the same numbers as those of the row before? */
static bool is_alike(const sweep_t *sweep, uint32_t row)
{
    const lspo_trace_row_t *now = &sweep->trace->rows[row], *then = now - sweep->period, *before = now - 1;
    const lspo_op_t *op = &sweep->plan->ops[now->op], *old = &sweep->plan->ops[then->op];
    uint32_t ids = now->op - then->op;
    uint64_t time_ns = now->start_ns - then->start_ns;
    if (now->end_ns - then->end_ns != time_ns || op->dep_count != old->dep_count ||
        op->gpu_alloc_bytes != old->gpu_alloc_bytes || op->gpu_free_bytes != old->gpu_free_bytes ||
        op->host_alloc_bytes != old->host_alloc_bytes || op->host_free_bytes != old->host_free_bytes)
        return false;
    for (uint32_t d = 0; d < op->dep_count; d++)
        if (sweep->plan->deps[op->dep_first + d] - sweep->plan->deps[old->dep_first + d] != ids)
            return false;
    return row == sweep->alike_from || (before->op - before[-(ptrdiff_t)sweep->period].op == ids &&
                                        before->start_ns - before[-(ptrdiff_t)sweep->period].start_ns == time_ns);
}

/* Are the moments of the newest row those of the row a period before, with all open rows alike? */
static bool repeats(sweep_t *sweep)
{
    uint32_t row = sweep->newest, period = sweep->period;
    sweep->past[row] = (past_t){sweep->closed_bytes, sweep->oldest};
    if (period == 0 || row < period) {
        sweep->alike_from = row + 1;
        return false;
    }
    if (!is_alike(sweep, row))
        sweep->alike_from = row + 1;
    const past_t *then = &sweep->past[row - period];
    return sweep->oldest >= sweep->alike_from && then->oldest + period >= sweep->oldest &&
           then->closed_bytes == sweep->closed_bytes;
}

/* The peak of the timeline as it is; ends come before starts. */
static int64_t replay(const sweep_t *sweep)
{
    const lspo_trace_row_t *rows = sweep->trace->rows;
    uint32_t count = sweep->trace->row_count, over = 0;
    int64_t now_bytes = 0, peak_bytes = 0;
    for (uint32_t row = 0; row < count; row++) {
        for (; over < count && rows[sweep->by_end[over]].end_ns <= rows[row].start_ns; over++)
            now_bytes -= (int64_t)change_of(sweep, sweep->by_end[over]).given_bytes;
        now_bytes += (int64_t)change_of(sweep, row).taken_bytes;
        peak_bytes = now_bytes > peak_bytes ? now_bytes : peak_bytes;
    }
    return peak_bytes;
}

static bool takes_any(const sweep_t *sweep)
{
    for (uint32_t row = 0; row < sweep->trace->row_count; row++)
        if (change_of(sweep, row).taken_bytes > 0)
            return true;
    return false;
}

static uint64_t static_bytes(const sweep_t *sweep)
{
    return sweep->on_gpu ? lspo_peers_gpu_static_bytes(sweep->plan, sweep->peer)
                         : lspo_peers_host_static_bytes(sweep->plan, sweep->peer);
}

/* Of several peers the one whose peak is the highest. */
static void choose_peer(sweep_t *sweep)
{
    uint64_t most_bytes = 0;
    uint32_t most = 0;
    for (sweep->peer = 0; sweep->peers.count > 1 && sweep->peer < sweep->peers.count; sweep->peer++) {
        find_changes(sweep);
        const uint64_t bytes = static_bytes(sweep) + (uint64_t)replay(sweep);
        most = bytes > most_bytes ? sweep->peer : most;
        most_bytes = bytes > most_bytes ? bytes : most_bytes;
    }
    sweep->peer = most;
    find_changes(sweep);
}

/* The most bytes on the GPU or on the host. */
static lspo_status_t find_most(sweep_t *sweep, bool on_gpu, uint64_t *most_bytes_out)
{
    uint32_t count = sweep->trace->row_count;
    sweep->on_gpu = on_gpu;
    choose_peer(sweep);
    sweep->closed_bytes = 0;
    sweep->taken_bytes = 0;
    sweep->closed_count = sweep->oldest = sweep->alike_from = 0;
    memset(sweep->is_open, 0, count * sizeof *sweep->is_open);
    memset(sweep->needed_by, 0xff, count * sizeof *sweep->needed_by);
    memset(sweep->place_of, 0xff, count * sizeof *sweep->place_of);
    for (int lane = 0; lane < LSPO_LANE_KIND_COUNT; lane++) {
        base_t *base = &sweep->bases[lane];
        memset(base->number_of, 0, count * sizeof *base->number_of);
        *base = (base_t){.row = UINT32_MAX, .number_of = base->number_of};
    }
    int64_t most_bytes = replay(sweep);
    if (!takes_any(sweep))
        count = 0;
    for (uint32_t row = 0; row < count; row++) {
        advance(sweep, row);
        lspo_status_t status = repeats(sweep) ? LSPO_OK : raise_most(sweep, &most_bytes);
        if (status != LSPO_OK)
            return status;
    }
    *most_bytes_out = static_bytes(sweep) + (uint64_t)most_bytes;
    return LSPO_OK;
}

static lspo_status_t sort_ends(sweep_t *sweep)
{
    uint32_t count = sweep->trace->row_count;
    uint64_t *ends_ns = malloc(((size_t)count + 1) * sizeof *ends_ns);
    if (!ends_ns)
        return lspo_no_memory("a bound of %" PRIu32 " ops", count);
    for (uint32_t row = 0; row < count; row++)
        ends_ns[row] = sweep->trace->rows[row].end_ns;
    lspo_status_t status = lspo_radix_order(ends_ns, count, &sweep->by_end);
    free(ends_ns);
    return status;
}

static lspo_status_t link_rows(sweep_t *sweep)
{
    const lspo_plan_t *plan = sweep->plan;
    const uint32_t rows = sweep->trace->row_count;
    size_t count = 0;
    for (uint32_t row = 0; row < rows; row++)
        count += op_of(sweep, row)->dep_count;
    sweep->before = malloc((count + 1) * sizeof *sweep->before);
    if (!sweep->before)
        return lspo_no_memory("a bound of %" PRIu32 " ops", rows);
    uint32_t next = 0;
    for (uint32_t row = 0; row < rows; row++) {
        const lspo_op_t *op = op_of(sweep, row);
        sweep->before_first[row] = next;
        for (uint32_t d = 0; d < op->dep_count; d++)
            sweep->before[next++] = sweep->row_of[plan->deps[op->dep_first + d]];
    }
    sweep->before_first[rows] = next;
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
    lspo_status_t status = link_rows(sweep);
    return status == LSPO_OK ? sort_ends(sweep) : status;
}

/* Ops of the second period: the first one may lack some, and so may the last one. */
static uint32_t count_period(const lspo_plan_t *plan)
{
    uint32_t period = plan->policy != NULL ? lspo_policy_period(plan->policy, &plan->workload) : 1, count = 0;
    for (lspo_op_id_t id = 0; id < plan->op_count; id++)
        count += plan->ops[id].iteration >= period && plan->ops[id].iteration - period < period;
    return count;
}

static lspo_status_t sweep_create(const lspo_plan_t *plan, const lspo_trace_t *trace, uint64_t slack_ns, sweep_t *sweep)
{
    size_t rows = (size_t)trace->row_count + 1;
    *sweep = (sweep_t){.plan = plan, .trace = trace, .slack_ns = slack_ns, .period = count_period(plan)};
    sweep->row_of = malloc(((size_t)plan->op_count + 1) * sizeof *sweep->row_of);
    sweep->is_open = malloc(rows * sizeof *sweep->is_open);
    sweep->place_of = malloc(rows * sizeof *sweep->place_of);
    sweep->needed_by = malloc(rows * sizeof *sweep->needed_by);
    sweep->found = malloc(rows * sizeof *sweep->found);
    uint32_t *numbers = malloc(LSPO_LANE_KIND_COUNT * rows * sizeof *numbers);
    for (size_t lane = 0; numbers && lane < LSPO_LANE_KIND_COUNT; lane++)
        sweep->bases[lane].number_of = numbers + lane * rows;
    sweep->past = malloc(rows * sizeof *sweep->past);
    sweep->before_first = malloc(rows * sizeof *sweep->before_first);
    sweep->changes = malloc(rows * sizeof *sweep->changes);
    lspo_status_t status = lspo_peers_create(plan, &sweep->peers);
    if (status != LSPO_OK)
        return status;
    return sweep->row_of && sweep->is_open && sweep->place_of && sweep->needed_by && sweep->found && numbers &&
                   sweep->past && sweep->before_first && sweep->changes
               ? index_rows(sweep)
               : lspo_no_memory("a bound of %" PRIu32 " ops", plan->op_count);
}

static void sweep_release(sweep_t *sweep)
{
    lspo_peers_release(&sweep->peers);
    free(sweep->changes);
    free(sweep->before_first);
    free(sweep->before);
    free(sweep->past);
    free(sweep->bases[0].number_of);
    free(sweep->found);
    free(sweep->needed_by);
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
    *gpu_bytes_out = gpu_bytes;
    *host_bytes_out = host_bytes;
cleanup:
    sweep_release(&sweep);
    return status;
}
