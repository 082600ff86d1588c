/* adam.h - Adam on flat arrays: the optimizer of every policy, on CPU and GPU.
 *
 *     g' = scale g
 *     m <- b1 m + (1 - b1) g'                v <- b2 v + (1 - b2) g'^2          [Kingma & Ba, arXiv 1412.6980, Alg. 1]
 *     direction = (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t) + root_eps) + eps)          root_eps is 0 as published
 *
 * Parameters form:  w <- w - lr (direction + decay w)      Direction form:  out <- direction
 * (Under lsp the APPLY op does the weight decay, because the CPU has no W.)
 *
 * The bias corrections are folded into the scalars of a step: direction = a m / (sqrt(v + r) + e).  The vector paths
 * compute square root and quotient by the CPU's approximations and one Newton step each: the direction's relative
 * error, given m and v, is below 1e-6 (the tests measure 3e-7 against double).  Inside the root v is clamped to
 * [FLT_MIN, FLT_MAX], so g = m = v = 0 gives direction 0 even with eps = 0, and an overflowed v gives a tiny step,
 * not NaN; NaN in g stays NaN.  The vector paths treat denormals as zero (FTZ and DAZ) and restore the caller's FP
 * mode.  Results do not depend on alignment, on how an array is divided, or on the thread: each element, also in
 * tails, has the same operations in the same order.  They may differ between levels of kernels/cpu.h in the last
 * bits.  Traffic, bytes per element, fp32: read g, m, v (and w); write m, v and w or out: 24 (direction), 28
 * (parameters).
 */
#ifndef LSPO_KERNELS_ADAM_H
#define LSPO_KERNELS_ADAM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    float learning_rate, beta1, beta2, epsilon, root_epsilon, weight_decay;
    uint32_t step;        /* t, from 1 */
    float gradient_scale; /* clipping: min(1, clip / norm); 1 without */
} lspo_adam_t;

/* beta1 0.9, beta2 0.999, eps 1e-8, root_eps 0, decay 0, scale 1, and the given learning rate and step. */
lspo_adam_t lspo_adam_default(float learning_rate, uint32_t step);

/* The numbers of m and v; see kernels/adam_state.h. */
typedef enum { LSPO_ADAM_FP32, LSPO_ADAM_BF16, LSPO_ADAM_8BIT } lspo_adam_format_t;

/* Adam's state of `count` weights. */
typedef struct {
    size_t count;
    void *m, *v;               /* floats, bf16 numbers or codes of 8 bits                                  */
    float *master;             /* FP32, parameters form on a GPU in 16 bits: the weights in fp32; else NULL */
    lspo_adam_format_t format; /* the others: */
    float *m_scale, *v_scale;  /* 8BIT: the largest magnitude of each block                                */
    uint64_t seed, first;      /* of random rounding: element i has the bits of (seed, first + i)           */
} lspo_adam_state_t;

/* All arrays have the state's `count` elements and do not overlap, except that `out` may be `gradient`. */
void lspo_adam_parameters(const lspo_adam_t *adam, const lspo_adam_state_t *state, const float *gradient, float *w);
void lspo_adam_direction(const lspo_adam_t *adam, const lspo_adam_state_t *state, const float *gradient, float *out);

/* The scalars of one step, shared by the host and CUDA kernels. */
typedef struct {
    float scale, beta1, one_minus_beta1, beta2, one_minus_beta2;
    float corrected;    /* a = sqrt(1 - b2^t) / (1 - b1^t) */
    float epsilon;      /* e = eps sqrt(1 - b2^t)          */
    float root_epsilon; /* r = root_eps (1 - b2^t)         */
    float learning_rate, weight_decay;
} lspo_adam_scalars_t;
lspo_adam_scalars_t lspo_adam_scalars(const lspo_adam_t *adam);

#ifdef __cplusplus
}
#endif
#endif
