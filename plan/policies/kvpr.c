/* kvpr: keys and values are on the host, and with them the inputs X of blocks.  Of s cached tokens X of the first l
 * comes first; from it the GPU rebuilds K and V of these (RECOMPUTE) while those of the others are still on their way.
 * The result is that of plain attention to the cache.                            [Jiang et al., KVPR, arXiv 2411.17089]
 *
 *     latency      weights are on the GPU; a block's X waits for the block before it:
 *                  T = X(l) / B + max(recompute(l), KV(s - l) / B) + forward                         per block
 *     throughput   weights are on the host, too, and a load serves all micro-batches of a block, whose X and caches
 *                  come ahead:  T = max((W + n (X(l) + KV(s - l))) / B, n (recompute(l) + forward))  per block
 *
 * with B the link's rate, n micro-batches and W the block's weights.  l = round(share s) in every iteration: in these
 * forms the best share does not depend on s, where neither latencies nor W count.  The host keeps all K and V, and X of
 * as many tokens as are ever rebuilt.  On the GPU are at most --cache-slots caches: with two, one that is computed with
 * or leaving, and one that arrives; while weights come in, the GPU works on what there is. */
#include "plan/policies/kvpr.h"

#include <stdlib.h>

#include "plan/build_generate.h"
#include "plan/policies.h"

enum { LAYERS_ON_GPU = 2, SLOTS_MAX = 64 };

typedef struct {
    lspo_builder_t *b;
    bool streams_weights;
    lspo_op_id_t left[SLOTS_MAX]; /* SWAP_OUT that gave a place back */
    uint32_t slots, caches;
    lspo_op_id_t dropped[LAYERS_ON_GPU]; /* FWD that gave a layer's weights back */
    uint32_t loads;
    lspo_op_id_t *stored; /* the latest SWAP_OUT, by micro-batch and stage */
} schedule_t;

static void memory(lspo_builder_t *b, bool streams_weights)
{
    const lspo_workload_t *w = b->workload;
    const uint64_t caches = (uint64_t)b->model->block_count * w->accumulation;
    lspo_footprint_t *f = &b->plan->footprint;
    f->gpu_parameters_bytes = b->stages[0].parameter_bytes;
    for (uint32_t s = 1; s < b->stage_count; s++)
        *(streams_weights ? &f->host_parameters_bytes : &f->gpu_parameters_bytes) += b->stages[s].parameter_bytes;
    f->gpu_workspace_bytes = lspo_generate_workspace_bytes(b->model, w);
    f->host_cache_bytes = lspo_generate_cache_bytes(b->model, w) * lspo_generate_positions(w) * caches;
    f->host_inputs_bytes = lspo_generate_input_bytes(b->model, w) * lspo_generate_rebuilt_most(b->plan) * caches;
}

/* The op emitted last takes the memory of a cache, and `more`, in a place that is free. */
static void take_place(schedule_t *schedule, uint64_t cache_bytes, uint64_t more_bytes)
{
    lspo_build_depend(schedule->b, schedule->left[schedule->caches % schedule->slots]);
    lspo_build_gpu_memory(schedule->b, cache_bytes + more_bytes, 0);
}

/* An op of a micro-batch. */
static lspo_op_id_t emit(lspo_builder_t *b, lspo_op_kind_t kind, lspo_op_variant_t variant, const lspo_op_t *of)
{
    const lspo_op_id_t id = lspo_build_op(b, kind, variant, of->layer, of->iteration);
    lspo_build_micro(b, of->micro);
    return id;
}

/* X, K and V of the tokens before: *rebuilt_out and *arrived_out, where there are such. */
static void bring(schedule_t *schedule, const lspo_op_t *of, lspo_op_id_t weights, lspo_op_id_t *rebuilt_out,
                  lspo_op_id_t *arrived_out)
{
    lspo_builder_t *b = schedule->b;
    const lspo_workload_t *w = b->workload;
    const uint32_t first = lspo_generate_first(w, of->iteration), l = lspo_generate_rebuilt(b->plan, of->iteration);
    const uint64_t cache = lspo_generate_cache_bytes(b->model, w) * lspo_generate_room(w, of->iteration);
    const uint64_t inputs_bytes = lspo_generate_input_bytes(b->model, w) * lspo_generate_rebuilt_most(b->plan);
    const lspo_op_id_t before = schedule->streams_weights ? LSPO_NO_OP : b->last_compute;
    const lspo_op_id_t stored = schedule->stored[(size_t)of->micro * b->stage_count + of->layer];
    lspo_op_id_t inputs = LSPO_NO_OP;
    if (l > 0) {
        inputs = emit(b, LSPO_OP_SWAP_IN, LSPO_VARIANT_INPUTS, of);
        lspo_build_depend(b, stored);
        lspo_build_depend(b, before);
        take_place(schedule, cache, inputs_bytes);
        *rebuilt_out = emit(b, LSPO_OP_RECOMPUTE, LSPO_VARIANT_CACHE, of);
        lspo_build_depend(b, b->last_compute); /* whose place the next inputs wait for */
        lspo_build_depend(b, inputs);
        lspo_build_depend(b, weights);
        lspo_build_gpu_memory(b, 0, inputs_bytes);
    }
    if (l == first)
        return;
    *arrived_out = emit(b, LSPO_OP_SWAP_IN, LSPO_VARIANT_CACHE, of);
    lspo_build_depend(b, stored);
    lspo_build_depend(b, inputs == LSPO_NO_OP ? before : inputs);
    if (inputs == LSPO_NO_OP)
        take_place(schedule, cache, 0);
}

/* What is new goes out. */
static void store(schedule_t *schedule, const lspo_op_t *of, lspo_op_id_t forward)
{
    lspo_builder_t *b = schedule->b;
    const lspo_workload_t *w = b->workload;
    const uint64_t kept = lspo_generate_kept(b->plan, of->iteration);
    lspo_op_id_t inputs = LSPO_NO_OP;
    if (kept > 0) {
        inputs = emit(b, LSPO_OP_SWAP_OUT, LSPO_VARIANT_INPUTS, of);
        lspo_build_depend(b, forward);
        lspo_build_gpu_memory(b, 0, lspo_generate_input_bytes(b->model, w) * kept);
    }
    const lspo_op_id_t out = emit(b, LSPO_OP_SWAP_OUT, LSPO_VARIANT_CACHE, of);
    lspo_build_depend(b, forward);
    lspo_build_depend(b, inputs);
    lspo_build_gpu_memory(b, 0, lspo_generate_cache_bytes(b->model, w) * lspo_generate_room(w, of->iteration));
    schedule->stored[(size_t)of->micro * b->stage_count + of->layer] = out;
    schedule->left[schedule->caches++ % schedule->slots] = out;
}

static void block(schedule_t *schedule, const lspo_op_t *of, lspo_op_id_t weights)
{
    lspo_builder_t *b = schedule->b;
    const lspo_workload_t *w = b->workload;
    lspo_op_id_t rebuilt = LSPO_NO_OP, arrived = LSPO_NO_OP;
    if (of->iteration > 0)
        bring(schedule, of, weights, &rebuilt, &arrived);
    const lspo_op_id_t forward = lspo_build_generate_forward(b, of->iteration, of->micro, of->layer);
    lspo_build_depend(b, weights);
    lspo_build_depend(b, rebuilt);
    lspo_build_depend(b, arrived);
    if (of->iteration == 0)
        take_place(schedule, lspo_generate_cache_bytes(b->model, w) * w->sequence, 0);
    lspo_build_gpu_memory(b, lspo_generate_input_bytes(b->model, w) * lspo_generate_kept(b->plan, of->iteration), 0);
    store(schedule, of, forward);
}

static void stage(schedule_t *schedule, uint32_t iteration, uint32_t micro, uint32_t s, lspo_op_id_t weights)
{
    lspo_builder_t *b = schedule->b;
    const lspo_op_t of = {.layer = (uint16_t)s, .iteration = iteration, .micro = (uint16_t)micro};
    if (s > 0 && s + 1 < b->stage_count) {
        block(schedule, &of, weights);
        return;
    }
    lspo_build_generate_forward(b, iteration, micro, s);
    lspo_build_depend(b, weights);
}

static void row_by_row(schedule_t *schedule, uint32_t iteration)
{
    for (uint32_t micro = 0; micro < schedule->b->workload->accumulation; micro++)
        for (uint32_t s = 0; s < schedule->b->stage_count; s++)
            stage(schedule, iteration, micro, s, LSPO_NO_OP);
}

/* All micro-batches of a stage with one load of its weights; the embedding's stay on the GPU. */
static void column_by_column(schedule_t *schedule, uint32_t iteration)
{
    lspo_builder_t *b = schedule->b;
    const uint32_t micros = b->workload->accumulation;
    for (uint32_t s = 0; s < b->stage_count; s++) {
        lspo_op_id_t weights = LSPO_NO_OP;
        lspo_op_id_t *dropped = &schedule->dropped[schedule->loads % LAYERS_ON_GPU];
        if (s > 0) {
            weights = lspo_build_op(b, LSPO_OP_SWAP_IN, LSPO_VARIANT_PARAMETERS, s, iteration);
            lspo_build_depend(b, *dropped);
            lspo_build_gpu_memory(b, b->stages[s].parameter_bytes, 0);
            schedule->loads++;
        }
        for (uint32_t micro = 0; micro < micros; micro++)
            stage(schedule, iteration, micro, s, weights);
        if (s > 0 && b->status == LSPO_OK) {
            b->plan->ops[b->last_compute].gpu_free_bytes += b->stages[s].parameter_bytes;
            *dropped = b->last_compute;
        }
    }
}

static lspo_status_t build(lspo_builder_t *b)
{
    const lspo_workload_t *w = b->workload;
    const size_t blocks = (size_t)b->stage_count * w->accumulation;
    schedule_t schedule = {.b = b,
                           .streams_weights = lspo_kvpr_values_of(w)->schedule == LSPO_SCHEDULE_THROUGHPUT,
                           .slots = lspo_kvpr_values_of(w)->cache_slots,
                           .dropped = {LSPO_NO_OP, LSPO_NO_OP},
                           .stored = malloc(blocks * sizeof *schedule.stored)};
    if (schedule.stored == NULL)
        return lspo_no_memory("a plan of %zu caches", blocks);
    for (size_t i = 0; i < blocks; i++)
        schedule.stored[i] = LSPO_NO_OP;
    for (int i = 0; i < SLOTS_MAX; i++)
        schedule.left[i] = LSPO_NO_OP;
    memory(b, schedule.streams_weights);
    for (uint32_t i = 0; i < w->iterations; i++) {
        lspo_build_generate_step(b, i);
        if (schedule.streams_weights)
            column_by_column(&schedule, i);
        else
            row_by_row(&schedule, i);
    }
    free(schedule.stored);
    return b->status;
}

const lspo_parameter_t lspo_parameter_recompute_share = {
    .key = "recompute-share",
    .value = "auto|SHARE",
    .help = "share of the cached tokens whose keys and values the GPU rebuilds from the inputs of blocks; auto: the "
            "fastest by simulation",
    .kind = LSPO_RECORD_REAL,
    .preset = LSPO_SHARE_AUTO,
    .low = 0,
    .high = 1,
    .affects = LSPO_AFFECTS_PLAN,
};

static const char *const schedule_names[] = {"latency", "throughput", NULL};

static const lspo_parameter_t schedule_parameter = {
    .key = "schedule",
    .value = "latency|throughput",
    .help =
        "weights on the GPU, text by text; or on the host, and a load of a layer's weights serves all micro-batches",
    .kind = LSPO_RECORD_NAMED,
    .names = schedule_names,
    .preset = LSPO_SCHEDULE_LATENCY,
    .affects = LSPO_AFFECTS_PLAN,
};

static const lspo_parameter_t cache_slots = {
    .key = "cache-slots",
    .value = "N",
    .unit = "caches",
    .help = "caches of a block and micro-batch that may be on the GPU at once",
    .kind = LSPO_RECORD_U32,
    .preset = 2,
    .low = 1,
    .high = SLOTS_MAX,
    .affects = LSPO_AFFECTS_PLAN,
};

static const lspo_parameter_use_t uses[] = {
    {&lspo_parameter_recompute_share, offsetof(lspo_kvpr_values_t, recompute_share), true, NULL},
    {&schedule_parameter, offsetof(lspo_kvpr_values_t, schedule), true, NULL},
    {&cache_slots, offsetof(lspo_kvpr_values_t, cache_slots), false, NULL},
};
const lspo_parameters_t lspo_kvpr_parameters = LSPO_PARAMETERS(uses, lspo_kvpr_values_t);

const lspo_policy_t lspo_policy_kvpr = {
    .name = "kvpr",
    .task = LSPO_TASK_GENERATE,
    .experts = LSPO_EXPERTS_MAYBE,
    .help = "generation with keys, values and inputs of blocks on the host; the GPU rebuilds a part of the cache while "
            "the rest comes in",
    .citation = "Jiang et al., KVPR, ACL Findings 2025, arXiv 2411.17089",
    .example = "lspo sim --policy kvpr --model opt-6.7b --machine a100-80gb-sxm --batch 32 --sequence 1024",
    .parameters = &lspo_kvpr_parameters,
    .semantics = LSPO_SEMANTICS_EXACT,
    .return_form = LSPO_RETURN_NOTHING,
    .build = build,
    .describe_work = lspo_build_generate_work,
};
