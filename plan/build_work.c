/* build_work.c - the kernels of each op, by the policy's form of gradients and optimizer. */
#include "plan/build_parts.h"
#include "plan/chunks.h"
#include "plan/family.h"
#include "plan/message_work.h"
#include "plan/policy.h"
#include "plan/sketch_work.h"
#include "plan/stage_work.h"

/* The op that completes a gradient also packs it for the link and sums the squares for --clip. */
uint32_t lspo_build_tail(const lspo_builder_t *b, uint32_t iteration, uint32_t stage, uint32_t micro)
{
    if (!trains(b, stage, iteration) || !is_last_micro(b, micro))
        return 0;
    uint32_t tail = b->workload->clip_norm > 0 && !b->norm_known ? TAIL_SQUARES : 0;
    if (b->stages[stage].packed_bytes > 0)
        tail |= TAIL_PACK;
    return tail | turn_tail(b, iteration, stage);
}

/* Adds a kernel that streams this many bytes. */
static void add_stream(lspo_work_t *work, uint64_t bytes)
{
    lspo_work_t one;
    lspo_work_stream(bytes, &one);
    lspo_work_append(work, &one.kernels[0]);
}

/* The squares of what is turned are summed before and after: the norm and whether there was an overflow. */
static void add_tail(const lspo_build_stage_t *stage, uint32_t tail, lspo_work_t *work)
{
    uint32_t times = tail & TAIL_TURN ? 2 : 1;
    if (tail & TAIL_PACK)
        add_stream(work, stage->gradient_bytes);
    for (uint32_t i = 0; tail & TAIL_SQUARES && i < times; i++)
        add_stream(work, stage->gradient_bytes - (tail & TAIL_PACK ? stage->packed_bytes : 0));
}

static void add_turn(const lspo_builder_t *b, lspo_basis_part_t part, const lspo_message_t *message, lspo_work_t *work)
{
    lspo_adam_basis_add_part(lspo_plan_adam_basis(b->plan), b->plan->gradient_form, message, part,
                             lspo_precision_bytes(b->workload->precision), work);
}

/* Whether the backward pass of a stage forms the full gradients of linear weights. */
static bool forms_gradients(const lspo_builder_t *b, uint32_t s)
{
    return b->stages[s].updated_on_gpu || b->plan->gradient_form == LSPO_FORM_DENSE || lowrank(b) || columns(b);
}

/* Whether a BWD computes gradients of trained weights. */
static bool forms_message(lspo_op_variant_t variant)
{
    return variant != LSPO_VARIANT_FROZEN && variant != LSPO_VARIANT_CALIBRATE;
}

/* A fit's steps are distributed over the micro-batches between the first and the last; the last computes the bias of
 * two pairs. */
static void describe_fit(const lspo_builder_t *b, lspo_op_variant_t variant, const lspo_message_t *message,
                         lspo_work_t *work)
{
    uint32_t steps = variant == LSPO_VARIANT_FIT ? lspo_plan_fit_steps(b->plan) : 0;
    lspo_message_work_fit(b->workload, message, variant == LSPO_VARIANT_DECIDE ? 2 : 1, steps, work);
}

static void describe_compress(const lspo_builder_t *b, const lspo_message_t *message, lspo_work_t *work)
{
    if (lowrank(b))
        lspo_message_work_lowrank_compress(b->workload, message, work);
    else if (b->plan->dense_compress)
        lspo_sketch_work_compress(b->workload, message, work);
    else
        lspo_message_work_compress(b->workload, message, work);
}

static void describe_apply(const lspo_builder_t *b, const lspo_build_stage_t *stage, lspo_work_t *work)
{
    const lspo_message_t *message = &stage->message;
    if (lowrank(b))
        lspo_message_work_lowrank_apply(b->workload, message, work);
    else if (b->plan->dense_apply)
        lspo_sketch_work_apply(b->workload, message, work);
    else if (b->plan->return_form == LSPO_RETURN_DELTA)
        lspo_message_work_apply_delta(b->workload, message, work);
    else
        lspo_work_stream(stage->link_bytes + message->element_count * lspo_precision_bytes(b->workload->precision),
                         work);
}

/* FWD, RECOMPUTE, BWD. */
static void describe_pass(const lspo_builder_t *b, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t s,
                          lspo_work_t *work)
{
    const lspo_model_t *model = b->model;
    const lspo_message_t *message = &b->stages[s].message;
    bool forms = forms_message(variant);
    if (kind == LSPO_OP_FWD)
        lspo_stage_work_forward(model, b->workload, s, work);
    else if (kind == LSPO_OP_RECOMPUTE)
        lspo_stage_work_recompute(model, b->workload, s, work);
    else
        lspo_stage_work_backward(model, b->workload, s, forms_gradients(b, s) && b->stages[s].trained && forms,
                                 message->rest_elements > 0 && forms, work);
    if (!adapters(b))
        return;
    bool skips_last = kind == LSPO_OP_RECOMPUTE && !lspo_model_ends_with_norm(model);
    if (kind == LSPO_OP_BWD)
        lspo_message_work_add_adapters_backward(b->workload, message, work);
    else
        lspo_message_work_add_adapters(b->workload, message, skips_last, work);
    if (quantizes(b))
        lspo_message_work_add_expansion(b->workload, message, skips_last, work);
}

static void describe_update(const lspo_builder_t *b, const lspo_build_stage_t *stage, bool renews, uint32_t tail,
                            lspo_work_t *work)
{
    uint64_t elements = stage->message.element_count;
    if (tail & TAIL_APART) {
        add_turn(b, LSPO_BASIS_RENEWAL, &stage->message, work);
        return;
    }
    if (b->plan->optimizer == LSPO_OPTIMIZER_SGD) /* read g, read and write w */
        lspo_work_stream(3 * elements * lspo_precision_bytes(b->workload->precision), work);
    else
        lspo_work_adam_in(lspo_plan_optimizer_state(b->plan), b->workload->precision, elements, work);
    if (tail & TAIL_TURN)
        add_turn(b, LSPO_BASIS_MOMENTS, &stage->message, work);
    else
        lspo_adam_basis_add_work(lspo_plan_adam_basis(b->plan), b->plan->gradient_form, &stage->message, renews, work);
}

/* A part of a speculative update: Adam's usual traffic, but what it has written is not in the cache the next time. */
static bool describe_speculation(const lspo_build_stage_t *stage, lspo_op_variant_t variant, lspo_work_t *work)
{
    if (variant != LSPO_VARIANT_SPECULATE && variant != LSPO_VARIANT_REDO)
        return variant == LSPO_VARIANT_SETTLE;
    lspo_work_adam(stage->message.element_count, work);
    work->kernels[0].of_elements = UINT64_MAX;
    return true;
}

/* The bytes on a link: a message, or what is swapped, read or written. */
static void describe_copy(const lspo_builder_t *b, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t s,
                          lspo_work_t *work)
{
    const lspo_build_stage_t *stage = &b->stages[s];
    uint64_t bytes = variant == LSPO_VARIANT_OPTIMIZER ? stage->optimizer_bytes : stage->parameter_bytes;
    if (variant == LSPO_VARIANT_SUM)
        bytes = stage->gradient_bytes - stage->packed_bytes;
    else if (kind == LSPO_OP_H2D)
        bytes = variant == LSPO_VARIANT_RENEW ? stage->turn_bytes : stage->link_bytes;
    else if (kind == LSPO_OP_D2H && variant == LSPO_VARIANT_PROJECTORS)
        bytes = lspo_build_projector_link_bytes(b, s);
    else if (kind == LSPO_OP_D2H)
        bytes = variant == LSPO_VARIANT_NORM_SCALAR ? sizeof(float) : stage->sent_bytes;
    lspo_work_copy(bytes, work);
}

/* Of a block's activations: its input, and what it saved where that is kept; a copy of each. */
static void describe_kept(const lspo_builder_t *b, lspo_work_t *work)
{
    lspo_work_copy(kept_bytes(b), work);
    work->kernels[0].count = b->workload->checkpointing ? 1 : 2;
}

static void describe_by_forms(const lspo_builder_t *b, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t s,
                              uint32_t tail, lspo_work_t *work)
{
    const lspo_build_stage_t *stage = &b->stages[s];
    switch (kind) {
    case LSPO_OP_FWD:
    case LSPO_OP_RECOMPUTE:
    case LSPO_OP_BWD:
        describe_pass(b, kind, variant, s, work);
        break;
    case LSPO_OP_COMPRESS:
        describe_compress(b, &stage->message, work);
        if (tail & TAIL_TURN)
            add_turn(b, LSPO_BASIS_TURN_IN, &stage->message, work);
        break;
    case LSPO_OP_NORM:
        lspo_work_stream(b->stage_count * sizeof(double), work);
        break;
    case LSPO_OP_D2H:
    case LSPO_OP_H2D:
    case LSPO_OP_SWAP_IN:
    case LSPO_OP_SWAP_OUT:
    case LSPO_OP_READ:
    case LSPO_OP_WRITE:
        work->writes = kind == LSPO_OP_WRITE;
        describe_copy(b, kind, variant, s, work);
        break;
    case LSPO_OP_UPD:
    case LSPO_OP_UPD_GPU:
        if (describe_speculation(stage, variant, work))
            break;
        describe_update(b, stage, variant == LSPO_VARIANT_RENEW, tail, work);
        break;
    case LSPO_OP_APPLY:
        describe_apply(b, stage, work);
        if (tail & TAIL_TURN)
            add_turn(b, LSPO_BASIS_TURN_BACK, &stage->message, work);
        break;
    case LSPO_OP_SEND: /* a stage's output, or the gradient with respect to it */
        lspo_work_copy(b->activations.input_bytes, work);
        break;
    case LSPO_OP_PROJECT:
        if (lowrank(b))
            lspo_message_work_lowrank_project(b->workload, &stage->message, work);
        else
            describe_fit(b, variant, &stage->message, work);
        break;
    case LSPO_OP_SELECT: /* of their policies only, which describe them */
    case LSPO_OP_MAP:
    case LSPO_OP_KIND_COUNT:
        work->kernel_count = 0;
        break;
    }
}

/* A part of an op of a stage's message: all full parts are alike. */
static void describe_part(const lspo_builder_t *b, lspo_op_kind_t kind, uint32_t s, uint32_t tail, lspo_work_t *work)
{
    const lspo_build_stage_t *stage = &b->stages[s];
    uint64_t elements = lspo_build_part_elements(b, s, tail == PART_FULL ? 0 : stage->parts - 1);
    uint64_t bytes = elements * lspo_precision_bytes(b->workload->transfer);
    if (b->plan->policy->describe_part && b->plan->policy->describe_part(b, kind, elements, work))
        return;
    if (kind == LSPO_OP_APPLY)
        lspo_work_stream(bytes + elements * lspo_precision_bytes(b->workload->precision), work);
    else if (kind != LSPO_OP_UPD)
        lspo_work_copy(bytes, work);
    if (kind != LSPO_OP_UPD)
        return;
    lspo_work_adam_in(lspo_plan_optimizer_state(b->plan), b->workload->precision, elements, work);
    work->kernels[0].of_elements = stage->message.element_count;
}

/* Can an op of this kind have a part of a message? */
static bool has_parts(const lspo_policy_t *policy, lspo_op_kind_t kind)
{
    bool own =
        kind == LSPO_OP_SWAP_IN || kind == LSPO_OP_SWAP_OUT || kind == LSPO_OP_UPD_GPU || kind == LSPO_OP_COMPRESS;
    return kind == LSPO_OP_D2H || kind == LSPO_OP_UPD || kind == LSPO_OP_H2D || kind == LSPO_OP_APPLY ||
           (own && policy->describe_part != NULL);
}

void lspo_build_describe(const lspo_builder_t *b, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t s,
                         uint32_t tail, lspo_work_t *work)
{
    const lspo_policy_t *policy = b->plan->policy;
    if (lspo_op_kind_swaps_activations(kind, variant)) {
        describe_kept(b, work);
        return;
    }
    if (has_parts(policy, kind) && (tail & (PART_FULL | PART_LAST))) {
        describe_part(b, kind, s, tail, work);
        return;
    }
    if (policy->describe_work && policy->describe_work(b, kind, variant, s, work))
        return;
    describe_by_forms(b, kind, variant, s, tail, work);
    add_tail(&b->stages[s], tail, work);
}
