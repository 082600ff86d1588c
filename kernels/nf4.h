/* nf4.h - weights in 4-bit NormalFloat with double quantization.
 *
 * [Dettmers, Pagnoni, Holtzman, Zettlemoyer, "QLoRA", arXiv 2305.14314, Sec. 3 and App. E]  A weight is an array of n
 * fp32 numbers in blocks of 64, and its blocks are in groups of 256; the last of each may be shorter.
 *     c_b = max |w_i| over block b
 *     code_i = the level nearest to w_i / c_b (of two equally near ones the lower), 4 bits
 *     mean = the mean of all c_b;  step_g = max |c_b - mean| / 127 over group g
 *     magnitude_b = round((c_b - mean) / step_g), 8 bits
 *     expanded: w'_i = level[code_i] (mean + step_g magnitude_b)
 * The levels are quantiles of N(0, 1), scaled to -1 .. 1, with an exact 0; a block of zeros stays zero.  The error is
 * at most half the largest gap between levels (0.152) times c_b, plus |level| times half a step_g.  Bytes: 33 per
 * block, 4 per group, and 4; that is 4.127 bits per number.  bitsandbytes rounds magnitudes to a nonuniform 8-bit
 * format instead.
 *
 * Expanding reads 0.516 bytes and writes one number per weight; it is 1 FLOP, and two per block.  The result has the
 * same bits on every level of kernels/cpu.h and on a GPU.
 */
#ifndef LSPO_KERNELS_NF4_H
#define LSPO_KERNELS_NF4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/workers.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LSPO_NF4_LEVELS = 16, LSPO_NF4_BLOCK = 64, LSPO_NF4_GROUP = 256 };

extern const float lspo_nf4_levels[LSPO_NF4_LEVELS]; /* ascending */

/* The parts of a weight's memory, which the caller owns. */
typedef struct {
    size_t count;       /* n                                                                                    */
    uint8_t *codes;     /* 32 per block, two numbers each, the first in the lower half; 4-byte aligned on a GPU */
    float *steps;       /* one per group                                                                        */
    float *mean;        /* one                                                                                  */
    int8_t *magnitudes; /* one per block                                                                        */
} lspo_nf4_t;

static inline size_t lspo_nf4_blocks(size_t count)
{
    return (count + LSPO_NF4_BLOCK - 1) / LSPO_NF4_BLOCK;
}

static inline size_t lspo_nf4_groups(size_t count)
{
    return (lspo_nf4_blocks(count) + LSPO_NF4_GROUP - 1) / LSPO_NF4_GROUP;
}

/* Bytes of the parts of `parts` weights of `counts` numbers; and the parts, if they lie in `memory` (4-byte aligned):
 * all codes, all steps and means, then all magnitudes. */
size_t lspo_nf4_bytes(size_t parts, const size_t *counts);
void lspo_nf4_place(size_t parts, const size_t *counts, void *memory, lspo_nf4_t *parts_out);

/* Quantize w (to->count numbers) into the parts of `to`; workers may be NULL, the result is the same.  scratch: a float
 * per block.  Returns false, with undefined parts, if a number is NaN or infinite. */
bool lspo_nf4_quantize(lspo_workers_t *workers, const float *w, float *scratch, const lspo_nf4_t *to);

/* w_out: from->count numbers. */
void lspo_nf4_expand(const lspo_nf4_t *from, float *w_out);

#ifdef __cplusplus
}
#endif
#endif
