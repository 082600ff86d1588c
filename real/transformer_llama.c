/* transformer_llama.c - the stages of a Llama [Touvron et al., arXiv 2302.13971, Sec. 2.2], without biases:
 *     a = x + attention(rope(norm1(x) W_q), rope(norm1(x) W_k), norm1(x) W_v) W_o
 *     y = a + (silu(norm2(a) W_gate) norm2(a) W_up) W_down */
#include <string.h>

#include "kernels/activation.h"
#include "kernels/embedding.h"
#include "kernels/norm.h"
#include "kernels/rotary.h"
#include "real/transformer_state.h"

/* Tensors in the order of lspo_model_stage(). */
enum { Q, K, V, ATTENTION_OUT, GATE, UP, DOWN, NORM1_GAIN, NORM2_GAIN };
enum { TOKEN };

static void embed_forward(lspo_transformer_t *t, const uint32_t *tokens, const float *embed_weights, float *x_out)
{
    lspo_embedding_forward(t->batch, t->sequence, t->width, tokens, lspo_stage_weight(&t->embed, TOKEN, embed_weights),
                           NULL, x_out);
}

static void embed_backward(lspo_transformer_t *t, const uint32_t *tokens, const float *dx, bool accumulate,
                           float *embed_gradient)
{
    float *token = embed_gradient + t->embed.tensors[TOKEN].offset_elements;
    if (!accumulate && !t->tied)
        memset(token, 0, t->vocabulary * t->width * sizeof *token);
    lspo_embedding_backward(t->batch, t->sequence, t->width, tokens, dx, token, NULL);
}

static size_t head_width(const lspo_transformer_t *t)
{
    return t->width / t->heads;
}

static void attention_forward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const float *x_in, float *s)
{
    const lspo_block_saved_t *at = &t->saved;
    const lspo_attention_t attention = lspo_transformer_attention(t, true, t->width, t->kv_width);
    const float *normed = s + at->norm1_out;
    lspo_rms_norm_forward(t->tokens, t->width, t->epsilon, x_in,
                          lspo_stage_weight(&t->block, NORM1_GAIN, from->weights), s + at->norm1_out, s + at->rstd1);
    lspo_linear_forward(t, Q, from, normed, 0.0F, s + at->q);
    lspo_linear_forward(t, K, from, normed, 0.0F, s + at->k);
    lspo_linear_forward(t, V, from, normed, 0.0F, s + at->v);
    lspo_rotary_forward(t->batch, t->sequence, t->heads, head_width(t), t->rotary, s + at->q);
    lspo_rotary_forward(t->batch, t->sequence, t->kv_heads, head_width(t), t->rotary, s + at->k);
    lspo_attention_any_forward(&attention, s + at->q, s + at->k, s + at->v, s + at->probabilities, s + at->context,
                               t->workspace + t->at.attention);
    memcpy(s + at->residual, x_in, t->tokens * t->width * sizeof *s);
    lspo_linear_forward(t, ATTENTION_OUT, from, s + at->context, 1.0F, s + at->residual);
}

static void block_forward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const float *x_in, float *s,
                          float *x_out)
{
    const lspo_block_saved_t *at = &t->saved;
    attention_forward(t, from, x_in, s);
    lspo_rms_norm_forward(t->tokens, t->width, t->epsilon, s + at->residual,
                          lspo_stage_weight(&t->block, NORM2_GAIN, from->weights), s + at->norm2_out, s + at->rstd2);
    lspo_linear_forward(t, GATE, from, s + at->norm2_out, 0.0F, s + at->gate);
    lspo_linear_forward(t, UP, from, s + at->norm2_out, 0.0F, s + at->mlp_pre);
    lspo_swiglu_forward(t->tokens * t->mlp_width, s + at->gate, s + at->mlp_pre, s + at->mlp_act);
    if (x_out == NULL)
        return;
    memcpy(x_out, s + at->residual, t->tokens * t->width * sizeof *x_out);
    lspo_linear_forward(t, DOWN, from, s + at->mlp_act, 1.0F, x_out);
}

/* From the gradient of the block's output (d_mlp_down) to that of the residual stream between the two halves
 * (d_attention_out). */
static void mlp_backward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const float *s,
                         const lspo_gradient_sink_t *sink)
{
    const lspo_block_saved_t *at = &t->saved;
    float *d_down = t->workspace + t->at.d_mlp_down, *d_up = t->workspace + t->at.d_mlp_up;
    float *d_gate = t->workspace + t->at.d_gate, *d_norm = t->workspace + t->at.scratch;
    lspo_linear_backward(t, DOWN, from, sink, s + at->mlp_act, d_down, 0.0F, d_up);
    lspo_swiglu_backward(t->tokens * t->mlp_width, s + at->gate, s + at->mlp_pre, d_up, d_gate);
    lspo_linear_backward(t, GATE, from, sink, s + at->norm2_out, d_gate, 0.0F, d_norm);
    lspo_linear_backward(t, UP, from, sink, s + at->norm2_out, d_up, 1.0F, d_norm);
    lspo_rms_norm_backward(t->tokens, t->width, d_norm, s + at->residual, s + at->rstd2,
                           lspo_stage_weight(&t->block, NORM2_GAIN, from->weights), d_down, lspo_sink_adds(sink),
                           t->workspace + t->at.d_attention_out, lspo_rest_sink(&t->block, NORM2_GAIN, sink));
}

/* From d_attention_out to the gradient of the block's input. */
static void attention_backward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const float *x_in,
                               const float *s, const lspo_gradient_sink_t *sink, float *dx)
{
    const lspo_block_saved_t *at = &t->saved;
    const lspo_attention_t attention = lspo_transformer_attention(t, true, t->width, t->kv_width);
    const float *normed = s + at->norm1_out;
    float *d_out = t->workspace + t->at.d_attention_out, *d_q = t->workspace + t->at.d_q;
    float *d_k = t->workspace + t->at.d_k, *d_v = t->workspace + t->at.d_v;
    float *scratch = t->workspace + t->at.scratch; /* gradient of the context, then of norm1's output */
    lspo_linear_backward(t, ATTENTION_OUT, from, sink, s + at->context, d_out, 0.0F, scratch);
    lspo_attention_any_backward(&attention, s + at->q, s + at->k, s + at->v, s + at->probabilities, scratch, d_q, d_k,
                                d_v, t->workspace + t->at.attention);
    lspo_rotary_backward(t->batch, t->sequence, t->heads, head_width(t), t->rotary, d_q);
    lspo_rotary_backward(t->batch, t->sequence, t->kv_heads, head_width(t), t->rotary, d_k);
    lspo_linear_backward(t, Q, from, sink, normed, d_q, 0.0F, scratch);
    lspo_linear_backward(t, K, from, sink, normed, d_k, 1.0F, scratch);
    lspo_linear_backward(t, V, from, sink, normed, d_v, 1.0F, scratch);
    lspo_rms_norm_backward(t->tokens, t->width, scratch, x_in, s + at->rstd1,
                           lspo_stage_weight(&t->block, NORM1_GAIN, from->weights), d_out, lspo_sink_adds(sink), dx,
                           lspo_rest_sink(&t->block, NORM1_GAIN, sink));
}

static void block_backward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const float *x_in,
                           const float *s, const lspo_gradient_sink_t *sink, lspo_linear_operands_t *operands_out,
                           float *dx)
{
    const lspo_block_saved_t *at = &t->saved;
    const float *normed1 = s + at->norm1_out, *normed2 = s + at->norm2_out;
    memcpy(t->workspace + t->at.d_mlp_down, dx, t->tokens * t->width * sizeof *dx);
    mlp_backward(t, from, s, sink);
    attention_backward(t, from, x_in, s, sink, dx);
    lspo_linear_operands(t, Q, normed1, t->workspace + t->at.d_q, operands_out);
    lspo_linear_operands(t, K, normed1, t->workspace + t->at.d_k, operands_out);
    lspo_linear_operands(t, V, normed1, t->workspace + t->at.d_v, operands_out);
    lspo_linear_operands(t, ATTENTION_OUT, s + at->context, t->workspace + t->at.d_attention_out, operands_out);
    lspo_linear_operands(t, GATE, normed2, t->workspace + t->at.d_gate, operands_out);
    lspo_linear_operands(t, UP, normed2, t->workspace + t->at.d_mlp_up, operands_out);
    lspo_linear_operands(t, DOWN, s + at->mlp_act, t->workspace + t->at.d_mlp_down, operands_out);
}

const lspo_transformer_family_t lspo_transformer_llama = {.embed_forward = embed_forward,
                                                          .embed_backward = embed_backward,
                                                          .block_forward = block_forward,
                                                          .block_backward = block_backward,
                                                          .head_forward = lspo_language_head_forward,
                                                          .head_backward = lspo_language_head_backward,
                                                          .logits = lspo_language_head_logits};
