/* flow.h - maximum flow through a directed graph: first along all paths on which the nodes' numbers rise, of any
 * length, then by phases of shortest augmenting paths (Dinic 1970).  Any graph is right.  It is fast where edges lead
 * to higher numbers and what the first paths take is not needed by later ones: the edges of a node that were added last
 * are filled first. */
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

/* The greatest flow; some path has no unlimited edge only.  Once a graph. */
int64_t lspo_flow_maximum(lspo_flow_t *flow, uint32_t source, uint32_t sink);

#endif
