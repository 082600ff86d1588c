/* adapter.h - the low-rank adapters of LoRA for a frozen weight W (m x n), fp32.
 *
 *     Y += s (X A) B^T                                       X: T x m, Y: T x n, A: m x r, B: n x r, row-major
 *     dA = s X^T (dY B),  dB = s dY^T (X A),  dX += s (dY B) A^T
 *                              [Hu et al., ICLR 2022, arXiv 2106.09685, Sec. 4.1, in this project's orientation of W]
 *
 * Products are evaluated from the thin side, so W + s A B^T is never formed: 2 T r (m + n) FLOPs forward and 2 T r (3 m
 * + 2 n) backward (X A is computed again instead of stored).  All arrays are dense and do not overlap.
 */
#ifndef LSPO_KERNELS_ADAPTER_H
#define LSPO_KERNELS_ADAPTER_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    size_t tokens, m, n, r;
    float scale;       /* s                */
    const void *a, *b; /* m x r and n x r  */
} lspo_adapter_t;

/* Results of the backward pass, which adds to dx (tokens x m).  da and db have the shapes of A and B; both may be NULL
 * if not wanted.  They are overwritten, or added to if `accumulate`. */
typedef struct {
    void *dx, *da, *db;
    bool accumulate;
} lspo_adapter_gradients_t;

/* Adds to y.  scratch: tokens x r floats.  With B = 0, y is unchanged. */
void lspo_adapter_forward(const lspo_adapter_t *adapter, const float *x, float *y, float *scratch);

/* scratch: 2 x tokens x r floats. */
void lspo_adapter_backward(const lspo_adapter_t *adapter, const float *x, const float *dy,
                           const lspo_adapter_gradients_t *gradients, float *scratch);

#ifdef __cplusplus
}
#endif
#endif
