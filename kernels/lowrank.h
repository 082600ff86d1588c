/* lowrank.h - GaLore: low-rank projection of gradients by dense orthonormal bases, fp32.
 *
 * The shorter side, s = min(m, n), of a gradient G (m x n) is projected by a basis A (s x r, row-major, A^T A = I):
 *     m <= n:  R = A^T G (r x n),  W <- W - rate A N        A: leading r left singular vectors of G
 *     m >  n:  R = G A   (m x r),  W <- W - rate N A^T      A: leading r right singular vectors
 * where N is Adam's direction for R             [Zhao et al., ICML 2024, arXiv 2403.03507, Def. 3.4 and Alg. 2]
 *
 * The basis consists of the r leading eigenvectors of the Gram matrix of the shorter side (G G^T or G^T G, s x s),
 * computed by LAPACK's dsyevr: 2 s m n + (4/3) s^3 + 2 s^2 r FLOPs instead of about 8 s m n for a full singular value
 * decomposition, and s^2 numbers of scratch instead of 2 m n.  The Gram matrix is summed in fp32, so the order of
 * directions whose singular values are below about 1e-3 of the largest is determined by rounding; such a direction has
 * 1e-6 of the squared norm of the leading one.  Signs are LAPACK's, the same for the same G.
 */
#ifndef LSPO_KERNELS_LOWRANK_H
#define LSPO_KERNELS_LOWRANK_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* 12 s^2 + 8 s r + 352 s + 8 r: the Gram matrix in fp32 and in fp64, the eigenvectors, LAPACK's work arrays. */
size_t lspo_lowrank_basis_scratch_bytes(size_t m, size_t n, size_t r);

/* basis: s x r, leading vector first; r <= s.  scratch: 8-byte aligned.  False, with `basis` unchanged, if G is not
 * finite, its Gram matrix overflows or LAPACK does not converge. */
bool lspo_lowrank_basis(size_t m, size_t n, size_t r, const float *g, float *basis, void *scratch);

/* A weight's shape and the basis A of its gradients. */
typedef struct {
    size_t m, n, r;
    const void *basis; /* s x r */
} lspo_lowrank_t;

/* R = A^T G or G A, plus beta times the previous `r_out`.  2 r m n FLOPs. */
void lspo_lowrank_compress(const lspo_lowrank_t *lowrank, const float *g, float beta, float *r_out);

/* W (m x n) -= rate A N or rate N A^T, where N is the direction.  2 r m n FLOPs, W read and written once. */
void lspo_lowrank_apply(const lspo_lowrank_t *lowrank, const float *direction, float rate, float *w);

#ifdef __cplusplus
}
#endif
#endif
