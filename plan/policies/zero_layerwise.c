/* zero-layerwise: full gradients under the layer-wise schedule of LSP-Offload [Fig. 7, "+layer-wise sch."].
 *
 * With --clip every update waits for the last gradient.  --speculate-clip on updates each layer when its gradient
 * arrives, as if the step did not clip, from weights and state in one place into a second place.  When the norm is
 * known, an op of no work takes the second place for the first (SETTLE); where the step clips, it repeats the update
 * with the right factor (REDO); a step that overflowed keeps the first.  New weights leave after that.  Results are
 * those of waiting, bit for bit.  What a step does is not known before, so a plan assumes that one of --clip-every
 * steps clips; a run does what its norms say. */
#include "plan/policies.h"
#include "plan/policies/shared.h"

static lspo_status_t check_speculation(const lspo_plan_t *plan)
{
    if (!lspo_plan_speculates(plan))
        return LSPO_OK;
    if (lspo_layerwise_values_of(&plan->workload)->chunk_bytes > 0)
        return lspo_error(LSPO_ERR_INPUT, "--speculate-clip on updates whole layers: it needs --chunk-bytes 0");
    if (lspo_plan_optimizer_state(plan) != LSPO_OPTIMIZER_STATE_FP32)
        return lspo_error(LSPO_ERR_INPUT, "--speculate-clip on needs --optimizer-state fp32, not %s",
                          lspo_optimizer_state_names[lspo_plan_optimizer_state(plan)]);
    return LSPO_OK;
}

static lspo_status_t build(lspo_builder_t *b)
{
    lspo_status_t status = check_speculation(b->plan);
    if (status != LSPO_OK)
        return status;
    lspo_build_offloaded_memory(b, 1);
    return lspo_build_layerwise(b, lspo_layerwise_values_of(b->workload)->transition);
}

const lspo_policy_t lspo_policy_zero_layerwise = {
    .name = "zero-layerwise",
    .help = "Zero-Offload layer by layer: each update starts when its gradient arrives; shallow layers first up to the "
            "transition",
    .citation = "arXiv 2406.10181, Alg. 1 and Fig. 7",
    .example = "lspo sim --policy zero-layerwise --model llama-7b --machine rtx4090 --transition 8",
    .parameters = &lspo_layerwise_parameters,
    .semantics = LSPO_SEMANTICS_EXACT,
    .periods = {{.parameter = &lspo_parameter_clip_every,
                 .times = 1,
                 .work = "steps that clip",
                 .with = &lspo_parameter_speculate_clip,
                 .with_value = LSPO_SPECULATE_ON}},
    .clip_help =
        "norm of the full gradient; a barrier: no update starts before the last gradient is known, except with "
        "--speculate-clip on",
    .train_rest_default = true,
    .method = "adam",
    .return_form = LSPO_RETURN_PARAMETERS,
    .build = build,
};
