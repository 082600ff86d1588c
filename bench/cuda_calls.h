/* cuda_calls.h - one call of a CUDA kernel per line of bench_cuda, and what they work on. */
#ifndef LSPO_BENCH_CUDA_CALLS_H
#define LSPO_BENCH_CUDA_CALLS_H

#include <stddef.h>
#include <stdint.h>

#include "bench/sparse_peer.h"
#include "kernels/cuda.h"

enum {
    BATCH = 8,
    SEQUENCE = 512,
    TOKENS = BATCH * SEQUENCE,
    HEADS = 32,
    VOCABULARY = 32000,
    LOSS_ROWS = 1024,
    RANK = 16,
    ARRAYS = 4
};

/* A layer, and its projectors. */
typedef struct {
    const char *name;
    size_t width, inner, head_width;
    uint32_t d, r;
} layer_t;

/* Device arrays of the largest shape each, and what is not numbers of the format. */
typedef struct {
    float *array[ARRAYS], *gradient, *small, *positive, *beyond_cache;
    size_t array_floats[ARRAYS], small_floats, cache_floats;
    lspo_cuda_t on;       /* in the format of the lines that run now */
    const layer_t *layer; /* of these */
    uint32_t *ids, *columns;
    double *doubles;
    lspo_projector_t p, q;
    uint32_t *row_first;    /* of a projector's entries by rows */
    void *dense;            /* what is written out dense or copied: scratch */
    lspo_ternary_t ternary; /* a weight of the layer */
    size_t ternary_bytes;
    uint32_t *ternary_table;
    sparse_peer_t *peer, *peer_behind;
    size_t floats, matrix, tokens_wide; /* of the layer: tokens x inner, a weight, tokens x width */
} cuda_bench_t;
extern cuda_bench_t bench;

/* Each returns a cudaError_t. */
int cuda_call_copy(void);
int cuda_call_product(void);
int cuda_call_adam(void);
int cuda_call_adam_direction(void);
int cuda_call_pack(void);
int cuda_call_unpack(void);
int cuda_call_nf4_expand(void);
int cuda_call_int4_one_row(void);
int cuda_call_int4_16_rows(void);
int cuda_call_ternary(void);
int cuda_call_product_one_row(void);
int cuda_call_step_along(void);
int cuda_call_gather(void);
int cuda_call_compress(void);
int cuda_call_apply(void);
int cuda_call_embedding_forward(void);
int cuda_call_embedding_backward(void);
int cuda_call_norm_forward(void);
int cuda_call_rms_norm_forward(void);
int cuda_call_rms_norm_backward(void);
int cuda_call_rms_norm_backward_gain(void);
int cuda_call_gelu_forward(void);
int cuda_call_gelu_backward(void);
int cuda_call_swiglu_forward(void);
int cuda_call_swiglu_backward(void);
int cuda_call_rotary(void);
int cuda_call_attention_forward(void);
int cuda_call_attention_backward(void);
int cuda_call_loss_forward(void);
int cuda_call_loss_backward(void);
int cuda_call_bias_add(void);
int cuda_call_column_sum(void);
int cuda_call_column_sum_narrow(void);
int cuda_call_residual_add(void);
int cuda_call_sum_of_squares(void);
int cuda_call_columns_gather(void);
int cuda_call_adapter_forward(void);
int cuda_call_linear_bias_residual(void);
int cuda_call_linear_gelu(void);
int cuda_call_linear_gelu_backward(void);
int cuda_call_sketch_compress(void);
int cuda_call_sketch_apply(void);
int cuda_call_sparse_products(void);

#endif
