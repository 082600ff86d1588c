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

uint64_t lspo_adam_basis_bytes(lspo_adam_basis_t basis, const lspo_message_t *message)
{
    uint64_t floats = 0;
    for (uint32_t i = 0; basis != LSPO_ADAM_BASIS_PLAIN && i < message->linear_count; i++) {
        const lspo_projection_t *w = &message->linear[i];
        if (w->compressed)
            floats += 2 * ((uint64_t)w->d_rows * w->d_rows + (uint64_t)w->d_cols * w->d_cols);
    }
    return floats * sizeof(float);
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

static void add_weight(lspo_adam_basis_t basis, const lspo_projection_t *w, bool renews, lspo_work_t *work)
{
    uint64_t m = w->d_rows, n = w->d_cols;
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

void lspo_adam_basis_add_work(lspo_adam_basis_t basis, const lspo_message_t *message, bool renews, lspo_work_t *work)
{
    for (uint32_t i = 0; basis != LSPO_ADAM_BASIS_PLAIN && i < message->linear_count; i++)
        if (message->linear[i].compressed)
            add_weight(basis, &message->linear[i], renews, work);
}
