/* adam_basis.h - the coordinates in which Adam works (kernels/eigen_adam.h), and what they take.
 *
 *     plain   those of the message
 *     fixed   the whitened eigenbasis of each weight's first gradient
 *     eigen   that of its gradients' running second moments, renewed every --basis-every steps
 *
 * Linear weights that are compressed have a basis; others are updated plainly.  Per weight of d_m x d_n: T_m, L and
 * T_n, R in fp32, 8 (d_m^2 + d_n^2) bytes. */
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

/* The bases of a stage; plain: 0. */
uint64_t lspo_adam_basis_bytes(lspo_adam_basis_t basis, const lspo_message_t *message);

/* Append the products of a stage's step: four for gradient and direction; those of L and R, of which the upper half is
 * computed in panels of 128 rows, unless the basis is fixed; with `renews` those, too, and two eigendecompositions with
 * the turns of T and m. */
void lspo_adam_basis_add_work(lspo_adam_basis_t basis, const lspo_message_t *message, bool renews, lspo_work_t *work);

#endif
