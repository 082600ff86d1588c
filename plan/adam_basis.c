/* adam_basis.c - see adam_basis.h. */
#include "plan/adam_basis.h"

#include <stdbool.h>
#include <stddef.h>

#include "plan/stage_work.h"

/* All eigenvectors of a symmetric matrix by dsyevd, in products A B^T of its size: on a core with AVX-512 27 at d = 64,
 * 24 at 128, 16 to 27 at 256, 27 at 512; other products are faster where d is small, as it is not. */
enum { EIGEN_PRODUCTS = 28 };

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
typedef struct {
    lspo_layout_t layout;
    uint32_t count;
    uint64_t m, n, k;
} products_t;

static void add_products(lspo_work_t *work, products_t products)
{
    lspo_work_append_recent_gemm(work, sizeof(float), products.layout, products.m, products.n, products.k);
    lspo_kernel_t *kernel = &work->kernels[work->kernel_count - 1];
    kernel->count = products.count;
    kernel->flop *= products.count;
    kernel->bytes *= products.count;
}

/* Columns of the upper half of a d x d moment, on average over its panels. */
static uint64_t upper(uint64_t d)
{
    return (d + (d < PANEL ? d : PANEL)) / 2;
}

/* A side's eigenvectors, and T turned to them. */
static void add_renewal(lspo_work_t *work, uint64_t d)
{
    add_products(work, (products_t){LSPO_LAYOUT_NT, EIGEN_PRODUCTS, d, d, d});
    add_products(work, (products_t){LSPO_LAYOUT_NN, 1, d, d, d});
}

/* X = T_m^T G^ T_n and E_m^T m E_n; T_m D T_n^T; X X^T and X^T X. */
static void add_matrix(lspo_adam_basis_t basis, const lspo_basis_matrix_t *matrix, bool renews, lspo_work_t *work)
{
    uint64_t m = matrix->rows, n = matrix->cols;
    uint32_t into = renews ? 2 : 1;
    add_products(work, (products_t){LSPO_LAYOUT_TN, into, m, n, m});
    add_products(work, (products_t){LSPO_LAYOUT_NN, into, m, n, n});
    add_products(work, (products_t){LSPO_LAYOUT_NN, 1, m, n, m});
    add_products(work, (products_t){LSPO_LAYOUT_NT, 1, m, n, n});
    if (basis == LSPO_ADAM_BASIS_EIGEN || renews) {
        add_products(work, (products_t){LSPO_LAYOUT_NT, 1, m, upper(m), n});
        add_products(work, (products_t){LSPO_LAYOUT_TN, 1, n, upper(n), m});
    }
    if (renews) {
        add_renewal(work, m);
        add_renewal(work, n);
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
