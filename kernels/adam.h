/* adam.h - Adam on flat arrays, the arithmetic of every policy's optimizer, on CPU and GPU alike.
 *
 *     g' = scale g
 *     m <- b1 m + (1 - b1) g'                v <- b2 v + (1 - b2) g'^2          [Kingma & Ba, arXiv 1412.6980, Alg. 1]
 *     direction = (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
 *
 * Parameters form:  w <- w - lr (direction + decay w)      Direction form:  out <- direction
 * (Under lsp weight decay is the APPLY's business: the CPU has no W.)
 *
 * The bias corrections are folded into two scalars a step: direction = a m / (sqrt(v) + e).  The vector paths take the
 * square root and the quotient from the CPU's approximations and one Newton step each instead of dividing: the
 * direction's relative error, given m and v, is below 1e-6 (measured against double in the tests: 3e-7).  v is held
 * within [FLT_MIN, FLT_MAX] under the root only, so g = m = v = 0 gives direction 0 even with eps = 0, and a v that
 * overflowed gives a tiny step, not NaN; NaN in g stays NaN.
 * Denormals count as zero inside the vector paths (FTZ and DAZ), whatever the caller's FP mode, which is restored.
 * Results do not depend on alignment, on where an array is cut into pieces, or on the thread: elementwise, the same
 * operations in the same order, tails included.  They may differ between levels of kernels/cpu.h in the last bits.
 * Traffic, bytes an element, fp32: read g, m, v (and w); write m, v and w or out: 24 (direction), 28 (parameters).
 */
#ifndef LSPO_KERNELS_ADAM_H
#define LSPO_KERNELS_ADAM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    float learning_rate, beta1, beta2, epsilon, weight_decay;
    uint32_t step;        /* t, from 1 */
    float gradient_scale; /* clipping: min(1, clip / norm); 1 without */
} lspo_adam_t;

/* beta1 0.9, beta2 0.999, eps 1e-8, decay 0, lr as given, step as given, scale 1. */
lspo_adam_t lspo_adam_default(float learning_rate, uint32_t step);

/* What Adam keeps of `count` weights from step to step. */
typedef struct {
    size_t count;
    float *m, *v;
    float *master; /* parameters form on a GPU in 16 bits: the weights in fp32; else NULL */
} lspo_adam_state_t;

/* All arrays have the state's `count` elements and do not overlap, except that `out` may be `gradient`. */
void lspo_adam_parameters(const lspo_adam_t *adam, const lspo_adam_state_t *state, const float *gradient, float *w);
void lspo_adam_direction(const lspo_adam_t *adam, const lspo_adam_state_t *state, const float *gradient, float *out);

/* The scalars of one step, shared by the host and CUDA kernels. */
typedef struct {
    float scale, beta1, one_minus_beta1, beta2, one_minus_beta2;
    float corrected; /* a = sqrt(1 - b2^t) / (1 - b1^t) */
    float epsilon;   /* e = eps sqrt(1 - b2^t)          */
    float learning_rate, weight_decay;
} lspo_adam_scalars_t;
lspo_adam_scalars_t lspo_adam_scalars(const lspo_adam_t *adam);

#ifdef __cplusplus
}
#endif
#endif
