/* transformer.c - what a transformer is made of and how its buffers are laid out; its stages: transformer_*.c. */
#include "real/transformer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/gemm.h"
#include "kernels/random.h"
#include "kernels/rotary.h"
#include "real/transformer_state.h"

/* Tensors whose output is added to the residual stream: attention_out of every family, and the last linear one. */
enum { GPT_ATTENTION_OUT = 1, LLAMA_ATTENTION_OUT = 3 };

static size_t kv_width(const lspo_model_t *model)
{
    return (size_t)(model->width / model->head_count) * model->kv_head_count;
}

static lspo_block_saved_t gpt_saved(const lspo_model_t *model, size_t tokens, size_t sequence)
{
    const size_t w = model->width, f = model->mlp_width;
    lspo_block_saved_t s = {0};
    s.norm1_out = lspo_layout_take(&s.end, tokens * w);
    s.mean1 = lspo_layout_take(&s.end, tokens);
    s.rstd1 = lspo_layout_take(&s.end, tokens);
    s.q = lspo_layout_take(&s.end, tokens * (w + 2 * kv_width(model)));
    s.k = s.q + w;
    s.v = s.k + kv_width(model);
    s.context = lspo_layout_take(&s.end, tokens * w);
    s.probabilities = lspo_layout_take(&s.end, tokens * model->head_count * sequence);
    s.residual = lspo_layout_take(&s.end, tokens * w);
    s.mean2 = lspo_layout_take(&s.end, tokens);
    s.rstd2 = lspo_layout_take(&s.end, tokens);
    s.norm2_out = lspo_layout_take(&s.end, tokens * w);
    s.mlp_pre = lspo_layout_take(&s.end, tokens * f);
    s.mlp_act = lspo_layout_take(&s.end, tokens * f);
    return s;
}

static lspo_block_saved_t llama_saved(const lspo_model_t *model, size_t tokens, size_t sequence)
{
    const size_t w = model->width, f = model->mlp_width;
    lspo_block_saved_t s = {0};
    s.norm1_out = lspo_layout_take(&s.end, tokens * w);
    s.rstd1 = lspo_layout_take(&s.end, tokens);
    s.q = lspo_layout_take(&s.end, tokens * w);
    s.k = lspo_layout_take(&s.end, tokens * kv_width(model));
    s.v = lspo_layout_take(&s.end, tokens * kv_width(model));
    s.context = lspo_layout_take(&s.end, tokens * w);
    s.probabilities = lspo_layout_take(&s.end, tokens * model->head_count * sequence);
    s.residual = lspo_layout_take(&s.end, tokens * w);
    s.rstd2 = lspo_layout_take(&s.end, tokens);
    s.norm2_out = lspo_layout_take(&s.end, tokens * w);
    s.gate = lspo_layout_take(&s.end, tokens * f);
    s.mlp_pre = lspo_layout_take(&s.end, tokens * f);
    s.mlp_act = lspo_layout_take(&s.end, tokens * f);
    return s;
}

static lspo_block_saved_t bert_saved(const lspo_model_t *model, size_t tokens, size_t sequence)
{
    const size_t w = model->width, f = model->mlp_width;
    lspo_block_saved_t s = {0};
    s.q = lspo_layout_take(&s.end, tokens * (w + 2 * kv_width(model)));
    s.k = s.q + w;
    s.v = s.k + kv_width(model);
    s.context = lspo_layout_take(&s.end, tokens * w);
    s.probabilities = lspo_layout_take(&s.end, tokens * model->head_count * sequence);
    s.residual = lspo_layout_take(&s.end, tokens * w);
    s.mean1 = lspo_layout_take(&s.end, tokens);
    s.rstd1 = lspo_layout_take(&s.end, tokens);
    s.norm1_out = lspo_layout_take(&s.end, tokens * w);
    s.mlp_pre = lspo_layout_take(&s.end, tokens * f);
    s.mlp_act = lspo_layout_take(&s.end, tokens * f);
    s.sum = lspo_layout_take(&s.end, tokens * w);
    s.mean2 = lspo_layout_take(&s.end, tokens);
    s.rstd2 = lspo_layout_take(&s.end, tokens);
    return s;
}

static lspo_block_saved_t block_saved_layout(const lspo_model_t *model, size_t tokens, size_t sequence)
{
    switch (model->family) {
    case LSPO_FAMILY_LLAMA:
        return llama_saved(model, tokens, sequence);
    case LSPO_FAMILY_BERT:
        return bert_saved(model, tokens, sequence);
    case LSPO_FAMILY_GPT:
        break;
    }
    return gpt_saved(model, tokens, sequence);
}

static lspo_head_saved_t head_saved_layout(const lspo_model_t *model, size_t batch, size_t sequence)
{
    const size_t tokens = batch * sequence;
    lspo_head_saved_t s = {0};
    if (model->class_count > 0) {
        s.dense_out = lspo_layout_take(&s.end, batch * model->width);
        s.probabilities = lspo_layout_take(&s.end, batch * model->class_count);
        return s;
    }
    s.norm_out = lspo_layout_take(&s.end, tokens * model->width);
    if (model->family != LSPO_FAMILY_LLAMA)
        s.mean = lspo_layout_take(&s.end, tokens);
    s.rstd = lspo_layout_take(&s.end, tokens);
    s.probabilities = lspo_layout_take(&s.end, tokens * model->vocabulary);
    return s;
}

static lspo_block_workspace_t block_workspace_layout(const lspo_model_t *model, size_t tokens, size_t sequence)
{
    const size_t w = model->width, kv = kv_width(model);
    const bool joint = model->family != LSPO_FAMILY_LLAMA; /* Q, K and V in one array */
    lspo_block_workspace_t s = {0};
    s.d_mlp_down = lspo_layout_take(&s.end, tokens * w);
    s.d_mlp_up = lspo_layout_take(&s.end, tokens * model->mlp_width);
    if (model->family == LSPO_FAMILY_LLAMA)
        s.d_gate = lspo_layout_take(&s.end, tokens * model->mlp_width);
    s.d_attention_out = lspo_layout_take(&s.end, tokens * w);
    s.d_q = lspo_layout_take(&s.end, tokens * (w + 2 * kv));
    s.d_k = s.d_q + (joint ? w : tokens * w);
    s.d_v = s.d_k + (joint ? kv : tokens * kv);
    s.scratch = lspo_layout_take(&s.end, tokens * w);
    s.attention = lspo_layout_take(&s.end, lspo_attention_scratch(sequence, w / model->head_count));
    return s;
}

/* Every size of a product fits 31 bits, and no buffer overflows a size_t: with the former and a sum below 2^50 floats,
 * the integer arithmetic of the layouts is exact. */
static bool sizes_hold(const lspo_model_t *model, uint32_t batch, uint32_t sequence)
{
    const double limit = 2147483647.0, tokens = (double)batch * sequence;
    const double w = model->width, f = model->mlp_width, v = model->vocabulary;
    const double stride = model->class_count > 0 ? (double)sequence * w : w; /* from first token to first token */
    const double floats = tokens * (7.0 * w + 3.0 * f + (double)model->head_count * sequence + v + 6.0);
    return model->head_count > 0 && model->kv_head_count > 0 && tokens <= limit && 3.0 * w <= limit && f <= limit &&
           v <= limit && stride <= limit && floats < 1125899906842624.0;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Floats before the rotary table. */
static size_t workspace_floats(const lspo_model_t *model, uint32_t batch, uint32_t sequence)
{
    const lspo_block_workspace_t block = block_workspace_layout(model, (size_t)batch * sequence, sequence);
    const size_t head = head_saved_layout(model, batch, sequence).end, scratch = block.end - block.attention;
    return larger(block.attention, head) + scratch;
}

size_t lspo_transformer_workspace_bytes(const lspo_model_t *model, uint32_t batch, uint32_t sequence)
{
    if (!sizes_hold(model, batch, sequence))
        return SIZE_MAX;
    const size_t table = model->family == LSPO_FAMILY_LLAMA ? (size_t)sequence * (model->width / model->head_count) : 0;
    return (workspace_floats(model, batch, sequence) + table) * sizeof(float);
}

static lspo_status_t check(const lspo_model_t *model, uint32_t batch, uint32_t sequence)
{
    const lspo_status_t status = lspo_model_check(model);
    if (status != LSPO_OK)
        return status;
    if (model->family == LSPO_FAMILY_BERT && model->class_count == 0)
        return lspo_error(LSPO_ERR_INPUT,
                          "model %s cannot be trained here: of family bert only classifiers can (classes = N), not "
                          "masked-language heads",
                          model->name);
    if (model->family == LSPO_FAMILY_LLAMA && model->width / model->head_count % 2 != 0)
        return lspo_error(LSPO_ERR_INPUT, "model %s: rotary positions need an even head width, not %u", model->name,
                          model->width / model->head_count);
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

static const lspo_transformer_family_t *family_of(const lspo_model_t *model)
{
    switch (model->family) {
    case LSPO_FAMILY_LLAMA:
        return &lspo_transformer_llama;
    case LSPO_FAMILY_BERT:
        return &lspo_transformer_bert;
    case LSPO_FAMILY_GPT:
        break;
    }
    return &lspo_transformer_gpt;
}

static void describe(const lspo_model_t *model, uint32_t batch, uint32_t sequence, lspo_transformer_t *t)
{
    t->family = family_of(model);
    t->batch = batch;
    t->sequence = sequence;
    t->tokens = t->batch * t->sequence;
    t->width = model->width;
    t->kv_width = kv_width(model);
    t->heads = model->head_count;
    t->kv_heads = model->kv_head_count;
    t->mlp_width = model->mlp_width;
    t->vocabulary = model->vocabulary;
    t->classes = model->class_count;
    t->max_sequence = model->max_sequence;
    t->tied = model->tied_head;
    t->rms = model->family == LSPO_FAMILY_LLAMA;
    t->epsilon = (float)lspo_model_norm_epsilon(model);
    t->stage_count = lspo_model_stage_count(model);
    lspo_model_stage(model, 0, &t->embed);
    lspo_model_stage(model, 1, &t->block);
    lspo_model_stage(model, t->stage_count - 1, &t->head);
    t->saved = block_saved_layout(model, t->tokens, t->sequence);
    t->head_saved = head_saved_layout(model, t->batch, t->sequence);
    t->at = block_workspace_layout(model, t->tokens, t->sequence);
}

lspo_status_t lspo_transformer_create(const lspo_model_t *model, uint32_t batch, uint32_t sequence, void *workspace,
                                      lspo_transformer_t **transformer_out)
{
    const lspo_status_t status = check(model, batch, sequence);
    if (status != LSPO_OK)
        return status;
    lspo_transformer_t *t = calloc(1, sizeof *t);
    uint32_t *lengths = malloc(batch * sizeof *lengths);
    if (t == NULL || lengths == NULL) {
        free(lengths);
        free(t);
        return lspo_error(LSPO_ERR_MEMORY, "out of memory for a transformer's description");
    }
    describe(model, batch, sequence, t);
    t->lengths = lengths;
    for (size_t b = 0; b < t->batch; b++)
        lengths[b] = sequence;
    t->workspace = workspace;
    if (model->family == LSPO_FAMILY_LLAMA) {
        t->rotary = t->workspace + workspace_floats(model, batch, sequence);
        lspo_rotary_table(t->sequence, t->width / t->heads, lspo_model_rope_theta(model), t->rotary);
    }
    lspo_gemm_single_thread();
    *transformer_out = t;
    return LSPO_OK;
}

void lspo_transformer_destroy(lspo_transformer_t *transformer)
{
    if (transformer == NULL)
        return;
    free(transformer->lengths);
    free(transformer);
}

lspo_status_t lspo_transformer_set_lengths(lspo_transformer_t *t, const uint32_t *lengths)
{
    for (size_t b = 0; lengths != NULL && b < t->batch; b++)
        if (lengths[b] == 0 || lengths[b] > t->sequence)
            return lspo_error(LSPO_ERR_INPUT, "sequence %zu of the batch has %u tokens, outside 1..%zu", b, lengths[b],
                              t->sequence);
    for (size_t b = 0; b < t->batch; b++)
        t->lengths[b] = lengths != NULL ? lengths[b] : (uint32_t)t->sequence;
    return LSPO_OK;
}

lspo_attention_t lspo_transformer_attention(const lspo_transformer_t *t, bool causal, size_t q_stride, size_t kv_stride)
{
    return (lspo_attention_t){.batch = t->batch,
                              .sequence = t->sequence,
                              .heads = t->heads,
                              .kv_heads = t->kv_heads,
                              .head_width = t->width / t->heads,
                              .q_stride = q_stride,
                              .kv_stride = kv_stride,
                              .causal = causal,
                              .lengths = t->lengths};
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

static bool ends_with(const char *name, const char *end)
{
    const size_t length = strlen(name), end_length = strlen(end);
    return length >= end_length && strcmp(name + length - end_length, end) == 0;
}

/* Where blocks are pre-norm, the residual stream grows with each of these. */
static bool adds_to_residual(const lspo_model_t *model, const lspo_stage_t *stage, uint32_t index)
{
    if (stage->kind != LSPO_STAGE_BLOCK || model->family == LSPO_FAMILY_BERT)
        return false;
    const uint32_t attention_out = model->family == LSPO_FAMILY_LLAMA ? LLAMA_ATTENTION_OUT : GPT_ATTENTION_OUT;
    return index == attention_out || index + 1 == stage->linear_count;
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
    for (uint32_t i = 0; i < shape.tensor_count; i++) {
        const lspo_tensor_t *tensor = &shape.tensors[i];
        const bool to_residual = adds_to_residual(model, &shape, i);
        if (ends_with(tensor->name, "_gain") || ends_with(tensor->name, "_bias"))
            fill(tensor->cols, ends_with(tensor->name, "_gain") ? 1.0F : 0.0F, weights + tensor->offset_elements);
        else
            init_matrix(tensor, stage, i, seed, to_residual ? 0.02 / sqrt(2.0 * model->block_count) : 0.02, weights);
    }
}

void lspo_transformer_embed_forward(lspo_transformer_t *t, const uint32_t *tokens, const float *embed_weights,
                                    float *x_out)
{
    t->family->embed_forward(t, tokens, embed_weights, x_out);
}

void lspo_transformer_block_forward(lspo_transformer_t *t, const float *weights, const lspo_adapters_t *adapters,
                                    const float *x_in, void *saved, float *x_out)
{
    const lspo_block_parameters_t from = {weights, adapters};
    t->family->block_forward(t, &from, x_in, saved, x_out);
}

double lspo_transformer_head_forward(lspo_transformer_t *t, const float *head_weights, const float *embed_weights,
                                     const uint32_t *targets, const float *x_in, void *saved)
{
    return t->family->head_forward(t, head_weights, embed_weights, targets, x_in, saved != NULL ? saved : t->workspace);
}

size_t lspo_transformer_classified_right(const lspo_transformer_t *t, const uint32_t *targets)
{
    const float *row = t->workspace + t->head_saved.probabilities;
    size_t right = 0;
    for (size_t i = 0; i < t->batch; i++, row += t->classes) {
        uint32_t best = 0;
        for (uint32_t c = 1; c < t->classes; c++)
            best = row[c] > row[best] ? c : best;
        right += targets[i] == best; /* an ignored target is no class */
    }
    return right;
}

void lspo_transformer_logits(lspo_transformer_t *t, const float *head_weights, const float *embed_weights,
                             const float *x_in, size_t count, const uint32_t *rows, float *logits_out)
{
    t->family->logits(t, head_weights, embed_weights, x_in, count, rows, logits_out);
}

void lspo_transformer_head_backward(lspo_transformer_t *t, const float *head_weights, const float *embed_weights,
                                    const uint32_t *targets, const float *x_in, const void *saved, float loss_scale,
                                    const lspo_gradient_sink_t *sink, float *embed_gradient, float *dx_out)
{
    t->family->head_backward(t, head_weights, embed_weights, targets, x_in, saved, loss_scale, sink, embed_gradient,
                             dx_out);
}

void lspo_transformer_block_backward(lspo_transformer_t *t, const float *weights, const lspo_adapters_t *adapters,
                                     const float *x_in, const void *saved, const lspo_gradient_sink_t *sink,
                                     lspo_linear_operands_t *operands_out, float *dx)
{
    const lspo_block_parameters_t from = {weights, adapters};
    t->family->block_backward(t, &from, x_in, saved, sink, operands_out, dx);
}

void lspo_transformer_embed_backward(lspo_transformer_t *t, const uint32_t *tokens, const float *dx, bool accumulate,
                                     float *embed_gradient)
{
    t->family->embed_backward(t, tokens, dx, accumulate, embed_gradient);
}
