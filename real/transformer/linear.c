/* linear.c - a linear layer of a block: W, and beside it an adapter. */
#include "real/transformer/state.h"

/* Where a linear tensor's A starts among the factors, and its B behind it, in bytes. */
static size_t factor_offset(const lspo_transformer_t *t, uint32_t tensor, size_t rank)
{
    size_t rows = 0;
    for (uint32_t i = 0; i < tensor; i++)
        rows += (size_t)t->block.tensors[i].rows + t->block.tensors[i].cols;
    return rows * rank * t->number_bytes;
}

static size_t a_bytes(const lspo_transformer_t *t, uint32_t tensor, size_t rank)
{
    return t->block.tensors[tensor].rows * rank * t->number_bytes;
}

static void adapter_forward(const lspo_transformer_t *t, uint32_t tensor, const lspo_adapters_t *adapters,
                            const void *x, void *out)
{
    const size_t m = t->block.tensors[tensor].rows, n = t->block.tensors[tensor].cols, r = adapters->rank;
    const char *a = (const char *)adapters->factors + factor_offset(t, tensor, r);
    lspo_compute_adapter_forward(t->compute, t->tokens, m, n, r, adapters->scale, x, a, a + a_bytes(t, tensor, r), out,
                                 adapters->scratch);
}

void lspo_linear_forward(const lspo_transformer_t *t, uint32_t tensor, const lspo_block_parameters_t *from,
                         const void *x, const void *bias, const void *residual, void *out)
{
    const size_t m = t->block.tensors[tensor].rows, n = t->block.tensors[tensor].cols;
    lspo_compute_linear_forward(t->compute, t->tokens, m, n, x, lspo_block_weight(t, tensor, from), bias, residual,
                                out);
    if (from->adapters != NULL)
        adapter_forward(t, tensor, from->adapters, x, out);
}

void lspo_linear_gelu_forward(const lspo_transformer_t *t, uint32_t tensor, const lspo_block_parameters_t *from,
                              const void *x, const void *bias, void *pre_out, void *out)
{
    const size_t m = t->block.tensors[tensor].rows, n = t->block.tensors[tensor].cols;
    if (from->adapters == NULL) {
        lspo_compute_linear_gelu_forward(t->compute, t->tokens, m, n, x, lspo_block_weight(t, tensor, from), bias,
                                         pre_out, out);
        return;
    }
    lspo_linear_forward(t, tensor, from, x, bias, NULL, pre_out);
    lspo_compute_gelu_forward(t->compute, t->tokens * n, pre_out, out);
}

/* G = X^T dY into the sink, when it is wanted. */
static void linear_gradient(const lspo_transformer_t *t, uint32_t tensor, const lspo_gradient_sink_t *sink,
                            const void *x, const void *dy)
{
    if (sink == NULL || sink->linear == NULL)
        return;
    const size_t m = t->block.tensors[tensor].rows, n = t->block.tensors[tensor].cols;
    const bool add = sink->accumulate && !sink->overwrite_linear;
    lspo_compute_gemm_tn(t->compute, m, n, t->tokens, 1.0F, x, m, dy, n, add ? 1.0F : 0.0F,
                         lspo_stage_gradient(t, &t->block, tensor, sink->linear), n);
}

static void adapter_backward(const lspo_transformer_t *t, uint32_t tensor, const lspo_adapters_t *adapters,
                             const lspo_gradient_sink_t *sink, const void *x, const void *dy, void *dx)
{
    const size_t m = t->block.tensors[tensor].rows, n = t->block.tensors[tensor].cols, r = adapters->rank;
    const size_t at = factor_offset(t, tensor, r), to_b = a_bytes(t, tensor, r);
    const char *a = (const char *)adapters->factors + at;
    char *da = sink != NULL && sink->adapters != NULL ? (char *)sink->adapters + at : NULL;
    lspo_compute_adapter_backward(t->compute, t->tokens, m, n, r, adapters->scale, x, dy, a, a + to_b,
                                  lspo_sink_adds(sink), da, da != NULL ? da + to_b : NULL, dx, adapters->scratch);
}

void lspo_linear_backward(const lspo_transformer_t *t, uint32_t tensor, const lspo_block_parameters_t *from,
                          const lspo_gradient_sink_t *sink, const void *x, const void *dy, float beta, void *dx)
{
    const size_t m = t->block.tensors[tensor].rows, n = t->block.tensors[tensor].cols;
    linear_gradient(t, tensor, sink, x, dy);
    lspo_compute_gemm_nt(t->compute, t->tokens, m, n, 1.0F, dy, n, lspo_block_weight(t, tensor, from), n, beta, dx, m);
    if (from->adapters != NULL)
        adapter_backward(t, tensor, from->adapters, sink, x, dy, dx);
}

void lspo_linear_gelu_backward(const lspo_transformer_t *t, uint32_t tensor, const lspo_block_parameters_t *from,
                               const lspo_gradient_sink_t *sink, const void *x, const void *pre, const void *dy,
                               void *bias_gradient, void *d)
{
    const size_t m = t->block.tensors[tensor].rows, n = t->block.tensors[tensor].cols;
    const bool accumulate = lspo_sink_adds(sink);
    if (from->adapters == NULL) {
        linear_gradient(t, tensor, sink, x, dy);
        lspo_compute_linear_gelu_backward(t->compute, t->tokens, m, n, dy, lspo_block_weight(t, tensor, from), pre,
                                          accumulate, d, bias_gradient);
        return;
    }
    lspo_linear_backward(t, tensor, from, sink, x, dy, 0.0F, d);
    lspo_compute_gelu_backward(t->compute, t->tokens, m, pre, accumulate, d, bias_gradient);
}

void lspo_linear_operands(const lspo_transformer_t *t, uint32_t tensor, const void *x, const void *dy,
                          lspo_linear_operands_t *operands)
{
    if (operands == NULL)
        return;
    operands->x[tensor] = x;
    operands->dy[tensor] = dy;
    operands->x_stride[tensor] = t->block.tensors[tensor].rows;
    operands->dy_stride[tensor] = t->block.tensors[tensor].cols;
}
