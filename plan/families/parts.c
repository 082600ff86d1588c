/* parts.c - see parts.h. */
#include "plan/families/parts.h"

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

void lspo_parts_embed_backward(const lspo_stage_shape_t *shape, uint64_t tables, lspo_work_t *work)
{
    if (!shape->model->tied_head)
        lspo_work_add(work, LSPO_KERNEL_STREAM, 1, 0.0, shape->p * shape->vocabulary * shape->width);
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_STREAM, 1, (1 + 2 * tables) * shape->width);
}

void lspo_parts_biased_block(const lspo_model_t *model, lspo_stage_t *stage)
{
    uint32_t width = model->width;
    uint32_t qkv_width = width + 2 * (width / model->head_count * model->kv_head_count);
    lspo_stage_add_linear(stage, "qkv", width, qkv_width);
    lspo_stage_add_linear(stage, "attention_out", width, width);
    lspo_stage_add_linear(stage, "mlp_up", width, model->mlp_width);
    lspo_stage_add_linear(stage, "mlp_down", model->mlp_width, width);
    lspo_stage_add_rest(stage, "qkv_bias", 1, qkv_width);
    lspo_stage_add_rest(stage, "attention_out_bias", 1, width);
    lspo_stage_add_rest(stage, "mlp_up_bias", 1, model->mlp_width);
    lspo_stage_add_rest(stage, "mlp_down_bias", 1, width);
    lspo_stage_add_rest(stage, "norm1_gain", 1, width);
    lspo_stage_add_rest(stage, "norm1_bias", 1, width);
    lspo_stage_add_rest(stage, "norm2_gain", 1, width);
    lspo_stage_add_rest(stage, "norm2_bias", 1, width);
}

/* A product starts from its bias (write 1) or from residual plus bias (read 1, write 1) and adds to it. */
void lspo_parts_biased_block_forward(const lspo_stage_shape_t *shape, bool recompute, lspo_work_t *work)
{
    uint64_t w = shape->width, f = shape->mlp_width, t = shape->tokens, p = shape->p;
    uint64_t qkv = w + 2 * shape->kv_width;
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_NORM, 2, 2 * 2 * w);
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_STREAM, 2, qkv + f);
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_STREAM, recompute ? 1 : 2, (recompute ? 1 : 2) * 2 * w);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, qkv, w);
    lspo_work_add_attention(work, shape, false);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, w, w);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, f, w);
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_ACTIVATION, 1, 2 * f);
    if (!recompute)
        lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, w, f);
}
