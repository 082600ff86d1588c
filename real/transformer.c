#include "real/transformer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/activation.h"
#include "kernels/adapter.h"
#include "kernels/attention.h"
#include "kernels/embedding.h"
#include "kernels/gemm.h"
#include "kernels/loss.h"
#include "kernels/norm.h"
#include "kernels/random.h"
#include "kernels/vector.h"

/* Tensors of a GPT block, embedding and head in the order of lspo_model_stage(). */
enum { QKV, ATTENTION_OUT, MLP_UP, MLP_DOWN };
enum { QKV_BIAS = 4, ATTENTION_OUT_BIAS, MLP_UP_BIAS, MLP_DOWN_BIAS, NORM1_GAIN, NORM1_BIAS, NORM2_GAIN, NORM2_BIAS };
enum { TOKEN, POSITION };
enum { NORM_GAIN, NORM_BIAS };

/* Offsets in floats. */
typedef struct {
    size_t norm1_out, mean1, rstd1, qkv, context, probabilities, residual, mean2, rstd2, norm2_out, mlp_pre, mlp_act;
    size_t end;
} block_saved_t;

typedef struct {
    size_t norm_out, mean, rstd, probabilities;
    size_t end;
} head_saved_t;

/* The workspace during a block's backward pass. */
typedef struct {
    size_t d_mlp_down, d_mlp_up, d_attention_out, d_qkv, scratch, attention;
    size_t end;
} block_workspace_t;

struct lspo_transformer {
    size_t batch, sequence, tokens, width, heads, mlp_width, vocabulary, max_sequence;
    uint32_t stage_count;
    lspo_stage_t embed, block, head;
    block_saved_t saved;
    head_saved_t head_saved;
    block_workspace_t at;
    float *workspace;
};

/* Takes `count` floats at *end and returns where they start. */
static size_t take(size_t *end, size_t count)
{
    const size_t start = *end;
    *end += count;
    return start;
}

static block_saved_t block_saved_layout(const lspo_model_t *model, size_t tokens, size_t sequence)
{
    const size_t w = model->width, f = model->mlp_width;
    block_saved_t s = {0};
    s.norm1_out = take(&s.end, tokens * w);
    s.mean1 = take(&s.end, tokens);
    s.rstd1 = take(&s.end, tokens);
    s.qkv = take(&s.end, tokens * 3 * w);
    s.context = take(&s.end, tokens * w);
    s.probabilities = take(&s.end, tokens * model->head_count * sequence);
    s.residual = take(&s.end, tokens * w);
    s.mean2 = take(&s.end, tokens);
    s.rstd2 = take(&s.end, tokens);
    s.norm2_out = take(&s.end, tokens * w);
    s.mlp_pre = take(&s.end, tokens * f);
    s.mlp_act = take(&s.end, tokens * f);
    return s;
}

static head_saved_t head_saved_layout(const lspo_model_t *model, size_t tokens)
{
    head_saved_t s = {0};
    s.norm_out = take(&s.end, tokens * model->width);
    s.mean = take(&s.end, tokens);
    s.rstd = take(&s.end, tokens);
    s.probabilities = take(&s.end, tokens * model->vocabulary);
    return s;
}

static block_workspace_t block_workspace_layout(const lspo_model_t *model, size_t tokens, size_t sequence)
{
    const size_t w = model->width;
    block_workspace_t s = {0};
    s.d_mlp_down = take(&s.end, tokens * w);
    s.d_mlp_up = take(&s.end, tokens * model->mlp_width);
    s.d_attention_out = take(&s.end, tokens * w);
    s.d_qkv = take(&s.end, tokens * 3 * w);
    s.scratch = take(&s.end, tokens * w);
    s.attention = take(&s.end, lspo_attention_scratch(sequence, w / model->head_count));
    return s;
}

/* Every size of a product fits 31 bits, and no buffer overflows a size_t: with the former and a sum below 2^50 floats,
 * the integer arithmetic of the layouts is exact. */
static bool sizes_hold(const lspo_model_t *model, uint32_t batch, uint32_t sequence)
{
    const double limit = 2147483647.0, tokens = (double)batch * sequence;
    const double w = model->width, f = model->mlp_width, v = model->vocabulary;
    const double floats = tokens * (7.0 * w + 2.0 * f + (double)model->head_count * sequence + v + 6.0);
    return model->head_count > 0 && tokens <= limit && 3.0 * w <= limit && f <= limit && v <= limit &&
           floats < 1125899906842624.0;
}

size_t lspo_transformer_workspace_bytes(const lspo_model_t *model, uint32_t batch, uint32_t sequence)
{
    if (!sizes_hold(model, batch, sequence))
        return SIZE_MAX;
    const size_t tokens = (size_t)batch * sequence;
    const block_workspace_t block = block_workspace_layout(model, tokens, sequence);
    const size_t head = head_saved_layout(model, tokens).end, scratch = block.end - block.attention;
    return ((block.attention > head ? block.attention : head) + scratch) * sizeof(float);
}

static lspo_status_t check(const lspo_model_t *model, uint32_t batch, uint32_t sequence)
{
    if (model->family != LSPO_FAMILY_GPT || !model->tied_head || model->kv_head_count != model->head_count)
        return lspo_error(
            LSPO_ERR_INPUT,
            "model %s cannot be trained here: only GPT models with a tied head and no grouped queries can",
            model->name);
    const lspo_status_t status = lspo_model_check(model);
    if (status != LSPO_OK)
        return status;
    if (batch == 0 || sequence == 0 || sequence > model->max_sequence)
        return lspo_error(LSPO_ERR_INPUT,
                          "batch %u, sequence %u: both must be at least 1, and model %s has at most %u"
                          " positions",
                          batch, sequence, model->name, model->max_sequence);
    if (!sizes_hold(model, batch, sequence))
        return lspo_error(LSPO_ERR_INPUT, "model %s with batch %u and sequence %u is too large for 31-bit matrix sizes",
                          model->name, batch, sequence);
    return LSPO_OK;
}

lspo_status_t lspo_transformer_create(const lspo_model_t *model, uint32_t batch, uint32_t sequence, void *workspace,
                                      lspo_transformer_t **transformer_out)
{
    const lspo_status_t status = check(model, batch, sequence);
    if (status != LSPO_OK)
        return status;
    lspo_transformer_t *t = calloc(1, sizeof *t);
    if (t == NULL)
        return lspo_error(LSPO_ERR_MEMORY, "out of memory for a transformer's description");
    t->batch = batch;
    t->sequence = sequence;
    t->tokens = t->batch * t->sequence;
    t->width = model->width;
    t->heads = model->head_count;
    t->mlp_width = model->mlp_width;
    t->vocabulary = model->vocabulary;
    t->max_sequence = model->max_sequence;
    t->stage_count = lspo_model_stage_count(model);
    lspo_model_stage(model, 0, &t->embed);
    lspo_model_stage(model, 1, &t->block);
    lspo_model_stage(model, t->stage_count - 1, &t->head);
    t->saved = block_saved_layout(model, t->tokens, t->sequence);
    t->head_saved = head_saved_layout(model, t->tokens);
    t->at = block_workspace_layout(model, t->tokens, t->sequence);
    t->workspace = workspace;
    lspo_gemm_single_thread();
    *transformer_out = t;
    return LSPO_OK;
}

void lspo_transformer_destroy(lspo_transformer_t *transformer)
{
    free(transformer);
}

size_t lspo_transformer_saved_bytes(const lspo_transformer_t *transformer, uint32_t stage)
{
    if (stage == 0)
        return 0;
    const size_t floats = stage + 1 < transformer->stage_count ? transformer->saved.end : transformer->head_saved.end;
    return floats * sizeof(float);
}

static void fill(size_t count, float value, float *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = value;
}

/* One random stream a stage and tensor, so that a tensor's weights do not depend on the sizes of those before it. */
static void init_matrix(const lspo_tensor_t *tensor, uint32_t stage, uint32_t index, uint64_t seed, double deviation,
                        float *weights)
{
    const uint64_t stream = ((uint64_t)stage << 8) | index;
    lspo_random_normal_fill(seed, stream, deviation, (size_t)tensor->rows * tensor->cols,
                            weights + tensor->offset_elements);
}

void lspo_transformer_init(const lspo_model_t *model, uint32_t stage, uint64_t seed, float *weights)
{
    lspo_stage_t shape;
    lspo_model_stage(model, stage, &shape);
    const bool block = shape.kind == LSPO_STAGE_BLOCK;
    for (uint32_t i = 0; i < shape.tensor_count; i++) {
        const lspo_tensor_t *tensor = &shape.tensors[i];
        const bool to_residual = block && (i == ATTENTION_OUT || i == MLP_DOWN);
        const bool gain = block ? i == NORM1_GAIN || i == NORM2_GAIN : shape.kind == LSPO_STAGE_HEAD && i == NORM_GAIN;
        if (tensor->linear || shape.kind == LSPO_STAGE_EMBED)
            init_matrix(tensor, stage, i, seed, to_residual ? 0.02 / sqrt(2.0 * model->block_count) : 0.02, weights);
        else
            fill(tensor->cols, gain ? 1.0F : 0.0F, weights + tensor->offset_elements);
    }
}

static const float *weight(const lspo_stage_t *stage, uint32_t tensor, const float *weights)
{
    return weights + stage->tensors[tensor].offset_elements;
}

/* Where a non-linear tensor's gradient goes; NULL when the rest is not wanted. */
static float *rest_sink(const lspo_stage_t *stage, uint32_t tensor, const lspo_gradient_sink_t *sink)
{
    if (sink == NULL || sink->rest == NULL)
        return NULL;
    return sink->rest + (stage->tensors[tensor].offset_elements - stage->tensors[stage->linear_count].offset_elements);
}

void lspo_transformer_embed_forward(lspo_transformer_t *t, const uint32_t *tokens, const float *embed_weights,
                                    float *x_out)
{
    lspo_embedding_forward(t->batch, t->sequence, t->width, tokens, weight(&t->embed, TOKEN, embed_weights),
                           weight(&t->embed, POSITION, embed_weights), x_out);
}

/* Where a linear tensor's A starts among the factors. */
static size_t factor_offset(const lspo_stage_t *block, uint32_t tensor, size_t rank)
{
    size_t rows = 0;
    for (uint32_t i = 0; i < tensor; i++)
        rows += (size_t)block->tensors[i].rows + block->tensors[i].cols;
    return rows * rank;
}

/* What both passes of a block read of it. */
typedef struct {
    const float *weights;
    const lspo_adapters_t *adapters; /* or NULL */
} parameters_t;

/* out (T x n) = what is there + x W [+ scale (x A) B^T], W: m x n */
static void linear_add(const lspo_transformer_t *t, uint32_t tensor, const parameters_t *from, const float *x,
                       float *out)
{
    const size_t m = t->block.tensors[tensor].rows, n = t->block.tensors[tensor].cols;
    lspo_gemm_nn(t->tokens, n, m, 1.0F, x, m, weight(&t->block, tensor, from->weights), n, 1.0F, out, n);
    const lspo_adapters_t *adapters = from->adapters;
    if (adapters == NULL)
        return;
    const float *a = adapters->factors + factor_offset(&t->block, tensor, adapters->rank);
    lspo_adapter_forward(t->tokens, m, n, adapters->rank, adapters->scale, x, a, a + m * adapters->rank, out,
                         adapters->scratch);
}

void lspo_transformer_block_forward(lspo_transformer_t *t, const float *weights, const lspo_adapters_t *adapters,
                                    const float *x_in, void *saved, float *x_out)
{
    const size_t w = t->width, f = t->mlp_width;
    const lspo_stage_t *block = &t->block;
    const block_saved_t *at = &t->saved;
    const parameters_t from = {weights, adapters};
    float *s = saved;
    lspo_norm_forward(t->tokens, w, x_in, weight(block, NORM1_GAIN, weights), weight(block, NORM1_BIAS, weights),
                      s + at->norm1_out, s + at->mean1, s + at->rstd1);
    lspo_bias_fill(t->tokens, 3 * w, weight(block, QKV_BIAS, weights), s + at->qkv);
    linear_add(t, QKV, &from, s + at->norm1_out, s + at->qkv);
    lspo_attention_forward(t->batch, t->sequence, t->heads, w / t->heads, s + at->qkv, s + at->probabilities,
                           s + at->context, t->workspace + t->at.attention);
    lspo_bias_add(t->tokens, w, x_in, weight(block, ATTENTION_OUT_BIAS, weights), s + at->residual);
    linear_add(t, ATTENTION_OUT, &from, s + at->context, s + at->residual);
    lspo_norm_forward(t->tokens, w, s + at->residual, weight(block, NORM2_GAIN, weights),
                      weight(block, NORM2_BIAS, weights), s + at->norm2_out, s + at->mean2, s + at->rstd2);
    lspo_bias_fill(t->tokens, f, weight(block, MLP_UP_BIAS, weights), s + at->mlp_pre);
    linear_add(t, MLP_UP, &from, s + at->norm2_out, s + at->mlp_pre);
    lspo_gelu_forward(t->tokens * f, s + at->mlp_pre, s + at->mlp_act);
    if (x_out == NULL)
        return;
    lspo_bias_add(t->tokens, w, s + at->residual, weight(block, MLP_DOWN_BIAS, weights), x_out);
    linear_add(t, MLP_DOWN, &from, s + at->mlp_act, x_out);
}

double lspo_transformer_head_forward(lspo_transformer_t *t, const float *head_weights, const float *embed_weights,
                                     const uint32_t *targets, const float *x_in, void *saved)
{
    const size_t w = t->width, v = t->vocabulary;
    const head_saved_t *at = &t->head_saved;
    float *s = saved != NULL ? saved : t->workspace;
    lspo_norm_forward(t->tokens, w, x_in, weight(&t->head, NORM_GAIN, head_weights),
                      weight(&t->head, NORM_BIAS, head_weights), s + at->norm_out, s + at->mean, s + at->rstd);
    lspo_gemm_nt(t->tokens, v, w, 1.0F, s + at->norm_out, w, weight(&t->embed, TOKEN, embed_weights), w, 0.0F,
                 s + at->probabilities, v);
    return lspo_cross_entropy_forward(t->tokens, v, targets, s + at->probabilities) / (double)t->tokens;
}

void lspo_transformer_head_backward(lspo_transformer_t *t, const float *head_weights, const float *embed_weights,
                                    const uint32_t *targets, const float *x_in, const void *saved, float loss_scale,
                                    const lspo_gradient_sink_t *sink, float *embed_gradient, float *dx_out)
{
    const size_t w = t->width, v = t->vocabulary;
    const head_saved_t *at = &t->head_saved;
    const bool accumulate = sink != NULL && sink->accumulate;
    const float *s = saved;
    float *dlogits = t->workspace, *dnorm = t->workspace + t->tokens * v;
    lspo_cross_entropy_backward(t->tokens, v, targets, s + at->probabilities, loss_scale / (float)t->tokens, dlogits);
    if (embed_gradient != NULL)
        lspo_gemm_tn(v, w, t->tokens, 1.0F, dlogits, v, s + at->norm_out, w, accumulate ? 1.0F : 0.0F,
                     embed_gradient + t->embed.tensors[TOKEN].offset_elements, w);
    lspo_gemm_nn(t->tokens, w, v, 1.0F, dlogits, v, weight(&t->embed, TOKEN, embed_weights), w, 0.0F, dnorm, w);
    lspo_norm_backward(t->tokens, w, dnorm, x_in, s + at->mean, s + at->rstd, weight(&t->head, NORM_GAIN, head_weights),
                       NULL, accumulate, dx_out, rest_sink(&t->head, NORM_GAIN, sink),
                       rest_sink(&t->head, NORM_BIAS, sink), NULL);
}

/* G = X^T dY into the sink, when it is wanted. */
static void linear_gradient(const lspo_transformer_t *t, uint32_t tensor, const lspo_gradient_sink_t *sink,
                            const float *x, const float *dy)
{
    if (sink == NULL || sink->linear == NULL)
        return;
    const size_t m = t->block.tensors[tensor].rows, n = t->block.tensors[tensor].cols;
    const bool add = sink->accumulate && !sink->overwrite_linear;
    lspo_gemm_tn(m, n, t->tokens, 1.0F, x, m, dy, n, add ? 1.0F : 0.0F,
                 sink->linear + t->block.tensors[tensor].offset_elements, n);
}

static void adapter_backward(const lspo_transformer_t *t, uint32_t tensor, const lspo_adapters_t *adapters,
                             const lspo_gradient_sink_t *sink, const float *x, const float *dy, float *dx)
{
    const size_t m = t->block.tensors[tensor].rows, n = t->block.tensors[tensor].cols, r = adapters->rank;
    const size_t at = factor_offset(&t->block, tensor, r);
    const float *a = adapters->factors + at;
    float *da = sink != NULL && sink->adapters != NULL ? sink->adapters + at : NULL;
    lspo_adapter_backward(t->tokens, m, n, r, adapters->scale, x, dy, a, a + m * r, sink != NULL && sink->accumulate,
                          da, da != NULL ? da + m * r : NULL, dx, adapters->scratch);
}

/* The gradients of a linear layer's weights, into the sink, and of its input: dx (T x m) = dY W^T, and the adapter's
 * share. */
static void linear_backward(const lspo_transformer_t *t, uint32_t tensor, const parameters_t *from,
                            const lspo_gradient_sink_t *sink, const float *x, const float *dy, float *dx)
{
    const size_t m = t->block.tensors[tensor].rows, n = t->block.tensors[tensor].cols;
    linear_gradient(t, tensor, sink, x, dy);
    lspo_gemm_nt(t->tokens, m, n, 1.0F, dy, n, weight(&t->block, tensor, from->weights), n, 0.0F, dx, m);
    if (from->adapters != NULL)
        adapter_backward(t, tensor, from->adapters, sink, x, dy, dx);
}

static void set_operands(const lspo_transformer_t *t, uint32_t tensor, const float *x, const float *dy,
                         lspo_linear_operands_t *operands)
{
    operands->x[tensor] = x;
    operands->dy[tensor] = dy;
    operands->x_stride[tensor] = t->block.tensors[tensor].rows;
    operands->dy_stride[tensor] = t->block.tensors[tensor].cols;
}

/* From the gradient of the block's output (d_mlp_down) to that of the residual stream between the two halves
 * (d_attention_out). */
static void mlp_backward(lspo_transformer_t *t, const parameters_t *from, const float *s,
                         const lspo_gradient_sink_t *sink)
{
    const size_t w = t->width, f = t->mlp_width;
    const lspo_stage_t *block = &t->block;
    const block_saved_t *at = &t->saved;
    const bool accumulate = sink != NULL && sink->accumulate;
    float *d_down = t->workspace + t->at.d_mlp_down, *d_up = t->workspace + t->at.d_mlp_up;
    float *d_norm = t->workspace + t->at.scratch;
    if (sink != NULL && sink->rest != NULL)
        lspo_column_sum(t->tokens, w, d_down, accumulate, rest_sink(block, MLP_DOWN_BIAS, sink));
    linear_backward(t, MLP_DOWN, from, sink, s + at->mlp_act, d_down, d_up);
    lspo_gelu_backward(t->tokens, f, s + at->mlp_pre, accumulate, d_up, rest_sink(block, MLP_UP_BIAS, sink));
    linear_backward(t, MLP_UP, from, sink, s + at->norm2_out, d_up, d_norm);
    lspo_norm_backward(t->tokens, w, d_norm, s + at->residual, s + at->mean2, s + at->rstd2,
                       weight(block, NORM2_GAIN, from->weights), d_down, accumulate,
                       t->workspace + t->at.d_attention_out, rest_sink(block, NORM2_GAIN, sink),
                       rest_sink(block, NORM2_BIAS, sink), rest_sink(block, ATTENTION_OUT_BIAS, sink));
}

/* From d_attention_out to the gradient of the block's input. */
static void attention_backward(lspo_transformer_t *t, const parameters_t *from, const float *x_in, const float *s,
                               const lspo_gradient_sink_t *sink, float *dx)
{
    const size_t w = t->width;
    const lspo_stage_t *block = &t->block;
    const block_saved_t *at = &t->saved;
    const bool accumulate = sink != NULL && sink->accumulate;
    float *d_out = t->workspace + t->at.d_attention_out, *d_qkv = t->workspace + t->at.d_qkv;
    float *scratch = t->workspace + t->at.scratch; /* gradient of the context, then of norm1's output */
    linear_backward(t, ATTENTION_OUT, from, sink, s + at->context, d_out, scratch);
    lspo_attention_backward(t->batch, t->sequence, t->heads, w / t->heads, s + at->qkv, s + at->probabilities, scratch,
                            d_qkv, t->workspace + t->at.attention);
    if (sink != NULL && sink->rest != NULL)
        lspo_column_sum(t->tokens, 3 * w, d_qkv, accumulate, rest_sink(block, QKV_BIAS, sink));
    linear_backward(t, QKV, from, sink, s + at->norm1_out, d_qkv, scratch);
    lspo_norm_backward(t->tokens, w, scratch, x_in, s + at->mean1, s + at->rstd1,
                       weight(block, NORM1_GAIN, from->weights), d_out, accumulate, dx,
                       rest_sink(block, NORM1_GAIN, sink), rest_sink(block, NORM1_BIAS, sink), NULL);
}

void lspo_transformer_block_backward(lspo_transformer_t *t, const float *weights, const lspo_adapters_t *adapters,
                                     const float *x_in, const void *saved, const lspo_gradient_sink_t *sink,
                                     lspo_linear_operands_t *operands_out, float *dx)
{
    const parameters_t from = {weights, adapters};
    const float *s = saved;
    memcpy(t->workspace + t->at.d_mlp_down, dx, t->tokens * t->width * sizeof *dx);
    mlp_backward(t, &from, s, sink);
    attention_backward(t, &from, x_in, s, sink, dx);
    if (operands_out == NULL)
        return;
    set_operands(t, QKV, s + t->saved.norm1_out, t->workspace + t->at.d_qkv, operands_out);
    set_operands(t, ATTENTION_OUT, s + t->saved.context, t->workspace + t->at.d_attention_out, operands_out);
    set_operands(t, MLP_UP, s + t->saved.norm2_out, t->workspace + t->at.d_mlp_up, operands_out);
    set_operands(t, MLP_DOWN, s + t->saved.mlp_act, t->workspace + t->at.d_mlp_down, operands_out);
}

void lspo_transformer_embed_backward(lspo_transformer_t *t, const uint32_t *tokens, const float *dx, bool accumulate,
                                     float *embed_gradient)
{
    float *token = embed_gradient + t->embed.tensors[TOKEN].offset_elements;
    float *position = embed_gradient + t->embed.tensors[POSITION].offset_elements;
    if (!accumulate)
        memset(position, 0, t->max_sequence * t->width * sizeof *position);
    lspo_embedding_backward(t->batch, t->sequence, t->width, tokens, dx, token, position);
}
