/* window.h - the ops between two passes of a barrier, and the least time that they take.
 *
 * Let b be an op that each iteration repeats.  The ops that depend on b in iteration i, and on which b in iteration
 * i + k depends, all run between the ends of these two, in any schedule.  For each of them
 *     head    the least time from the end of the first b to its start
 *     tail    the least time from its end to the end of the second b
 * are at least the longest paths of dependencies.  They are more where many ops share a lane: the ops before v on one
 * lane, with their heads, works and longest paths to v, are jobs of one machine, and v starts after Jackson's
 * preemptive schedule of them (sim/jackson.h).  Heads found so are the heads of the jobs before later ops; tails
 * likewise, backwards.  Jackson's schedule of a lane's ops between both b with these heads and tails is a lower bound
 * on the time of k iterations (the one-machine bound: Carlier, EJOR 11, 1982).
 *
 * b is the op between whose passes the most work lies, of those on a longest cycle of dependencies of one iteration.
 * All durations are those of ops that run alone.
 */
#ifndef LSPO_SIM_WINDOW_H
#define LSPO_SIM_WINDOW_H

#include <stdint.h>

#include "base/status.h"
#include "plan/plan.h"
#include "sim/iterations.h"

typedef struct {
    lspo_op_id_t barrier; /* the first pass; it is not in `ops` */
    uint32_t iterations;  /* k */
    uint32_t count;       /* 0: no op of the plan is a barrier */
    lspo_op_id_t *ops;    /* in the order of ids; the last is the barrier's second pass */
    uint64_t *head_ns;    /* of each of them */
    uint64_t *tail_ns;
    uint64_t bound_ns; /* least time from pass to pass */
} lspo_window_t;

/* The window of `iterations` that bounds best, as late in the plan as there is room for; of generation that of the
 * token with the least work, because later ones take longer.  `work_ns` comes from lspo_cost_plan().  Release it
 * afterwards. */
lspo_status_t lspo_window_create(const lspo_plan_t *plan, const uint64_t *work_ns, lspo_iterations_t *its,
                                 uint32_t iterations, lspo_window_t *window_out);
void lspo_window_release(lspo_window_t *window);

#endif
