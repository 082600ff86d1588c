/* room.h - which op may take its memory, where the device's is bounded.
 *
 * Ops of several lanes take and give back memory, and one that took it early can stand in the way of all others: what
 * it holds comes back only after an op that no longer fits.  So an op begins only if, after it,
 *     1. what ops hold now, its own included, is within the room, and
 *     2. once those under way have ended, all that have not begun still can, one after the other in order of their ids:
 *        for each such op k,  serial(k) + sum of taken - given back by ops above k that have begun  <=  room,
 *        with serial(k) = sum of taken - given back by all ops below k, + what k takes.
 * Then the op of the least id that has not begun can begin when nothing is under way, so no plan stands still: the
 * banker's algorithm (Dijkstra, EWD 108) with the plan's order as the one that is known to be safe.  What is needed for
 * that is the greatest serial(k); room beyond it buys overlap.
 *
 * What an op on a lane that is a queue gives back, the next one there may take before the first has ended, since a
 * queue keeps its order; another lane's may not. */
#ifndef LSPO_REAL_EXECUTE_ROOM_H
#define LSPO_REAL_EXECUTE_ROOM_H

#include <stdbool.h>
#include <stdint.h>

#include "plan/plan.h"
#include "base/status.h"

typedef struct {
    const lspo_plan_t *plan;
    int64_t room_bytes;
    int64_t *serial_bytes; /* of each op */
    bool *begun;
    lspo_op_id_t first_open, first_untouched; /* all below the one have begun, none from the other on */
    int64_t held_bytes;                       /* by ops that have begun: taken, not given back by one that ended */
    int64_t *coming_bytes;                    /* by lane: to be given back by its ops that have not ended */
} lspo_room_t;

/* The least room in which the plan can be played: the greatest serial(k). */
uint64_t lspo_room_least_bytes(const lspo_plan_t *plan);

/* LSPO_ERR_FIT when `room_bytes`, beyond what is held for the whole plan, are too few.  `plan` must outlive it.  Ended
 * by lspo_room_release(), which accepts what is all zero. */
lspo_status_t lspo_room_create(const lspo_plan_t *plan, uint64_t room_bytes, lspo_room_t *room_out);
void lspo_room_release(lspo_room_t *room);

bool lspo_room_admits(const lspo_room_t *room, lspo_op_id_t op);
void lspo_room_begin(lspo_room_t *room, lspo_op_id_t op);
void lspo_room_end(lspo_room_t *room, lspo_op_id_t op);

#endif
