/* state.h - what a transformer holds and what its families share; private to real/transformer/transformer*.c.
 *
 * transformer.c describes and lays out; linear.c is a linear layer with its adapter; head.c the
 * language-model head; gpt.c, llama.c and bert.c the stages of their families.
 */
#ifndef LSPO_REAL_TRANSFORMER_STATE_H
#define LSPO_REAL_TRANSFORMER_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/attention.h"
#include "real/transformer/transformer.h"

/* Offsets in bytes of what a block keeps; a family uses those that its header names.  Where Q, K and V are one array
 * (GPT, BERT), k and v point into it.  What is fp32 in every format comes first, so that it is aligned. */
typedef struct {
    size_t mean1, rstd1, mean2, rstd2, kept;
    size_t norm1_out, q, k, v, context, residual, norm2_out;
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
    const void *weights;
    const lspo_adapters_t *adapters; /* or NULL */
} lspo_block_parameters_t;

/* The stages of one family; arguments as in transformer.h. */
typedef struct {
    bool separate_qkv; /* Q, K and V are arrays of their own */
    void (*embed_forward)(lspo_transformer_t *t, const uint32_t *tokens, const void *embed_weights, void *x_out);
    void (*embed_backward)(lspo_transformer_t *t, const uint32_t *tokens, const void *dx, bool accumulate,
                           void *embed_gradient);
    void (*block_forward)(lspo_transformer_t *t, const lspo_block_parameters_t *from, const void *x_in, char *s,
                          void *x_out);
    void (*block_backward)(lspo_transformer_t *t, const lspo_block_parameters_t *from, const void *x_in, const char *s,
                           const lspo_gradient_sink_t *sink, lspo_linear_operands_t *operands_out, void *dx);
    void (*head_forward)(lspo_transformer_t *t, const void *head_weights, const void *embed_weights,
                         const uint32_t *targets, const void *x_in, char *s, double *loss_sum_out);
    void (*head_backward)(lspo_transformer_t *t, const void *head_weights, const void *embed_weights,
                          const uint32_t *targets, const void *x_in, const char *s, float scale,
                          const lspo_gradient_sink_t *sink, void *embed_gradient, void *dx_out);
    void (*logits)(lspo_transformer_t *t, const void *head_weights, const void *embed_weights, const void *x_in,
                   size_t count, const uint32_t *rows, void *logits_out);
} lspo_transformer_family_t;

#define LSPO_TRANSFORMER_FAMILY(id, name) extern const lspo_transformer_family_t lspo_transformer_##name;
LSPO_FAMILIES(LSPO_TRANSFORMER_FAMILY)
#undef LSPO_TRANSFORMER_FAMILY

struct lspo_transformer {
    const lspo_transformer_family_t *family;
    lspo_compute_t *compute;
    size_t number_bytes;
    size_t batch, sequence, tokens, width, kv_width, heads, kv_heads, mlp_width, max_sequence;
    size_t vocabulary, logits_stride, classes;
    bool tied, rms; /* rms: the norms have no mean and no bias */
    float epsilon;
    uint32_t stage_count;
    lspo_stage_t embed, block, head;
    lspo_block_saved_t saved;
    lspo_head_saved_t head_saved;
    lspo_block_workspace_t at;
    float *rotary;             /* the table, before all else in the workspace (LLAMA) */
    char *workspace;           /* behind it                                           */
    uint32_t *lengths;         /* batch of them, the host's                           */
    const void *embed_weights; /* of the latest embed_forward, which BERT's embed_backward reads again */
};

/* Takes `bytes` at *end and returns where they start. */
static inline size_t lspo_layout_take(size_t *end, size_t bytes)
{
    const size_t start = *end;
    *end += bytes;
    return start;
}

/* What is fp32 in every format. */
static inline float *lspo_floats(char *s, size_t offset)
{
    return (float *)(void *)(s + offset);
}

static inline const float *lspo_saved_floats(const char *s, size_t offset)
{
    return (const float *)(const void *)(s + offset);
}

static inline const void *lspo_stage_weight(const lspo_transformer_t *t, const lspo_stage_t *stage, uint32_t tensor,
                                            const void *weights)
{
    return (const char *)weights + stage->tensors[tensor].offset_elements * t->number_bytes;
}

static inline const void *lspo_block_weight(const lspo_transformer_t *t, uint32_t tensor,
                                            const lspo_block_parameters_t *from)
{
    return lspo_stage_weight(t, &t->block, tensor, from->weights);
}

/* Where a tensor's gradient goes in an array of its stage. */
static inline void *lspo_stage_gradient(const lspo_transformer_t *t, const lspo_stage_t *stage, uint32_t tensor,
                                        void *gradient)
{
    return (char *)gradient + stage->tensors[tensor].offset_elements * t->number_bytes;
}

/* Where a non-linear tensor's gradient goes; NULL when the rest is not wanted. */
static inline void *lspo_rest_sink(const lspo_transformer_t *t, const lspo_stage_t *stage, uint32_t tensor,
                                   const lspo_gradient_sink_t *sink)
{
    if (sink == NULL || sink->rest == NULL)
        return NULL;
    const uint64_t first = stage->tensors[stage->linear_count].offset_elements;
    return (char *)sink->rest + (stage->tensors[tensor].offset_elements - first) * t->number_bytes;
}

static inline bool lspo_sink_adds(const lspo_gradient_sink_t *sink)
{
    return sink != NULL && sink->accumulate;
}

/* T x w numbers. */
static inline void lspo_copy_activations(const lspo_transformer_t *t, const void *in, void *out)
{
    lspo_compute_copy(t->compute, t->tokens * t->width * t->number_bytes, in, out);
}

/* Attention of this batch, its Q, K and V in rows that far apart. */
lspo_attention_t lspo_transformer_attention(const lspo_transformer_t *t, bool causal, size_t q_stride,
                                            size_t kv_stride);

/* out (T x n) = x W + bias + residual [+ scale (x A) B^T], W: m x n; bias and residual may be NULL. */
void lspo_linear_forward(const lspo_transformer_t *t, uint32_t tensor, const lspo_block_parameters_t *from,
                         const void *x, const void *bias, const void *residual, void *out);
/* pre_out = what lspo_linear_forward() gives, out = gelu(pre_out), tanh form. */
void lspo_linear_gelu_forward(const lspo_transformer_t *t, uint32_t tensor, const lspo_block_parameters_t *from,
                              const void *x, const void *bias, void *pre_out, void *out);
/* The gradients of a linear layer's weights, into the sink, and of its input: dx (T x m) = beta dx + dY W^T, and the
 * adapter's share. */
void lspo_linear_backward(const lspo_transformer_t *t, uint32_t tensor, const lspo_block_parameters_t *from,
                          const lspo_gradient_sink_t *sink, const void *x, const void *dy, float beta, void *dx);
/* The same of the layer behind a GELU (tanh form): x = gelu(pre), d (T x m) the gradient of pre.  bias_gradient (m, or
 * NULL): its column sums, added to when the sink accumulates. */
void lspo_linear_gelu_backward(const lspo_transformer_t *t, uint32_t tensor, const lspo_block_parameters_t *from,
                               const lspo_gradient_sink_t *sink, const void *x, const void *pre, const void *dy,
                               void *bias_gradient, void *d);
/* Does nothing for NULL. */
void lspo_linear_operands(const lspo_transformer_t *t, uint32_t tensor, const void *x, const void *dy,
                          lspo_linear_operands_t *operands);

/* head.c: the head of a language model. */
void lspo_language_head_forward(lspo_transformer_t *t, const void *head_weights, const void *embed_weights,
                                const uint32_t *targets, const void *x_in, char *s, double *loss_sum_out);
void lspo_language_head_backward(lspo_transformer_t *t, const void *head_weights, const void *embed_weights,
                                 const uint32_t *targets, const void *x_in, const char *s, float scale,
                                 const lspo_gradient_sink_t *sink, void *embed_gradient, void *dx_out);
void lspo_language_head_logits(lspo_transformer_t *t, const void *head_weights, const void *embed_weights,
                               const void *x_in, size_t count, const uint32_t *rows, void *logits_out);

#endif
