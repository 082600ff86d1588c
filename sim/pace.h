/* pace.h - only the time per iteration of a plan, the same as of the trace of a whole play, from as short a play as
 * shows it.
 *
 * Without a trace, and only until the plan repeats itself.  Let E(i) be the op whose end is the end of iteration i.
 * Ops are split by id into blocks, so that E(i) is in block i, and every op of block i + 1 or later waits for E(i),
 * directly or not.  Blocks j and j + 1 are alike if they have the same number of ops P and op id + P is op id one
 * iteration later: the same lane and work, the same distance of its dependencies, a priority that is higher by the same
 * number for all ops.  From some block k on, let each block be like the one before it.  The state of a play, when E(i)
 * and all that ends at the same time has ended and before other ops start, is
 *     for each lane      the running op and when it will end (under contention: its work left, its rate and since when)
 *     for each op        how many of its dependencies have not ended
 *     for each lane      its ready ops in the order of its heap, with the events at which they became ready
 * No op of block i + 1 has started then, since E(i) has only just ended.  What follows depends on this state alone, on
 * times only by their distances, on events and priorities only by their order.  So if the state at E(i) is that at
 * E(i - 1) with ids larger by P, times, events and priorities each by a constant, i - 1 >= k, and no op before block
 * i - 1 was unfinished at E(i - 1), then the play goes on from E(i) as it did from E(i - 1): each later iteration takes
 * as long as iteration i, up to the last one, because nothing behind block i can start before E(i).
 *
 * Arithmetic under contention (sim/engine.h) only uses differences of times, so this holds to the nanosecond.
 * Plans that never repeat, are split in no such way or have more lanes than LSPO_ENGINE_FEW are played to the end.
 */
#ifndef LSPO_SIM_PACE_H
#define LSPO_SIM_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/machine.h"
#include "plan/plan.h"
#include "sim/engine_few.h"

typedef struct lspo_pace lspo_pace_t;

/* `work_ns` comes from lspo_cost_plan(); it, plan and machine must outlive the result.  Plans of fewer than 2
 * iterations are LSPO_ERR_INPUT. */
lspo_status_t lspo_pace_create(const lspo_plan_t *plan, const lspo_machine_t *machine, const uint64_t *work_ns,
                               lspo_pace_t **pace_out);
/* Accepts NULL. */
void lspo_pace_destroy(lspo_pace_t *pace);

/* The plan has changed the priority of this op.  Equal distances between iterations must stay equal. */
void lspo_pace_set_priority(lspo_pace_t *pace, lspo_op_id_t op, uint32_t priority);

/* The next play keeps its state where this pass of the first iteration ends.  Later plays start there, since all
 * before it is the same in them; they must have the same `ranks`.  If an op that is ready by then gets a new priority,
 * the next play starts anew.  Where plays do not end early, nothing is held. */
void lspo_pace_hold(lspo_pace_t *pace, lspo_op_id_t pass);

/* What a play has shown. */
typedef struct {
    double iteration_s;
    uint32_t played; /* iterations; the others repeat the last of them */
    /* With priorities of iteration * ranks + rank: 1 + the highest rank of an op that was served before another one of
     * its iteration only because its rank was lower; 0: none was. */
    uint32_t overtook;
    bool resumed; /* it started from the state that another play has kept */
} lspo_pace_result_t;

/* Play from the start, or from where lspo_pace_hold() says; `ranks` 0: priorities have no ranks.  May be repeated. */
lspo_status_t lspo_pace_play(lspo_pace_t *pace, uint32_t ranks, lspo_pace_result_t *result_out);

/* Play once from the start to the end, or until a peak is above the most, for the peaks and the time.
 * `*iteration_s_out` is unchanged if a peak is above the most.  Not known of several peers, more lanes than
 * LSPO_ENGINE_FEW, ops that take no time and lanes that are woken: these need a trace. */
lspo_status_t lspo_pace_peaks(lspo_pace_t *pace, lspo_few_memory_t *memory, bool *known_out, double *iteration_s_out);

/* Cost, create, play once, destroy. */
lspo_status_t lspo_pace_of(const lspo_plan_t *plan, const lspo_machine_t *machine, double *iteration_s_out);

#endif
