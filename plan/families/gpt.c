/* gpt.c - GPT-2: learned positions, pre-norm, biases, GELU MLP; or with other traits.  The blocks' tensors are in
 * plan/model.h. */
#include "plan/families/parts.h"

/* The bias gradients of attention_out and mlp_up are summed in the kernels that compute their dY; those of qkv and
 * mlp_down need a separate pass.  The backward pass of the norms adds the residuals. */
static void block_backward(const lspo_stage_shape_t *shape, bool rest, lspo_work_t *work)
{
    const lspo_traits_t *traits = &shape->traits;
    const uint32_t biases = (traits->qkv_bias ? 1 : 0) + (traits->mlp_bias ? 1 : 0);
    lspo_parts_norms_backward(shape, work);
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_ACTIVATION, 1, 3 * shape->mlp_width);
    lspo_parts_rotate(shape, work);
    if (rest && biases > 0)
        lspo_work_add_traffic(work, shape, LSPO_KERNEL_STREAM, biases,
                              (traits->qkv_bias ? shape->attention_width + 2 * shape->kv_width : 0) +
                                  (traits->mlp_bias ? shape->width : 0));
}

const lspo_family_row_t lspo_family_gpt = {.norm_epsilon = 1e-5,
                                           .tied_head = true,
                                           .causal = true,
                                           .varies = true,
                                           .trains_language = true,
                                           .on_gpu = true,
                                           .biases = LSPO_BIASES_ALL,
                                           .norm = LSPO_NORM_LAYER,
                                           .positions = LSPO_POSITIONS_LEARNED,
                                           .embed = lspo_parts_embed,
                                           .block = lspo_parts_biased_block,
                                           .head = lspo_parts_head,
                                           .embed_forward = lspo_parts_embed_forward,
                                           .block_forward = lspo_parts_biased_block_forward,
                                           .head_forward = lspo_parts_head_forward,
                                           .embed_backward = lspo_parts_embed_backward,
                                           .block_backward = block_backward,
                                           .head_backward = lspo_parts_head_backward};
