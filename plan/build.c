/* build.c - the builder of plans: ops, their dependencies and memory, and works shared by equal ops. */
#include "plan/build.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "plan/build_parts.h"
#include "plan/policy.h"
#include "plan/stage_work.h"

/* This takes some seconds and a GB; a longer plan is a mistake. */
enum { OPS_MAX = 4 * 1000 * 1000, DEPS_MAX = 8 * OPS_MAX };

/* Every pass, of the training or of a calibration, goes forward and backward through all stages. */
lspo_status_t lspo_build_check_size(const lspo_builder_t *b)
{
    const lspo_workload_t *w = b->workload;
    uint64_t passes = (uint64_t)w->iterations * w->accumulation;
    const lspo_lsp_values_t *lsp = lspo_lsp_values_of(w);
    if (b->plan->gradient_form == LSPO_FORM_SUBSPACE && lsp->check_every > 0 && lsp->bias_threshold < 1)
        passes += (uint64_t)(w->iterations / lsp->check_every) * lsp->fit_batches;
    uint64_t least_ops = passes * 2 * b->stage_count;
    if (least_ops <= OPS_MAX)
        return LSPO_OK;
    return lspo_error(LSPO_ERR_INPUT,
                      "a plan of %" PRIu64 " ops or more is too large (at most %d): use fewer --iterations, "
                      "--accumulation or --fit-batches",
                      least_ops, OPS_MAX);
}

/* Room that most plans do not exceed, so that they are not copied while they grow: what is never written takes no
 * memory. */
enum { OPS_PER_STAGE = 8, DEPS_PER_OP = 2, WORKS_USUAL = 48 };

static size_t usual_ops(const lspo_builder_t *b)
{
    const lspo_workload_t *w = b->workload;
    const uint64_t ops = (uint64_t)w->iterations * w->accumulation * b->stage_count * OPS_PER_STAGE;
    return ops < OPS_MAX ? (size_t)ops : OPS_MAX;
}

static size_t usual_count(const lspo_builder_t *b, const void *array)
{
    return array == &b->plan->ops ? usual_ops(b) : array == &b->plan->deps ? DEPS_PER_OP * usual_ops(b) : WORKS_USUAL;
}

/* Make room for one more in `array` of b->plan; sets b->status. */
static bool grow(lspo_builder_t *b, void *array, size_t *capacity, uint32_t count, size_t item_bytes)
{
    if (count < *capacity)
        return true;
    if (b->plan->op_count >= OPS_MAX || count >= DEPS_MAX) {
        b->status = lspo_error(LSPO_ERR_INPUT,
                               "a plan of more than %d ops or %d dependencies is too large: use fewer --iterations, "
                               "--accumulation or --fit-batches",
                               OPS_MAX, DEPS_MAX);
        return false;
    }
    const size_t usual = *capacity == 0 ? usual_count(b, array) : 0, needed = (size_t)count + 1;
    b->status = lspo_array_grow(array, capacity, usual > needed ? usual : needed, item_bytes,
                                "ops, works or dependencies of a plan");
    return b->status == LSPO_OK;
}

/* Blocks differ if some have a window and others have none, and if some are updated on the GPU and others are not. */
static uint32_t kind_of_stage(const lspo_builder_t *b, uint32_t s)
{
    const bool window = b->model->full_every > 0 && lspo_model_window(b->model, s) > 0;
    const bool native = b->stages[s].updated_on_gpu;
    const uint32_t kind = b->stages[s].shape.kind;
    if (kind != LSPO_STAGE_BLOCK || !(window || native))
        return kind;
    return LSPO_STAGE_HEAD + (window ? 1 : 0) + (native ? 2 : 0);
}

/* Equal kinds of op on equal stages share one work. */
static uint32_t work_for(lspo_builder_t *b, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t s, uint32_t tail)
{
    lspo_build_works_t *works = b->works;
    if (!works->is_known[kind][variant])
        memset(works->ids[kind][variant], 0, sizeof works->ids[kind][variant]);
    works->is_known[kind][variant] = true;
    uint32_t *id = &works->ids[kind][variant][kind_of_stage(b, s)][tail];
    if (*id)
        return *id - 1;
    lspo_plan_t *plan = b->plan;
    if (!grow(b, &plan->works, &b->work_capacity, plan->work_count, sizeof *plan->works))
        return 0;
    lspo_work_t *work = &plan->works[plan->work_count];
    lspo_work_clear(work);
    lspo_build_describe(b, kind, variant, s, tail, work);
    *id = ++plan->work_count;
    return *id - 1;
}

static bool has_lane(lspo_builder_t *b, lspo_op_kind_t kind)
{
    if (b->lanes[lspo_op_kind_lane(kind)] != LSPO_NO_LANE)
        return true;
    b->status = lspo_error(LSPO_ERR_INTERNAL, "a %s op before lspo_build_use_lane() chose a lane of kind %s",
                           lspo_op_kind_name(kind), lspo_lane_kind_name(lspo_op_kind_lane(kind)));
    return false;
}

static lspo_op_id_t emit(lspo_builder_t *b, const lspo_new_op_t *op, uint32_t work)
{
    lspo_plan_t *plan = b->plan;
    if (b->status != LSPO_OK || !grow(b, &plan->ops, &b->op_capacity, plan->op_count, sizeof *plan->ops))
        return LSPO_NO_OP;
    lspo_lane_kind_t lane_kind = lspo_op_kind_lane(op->kind);
    plan->ops[plan->op_count] = (lspo_op_t){.kind = (uint8_t)op->kind,
                                            .layer = (uint16_t)op->stage,
                                            .lane = b->lanes[lane_kind],
                                            .iteration = op->iteration,
                                            .micro = (uint16_t)op->micro,
                                            .variant = (uint16_t)op->variant,
                                            .work = work,
                                            .dep_first = plan->dep_count};
    uint32_t rank = lspo_op_is_ranked(&plan->ops[plan->op_count]) ? b->stages[op->stage].priority_rank : 0;
    plan->ops[plan->op_count].priority = lspo_build_priority(op->iteration, rank, b->stage_count);
    return plan->op_count++;
}

lspo_op_id_t lspo_build_emit(lspo_builder_t *b, const lspo_new_op_t *op)
{
    if (b->status != LSPO_OK || !has_lane(b, op->kind))
        return LSPO_NO_OP;
    return emit(b, op, work_for(b, op->kind, op->variant, op->stage, op->tail));
}

lspo_op_id_t lspo_build_op(lspo_builder_t *b, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t stage,
                           uint32_t iteration)
{
    return lspo_build_emit(b,
                           &(lspo_new_op_t){.kind = kind, .variant = variant, .stage = stage, .iteration = iteration});
}

uint32_t lspo_build_lane(lspo_builder_t *b, const lspo_lane_t *lane)
{
    uint32_t index = LSPO_NO_LANE;
    if (b->status != LSPO_OK)
        return index;
    b->status = lspo_lanes_add(&b->plan->lanes, lane, &index);
    return index;
}

void lspo_build_use_lane(lspo_builder_t *b, uint32_t lane)
{
    const lspo_lanes_t *lanes = &b->plan->lanes;
    if (b->status != LSPO_OK)
        return;
    if (lane < lanes->count)
        b->lanes[lanes->list[lane].kind] = lane;
    else
        b->status = lspo_error(LSPO_ERR_INTERNAL, "the plan has no lane %u: it has %u", lane, lanes->count);
}

lspo_op_id_t lspo_build_op_on(lspo_builder_t *b, uint32_t lane, lspo_op_kind_t kind, lspo_op_variant_t variant,
                              uint32_t stage, uint32_t iteration)
{
    lspo_lane_kind_t lane_kind = lspo_op_kind_lane(kind);
    uint32_t in_use = b->lanes[lane_kind];
    b->lanes[lane_kind] = lane; /* lspo_plan_check() refuses a lane of another kind */
    lspo_op_id_t id = lspo_build_op(b, kind, variant, stage, iteration);
    b->lanes[lane_kind] = in_use;
    return id;
}

void lspo_build_micro(lspo_builder_t *b, uint32_t micro)
{
    if (b->status != LSPO_OK)
        return;
    b->plan->ops[b->plan->op_count - 1].micro = (uint16_t)micro;
}

void lspo_build_rank(lspo_builder_t *b, lspo_op_id_t op, uint32_t rank)
{
    if (b->status != LSPO_OK || op == LSPO_NO_OP)
        return;
    b->plan->ops[op].priority = lspo_build_priority(b->plan->ops[op].iteration, rank, b->stage_count);
}

static bool is_alike(const lspo_work_t *a, const lspo_work_t *b)
{
    if (a->kernel_count != b->kernel_count || a->writes)
        return false;
    for (uint32_t i = 0; i < b->kernel_count; i++) {
        const lspo_kernel_t *x = &a->kernels[i], *y = &b->kernels[i];
        if (x->kernel_class != y->kernel_class || x->bytes != y->bytes || x->count != y->count ||
            x->elements != y->elements)
            return false;
    }
    return true;
}

/* The plan's work like this one, of kernels without FLOPs. */
static uint32_t work_like(lspo_builder_t *b, const lspo_work_t *wanted)
{
    lspo_plan_t *plan = b->plan;
    for (uint32_t work = 0; work < plan->work_count; work++)
        if (is_alike(&plan->works[work], wanted))
            return work;
    if (!grow(b, &plan->works, &b->work_capacity, plan->work_count, sizeof *plan->works))
        return 0;
    plan->works[plan->work_count] = *wanted;
    return plan->work_count++;
}

void lspo_build_stream(lspo_builder_t *b, uint64_t bytes, uint32_t launches)
{
    lspo_work_t work;
    if (b->status != LSPO_OK)
        return;
    lspo_work_stream(bytes, &work);
    work.kernels[0].count = launches;
    b->plan->ops[b->plan->op_count - 1].work = work_like(b, &work);
}

lspo_op_id_t lspo_build_with_work(lspo_builder_t *b, const lspo_new_op_t *op, const lspo_work_t *work)
{
    if (b->status != LSPO_OK || !has_lane(b, op->kind))
        return LSPO_NO_OP;
    return emit(b, op, work_like(b, work));
}

lspo_op_id_t lspo_build_message(lspo_builder_t *b, const lspo_build_message_t *message)
{
    const lspo_new_op_t op = {.kind = LSPO_OP_SEND,
                              .variant = message->variant,
                              .stage = message->stage,
                              .iteration = message->iteration,
                              .micro = message->micro};
    lspo_work_t work;
    lspo_work_copy(message->bytes, &work);
    work.kernels[0].count = message->messages;
    return lspo_build_with_work(b, &op, &work);
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
    if (!grow(b, &plan->deps, &b->dep_capacity, plan->dep_count, sizeof *plan->deps))
        return;
    plan->deps[plan->dep_count++] = dependency;
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
