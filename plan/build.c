/* build.c - the builder: ops, their dependencies and memory, and works that equal ops share. */
#include "plan/build.h"

#include <stdlib.h>
#include <string.h>

#include "plan/build_parts.h"
#include "plan/policy.h"

/* Beyond this the 32-bit ids would be in danger; a plan this long is a mistake. */
enum { OPS_MAX = 100 * 1000 * 1000 };

static void *grow(lspo_builder_t *b, void *array, uint32_t *capacity, uint32_t needed, size_t element_bytes)
{
    if (needed <= *capacity)
        return array;
    uint32_t larger = *capacity ? *capacity * 2 : 256;
    if (larger < needed)
        larger = needed;
    void *grown = larger <= OPS_MAX ? realloc(array, (size_t)larger * element_bytes) : NULL;
    if (!grown) {
        b->status = lspo_error(LSPO_ERR_MEMORY, "a plan of %u ops is too large: use fewer --iterations", needed);
        return NULL;
    }
    *capacity = larger;
    return grown;
}

/* Equal kinds of op on equal stages share one work. */
static uint32_t work_for(lspo_builder_t *b, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t s, uint32_t tail)
{
    uint32_t *id = &b->work_ids[kind][variant][b->stages[s].shape.kind][tail];
    if (*id)
        return *id - 1;
    lspo_plan_t *plan = b->plan;
    lspo_work_t *works = grow(b, plan->works, &b->work_capacity, plan->work_count + 1, sizeof *works);
    if (!works)
        return 0;
    plan->works = works;
    lspo_work_t *work = &works[plan->work_count];
    memset(work, 0, sizeof *work);
    lspo_build_describe(b, kind, variant, s, tail, work);
    *id = ++plan->work_count;
    return *id - 1;
}

lspo_op_id_t lspo_build_emit(lspo_builder_t *b, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t stage,
                             uint32_t iteration, uint32_t micro, uint32_t tail)
{
    if (b->status != LSPO_OK)
        return LSPO_NO_OP;
    lspo_plan_t *plan = b->plan;
    uint32_t work = work_for(b, kind, variant, stage, tail);
    lspo_op_t *ops = b->status == LSPO_OK ? grow(b, plan->ops, &b->op_capacity, plan->op_count + 1, sizeof *ops) : NULL;
    if (!ops)
        return LSPO_NO_OP;
    plan->ops = ops;
    lspo_lane_t lane = lspo_op_kind_lane(kind);
    uint32_t rank = lane == LSPO_LANE_GPU ? 0 : b->stages[stage].priority_rank;
    ops[plan->op_count] = (lspo_op_t){.kind = (uint8_t)kind,
                                      .lane = (uint8_t)lane,
                                      .layer = (uint16_t)stage,
                                      .iteration = iteration,
                                      .micro = (uint16_t)micro,
                                      .variant = (uint16_t)variant,
                                      .work = work,
                                      .priority = iteration * (b->stage_count + 1) + rank,
                                      .dep_first = plan->dep_count};
    return plan->op_count++;
}

lspo_op_id_t lspo_build_op(lspo_builder_t *b, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t stage,
                           uint32_t iteration)
{
    return lspo_build_emit(b, kind, variant, stage, iteration, 0, 0);
}

void lspo_build_depend(lspo_builder_t *b, lspo_op_id_t dependency)
{
    if (b->status != LSPO_OK || dependency == LSPO_NO_OP)
        return;
    lspo_plan_t *plan = b->plan;
    lspo_op_t *op = &plan->ops[plan->op_count - 1];
    for (uint32_t i = 0; i < op->dep_count; i++)
        if (plan->deps[op->dep_first + i] == dependency)
            return;
    lspo_op_id_t *deps = grow(b, plan->deps, &b->dep_capacity, plan->dep_count + 1, sizeof *deps);
    if (!deps)
        return;
    plan->deps = deps;
    deps[plan->dep_count++] = dependency;
    op->dep_count++;
}

void lspo_build_gpu_memory(lspo_builder_t *b, uint64_t alloc_bytes, uint64_t free_bytes)
{
    if (b->status != LSPO_OK)
        return;
    lspo_op_t *op = &b->plan->ops[b->plan->op_count - 1];
    op->gpu_alloc_bytes += alloc_bytes;
    op->gpu_free_bytes += free_bytes;
}
