/* flow.h - maximum flow through a directed graph: first along all paths of increasing node numbers, of any length, then
 * by phases of shortest augmenting paths (Dinic 1970).  It works for any graph.  It is fast if edges lead to higher
 * numbers and the first paths take nothing that later ones need; of a node's edges, those added last are filled
 * first. */
#ifndef LSPO_SIM_FLOW_H
#define LSPO_SIM_FLOW_H

#include <stdint.h>

#include "base/status.h"

typedef struct lspo_flow lspo_flow_t;

enum { LSPO_FLOW_UNLIMITED = -1 };

/* Nodes 0 to node_count - 1; room for `edge_count` edges. */
lspo_status_t lspo_flow_create(uint32_t node_count, uint32_t edge_count, lspo_flow_t **flow_out);
void lspo_flow_destroy(lspo_flow_t *flow);

/* `capacity` at least 0, or LSPO_FLOW_UNLIMITED. */
void lspo_flow_add(lspo_flow_t *flow, uint32_t from, uint32_t to, int64_t capacity);

/* The maximum flow.  No path may have only unlimited edges.  Call once per graph. */
int64_t lspo_flow_maximum(lspo_flow_t *flow, uint32_t source, uint32_t sink);

#endif
