/* transformer.h - forward and backward of a GPT, a Llama or a RoBERTa classifier, stage by stage, on the host or a GPU.
 *
 * GPT    pre-norm blocks, causal attention, GELU (tanh form), learned positions, head tied to the token embedding
 *        or not
 * LLAMA  pre-norm blocks with RMS norm, rotary positions, grouped queries, SwiGLU, no biases
 * BERT   post-norm blocks, bidirectional attention over the tokens of a sequence, exact GELU, learned positions; a
 *        head that computes a class, or a number, for each sequence from its first token
 * The equations: gpt.c, llama.c, bert.c.
 *
 * Every linear layer of a block may have a low-rank adapter (kernels/adapter.h), and its W may be 4-bit codes
 * (kernels/nf4.h).  Beside the MLP there may be an adapter of which each token uses few rows (kernels/keys.h).
 * Weights and gradients of a stage are one array each, in the layout of lspo_model_stage().  This code is independent
 * of plans, lanes and optimizers: the caller owns every buffer and passes it.  T = batch x sequence.
 *
 * Everything is computed by one lspo_compute_t (compute.h).  `void *` arrays are in its device's memory and have its
 * number format, fp32 on the host; token ids and targets are in device memory too.  Calls enqueue their work on the
 * device, and lspo_compute_status() reports failures.
 *
 * Not modelled: dropout, scaled rotary positions.
 */
#ifndef LSPO_REAL_TRANSFORMER_TRANSFORMER_H
#define LSPO_REAL_TRANSFORMER_TRANSFORMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/footprint.h"
#include "plan/model.h"
#include "real/device/compute.h"

typedef struct lspo_transformer lspo_transformer_t;

/* clang-format off */
/* The arrays that are kept, in memory order, and their sizes, in numbers of the format unless stated otherwise (T =
 * batch s, w width, kv width of K and of V, f MLP width, h heads, s sequence, V vocabulary, V' the row stride of logits
 * (lspo_logits_stride(): V in fp32; the gap after a row is never read), c classes); lspo_activations() counts the same
 * bytes.
 *   block saved
 *       fp32 in every format
 *              rstd1 T, rstd2 T; not LLAMA: mean1 T, mean2 T; for attention T h s: its probabilities or, if it is flash
 * (compute.h), the rows' log sums in the first T h; in 16 bits only T h
 *       GPT    T (5 w + 2 kv + 2 f): norm1_out T w, qkv T (w + 2 kv), context T w, residual a T w, norm2_out T w,
 *              mlp_pre T f, mlp_act T f
 *       LLAMA  T (5 w + 2 kv + 3 f): norm1_out T w, q T w, k T kv, v T kv, context T w, residual a T w, norm2_out T w,
 *              gate T f, up T f, their product T f
 *       BERT   the same count as GPT: norm1_out T w, qkv T (w + 2 kv), context T w, input of norm1 T w, input of norm2
 * T w,
 *              mlp_pre T f, mlp_act T f
 *   head saved
 *       GPT    rstd T and mean T in fp32, norm_out T w, probabilities T V'.  LLAMA: no mean
 *       BERT   batch (w + c): tanh of the dense layer, probabilities (if c = 1, the number itself)
 *   workspace
 *       LLAMA: the rotary table, s w / h in fp32, written by lspo_transformer_create(); it must not be overwritten;
 *       max(T (4 w + 2 kv + f), head saved), LLAMA: 2 f: in a block's backward pass the dY in lspo_linear_operands_t
 * and one scratch T w; in the head's T (V' + w); in evaluation the saved arrays;
 *       in fp32 (32 + w / h) s for attention in either pass of a block */
/* clang-format on */

/* LSPO_ERR_INPUT for a masked-language head (BERT with class_count 0), odd head widths of a LLAMA, zero sizes, a
 * sequence above the model's maximum, and matrix sizes of 2^31 or more; on a GPU also for BERT and for heads wider than
 * 128.  `workspace` has lspo_transformer_workspace_bytes() bytes of device memory (SIZE_MAX: the size overflows),
 * 64-byte aligned.  The caller owns it and `compute`, whose format must not change.  From then on, matrix products of
 * this process on the host run on the calling thread (kernels/gemm.h). */
size_t lspo_transformer_workspace_bytes(const lspo_model_t *model, uint32_t batch, uint32_t sequence,
                                        lspo_number_t number);
lspo_status_t lspo_transformer_create(const lspo_model_t *model, uint32_t batch, uint32_t sequence,
                                      lspo_compute_t *compute, void *workspace, lspo_transformer_t **transformer_out);
void lspo_transformer_destroy(lspo_transformer_t *transformer);

/* Bytes that FWD saves for BWD, in addition to the stage's input (T x w numbers), for block and head; 0 for embed.
 * Equal to saved_bytes and head_bytes of lspo_activations() in the format's precision. */
size_t lspo_transformer_saved_bytes(const lspo_transformer_t *transformer, uint32_t stage);

/* Set how many tokens each sequence of the batch has (`batch` numbers, copied; NULL: all, as after create).  BERT's
 * attention ignores the tokens after them, which may have any valid id.  Causal families need no lengths: padding comes
 * last, and its targets are ignored.  LSPO_ERR_INPUT for a number outside 1..sequence. */
lspo_status_t lspo_transformer_set_lengths(lspo_transformer_t *t, const uint32_t *lengths);

/* Initialise a stage's weights, in fp32 in host memory, from a seed: N(0, 0.02), residual projections of GPT and LLAMA
 * divided by sqrt(2 blocks) as in GPT-2, gains 1, biases 0. */
void lspo_transformer_init(const lspo_model_t *model, uint32_t stage, uint64_t seed, float *weights);

/* Of the same numbers those of a stage in any format, or what is behind its linear tensors; or, in fp32, some columns
 * of a linear tensor, rows x count.  They take no memory of their own. */
typedef struct {
    uint32_t stage;
    uint64_t seed;
    lspo_number_t number;
} lspo_init_t;
typedef struct {
    uint32_t tensor;
    size_t first, count;
} lspo_init_columns_t;
void lspo_transformer_init_as(const lspo_model_t *model, const lspo_init_t *init, void *weights);
void lspo_transformer_init_rest(const lspo_model_t *model, const lspo_init_t *init, void *rest);
void lspo_transformer_init_columns(const lspo_model_t *model, const lspo_init_t *init, const lspo_init_columns_t *of,
                                   float *columns);

/* tokens: T token ids < vocabulary.  x_out: T x w. */
void lspo_transformer_embed_forward(lspo_transformer_t *t, const uint32_t *tokens, const void *embed_weights,
                                    void *x_out);
/* The adapters of a block's linear layers: X W + b + scale (X A) B^T.  A NULL lspo_adapters_t: none. */
typedef struct {
    /* For each linear weight (m x n) in order: A (m x rank), then B (n x rank), as in lspo_message_adapters(). */
    const void *factors;
    uint32_t rank;
    float scale;
    void *scratch; /* 2 x T x rank numbers, owned by the caller */
} lspo_adapters_t;

/* A block's linear weights in 4 bits, in their order.  Each is expanded before every product with it. */
typedef struct {
    lspo_nf4_t linear[LSPO_LINEAR_MAX];
    void *expanded; /* room for the largest, in the device's format, owned by the caller */
} lspo_quantized_t;

/* An adapter beside the MLP: the rows that the batch uses, and 2 T K floats of device memory. */
typedef struct {
    lspo_keys_t rows;
    float *scratch;
} lspo_block_keys_t;

/* The parameters of a block. */
typedef struct {
    const void *weights;               /* the stage's array; without the linear tensors if they are quantized */
    const lspo_adapters_t *adapters;   /* or NULL */
    const lspo_quantized_t *quantized; /* or NULL */
    const lspo_block_keys_t *keys;     /* or NULL */
} lspo_block_parameters_t;

/* x_in, x_out: T x w, not the same buffer.  RECOMPUTE is this call with x_out = NULL: only `saved` is needed, so it
 * skips the last product (except for BERT). */
void lspo_transformer_block_forward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const void *x_in,
                                    void *saved, void *x_out);
/* The same in three calls, of which only the last one needs `keys`: which rows these are depends on the MLP's input,
 * which the first call saves. */
void lspo_transformer_block_begin(lspo_transformer_t *t, const lspo_block_parameters_t *from, const void *x_in,
                                  void *saved);
void lspo_transformer_block_mlp(lspo_transformer_t *t, const lspo_block_parameters_t *from, void *saved, void *x_out);
void lspo_transformer_block_end(lspo_transformer_t *t, const lspo_block_parameters_t *from, void *saved, void *x_out);
/* The MLP's input (T x w) among what the block has saved. */
const void *lspo_transformer_mlp_input(const lspo_transformer_t *t, const void *saved);

/* The parameters of the head: its own weights, and those of the embed stage, which a tied head uses. */
typedef struct {
    const void *head, *embed;
} lspo_head_parameters_t;

/* *loss_sum_out (device memory): the cross-entropy, in nats, summed over the T targets that are not LSPO_TARGET_IGNORED
 * (kernels/loss.h); the caller divides by their number for the mean.  Classifiers have `batch` targets, class numbers;
 * with class_count 1 each target is the bits of a float, and the loss is the squared error.  saved may be NULL in
 * evaluation, which then uses the workspace. */
void lspo_transformer_head_forward(lspo_transformer_t *t, const lspo_head_parameters_t *from, const uint32_t *targets,
                                   const void *x_in, void *saved, double *loss_sum_out);
/* The number of targets of a batch: T, or `batch` for a classifier. */
size_t lspo_transformer_targets(const lspo_transformer_t *t);

/* For a classifier, directly after head_forward without `saved`: what it predicts for a sequence, the most likely class
 * (on ties the lowest) or, with class_count 1, the number. */
float lspo_transformer_predicted(const lspo_transformer_t *t, size_t row);

/* logits_out (count x V, dense): the head's logits for `count` rows of x_in (rows: their numbers, each < T; NULL: the
 * first `count`).  For classifiers count x classes, for sequences of the batch instead of rows.  Uses the workspace. */
void lspo_transformer_logits(lspo_transformer_t *t, const lspo_head_parameters_t *from, const void *x_in, size_t count,
                             const uint32_t *rows, void *logits_out);

/* The factors of the gradients G = X^T dY of a block's linear layers after block_backward, in the order of the stage's
 * linear tensors; valid until the next backward call or evaluation.  x points into `saved` (BERT's qkv: to x_in), dy
 * into the workspace. */
typedef struct {
    lspo_gradient_factors_t of[LSPO_LINEAR_MAX];
} lspo_linear_operands_t;

/* Destinations of a stage's gradients; gradients with a NULL field, or a NULL sink, are not computed. */
typedef struct {
    void *linear;          /* linear tensors, in the layout of the stage array */
    void *adapters;        /* adapters, in the layout of their factors; NULL without adapters */
    void *keys;            /* rows of the adapter beside the MLP (U x 2 w), overwritten; there if the block has one */
    void *rest;            /* other tensors, in the layout of the stage array from the first non-linear one */
    void *tied;            /* tied head: its part of the token embedding's gradient (V x w); not used by others */
    bool accumulate;       /* add to previous values (micro-batches after the first) */
    bool overwrite_linear; /* except in `linear`, which has one micro-batch at a time */
} lspo_gradient_sink_t;

/* What a stage's backward pass needs from its forward pass. */
typedef struct {
    const void *x_in; /* the stage's input, T x w */
    const void *saved;
} lspo_stage_kept_t;

/* The function to differentiate: `scale` times the sum of the targets' losses. */
typedef struct {
    const uint32_t *targets;
    float scale; /* for the mean: 1 / number of targets of the step that count */
} lspo_head_loss_t;

/* dx_out: T x w. */
void lspo_transformer_head_backward(lspo_transformer_t *t, const lspo_head_parameters_t *from,
                                    const lspo_head_loss_t *loss, const lspo_stage_kept_t *kept,
                                    const lspo_gradient_sink_t *sink, void *dx_out);
/* dx: T x w, in place: on entry the gradient of the block's output, on return that of its input, including the
 * adapters' part. operands_out may be NULL. */
void lspo_transformer_block_backward(lspo_transformer_t *t, const lspo_block_parameters_t *from,
                                     const lspo_stage_kept_t *kept, const lspo_gradient_sink_t *sink,
                                     lspo_linear_operands_t *operands_out, void *dx);
/* With a tied head, adds to the token rows of embed_gradient, which the head wrote first.  If `accumulate` is false,
 * overwrites the rest: the position rows (unused ones with 0), the embedding's norm and, without a tied head, the token
 * rows.  embed_weights: as in the forward pass; read if the family's row says embed_norm (plan/family.h).  Uses the
 * workspace. */
void lspo_transformer_embed_backward(lspo_transformer_t *t, const uint32_t *tokens, const void *embed_weights,
                                     const void *dx, bool accumulate, void *embed_gradient);

#endif
