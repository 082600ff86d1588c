/* llama.c - Llama: rotary positions, RMS norm, grouped queries, no biases, gated SiLU MLP. */
#include "plan/families/parts.h"

static void embed(const lspo_model_t *model, lspo_stage_t *stage)
{
    lspo_stage_add_rest(stage, "token", model->vocabulary, model->width);
}

static void block(const lspo_model_t *model, lspo_stage_t *stage)
{
    uint32_t width = model->width;
    uint32_t kv_width = width / model->head_count * model->kv_head_count;
    lspo_stage_add_linear(stage, "q", width, width);
    lspo_stage_add_linear(stage, "k", width, kv_width);
    lspo_stage_add_linear(stage, "v", width, kv_width);
    lspo_stage_add_linear(stage, "attention_out", width, width);
    lspo_stage_add_linear(stage, "gate", width, model->mlp_width);
    lspo_stage_add_linear(stage, "up", width, model->mlp_width);
    lspo_stage_add_linear(stage, "down", model->mlp_width, width);
    lspo_stage_add_rest(stage, "norm1_gain", 1, width);
    lspo_stage_add_rest(stage, "norm2_gain", 1, width);
}

static void head(const lspo_model_t *model, lspo_stage_t *stage)
{
    lspo_stage_add_rest(stage, "norm_gain", 1, model->width);
    if (!model->tied_head)
        lspo_stage_add_rest(stage, "output", model->width, model->vocabulary);
}

static void embed_forward(const lspo_stage_shape_t *shape, lspo_work_t *work)
{
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_STREAM, 1, 2 * shape->width);
}

static void embed_backward(const lspo_stage_shape_t *shape, lspo_work_t *work)
{
    lspo_parts_embed_backward(shape, 1, work);
}

static void block_forward(const lspo_stage_shape_t *shape, bool recompute, lspo_work_t *work)
{
    uint64_t w = shape->width, kv = shape->kv_width, f = shape->mlp_width, t = shape->tokens, p = shape->p;
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_NORM, 2, 2 * 2 * w);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, w, w);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, kv, w);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, kv, w);
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_STREAM, 1, 2 * (w + kv)); /* positions of q and k, in place */
    lspo_work_add_attention(work, shape, false);
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_STREAM, recompute ? 1 : 2, (recompute ? 1 : 2) * 2 * w);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, w, w);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, f, w);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, f, w);
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_ACTIVATION, 1, 3 * f);
    if (!recompute)
        lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, t, w, f);
}

/* There are no biases; the backward pass of the norms adds the residuals. */
static void block_backward(const lspo_stage_shape_t *shape, bool rest, lspo_work_t *work)
{
    uint64_t w = shape->width;
    (void)rest;
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_NORM, 2, 2 * 4 * w);
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_ACTIVATION, 1, 5 * shape->mlp_width);
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_STREAM, 1, 2 * (w + shape->kv_width));
}

const lspo_family_row_t lspo_family_llama = {.norm_epsilon = 1e-6,
                                             .causal = true,
                                             .rms_norm = true,
                                             .gated = true,
                                             .rotary = true,
                                             .trains_language = true,
                                             .on_gpu = true,
                                             .embed = embed,
                                             .block = block,
                                             .head = head,
                                             .embed_forward = embed_forward,
                                             .block_forward = block_forward,
                                             .head_forward = lspo_parts_head_forward,
                                             .embed_backward = embed_backward,
                                             .block_backward = block_backward,
                                             .head_backward = lspo_parts_head_backward};
