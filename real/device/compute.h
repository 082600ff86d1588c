/* compute.h - the kernels on whichever device there is: one call for the host's function and the GPU's.
 *
 * The transformer and the session are written against these functions, so that what a plan's op does is said once.
 * Equations, shapes and aliasing are those of the function of kernels/ without `compute_` (and, where it is named
 * otherwise, of the header above it).  `void *` arrays hold numbers of the device's format (kernels/number.h: weights,
 * activations and their gradients), `float *` arrays hold fp32 whatever that is: statistics, moments, masters, deltas.
 *
 * On the host a call does its work before it returns, in fp32.  On a GPU it enqueues it on the compute stream; arrays
 * are device memory, and what is read on the host afterwards comes through lspo_device_read().  A call returns nothing:
 * the first failure of the device is kept and reported by lspo_compute_status(), which ends an op's work.
 */
#ifndef LSPO_REAL_DEVICE_COMPUTE_H
#define LSPO_REAL_DEVICE_COMPUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "kernels/activation.h"
#include "kernels/adam.h"
#include "kernels/adapter.h"
#include "kernels/attention.h"
#include "kernels/columns.h"
#include "kernels/embedding.h"
#include "kernels/gemm.h"
#include "kernels/linear.h"
#include "kernels/loss.h"
#include "kernels/lowrank.h"
#include "kernels/norm.h"
#include "kernels/number.h"
#include "kernels/projector.h"
#include "kernels/rotary.h"
#include "kernels/vector.h"
#include "plan/workload.h"

typedef struct lspo_compute lspo_compute_t;

/* The host's; static, fp32, never released. */
lspo_compute_t *lspo_compute_host(void);

/* For real/device/device_cuda.c, from which a device's own come (lspo_device_compute()): on a cudaStream_t and a
 * cublasHandle_t on the device that is current, both the caller's and longer alive; fp32 until it is told another
 * format.  LSPO_ERR_DEVICE, also in a build without CUDA. */
lspo_status_t lspo_compute_create_cuda(void *stream, void *cublas, lspo_compute_t **compute_out);
void lspo_compute_destroy(lspo_compute_t *c);
void lspo_compute_set_number(lspo_compute_t *c, lspo_number_t number);

/* Scratch on the device, once for all calls, that losses of so many tokens and attention of so many heads need; it only
 * grows.  Nothing on the host.  LSPO_ERR_DEVICE. */
lspo_status_t lspo_compute_reserve(lspo_compute_t *c, size_t tokens, size_t heads);

/* LSPO_ERR_DEVICE with what failed first since the last call, and where. */
lspo_status_t lspo_compute_status(lspo_compute_t *c);
lspo_number_t lspo_compute_number(const lspo_compute_t *c);
/* The format of a workload's precision. */
lspo_number_t lspo_compute_number_of(lspo_precision_t precision);
/* Bytes of one weight or activation. */
size_t lspo_compute_number_bytes(const lspo_compute_t *c);
bool lspo_compute_is_host(const lspo_compute_t *c);
/* True where attention keeps one number a row and head (ln of the sum of exponentials) in place of probabilities. */
bool lspo_compute_attention_is_flash(const lspo_compute_t *c);

/* ---- memory of the device ---- */
void lspo_compute_zero(lspo_compute_t *c, size_t bytes, void *out);
void lspo_compute_copy(lspo_compute_t *c, size_t bytes, const void *in, void *out);
/* From the host's memory, behind all that was asked for before; done on return. */
void lspo_compute_write(lspo_compute_t *c, size_t bytes, const void *in, void *out);
/* n numbers from one format to another; round to nearest, ties to even. */
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
/* `kept`: the host's probabilities, or where attention is flash batch x heads x sequence floats of log sums; the
 * backward pass reads the operands' `out` there.  scratch: lspo_attention_scratch() floats, not used where it is
 * flash. */
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

/* ---- adapter.h, lowrank.h: factors, bases and scratch in the device's format ---- */
void lspo_compute_adapter_forward(lspo_compute_t *c, const lspo_adapter_t *adapter, const void *x, void *y,
                                  void *scratch);
void lspo_compute_adapter_backward(lspo_compute_t *c, const lspo_adapter_t *adapter, const void *x, const void *dy,
                                   const lspo_adapter_gradients_t *gradients, void *scratch);
void lspo_compute_lowrank_compress(lspo_compute_t *c, const lspo_lowrank_t *lowrank, const void *g, float beta,
                                   void *r_out);
void lspo_compute_lowrank_apply(lspo_compute_t *c, const lspo_lowrank_t *lowrank, const void *direction, float rate,
                                void *w);

/* ---- projector.h, sketch.h: projectors fp32, arrays in device memory ---- */
void lspo_compute_projector_gather(lspo_compute_t *c, const lspo_projector_t *p, size_t tokens, const void *x,
                                   size_t x_stride, void *out);
void lspo_compute_projector_compress(lspo_compute_t *c, const lspo_projector_pair_t *pair,
                                     const lspo_gradient_factors_t *factors, float beta, void *g_hat, void *scratch);
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
