/* zero: Zero-Offload [Fig. 3a].  Gradients go to the CPU stage by stage during backward.  The CPU optimizer starts when
 * all have arrived; each stage's new parameters return while the next one is updated; the next forward waits for all.
 *
 * With --cpu-share R < 1 (Twin-Flow of ZeRO-Offload++) the first stages, with the share of the trained parameters that
 * is nearest to R, are updated on the CPU.  The GPU keeps optimizer state and gradients of the others and updates them
 * after the backward pass, while the CPU works.  Stages are not split. */
#include "plan/policies/zero.h"
#include "plan/policies.h"
#include "plan/policies/shared.h"

/* Set updated_on_gpu of the stages, from the first one beyond the share. */
static void share_out(lspo_builder_t *b)
{
    double all = 0, before = 0, share = lspo_zero_values_of(b->workload)->cpu_share;
    for (uint32_t s = 0; s < b->stage_count; s++)
        all += (double)b->stages[s].message.element_count;
    for (uint32_t s = 0; s < b->stage_count; s++) {
        lspo_build_stage_t *stage = &b->stages[s];
        double elements = (double)stage->message.element_count;
        if (stage->trained && before + elements / 2 > share * all)
            lspo_build_keep_on_gpu(stage);
        before += elements;
    }
}

static void update_on_cpu(lspo_builder_t *b, uint32_t iteration, lspo_op_id_t norm)
{
    lspo_op_id_t update = LSPO_NO_OP;
    for (uint32_t s = 0; s < b->stage_count; s++) {
        if (!lspo_build_is_sent(b, s))
            continue;
        update = lspo_build_update_in_turn(b, iteration, s, update, norm);
        lspo_build_return(b, iteration, s, update, LSPO_NO_OP);
    }
}

static lspo_status_t build(lspo_builder_t *b)
{
    share_out(b);
    lspo_build_offloaded_memory(b, 1);
    b->forward_waits_all = true;
    for (uint32_t i = 0; i < b->workload->iterations; i++) {
        lspo_build_step(b, i, true);
        update_on_cpu(b, i, lspo_build_updates_gpu(b, i));
    }
    return b->status;
}

static const lspo_parameter_t cpu_share = {
    .key = "cpu-share",
    .value = "FRACTION",
    .unit = "share of the trained parameters",
    .help = "share that the CPU updates, in whole layers from the first; the GPU keeps state of the others and updates "
            "them",
    .kind = LSPO_RECORD_REAL,
    .preset = 1,
    .high = 1,
    .affects = LSPO_AFFECTS_BOTH,
    .arrays = LSPO_ARRAYS_BY_VALUE,
};

static const lspo_parameter_use_t uses[] = {
    {&lspo_parameter_gradient_buffers, offsetof(lspo_zero_values_t, gradient_buffers), false, NULL},
    {&lspo_parameter_accumulate_on, offsetof(lspo_zero_values_t, accumulate_on), false, NULL},
    {&cpu_share, offsetof(lspo_zero_values_t, cpu_share), true, NULL},
    {&lspo_parameter_optimizer_state, offsetof(lspo_zero_values_t, optimizer_state), true, NULL},
    {&lspo_parameter_native_layers, offsetof(lspo_zero_values_t, native_layers), false, NULL},
    {&lspo_parameter_chunk_bytes, offsetof(lspo_zero_values_t, chunk_bytes), false, NULL},
    {&lspo_parameter_adam_basis, offsetof(lspo_zero_values_t, adam_basis), false, NULL},
    {&lspo_parameter_basis_every, offsetof(lspo_zero_values_t, basis_every), false, NULL},
};
const lspo_parameters_t lspo_zero_parameters = LSPO_PARAMETERS(uses, lspo_zero_values_t);

const lspo_policy_t lspo_policy_zero = {
    .name = "zero",
    .help =
        "Zero-Offload: gradients go to the CPU, Adam starts there after the last one, parameters return before forward",
    .citation = "Ren et al., USENIX ATC 2021; arXiv 2406.10181, Fig. 3a; --cpu-share: ZeRO-Offload++, Twin-Flow",
    .elsewhere = LSPO_ELSEWHERE_ZERO_OFFLOAD,
    .example = "lspo sim --policy zero --model llama-7b --machine rtx4090 --cpu-share 0.8",
    .parameters = &lspo_zero_parameters,
    .semantics = LSPO_SEMANTICS_EXACT,
    .periods = {LSPO_BASIS_PERIOD},
    .clip_help = "norm of the full gradient; free, since updates wait for all gradients anyway",
    .train_rest_default = true,
    .method = "adam",
    .return_form = LSPO_RETURN_PARAMETERS,
    .build = build,
};
