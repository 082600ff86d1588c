/* offload-weights: the weights of blocks and head are on the host and come in (SWAP_IN), a layer ahead of the one that
 * computes; a load serves all micro-batches, and is dropped behind the last of them.
 *
 * With one micro-batch this is how Accelerate's hooks run a model whose weights do not fit, but with the next layer on
 * its way; with several it is FlexGen's block schedule: column by column over the micro-batches of a block
 *                                                              [Sheng et al., arXiv 2303.06865, Sec. 4.1, Fig. 3b]. */
#include "plan/build_generate.h"
#include "plan/policies.h"

/* One layer computes while the next one arrives. */
enum { LAYERS_ON_GPU = 2 };

static void memory(lspo_builder_t *b)
{
    const lspo_workload_t *w = b->workload;
    lspo_footprint_t *f = &b->plan->footprint;
    f->gpu_parameters_bytes = b->stages[0].parameter_bytes;
    for (uint32_t s = 1; s < b->stage_count; s++)
        f->host_parameters_bytes += b->stages[s].parameter_bytes;
    f->gpu_workspace_bytes = lspo_generate_workspace_bytes(b->model, w);
    f->gpu_cache_bytes =
        lspo_generate_cache_bytes(b->model, w) * lspo_generate_positions(w) * b->model->block_count * w->accumulation;
}

static lspo_status_t build(lspo_builder_t *b)
{
    const lspo_workload_t *w = b->workload;
    lspo_op_id_t dropped[LAYERS_ON_GPU] = {LSPO_NO_OP, LSPO_NO_OP};
    uint32_t loads = 0;
    memory(b);
    for (uint32_t i = 0; i < w->iterations; i++) {
        lspo_build_generate_step(b, i);
        for (uint32_t s = 0; s < b->stage_count; s++) {
            const uint64_t bytes = b->stages[s].parameter_bytes;
            lspo_op_id_t loaded = LSPO_NO_OP;
            if (s > 0) {
                loaded = lspo_build_op(b, LSPO_OP_SWAP_IN, LSPO_VARIANT_PARAMETERS, s, i);
                lspo_build_depend(b, dropped[loads % LAYERS_ON_GPU]);
                lspo_build_gpu_memory(b, bytes, 0);
            }
            for (uint32_t micro = 0; micro < w->accumulation; micro++) {
                lspo_build_generate_forward(b, i, micro, s);
                lspo_build_depend(b, loaded);
            }
            if (s > 0) {
                lspo_build_gpu_memory(b, 0, bytes);
                dropped[loads++ % LAYERS_ON_GPU] = b->last_compute;
            }
        }
    }
    return b->status;
}

const lspo_policy_t lspo_policy_offload_weights = {
    .name = "offload-weights",
    .task = LSPO_TASK_GENERATE,
    .experts = LSPO_EXPERTS_MAYBE,
    .help = "generation with weights on the host, fetched a layer ahead; one load serves --accumulation micro-batches",
    .citation = "Sheng et al., FlexGen, arXiv 2303.06865",
    .example = "lspo sim --policy offload-weights --model llama-7b --machine rtx4090 --sequence 512 --iterations 16 "
               "--accumulation 4",
    .semantics = LSPO_SEMANTICS_EXACT,
    .return_form = LSPO_RETURN_NOTHING,
    .build = build,
    .describe_work = lspo_build_generate_work,
};
