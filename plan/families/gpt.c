/* gpt.c - GPT-2: learned positions, pre-norm, biases, GELU MLP.  The blocks' tensors are in plan/model.h. */
#include "plan/families/parts.h"

static void embed(const lspo_model_t *model, lspo_stage_t *stage)
{
    lspo_stage_add_rest(stage, "token", model->vocabulary, model->width);
    lspo_stage_add_rest(stage, "position", model->max_sequence, model->width);
}

static void head(const lspo_model_t *model, lspo_stage_t *stage)
{
    lspo_stage_add_rest(stage, "norm_gain", 1, model->width);
    lspo_stage_add_rest(stage, "norm_bias", 1, model->width);
    if (!model->tied_head)
        lspo_stage_add_rest(stage, "output", model->width, model->vocabulary);
}

static void embed_forward(const lspo_stage_shape_t *shape, lspo_work_t *work)
{
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_STREAM, 1, 3 * shape->width);
}

static void embed_backward(const lspo_stage_shape_t *shape, lspo_work_t *work)
{
    lspo_parts_embed_backward(shape, 2, work);
}

/* The bias gradients of attention_out and mlp_up are summed in the kernels that compute their dY; those of qkv and
 * mlp_down need a separate pass.  The backward pass of the norms adds the residuals. */
static void block_backward(const lspo_stage_shape_t *shape, bool rest, lspo_work_t *work)
{
    uint64_t w = shape->width;
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_NORM, 2, 2 * 4 * w);
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_ACTIVATION, 1, 3 * shape->mlp_width);
    if (rest)
        lspo_work_add_traffic(work, shape, LSPO_KERNEL_STREAM, 2, (w + 2 * shape->kv_width) + w);
}

const lspo_family_row_t lspo_family_gpt = {.norm_epsilon = 1e-5,
                                           .tied_head = true,
                                           .causal = true,
                                           .trains_language = true,
                                           .on_gpu = true,
                                           .embed = embed,
                                           .block = lspo_parts_biased_block,
                                           .head = head,
                                           .embed_forward = embed_forward,
                                           .block_forward = lspo_parts_biased_block_forward,
                                           .head_forward = lspo_parts_head_forward,
                                           .embed_backward = embed_backward,
                                           .block_backward = block_backward,
                                           .head_backward = lspo_parts_head_backward};
