/* build_generate.c - see build_generate.h. */
#include "plan/build_generate.h"

#include <math.h>

#include "plan/family.h"
#include "plan/footprint.h"
#include "plan/policies/kvpr.h"
#include "plan/policies/marlin.h"
#include "plan/policy.h"
#include "plan/stage_work.h"

static uint64_t rounded(uint64_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

uint32_t lspo_generate_positions(const lspo_workload_t *workload)
{
    return workload->sequence + workload->iterations - 1;
}

uint32_t lspo_generate_first(const lspo_workload_t *workload, uint32_t iteration)
{
    return iteration == 0 ? 0 : workload->sequence + iteration - 1;
}

uint32_t lspo_generate_count(const lspo_workload_t *workload, uint32_t iteration)
{
    return iteration == 0 ? workload->sequence : 1;
}

uint32_t lspo_generate_room(const lspo_workload_t *workload, uint32_t iteration)
{
    return iteration == 0 ? workload->sequence : lspo_generate_positions(workload);
}

uint64_t lspo_generate_cache_bytes(const lspo_model_t *model, const lspo_workload_t *workload)
{
    return (uint64_t)2 * workload->batch * lspo_model_kv_width(model) * lspo_precision_bytes(workload->precision);
}

uint64_t lspo_generate_input_bytes(const lspo_model_t *model, const lspo_workload_t *workload)
{
    return (uint64_t)workload->batch * model->width * lspo_precision_bytes(workload->precision);
}

uint32_t lspo_generate_rebuilt(const lspo_plan_t *plan, uint32_t iteration)
{
    const double *share = lspo_policy_value(plan->policy, &plan->workload, &lspo_parameter_recompute_share);
    return share != NULL ? (uint32_t)lround(*share * lspo_generate_first(&plan->workload, iteration)) : 0;
}

uint32_t lspo_generate_rebuilt_most(const lspo_plan_t *plan)
{
    return lspo_generate_rebuilt(plan, plan->workload.iterations - 1);
}

uint32_t lspo_generate_kept(const lspo_plan_t *plan, uint32_t iteration)
{
    const uint32_t first = lspo_generate_first(&plan->workload, iteration);
    const uint32_t count = lspo_generate_count(&plan->workload, iteration), most = lspo_generate_rebuilt_most(plan);
    return most <= first ? 0 : most - first < count ? most - first : count;
}

bool lspo_generate_weight_group(const lspo_plan_t *plan, uint32_t *group_out)
{
    static const uint32_t groups[] = {[LSPO_WEIGHT_GROUP_32] = 32,
                                      [LSPO_WEIGHT_GROUP_64] = 64,
                                      [LSPO_WEIGHT_GROUP_128] = 128,
                                      [LSPO_WEIGHT_GROUP_COLUMN] = 0};
    const uint32_t *word = lspo_policy_value(plan->policy, &plan->workload, &lspo_parameter_weight_group);
    if (word != NULL)
        *group_out = groups[*word];
    return word != NULL;
}

double lspo_generate_experts_used(const lspo_model_t *model, uint64_t tokens)
{
    const double all = model->expert_count, chosen = model->experts_per_token;
    return all > 0 ? all * (1 - pow(1 - chosen / all, (double)tokens)) : 0;
}

/* ---- workspace, in the layout of real/transformer/generation.c ---- */

/* What a block's forward pass writes, in floats. */
static uint64_t saved_floats(const lspo_model_t *model, uint64_t tokens)
{
    const lspo_traits_t traits = lspo_model_traits(model);
    const uint64_t a = lspo_model_attention_width(model), kv = lspo_model_kv_width(model), w = model->width;
    uint64_t per_token = (traits.rms ? 2 : 4) + 3 * w + 2 * a + 2 * kv;
    per_token += (lspo_family_of(model)->gated ? 3 : 2) * (uint64_t)model->mlp_width;
    if (model->qk_norm == LSPO_QK_NORM_HEAD)
        per_token += model->head_count + model->kv_head_count + a + kv;
    if (model->expert_count > 0)
        per_token += model->expert_count + 2 * (uint64_t)model->experts_per_token + 2 * w + 1;
    return tokens * per_token;
}

static uint64_t vector_floats(const lspo_model_t *model)
{
    lspo_stage_t block;
    lspo_model_stage(model, 1, &block);
    const uint64_t of_block = block.element_count - block.tensors[block.linear_count].offset_elements;
    return of_block > 2 * (uint64_t)model->width ? of_block : 2 * (uint64_t)model->width;
}

/* Scores of one query, or of 32 at a time and K and V in fp32. */
static uint64_t scores_floats(const lspo_model_t *model, const lspo_workload_t *workload, uint64_t queries)
{
    const uint64_t keys = lspo_generate_positions(workload);
    if (queries <= LSPO_GENERATE_FEW_QUERIES && workload->precision != LSPO_FP16)
        return keys + 16;
    const uint64_t wide = workload->precision != LSPO_FP32 ? 2 * keys * lspo_model_head_width(model) : 0;
    return 32 * keys + wide + 16;
}

static uint64_t pass_bytes(const lspo_model_t *model, const lspo_workload_t *workload)
{
    const uint64_t tokens = lspo_workload_tokens(workload);
    const bool rotary = lspo_model_traits(model).positions == LSPO_POSITIONS_ROTARY;
    const uint64_t table = rotary ? (uint64_t)lspo_generate_positions(workload) * lspo_model_head_width(model) : 0;
    const uint64_t many = scores_floats(model, workload, workload->sequence), one = scores_floats(model, workload, 1);
    return rounded(table * sizeof(float)) + rounded(tokens * (2 + 2 * (uint64_t)model->width) * sizeof(float)) +
           rounded(vector_floats(model) * sizeof(float)) + rounded(saved_floats(model, tokens) * sizeof(float)) +
           rounded((many > one ? many : one) * sizeof(float));
}

void lspo_generate_sizes(const lspo_model_t *model, const lspo_workload_t *workload, lspo_generate_sizes_t *sizes_out)
{
    const uint64_t tokens = lspo_workload_tokens(workload);
    *sizes_out = (lspo_generate_sizes_t){
        .pass = pass_bytes(model, workload),
        .input = rounded(tokens * model->width * sizeof(float)),
        .logits = rounded((uint64_t)workload->batch * model->vocabulary * sizeof(float)),
        .tokens = rounded((tokens + workload->batch) * sizeof(uint32_t)),
    };
}

uint64_t lspo_generate_workspace_bytes(const lspo_model_t *model, const lspo_workload_t *workload)
{
    lspo_generate_sizes_t sizes;
    const uint64_t micros = workload->accumulation;
    lspo_generate_sizes(model, workload, &sizes);
    return sizes.pass + (micros + 1) * sizes.input + micros * (sizes.logits + sizes.tokens);
}

lspo_status_t lspo_generate_check(const lspo_model_t *model, const lspo_workload_t *workload)
{
    const uint64_t positions = (uint64_t)workload->sequence + workload->iterations - 1;
    if (!lspo_family_of(model)->causal)
        return lspo_error(LSPO_ERR_INPUT, "model %s reads a text in both directions and cannot continue it",
                          model->name);
    if (positions > model->max_sequence)
        return lspo_error(LSPO_ERR_INPUT,
                          "--sequence %u and --iterations %u: a prompt of %u tokens and %u new ones need %llu "
                          "positions, and model %s has %u",
                          workload->sequence, workload->iterations, workload->sequence, workload->iterations,
                          (unsigned long long)positions, model->name, model->max_sequence);
    if (workload->swap_activations > 0)
        return lspo_error(LSPO_ERR_INPUT, "--swap-activations is of trainings; a text has no backward pass");
    if (workload->clip_norm > 0 || workload->train_rest == LSPO_TRAIN_REST_ON)
        return lspo_error(LSPO_ERR_INPUT, "--%s is of trainings; a text has no gradients",
                          workload->clip_norm > 0 ? "clip" : "train-rest");
    return LSPO_OK;
}

/* ---- works ---- */

typedef struct {
    const lspo_model_t *model;
    uint64_t p, tokens, batch, first, count;
    const uint32_t *group; /* of a block's linear weights in 4 bits; NULL: they are in the precision */
    lspo_work_t *work;
} pass_t;

static void add_stream(const pass_t *pass, uint32_t kernels, double flop, uint64_t bytes)
{
    lspo_work_add(pass->work, LSPO_KERNEL_STREAM, kernels, flop, bytes);
}

/* rows x m times m x n, of few rows. */
static void add_few_rows(const pass_t *pass, uint64_t rows, uint64_t m, uint64_t n, uint64_t weight_bytes, bool packed)
{
    lspo_work_append(pass->work, &(lspo_kernel_t){.kernel_class = LSPO_KERNEL_FEW_ROWS,
                                                  .count = 1,
                                                  .flop = 2.0 * (double)rows * (double)m * (double)n,
                                                  .bytes = weight_bytes + 4 * rows * (m + n),
                                                  .far_bytes = weight_bytes,
                                                  .packed = packed});
}

static void add_product(const pass_t *pass, uint64_t rows, uint64_t m, uint64_t n)
{
    if (rows > LSPO_GENERATE_FEW_ROWS)
        lspo_work_append_gemm(pass->work, pass->p, LSPO_LAYOUT_NN, rows, n, m);
    else
        add_few_rows(pass, rows, m, n, pass->p * m * n, false);
}

/* Query i of a sequence sees first + i + 1 keys; few of them read the cache once, many are products. */
static void add_attention(const pass_t *pass)
{
    const lspo_model_t *model = pass->model;
    const uint64_t a = lspo_model_attention_width(model), kv = lspo_model_kv_width(model);
    const double pairs = (double)pass->count * ((double)pass->first + ((double)pass->count + 1) / 2);
    const double flop = 4.0 * (double)pass->batch * pairs * (double)a;
    const uint64_t cache = pass->p * 2 * pass->batch * kv;
    const uint64_t bytes = cache * (pass->first + pass->count) + 4 * pass->tokens * 2 * a;
    add_stream(pass, 1, 0, pass->tokens * 2 * kv * 4 + cache * pass->count); /* the new K and V into the cache */
    if (pass->count <= LSPO_GENERATE_FEW_QUERIES)
        lspo_work_append(pass->work, &(lspo_kernel_t){.kernel_class = LSPO_KERNEL_CACHE,
                                                      .count = 1,
                                                      .m = pass->count,
                                                      .n = model->head_count * pass->batch,
                                                      .k = lspo_model_head_width(model),
                                                      .flop = flop,
                                                      .bytes = bytes,
                                                      .far_bytes = cache * (pass->first + pass->count)});
    else
        lspo_work_append(pass->work, &(lspo_kernel_t){.kernel_class = LSPO_KERNEL_ATTENTION,
                                                      .count = 1,
                                                      .m = pass->count,
                                                      .n = model->head_count * pass->batch,
                                                      .k = lspo_model_head_width(model),
                                                      .flop = flop,
                                                      .bytes = bytes});
}

/* The same with a linear weight of a block. */
static void add_linear(const pass_t *pass, uint64_t rows, uint64_t m, uint64_t n)
{
    if (pass->group == NULL) {
        add_product(pass, rows, m, n);
        return;
    }
    const uint64_t weight_bytes = lspo_int4_weight_bytes(m, n, *pass->group);
    const double flop = 2.0 * (double)rows * (double)m * (double)n;
    if (rows <= LSPO_GENERATE_FEW_ROWS)
        add_few_rows(pass, rows, m, n, weight_bytes, true);
    else
        lspo_work_append(pass->work, &(lspo_kernel_t){.kernel_class = LSPO_KERNEL_GEMM,
                                                      .layout = LSPO_LAYOUT_NN,
                                                      .count = 1,
                                                      .m = rows,
                                                      .n = n,
                                                      .k = m,
                                                      .flop = flop,
                                                      .bytes = weight_bytes + pass->p * rows * (m + n),
                                                      .far_bytes = weight_bytes,
                                                      .packed = true});
}

/* All but the MLP's activation, and without experts. */
static void add_block_begin(const pass_t *pass)
{
    const lspo_model_t *model = pass->model;
    const uint64_t w = model->width, t = pass->tokens;
    lspo_stage_t block;
    lspo_model_stage(model, 1, &block);
    for (uint32_t i = 0; i < block.expert_first; i++)
        add_linear(pass, t, block.tensors[i].rows, block.tensors[i].cols);
    add_attention(pass);
    lspo_work_add(pass->work, LSPO_KERNEL_NORM, 2, 0, 2 * t * 2 * w * 4);
    if (model->qk_norm == LSPO_QK_NORM_HEAD)
        lspo_work_add(pass->work, LSPO_KERNEL_NORM, 2, 0,
                      t * 2 * 4 * ((uint64_t)lspo_model_attention_width(model) + lspo_model_kv_width(model)));
    if (lspo_model_traits(model).positions == LSPO_POSITIONS_ROTARY)
        add_stream(pass, 2, 0, t * 2 * 4 * ((uint64_t)lspo_model_attention_width(model) + lspo_model_kv_width(model)));
    if (model->expert_count > 0)
        add_stream(pass, 1, 0, t * 4 * ((uint64_t)model->expert_count + 2 * (uint64_t)model->experts_per_token));
}

/* Of an MLP, or of experts over `rows` rows. */
static void add_activation(const pass_t *pass, uint64_t rows)
{
    const bool gated = lspo_family_of(pass->model)->gated;
    lspo_work_add(pass->work, LSPO_KERNEL_ACTIVATION, 1, 0, rows * pass->model->mlp_width * 4 * (gated ? 3 : 2));
}

static void add_products(const pass_t *pass, uint32_t times, uint64_t rows, uint64_t m, uint64_t n)
{
    if (times == 0 || rows == 0)
        return;
    add_product(pass, rows, m, n);
    lspo_kernel_t *kernel = &pass->work->kernels[pass->work->kernel_count - 1];
    kernel->count *= times;
    kernel->flop *= times;
    kernel->bytes *= times;
    kernel->far_bytes *= times;
}

/* The rows of tokens are copied to their experts, and the results added to the residual. */
static void add_around_experts(const pass_t *pass)
{
    const uint64_t rows = pass->tokens * pass->model->experts_per_token;
    add_stream(pass, 2, 0, rows * (2 + 3) * 4 * pass->model->width);
    add_activation(pass, rows);
}

/* Each expert that is used has as many rows as the others. */
static void add_experts(const pass_t *pass)
{
    const lspo_model_t *model = pass->model;
    const uint64_t rows = pass->tokens * model->experts_per_token;
    const double used = fmax(1, round(lspo_generate_experts_used(model, pass->tokens)));
    lspo_stage_t block;
    lspo_model_stage(model, 1, &block);
    for (uint32_t i = block.expert_first; i < block.linear_count; i++)
        add_products(pass, (uint32_t)used, (uint64_t)ceil((double)rows / used),
                     block.tensors[i].rows / model->expert_count, block.tensors[i].cols);
    add_around_experts(pass);
}

static void describe_forward(const pass_t *pass, uint32_t stage, uint32_t stages)
{
    const uint64_t w = pass->model->width;
    if (stage == 0) {
        add_stream(pass, 1, 0, pass->tokens * w * (pass->p + 4));
    } else if (stage + 1 < stages) {
        add_block_begin(pass);
        if (pass->model->expert_count > 0)
            add_experts(pass);
        else
            add_activation(pass, pass->tokens);
    } else { /* of the last token of each sequence */
        lspo_work_add(pass->work, LSPO_KERNEL_NORM, 1, 0, pass->batch * 2 * w * 4);
        add_product(pass, pass->batch, w, pass->model->vocabulary);
        add_stream(pass, 1, 0, pass->batch * pass->model->vocabulary * 4);
    }
}

/* Their mean length, rounded down, stands for all. */
void lspo_generate_pass_work(const lspo_generate_pass_t *pass, uint32_t stage, lspo_work_t *work)
{
    const pass_t alike = {.model = pass->model,
                          .p = lspo_precision_bytes(pass->precision),
                          .batch = pass->texts,
                          .first = pass->cached / pass->texts,
                          .count = pass->count,
                          .tokens = pass->texts * pass->count,
                          .work = work};
    describe_forward(&alike, stage, lspo_model_stage_count(pass->model));
}

/* Inputs of a block in their own format, for the host. */
static void add_kept(const pass_t *pass, uint64_t kept)
{
    if (kept > 0)
        add_stream(pass, 1, 0, kept * pass->batch * pass->model->width * (4 + pass->p));
}

/* K and V of so many tokens of each sequence from a block's inputs: norm and products, as many tokens at a time as
 * prompts have. */
static void add_rebuild(const pass_t *pass, uint32_t tokens, uint32_t at_a_time)
{
    const lspo_model_t *model = pass->model;
    const uint64_t w = model->width, kv = lspo_model_kv_width(model);
    add_products(pass, tokens / at_a_time, pass->batch * at_a_time, w, 2 * kv);
    add_products(pass, 1, pass->batch * (tokens % at_a_time), w, 2 * kv);
    const uint64_t rows = pass->batch * tokens;
    lspo_work_add(pass->work, LSPO_KERNEL_NORM, 1, 0, rows * 2 * w * 4);
    add_stream(pass, 1, 0, rows * w * (pass->p + 4));
    add_stream(pass, 1, 0, rows * 2 * kv * (4 + pass->p));
    if (model->qk_norm == LSPO_QK_NORM_HEAD)
        lspo_work_add(pass->work, LSPO_KERNEL_NORM, 1, 0, rows * 2 * 4 * kv);
    if (lspo_model_traits(model).positions == LSPO_POSITIONS_ROTARY)
        add_stream(pass, 1, 0, rows * 2 * 4 * kv);
}

static bool describe_cache(const lspo_builder_t *b, lspo_op_kind_t kind, const pass_t *pass)
{
    const uint64_t cache = lspo_generate_cache_bytes(b->model, b->workload);
    const uint32_t rebuilt = lspo_generate_rebuilt(b->plan, b->generate_step);
    if (kind == LSPO_OP_RECOMPUTE)
        add_rebuild(pass, rebuilt, b->workload->sequence);
    else
        lspo_work_copy(cache * (kind == LSPO_OP_SWAP_IN ? pass->first - rebuilt : pass->count), pass->work);
    return true;
}

static pass_t pass_of(const lspo_builder_t *b, const uint32_t *group, lspo_work_t *work)
{
    const lspo_workload_t *w = b->workload;
    const uint32_t step = b->generate_step;
    return (pass_t){.model = b->model,
                    .group = group,
                    .p = lspo_precision_bytes(w->precision),
                    .batch = w->batch,
                    .first = lspo_generate_first(w, step),
                    .count = lspo_generate_count(w, step),
                    .tokens = (uint64_t)w->batch * lspo_generate_count(w, step),
                    .work = work};
}

void lspo_build_generate_before_experts(const lspo_builder_t *b, lspo_work_t *work)
{
    const pass_t pass = pass_of(b, NULL, work);
    add_block_begin(&pass);
}

void lspo_build_generate_around_experts(const lspo_builder_t *b, lspo_work_t *work)
{
    const pass_t pass = pass_of(b, NULL, work);
    add_around_experts(&pass);
}

bool lspo_build_generate_work(const lspo_builder_t *b, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t stage,
                              lspo_work_t *work)
{
    const lspo_workload_t *w = b->workload;
    const uint32_t step = b->generate_step;
    const uint64_t kept = lspo_generate_kept(b->plan, step), rebuilt = lspo_generate_rebuilt(b->plan, step);
    uint32_t group = 0;
    const bool packed = lspo_generate_weight_group(b->plan, &group);
    const pass_t pass = pass_of(b, packed ? &group : NULL, work);
    if (variant == LSPO_VARIANT_CACHE)
        return describe_cache(b, kind, &pass);
    if (variant == LSPO_VARIANT_INPUTS) {
        lspo_work_copy(lspo_generate_input_bytes(b->model, w) * (kind == LSPO_OP_SWAP_IN ? rebuilt : kept), work);
        return true;
    }
    if (kind != LSPO_OP_FWD)
        return false;
    describe_forward(&pass, stage, b->stage_count);
    if (stage > 0 && stage + 1 < b->stage_count)
        add_kept(&pass, kept);
    return true;
}

/* ---- ops ---- */

/* Works of an iteration differ from those of the one before: none is shared with it. */
void lspo_build_generate_step(lspo_builder_t *b, uint32_t iteration)
{
    b->generate_step = iteration;
    for (int kind = 0; kind < LSPO_OP_KIND_COUNT; kind++)
        for (int variant = 0; variant < LSPO_VARIANT_COUNT; variant++)
            if (variant != LSPO_VARIANT_PARAMETERS)
                b->works->is_known[kind][variant] = false;
}

lspo_op_id_t lspo_build_generate_forward(lspo_builder_t *b, uint32_t iteration, uint32_t micro, uint32_t stage)
{
    lspo_op_id_t id = lspo_build_op(b, LSPO_OP_FWD, LSPO_VARIANT_NONE, stage, iteration);
    lspo_build_micro(b, micro);
    lspo_build_depend(b, b->last_compute);
    b->last_compute = id;
    return id;
}

lspo_status_t lspo_build_generate_resident(lspo_builder_t *b)
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
