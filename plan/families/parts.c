/* parts.c - see parts.h. */
#include "plan/families/parts.h"

void lspo_parts_head(const lspo_model_t *model, lspo_stage_t *stage)
{
    const lspo_traits_t traits = lspo_model_traits(model);
    if (traits.norm_gain)
        lspo_stage_add_rest(stage, "norm_gain", 1, model->width);
    if (traits.norm_bias)
        lspo_stage_add_rest(stage, "norm_bias", 1, model->width);
    if (!model->tied_head)
        lspo_stage_add_rest(stage, "output", model->width, model->vocabulary);
}

void lspo_parts_embed(const lspo_model_t *model, lspo_stage_t *stage)
{
    lspo_stage_add_rest(stage, "token", model->vocabulary, model->width);
    if (lspo_model_traits(model).positions == LSPO_POSITIONS_LEARNED)
        lspo_stage_add_rest(stage, "position", model->max_sequence + model->unused_positions, model->width);
}

static uint64_t tables(const lspo_stage_shape_t *shape)
{
    return shape->traits.positions == LSPO_POSITIONS_LEARNED ? 2 : 1;
}

void lspo_parts_embed_forward(const lspo_stage_shape_t *shape, lspo_work_t *work)
{
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_STREAM, 1, (1 + tables(shape)) * shape->width);
}

void lspo_parts_embed_backward(const lspo_stage_shape_t *shape, lspo_work_t *work)
{
    lspo_parts_tables_backward(shape, tables(shape), work);
}

void lspo_parts_head_forward(const lspo_stage_shape_t *shape, lspo_work_t *work)
{
    uint64_t w = shape->width, v = shape->vocabulary;
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_NORM, 1, 2 * w);
    lspo_work_append_gemm(work, shape->p, shape->model->tied_head ? LSPO_LAYOUT_NT : LSPO_LAYOUT_NN, shape->tokens, v,
                          w);
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_LOSS, 1, 2 * v);
}

void lspo_parts_head_backward(const lspo_stage_shape_t *shape, bool rest, lspo_work_t *work)
{
    uint64_t w = shape->width, v = shape->vocabulary, t = shape->tokens, p = shape->p;
    bool tied = shape->model->tied_head;
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_LOSS, 1, 2 * v);
    lspo_work_append_gemm(work, p, tied ? LSPO_LAYOUT_NN : LSPO_LAYOUT_NT, t, w, v);
    if (rest)
        lspo_work_append_gemm(work, p, LSPO_LAYOUT_TN, tied ? v : w, tied ? w : v, t);
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_NORM, 1, 3 * w);
}

void lspo_parts_tables_backward(const lspo_stage_shape_t *shape, uint64_t count, lspo_work_t *work)
{
    if (!shape->model->tied_head)
        lspo_work_add(work, LSPO_KERNEL_STREAM, 1, 0.0, shape->p * shape->vocabulary * shape->width);
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_STREAM, 1, (1 + 2 * count) * shape->width);
}

static void add_norm(lspo_stage_t *stage, const lspo_traits_t *traits, const char *gain, const char *bias,
                     uint32_t width)
{
    if (traits->norm_gain)
        lspo_stage_add_rest(stage, gain, 1, width);
    if (traits->norm_bias)
        lspo_stage_add_rest(stage, bias, 1, width);
}

void lspo_parts_block_norms(const lspo_model_t *model, lspo_stage_t *stage)
{
    const lspo_traits_t traits = lspo_model_traits(model);
    const bool per_head = model->qk_norm == LSPO_QK_NORM_HEAD;
    const uint32_t head = lspo_model_head_width(model);
    if (traits.norms != LSPO_NORMS_AFTER)
        add_norm(stage, &traits, "norm1_gain", "norm1_bias", model->width);
    if (traits.norms != LSPO_NORMS_AFTER && traits.norms != LSPO_NORMS_PARALLEL_SHARED)
        add_norm(stage, &traits, "norm2_gain", "norm2_bias", model->width);
    if (traits.norms == LSPO_NORMS_AFTER || traits.norms == LSPO_NORMS_BOTH) {
        add_norm(stage, &traits, "norm1_after_gain", "norm1_after_bias", model->width);
        add_norm(stage, &traits, "norm2_after_gain", "norm2_after_bias", model->width);
    }
    if (model->qk_norm != LSPO_QK_NORM_NONE) {
        add_norm(stage, &traits, "q_norm_gain", "q_norm_bias", per_head ? head : lspo_model_attention_width(model));
        add_norm(stage, &traits, "k_norm_gain", "k_norm_bias", per_head ? head : lspo_model_kv_width(model));
    }
}

void lspo_parts_biased_block(const lspo_model_t *model, lspo_stage_t *stage)
{
    const lspo_traits_t traits = lspo_model_traits(model);
    uint32_t width = model->width, attention_width = lspo_model_attention_width(model);
    uint32_t qkv_width = attention_width + 2 * lspo_model_kv_width(model);
    lspo_stage_add_linear(stage, "qkv", width, qkv_width);
    lspo_stage_add_linear(stage, "attention_out", attention_width, width);
    if (model->expert_count > 0) {
        lspo_stage_add_linear(stage, "router", width, model->expert_count);
        lspo_stage_add_experts(stage, "experts_up", model, width, model->mlp_width);
        lspo_stage_add_experts(stage, "experts_down", model, model->mlp_width, width);
    } else {
        lspo_stage_add_linear(stage, "mlp_up", width, model->mlp_width);
        lspo_stage_add_linear(stage, "mlp_down", model->mlp_width, width);
    }
    if (traits.qkv_bias)
        lspo_stage_add_rest(stage, "qkv_bias", 1, qkv_width);
    if (traits.attention_out_bias)
        lspo_stage_add_rest(stage, "attention_out_bias", 1, width);
    if (traits.mlp_bias) {
        lspo_stage_add_rest(stage, "mlp_up_bias", 1, model->mlp_width);
        lspo_stage_add_rest(stage, "mlp_down_bias", 1, width);
    }
    lspo_parts_block_norms(model, stage);
}

void lspo_parts_norms_forward(const lspo_stage_shape_t *shape, lspo_work_t *work)
{
    const uint32_t norms = lspo_model_norm_count(shape->model);
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_NORM, norms, norms * 2 * shape->width);
    if (shape->model->qk_norm != LSPO_QK_NORM_NONE)
        lspo_work_add_traffic(work, shape, LSPO_KERNEL_NORM, 2, 2 * (shape->attention_width + shape->kv_width));
}

void lspo_parts_norms_backward(const lspo_stage_shape_t *shape, lspo_work_t *work)
{
    const uint64_t w = shape->width;
    const lspo_norms_t norms = shape->traits.norms;
    const uint32_t count = lspo_model_norm_count(shape->model);
    const uint32_t after = norms == LSPO_NORMS_AFTER || norms == LSPO_NORMS_BOTH ? 2 : 0, before = count - after;
    if (before > 0)
        lspo_work_add_traffic(work, shape, LSPO_KERNEL_NORM, before, before * 4 * w);
    if (after > 0)
        lspo_work_add_traffic(work, shape, LSPO_KERNEL_NORM, after, after * 3 * w);
    if (before == 0)
        lspo_work_add_traffic(work, shape, LSPO_KERNEL_STREAM, 2, 2 * 3 * w);
    if (shape->model->qk_norm != LSPO_QK_NORM_NONE)
        lspo_work_add_traffic(work, shape, LSPO_KERNEL_NORM, 2, 3 * (shape->attention_width + shape->kv_width));
}

void lspo_parts_residuals_forward(const lspo_stage_shape_t *shape, bool recompute, lspo_work_t *work)
{
    const bool after = lspo_model_ends_with_norm(shape->model) && !lspo_family_of(shape->model)->post_norm;
    const uint32_t count = recompute && !after ? 1 : 2;
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_STREAM, count, count * (after ? 3 : 2) * shape->width);
}

void lspo_parts_rotate(const lspo_stage_shape_t *shape, lspo_work_t *work)
{
    if (shape->traits.positions == LSPO_POSITIONS_ROTARY)
        lspo_work_add_traffic(work, shape, LSPO_KERNEL_STREAM, 1, 2 * (shape->attention_width + shape->kv_width));
}

/* A product starts from its bias (write 1) or from residual plus bias (read 1, write 1) and adds to it. */
void lspo_parts_biased_block_forward(const lspo_stage_shape_t *shape, bool recompute, lspo_work_t *work)
{
    uint64_t w = shape->width, f = shape->mlp_width, t = shape->tokens, p = shape->p;
    uint64_t a = shape->attention_width, qkv = a + 2 * shape->kv_width;
    const uint32_t biases = (shape->traits.qkv_bias ? 1 : 0) + (shape->traits.mlp_bias ? 1 : 0);
    lspo_parts_norms_forward(shape, work);
    if (biases > 0)
        lspo_work_add_traffic(work, shape, LSPO_KERNEL_STREAM, biases,
                              (shape->traits.qkv_bias ? qkv : 0) + (shape->traits.mlp_bias ? f : 0));
    lspo_parts_residuals_forward(shape, recompute, work);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, qkv, w);
    lspo_parts_rotate(shape, work);
    lspo_work_add_attention(work, shape, false);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, w, a);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, f, w);
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_ACTIVATION, 1, 2 * f);
    if (!recompute || lspo_model_ends_with_norm(shape->model))
        lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, w, f);
}
