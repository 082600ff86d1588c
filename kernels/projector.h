/* projector.h - (d, r)-sparse projectors, [arXiv 2406.10181, Section 4.1, Definition 1], and the two kernels of
 * LSP-Offload that work on full-size matrices.
 *
 * P is rows x d with exactly r nonzeros per row, in distinct columns, stored as r indices and r values per row, never
 * dense.  For a weight W: m x n with P: m x d_m and Q: n x d_n, inputs X: tokens x m and output gradients dY: tokens x
 * n:
 *     COMPRESS   G^ = P^T (X^T dY) Q = (X P)^T (dY Q)        d_m x d_n; the m x n gradient is never formed
 *     APPLY      W <- keep W - eta P D Q^T                   in one pass over W, D: d_m x d_n, keep = 1 - eta decay
 * FLOPs: COMPRESS 2 tokens (m + n) r + 2 tokens d_m d_n;  APPLY 2 m d_n r + 2 m n r.
 * Bytes: COMPRESS 4 tokens (m + n) read, 4 tokens (d_m + d_n) written and read again; APPLY 8 m n.
 *
 * Implementation: 16 tokens (gather) or 16 rows of W (apply) are transposed and processed together (8 on AVX2), so
 * random accesses are accesses to vectors in the first-level cache.  Sums have the same order for every element: a
 * token's result does not depend on the other tokens.  Matrices are row-major fp32 of any alignment; no argument
 * overlaps another.
 */
#ifndef LSPO_KERNELS_PROJECTOR_H
#define LSPO_KERNELS_PROJECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/vector.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A nonzero of a column. */
typedef struct {
    uint32_t row;
    float value;
} lspo_projector_entry_t;

typedef struct {
    uint32_t rows, d, r;
    uint32_t *index; /* rows x r, ascending in a row, each < d */
    float *value;    /* rows x r */
    /* The same nonzeros by column of P (a gather list), built by the constructors: column c has the entries from
     * column_first[c] to column_first[c + 1], exclusive, rows ascending. */
    uint32_t *column_first;               /* d + 1 */
    lspo_projector_entry_t *column_entry; /* rows x r; 8-byte aligned */
} lspo_projector_t;

/* r distinct positions per row, every set of r equally likely, values N(0,1)/sqrt(r), from the counter-based generator
 * of kernels/random.h: the same seed gives the same projector on every machine.  Returns false, with nothing allocated,
 * if out of memory or if rows == 0, r == 0, r > d or rows r >= 2^32. */
bool lspo_projector_random(uint32_t rows, uint32_t d, uint32_t r, uint64_t seed, lspo_projector_t *projector_out);
/* The same positions with values +1/sqrt(r) or -1/sqrt(r), equally likely, so every row has norm 1. */
bool lspo_projector_signs(uint32_t rows, uint32_t d, uint32_t r, uint64_t seed, lspo_projector_t *projector_out);
/* P = I: d = rows, r = 1.  For tests. */
bool lspo_projector_identity(uint32_t rows, lspo_projector_t *projector_out);
/* Call after changing index or value: rebuilds the lists by column. */
void lspo_projector_refresh(lspo_projector_t *projector);
/* Frees the arrays and zeroes the struct; a zeroed struct is allowed. */
void lspo_projector_release(lspo_projector_t *projector);
/* Bytes of one projector on the GPU: 2 rows r (4 + 4) (both orders) + 4 (d + 1). */
uint64_t lspo_projector_bytes(uint32_t rows, uint32_t d, uint32_t r);

/* out (tokens x d) = x (tokens x rows, row stride x_stride) P. */
void lspo_projector_gather(const lspo_projector_t *p, size_t tokens, const float *x, size_t x_stride, float *out);

/* The projectors of a weight W: P for its rows, Q for its columns. */
typedef struct {
    const lspo_projector_t *p, *q;
} lspo_projector_pair_t;

/* The factors of a weight's gradient X^T dY: X (tokens x m) and dY (tokens x n), with their row strides in numbers. */
typedef struct {
    size_t tokens;
    const void *x;
    size_t x_stride;
    const void *dy;
    size_t dy_stride;
} lspo_gradient_factors_t;

/* Scratch floats for lspo_projector_compress: tokens (d_m + d_n). */
size_t lspo_projector_compress_scratch(const lspo_projector_t *p, const lspo_projector_t *q, size_t tokens);
/* g_hat (d_m x d_n) = beta g_hat + (X P)^T (dY Q); beta 0 overwrites, 1 accumulates. */
void lspo_projector_compress(const lspo_projector_pair_t *pair, const lspo_gradient_factors_t *factors, float beta,
                             float *g_hat, float *scratch);

/* Scratch floats for lspo_projector_apply: a panel of 16 rows of P D, independent of m. */
size_t lspo_projector_apply_scratch(const lspo_projector_t *p, const lspo_projector_t *q);
/* w (m x n, row stride n) <- keep w - rate P delta Q^T. */
void lspo_projector_apply(const lspo_projector_pair_t *pair, const float *delta, const lspo_vector_step_t *step,
                          float *w, float *scratch);

#ifdef __cplusplus
}
#endif
#endif
