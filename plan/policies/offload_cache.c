/* offload-cache: weights are on the GPU, keys and values on the host.  Those of a block and micro-batch come in
 * (SWAP_IN) ahead of its FWD, which adds those of the new tokens; only these go out again (SWAP_OUT).  On the GPU are
 * at most two caches: one that is computed with or leaving, and one that arrives. */
#include <stdlib.h>

#include "plan/build_generate.h"
#include "plan/policies.h"

enum { CACHES_ON_GPU = 2 };

static void memory(lspo_builder_t *b)
{
    const lspo_workload_t *w = b->workload;
    lspo_footprint_t *f = &b->plan->footprint;
    for (uint32_t s = 0; s < b->stage_count; s++)
        f->gpu_parameters_bytes += b->stages[s].parameter_bytes;
    f->gpu_workspace_bytes = lspo_generate_workspace_bytes(b->model, w);
    f->host_cache_bytes =
        lspo_generate_cache_bytes(b->model, w) * lspo_generate_positions(w) * b->model->block_count * w->accumulation;
}

typedef struct {
    lspo_builder_t *b;
    lspo_op_id_t left[CACHES_ON_GPU]; /* SWAP_OUT that gave a place back */
    uint32_t caches;
} schedule_t;

/* The op emitted last takes the memory of a cache, in a place that is free. */
static void take_place(schedule_t *schedule, uint64_t bytes)
{
    lspo_build_depend(schedule->b, schedule->left[schedule->caches % CACHES_ON_GPU]);
    lspo_build_gpu_memory(schedule->b, bytes, 0);
}

static void block(schedule_t *schedule, uint32_t iteration, uint32_t micro, uint32_t stage, lspo_op_id_t *stored)
{
    lspo_builder_t *b = schedule->b;
    const lspo_workload_t *w = b->workload;
    const uint64_t bytes = lspo_generate_cache_bytes(b->model, w) * lspo_generate_room(w, iteration);
    lspo_op_id_t loaded = LSPO_NO_OP;
    if (iteration > 0) {
        loaded = lspo_build_op(b, LSPO_OP_SWAP_IN, LSPO_VARIANT_CACHE, stage, iteration);
        lspo_build_micro(b, micro);
        lspo_build_depend(b, *stored);
        take_place(schedule, bytes);
    }
    const lspo_op_id_t forward = lspo_build_generate_forward(b, iteration, micro, stage);
    lspo_build_depend(b, loaded);
    if (iteration == 0)
        take_place(schedule, bytes);
    *stored = lspo_build_op(b, LSPO_OP_SWAP_OUT, LSPO_VARIANT_CACHE, stage, iteration);
    lspo_build_micro(b, micro);
    lspo_build_depend(b, forward);
    lspo_build_gpu_memory(b, 0, bytes);
    schedule->left[schedule->caches++ % CACHES_ON_GPU] = *stored;
}

static lspo_status_t build(lspo_builder_t *b)
{
    const lspo_workload_t *w = b->workload;
    schedule_t schedule = {.b = b, .left = {LSPO_NO_OP, LSPO_NO_OP}};
    const size_t blocks = (size_t)b->stage_count * w->accumulation;
    lspo_op_id_t *stored = malloc(blocks * sizeof *stored); /* the latest SWAP_OUT, by micro-batch and stage */
    if (stored == NULL)
        return lspo_no_memory("a plan of %zu caches", blocks);
    for (size_t i = 0; i < blocks; i++)
        stored[i] = LSPO_NO_OP;
    memory(b);
    for (uint32_t i = 0; i < w->iterations; i++) {
        lspo_build_generate_step(b, i);
        for (uint32_t micro = 0; micro < w->accumulation; micro++)
            for (uint32_t s = 0; s < b->stage_count; s++) {
                if (s == 0 || s + 1 == b->stage_count)
                    lspo_build_generate_forward(b, i, micro, s);
                else
                    block(&schedule, i, micro, s, &stored[(size_t)micro * b->stage_count + s]);
            }
    }
    free(stored);
    return b->status;
}

const lspo_policy_t lspo_policy_offload_cache = {
    .name = "offload-cache",
    .task = LSPO_TASK_GENERATE,
    .experts = LSPO_EXPERTS_MAYBE,
    .help = "generation with keys and values on the host; a block's come in ahead of it, those of new tokens go out",
    .citation = "Sheng et al., FlexGen, arXiv 2303.06865",
    .example = "lspo sim --policy offload-cache --model llama-7b --machine rtx4090 --batch 16 --sequence 1024",
    .semantics = LSPO_SEMANTICS_EXACT,
    .return_form = LSPO_RETURN_NOTHING,
    .build = build,
    .describe_work = lspo_build_generate_work,
};
