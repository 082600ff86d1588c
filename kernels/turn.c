/* turn.c - see turn.h. */
#include "kernels/turn.h"

#include "kernels/panels.h"

/* c (m x n) = a b, of which T_m is the left one or T_n, or its transpose, the right one. */
static void multiply(lspo_panel_form_t form, const lspo_turn_t *turn, const float *a, const float *b, float *c,
                     bool left)
{
    const size_t m = turn->m, n = turn->n, k = left ? m : n;
    const lspo_panel_product_t product = {
        .form = form,
        .gemm = {.m = m,
                 .n = n,
                 .k = k,
                 .alpha = 1,
                 .a = a,
                 .a_stride = k, /* T_m is square, also transposed */
                 .b = b,
                 .b_stride = n,
                 .c = c,
                 .c_stride = n},
    };
    lspo_panels_multiply(NULL, &product, 1);
}

void lspo_turn_in(const lspo_turn_t *turn, float *g, float *y)
{
    const size_t m = turn->m, n = turn->n;
    const float *t = turn->bases;
    for (size_t i = 0; i < turn->count; i++, t += m * m + n * n, g += m * n) {
        multiply(LSPO_PANEL_TN, turn, t, g, y, true);
        multiply(LSPO_PANEL_NN, turn, y, t + m * m, g, false);
    }
}

void lspo_turn_back(const lspo_turn_t *turn, float *d, float *y)
{
    const size_t m = turn->m, n = turn->n;
    const float *t = turn->bases;
    for (size_t i = 0; i < turn->count; i++, t += m * m + n * n, d += m * n) {
        multiply(LSPO_PANEL_NN, turn, t, d, y, true);
        multiply(LSPO_PANEL_NT, turn, y, t + m * m, d, false);
    }
}
