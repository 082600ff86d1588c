/* trace.c - see trace.h; trace_file.c reads and writes. */
#include "traces/trace.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "plan/policy.h"
#include "traces/order.h"

/* Takes the list. */
static lspo_status_t create(uint32_t row_capacity, lspo_lanes_t lanes, lspo_trace_t **trace_out)
{
    lspo_trace_t *trace = calloc(1, sizeof *trace);
    if (trace)
        trace->rows = malloc((row_capacity ? row_capacity : 1) * sizeof *trace->rows);
    if (!trace || !trace->rows) {
        free(trace);
        lspo_lanes_release(&lanes);
        return lspo_no_memory("a trace of %" PRIu32 " rows", row_capacity);
    }
    trace->lanes = lanes;
    *trace_out = trace;
    return LSPO_OK;
}

lspo_status_t lspo_trace_create(uint32_t row_capacity, lspo_trace_t **trace_out)
{
    lspo_lanes_t lanes;
    lspo_status_t status = lspo_lanes_create(&lanes);
    if (status != LSPO_OK)
        return status;
    return create(row_capacity, lanes, trace_out);
}

lspo_status_t lspo_trace_create_on(uint32_t row_capacity, const lspo_lanes_t *lanes, lspo_trace_t **trace_out)
{
    lspo_lanes_t copy;
    lspo_status_t status = lspo_lanes_copy(lanes, &copy);
    if (status != LSPO_OK)
        return status;
    return create(row_capacity, copy, trace_out);
}

void lspo_trace_destroy(lspo_trace_t *trace)
{
    if (!trace)
        return;
    for (uint32_t i = 0; i < trace->meta_count; i++) {
        free(trace->meta[i].key);
        free(trace->meta[i].value);
    }
    free(trace->meta);
    free(trace->path);
    lspo_lanes_release(&trace->lanes);
    free(trace->rows);
    free(trace);
}

const char *lspo_trace_name(const lspo_trace_t *trace)
{
    return trace->path ? trace->path : "the trace";
}

/* Header entries */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Can the line format preserve this key? */
static bool is_key(const char *text)
{
    size_t length = strlen(text);
    return length > 0 && strpbrk(text, ":\r\n") == NULL && !is_blank(text[0]) && !is_blank(text[length - 1]) &&
           strcmp(text, LSPO_TRACE_LANE_KEY) != 0;
}

static lspo_trace_meta_t *find_meta(const lspo_trace_t *trace, const char *key)
{
    for (uint32_t i = 0; i < trace->meta_count; i++)
        if (strcmp(trace->meta[i].key, key) == 0)
            return &trace->meta[i];
    return NULL;
}

const char *lspo_trace_meta(const lspo_trace_t *trace, const char *key)
{
    const lspo_trace_meta_t *entry = find_meta(trace, key);
    return entry ? entry->value : NULL;
}

static lspo_status_t append_meta(lspo_trace_t *trace, const char *key, char *value)
{
    if (trace->meta_count == LSPO_TRACE_META_MAX)
        return lspo_error(LSPO_ERR_INPUT, "%s: a trace has at most %d header entries; '%s' is one more",
                          lspo_trace_name(trace), LSPO_TRACE_META_MAX, key);
    char *key_copy = strdup(key);
    lspo_trace_meta_t *meta = realloc(trace->meta, (trace->meta_count + 1) * sizeof *meta);
    if (meta)
        trace->meta = meta;
    if (!key_copy || !meta) {
        free(key_copy);
        return lspo_no_memory("trace header entry '%s'", key);
    }
    trace->meta[trace->meta_count++] = (lspo_trace_meta_t){key_copy, value};
    return LSPO_OK;
}

lspo_status_t lspo_trace_set_meta(lspo_trace_t *trace, const char *key, const char *value)
{
    if (!is_key(key))
        return lspo_error(LSPO_ERR_INPUT, "%s: a trace header cannot have the key '%s'", lspo_trace_name(trace), key);

    char *value_copy = strdup(value);
    if (!value_copy)
        return lspo_no_memory("trace header entry '%s'", key);
    lspo_trace_meta_t *entry = find_meta(trace, key);
    if (entry) {
        free(entry->value);
        entry->value = value_copy;
        return LSPO_OK;
    }
    lspo_status_t status = append_meta(trace, key, value_copy);
    if (status != LSPO_OK)
        free(value_copy);
    return status;
}

double lspo_trace_core_share(const lspo_trace_t *trace)
{
    const char *share = lspo_trace_meta(trace, "gpu core share");
    return share ? strtod(share, NULL) : 1;
}

static lspo_status_t describe_workload(lspo_trace_t *trace, const lspo_workload_t *workload)
{
    for (size_t i = 0; i < lspo_workload_field_count; i++) {
        char value[LSPO_SOURCE_BYTES];
        if (lspo_workload_fields[i].hidden)
            continue;
        lspo_record_format(&lspo_workload_fields[i], workload, value, sizeof value);
        lspo_status_t status = lspo_trace_set_meta(trace, lspo_workload_fields[i].name, value);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

static lspo_status_t describe_policy(lspo_trace_t *trace, const lspo_plan_t *plan)
{
    const lspo_parameters_t *own = plan->policy->parameters;
    for (size_t i = 0; own != NULL && i < own->count; i++) {
        const lspo_parameter_t *parameter = own->uses[i].parameter;
        char value[LSPO_SOURCE_BYTES];
        lspo_parameter_format(parameter, lspo_policy_value(plan->policy, &plan->workload, parameter), value,
                              sizeof value);
        lspo_status_t status = lspo_trace_set_meta(trace, parameter->key, value);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

lspo_status_t lspo_trace_describe_plan(lspo_trace_t *trace, const lspo_plan_t *plan)
{
    lspo_status_t status = lspo_trace_set_meta(trace, "version", PACKAGE_VERSION);
    if (status != LSPO_OK)
        return status;
    status = lspo_trace_set_meta(trace, "model", plan->model.name);
    if (status != LSPO_OK)
        return status;
    status = lspo_trace_set_meta(trace, "policy", plan->policy != NULL ? plan->policy->name : "none");
    if (status != LSPO_OK)
        return status;
    status = describe_workload(trace, &plan->workload);
    if (status != LSPO_OK)
        return status;
    return plan->policy != NULL ? describe_policy(trace, plan) : LSPO_OK;
}

/* Rows */

static bool moves_bytes(const lspo_op_t *op)
{
    return lspo_lane_kind_moves_bytes(lspo_op_kind_lane((lspo_op_kind_t)op->kind));
}

static void copy_op(const lspo_op_t *source, lspo_trace_row_t *row)
{
    row->kind = source->kind;
    row->lane = source->lane;
    row->layer = source->layer;
    row->micro = source->micro;
    row->variant = source->variant;
    row->iteration = source->iteration;
}

void lspo_trace_row_from_op(const lspo_plan_t *plan, lspo_op_id_t op, lspo_trace_row_t *row)
{
    const lspo_op_t *source = &plan->ops[op];
    row->op = op;
    copy_op(source, row);
    row->bytes = moves_bytes(source) ? lspo_work_link_bytes(&plan->works[source->work]) : 0;
}

/* Ops that follow each other in time may be far apart in memory: reads begin some rows ahead. */
lspo_status_t lspo_trace_fill_rows(const lspo_plan_t *plan, lspo_trace_t *trace)
{
    enum { AHEAD = 16 };
    uint64_t *work_bytes = malloc(((size_t)plan->work_count + 1) * sizeof *work_bytes);
    if (!work_bytes)
        return lspo_no_memory("the bytes of %" PRIu32 " works", plan->work_count);
    for (uint32_t work = 0; work < plan->work_count; work++)
        work_bytes[work] = lspo_work_link_bytes(&plan->works[work]);
    for (uint32_t i = 0; i < trace->row_count; i++) {
        const lspo_op_t *source = &plan->ops[trace->rows[i].op];
        if (i + AHEAD < trace->row_count)
            __builtin_prefetch(&plan->ops[trace->rows[i + AHEAD].op]);
        copy_op(source, &trace->rows[i]);
        trace->rows[i].bytes = moves_bytes(source) ? work_bytes[source->work] : 0;
    }
    free(work_bytes);
    return LSPO_OK;
}

static int compare_by_start(const void *left, const void *right)
{
    const lspo_trace_row_t *a = left, *b = right;
    LSPO_ORDER(a->start_ns, b->start_ns)
    LSPO_ORDER(a->lane, b->lane)
    LSPO_ORDER(a->end_ns, b->end_ns)
    LSPO_ORDER(a->op, b->op)
    return 0;
}

static int compare_by_lane(const void *left, const void *right)
{
    const lspo_trace_row_t *a = *(const lspo_trace_row_t *const *)left, *b = *(const lspo_trace_row_t *const *)right;
    LSPO_ORDER(a->lane, b->lane)
    return compare_by_start(a, b);
}

/* Rows that are hardly out of place, as of a play in which lanes are woken, are inserted.  False, with rows in between,
 * where that takes longer than to sort them. */
static bool insert_rows(lspo_trace_t *trace)
{
    enum { MOVES_MOST = 8 };
    lspo_trace_row_t *rows = trace->rows;
    uint64_t left = (uint64_t)MOVES_MOST * trace->row_count;
    for (uint32_t i = 1; i < trace->row_count; i++) {
        if (compare_by_start(&rows[i - 1], &rows[i]) <= 0)
            continue;
        const lspo_trace_row_t row = rows[i];
        uint32_t at = i;
        for (; at > 0 && compare_by_start(&rows[at - 1], &row) > 0; at--)
            rows[at] = rows[at - 1];
        rows[at] = row;
        if (i - at > left)
            return false;
        left -= i - at;
    }
    return true;
}

void lspo_trace_sort(lspo_trace_t *trace)
{
    if (!insert_rows(trace))
        qsort(trace->rows, trace->row_count, sizeof *trace->rows, compare_by_start);
}

/* Checking */

static lspo_status_t check_row(const lspo_trace_row_t *row, const lspo_plan_t *plan)
{
    if (row->op >= plan->op_count)
        return lspo_error(LSPO_ERR_CHECK, "trace: op %" PRIu32 " is not in the plan", row->op);
    const lspo_op_t *op = &plan->ops[row->op];
    if (row->kind != op->kind || row->lane != op->lane || row->layer != op->layer || row->iteration != op->iteration ||
        row->micro != op->micro || row->variant != op->variant)
        return lspo_error(LSPO_ERR_CHECK, "trace: op %" PRIu32 " (%s of layer %u) differs from the plan", row->op,
                          lspo_op_kind_name((lspo_op_kind_t)row->kind), row->layer);
    if (row->end_ns < row->start_ns)
        return lspo_error(LSPO_ERR_CHECK, "trace: op %" PRIu32 " ends before it starts", row->op);
    return LSPO_OK;
}

/* row_of[op]: each op of the plan exactly once. */
static lspo_status_t index_rows(const lspo_trace_t *trace, const lspo_plan_t *plan, const lspo_trace_row_t **row_of)
{
    for (uint32_t i = 0; i < trace->row_count; i++) {
        const lspo_trace_row_t *row = &trace->rows[i];
        lspo_status_t status = check_row(row, plan);
        if (status != LSPO_OK)
            return status;
        if (row_of[row->op])
            return lspo_error(LSPO_ERR_CHECK, "trace: op %" PRIu32 " appears twice", row->op);
        row_of[row->op] = row;
    }
    for (lspo_op_id_t op = 0; op < plan->op_count; op++)
        if (!row_of[op])
            return lspo_error(
                LSPO_ERR_CHECK, "trace: op %" PRIu32 " (%s of layer %u, iteration %" PRIu32 ") is missing", op,
                lspo_op_kind_name((lspo_op_kind_t)plan->ops[op].kind), plan->ops[op].layer, plan->ops[op].iteration);
    return LSPO_OK;
}

static lspo_status_t check_dependencies(const lspo_plan_t *plan, const lspo_trace_row_t *const *row_of)
{
    for (lspo_op_id_t id = 0; id < plan->op_count; id++) {
        const lspo_op_t *op = &plan->ops[id];
        for (uint32_t i = 0; i < op->dep_count; i++) {
            lspo_op_id_t dep = plan->deps[op->dep_first + i];
            if (row_of[dep]->end_ns > row_of[id]->start_ns)
                return lspo_error(LSPO_ERR_CHECK,
                                  "trace: op %" PRIu32 " starts at %" PRIu64 " ns, before op %" PRIu32
                                  ", on which it depends, ends at %" PRIu64 " ns",
                                  id, row_of[id]->start_ns, dep, row_of[dep]->end_ns);
        }
    }
    return LSPO_OK;
}

/* Reorders `rows` by lane. */
static lspo_status_t check_lanes(const lspo_trace_t *trace, const lspo_trace_row_t **rows, uint32_t count)
{
    qsort(rows, count, sizeof *rows, compare_by_lane);
    for (uint32_t i = 1; i < count; i++) {
        const lspo_trace_row_t *before = rows[i - 1], *after = rows[i];
        if (before->lane == after->lane && after->start_ns < before->end_ns)
            return lspo_error(LSPO_ERR_CHECK,
                              "trace: lane %s has two ops at a time: op %" PRIu32 " until %" PRIu64 " ns, op %" PRIu32
                              " from %" PRIu64 " ns",
                              lspo_trace_lane_name(trace, before), before->op, before->end_ns, after->op,
                              after->start_ns);
    }
    return LSPO_OK;
}

lspo_status_t lspo_trace_check(const lspo_trace_t *trace, const lspo_plan_t *plan)
{
    if (!lspo_lanes_equal(&trace->lanes, &plan->lanes))
        return lspo_error(LSPO_ERR_CHECK, "trace: its list of lanes differs from the plan's");
    const lspo_trace_row_t **row_of = calloc(plan->op_count ? plan->op_count : 1, sizeof *row_of);
    if (!row_of)
        return lspo_no_memory("checking a trace of %" PRIu32 " ops", plan->op_count);
    lspo_status_t status = index_rows(trace, plan, row_of);
    if (status != LSPO_OK)
        goto cleanup;
    status = check_dependencies(plan, row_of);
    if (status != LSPO_OK)
        goto cleanup;
    status = check_lanes(trace, row_of, plan->op_count);
cleanup:
    free(row_of);
    return status;
}
