/* stage_work.h - the kernels of a stage's forward, backward and recompute (plan/message_work.h has those of messages).
 *
 * Kernels are those of a fused implementation: one GEMM per linear layer with its true m, n, k; one attention kernel;
 * biases and residual sums as STREAM; operands read once and results written once, in the workload's precision.
 * Symbols: T tokens per micro-batch, s sequence, b batch, w width, f mlp width, V vocabulary, p bytes per element.
 *     Y = X W       GEMM T, n, m        flop 2 T m n
 *     dX = dY W^T   GEMM T, m, n        flop 2 T m n
 *     dW = X^T dY   GEMM m, n, T        flop 2 T m n
 *     attention     4 b s^2 a flop forward, a the width of all heads; when causal (GPT, LLAMA) s^2 are the keys that
 *                   the queries see, the sum of min(i, window) over i = 1..s, s (s + 1) / 2 without a window; twice
 *                   that backward
 * Every function overwrites *work_out and cannot fail for a model and workload that have passed their checks.
 * An op without kernels (the embedding's backward when it is frozen) has kernel_count 0.
 * Not modelled: dropout; the second read of a gradient buffer when micro-batches accumulate.
 */
#ifndef LSPO_PLAN_STAGE_WORK_H
#define LSPO_PLAN_STAGE_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "plan/model.h"
#include "plan/work.h"
#include "plan/workload.h"

/* One micro-batch through stage `stage`.  The head's forward includes logits and loss. */
void lspo_stage_work_forward(const lspo_model_t *model, const lspo_workload_t *workload, uint32_t stage,
                             lspo_work_t *work_out);

/* A block's forward in two: its MLP with the second residual, and all the rest. */
void lspo_stage_work_mlp(const lspo_model_t *model, const lspo_workload_t *workload, uint32_t stage,
                         lspo_work_t *work_out);
void lspo_stage_work_before_mlp(const lspo_model_t *model, const lspo_workload_t *workload, uint32_t stage,
                                lspo_work_t *work_out);

/* A block's forward without its last product (mlp_down or down), which backward does not need.  Embedding and head
 * recompute nothing. */
void lspo_stage_work_recompute(const lspo_model_t *model, const lspo_workload_t *workload, uint32_t stage,
                               lspo_work_t *work_out);

/* Gradient of the stage's input, always; with `linear_gradients` the dW products of a block's linear layers (left out
 * under lsp, where COMPRESS does them); with `rest_gradients` the gradients of all other tensors: biases, norms,
 * embeddings, and the output projection's dW (of a tied head: its share of the token embedding's gradient). */
void lspo_stage_work_backward(const lspo_model_t *model, const lspo_workload_t *workload, uint32_t stage,
                              bool linear_gradients, bool rest_gradients, lspo_work_t *work_out);

/* One kernel: `bytes` of memory traffic; Adam over `elements` parameters (28 bytes each: gradient read, weight and
 * both moments read and written in fp32), or with m and v in another format (plan/optimizer_state.h has its bytes); a
 * message of `bytes` on a link. */
void lspo_work_stream(uint64_t bytes, lspo_work_t *work_out);
void lspo_work_adam(uint64_t elements, lspo_work_t *work_out);
void lspo_work_adam_in(lspo_optimizer_state_t state, lspo_precision_t weights, uint64_t elements,
                       lspo_work_t *work_out);
void lspo_work_copy(uint64_t bytes, lspo_work_t *work_out);

/* Append one kernel to a work that a function above has set (or that is all zero).  At most LSPO_WORK_KERNELS_MAX. */
void lspo_work_append(lspo_work_t *work, const lspo_kernel_t *kernel);
/* C (m x n) = A B with sums of length k and p bytes per element. */
void lspo_work_append_gemm(lspo_work_t *work, uint64_t p, lspo_layout_t layout, uint64_t m, uint64_t n, uint64_t k);
/* The same with operands that the previous kernels have just written: far_bytes are 0. */
void lspo_work_append_recent_gemm(lspo_work_t *work, uint64_t p, lspo_layout_t layout, uint64_t m, uint64_t n,
                                  uint64_t k);

#endif
