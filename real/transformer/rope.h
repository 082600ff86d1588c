/* rope.h - the rotary frequencies of a model, scaled for longer texts.
 *
 *     f_j = theta^(-2 j / e),  j < e / 2, e the width of a head                 [Su et al., arXiv 2104.09864, Sec. 3.2]
 *     linear: f_j / factor                                                       [Chen et al., arXiv 2306.15595, eq. 4]
 *     llama3: with n = original f_j / (2 pi), the turns of a frequency in the original number of positions,
 *             f_j / factor if n < low_factor, f_j if n > high_factor, and between them
 *             (1 - s) f_j / factor + s f_j,  s = (n - low_factor) / (high_factor - low_factor)
 *                                                          [Llama 3.1: apply_scaling() of meta-llama/llama-models]
 */
#ifndef LSPO_REAL_TRANSFORMER_ROPE_H
#define LSPO_REAL_TRANSFORMER_ROPE_H

#include "plan/model.h"

/* frequencies: e / 2 numbers, in radians per position. */
void lspo_rope_frequencies(const lspo_model_t *model, double *frequencies);

#endif
