/* build_projectors.c - the calibration passes of lsp's projectors. */
#include "plan/build_parts.h"

/* The first micro-batch of a calibration pass is for the check, the last for the decision, the others for the fit. */
static lspo_op_variant_t project_variant(uint32_t micro, uint32_t count)
{
    if (micro == 0)
        return LSPO_VARIANT_NONE;
    return micro + 1 < count ? LSPO_VARIANT_FIT : LSPO_VARIANT_DECIDE;
}

/* The backward pass of a calibration pass has no gradient message and ends at the first block.  A block without
 * projectors gives its activations back. */
static void calibrate_backward(lspo_builder_t *b, uint32_t iteration, uint32_t micro, uint32_t stage)
{
    const lspo_activations_t *a = &b->activations;
    lspo_op_id_t kept = lspo_build_activations_return(b, LSPO_VARIANT_CALIBRATE, iteration, micro, stage);
    if (stage != head_of(b) && b->workload->checkpointing) {
        lspo_op_id_t again = lspo_build_emit(b, &(lspo_new_op_t){.kind = LSPO_OP_RECOMPUTE,
                                                                 .variant = LSPO_VARIANT_CALIBRATE,
                                                                 .stage = stage,
                                                                 .iteration = iteration,
                                                                 .micro = micro});
        lspo_build_depend(b, b->last_compute);
        lspo_build_depend(b, kept);
        lspo_build_gpu_memory(b, a->saved_bytes, 0);
        b->last_compute = again;
    }
    lspo_op_id_t id = lspo_build_emit(b, &(lspo_new_op_t){.kind = LSPO_OP_BWD,
                                                          .variant = LSPO_VARIANT_CALIBRATE,
                                                          .stage = stage,
                                                          .iteration = iteration,
                                                          .micro = micro});
    lspo_build_depend(b, b->last_compute);
    lspo_build_depend(b, kept);
    if (stage == head_of(b))
        lspo_build_gpu_memory(b, a->input_bytes, a->head_bytes + a->input_bytes);
    else if (b->stages[stage].updated_on_gpu)
        lspo_build_gpu_memory(b, 0, a->saved_bytes + a->input_bytes);
    if (stage == 1)
        lspo_build_gpu_memory(b, 0, a->input_bytes);
    b->stages[stage].backward = b->last_compute = id;
}

/* New pairs live from their first fit to their decision: those of a stage in its own ops; shared ones from the fit in
 * the last block, where the backward pass begins, to the decision in the first block. */
static void calibrate_candidates(lspo_builder_t *b, uint32_t micro, uint32_t count, uint32_t stage)
{
    bool first = !shares_projectors(b) || stage + 1 == head_of(b),
         last = !shares_projectors(b) || stage == lspo_plan_first_sent_block(b->plan);
    uint64_t bytes = lspo_build_candidate_bytes(b, shares_projectors(b) ? lspo_plan_first_sent_block(b->plan) : stage);
    if (first && micro == 1)
        lspo_build_gpu_memory(b, bytes, 0);
    if (last && micro > 0 && micro + 1 == count)
        lspo_build_gpu_memory(b, 0, bytes);
}

/* Sends the rows of the pairs now in use to the CPU: a stage's own, or the shared ones, for which all updates wait. */
static void calibrate_send(lspo_builder_t *b, uint32_t iteration, uint32_t stage, lspo_op_id_t decided)
{
    if (shares_projectors(b) && stage > lspo_plan_first_sent_block(b->plan))
        return;
    lspo_op_id_t sent = lspo_build_emit(
        b, &(lspo_new_op_t){
               .kind = LSPO_OP_D2H, .variant = LSPO_VARIANT_PROJECTORS, .stage = stage, .iteration = iteration});
    lspo_build_depend(b, decided);
    for (uint32_t s = stage; s == stage || (shares_projectors(b) && s < head_of(b)); s++)
        b->stages[s].projected = sent;
}

static void calibrate_project(lspo_builder_t *b, uint32_t iteration, uint32_t micro, uint32_t count, uint32_t stage)
{
    const lspo_activations_t *a = &b->activations;
    lspo_op_id_t id = lspo_build_emit(b, &(lspo_new_op_t){.kind = LSPO_OP_PROJECT,
                                                          .variant = project_variant(micro, count),
                                                          .stage = stage,
                                                          .iteration = iteration,
                                                          .micro = micro});
    lspo_build_depend(b, b->last_compute);
    lspo_build_gpu_memory(b, lspo_build_check_bytes(b, stage),
                          lspo_build_check_bytes(b, stage) + a->saved_bytes + a->input_bytes);
    calibrate_candidates(b, micro, count, stage);
    b->stages[stage].backward = b->last_compute = id;
    if (micro + 1 == count)
        calibrate_send(b, iteration, stage, id);
}

/* lsp in steps with a check of projectors: extra micro-batches only for their gradients.  The result of the check is
 * unknown here, so every check has a fit, unless the threshold is one that no bias exceeds. */
void lspo_build_calibrate(lspo_builder_t *b, uint32_t iteration)
{
    const lspo_lsp_values_t *lsp = lspo_lsp_values_of(b->workload);
    uint32_t count = lsp->bias_threshold < 1 ? lsp->fit_batches : 1;
    if (!lspo_plan_checks_projectors(b->plan, iteration) ||
        lspo_build_projector_link_bytes(b, lspo_plan_first_sent_block(b->plan)) == 0)
        return;
    for (uint32_t micro = 0; micro < count; micro++) {
        for (uint32_t s = 0; s < b->stage_count; s++)
            lspo_build_forward_as(b, LSPO_VARIANT_CALIBRATE, iteration, micro, s);
        for (uint32_t s = b->stage_count; s-- > 1;) {
            calibrate_backward(b, iteration, micro, s);
            if (s != head_of(b) && !b->stages[s].updated_on_gpu)
                calibrate_project(b, iteration, micro, count, s);
        }
    }
}
