/* message_work.h - the kernels of ops that make, apply and check a stage's message: sparse projections, adapters,
 * low-rank projections, fits of projectors.
 *
 * Symbols as in plan/stage_work.h.  Every function overwrites *work_out and cannot fail for a workload and message that
 * have passed their checks; the add_ functions append to *work.
 */
#ifndef LSPO_PLAN_MESSAGE_WORK_H
#define LSPO_PLAN_MESSAGE_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "plan/footprint.h"
#include "plan/work.h"
#include "plan/workload.h"

/* lsp's COMPRESS of one stage: for each compressed weight GATHER X P, GATHER dY Q, GEMM (X P)^T (dY Q); for an
 * uncompressed weight the plain dW product.  The builder adds packing for the link (plan/build_work.c). */
void lspo_message_work_compress(const lspo_workload_t *workload, const lspo_message_t *message, lspo_work_t *work_out);

/* lsp's APPLY of one stage: SCATTER W -= eta P D Q^T for each compressed weight; STREAM for everything uncompressed.
 */
void lspo_message_work_apply_delta(const lspo_workload_t *workload, const lspo_message_t *message,
                                   lspo_work_t *work_out);

/* lora: what the adapters of a block add to its forward (recompute leaves out the last weight's) and to its backward.
 *     Y += (X A) B^T     GEMM T, r, m and T, n, r
 *     backward           X A again, dY B, dA = X^T (dY B), dB = dY^T (X A), dX += (dY B) A^T */
void lspo_message_work_add_adapters(const lspo_workload_t *workload, const lspo_message_t *message, bool recompute,
                                    lspo_work_t *work);
void lspo_message_work_add_adapters_backward(const lspo_workload_t *workload, const lspo_message_t *message,
                                             lspo_work_t *work);

/* lora on 4-bit weights: what each op adds to expand the weights of a block, one kernel each that reads the codes and
 * writes p bytes per element (recompute leaves out the last weight).  The products that are in *work then find their
 * weight just written: their far_bytes become 0. */
void lspo_message_work_add_expansion(const lspo_workload_t *workload, const lspo_message_t *message, bool recompute,
                                     lspo_work_t *work);

/* Low rank: the projection of each weight's full gradient; the update W -= eta A N (or N A^T); and a new basis, with
 * s = min(m, n): the Gram matrix of the gradient (GEMM s, s, max(m, n)) and its leading eigenvectors, counted as 8
 * products of s x s matrices: (4/3) s^3 flop in fp64, half of them bound by memory, took 6 to 10 sgemm products on a
 * host for s of 320 to 1024 at rank 16, and more below. */
void lspo_message_work_lowrank_compress(const lspo_workload_t *workload, const lspo_message_t *message,
                                        lspo_work_t *work_out);
void lspo_message_work_lowrank_apply(const lspo_workload_t *workload, const lspo_message_t *message,
                                     lspo_work_t *work_out);
void lspo_message_work_lowrank_project(const lspo_workload_t *workload, const lspo_message_t *message,
                                       lspo_work_t *work_out);

/* lsp's PROJECT of one stage: the full gradient of each compressed weight (GEMM m, n, T) and the products of
 * kernels/fit.h on it, all sparse times dense (GATHER): `checks` of a bias, each G Q, then five products with the small
 * matrices, and `steps` of a fit, each these, P^T G and six more. */
void lspo_message_work_fit(const lspo_workload_t *workload, const lspo_message_t *message, uint32_t checks,
                           uint32_t steps, lspo_work_t *work_out);

#endif
