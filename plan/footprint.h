/* footprint.h - how many elements and bytes each part of a fine-tuning takes, stage by stage.
 *
 * Shared by the plan (allocations), the reports (itemised memory) and the real path (sizes of buffers).
 * Symbols: T tokens per micro-batch, p bytes per element (workload precision), w width, f mlp width, h heads,
 * s sequence, V vocabulary.
 */
#ifndef LSPO_PLAN_FOOTPRINT_H
#define LSPO_PLAN_FOOTPRINT_H

#include <stdbool.h>
#include <stdint.h>

#include "plan/model.h"
#include "plan/workload.h"

/* What part of a linear weight's gradient is kept and optimised. */
typedef enum {
    LSPO_FORM_DENSE,    /* G itself                                                    */
    LSPO_FORM_SUBSPACE, /* lsp: P^T G Q with sparse P and Q                            */
    LSPO_FORM_ADAPTER,  /* lora: the gradients of A (m x r) and B (n x r), W is frozen */
    LSPO_FORM_LOWRANK,  /* low rank: A^T G or G A with a dense orthonormal A           */
    LSPO_FORM_COLUMNS,  /* some columns stay on the GPU, the message is the others     */
    LSPO_FORM_ROWS      /* meft: the rows of an adapter that the batch uses, W is frozen */
} lspo_gradient_form_t;

/* How one linear weight (m x n) crosses the link under lsp: d_m = min(d, m), d_n = min(d, n); sent uncompressed
 * when d_m d_n >= m n. */
typedef struct {
    uint32_t rows, cols;         /* m, n      */
    uint32_t d_rows, d_cols;     /* d_m, d_n  */
    uint32_t nnz_rows, nnz_cols; /* nonzeros per row of P and of Q: min(r, d_m), min(r, d_n) */
    bool compressed;
    uint64_t message_offset_elements; /* where it starts in the stage's message            */
    uint64_t message_elements;        /* d_m d_n, or m n                                   */
} lspo_projection_t;

enum { LSPO_LINEAR_MAX = 8 };

/* The message of a stage: first the linear weights in order, then (if trained) all its other tensors in their order. */
typedef struct {
    uint32_t linear_count;
    lspo_projection_t linear[LSPO_LINEAR_MAX];
    uint64_t rest_offset_elements; /* of the uncompressed other tensors in the message */
    uint64_t rest_elements;        /* 0 when frozen                                    */
    uint64_t element_count;        /* of the whole message; 0: nothing of this stage is trained */
} lspo_message_t;

/* Uncompressed message: with `train_rest` every tensor of the stage in stage order, so the message *is* the stage's
 * gradient array; without, only its linear tensors (blocks only). */
void lspo_message_dense(const lspo_stage_t *stage, bool train_rest, lspo_message_t *message_out);
/* The message under lsp with subspace d and nnz r. */
void lspo_message_projected(const lspo_stage_t *stage, uint32_t d, uint32_t r, bool train_rest,
                            lspo_message_t *message_out);

/* The first linear weight of the message with the shape of weight `i`, possibly i itself. */
uint32_t lspo_message_first_alike(const lspo_message_t *message, uint32_t i);

/* lora: of each linear weight A (m x r), then B (n x r), as rows of r: compressed, d_rows = d_cols = r. */
void lspo_message_adapters(const lspo_stage_t *stage, uint32_t rank, bool train_rest, lspo_message_t *message_out);
/* Low rank: A^T G (r x n) when m <= n, G A (m x r) otherwise: d_rows x d_cols; uncompressed where r >= min(m, n). */
void lspo_message_lowrank(const lspo_stage_t *stage, uint32_t rank, bool train_rest, lspo_message_t *message_out);

/* Bytes of a weight of so many elements in 4-bit NormalFloat (kernels/nf4.h): for each block of 64 elements 32 bytes of
 * codes and one of its magnitude, for each 256 blocks a scale of 4, and the mean of 4; 4.127 bits per element. */
uint64_t lspo_nf4_weight_bytes(uint64_t elements);

/* Bytes of a weight in 4-bit integers (kernels/int4.h): for each 32 columns a scale of 2 bytes per group of rows, and
 * half a byte per weight, rows filled up to 32; `group` 0: all rows. */
uint64_t lspo_int4_weight_bytes(uint64_t rows, uint64_t cols, uint64_t group);

/* Columns: of each linear weight (m x n) the columns that are not critical, d_cols = n - max(1, round(fraction n)).
 * There is at least one column of each kind, unless n is 1: then it is sent.  The rest is counted, but stays on the
 * GPU. */
void lspo_message_columns(const lspo_stage_t *stage, double fraction, bool train_rest, lspo_message_t *message_out);

/* Distance between the starts of two rows of logits, in elements of `element_bytes` each: V in fp32; in 16 bits the
 * next multiple of 8, so that all rows start at multiples of 16 bytes, which the widest accesses and fastest products
 * of GPUs need (V = 50257: 7 elements more, 0.014 %). */
uint64_t lspo_logits_stride(uint32_t vocabulary, uint64_t element_bytes);

/* Activation bytes of one micro-batch. */
typedef struct {
    uint64_t saved_bytes;     /* kept from FWD (or RECOMPUTE) until BWD of a block, beyond its input    */
    uint64_t input_bytes;     /* a block's input, kept from FWD to BWD in either case                   */
    uint64_t head_bytes;      /* kept from the head's FWD to its BWD: normed input, logits              */
    uint64_t workspace_bytes; /* scratch of the widest op, allocated once                               */
} lspo_activations_t;

/* Elements for T tokens, in the layout of real/transformer/transformer.h (kv = w without grouped-query attention;
 * statistics in fp32):
 *
 *   block      T (5 w + 2 kv + 2 f + 4) + T h s: norm1 out, qkv, attention out, residual, norm2 out, MLP before and
 *              after the activation, mean and 1/sigma of both norms, attention probabilities (fp32 only).
 *              LLAMA: 3 f (gate, up, product) and no means.  BERT: the same number, with the inputs and not the
 *              outputs of its two norms, and the first one's output.
 *              With heads of another width, a is that of all heads: 3 w + 2 a + 2 kv in place of 5 w + 2 kv.  Norms
 *              after attention and MLP: their inputs instead (3 w), with norms before and after 5 w; parallel
 *              attention and MLP: 2 w, with one norm 1 w.  Norms of Q and K: their inputs, a + kv, and their
 *              statistics.
 *
 *   head       T (w + V' + 2): normed input, logits (turned into probabilities in place), V' the stride of their rows.
 *              LLAMA: no means.  Classifier: batch (w + classes).
 *
 *   workspace  max(T (4 w + 2 kv + f), head) + (32 + w / h) s: gradients of the linear layers' outputs and of the
 *              input, scratch of attention.  LLAMA: 2 f.  Rotary positions: (w / h) s more for their table, fp32
 *              always.  With other heads 2 w + a + 2 kv + max(w, a) in place of 4 w + 2 kv.
 *
 * In bf16 and fp16, attention is assumed to be flash attention: one fp32 number per row and head (T h) instead of
 * probabilities, and no scratch. */
void lspo_activations(const lspo_model_t *model, const lspo_workload_t *workload, lspo_activations_t *activations_out);

/* Static memory by purpose; the sums are gpu_static_bytes and host_static_bytes of the plan. */
typedef struct {
    uint64_t gpu_parameters_bytes;
    uint64_t gpu_gradients_bytes;
    uint64_t gpu_optimizer_bytes;
    uint64_t gpu_projectors_bytes;
    uint64_t gpu_workspace_bytes;
    uint64_t gpu_cache_bytes; /* generation: keys and values */
    uint64_t host_master_bytes;
    uint64_t host_optimizer_bytes;
    uint64_t host_gradients_bytes;   /* landing buffers of D2H   */
    uint64_t host_projectors_bytes;  /* lsp with checks: current and new projectors, room to transform moments */
    uint64_t host_outgoing_bytes;    /* what H2D sends            */
    uint64_t host_parameters_bytes;  /* swap, stream: parameters between their uses */
    uint64_t host_activations_bytes; /* --swap-activations: what blocks keep, between forward and backward */
    uint64_t host_cache_bytes;       /* generation: keys and values                 */
    uint64_t host_inputs_bytes;      /* kvpr: inputs of blocks                       */
} lspo_footprint_t;

uint64_t lspo_footprint_gpu_bytes(const lspo_footprint_t *footprint);
uint64_t lspo_footprint_host_bytes(const lspo_footprint_t *footprint);

#endif
