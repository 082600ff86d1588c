/* adam_basis.h - the coordinates in which Adam works (kernels/eigen_adam.h), and what they take.
 *
 *     plain   those of the message
 *     fixed   the whitened eigenbasis of each weight's first gradient
 *     eigen   that of its gradients' running second moments, renewed every --basis-every steps
 *
 * Linear weights have a basis: under lsp and low rank what the message has of them, d_m x d_n, under lora each of the
 * factors A and B.  Other tensors are updated plainly.  Per matrix of m x n: T_m, L and T_n, R in fp32, 8 (m^2 + n^2)
 * bytes.
 *
 * Under lsp renewals are UPDs of their own, deepest stage first, after the last update of the step; elsewhere they are
 * parts of updates.  And either lane may turn the gradients (real/methods/gpu_bases.h):
 *
 *     cpu     UPD has all products
 *     gpu     COMPRESS ends with X = T_m^T G^ T_n, so X is what the link carries; UPD is Adam of X and the products of
 *             L and R, which are in the basis anyway; APPLY begins with T_m D T_n^T.  After a renewal T goes up in an
 *             H2D, after the stage's APPLY, for its COMPRESS of the next step.  T is on the GPU, too, in the format
 *             of its weights, p (m^2 + n^2) bytes.  A step that checks projectors is the CPU's: its T is known only
 *             after the check.
 *
 * Both compute the same.  In fp32 and without --clip they have the same bits on the host; otherwise what is rounded for
 * the link, or scaled by the norm, is X in place of G^. */
#ifndef LSPO_PLAN_ADAM_BASIS_H
#define LSPO_PLAN_ADAM_BASIS_H

#include <stdbool.h>
#include <stdint.h>

#include "plan/footprint.h"
#include "plan/work.h"

typedef enum {
    LSPO_ADAM_BASIS_PLAIN,
    LSPO_ADAM_BASIS_FIXED,
    LSPO_ADAM_BASIS_EIGEN,
    LSPO_ADAM_BASIS_COUNT
} lspo_adam_basis_t;

/* "plain", "fixed", "eigen"; ends with NULL. */
extern const char *const lspo_adam_basis_names[LSPO_ADAM_BASIS_COUNT + 1];

/* Which lane turns gradients into the basis and directions out of it; in the order of --basis-lane's words. */
typedef enum {
    LSPO_BASIS_LANE_AUTO, /* the faster one by simulation (sim/tune.h), or the CPU's */
    LSPO_BASIS_LANE_CPU,
    LSPO_BASIS_LANE_GPU
} lspo_basis_lane_t;

/* A matrix that has a basis, and its place in the message. */
typedef struct {
    uint64_t offset_elements;
    uint32_t rows, cols;
} lspo_basis_matrix_t;

enum { LSPO_BASIS_MATRICES_MAX = 2 * LSPO_LINEAR_MAX };

/* The matrices of a stage's message, in its order; they are its first elements.  Returns their number. */
uint32_t lspo_adam_basis_matrices(lspo_gradient_form_t form, const lspo_message_t *message,
                                  lspo_basis_matrix_t *matrices_out);

/* The bases of a stage, and the scratch of its update on one thread: per matrix 4 (2 m n + m^2 + n^2) bytes, and that
 * of LAPACK for the largest side.  plain: 0. */
uint64_t lspo_adam_basis_bytes(lspo_adam_basis_t basis, lspo_gradient_form_t form, const lspo_message_t *message);
uint64_t lspo_adam_basis_scratch_bytes(lspo_adam_basis_t basis, lspo_gradient_form_t form,
                                       const lspo_message_t *message);

/* A GPU turns matrices of one shape that follow one another at once: the number of those from matrix `first` on. */
uint32_t lspo_adam_basis_run(const lspo_basis_matrix_t *matrices, uint32_t count, uint32_t first);

/* In numbers of p bytes: T_m and T_n of a stage's matrices; and the scratch to turn them, as much as the largest run,
 * and if the link has another format (`converts`) as much as all.  plain: 0. */
uint64_t lspo_adam_basis_turn_bytes(lspo_adam_basis_t basis, lspo_gradient_form_t form, const lspo_message_t *message,
                                    uint64_t p);
uint64_t lspo_adam_basis_turn_scratch_bytes(lspo_adam_basis_t basis, lspo_gradient_form_t form,
                                            const lspo_message_t *message, uint64_t p, bool converts);

/* Append the products of a stage's step in fp32: four for gradient and direction; those of L and R, of which the upper
 * half is computed in panels of 128 rows, unless the basis is fixed; with `renews` those, too, and two
 * eigendecompositions with the turns of T and m. */
void lspo_adam_basis_add_work(lspo_adam_basis_t basis, lspo_gradient_form_t form, const lspo_message_t *message,
                              bool renews, lspo_work_t *work);

/* Append the parts that lanes share: the two products of gradients or of directions, in numbers of p bytes; the
 * products of L and R, unless the basis is fixed; a renewal alone, with those of L and R if the basis is fixed. */
typedef enum { LSPO_BASIS_TURN_IN, LSPO_BASIS_TURN_BACK, LSPO_BASIS_MOMENTS, LSPO_BASIS_RENEWAL } lspo_basis_part_t;
void lspo_adam_basis_add_part(lspo_adam_basis_t basis, lspo_gradient_form_t form, const lspo_message_t *message,
                              lspo_basis_part_t part, uint64_t p, lspo_work_t *work);

#endif
