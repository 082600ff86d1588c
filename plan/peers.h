/* peers.h - the peers of a plan (plan/lane.h), and on which of them an op takes and gives back memory: that of its
 * lane; but what SEND takes is the receiver's, the peer of the first op of a GPU that waits for it, or else of the
 * first SEND. */
#ifndef LSPO_PLAN_PEERS_H
#define LSPO_PLAN_PEERS_H

#include <stdint.h>

#include "plan/plan.h"

typedef struct {
    uint32_t count;
    uint32_t *of_lane; /* by lane: the index of its peer, in the order of their first lanes; owned */
    uint32_t *taker;   /* by op: the index of the peer whose memory it takes; owned */
} lspo_peers_t;

lspo_status_t lspo_peers_create(const lspo_plan_t *plan, lspo_peers_t *peers_out);
/* Accepts peers that are all zero. */
void lspo_peers_release(lspo_peers_t *peers);

/* The index of the peer whose memory the op gives back. */
static inline uint32_t lspo_peers_giver(const lspo_peers_t *peers, const lspo_op_t *op)
{
    return peers->of_lane[op->lane];
}

/* The static memory of a peer by its index. */
static inline uint64_t lspo_peers_gpu_static_bytes(const lspo_plan_t *plan, uint32_t peer)
{
    return plan->peer_static != NULL ? plan->peer_static[peer].gpu_bytes : plan->gpu_static_bytes;
}
static inline uint64_t lspo_peers_host_static_bytes(const lspo_plan_t *plan, uint32_t peer)
{
    return plan->peer_static != NULL ? plan->peer_static[peer].host_bytes : plan->host_static_bytes;
}

#endif
