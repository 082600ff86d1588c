/* ternary.h - matrices of which every column has the values 0, low and high, packed with a dictionary, and products.
 *
 * [Frantar, Alistarh, "QMoE", arXiv 2310.16795, Sec. 4]  A *row* is a column of W (m x n): the m weights of an output,
 * padded to an even number with a zero.  It is a sequence of pairs of weights, of which there are 9.  The dictionary
 * has the 2^16 most probable sequences of 1 to 14 pairs, if a weight is 0 with probability 0.885 and otherwise low or
 * high, each 0.0575: sequences are expanded best first, so that with a sequence its beginnings are there, too, and all
 * 9 of one pair.  It is the same for all matrices.  A row is encoded from its begin, each time by the longest sequence
 * that matches: so a code has always 16 bits, and every code means something.  The codes of random rows take
 *
 *     zeros        1/3    0.8    0.885   0.9    0.95
 *     bits         4.15   1.12   0.737   0.690  0.590      per weight; the entropy at 0.885 is 0.630
 *
 * and 64 bits per row come to these: low and high in bf16, and the place of its first code.
 *
 * No entry has more than 3 weights that are not zero: its word has in bytes 0 to 2 the place of one (5 bits) and
 * whether it is low or high (2 bits above), or 0; in byte 3 the number of its weights, 2 to 28.  The table has 256 KiB,
 * and stays in a second-level cache.
 *
 *     Y = X W        X: rows x m, Y: rows x n, both dense
 *
 * A product decodes as it multiplies: the places of a row's entries are a prefix sum of their lengths, and those of
 * its other weights are read from X.  FLOPs: 2 per weight that is not zero.  Bytes: the codes and rows.
 */
#ifndef LSPO_KERNELS_TERNARY_H
#define LSPO_KERNELS_TERNARY_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/workers.h"
#include "kernels/float_bits.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LSPO_TERNARY_CODES = 65536, LSPO_TERNARY_NONZEROS = 3 };
enum { LSPO_TERNARY_ZERO, LSPO_TERNARY_LOW, LSPO_TERNARY_HIGH };

/* The word of each code; static. */
const uint32_t *lspo_ternary_table(void);

LSPO_ON_BOTH LSPO_INLINE uint32_t lspo_ternary_length(uint32_t word)
{
    return word >> 24;
}

/* Of its k-th weight that is not zero: the place; LSPO_TERNARY_LOW, _HIGH, or _ZERO where there is none. */
LSPO_ON_BOTH LSPO_INLINE uint32_t lspo_ternary_place_of(uint32_t word, unsigned k)
{
    return word >> 8 * k & 31;
}
LSPO_ON_BOTH LSPO_INLINE uint32_t lspo_ternary_value_of(uint32_t word, unsigned k)
{
    return word >> (8 * k + 5) & 3;
}

typedef struct {
    uint16_t low, high; /* bf16; low <= 0 <= high */
    uint32_t first;     /* of its codes           */
} lspo_ternary_row_t;

typedef struct {
    size_t m, n;
    lspo_ternary_row_t *rows; /* n + 1: the last one only says where the codes end */
    uint16_t *codes;
} lspo_ternary_t;

/* Bytes of rows and so many codes, a multiple of 8; and the parts, if they lie in `memory` (8-byte aligned). */
size_t lspo_ternary_bytes(size_t n, size_t codes);
lspo_ternary_t lspo_ternary_in(size_t m, size_t n, void *memory);

/* Make W (m x n) ternary: the round(zeros m n) weights of least magnitude become 0, the others of a column the mean of
 * its negative or of its positive ones, in bf16.  Of the authors' matrices, which GPTQ has rounded to 0, the least and
 * the largest weight of a row, 88.5 % are zero.  scratch: m n floats. */
void lspo_ternary_round(size_t m, size_t n, double zeros, float *w, float *scratch);

/* Pack a W that is ternary; at most `room` codes.  *used_out: how many there are, also if that is more.  LSPO_ERR_INPUT
 * for a column with other values, or too little room; nothing but `to` is then undefined. */
lspo_status_t lspo_ternary_pack(const float *w, size_t room, const lspo_ternary_t *to, size_t *used_out);

/* Packed bytes from elsewhere, before they are used: LSPO_ERR_INPUT, beginning with `what`, if `bytes` are too few or
 * rows do not have exactly the weights of m inputs. */
lspo_status_t lspo_ternary_check(const char *what, const lspo_ternary_t *packed, size_t bytes);

/* x: rows x m, y: rows x n.  workers: NULL: the calling thread.  Sums are in fp32; a number does not depend on the
 * number of workers. */
void lspo_ternary_product(const lspo_ternary_t *w, size_t rows, const float *x, float *y, lspo_workers_t *workers);

#ifdef __cplusplus
}
#endif
#endif
