/* cuda.h - the kernels on a GPU: for each function below the equations, shapes and aliasing are those of the host
 * function without the suffix, in the header that is named above it.
 *
 * Array arguments are device pointers; lspo_adam_t and lspo_projector_t are host structs, the latter's arrays device
 * pointers.  Calls enqueue work on `stream` (a cudaStream_t; NULL: the default stream), do not wait for it and allocate
 * nothing.  They return a cudaError_t as an int, 0 for success: that of the launch; errors of a kernel under way
 * show when the stream is next waited for.
 * `cublas`: a cublasHandle_t, whose stream is set to `stream`; a cuBLAS failure is cudaErrorUnknown.
 * Sums run in a fixed order without atomics: equal input gives equal bits on one GPU.  Against the host the last bits
 * differ, since orders, roots and denormals (kept here) do.  Packing gives the host's bits.
 * FLOPs and bytes are the host function's unless stated.  tests/cuda_on_host/ runs all of this without a GPU.
 */
#ifndef LSPO_KERNELS_CUDA_H
#define LSPO_KERNELS_CUDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/adam.h"
#include "kernels/attention.h"
#include "kernels/projector.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- adam.h ---- */
int lspo_adam_parameters_cuda(const lspo_adam_t *adam, size_t n, const float *gradient, float *m, float *v, float *w,
                              void *stream);
int lspo_adam_direction_cuda(const lspo_adam_t *adam, size_t n, const float *gradient, float *m, float *v, float *out,
                             void *stream);

/* ---- pack.h ---- */
int lspo_pack_bf16_cuda(size_t n, const float *in, uint16_t *out, void *stream);
int lspo_unpack_bf16_cuda(size_t n, const uint16_t *in, float *out, void *stream);
int lspo_pack_fp16_cuda(size_t n, const float *in, uint16_t *out, void *stream);
int lspo_unpack_fp16_cuda(size_t n, const uint16_t *in, float *out, void *stream);

/* ---- projector.h ---- */
/* Works from the column lists; x is read once from memory and d / 64 times from the L2 cache. */
int lspo_projector_gather_cuda(const lspo_projector_t *p, size_t tokens, const float *x, size_t x_stride, float *out,
                               void *stream);
/* Scratch: tokens (d_m + d_n) floats. */
int lspo_projector_compress_cuda(const lspo_projector_t *p, const lspo_projector_t *q, size_t tokens, const float *x,
                                 size_t x_stride, const float *dy, size_t dy_stride, float beta, float *g_hat,
                                 float *scratch, void *cublas, void *stream);
/* One pass over w, no scratch: the panel of P delta lies in shared memory.  d_n up to 12,288; above it
 * cudaErrorInvalidValue. */
int lspo_projector_apply_cuda(const lspo_projector_t *p, const lspo_projector_t *q, const float *delta, float eta,
                              float decay, float *w, void *stream);

/* ---- embedding.h ---- */
int lspo_embedding_forward_cuda(size_t batch, size_t sequence, size_t width, const uint32_t *ids, const float *token,
                                const float *position, float *x_out, void *stream);
/* In the host's order and with its bits: the first row of an id adds up those of all rows with that id. */
int lspo_embedding_backward_cuda(size_t batch, size_t sequence, size_t width, const uint32_t *ids, const float *dx,
                                 float *token_gradient, float *position_gradient, void *stream);

/* ---- norm.h ---- */
int lspo_norm_forward_cuda(size_t rows, size_t width, const float *x, const float *gain, const float *bias, float *out,
                           float *mean_out, float *rstd_out, void *stream);
int lspo_norm_forward_epsilon_cuda(size_t rows, size_t width, float epsilon, const float *x, const float *gain,
                                   const float *bias, float *out, float *mean_out, float *rstd_out, void *stream);
int lspo_norm_backward_cuda(size_t rows, size_t width, const float *dout, const float *x, const float *mean,
                            const float *rstd, const float *gain, const float *residual, bool accumulate, float *dx,
                            float *dgain, float *dbias, float *dx_sum, void *stream);
int lspo_rms_norm_forward_cuda(size_t rows, size_t width, float epsilon, const float *x, const float *gain, float *out,
                               float *rstd_out, void *stream);
int lspo_rms_norm_backward_cuda(size_t rows, size_t width, const float *dout, const float *x, const float *rstd,
                                const float *gain, const float *residual, bool accumulate, float *dx, float *dgain,
                                void *stream);

/* ---- activation.h ---- */
int lspo_gelu_forward_cuda(size_t n, const float *x, float *out, void *stream);
int lspo_gelu_backward_cuda(size_t rows, size_t cols, const float *x, bool accumulate, float *d, float *bias_gradient,
                            void *stream);
int lspo_gelu_exact_forward_cuda(size_t n, const float *x, float *out, void *stream);
int lspo_gelu_exact_backward_cuda(size_t rows, size_t cols, const float *x, bool accumulate, float *d,
                                  float *bias_gradient, void *stream);
int lspo_swiglu_forward_cuda(size_t n, const float *gate, const float *up, float *out, void *stream);
int lspo_swiglu_backward_cuda(size_t n, const float *gate, const float *up, float *d, float *d_gate, void *stream);
int lspo_tanh_forward_cuda(size_t n, float *x, void *stream);
int lspo_tanh_backward_cuda(size_t n, const float *out, float *d, void *stream);

/* ---- rotary.h; the table comes from lspo_rotary_table() ---- */
int lspo_rotary_forward_cuda(size_t batch, size_t sequence, size_t heads, size_t head_width, const float *table,
                             float *x, void *stream);
int lspo_rotary_backward_cuda(size_t batch, size_t sequence, size_t heads, size_t head_width, const float *table,
                              float *dx, void *stream);

/* ---- attention.h, without the probabilities ----
 *
 * A block holds a tile of rows and goes over the tiles of keys: P is made from Q and K when it is needed, with a softmax
 * that is corrected as larger scores come [Dao et al., arXiv 2205.14135, Alg. 1], and again in the backward pass from
 *     log_sums[batch, head, row] = ln sum over the row's keys of e^(q k / sqrt(e)).
 * dK and dV of a tile belong to one block, which adds up the heads of a group in order; dQ is a pass of its own, hence
 * two products more than the host's backward pass has.
 * `a` is a host struct, its `lengths` a device pointer; head_width up to 128, above it cudaErrorInvalidValue.
 * FLOPs causal, a sequence and head: forward 2 s (s + 1) e, backward 7 s (s + 1) e.  Bytes: forward 16 s e, backward
 * 32 s e and more from the L2 cache, where K and V of a head are read by every tile. */
int lspo_attention_any_forward_cuda(const lspo_attention_t *a, const float *q, const float *k, const float *v,
                                    float *out, float *log_sums, void *stream);
/* row_dots: batch x heads x sequence floats of scratch. */
int lspo_attention_any_backward_cuda(const lspo_attention_t *a, const float *q, const float *k, const float *v,
                                     const float *out, const float *log_sums, const float *dout, float *dq, float *dk,
                                     float *dv, float *row_dots, void *stream);

/* ---- loss.h ---- */
/* row_losses: rows doubles of scratch; loss_sum_out: one double; both on the device. */
int lspo_cross_entropy_forward_cuda(size_t rows, size_t vocabulary, const uint32_t *targets, float *logits,
                                    double *row_losses, double *loss_sum_out, void *stream);
int lspo_cross_entropy_backward_cuda(size_t rows, size_t vocabulary, const uint32_t *targets,
                                     const float *probabilities, float scale, float *dlogits, void *stream);

/* ---- vector.h ---- */
int lspo_bias_fill_cuda(size_t rows, size_t cols, const float *bias, float *out, void *stream);
int lspo_bias_add_cuda(size_t rows, size_t cols, const float *x, const float *bias, float *out, void *stream);
int lspo_column_sum_cuda(size_t rows, size_t cols, const float *x, bool accumulate, float *out, void *stream);
/* sum += x: a residual, or the gradients of two branches.  1 FLOP and 12 bytes an element. */
int lspo_vector_add_cuda(size_t n, const float *x, float *sum, void *stream);
/* sum_out <- the sum of n doubles. */
int lspo_sum_cuda(size_t n, const double *values, double *sum_out, void *stream);
/* sum_out <- the sum of x^2 in double, for the norm of a gradient.  parts: LSPO_SUM_OF_SQUARES_PARTS doubles of scratch.
 * 2 FLOPs and 4 bytes an element. */
enum { LSPO_SUM_OF_SQUARES_PARTS = 1024 };
int lspo_sum_of_squares_cuda(size_t n, const float *x, double *parts, double *sum_out, void *stream);

/* ---- columns.h ---- */
/* Sums are rounded otherwise than on the host, so columns that are equal but for that may be chosen differently. */
int lspo_columns_split_cuda(size_t m, size_t n, size_t selected, const float *g, float *scratch, uint32_t *columns,
                            void *stream);
int lspo_columns_gather_cuda(size_t m, size_t n, size_t count, const uint32_t *columns, const float *x, float *out,
                             void *stream);
int lspo_columns_scatter_cuda(size_t m, size_t n, size_t count, const uint32_t *columns, const float *in, float *x,
                              void *stream);

/* ---- gemm.h, adapter.h, lowrank.h: products by cuBLAS ---- */
int lspo_gemm_nn_cuda(size_t m, size_t n, size_t k, float alpha, const float *a, size_t a_stride, const float *b,
                      size_t b_stride, float beta, float *c, size_t c_stride, void *cublas, void *stream);
int lspo_gemm_nt_cuda(size_t m, size_t n, size_t k, float alpha, const float *a, size_t a_stride, const float *b,
                      size_t b_stride, float beta, float *c, size_t c_stride, void *cublas, void *stream);
int lspo_gemm_tn_cuda(size_t m, size_t n, size_t k, float alpha, const float *a, size_t a_stride, const float *b,
                      size_t b_stride, float beta, float *c, size_t c_stride, void *cublas, void *stream);
int lspo_adapter_forward_cuda(size_t tokens, size_t m, size_t n, size_t r, float scale, const float *x, const float *a,
                              const float *b, float *y, float *scratch, void *cublas, void *stream);
int lspo_adapter_backward_cuda(size_t tokens, size_t m, size_t n, size_t r, float scale, const float *x,
                               const float *dy, const float *a, const float *b, bool accumulate, float *da, float *db,
                               float *dx, float *scratch, void *cublas, void *stream);
int lspo_lowrank_compress_cuda(size_t m, size_t n, size_t r, const float *g, const float *basis, float beta,
                               float *r_out, void *cublas, void *stream);
int lspo_lowrank_apply_cuda(size_t m, size_t n, size_t r, const float *basis, const float *direction, float rate,
                            float *w, void *cublas, void *stream);

#ifdef __cplusplus
}
#endif
#endif
