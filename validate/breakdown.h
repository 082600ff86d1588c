/* breakdown.h - which ops make the error of a cell.
 *
 * Both traces are of one plan, so that each op has a predicted and a measured duration.  The plan is played with
 * durations given op by op and no contention, which they already contain.  Let T(K) be its time per iteration with
 * measured durations for the kinds in K and predicted ones for the others.  Going from none to all kinds, one kind at a
 * time, kind k makes
 *     T(before k) - T(with k)
 * of the error, which depends on the order a little: the mean of the order of the kinds and its reverse is taken.  What
 * is left of predicted - measured is waiting: dispatch, lanes that did not start when they could, and differences of
 * contention within an op.  Shares and waiting add up to the error.
 */
#ifndef LSPO_VALIDATE_BREAKDOWN_H
#define LSPO_VALIDATE_BREAKDOWN_H

#include <stdbool.h>

#include "plan/op.h"
#include "traces/trace.h"
#include "validate/predict.h"

typedef struct {
    bool known;                       /* a measured trace was there */
    double error;                     /* of the visit that was traced: predicted / measured - 1 */
    double share[LSPO_OP_KIND_COUNT]; /* of `error`: that these ops take another time than predicted */
    double waiting;                   /* the rest of `error` */
    bool present[LSPO_OP_KIND_COUNT];
} lspo_breakdown_t;

lspo_status_t lspo_validate_breakdown(const lspo_cell_t *cell, const lspo_trace_t *measured,
                                      lspo_breakdown_t *breakdown_out);

#endif
