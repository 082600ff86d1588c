/* visit.c - see visit.h. */
#include "plan/policies/visit.h"

#include <stdlib.h>

#include "plan/chunks.h"
#include "plan/stage_work.h"

lspo_status_t lspo_visit_slots_create(uint32_t count, lspo_visit_slots_t *slots_out)
{
    lspo_op_id_t *frees = malloc(count * sizeof *frees);
    if (!frees)
        return lspo_no_memory("room for %u states", count);
    for (uint32_t i = 0; i < count; i++)
        frees[i] = LSPO_NO_OP;
    *slots_out = (lspo_visit_slots_t){.frees = frees, .count = count};
    return LSPO_OK;
}

void lspo_visit_slots_release(lspo_visit_slots_t *slots)
{
    free(slots->frees);
    *slots = (lspo_visit_slots_t){0};
}

static uint64_t moments_bytes(const lspo_builder_t *b, uint64_t elements)
{
    return lspo_optimizer_state_bytes(lspo_plan_optimizer_state(b->plan), elements, 0);
}

static bool has_master(const lspo_builder_t *b)
{
    return lspo_optimizer_state_has_master(lspo_plan_optimizer_state(b->plan), b->workload->precision);
}

static uint64_t fetched_bytes(const lspo_builder_t *b, uint64_t elements)
{
    return moments_bytes(b, elements) + (has_master(b) ? elements * sizeof(float) : 0);
}

lspo_precision_t lspo_visit_updated(const lspo_builder_t *b)
{
    return lspo_optimizer_state_updates(lspo_plan_optimizer_state(b->plan), b->workload->precision);
}

static uint64_t flushed_bytes(const lspo_builder_t *b, uint64_t elements)
{
    return moments_bytes(b, elements) + elements * lspo_precision_bytes(lspo_visit_updated(b));
}

/* m and v, in 8 bits their scales, and the parameters are copies of their own. */
static void describe_swap(const lspo_builder_t *b, uint64_t bytes, bool parameters, lspo_work_t *work)
{
    lspo_work_copy(bytes, work);
    work->kernels[0].count = lspo_plan_optimizer_state(b->plan) == LSPO_OPTIMIZER_STATE_8BIT ? 4 : 2;
    work->kernels[0].count += parameters ? 1 : 0;
}

bool lspo_visit_describe(const lspo_builder_t *b, lspo_op_kind_t kind, uint64_t elements, lspo_work_t *work)
{
    switch (kind) {
    case LSPO_OP_SWAP_IN:
        describe_swap(b, fetched_bytes(b, elements), has_master(b), work);
        return true;
    case LSPO_OP_SWAP_OUT:
        describe_swap(b, flushed_bytes(b, elements), true, work);
        return true;
    case LSPO_OP_UPD_GPU:
        lspo_work_adam_in(lspo_plan_optimizer_state(b->plan), b->workload->precision, elements, work);
        return true;
    default:
        return false;
    }
}

void lspo_visit_build(lspo_builder_t *b, lspo_visit_slots_t *slots, const lspo_visit_order_t *order,
                      lspo_visit_t *visit)
{
    const uint32_t stage = order->stage, iteration = order->iteration, part = order->part;
    const uint64_t elements = lspo_build_part_elements(b, stage, part);
    const uint64_t state_bytes = fetched_bytes(b, elements);
    lspo_op_id_t *slot = &slots->frees[slots->used++ % slots->count];
    lspo_op_id_t state = lspo_build_part(b, LSPO_OP_SWAP_IN, LSPO_VARIANT_OPTIMIZER, stage, iteration, part);
    lspo_build_depend(b, b->last_compute);
    lspo_build_depend(b, *slot);
    lspo_build_depend(b, visit->home);
    lspo_build_gpu_memory(b, state_bytes, 0);
    visit->ready = lspo_build_part(b, LSPO_OP_UPD_GPU, LSPO_VARIANT_NONE, stage, iteration, part);
    for (uint32_t i = 0; i < order->wait_count; i++)
        lspo_build_depend(b, order->waits[i]);
    lspo_build_depend(b, order->before);
    lspo_build_depend(b, state);
    lspo_build_gpu_memory(b, 0, order->given_bytes);
    visit->home = *slot = lspo_build_part(b, LSPO_OP_SWAP_OUT, LSPO_VARIANT_OPTIMIZER, stage, iteration, part);
    lspo_build_depend(b, visit->ready);
    lspo_build_gpu_memory(b, 0, state_bytes);
}
