/* compute_generation.c - the kernels of generation on the host; lspo_compute_create_generation() makes their object. */
#include <assert.h>

#include "real/device/compute_state.h"

void lspo_compute_few_rows_product(lspo_compute_t *c, const lspo_few_rows_t *product, const float *x, float *out)
{
    assert(c->generates);
    lspo_few_rows_product(product, x, NULL, out, c->workers);
}

void lspo_compute_ternary_product(lspo_compute_t *c, const lspo_ternary_t *w, size_t rows, const float *x, float *y)
{
    assert(c->generates);
    lspo_ternary_product(w, rows, x, y, c->workers);
}

void lspo_compute_few_rows_linear(lspo_compute_t *c, const lspo_linear_t *layer, const void *x, const void *residual,
                                  void *out)
{
    if (layer->int4.on) {
        const lspo_int4_product_t product = {.rows = layer->tokens,
                                             .shape = lspo_int4_shape(&layer->int4, layer->m, layer->n),
                                             .packed = layer->w,
                                             .bias = layer->bias};
        lspo_int4_product(&product, x, residual, out, c->workers);
        return;
    }
    const lspo_few_rows_t product = {.rows = layer->tokens,
                                     .m = layer->m,
                                     .n = layer->n,
                                     .number = layer->number,
                                     .w = layer->w,
                                     .bias = layer->bias};
    lspo_few_rows_product(&product, x, residual, out, c->workers);
}

void lspo_compute_few_rows_linear_gelu(lspo_compute_t *c, const lspo_linear_t *layer, const void *x, void *pre_out,
                                       void *out)
{
    lspo_compute_few_rows_linear(c, layer, x, NULL, pre_out);
    lspo_gelu_forward(LSPO_GELU_TANH, layer->tokens * layer->n, pre_out, out);
}

void lspo_compute_embedding_forward_from(lspo_compute_t *c, const lspo_embedding_t *embedding, lspo_number_t number,
                                         const void *token, const void *position, float *x_out)
{
    assert(c->generates);
    lspo_embedding_forward_from(embedding, number, token, position, x_out);
}

void lspo_compute_cache_append(lspo_compute_t *c, const lspo_cached_attention_t *a, const float *k, const float *v)
{
    assert(c->generates);
    lspo_cache_append(a, k, v);
}

void lspo_compute_cached_attention(lspo_compute_t *c, const lspo_cached_attention_t *a, const float *q, float *out,
                                   float *scratch)
{
    assert(c->generates);
    lspo_cached_attention(a, q, out, scratch, c->workers);
}
