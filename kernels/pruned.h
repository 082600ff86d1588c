/* pruned.h - matrices of which many elements are zero, packed: only the others are stored.
 *
 * Of n numbers of w bits, a share z of them zero:
 *     bitmap     a bit per number, set where it is stored, and the stored ones in order:  1 + w (1 - z) bits per number
 *                                                                        [Joo et al., Endor, arXiv 2406.11674]
 *     CSR        of each row the place of its first stored number, 32 bits; of each stored one its column, 16 bits, and
 *                itself:  (w + 16) (1 - z) bits per number
 * A number is zero if all its bits are; so expanding gives back every bit.  Both store exactly `kept` numbers: if fewer
 * are not zero, the first zeros are stored, too, so that the size follows from z alone.
 *
 * Expanding a bitmap: the place of a stored number is the number of bits set before it, a popcount and a prefix sum.
 * It reads what is packed and writes n numbers; no FLOP.  On the host a byte of the bitmap is a row of a table of
 * permutations (AVX2); a GPU counts blocks of words, scans the counts, and expands the blocks.
 */
#ifndef LSPO_KERNELS_PRUNED_H
#define LSPO_KERNELS_PRUNED_H

#include <stddef.h>
#include <stdint.h>

#include "base/workers.h"
#include "kernels/number.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LSPO_CSR_COLS_MAX = 65536, LSPO_BITMAP_BLOCK = 16384 };

/* Zero the round(z count) numbers of least magnitude; of equal ones the first.  scratch: count floats. */
void lspo_prune_magnitude(size_t count, double sparsity, float *w, float *scratch);

/* Wanda [Sun, Liu, Bair, Kolter, arXiv 2306.11695]: a weight counts as much as what it adds to an output.  Zero of each
 * column of W (m x n: input i, output j) those with the least
 *     |w_ij| ||x_i||
 * where x_i are the numbers that input i had in a calibration; of equal ones the first.  round(z m n) are zeroed in
 * all; the counts of two columns differ by at most 1.  The result is the same for any number of workers.
 * scratch: lspo_prune_wanda_scratch() floats. */
typedef struct {
    size_t m, n;
    double sparsity;
    const float *squares; /* ||x_i||^2, m, finite */
} lspo_wanda_t;
void lspo_prune_wanda(lspo_workers_t *workers, const lspo_wanda_t *of, float *w, float *scratch);
size_t lspo_prune_wanda_scratch(const lspo_workers_t *workers, size_t m);
/* squares += those of inputs x, tokens x m. */
void lspo_wanda_add_inputs(size_t m, size_t tokens, const float *x, float *squares);

typedef struct {
    size_t count, kept;
    lspo_number_t number;
    uint64_t *bits; /* count / 64 words, rounded up; number i is bit i % 64 of word i / 64 */
    void *values;   /* kept numbers                                                        */
} lspo_bitmap_t;

/* Bytes of both parts, a multiple of 8; and the parts, if they lie in `memory` (8-byte aligned). */
size_t lspo_bitmap_bytes(size_t count, size_t kept, lspo_number_t number);
lspo_bitmap_t lspo_bitmap_place(size_t count, size_t kept, lspo_number_t number, void *memory);
/* dense: count numbers, of which at most to->kept are not zero. */
void lspo_bitmap_pack(const void *dense, const lspo_bitmap_t *to);
void lspo_bitmap_expand(const lspo_bitmap_t *from, void *out);
/* 32-bit words of scratch that a GPU needs for it. */
static inline size_t lspo_bitmap_scratch(size_t count)
{
    return (count + LSPO_BITMAP_BLOCK - 1) / LSPO_BITMAP_BLOCK;
}

typedef struct {
    size_t rows, cols, kept; /* cols <= LSPO_CSR_COLS_MAX, kept < 2^32 */
    lspo_number_t number;
    uint32_t *starts; /* rows + 1 */
    uint16_t *columns;
    void *values;
} lspo_csr_t;

/* As of bitmaps. */
size_t lspo_csr_bytes(size_t rows, size_t kept, lspo_number_t number);
lspo_csr_t lspo_csr_place(size_t rows, size_t cols, size_t kept, lspo_number_t number, void *memory);
void lspo_csr_pack(const void *dense, const lspo_csr_t *to);
void lspo_csr_expand(const lspo_csr_t *from, void *out);

#ifdef __cplusplus
}
#endif
#endif
