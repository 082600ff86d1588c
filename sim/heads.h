/* heads.h - the least times before and behind the ops of a window, and what these take.
 *
 * sim/window.h has the definitions and the equations. */
#ifndef LSPO_SIM_HEADS_H
#define LSPO_SIM_HEADS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* The ops of a window, from the first to the last or backwards; every dependency has a lower index. */
typedef struct {
    uint32_t count, lane_count;
    uint32_t *lane;       /* of each op, from 0 without gaps */
    uint32_t *lane_first; /* where a lane's ops begin in lists of all, lane_count + 1 */
    uint64_t *work_ns;
    uint32_t *dep_first; /* count + 1 */
    uint32_t *deps;
} lspo_heads_dag_t;

/* Arrays of these sizes, to be filled; `lane_first` and `dep_first` are 0.  Release it also after an error. */
lspo_status_t lspo_heads_dag_create(uint32_t count, uint32_t lane_count, size_t dep_count, lspo_heads_dag_t *dag);
void lspo_heads_dag_release(lspo_heads_dag_t *dag);

/* Head and tail of each op; raises *bound_ns to the time that the ops of a lane take with them. */
lspo_status_t lspo_heads_bound(const lspo_heads_dag_t *dag, uint64_t *head_ns, uint64_t *tail_ns, uint64_t *bound_ns);

#endif
