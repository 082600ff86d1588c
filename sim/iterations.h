/* iterations.h - the ops of a plan by iteration, and the counterparts of an op in other iterations.
 *
 * Ops of different iterations are counterparts if they have the same kind, layer, micro-batch and variant, and the same
 * rank among the ops of their iteration with these.
 */
#ifndef LSPO_SIM_ITERATIONS_H
#define LSPO_SIM_ITERATIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/plan.h"

typedef struct {
    uint64_t identity; /* kind, layer, micro-batch, variant */
    uint32_t rank;     /* among the ops of its iteration with this identity */
    lspo_op_id_t id;
} lspo_node_t;

/* The ops of iteration i are nodes[first[i] .. first[i + 1]), in the order of (identity, rank) once
 * lspo_iterations_sort() has been called for it, before that without ranks. */
typedef struct {
    lspo_node_t *nodes;
    uint32_t *first;
    uint32_t *place; /* of each op in `nodes`, once its iteration is sorted */
    bool *is_sorted; /* by iteration                                        */
    uint32_t count;  /* iterations                                          */
} lspo_iterations_t;

/* LSPO_ERR_CHECK if an op is of an iteration beyond the number of ops.  Release it in any case. */
lspo_status_t lspo_iterations_create(const lspo_plan_t *plan, lspo_iterations_t *its);
void lspo_iterations_release(lspo_iterations_t *its);

void lspo_iterations_sort(lspo_iterations_t *its, uint32_t iteration);
/* The counterpart of `op` in `iteration`, as a place in its->nodes; sorts both iterations.  first[iteration + 1] if
 * there is none. */
uint32_t lspo_iterations_counterpart(lspo_iterations_t *its, const lspo_plan_t *plan, lspo_op_id_t op,
                                     uint32_t iteration);

/* The last inner iteration with the least work, so that work that occurs only in some iterations is not counted; if
 * there are no inner iterations, the last one.  `work_ns` comes from lspo_cost_plan(). */
uint32_t lspo_iterations_pick(const lspo_iterations_t *its, const lspo_plan_t *plan, const uint64_t *work_ns);

#endif
