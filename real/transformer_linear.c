/* transformer_linear.c - a linear layer of a block: W, and beside it an adapter. */
#include "kernels/adapter.h"
#include "kernels/gemm.h"
#include "real/transformer_state.h"

/* Where a linear tensor's A starts among the factors. */
static size_t factor_offset(const lspo_stage_t *block, uint32_t tensor, size_t rank)
{
    size_t rows = 0;
    for (uint32_t i = 0; i < tensor; i++)
        rows += (size_t)block->tensors[i].rows + block->tensors[i].cols;
    return rows * rank;
}

void lspo_linear_forward(const lspo_transformer_t *t, uint32_t tensor, const lspo_block_parameters_t *from,
                         const float *x, float beta, float *out)
{
    const size_t m = t->block.tensors[tensor].rows, n = t->block.tensors[tensor].cols;
    lspo_gemm_nn(t->tokens, n, m, 1.0F, x, m, lspo_stage_weight(&t->block, tensor, from->weights), n, beta, out, n);
    const lspo_adapters_t *adapters = from->adapters;
    if (adapters == NULL)
        return;
    const float *a = adapters->factors + factor_offset(&t->block, tensor, adapters->rank);
    lspo_adapter_forward(t->tokens, m, n, adapters->rank, adapters->scale, x, a, a + m * adapters->rank, out,
                         adapters->scratch);
}

/* G = X^T dY into the sink, when it is wanted. */
static void linear_gradient(const lspo_transformer_t *t, uint32_t tensor, const lspo_gradient_sink_t *sink,
                            const float *x, const float *dy)
{
    if (sink == NULL || sink->linear == NULL)
        return;
    const size_t m = t->block.tensors[tensor].rows, n = t->block.tensors[tensor].cols;
    const bool add = sink->accumulate && !sink->overwrite_linear;
    lspo_gemm_tn(m, n, t->tokens, 1.0F, x, m, dy, n, add ? 1.0F : 0.0F,
                 sink->linear + t->block.tensors[tensor].offset_elements, n);
}

static void adapter_backward(const lspo_transformer_t *t, uint32_t tensor, const lspo_adapters_t *adapters,
                             const lspo_gradient_sink_t *sink, const float *x, const float *dy, float *dx)
{
    const size_t m = t->block.tensors[tensor].rows, n = t->block.tensors[tensor].cols, r = adapters->rank;
    const size_t at = factor_offset(&t->block, tensor, r);
    const float *a = adapters->factors + at;
    float *da = sink != NULL && sink->adapters != NULL ? sink->adapters + at : NULL;
    lspo_adapter_backward(t->tokens, m, n, r, adapters->scale, x, dy, a, a + m * r, lspo_sink_adds(sink), da,
                          da != NULL ? da + m * r : NULL, dx, adapters->scratch);
}

void lspo_linear_backward(const lspo_transformer_t *t, uint32_t tensor, const lspo_block_parameters_t *from,
                          const lspo_gradient_sink_t *sink, const float *x, const float *dy, float beta, float *dx)
{
    const size_t m = t->block.tensors[tensor].rows, n = t->block.tensors[tensor].cols;
    linear_gradient(t, tensor, sink, x, dy);
    lspo_gemm_nt(t->tokens, m, n, 1.0F, dy, n, lspo_stage_weight(&t->block, tensor, from->weights), n, beta, dx, m);
    if (from->adapters != NULL)
        adapter_backward(t, tensor, from->adapters, sink, x, dy, dx);
}

void lspo_linear_operands(const lspo_transformer_t *t, uint32_t tensor, const float *x, const float *dy,
                          lspo_linear_operands_t *operands)
{
    if (operands == NULL)
        return;
    operands->x[tensor] = x;
    operands->dy[tensor] = dy;
    operands->x_stride[tensor] = t->block.tensors[tensor].rows;
    operands->dy_stride[tensor] = t->block.tensors[tensor].cols;
}
