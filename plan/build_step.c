/* build_step.c - the forward and backward passes of an optimizer step. */
#include "plan/build_parts.h"

static void depend_on_weights(lspo_builder_t *b, uint32_t stage)
{
    lspo_build_depend(b, b->stages[stage].ready);
    if (stage == head_of(b) && tied(b))
        lspo_build_depend(b, b->stages[0].ready);
    if (stage == 0 && b->forward_waits_all)
        for (uint32_t s = 1; s < b->stage_count; s++)
            lspo_build_depend(b, b->stages[s].ready);
}

lspo_op_id_t lspo_build_forward_as(lspo_builder_t *b, lspo_op_variant_t variant, uint32_t iteration, uint32_t micro,
                                   uint32_t stage)
{
    const lspo_activations_t *a = &b->activations;
    bool frozen = variant == LSPO_VARIANT_FROZEN;
    lspo_build_activations_leave(b, variant, iteration, micro, stage);
    lspo_op_id_t id = lspo_build_emit(
        b, &(lspo_new_op_t){
               .kind = LSPO_OP_FWD, .variant = variant, .stage = stage, .iteration = iteration, .micro = micro});
    lspo_build_depend(b, b->last_compute);
    if (is_first_micro(b, micro))
        depend_on_weights(b, stage);
    lspo_build_activations_place(b, stage);
    switch (b->stages[stage].shape.kind) {
    case LSPO_STAGE_EMBED:
        lspo_build_gpu_memory(b, a->input_bytes, 0);
        break;
    case LSPO_STAGE_BLOCK:
        lspo_build_gpu_memory(b, a->input_bytes + a->saved_bytes,
                              (frozen || (b->workload->checkpointing && !b->splits_forward) ? a->saved_bytes : 0) +
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
    return lspo_build_forward_as(b, frozen ? LSPO_VARIANT_FROZEN : LSPO_VARIANT_NONE, iteration, micro, stage);
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

/* The scratch of LAPACK for the widest basis, one weight at a time, as in kernels/lowrank.h. */
static uint64_t basis_scratch_bytes(const lspo_builder_t *b, uint32_t stage)
{
    const lspo_message_t *message = &b->stages[stage].message;
    uint64_t r = lspo_plan_rank(b->plan), largest = 0;
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *w = &message->linear[i];
        uint64_t s = w->rows <= w->cols ? w->rows : w->cols;
        uint64_t bytes = w->compressed ? 12 * s * s + 8 * s * r + 352 * s + 8 * r : 0;
        largest = bytes > largest ? bytes : largest;
    }
    return largest;
}

static void backward_memory(lspo_builder_t *b, uint32_t iteration, uint32_t stage, uint32_t micro,
                            bool compress_follows)
{
    const lspo_activations_t *a = &b->activations;
    uint64_t taken = is_first_micro(b, micro) ? gradient_taken(b, iteration, stage) : 0;
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
    if (b->stages[stage].shape.kind == LSPO_STAGE_BLOCK && lowrank(b) &&
        (is_first_micro(b, micro) || !lspo_plan_keeps_gradients(b->plan, iteration)))
        taken += linear_bytes(b, stage);
    lspo_build_gpu_memory(b, taken, freed);
}

/* With sums on the host, each micro-batch takes the places of the one before: the gradient that comes `buffers` before
 * this stage's, not counting that of a tied embedding, which the head takes. */
static lspo_op_id_t older_sum(const lspo_builder_t *b, uint32_t micro, uint32_t stage, uint32_t buffers)
{
    uint32_t steps = micro > 0 ? b->stage_count - 1 : b->stage_count - 1 - stage;
    for (uint32_t older = stage; steps > 0; steps--) {
        older = older + 1 < b->stage_count ? older + 1 : 0;
        bool counts = b->stages[older].trained && !b->stages[older].updated_on_gpu && !(older == 0 && tied(b));
        if (counts && --buffers == 0)
            return b->stages[older].sent;
    }
    return LSPO_NO_OP;
}

/* The BWD of this stage waits until an older gradient has left; with one buffer its RECOMPUTE does, too, so that each
 * copy blocks the backward pass.  Sums that stay on the GPU all have their places there. */
void lspo_build_bound_gradients(lspo_builder_t *b, uint32_t micro, uint32_t stage)
{
    uint32_t buffers = b->gradient_buffers, older = stage + buffers;
    if (!b->bounds_gradients || !buffers)
        return;
    if (b->sums_on_host)
        lspo_build_depend(b, older_sum(b, micro, stage, buffers));
    else if (b->workload->accumulation == 1 && older < b->stage_count && !b->stages[stage].updated_on_gpu)
        lspo_build_depend(b, b->stages[older].sent);
}

/* One block at a time: the stages above the trained one only compute dx.  A tied head computes its part of the
 * embedding's gradient. */
static lspo_op_variant_t backward_variant(const lspo_builder_t *b, uint32_t iteration, uint32_t stage)
{
    bool forms = b->plan->optimizer != LSPO_OPTIMIZER_BLOCK_ADAM || trains(b, stage, iteration);
    return forms ? LSPO_VARIANT_NONE : LSPO_VARIANT_FROZEN;
}

lspo_op_id_t lspo_build_backward(lspo_builder_t *b, uint32_t iteration, uint32_t micro, uint32_t stage,
                                 lspo_op_id_t parameters)
{
    lspo_build_stage_t *st = &b->stages[stage];
    bool block = st->shape.kind == LSPO_STAGE_BLOCK, last = is_last_micro(b, micro);
    bool compress =
        block && b->compresses && !st->updated_on_gpu && (last || !lspo_plan_keeps_gradients(b->plan, iteration));
    if (stage < lowest_trained(b, iteration))
        return b->last_compute;
    lspo_op_id_t kept = lspo_build_activations_return(b, LSPO_VARIANT_NONE, iteration, micro, stage);
    if (block && b->workload->checkpointing) {
        lspo_op_id_t again = lspo_build_emit(
            b, &(lspo_new_op_t){.kind = LSPO_OP_RECOMPUTE, .stage = stage, .iteration = iteration, .micro = micro});
        lspo_build_depend(b, b->last_compute);
        lspo_build_depend(b, parameters);
        lspo_build_depend(b, kept);
        if (b->gradient_buffers == 1)
            lspo_build_bound_gradients(b, micro, stage);
        lspo_build_gpu_memory(b, b->activations.saved_bytes, 0);
        b->last_compute = again;
    }
    uint32_t tail = lspo_build_tail(b, iteration, stage, micro);
    lspo_op_variant_t variant = backward_variant(b, iteration, stage);
    lspo_op_id_t id = lspo_build_emit(b, &(lspo_new_op_t){.kind = LSPO_OP_BWD,
                                                          .variant = variant,
                                                          .stage = stage,
                                                          .iteration = iteration,
                                                          .micro = micro,
                                                          .tail = compress ? 0 : tail});
    lspo_build_depend(b, b->last_compute);
    lspo_build_depend(b, parameters);
    lspo_build_depend(b, kept);
    lspo_build_bound_gradients(b, micro, stage);
    backward_memory(b, iteration, stage, micro, compress);
    if (block && last && lspo_plan_renews_bases(b->plan, iteration)) {
        lspo_op_id_t backward = id;
        uint64_t scratch_bytes = basis_scratch_bytes(b, stage);
        id = lspo_build_emit(
            b, &(lspo_new_op_t){.kind = LSPO_OP_PROJECT, .stage = stage, .iteration = iteration, .micro = micro});
        lspo_build_depend(b, backward);
        lspo_build_gpu_memory(b, scratch_bytes, scratch_bytes);
    }
    if (compress) {
        lspo_op_id_t gradients = id;
        id = lspo_build_emit(
            b, &(lspo_new_op_t){
                   .kind = LSPO_OP_COMPRESS, .stage = stage, .iteration = iteration, .micro = micro, .tail = tail});
        lspo_build_depend(b, gradients);
        lspo_build_depend(b, tail & TAIL_TURN ? st->turned : LSPO_NO_OP);
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
    if (lspo_plan_swaps_activations(b->plan, stage))
        freed += kept_bytes(b);
    lspo_build_gpu_memory(b, taken + (stage == head_of(b) ? a->input_bytes : 0),
                          freed + (block && b->workload->checkpointing ? a->saved_bytes : 0) +
                              (stage == lowest_trained(b, iteration) ? a->input_bytes : 0));
}

void lspo_build_probe(lspo_builder_t *b, uint32_t iteration, uint32_t stage)
{
    if (stage < lowest_trained(b, iteration))
        return;
    lspo_op_id_t kept = lspo_build_activations_return(b, LSPO_VARIANT_PROBE, iteration, 0, stage);
    if (b->stages[stage].shape.kind == LSPO_STAGE_BLOCK && b->workload->checkpointing) {
        lspo_op_id_t again = lspo_build_emit(
            b, &(lspo_new_op_t){
                   .kind = LSPO_OP_RECOMPUTE, .variant = LSPO_VARIANT_PROBE, .stage = stage, .iteration = iteration});
        lspo_build_depend(b, b->last_compute);
        lspo_build_depend(b, kept);
        lspo_build_gpu_memory(b, b->activations.saved_bytes, 0);
        b->last_compute = again;
    }
    uint32_t tail = lspo_build_tail(b, iteration, stage, 0);
    lspo_op_id_t id = lspo_build_emit(
        b,
        &(lspo_new_op_t){
            .kind = LSPO_OP_BWD, .variant = LSPO_VARIANT_PROBE, .stage = stage, .iteration = iteration, .tail = tail});
    lspo_build_depend(b, b->last_compute);
    lspo_build_depend(b, kept);
    probe_memory(b, iteration, stage);
    b->stages[stage].backward = b->last_compute = id;
}
