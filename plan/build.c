#include "plan/build.h"

#include <stdlib.h>
#include <string.h>

#include "plan/policy.h"
#include "plan/sketch_work.h"
#include "plan/stage_work.h"

/* Beyond this the 32-bit ids would be in danger; a plan this long is a mistake. */
enum { OPS_MAX = 100 * 1000 * 1000 };

/* Which extra kernels the last op before the link runs: bits of the fourth index of work_ids. */
enum { TAIL_PACK = 1, TAIL_SQUARES = 2 };

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

static bool transfers_packed(const lspo_workload_t *workload)
{
    return workload->transfer != workload->precision;
}

/* Whether the stage's gradient is formed in this iteration. */
static bool trains(const lspo_builder_t *b, uint32_t stage, uint32_t iteration)
{
    return b->stages[stage].trained && lspo_plan_trains(b->plan, stage, iteration);
}

static bool columns(const lspo_builder_t *b)
{
    return b->plan->gradient_form == LSPO_FORM_COLUMNS;
}

/* Packing for the link and the squares for --clip are done by the op that completes the gradient. */
static uint32_t tail_of(const lspo_builder_t *b, uint32_t iteration, uint32_t stage, uint32_t micro)
{
    if (!trains(b, stage, iteration) || micro + 1 != b->workload->accumulation)
        return 0;
    uint32_t tail = b->workload->clip_norm > 0 && !b->norm_known ? TAIL_SQUARES : 0;
    if (b->plan->return_form != LSPO_RETURN_NOTHING && transfers_packed(b->workload) && !columns(b))
        tail |= TAIL_PACK;
    return tail;
}

static void add_stream(lspo_work_t *work, uint64_t bytes)
{
    lspo_work_t one;
    lspo_work_stream(bytes, &one);
    lspo_work_append(work, &one.kernels[0]);
}

static void add_tail(const lspo_build_stage_t *stage, uint32_t tail, lspo_work_t *work)
{
    if (tail & TAIL_PACK)
        add_stream(work, stage->gradient_bytes);
    if (tail & TAIL_SQUARES)
        add_stream(work, stage->gradient_bytes - (tail & TAIL_PACK ? stage->link_bytes : 0));
}

static bool adapters(const lspo_builder_t *b)
{
    return b->plan->gradient_form == LSPO_FORM_ADAPTER;
}

static bool lowrank(const lspo_builder_t *b)
{
    return b->plan->gradient_form == LSPO_FORM_LOWRANK;
}

/* Whether backward forms the full gradients of the linear weights. */
static bool forms_gradients(const lspo_builder_t *b)
{
    return b->plan->gradient_form == LSPO_FORM_DENSE || lowrank(b) || columns(b);
}

static bool shares_projectors(const lspo_builder_t *b)
{
    return b->workload->projectors == LSPO_PROJECTORS_SHAPE;
}

/* Whether a stage's weight has a pair of projectors that no weight before it has: all blocks are alike, so that of the
 * shared ones the first block has one of each shape. */
static bool owns_pair(const lspo_builder_t *b, uint32_t stage, uint32_t i)
{
    const lspo_message_t *message = &b->stages[stage].message;
    if (!message->linear[i].compressed)
        return false;
    return !shares_projectors(b) || (stage == 1 && lspo_message_first_alike(message, i) == i);
}

/* Indices and values of the projectors that a stage owns, row by row. */
static uint64_t projector_link_bytes(const lspo_builder_t *b, uint32_t stage)
{
    const lspo_message_t *message = &b->stages[stage].message;
    uint64_t nonzeros = 0;
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *w = &message->linear[i];
        nonzeros += owns_pair(b, stage, i) ? (uint64_t)w->rows * w->nnz_rows + (uint64_t)w->cols * w->nnz_cols : 0;
    }
    return nonzeros * (sizeof(uint32_t) + sizeof(float));
}

/* zenflow: what of the ops differs from other policies; false: nothing. */
static bool describe_columns_work(const lspo_builder_t *b, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t s,
                                  lspo_work_t *work)
{
    const lspo_build_stage_t *stage = &b->stages[s];
    uint64_t p = lspo_precision_bytes(b->workload->precision);
    uint64_t sent = stage->message.element_count - stage->message.rest_elements;
    uint64_t kept_bytes = stage->critical_bytes, moved = kept_bytes - stage->message.rest_elements * p;
    switch (kind) {
    case LSPO_OP_PROJECT:
        lspo_work_stream(stage->gradient_bytes, work);
        return true;
    case LSPO_OP_COMPRESS:
        lspo_work_stream(stage->gradient_bytes + kept_bytes + stage->link_bytes, work);
        return true;
    case LSPO_OP_UPD:
        if (variant == LSPO_VARIANT_ACCUMULATE)
            lspo_work_stream(stage->link_bytes + 2 * sent * sizeof(float), work);
        else
            lspo_work_adam(sent, work);
        return true;
    case LSPO_OP_UPD_GPU: /* the columns of W are gathered and put back */
        lspo_work_adam(kept_bytes / p, work);
        if (moved > 0)
            add_stream(work, 4 * moved);
        return true;
    case LSPO_OP_APPLY:
        lspo_work_stream(stage->link_bytes + 2 * sent * p, work);
        return true;
    default:
        return false;
    }
}

/* Whether a BWD makes gradients of what is trained. */
static bool forms_message(lspo_op_variant_t variant)
{
    return variant != LSPO_VARIANT_FROZEN && variant != LSPO_VARIANT_CALIBRATE;
}

/* A fit's steps are spread over the micro-batches between the first and the last, which takes the bias of two pairs. */
static void describe_fit(const lspo_builder_t *b, lspo_op_variant_t variant, const lspo_message_t *message,
                         lspo_work_t *work)
{
    uint32_t steps = variant == LSPO_VARIANT_FIT ? lspo_workload_fit_share(b->workload) : 0;
    lspo_stage_work_fit(b->workload, message, variant == LSPO_VARIANT_DECIDE ? 2 : 1, steps, work);
}

static void describe_work(const lspo_builder_t *b, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t s,
                          uint32_t tail, lspo_work_t *work)
{
    const lspo_model_t *model = b->model;
    const lspo_workload_t *workload = b->workload;
    const lspo_build_stage_t *stage = &b->stages[s];
    uint64_t elements = stage->message.element_count;
    if (columns(b) && describe_columns_work(b, kind, variant, s, work))
        return;
    switch (kind) {
    case LSPO_OP_FWD:
        lspo_stage_work_forward(model, workload, s, work);
        if (adapters(b))
            lspo_stage_work_add_adapters(workload, &stage->message, false, work);
        break;
    case LSPO_OP_RECOMPUTE:
        lspo_stage_work_recompute(model, workload, s, work);
        if (adapters(b))
            lspo_stage_work_add_adapters(workload, &stage->message, model->family != LSPO_FAMILY_BERT, work);
        break;
    case LSPO_OP_BWD:
        lspo_stage_work_backward(model, workload, s, forms_gradients(b) && stage->trained && forms_message(variant),
                                 stage->message.rest_elements > 0 && forms_message(variant), work);
        if (adapters(b))
            lspo_stage_work_add_adapters_backward(workload, &stage->message, work);
        break;
    case LSPO_OP_COMPRESS:
        if (lowrank(b))
            lspo_stage_work_lowrank_compress(workload, &stage->message, work);
        else if (b->plan->dense_sketches)
            lspo_sketch_work_compress(workload, &stage->message, work);
        else
            lspo_stage_work_compress(model, workload, &stage->message, work);
        break;
    case LSPO_OP_NORM:
        lspo_work_stream(b->stage_count * sizeof(double), work);
        break;
    case LSPO_OP_D2H:
        if (variant == LSPO_VARIANT_PROJECTORS)
            lspo_work_copy(projector_link_bytes(b, s), work);
        else
            lspo_work_copy(variant == LSPO_VARIANT_NORM_SCALAR ? sizeof(float) : stage->link_bytes, work);
        break;
    case LSPO_OP_H2D:
        lspo_work_copy(stage->link_bytes, work);
        break;
    case LSPO_OP_UPD:
    case LSPO_OP_UPD_GPU:
        if (b->plan->optimizer == LSPO_OPTIMIZER_SGD) /* read g, read and write w */
            lspo_work_stream(3 * elements * lspo_precision_bytes(workload->precision), work);
        else
            lspo_work_adam(elements, work);
        break;
    case LSPO_OP_APPLY:
        if (lowrank(b))
            lspo_stage_work_lowrank_apply(workload, &stage->message, work);
        else if (b->plan->dense_sketches)
            lspo_sketch_work_apply(workload, &stage->message, work);
        else if (b->plan->return_form == LSPO_RETURN_DELTA)
            lspo_stage_work_apply_delta(model, workload, &stage->message, work);
        else
            lspo_work_stream(stage->link_bytes + elements * lspo_precision_bytes(workload->precision), work);
        break;
    case LSPO_OP_SWAP_IN:
    case LSPO_OP_SWAP_OUT:
        lspo_work_copy(variant == LSPO_VARIANT_OPTIMIZER ? stage->optimizer_bytes : stage->parameter_bytes, work);
        break;
    case LSPO_OP_PROJECT:
        if (lowrank(b))
            lspo_stage_work_lowrank_project(workload, &stage->message, work);
        else
            describe_fit(b, variant, &stage->message, work);
        break;
    case LSPO_OP_KIND_COUNT:
        work->kernel_count = 0;
        break;
    }
    add_tail(stage, tail, work);
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
    describe_work(b, kind, variant, s, tail, work);
    *id = ++plan->work_count;
    return *id - 1;
}

static lspo_op_id_t emit(lspo_builder_t *b, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t stage,
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
    return emit(b, kind, variant, stage, iteration, 0, 0);
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

static bool tied(const lspo_builder_t *b)
{
    return b->model->tied_head;
}

static uint32_t head_of(const lspo_builder_t *b)
{
    return b->stage_count - 1;
}

/* Backward ends there. */
static uint32_t lowest_trained(const lspo_builder_t *b, uint32_t iteration)
{
    return lspo_plan_lowest_trained(b->plan, iteration);
}

static void depend_on_weights(lspo_builder_t *b, uint32_t stage)
{
    lspo_build_depend(b, b->stages[stage].ready);
    if (stage == head_of(b) && tied(b))
        lspo_build_depend(b, b->stages[0].ready);
    if (stage == 0 && b->forward_waits_all)
        for (uint32_t s = 1; s < b->stage_count; s++)
            lspo_build_depend(b, b->stages[s].ready);
}

static lspo_op_id_t emit_forward(lspo_builder_t *b, lspo_op_variant_t variant, uint32_t iteration, uint32_t micro,
                                 uint32_t stage)
{
    const lspo_activations_t *a = &b->activations;
    bool frozen = variant == LSPO_VARIANT_FROZEN;
    lspo_op_id_t id = emit(b, LSPO_OP_FWD, variant, stage, iteration, micro, 0);
    lspo_build_depend(b, b->last_compute);
    if (micro == 0)
        depend_on_weights(b, stage);
    switch (b->stages[stage].shape.kind) {
    case LSPO_STAGE_EMBED:
        lspo_build_gpu_memory(b, a->input_bytes, 0);
        break;
    case LSPO_STAGE_BLOCK:
        lspo_build_gpu_memory(b, a->input_bytes + a->saved_bytes,
                              (frozen || b->workload->checkpointing ? a->saved_bytes : 0) +
                                  (frozen ? a->input_bytes : 0));
        break;
    case LSPO_STAGE_HEAD:
        lspo_build_gpu_memory(b, a->head_bytes, 0);
        break;
    }
    return b->last_compute = id;
}

lspo_op_id_t lspo_build_forward(lspo_builder_t *b, uint32_t iteration, uint32_t micro, uint32_t stage)
{
    bool frozen = b->plan->optimizer == LSPO_OPTIMIZER_BLOCK_ADAM && stage < lowest_trained(b, iteration);
    return emit_forward(b, frozen ? LSPO_VARIANT_FROZEN : LSPO_VARIANT_NONE, iteration, micro, stage);
}

/* The gradient message that BWD of `stage` takes; the head of a tied model starts the embedding's too. */
static uint64_t gradient_taken(const lspo_builder_t *b, uint32_t iteration, uint32_t stage)
{
    if (stage == 0 && tied(b))
        return 0;
    uint64_t bytes = trains(b, stage, iteration) ? b->stages[stage].gradient_bytes : 0;
    if (stage == head_of(b) && tied(b) && trains(b, 0, iteration))
        bytes += b->stages[0].gradient_bytes;
    return bytes;
}

static uint64_t linear_bytes(const lspo_builder_t *b, uint32_t stage)
{
    const lspo_message_t *message = &b->stages[stage].message;
    uint64_t elements = 0;
    for (uint32_t i = 0; i < message->linear_count; i++)
        elements += (uint64_t)message->linear[i].rows * message->linear[i].cols;
    return elements * lspo_precision_bytes(b->workload->precision);
}

/* What LAPACK needs for the widest basis, one weight after the other: kernels/lowrank.h counts the same.  0 when no
 * weight is compressed. */
static uint64_t basis_scratch_bytes(const lspo_builder_t *b, uint32_t stage)
{
    const lspo_message_t *message = &b->stages[stage].message;
    uint64_t r = b->workload->rank, largest = 0;
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *w = &message->linear[i];
        uint64_t s = w->rows <= w->cols ? w->rows : w->cols;
        uint64_t bytes = w->compressed ? 12 * s * s + 8 * s * r + 352 * s + 8 * r : 0;
        largest = bytes > largest ? bytes : largest;
    }
    return largest;
}

/* kernels/fit.h counts the same. */
static uint64_t fit_scratch_elements(const lspo_projection_t *w)
{
    uint64_t m = w->rows, n = w->cols, d_m = w->d_rows, d_n = w->d_cols;
    return 2 * m * d_n + 2 * n * d_m + 8 * d_m * d_n + 4 * (m * w->nnz_rows + n * w->nnz_cols);
}

/* As kernels/projector.h stores one: indices and values of r nonzeros a row, by row and by column. */
static uint64_t sparse_bytes(uint64_t rows, uint64_t d, uint64_t nnz)
{
    return 2 * rows * nnz * (sizeof(uint32_t) + sizeof(float)) + (d + 1) * sizeof(uint32_t);
}

/* What a check or a part of a fit needs, one weight after the other: gradient and scratch. */
static uint64_t check_bytes(const lspo_builder_t *b, uint32_t stage)
{
    const lspo_message_t *message = &b->stages[stage].message;
    uint64_t largest = 0;
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *w = &message->linear[i];
        uint64_t bytes = ((uint64_t)w->rows * w->cols + fit_scratch_elements(w)) * sizeof(float);
        largest = w->compressed && bytes > largest ? bytes : largest;
    }
    return largest;
}

/* The new pairs that a stage owns and their Adam moments, from the first fit of a calibration pass to its decision. */
static uint64_t candidate_bytes(const lspo_builder_t *b, uint32_t stage)
{
    const lspo_message_t *message = &b->stages[stage].message;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *w = &message->linear[i];
        uint64_t nonzeros = (uint64_t)w->rows * w->nnz_rows + (uint64_t)w->cols * w->nnz_cols;
        if (owns_pair(b, stage, i))
            bytes += sparse_bytes(w->rows, w->d_rows, w->nnz_rows) + sparse_bytes(w->cols, w->d_cols, w->nnz_cols) +
                     2 * nonzeros * sizeof(float);
    }
    return bytes;
}

static void backward_memory(lspo_builder_t *b, uint32_t iteration, uint32_t stage, uint32_t micro,
                            bool compress_follows)
{
    const lspo_activations_t *a = &b->activations;
    uint64_t taken = micro == 0 ? gradient_taken(b, iteration, stage) : 0;
    uint64_t freed = stage == lowest_trained(b, iteration) ? a->input_bytes : 0; /* dx */
    switch (b->stages[stage].shape.kind) {
    case LSPO_STAGE_HEAD:
        taken += a->input_bytes;
        freed += a->head_bytes + a->input_bytes;
        break;
    case LSPO_STAGE_BLOCK:
        freed += compress_follows ? 0 : a->saved_bytes + a->input_bytes;
        break;
    case LSPO_STAGE_EMBED:
        break;
    }
    if (compress_follows && lowrank(b))
        taken += linear_bytes(b, stage);
    lspo_build_gpu_memory(b, taken, freed);
}

/* At most `gradient_buffers` gradients wait for the link: BWD of this stage waits for the D2H of an older one. */
static void bound_gradients(lspo_builder_t *b, uint32_t stage)
{
    uint32_t buffers = b->workload->gradient_buffers;
    if (!b->bounds_gradients || !buffers || b->workload->accumulation > 1)
        return;
    uint32_t older = stage + buffers;
    if (older < b->stage_count)
        lspo_build_depend(b, b->stages[older].sent);
}

/* badam: the stages above the one in turn only pass dx on.  A tied head makes its share of the embedding's gradient. */
static lspo_op_variant_t backward_variant(const lspo_builder_t *b, uint32_t iteration, uint32_t stage)
{
    bool forms = b->plan->optimizer != LSPO_OPTIMIZER_BLOCK_ADAM || trains(b, stage, iteration);
    return forms ? LSPO_VARIANT_NONE : LSPO_VARIANT_FROZEN;
}

/* The first micro-batch of a calibration pass checks, the last decides, those between are fitted to. */
static lspo_op_variant_t project_variant(uint32_t micro, uint32_t count)
{
    if (micro == 0)
        return LSPO_VARIANT_NONE;
    return micro + 1 < count ? LSPO_VARIANT_FIT : LSPO_VARIANT_DECIDE;
}

/* Backward of a calibration pass has no gradient message, and ends at the first block. */
static void calibrate_backward(lspo_builder_t *b, uint32_t iteration, uint32_t micro, uint32_t stage)
{
    const lspo_activations_t *a = &b->activations;
    if (stage != head_of(b) && b->workload->checkpointing) {
        lspo_op_id_t again = emit(b, LSPO_OP_RECOMPUTE, LSPO_VARIANT_CALIBRATE, stage, iteration, micro, 0);
        lspo_build_depend(b, b->last_compute);
        lspo_build_gpu_memory(b, a->saved_bytes, 0);
        b->last_compute = again;
    }
    lspo_op_id_t id = emit(b, LSPO_OP_BWD, LSPO_VARIANT_CALIBRATE, stage, iteration, micro, 0);
    lspo_build_depend(b, b->last_compute);
    if (stage == head_of(b))
        lspo_build_gpu_memory(b, a->input_bytes, a->head_bytes + a->input_bytes);
    if (stage == 1)
        lspo_build_gpu_memory(b, 0, a->input_bytes);
    b->last_compute = id;
}

/* New pairs: of each stage, from its first fit to its decision; those that all blocks share, from the first fit of the
 * last block, where backward begins, to the decision of the first one. */
static void calibrate_candidates(lspo_builder_t *b, uint32_t micro, uint32_t count, uint32_t stage)
{
    bool first = !shares_projectors(b) || stage + 1 == head_of(b), last = !shares_projectors(b) || stage == 1;
    uint64_t bytes = candidate_bytes(b, shares_projectors(b) ? 1 : stage);
    if (first && micro == 1)
        lspo_build_gpu_memory(b, bytes, 0);
    if (last && micro > 0 && micro + 1 == count)
        lspo_build_gpu_memory(b, 0, bytes);
}

/* The rows of the pairs then in use go to the CPU: a stage's own, or the shared ones, which no update may go before. */
static void calibrate_send(lspo_builder_t *b, uint32_t iteration, uint32_t stage, lspo_op_id_t decided)
{
    if (shares_projectors(b) && stage > 1)
        return;
    lspo_op_id_t sent = emit(b, LSPO_OP_D2H, LSPO_VARIANT_PROJECTORS, stage, iteration, 0, 0);
    lspo_build_depend(b, decided);
    for (uint32_t s = stage; s == stage || (shares_projectors(b) && s < head_of(b)); s++)
        b->stages[s].projected = sent;
}

static void calibrate_project(lspo_builder_t *b, uint32_t iteration, uint32_t micro, uint32_t count, uint32_t stage)
{
    const lspo_activations_t *a = &b->activations;
    lspo_op_id_t id = emit(b, LSPO_OP_PROJECT, project_variant(micro, count), stage, iteration, micro, 0);
    lspo_build_depend(b, b->last_compute);
    lspo_build_gpu_memory(b, check_bytes(b, stage), check_bytes(b, stage) + a->saved_bytes + a->input_bytes);
    calibrate_candidates(b, micro, count, stage);
    b->last_compute = id;
    if (micro + 1 == count)
        calibrate_send(b, iteration, stage, id);
}

/* lsp, in steps in which projectors are checked: micro-batches for their gradients alone.  What the check will find is not
 * known here: a fit is planned with each, unless the threshold is one that no bias exceeds. */
static void calibrate(lspo_builder_t *b, uint32_t iteration)
{
    uint32_t count = b->workload->bias_threshold < 1 ? b->workload->fit_batches : 1;
    if (!lspo_plan_checks_projectors(b->plan, iteration) || projector_link_bytes(b, 1) == 0)
        return;
    for (uint32_t micro = 0; micro < count; micro++) {
        for (uint32_t s = 0; s < b->stage_count; s++)
            emit_forward(b, LSPO_VARIANT_CALIBRATE, iteration, micro, s);
        for (uint32_t s = b->stage_count; s-- > 1;) {
            calibrate_backward(b, iteration, micro, s);
            if (s != head_of(b))
                calibrate_project(b, iteration, micro, count, s);
        }
    }
}

lspo_op_id_t lspo_build_backward(lspo_builder_t *b, uint32_t iteration, uint32_t micro, uint32_t stage,
                                 lspo_op_id_t parameters)
{
    lspo_build_stage_t *st = &b->stages[stage];
    bool block = st->shape.kind == LSPO_STAGE_BLOCK;
    bool compress = block && b->compresses;
    if (stage < lowest_trained(b, iteration))
        return b->last_compute;
    if (block && b->workload->checkpointing) {
        lspo_op_id_t again = emit(b, LSPO_OP_RECOMPUTE, LSPO_VARIANT_NONE, stage, iteration, micro, 0);
        lspo_build_depend(b, b->last_compute);
        lspo_build_depend(b, parameters);
        lspo_build_gpu_memory(b, b->activations.saved_bytes, 0);
        b->last_compute = again;
    }
    uint32_t tail = tail_of(b, iteration, stage, micro);
    lspo_op_variant_t variant = backward_variant(b, iteration, stage);
    lspo_op_id_t id = emit(b, LSPO_OP_BWD, variant, stage, iteration, micro, compress ? 0 : tail);
    lspo_build_depend(b, b->last_compute);
    lspo_build_depend(b, parameters);
    bound_gradients(b, stage);
    backward_memory(b, iteration, stage, micro, compress);
    uint64_t scratch_bytes = compress && lowrank(b) ? basis_scratch_bytes(b, stage) : 0;
    if (scratch_bytes > 0 && micro == 0 && (b->workload->first_step + iteration) % b->workload->project_every == 0) {
        lspo_op_id_t backward = id;
        id = emit(b, LSPO_OP_PROJECT, LSPO_VARIANT_NONE, stage, iteration, micro, 0);
        lspo_build_depend(b, backward);
        lspo_build_gpu_memory(b, scratch_bytes, scratch_bytes);
    }
    if (compress) {
        lspo_op_id_t gradients = id;
        id = emit(b, LSPO_OP_COMPRESS, LSPO_VARIANT_NONE, stage, iteration, micro, tail);
        lspo_build_depend(b, gradients);
        lspo_build_gpu_memory(
            b, 0, b->activations.saved_bytes + b->activations.input_bytes + (lowrank(b) ? linear_bytes(b, stage) : 0));
    }
    st->backward = id;
    return b->last_compute = id;
}

static void probe_memory(lspo_builder_t *b, uint32_t iteration, uint32_t stage)
{
    const lspo_activations_t *a = &b->activations;
    uint64_t taken = gradient_taken(b, iteration, stage), freed = b->stages[stage].gradient_bytes;
    bool block = b->stages[stage].shape.kind == LSPO_STAGE_BLOCK;
    lspo_build_gpu_memory(b, taken + (stage == head_of(b) ? a->input_bytes : 0),
                          freed + (block && b->workload->checkpointing ? a->saved_bytes : 0) +
                              (stage == lowest_trained(b, iteration) ? a->input_bytes : 0));
}

void lspo_build_probe(lspo_builder_t *b, uint32_t iteration, uint32_t stage)
{
    if (stage < lowest_trained(b, iteration))
        return;
    if (b->stages[stage].shape.kind == LSPO_STAGE_BLOCK && b->workload->checkpointing) {
        lspo_op_id_t again = emit(b, LSPO_OP_RECOMPUTE, LSPO_VARIANT_PROBE, stage, iteration, 0, 0);
        lspo_build_depend(b, b->last_compute);
        lspo_build_gpu_memory(b, b->activations.saved_bytes, 0);
        b->last_compute = again;
    }
    uint32_t tail = tail_of(b, iteration, stage, 0);
    lspo_op_id_t id = emit(b, LSPO_OP_BWD, LSPO_VARIANT_PROBE, stage, iteration, 0, tail);
    lspo_build_depend(b, b->last_compute);
    probe_memory(b, iteration, stage);
    b->last_compute = id;
}

static void send_gradient(lspo_builder_t *b, uint32_t iteration, uint32_t stage)
{
    lspo_build_stage_t *st = &b->stages[stage];
    st->sent = lspo_build_op(b, LSPO_OP_D2H, LSPO_VARIANT_NONE, stage, iteration);
    lspo_build_depend(b, st->backward);
    lspo_build_gpu_memory(b, 0, st->gradient_bytes);
}

void lspo_build_step(lspo_builder_t *b, uint32_t iteration, bool send)
{
    for (uint32_t s = 0; s < b->stage_count; s++)
        b->stages[s].sent = b->stages[s].projected = LSPO_NO_OP;
    calibrate(b, iteration);
    for (uint32_t micro = 0; micro < b->workload->accumulation; micro++) {
        for (uint32_t s = 0; s < b->stage_count; s++)
            lspo_build_forward(b, iteration, micro, s);
        bool last = micro + 1 == b->workload->accumulation;
        for (uint32_t s = b->stage_count; s-- > 0;) {
            lspo_build_backward(b, iteration, micro, s, LSPO_NO_OP);
            if (send && last && b->stages[s].trained)
                send_gradient(b, iteration, s);
        }
    }
}

lspo_op_id_t lspo_build_norm(lspo_builder_t *b, uint32_t iteration, bool to_host)
{
    if (!(b->workload->clip_norm > 0))
        return LSPO_NO_OP;
    lspo_op_id_t norm = lspo_build_op(b, LSPO_OP_NORM, LSPO_VARIANT_NONE, head_of(b), iteration);
    lspo_build_depend(b, b->last_compute);
    if (!to_host)
        return norm;
    lspo_op_id_t scalar = lspo_build_op(b, LSPO_OP_D2H, LSPO_VARIANT_NORM_SCALAR, head_of(b), iteration);
    lspo_build_depend(b, norm);
    return scalar;
}

lspo_op_id_t lspo_build_update(lspo_builder_t *b, uint32_t iteration, uint32_t stage, lspo_op_id_t wait)
{
    lspo_op_id_t id = lspo_build_op(b, LSPO_OP_UPD, b->update_variant, stage, iteration);
    lspo_build_depend(b, b->stages[stage].sent);
    lspo_build_depend(b, b->stages[stage].projected);
    lspo_build_depend(b, wait);
    return id;
}

lspo_op_id_t lspo_build_return(lspo_builder_t *b, uint32_t iteration, uint32_t stage, lspo_op_id_t update,
                               lspo_op_id_t wait)
{
    lspo_build_stage_t *st = &b->stages[stage];
    lspo_op_id_t arrived = lspo_build_op(b, LSPO_OP_H2D, b->update_variant, stage, iteration);
    lspo_build_depend(b, update);
    lspo_build_depend(b, wait);
    lspo_build_gpu_memory(b, st->link_bytes, 0);
    st->ready = lspo_build_op(b, LSPO_OP_APPLY, b->update_variant, stage, iteration);
    lspo_build_depend(b, arrived);
    lspo_build_gpu_memory(b, 0, st->link_bytes);
    return st->ready;
}

lspo_op_id_t lspo_build_update_gpu(lspo_builder_t *b, uint32_t iteration, uint32_t stage, lspo_op_id_t wait)
{
    lspo_build_stage_t *st = &b->stages[stage];
    st->ready = lspo_build_op(b, LSPO_OP_UPD_GPU, LSPO_VARIANT_NONE, stage, iteration);
    lspo_build_depend(b, st->backward);
    lspo_build_depend(b, wait);
    if (lowrank(b)) {
        lspo_op_id_t update = st->ready;
        st->ready = lspo_build_op(b, LSPO_OP_APPLY, LSPO_VARIANT_NONE, stage, iteration);
        lspo_build_depend(b, update);
    }
    lspo_build_gpu_memory(b, 0, st->gradient_bytes);
    return st->ready;
}

static void rank_stages(lspo_builder_t *b, int32_t transition)
{
    for (uint32_t s = 0; s < b->stage_count; s++)
        b->stages[s].priority_rank = (int32_t)s <= transition ? s : b->stage_count;
}

lspo_status_t lspo_build_layerwise(lspo_builder_t *b, int32_t transition)
{
    rank_stages(b, transition);
    for (uint32_t i = 0; i < b->workload->iterations; i++) {
        lspo_build_step(b, i, true);
        lspo_op_id_t norm = lspo_build_norm(b, i, true);
        for (uint32_t s = b->stage_count; s-- > 0;)
            if (b->stages[s].trained)
                lspo_build_return(b, i, s, lspo_build_update(b, i, s, norm), LSPO_NO_OP);
    }
    return b->status;
}

static uint64_t all_parameter_bytes(const lspo_builder_t *b)
{
    uint64_t bytes = 0;
    for (uint32_t s = 0; s < b->stage_count; s++)
        bytes += b->stages[s].parameter_bytes;
    return bytes;
}

/* lora: the adapters themselves; galore: the orthonormal basis of the shorter side. */
static uint64_t factor_bytes(const lspo_builder_t *b, const lspo_message_t *message)
{
    uint64_t elements = 0;
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *w = &message->linear[i];
        if (adapters(b))
            elements += w->message_elements;
        else if (lowrank(b) && w->compressed)
            elements += (uint64_t)(w->rows <= w->cols ? w->rows : w->cols) * b->workload->rank;
    }
    return elements * lspo_precision_bytes(b->workload->precision);
}

/* Of all stages; badam: of the largest that has a turn, a tied head together with its embedding. */
static uint64_t resident_optimizer_bytes(const lspo_builder_t *b)
{
    bool one_at_a_time = b->plan->optimizer == LSPO_OPTIMIZER_BLOCK_ADAM;
    uint64_t sum = 0, largest = 0;
    for (uint32_t s = 0; s < b->stage_count; s++) {
        uint64_t bytes = b->stages[s].optimizer_bytes;
        sum += bytes;
        if (s == 0 && tied(b))
            bytes += b->stages[head_of(b)].optimizer_bytes;
        largest = bytes > largest ? bytes : largest;
    }
    return one_at_a_time ? largest : sum;
}

void lspo_build_resident_memory(lspo_builder_t *b)
{
    lspo_footprint_t *f = &b->plan->footprint;
    f->gpu_optimizer_bytes = resident_optimizer_bytes(b);
    f->gpu_parameters_bytes = all_parameter_bytes(b);
    f->gpu_workspace_bytes = b->activations.workspace_bytes;
    for (uint32_t s = 0; s < b->stage_count; s++) {
        f->gpu_projectors_bytes += factor_bytes(b, &b->stages[s].message);
    }
    if (adapters(b)) /* X A and dY B */
        f->gpu_workspace_bytes +=
            2 * lspo_workload_tokens(b->workload) * b->workload->rank * lspo_precision_bytes(b->workload->precision);
}

static uint64_t projector_bytes(const lspo_builder_t *b, uint32_t stage)
{
    const lspo_message_t *message = &b->stages[stage].message;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *l = &message->linear[i];
        if (owns_pair(b, stage, i))
            bytes += sparse_bytes(l->rows, l->d_rows, l->nnz_rows) + sparse_bytes(l->cols, l->d_cols, l->nnz_cols);
    }
    return bytes;
}

/* X P and dY Q of the weight with the widest subspaces: tokens x (d_m + d_n); with dense sketches what these need. */
static uint64_t projection_scratch_bytes(const lspo_builder_t *b)
{
    const lspo_message_t *message = &b->stages[1].message; /* all blocks are alike */
    uint64_t tokens = lspo_workload_tokens(b->workload), largest = 0;
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *w = &message->linear[i];
        uint64_t elements = b->plan->dense_sketches ? lspo_sketch_scratch_elements(w, tokens)
                                                    : tokens * ((uint64_t)w->d_rows + w->d_cols);
        if (w->compressed && elements > largest)
            largest = elements;
    }
    return largest * lspo_precision_bytes(b->workload->precision);
}

/* Of every pair that in use and the one that has just come; to carry moments over, three matrices of the subspace. */
static uint64_t host_projector_bytes(const lspo_builder_t *b)
{
    uint64_t bytes = 0, largest = 0;
    for (uint32_t s = 0; s < b->stage_count; s++)
        bytes += 2 * projector_link_bytes(b, s);
    const lspo_message_t *message = &b->stages[1].message; /* all blocks are alike */
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *w = &message->linear[i];
        uint64_t d_m = w->d_rows, d_n = w->d_cols, elements = d_m * d_m + d_n * d_n + d_m * d_n;
        largest = w->compressed && elements > largest ? elements : largest;
    }
    return bytes + largest * sizeof(float);
}

void lspo_build_offloaded_memory(lspo_builder_t *b, uint32_t gradient_slots)
{
    lspo_footprint_t *f = &b->plan->footprint;
    bool parameters = b->plan->return_form == LSPO_RETURN_PARAMETERS;
    /* The master itself goes out, unless the link carries another format or the next update may overtake the copy. */
    bool sends_master = parameters && b->workload->transfer == LSPO_FP32 && gradient_slots == 1;
    f->gpu_parameters_bytes = all_parameter_bytes(b);
    f->gpu_workspace_bytes = b->activations.workspace_bytes;
    for (uint32_t s = 0; s < b->stage_count; s++) {
        const lspo_build_stage_t *st = &b->stages[s];
        uint64_t elements = st->message.element_count;
        f->gpu_projectors_bytes += projector_bytes(b, s);
        f->host_optimizer_bytes += elements * 2 * sizeof(float);
        f->host_gradients_bytes += st->link_bytes * gradient_slots;
        if (!sends_master)
            f->host_outgoing_bytes += st->link_bytes * gradient_slots;
        if (parameters)
            f->host_master_bytes += elements * sizeof(float);
    }
    if (b->plan->gradient_form == LSPO_FORM_SUBSPACE)
        f->gpu_workspace_bytes += projection_scratch_bytes(b);
    if (b->plan->gradient_form == LSPO_FORM_SUBSPACE && b->workload->check_every > 0)
        f->host_projectors_bytes = host_projector_bytes(b);
}

lspo_status_t lspo_build_on_gpu(lspo_builder_t *b)
{
    lspo_build_resident_memory(b);
    for (uint32_t i = 0; i < b->workload->iterations; i++) {
        lspo_build_step(b, i, false);
        lspo_op_id_t gradients = b->last_compute;
        lspo_op_id_t norm = lspo_build_norm(b, i, false);
        for (uint32_t s = 0; s < b->stage_count; s++)
            if (trains(b, s, i))
                lspo_build_update_gpu(b, i, s, norm == LSPO_NO_OP ? gradients : norm);
    }
    return b->status;
}
