/* llama.c - the stages of a Llama [Touvron et al., arXiv 2302.13971, Sec. 2.2]:
 *     a = x + attention(rope(norm1(x) W_q), rope(norm1(x) W_k), norm1(x) W_v) W_o
 *     y = a + (silu(norm2(a) W_gate) norm2(a) W_up) W_down
 * Any product may have a bias, and a norm may stand before the rotation of Q and K, over each head, with one gain for
 * all heads [Yang et al., arXiv 2505.09388, Sec. 2].  The MLP may be several experts (experts.c). */
#include "real/transformer/state.h"

/* Linear tensors in the order of lspo_model_stage(). */
enum { Q, K, V, ATTENTION_OUT, GATE, UP, DOWN };
enum { TOKEN };

static void embed_forward(lspo_transformer_t *t, const uint32_t *tokens, const void *embed_weights, void *x_out)
{
    const lspo_embedding_t embedding = lspo_transformer_embedding(t, tokens);
    const void *token = lspo_stage_weight(t, &t->embed, TOKEN, embed_weights);
    if (lspo_transformer_generates(t))
        lspo_compute_embedding_forward_from(t->compute, &embedding, t->weight_number, token, NULL, x_out);
    else
        lspo_compute_embedding_forward(t->compute, &embedding, token, NULL, x_out);
}

static void embed_backward(lspo_transformer_t *t, const uint32_t *tokens, const void *embed_weights, const void *dx,
                           bool accumulate, void *embed_gradient)
{
    const lspo_embedding_t embedding = lspo_transformer_embedding(t, tokens);
    void *token = lspo_stage_gradient(t, &t->embed, TOKEN, embed_gradient);
    (void)embed_weights;
    if (!accumulate && !t->tied)
        lspo_compute_zero(t->compute, t->vocabulary * t->width * t->number_bytes, token);
    lspo_compute_embedding_backward(t->compute, &embedding, dx, token, NULL);
}

/* The rotary positions for rows of this many heads: Q's or K's. */
static lspo_rotary_t rotary_of(const lspo_transformer_t *t, size_t heads)
{
    return (lspo_rotary_t){.batch = t->batch,
                           .sequence = t->sequence,
                           .heads = heads,
                           .head_width = t->head_width,
                           .table = t->rotary + t->pass.first * t->head_width};
}

/* Rows of Q or K of a forward pass; sequences that begin at positions of their own one by one. */
static void rotate(lspo_transformer_t *t, size_t heads, char *x)
{
    const size_t *firsts = t->pass.firsts;
    lspo_rotary_t rotary = rotary_of(t, heads);
    if (firsts == NULL) {
        lspo_compute_rotary_forward(t->compute, &rotary, x);
        return;
    }
    rotary.batch = 1;
    for (size_t b = 0; b < t->batch; b++, x += t->sequence * heads * t->head_width * t->number_bytes) {
        rotary.table = t->rotary + firsts[b] * t->head_width;
        lspo_compute_rotary_forward(t->compute, &rotary, x);
    }
}

/* The norm of Q's or K's heads, of which there are `heads` in a row. */
static lspo_norm_t norm_of_heads(const lspo_transformer_t *t, const lspo_block_parameters_t *from, uint32_t gain,
                                 size_t heads)
{
    return (lspo_norm_t){.rows = t->tokens * heads,
                         .width = t->head_width,
                         .epsilon = t->epsilon,
                         .gain = lspo_block_weight(t, gain, from)};
}

static void qk_norm_forward(lspo_transformer_t *t, const lspo_block_parameters_t *from, char *s)
{
    const lspo_block_saved_t *at = &t->saved;
    const lspo_norm_t of_q = norm_of_heads(t, from, t->q_norm, t->heads);
    const lspo_norm_t of_k = norm_of_heads(t, from, t->k_norm, t->kv_heads);
    lspo_compute_rms_norm_forward(t->compute, &of_q, s + at->q_raw, s + at->q, lspo_floats(s, at->q_rstd));
    lspo_compute_rms_norm_forward(t->compute, &of_k, s + at->k_raw, s + at->k, lspo_floats(s, at->k_rstd));
}

static void attention_forward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const void *x_in, char *s)
{
    const lspo_block_saved_t *at = &t->saved;
    const lspo_norm_t norm1 = lspo_block_norm(t, from, t->norm1), norm2 = lspo_block_norm(t, from, t->norm2);
    const void *normed = s + at->norm1_out;
    lspo_compute_rms_norm_forward(t->compute, &norm1, x_in, s + at->norm1_out, lspo_floats(s, at->rstd1));
    lspo_block_linear_forward(t, from, Q, normed, NULL, s + (t->q_norm > 0 ? at->q_raw : at->q));
    lspo_block_linear_forward(t, from, K, normed, NULL, s + (t->k_norm > 0 ? at->k_raw : at->k));
    lspo_block_linear_forward(t, from, V, normed, NULL, s + at->v);
    if (t->q_norm > 0)
        qk_norm_forward(t, from, s);
    rotate(t, t->heads, s + at->q);
    rotate(t, t->kv_heads, s + at->k);
    lspo_transformer_attend(t, t->attention_width, t->kv_width, s);
    lspo_block_linear_forward(t, from, ATTENTION_OUT, s + at->context, x_in, s + at->residual);
    lspo_compute_rms_norm_forward(t->compute, &norm2, s + at->residual, s + at->norm2_out, lspo_floats(s, at->rstd2));
}

static void mlp_forward(lspo_transformer_t *t, const lspo_block_parameters_t *from, char *s, void *x_out)
{
    const lspo_block_saved_t *at = &t->saved;
    if (t->experts > 0) {
        (void)lspo_block_route(t, from, s);
        lspo_block_experts_forward(t, from, s, x_out);
        return;
    }
    lspo_block_linear_forward(t, from, GATE, s + at->norm2_out, NULL, s + at->gate);
    lspo_block_linear_forward(t, from, UP, s + at->norm2_out, NULL, s + at->mlp_pre);
    lspo_compute_swiglu_forward(t->compute, t->tokens * t->mlp_width, s + at->gate, s + at->mlp_pre, s + at->mlp_act);
    if (x_out != NULL)
        lspo_block_linear_forward(t, from, DOWN, s + at->mlp_act, s + at->residual, x_out);
}

/* A position's sequences are one row of heads for the rotation. */
static void block_rebuild(lspo_transformer_t *t, const lspo_block_parameters_t *from, const float *x_in, char *s)
{
    const lspo_block_saved_t *at = &t->saved;
    const lspo_norm_t norm1 = lspo_block_norm(t, from, t->norm1);
    lspo_rotary_t of_k = rotary_of(t, t->batch * t->kv_heads);
    of_k.batch = 1;
    lspo_compute_rms_norm_forward(t->compute, &norm1, x_in, s + at->norm1_out, lspo_floats(s, at->rstd1));
    lspo_block_linear_forward(t, from, K, s + at->norm1_out, NULL, s + (t->k_norm > 0 ? at->k_raw : at->k));
    lspo_block_linear_forward(t, from, V, s + at->norm1_out, NULL, s + at->v);
    if (t->k_norm > 0) {
        const lspo_norm_t norm = norm_of_heads(t, from, t->k_norm, t->kv_heads);
        lspo_compute_rms_norm_forward(t->compute, &norm, s + at->k_raw, s + at->k, lspo_floats(s, at->k_rstd));
    }
    lspo_compute_rotary_forward(t->compute, &of_k, s + at->k);
    lspo_transformer_put_back(t, lspo_floats(s, at->k), lspo_floats(s, at->v), t->kv_width);
}

/* From the gradient of the block's output (d_mlp_down) to that of the residual stream between the two halves
 * (d_attention_out). */
static void mlp_backward(const lspo_block_backward_t *pass, const char *s)
{
    lspo_transformer_t *t = pass->t;
    const lspo_block_saved_t *at = &t->saved;
    const lspo_norm_t norm2 = lspo_block_norm(t, pass->from, t->norm2);
    const lspo_norm_gradients_t gradients =
        lspo_block_norm_gradients(pass, t->norm2, t->workspace + t->at.d_attention_out);
    char *d_down = t->workspace + t->at.d_mlp_down, *d_up = t->workspace + t->at.d_mlp_up;
    char *d_gate = t->workspace + t->at.d_gate, *d_norm = t->workspace + t->at.scratch;
    lspo_block_bias_backward(pass, DOWN, d_down);
    lspo_block_linear_backward(pass, DOWN, s + at->mlp_act, d_down, 0.0F, d_up);
    lspo_compute_swiglu_backward(t->compute, t->tokens * t->mlp_width, s + at->gate, s + at->mlp_pre, d_up, d_gate);
    lspo_block_bias_backward(pass, GATE, d_gate);
    lspo_block_bias_backward(pass, UP, d_up);
    lspo_block_linear_backward(pass, GATE, s + at->norm2_out, d_gate, 0.0F, d_norm);
    lspo_block_linear_backward(pass, UP, s + at->norm2_out, d_up, 1.0F, d_norm);
    lspo_block_keys_backward(pass, s + at->norm2_out, d_down, d_norm);
    lspo_compute_rms_norm_backward(
        t->compute, &norm2,
        &(lspo_norm_operands_t){
            .dout = d_norm, .x = s + at->residual, .residual = d_down, .rstd = lspo_saved_floats(s, at->rstd2)},
        &gradients);
}

/* In place: from the gradients of the normed Q and K to those of the products. */
static void qk_norm_backward(const lspo_block_backward_t *pass, const lspo_attention_gradients_t *d, const char *s)
{
    const lspo_transformer_t *t = pass->t;
    const lspo_block_saved_t *at = &t->saved;
    const lspo_norm_t of_q = norm_of_heads(t, pass->from, t->q_norm, t->heads);
    const lspo_norm_t of_k = norm_of_heads(t, pass->from, t->k_norm, t->kv_heads);
    const lspo_norm_gradients_t into_q = lspo_block_norm_gradients(pass, t->q_norm, d->dq);
    const lspo_norm_gradients_t into_k = lspo_block_norm_gradients(pass, t->k_norm, d->dk);
    lspo_compute_rms_norm_backward(
        t->compute, &of_q,
        &(lspo_norm_operands_t){.dout = d->dq, .x = s + at->q_raw, .rstd = lspo_saved_floats(s, at->q_rstd)}, &into_q);
    lspo_compute_rms_norm_backward(
        t->compute, &of_k,
        &(lspo_norm_operands_t){.dout = d->dk, .x = s + at->k_raw, .rstd = lspo_saved_floats(s, at->k_rstd)}, &into_k);
}

/* From the gradients of the rotated Q and K and of V to that of norm1's output. */
static void qkv_backward(const lspo_block_backward_t *pass, const lspo_attention_gradients_t *d, const char *s,
                         void *d_norm)
{
    const lspo_transformer_t *t = pass->t;
    const lspo_rotary_t of_q = rotary_of(t, t->heads), of_k = rotary_of(t, t->kv_heads);
    const void *normed = s + t->saved.norm1_out;
    lspo_compute_rotary_backward(t->compute, &of_q, d->dq);
    lspo_compute_rotary_backward(t->compute, &of_k, d->dk);
    if (t->q_norm > 0)
        qk_norm_backward(pass, d, s);
    lspo_block_bias_backward(pass, Q, d->dq);
    lspo_block_bias_backward(pass, K, d->dk);
    lspo_block_bias_backward(pass, V, d->dv);
    lspo_block_linear_backward(pass, Q, normed, d->dq, 0.0F, d_norm);
    lspo_block_linear_backward(pass, K, normed, d->dk, 1.0F, d_norm);
    lspo_block_linear_backward(pass, V, normed, d->dv, 1.0F, d_norm);
}

/* From d_attention_out to the gradient of the block's input. */
static void attention_backward(const lspo_block_backward_t *pass, const void *x_in, const char *s, void *dx)
{
    lspo_transformer_t *t = pass->t;
    const lspo_block_saved_t *at = &t->saved;
    const lspo_attention_t attention = lspo_transformer_attention(t, true, t->attention_width, t->kv_width);
    const lspo_attention_gradients_t d = lspo_attention_gradients(t);
    const lspo_norm_t norm1 = lspo_block_norm(t, pass->from, t->norm1);
    const lspo_norm_gradients_t gradients = lspo_block_norm_gradients(pass, t->norm1, dx);
    char *d_out = t->workspace + t->at.d_attention_out;
    char *scratch = t->workspace + t->at.scratch; /* gradient of the context, then of norm1's output */
    lspo_attention_operands_t operands = lspo_attention_operands(t, s);
    operands.dout = scratch;
    lspo_block_bias_backward(pass, ATTENTION_OUT, d_out);
    lspo_block_linear_backward(pass, ATTENTION_OUT, s + at->context, d_out, 0.0F, scratch);
    lspo_compute_attention_backward(t->compute, &attention, &operands, &d, lspo_floats(t->workspace, t->at.attention));
    qkv_backward(pass, &d, s, scratch);
    lspo_compute_rms_norm_backward(
        t->compute, &norm1,
        &(lspo_norm_operands_t){.dout = scratch, .x = x_in, .residual = d_out, .rstd = lspo_saved_floats(s, at->rstd1)},
        &gradients);
}

static void block_backward(const lspo_block_backward_t *pass, const void *x_in, const char *s, void *dx)
{
    lspo_copy_activations(pass->t, dx, pass->t->workspace + pass->t->at.d_mlp_down);
    mlp_backward(pass, s);
    attention_backward(pass, x_in, s, dx);
}

const lspo_transformer_family_t lspo_transformer_llama = {.separate_qkv = true,
                                                          .embed_forward = embed_forward,
                                                          .embed_backward = embed_backward,
                                                          .attention_forward = attention_forward,
                                                          .mlp_forward = mlp_forward,
                                                          .block_rebuild = block_rebuild,
                                                          .route = lspo_block_route,
                                                          .experts_forward = lspo_block_experts_forward,
                                                          .block_backward = block_backward,
                                                          .head_forward = lspo_language_head_forward,
                                                          .head_backward = lspo_language_head_backward,
                                                          .logits = lspo_language_head_logits};
