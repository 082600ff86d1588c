/* bert.c - the stages of a RoBERTa that classifies sequences [Liu et al., arXiv 1907.11692; the head is that
 * of Hugging Face's RobertaForSequenceClassification]:
 *     x = norm(token + position + token_type)
 *     a = norm1(x + attention(x) W_o + b_o)          y = norm2(a + gelu(a W_up + b_up) W_down + b_down)
 *     logits = tanh(y_0 W_dense + b_dense) W_out + b_out,    y_0 the first token of each sequence
 * The second norm's input is kept, so recomputation does the last product too.  There is no dropout.  On the host only,
 * since lengths, the embedding's gradient and the head are: their arrays are floats. */
#include <string.h>

#include "kernels/activation.h"
#include "kernels/gemm.h"
#include "kernels/loss.h"
#include "kernels/vector.h"
#include "real/transformer/state.h"

/* Tensors in the order of lspo_model_stage(). */
enum { QKV, ATTENTION_OUT, MLP_UP, MLP_DOWN };
enum { NORM1_GAIN = 8, NORM2_GAIN = 10 }; /* after the linear layers' biases; each is followed by its bias */
enum { TOKEN, POSITION, TOKEN_TYPE, EMBED_NORM_GAIN, EMBED_NORM_BIAS };
enum { DENSE, DENSE_BIAS, OUTPUT, OUTPUT_BIAS };

/* The parameters of the embedding's norm. */
static void embed_sum(const lspo_transformer_t *t, const uint32_t *tokens, const void *embed_weights, float *sum)
{
    const lspo_embedding_t embedding = lspo_transformer_embedding(t, tokens);
    const float *position = lspo_stage_weight(t, &t->embed, POSITION, embed_weights);
    lspo_compute_embedding_forward(t->compute, &embedding, lspo_stage_weight(t, &t->embed, TOKEN, embed_weights),
                                   position + LSPO_BERT_UNUSED_POSITIONS * t->width, sum);
    lspo_compute_bias_add(t->compute, t->tokens, t->width, sum,
                          lspo_stage_weight(t, &t->embed, TOKEN_TYPE, embed_weights), sum);
}

static lspo_norm_t embed_norm(const lspo_transformer_t *t, const void *embed_weights)
{
    return (lspo_norm_t){.rows = t->tokens,
                         .width = t->width,
                         .epsilon = t->epsilon,
                         .gain = lspo_stage_weight(t, &t->embed, EMBED_NORM_GAIN, embed_weights),
                         .bias = lspo_stage_weight(t, &t->embed, EMBED_NORM_BIAS, embed_weights)};
}

static void embed_forward(lspo_transformer_t *t, const uint32_t *tokens, const void *embed_weights, void *x_out)
{
    const lspo_norm_t norm = embed_norm(t, embed_weights);
    float *sum = lspo_floats(t->workspace, 0), *mean = sum + 2 * t->tokens * t->width;
    embed_sum(t, tokens, embed_weights, sum);
    lspo_compute_norm_forward(t->compute, &norm, sum, x_out, mean, mean + t->tokens);
}

static void embed_backward(lspo_transformer_t *t, const uint32_t *tokens, const void *embed_weights, const void *dx,
                           bool accumulate, void *embed_gradient)
{
    const size_t w = t->width;
    const lspo_embedding_t embedding = lspo_transformer_embedding(t, tokens);
    const lspo_norm_t norm = embed_norm(t, embed_weights);
    float *sum = lspo_floats(t->workspace, 0), *d_sum = sum + t->tokens * w, *mean = d_sum + t->tokens * w;
    float *rstd = mean + t->tokens;
    float *gradient[EMBED_NORM_BIAS + 1];
    for (uint32_t i = TOKEN; i <= EMBED_NORM_BIAS; i++)
        gradient[i] = lspo_stage_gradient(t, &t->embed, i, embed_gradient);
    embed_sum(t, tokens, embed_weights, sum);
    lspo_compute_norm_forward(t->compute, &norm, sum, d_sum, mean, rstd);
    lspo_compute_norm_backward(t->compute, &norm,
                               &(lspo_norm_operands_t){.dout = dx, .x = sum, .mean = mean, .rstd = rstd},
                               &(lspo_norm_gradients_t){.dx = d_sum,
                                                        .dgain = gradient[EMBED_NORM_GAIN],
                                                        .dbias = gradient[EMBED_NORM_BIAS],
                                                        .dx_sum = gradient[TOKEN_TYPE],
                                                        .accumulate = accumulate});
    if (!accumulate) {
        memset(gradient[TOKEN], 0, t->vocabulary * w * sizeof(float));
        memset(gradient[POSITION], 0, (t->max_sequence + LSPO_BERT_UNUSED_POSITIONS) * w * sizeof(float));
    }
    lspo_compute_embedding_backward(t->compute, &embedding, d_sum, gradient[TOKEN],
                                    gradient[POSITION] + LSPO_BERT_UNUSED_POSITIONS * w);
}

static size_t qkv_width(const lspo_transformer_t *t)
{
    return t->width + 2 * t->kv_width;
}

static void attention_forward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const void *x_in, char *s)
{
    const lspo_block_saved_t *at = &t->saved;
    const lspo_attention_t attention = lspo_transformer_attention(t, false, qkv_width(t), qkv_width(t));
    const lspo_attention_operands_t qkv = lspo_attention_operands(t, s);
    const lspo_norm_t norm1 = lspo_block_norm(t, from, NORM1_GAIN);
    lspo_block_linear_forward(t, from, QKV, x_in, NULL, s + at->q);
    lspo_compute_attention_forward(t->compute, &attention, &qkv, lspo_floats(s, at->kept), s + at->context,
                                   lspo_floats(t->workspace, t->at.attention));
    lspo_block_linear_forward(t, from, ATTENTION_OUT, s + at->context, x_in, s + at->residual);
    lspo_compute_norm_forward(t->compute, &norm1, s + at->residual, s + at->norm1_out, lspo_floats(s, at->mean1),
                              lspo_floats(s, at->rstd1));
}

static void mlp_forward(lspo_transformer_t *t, const lspo_block_parameters_t *from, char *s, void *x_out)
{
    const lspo_block_saved_t *at = &t->saved;
    (void)x_out;
    lspo_block_linear_forward(t, from, MLP_UP, s + at->norm1_out, NULL, s + at->mlp_pre);
    lspo_compute_gelu_forward(t->compute, LSPO_GELU_EXACT, t->tokens * t->mlp_width, s + at->mlp_pre, s + at->mlp_act);
    lspo_block_linear_forward(t, from, MLP_DOWN, s + at->mlp_act, s + at->norm1_out, s + at->sum);
}

static void block_end(lspo_transformer_t *t, const lspo_block_parameters_t *from, char *s, void *x_out)
{
    const lspo_block_saved_t *at = &t->saved;
    const lspo_norm_t norm2 = lspo_block_norm(t, from, NORM2_GAIN);
    lspo_compute_norm_forward(t->compute, &norm2, s + at->sum, x_out != NULL ? x_out : t->workspace + t->at.scratch,
                              lspo_floats(s, at->mean2), lspo_floats(s, at->rstd2));
}

/* From the gradient of the block's output to that of the MLP's input, which is norm1's output (in scratch). */
static void mlp_backward(const lspo_block_backward_t *pass, const char *s, const void *dy)
{
    lspo_transformer_t *t = pass->t;
    const lspo_block_saved_t *at = &t->saved;
    const lspo_norm_t norm2 = lspo_block_norm(t, pass->from, NORM2_GAIN);
    char *d_down = t->workspace + t->at.d_mlp_down, *d_up = t->workspace + t->at.d_mlp_up;
    char *d_norm1 = t->workspace + t->at.scratch;
    lspo_norm_gradients_t gradients = lspo_block_norm_gradients(pass, NORM2_GAIN, d_down);
    gradients.dx_sum = lspo_block_bias_sink(pass, MLP_DOWN);
    lspo_compute_norm_backward(t->compute, &norm2,
                               &(lspo_norm_operands_t){.dout = dy,
                                                       .x = s + at->sum,
                                                       .mean = lspo_saved_floats(s, at->mean2),
                                                       .rstd = lspo_saved_floats(s, at->rstd2)},
                               &gradients);
    lspo_block_linear_backward(pass, MLP_DOWN, s + at->mlp_act, d_down, 0.0F, d_up);
    lspo_compute_gelu_backward(t->compute, LSPO_GELU_EXACT, t->tokens, t->mlp_width, s + at->mlp_pre,
                               &(lspo_gelu_gradients_t){.d = d_up,
                                                        .bias = lspo_block_bias_sink(pass, MLP_UP),
                                                        .accumulate = lspo_sink_adds(pass->sink)});
    lspo_copy_activations(t, d_down, d_norm1);
    lspo_block_linear_backward(pass, MLP_UP, s + at->norm1_out, d_up, 1.0F, d_norm1);
    lspo_block_keys_backward(pass, s + at->norm1_out, d_down, d_norm1);
}

/* From the gradient of norm1's output to that of its input (d_attention_out). */
static void norm1_backward(const lspo_block_backward_t *pass, const char *s)
{
    lspo_transformer_t *t = pass->t;
    const lspo_block_saved_t *at = &t->saved;
    const lspo_norm_t norm1 = lspo_block_norm(t, pass->from, NORM1_GAIN);
    lspo_norm_gradients_t gradients = lspo_block_norm_gradients(pass, NORM1_GAIN, t->workspace + t->at.d_attention_out);
    gradients.dx_sum = lspo_block_bias_sink(pass, ATTENTION_OUT);
    lspo_compute_norm_backward(t->compute, &norm1,
                               &(lspo_norm_operands_t){.dout = t->workspace + t->at.scratch,
                                                       .x = s + at->residual,
                                                       .mean = lspo_saved_floats(s, at->mean1),
                                                       .rstd = lspo_saved_floats(s, at->rstd1)},
                               &gradients);
}

/* From d_attention_out to the gradient of the block's input. */
static void attention_backward(const lspo_block_backward_t *pass, const void *x_in, const char *s, void *dx)
{
    lspo_transformer_t *t = pass->t;
    const lspo_attention_t attention = lspo_transformer_attention(t, false, qkv_width(t), qkv_width(t));
    const lspo_attention_gradients_t d = lspo_attention_gradients(t);
    char *d_out = t->workspace + t->at.d_attention_out, *d_context = t->workspace + t->at.scratch;
    lspo_attention_operands_t operands = lspo_attention_operands(t, s);
    operands.dout = d_context;
    lspo_block_linear_backward(pass, ATTENTION_OUT, s + t->saved.context, d_out, 0.0F, d_context);
    lspo_compute_attention_backward(t->compute, &attention, &operands, &d, lspo_floats(t->workspace, t->at.attention));
    lspo_block_bias_backward(pass, QKV, d.dq);
    lspo_copy_activations(t, d_out, dx);
    lspo_block_linear_backward(pass, QKV, x_in, d.dq, 1.0F, dx);
}

static void block_backward(const lspo_block_backward_t *pass, const void *x_in, const char *s, void *dx)
{
    mlp_backward(pass, s, dx);
    norm1_backward(pass, s);
    attention_backward(pass, x_in, s, dx);
}

/* The first tokens of the sequences to classify: rows of x, `stride` floats apart. */
typedef struct {
    size_t rows;
    const float *x;
    size_t stride;
} first_tokens_t;

/* tanh(X W + b), then the output projection. */
static void classify(const lspo_transformer_t *t, const void *head_weights, const first_tokens_t *of, float *dense_out,
                     float *logits)
{
    const size_t rows = of->rows, w = t->width, c = t->classes;
    lspo_bias_fill(rows, w, lspo_stage_weight(t, &t->head, DENSE_BIAS, head_weights), dense_out);
    lspo_gemm_nn(rows, w, w, 1.0F, of->x, of->stride, lspo_stage_weight(t, &t->head, DENSE, head_weights), w, 1.0F,
                 dense_out, w);
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

/* One number per sequence: the sum of the squared errors. */
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

static lspo_cross_entropy_t cross_entropy(const lspo_transformer_t *t, const uint32_t *targets)
{
    return (lspo_cross_entropy_t){.rows = t->batch, .vocabulary = t->classes, .stride = t->classes, .targets = targets};
}

static void head_forward(lspo_transformer_t *t, const lspo_head_parameters_t *from, const uint32_t *targets,
                         const void *x_in, char *s, double *loss_sum_out)
{
    const lspo_head_saved_t *at = &t->head_saved;
    const lspo_cross_entropy_t loss = cross_entropy(t, targets);
    const first_tokens_t first = {t->batch, x_in, t->sequence * t->width};
    float *logits = lspo_floats(s, at->probabilities);
    classify(t, from->head, &first, lspo_floats(s, at->dense_out), logits);
    *loss_sum_out =
        t->classes == 1 ? squared_errors(t->batch, targets, logits) : lspo_cross_entropy_forward(&loss, logits);
}

/* Gradients of a layer of the head, rows x m to rows x n: to the sink, if the rest is wanted. */
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

static void head_backward(lspo_transformer_t *t, const lspo_head_parameters_t *from, const lspo_head_loss_t *loss,
                          const lspo_stage_kept_t *kept, const lspo_gradient_sink_t *sink, void *dx_out)
{
    const size_t w = t->width, c = t->classes, stride = t->sequence * w;
    const lspo_cross_entropy_t entropy = cross_entropy(t, loss->targets);
    const float *dense_out = lspo_saved_floats(kept->saved, t->head_saved.dense_out);
    const float *probabilities = lspo_saved_floats(kept->saved, t->head_saved.probabilities);
    float *dlogits = lspo_floats(t->workspace, 0), *d_dense = dlogits + t->batch * c;
    if (c == 1)
        squared_errors_backward(t->batch, loss->targets, probabilities, loss->scale, dlogits);
    else
        lspo_cross_entropy_backward(&entropy, probabilities, loss->scale, dlogits);
    layer_gradient(t, OUTPUT, dense_out, w, dlogits, sink);
    lspo_gemm_nt(t->batch, w, c, 1.0F, dlogits, c, lspo_stage_weight(t, &t->head, OUTPUT, from->head), c, 0.0F, d_dense,
                 w);
    lspo_tanh_backward(t->batch * w, dense_out, d_dense);
    layer_gradient(t, DENSE, kept->x_in, stride, d_dense, sink);
    memset(dx_out, 0, t->tokens * w * sizeof(float));
    lspo_gemm_nt(t->batch, w, w, 1.0F, d_dense, w, lspo_stage_weight(t, &t->head, DENSE, from->head), w, 0.0F, dx_out,
                 stride);
}

static void logits(lspo_transformer_t *t, const lspo_head_parameters_t *from, const void *x_in, size_t count,
                   const uint32_t *rows, void *logits_out)
{
    const size_t stride = t->sequence * t->width;
    for (size_t i = 0; i < count; i++) {
        const float *x = (const float *)x_in + (rows != NULL ? rows[i] : i) * stride;
        classify(t, from->head, &(first_tokens_t){1, x, stride}, lspo_floats(t->workspace, 0),
                 (float *)logits_out + i * t->classes);
    }
}

const lspo_transformer_family_t lspo_transformer_bert = {.embed_forward = embed_forward,
                                                         .embed_backward = embed_backward,
                                                         .attention_forward = attention_forward,
                                                         .mlp_forward = mlp_forward,
                                                         .block_end = block_end,
                                                         .block_backward = block_backward,
                                                         .head_forward = head_forward,
                                                         .head_backward = head_backward,
                                                         .logits = logits};
