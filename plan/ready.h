/* ready.h - choose the op that a lane serves next: the lane rules of plan/plan.h, implemented once for both
 * interpreters.
 *
 * An op is ready when all its dependencies have ended.  Among the ready ops of its lane the least
 *     (priority, turn at which it became ready, id)
 * is served first.  The interpreter increments `turn` while ops end; ops that become ready in the same turn tie.  Each
 * lane has a binary heap of its ready ops.  The functions that run for every op are here, to be inlined: the engine
 * needs only about 20 ns per op.
 */
#ifndef LSPO_PLAN_READY_H
#define LSPO_PLAN_READY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/lane_set.h"
#include "plan/op.h"
#include "plan/plan.h"

/* `rank` packs priority and turn, so that one comparison orders both. */
typedef struct {
    uint64_t rank;
    lspo_op_id_t op;
} lspo_ready_entry_t;

typedef struct {
    lspo_ready_entry_t *heap; /* least first */
    uint32_t count;
} lspo_ready_lane_t;

/* What is read of an op that becomes ready and starts, together in a quarter of a cache line. */
typedef struct {
    uint32_t waiting; /* dependencies that have not ended */
    uint32_t priority, lane, work;
} lspo_ready_op_t;

typedef struct {
    lspo_ready_op_t *ops; /* by id; what they have from the plan is that of lspo_ready_create() */
    uint32_t *successor_first;
    lspo_op_id_t *successors;
    lspo_ready_entry_t *entries; /* storage of all heaps */
    lspo_ready_lane_t *lanes;    /* by index of plan->lanes */
    lspo_lane_set_t fed;         /* lanes that got an op; the user takes them out */
} lspo_ready_t;

/* Ops without dependencies become ready, in turn 0, and their lanes are in `fed`.  LSPO_ERR_INTERNAL if an op is on no
 * lane.  lspo_ready_release() accepts a struct that is all zero. */
lspo_status_t lspo_ready_create(const lspo_plan_t *plan, lspo_ready_t *ready_out);
void lspo_ready_release(lspo_ready_t *ready);

static inline bool lspo_ready_is_before(lspo_ready_entry_t a, lspo_ready_entry_t b)
{
    return a.rank != b.rank ? a.rank < b.rank : a.op < b.op;
}

static inline void lspo_ready_push(lspo_ready_lane_t *lane, lspo_ready_entry_t entry)
{
    uint32_t at = lane->count++;
    for (uint32_t parent; at > 0 && lspo_ready_is_before(entry, lane->heap[parent = (at - 1) / 2]); at = parent)
        lane->heap[at] = lane->heap[parent];
    lane->heap[at] = entry;
}

/* Take the op that the lane serves next; the lane must have one. */
static inline lspo_op_id_t lspo_ready_pop(lspo_ready_lane_t *lane)
{
    lspo_op_id_t first = lane->heap[0].op;
    lspo_ready_entry_t last = lane->heap[--lane->count];
    uint32_t at = 0;
    for (uint32_t child; (child = 2 * at + 1) < lane->count; at = child) {
        if (child + 1 < lane->count && lspo_ready_is_before(lane->heap[child + 1], lane->heap[child]))
            child++;
        if (!lspo_ready_is_before(lane->heap[child], last))
            break;
        lane->heap[at] = lane->heap[child];
    }
    lane->heap[at] = last;
    return first;
}

/* All dependencies of `id` have ended. */
static inline void lspo_ready_add(lspo_ready_t *ready, lspo_op_id_t id, uint32_t turn)
{
    const lspo_ready_op_t *op = &ready->ops[id];
    lspo_ready_push(&ready->lanes[op->lane], (lspo_ready_entry_t){(uint64_t)op->priority << 32 | turn, id});
    lspo_lane_set_add(&ready->fed, op->lane);
}

/* Which successors learn of an end or an issue. */
typedef enum { LSPO_FEED_ALL, LSPO_FEED_OWN_LANE, LSPO_FEED_OTHER_LANES } lspo_feed_t;

/* Of these successors of `id`, those that wait for nothing else become ready. */
static inline void lspo_ready_feed(lspo_ready_t *ready, lspo_op_id_t id, uint32_t turn, lspo_feed_t whom)
{
    lspo_ready_op_t *ops = ready->ops;
    for (uint32_t i = ready->successor_first[id]; i < ready->successor_first[id + 1]; i++) {
        lspo_op_id_t successor = ready->successors[i];
        if (whom != LSPO_FEED_ALL && (ops[successor].lane == ops[id].lane) != (whom == LSPO_FEED_OWN_LANE))
            continue;
        if (--ops[successor].waiting == 0)
            lspo_ready_add(ready, successor, turn);
    }
}

/* `id` has ended. */
static inline void lspo_ready_end(lspo_ready_t *ready, lspo_op_id_t id, uint32_t turn)
{
    lspo_ready_feed(ready, id, turn, LSPO_FEED_ALL);
}

/* The two halves of an end on a lane that is a queue, which keeps its order: once `id` is in the queue, its successors
 * on the same lane may follow it; those on other lanes wait until it has ended.  Call each once, issue first. */
static inline void lspo_ready_issue(lspo_ready_t *ready, lspo_op_id_t id, uint32_t turn)
{
    lspo_ready_feed(ready, id, turn, LSPO_FEED_OWN_LANE);
}
static inline void lspo_ready_end_issued(lspo_ready_t *ready, lspo_op_id_t id, uint32_t turn)
{
    lspo_ready_feed(ready, id, turn, LSPO_FEED_OTHER_LANES);
}

#endif
