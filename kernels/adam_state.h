/* adam_state.h - Adam's m and v in fewer bits; the equations of kernels/adam.h, computed in fp32.
 *
 * BF16: 4 bytes per weight.  Both moments are rounded randomly (kernels/rounding.h).  v needs it: v <- b2 v + ... with
 * b2 = 0.999 changes v by a thousandth, and numbers of bf16 are 1/256 to 1/128 apart, so rounded to the nearest v would
 * not fall at all, and rise only where g^2 is several times v.  m, of which a tenth is new, loses less: gradients below
 * 1/50 of it.
 *
 * 8BIT: 2 bytes per weight and two fp32 scales per block of 256 weights.  Block-wise dynamic quantization [Dettmers,
 * Lewis, Shleifer, Zettlemoyer, "8-bit Optimizers via Block-wise Quantization", ICLR 2022, arXiv 2110.02861, Sec. 2]:
 * a moment is the value of its code times the largest magnitude in its block; the code is that of the nearest value.
 * The values are those of bitsandbytes and torchao (create_dynamic_map(), max_exponent_bits 7), and so is the size of a
 * block.  m has a sign, v has none:
 *
 *     10^(i - 6) (0.1 + 0.9 (k + 1/2) / N_i),  k = 0 .. N_i - 1,  i = 0 .. 6,  N_i = 2^i (m) or 2^(i + 1) (v)
 *
 * with 0 and 1, and for m the negatives of all but 1: 256 values, ascending by code.  A relative error of half the
 * distance of two values is 0.35 % (v) or 0.7 % (m) near the block's largest, and 100 % at a millionth of it.  Other
 * than in bitsandbytes, a v above 0 is never stored as 0: m / (0 + eps) would be a step of any size.
 *
 * A block begins at a multiple of 256 elements, so results do not depend on how an array is divided at such multiples.
 * Bits are the same on every level of kernels/cpu.h: sums are not fused, roots and quotients are exact.  Traffic, bytes
 * per element: read g, m, v (and w); write m, v and w or out: 16 (BF16), 12.1 (8BIT) in the direction form, 4 more in
 * the parameters form.
 */
#ifndef LSPO_KERNELS_ADAM_STATE_H
#define LSPO_KERNELS_ADAM_STATE_H

#include <stddef.h>

#include "kernels/adam.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LSPO_ADAM_BLOCK = 256 };

/* ---- where m and v of some weights lie in one piece of memory: all of m, all of v, then the scales ---- */

/* `count` weights take so many places: 8BIT whole blocks, the others one each. */
size_t lspo_adam_places(lspo_adam_format_t format, size_t count);
size_t lspo_adam_state_bytes(lspo_adam_format_t format, size_t places);
/* The state of `count` weights from place `at` on (8BIT: the first of a block), without seed; `memory` has `places`. */
lspo_adam_state_t lspo_adam_state_at(lspo_adam_format_t format, void *memory, size_t places, size_t at, size_t count);

/* lspo_adam_parameters() and lspo_adam_direction() in a format other than FP32: the step of w, or else `out`. */
void lspo_adam_narrow(const lspo_adam_scalars_t *scalars, const lspo_adam_state_t *state, const float *gradient,
                      float *w, float *out);

#ifdef __cplusplus
}
#endif
#endif
