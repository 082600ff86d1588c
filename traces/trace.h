/* trace.h - a trace, predicted or measured: one row per op, in the order in which ops started.
 *
 * File format: CSV. First "# lspo trace 1", then "# key: value" lines with everything that is needed to repeat it
 * (origin sim|run, model, machine or device, policy, every workload flag, seed, version, caps), then the header
 *     op,kind,layer,iteration,micro,variant,lane,start_s,end_s,bytes
 * and the rows.  The lane is a name.  If the lanes are not the four of one device (plan/lane.h), the header also has a
 * line "# lane: NAME KIND DEVICE PEER" for each, in the order of the plan's list.  In a value \\ is a backslash and
 * \xNN the byte with that hexadecimal number: a control character, or a blank at either end.  Times are seconds with
 * nine decimals, zero at the start of the plan.
 */
#ifndef LSPO_TRACES_TRACE_H
#define LSPO_TRACES_TRACE_H

#include <stdint.h>
#include <stdio.h>

#include "base/status.h"
#include "plan/plan.h"

typedef struct {
    lspo_op_id_t op;
    uint32_t lane; /* index into the trace's lanes */
    uint32_t iteration;
    uint16_t layer, micro, variant;
    uint8_t kind;
    uint64_t start_ns, end_ns;
    uint64_t bytes; /* moved by the op; 0 on GPU and CPU lanes */
} lspo_trace_row_t;

typedef struct {
    char *key, *value;
} lspo_trace_meta_t;

/* Limit of header entries; a look-up searches all of them. */
enum { LSPO_TRACE_META_MAX = 2048 };
#define LSPO_TRACE_BYTES_MAX (UINT64_C(8) << 30)

typedef struct {
    lspo_trace_row_t *rows; /* owned */
    uint32_t row_count;
    lspo_lanes_t lanes;      /* owned */
    lspo_trace_meta_t *meta; /* owned, in file order */
    uint32_t meta_count;
    char *path; /* owned: of the file that it was read from; NULL: none */
} lspo_trace_t;

/* How messages name it: its path, or "the trace". */
const char *lspo_trace_name(const lspo_trace_t *trace);

/* An empty trace with room for `row_capacity` rows (row_count 0), of the four lanes of one device. */
lspo_status_t lspo_trace_create(uint32_t row_capacity, lspo_trace_t **trace_out);
/* The same with a copy of `lanes`. */
lspo_status_t lspo_trace_create_on(uint32_t row_capacity, const lspo_lanes_t *lanes, lspo_trace_t **trace_out);
void lspo_trace_destroy(lspo_trace_t *trace);

/* The key of header lines that name lanes. */
#define LSPO_TRACE_LANE_KEY "lane"

/* Replace or append one header entry.  LSPO_ERR_INPUT if the key is empty, contains ':' or a line end, begins or ends
 * with a blank, or is "lane".  A value may be any text. */
lspo_status_t lspo_trace_set_meta(lspo_trace_t *trace, const char *key, const char *value);
const char *lspo_trace_meta(const lspo_trace_t *trace, const char *key); /* NULL: none */

/* The header entry "gpu core share" of a run is the share of the GPU lane's busy time in which it had its core, and not
 * other programs.  A run with less than this is disturbed. */
#define LSPO_TRACE_CORE_SHARE_LEAST 0.9
/* That entry; 1 if the trace has none. */
double lspo_trace_core_share(const lspo_trace_t *trace);

/* Header entries for model, policy, every workload flag and version. */
lspo_status_t lspo_trace_describe_plan(lspo_trace_t *trace, const lspo_plan_t *plan);

/* Fill kind, layer, ..., bytes of `row` from plan->ops[op]; the times are not changed. */
void lspo_trace_row_from_op(const lspo_plan_t *plan, lspo_op_id_t op, lspo_trace_row_t *row);
/* The same for all rows; their ops are set.  Only LSPO_ERR_MEMORY is possible. */
lspo_status_t lspo_trace_fill_rows(const lspo_plan_t *plan, lspo_trace_t *trace);

/* The name and the kind of a row's lane. */
static inline const char *lspo_trace_lane_name(const lspo_trace_t *trace, const lspo_trace_row_t *row)
{
    return trace->lanes.list[row->lane].name;
}
static inline lspo_lane_kind_t lspo_trace_lane_kind(const lspo_trace_t *trace, const lspo_trace_row_t *row)
{
    return (lspo_lane_kind_t)trace->lanes.list[row->lane].kind;
}

/* Sort rows by start, then lane, then end (so that an op that took no time precedes the next one), then op. */
void lspo_trace_sort(lspo_trace_t *trace);

/* Write the trace to a temporary file, flush it to disk and rename it to `path`. */
lspo_status_t lspo_trace_write(const lspo_trace_t *trace, const char *path);
/* Errors name file, line, column and value; rows must be well-formed (end >= start, known kind and lane). */
lspo_status_t lspo_trace_read(const char *path, lspo_trace_t **trace_out);

/* Check the invariants of every trace of `plan`, predicted or measured: it has each op exactly once and as in the plan
 * (kind, layer, iteration, micro, variant, lane; the same list of lanes), no op starts before its dependencies have
 * ended, and no lane has two ops at a time.  LSPO_ERR_CHECK otherwise; logs the first violation. */
lspo_status_t lspo_trace_check(const lspo_trace_t *trace, const lspo_plan_t *plan);

#endif
