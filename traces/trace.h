/* trace.h - what happened, predicted or measured: one row an op, in the order in which the ops started.
 *
 * File format: CSV.  First "# lspo trace 1", then "# key: value" lines that hold all that is needed to rerun
 * it (origin sim|run, model, machine or device, policy, every workload flag, seed, version, caps), then the header
 *     op,kind,layer,iteration,micro,variant,lane,start_s,end_s,bytes
 * and the rows.  The lane is a name.  Where the lanes are not the four of one device (plan/lane.h), the header also has
 * a line "# lane: NAME KIND DEVICE PEER" for each, in the order of the plan's list.  In a value \\ is a backslash and
 * \xNN the byte with that hexadecimal number: a control character, or a blank at either end.  Times are seconds with
 * nine decimals, zero at the start of the plan.
 */
#ifndef LSPO_TRACES_TRACE_H
#define LSPO_TRACES_TRACE_H

#include <stdint.h>
#include <stdio.h>

#include "plan/plan.h"
#include "base/status.h"

typedef struct {
    lspo_op_id_t op;
    uint32_t lane; /* index into the trace's lanes */
    uint32_t iteration;
    uint16_t layer, micro, variant;
    uint8_t kind;
    uint64_t start_ns, end_ns;
    uint64_t bytes; /* that were moved; 0 on GPU and CPU lanes */
} lspo_trace_row_t;

typedef struct {
    char *key, *value;
} lspo_trace_meta_t;

/* What a trace may have: each entry is looked for among all others. */
enum { LSPO_TRACE_META_MAX = 2048 };
#define LSPO_TRACE_BYTES_MAX (UINT64_C(8) << 30)

typedef struct {
    lspo_trace_row_t *rows; /* owned */
    uint32_t row_count;
    lspo_lanes_t lanes;      /* owned */
    lspo_trace_meta_t *meta; /* owned, in file order */
    uint32_t meta_count;
} lspo_trace_t;

/* An empty trace with room for `row_capacity` rows (row_count 0), of the four lanes of one device. */
lspo_status_t lspo_trace_create(uint32_t row_capacity, lspo_trace_t **trace_out);
/* The same of a copy of `lanes`. */
lspo_status_t lspo_trace_create_on(uint32_t row_capacity, const lspo_lanes_t *lanes, lspo_trace_t **trace_out);
void lspo_trace_destroy(lspo_trace_t *trace);

/* The key of header lines that name lanes. */
#define LSPO_TRACE_LANE_KEY "lane"

/* Replace or append one header entry.  A key is not empty and has neither ':' nor the end of a line nor blanks at its
 * ends, and it is not "lane": otherwise LSPO_ERR_INPUT.  A value may be any text. */
lspo_status_t lspo_trace_set_meta(lspo_trace_t *trace, const char *key, const char *value);
const char *lspo_trace_meta(const lspo_trace_t *trace, const char *key); /* NULL when absent */

/* A run during which other programs worked on its cores says so in its header, "gpu core share": of the GPU lane's busy
 * time the part in which it had its core.  Below this the times are not those of the plan alone. */
#define LSPO_TRACE_CORE_SHARE_LEAST 0.9
/* That entry; 1 where the trace has none. */
double lspo_trace_core_share(const lspo_trace_t *trace);

/* Header entries for model, policy, every workload flag and version. */
lspo_status_t lspo_trace_describe_plan(lspo_trace_t *trace, const lspo_plan_t *plan);

/* Fill kind, layer, ..., bytes of row `row` from plan->ops[op]; the times are left as they are. */
void lspo_trace_row_from_op(const lspo_plan_t *plan, lspo_op_id_t op, lspo_trace_row_t *row);

/* The name and the kind of a row's lane. */
static inline const char *lspo_trace_lane_name(const lspo_trace_t *trace, const lspo_trace_row_t *row)
{
    return trace->lanes.list[row->lane].name;
}
static inline lspo_lane_kind_t lspo_trace_lane_kind(const lspo_trace_t *trace, const lspo_trace_row_t *row)
{
    return (lspo_lane_kind_t)trace->lanes.list[row->lane].kind;
}

/* Sort rows by start, then lane, then end (an op that took no time precedes the one after it), then op. */
void lspo_trace_sort(lspo_trace_t *trace);

/* Write to a temporary beside `path`, fsync, rename. */
lspo_status_t lspo_trace_write(const lspo_trace_t *trace, const char *path);
/* Errors name file, line, column and value; rows must be well-formed (end >= start, known kind and lane). */
lspo_status_t lspo_trace_read(const char *path, lspo_trace_t **trace_out);

/* The invariants that every trace of `plan` must keep, whoever made it: each op exactly once and as the plan says
 * (kind, layer, iteration, micro, variant, lane; the lists of lanes are equal), none before its dependencies ended, no
 * lane with two ops at a time.  Logs the first offence, returns LSPO_ERR_CHECK. */
lspo_status_t lspo_trace_check(const lspo_trace_t *trace, const lspo_plan_t *plan);

#endif
