/* peers.c - see peers.h. */
#include "plan/peers.h"

#include <stdlib.h>

/* A lane's place in the plan's list, to be sorted by peer. */
typedef struct {
    uint32_t peer, lane;
} place_t;

static int compare_places(const void *left, const void *right)
{
    const place_t *a = left, *b = right;
    return a->peer != b->peer ? (a->peer > b->peer) - (a->peer < b->peer) : (a->lane > b->lane) - (a->lane < b->lane);
}

/* of_lane: first the first lane of each lane's peer, then its number among these. */
static void number_lanes(const lspo_lanes_t *lanes, place_t *places, lspo_peers_t *peers)
{
    for (uint32_t lane = 0; lane < lanes->count; lane++)
        places[lane] = (place_t){lanes->list[lane].peer, lane};
    qsort(places, lanes->count, sizeof *places, compare_places);
    for (uint32_t i = 0; i < lanes->count; i++)
        peers->of_lane[places[i].lane] =
            i > 0 && places[i].peer == places[i - 1].peer ? peers->of_lane[places[i - 1].lane] : places[i].lane;
    for (uint32_t lane = 0; lane < lanes->count; lane++) {
        const uint32_t first = peers->of_lane[lane];
        peers->of_lane[lane] = first == lane ? peers->count++ : peers->of_lane[first];
    }
}

/* Where what this SEND waits for has arrived: a delay is on its way to where it goes itself. */
static void receive(const lspo_plan_t *plan, lspo_op_id_t id, lspo_peers_t *peers)
{
    const lspo_op_t *op = &plan->ops[id];
    const bool delay = op->kind == LSPO_OP_SEND && op->variant == LSPO_VARIANT_DELAY;
    for (uint32_t d = op->dep_first; d < op->dep_first + op->dep_count; d++)
        if (plan->ops[plan->deps[d]].kind == LSPO_OP_SEND)
            peers->taker[plan->deps[d]] = delay ? peers->taker[id] : peers->of_lane[op->lane];
}

/* Ids grow along dependencies, so the first one that is found is the lowest.  First by ops that send on, then by those
 * of GPUs, which come before. */
static void find_receivers(const lspo_plan_t *plan, lspo_peers_t *peers)
{
    for (lspo_op_id_t id = 0; id < plan->op_count; id++)
        peers->taker[id] = peers->of_lane[plan->ops[id].lane];
    for (lspo_op_id_t id = plan->op_count; id-- > 0;)
        if (plan->ops[id].kind == LSPO_OP_SEND && plan->ops[id].variant != LSPO_VARIANT_DELAY)
            receive(plan, id, peers);
    for (lspo_op_id_t id = plan->op_count; id-- > 0;)
        if (plan->lanes.list[plan->ops[id].lane].kind == LSPO_LANE_GPU || plan->ops[id].variant == LSPO_VARIANT_DELAY)
            receive(plan, id, peers);
}

lspo_status_t lspo_peers_create(const lspo_plan_t *plan, lspo_peers_t *peers_out)
{
    lspo_peers_t peers = {.of_lane = malloc(((size_t)plan->lanes.count + 1) * sizeof *peers.of_lane),
                          .taker = malloc(((size_t)plan->op_count + 1) * sizeof *peers.taker)};
    place_t *places = malloc(((size_t)plan->lanes.count + 1) * sizeof *places);
    if (!peers.of_lane || !peers.taker || !places) {
        free(places);
        lspo_peers_release(&peers);
        return lspo_no_memory("the peers of %u lanes", plan->lanes.count);
    }
    number_lanes(&plan->lanes, places, &peers);
    find_receivers(plan, &peers);
    free(places);
    *peers_out = peers;
    return LSPO_OK;
}

void lspo_peers_release(lspo_peers_t *peers)
{
    free(peers->taker);
    free(peers->of_lane);
    *peers = (lspo_peers_t){0};
}
