/* transformer.h - forward and backward of a GPT, a Llama or a RoBERTa classifier, stage by stage, on the host or a GPU.
 *
 * GPT    pre-norm blocks, causal attention, GELU (tanh form), learned positions, head tied to the token embedding
 *        or not
 * LLAMA  pre-norm blocks with RMS norm, rotary positions, grouped queries, SwiGLU, no biases
 * BERT   post-norm blocks, attention both ways among the tokens that a sequence has, exact GELU, learned positions; a
 *        head that classifies each sequence by its first token, or gives it a number
 * The equations: gpt.c, llama.c, bert.c.
 *
 * Every linear layer of a block may have a low-rank adapter beside its W (kernels/adapter.h).
 * Weights and gradients of a stage are one array each, laid out by lspo_model_stage().  This file knows nothing of
 * plans, lanes or optimizers: the caller owns every buffer and says where it is.  T = batch x sequence.
 *
 * All is computed through one lspo_compute_t (compute.h): `void *` arrays are its device's memory and hold numbers of
 * its format, fp32 on the host; token ids and targets are its device's memory, too.  Calls enqueue their work there,
 * and what went wrong is told by lspo_compute_status().
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
/* What is kept, in numbers of the format where nothing else is said, in memory order (T = batch s, w width, kv width of
 * K and of V, f MLP width, h heads, s sequence, V vocabulary, V' from one row of logits to the next
 * (lspo_logits_stride(): V in fp32; what lies behind a row is never read), c classes); lspo_activations() counts the
 * same bytes.
 *   block saved
 *       in fp32 whatever the format is
 *              rstd1 T, rstd2 T; not LLAMA: mean1 T, mean2 T; of attention T h s, its probabilities or, where it is
 *              flash (compute.h), in the first T h of them the rows' log sums; in 16 bits T h only
 *       GPT    T (5 w + 2 kv + 2 f): norm1_out T w, qkv T (w + 2 kv), context T w, residual a T w, norm2_out T w,
 *              mlp_pre T f, mlp_act T f
 *       LLAMA  T (5 w + 2 kv + 3 f): norm1_out T w, q T w, k T kv, v T kv, context T w, residual a T w, norm2_out T w,
 *              gate T f, up T f, their product T f
 *       BERT   as many as GPT: norm1_out T w, qkv T (w + 2 kv), context T w, input of norm1 T w, input of norm2 T w,
 *              mlp_pre T f, mlp_act T f
 *   head saved
 *       GPT    rstd T and mean T in fp32, norm_out T w, probabilities T V'.  LLAMA: no mean
 *       BERT   batch (w + c): tanh of the dense layer, probabilities (the number itself where c = 1)
 *   workspace
 *       LLAMA: the rotary table, s w / h in fp32, which lspo_transformer_create() writes and which must stay;
 *       max(T (4 w + 2 kv + f), head saved), LLAMA: 2 f: in a block's backward pass the dY that lspo_linear_operands_t
 *       points at and one scratch T w; in the head's T (V' + w), in evaluation the saved set;
 *       in fp32 (32 + w / h) s for attention in either pass of a block */
/* clang-format on */

/* A masked-language head (BERT with class_count 0) is LSPO_ERR_INPUT, as are odd head widths of a LLAMA, zero sizes, a
 * sequence above the model's maximum, and shapes beyond what 31-bit matrix sizes hold.  On a GPU BERT is, too, and
 * heads wider than 128.  `workspace` has lspo_transformer_workspace_bytes() bytes of device memory, 64-byte aligned,
 * and stays the caller's, as `compute` does, whose format must not change; SIZE_MAX stands for a size that overflows.
 * Products that this process makes on the host run on the calling thread from then on (kernels/gemm.h). */
size_t lspo_transformer_workspace_bytes(const lspo_model_t *model, uint32_t batch, uint32_t sequence,
                                        lspo_number_t number);
lspo_status_t lspo_transformer_create(const lspo_model_t *model, uint32_t batch, uint32_t sequence,
                                      lspo_compute_t *compute, void *workspace, lspo_transformer_t **transformer_out);
void lspo_transformer_destroy(lspo_transformer_t *transformer);

/* Bytes of what FWD saves for BWD (besides the stage's input, T x w numbers): block and head; 0 for
 * embed.  Equal to saved_bytes and head_bytes of lspo_activations() in the format's precision. */
size_t lspo_transformer_saved_bytes(const lspo_transformer_t *transformer, uint32_t stage);

/* How many tokens each sequence of the batch has (batch numbers, copied; NULL: all of them, as after create): BERT's
 * attention does not look at those behind, and a caller gives them any valid id.  Causal families need no lengths:
 * padding comes last there, and its targets are ignored.  LSPO_ERR_INPUT for a number outside 1..sequence. */
lspo_status_t lspo_transformer_set_lengths(lspo_transformer_t *t, const uint32_t *lengths);

/* Initialisation of a stage's weights, in fp32 in the host's memory, seeded: N(0, 0.02), GPT's and LLAMA's residual
 * projections / sqrt(2 blocks) as GPT-2 does, gains 1, biases 0. */
void lspo_transformer_init(const lspo_model_t *model, uint32_t stage, uint64_t seed, float *weights);

/* tokens: T token ids < vocabulary.  x_out: T x w.  BERT: embed_backward reads these weights again. */
void lspo_transformer_embed_forward(lspo_transformer_t *t, const uint32_t *tokens, const void *embed_weights,
                                    void *x_out);
/* What the linear layers of a block compute beside W: X W + b + scale (X A) B^T.  A NULL lspo_adapters_t: nothing. */
typedef struct {
    const void *factors; /* of each linear weight (m x n) in order A (m x rank), then B (n x rank): the layout of
                            lspo_message_adapters() */
    uint32_t rank;
    float scale;
    void *scratch; /* 2 x T x rank numbers, the caller's */
} lspo_adapters_t;

/* What a block computes with. */
typedef struct {
    const void *weights;
    const lspo_adapters_t *adapters; /* or NULL */
} lspo_block_parameters_t;

/* x_in, x_out: T x w, not the same buffer.  RECOMPUTE is this call with x_out = NULL, which stops before the last
 * product (BERT: before nothing), since only `saved` is wanted. */
void lspo_transformer_block_forward(lspo_transformer_t *t, const lspo_block_parameters_t *from, const void *x_in,
                                    void *saved, void *x_out);

/* What the head computes with: its own weights, and those of the embed stage, which a tied head reads. */
typedef struct {
    const void *head, *embed;
} lspo_head_parameters_t;

/* *loss_sum_out (device memory): the cross-entropy, in nats, summed over the T targets that are not LSPO_TARGET_IGNORED
 * (kernels/loss.h); by their number it is the mean, which is for the caller to form.  Classifiers have `batch` targets:
 * class numbers; with class_count 1 the bits of a float each, and the squared error.  saved may be NULL for evaluation
 * only, which uses the workspace. */
void lspo_transformer_head_forward(lspo_transformer_t *t, const lspo_head_parameters_t *from, const uint32_t *targets,
                                   const void *x_in, void *saved, double *loss_sum_out);
/* How many targets a batch has: T, or `batch`. */
size_t lspo_transformer_targets(const lspo_transformer_t *t);

/* Of a classifier, right after head_forward without `saved`: how many of the targets that count are the most likely
 * class, the lowest of equals. */
size_t lspo_transformer_classified_right(const lspo_transformer_t *t, const uint32_t *targets);

/* logits_out (count x V, dense): what the head says of `count` rows of x_in (rows: their numbers, each < T; NULL: the
 * first).  Classifiers: count x classes, of sequences of the batch instead of rows.  Uses the workspace. */
void lspo_transformer_logits(lspo_transformer_t *t, const lspo_head_parameters_t *from, const void *x_in, size_t count,
                             const uint32_t *rows, void *logits_out);

/* Where a block's linear layers find the factors of their gradients G = X^T dY after block_backward, in the order of
 * the stage's linear tensors: valid until the next backward call or evaluation.  x points into `saved` (of BERT's qkv
 * to x_in), dy into the workspace. */
typedef struct {
    lspo_gradient_factors_t of[LSPO_LINEAR_MAX];
} lspo_linear_operands_t;

/* Gradient sinks of a stage; NULL: not wanted, and not computed.  A NULL sink wants neither. */
typedef struct {
    void *linear;          /* the stage's linear tensors, as in the stage array from its start  */
    void *adapters;        /* the adapters, laid out as their factors; not without adapters     */
    void *rest;            /* its other tensors, as in the stage array from the first non-linear */
    void *tied;            /* head: the token embedding's gradient (V x w, row-major as in the embed stage array), to
                              which a tied head has a share; other heads leave it alone */
    bool accumulate;       /* add to what is there (micro-batches after the first)              */
    bool overwrite_linear; /* but not in `linear`, which holds one micro-batch at a time        */
} lspo_gradient_sink_t;

/* What a stage's forward pass leaves to its backward pass. */
typedef struct {
    const void *x_in; /* the stage's input, T x w */
    const void *saved;
} lspo_stage_kept_t;

/* What is differentiated: `scale` times the sum of the targets' losses. */
typedef struct {
    const uint32_t *targets;
    float scale; /* 1 / (targets of the step that count) for the mean */
} lspo_head_loss_t;

/* dx_out: T x w. */
void lspo_transformer_head_backward(lspo_transformer_t *t, const lspo_head_parameters_t *from,
                                    const lspo_head_loss_t *loss, const lspo_stage_kept_t *kept,
                                    const lspo_gradient_sink_t *sink, void *dx_out);
/* dx: T x w, in place: gradient of the block's output on entry, of its input on return, the adapters' share included.
 * operands_out may be NULL. */
void lspo_transformer_block_backward(lspo_transformer_t *t, const lspo_block_parameters_t *from,
                                     const lspo_stage_kept_t *kept, const lspo_gradient_sink_t *sink,
                                     lspo_linear_operands_t *operands_out, void *dx);
/* Tied head: adds to embed_gradient's token rows (the head wrote them first).  When `accumulate` is false, overwrites
 * all else: the position rows (unused ones with 0), the embedding's norm, without a tied head the token rows too.  Uses
 * the workspace. */
void lspo_transformer_embed_backward(lspo_transformer_t *t, const uint32_t *tokens, const void *dx, bool accumulate,
                                     void *embed_gradient);

#endif
