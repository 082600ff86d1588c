/* breakdown.h - the share of each kind of op in the error of a cell.
 *
 * Both traces have the same plan, so each op has a predicted and a measured duration.  The plan is played with given
 * durations per op and without contention, which these already include.  Let T(K) be its time per iteration with
 * measured durations for the kinds in K and predicted ones for the others.  From no kinds to all kinds, one kind at a
 * time, the share of kind k is
 *     T(before k) - T(with k)
 * which depends a little on the order, so the mean over the order of the kinds and its reverse is used.  The rest of
 * predicted - measured is waiting: dispatch, lanes that did not start when they could, and differences of contention
 * within an op.  Shares and waiting add up to the error.
 */
#ifndef LSPO_VALIDATE_BREAKDOWN_H
#define LSPO_VALIDATE_BREAKDOWN_H

#include <stdbool.h>

#include "plan/op.h"
#include "traces/trace.h"
#include "validate/predict.h"

typedef struct {
    bool known;                       /* there was a measured trace */
    double error;                     /* of the visit that was traced: predicted / measured - 1 */
    double share[LSPO_OP_KIND_COUNT]; /* of `error`, because these ops take longer or shorter */
    double waiting;                   /* the rest of `error` */
    bool present[LSPO_OP_KIND_COUNT];
} lspo_breakdown_t;

lspo_status_t lspo_validate_breakdown(const lspo_cell_t *cell, const lspo_trace_t *measured,
                                      lspo_breakdown_t *breakdown_out);

#endif
