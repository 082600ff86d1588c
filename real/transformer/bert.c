/* bert.c - the stages of a RoBERTa that classifies sequences [Liu et al., arXiv 1907.11692; the head is that
 * of Hugging Face's RobertaForSequenceClassification]:
 *     x = norm(token + position + token_type)
 *     a = norm1(x + attention(x) W_o + b_o)          y = norm2(a + gelu(a W_up + b_up) W_down + b_down)
 *     logits = tanh(y_0 W_dense + b_dense) W_out + b_out,    y_0 the first token of each sequence
 * The second norm's input is kept, so recomputation does the last product too.  There is no dropout.  On the host only, since
 * lengths, the embedding's gradient and the head are: their arrays are floats. */
#include <string.h>

#include "kernels/activation.h"
#include "kernels/gemm.h"
#include "kernels/loss.h"
#include "kernels/vector.h"
#include "real/transformer/state.h"

/* Tensors in the order of lspo_model_stage(). */
enum { QKV, ATTENTION_OUT, MLP_UP, MLP_DOWN };
enum { QKV_BIAS = 4, ATTENTION_OUT_BIAS, MLP_UP_BIAS, MLP_DOWN_BIAS, NORM1_GAIN, NORM1_BIAS, NORM2_GAIN, NORM2_BIAS };
enum { TOKEN, POSITION, TOKEN_TYPE, EMBED_NORM_GAIN, EMBED_NORM_BIAS };
enum { DENSE, DENSE_BIAS, OUTPUT, OUTPUT_BIAS };

/* What the embedding's norm takes. */
static void embed_sum(const lspo_transformer_t *t, const uint32_t *tokens, const void *embed_weights, float *sum)
{
    const size_t w = t->width;
    const float *position = lspo_stage_weight(t, &t->embed, POSITION, embed_weights);
    lspo_compute_embedding_forward(t->compute, t->batch, t->sequence, w, tokens,
                                   lspo_stage_weight(t, &t->embed, TOKEN, embed_weights),
                                   position + LSPO_BERT_UNUSED_POSITIONS * w, sum);
    lspo_compute_bias_add(t->compute, t->tokens, w, sum, lspo_stage_weight(t, &t->embed, TOKEN_TYPE, embed_weights),
                          sum);
}

static void embed_norm(const lspo_transformer_t *t, const void *embed_weights, const float *sum, float *out,
                       float *mean, float *rstd)
{
    lspo_compute_norm_forward(t->compute, t->tokens, t->width, t->epsilon, sum,
                              lspo_stage_weight(t, &t->embed, EMBED_NORM_GAIN, embed_weights),
                              lspo_stage_weight(t, &t->embed, EMBED_NORM_BIAS, embed_weights), out, mean, rstd);
}

static void embed_forward(lspo_transformer_t *t, const uint32_t *tokens, const void *embed_weights, void *x_out)
{
    float *sum = lspo_floats(t->workspace, 0), *mean = sum + 2 * t->tokens * t->width;
    embed_sum(t, tokens, embed_weights, sum);
    embed_norm(t, embed_weights, sum, x_out, mean, mean + t->tokens);
    t->embed_weights = embed_weights;
}

static void embed_backward(lspo_transformer_t *t, const uint32_t *tokens, const void *dx, bool accumulate,
                           void *embed_gradient)
{
    const size_t w = t->width;
    float *sum = lspo_floats(t->workspace, 0), *d_sum = sum + t->tokens * w, *mean = d_sum + t->tokens * w;
    float *rstd = mean + t->tokens;
    float *gradient[EMBED_NORM_BIAS + 1];
    for (uint32_t i = TOKEN; i <= EMBED_NORM_BIAS; i++)
        gradient[i] = lspo_stage_gradient(t, &t->embed, i, embed_gradient);
    embed_sum(t, tokens, t->embed_weights, sum);
    embed_norm(t, t->embed_weights, sum, d_sum, mean, rstd);
    lspo_compute_norm_backward(t->compute, t->tokens, w, dx, sum, mean, rstd,
                               lspo_stage_weight(t, &t->embed, EMBED_NORM_GAIN, t->embed_weights), NULL, accumulate,
                               d_sum, gradient[EMBED_NORM_GAIN], gradient[EMBED_NORM_BIAS], gradient[TOKEN_TYPE]);
    if (!accumulate) {
        memset(gradient[TOKEN], 0, t->vocabulary * w * sizeof(float));
        memset(gradient[POSITION], 0, (t->max_sequence + LSPO_BERT_UNUSED_POSITIONS) * w * sizeof(float));
    }
    lspo_compute_embedding_backward(t->compute, t->batch, t->sequence, w, tokens, d_sum, gradient[TOKEN],
                                    gradient[POSITION] + LSPO_BERT_UNUSED_POSITIONS * w);
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
    const lspo_attention_t attention = lspo_transformer_attention(t, false, qkv_width(t), qkv_width(t));
    lspo_linear_forward(t, QKV, from, x_in, lspo_block_weight(t, QKV_BIAS, from), NULL, s + at->q);
    lspo_compute_attention_forward(t->compute, &attention, s + at->q, s + at->k, s + at->v, lspo_floats(s, at->kept),
                                   s + at->context, lspo_floats(t->workspace, t->at.attention));
    lspo_linear_forward(t, ATTENTION_OUT, from, s + at->context, lspo_block_weight(t, ATTENTION_OUT_BIAS, from), x_in,
                        s + at->residual);
    norm_forward(t, from, NORM1_GAIN, s + at->residual, s + at->norm1_out, lspo_floats(s, at->mean1),
                 lspo_floats(s, at->rstd1));
}

static void block_forward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const void *x_in, char *s,
                          void *x_out)
{
    const lspo_block_saved_t *at = &t->saved;
    attention_forward(t, from, x_in, s);
    lspo_linear_forward(t, MLP_UP, from, s + at->norm1_out, lspo_block_weight(t, MLP_UP_BIAS, from), NULL,
                        s + at->mlp_pre);
    lspo_compute_gelu_exact_forward(t->compute, t->tokens * t->mlp_width, s + at->mlp_pre, s + at->mlp_act);
    lspo_linear_forward(t, MLP_DOWN, from, s + at->mlp_act, lspo_block_weight(t, MLP_DOWN_BIAS, from),
                        s + at->norm1_out, s + at->sum);
    norm_forward(t, from, NORM2_GAIN, s + at->sum, x_out != NULL ? x_out : t->workspace + t->at.scratch,
                 lspo_floats(s, at->mean2), lspo_floats(s, at->rstd2));
}

/* From the gradient of the block's output to that of the first norm's input (d_attention_out). */
static void mlp_backward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const char *s,
                         const lspo_gradient_sink_t *sink, const void *dy)
{
    const size_t w = t->width;
    const lspo_stage_t *block = &t->block;
    const lspo_block_saved_t *at = &t->saved;
    const bool accumulate = lspo_sink_adds(sink);
    char *d_down = t->workspace + t->at.d_mlp_down, *d_up = t->workspace + t->at.d_mlp_up;
    char *d_norm1 = t->workspace + t->at.scratch;
    lspo_compute_norm_backward(
        t->compute, t->tokens, w, dy, s + at->sum, lspo_saved_floats(s, at->mean2), lspo_saved_floats(s, at->rstd2),
        lspo_block_weight(t, NORM2_GAIN, from), NULL, accumulate, d_down, lspo_rest_sink(t, block, NORM2_GAIN, sink),
        lspo_rest_sink(t, block, NORM2_BIAS, sink), lspo_rest_sink(t, block, MLP_DOWN_BIAS, sink));
    lspo_linear_backward(t, MLP_DOWN, from, sink, s + at->mlp_act, d_down, 0.0F, d_up);
    lspo_compute_gelu_exact_backward(t->compute, t->tokens, t->mlp_width, s + at->mlp_pre, accumulate, d_up,
                                     lspo_rest_sink(t, block, MLP_UP_BIAS, sink));
    lspo_copy_activations(t, d_down, d_norm1);
    lspo_linear_backward(t, MLP_UP, from, sink, s + at->norm1_out, d_up, 1.0F, d_norm1);
    lspo_compute_norm_backward(t->compute, t->tokens, w, d_norm1, s + at->residual, lspo_saved_floats(s, at->mean1),
                               lspo_saved_floats(s, at->rstd1), lspo_block_weight(t, NORM1_GAIN, from), NULL,
                               accumulate, t->workspace + t->at.d_attention_out,
                               lspo_rest_sink(t, block, NORM1_GAIN, sink), lspo_rest_sink(t, block, NORM1_BIAS, sink),
                               lspo_rest_sink(t, block, ATTENTION_OUT_BIAS, sink));
}

/* From d_attention_out to the gradient of the block's input. */
static void attention_backward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const void *x_in,
                               const char *s, const lspo_gradient_sink_t *sink, void *dx)
{
    const lspo_block_saved_t *at = &t->saved;
    const lspo_attention_t attention = lspo_transformer_attention(t, false, qkv_width(t), qkv_width(t));
    char *d_out = t->workspace + t->at.d_attention_out, *d_qkv = t->workspace + t->at.d_q;
    char *d_context = t->workspace + t->at.scratch;
    lspo_linear_backward(t, ATTENTION_OUT, from, sink, s + at->context, d_out, 0.0F, d_context);
    lspo_compute_attention_backward(t->compute, &attention, s + at->q, s + at->k, s + at->v,
                                    lspo_saved_floats(s, at->kept), s + at->context, d_context, d_qkv,
                                    t->workspace + t->at.d_k, t->workspace + t->at.d_v,
                                    lspo_floats(t->workspace, t->at.attention));
    if (sink != NULL && sink->rest != NULL)
        lspo_compute_column_sum(t->compute, t->tokens, qkv_width(t), d_qkv, lspo_sink_adds(sink),
                                lspo_rest_sink(t, &t->block, QKV_BIAS, sink));
    lspo_copy_activations(t, d_out, dx);
    lspo_linear_backward(t, QKV, from, sink, x_in, d_qkv, 1.0F, dx);
}

static void block_backward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const void *x_in, const char *s,
                           const lspo_gradient_sink_t *sink, lspo_linear_operands_t *operands_out, void *dx)
{
    mlp_backward(t, from, s, sink, dx);
    attention_backward(t, from, x_in, s, sink, dx);
    lspo_linear_operands(t, QKV, x_in, t->workspace + t->at.d_q, operands_out);
    lspo_linear_operands(t, ATTENTION_OUT, s + t->saved.context, t->workspace + t->at.d_attention_out, operands_out);
    lspo_linear_operands(t, MLP_UP, s + t->saved.norm1_out, t->workspace + t->at.d_mlp_up, operands_out);
    lspo_linear_operands(t, MLP_DOWN, s + t->saved.mlp_act, t->workspace + t->at.d_mlp_down, operands_out);
}

/* tanh(X W + b) of `rows` rows, then the output projection. */
static void classify(const lspo_transformer_t *t, size_t rows, const void *head_weights, const float *x,
                     size_t x_stride, float *dense_out, float *logits)
{
    const size_t w = t->width, c = t->classes;
    lspo_bias_fill(rows, w, lspo_stage_weight(t, &t->head, DENSE_BIAS, head_weights), dense_out);
    lspo_gemm_nn(rows, w, w, 1.0F, x, x_stride, lspo_stage_weight(t, &t->head, DENSE, head_weights), w, 1.0F, dense_out,
                 w);
    lspo_tanh_forward(rows * w, dense_out);
    lspo_bias_fill(rows, c, lspo_stage_weight(t, &t->head, OUTPUT_BIAS, head_weights), logits);
    lspo_gemm_nn(rows, c, w, 1.0F, dense_out, w, lspo_stage_weight(t, &t->head, OUTPUT, head_weights), c, 1.0F, logits,
                 c);
}

static float value_of(uint32_t target)
{
    float value;
    memcpy(&value, &target, sizeof value);
    return value;
}

/* One number a sequence: the sum of the squared errors. */
static double squared_errors(size_t rows, const uint32_t *targets, const float *predicted)
{
    double sum = 0.0;
    for (size_t i = 0; i < rows; i++) {
        if (targets[i] == LSPO_TARGET_IGNORED)
            continue;
        const double error = (double)predicted[i] - (double)value_of(targets[i]);
        sum += error * error;
    }
    return sum;
}

static void squared_errors_backward(size_t rows, const uint32_t *targets, const float *predicted, float scale, float *d)
{
    for (size_t i = 0; i < rows; i++)
        d[i] = targets[i] == LSPO_TARGET_IGNORED ? 0.0F : 2.0F * scale * (predicted[i] - value_of(targets[i]));
}

static void head_forward(lspo_transformer_t *t, const void *head_weights, const void *embed_weights,
                         const uint32_t *targets, const void *x_in, char *s, double *loss_sum_out)
{
    (void)embed_weights;
    const lspo_head_saved_t *at = &t->head_saved;
    float *logits = lspo_floats(s, at->probabilities);
    classify(t, t->batch, head_weights, x_in, t->sequence * t->width, lspo_floats(s, at->dense_out), logits);
    *loss_sum_out = t->classes == 1 ? squared_errors(t->batch, targets, logits)
                                    : lspo_cross_entropy_forward(t->batch, t->classes, t->classes, targets, logits);
}

/* Of a layer of the head, rows x m to rows x n: into the sink, where the rest is wanted. */
static void layer_gradient(const lspo_transformer_t *t, uint32_t tensor, const float *x, size_t x_stride,
                           const float *dy, const lspo_gradient_sink_t *sink)
{
    const size_t m = t->head.tensors[tensor].rows, n = t->head.tensors[tensor].cols;
    const bool accumulate = lspo_sink_adds(sink);
    if (sink == NULL || sink->rest == NULL)
        return;
    lspo_gemm_tn(m, n, t->batch, 1.0F, x, x_stride, dy, n, accumulate ? 1.0F : 0.0F,
                 lspo_rest_sink(t, &t->head, tensor, sink), n);
    lspo_column_sum(t->batch, n, dy, accumulate, lspo_rest_sink(t, &t->head, tensor + 1, sink));
}

static void head_backward(lspo_transformer_t *t, const void *head_weights, const void *embed_weights,
                          const uint32_t *targets, const void *x_in, const char *s, float scale,
                          const lspo_gradient_sink_t *sink, void *embed_gradient, void *dx_out)
{
    (void)embed_weights;
    (void)embed_gradient;
    const size_t w = t->width, c = t->classes, stride = t->sequence * w;
    const float *dense_out = lspo_saved_floats(s, t->head_saved.dense_out);
    const float *probabilities = lspo_saved_floats(s, t->head_saved.probabilities);
    float *dlogits = lspo_floats(t->workspace, 0), *d_dense = dlogits + t->batch * c;
    if (c == 1)
        squared_errors_backward(t->batch, targets, probabilities, scale, dlogits);
    else
        lspo_cross_entropy_backward(t->batch, c, c, targets, probabilities, scale, dlogits);
    layer_gradient(t, OUTPUT, dense_out, w, dlogits, sink);
    lspo_gemm_nt(t->batch, w, c, 1.0F, dlogits, c, lspo_stage_weight(t, &t->head, OUTPUT, head_weights), c, 0.0F,
                 d_dense, w);
    lspo_tanh_backward(t->batch * w, dense_out, d_dense);
    layer_gradient(t, DENSE, x_in, stride, d_dense, sink);
    memset(dx_out, 0, t->tokens * w * sizeof(float));
    lspo_gemm_nt(t->batch, w, w, 1.0F, d_dense, w, lspo_stage_weight(t, &t->head, DENSE, head_weights), w, 0.0F, dx_out,
                 stride);
}

static void logits(lspo_transformer_t *t, const void *head_weights, const void *embed_weights, const void *x_in,
                   size_t count, const uint32_t *rows, void *logits_out)
{
    (void)embed_weights;
    const size_t stride = t->sequence * t->width;
    for (size_t i = 0; i < count; i++)
        classify(t, 1, head_weights, (const float *)x_in + (rows != NULL ? rows[i] : i) * stride, stride,
                 lspo_floats(t->workspace, 0), (float *)logits_out + i * t->classes);
}

const lspo_transformer_family_t lspo_transformer_bert = {.embed_forward = embed_forward,
                                                         .embed_backward = embed_backward,
                                                         .block_forward = block_forward,
                                                         .block_backward = block_backward,
                                                         .head_forward = head_forward,
                                                         .head_backward = head_backward,
                                                         .logits = logits};
