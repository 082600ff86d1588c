#include "plan/ready.h"

#include <inttypes.h>
#include <stdlib.h>

/* One array for all heaps: a lane never has more ready ops than ops. */
static lspo_status_t lay_out_heaps(lspo_ready_t *ready)
{
    const lspo_plan_t *plan = ready->plan;
    uint32_t on_lane[LSPO_LANE_COUNT] = {0};
    for (lspo_op_id_t id = 0; id < plan->op_count; id++) {
        uint8_t lane = plan->ops[id].lane;
        if (lane >= LSPO_LANE_COUNT)
            return lspo_error(LSPO_ERR_INTERNAL, "op %" PRIu32 " is on lane %u of %d", id, lane, LSPO_LANE_COUNT);
        on_lane[lane]++;
    }
    lspo_ready_entry_t *next = ready->entries;
    for (int lane = 0; lane < LSPO_LANE_COUNT; lane++) {
        ready->lanes[lane].heap = next;
        next += on_lane[lane];
    }
    return LSPO_OK;
}

static lspo_status_t prepare(lspo_ready_t *ready)
{
    const lspo_plan_t *plan = ready->plan;
    ready->waiting = malloc(((size_t)plan->op_count + 1) * sizeof *ready->waiting);
    ready->entries = malloc(((size_t)plan->op_count + 1) * sizeof *ready->entries);
    if (!ready->waiting || !ready->entries)
        return lspo_error(LSPO_ERR_MEMORY, "out of memory for the order of %" PRIu32 " ops", plan->op_count);
    lspo_status_t status = lay_out_heaps(ready);
    if (status == LSPO_OK)
        status = lspo_plan_successors(plan, &ready->successor_first, &ready->successors);
    if (status != LSPO_OK)
        return status;
    for (lspo_op_id_t id = 0; id < plan->op_count; id++) {
        ready->waiting[id] = plan->ops[id].dep_count;
        if (plan->ops[id].dep_count == 0)
            lspo_ready_add(ready, id, 0);
    }
    return LSPO_OK;
}

lspo_status_t lspo_ready_create(const lspo_plan_t *plan, lspo_ready_t *ready_out)
{
    lspo_ready_t ready = {.plan = plan};
    lspo_status_t status = prepare(&ready);
    if (status == LSPO_OK)
        *ready_out = ready;
    else
        lspo_ready_release(&ready);
    return status;
}

void lspo_ready_release(lspo_ready_t *ready)
{
    free(ready->entries);
    free(ready->successors);
    free(ready->successor_first);
    free(ready->waiting);
}
