/* linear.c - a linear layer of a block: W, its bias, and its adapter. */
#include "real/transformer/state.h"

/* The byte offset of a linear tensor's A among the factors; its B follows. */
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

/* W, from its codes if it is quantized: then only until the next call. */
static const void *weight_of(const lspo_transformer_t *t, const lspo_block_parameters_t *from, uint32_t tensor)
{
    if (from->quantized == NULL)
        return lspo_block_weight(t, tensor, from);
    lspo_compute_nf4_expand(t->compute, &from->quantized->linear[tensor], from->quantized->expanded);
    return from->quantized->expanded;
}

/* Call it once for each pass over the layer. */
static lspo_linear_t layer_of(const lspo_transformer_t *t, const lspo_block_parameters_t *from, uint32_t tensor)
{
    return (lspo_linear_t){.tokens = t->tokens,
                           .m = t->block.tensors[tensor].rows,
                           .n = t->block.tensors[tensor].cols,
                           .w = weight_of(t, from, tensor),
                           .bias = t->bias[tensor] > 0 ? lspo_block_weight(t, t->bias[tensor], from) : NULL,
                           .number = t->weight_number,
                           .int4 = t->int4};
}

static lspo_adapter_t adapter_of(const lspo_transformer_t *t, const lspo_adapters_t *adapters, uint32_t tensor)
{
    const size_t r = adapters->rank;
    const char *a = (const char *)adapters->factors + factor_offset(t, tensor, r);
    return (lspo_adapter_t){.tokens = t->tokens,
                            .m = t->block.tensors[tensor].rows,
                            .n = t->block.tensors[tensor].cols,
                            .r = r,
                            .scale = adapters->scale,
                            .a = a,
                            .b = a + a_bytes(t, tensor, r)};
}

static void observe(const lspo_transformer_t *t, uint32_t tensor, const void *x)
{
    if (t->pass.observer != NULL)
        t->pass.observer(t->pass.context, tensor, 0, t->tokens, x);
}

void lspo_block_linear_forward(const lspo_transformer_t *t, const lspo_block_parameters_t *from, uint32_t tensor,
                               const void *x, const void *residual, void *out)
{
    const lspo_linear_t layer = layer_of(t, from, tensor);
    observe(t, tensor, x);
    lspo_compute_linear_forward(t->compute, &layer, x, residual, out);
    if (from->adapters == NULL)
        return;
    const lspo_adapter_t adapter = adapter_of(t, from->adapters, tensor);
    lspo_compute_adapter_forward(t->compute, &adapter, x, out, from->adapters->scratch);
}

void lspo_block_linear_gelu_forward(const lspo_transformer_t *t, const lspo_block_parameters_t *from, uint32_t tensor,
                                    const void *x, void *pre_out, void *out)
{
    if (from->adapters == NULL) {
        const lspo_linear_t layer = layer_of(t, from, tensor);
        observe(t, tensor, x);
        lspo_compute_linear_gelu_forward(t->compute, &layer, x, pre_out, out);
        return;
    }
    lspo_block_linear_forward(t, from, tensor, x, NULL, pre_out);
    lspo_compute_gelu_forward(t->compute, LSPO_GELU_TANH, t->tokens * t->block.tensors[tensor].cols, pre_out, out);
}

static lspo_gradient_factors_t factors_of(const lspo_linear_t *layer, const void *x, const void *dy)
{
    return (lspo_gradient_factors_t){
        .tokens = layer->tokens, .x = x, .x_stride = layer->m, .dy = dy, .dy_stride = layer->n};
}

/* G = X^T dY: its factors, if they are wanted, and G itself into the sink, if it is wanted. */
static void linear_gradient(const lspo_block_backward_t *pass, uint32_t tensor, const lspo_linear_t *layer,
                            const void *x, const void *dy)
{
    const lspo_transformer_t *t = pass->t;
    const lspo_gradient_sink_t *sink = pass->sink;
    if (pass->operands_out != NULL)
        pass->operands_out->of[tensor] = factors_of(layer, x, dy);
    if (sink == NULL || sink->linear == NULL)
        return;
    const bool add = sink->accumulate && !sink->overwrite_linear;
    lspo_compute_gemm_tn(t->compute, &(lspo_gemm_t){.m = layer->m,
                                                    .n = layer->n,
                                                    .k = t->tokens,
                                                    .alpha = 1.0F,
                                                    .a = x,
                                                    .a_stride = layer->m,
                                                    .b = dy,
                                                    .b_stride = layer->n,
                                                    .beta = add ? 1.0F : 0.0F,
                                                    .c = lspo_stage_gradient(t, &t->block, tensor, sink->linear),
                                                    .c_stride = layer->n});
}

static void adapter_backward(const lspo_block_backward_t *pass, uint32_t tensor, const void *x, const void *dy,
                             void *dx)
{
    const lspo_transformer_t *t = pass->t;
    const lspo_adapters_t *adapters = pass->from->adapters;
    const lspo_gradient_sink_t *sink = pass->sink;
    const lspo_adapter_t adapter = adapter_of(t, adapters, tensor);
    lspo_adapter_gradients_t gradients = {.dx = dx, .accumulate = lspo_sink_adds(sink)};
    if (sink != NULL && sink->adapters != NULL) {
        char *da = (char *)sink->adapters + factor_offset(t, tensor, adapter.r);
        gradients.da = da;
        gradients.db = da + a_bytes(t, tensor, adapter.r);
    }
    lspo_compute_adapter_backward(t->compute, &adapter, x, dy, &gradients, adapters->scratch);
}

void lspo_block_linear_backward(const lspo_block_backward_t *pass, uint32_t tensor, const void *x, const void *dy,
                                float beta, void *dx)
{
    const lspo_linear_t layer = layer_of(pass->t, pass->from, tensor);
    linear_gradient(pass, tensor, &layer, x, dy);
    lspo_compute_gemm_nt(pass->t->compute, &(lspo_gemm_t){.m = layer.tokens,
                                                          .n = layer.m,
                                                          .k = layer.n,
                                                          .alpha = 1.0F,
                                                          .a = dy,
                                                          .a_stride = layer.n,
                                                          .b = layer.w,
                                                          .b_stride = layer.n,
                                                          .beta = beta,
                                                          .c = dx,
                                                          .c_stride = layer.m});
    if (pass->from->adapters != NULL)
        adapter_backward(pass, tensor, x, dy, dx);
}

void lspo_block_linear_gelu_backward(const lspo_block_backward_t *pass, uint32_t tensor, const void *x, const void *pre,
                                     const void *dy, void *d)
{
    const lspo_transformer_t *t = pass->t;
    const lspo_gelu_gradients_t gradients = {
        .d = d, .bias = lspo_block_bias_sink(pass, tensor - 1), .accumulate = lspo_sink_adds(pass->sink)};
    if (pass->from->adapters == NULL) {
        const lspo_linear_t layer = layer_of(t, pass->from, tensor);
        linear_gradient(pass, tensor, &layer, x, dy);
        lspo_compute_linear_gelu_backward(t->compute, &layer, dy, pre, &gradients);
        return;
    }
    lspo_block_linear_backward(pass, tensor, x, dy, 0.0F, d);
    lspo_compute_gelu_backward(t->compute, LSPO_GELU_TANH, t->tokens, t->block.tensors[tensor].rows, pre, &gradients);
}

void *lspo_block_bias_sink(const lspo_block_backward_t *pass, uint32_t tensor)
{
    const lspo_transformer_t *t = pass->t;
    return t->bias[tensor] > 0 ? lspo_rest_sink(t, &t->block, t->bias[tensor], pass->sink) : NULL;
}

void lspo_block_bias_backward(const lspo_block_backward_t *pass, uint32_t tensor, const void *dy)
{
    void *sink = lspo_block_bias_sink(pass, tensor);
    if (sink != NULL)
        lspo_compute_column_sum(pass->t->compute, pass->t->tokens, pass->t->block.tensors[tensor].cols, dy,
                                lspo_sink_adds(pass->sink), sink);
}
