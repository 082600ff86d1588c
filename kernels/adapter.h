/* adapter.h - the low-rank adapters of LoRA beside a frozen weight W (m x n), fp32.
 *
 *     Y += s (X A) B^T                                       X: T x m, Y: T x n, A: m x r, B: n x r, row-major
 *     dA = s X^T (dY B),  dB = s dY^T (X A),  dX += s (dY B) A^T
 *                              [Hu et al., ICLR 2022, arXiv 2106.09685, Sec. 4.1, in this project's orientation of W]
 *
 * Products associate from the thin side, so W + s A B^T is never formed: 2 T r (m + n) FLOPs forward and
 * 2 T r (3 m + 2 n) backward (X A is computed again instead of being kept).  All arrays are dense and do not overlap.
 */
#ifndef LSPO_KERNELS_ADAPTER_H
#define LSPO_KERNELS_ADAPTER_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Adds to y.  scratch: tokens x r floats.  With B = 0, y keeps its value exactly. */
void lspo_adapter_forward(size_t tokens, size_t m, size_t n, size_t r, float scale, const float *x, const float *a,
                          const float *b, float *y, float *scratch);

/* Adds to dx; da and db (both or neither NULL: not wanted) are overwritten, or added to when `accumulate`.
 * scratch: 2 x tokens x r floats. */
void lspo_adapter_backward(size_t tokens, size_t m, size_t n, size_t r, float scale, const float *x, const float *dy,
                           const float *a, const float *b, bool accumulate, float *da, float *db, float *dx,
                           float *scratch);

#ifdef __cplusplus
}
#endif
#endif
