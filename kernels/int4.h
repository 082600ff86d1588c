/* int4.h - weights in 4-bit integers with a scale per group of rows of a column, and products with them.
 *
 * [Frantar, Castro, Chen, Hoefler, Alistarh, "MARLIN", arXiv 2408.11743]  W: m x n is kept as codes 0..15, and
 *     w'[i, j] = scale[g, j] (code[i, j] - zero[g, j]),   g = i / group
 * A group is 32, 64 or 128 rows, or all of them; the last one may be shorter.  Scales are fp16.  Zero points are 8 for
 * all, or stored.  Any m and n are possible.
 *
 * Layout: strips of 32 columns, the last of which is filled up with codes of 8 and scales of 0; rows are filled up to a
 * multiple of 32.  A strip is its groups in order, and a group is a *cell*, which a product reads from its first byte
 * to its last:
 *     32 scales, [32 zero points of 16 bits,] then for every 8 rows 32 words, one per column
 * Byte b of a word has row b of the 8 in its low nibble and row b + 4 in its high one: so a mask, or a shift and a
 * mask, leave four rows of a column side by side, for a multiply-add of bytes.  At groups of 128 that is 4.125 bits per
 * weight, 4.25 with zero points.
 */
#ifndef LSPO_KERNELS_INT4_H
#define LSPO_KERNELS_INT4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/workers.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LSPO_INT4_CODES = 16, LSPO_INT4_ZERO = 8, LSPO_INT4_STRIP = 32, LSPO_INT4_ROWS = 32 };

typedef struct {
    size_t m, n;
    size_t group; /* rows: 32, 64 or 128; 0: all */
    bool zeros;   /* zero points are stored      */
} lspo_int4_shape_t;

/* How the linear weights of a model are stored. */
typedef struct {
    bool on; /* in 4 bits; otherwise the rest does not count */
    bool zeros;
    uint32_t group;
} lspo_int4_form_t;

static inline lspo_int4_shape_t lspo_int4_shape(const lspo_int4_form_t *form, size_t m, size_t n)
{
    return (lspo_int4_shape_t){.m = m, .n = n, .group = form->group, .zeros = form->zeros};
}

/* Of a weight; a multiple of 64. */
size_t lspo_int4_bytes(const lspo_int4_shape_t *shape);
size_t lspo_int4_groups(const lspo_int4_shape_t *shape);

/* Fill `packed` (lspo_int4_bytes(), aligned to 64).  codes: m x n, of 0..15; scales: groups x n, fp16; zeros: groups x
 * n, of 0..16, if the shape has them.  unpack() gives the same back; its last three may be NULL. */
void lspo_int4_pack(const lspo_int4_shape_t *shape, const uint8_t *codes, const uint16_t *scales, const uint8_t *zeros,
                    void *packed);
void lspo_int4_unpack(const lspo_int4_shape_t *shape, const void *packed, uint8_t *codes, uint16_t *scales,
                      uint8_t *zeros);

/* A part of W; `col` is a multiple of 32. */
typedef struct {
    size_t row, rows, col, cols;
} lspo_int4_part_t;

/* The same for the codes of a part of one row, of which every 32nd must be stored before the 31 behind it; and for the
 * scales (and zeros, or NULL) of the group of its row. */
void lspo_int4_store_codes(const lspo_int4_shape_t *shape, const lspo_int4_part_t *part, const uint8_t *codes,
                           void *packed);
void lspo_int4_store_scales(const lspo_int4_shape_t *shape, const lspo_int4_part_t *part, const uint16_t *scales,
                            const uint8_t *zeros, void *packed);

/* out (rows x cols, rows `stride` apart) <- w' of a part. */
void lspo_int4_expand(const lspo_int4_shape_t *shape, const void *packed, const lspo_int4_part_t *part, float *out,
                      size_t stride);

/* For a GPU: the same cells in which the codes of 32 x 32 weights are in the order of the lanes of a warp.  With g =
 * lane / 4 and t = 2 (lane % 4), word q of a lane has of column 8 q + g the rows t + (0, 8, 16, 24) in the nibbles of
 * its low half, from the lowest, and the rows behind these in its high half: what the lane holds of four tiles for two
 * products (mma.cuh).  `out`: another lspo_int4_bytes(). */
void lspo_int4_arrange(const lspo_int4_shape_t *shape, const void *packed, void *out);

/* ---- products ----
 *
 *     Y = X W' + bias + residual          X: rows x m, Y: rows x n, both fp32 and dense
 *
 * Up to LSPO_INT4_FEW_ROWS rows, W is read once and in order.  Each row of X is then rounded to 16-bit integers, per
 * 128 rows of W (or a smaller group) with its own scale, max |x| / 32512; sums over these are exact integers, and those
 * of groups are added in fp32.  The error of an x is at most 2^-16 max |x|, less than that of fp16 for most; numbers
 * below 2^-100 become 0, and one that is not finite makes all sums NaN.  The bits are the same on every level of
 * kernels/cpu.h.  With more rows, parts of W are expanded for products of gemm.h, in fp32.  A column's sum does not
 * depend on the number of workers.  FLOPs: 2 rows m n.  Bytes: those of W. */
enum { LSPO_INT4_FEW_ROWS = 16 };

typedef struct {
    size_t rows;
    lspo_int4_shape_t shape;
    const void *packed;
    const void *bias; /* n, fp32; on a GPU in the format; NULL: none */
} lspo_int4_product_t;

/* residual: rows x n, may be `out`; NULL: none.  workers: NULL: the calling thread. */
void lspo_int4_product(const lspo_int4_product_t *p, const float *x, const float *residual, float *out,
                       lspo_workers_t *workers);

#ifdef __cplusplus
}
#endif
#endif
