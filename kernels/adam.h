/* adam.h - Adam on flat arrays, the arithmetic of every policy's optimizer, on CPU and GPU alike.
 *
 *     g' = scale g
 *     m <- b1 m + (1 - b1) g'                v <- b2 v + (1 - b2) g'^2
 *     direction = (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
 *
 * Parameters form:  w <- w - lr (direction + decay w)      Direction form:  out <- direction
 * (Under lsp weight decay is the APPLY's business: the CPU has no W.)  The two bias corrections are folded into
 * two scalars a step; each element costs one division at most.  Results do not depend on alignment, on where an
 * array is cut into pieces, or on the thread: elementwise, the same operations in the same order, tails included.
 * Denormals are flushed to zero inside the kernel and the caller's FP mode is restored.
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

/* All arrays have n elements and do not overlap, except that `out` may be `gradient`. */
void lspo_adam_parameters(const lspo_adam_t *adam, size_t n, const float *gradient, float *m, float *v, float *w);
void lspo_adam_direction(const lspo_adam_t *adam, size_t n, const float *gradient, float *m, float *v, float *out);

#ifdef __cplusplus
}
#endif
#endif
