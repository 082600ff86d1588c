/* sketch.h - COMPRESS and APPLY as in the published code of LSP-Offload: sparse projectors expanded to dense matrices.
 *
 * github.com/gulang2019/LSP-Offload, gradient_compressor.py: get_sketch() scatters the r values of each row into a
 * zeroed matrix before every use, and the products are dense.  The mathematics is that of kernels/projector.h; this
 * version exists so that its cost can be predicted and measured (policy lsp-paper), and for GPUs whose tensor cores are
 * faster than the sparse kernels where d / r is small (`lspo calibrate` finds out).  With the dense S_P: m x d_m, S_Q:
 * n x d_n:
 *     COMPRESS   G^ = (X S_P)^T (dY S_Q)            2 tokens (m d_m + n d_n + d_m d_n) FLOPs
 *     APPLY      E = S_P D S_Q^T, then W <- keep W - eta E;   E: m x n is formed
 *                m <= n: (S_P D) S_Q^T              2 m d_m d_n + 2 m n d_n FLOPs
 *                m >  n: S_P (D S_Q^T)              2 n d_m d_n + 2 m n d_m FLOPs
 * Matrices are row-major fp32; no argument overlaps another.
 */
#ifndef LSPO_KERNELS_SKETCH_H
#define LSPO_KERNELS_SKETCH_H

#include <stddef.h>

#include "kernels/projector.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Scratch floats: m d_m + n d_n and, to compress, tokens (d_m + d_n); to apply, m n + min(m, n) d', d' = d_n if m <= n,
 * else d_m. */
size_t lspo_sketch_compress_scratch(const lspo_projector_t *p, const lspo_projector_t *q, size_t tokens);
size_t lspo_sketch_apply_scratch(const lspo_projector_t *p, const lspo_projector_t *q);

/* g_hat (d_m x d_n) = beta g_hat + (X P)^T (dY Q). */
void lspo_sketch_compress(const lspo_projector_pair_t *pair, const lspo_gradient_factors_t *factors, float beta,
                          float *g_hat, float *scratch);

/* w (m x n, row stride n) <- keep w - rate P delta Q^T. */
void lspo_sketch_apply(const lspo_projector_pair_t *pair, const float *delta, const lspo_vector_step_t *step, float *w,
                       float *scratch);

#ifdef __cplusplus
}
#endif
#endif
