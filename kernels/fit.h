/* fit.h - fit sparse projectors to gradients: measure the bias of a pair (P, Q), and reduce it by learning its values.
 *                                                                           [arXiv 2406.10181, Section 4.2, Alg. 1]
 *
 * With G: m x n, P: m x d_m, Q: n x d_n (kernels/projector.h) and a scalar c, the estimate of G is c P P^T G Q Q^T, and
 *     bias(c) = ||c P P^T G Q Q^T - G||_F / ||G||_F.
 * No m x n residual is formed: with G^ = P^T G Q (d_m x d_n),
 *     bias(c)^2 = (||G||^2 - 2 c ||G^||^2 + c^2 E) / ||G||^2,    E = tr(G^^T (P^T P) G^ (Q^T Q)),
 * whose minimum over c, at c = ||G^||^2 / E, is 1 - ||G^||^4 / (E ||G||^2): the square of the bias *at the best scale*,
 * in [0, 1].  With c = 1 the bias of a random pair is about sqrt(m n / (d_m d_n) - 1).  For training only the bias at
 * the best scale matters, because Adam's direction does not change with the scale of G^.
 *
 * Fitting changes the values at fixed positions, by Adam, starting at the random values times the best c, to minimise
 *     L = mean over the calibration gradients of bias(1) + beta (||P||_F + ||Q||_F).
 * Gradient at nonzero (i, k) of P, with T = G^ Q^T Q, S = P^T P G^, D = 2 P^T P T - 4 G^:
 *     d(bias^2 ||G||^2) / dP_ik = (G Q)_i . D_k + 2 (P T)_i . G^_k,        and the same for Q with everything
 * transposed.  Products with P and Q are sparse times dense: 2 r FLOPs per element, twice for G and otherwise for m x
 * d, n x d and d x d matrices.  If d is small compared with m (or n), products with P^T P are dense, d x d.  No matrix
 * is m x m or n x n.
 *
 * Norms: the update P D Q^T, where Adam's D has elements near 1, must be as large as with random projectors; otherwise
 * fitting would change the effective learning rate.  So at the end P is rescaled to ||P||_F = sqrt(m) and Q to ||Q||_F
 * = sqrt(n), the expected norms of random ones.  c absorbs the inverse factors exactly, so the reported biases do not
 * change.
 *
 * Results do not depend on the number of workers.  They depend on the machine's speed only if a time limit ends the fit
 * (LSPO_FIT_TIME).
 */
#ifndef LSPO_KERNELS_FIT_H
#define LSPO_KERNELS_FIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/workers.h"
#include "kernels/projector.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    LSPO_FIT_STEPS,     /* the step limit             */
    LSPO_FIT_THRESHOLD, /* the bias is at most alpha  */
    LSPO_FIT_PLATEAU,   /* it no longer decreases */
    LSPO_FIT_TIME,      /* the time limit             */
    LSPO_FIT_NUMERIC    /* a gradient is zero or not finite; P and Q are unchanged */
} lspo_fit_reason_t;

typedef struct {
    double alpha; /* stop at or below this bias; 0: never */
    double beta;
    double learning_rate;
    double plateau;      /* stop if the best bias fell by less than this fraction in 20 steps; 0: never */
    double time_limit_s; /* 0: none; otherwise the result depends on the machine's speed */
    uint32_t steps;
    lspo_workers_t *workers; /* share the work; NULL: only the calling thread */
} lspo_fit_options_t;

/* alpha 0.3, beta 1e-4, learning rate 0.1 (for values whose rows have root-mean-square norm 1; times 16 / r for more
 * than 16 nonzeros per row), plateau 1e-3, no time limit, 100 steps, no workers. */
lspo_fit_options_t lspo_fit_default(void);

typedef struct {
    double bias_random;             /* before fitting, at the best scale: mean over the gradients */
    double bias_before, bias_after; /* bias(1) of the given pair; bias at the fitted scale */
    uint32_t steps;
    lspo_fit_reason_t reason;
} lspo_fit_result_t;

/* Scratch floats for all functions below that take scratch, one gradient at a time. */
uint64_t lspo_fit_scratch(const lspo_projector_t *p, const lspo_projector_t *q);
/* The same from the shapes. */
uint64_t lspo_fit_scratch_of(uint64_t m, uint64_t n, uint64_t d_m, uint64_t d_n, uint64_t r_m, uint64_t r_n);

/* Bias of the pair on g (m x n, row-major) with c = 1, and at its best scale.  NaN if g is zero or not finite.  workers
 * may be NULL. */
double lspo_fit_bias(const lspo_projector_t *p, const lspo_projector_t *q, const float *g, lspo_workers_t *workers,
                     float *scratch);
double lspo_fit_bias_scaled(const lspo_projector_t *p, const lspo_projector_t *q, const float *g,
                            lspo_workers_t *workers, float *scratch);

enum { LSPO_FIT_GRADIENTS_MAX = 64 };

/* The calibration gradients, m x n each. */
typedef struct {
    uint32_t count; /* <= LSPO_FIT_GRADIENTS_MAX */
    const float *const *g;
} lspo_fit_gradients_t;

/* L and its gradient (p_gradient: m x r_m in the order of p->value; q_gradient likewise).  Uses only beta and workers
 * of the options. */
double lspo_fit_objective(const lspo_fit_options_t *options, const lspo_projector_pair_t *pair,
                          const lspo_fit_gradients_t *gradients, float *p_gradient, float *q_gradient, float *scratch);

/* Fit the values of P and Q, and keep the best that were found; positions do not change. */
lspo_fit_result_t lspo_fit(const lspo_fit_options_t *options, const lspo_fit_gradients_t *gradients,
                           lspo_projector_t *p, lspo_projector_t *q, float *scratch);

/* The same in parts, for gradients that arrive one after the other and are not stored: begin with the first, do some
 * steps on each, then finish.  Only lspo_fit_work_t and lspo_fit_stream_t persist between the calls.  The learning rate
 * decreases to 0 over `options->steps`, counted over all calls.  The last values are kept, because steps on different
 * gradients cannot be compared; alpha, plateau and time limit are ignored. */
typedef struct {
    const lspo_fit_options_t *options;
    lspo_projector_t *p, *q;
    float *moments; /* lspo_fit_moments() floats: Adam's m and v of P, then of Q */
} lspo_fit_work_t;

typedef struct {
    double p_rate, q_rate; /* initial learning rates */
    uint32_t steps;        /* done                         */
} lspo_fit_stream_t;
size_t lspo_fit_moments(const lspo_projector_t *p, const lspo_projector_t *q);
/* Scales P and Q to the best c on g.  False if g is zero or not finite; P and Q are then unchanged. */
bool lspo_fit_begin(const lspo_fit_work_t *work, const float *g, float *scratch, lspo_fit_stream_t *stream_out);
/* `steps` more steps on g.  False, without a step, if g is zero or not finite. */
bool lspo_fit_advance(const lspo_fit_work_t *work, uint32_t steps, const float *g, float *scratch,
                      lspo_fit_stream_t *stream);
/* Restores the norms, see above. */
void lspo_fit_finish(lspo_projector_t *p, lspo_projector_t *q);

const char *lspo_fit_reason_name(lspo_fit_reason_t reason);

/* Transform Adam's moments from the subspace of the pair `from`, (P, Q), to that of the pair `to`, (Pn, Qn), in place:
 *     M <- c Pn^T P M Q^T Qn,    V <- c^2 (Pn^T P)^o2 V (Q^T Qn)^o2            [Alg. 1, lines 8 and 9; c there is 1]
 * with c chosen to preserve the sum of V: both pairs have the same norms, so gradients are equally large in both
 * subspaces, and an amplification by P^T P must not change the size of Adam's steps.  With `keep_sum` false, c = 1.
 * Pn, Qn have the shapes of P, Q.  scratch: lspo_fit_carry_scratch() floats.  Returns c. */
size_t lspo_fit_carry_scratch(const lspo_projector_t *p, const lspo_projector_t *q);
double lspo_fit_carry(const lspo_projector_pair_t *from, const lspo_projector_pair_t *to, bool keep_sum, float *m,
                      float *v, float *scratch);

/* The smallest bias of any estimate of rank k: sqrt(1 - sum of the k largest squared singular values of g /
 * ||g||^2), by LAPACK's dsyevr on the Gram matrix of the shorter side, in double.  NaN if out of memory, if g is zero
 * or not finite, or if LAPACK fails. */
double lspo_fit_svd_floor(size_t m, size_t n, size_t k, const float *g);

#ifdef __cplusplus
}
#endif
#endif
