/* adam_basis.c - see adam_basis.h. */
#include "plan/adam_basis.h"

#include <stdbool.h>
#include <stddef.h>

#include "plan/stage_work.h"

/* All eigenvectors of a symmetric matrix by dsyevd, in sgemm products of its size: on a core with AVX-512, 45 at d =
 * 64, 30 at 128, 16 to 28 at 256, 25 to 34 at 512. */
enum { EIGEN_PRODUCTS = 32 };

/* kernels/panels.h */
enum { PANEL = 128 };

const char *const lspo_adam_basis_names[LSPO_ADAM_BASIS_COUNT + 1] = {
    [LSPO_ADAM_BASIS_PLAIN] = "plain", [LSPO_ADAM_BASIS_FIXED] = "fixed", [LSPO_ADAM_BASIS_EIGEN] = "eigen"};

uint32_t lspo_adam_basis_matrices(lspo_gradient_form_t form, const lspo_message_t *message,
                                  lspo_basis_matrix_t *matrices_out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < message->linear_count; i++) {
        const lspo_projection_t *w = &message->linear[i];
        uint64_t at = w->message_offset_elements;
        if (form != LSPO_FORM_ADAPTER) {
            matrices_out[count++] = (lspo_basis_matrix_t){at, w->d_rows, w->d_cols};
            continue;
        }
        matrices_out[count++] = (lspo_basis_matrix_t){at, w->rows, w->d_rows};
        matrices_out[count++] = (lspo_basis_matrix_t){at + (uint64_t)w->rows * w->d_rows, w->cols, w->d_rows};
    }
    return count;
}

uint64_t lspo_adam_basis_bytes(lspo_adam_basis_t basis, lspo_gradient_form_t form, const lspo_message_t *message)
{
    lspo_basis_matrix_t matrices[LSPO_BASIS_MATRICES_MAX];
    uint32_t count = basis == LSPO_ADAM_BASIS_PLAIN ? 0 : lspo_adam_basis_matrices(form, message, matrices);
    uint64_t floats = 0;
    for (uint32_t i = 0; i < count; i++)
        floats += 2 * ((uint64_t)matrices[i].rows * matrices[i].rows + (uint64_t)matrices[i].cols * matrices[i].cols);
    return floats * sizeof(float);
}

/* kernels/eigen_adam.h counts the same. */
static uint64_t lapack_bytes(uint64_t d)
{
    return d > 0 ? (32 * d * d + 76 * d + 20 + 7) / 8 * 8 : 0;
}

uint64_t lspo_adam_basis_scratch_bytes(lspo_adam_basis_t basis, lspo_gradient_form_t form,
                                       const lspo_message_t *message)
{
    lspo_basis_matrix_t matrices[LSPO_BASIS_MATRICES_MAX];
    uint32_t count = basis == LSPO_ADAM_BASIS_PLAIN ? 0 : lspo_adam_basis_matrices(form, message, matrices);
    uint64_t floats = 0, largest = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t m = matrices[i].rows, n = matrices[i].cols;
        floats += 2 * m * n + m * m + n * n;
        largest = m > largest ? m : largest;
        largest = n > largest ? n : largest;
    }
    return floats * sizeof(float) + lapack_bytes(largest);
}

/* `count` products of a shape, whose operands other products have just written. */
static void add_products(lspo_work_t *work, uint32_t count, uint64_t m, uint64_t n, uint64_t k)
{
    lspo_work_append_recent_gemm(work, sizeof(float), LSPO_LAYOUT_NN, m, n, k);
    lspo_kernel_t *kernel = &work->kernels[work->kernel_count - 1];
    kernel->count = count;
    kernel->flop *= count;
    kernel->bytes *= count;
}

/* L (d x d) from X, of the other side k. */
static void add_moment(lspo_work_t *work, uint64_t d, uint64_t k)
{
    add_products(work, 1, d, (d + (d < PANEL ? d : PANEL)) / 2, k);
}

static void add_matrix(lspo_adam_basis_t basis, const lspo_basis_matrix_t *matrix, bool renews, lspo_work_t *work)
{
    uint64_t m = matrix->rows, n = matrix->cols;
    uint32_t passes = renews ? 3 : 2; /* gradient, direction; m */
    add_products(work, passes, m, n, m);
    add_products(work, passes, m, n, n);
    if (basis == LSPO_ADAM_BASIS_EIGEN || renews) {
        add_moment(work, m, n);
        add_moment(work, n, m);
    }
    if (renews) {
        add_products(work, EIGEN_PRODUCTS + 1, m, m, m);
        add_products(work, EIGEN_PRODUCTS + 1, n, n, n);
    }
}

void lspo_adam_basis_add_work(lspo_adam_basis_t basis, lspo_gradient_form_t form, const lspo_message_t *message,
                              bool renews, lspo_work_t *work)
{
    lspo_basis_matrix_t matrices[LSPO_BASIS_MATRICES_MAX];
    uint32_t count = basis == LSPO_ADAM_BASIS_PLAIN ? 0 : lspo_adam_basis_matrices(form, message, matrices);
    for (uint32_t i = 0; i < count; i++)
        add_matrix(basis, &matrices[i], renews, work);
}
