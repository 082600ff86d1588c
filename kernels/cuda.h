/* cuda.h - the kernels on a GPU: for each function below the equations, shapes and aliasing are those of the host
 * function without the suffix, in the header that is named above it.
 *
 * `void *` arrays hold numbers of the format `number` (kernels/number.h): weights, activations and their gradients;
 * `float *` arrays hold fp32 whatever it is.  Each number is computed in fp32 and rounded once, to nearest, when it is
 * stored.  Arrays at multiples of 16 bytes are moved 16 bytes at a time, others one number at a time.
 * Array arguments are device pointers; lspo_adam_t and lspo_projector_t are host structs, the latter's arrays device
 * pointers.  Calls enqueue work on `stream` (a cudaStream_t; NULL: the default stream), do not wait for it and allocate
 * nothing.  They return a cudaError_t as an int, 0 for success: that of the launch; errors of a kernel under way
 * show when the stream is next waited for.
 * `cublas`: a cublasHandle_t, whose stream is set to `stream`; a cuBLAS failure is cudaErrorUnknown.
 * Sums run in a fixed order without atomics: equal input gives equal bits on one GPU.  Against the host the last bits
 * differ, since orders, roots and denormals (kept here) do.  Packing gives the host's bits.
 * FLOPs and bytes are the host function's unless stated; in 16 bits half the bytes of arrays in the format.
 * tests/cuda_on_host/ runs all of this without a GPU.
 */
#ifndef LSPO_KERNELS_CUDA_H
#define LSPO_KERNELS_CUDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/adam.h"
#include "kernels/attention.h"
#include "kernels/number.h"
#include "kernels/projector.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- memory of the device ---- */
int lspo_memory_alloc_cuda(size_t bytes, void **memory_out);
/* Waits for what is under way; NULL: nothing. */
void lspo_memory_free_cuda(void *memory);
int lspo_memory_zero_cuda(size_t bytes, void *out, void *stream);
int lspo_memory_copy_cuda(size_t bytes, const void *in, void *out, void *stream);
/* From the host's memory, in the stream's order; waits for it. */
int lspo_memory_write_cuda(size_t bytes, const void *in, void *out, void *stream);
/* What a function here returned, in words; static. */
const char *lspo_cuda_error_text(int error);

/* ---- adam.h ---- */
/* `master`: in 16 bits the fp32 weights, which make the step and of which w becomes the rounding; NULL in fp32.
 * cudaErrorInvalidValue otherwise.  28 bytes an element in every format. */
int lspo_adam_parameters_cuda(lspo_number_t number, const lspo_adam_t *adam, size_t n, const void *gradient, float *m,
                              float *v, float *master, void *w, void *stream);
int lspo_adam_direction_cuda(lspo_number_t number, const lspo_adam_t *adam, size_t n, const void *gradient, float *m,
                             float *v, void *out, void *stream);

/* ---- pack.h ---- */
/* n numbers from one format to another, rounded to nearest, ties to even.  NaN keeps its sign and upper payload. */
int lspo_convert_cuda(size_t n, lspo_number_t from, const void *in, lspo_number_t to, void *out, void *stream);

/* ---- projector.h ---- */
/* Works from the column lists; x is read once from memory and, for every further 256 columns, from the L2 cache.
 * Bytes, with b those of a number: tokens (rows + d) b, and rows r 8 of lists for every 32 (fp32) or 64 tokens, from
 * L2. */
int lspo_projector_gather_cuda(lspo_number_t number, const lspo_projector_t *p, size_t tokens, const void *x,
                               size_t x_stride, void *out, void *stream);
/* Scratch: tokens (d_m + d_n) numbers: X P and dY Q are rounded to the format, then multiplied on tensor cores. */
int lspo_projector_compress_cuda(lspo_number_t number, const lspo_projector_t *p, const lspo_projector_t *q,
                                 size_t tokens, const void *x, size_t x_stride, const void *dy, size_t dy_stride,
                                 float beta, void *g_hat, void *scratch, void *cublas, void *stream);
/* One pass over w, no scratch: the panel of P delta lies in shared memory.  d_n above 12,288, whose panel does not fit,
 * takes 2 r_m r_n FLOPs an element instead.  In 16 bits w is rounded up or down at random, by bits that are a function
 * of seed and place (kernels/number.cuh).  Bytes: 2 b m n. */
int lspo_projector_apply_cuda(lspo_number_t number, const lspo_projector_t *p, const lspo_projector_t *q,
                              const float *delta, float eta, float decay, uint64_t seed, void *w, void *stream);

/* ---- sketch.h; scratch as on the host, in numbers of the format ---- */
int lspo_sketch_compress_cuda(lspo_number_t number, const lspo_projector_t *p, const lspo_projector_t *q, size_t tokens,
                              const void *x, size_t x_stride, const void *dy, size_t dy_stride, float beta, void *g_hat,
                              void *scratch, void *cublas, void *stream);
int lspo_sketch_apply_cuda(lspo_number_t number, const lspo_projector_t *p, const lspo_projector_t *q,
                           const float *delta, float eta, float decay, uint64_t seed, void *w, void *scratch,
                           void *cublas, void *stream);

/* ---- sketch.h; scratch: lspo_sketch_scratch() numbers.  In 16 bits apply rounds delta to the format, which needs
 * d_m d_n <= m n (above: cudaErrorInvalidValue), and w at random ---- */
int lspo_sketch_compress_cuda(lspo_number_t number, const lspo_projector_t *p, const lspo_projector_t *q, size_t tokens,
                              const void *x, size_t x_stride, const void *dy, size_t dy_stride, float beta, void *g_hat,
                              void *scratch, void *cublas, void *stream);
int lspo_sketch_apply_cuda(lspo_number_t number, const lspo_projector_t *p, const lspo_projector_t *q,
                           const float *delta, float eta, float decay, uint64_t seed, void *w, void *scratch,
                           void *cublas, void *stream);

/* ---- embedding.h ---- */
int lspo_embedding_forward_cuda(lspo_number_t number, size_t batch, size_t sequence, size_t width, const uint32_t *ids,
                                const void *token, const void *position, void *x_out, void *stream);
/* In the host's order and with its bits: the first row of an id adds up those of all rows with that id. */
int lspo_embedding_backward_cuda(lspo_number_t number, size_t batch, size_t sequence, size_t width, const uint32_t *ids,
                                 const void *dx, void *token_gradient, void *position_gradient, void *stream);

/* ---- norm.h ---- */
int lspo_norm_forward_cuda(lspo_number_t number, size_t rows, size_t width, const void *x, const void *gain,
                           const void *bias, void *out, float *mean_out, float *rstd_out, void *stream);
int lspo_norm_forward_epsilon_cuda(lspo_number_t number, size_t rows, size_t width, float epsilon, const void *x,
                                   const void *gain, const void *bias, void *out, float *mean_out, float *rstd_out,
                                   void *stream);
int lspo_norm_backward_cuda(lspo_number_t number, size_t rows, size_t width, const void *dout, const void *x,
                            const float *mean, const float *rstd, const void *gain, const void *residual,
                            bool accumulate, void *dx, void *dgain, void *dbias, void *dx_sum, void *stream);
int lspo_rms_norm_forward_cuda(lspo_number_t number, size_t rows, size_t width, float epsilon, const void *x,
                               const void *gain, void *out, float *rstd_out, void *stream);
int lspo_rms_norm_backward_cuda(lspo_number_t number, size_t rows, size_t width, const void *dout, const void *x,
                                const float *rstd, const void *gain, const void *residual, bool accumulate, void *dx,
                                void *dgain, void *stream);

/* ---- activation.h ---- */
int lspo_gelu_forward_cuda(lspo_number_t number, size_t n, const void *x, void *out, void *stream);
int lspo_gelu_backward_cuda(lspo_number_t number, size_t rows, size_t cols, const void *x, bool accumulate, void *d,
                            void *bias_gradient, void *stream);
int lspo_gelu_exact_forward_cuda(lspo_number_t number, size_t n, const void *x, void *out, void *stream);
int lspo_gelu_exact_backward_cuda(lspo_number_t number, size_t rows, size_t cols, const void *x, bool accumulate,
                                  void *d, void *bias_gradient, void *stream);
int lspo_swiglu_forward_cuda(lspo_number_t number, size_t n, const void *gate, const void *up, void *out, void *stream);
int lspo_swiglu_backward_cuda(lspo_number_t number, size_t n, const void *gate, const void *up, void *d, void *d_gate,
                              void *stream);
int lspo_tanh_forward_cuda(lspo_number_t number, size_t n, void *x, void *stream);
int lspo_tanh_backward_cuda(lspo_number_t number, size_t n, const void *out, void *d, void *stream);

/* ---- rotary.h; the table comes from lspo_rotary_table() ---- */
int lspo_rotary_forward_cuda(lspo_number_t number, size_t batch, size_t sequence, size_t heads, size_t head_width,
                             const float *table, void *x, void *stream);
int lspo_rotary_backward_cuda(lspo_number_t number, size_t batch, size_t sequence, size_t heads, size_t head_width,
                              const float *table, void *dx, void *stream);

/* ---- attention.h, without the probabilities ----
 *
 * A block holds a tile of rows and goes over the tiles of keys: P is made from Q and K when it is needed, with a
 * softmax that is corrected as larger scores come [Dao et al., arXiv 2205.14135, Alg. 1], and again in the backward
 * pass from
 *     log_sums[batch, head, row] = ln sum over the row's keys of e^(q k / sqrt(e)).
 * dK and dV of a tile belong to one block, which adds up the heads of a group in order; dQ is a pass of its own, hence
 * two products more than the host's backward pass has.
 * `a` is a host struct, its `lengths` a device pointer; head_width up to 128, above it cudaErrorInvalidValue.
 * In 16 bits, with head_width and strides in fours, on tensor cores; P and dS are then rounded before they are
 * multiplied.  FLOPs causal, a sequence and head: forward 2 s (s + 1) e, backward 7 s (s + 1) e.  Bytes, with b those
 * of a number: forward 4 b s e, backward 8 b s e and more from the L2 cache, where K and V of a head are read by every
 * tile. */
int lspo_attention_any_forward_cuda(lspo_number_t number, const lspo_attention_t *a, const void *q, const void *k,
                                    const void *v, void *out, float *log_sums, void *stream);
/* row_dots: batch x heads x sequence floats of scratch. */
int lspo_attention_any_backward_cuda(lspo_number_t number, const lspo_attention_t *a, const void *q, const void *k,
                                     const void *v, const void *out, const float *log_sums, const void *dout, void *dq,
                                     void *dk, void *dv, float *row_dots, void *stream);

/* ---- loss.h ---- */
/* row_losses: rows doubles of scratch; loss_sum_out: one double; both on the device. */
int lspo_cross_entropy_forward_cuda(lspo_number_t number, size_t rows, size_t vocabulary, size_t stride,
                                    const uint32_t *targets, void *logits, double *row_losses, double *loss_sum_out,
                                    void *stream);
int lspo_cross_entropy_backward_cuda(lspo_number_t number, size_t rows, size_t vocabulary, size_t stride,
                                     const uint32_t *targets, const void *probabilities, float scale, void *dlogits,
                                     void *stream);

/* ---- vector.h ---- */
int lspo_bias_fill_cuda(lspo_number_t number, size_t rows, size_t cols, const void *bias, void *out, void *stream);
int lspo_bias_add_cuda(lspo_number_t number, size_t rows, size_t cols, const void *x, const void *bias, void *out,
                       void *stream);
int lspo_column_sum_cuda(lspo_number_t number, size_t rows, size_t cols, const void *x, bool accumulate, void *out,
                         void *stream);
/* sum += x: a residual, or the gradients of two branches.  1 FLOP and 3 numbers an element. */
int lspo_vector_add_cuda(lspo_number_t number, size_t n, const void *x, void *sum, void *stream);
/* w <- keep w - rate direction; direction in `direction_format`.  In 16 bits w is rounded up or down at random, by bits
 * that are a function of seed and place (kernels/number.cuh).  3 FLOPs, 2 numbers and the direction's an element. */
int lspo_step_along_cuda(lspo_number_t number, size_t n, float keep, float rate, lspo_number_t direction_format,
                         const void *direction, uint64_t seed, void *w, void *stream);
/* sum_out <- the sum of n doubles. */
int lspo_sum_cuda(size_t n, const double *values, double *sum_out, void *stream);
/* sum_out <- the sum of x^2 in double, for the norm of a gradient.  parts: LSPO_SUM_OF_SQUARES_PARTS doubles of
 * scratch.  2 FLOPs and a number an element. */
enum { LSPO_SUM_OF_SQUARES_PARTS = 1024 };
int lspo_sum_of_squares_cuda(lspo_number_t number, size_t n, const void *x, double *parts, double *sum_out,
                             void *stream);

/* ---- columns.h ---- */
/* Sums are rounded otherwise than on the host, so columns that are equal but for that may be chosen differently. */
int lspo_columns_split_cuda(lspo_number_t number, size_t m, size_t n, size_t selected, const void *g, float *scratch,
                            uint32_t *columns, void *stream);
int lspo_columns_gather_cuda(lspo_number_t number, size_t m, size_t n, size_t count, const uint32_t *columns,
                             const void *x, void *out, void *stream);
int lspo_columns_scatter_cuda(lspo_number_t number, size_t m, size_t n, size_t count, const uint32_t *columns,
                              const void *in, void *x, void *stream);

/* ---- gemm.h, adapter.h, lowrank.h: products by cuBLAS ---- */
/* NULL, or why cuBLAS, which the first call of it opens, cannot be opened; static. */
const char *lspo_cublas_missing(void);
int lspo_gemm_nn_cuda(lspo_number_t number, size_t m, size_t n, size_t k, float alpha, const void *a, size_t a_stride,
                      const void *b, size_t b_stride, float beta, void *c, size_t c_stride, void *cublas, void *stream);
int lspo_gemm_nt_cuda(lspo_number_t number, size_t m, size_t n, size_t k, float alpha, const void *a, size_t a_stride,
                      const void *b, size_t b_stride, float beta, void *c, size_t c_stride, void *cublas, void *stream);
int lspo_gemm_tn_cuda(lspo_number_t number, size_t m, size_t n, size_t k, float alpha, const void *a, size_t a_stride,
                      const void *b, size_t b_stride, float beta, void *c, size_t c_stride, void *cublas, void *stream);
int lspo_adapter_forward_cuda(lspo_number_t number, size_t tokens, size_t m, size_t n, size_t r, float scale,
                              const void *x, const void *a, const void *b, void *y, void *scratch, void *cublas,
                              void *stream);
int lspo_adapter_backward_cuda(lspo_number_t number, size_t tokens, size_t m, size_t n, size_t r, float scale,
                               const void *x, const void *dy, const void *a, const void *b, bool accumulate, void *da,
                               void *db, void *dx, void *scratch, void *cublas, void *stream);
int lspo_lowrank_compress_cuda(lspo_number_t number, size_t m, size_t n, size_t r, const void *g, const void *basis,
                               float beta, void *r_out, void *cublas, void *stream);
int lspo_lowrank_apply_cuda(lspo_number_t number, size_t m, size_t n, size_t r, const void *basis,
                            const void *direction, float rate, void *w, void *cublas, void *stream);

/* ---- linear layers by cuBLASLt, with what stands around the product done as its result is written ----
 *
 * W: m x n, x: tokens x m.  Where cuBLASLt has no fused kernel for a shape (rows that are no multiple of 16 bytes, for
 * one) the same is computed by a product and a kernel. */
typedef struct lspo_matmul lspo_matmul_t;
/* Chosen algorithms by shape, and memory that a product may use.  One stream at a time.  `cublas` must outlive it. */
int lspo_matmul_create_cuda(void *cublas, lspo_matmul_t **matmul_out);
void lspo_matmul_destroy_cuda(lspo_matmul_t *matmul);
/* out (tokens x n) = x W + bias + residual; bias (n) and residual (tokens x n, may be out) may be NULL. */
int lspo_linear_forward_cuda(lspo_number_t number, lspo_matmul_t *matmul, size_t tokens, size_t m, size_t n,
                             const void *x, const void *w, const void *bias, const void *residual, void *out,
                             void *stream);
/* pre_out = x W + bias, out = gelu(pre_out) in its tanh form. */
int lspo_linear_gelu_forward_cuda(lspo_number_t number, lspo_matmul_t *matmul, size_t tokens, size_t m, size_t n,
                                  const void *x, const void *w, const void *bias, void *pre_out, void *out,
                                  void *stream);
/* The layer behind a GELU: d (tokens x m) = (dy W^T) gelu'(pre); bias_gradient (m or NULL): its column sums,
 * overwritten or added to when `accumulate`. */
int lspo_linear_gelu_backward_cuda(lspo_number_t number, lspo_matmul_t *matmul, size_t tokens, size_t m, size_t n,
                                   const void *dy, const void *w, const void *pre, bool accumulate, void *d,
                                   void *bias_gradient, void *stream);

#ifdef __cplusplus
}
#endif
#endif
