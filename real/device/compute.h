/* compute.h - the kernels of a device: each function calls the kernel of the host or of the GPU.
 *
 * The transformer and the session use only these functions, so each op of a plan is written once.  Equations, shapes
 * and aliasing are those of the function in kernels/ of the same name without `compute_` (or of the header named above
 * it).  `void *` arrays have the device's number format (kernels/number.h: weights, activations and their gradients);
 * `float *` arrays are always fp32: statistics, moments, masters, deltas.
 *
 * On the host a call does its work in fp32 before it returns.  On a GPU it enqueues the work on the compute stream;
 * arrays are in device memory, and the host reads results with lspo_device_read().  Calls return no status: the first
 * failure of the device is kept, and lspo_compute_status() reports it at the end of an op.
 */
#ifndef LSPO_REAL_DEVICE_COMPUTE_H
#define LSPO_REAL_DEVICE_COMPUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/workers.h"
#include "kernels/activation.h"
#include "kernels/adam.h"
#include "kernels/adapter.h"
#include "kernels/attention.h"
#include "kernels/cached_attention.h"
#include "kernels/columns.h"
#include "kernels/embedding.h"
#include "kernels/few_rows.h"
#include "kernels/gemm.h"
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
#include "plan/workload.h"

typedef struct lspo_compute lspo_compute_t;

/* The kernels of the host; static, fp32, never released. */
lspo_compute_t *lspo_compute_host(void);

/* Those of the host for generation: activations are fp32, but weights and cache are read in their own formats, by these
 * workers (NULL: by the calling thread; they must outlive it).  Only forward passes. */
lspo_status_t lspo_compute_create_generation(lspo_workers_t *workers, lspo_compute_t **compute_out);
bool lspo_compute_generates(const lspo_compute_t *c);

/* For real/device/device_cuda.c only; others use lspo_device_compute().  Takes a cudaStream_t and a cublasHandle_t of
 * the current device, which must outlive it.  The format is fp32 until another is set.  LSPO_ERR_DEVICE, also in a
 * build without CUDA. */
lspo_status_t lspo_compute_create_cuda(void *stream, void *cublas, lspo_compute_t **compute_out);
void lspo_compute_destroy(lspo_compute_t *c);
void lspo_compute_set_number(lspo_compute_t *c, lspo_number_t number);

/* Reserve device scratch for losses of so many tokens and attention of so many heads; it only grows.  Does nothing on
 * the host.  LSPO_ERR_DEVICE. */
lspo_status_t lspo_compute_reserve(lspo_compute_t *c, size_t tokens, size_t heads);

/* LSPO_ERR_DEVICE if something has failed since the last call; logs the first failure and its function. */
lspo_status_t lspo_compute_status(lspo_compute_t *c);
lspo_number_t lspo_compute_number(const lspo_compute_t *c);
/* The format of a workload's precision. */
lspo_number_t lspo_compute_number_of(lspo_precision_t precision);
/* Bytes of one weight or activation. */
size_t lspo_compute_number_bytes(const lspo_compute_t *c);
bool lspo_compute_is_host(const lspo_compute_t *c);
/* True if attention keeps one number per row and head (ln of the sum of exponentials) in place of probabilities. */
bool lspo_compute_attention_is_flash(const lspo_compute_t *c);

/* ---- memory of the device ---- */
void lspo_compute_zero(lspo_compute_t *c, size_t bytes, void *out);
void lspo_compute_copy(lspo_compute_t *c, size_t bytes, const void *in, void *out);
/* Copy from host memory, after all previous work; complete on return. */
void lspo_compute_write(lspo_compute_t *c, size_t bytes, const void *in, void *out);
/* Convert n numbers to another format; round to nearest, ties to even. */
void lspo_compute_convert(lspo_compute_t *c, size_t n, lspo_number_t from, const void *in, lspo_number_t to, void *out);

/* ---- vector.h ---- */
void lspo_compute_bias_fill(lspo_compute_t *c, size_t rows, size_t cols, const void *bias, void *out);
void lspo_compute_bias_add(lspo_compute_t *c, size_t rows, size_t cols, const void *x, const void *bias, void *out);
void lspo_compute_column_sum(lspo_compute_t *c, size_t rows, size_t cols, const void *x, bool accumulate, void *out);
/* sum += x */
void lspo_compute_add(lspo_compute_t *c, size_t n, const void *x, void *sum);
/* direction in `format`. */
void lspo_compute_step_along(lspo_compute_t *c, size_t n, const lspo_vector_step_t *step, lspo_number_t format,
                             const void *direction, void *w);
/* *sum_out (device memory) <- the sum of squares, in double. */
void lspo_compute_sum_of_squares(lspo_compute_t *c, size_t n, const void *x, double *sum_out);

/* ---- embedding.h, norm.h, activation.h, rotary.h, attention.h; ids in device memory ---- */
void lspo_compute_embedding_forward(lspo_compute_t *c, const lspo_embedding_t *embedding, const void *token,
                                    const void *position, void *x_out);
void lspo_compute_embedding_backward(lspo_compute_t *c, const lspo_embedding_t *embedding, const void *dx,
                                     void *token_gradient, void *position_gradient);
void lspo_compute_norm_forward(lspo_compute_t *c, const lspo_norm_t *norm, const void *x, void *out, float *mean_out,
                               float *rstd_out);
void lspo_compute_norm_backward(lspo_compute_t *c, const lspo_norm_t *norm, const lspo_norm_operands_t *operands,
                                const lspo_norm_gradients_t *gradients);
void lspo_compute_rms_norm_forward(lspo_compute_t *c, const lspo_norm_t *norm, const void *x, void *out,
                                   float *rstd_out);
void lspo_compute_rms_norm_backward(lspo_compute_t *c, const lspo_norm_t *norm, const lspo_norm_operands_t *operands,
                                    const lspo_norm_gradients_t *gradients);
void lspo_compute_gelu_forward(lspo_compute_t *c, lspo_gelu_form_t form, size_t n, const void *x, void *out);
void lspo_compute_gelu_backward(lspo_compute_t *c, lspo_gelu_form_t form, size_t rows, size_t cols, const void *x,
                                const lspo_gelu_gradients_t *gradients);
void lspo_compute_swiglu_forward(lspo_compute_t *c, size_t n, const void *gate, const void *up, void *out);
void lspo_compute_swiglu_backward(lspo_compute_t *c, size_t n, const void *gate, const void *up, void *d, void *d_gate);
void lspo_compute_rotary_forward(lspo_compute_t *c, const lspo_rotary_t *rotary, void *x);
void lspo_compute_rotary_backward(lspo_compute_t *c, const lspo_rotary_t *rotary, void *dx);
/* `kept`: the probabilities, or batch x heads x sequence floats of log sums if attention is flash; then the backward
 * pass also reads the operands' `out`.  scratch: lspo_attention_scratch() floats, not used if attention is flash. */
void lspo_compute_attention_forward(lspo_compute_t *c, const lspo_attention_t *a,
                                    const lspo_attention_operands_t *operands, float *kept, void *out, float *scratch);
void lspo_compute_attention_backward(lspo_compute_t *c, const lspo_attention_t *a,
                                     const lspo_attention_operands_t *operands,
                                     const lspo_attention_gradients_t *gradients, float *scratch);

/* ---- loss.h: *loss_sum_out (device memory) <- the sum of the rows' losses ---- */
void lspo_compute_cross_entropy_forward(lspo_compute_t *c, const lspo_cross_entropy_t *loss, void *logits,
                                        double *loss_sum_out);
void lspo_compute_cross_entropy_backward(lspo_compute_t *c, const lspo_cross_entropy_t *loss, const void *probabilities,
                                         float scale, void *dlogits);

/* ---- gemm.h: A and B numbers of the device's format, C too; sums in fp32 ---- */
void lspo_compute_gemm_nn(lspo_compute_t *c, const lspo_gemm_t *product);
void lspo_compute_gemm_nt(lspo_compute_t *c, const lspo_gemm_t *product);
void lspo_compute_gemm_tn(lspo_compute_t *c, const lspo_gemm_t *product);

/* ---- linear.h: fused where the device can ---- */
void lspo_compute_linear_forward(lspo_compute_t *c, const lspo_linear_t *layer, const void *x, const void *residual,
                                 void *out);
void lspo_compute_linear_gelu_forward(lspo_compute_t *c, const lspo_linear_t *layer, const void *x, void *pre_out,
                                      void *out);
void lspo_compute_linear_gelu_backward(lspo_compute_t *c, const lspo_linear_t *layer, const void *dy, const void *pre,
                                       const lspo_gelu_gradients_t *gradients);

/* ---- few_rows.h, embedding.h, cached_attention.h, for generation: activations and scratch are fp32 ---- */
void lspo_compute_few_rows_product(lspo_compute_t *c, const lspo_few_rows_t *product, const float *x, float *out);
/* ternary.h. */
void lspo_compute_ternary_product(lspo_compute_t *c, const lspo_ternary_t *w, size_t rows, const float *x, float *y);
void lspo_compute_embedding_forward_from(lspo_compute_t *c, const lspo_embedding_t *embedding, lspo_number_t number,
                                         const void *token, const void *position, float *x_out);
void lspo_compute_cache_append(lspo_compute_t *c, const lspo_cached_attention_t *a, const float *k, const float *v);
/* scratch: lspo_cached_attention_scratch() floats for each of the workers. */
void lspo_compute_cached_attention(lspo_compute_t *c, const lspo_cached_attention_t *a, const float *q, float *out,
                                   float *scratch);

/* ---- adapter.h, lowrank.h: factors, bases and scratch in the device's format ---- */
void lspo_compute_adapter_forward(lspo_compute_t *c, const lspo_adapter_t *adapter, const void *x, void *y,
                                  void *scratch);
void lspo_compute_adapter_backward(lspo_compute_t *c, const lspo_adapter_t *adapter, const void *x, const void *dy,
                                   const lspo_adapter_gradients_t *gradients, void *scratch);
void lspo_compute_lowrank_compress(lspo_compute_t *c, const lspo_lowrank_t *lowrank, const void *g, float beta,
                                   void *r_out);
void lspo_compute_lowrank_apply(lspo_compute_t *c, const lspo_lowrank_t *lowrank, const void *direction, float rate,
                                void *w);

/* ---- keys.h: rows and gates in the device's format; lists, experts and scratch in device memory ---- */
void lspo_compute_keys_forward(lspo_compute_t *c, const lspo_keys_t *keys, const void *h, void *y, float *scratch);
void lspo_compute_keys_backward(lspo_compute_t *c, const lspo_keys_t *keys, const void *h, const void *dy,
                                const lspo_keys_gradients_t *gradients, float *scratch);
void lspo_compute_keys_route(lspo_compute_t *c, const lspo_route_t *route, const void *g, uint32_t *experts_out,
                             float *gates_out);

/* ---- turn.h: matrices, bases and scratch in the device's format ---- */
void lspo_compute_turn_in(lspo_compute_t *c, const lspo_turn_t *turn, void *g, void *y);
void lspo_compute_turn_back(lspo_compute_t *c, const lspo_turn_t *turn, void *d, void *y);

/* ---- nf4.h: the parts in device memory, out in the device's format ---- */
void lspo_compute_nf4_expand(lspo_compute_t *c, const lspo_nf4_t *from, void *out);

/* ---- pruned.h: parts and scratch in device memory; scratch: lspo_bitmap_scratch() words, not used on the host.  CSR
 * on the host only ---- */
void lspo_compute_bitmap_expand(lspo_compute_t *c, const lspo_bitmap_t *from, uint32_t *scratch, void *out);
void lspo_compute_csr_expand(lspo_compute_t *c, const lspo_csr_t *from, void *out);

/* ---- projector.h, sketch.h: projectors fp32, arrays in device memory ---- */
void lspo_compute_projector_gather(lspo_compute_t *c, const lspo_projector_t *p, size_t tokens, const void *x,
                                   size_t x_stride, void *out);
void lspo_compute_projector_compress(lspo_compute_t *c, const lspo_projector_pair_t *pair,
                                     const lspo_gradient_factors_t *factors, float beta, void *g_hat, void *scratch);
/* In numbers of the device's format.  At least what a GPU needs for the nonzeros of Q, on the host, too: a plan counts
 * the same on every device. */
size_t lspo_compute_projector_apply_scratch(const lspo_compute_t *c, const lspo_projector_t *p,
                                            const lspo_projector_t *q);
void lspo_compute_projector_apply(lspo_compute_t *c, const lspo_projector_pair_t *pair, const float *delta,
                                  const lspo_vector_step_t *step, void *w, void *scratch);
void lspo_compute_sketch_compress(lspo_compute_t *c, const lspo_projector_pair_t *pair,
                                  const lspo_gradient_factors_t *factors, float beta, void *g_hat, void *scratch);
void lspo_compute_sketch_apply(lspo_compute_t *c, const lspo_projector_pair_t *pair, const float *delta,
                               const lspo_vector_step_t *step, void *w, void *scratch);

/* ---- adam.h.  The state's master: the fp32 weights behind 16-bit ones, which w becomes a copy of ---- */
void lspo_compute_adam_parameters(lspo_compute_t *c, const lspo_adam_t *adam, const lspo_adam_state_t *state,
                                  const void *gradient, void *w);
/* out may be the gradient. */
void lspo_compute_adam_direction(lspo_compute_t *c, const lspo_adam_t *adam, const lspo_adam_state_t *state,
                                 const void *gradient, void *out);

/* ---- columns.h; columns in device memory, scratch 2 n floats ---- */
void lspo_compute_columns_split(lspo_compute_t *c, const lspo_columns_t *shape, const void *g, float *scratch,
                                uint32_t *columns_out);
void lspo_compute_columns_gather(lspo_compute_t *c, const lspo_columns_t *shape, const uint32_t *columns, const void *x,
                                 void *out);
void lspo_compute_columns_scatter(lspo_compute_t *c, const lspo_columns_t *shape, const uint32_t *columns,
                                  const void *in, void *x);

#endif
