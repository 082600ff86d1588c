/* stage_work.h - which kernels a stage's forward, backward, recompute, compress and apply run.
 *
 * Kernels are those of a fused implementation: one GEMM a linear layer with its true m, n, k; one attention kernel;
 * biases and residual sums as STREAM; operands read once and results written once, in the workload's precision.
 * Symbols: T tokens a micro-batch, s sequence, b batch, w width, f mlp width, V vocabulary, p bytes an element.
 *     Y = X W       GEMM T, n, m        flop 2 T m n
 *     dX = dY W^T   GEMM T, m, n        flop 2 T m n
 *     dW = X^T dY   GEMM m, n, T        flop 2 T m n
 *     attention     4 b s^2 w flop forward, half of it when causal (GPT, LLAMA); twice that backward
 * Every function sets *work_out, whatever it held, and cannot fail for a model and workload that passed their checks.
 * An op without kernels (the embedding's backward when it is frozen) has kernel_count 0.
 * Not modelled: dropout; the second read of a gradient buffer when micro-batches accumulate.
 */
#ifndef LSPO_PLAN_STAGE_WORK_H
#define LSPO_PLAN_STAGE_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "plan/footprint.h"
#include "plan/model.h"
#include "plan/work.h"
#include "plan/workload.h"

/* One micro-batch through stage `stage`.  The head's forward includes logits and loss. */
void lspo_stage_work_forward(const lspo_model_t *model, const lspo_workload_t *workload, uint32_t stage,
                             lspo_work_t *work_out);

/* A block's forward again without its last product (mlp_down or down), which backward does not need.
 * Embedding and head recompute nothing. */
void lspo_stage_work_recompute(const lspo_model_t *model, const lspo_workload_t *workload, uint32_t stage,
                               lspo_work_t *work_out);

/* Gradient of the stage's input, always; with `linear_gradients` the dW products of a block's linear layers (left out
 * under lsp, where COMPRESS does them); with `rest_gradients` the gradients of all other tensors: biases, norms,
 * embeddings, and the output projection's dW (of a tied head: its share of the token embedding's gradient). */
void lspo_stage_work_backward(const lspo_model_t *model, const lspo_workload_t *workload, uint32_t stage,
                              bool linear_gradients, bool rest_gradients, lspo_work_t *work_out);

/* lsp's COMPRESS of one stage: for each compressed weight GATHER X P, GATHER dY Q, GEMM (X P)^T (dY Q); for one that is
 * sent uncompressed the plain dW product.  Packing for the link is the builder's (plan/build_work.c). */
void lspo_stage_work_compress(const lspo_model_t *model, const lspo_workload_t *workload, const lspo_message_t *message,
                              lspo_work_t *work_out);

/* lsp's APPLY of one stage: SCATTER W -= eta P D Q^T for each compressed weight; STREAM for all that came uncompressed.
 */
void lspo_stage_work_apply_delta(const lspo_model_t *model, const lspo_workload_t *workload,
                                 const lspo_message_t *message, lspo_work_t *work_out);

/* lora: what the adapters of a block add to its forward (recompute leaves out the last weight's) and to its backward.
 *     Y += (X A) B^T     GEMM T, r, m and T, n, r
 *     backward           X A again, dY B, dA = X^T (dY B), dB = dY^T (X A), dX += (dY B) A^T */
void lspo_stage_work_add_adapters(const lspo_workload_t *workload, const lspo_message_t *message, bool recompute,
                                  lspo_work_t *work);
void lspo_stage_work_add_adapters_backward(const lspo_workload_t *workload, const lspo_message_t *message,
                                           lspo_work_t *work);

/* galore: the projection of each weight's full gradient; the update W -= eta A N (or N A^T); and a new basis, with
 * s = min(m, n): the Gram matrix of the gradient (GEMM s, s, max(m, n)) and its leading eigenvectors, counted as 8
 * products of s x s matrices: (4/3) s^3 flop in fp64, half of them bound by memory, took 6 to 10 sgemm products on a
 * host for s of 320 to 1024 at rank 16, and more below. */
void lspo_stage_work_lowrank_compress(const lspo_workload_t *workload, const lspo_message_t *message,
                                      lspo_work_t *work_out);
void lspo_stage_work_lowrank_apply(const lspo_workload_t *workload, const lspo_message_t *message,
                                   lspo_work_t *work_out);
void lspo_stage_work_lowrank_project(const lspo_workload_t *workload, const lspo_message_t *message,
                                     lspo_work_t *work_out);

/* lsp's PROJECT of one stage: the full gradient of each compressed weight (GEMM m, n, T) and the products of
 * kernels/fit.h on it, all sparse times dense (GATHER): `checks` of a bias, each G Q, then five products with the small
 * matrices, and `steps` of a fit, each these, P^T G and six more. */
void lspo_stage_work_fit(const lspo_workload_t *workload, const lspo_message_t *message, uint32_t checks,
                         uint32_t steps, lspo_work_t *work_out);

/* One kernel: `bytes` of memory traffic; Adam over `elements` parameters (28 bytes each: gradient read, weight and
 * both moments read and written in fp32); a message of `bytes` on a link. */
void lspo_work_stream(uint64_t bytes, lspo_work_t *work_out);
void lspo_work_adam(uint64_t elements, lspo_work_t *work_out);
void lspo_work_copy(uint64_t bytes, lspo_work_t *work_out);

/* Add one kernel to a work that a function above set (or that is all zero).  At most LSPO_WORK_KERNELS_MAX. */
void lspo_work_append(lspo_work_t *work, const lspo_kernel_t *kernel);
/* C (m x n) = A B with sums of length k, p bytes an element. */
void lspo_work_append_gemm(lspo_work_t *work, uint64_t p, lspo_layout_t layout, uint64_t m, uint64_t n, uint64_t k);
/* The same of operands that the kernels before have just written: far_bytes are 0. */
void lspo_work_append_recent_gemm(lspo_work_t *work, uint64_t p, lspo_layout_t layout, uint64_t m, uint64_t n,
                                  uint64_t k);

#endif
