/* state.h - the internals of a transformer; private to real/transformer/.
 *
 * transformer.c creates it and computes the layout of arrays; linear.c has linear layers with adapters, head.c the
 * language-model head; gpt.c, llama.c and bert.c have the stages of their families.
 */
#ifndef LSPO_REAL_TRANSFORMER_STATE_H
#define LSPO_REAL_TRANSFORMER_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/attention.h"
#include "real/transformer/generation.h"
#include "real/transformer/transformer.h"

/* Byte offsets of the arrays that a block saves; a family uses those listed in transformer.h.  If Q, K and V are one
 * array (GPT, BERT), k and v point into it.  Arrays that are fp32 in every format come first, so that they are
 * aligned. */
typedef struct {
    size_t mean1, rstd1, mean2, rstd2, q_rstd, k_rstd, kept;
    size_t norm1_out, q_raw, k_raw, q, k, v, context, residual, norm2_out;
    size_t gate, mlp_pre, mlp_act, sum;
    /* With experts: the gates of all; of each token its experts, and their shares of the result; the rows of an expert,
     * their inputs and results. */
    size_t router, experts, shares, rows, expert_in, expert_out;
    size_t end;
} lspo_block_saved_t;

/* The same for the head; of a classifier: dense_out (batch x w) and probabilities (batch x classes). */
typedef struct {
    size_t norm_out, mean, rstd, dense_out, probabilities;
    size_t end;
} lspo_head_saved_t;

/* The workspace during a block's backward pass. */
typedef struct {
    size_t d_mlp_down, d_mlp_up, d_gate, d_attention_out, d_q, d_k, d_v, scratch, attention;
    size_t end;
} lspo_block_workspace_t;

/* A backward pass over a block: its parameters, and the destinations of its gradients. */
typedef struct {
    lspo_transformer_t *t;
    const lspo_block_parameters_t *from;
    const lspo_gradient_sink_t *sink;     /* or NULL */
    lspo_linear_operands_t *operands_out; /* or NULL */
} lspo_block_backward_t;

/* Generation: the memory of a pass, and what it reads. */
typedef struct {
    lspo_generation_shape_t shape;          /* batch 0: this is no generation */
    size_t first;                           /* tokens in the caches */
    char *k, *v;                            /* of the current block */
    const size_t *firsts;                   /* of each sequence, where they differ; NULL: `first` of all */
    const lspo_generation_caches_t *caches; /* of the current block, if each sequence has its own; NULL: k and v */
    char *saved;                            /* a block's arrays, as in training, which nobody needs afterwards */
    float *vectors; /* of the current stage's array, what is behind the linear weights, in fp32 */
    float *attention;
    const lspo_ternary_t *experts;       /* packed, of the current block; NULL: in its array */
    lspo_generation_observer_t observer; /* NULL: none */
    void *context;
} lspo_generation_pass_t;

/* The stages of one family; arguments as in transformer.h. */
typedef struct {
    bool separate_qkv; /* Q, K and V are separate arrays */
    void (*embed_forward)(lspo_transformer_t *t, const uint32_t *tokens, const void *embed_weights, void *x_out);
    void (*embed_backward)(lspo_transformer_t *t, const uint32_t *tokens, const void *embed_weights, const void *dx,
                           bool accumulate, void *embed_gradient);
    /* A block in three parts: up to the input of the MLP; the sum of the MLP's result and the residual, which is x_out,
     * or saved where a norm follows; that norm (NULL: none).  x_out is NULL where only `s` is wanted. */
    void (*attention_forward)(lspo_transformer_t *t, const lspo_block_parameters_t *from, const void *x_in, char *s);
    void (*mlp_forward)(lspo_transformer_t *t, const lspo_block_parameters_t *from, char *s, void *x_out);
    void (*block_end)(lspo_transformer_t *t, const lspo_block_parameters_t *from, char *s, void *x_out);
    /* Generation: K and V of t->tokens rows of a block's inputs, which are the sequences of one position after the
     * other, into its cache. */
    void (*block_rebuild)(lspo_transformer_t *t, const lspo_block_parameters_t *from, const float *x_in, char *s);
    /* Generation, of blocks with experts: the two parts of mlp_forward, as in experts.c; NULL: there are none. */
    const uint32_t *(*route)(const lspo_transformer_t *t, const lspo_block_parameters_t *from, char *s);
    void (*experts_forward)(const lspo_transformer_t *t, const lspo_block_parameters_t *from, char *s, float *x_out);
    void (*block_backward)(const lspo_block_backward_t *pass, const void *x_in, const char *s, void *dx);
    void (*head_forward)(lspo_transformer_t *t, const lspo_head_parameters_t *from, const uint32_t *targets,
                         const void *x_in, char *s, double *loss_sum_out);
    void (*head_backward)(lspo_transformer_t *t, const lspo_head_parameters_t *from, const lspo_head_loss_t *loss,
                          const lspo_stage_kept_t *kept, const lspo_gradient_sink_t *sink, void *dx_out);
    void (*logits)(lspo_transformer_t *t, const lspo_head_parameters_t *from, const void *x_in, size_t count,
                   const uint32_t *rows, void *logits_out);
} lspo_transformer_family_t;

#define LSPO_TRANSFORMER_FAMILY(id, name) extern const lspo_transformer_family_t lspo_transformer_##name;
LSPO_FAMILIES(LSPO_TRANSFORMER_FAMILY)
#undef LSPO_TRANSFORMER_FAMILY

struct lspo_transformer {
    const lspo_transformer_family_t *family;
    lspo_compute_t *compute;
    size_t number_bytes;
    size_t batch, sequence, tokens, width, attention_width, kv_width, heads, kv_heads, head_width, mlp_width;
    size_t max_sequence;
    size_t vocabulary, logits_stride, classes;
    size_t experts, chosen; /* of a block, and of a token; 0: none */
    lspo_router_t router;
    bool tied, rms; /* rms: the norms have no mean and no bias */
    float epsilon;
    uint32_t stage_count;
    lspo_stage_t embed, block, head;
    uint32_t bias[LSPO_LINEAR_MAX];        /* of a block's linear layers: their tensors; 0: none */
    uint32_t norm1, norm2, q_norm, k_norm; /* a block's gains: their tensors; 0: none */
    lspo_block_saved_t saved;
    size_t mlp_input; /* the place of the MLP's input among what a block saves */
    lspo_head_saved_t head_saved;
    lspo_block_workspace_t at;
    float *rotary;               /* the table, at the start of the workspace (LLAMA) */
    char *workspace;             /* after the table */
    uint32_t *lengths;           /* one per sequence, in host memory */
    lspo_number_t weight_number; /* = the compute object's, except in generation */
    size_t weight_bytes;
    lspo_int4_form_t int4; /* of a block's linear tensors; only in generation */
    lspo_generation_pass_t pass;
};

/* Reserves `bytes` at *end and returns their offset. */
static inline size_t lspo_layout_take(size_t *end, size_t bytes)
{
    const size_t start = *end;
    *end += bytes;
    return start;
}

/* Arrays that are fp32 in every format. */
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
    return (const char *)weights + stage->tensors[tensor].offset_elements * t->weight_bytes;
}

static inline bool lspo_transformer_generates(const lspo_transformer_t *t)
{
    return t->pass.shape.batch > 0;
}

/* A linear tensor of a block; if that is their number, what is behind them. */
static inline const void *lspo_linear_in_generation(const lspo_transformer_t *t, uint32_t tensor, const void *weights)
{
    return (const char *)weights + lspo_generation_weight_offset(&t->block, t->weight_number, &t->int4, tensor);
}

/* Not for a linear tensor that is quantized. */
static inline const void *lspo_block_weight(const lspo_transformer_t *t, uint32_t tensor,
                                            const lspo_block_parameters_t *from)
{
    const lspo_tensor_t *tensors = t->block.tensors;
    const uint64_t linear = tensors[t->block.linear_count].offset_elements;
    const uint64_t left_out = from->quantized != NULL ? linear : 0;
    if (lspo_transformer_generates(t))
        return tensor < t->block.linear_count ? lspo_linear_in_generation(t, tensor, from->weights)
                                              : t->pass.vectors + tensors[tensor].offset_elements - linear;
    return (const char *)from->weights + (tensors[tensor].offset_elements - left_out) * t->weight_bytes;
}

/* The place of a tensor's gradient in the gradient array of its stage. */
static inline void *lspo_stage_gradient(const lspo_transformer_t *t, const lspo_stage_t *stage, uint32_t tensor,
                                        void *gradient)
{
    return (char *)gradient + stage->tensors[tensor].offset_elements * t->number_bytes;
}

/* The destination of a non-linear tensor's gradient; NULL if it is not wanted. */
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

/* Attention for this batch, with the given row strides of Q and of K and V. */
lspo_attention_t lspo_transformer_attention(const lspo_transformer_t *t, bool causal, size_t q_stride,
                                            size_t kv_stride);
/* The context of a causal family from the block's Q, K and V: with the cache, which also takes them, in generation. */
void lspo_transformer_attend(lspo_transformer_t *t, size_t q_stride, size_t kv_stride, char *s);

/* K and V of t->sequence positions from pass.first on, as rows of block_rebuild, into the cache. */
void lspo_transformer_put_back(lspo_transformer_t *t, const float *k, const float *v, size_t kv_stride);

/* The norm of a block whose gain is this tensor; the next tensor is its bias. */
static inline lspo_norm_t lspo_block_norm(const lspo_transformer_t *t, const lspo_block_parameters_t *from,
                                          uint32_t gain)
{
    return (lspo_norm_t){.rows = t->tokens,
                         .width = t->width,
                         .epsilon = t->epsilon,
                         .gain = lspo_block_weight(t, gain, from),
                         .bias = t->rms ? NULL : lspo_block_weight(t, gain + 1, from)};
}

/* The destinations of its gradients. */
static inline lspo_norm_gradients_t lspo_block_norm_gradients(const lspo_block_backward_t *pass, uint32_t gain,
                                                              void *dx)
{
    const lspo_transformer_t *t = pass->t;
    return (lspo_norm_gradients_t){.dx = dx,
                                   .dgain = lspo_rest_sink(t, &t->block, gain, pass->sink),
                                   .dbias = t->rms ? NULL : lspo_rest_sink(t, &t->block, gain + 1, pass->sink),
                                   .accumulate = lspo_sink_adds(pass->sink)};
}

/* The embedding of this batch. */
static inline lspo_embedding_t lspo_transformer_embedding(const lspo_transformer_t *t, const uint32_t *tokens)
{
    return (lspo_embedding_t){.batch = t->batch, .sequence = t->sequence, .width = t->width, .ids = tokens};
}

/* The saved operands of a block's attention; the backward pass adds the gradient of the output. */
static inline lspo_attention_operands_t lspo_attention_operands(const lspo_transformer_t *t, const char *s)
{
    const lspo_block_saved_t *at = &t->saved;
    return (lspo_attention_operands_t){
        .q = s + at->q, .k = s + at->k, .v = s + at->v, .kept = lspo_saved_floats(s, at->kept), .out = s + at->context};
}

static inline lspo_attention_gradients_t lspo_attention_gradients(const lspo_transformer_t *t)
{
    return (lspo_attention_gradients_t){
        .dq = t->workspace + t->at.d_q, .dk = t->workspace + t->at.d_k, .dv = t->workspace + t->at.d_v};
}

/* transformer.c: create one, without checks.  generation: NULL for training. */
typedef struct {
    uint32_t batch, sequence;
    const lspo_generation_shape_t *generation;
} lspo_transformer_sizes_t;
lspo_status_t lspo_transformer_make(const lspo_model_t *model, const lspo_transformer_sizes_t *sizes,
                                    lspo_compute_t *compute, void *workspace, lspo_transformer_t **transformer_out);
/* The bytes of a block's saved arrays in generation; of the rotary table. */
size_t lspo_transformer_generation_saved(const lspo_model_t *model, const lspo_generation_shape_t *generation);
size_t lspo_transformer_rotary_bytes(const lspo_model_t *model, size_t positions);

/* linear.c: the linear layer whose weight W (m x n) is this tensor of the block, with its bias and adapter. */

/* out (T x n) = x W + bias + residual [+ scale (x A) B^T]; residual may be NULL. */
void lspo_block_linear_forward(const lspo_transformer_t *t, const lspo_block_parameters_t *from, uint32_t tensor,
                               const void *x, const void *residual, void *out);
/* pre_out = the result of lspo_block_linear_forward() without residual; out = gelu(pre_out), tanh form. */
void lspo_block_linear_gelu_forward(const lspo_transformer_t *t, const lspo_block_parameters_t *from, uint32_t tensor,
                                    const void *x, void *pre_out, void *out);
/* Writes the gradients of W and of the adapter to the sink, and computes that of the input: dx (T x m) = beta dx + dY
 * W^T, plus the adapter's part.  The caller computes that of the bias.  Fills the layer's operands. */
void lspo_block_linear_backward(const lspo_block_backward_t *pass, uint32_t tensor, const void *x, const void *dy,
                                float beta, void *dx);
/* The same for the layer after a GELU (tanh form), x = gelu(pre).  d (T x m) receives the gradient of pre.  Also
 * computes the bias gradient of the layer before the GELU, whose W is the previous tensor. */
void lspo_block_linear_gelu_backward(const lspo_block_backward_t *pass, uint32_t tensor, const void *x, const void *pre,
                                     const void *dy, void *d);
/* The destination of the gradient of the layer's bias, which is dY summed over the rows; NULL if it is not wanted. */
void *lspo_block_bias_sink(const lspo_block_backward_t *pass, uint32_t tensor);
void lspo_block_bias_backward(const lspo_block_backward_t *pass, uint32_t tensor, const void *dy);

/* keys.c: the adapter beside the MLP, if there is one, whose input is `h`: adds its result to `sum`; writes the
 * gradient of its rows to the sink, and adds that of h to dh. */
void lspo_block_keys_forward(const lspo_transformer_t *t, const lspo_block_parameters_t *from, const void *h,
                             void *sum);
void lspo_block_keys_backward(const lspo_block_backward_t *pass, const void *h, const void *dy, void *dh);

/* experts.c: in generation, the MLP of a block with experts.  route: the experts of each token, tokens x chosen. */
const uint32_t *lspo_block_route(const lspo_transformer_t *t, const lspo_block_parameters_t *from, char *s);
void lspo_block_experts_forward(const lspo_transformer_t *t, const lspo_block_parameters_t *from, char *s,
                                float *x_out);

/* head.c: the head of a language model. */
void lspo_language_head_forward(lspo_transformer_t *t, const lspo_head_parameters_t *from, const uint32_t *targets,
                                const void *x_in, char *s, double *loss_sum_out);
void lspo_language_head_backward(lspo_transformer_t *t, const lspo_head_parameters_t *from,
                                 const lspo_head_loss_t *loss, const lspo_stage_kept_t *kept,
                                 const lspo_gradient_sink_t *sink, void *dx_out);
void lspo_language_head_logits(lspo_transformer_t *t, const lspo_head_parameters_t *from, const void *x_in,
                               size_t count, const uint32_t *rows, void *logits_out);

#endif
