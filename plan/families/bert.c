/* bert.c - RoBERTa: like GPT but with post-norm, token types, bidirectional attention and exact GELU; a language model
 * with a dense layer in its head, or a sequence classifier. */
#include "plan/families/parts.h"

static void embed(const lspo_model_t *model, lspo_stage_t *stage)
{
    lspo_stage_add_rest(stage, "token", model->vocabulary, model->width);
    lspo_stage_add_rest(stage, "position", model->max_sequence + LSPO_BERT_UNUSED_POSITIONS, model->width);
    lspo_stage_add_rest(stage, "token_type", 1, model->width);
    lspo_stage_add_rest(stage, "norm_gain", 1, model->width);
    lspo_stage_add_rest(stage, "norm_bias", 1, model->width);
}

static void head(const lspo_model_t *model, lspo_stage_t *stage)
{
    uint32_t width = model->width, outputs = model->class_count > 0 ? model->class_count : model->vocabulary;
    lspo_stage_add_rest(stage, "dense", width, width);
    lspo_stage_add_rest(stage, "dense_bias", 1, width);
    if (model->class_count == 0) {
        lspo_stage_add_rest(stage, "norm_gain", 1, width);
        lspo_stage_add_rest(stage, "norm_bias", 1, width);
    }
    if (!model->tied_head || model->class_count > 0)
        lspo_stage_add_rest(stage, "output", width, outputs);
    lspo_stage_add_rest(stage, "output_bias", 1, outputs);
}

/* Tokens and positions are summed, the one token type is added, and the sum is normalised. */
static void embed_forward(const lspo_stage_shape_t *shape, lspo_work_t *work)
{
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_STREAM, 2, (3 + 2) * shape->width);
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_NORM, 1, 2 * shape->width);
}

/* The norm's input is computed again, then its backward pass. */
static void embed_backward(const lspo_stage_shape_t *shape, lspo_work_t *work)
{
    embed_forward(shape, work);
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_NORM, 1, 3 * shape->width);
    lspo_parts_tables_backward(shape, 2, work);
}

/* The second norm, after the last product, needs its input in the backward pass: recompute skips nothing. */
static void block_forward(const lspo_stage_shape_t *shape, bool recompute, lspo_work_t *work)
{
    (void)recompute;
    lspo_parts_biased_block_forward(shape, false, work);
}

/* All bias gradients except that of qkv are summed in the kernels that compute their dY.  Products start from the
 * residuals and add to them. */
static void block_backward(const lspo_stage_shape_t *shape, bool rest, lspo_work_t *work)
{
    uint64_t w = shape->width;
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_NORM, 2, 2 * 3 * w);
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_ACTIVATION, 1, 3 * shape->mlp_width);
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_STREAM, 2, 2 * 2 * w);
    if (rest)
        lspo_work_add_traffic(work, shape, LSPO_KERNEL_STREAM, 1, w + 2 * shape->kv_width);
}

/* dense, tanh, output and loss of the first token of each sequence. */
static void classifier_forward(const lspo_stage_shape_t *shape, lspo_work_t *work)
{
    uint64_t w = shape->width, c = shape->model->class_count, b = shape->batch, p = shape->p;
    lspo_work_add(work, LSPO_KERNEL_STREAM, 2, 0.0, b * p * (w + c));
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, b, w, w);
    lspo_work_add(work, LSPO_KERNEL_ACTIVATION, 1, 0.0, b * p * 2 * w);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NN, b, c, w);
    lspo_work_add(work, LSPO_KERNEL_LOSS, 1, 0.0, b * p * 2 * c);
}

static void classifier_backward(const lspo_stage_shape_t *shape, bool rest, lspo_work_t *work)
{
    uint64_t w = shape->width, c = shape->model->class_count, b = shape->batch, p = shape->p;
    lspo_work_add(work, LSPO_KERNEL_LOSS, 1, 0.0, b * p * 2 * c);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NT, b, w, c);
    lspo_work_add(work, LSPO_KERNEL_ACTIVATION, 1, 0.0, b * p * 3 * w);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NT, b, w, w);
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_STREAM, 1, w); /* zero gradients except for the first tokens */
    if (rest) {
        lspo_work_append_gemm(work, p, LSPO_LAYOUT_TN, w, c, b);
        lspo_work_append_gemm(work, p, LSPO_LAYOUT_TN, w, w, b);
        lspo_work_add(work, LSPO_KERNEL_STREAM, 2, 0.0, b * p * (w + c));
    }
}

static void head_forward(const lspo_stage_shape_t *shape, lspo_work_t *work)
{
    uint64_t w = shape->width;
    if (shape->model->class_count > 0) {
        classifier_forward(shape, work);
        return;
    }
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_STREAM, 2, w + shape->vocabulary);
    lspo_work_append_gemm(work, shape->p, LSPO_LAYOUT_NN, shape->tokens, w, w);
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_ACTIVATION, 1, 2 * w);
    lspo_parts_head_forward(shape, work);
}

static void head_backward(const lspo_stage_shape_t *shape, bool rest, lspo_work_t *work)
{
    uint64_t w = shape->width, t = shape->tokens, p = shape->p;
    if (shape->model->class_count > 0) {
        classifier_backward(shape, rest, work);
        return;
    }
    lspo_parts_head_backward(shape, rest, work);
    lspo_work_add_traffic(work, shape, LSPO_KERNEL_ACTIVATION, 1, 3 * w);
    lspo_work_append_gemm(work, p, LSPO_LAYOUT_NT, t, w, w);
    if (rest) {
        lspo_work_append_gemm(work, p, LSPO_LAYOUT_TN, w, w, t);
        lspo_work_add_traffic(work, shape, LSPO_KERNEL_STREAM, 1, shape->vocabulary);
    }
}

const lspo_family_row_t lspo_family_bert = {.norm_epsilon = 1e-5,
                                            .tied_head = true,
                                            .post_norm = true,
                                            .embed_norm = true,
                                            .classifies = true,
                                            .biases = LSPO_BIASES_ALL,
                                            .norm = LSPO_NORM_LAYER,
                                            .positions = LSPO_POSITIONS_LEARNED,
                                            .embed = embed,
                                            .block = lspo_parts_biased_block,
                                            .head = head,
                                            .embed_forward = embed_forward,
                                            .block_forward = block_forward,
                                            .head_forward = head_forward,
                                            .embed_backward = embed_backward,
                                            .block_backward = block_backward,
                                            .head_backward = head_backward};
