/* compare.h - align two traces of one plan op by op: where does the prediction miss? */
#ifndef LSPO_TRACES_COMPARE_H
#define LSPO_TRACES_COMPARE_H

#include <stdint.h>

#include "plan/model.h"
#include "plan/status.h"
#include "traces/summary.h"
#include "traces/trace.h"

/* One row a (kind, stage kind): durations of the matched ops of the sampled iterations. */
typedef struct {
    uint8_t kind, lane;
    uint8_t stage; /* lspo_stage_kind_t: layer 0, between, the last layer of the trace */
    uint32_t op_count;
    double predicted_s, measured_s; /* mean duration of an op */
    double share_of_error;          /* signed: (predicted - measured) * ops an iteration / measured iteration_s */
} lspo_compare_row_t;

enum { LSPO_COMPARE_ROWS_MAX = LSPO_OP_KIND_COUNT * 3 };

typedef struct {
    lspo_summary_t predicted, measured;
    double error; /* predicted / measured - 1, of iteration_s */
    lspo_compare_row_t rows[LSPO_COMPARE_ROWS_MAX];
    uint32_t row_count;        /* largest |share_of_error| first */
    uint32_t matched_op_count; /* of all iterations, warm-up included */
} lspo_comparison_t;

/* Rows are joined on (kind, layer, iteration, micro, variant), and where a plan has several such ops (swap brings
 * parameters twice) in the order of their ids.  Shares need not add up to `error`: work that another lane hides has a
 * share too.  LSPO_ERR_CHECK when the traces are of different plans (an op of one missing in the other); the message
 * names the first. */
lspo_status_t lspo_compare(const lspo_trace_t *predicted, const lspo_trace_t *measured, uint32_t warmup,
                           lspo_comparison_t *comparison_out);
void lspo_comparison_release(lspo_comparison_t *comparison);

#endif
