/* compute.h - the kernels on whichever device there is: one call for the host's function and the GPU's.
 *
 * The transformer and the session are written against these functions, so that what a plan's op does is said once.
 * Equations, shapes and aliasing are those of the function of kernels/ without `compute_` (and, where it is named
 * otherwise, of the header above it).  `void *` arrays hold numbers of the device's format (kernels/number.h: weights,
 * activations and their gradients), `float *` arrays hold fp32 whatever that is: statistics, moments, masters, deltas.
 *
 * On the host a call does its work before it returns, in fp32.  On a GPU it enqueues it on the compute stream; arrays are
 * device memory, and what is read on the host afterwards comes through lspo_device_read().  A call returns nothing: the
 * first failure of the device is kept and reported by lspo_compute_status(), which ends an op's work.
 */
#ifndef LSPO_REAL_DEVICE_COMPUTE_H
#define LSPO_REAL_DEVICE_COMPUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "kernels/adam.h"
#include "kernels/attention.h"
#include "kernels/number.h"
#include "kernels/projector.h"
#include "plan/workload.h"

typedef struct lspo_compute lspo_compute_t;

/* The host's; static, fp32, never released. */
lspo_compute_t *lspo_compute_host(void);

/* For real/device/device_cuda.c, from which a device's own come (lspo_device_compute()): on a cudaStream_t and a cublasHandle_t
 * on the device that is current, both the caller's and longer alive; fp32 until it is told another format.
 * LSPO_ERR_DEVICE, also in a build without CUDA. */
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
/* w <- keep w - rate direction; direction in `format`.  In 16 bits w is rounded at random from `seed` (see apply). */
void lspo_compute_step_along(lspo_compute_t *c, size_t n, float keep, float rate, lspo_number_t format,
                             const void *direction, uint64_t seed, void *w);
/* *sum_out (device memory) <- the sum of squares, in double. */
void lspo_compute_sum_of_squares(lspo_compute_t *c, size_t n, const void *x, double *sum_out);

/* ---- embedding.h, norm.h, activation.h, rotary.h, attention.h; ids in device memory ---- */
void lspo_compute_embedding_forward(lspo_compute_t *c, size_t batch, size_t sequence, size_t width, const uint32_t *ids,
                                    const void *token, const void *position, void *x_out);
void lspo_compute_embedding_backward(lspo_compute_t *c, size_t batch, size_t sequence, size_t width,
                                     const uint32_t *ids, const void *dx, void *token_gradient,
                                     void *position_gradient);
void lspo_compute_norm_forward(lspo_compute_t *c, size_t rows, size_t width, float epsilon, const void *x,
                               const void *gain, const void *bias, void *out, float *mean_out, float *rstd_out);
void lspo_compute_norm_backward(lspo_compute_t *c, size_t rows, size_t width, const void *dout, const void *x,
                                const float *mean, const float *rstd, const void *gain, const void *residual,
                                bool accumulate, void *dx, void *dgain, void *dbias, void *dx_sum);
void lspo_compute_rms_norm_forward(lspo_compute_t *c, size_t rows, size_t width, float epsilon, const void *x,
                                   const void *gain, void *out, float *rstd_out);
void lspo_compute_rms_norm_backward(lspo_compute_t *c, size_t rows, size_t width, const void *dout, const void *x,
                                    const float *rstd, const void *gain, const void *residual, bool accumulate,
                                    void *dx, void *dgain);
void lspo_compute_gelu_forward(lspo_compute_t *c, size_t n, const void *x, void *out);
void lspo_compute_gelu_backward(lspo_compute_t *c, size_t rows, size_t cols, const void *x, bool accumulate, void *d,
                                void *bias_gradient);
void lspo_compute_gelu_exact_forward(lspo_compute_t *c, size_t n, const void *x, void *out);
void lspo_compute_gelu_exact_backward(lspo_compute_t *c, size_t rows, size_t cols, const void *x, bool accumulate,
                                      void *d, void *bias_gradient);
void lspo_compute_swiglu_forward(lspo_compute_t *c, size_t n, const void *gate, const void *up, void *out);
void lspo_compute_swiglu_backward(lspo_compute_t *c, size_t n, const void *gate, const void *up, void *d, void *d_gate);
void lspo_compute_rotary_forward(lspo_compute_t *c, size_t batch, size_t sequence, size_t heads, size_t head_width,
                                 const float *table, void *x);
void lspo_compute_rotary_backward(lspo_compute_t *c, size_t batch, size_t sequence, size_t heads, size_t head_width,
                                  const float *table, void *dx);
/* `kept`: the host's probabilities, or where attention is flash batch x heads x sequence floats of log sums.  out: also
 * read by the backward pass there.  scratch: lspo_attention_scratch() floats, not used where it is flash. */
void lspo_compute_attention_forward(lspo_compute_t *c, const lspo_attention_t *a, const void *q, const void *k,
                                    const void *v, float *kept, void *out, float *scratch);
void lspo_compute_attention_backward(lspo_compute_t *c, const lspo_attention_t *a, const void *q, const void *k,
                                     const void *v, const float *kept, const void *out, const void *dout, void *dq,
                                     void *dk, void *dv, float *scratch);

/* ---- loss.h: *loss_sum_out (device memory) <- the sum of the rows' losses ---- */
void lspo_compute_cross_entropy_forward(lspo_compute_t *c, size_t rows, size_t vocabulary, size_t stride,
                                        const uint32_t *targets, void *logits, double *loss_sum_out);
void lspo_compute_cross_entropy_backward(lspo_compute_t *c, size_t rows, size_t vocabulary, size_t stride,
                                         const uint32_t *targets, const void *probabilities, float scale,
                                         void *dlogits);

/* ---- gemm.h: A and B numbers of the device's format, C too; sums in fp32 ---- */
void lspo_compute_gemm_nn(lspo_compute_t *c, size_t m, size_t n, size_t k, float alpha, const void *a, size_t a_stride,
                          const void *b, size_t b_stride, float beta, void *out, size_t out_stride);
void lspo_compute_gemm_nt(lspo_compute_t *c, size_t m, size_t n, size_t k, float alpha, const void *a, size_t a_stride,
                          const void *b, size_t b_stride, float beta, void *out, size_t out_stride);
void lspo_compute_gemm_tn(lspo_compute_t *c, size_t m, size_t n, size_t k, float alpha, const void *a, size_t a_stride,
                          const void *b, size_t b_stride, float beta, void *out, size_t out_stride);

/* ---- linear layers: a product and what stands around it, fused where the device can.  W: m x n, x: tokens x m ---- */

/* out (tokens x n) = x W + bias + residual; bias (n) and residual (tokens x n, may be out) may be NULL. */
void lspo_compute_linear_forward(lspo_compute_t *c, size_t tokens, size_t m, size_t n, const void *x, const void *w,
                                 const void *bias, const void *residual, void *out);
/* pre_out = x W + bias, out = gelu(pre_out) in its tanh form. */
void lspo_compute_linear_gelu_forward(lspo_compute_t *c, size_t tokens, size_t m, size_t n, const void *x,
                                      const void *w, const void *bias, void *pre_out, void *out);
/* Of the layer behind a GELU: d (tokens x m) = (dy W^T) gelu'(pre); bias_gradient (m, or NULL): its column sums. */
void lspo_compute_linear_gelu_backward(lspo_compute_t *c, size_t tokens, size_t m, size_t n, const void *dy,
                                       const void *w, const void *pre, bool accumulate, void *d, void *bias_gradient);

/* ---- adapter.h, lowrank.h: factors, bases and scratch in the device's format ---- */
void lspo_compute_adapter_forward(lspo_compute_t *c, size_t tokens, size_t m, size_t n, size_t r, float scale,
                                  const void *x, const void *a, const void *b, void *y, void *scratch);
void lspo_compute_adapter_backward(lspo_compute_t *c, size_t tokens, size_t m, size_t n, size_t r, float scale,
                                   const void *x, const void *dy, const void *a, const void *b, bool accumulate,
                                   void *da, void *db, void *dx, void *scratch);
void lspo_compute_lowrank_compress(lspo_compute_t *c, size_t m, size_t n, size_t r, const void *g, const void *basis,
                                   float beta, void *r_out);
void lspo_compute_lowrank_apply(lspo_compute_t *c, size_t m, size_t n, size_t r, const void *basis,
                                const void *direction, float rate, void *w);

/* ---- projector.h, sketch.h: projectors fp32, arrays in device memory ---- */
void lspo_compute_projector_gather(lspo_compute_t *c, const lspo_projector_t *p, size_t tokens, const void *x,
                                   size_t x_stride, void *out);
void lspo_compute_projector_compress(lspo_compute_t *c, const lspo_projector_t *p, const lspo_projector_t *q,
                                     size_t tokens, const void *x, size_t x_stride, const void *dy, size_t dy_stride,
                                     float beta, void *g_hat, void *scratch);
/* In 16 bits W is rounded up or down at random, so that the mean of many small steps is right: the
 * random bits are a function of seed and position. */
void lspo_compute_projector_apply(lspo_compute_t *c, const lspo_projector_t *p, const lspo_projector_t *q,
                                  const float *delta, float eta, float decay, uint64_t seed, void *w, void *scratch);
void lspo_compute_sketch_compress(lspo_compute_t *c, const lspo_projector_t *p, const lspo_projector_t *q,
                                  size_t tokens, const void *x, size_t x_stride, const void *dy, size_t dy_stride,
                                  float beta, void *g_hat, void *scratch);
void lspo_compute_sketch_apply(lspo_compute_t *c, const lspo_projector_t *p, const lspo_projector_t *q,
                               const float *delta, float eta, float decay, uint64_t seed, void *w, void *scratch);

/* ---- adam.h.  `master`: the fp32 weights behind 16-bit ones, which w becomes a copy of; NULL in fp32 ---- */
void lspo_compute_adam_parameters(lspo_compute_t *c, const lspo_adam_t *adam, size_t n, const void *gradient, float *m,
                                  float *v, float *master, void *w);
/* out may be the gradient. */
void lspo_compute_adam_direction(lspo_compute_t *c, const lspo_adam_t *adam, size_t n, const void *gradient, float *m,
                                 float *v, void *out);

/* ---- columns.h; columns in device memory, scratch 2 n floats ---- */
void lspo_compute_columns_split(lspo_compute_t *c, size_t m, size_t n, size_t selected, const void *g, float *scratch,
                                uint32_t *columns);
void lspo_compute_columns_gather(lspo_compute_t *c, size_t m, size_t n, size_t count, const uint32_t *columns,
                                 const void *x, void *out);
void lspo_compute_columns_scatter(lspo_compute_t *c, size_t m, size_t n, size_t count, const uint32_t *columns,
                                  const void *in, void *x);

#endif
