/* place.h - a plan for peers that differ: whose profile and which link each of its works has (plan/network.h).
 *
 * A policy builds its plan as for equal peers, and calls lspo_place_plan() at the end.  A SEND then keeps its lane busy
 * only for its bytes; behind it follows the time that the first byte needs to arrive, an op of variant DELAY on one of
 * a few lanes of their own, for which those wait that waited for SEND.  Messages that follow each other are on their
 * way at the same time, so there are as many such lanes as messages can be.
 */
#ifndef LSPO_PLAN_PLACE_H
#define LSPO_PLAN_PLACE_H

#include "plan/network.h"
#include "plan/plan.h"

/* kinds[i]: the kind of the peer with index i (plan/peers.h).  The plan keeps `network`, which is zero afterwards.  Ids
 * of ops change. */
lspo_status_t lspo_place_plan(lspo_plan_t *plan, const uint32_t *kinds, lspo_network_t *network);

/* What the ops of a work run on: `machine`, or the profile of its peer with its link, made in *own; and the factor of
 * the rates of its GPU. */
const lspo_machine_t *lspo_place_machine(const lspo_plan_t *plan, const lspo_machine_t *machine, uint32_t work,
                                         lspo_machine_t *own, double *speed_out);

#endif
