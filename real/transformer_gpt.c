/* transformer_gpt.c - the stages of a GPT:
 *     a = x + attention(norm1(x)) W_o + b_o          y = a + gelu(norm2(a) W_up + b_up) W_down + b_down */
#include <string.h>

#include "kernels/activation.h"
#include "kernels/embedding.h"
#include "kernels/norm.h"
#include "kernels/vector.h"
#include "real/transformer_state.h"

/* Tensors in the order of lspo_model_stage(). */
enum { QKV, ATTENTION_OUT, MLP_UP, MLP_DOWN };
enum { QKV_BIAS = 4, ATTENTION_OUT_BIAS, MLP_UP_BIAS, MLP_DOWN_BIAS, NORM1_GAIN, NORM1_BIAS, NORM2_GAIN, NORM2_BIAS };
enum { TOKEN, POSITION };

static void embed_forward(lspo_transformer_t *t, const uint32_t *tokens, const float *embed_weights, float *x_out)
{
    lspo_embedding_forward(t->batch, t->sequence, t->width, tokens, lspo_stage_weight(&t->embed, TOKEN, embed_weights),
                           lspo_stage_weight(&t->embed, POSITION, embed_weights), x_out);
}

static void embed_backward(lspo_transformer_t *t, const uint32_t *tokens, const float *dx, bool accumulate,
                           float *embed_gradient)
{
    float *token = embed_gradient + t->embed.tensors[TOKEN].offset_elements;
    float *position = embed_gradient + t->embed.tensors[POSITION].offset_elements;
    if (!accumulate && !t->tied)
        memset(token, 0, t->vocabulary * t->width * sizeof *token);
    if (!accumulate)
        memset(position, 0, t->max_sequence * t->width * sizeof *position);
    lspo_embedding_backward(t->batch, t->sequence, t->width, tokens, dx, token, position);
}

static size_t qkv_width(const lspo_transformer_t *t)
{
    return t->width + 2 * t->kv_width;
}

static void block_forward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const float *x_in, float *s,
                          float *x_out)
{
    const size_t w = t->width, f = t->mlp_width;
    const lspo_stage_t *block = &t->block;
    const lspo_block_saved_t *at = &t->saved;
    const float *weights = from->weights;
    const lspo_attention_t attention = lspo_transformer_attention(t, true, qkv_width(t), qkv_width(t));
    lspo_norm_forward_epsilon(t->tokens, w, t->epsilon, x_in, lspo_stage_weight(block, NORM1_GAIN, weights),
                              lspo_stage_weight(block, NORM1_BIAS, weights), s + at->norm1_out, s + at->mean1,
                              s + at->rstd1);
    lspo_bias_fill(t->tokens, qkv_width(t), lspo_stage_weight(block, QKV_BIAS, weights), s + at->q);
    lspo_linear_forward(t, QKV, from, s + at->norm1_out, 1.0F, s + at->q);
    lspo_attention_any_forward(&attention, s + at->q, s + at->k, s + at->v, s + at->probabilities, s + at->context,
                               t->workspace + t->at.attention);
    lspo_bias_add(t->tokens, w, x_in, lspo_stage_weight(block, ATTENTION_OUT_BIAS, weights), s + at->residual);
    lspo_linear_forward(t, ATTENTION_OUT, from, s + at->context, 1.0F, s + at->residual);
    lspo_norm_forward_epsilon(t->tokens, w, t->epsilon, s + at->residual, lspo_stage_weight(block, NORM2_GAIN, weights),
                              lspo_stage_weight(block, NORM2_BIAS, weights), s + at->norm2_out, s + at->mean2,
                              s + at->rstd2);
    lspo_bias_fill(t->tokens, f, lspo_stage_weight(block, MLP_UP_BIAS, weights), s + at->mlp_pre);
    lspo_linear_forward(t, MLP_UP, from, s + at->norm2_out, 1.0F, s + at->mlp_pre);
    lspo_gelu_forward(t->tokens * f, s + at->mlp_pre, s + at->mlp_act);
    if (x_out == NULL)
        return;
    lspo_bias_add(t->tokens, w, s + at->residual, lspo_stage_weight(block, MLP_DOWN_BIAS, weights), x_out);
    lspo_linear_forward(t, MLP_DOWN, from, s + at->mlp_act, 1.0F, x_out);
}

/* From the gradient of the block's output (d_mlp_down) to that of the residual stream between the two halves
 * (d_attention_out). */
static void mlp_backward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const float *s,
                         const lspo_gradient_sink_t *sink)
{
    const size_t w = t->width, f = t->mlp_width;
    const lspo_stage_t *block = &t->block;
    const lspo_block_saved_t *at = &t->saved;
    const bool accumulate = lspo_sink_adds(sink);
    float *d_down = t->workspace + t->at.d_mlp_down, *d_up = t->workspace + t->at.d_mlp_up;
    float *d_norm = t->workspace + t->at.scratch;
    if (sink != NULL && sink->rest != NULL)
        lspo_column_sum(t->tokens, w, d_down, accumulate, lspo_rest_sink(block, MLP_DOWN_BIAS, sink));
    lspo_linear_backward(t, MLP_DOWN, from, sink, s + at->mlp_act, d_down, 0.0F, d_up);
    lspo_gelu_backward(t->tokens, f, s + at->mlp_pre, accumulate, d_up, lspo_rest_sink(block, MLP_UP_BIAS, sink));
    lspo_linear_backward(t, MLP_UP, from, sink, s + at->norm2_out, d_up, 0.0F, d_norm);
    lspo_norm_backward(t->tokens, w, d_norm, s + at->residual, s + at->mean2, s + at->rstd2,
                       lspo_stage_weight(block, NORM2_GAIN, from->weights), d_down, accumulate,
                       t->workspace + t->at.d_attention_out, lspo_rest_sink(block, NORM2_GAIN, sink),
                       lspo_rest_sink(block, NORM2_BIAS, sink), lspo_rest_sink(block, ATTENTION_OUT_BIAS, sink));
}

/* From d_attention_out to the gradient of the block's input. */
static void attention_backward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const float *x_in,
                               const float *s, const lspo_gradient_sink_t *sink, float *dx)
{
    const size_t w = t->width;
    const lspo_stage_t *block = &t->block;
    const lspo_block_saved_t *at = &t->saved;
    const bool accumulate = lspo_sink_adds(sink);
    const lspo_attention_t attention = lspo_transformer_attention(t, true, qkv_width(t), qkv_width(t));
    float *d_out = t->workspace + t->at.d_attention_out, *d_qkv = t->workspace + t->at.d_q;
    float *scratch = t->workspace + t->at.scratch; /* gradient of the context, then of norm1's output */
    lspo_linear_backward(t, ATTENTION_OUT, from, sink, s + at->context, d_out, 0.0F, scratch);
    lspo_attention_any_backward(&attention, s + at->q, s + at->k, s + at->v, s + at->probabilities, scratch, d_qkv,
                                t->workspace + t->at.d_k, t->workspace + t->at.d_v, t->workspace + t->at.attention);
    if (sink != NULL && sink->rest != NULL)
        lspo_column_sum(t->tokens, qkv_width(t), d_qkv, accumulate, lspo_rest_sink(block, QKV_BIAS, sink));
    lspo_linear_backward(t, QKV, from, sink, s + at->norm1_out, d_qkv, 0.0F, scratch);
    lspo_norm_backward(t->tokens, w, scratch, x_in, s + at->mean1, s + at->rstd1,
                       lspo_stage_weight(block, NORM1_GAIN, from->weights), d_out, accumulate, dx,
                       lspo_rest_sink(block, NORM1_GAIN, sink), lspo_rest_sink(block, NORM1_BIAS, sink), NULL);
}

static void block_backward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const float *x_in,
                           const float *s, const lspo_gradient_sink_t *sink, lspo_linear_operands_t *operands_out,
                           float *dx)
{
    memcpy(t->workspace + t->at.d_mlp_down, dx, t->tokens * t->width * sizeof *dx);
    mlp_backward(t, from, s, sink);
    attention_backward(t, from, x_in, s, sink, dx);
    lspo_linear_operands(t, QKV, s + t->saved.norm1_out, t->workspace + t->at.d_q, operands_out);
    lspo_linear_operands(t, ATTENTION_OUT, s + t->saved.context, t->workspace + t->at.d_attention_out, operands_out);
    lspo_linear_operands(t, MLP_UP, s + t->saved.norm2_out, t->workspace + t->at.d_mlp_up, operands_out);
    lspo_linear_operands(t, MLP_DOWN, s + t->saved.mlp_act, t->workspace + t->at.d_mlp_down, operands_out);
}

const lspo_transformer_family_t lspo_transformer_gpt = {.embed_forward = embed_forward,
                                                        .embed_backward = embed_backward,
                                                        .block_forward = block_forward,
                                                        .block_backward = block_backward,
                                                        .head_forward = lspo_language_head_forward,
                                                        .head_backward = lspo_language_head_backward,
                                                        .logits = lspo_language_head_logits};
