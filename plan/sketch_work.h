/* sketch_work.h - the kernels of COMPRESS and APPLY with dense projectors (policy lsp-paper, or by calibration).
 *
 * Equations, FLOPs and source: kernels/sketch.h.  For each compressed weight, with p bytes per element and T tokens:
 *     COMPRESS   STREAM p (m d_m + n d_n), written; GEMM T, d_m, m;  T, d_n, n;  d_m, d_n, T
 *     APPLY      the same STREAM; GEMM m, d_n, d_m and m, n, d_n where m <= n, else d_m, n, d_n and m, n, d_m;
 *                STREAM 3 p m n: the m x n step read, W read and written
 * Uncompressed weights cost the same as under lsp.
 * Not modelled: the authors' checks for NaN, each of which waits for the GPU; conversions of single messages.
 */
#ifndef LSPO_PLAN_SKETCH_WORK_H
#define LSPO_PLAN_SKETCH_WORK_H

#include "plan/footprint.h"
#include "plan/work.h"
#include "plan/workload.h"

void lspo_sketch_work_compress(const lspo_workload_t *workload, const lspo_message_t *message, lspo_work_t *work_out);
void lspo_sketch_work_apply(const lspo_workload_t *workload, const lspo_message_t *message, lspo_work_t *work_out);

/* Scratch elements of one weight, equal to lspo_sketch_compress_scratch() and lspo_sketch_apply_scratch(). */
uint64_t lspo_sketch_compress_elements(const lspo_projection_t *weight, uint64_t tokens);
uint64_t lspo_sketch_apply_elements(const lspo_projection_t *weight);

#endif
