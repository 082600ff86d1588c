/* llama.c - Llama: rotary positions, RMS norm, grouped queries, no biases, gated SiLU MLP; or with other traits. */
#include "plan/families/parts.h"

static void add_biases(const lspo_model_t *model, lspo_stage_t *stage)
{
    const lspo_traits_t traits = lspo_model_traits(model);
    if (traits.qkv_bias) {
        lspo_stage_add_rest(stage, "q_bias", 1, lspo_model_attention_width(model));
        lspo_stage_add_rest(stage, "k_bias", 1, lspo_model_kv_width(model));
        lspo_stage_add_rest(stage, "v_bias", 1, lspo_model_kv_width(model));
    }
    if (traits.attention_out_bias)
        lspo_stage_add_rest(stage, "attention_out_bias", 1, model->width);
    if (traits.mlp_bias) {
        lspo_stage_add_rest(stage, "gate_bias", 1, model->mlp_width);
        lspo_stage_add_rest(stage, "up_bias", 1, model->mlp_width);
        lspo_stage_add_rest(stage, "down_bias", 1, model->width);
    }
}

/* The tensor added last reads the input of the one before. */
static void mark_same_input(lspo_stage_t *stage)
{
    stage->tensors[stage->tensor_count - 1].same_input = true;
}

static void block(const lspo_model_t *model, lspo_stage_t *stage)
{
    uint32_t width = model->width, attention_width = lspo_model_attention_width(model);
    uint32_t kv_width = lspo_model_kv_width(model);
    lspo_stage_add_linear(stage, "q", width, attention_width);
    lspo_stage_add_linear(stage, "k", width, kv_width);
    mark_same_input(stage);
    lspo_stage_add_linear(stage, "v", width, kv_width);
    mark_same_input(stage);
    lspo_stage_add_linear(stage, "attention_out", attention_width, width);
    if (model->expert_count > 0) {
        lspo_stage_add_linear(stage, "router", width, model->expert_count);
        lspo_stage_add_experts(stage, "experts_gate", model, width, model->mlp_width);
        lspo_stage_add_experts(stage, "experts_up", model, width, model->mlp_width);
        mark_same_input(stage);
        lspo_stage_add_experts(stage, "experts_down", model, model->mlp_width, width);
    } else {
        lspo_stage_add_linear(stage, "gate", width, model->mlp_width);
        lspo_stage_add_linear(stage, "up", width, model->mlp_width);
        mark_same_input(stage);
        lspo_stage_add_linear(stage, "down", model->mlp_width, width);
    }
    add_biases(model, stage);
    lspo_parts_block_norms(model, stage);
}

/* Before a product its bias is written to its result, unless that holds a residual; behind it, the bias's gradient is a
 * sum over the rows of the result's gradient. */
static void add_bias_traffic(const lspo_stage_shape_t *shape, bool backward, lspo_work_t *work)
{
    const lspo_traits_t *traits = &shape->traits;
    uint64_t per_token = 0;
    uint32_t count = 0;
    if (traits->qkv_bias) {
        count += 3;
        per_token += shape->attention_width + 2 * shape->kv_width;
    }
    if (traits->attention_out_bias && backward) {
        count += 1;
        per_token += shape->width;
    }
    if (traits->mlp_bias) {
        count += backward ? 3 : 2;
        per_token += 2 * shape->mlp_width + (backward ? shape->width : 0);
    }
    if (count > 0)
        lspo_work_add_traffic(work, shape, LSPO_KERNEL_STREAM, count, per_token);
}

static void block_forward(const lspo_stage_shape_t *shape, bool recompute, lspo_work_t *work)
{
    uint64_t w = shape->width, kv = shape->kv_width, f = shape->mlp_width, t = shape->tokens, p = shape->p;
    uint64_t a = shape->attention_width;
    lspo_parts_norms_forward(shape, work);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, a, w);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, kv, w);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, kv, w);
    add_bias_traffic(shape, false, work);
    lspo_parts_rotate(shape, work);
    lspo_work_add_attention(work, shape, false);
    lspo_parts_residuals_forward(shape, recompute, work);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, w, a);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, f, w);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, f, w);
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_ACTIVATION, 1, 3 * f);
    if (!recompute || lspo_model_ends_with_norm(shape->model))
        lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, w, f);
}

static void block_backward(const lspo_stage_shape_t *shape, bool rest, lspo_work_t *work)
{
    lspo_parts_norms_backward(shape, work);
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_ACTIVATION, 1, 5 * shape->mlp_width);
    lspo_parts_rotate(shape, work);
    if (rest)
        add_bias_traffic(shape, true, work);
}

const lspo_family_row_t lspo_family_llama = {.norm_epsilon = 1e-6,
                                             .causal = true,
                                             .rms_norm = true,
                                             .gated = true,
                                             .varies = true,
                                             .trains_language = true,
                                             .on_gpu = true,
                                             .biases = LSPO_BIASES_NONE,
                                             .norm = LSPO_NORM_RMS,
                                             .positions = LSPO_POSITIONS_ROTARY,
                                             .embed = lspo_parts_embed,
                                             .block = block,
                                             .head = lspo_parts_head,
                                             .embed_forward = lspo_parts_embed_forward,
                                             .block_forward = block_forward,
                                             .head_forward = lspo_parts_head_forward,
                                             .embed_backward = lspo_parts_embed_backward,
                                             .block_backward = block_backward,
                                             .head_backward = lspo_parts_head_backward};
