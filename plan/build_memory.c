/* build_memory.c - memory that is in use during the whole plan. */
#include "plan/build_parts.h"
#include "plan/policy.h"
#include "plan/sketch_work.h"

static uint64_t all_parameter_bytes(const lspo_builder_t *b)
{
    uint64_t bytes = 0;
    for (uint32_t s = 0; s < b->stage_count; s++)
        bytes += b->stages[s].parameter_bytes;
    return bytes;
}

/* The adapters, or the orthonormal bases of the shorter sides. */
static uint64_t factor_bytes(const lspo_builder_t *b, const lspo_message_t *message)
{
    uint64_t elements = 0;
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *w = &message->linear[i];
        if (adapters(b))
            elements += w->message_elements;
        else if (lowrank(b) && w->compressed)
            elements += (uint64_t)(w->rows <= w->cols ? w->rows : w->cols) * lspo_plan_rank(b->plan);
    }
    return elements * lspo_precision_bytes(b->workload->precision);
}

/* Where a weight is expanded: the largest of a block; all blocks are alike. */
static uint64_t expanded_bytes(const lspo_builder_t *b)
{
    const lspo_message_t *message = &b->stages[1].message;
    uint64_t largest = 0;
    for (uint32_t i = 0; i < message->linear_count; i++) {
        uint64_t elements = (uint64_t)message->linear[i].rows * message->linear[i].cols;
        largest = elements > largest ? elements : largest;
    }
    return largest * lspo_precision_bytes(b->workload->precision);
}

/* For all stages, or for the largest turn: a stage, or a tied head together with its embedding. */
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

/* Of Adam's bases on the GPU: stages are updated one after the other. */
static uint64_t basis_scratch_bytes(const lspo_builder_t *b, bool all)
{
    uint64_t largest = 0;
    for (uint32_t s = 0; s < b->stage_count; s++) {
        uint64_t bytes =
            lspo_adam_basis_scratch_bytes(lspo_plan_adam_basis(b->plan), b->plan->gradient_form, &b->stages[s].message);
        if ((all || b->stages[s].updated_on_gpu) && bytes > largest)
            largest = bytes;
    }
    return largest;
}

void lspo_build_resident_memory(lspo_builder_t *b)
{
    lspo_footprint_t *f = &b->plan->footprint;
    f->gpu_optimizer_bytes = resident_optimizer_bytes(b);
    f->gpu_parameters_bytes = all_parameter_bytes(b);
    f->gpu_workspace_bytes = b->activations.workspace_bytes + basis_scratch_bytes(b, true);
    for (uint32_t s = 0; s < b->stage_count; s++)
        f->gpu_projectors_bytes += factor_bytes(b, &b->stages[s].message);
    if (adapters(b)) /* X A and dY B */
        f->gpu_workspace_bytes += 2 * lspo_workload_tokens(b->workload) * lspo_plan_rank(b->plan) *
                                  lspo_precision_bytes(b->workload->precision);
    if (quantizes(b))
        f->gpu_workspace_bytes += expanded_bytes(b);
}

/* X P and dY Q of a weight, tokens x (d_m + d_n), and at another time the nonzeros of Q; dense sketches and what is
 * between their products. */
static uint64_t scratch_elements(const lspo_plan_t *plan, const lspo_projection_t *w, uint64_t tokens)
{
    uint64_t elements =
        plan->dense_compress ? lspo_sketch_compress_elements(w, tokens) : tokens * ((uint64_t)w->d_rows + w->d_cols);
    uint64_t nonzeros_bytes = (uint64_t)w->cols * w->nnz_cols * (sizeof(uint32_t) + sizeof(float));
    uint64_t apply = plan->dense_apply ? lspo_sketch_apply_elements(w)
                                       : nonzeros_bytes / lspo_precision_bytes(plan->workload.precision);
    return apply > elements ? apply : elements;
}

/* Of the weight that needs most. */
static uint64_t projection_scratch_bytes(const lspo_builder_t *b)
{
    const lspo_message_t *message = &b->stages[lspo_plan_first_sent_block(b->plan)].message; /* all others are alike */
    uint64_t tokens = lspo_workload_tokens(b->workload), largest = 0;
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *w = &message->linear[i];
        uint64_t elements = scratch_elements(b->plan, w, tokens);
        if (w->compressed && elements > largest)
            largest = elements;
    }
    return largest * lspo_precision_bytes(b->workload->precision);
}

/* A delta in 16 bits is unpacked to fp32, one weight at a time. */
static uint64_t unpacked_delta_bytes(const lspo_builder_t *b)
{
    const lspo_message_t *message = &b->stages[lspo_plan_first_sent_block(b->plan)].message; /* all others are alike */
    uint64_t largest = 0;
    for (uint32_t i = 0; i < message->linear_count && b->workload->transfer != LSPO_FP32; i++)
        if (message->linear[i].compressed && message->linear[i].message_elements > largest)
            largest = message->linear[i].message_elements;
    return largest * sizeof(float);
}

static uint64_t turn_scratch_bytes(const lspo_builder_t *b)
{
    const lspo_message_t *message = &b->stages[lspo_plan_first_sent_block(b->plan)].message; /* all others are alike */
    uint64_t p = lspo_precision_bytes(b->workload->precision);
    if (!lspo_plan_has_bases_on_gpu(b->plan))
        return 0;
    return lspo_adam_basis_turn_scratch_bytes(lspo_plan_adam_basis(b->plan), b->plan->gradient_form, message, p,
                                              b->workload->transfer != b->workload->precision);
}

/* Room for the message and, if sums are on the host, for a sum in the GPU's format. */
static uint64_t landing_bytes(const lspo_builder_t *b, const lspo_build_stage_t *stage)
{
    uint64_t sum_bytes = b->sums_on_host ? stage->gradient_bytes - stage->packed_bytes : 0;
    return sum_bytes > stage->sent_bytes ? sum_bytes : stage->sent_bytes;
}

void lspo_build_offloaded_memory(lspo_builder_t *b, uint32_t gradient_slots)
{
    lspo_footprint_t *f = &b->plan->footprint;
    bool parameters = b->plan->return_form == LSPO_RETURN_PARAMETERS;
    lspo_precision_t master = lspo_optimizer_state_updates(lspo_plan_optimizer_state(b->plan), b->workload->precision);
    /* The master itself is sent, unless the link has another format or the next update may begin before the copy has
     * ended. */
    bool sends_master = parameters && b->workload->transfer == master && gradient_slots == 1;
    f->gpu_parameters_bytes = all_parameter_bytes(b);
    f->gpu_workspace_bytes = b->activations.workspace_bytes + basis_scratch_bytes(b, false);
    for (uint32_t s = 0; s < b->stage_count; s++) {
        const lspo_build_stage_t *st = &b->stages[s];
        uint64_t elements = st->message.element_count;
        if (st->updated_on_gpu) {
            f->gpu_optimizer_bytes += st->optimizer_bytes;
            continue;
        }
        f->gpu_projectors_bytes += lspo_build_projector_bytes(b, s);
        f->gpu_optimizer_bytes += st->turn_bytes;
        f->host_optimizer_bytes += st->moments_bytes;
        f->host_outgoing_bytes += st->turn_bytes;
        f->host_gradients_bytes += landing_bytes(b, st) * gradient_slots;
        if (lspo_plan_speculates(b->plan)) { /* a second place for moments and master */
            f->host_optimizer_bytes += st->moments_bytes;
            f->host_master_bytes += elements * sizeof(float);
        }
        if (!sends_master)
            f->host_outgoing_bytes += st->link_bytes * gradient_slots;
        if (parameters)
            f->host_master_bytes += elements * lspo_precision_bytes(master);
    }
    if (b->plan->gradient_form == LSPO_FORM_SUBSPACE)
        f->gpu_workspace_bytes += projection_scratch_bytes(b) + unpacked_delta_bytes(b) + turn_scratch_bytes(b);
    if (b->plan->gradient_form == LSPO_FORM_SUBSPACE && lspo_lsp_values_of(b->workload)->check_every > 0)
        f->host_projectors_bytes = lspo_build_projector_host_bytes(b);
}
