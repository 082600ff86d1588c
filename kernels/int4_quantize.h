/* int4_quantize.h - find the codes and scales of weights of 4 bits (int4.h), by rounding or by GPTQ (gptq.h).
 *
 * Both choose for each group of rows of a column (zero point 8)
 *     scale = max |w| x 2 / 15, rounded to fp16;    code = round(w / scale) + 8, limited to 0..15
 * so that the error of a weight is at most half a scale, and little more where the rounded scale is too small.  With
 * GPTQ a group's scales are those of its weights when it is its turn.
 */
#ifndef LSPO_KERNELS_INT4_QUANTIZE_H
#define LSPO_KERNELS_INT4_QUANTIZE_H

#include <stdbool.h>

#include "base/workers.h"
#include "kernels/int4.h"

/* Of the authors of GPTQ. */
#define LSPO_INT4_DAMPING 0.01F

/* packed: lspo_int4_bytes(), 64-byte aligned; the shape has no zeros.  w: m x n.  Returns false, with undefined
 * `packed`, if a weight is not finite or a scale above the largest number of fp16.  The same for any workers; NULL:
 * the calling thread. */
bool lspo_int4_round(lspo_workers_t *workers, const lspo_int4_shape_t *shape, const float *w, void *packed);

/* upper: of lspo_gptq_factor(), m x m.  w becomes what the codes stand for.  Returns false as lspo_int4_round(). */
bool lspo_int4_gptq(lspo_workers_t *workers, const lspo_int4_shape_t *shape, float *w, const float *upper,
                    void *packed);

#endif
