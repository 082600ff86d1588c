/* order.h - order the ops of a plan on its lanes by simulation: --order auto.
 *
 * A lane serves the ready op with the lowest priority value first (plan/plan.h), so an order is a due time for each op
 * of an iteration, which its counterparts repeat every step:
 *     priority of op v in iteration i  =  due(v) + i T,   T = time of an iteration, in units of its smallest part
 * Two orders are tried besides the policy's own:
 *     tails      due(v) is the latest start by the window of the bound (sim/window.h): its bound less the work and the
 *                tail of v, that is list scheduling by the longest work behind an op
 *     starts     due(v) is when v started in a play of the policy's own order
 * The better one is improved: of two ops that follow each other on the critical path on one lane, though neither waits
 * for the other, one is moved before the other, and the move is kept if it is faster (Van Laarhoven et al., Operations
 * Research 40, 1992).  An order that is not faster than the policy's own, or that no longer fits in memory where that
 * does, is dropped.  Dependencies stay as they are: an order changes no number of a training.
 */
#ifndef LSPO_SIM_ORDER_H
#define LSPO_SIM_ORDER_H

#include "base/status.h"
#include "plan/machine.h"
#include "plan/plan.h"

/* Change the priorities of the plan's ops to the fastest order found, or to none if it has messages in parts; the
 * same input gives the same order. */
lspo_status_t lspo_order_plan(lspo_plan_t *plan, const lspo_machine_t *machine);

#endif
