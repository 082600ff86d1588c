/* adam_basis.h - the coordinates in which Adam works (kernels/eigen_adam.h), and what they take.
 *
 *     plain   those of the message
 *     fixed   the whitened eigenbasis of each weight's first gradient
 *     eigen   that of its gradients' running second moments, renewed every --basis-every steps
 *
 * Linear weights have a basis: under lsp and low rank what the message has of them, d_m x d_n, under lora each of the
 * factors A and B.  Other tensors are updated plainly.  Per matrix of m x n: T_m, L and T_n, R in fp32, 8 (m^2 + n^2)
 * bytes. */
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

/* Append the products of a stage's step: four for gradient and direction; those of L and R, of which the upper half is
 * computed in panels of 128 rows, unless the basis is fixed; with `renews` those, too, and two eigendecompositions with
 * the turns of T and m. */
void lspo_adam_basis_add_work(lspo_adam_basis_t basis, lspo_gradient_form_t form, const lspo_message_t *message,
                              bool renews, lspo_work_t *work);

#endif
