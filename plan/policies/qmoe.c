/* qmoe: a model with experts, whose matrices are ternary and packed by a dictionary (kernels/ternary.h), about 0.75
 * bits per weight with the rows' heads; products decode as they multiply.  All else is in the precision, and on the
 * GPU.
 *                                                                     [Frantar, Alistarh, QMoE, arXiv 2310.16795]
 *
 * With all experts on the GPU a token has only FWD.  With --cached-experts N every expert is on the host, and of each
 * block N are also on the GPU, those used last.  A block then computes up to its router (FWD); the numbers of the
 * chosen experts go to the host (D2H), those that are missing come in (SWAP_IN), and the experts compute (FWD);
 * the ones used longest ago are dropped.  What comes next is not known before, so that nothing overlaps:
 *
 *     gpu   FWD |                 | FWD experts | FWD of the next block
 *     d2h       | D2H |
 *     h2d             | SWAP_IN ..|
 *
 * SWAP_IN takes the time of as many experts as are missing on average (qmoe.h), and memory for the most.  A product
 * is counted as reading its codes, and as much as its weights in 16 bits would have: the authors measured it to be as
 * fast as with these, within 5 % in all; on a core, ours is about as fast (bench/bench_ternary).  Each row of X decodes
 * the weights again.  The dictionary's 256 KiB are not counted. */
#include "plan/policies/qmoe.h"

#include <math.h>

#include "plan/build_generate.h"
#include "plan/policies.h"
#include "plan/stage_work.h"

static const lspo_qmoe_values_t *values_of(const lspo_builder_t *b)
{
    return lspo_qmoe_values_of(b->workload);
}

static uint64_t tokens_of(const lspo_builder_t *b, uint32_t iteration)
{
    return (uint64_t)b->workload->batch * lspo_generate_count(b->workload, iteration);
}

static bool streams(const lspo_builder_t *b)
{
    return lspo_qmoe_cached(values_of(b), b->model) < b->model->expert_count;
}

/* What one of its experts has on the link is kept with the stage. */
static void describe_stage(const lspo_builder_t *b, lspo_build_stage_t *stage)
{
    lspo_stage_t dense;
    lspo_stage_without_experts(&stage->shape, &dense);
    stage->link_bytes = stage->shape.kind == LSPO_STAGE_BLOCK ? lspo_qmoe_expert_bytes(values_of(b), b->model) : 0;
    stage->parameter_bytes = dense.element_count * lspo_precision_bytes(b->workload->precision);
}

static void memory(lspo_builder_t *b)
{
    const lspo_workload_t *w = b->workload;
    lspo_footprint_t *f = &b->plan->footprint;
    const uint64_t expert_bytes = b->stages[1].link_bytes, blocks = b->model->block_count;
    for (uint32_t s = 0; s < b->stage_count; s++)
        f->gpu_parameters_bytes += b->stages[s].parameter_bytes;
    f->gpu_parameters_bytes += blocks * lspo_qmoe_cached(values_of(b), b->model) * expert_bytes;
    f->host_parameters_bytes = streams(b) ? blocks * b->model->expert_count * expert_bytes : 0;
    f->gpu_workspace_bytes = lspo_generate_workspace_bytes(b->model, w);
    f->gpu_cache_bytes = lspo_generate_cache_bytes(b->model, w) * lspo_generate_positions(w) * blocks * w->accumulation;
}

static lspo_status_t check(const lspo_builder_t *b)
{
    const int32_t cached = values_of(b)->cached_experts;
    if (cached > 0 && (uint32_t)cached > b->model->expert_count)
        return lspo_error(LSPO_ERR_INPUT, "--cached-experts %d is above the %u experts of a block of model %s", cached,
                          b->model->expert_count, b->model->name);
    return LSPO_OK;
}

/* Behind FWD of a block up to its router. */
static void add_experts(lspo_builder_t *b, uint32_t iteration, uint32_t micro, uint32_t s)
{
    const uint64_t most =
        lspo_qmoe_missing_most(values_of(b), b->model, tokens_of(b, iteration)) * b->stages[s].link_bytes;
    const lspo_op_id_t chosen = lspo_build_op(b, LSPO_OP_D2H, LSPO_VARIANT_EXPERTS, s, iteration);
    lspo_build_micro(b, micro);
    lspo_build_depend(b, b->last_compute);
    const lspo_op_id_t in = lspo_build_op(b, LSPO_OP_SWAP_IN, LSPO_VARIANT_EXPERTS, s, iteration);
    lspo_build_micro(b, micro);
    lspo_build_depend(b, chosen);
    lspo_build_gpu_memory(b, most, 0);
    const lspo_op_id_t experts = lspo_build_op(b, LSPO_OP_FWD, LSPO_VARIANT_EXPERTS, s, iteration);
    lspo_build_micro(b, micro);
    lspo_build_depend(b, in);
    lspo_build_gpu_memory(b, 0, most);
    b->last_compute = experts;
}

static lspo_status_t build(lspo_builder_t *b)
{
    const lspo_workload_t *w = b->workload;
    lspo_status_t status = check(b);
    if (status != LSPO_OK)
        return status;
    memory(b);
    for (uint32_t i = 0; i < w->iterations; i++) {
        lspo_build_generate_step(b, i);
        for (uint32_t micro = 0; micro < w->accumulation; micro++)
            for (uint32_t s = 0; s < b->stage_count; s++) {
                lspo_build_generate_forward(b, i, micro, s);
                if (streams(b) && b->stages[s].shape.kind == LSPO_STAGE_BLOCK)
                    add_experts(b, i, micro, s);
            }
    }
    return b->status;
}

/* ---- works ---- */

/* Each row of a token and its expert is a product of its own. */
static void add_products(const lspo_builder_t *b, lspo_work_t *work)
{
    uint32_t m[LSPO_QMOE_MATRICES_MAX], n[LSPO_QMOE_MATRICES_MAX];
    const uint64_t rows = tokens_of(b, b->generate_step) * b->model->experts_per_token;
    const double used = fmax(1, round(lspo_generate_experts_used(b->model, tokens_of(b, b->generate_step))));
    const uint32_t count = lspo_qmoe_matrices(b->model, m, n);
    const double weights = (double)lspo_model_expert_elements(b->model);
    const double packed = (double)b->stages[1].link_bytes;
    lspo_work_append(work, &(lspo_kernel_t){.kernel_class = LSPO_KERNEL_EXPAND,
                                            .expansion = LSPO_EXPAND_TERNARY,
                                            .count = count * (uint32_t)used,
                                            .flop = 2 * (double)rows * weights * (1 - values_of(b)->expert_zeros),
                                            .bytes = (uint64_t)((double)rows * (packed + 2 * weights)),
                                            .far_bytes = (uint64_t)(used * packed)});
}

static bool describe_work(const lspo_builder_t *b, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t s,
                          lspo_work_t *work)
{
    const uint64_t tokens = tokens_of(b, b->generate_step);
    const bool block = b->stages[s].shape.kind == LSPO_STAGE_BLOCK, all = !streams(b);
    if (kind == LSPO_OP_D2H) {
        lspo_work_copy(tokens * b->model->experts_per_token * sizeof(uint32_t), work);
    } else if (kind == LSPO_OP_SWAP_IN) {
        lspo_work_copy(
            (uint64_t)llround(lspo_qmoe_missing(values_of(b), b->model, tokens) * (double)b->stages[s].link_bytes),
            work);
    } else if (kind != LSPO_OP_FWD || !block) {
        return lspo_build_generate_work(b, kind, variant, s, work);
    } else {
        if (variant != LSPO_VARIANT_EXPERTS)
            lspo_build_generate_before_experts(b, work);
        if (variant == LSPO_VARIANT_EXPERTS || all) {
            add_products(b, work);
            lspo_build_generate_around_experts(b, work);
        }
    }
    return true;
}

static const lspo_parameter_t expert_zeros = {
    .key = "expert-zeros",
    .value = "SHARE",
    .help = "share of each matrix of an expert that is zero, from which its packed size follows",
    .kind = LSPO_RECORD_REAL,
    .preset = 0.885,
    .low = 0,
    .high = 1,
    .affects = LSPO_AFFECTS_BOTH,
};

const lspo_parameter_t lspo_parameter_cached_experts = {
    .key = "cached-experts",
    .value = "auto|N",
    .unit = "experts",
    .help = "experts of each block on the GPU, the last used ones; the others come from the host; auto: all",
    .kind = LSPO_RECORD_I32,
    .preset = LSPO_QMOE_ALL_CACHED,
    .low = 0,
    .affects = LSPO_AFFECTS_PLAN,
};

static const lspo_parameter_use_t uses[] = {
    {&lspo_parameter_cached_experts, offsetof(lspo_qmoe_values_t, cached_experts), true, NULL},
    {&expert_zeros, offsetof(lspo_qmoe_values_t, expert_zeros), false, NULL},
};
const lspo_parameters_t lspo_qmoe_parameters = LSPO_PARAMETERS(uses, lspo_qmoe_values_t);

const lspo_policy_t lspo_policy_qmoe = {
    .name = "qmoe",
    .task = LSPO_TASK_GENERATE,
    .experts = LSPO_EXPERTS_ALWAYS,
    .help = "generation with experts packed at about 0.75 bits per weight, on the GPU or fetched as tokens need them",
    .citation = "Frantar, Alistarh, QMoE, arXiv 2310.16795",
    .example = "lspo sim --policy qmoe --model mixtral-8x7b --machine rtx3060 --batch 1 --sequence 512 "
               "--cached-experts 4 --iterations 8",
    .parameters = &lspo_qmoe_parameters,
    .semantics = LSPO_SEMANTICS_COMPRESSED,
    .return_form = LSPO_RETURN_NOTHING,
    .build = build,
    .describe_stage = describe_stage,
    .describe_work = describe_work,
};
