/* cuda.h - the kernels on a GPU.  Equations, shapes and aliasing of each function are those of the host function
 * without the suffix _cuda, in the header named above it.
 *
 * `void *` arrays have the format `on->number` (kernels/number.h): weights, activations and their gradients; `float *`
 * arrays are always fp32.  Each number is computed in fp32 and rounded once, to nearest, when it is stored.  Arrays
 * aligned to 16 bytes are accessed 16 bytes at a time, others one number at a time.  Array arguments, and array
 * pointers in structs, are device pointers; the structs themselves are in host memory.  Calls enqueue work on
 * `on->stream`, do not wait for it and do not allocate.  They return the cudaError_t of the launch as an int, 0 for
 * success; errors of a running kernel appear at the next wait for the stream.  A cuBLAS failure is cudaErrorUnknown.
 * Sums have a fixed order and use no atomics: equal input gives equal bits on the same GPU.  Results differ from the
 * host's in the last bits, because the order of sums, square roots and denormals (kept here) differ; packing gives the
 * same bits.  FLOPs and bytes are those of the host function unless stated; in 16 bits, arrays in the format take half
 * the bytes.  tests/cuda_on_host/ runs all of this without a GPU.
 */
#ifndef LSPO_KERNELS_CUDA_H
#define LSPO_KERNELS_CUDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/activation.h"
#include "kernels/adam.h"
#include "kernels/adapter.h"
#include "kernels/attention.h"
#include "kernels/columns.h"
#include "kernels/embedding.h"
#include "kernels/gemm.h"
#include "kernels/int4.h"
#include "kernels/keys.h"
#include "kernels/linear.h"
#include "kernels/loss.h"
#include "kernels/lowrank.h"
#include "kernels/nf4.h"
#include "kernels/norm.h"
#include "kernels/number.h"
#include "kernels/projector.h"
#include "kernels/pruned.h"
#include "kernels/rotary.h"
#include "kernels/ternary.h"
#include "kernels/turn.h"
#include "kernels/vector.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The state of linear layers, see below. */
typedef struct lspo_matmul lspo_matmul_t;

/* Where a call runs, and the format of its arrays. */
typedef struct {
    lspo_number_t number;
    void *stream;          /* a cudaStream_t; NULL: the default stream                                    */
    void *cublas;          /* only for products: a cublasHandle_t whose stream is `stream` */
    lspo_matmul_t *matmul; /* only for linear layers, in addition to cublas */
    float *column_sums;    /* only for sums of columns (vector.h, columns.h, and gradients of parameters and biases):
                              LSPO_COLUMN_SUM_FLOATS of scratch on the device */
} lspo_cuda_t;
enum { LSPO_COLUMN_SUM_FLOATS = 1 << 16 };

/* ---- memory of the device ---- */
int lspo_memory_alloc_cuda(size_t bytes, void **memory_out);
/* Waits for running work; NULL does nothing. */
void lspo_memory_free_cuda(void *memory);
int lspo_memory_zero_cuda(size_t bytes, void *out, void *stream);
int lspo_memory_copy_cuda(size_t bytes, const void *in, void *out, void *stream);
/* Copy from host memory, in stream order; waits for completion. */
int lspo_memory_write_cuda(size_t bytes, const void *in, void *out, void *stream);
/* Copy by a kernel between device memory and mapped host memory (cudaHostGetDevicePointer()): for few bytes, which a
 * copy engine would copy after the larger copies in its queue. */
int lspo_memory_carry_cuda(size_t bytes, const void *in, void *out, void *stream);
/* A description of an error that a function here returned; static. */
const char *lspo_cuda_error_text(int error);

/* ---- adam.h ---- */
/* With moments in FP32 and weights of 16 bits the state's master weights are updated and rounded into w.  Otherwise
 * there must be no master (cudaErrorInvalidValue), and weights of 16 bits are rounded randomly.  Bytes per element: 28
 * with moments in FP32; with weights of b bytes 3 b + 8 in BF16, 3 b + 4.1 in 8BIT. */
int lspo_adam_parameters_cuda(const lspo_cuda_t *on, const lspo_adam_t *adam, const lspo_adam_state_t *state,
                              const void *gradient, void *w);
int lspo_adam_direction_cuda(const lspo_cuda_t *on, const lspo_adam_t *adam, const lspo_adam_state_t *state,
                             const void *gradient, void *out);

/* ---- pack.h ---- */
/* Convert n numbers to another format, rounded to nearest, ties to even.  NaN keeps its sign and upper payload. */
int lspo_convert_cuda(size_t n, lspo_number_t from, const void *in, lspo_number_t to, void *out, void *stream);

/* ---- projector.h ---- */
/* Uses the column lists; x is read once from memory and, for every further 512 columns, from the L2 cache.  Bytes, with
 * b bytes per number: tokens (rows + d) b, and rows r 8 of lists per 64 tokens, from L2. */
int lspo_projector_gather_cuda(const lspo_cuda_t *on, const lspo_projector_t *p, size_t tokens, const void *x,
                               size_t x_stride, void *out);
/* Scratch: tokens (d_m + d_n) numbers: X P and dY Q are rounded to the format, then multiplied on tensor cores. */
int lspo_projector_compress_cuda(const lspo_cuda_t *on, const lspo_projector_pair_t *pair,
                                 const lspo_gradient_factors_t *factors, float beta, void *g_hat, void *scratch);
/* One pass over w: a panel of P delta is in shared memory, as many rows of it (16, 8, 4, 2 or 1) as a block may have at
 * most.  If d_n numbers are more than that (16,384 in fp32 in the 64 KiB of compute capability 7.5), none fits, and the
 * cost is 2 r_m r_n FLOPs per element instead.  In 16 bits the panel is in bf16, a relative error of the step of at
 * most 2^-8, and w is rounded stochastically.  Scratch: 8 n r_n bytes at a multiple of 16, for (index, value) of the
 * first nonzero of each row of Q, then of the second of each, and so on, as a warp reads them.  Bytes: 2 b m n, and
 * 16 n r_n for this copy. */
int lspo_projector_apply_cuda(const lspo_cuda_t *on, const lspo_projector_pair_t *pair, const float *delta,
                              const lspo_vector_step_t *step, void *w, void *scratch);

/* ---- sketch.h; scratch: as many numbers as floats there.  In 16 bits apply rounds delta to the format, which requires
 * d_m d_n <= m n (otherwise cudaErrorInvalidValue), and w stochastically ---- */
int lspo_sketch_compress_cuda(const lspo_cuda_t *on, const lspo_projector_pair_t *pair,
                              const lspo_gradient_factors_t *factors, float beta, void *g_hat, void *scratch);
int lspo_sketch_apply_cuda(const lspo_cuda_t *on, const lspo_projector_pair_t *pair, const float *delta,
                           const lspo_vector_step_t *step, void *w, void *scratch);

/* ---- embedding.h ---- */
int lspo_embedding_forward_cuda(const lspo_cuda_t *on, const lspo_embedding_t *embedding, const void *token,
                                const void *position, void *x_out);
/* In the same order and with the same bits as on the host: the block of the first row of an id adds the rows of that
 * id. */
int lspo_embedding_backward_cuda(const lspo_cuda_t *on, const lspo_embedding_t *embedding, const void *dx,
                                 void *token_gradient, void *position_gradient);

/* ---- norm.h ---- */
int lspo_norm_forward_cuda(const lspo_cuda_t *on, const lspo_norm_t *norm, const void *x, void *out, float *mean_out,
                           float *rstd_out);
int lspo_norm_backward_cuda(const lspo_cuda_t *on, const lspo_norm_t *norm, const lspo_norm_operands_t *operands,
                            const lspo_norm_gradients_t *gradients);
int lspo_rms_norm_forward_cuda(const lspo_cuda_t *on, const lspo_norm_t *norm, const void *x, void *out,
                               float *rstd_out);
int lspo_rms_norm_backward_cuda(const lspo_cuda_t *on, const lspo_norm_t *norm, const lspo_norm_operands_t *operands,
                                const lspo_norm_gradients_t *gradients);

/* ---- activation.h ---- */
int lspo_gelu_forward_cuda(const lspo_cuda_t *on, lspo_gelu_form_t form, size_t n, const void *x, void *out);
int lspo_gelu_backward_cuda(const lspo_cuda_t *on, lspo_gelu_form_t form, size_t rows, size_t cols, const void *x,
                            const lspo_gelu_gradients_t *gradients);
int lspo_swiglu_forward_cuda(const lspo_cuda_t *on, size_t n, const void *gate, const void *up, void *out);
int lspo_swiglu_backward_cuda(const lspo_cuda_t *on, size_t n, const void *gate, const void *up, void *d, void *d_gate);
int lspo_tanh_forward_cuda(const lspo_cuda_t *on, size_t n, void *x);
int lspo_tanh_backward_cuda(const lspo_cuda_t *on, size_t n, const void *out, void *d);

/* ---- rotary.h; the table comes from lspo_rotary_table() ---- */
int lspo_rotary_forward_cuda(const lspo_cuda_t *on, const lspo_rotary_t *rotary, void *x);
int lspo_rotary_backward_cuda(const lspo_cuda_t *on, const lspo_rotary_t *rotary, void *dx);

/* ---- attention.h, without the probabilities ----
 *
 * A thread block has a tile of rows and loops over the tiles of keys.  P is computed from Q and K when needed, with an
 * online softmax [Dao et al., arXiv 2205.14135, Alg. 1], and again in the backward pass from the log sums that were
 * kept,
 *     log_sums[batch, head, row] = ln sum over the row's keys of e^(q k / sqrt(e)).
 * dK and dV of a tile are computed by one block, which adds the heads of a group in order; dQ is a separate pass, so
 * there are two products more than in the host's backward pass.  head_width is at most 128, otherwise
 * cudaErrorInvalidValue.  In 16 bits, with head_width and strides multiples of 4, it uses tensor cores; P and dS are
 * then rounded before the products.  FLOPs per sequence and head, causal: forward 2 s (s + 1) e, backward 7 s (s + 1)
 * e.  Bytes, with b bytes per number: forward 4 b s e, backward 8 b s e, and more from the L2 cache, from which every
 * tile reads K and V of a head. */
int lspo_attention_forward_cuda(const lspo_cuda_t *on, const lspo_attention_t *a,
                                const lspo_attention_operands_t *operands, float *log_sums, void *out);
/* Reads the operands' `out`, too.  row_dots: batch x heads x sequence floats of scratch. */
int lspo_attention_backward_cuda(const lspo_cuda_t *on, const lspo_attention_t *a,
                                 const lspo_attention_operands_t *operands, const lspo_attention_gradients_t *gradients,
                                 float *row_dots);

/* ---- loss.h ---- */
/* row_losses: rows doubles of scratch; loss_sum_out: one double; both on the device.  Where the host leaves the
 * probability p of a row's target, this leaves p - 1, computed in fp32 and rounded once; the backward pass expects
 * that. */
int lspo_cross_entropy_forward_cuda(const lspo_cuda_t *on, const lspo_cross_entropy_t *loss, void *logits,
                                    double *row_losses, double *loss_sum_out);
int lspo_cross_entropy_backward_cuda(const lspo_cuda_t *on, const lspo_cross_entropy_t *loss, const void *probabilities,
                                     float scale, void *dlogits);

/* ---- vector.h ---- */
int lspo_bias_fill_cuda(const lspo_cuda_t *on, size_t rows, size_t cols, const void *bias, void *out);
int lspo_bias_add_cuda(const lspo_cuda_t *on, size_t rows, size_t cols, const void *x, const void *bias, void *out);
int lspo_column_sum_cuda(const lspo_cuda_t *on, size_t rows, size_t cols, const void *x, bool accumulate, void *out);
/* sum += x: a residual, or the gradients of two branches.  1 FLOP and 3 numbers per element. */
int lspo_vector_add_cuda(const lspo_cuda_t *on, size_t n, const void *x, void *sum);
/* direction is in `direction_format`.  3 FLOPs and 3 numbers (one in that format) per element. */
int lspo_step_along_cuda(const lspo_cuda_t *on, size_t n, const lspo_vector_step_t *step,
                         lspo_number_t direction_format, const void *direction, void *w);
/* sum_out <- the sum of n doubles. */
int lspo_sum_cuda(size_t n, const double *values, double *sum_out, void *stream);
/* sum_out <- the sum of x^2, for the norm of a gradient: in fp32 over each 16 bytes, relative error at most 2^-21, and
 * in double over these.  16 bytes whose squares are all below 2^-150 count as 0.  parts: LSPO_SUM_OF_SQUARES_PARTS
 * doubles of scratch.  2 FLOPs and one number per element. */
enum { LSPO_SUM_OF_SQUARES_PARTS = 1024 };
int lspo_sum_of_squares_cuda(const lspo_cuda_t *on, size_t n, const void *x, double *parts, double *sum_out);

/* ---- columns.h ---- */
/* Sums are rounded differently from the host, so of columns with nearly equal sums others may be selected. */
int lspo_columns_split_cuda(const lspo_cuda_t *on, const lspo_columns_t *shape, const void *g, float *scratch,
                            uint32_t *columns_out);
int lspo_columns_gather_cuda(const lspo_cuda_t *on, const lspo_columns_t *shape, const uint32_t *columns, const void *x,
                             void *out);
int lspo_columns_scatter_cuda(const lspo_cuda_t *on, const lspo_columns_t *shape, const uint32_t *columns,
                              const void *in, void *x);

/* ---- keys.h; the lists of `keys` in device memory ---- */
int lspo_keys_forward_cuda(const lspo_cuda_t *on, const lspo_keys_t *keys, const void *h, void *y, float *scratch);
int lspo_keys_backward_cuda(const lspo_cuda_t *on, const lspo_keys_t *keys, const void *h, const void *dy,
                            const lspo_keys_gradients_t *gradients, float *scratch);
int lspo_keys_route_cuda(const lspo_cuda_t *on, const lspo_route_t *route, const void *g, uint32_t *experts_out,
                         float *gates_out);

/* ---- nf4.h; the parts of `from` in device memory ---- */
/* Bytes: 0.516 read and one number written per weight. */
int lspo_nf4_expand_cuda(const lspo_cuda_t *on, const lspo_nf4_t *from, void *out);

/* ---- int4.h; `packed` from lspo_int4_arrange(), without zero points ---- */
/* On tensor cores, of compute capability 8.0 for bf16; x, bias, residual and out are in the format, 16 bits
 * (cudaErrorInvalidValue for others), and x is not rounded further.  Codes become exact numbers; sums over a group are
 * multiplied by its scale in fp32.  Up to 32 rows W is read once, with more once per 32 of them, from L2. */
int lspo_int4_product_cuda(const lspo_cuda_t *on, const lspo_int4_product_t *p, const void *x, const void *residual,
                           void *out);

/* ---- ternary.h; the parts of `w` in device memory, and lspo_ternary_table() ---- */
/* x and y are in the format.  cudaErrorInvalidValue if a row of x is larger than a block's shared memory, or there are
 * more than 65535. */
int lspo_ternary_product_cuda(const lspo_cuda_t *on, const lspo_ternary_t *w, const uint32_t *table, size_t rows,
                              const void *x, void *y);

/* ---- pruned.h; the parts of `from` in device memory; its own format counts ---- */
/* scratch: lspo_bitmap_scratch() words.  Bytes: a bit per number, twice, each stored number read, all written. */
int lspo_bitmap_expand_cuda(const lspo_cuda_t *on, const lspo_bitmap_t *from, uint32_t *scratch, void *out);

/* ---- gemm.h, adapter.h, lowrank.h: products by cuBLAS ---- */
/* Load cuBLAS on the first call.  Returns NULL, or the reason why it cannot be loaded; static. */
const char *lspo_cublas_missing(void);
int lspo_gemm_nn_cuda(const lspo_cuda_t *on, size_t m, size_t n, size_t k, float alpha, const void *a, size_t a_stride,
                      const void *b, size_t b_stride, float beta, void *c, size_t c_stride);
int lspo_gemm_nt_cuda(const lspo_cuda_t *on, size_t m, size_t n, size_t k, float alpha, const void *a, size_t a_stride,
                      const void *b, size_t b_stride, float beta, void *c, size_t c_stride);
int lspo_gemm_tn_cuda(const lspo_cuda_t *on, size_t m, size_t n, size_t k, float alpha, const void *a, size_t a_stride,
                      const void *b, size_t b_stride, float beta, void *c, size_t c_stride);
/* turn.h; numbers of the device's format. */
int lspo_turn_in_cuda(const lspo_cuda_t *on, const lspo_turn_t *turn, void *g, void *y);
int lspo_turn_back_cuda(const lspo_cuda_t *on, const lspo_turn_t *turn, void *d, void *y);
int lspo_adapter_forward_cuda(const lspo_cuda_t *on, const lspo_adapter_t *adapter, const void *x, void *y,
                              void *scratch);
int lspo_adapter_backward_cuda(const lspo_cuda_t *on, const lspo_adapter_t *adapter, const void *x, const void *dy,
                               const lspo_adapter_gradients_t *gradients, void *scratch);
int lspo_lowrank_compress_cuda(const lspo_cuda_t *on, const lspo_lowrank_t *lowrank, const void *g, float beta,
                               void *r_out);
int lspo_lowrank_apply_cuda(const lspo_cuda_t *on, const lspo_lowrank_t *lowrank, const void *direction, float rate,
                            void *w);

/* ---- linear.h, by cuBLASLt, with bias, residual and GELU fused into the product ----
 *
 * If cuBLASLt has no fused kernel for a shape (for example, if rows are not multiples of 16 bytes), or fails before it
 * starts one (which is logged once), a product and a separate kernel compute the same. */
/* Holds the algorithm selected for each shape, and the workspace of a product.  One stream at a time.  `cublas` must
 * outlive it. */
int lspo_matmul_create_cuda(void *cublas, lspo_matmul_t **matmul_out);
void lspo_matmul_destroy_cuda(lspo_matmul_t *matmul);
enum { LSPO_MATMUL_CHOICES = 8 };
/* From now on take cuBLASLt's choice number `nth` < LSPO_MATMUL_CHOICES for each shape (0, the usual: its first), which
 * it ranks by its own estimate; if it has fewer, a layer is computed as if it had none.  For benchmarks: another choice
 * may sum in another order. */
void lspo_matmul_take_cuda(lspo_matmul_t *matmul, uint32_t nth);
/* Have all shapes since then been computed so?  False if there was none. */
bool lspo_matmul_took_cuda(const lspo_matmul_t *matmul);
int lspo_linear_forward_cuda(const lspo_cuda_t *on, const lspo_linear_t *layer, const void *x, const void *residual,
                             void *out);
int lspo_linear_gelu_forward_cuda(const lspo_cuda_t *on, const lspo_linear_t *layer, const void *x, void *pre_out,
                                  void *out);
int lspo_linear_gelu_backward_cuda(const lspo_cuda_t *on, const lspo_linear_t *layer, const void *dy, const void *pre,
                                   const lspo_gelu_gradients_t *gradients);

#ifdef __cplusplus
}
#endif
#endif
