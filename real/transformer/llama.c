/* llama.c - the stages of a Llama [Touvron et al., arXiv 2302.13971, Sec. 2.2], without biases:
 *     a = x + attention(rope(norm1(x) W_q), rope(norm1(x) W_k), norm1(x) W_v) W_o
 *     y = a + (silu(norm2(a) W_gate) norm2(a) W_up) W_down */
#include "real/transformer/state.h"

/* Tensors in the order of lspo_model_stage(). */
enum { Q, K, V, ATTENTION_OUT, GATE, UP, DOWN, NORM1_GAIN, NORM2_GAIN };
enum { TOKEN };

static void embed_forward(lspo_transformer_t *t, const uint32_t *tokens, const void *embed_weights, void *x_out)
{
    lspo_compute_embedding_forward(t->compute, t->batch, t->sequence, t->width, tokens,
                                   lspo_stage_weight(t, &t->embed, TOKEN, embed_weights), NULL, x_out);
}

static void embed_backward(lspo_transformer_t *t, const uint32_t *tokens, const void *dx, bool accumulate,
                           void *embed_gradient)
{
    void *token = lspo_stage_gradient(t, &t->embed, TOKEN, embed_gradient);
    if (!accumulate && !t->tied)
        lspo_compute_zero(t->compute, t->vocabulary * t->width * t->number_bytes, token);
    lspo_compute_embedding_backward(t->compute, t->batch, t->sequence, t->width, tokens, dx, token, NULL);
}

static size_t head_width(const lspo_transformer_t *t)
{
    return t->width / t->heads;
}

static void norm_forward(lspo_transformer_t *t, const lspo_block_parameters_t *from, uint32_t gain, const void *x,
                         void *out, float *rstd_out)
{
    lspo_compute_rms_norm_forward(t->compute, t->tokens, t->width, t->epsilon, x, lspo_block_weight(t, gain, from), out,
                                  rstd_out);
}

static void attention_forward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const void *x_in, char *s)
{
    const lspo_block_saved_t *at = &t->saved;
    const lspo_attention_t attention = lspo_transformer_attention(t, true, t->width, t->kv_width);
    const void *normed = s + at->norm1_out;
    norm_forward(t, from, NORM1_GAIN, x_in, s + at->norm1_out, lspo_floats(s, at->rstd1));
    lspo_linear_forward(t, Q, from, normed, NULL, NULL, s + at->q);
    lspo_linear_forward(t, K, from, normed, NULL, NULL, s + at->k);
    lspo_linear_forward(t, V, from, normed, NULL, NULL, s + at->v);
    lspo_compute_rotary_forward(t->compute, t->batch, t->sequence, t->heads, head_width(t), t->rotary, s + at->q);
    lspo_compute_rotary_forward(t->compute, t->batch, t->sequence, t->kv_heads, head_width(t), t->rotary, s + at->k);
    lspo_compute_attention_forward(t->compute, &attention, s + at->q, s + at->k, s + at->v, lspo_floats(s, at->kept),
                                   s + at->context, lspo_floats(t->workspace, t->at.attention));
    lspo_linear_forward(t, ATTENTION_OUT, from, s + at->context, NULL, x_in, s + at->residual);
}

static void block_forward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const void *x_in, char *s,
                          void *x_out)
{
    const lspo_block_saved_t *at = &t->saved;
    attention_forward(t, from, x_in, s);
    norm_forward(t, from, NORM2_GAIN, s + at->residual, s + at->norm2_out, lspo_floats(s, at->rstd2));
    lspo_linear_forward(t, GATE, from, s + at->norm2_out, NULL, NULL, s + at->gate);
    lspo_linear_forward(t, UP, from, s + at->norm2_out, NULL, NULL, s + at->mlp_pre);
    lspo_compute_swiglu_forward(t->compute, t->tokens * t->mlp_width, s + at->gate, s + at->mlp_pre, s + at->mlp_act);
    if (x_out != NULL)
        lspo_linear_forward(t, DOWN, from, s + at->mlp_act, NULL, s + at->residual, x_out);
}

/* From the gradient of the block's output (d_mlp_down) to that of the residual stream between the two halves
 * (d_attention_out). */
static void mlp_backward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const char *s,
                         const lspo_gradient_sink_t *sink)
{
    const lspo_block_saved_t *at = &t->saved;
    char *d_down = t->workspace + t->at.d_mlp_down, *d_up = t->workspace + t->at.d_mlp_up;
    char *d_gate = t->workspace + t->at.d_gate, *d_norm = t->workspace + t->at.scratch;
    lspo_linear_backward(t, DOWN, from, sink, s + at->mlp_act, d_down, 0.0F, d_up);
    lspo_compute_swiglu_backward(t->compute, t->tokens * t->mlp_width, s + at->gate, s + at->mlp_pre, d_up, d_gate);
    lspo_linear_backward(t, GATE, from, sink, s + at->norm2_out, d_gate, 0.0F, d_norm);
    lspo_linear_backward(t, UP, from, sink, s + at->norm2_out, d_up, 1.0F, d_norm);
    lspo_compute_rms_norm_backward(t->compute, t->tokens, t->width, d_norm, s + at->residual,
                                   lspo_saved_floats(s, at->rstd2), lspo_block_weight(t, NORM2_GAIN, from), d_down,
                                   lspo_sink_adds(sink), t->workspace + t->at.d_attention_out,
                                   lspo_rest_sink(t, &t->block, NORM2_GAIN, sink));
}

/* From the gradients of the turned Q and K and of V to that of what norm1 put out. */
static void qkv_backward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const void *normed,
                         const lspo_gradient_sink_t *sink, void *d_norm)
{
    char *d_q = t->workspace + t->at.d_q, *d_k = t->workspace + t->at.d_k, *d_v = t->workspace + t->at.d_v;
    lspo_compute_rotary_backward(t->compute, t->batch, t->sequence, t->heads, head_width(t), t->rotary, d_q);
    lspo_compute_rotary_backward(t->compute, t->batch, t->sequence, t->kv_heads, head_width(t), t->rotary, d_k);
    lspo_linear_backward(t, Q, from, sink, normed, d_q, 0.0F, d_norm);
    lspo_linear_backward(t, K, from, sink, normed, d_k, 1.0F, d_norm);
    lspo_linear_backward(t, V, from, sink, normed, d_v, 1.0F, d_norm);
}

/* From d_attention_out to the gradient of the block's input. */
static void attention_backward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const void *x_in,
                               const char *s, const lspo_gradient_sink_t *sink, void *dx)
{
    const lspo_block_saved_t *at = &t->saved;
    const lspo_attention_t attention = lspo_transformer_attention(t, true, t->width, t->kv_width);
    char *d_out = t->workspace + t->at.d_attention_out;
    char *scratch = t->workspace + t->at.scratch; /* gradient of the context, then of norm1's output */
    lspo_linear_backward(t, ATTENTION_OUT, from, sink, s + at->context, d_out, 0.0F, scratch);
    lspo_compute_attention_backward(t->compute, &attention, s + at->q, s + at->k, s + at->v,
                                    lspo_saved_floats(s, at->kept), s + at->context, scratch, t->workspace + t->at.d_q,
                                    t->workspace + t->at.d_k, t->workspace + t->at.d_v,
                                    lspo_floats(t->workspace, t->at.attention));
    qkv_backward(t, from, s + at->norm1_out, sink, scratch);
    lspo_compute_rms_norm_backward(t->compute, t->tokens, t->width, scratch, x_in, lspo_saved_floats(s, at->rstd1),
                                   lspo_block_weight(t, NORM1_GAIN, from), d_out, lspo_sink_adds(sink), dx,
                                   lspo_rest_sink(t, &t->block, NORM1_GAIN, sink));
}

static void block_backward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const void *x_in, const char *s,
                           const lspo_gradient_sink_t *sink, lspo_linear_operands_t *operands_out, void *dx)
{
    const lspo_block_saved_t *at = &t->saved;
    const void *normed1 = s + at->norm1_out, *normed2 = s + at->norm2_out;
    lspo_copy_activations(t, dx, t->workspace + t->at.d_mlp_down);
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

const lspo_transformer_family_t lspo_transformer_llama = {.separate_qkv = true,
                                                          .embed_forward = embed_forward,
                                                          .embed_backward = embed_backward,
                                                          .block_forward = block_forward,
                                                          .block_backward = block_backward,
                                                          .head_forward = lspo_language_head_forward,
                                                          .head_backward = lspo_language_head_backward,
                                                          .logits = lspo_language_head_logits};
