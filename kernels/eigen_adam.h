/* eigen_adam.h - Adam in the whitened eigenbasis of a subspace: SOAP [Vyas et al., arXiv 2409.11321, Alg. 3] inside of
 * the subspace that projectors P (m x d_m) and Q (n x d_n) span (kernels/projector.h); with P = Q = I it is SOAP.
 *
 *     T_m = (P^T P)^(-1/2) sqrt(m / d_m), T_n likewise from Q         at the beginning: P T_m has orthogonal columns of
 *                                                                     the norm sqrt(m / d_m), that of a random P
 *     X = T_m^T G^ T_n                                                the gradient G^ = P^T G Q in the basis
 *     m, v <- Adam of X (kernels/adam.h), D its direction             delta = T_m D T_n^T, which takes the place of D
 *     L <- 0.95 L + 0.05 X X^T,  R <- 0.95 R + 0.05 X^T X             running second moments, in the basis
 *     at a renewal, with L = E_m A E_m^T and R = E_n B E_n^T (eigenvectors by ascending eigenvalue):
 *         T_m <- T_m E_m,  T_n <- T_n E_n,  m <- E_m^T m E_n,  L <- A,  R <- B;  v stays
 *
 * So Adam's coordinates are those in which the gradient's dominant directions are few coordinates, not a part of every
 * one.  Turning P by any orthogonal O (P O in its place) changes nothing but rounding: T_m becomes O^T T_m.  A step's
 * own gradient is not in the basis in which it is seen, as in SOAP; so the first gradient only makes the basis, its
 * delta is 0, and Adam counts its steps from the next one.
 *
 * In directions that no gradient has had yet the basis is arbitrary: rounding decides.
 *
 * FLOPs per weight and step: 2 d_m d_n (2 d_m + 2 d_n) for X and delta, about half of that for L and R; a renewal has
 * two eigendecompositions by LAPACK's dsyevd (about 28 products of their size), and one product per turn of T and two
 * of m.  In fp32; the eigenvectors in fp64, so that T stays orthonormal over thousands of renewals.  Results do not
 * depend on the number of workers. */
#ifndef LSPO_KERNELS_EIGEN_ADAM_H
#define LSPO_KERNELS_EIGEN_ADAM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/workers.h"
#include "kernels/adam.h"
#include "kernels/projector.h"

/* The basis of one weight: row-major matrices; of L and R only diagonal and upper triangle. */
typedef struct {
    size_t d_m, d_n;
    float *t_m, *l; /* d_m x d_m */
    float *t_n, *r; /* d_n x d_n */
} lspo_eigen_basis_t;

/* 2 (d_m^2 + d_n^2), in the order t_m, l, t_n, r. */
size_t lspo_eigen_basis_floats(size_t d_m, size_t d_n);
lspo_eigen_basis_t lspo_eigen_basis_in(size_t d_m, size_t d_n, float *memory);

/* Bytes of scratch, 8-byte aligned, for a side of d: of each worker in a step that renews, and of the functions
 * below. */
size_t lspo_eigen_scratch_bytes(size_t d);

/* T = (P^T P)^(-1/2) sqrt(m / d); directions in which P is 0 (eigenvalues below 1e-6 of the largest) stay 0.  False,
 * with t unchanged, if P^T P is not finite in fp32 or its eigenvectors are not found. */
bool lspo_eigen_whiten(const lspo_projector_t *p, float *t, void *scratch);

/* One weight in a step. */
typedef struct {
    lspo_eigen_basis_t basis;
    const float *gradient; /* d_m x d_n, may be x      */
    float *m, *v;          /* d_m x d_n                */
    float *delta;          /* d_m x d_n: out, may be x */
    float *x, *y;          /* scratch, d_m x d_n each  */
    float *e_m, *e_n;      /* scratch, d_m x d_m and d_n x d_n */
    bool begins;           /* out: this was its first gradient that is not 0 */
} lspo_eigen_weight_t;

enum { LSPO_EIGEN_WEIGHTS_MAX = 16 };

/* A basis that is fixed is made from the first gradient, and L and R stay.  LATER: as RENEW, but lspo_eigen_renew()
 * follows before the next step; nothing of this step depends on it. */
typedef enum { LSPO_EIGEN_FIXED, LSPO_EIGEN_KEEP, LSPO_EIGEN_RENEW, LSPO_EIGEN_LATER } lspo_eigen_renewal_t;

typedef struct {
    lspo_workers_t *workers; /* NULL: only the calling thread */
    lspo_adam_t adam;        /* its step is that of the training */
    bool turned;             /* gradient is X and delta becomes D: kernels/turn.h does the rest */
    lspo_eigen_renewal_t renewal;
    lspo_eigen_weight_t *weights;
    size_t count;
    void *scratch;        /* lspo_eigen_scratch_bytes() of the largest side for each worker, and */
    size_t scratch_bytes; /* so many from one worker's to the next */
} lspo_eigen_step_t;

/* Do a step of all weights.  A basis whose moments are not finite is not renewed. */
void lspo_eigen_adam(const lspo_eigen_step_t *step);

/* The renewal of all weights that have had a gradient; of a weight basis, m and scratch are used. */
void lspo_eigen_renew(const lspo_eigen_step_t *step);

/* Take the state of a weight to another pair of projectors.  With C_m = (d / m) T'^T P'^T P T_m, where T' whitens P'
 * and is then turned to the eigenvectors of C_m L C_m^T, and C_n likewise:
 *     m <- C_m m C_n^T,  v <- C_m^2 v C_n^2^T (squares of elements),  L <- eigenvalues of C_m L C_m^T,  R likewise
 * and both are scaled so that the sum of v stays, as by lspo_fit_carry().  x, y, e_m and e_n of the weight are scratch.
 * Nothing but scratch changes if one of the new projectors cannot be whitened: if P'^T P' is not finite in fp32, or its
 * eigenvectors are not found. */
void lspo_eigen_carry(const lspo_projector_pair_t *from, const lspo_projector_pair_t *to,
                      const lspo_eigen_weight_t *weight, void *scratch);

#endif
