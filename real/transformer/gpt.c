/* gpt.c - the stages of a GPT:
 *     a = x + attention(norm1(x)) W_o + b_o          y = a + gelu(norm2(a) W_up + b_up) W_down + b_down */
#include "real/transformer/state.h"

/* Tensors in the order of lspo_model_stage(). */
enum { QKV, ATTENTION_OUT, MLP_UP, MLP_DOWN };
enum { QKV_BIAS = 4, ATTENTION_OUT_BIAS, MLP_UP_BIAS, MLP_DOWN_BIAS, NORM1_GAIN, NORM1_BIAS, NORM2_GAIN, NORM2_BIAS };
enum { TOKEN, POSITION };

static void embed_forward(lspo_transformer_t *t, const uint32_t *tokens, const void *embed_weights, void *x_out)
{
    lspo_compute_embedding_forward(t->compute, t->batch, t->sequence, t->width, tokens,
                                   lspo_stage_weight(t, &t->embed, TOKEN, embed_weights),
                                   lspo_stage_weight(t, &t->embed, POSITION, embed_weights), x_out);
}

static void embed_backward(lspo_transformer_t *t, const uint32_t *tokens, const void *dx, bool accumulate,
                           void *embed_gradient)
{
    void *token = lspo_stage_gradient(t, &t->embed, TOKEN, embed_gradient);
    void *position = lspo_stage_gradient(t, &t->embed, POSITION, embed_gradient);
    if (!accumulate && !t->tied)
        lspo_compute_zero(t->compute, t->vocabulary * t->width * t->number_bytes, token);
    if (!accumulate)
        lspo_compute_zero(t->compute, t->max_sequence * t->width * t->number_bytes, position);
    lspo_compute_embedding_backward(t->compute, t->batch, t->sequence, t->width, tokens, dx, token, position);
}

static size_t qkv_width(const lspo_transformer_t *t)
{
    return t->width + 2 * t->kv_width;
}

static void norm_forward(lspo_transformer_t *t, const lspo_block_parameters_t *from, uint32_t gain, const void *x,
                         void *out, float *mean_out, float *rstd_out)
{
    lspo_compute_norm_forward(t->compute, t->tokens, t->width, t->epsilon, x, lspo_block_weight(t, gain, from),
                              lspo_block_weight(t, gain + 1, from), out, mean_out, rstd_out);
}

static void attention_forward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const void *x_in, char *s)
{
    const lspo_block_saved_t *at = &t->saved;
    const lspo_attention_t attention = lspo_transformer_attention(t, true, qkv_width(t), qkv_width(t));
    norm_forward(t, from, NORM1_GAIN, x_in, s + at->norm1_out, lspo_floats(s, at->mean1), lspo_floats(s, at->rstd1));
    lspo_linear_forward(t, QKV, from, s + at->norm1_out, lspo_block_weight(t, QKV_BIAS, from), NULL, s + at->q);
    lspo_compute_attention_forward(t->compute, &attention, s + at->q, s + at->k, s + at->v, lspo_floats(s, at->kept),
                                   s + at->context, lspo_floats(t->workspace, t->at.attention));
    lspo_linear_forward(t, ATTENTION_OUT, from, s + at->context, lspo_block_weight(t, ATTENTION_OUT_BIAS, from), x_in,
                        s + at->residual);
}

static void block_forward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const void *x_in, char *s,
                          void *x_out)
{
    const lspo_block_saved_t *at = &t->saved;
    attention_forward(t, from, x_in, s);
    norm_forward(t, from, NORM2_GAIN, s + at->residual, s + at->norm2_out, lspo_floats(s, at->mean2),
                 lspo_floats(s, at->rstd2));
    lspo_linear_gelu_forward(t, MLP_UP, from, s + at->norm2_out, lspo_block_weight(t, MLP_UP_BIAS, from),
                             s + at->mlp_pre, s + at->mlp_act);
    if (x_out != NULL)
        lspo_linear_forward(t, MLP_DOWN, from, s + at->mlp_act, lspo_block_weight(t, MLP_DOWN_BIAS, from),
                            s + at->residual, x_out);
}

/* From the gradient of the block's output (d_mlp_down) to that of the residual stream between the two halves
 * (d_attention_out). */
static void mlp_backward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const char *s,
                         const lspo_gradient_sink_t *sink)
{
    const lspo_stage_t *block = &t->block;
    const lspo_block_saved_t *at = &t->saved;
    const bool accumulate = lspo_sink_adds(sink);
    char *d_down = t->workspace + t->at.d_mlp_down, *d_up = t->workspace + t->at.d_mlp_up;
    char *d_norm = t->workspace + t->at.scratch;
    if (sink != NULL && sink->rest != NULL)
        lspo_compute_column_sum(t->compute, t->tokens, t->width, d_down, accumulate,
                                lspo_rest_sink(t, block, MLP_DOWN_BIAS, sink));
    lspo_linear_gelu_backward(t, MLP_DOWN, from, sink, s + at->mlp_act, s + at->mlp_pre, d_down,
                              lspo_rest_sink(t, block, MLP_UP_BIAS, sink), d_up);
    lspo_linear_backward(t, MLP_UP, from, sink, s + at->norm2_out, d_up, 0.0F, d_norm);
    lspo_compute_norm_backward(
        t->compute, t->tokens, t->width, d_norm, s + at->residual, lspo_saved_floats(s, at->mean2),
        lspo_saved_floats(s, at->rstd2), lspo_block_weight(t, NORM2_GAIN, from), d_down, accumulate,
        t->workspace + t->at.d_attention_out, lspo_rest_sink(t, block, NORM2_GAIN, sink),
        lspo_rest_sink(t, block, NORM2_BIAS, sink), lspo_rest_sink(t, block, ATTENTION_OUT_BIAS, sink));
}

/* From d_attention_out to the gradient of the block's input. */
static void attention_backward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const void *x_in,
                               const char *s, const lspo_gradient_sink_t *sink, void *dx)
{
    const lspo_stage_t *block = &t->block;
    const lspo_block_saved_t *at = &t->saved;
    const bool accumulate = lspo_sink_adds(sink);
    const lspo_attention_t attention = lspo_transformer_attention(t, true, qkv_width(t), qkv_width(t));
    char *d_out = t->workspace + t->at.d_attention_out, *d_qkv = t->workspace + t->at.d_q;
    char *scratch = t->workspace + t->at.scratch; /* gradient of the context, then of norm1's output */
    lspo_linear_backward(t, ATTENTION_OUT, from, sink, s + at->context, d_out, 0.0F, scratch);
    lspo_compute_attention_backward(
        t->compute, &attention, s + at->q, s + at->k, s + at->v, lspo_saved_floats(s, at->kept), s + at->context,
        scratch, d_qkv, t->workspace + t->at.d_k, t->workspace + t->at.d_v, lspo_floats(t->workspace, t->at.attention));
    if (sink != NULL && sink->rest != NULL)
        lspo_compute_column_sum(t->compute, t->tokens, qkv_width(t), d_qkv, accumulate,
                                lspo_rest_sink(t, block, QKV_BIAS, sink));
    lspo_linear_backward(t, QKV, from, sink, s + at->norm1_out, d_qkv, 0.0F, scratch);
    lspo_compute_norm_backward(t->compute, t->tokens, t->width, scratch, x_in, lspo_saved_floats(s, at->mean1),
                               lspo_saved_floats(s, at->rstd1), lspo_block_weight(t, NORM1_GAIN, from), d_out,
                               accumulate, dx, lspo_rest_sink(t, block, NORM1_GAIN, sink),
                               lspo_rest_sink(t, block, NORM1_BIAS, sink), NULL);
}

static void block_backward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const void *x_in, const char *s,
                           const lspo_gradient_sink_t *sink, lspo_linear_operands_t *operands_out, void *dx)
{
    lspo_copy_activations(t, dx, t->workspace + t->at.d_mlp_down);
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
