/* transformer_state.h - what a transformer holds and what its families share; private to real/transformer*.c.
 *
 * transformer.c describes and lays out; transformer_linear.c is a linear layer with its adapter; transformer_head.c the
 * language-model head; transformer_gpt.c, _llama.c and _bert.c the stages of their families.
 */
#ifndef LSPO_REAL_TRANSFORMER_STATE_H
#define LSPO_REAL_TRANSFORMER_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/attention.h"
#include "real/transformer.h"

/* Offsets in floats of what a block keeps; a family uses those that its header names.  Where Q, K and V are one array
 * (GPT, BERT), k and v point into it. */
typedef struct {
    size_t norm1_out, mean1, rstd1, q, k, v, context, probabilities, residual, mean2, rstd2, norm2_out;
    size_t gate, mlp_pre, mlp_act, sum;
    size_t end;
} lspo_block_saved_t;

/* A classifier's: dense_out (batch x w) and probabilities (batch x classes). */
typedef struct {
    size_t norm_out, mean, rstd, dense_out, probabilities;
    size_t end;
} lspo_head_saved_t;

/* The workspace during a block's backward pass. */
typedef struct {
    size_t d_mlp_down, d_mlp_up, d_gate, d_attention_out, d_q, d_k, d_v, scratch, attention;
    size_t end;
} lspo_block_workspace_t;

/* What both passes of a block read of it. */
typedef struct {
    const float *weights;
    const lspo_adapters_t *adapters; /* or NULL */
} lspo_block_parameters_t;

/* The stages of one family; arguments as in transformer.h. */
typedef struct {
    void (*embed_forward)(lspo_transformer_t *t, const uint32_t *tokens, const float *embed_weights, float *x_out);
    void (*embed_backward)(lspo_transformer_t *t, const uint32_t *tokens, const float *dx, bool accumulate,
                           float *embed_gradient);
    void (*block_forward)(lspo_transformer_t *t, const lspo_block_parameters_t *from, const float *x_in, float *s,
                          float *x_out);
    void (*block_backward)(lspo_transformer_t *t, const lspo_block_parameters_t *from, const float *x_in,
                           const float *s, const lspo_gradient_sink_t *sink, lspo_linear_operands_t *operands_out,
                           float *dx);
    double (*head_forward)(lspo_transformer_t *t, const float *head_weights, const float *embed_weights,
                           const uint32_t *targets, const float *x_in, float *s);
    void (*head_backward)(lspo_transformer_t *t, const float *head_weights, const float *embed_weights,
                          const uint32_t *targets, const float *x_in, const float *s, float loss_scale,
                          const lspo_gradient_sink_t *sink, float *embed_gradient, float *dx_out);
    void (*logits)(lspo_transformer_t *t, const float *head_weights, const float *embed_weights, const float *x_in,
                   size_t count, const uint32_t *rows, float *logits_out);
} lspo_transformer_family_t;

extern const lspo_transformer_family_t lspo_transformer_gpt, lspo_transformer_llama, lspo_transformer_bert;

struct lspo_transformer {
    const lspo_transformer_family_t *family;
    size_t batch, sequence, tokens, width, kv_width, heads, kv_heads, mlp_width, max_sequence;
    size_t vocabulary, classes;
    bool tied, rms; /* rms: the norms have no mean and no bias */
    float epsilon;
    uint32_t stage_count;
    lspo_stage_t embed, block, head;
    lspo_block_saved_t saved;
    lspo_head_saved_t head_saved;
    lspo_block_workspace_t at;
    float *workspace;
    float *rotary;              /* the table, behind all else in the workspace (LLAMA) */
    uint32_t *lengths;          /* batch of them                                        */
    const float *embed_weights; /* of the latest embed_forward, which BERT's embed_backward reads again */
};

/* Takes `count` floats at *end and returns where they start. */
static inline size_t lspo_layout_take(size_t *end, size_t count)
{
    const size_t start = *end;
    *end += count;
    return start;
}

static inline const float *lspo_stage_weight(const lspo_stage_t *stage, uint32_t tensor, const float *weights)
{
    return weights + stage->tensors[tensor].offset_elements;
}

/* Where a non-linear tensor's gradient goes; NULL when the rest is not wanted. */
static inline float *lspo_rest_sink(const lspo_stage_t *stage, uint32_t tensor, const lspo_gradient_sink_t *sink)
{
    if (sink == NULL || sink->rest == NULL)
        return NULL;
    return sink->rest + (stage->tensors[tensor].offset_elements - stage->tensors[stage->linear_count].offset_elements);
}

static inline bool lspo_sink_adds(const lspo_gradient_sink_t *sink)
{
    return sink != NULL && sink->accumulate;
}

/* Attention of this batch, its Q, K and V in rows that far apart. */
lspo_attention_t lspo_transformer_attention(const lspo_transformer_t *t, bool causal, size_t q_stride,
                                            size_t kv_stride);

/* out (T x n) = beta out + x W [+ scale (x A) B^T], W: m x n */
void lspo_linear_forward(const lspo_transformer_t *t, uint32_t tensor, const lspo_block_parameters_t *from,
                         const float *x, float beta, float *out);
/* The gradients of a linear layer's weights, into the sink, and of its input: dx (T x m) = beta dx + dY W^T, and the
 * adapter's share. */
void lspo_linear_backward(const lspo_transformer_t *t, uint32_t tensor, const lspo_block_parameters_t *from,
                          const lspo_gradient_sink_t *sink, const float *x, const float *dy, float beta, float *dx);
/* Does nothing for NULL. */
void lspo_linear_operands(const lspo_transformer_t *t, uint32_t tensor, const float *x, const float *dy,
                          lspo_linear_operands_t *operands);

/* transformer_head.c: the head of a language model. */
double lspo_language_head_forward(lspo_transformer_t *t, const float *head_weights, const float *embed_weights,
                                  const uint32_t *targets, const float *x_in, float *s);
void lspo_language_head_backward(lspo_transformer_t *t, const float *head_weights, const float *embed_weights,
                                 const uint32_t *targets, const float *x_in, const float *s, float loss_scale,
                                 const lspo_gradient_sink_t *sink, float *embed_gradient, float *dx_out);
void lspo_language_head_logits(lspo_transformer_t *t, const float *head_weights, const float *embed_weights,
                               const float *x_in, size_t count, const uint32_t *rows, float *logits_out);

#endif
