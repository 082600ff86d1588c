/* compare.h - align two traces of one plan op by op: where does the prediction miss?  Traces of different plans, as
 * when a program not made here was measured, are compared by the totals of their kinds. */
#ifndef LSPO_TRACES_COMPARE_H
#define LSPO_TRACES_COMPARE_H

#include <stdbool.h>
#include <stdint.h>

#include "plan/model.h"
#include "base/status.h"
#include "traces/summary.h"
#include "traces/trace.h"

/* One row a (kind, stage kind): durations of the ops of the sampled iterations. */
typedef struct {
    uint8_t kind;
    uint8_t lane_kind; /* of the last op; where a kind's ops are on several kinds of lanes they count to one */
    uint8_t stage;     /* lspo_stage_kind_t: layer 0, between, the last layer of the trace; or LSPO_STAGE_ANY */
    uint32_t op_count; /* in the measured trace                                                 */
    uint32_t predicted_op_count;    /* the same in traces of one plan                                        */
    double predicted_s, measured_s; /* mean duration of an op; 0 where there is none                      */
    double share_of_error;          /* signed: (predicted - measured) time an iteration / measured iteration_s     */
} lspo_compare_row_t;

enum { LSPO_STAGE_ANY = 3, LSPO_COMPARE_ROWS_MAX = LSPO_OP_KIND_COUNT * 3 };

/* One op of an iteration, averaged over the sampled ones. */
typedef struct {
    uint8_t kind;
    uint16_t layer, micro, variant;
    uint32_t lane;                  /* index into the comparison's lanes */
    uint32_t op_count;              /* with this kind, layer, micro, variant and lane, in all sampled iterations */
    double predicted_s, measured_s; /* time an iteration */
} lspo_compare_op_t;

/* A lane that was busy in one of the traces. */
typedef struct {
    char name[LSPO_LANE_NAME_BYTES];
    double predicted_s, measured_s; /* busy time per iteration; 0 where the trace has no such lane */
} lspo_compare_lane_t;

typedef struct {
    lspo_summary_t predicted, measured;
    double error; /* predicted / measured - 1, of iteration_s */
    lspo_compare_row_t rows[LSPO_COMPARE_ROWS_MAX];
    uint32_t row_count;        /* largest |share_of_error| first */
    uint32_t matched_op_count; /* of all iterations, warm-up included; 0 for different plans */
    lspo_compare_op_t *ops;    /* owned: largest |predicted_s - measured_s| first; none for different plans */
    uint32_t op_count;
    lspo_lanes_t lanes;              /* owned: of the measured trace */
    lspo_compare_lane_t *busy_lanes; /* owned: in the order of the predicted trace's list, then of the measured one's */
    uint32_t busy_lane_count;
    char mismatch[128]; /* "" for traces of one plan, else the first op that one of them lacks */
} lspo_comparison_t;

/* Rows are joined on (kind, layer, iteration, micro, variant), and where a plan has several such ops (swap brings
 * parameters twice) in the order of their ids.  Both
 * traces must have the same lanes.  Shares need not add up to `error`: work that another lane hides has a
 * share too.  LSPO_ERR_CHECK when the traces are of different plans (an op of one missing in the other); the message
 * names the first. */
lspo_status_t lspo_compare(const lspo_trace_t *predicted, const lspo_trace_t *measured, uint32_t warmup,
                           lspo_comparison_t *comparison_out);

/* The same, but traces of different plans are no error: `mismatch` says so, and there is one row a kind, of
 * stage LSPO_STAGE_ANY, each trace's mean over its own sampled iterations. */
lspo_status_t lspo_compare_loosely(const lspo_trace_t *predicted, const lspo_trace_t *measured, uint32_t warmup,
                                   lspo_comparison_t *comparison_out);
void lspo_comparison_release(lspo_comparison_t *comparison);

#endif
