/* panels.h - dense products shared by workers: each is cut into panels of rows, which are products of kernels/gemm.h.
 *
 * The cuts depend only on the sizes, and each panel is computed by one worker, so results do not depend on the number
 * of workers.  Each worker needs a buffer of OpenBLAS: lspo_blas_reserve(). */
#ifndef LSPO_KERNELS_PANELS_H
#define LSPO_KERNELS_PANELS_H

#include <stdbool.h>

#include "base/workers.h"
#include "kernels/gemm.h"

/* Rows of a panel. */
enum { LSPO_PANEL = 128 };

/* Which operand is stored transposed: none, B (n x k) or A (k x m). */
typedef enum { LSPO_PANEL_NN, LSPO_PANEL_NT, LSPO_PANEL_TN } lspo_panel_form_t;

typedef struct {
    lspo_gemm_t gemm; /* of floats */
    lspo_panel_form_t form;
    bool upper; /* C is square and symmetric: a panel is computed from its diagonal block rightward */
} lspo_panel_product_t;

/* Compute all products; none may read what another writes. */
void lspo_panels_multiply(lspo_workers_t *workers, const lspo_panel_product_t *products, size_t count);

#endif
