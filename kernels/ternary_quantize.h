/* ternary_quantize.h - make the columns of a matrix ternary (ternary.h), by rounding or by GPTQ (gptq.h).
 *
 * As [Frantar, Alistarh, QMoE, arXiv 2310.16795, Sec. 3]: the three numbers of a column are 0, its least weight and its
 * largest, in bf16 (0 if it has none below, or none above 0).  A weight becomes the nearest of the three, and 0 where
 * another one is as near.  So most weights become 0: 88 % of 768 normal ones.
 */
#ifndef LSPO_KERNELS_TERNARY_QUANTIZE_H
#define LSPO_KERNELS_TERNARY_QUANTIZE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/workers.h"

/* Of the authors of QMoE: ten times that of GPTQ, because experts see few tokens. */
#define LSPO_TERNARY_DAMPING 0.1F

/* w (m x n) becomes ternary.  Returns false, with undefined w, for a weight that is not finite in bf16.  The same for
 * any workers; NULL: the calling thread. */
bool lspo_ternary_nearest(lspo_workers_t *workers, size_t m, size_t n, float *w);

/* upper: of lspo_gptq_factor(), m x m. */
bool lspo_ternary_gptq(lspo_workers_t *workers, size_t m, size_t n, float *w, const float *upper);

#endif
