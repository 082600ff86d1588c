/* endor: pruned weights.  Blocks that are not on the GPU are on the host or on the SSD, as bitmaps and the numbers that
 * are not zero; they come in packed, and the GPU expands them (APPLY) before it computes.
 *                                                                     [Joo et al., Endor, arXiv 2406.11674]
 *
 * READ (SSD) -> SWAP_IN (link) -> APPLY, FWD (GPU).  With one slot a layer begins when the one before it has been
 * computed, as with Accelerate's hooks; with more, later ones are on their way meanwhile, and the slowest of the three
 * decides.  With --direct the SSD is read into the GPU's memory, without SWAP_IN.  One load serves all micro-batches.
 * Embedding and head are dense; the embedding stays on the GPU. */
#include "plan/policies/endor.h"

#include <math.h>

#include "plan/build_generate.h"
#include "plan/policies.h"
#include "plan/stage_work.h"

enum { SLOTS_MAX = 64, CSR_COLS_MAX = 65536 };

static uint64_t rounded(uint64_t bytes)
{
    return (bytes + 7) / 8 * 8;
}

uint64_t lspo_endor_kept(const lspo_endor_values_t *values, uint64_t count)
{
    return count - (uint64_t)llround(values->sparsity * (double)count);
}

static uint64_t packed_bytes(const lspo_endor_values_t *values, const lspo_pruned_t *matrix, uint64_t p)
{
    const uint64_t rows = matrix->rows, count = rows * matrix->cols, kept = lspo_endor_kept(values, count);
    const uint64_t places = values->weight_format == LSPO_WEIGHTS_BITMAP ? (count + 63) / 64 * 8
                                                                         : rounded(4 * (rows + 1)) + rounded(2 * kept);
    return places + rounded(kept * p);
}

uint64_t lspo_endor_stored_bytes(const lspo_endor_values_t *values, const lspo_stage_t *stage,
                                 lspo_precision_t precision)
{
    const uint64_t p = lspo_precision_bytes(precision);
    if (values->weight_format == LSPO_WEIGHTS_DENSE || stage->kind != LSPO_STAGE_BLOCK)
        return stage->element_count * p;
    uint64_t bytes = (stage->element_count - stage->tensors[stage->linear_count].offset_elements) * p;
    for (uint32_t i = 0; i < stage->linear_count; i++) {
        const lspo_pruned_t pruned = lspo_stage_pruned(stage, i);
        bytes += pruned.count > 0 ? pruned.count * packed_bytes(values, &pruned, p)
                                  : rounded((uint64_t)pruned.rows * pruned.cols * p);
    }
    return bytes;
}

uint32_t lspo_endor_slots(const lspo_endor_values_t *values, uint32_t stage_count)
{
    const uint32_t loads = stage_count - 1 - values->gpu_blocks;
    return values->weight_slots < loads ? values->weight_slots : loads;
}

lspo_tier_t lspo_endor_tier(const lspo_endor_values_t *values, const lspo_model_t *model, lspo_precision_t precision,
                            uint32_t stage)
{
    lspo_stage_t shape;
    if (stage == 0 || (stage <= values->gpu_blocks && stage <= model->block_count))
        return LSPO_TIER_GPU;
    if (stage > model->block_count || values->host_weights <= 0)
        return LSPO_TIER_HOST;
    lspo_model_stage(model, stage, &shape);
    const double bytes = (double)lspo_endor_stored_bytes(values, &shape, precision);
    return (stage - values->gpu_blocks) * bytes <= values->host_weights ? LSPO_TIER_HOST : LSPO_TIER_SSD;
}

static const lspo_endor_values_t *values_of(const lspo_builder_t *b)
{
    return lspo_endor_values_of(b->workload);
}

static lspo_tier_t tier_of(const lspo_builder_t *b, uint32_t stage)
{
    return lspo_endor_tier(values_of(b), b->model, b->workload->precision, stage);
}

static uint64_t stored_bytes(const lspo_builder_t *b, uint32_t stage)
{
    return lspo_endor_stored_bytes(values_of(b), &b->stages[stage].shape, b->workload->precision);
}

static bool is_packed(const lspo_builder_t *b, uint32_t stage)
{
    return values_of(b)->weight_format != LSPO_WEIGHTS_DENSE && b->stages[stage].shape.kind == LSPO_STAGE_BLOCK;
}

/* What is read for the link lands on the host. */
static void memory(lspo_builder_t *b)
{
    const lspo_workload_t *w = b->workload;
    lspo_footprint_t *f = &b->plan->footprint;
    uint32_t on_ssd = 0;
    for (uint32_t s = 0; s < b->stage_count; s++) {
        const lspo_tier_t tier = tier_of(b, s);
        if (tier == LSPO_TIER_GPU)
            f->gpu_parameters_bytes += b->stages[s].parameter_bytes;
        else if (tier == LSPO_TIER_HOST ||
                 (!values_of(b)->direct && on_ssd++ < lspo_endor_slots(values_of(b), b->stage_count)))
            f->host_parameters_bytes += stored_bytes(b, s);
    }
    f->gpu_workspace_bytes = lspo_generate_workspace_bytes(b->model, w);
    f->gpu_cache_bytes =
        lspo_generate_cache_bytes(b->model, w) * lspo_generate_positions(w) * b->model->block_count * w->accumulation;
}

/* From storage to the GPU, expanded: the op that ends it. */
static lspo_op_id_t load(lspo_builder_t *b, uint32_t iteration, uint32_t s, lspo_op_id_t free_slot)
{
    const uint64_t stored = stored_bytes(b, s), dense = b->stages[s].parameter_bytes;
    const bool reads = tier_of(b, s) == LSPO_TIER_SSD, direct = values_of(b)->direct;
    lspo_op_id_t loaded = free_slot;
    if (reads) {
        const lspo_op_id_t read = lspo_build_op(b, LSPO_OP_READ, LSPO_VARIANT_PARAMETERS, s, iteration);
        lspo_build_depend(b, loaded);
        loaded = read;
    }
    if (!reads || !direct) {
        const lspo_op_id_t in = lspo_build_op(b, LSPO_OP_SWAP_IN, LSPO_VARIANT_PARAMETERS, s, iteration);
        lspo_build_depend(b, loaded);
        loaded = in;
    }
    lspo_build_gpu_memory(b, stored, 0);
    if (!is_packed(b, s))
        return loaded;
    const lspo_op_id_t expanded = lspo_build_op(b, LSPO_OP_APPLY, LSPO_VARIANT_PARAMETERS, s, iteration);
    lspo_build_depend(b, loaded);
    lspo_build_gpu_memory(b, dense, stored);
    return expanded;
}

static lspo_status_t check(const lspo_builder_t *b)
{
    const lspo_endor_values_t *v = values_of(b);
    const lspo_stage_t *block = &b->stages[1].shape;
    if (v->gpu_blocks > b->model->block_count)
        return lspo_error(LSPO_ERR_INPUT, "--gpu-blocks %u is above the %u blocks of model %s", v->gpu_blocks,
                          b->model->block_count, b->model->name);
    for (uint32_t i = 0; v->weight_format == LSPO_WEIGHTS_CSR && i < block->linear_count; i++) {
        const lspo_pruned_t pruned = lspo_stage_pruned(block, i);
        if (pruned.cols > CSR_COLS_MAX || lspo_endor_kept(v, (uint64_t)pruned.rows * pruned.cols) > UINT32_MAX)
            return lspo_error(
                LSPO_ERR_INPUT,
                "--weight-format csr has columns of 16 bits and places of 32: %s of model %s is too large",
                block->tensors[i].name, b->model->name);
    }
    return LSPO_OK;
}

static lspo_status_t build(lspo_builder_t *b)
{
    const lspo_workload_t *w = b->workload;
    lspo_op_id_t dropped[SLOTS_MAX];
    uint32_t loads = 0;
    lspo_status_t status = check(b);
    if (status != LSPO_OK)
        return status;
    const uint32_t slots = lspo_endor_slots(values_of(b), b->stage_count);
    for (uint32_t i = 0; i < SLOTS_MAX; i++)
        dropped[i] = LSPO_NO_OP;
    for (uint32_t s = 0, lanes = 0; s < b->stage_count; s++)
        if (tier_of(b, s) == LSPO_TIER_SSD && lanes++ == 0)
            lspo_build_use_lane(b, lspo_build_lane(b, &(lspo_lane_t){.kind = LSPO_LANE_SSD}));
    memory(b);
    for (uint32_t i = 0; i < w->iterations; i++) {
        lspo_build_generate_step(b, i);
        for (uint32_t s = 0; s < b->stage_count; s++) {
            const bool streams = tier_of(b, s) != LSPO_TIER_GPU;
            const lspo_op_id_t loaded = streams ? load(b, i, s, dropped[loads % slots]) : LSPO_NO_OP;
            for (uint32_t micro = 0; micro < w->accumulation; micro++) {
                lspo_build_generate_forward(b, i, micro, s);
                lspo_build_depend(b, loaded);
            }
            if (streams) {
                lspo_build_gpu_memory(b, 0, b->stages[s].parameter_bytes);
                dropped[loads++ % slots] = b->last_compute;
            }
        }
    }
    return b->status;
}

/* Kernels that expand a stage: one per matrix. */
static uint32_t expansions(const lspo_stage_t *stage)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < stage->linear_count; i++)
        count += lspo_stage_pruned(stage, i).count;
    return count;
}

static bool describe_work(const lspo_builder_t *b, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t s,
                          lspo_work_t *work)
{
    const uint64_t stored = stored_bytes(b, s), dense = b->stages[s].parameter_bytes;
    if (kind == LSPO_OP_APPLY)
        lspo_work_append(work, &(lspo_kernel_t){.kernel_class = LSPO_KERNEL_EXPAND,
                                                .count = expansions(&b->stages[s].shape),
                                                .bytes = stored + dense,
                                                .far_bytes = stored,
                                                .expansion = values_of(b)->weight_format == LSPO_WEIGHTS_CSR
                                                                 ? LSPO_EXPAND_CSR
                                                                 : LSPO_EXPAND_BITMAP});
    else if (variant == LSPO_VARIANT_PARAMETERS)
        lspo_work_copy(stored, work);
    else
        return lspo_build_generate_work(b, kind, variant, s, work);
    return true;
}

const lspo_parameter_t lspo_parameter_sparsity = {
    .key = "sparsity",
    .value = "SHARE",
    .help = "share of each matrix of a block that is zero",
    .kind = LSPO_RECORD_REAL,
    .preset = 0.5,
    .low = 0,
    .high = 1,
    .affects = LSPO_AFFECTS_BOTH,
};

static const char *const format_names[] = {"dense", "csr", "bitmap", NULL};

static const lspo_parameter_t weight_format = {
    .key = "weight-format",
    .value = "dense|csr|bitmap",
    .help = "of blocks that are not on the GPU: with their zeros, or packed",
    .kind = LSPO_RECORD_NAMED,
    .names = format_names,
    .preset = LSPO_WEIGHTS_BITMAP,
    .affects = LSPO_AFFECTS_PLAN,
};

static const lspo_parameter_t gpu_blocks = {
    .key = "gpu-blocks",
    .value = "N",
    .unit = "blocks",
    .help = "blocks, counted from the first, that stay on the GPU, dense",
    .kind = LSPO_RECORD_U32,
    .high = LSPO_BLOCKS_MAX,
    .affects = LSPO_AFFECTS_PLAN,
};

static const lspo_parameter_t host_weights = {
    .key = "host-weights",
    .value = "SIZE",
    .help = "host memory for blocks, in whole ones; the others are on the SSD; 0: all are on the host",
    .kind = LSPO_RECORD_REAL,
    .quantity = LSPO_UNIT_BYTES,
    .low = 0,
    .affects = LSPO_AFFECTS_PLAN,
};

static const lspo_parameter_t weight_slots = {
    .key = "weight-slots",
    .value = "N",
    .unit = "layers",
    .help = "layers that may be on their way or in use; 1: each waits until the one before has been computed",
    .kind = LSPO_RECORD_U32,
    .preset = 2,
    .low = 1,
    .high = SLOTS_MAX,
    .affects = LSPO_AFFECTS_PLAN,
};

static const lspo_parameter_t direct = {
    .key = "direct",
    .value = "on|off",
    .help = "the SSD is read into the GPU's memory, not through the host's",
    .kind = LSPO_RECORD_BOOL,
    .affects = LSPO_AFFECTS_PLAN,
};

static const lspo_parameter_use_t uses[] = {
    {&weight_format, offsetof(lspo_endor_values_t, weight_format), true, NULL},
    {&lspo_parameter_sparsity, offsetof(lspo_endor_values_t, sparsity), true, NULL},
    {&gpu_blocks, offsetof(lspo_endor_values_t, gpu_blocks), false, NULL},
    {&host_weights, offsetof(lspo_endor_values_t, host_weights), false, NULL},
    {&weight_slots, offsetof(lspo_endor_values_t, weight_slots), false, NULL},
    {&direct, offsetof(lspo_endor_values_t, direct), false, NULL},
};
const lspo_parameters_t lspo_endor_parameters = LSPO_PARAMETERS(uses, lspo_endor_values_t);

const lspo_policy_t lspo_policy_endor = {
    .name = "endor",
    .task = LSPO_TASK_GENERATE,
    .experts = LSPO_EXPERTS_MAYBE,
    .help = "generation with pruned weights on host and SSD, packed as bitmaps or CSR, which the GPU expands",
    .citation = "Joo et al., Endor, arXiv 2406.11674",
    .example = "lspo sim --policy endor --model llama-3.3-70b --machine rtx4090 --batch 1 --sequence 512 "
               "--gpu-blocks 8 --iterations 8",
    .parameters = &lspo_endor_parameters,
    .semantics = LSPO_SEMANTICS_OTHER,
    .return_form = LSPO_RETURN_NOTHING,
    .build = build,
    .describe_work = describe_work,
};
