/* ends.h - when the running op of each lane ends, and which lanes end first.
 *
 * This is a tree of minima with four children per node and the lanes as leaves.  A change costs one walk to the root: 6
 * steps with 4,000 lanes, none with up to four.  LSPO_NEVER is the end of a lane that runs nothing.
 */
#ifndef LSPO_SIM_ENDS_H
#define LSPO_SIM_ENDS_H

#include <stdint.h>

#include "base/status.h"

#define LSPO_NEVER UINT64_MAX
enum { LSPO_ENDS_LEVELS = 11 }; /* 4^11 lanes */

typedef struct {
    uint64_t *levels[LSPO_ENDS_LEVELS]; /* levels[0]: by lane; one allocation, owned by levels[0] */
    uint32_t depth;                     /* levels[depth - 1] is one node of four */
    uint32_t *due[2];                   /* scratch: lanes or nodes; one allocation, owned by due[0] */
} lspo_ends_t;

/* No lane runs. */
lspo_status_t lspo_ends_create(uint32_t lane_count, lspo_ends_t *ends_out);
/* Accepts a struct that is all zero. */
void lspo_ends_release(lspo_ends_t *ends);

static inline uint64_t lspo_ends_least(const uint64_t *node)
{
    uint64_t a = node[0] < node[1] ? node[0] : node[1], b = node[2] < node[3] ? node[2] : node[3];
    return a < b ? a : b;
}

static inline uint64_t lspo_ends_first_ns(const lspo_ends_t *ends)
{
    return lspo_ends_least(ends->levels[ends->depth - 1]);
}

/* Call after each change of levels[0][lane]. */
static inline void lspo_ends_update(lspo_ends_t *ends, uint32_t lane)
{
    for (uint32_t level = 1; level < ends->depth; level++) {
        uint64_t least_ns = lspo_ends_least(&ends->levels[level - 1][lane & ~UINT32_C(3)]);
        lane >>= 2;
        if (ends->levels[level][lane] == least_ns)
            return;
        ends->levels[level][lane] = least_ns;
    }
}

/* The lanes that end at lspo_ends_first_ns(), in order; the result is valid until the next call.  Usually there is only
 * one, which is found without a list. */
static inline const uint32_t *lspo_ends_due(lspo_ends_t *ends, uint64_t at_ns, uint32_t *count_out)
{
    uint32_t *nodes = ends->due[0], *children = ends->due[1], count = 1, level = ends->depth, node = 0;
    for (; level > 0; level--) {
        const uint64_t *child = &ends->levels[level - 1][4 * node];
        uint32_t equal = (uint32_t)(child[0] == at_ns) | (uint32_t)(child[1] == at_ns) << 1 |
                         (uint32_t)(child[2] == at_ns) << 2 | (uint32_t)(child[3] == at_ns) << 3;
        if (equal & (equal - 1))
            break;
        node = 4 * node + (uint32_t)__builtin_ctz(equal);
    }
    nodes[0] = node;
    while (level-- > 0) {
        uint32_t found = 0;
        for (uint32_t i = 0; i < count; i++)
            for (uint32_t child = 4 * nodes[i]; child < 4 * nodes[i] + 4; child++) {
                children[found] = child;
                found += ends->levels[level][child] == at_ns;
            }
        uint32_t *swapped = nodes;
        nodes = children;
        children = swapped;
        count = found;
    }
    *count_out = count;
    return nodes;
}

#endif
