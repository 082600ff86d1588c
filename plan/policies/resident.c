/* resident: weights and caches of all texts are on the GPU, which computes one micro-batch after the other.  The
 * yardstick of generation. */
#include "plan/build_generate.h"
#include "plan/policies.h"

static lspo_status_t build(lspo_builder_t *b)
{
    const lspo_workload_t *w = b->workload;
    lspo_footprint_t *f = &b->plan->footprint;
    for (uint32_t s = 0; s < b->stage_count; s++)
        f->gpu_parameters_bytes += b->stages[s].parameter_bytes;
    f->gpu_workspace_bytes = lspo_generate_workspace_bytes(b->model, w);
    f->gpu_cache_bytes =
        lspo_generate_cache_bytes(b->model, w) * lspo_generate_positions(w) * b->model->block_count * w->accumulation;
    for (uint32_t i = 0; i < w->iterations; i++) {
        lspo_build_generate_step(b, i);
        for (uint32_t micro = 0; micro < w->accumulation; micro++)
            for (uint32_t s = 0; s < b->stage_count; s++)
                lspo_build_generate_forward(b, i, micro, s);
    }
    return b->status;
}

const lspo_policy_t lspo_policy_resident = {
    .name = "resident",
    .task = LSPO_TASK_GENERATE,
    .help = "generation with weights and caches on the GPU; the yardstick of the others",
    .citation = "Pope et al., Efficiently Scaling Transformer Inference, arXiv 2211.05102",
    .example = "lspo sim --policy resident --model llama-7b --machine rtx4090 --batch 1 --sequence 512 --iterations 64",
    .semantics = LSPO_SEMANTICS_EXACT,
    .return_form = LSPO_RETURN_NOTHING,
    .build = build,
    .describe_work = lspo_build_generate_work,
};
