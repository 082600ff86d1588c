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

uint64_t lspo_adam_basis_turn_bytes(lspo_adam_basis_t basis, lspo_gradient_form_t form, const lspo_message_t *message,
                                    uint64_t p)
{
    return lspo_adam_basis_bytes(basis, form, message) / (2 * sizeof(float)) * p;
}

uint32_t lspo_adam_basis_run(const lspo_basis_matrix_t *matrices, uint32_t count, uint32_t first)
{
    uint32_t end = first + 1;
    while (end < count && matrices[end].rows == matrices[first].rows && matrices[end].cols == matrices[first].cols)
        end++;
    return end - first;
}

uint64_t lspo_adam_basis_turn_scratch_bytes(lspo_adam_basis_t basis, lspo_gradient_form_t form,
                                            const lspo_message_t *message, uint64_t p, bool converts)
{
    lspo_basis_matrix_t matrices[LSPO_BASIS_MATRICES_MAX];
    uint32_t count = basis == LSPO_ADAM_BASIS_PLAIN ? 0 : lspo_adam_basis_matrices(form, message, matrices);
    uint64_t largest = 0, sum = 0;
    for (uint32_t i = 0, run; i < count; i += run) {
        run = lspo_adam_basis_run(matrices, count, i);
        uint64_t elements = (uint64_t)run * matrices[i].rows * matrices[i].cols;
        largest = elements > largest ? elements : largest;
        sum += elements;
    }
    return p * (largest + (converts ? sum : 0));
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

/* `count` times E_m^T A E_n: X = T_m^T G^ T_n, or m. */
static void add_turns(lspo_work_t *work, const lspo_basis_matrix_t *matrix, uint32_t count)
{
    uint64_t m = matrix->rows, n = matrix->cols;
    add_products(work, (products_t){LSPO_LAYOUT_TN, count, m, n, m});
    add_products(work, (products_t){LSPO_LAYOUT_NN, count, m, n, n});
}

/* X X^T and X^T X. */
static void add_moments(lspo_work_t *work, const lspo_basis_matrix_t *matrix)
{
    uint64_t m = matrix->rows, n = matrix->cols;
    add_products(work, (products_t){LSPO_LAYOUT_NT, 1, m, upper(m), n});
    add_products(work, (products_t){LSPO_LAYOUT_TN, 1, n, upper(n), m});
}

/* Also T_m D T_n^T. */
static void add_matrix(lspo_adam_basis_t basis, const lspo_basis_matrix_t *matrix, bool renews, lspo_work_t *work)
{
    uint64_t m = matrix->rows, n = matrix->cols;
    add_turns(work, matrix, renews ? 2 : 1);
    add_products(work, (products_t){LSPO_LAYOUT_NN, 1, m, n, m});
    add_products(work, (products_t){LSPO_LAYOUT_NT, 1, m, n, n});
    if (basis == LSPO_ADAM_BASIS_EIGEN || renews)
        add_moments(work, matrix);
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

/* On the GPU T comes from memory, what it multiplies from the op before; a run is one batched product. */
static void add_turn(lspo_work_t *work, uint64_t p, lspo_layout_t layout, const lspo_basis_matrix_t *run,
                     uint32_t count, bool left)
{
    uint64_t d = left ? run->rows : run->cols;
    lspo_work_append_recent_gemm(work, p, layout, run->rows, run->cols, d);
    lspo_kernel_t *kernel = &work->kernels[work->kernel_count - 1];
    kernel->flop *= count;
    kernel->bytes *= count;
    kernel->far_bytes = p * count * d * d;
}

static void add_turned_run(lspo_work_t *work, uint64_t p, const lspo_basis_matrix_t *run, uint32_t count, bool in)
{
    add_turn(work, p, in ? LSPO_LAYOUT_TN : LSPO_LAYOUT_NN, run, count, true);
    add_turn(work, p, in ? LSPO_LAYOUT_NN : LSPO_LAYOUT_NT, run, count, false);
}

static void add_cpu_part(lspo_adam_basis_t basis, const lspo_basis_matrix_t *matrix, bool renews, lspo_work_t *work)
{
    if ((basis == LSPO_ADAM_BASIS_EIGEN) != renews)
        add_moments(work, matrix);
    if (renews) {
        add_turns(work, matrix, 1);
        add_renewal(work, matrix->rows);
        add_renewal(work, matrix->cols);
    }
}

void lspo_adam_basis_add_part(lspo_adam_basis_t basis, lspo_gradient_form_t form, const lspo_message_t *message,
                              lspo_basis_part_t part, uint64_t p, lspo_work_t *work)
{
    lspo_basis_matrix_t matrices[LSPO_BASIS_MATRICES_MAX];
    uint32_t count = basis == LSPO_ADAM_BASIS_PLAIN ? 0 : lspo_adam_basis_matrices(form, message, matrices);
    bool turns = part == LSPO_BASIS_TURN_IN || part == LSPO_BASIS_TURN_BACK;
    for (uint32_t i = 0, run; i < count; i += run) {
        run = turns ? lspo_adam_basis_run(matrices, count, i) : 1;
        if (turns)
            add_turned_run(work, p, &matrices[i], run, part == LSPO_BASIS_TURN_IN);
        else
            add_cpu_part(basis, &matrices[i], part == LSPO_BASIS_RENEWAL, work);
    }
}
