/* room.h - decide which op may take its memory when device memory is limited.
 *
 * Ops of several lanes take and give back memory, and an op that takes it early can block all others: its memory comes
 * back only after an op that no longer fits.  So an op begins only if afterwards
 *     1. the memory that ops hold, including its own, is within the room, and
 *     2. once the running ops have ended, all others can still run, one after the other in the order of their ids:
 *        for each such op k,  serial(k) + sum of taken - given back by ops above k that have begun  <=  room,
 *        with serial(k) = sum of taken - given back by all ops below k, + what k takes.
 * Then the op with the lowest id that has not begun can always begin when no op is running, so there is no deadlock.
 * This is the banker's algorithm (Dijkstra, EWD 108), with the plan's order as the order known to be safe.  It needs at
 * least the largest serial(k); more room allows more overlap.
 *
 * On a lane that is a queue, the next op may take the memory of the previous op before that has ended, since a queue
 * keeps its order; ops of other lanes may not. */
#ifndef LSPO_REAL_EXECUTE_ROOM_H
#define LSPO_REAL_EXECUTE_ROOM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/plan.h"

typedef struct {
    const lspo_plan_t *plan;
    int64_t room_bytes;
    int64_t *serial_bytes; /* of each op */
    bool *begun;
    lspo_op_id_t first_open, first_untouched; /* all ops below the first have begun, none from the second on */
    int64_t held_bytes;                       /* by ops that have begun: taken, not given back by one that ended */
    int64_t *coming_bytes;                    /* by lane: to be given back by its ops that have not ended */
} lspo_room_t;

/* The smallest room in which the plan can run: the largest serial(k). */
uint64_t lspo_room_least_bytes(const lspo_plan_t *plan);

/* LSPO_ERR_FIT if `room_bytes`, without the plan's static memory, is too small.  `plan` must outlive it.
 * lspo_room_release() accepts a struct that is all zero. */
lspo_status_t lspo_room_create(const lspo_plan_t *plan, uint64_t room_bytes, lspo_room_t *room_out);
void lspo_room_release(lspo_room_t *room);

bool lspo_room_admits(const lspo_room_t *room, lspo_op_id_t op);
void lspo_room_begin(lspo_room_t *room, lspo_op_id_t op);
void lspo_room_end(lspo_room_t *room, lspo_op_id_t op);

#endif
