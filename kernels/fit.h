/* fit.h - learned sparse projectors: how much of a gradient a pair (P, Q) keeps, and values of P and Q that keep more.
 *                                                                           [arXiv 2406.10181, Section 4.2, Alg. 1]
 *
 * With G: m x n, P: m x d_m and Q: n x d_n (kernels/projector.h) and a scalar c, the estimate of G is c P P^T G Q Q^T,
 * and
 *     bias(c) = ||c P P^T G Q Q^T - G||_F / ||G||_F.
 * No m x n residual is formed: with G^ = P^T G Q (d_m x d_n),
 *     bias(c)^2 = (||G||^2 - 2 c ||G^||^2 + c^2 E) / ||G||^2,    E = tr(G^^T (P^T P) G^ (Q^T Q)),
 * whose least value over c, at c = ||G^||^2 / E, is 1 - ||G^||^4 / (E ||G||^2): the bias *at its best scale*, in
 * [0, 1].  The plain one, c = 1, of a random pair is about sqrt(m n / (d_m d_n) - 1).  Only the best scale is of use in
 * training, because Adam's direction does not change with the scale of G^.
 *
 * Fitting minimises, over the values at fixed positions, by Adam from the random values scaled to their best c,
 *     L = mean over the calibration gradients of bias(1) + beta (||P||_F + ||Q||_F).
 * Gradient at nonzero (i, k) of P, with T = G^ Q^T Q, S = P^T P G^, D = 2 P^T P T - 4 G^:
 *     d(bias^2 ||G||^2) / dP_ik = (G Q)_i . D_k + 2 (P T)_i . G^_k,        Q alike with everything transposed.
 * Products with P and Q are sparse times dense, 2 r FLOPs an element of G twice and of m x d, n x d, d x d matrices
 * otherwise; where d is small beside m (or n) those with P^T P are dense, d x d.  Nothing is m x m or n x n.
 *
 * Norms: P D Q^T, with Adam's D of elements near 1, must stay as large as that of random projectors, or fitting would
 * change the learning rate.  When fitting ends P is rescaled to ||P||_F = sqrt(m) and Q to ||Q||_F = sqrt(n), the
 * expectation of the random ones; the inverse goes into c, where it is exact: the reported biases are the same.
 *
 * Results depend neither on the number of workers nor on the level of the clock, but on LSPO_FIT_TIME.
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
    LSPO_FIT_PLATEAU,   /* it no longer falls         */
    LSPO_FIT_TIME,      /* the time limit             */
    LSPO_FIT_NUMERIC    /* a gradient is zero or not finite: P and Q are as they were */
} lspo_fit_reason_t;

typedef struct {
    double alpha; /* stop at this bias or below; 0: never for this reason */
    double beta;
    double learning_rate;
    double plateau;      /* stop when the best bias fell by less than this part of itself in 20 steps; 0: never */
    double time_limit_s; /* 0: none; otherwise where it stops depends on the machine */
    uint32_t steps;
    lspo_workers_t *workers; /* who shares the work; NULL: the calling thread alone */
} lspo_fit_options_t;

/* alpha 0.3, beta 1e-4, learning rate 0.1 (of values whose rows have norm 1 in the root mean square; above 16 nonzeros
 * a row 16 / r of it), plateau 1e-3, no time limit, 100 steps, no workers. */
lspo_fit_options_t lspo_fit_default(void);

typedef struct {
    double bias_random;             /* of the pair at its best scale before fitting: mean over the gradients */
    double bias_before, bias_after; /* bias(1), as handed in; bias at the scale that was fitted */
    uint32_t steps;
    lspo_fit_reason_t reason;
} lspo_fit_result_t;

/* Scratch floats for all functions below that take scratch, one gradient at a time. */
uint64_t lspo_fit_scratch(const lspo_projector_t *p, const lspo_projector_t *q);
/* The same from the shapes. */
uint64_t lspo_fit_scratch_of(uint64_t m, uint64_t n, uint64_t d_m, uint64_t d_n, uint64_t r_m, uint64_t r_n);

/* Bias of the pair on g (m x n, row-major) with c = 1, and at its best scale.  NaN when g is zero or not finite.
 * workers may be NULL. */
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

/* L and its gradient (p_gradient: m x r_m in the order of p->value, q_gradient alike).  Reads beta and workers of the
 * options. */
double lspo_fit_objective(const lspo_fit_options_t *options, const lspo_projector_pair_t *pair,
                          const lspo_fit_gradients_t *gradients, float *p_gradient, float *q_gradient, float *scratch);

/* New values for P and Q, the best that were seen; positions stay. */
lspo_fit_result_t lspo_fit(const lspo_fit_options_t *options, const lspo_fit_gradients_t *gradients,
                           lspo_projector_t *p, lspo_projector_t *q, float *scratch);

/* The same in pieces, for gradients that come one after the other and are not kept: begin with the first, then some
 * steps on each, then finish.  What a fit works on is all that lives between the calls.  The learning rate fades to 0
 * over `options->steps`, which all calls share; no step is better than the others for certain, so the last values stay;
 * alpha, plateau and time limit are not looked at. */
typedef struct {
    const lspo_fit_options_t *options;
    lspo_projector_t *p, *q;
    float *moments; /* lspo_fit_moments() floats: Adam's m and v of P, then of Q */
} lspo_fit_work_t;

typedef struct {
    double p_rate, q_rate; /* learning rates before fading */
    uint32_t steps;        /* done                         */
} lspo_fit_stream_t;
size_t lspo_fit_moments(const lspo_projector_t *p, const lspo_projector_t *q);
/* Scales P and Q to their best c on g.  False when g is zero or not finite: P and Q are as they were. */
bool lspo_fit_begin(const lspo_fit_work_t *work, const float *g, float *scratch, lspo_fit_stream_t *stream_out);
/* `steps` more on g; none, and false, when g is zero or not finite. */
bool lspo_fit_advance(const lspo_fit_work_t *work, uint32_t steps, const float *g, float *scratch,
                      lspo_fit_stream_t *stream);
/* Holds the norms. */
void lspo_fit_finish(lspo_projector_t *p, lspo_projector_t *q);

const char *lspo_fit_reason_name(lspo_fit_reason_t reason);

/* Moments from the subspace of the pair `from`, (P, Q), into that of the pair `to`, (Pn, Qn), in place:
 *     M <- c Pn^T P M Q^T Qn,    V <- c^2 (Pn^T P)^o2 V (Q^T Qn)^o2            [Alg. 1, lines 8 and 9; c there is 1]
 * with c such that V keeps its sum: the projectors' norms are held, so that gradients in the new subspace are as large
 * as in the old, and Adam's step must not change with what P^T P happens to amplify.  With `keep_sum` false, c = 1.
 * Pn, Qn have the shapes of P, Q.  scratch: lspo_fit_carry_scratch() floats.  Returns c. */
size_t lspo_fit_carry_scratch(const lspo_projector_t *p, const lspo_projector_t *q);
double lspo_fit_carry(const lspo_projector_pair_t *from, const lspo_projector_pair_t *to, bool keep_sum, float *m,
                      float *v, float *scratch);

/* The least bias that any estimate of rank k can have: sqrt(1 - sum of the k largest squared singular values of g /
 * ||g||^2), by LAPACK's dsyevr on the Gram matrix of the shorter side, in double.  NaN when out of memory, g is zero or
 * not finite, or LAPACK fails. */
double lspo_fit_svd_floor(size_t m, size_t n, size_t k, const float *g);

#ifdef __cplusplus
}
#endif
#endif
