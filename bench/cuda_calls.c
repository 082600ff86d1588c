/* cuda_calls.c - see cuda_calls.h. */
#include "bench/cuda_calls.h"

#include <cuda_runtime_api.h>

#include "kernels/attention.h"
#include "kernels/sketch.h"

cuda_bench_t bench;

static const lspo_vector_step_t descent = {.keep = 1.0F, .rate = 1e-4F};

int cuda_call_copy(void)
{
    return (int)cudaMemcpyAsync(bench.array[0], bench.array[1], bench.floats * sizeof(float), cudaMemcpyDeviceToDevice,
                                NULL);
}

int cuda_call_product(void)
{
    return lspo_gemm_nn_cuda(&bench.on, TOKENS, bench.layer->inner, bench.layer->width, 1.0F, bench.array[0],
                             bench.layer->width, bench.array[1], bench.layer->inner, 0.0F, bench.array[2],
                             bench.layer->inner);
}

int cuda_call_adam(void)
{
    const lspo_adam_t step = lspo_adam_default(1e-4F, 10);
    const bool has_master = bench.on.number != LSPO_NUMBER_FP32;
    return lspo_adam_parameters_cuda(&bench.on, &step,
                                     &(lspo_adam_state_t){.count = bench.matrix,
                                                          .m = bench.array[1],
                                                          .v = bench.positive,
                                                          .master = has_master ? bench.array[3] : NULL},
                                     bench.array[0], has_master ? bench.array[0] : bench.array[3]);
}

int cuda_call_adam_direction(void)
{
    const lspo_adam_t step = lspo_adam_default(1e-4F, 10);
    return lspo_adam_direction_cuda(
        &bench.on, &step, &(lspo_adam_state_t){.count = bench.matrix, .m = bench.array[1], .v = bench.positive},
        bench.array[0], bench.array[0]);
}

int cuda_call_pack(void)
{
    return lspo_convert_cuda(bench.matrix, LSPO_NUMBER_FP32, bench.array[0], bench.on.number, bench.array[1], NULL);
}

int cuda_call_unpack(void)
{
    return lspo_convert_cuda(bench.matrix, bench.on.number, bench.array[0], LSPO_NUMBER_FP32, bench.array[1], NULL);
}

/* What the codes are does not matter. */
int cuda_call_nf4_expand(void)
{
    lspo_nf4_t codes;
    lspo_nf4_place(1, &bench.matrix, bench.array[2], &codes);
    return lspo_nf4_expand_cuda(&bench.on, &codes, bench.array[1]);
}

/* Likewise. */
static int multiply_int4(size_t rows)
{
    const lspo_int4_shape_t shape = {bench.layer->width, bench.layer->inner, 128, false};
    return lspo_int4_product_cuda(&bench.on,
                                  &(lspo_int4_product_t){.rows = rows, .shape = shape, .packed = bench.array[2]},
                                  bench.array[0], NULL, bench.array[1]);
}

int cuda_call_int4_one_row(void)
{
    return multiply_int4(1);
}

int cuda_call_int4_16_rows(void)
{
    return multiply_int4(16);
}

int cuda_call_ternary(void)
{
    return lspo_ternary_product_cuda(&bench.on, &bench.ternary, bench.ternary_table, 1, bench.array[0], bench.array[1]);
}

int cuda_call_product_one_row(void)
{
    return lspo_gemm_nn_cuda(&bench.on, 1, bench.layer->inner, bench.layer->width, 1.0F, bench.array[0],
                             bench.layer->width, bench.array[1], bench.layer->inner, 0.0F, bench.array[2],
                             bench.layer->inner);
}

int cuda_call_step_along(void)
{
    return lspo_step_along_cuda(&bench.on, bench.matrix, &(lspo_vector_step_t){1.0F, 1e-4F, 1}, LSPO_NUMBER_FP32,
                                bench.array[0], bench.array[1]);
}

int cuda_call_gather(void)
{
    return lspo_projector_gather_cuda(&bench.on, &bench.q, TOKENS, bench.array[0], bench.layer->inner, bench.array[1]);
}

int cuda_call_compress(void)
{
    return lspo_projector_compress_cuda(
        &bench.on, &(lspo_projector_pair_t){&bench.p, &bench.q},
        &(lspo_gradient_factors_t){TOKENS, bench.array[0], bench.layer->width, bench.array[1], bench.layer->inner},
        0.0F, bench.gradient, bench.array[2]);
}

int cuda_call_apply(void)
{
    return lspo_projector_apply_cuda(&bench.on, &(lspo_projector_pair_t){&bench.p, &bench.q}, bench.gradient, &descent,
                                     bench.array[0], bench.dense);
}

int cuda_call_embedding_forward(void)
{
    return lspo_embedding_forward_cuda(
        &bench.on,
        &(lspo_embedding_t){.batch = BATCH, .sequence = SEQUENCE, .width = bench.layer->width, .ids = bench.ids},
        bench.array[0], NULL, bench.array[1]);
}

int cuda_call_embedding_backward(void)
{
    return lspo_embedding_backward_cuda(
        &bench.on,
        &(lspo_embedding_t){.batch = BATCH, .sequence = SEQUENCE, .width = bench.layer->width, .ids = bench.ids},
        bench.array[1], bench.array[0], NULL);
}

int cuda_call_norm_forward(void)
{
    return lspo_norm_forward_cuda(
        &bench.on,
        &(lspo_norm_t){
            .rows = TOKENS, .width = bench.layer->width, .epsilon = 1e-5F, .gain = bench.small, .bias = bench.small},
        bench.array[0], bench.array[1], bench.small + bench.layer->width, bench.small + 2 * bench.layer->width);
}

int cuda_call_rms_norm_forward(void)
{
    return lspo_rms_norm_forward_cuda(
        &bench.on, &(lspo_norm_t){.rows = TOKENS, .width = bench.layer->width, .epsilon = 1e-5F, .gain = bench.small},
        bench.array[0], bench.array[1], bench.small + bench.layer->width);
}

int cuda_call_rms_norm_backward(void)
{
    return lspo_rms_norm_backward_cuda(&bench.on,
                                       &(lspo_norm_t){.rows = TOKENS, .width = bench.layer->width, .gain = bench.small},
                                       &(lspo_norm_operands_t){.dout = bench.array[0],
                                                               .x = bench.array[1],
                                                               .residual = bench.array[2],
                                                               .rstd = bench.small + bench.layer->width},
                                       &(lspo_norm_gradients_t){.dx = bench.array[3]});
}

int cuda_call_rms_norm_backward_gain(void)
{
    return lspo_rms_norm_backward_cuda(
        &bench.on, &(lspo_norm_t){.rows = TOKENS, .width = bench.layer->width, .gain = bench.small},
        &(lspo_norm_operands_t){.dout = bench.array[0],
                                .x = bench.array[1],
                                .residual = bench.array[2],
                                .rstd = bench.small + bench.layer->width},
        &(lspo_norm_gradients_t){.dx = bench.array[3], .dgain = bench.small + 2 * bench.layer->width});
}

int cuda_call_gelu_forward(void)
{
    return lspo_gelu_forward_cuda(&bench.on, LSPO_GELU_TANH, bench.floats, bench.array[0], bench.array[1]);
}

int cuda_call_gelu_backward(void)
{
    return lspo_gelu_backward_cuda(&bench.on, LSPO_GELU_TANH, TOKENS, bench.layer->inner, bench.array[0],
                                   &(lspo_gelu_gradients_t){.d = bench.array[1]});
}

int cuda_call_swiglu_forward(void)
{
    return lspo_swiglu_forward_cuda(&bench.on, bench.floats, bench.array[0], bench.array[1], bench.array[2]);
}

int cuda_call_swiglu_backward(void)
{
    return lspo_swiglu_backward_cuda(&bench.on, bench.floats, bench.array[0], bench.array[1], bench.array[2],
                                     bench.array[3]);
}

int cuda_call_rotary(void)
{
    return lspo_rotary_forward_cuda(&bench.on,
                                    &(lspo_rotary_t){.batch = BATCH,
                                                     .sequence = SEQUENCE,
                                                     .heads = HEADS,
                                                     .head_width = bench.layer->head_width,
                                                     .table = bench.small},
                                    bench.array[0]);
}

static lspo_attention_t attention(void)
{
    return (lspo_attention_t){.batch = BATCH,
                              .sequence = SEQUENCE,
                              .heads = HEADS,
                              .kv_heads = HEADS,
                              .head_width = bench.layer->head_width,
                              .q_stride = bench.layer->width,
                              .kv_stride = bench.layer->width,
                              .causal = true};
}

/* Q, K, V in one array, dQ, dK, dV in another; their rows' sums in `small`. */
int cuda_call_attention_forward(void)
{
    const lspo_attention_t shape = attention();
    return lspo_attention_forward_cuda(&bench.on, &shape,
                                       &(lspo_attention_operands_t){.q = bench.array[0],
                                                                    .k = bench.array[0] + bench.tokens_wide / 2,
                                                                    .v = bench.array[1]},
                                       bench.small, bench.array[2]);
}

int cuda_call_attention_backward(void)
{
    const lspo_attention_t shape = attention();
    float *dots = bench.small + (size_t)TOKENS * HEADS;
    return lspo_attention_backward_cuda(&bench.on, &shape,
                                        &(lspo_attention_operands_t){.q = bench.array[0],
                                                                     .k = bench.array[0] + bench.tokens_wide / 2,
                                                                     .v = bench.array[1],
                                                                     .kept = bench.small,
                                                                     .out = bench.array[2],
                                                                     .dout = bench.array[2]},
                                        &(lspo_attention_gradients_t){.dq = bench.array[3],
                                                                      .dk = bench.array[3] + bench.tokens_wide,
                                                                      .dv = bench.array[1] + bench.tokens_wide},
                                        dots);
}

int cuda_call_loss_forward(void)
{
    return lspo_cross_entropy_forward_cuda(
        &bench.on,
        &(lspo_cross_entropy_t){
            .rows = LOSS_ROWS, .vocabulary = VOCABULARY, .stride = VOCABULARY, .targets = bench.ids},
        bench.array[0], bench.doubles, bench.doubles + LOSS_ROWS);
}

int cuda_call_loss_backward(void)
{
    return lspo_cross_entropy_backward_cuda(
        &bench.on,
        &(lspo_cross_entropy_t){
            .rows = LOSS_ROWS, .vocabulary = VOCABULARY, .stride = VOCABULARY, .targets = bench.ids},
        bench.array[0], 1.0F, bench.array[0]);
}

int cuda_call_bias_add(void)
{
    return lspo_bias_add_cuda(&bench.on, TOKENS, bench.layer->inner, bench.array[0], bench.small, bench.array[0]);
}

int cuda_call_column_sum(void)
{
    return lspo_column_sum_cuda(&bench.on, TOKENS, bench.layer->inner, bench.array[0], false, bench.small);
}

int cuda_call_column_sum_narrow(void)
{
    return lspo_column_sum_cuda(&bench.on, TOKENS, bench.layer->width, bench.array[0], false, bench.small);
}

int cuda_call_residual_add(void)
{
    return lspo_vector_add_cuda(&bench.on, bench.tokens_wide, bench.array[0], bench.array[1]);
}

int cuda_call_sum_of_squares(void)
{
    return lspo_sum_of_squares_cuda(&bench.on, bench.matrix, bench.array[0], bench.doubles,
                                    bench.doubles + LSPO_SUM_OF_SQUARES_PARTS);
}

int cuda_call_columns_gather(void)
{
    return lspo_columns_gather_cuda(&bench.on,
                                    &(lspo_columns_t){bench.layer->width, bench.layer->inner, bench.layer->inner / 10},
                                    bench.columns, bench.array[0], bench.array[1]);
}

int cuda_call_adapter_forward(void)
{
    return lspo_adapter_forward_cuda(&bench.on,
                                     &(lspo_adapter_t){.tokens = TOKENS,
                                                       .m = bench.layer->width,
                                                       .n = bench.layer->inner,
                                                       .r = RANK,
                                                       .scale = 1.0F,
                                                       .a = bench.small,
                                                       .b = bench.small},
                                     bench.array[0], bench.array[1], bench.array[2]);
}

int cuda_call_linear_bias_residual(void)
{
    return lspo_linear_forward_cuda(&bench.on,
                                    &(lspo_linear_t){.tokens = TOKENS,
                                                     .m = bench.layer->width,
                                                     .n = bench.layer->inner,
                                                     .w = bench.array[1],
                                                     .bias = bench.small},
                                    bench.array[0], bench.array[2], bench.array[2]);
}

int cuda_call_linear_gelu(void)
{
    return lspo_linear_gelu_forward_cuda(&bench.on,
                                         &(lspo_linear_t){.tokens = TOKENS,
                                                          .m = bench.layer->width,
                                                          .n = bench.layer->inner,
                                                          .w = bench.array[1],
                                                          .bias = bench.small},
                                         bench.array[0], bench.array[2], bench.array[3]);
}

int cuda_call_linear_gelu_backward(void)
{
    return lspo_linear_gelu_backward_cuda(
        &bench.on,
        &(lspo_linear_t){.tokens = TOKENS, .m = bench.layer->inner, .n = bench.layer->width, .w = bench.array[1]},
        bench.array[0], bench.array[2], &(lspo_gelu_gradients_t){.d = bench.array[3], .bias = bench.small});
}

int cuda_call_sketch_compress(void)
{
    return lspo_sketch_compress_cuda(
        &bench.on, &(lspo_projector_pair_t){&bench.p, &bench.q},
        &(lspo_gradient_factors_t){TOKENS, bench.array[0], bench.layer->width, bench.array[1], bench.layer->inner},
        0.0F, bench.gradient, bench.dense);
}

int cuda_call_sketch_apply(void)
{
    return lspo_sketch_apply_cuda(&bench.on, &(lspo_projector_pair_t){&bench.p, &bench.q}, bench.gradient, &descent,
                                  bench.array[0], bench.dense);
}

int cuda_call_sparse_products(void)
{
    const int error = sparse_peer_run(bench.peer);
    return error == 0 && bench.peer_behind != NULL ? sparse_peer_run(bench.peer_behind) : error;
}
