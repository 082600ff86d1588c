/* compare.h - align two traces of the same plan op by op, to see where the prediction is wrong.  Traces of different
 * plans, such as imported measurements of other programs, are compared by the totals of their kinds. */
#ifndef LSPO_TRACES_COMPARE_H
#define LSPO_TRACES_COMPARE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/model.h"
#include "traces/summary.h"
#include "traces/trace.h"

/* One row per (kind, stage kind): durations of the ops of the sampled iterations. */
typedef struct {
    uint8_t kind;
    uint8_t lane_kind; /* of the last op, for ops of the kind on all kinds of lanes */
    uint8_t stage;     /* lspo_stage_kind_t: layer 0, between, the last layer of the trace; or LSPO_STAGE_ANY */
    uint32_t op_count; /* in the measured trace                                                 */
    uint32_t predicted_op_count;    /* equal to op_count in traces of the same plan */
    double predicted_s, measured_s; /* mean duration of an op; 0: none              */
    double share_of_error;          /* signed: (predicted - measured) time per iteration / measured iteration_s     */
} lspo_compare_row_t;

enum { LSPO_STAGE_ANY = 3, LSPO_COMPARE_ROWS_MAX = LSPO_OP_KIND_COUNT * 3 };

/* One op of an iteration, averaged over the sampled ones. */
typedef struct {
    uint8_t kind;
    uint16_t layer, micro, variant;
    uint32_t lane;                  /* index into the comparison's lanes */
    uint32_t op_count;              /* with this kind, layer, micro, variant and lane, in all sampled iterations */
    double predicted_s, measured_s; /* time per iteration */
} lspo_compare_op_t;

/* A lane that was busy in one of the traces. */
typedef struct {
    char name[LSPO_LANE_NAME_BYTES];
    double predicted_s, measured_s; /* busy time per iteration; 0 if the trace has no such lane */
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
    char mismatch[128]; /* "" for traces of the same plan, else the first op that one of them lacks */
} lspo_comparison_t;

/* Rows are joined on (kind, layer, iteration, micro, variant); if a plan has several such ops (swap brings parameters
 * twice), in the order of their ids.  Both traces must have the same lanes.  Shares need not add up to `error`, since
 * work hidden by another lane has a share, too.  LSPO_ERR_CHECK if the traces have different plans (an op of one is
 * missing in the other); the message names the first such op. */
lspo_status_t lspo_compare(const lspo_trace_t *predicted, const lspo_trace_t *measured, uint32_t warmup,
                           lspo_comparison_t *comparison_out);

/* The same, but different plans are not an error: `mismatch` describes the difference, and there is one row per kind,
 * with stage LSPO_STAGE_ANY and each trace's mean over its own sampled iterations. */
lspo_status_t lspo_compare_loosely(const lspo_trace_t *predicted, const lspo_trace_t *measured, uint32_t warmup,
                                   lspo_comparison_t *comparison_out);
void lspo_comparison_release(lspo_comparison_t *comparison);

#endif
