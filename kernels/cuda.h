/* cuda.h - the kernels on a GPU: for each function below the equations, shapes and aliasing are those of the host
 * function without the suffix, in adam.h, pack.h, projector.h, norm.h, activation.h and loss.h.
 *
 * Array arguments are device pointers; lspo_adam_t and lspo_projector_t are host structs, the latter's arrays device
 * pointers.  Calls enqueue work on `stream` (a cudaStream_t; NULL: the default stream), do not wait for it and allocate
 * nothing.  They return a cudaError_t as an int, 0 for success: that of the launch; errors of a kernel under way
 * show when the stream is next waited for.
 * Sums run in a fixed order without atomics: equal input gives equal bits on one GPU.  Against the host the last bits
 * differ, since orders, roots and denormals (kept here) do.  Packing gives the host's bits.
 */
#ifndef LSPO_KERNELS_CUDA_H
#define LSPO_KERNELS_CUDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/adam.h"
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
/* `cublas`: a cublasHandle_t, whose stream is set to `stream`.  Scratch: tokens (d_m + d_n) floats. A cuBLAS failure
 * is cudaErrorUnknown. */
int lspo_projector_compress_cuda(const lspo_projector_t *p, const lspo_projector_t *q, size_t tokens, const float *x,
                                 size_t x_stride, const float *dy, size_t dy_stride, float beta, float *g_hat,
                                 float *scratch, void *cublas, void *stream);
/* One pass over w, no scratch: the panel of P delta lies in shared memory.  d_n up to 12,288; above it
 * cudaErrorInvalidValue. */
int lspo_projector_apply_cuda(const lspo_projector_t *p, const lspo_projector_t *q, const float *delta, float eta,
                              float decay, float *w, void *stream);

/* ---- norm.h, activation.h, loss.h ---- */
int lspo_norm_forward_cuda(size_t rows, size_t width, const float *x, const float *gain, const float *bias, float *out,
                           float *mean_out, float *rstd_out, void *stream);
int lspo_norm_backward_cuda(size_t rows, size_t width, const float *dout, const float *x, const float *mean,
                            const float *rstd, const float *gain, const float *residual, bool accumulate, float *dx,
                            float *dgain, float *dbias, float *dx_sum, void *stream);
int lspo_gelu_forward_cuda(size_t n, const float *x, float *out, void *stream);
int lspo_gelu_backward_cuda(size_t rows, size_t cols, const float *x, bool accumulate, float *d, float *bias_gradient,
                            void *stream);
/* row_losses: rows doubles of scratch; loss_sum_out: one double; both on the device. */
int lspo_cross_entropy_forward_cuda(size_t rows, size_t vocabulary, const uint32_t *targets, float *logits,
                                    double *row_losses, double *loss_sum_out, void *stream);
int lspo_cross_entropy_backward_cuda(size_t rows, size_t vocabulary, const uint32_t *targets,
                                     const float *probabilities, float scale, float *dlogits, void *stream);

#ifdef __cplusplus
}
#endif
#endif
