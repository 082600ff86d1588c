/* panels.c - see panels.h. */
#include "kernels/panels.h"

typedef struct {
    const lspo_panel_product_t *products;
} work_t;

static size_t panels_of(const lspo_panel_product_t *product)
{
    return (product->gemm.m + LSPO_PANEL - 1) / LSPO_PANEL;
}

static void multiply(const lspo_panel_product_t *product, size_t panel)
{
    const lspo_gemm_t *g = &product->gemm;
    size_t first = panel * LSPO_PANEL, rows = g->m - first < LSPO_PANEL ? g->m - first : LSPO_PANEL;
    size_t left = product->upper ? first : 0, cols = g->n - left;
    const float *a = g->a, *b = g->b;
    float *c = (float *)g->c + first * g->c_stride + left;
    switch (product->form) {
    case LSPO_PANEL_NN:
        lspo_gemm_nn(rows, cols, g->k, g->alpha, a + first * g->a_stride, g->a_stride, b + left, g->b_stride, g->beta,
                     c, g->c_stride);
        break;
    case LSPO_PANEL_NT:
        lspo_gemm_nt(rows, cols, g->k, g->alpha, a + first * g->a_stride, g->a_stride, b + left * g->b_stride,
                     g->b_stride, g->beta, c, g->c_stride);
        break;
    case LSPO_PANEL_TN:
        lspo_gemm_tn(rows, cols, g->k, g->alpha, a + first, g->a_stride, b + left, g->b_stride, g->beta, c,
                     g->c_stride);
        break;
    }
}

static void multiply_item(void *context, uint32_t worker, size_t item)
{
    const lspo_panel_product_t *product = ((const work_t *)context)->products;
    (void)worker;
    while (item >= panels_of(product))
        item -= panels_of(product++);
    multiply(product, item);
}

void lspo_panels_multiply(lspo_workers_t *workers, const lspo_panel_product_t *products, size_t count)
{
    work_t work = {products};
    size_t items = 0;
    for (size_t i = 0; i < count; i++)
        items += panels_of(&products[i]);
    lspo_workers_run(workers, items, multiply_item, &work);
}
