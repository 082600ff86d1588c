/* memory_least.c - see memory_least.h. */
#include "sim/memory_least.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Between two ops of the chain. */
typedef struct {
    int64_t before_bytes; /* of ops for which c_k waits, but not the one before it */
    int64_t taken_bytes;  /* by c_k */
    int64_t after_bytes;  /* of c_k when it ends, and of ops that may end then at the earliest */
} link_t;

typedef struct {
    const lspo_plan_t *plan;
    uint32_t *waits;  /* by op: it waits for c_1 .. c_waits, or is the last of them */
    uint32_t *needed; /* by op: the first op of the chain that waits for it; UINT32_MAX: none does */
    lspo_op_id_t *ops;
    link_t *links; /* by k, from 0: the start */
    uint32_t count;
} chain_t;

static int64_t change_bytes(const lspo_op_t *op)
{
    return (int64_t)(op->gpu_alloc_bytes - op->gpu_free_bytes);
}

/* c_1 is the first op of the GPU that takes memory. */
static void find_chain(chain_t *chain)
{
    const lspo_plan_t *plan = chain->plan;
    for (lspo_op_id_t id = 0; id < plan->op_count; id++) {
        const lspo_op_t *op = &plan->ops[id];
        uint32_t waits = 0;
        for (uint32_t d = 0; d < op->dep_count; d++) {
            const uint32_t its = chain->waits[plan->deps[op->dep_first + d]];
            waits = its > waits ? its : waits;
        }
        const bool follows = chain->count > 0 ? waits == chain->count : op->gpu_alloc_bytes > 0;
        if (follows && lspo_op_kind_lane((lspo_op_kind_t)op->kind) == LSPO_LANE_GPU) {
            chain->ops[chain->count++] = id;
            waits = chain->count;
        }
        chain->waits[id] = waits;
        chain->needed[id] = UINT32_MAX;
    }
}

static void find_needed(chain_t *chain)
{
    const lspo_plan_t *plan = chain->plan;
    for (uint32_t k = chain->count, next = plan->op_count; next-- > 0;) {
        const lspo_op_t *op = &plan->ops[next];
        const bool is_link = k > 0 && chain->ops[k - 1] == next;
        const uint32_t by = is_link ? k : chain->needed[next];
        for (uint32_t d = 0; d < op->dep_count; d++) {
            uint32_t *needed = &chain->needed[plan->deps[op->dep_first + d]];
            *needed = by < *needed ? by : *needed;
        }
        k -= is_link;
    }
}

static void fill_links(chain_t *chain)
{
    const lspo_plan_t *plan = chain->plan;
    uint32_t k = 0;
    for (lspo_op_id_t id = 0; id < plan->op_count; id++) {
        const lspo_op_t *op = &plan->ops[id];
        const int64_t bytes = change_bytes(op);
        if (k < chain->count && chain->ops[k] == id) {
            chain->links[++k].taken_bytes = (int64_t)op->gpu_alloc_bytes;
            chain->links[k].after_bytes -= (int64_t)op->gpu_free_bytes;
        } else if (bytes < 0)
            chain->links[chain->waits[id]].after_bytes += bytes;
        else if (chain->needed[id] <= chain->count)
            chain->links[chain->needed[id]].before_bytes += bytes;
    }
}

static int64_t find_most(const chain_t *chain)
{
    int64_t now_bytes = chain->links[0].after_bytes, most_bytes = 0;
    for (uint32_t k = 1; k <= chain->count; k++) {
        const link_t *link = &chain->links[k];
        now_bytes += link->before_bytes + link->taken_bytes;
        most_bytes = now_bytes > most_bytes ? now_bytes : most_bytes;
        now_bytes += link->after_bytes;
    }
    return most_bytes;
}

lspo_status_t lspo_memory_least(const lspo_plan_t *plan, uint64_t *gpu_bytes_out)
{
    const size_t count = (size_t)plan->op_count + 1;
    *gpu_bytes_out = plan->gpu_static_bytes;
    if (lspo_lanes_of_kind(&plan->lanes, LSPO_LANE_GPU) != 1)
        return LSPO_OK;
    chain_t chain = {.plan = plan, .waits = malloc(3 * count * sizeof *chain.waits)};
    chain.links = calloc(count, sizeof *chain.links);
    lspo_status_t status = LSPO_OK;
    if (chain.waits != NULL && chain.links != NULL) {
        chain.needed = chain.waits + count;
        chain.ops = chain.needed + count;
        find_chain(&chain);
        find_needed(&chain);
        fill_links(&chain);
        *gpu_bytes_out += (uint64_t)find_most(&chain);
    } else
        status = lspo_no_memory("the least memory of %u ops", plan->op_count);
    free(chain.links);
    free(chain.waits);
    return status;
}
