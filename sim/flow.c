/* flow.c - maximum flow through a directed graph; see flow.h. */
#include "sim/flow.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#define NONE UINT32_MAX

/* Edges are in pairs, 2 k and its reverse 2 k + 1: the residual capacity of one is the flow of the other. */
typedef struct {
    uint32_t to, next; /* next edge of the same node */
    int64_t left;
} edge_t;

struct lspo_flow {
    uint32_t node_count, edge_count, edge_capacity;
    edge_t *edges;
    uint32_t *first;   /* edge of each node                                  */
    uint32_t *current; /* the first one that may still lead to the sink */
    uint32_t *level;   /* number of edges from the source; NONE: no path */
    uint32_t *queue;   /* nodes of the search; then the edges of the path    */
};

static const int64_t unlimited = INT64_MAX / 4;

lspo_status_t lspo_flow_create(uint32_t node_count, uint32_t edge_count, lspo_flow_t **flow_out)
{
    lspo_flow_t *flow = calloc(1, sizeof *flow);
    if (!flow)
        return lspo_no_memory("a graph");
    *flow = (lspo_flow_t){.node_count = node_count, .edge_capacity = edge_count};
    flow->edges = malloc(2 * ((size_t)edge_count + 1) * sizeof *flow->edges);
    uint32_t **arrays[] = {&flow->first, &flow->current, &flow->level, &flow->queue};
    bool complete = flow->edges != NULL;
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        *arrays[i] = malloc(((size_t)node_count + 1) * sizeof **arrays[i]);
        complete = complete && *arrays[i] != NULL;
    }
    if (!complete) {
        lspo_flow_destroy(flow);
        return lspo_no_memory("a graph of %u nodes", node_count);
    }
    for (uint32_t node = 0; node < node_count; node++)
        flow->first[node] = NONE;
    *flow_out = flow;
    return LSPO_OK;
}

void lspo_flow_destroy(lspo_flow_t *flow)
{
    if (!flow)
        return;
    free(flow->queue);
    free(flow->level);
    free(flow->current);
    free(flow->first);
    free(flow->edges);
    free(flow);
}

static void add_half(lspo_flow_t *flow, uint32_t from, uint32_t to, int64_t left)
{
    flow->edges[flow->edge_count] = (edge_t){.to = to, .next = flow->first[from], .left = left};
    flow->first[from] = flow->edge_count++;
}

void lspo_flow_add(lspo_flow_t *flow, uint32_t from, uint32_t to, int64_t capacity)
{
    assert(flow->edge_count < 2 * flow->edge_capacity);
    add_half(flow, from, to, capacity == LSPO_FLOW_UNLIMITED ? unlimited : capacity);
    add_half(flow, to, from, 0);
}

/* Set levels by breadth-first search; is the sink reachable? */
static bool find_levels(lspo_flow_t *flow, uint32_t source, uint32_t sink)
{
    uint32_t head = 0, tail = 0;
    for (uint32_t node = 0; node < flow->node_count; node++)
        flow->level[node] = NONE;
    flow->level[source] = 0;
    flow->queue[tail++] = source;
    while (head < tail && flow->level[sink] == NONE) {
        uint32_t node = flow->queue[head++];
        for (uint32_t e = flow->first[node]; e != NONE; e = flow->edges[e].next) {
            uint32_t to = flow->edges[e].to;
            if (flow->edges[e].left == 0 || flow->level[to] != NONE)
                continue;
            flow->level[to] = flow->level[node] + 1;
            flow->queue[tail++] = to;
        }
    }
    return flow->level[sink] != NONE;
}

/* Send the smallest residual capacity along the `length` edges of the path. */
static int64_t send(lspo_flow_t *flow, const uint32_t *path, uint32_t length)
{
    int64_t amount = INT64_MAX;
    for (uint32_t i = 0; i < length; i++)
        if (flow->edges[path[i]].left < amount)
            amount = flow->edges[path[i]].left;
    for (uint32_t i = 0; i < length; i++) {
        flow->edges[path[i]].left -= amount;
        flow->edges[path[i] ^ 1].left += amount;
    }
    return amount;
}

/* The length of the path that is still open, from the source. */
static uint32_t open_length(const lspo_flow_t *flow, const uint32_t *path, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++)
        if (flow->edges[path[i]].left == 0)
            return i;
    return length;
}

/* An edge from `node` to a higher level; NONE if there is none left. */
static uint32_t next_edge(lspo_flow_t *flow, uint32_t node)
{
    for (uint32_t *e = &flow->current[node]; *e != NONE; *e = flow->edges[*e].next) {
        uint32_t level = flow->level[flow->edges[*e].to];
        if (flow->edges[*e].left > 0 && level > flow->level[node] && level != NONE)
            return *e;
    }
    return NONE;
}

/* Saturate all paths of increasing levels. */
static int64_t fill_paths(lspo_flow_t *flow, uint32_t source, uint32_t sink)
{
    uint32_t *path = flow->queue, length = 0, node = source;
    int64_t sent = 0;
    for (uint32_t n = 0; n < flow->node_count; n++)
        flow->current[n] = flow->first[n];
    while (true) {
        if (node == sink) {
            sent += send(flow, path, length);
            length = open_length(flow, path, length);
            node = flow->edges[path[length] ^ 1].to;
        }
        uint32_t edge = next_edge(flow, node);
        if (edge != NONE) {
            path[length++] = edge;
            node = flow->edges[edge].to;
        } else if (length == 0) {
            return sent;
        } else {
            flow->level[node] = NONE; /* a dead end in this phase */
            node = flow->edges[path[--length] ^ 1].to;
        }
    }
}

int64_t lspo_flow_maximum(lspo_flow_t *flow, uint32_t source, uint32_t sink)
{
    for (uint32_t node = 0; node < flow->node_count; node++)
        flow->level[node] = node;
    int64_t total = fill_paths(flow, source, sink);
    while (find_levels(flow, source, sink))
        total += fill_paths(flow, source, sink);
    return total;
}
