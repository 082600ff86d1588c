/* iterations.c - the ops of a plan by iteration, and their counterparts; see iterations.h. */
#include "sim/iterations.h"

#include <inttypes.h>
#include <stdlib.h>

#include "sim/cost.h"

static uint64_t identity(const lspo_op_t *op)
{
    return (uint64_t)op->kind << 48 | (uint64_t)op->layer << 32 | (uint64_t)op->micro << 16 | op->variant;
}

static int compare_node(const void *left, const void *right)
{
    const lspo_node_t *a = left, *b = right;
    if (a->identity != b->identity)
        return a->identity < b->identity ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

void lspo_iterations_release(lspo_iterations_t *its)
{
    free(its->is_sorted);
    free(its->place);
    free(its->first);
    free(its->nodes);
    *its = (lspo_iterations_t){0};
}

/* In the order of ids. */
static void split(const lspo_plan_t *plan, lspo_iterations_t *its)
{
    for (lspo_op_id_t id = 0; id < plan->op_count; id++)
        its->first[plan->ops[id].iteration + 1]++;
    for (uint32_t i = 0; i < its->count; i++)
        its->first[i + 1] += its->first[i];
    for (lspo_op_id_t id = plan->op_count; id-- > 0;) {
        /* place[] serves as the cursor of its iteration here; lspo_iterations_sort() fills it. */
        uint32_t *cursor = &its->place[plan->ops[id].iteration];
        uint32_t at = its->first[plan->ops[id].iteration + 1] - 1 - (*cursor)++;
        its->nodes[at] = (lspo_node_t){identity(&plan->ops[id]), 0, id};
    }
}

lspo_status_t lspo_iterations_create(const lspo_plan_t *plan, lspo_iterations_t *its)
{
    *its = (lspo_iterations_t){0};
    for (lspo_op_id_t id = 0; id < plan->op_count; id++) {
        if (plan->ops[id].iteration >= plan->op_count)
            return lspo_error(LSPO_ERR_CHECK, "op %" PRIu32 " is of iteration %" PRIu32 " in a plan of %" PRIu32 " ops",
                              id, plan->ops[id].iteration, plan->op_count);
        if (plan->ops[id].iteration >= its->count)
            its->count = plan->ops[id].iteration + 1;
    }
    its->nodes = malloc(((size_t)plan->op_count + 1) * sizeof *its->nodes);
    its->first = calloc((size_t)its->count + 1, sizeof *its->first);
    its->place = calloc((size_t)plan->op_count + 1, sizeof *its->place);
    its->is_sorted = calloc((size_t)its->count + 1, sizeof *its->is_sorted);
    if (!its->nodes || !its->first || !its->place || !its->is_sorted)
        return lspo_no_memory("the iterations of %" PRIu32 " ops", plan->op_count);
    split(plan, its);
    return LSPO_OK;
}

void lspo_iterations_sort(lspo_iterations_t *its, uint32_t iteration)
{
    uint32_t first = its->first[iteration], end = its->first[iteration + 1];
    if (its->is_sorted[iteration])
        return;
    its->is_sorted[iteration] = true;
    qsort(its->nodes + first, end - first, sizeof *its->nodes, compare_node);
    for (uint32_t at = first; at < end; at++) {
        if (at > first && its->nodes[at].identity == its->nodes[at - 1].identity)
            its->nodes[at].rank = its->nodes[at - 1].rank + 1;
        its->place[its->nodes[at].id] = at;
    }
}

uint32_t lspo_iterations_counterpart(lspo_iterations_t *its, const lspo_plan_t *plan, lspo_op_id_t op,
                                     uint32_t iteration)
{
    lspo_iterations_sort(its, plan->ops[op].iteration);
    lspo_iterations_sort(its, iteration);
    const lspo_node_t *node = &its->nodes[its->place[op]];
    uint32_t low = its->first[iteration], end = its->first[iteration + 1], high = end;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const lspo_node_t *at = &its->nodes[middle];
        if (at->identity < node->identity || (at->identity == node->identity && at->rank < node->rank))
            low = middle + 1;
        else
            high = middle;
    }
    return low < end && its->nodes[low].identity == node->identity && its->nodes[low].rank == node->rank ? low : end;
}

static uint64_t work_of(const lspo_plan_t *plan, const uint64_t *work_ns, const lspo_iterations_t *its,
                        uint32_t iteration)
{
    uint64_t sum_ns = 0;
    for (uint32_t at = its->first[iteration]; at < its->first[iteration + 1]; at++)
        sum_ns += lspo_cost_op_ns(&plan->ops[its->nodes[at].id], work_ns);
    return sum_ns;
}

uint32_t lspo_iterations_pick(const lspo_iterations_t *its, const lspo_plan_t *plan, const uint64_t *work_ns)
{
    if (its->count < 3)
        return its->count - 1;
    uint32_t best = 1;
    uint64_t least_ns = work_of(plan, work_ns, its, best);
    for (uint32_t i = 2; i + 1 < its->count; i++) {
        uint64_t sum_ns = work_of(plan, work_ns, its, i);
        if (sum_ns <= least_ns) {
            best = i;
            least_ns = sum_ns;
        }
    }
    return best;
}
