/* ready.c - choose the op that a lane serves next; see ready.h. */
#include "plan/ready.h"

#include <inttypes.h>
#include <stdlib.h>

/* One array for all heaps: a lane never has more ready ops than ops. */
static lspo_status_t lay_out_heaps(const lspo_plan_t *plan, lspo_ready_t *ready)
{
    uint32_t lane_count = plan->lanes.count;
    for (lspo_op_id_t id = 0; id < plan->op_count; id++) {
        const lspo_op_t *op = &plan->ops[id];
        if (op->lane >= lane_count)
            return lspo_error(LSPO_ERR_INTERNAL, "op %" PRIu32 " is on lane %" PRIu32 " of %" PRIu32, id, op->lane,
                              lane_count);
        ready->lanes[op->lane].count++;
        ready->ops[id] = (lspo_ready_op_t){op->dep_count, op->priority, op->lane, op->work};
    }
    lspo_ready_entry_t *next = ready->entries;
    for (uint32_t lane = 0; lane < lane_count; lane++) {
        ready->lanes[lane].heap = next;
        next += ready->lanes[lane].count;
        ready->lanes[lane].count = 0;
    }
    return LSPO_OK;
}

static lspo_status_t prepare(const lspo_plan_t *plan, lspo_ready_t *ready)
{
    ready->ops = malloc(((size_t)plan->op_count + 1) * sizeof *ready->ops);
    ready->entries = malloc(((size_t)plan->op_count + 1) * sizeof *ready->entries);
    ready->lanes = calloc((size_t)plan->lanes.count + 1, sizeof *ready->lanes);
    if (!ready->ops || !ready->entries || !ready->lanes)
        return lspo_no_memory("the order of %" PRIu32 " ops", plan->op_count);
    lspo_status_t status = lay_out_heaps(plan, ready);
    if (status != LSPO_OK)
        return status;
    status = lspo_lane_set_create(plan->lanes.count, &ready->fed);
    if (status != LSPO_OK)
        return status;
    status = lspo_plan_successors(plan, &ready->successor_first, &ready->successors);
    if (status != LSPO_OK)
        return status;
    for (lspo_op_id_t id = 0; id < plan->op_count; id++)
        if (ready->ops[id].waiting == 0)
            lspo_ready_add(ready, id, 0);
    return LSPO_OK;
}

lspo_status_t lspo_ready_create(const lspo_plan_t *plan, lspo_ready_t *ready_out)
{
    lspo_ready_t ready = {0};
    lspo_status_t status = prepare(plan, &ready);
    if (status != LSPO_OK) {
        lspo_ready_release(&ready);
        return status;
    }
    *ready_out = ready;
    return LSPO_OK;
}

void lspo_ready_release(lspo_ready_t *ready)
{
    lspo_lane_set_release(&ready->fed);
    free(ready->lanes);
    free(ready->entries);
    free(ready->successors);
    free(ready->successor_first);
    free(ready->ops);
}
