/* build_work.c - which kernels each op runs: forms of gradients and optimizers of the policies told apart. */
#include "plan/build_parts.h"
#include "plan/family.h"
#include "plan/message_work.h"
#include "plan/policies/lsp.h"
#include "plan/sketch_work.h"
#include "plan/stage_work.h"

static bool transfers_packed(const lspo_workload_t *workload)
{
    return workload->transfer != workload->precision;
}

/* Packing for the link and the squares for --clip are done by the op that completes the gradient. */
uint32_t lspo_build_tail(const lspo_builder_t *b, uint32_t iteration, uint32_t stage, uint32_t micro)
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

static void add_columns(lspo_work_t *work, uint64_t bytes)
{
    add_stream(work, bytes);
    work->kernels[work->kernel_count - 1].kernel_class = LSPO_KERNEL_COLUMNS;
}

static void add_tail(const lspo_build_stage_t *stage, uint32_t tail, lspo_work_t *work)
{
    if (tail & TAIL_PACK)
        add_stream(work, stage->gradient_bytes);
    if (tail & TAIL_SQUARES)
        add_stream(work, stage->gradient_bytes - (tail & TAIL_PACK ? stage->link_bytes : 0));
}

/* Whether backward forms the full gradients of the linear weights. */
static bool forms_gradients(const lspo_builder_t *b)
{
    return b->plan->gradient_form == LSPO_FORM_DENSE || lowrank(b) || columns(b);
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
        *work = (lspo_work_t){0};
        add_columns(work, stage->gradient_bytes + kept_bytes + stage->link_bytes);
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
            add_columns(work, 4 * moved);
        return true;
    case LSPO_OP_APPLY:
        *work = (lspo_work_t){0};
        add_columns(work, stage->link_bytes + 2 * sent * p);
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
    uint32_t steps = variant == LSPO_VARIANT_FIT ? lspo_lsp_fit_share(b->workload) : 0;
    lspo_message_work_fit(b->workload, message, variant == LSPO_VARIANT_DECIDE ? 2 : 1, steps, work);
}

static void describe_compress(const lspo_builder_t *b, const lspo_message_t *message, lspo_work_t *work)
{
    if (lowrank(b))
        lspo_message_work_lowrank_compress(b->workload, message, work);
    else if (b->plan->dense_sketches)
        lspo_sketch_work_compress(b->workload, message, work);
    else
        lspo_message_work_compress(b->workload, message, work);
}

static void describe_apply(const lspo_builder_t *b, const lspo_build_stage_t *stage, lspo_work_t *work)
{
    const lspo_message_t *message = &stage->message;
    if (lowrank(b))
        lspo_message_work_lowrank_apply(b->workload, message, work);
    else if (b->plan->dense_sketches)
        lspo_sketch_work_apply(b->workload, message, work);
    else if (b->plan->return_form == LSPO_RETURN_DELTA)
        lspo_message_work_apply_delta(b->workload, message, work);
    else
        lspo_work_stream(stage->link_bytes + message->element_count * lspo_precision_bytes(b->workload->precision),
                         work);
}

void lspo_build_describe(const lspo_builder_t *b, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t s,
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
            lspo_message_work_add_adapters(workload, &stage->message, false, work);
        break;
    case LSPO_OP_RECOMPUTE:
        lspo_stage_work_recompute(model, workload, s, work);
        if (adapters(b))
            lspo_message_work_add_adapters(workload, &stage->message, !lspo_family_of(model)->post_norm, work);
        break;
    case LSPO_OP_BWD:
        lspo_stage_work_backward(model, workload, s, forms_gradients(b) && stage->trained && forms_message(variant),
                                 stage->message.rest_elements > 0 && forms_message(variant), work);
        if (adapters(b))
            lspo_message_work_add_adapters_backward(workload, &stage->message, work);
        break;
    case LSPO_OP_COMPRESS:
        describe_compress(b, &stage->message, work);
        break;
    case LSPO_OP_NORM:
        lspo_work_stream(b->stage_count * sizeof(double), work);
        break;
    case LSPO_OP_D2H:
        if (variant == LSPO_VARIANT_PROJECTORS)
            lspo_work_copy(lspo_build_projector_link_bytes(b, s), work);
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
        describe_apply(b, stage, work);
        break;
    case LSPO_OP_SWAP_IN:
    case LSPO_OP_SWAP_OUT:
    case LSPO_OP_READ:
    case LSPO_OP_WRITE:
        work->writes = kind == LSPO_OP_WRITE;
        lspo_work_copy(variant == LSPO_VARIANT_OPTIMIZER ? stage->optimizer_bytes : stage->parameter_bytes, work);
        break;
    case LSPO_OP_SEND: /* a stage's output, or the gradient with respect to it */
        lspo_work_copy(b->activations.input_bytes, work);
        break;
    case LSPO_OP_PROJECT:
        if (lowrank(b))
            lspo_message_work_lowrank_project(workload, &stage->message, work);
        else
            describe_fit(b, variant, &stage->message, work);
        break;
    case LSPO_OP_KIND_COUNT:
        work->kernel_count = 0;
        break;
    }
    add_tail(stage, tail, work);
}
