/* gpt.c - the stages of a GPT:
 *     a = x + attention(norm1(x)) W_o + b_o          y = a + gelu(norm2(a) W_up + b_up) W_down + b_down */
#include "real/transformer/state.h"

/* Tensors in the order of lspo_model_stage(). */
enum { QKV, ATTENTION_OUT, MLP_UP, MLP_DOWN };
enum { NORM1_GAIN = 8, NORM2_GAIN = 10 }; /* after the linear layers' biases; each is followed by its bias */
enum { TOKEN, POSITION };

/* Sequences that begin at positions of their own are embedded one by one. */
static void embed_new(lspo_transformer_t *t, const lspo_embedding_t *embedding, const void *token, const char *position,
                      float *x_out)
{
    const size_t *firsts = t->pass.firsts, row_bytes = t->width * t->weight_bytes;
    lspo_embedding_t one = *embedding;
    if (firsts == NULL) {
        lspo_compute_embedding_forward_from(t->compute, embedding, t->weight_number, token,
                                            position + t->pass.first * row_bytes, x_out);
        return;
    }
    one.batch = 1;
    for (size_t b = 0; b < t->batch; b++) {
        one.ids = embedding->ids + b * t->sequence;
        lspo_compute_embedding_forward_from(t->compute, &one, t->weight_number, token, position + firsts[b] * row_bytes,
                                            x_out + b * t->sequence * t->width);
    }
}

static void embed_forward(lspo_transformer_t *t, const uint32_t *tokens, const void *embed_weights, void *x_out)
{
    const lspo_embedding_t embedding = lspo_transformer_embedding(t, tokens);
    const void *token = lspo_stage_weight(t, &t->embed, TOKEN, embed_weights);
    const char *position = lspo_stage_weight(t, &t->embed, POSITION, embed_weights);
    if (lspo_transformer_generates(t))
        embed_new(t, &embedding, token, position, x_out);
    else
        lspo_compute_embedding_forward(t->compute, &embedding, token, position, x_out);
}

static void embed_backward(lspo_transformer_t *t, const uint32_t *tokens, const void *embed_weights, const void *dx,
                           bool accumulate, void *embed_gradient)
{
    const lspo_embedding_t embedding = lspo_transformer_embedding(t, tokens);
    void *token = lspo_stage_gradient(t, &t->embed, TOKEN, embed_gradient);
    void *position = lspo_stage_gradient(t, &t->embed, POSITION, embed_gradient);
    (void)embed_weights;
    if (!accumulate && !t->tied)
        lspo_compute_zero(t->compute, t->vocabulary * t->width * t->number_bytes, token);
    if (!accumulate)
        lspo_compute_zero(t->compute, t->max_sequence * t->width * t->number_bytes, position);
    lspo_compute_embedding_backward(t->compute, &embedding, dx, token, position);
}

static size_t qkv_width(const lspo_transformer_t *t)
{
    return t->width + 2 * t->kv_width;
}

static void attention_forward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const void *x_in, char *s)
{
    const lspo_block_saved_t *at = &t->saved;
    const lspo_norm_t norm1 = lspo_block_norm(t, from, NORM1_GAIN), norm2 = lspo_block_norm(t, from, NORM2_GAIN);
    lspo_compute_norm_forward(t->compute, &norm1, x_in, s + at->norm1_out, lspo_floats(s, at->mean1),
                              lspo_floats(s, at->rstd1));
    lspo_block_linear_forward(t, from, QKV, s + at->norm1_out, NULL, s + at->q);
    lspo_transformer_attend(t, qkv_width(t), qkv_width(t), s);
    lspo_block_linear_forward(t, from, ATTENTION_OUT, s + at->context, x_in, s + at->residual);
    lspo_compute_norm_forward(t->compute, &norm2, s + at->residual, s + at->norm2_out, lspo_floats(s, at->mean2),
                              lspo_floats(s, at->rstd2));
}

static void mlp_forward(lspo_transformer_t *t, const lspo_block_parameters_t *from, char *s, void *x_out)
{
    const lspo_block_saved_t *at = &t->saved;
    lspo_block_linear_gelu_forward(t, from, MLP_UP, s + at->norm2_out, s + at->mlp_pre, s + at->mlp_act);
    if (x_out != NULL)
        lspo_block_linear_forward(t, from, MLP_DOWN, s + at->mlp_act, s + at->residual, x_out);
}

/* Of W_qkv only the columns of K and V. */
static void block_rebuild(lspo_transformer_t *t, const lspo_block_parameters_t *from, const float *x_in, char *s)
{
    const lspo_block_saved_t *at = &t->saved;
    const lspo_norm_t norm1 = lspo_block_norm(t, from, NORM1_GAIN);
    const float *bias = t->bias[QKV] > 0 ? lspo_block_weight(t, t->bias[QKV], from) : NULL;
    const lspo_few_rows_t product = {.rows = t->tokens,
                                     .m = t->width,
                                     .n = 2 * t->kv_width,
                                     .stride = qkv_width(t),
                                     .number = t->weight_number,
                                     .w = (const char *)lspo_block_weight(t, QKV, from) + t->width * t->weight_bytes,
                                     .bias = bias != NULL ? bias + t->width : NULL};
    float *kv = lspo_floats(s, at->q);
    lspo_compute_norm_forward(t->compute, &norm1, x_in, s + at->norm1_out, lspo_floats(s, at->mean1),
                              lspo_floats(s, at->rstd1));
    lspo_compute_few_rows_product(t->compute, &product, lspo_floats(s, at->norm1_out), kv);
    lspo_transformer_put_back(t, kv, kv + t->kv_width, 2 * t->kv_width);
}

/* From the gradient of the block's output (d_mlp_down) to that of the residual stream between the two halves
 * (d_attention_out). */
static void mlp_backward(const lspo_block_backward_t *pass, const char *s)
{
    lspo_transformer_t *t = pass->t;
    const lspo_block_saved_t *at = &t->saved;
    char *d_down = t->workspace + t->at.d_mlp_down, *d_up = t->workspace + t->at.d_mlp_up;
    char *d_norm = t->workspace + t->at.scratch;
    const lspo_norm_t norm2 = lspo_block_norm(t, pass->from, NORM2_GAIN);
    lspo_norm_gradients_t gradients = lspo_block_norm_gradients(pass, NORM2_GAIN, t->workspace + t->at.d_attention_out);
    gradients.dx_sum = lspo_block_bias_sink(pass, ATTENTION_OUT);
    lspo_block_bias_backward(pass, MLP_DOWN, d_down);
    lspo_block_linear_gelu_backward(pass, MLP_DOWN, s + at->mlp_act, s + at->mlp_pre, d_down, d_up);
    lspo_block_linear_backward(pass, MLP_UP, s + at->norm2_out, d_up, 0.0F, d_norm);
    lspo_block_keys_backward(pass, s + at->norm2_out, d_down, d_norm);
    lspo_compute_norm_backward(t->compute, &norm2,
                               &(lspo_norm_operands_t){.dout = d_norm,
                                                       .x = s + at->residual,
                                                       .residual = d_down,
                                                       .mean = lspo_saved_floats(s, at->mean2),
                                                       .rstd = lspo_saved_floats(s, at->rstd2)},
                               &gradients);
}

/* From d_attention_out to the gradient of the block's input. */
static void attention_backward(const lspo_block_backward_t *pass, const void *x_in, const char *s, void *dx)
{
    lspo_transformer_t *t = pass->t;
    const lspo_block_saved_t *at = &t->saved;
    const lspo_attention_t attention = lspo_transformer_attention(t, true, qkv_width(t), qkv_width(t));
    const lspo_attention_gradients_t d = lspo_attention_gradients(t);
    const lspo_norm_t norm1 = lspo_block_norm(t, pass->from, NORM1_GAIN);
    const lspo_norm_gradients_t gradients = lspo_block_norm_gradients(pass, NORM1_GAIN, dx);
    char *d_out = t->workspace + t->at.d_attention_out;
    char *scratch = t->workspace + t->at.scratch; /* gradient of the context, then of norm1's output */
    lspo_attention_operands_t operands = lspo_attention_operands(t, s);
    operands.dout = scratch;
    lspo_block_linear_backward(pass, ATTENTION_OUT, s + at->context, d_out, 0.0F, scratch);
    lspo_compute_attention_backward(t->compute, &attention, &operands, &d, lspo_floats(t->workspace, t->at.attention));
    lspo_block_bias_backward(pass, QKV, d.dq);
    lspo_block_linear_backward(pass, QKV, s + at->norm1_out, d.dq, 0.0F, scratch);
    lspo_compute_norm_backward(t->compute, &norm1,
                               &(lspo_norm_operands_t){.dout = scratch,
                                                       .x = x_in,
                                                       .residual = d_out,
                                                       .mean = lspo_saved_floats(s, at->mean1),
                                                       .rstd = lspo_saved_floats(s, at->rstd1)},
                               &gradients);
}

static void block_backward(const lspo_block_backward_t *pass, const void *x_in, const char *s, void *dx)
{
    lspo_copy_activations(pass->t, dx, pass->t->workspace + pass->t->at.d_mlp_down);
    mlp_backward(pass, s);
    attention_backward(pass, x_in, s, dx);
}

const lspo_transformer_family_t lspo_transformer_gpt = {.embed_forward = embed_forward,
                                                        .embed_backward = embed_backward,
                                                        .attention_forward = attention_forward,
                                                        .mlp_forward = mlp_forward,
                                                        .block_rebuild = block_rebuild,
                                                        .block_backward = block_backward,
                                                        .head_forward = lspo_language_head_forward,
                                                        .head_backward = lspo_language_head_backward,
                                                        .logits = lspo_language_head_logits};
