/* gemm.h - dense matrix products in fp32, on OpenBLAS (blas.h).
 *
 *     C = alpha op(A) op(B) + beta C,    op(A): m x k, op(B): k x n, C: m x n, all row-major
 *
 * `_nn`, `_nt` and `_tn` tell which of A and B is stored transposed (t); a stride is the distance in floats between two
 * rows *as stored*.  With beta 0, C is only written.  To add a bias or a residual without a separate pass, fill C with
 * it first (vector.h) and use beta 1; with beta 0 the library would clear C anyway.  FLOPs: 2 m n k.  Bytes: 4 (m k + k
 * n + m n), and 4 m n more if beta is not 0.  Sizes and strides must be below 2^31.  C must not overlap A or B.
 */
#ifndef LSPO_KERNELS_GEMM_H
#define LSPO_KERNELS_GEMM_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The arguments of a product, for functions that choose where it runs. */
typedef struct {
    size_t m, n, k;
    float alpha;
    const void *a;
    size_t a_stride;
    const void *b;
    size_t b_stride;
    float beta;
    void *c;
    size_t c_stride;
} lspo_gemm_t;

/* The kernel set that the library chose for this CPU, for example "SkylakeX"; static. */
const char *lspo_gemm_core(void);

/* A: m x k, B: k x n. */
void lspo_gemm_nn(size_t m, size_t n, size_t k, float alpha, const float *a, size_t a_stride, const float *b,
                  size_t b_stride, float beta, float *c, size_t c_stride);
/* A: m x k, B stored n x k. */
void lspo_gemm_nt(size_t m, size_t n, size_t k, float alpha, const float *a, size_t a_stride, const float *b,
                  size_t b_stride, float beta, float *c, size_t c_stride);
/* A stored k x m, B: k x n. */
void lspo_gemm_tn(size_t m, size_t n, size_t k, float alpha, const float *a, size_t a_stride, const float *b,
                  size_t b_stride, float beta, float *c, size_t c_stride);

#ifdef __cplusplus
}
#endif
#endif
