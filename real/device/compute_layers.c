/* compute_layers.c - the layers of a transformer, of compute.h. */
#include <string.h>

#include "kernels/activation.h"
#include "kernels/adapter.h"
#include "kernels/embedding.h"
#include "kernels/gemm.h"
#include "kernels/loss.h"
#include "kernels/lowrank.h"
#include "kernels/norm.h"
#include "kernels/rotary.h"
#include "kernels/vector.h"
#include "real/device/compute_state.h"

/* ---- embedding.h, norm.h, activation.h, rotary.h, attention.h ---- */

void lspo_compute_embedding_forward(lspo_compute_t *c, size_t batch, size_t sequence, size_t width, const uint32_t *ids,
                                    const void *token, const void *position, void *x_out)
{
    LSPO_ON(c, lspo_embedding_forward(batch, sequence, width, ids, token, position, x_out),
            lspo_embedding_forward_cuda(c->number, batch, sequence, width, ids, token, position, x_out, c->stream));
}

void lspo_compute_embedding_backward(lspo_compute_t *c, size_t batch, size_t sequence, size_t width,
                                     const uint32_t *ids, const void *dx, void *token_gradient, void *position_gradient)
{
    LSPO_ON(c, lspo_embedding_backward(batch, sequence, width, ids, dx, token_gradient, position_gradient),
            lspo_embedding_backward_cuda(c->number, batch, sequence, width, ids, dx, token_gradient, position_gradient,
                                         c->stream));
}

void lspo_compute_norm_forward(lspo_compute_t *c, size_t rows, size_t width, float epsilon, const void *x,
                               const void *gain, const void *bias, void *out, float *mean_out, float *rstd_out)
{
    LSPO_ON(c, lspo_norm_forward_epsilon(rows, width, epsilon, x, gain, bias, out, mean_out, rstd_out),
            lspo_norm_forward_epsilon_cuda(c->number, rows, width, epsilon, x, gain, bias, out, mean_out, rstd_out,
                                           c->stream));
}

void lspo_compute_norm_backward(lspo_compute_t *c, size_t rows, size_t width, const void *dout, const void *x,
                                const float *mean, const float *rstd, const void *gain, const void *residual,
                                bool accumulate, void *dx, void *dgain, void *dbias, void *dx_sum)
{
    LSPO_ON(c,
            lspo_norm_backward(rows, width, dout, x, mean, rstd, gain, residual, accumulate, dx, dgain, dbias, dx_sum),
            lspo_norm_backward_cuda(c->number, rows, width, dout, x, mean, rstd, gain, residual, accumulate, dx, dgain,
                                    dbias, dx_sum, c->stream));
}

void lspo_compute_rms_norm_forward(lspo_compute_t *c, size_t rows, size_t width, float epsilon, const void *x,
                                   const void *gain, void *out, float *rstd_out)
{
    LSPO_ON(c, lspo_rms_norm_forward(rows, width, epsilon, x, gain, out, rstd_out),
            lspo_rms_norm_forward_cuda(c->number, rows, width, epsilon, x, gain, out, rstd_out, c->stream));
}

void lspo_compute_rms_norm_backward(lspo_compute_t *c, size_t rows, size_t width, const void *dout, const void *x,
                                    const float *rstd, const void *gain, const void *residual, bool accumulate,
                                    void *dx, void *dgain)
{
    LSPO_ON(c, lspo_rms_norm_backward(rows, width, dout, x, rstd, gain, residual, accumulate, dx, dgain),
            lspo_rms_norm_backward_cuda(c->number, rows, width, dout, x, rstd, gain, residual, accumulate, dx, dgain,
                                        c->stream));
}

void lspo_compute_gelu_forward(lspo_compute_t *c, size_t n, const void *x, void *out)
{
    LSPO_ON(c, lspo_gelu_forward(n, x, out), lspo_gelu_forward_cuda(c->number, n, x, out, c->stream));
}

void lspo_compute_gelu_backward(lspo_compute_t *c, size_t rows, size_t cols, const void *x, bool accumulate, void *d,
                                void *bias_gradient)
{
    LSPO_ON(c, lspo_gelu_backward(rows, cols, x, accumulate, d, bias_gradient),
            lspo_gelu_backward_cuda(c->number, rows, cols, x, accumulate, d, bias_gradient, c->stream));
}

void lspo_compute_gelu_exact_forward(lspo_compute_t *c, size_t n, const void *x, void *out)
{
    LSPO_ON(c, lspo_gelu_exact_forward(n, x, out), lspo_gelu_exact_forward_cuda(c->number, n, x, out, c->stream));
}

void lspo_compute_gelu_exact_backward(lspo_compute_t *c, size_t rows, size_t cols, const void *x, bool accumulate,
                                      void *d, void *bias_gradient)
{
    LSPO_ON(c, lspo_gelu_exact_backward(rows, cols, x, accumulate, d, bias_gradient),
            lspo_gelu_exact_backward_cuda(c->number, rows, cols, x, accumulate, d, bias_gradient, c->stream));
}

void lspo_compute_swiglu_forward(lspo_compute_t *c, size_t n, const void *gate, const void *up, void *out)
{
    LSPO_ON(c, lspo_swiglu_forward(n, gate, up, out), lspo_swiglu_forward_cuda(c->number, n, gate, up, out, c->stream));
}

void lspo_compute_swiglu_backward(lspo_compute_t *c, size_t n, const void *gate, const void *up, void *d, void *d_gate)
{
    LSPO_ON(c, lspo_swiglu_backward(n, gate, up, d, d_gate),
            lspo_swiglu_backward_cuda(c->number, n, gate, up, d, d_gate, c->stream));
}

void lspo_compute_rotary_forward(lspo_compute_t *c, size_t batch, size_t sequence, size_t heads, size_t head_width,
                                 const float *table, void *x)
{
    LSPO_ON(c, lspo_rotary_forward(batch, sequence, heads, head_width, table, x),
            lspo_rotary_forward_cuda(c->number, batch, sequence, heads, head_width, table, x, c->stream));
}

void lspo_compute_rotary_backward(lspo_compute_t *c, size_t batch, size_t sequence, size_t heads, size_t head_width,
                                  const float *table, void *dx)
{
    LSPO_ON(c, lspo_rotary_backward(batch, sequence, heads, head_width, table, dx),
            lspo_rotary_backward_cuda(c->number, batch, sequence, heads, head_width, table, dx, c->stream));
}

void lspo_compute_attention_forward(lspo_compute_t *c, const lspo_attention_t *a, const void *q, const void *k,
                                    const void *v, float *kept, void *out, float *scratch)
{
    LSPO_ON(c, lspo_attention_any_forward(a, q, k, v, kept, out, scratch),
            lspo_attention_any_forward_cuda(c->number, a, q, k, v, out, kept, c->stream));
}

void lspo_compute_attention_backward(lspo_compute_t *c, const lspo_attention_t *a, const void *q, const void *k,
                                     const void *v, const float *kept, const void *out, const void *dout, void *dq,
                                     void *dk, void *dv, float *scratch)
{
    LSPO_ON(
        c, lspo_attention_any_backward(a, q, k, v, kept, dout, dq, dk, dv, scratch),
        lspo_attention_any_backward_cuda(c->number, a, q, k, v, out, kept, dout, dq, dk, dv, c->scratch, c->stream));
}

/* ---- loss.h ---- */

void lspo_compute_cross_entropy_forward(lspo_compute_t *c, size_t rows, size_t vocabulary, size_t stride,
                                        const uint32_t *targets, void *logits, double *loss_sum_out)
{
    LSPO_ON(c, *loss_sum_out = lspo_cross_entropy_forward(rows, vocabulary, stride, targets, logits),
            lspo_cross_entropy_forward_cuda(c->number, rows, vocabulary, stride, targets, logits, c->scratch,
                                            loss_sum_out, c->stream));
}

void lspo_compute_cross_entropy_backward(lspo_compute_t *c, size_t rows, size_t vocabulary, size_t stride,
                                         const uint32_t *targets, const void *probabilities, float scale, void *dlogits)
{
    LSPO_ON(c, lspo_cross_entropy_backward(rows, vocabulary, stride, targets, probabilities, scale, dlogits),
            lspo_cross_entropy_backward_cuda(c->number, rows, vocabulary, stride, targets, probabilities, scale,
                                             dlogits, c->stream));
}

/* ---- gemm.h ---- */

void lspo_compute_gemm_nn(lspo_compute_t *c, size_t m, size_t n, size_t k, float alpha, const void *a, size_t a_stride,
                          const void *b, size_t b_stride, float beta, void *out, size_t out_stride)
{
    LSPO_ON(c, lspo_gemm_nn(m, n, k, alpha, a, a_stride, b, b_stride, beta, out, out_stride),
            lspo_gemm_nn_cuda(c->number, m, n, k, alpha, a, a_stride, b, b_stride, beta, out, out_stride, c->cublas,
                              c->stream));
}

void lspo_compute_gemm_nt(lspo_compute_t *c, size_t m, size_t n, size_t k, float alpha, const void *a, size_t a_stride,
                          const void *b, size_t b_stride, float beta, void *out, size_t out_stride)
{
    LSPO_ON(c, lspo_gemm_nt(m, n, k, alpha, a, a_stride, b, b_stride, beta, out, out_stride),
            lspo_gemm_nt_cuda(c->number, m, n, k, alpha, a, a_stride, b, b_stride, beta, out, out_stride, c->cublas,
                              c->stream));
}

void lspo_compute_gemm_tn(lspo_compute_t *c, size_t m, size_t n, size_t k, float alpha, const void *a, size_t a_stride,
                          const void *b, size_t b_stride, float beta, void *out, size_t out_stride)
{
    LSPO_ON(c, lspo_gemm_tn(m, n, k, alpha, a, a_stride, b, b_stride, beta, out, out_stride),
            lspo_gemm_tn_cuda(c->number, m, n, k, alpha, a, a_stride, b, b_stride, beta, out, out_stride, c->cublas,
                              c->stream));
}

/* ---- linear layers ---- */

/* The product adds to what stands there first. */
static void linear_forward_host(size_t tokens, size_t m, size_t n, const float *x, const float *w, const float *bias,
                                const float *residual, float *out)
{
    if (residual != NULL && bias != NULL)
        lspo_bias_add(tokens, n, residual, bias, out);
    else if (bias != NULL)
        lspo_bias_fill(tokens, n, bias, out);
    else if (residual != NULL && residual != out)
        memcpy(out, residual, tokens * n * sizeof *out);
    const float beta = bias != NULL || residual != NULL ? 1.0F : 0.0F;
    lspo_gemm_nn(tokens, n, m, 1.0F, x, m, w, n, beta, out, n);
}

void lspo_compute_linear_forward(lspo_compute_t *c, size_t tokens, size_t m, size_t n, const void *x, const void *w,
                                 const void *bias, const void *residual, void *out)
{
    LSPO_ON(c, linear_forward_host(tokens, m, n, x, w, bias, residual, out),
            lspo_linear_forward_cuda(c->number, c->matmul, tokens, m, n, x, w, bias, residual, out, c->stream));
}

static void linear_gelu_forward_host(size_t tokens, size_t m, size_t n, const float *x, const float *w,
                                     const float *bias, float *pre_out, float *out)
{
    linear_forward_host(tokens, m, n, x, w, bias, NULL, pre_out);
    lspo_gelu_forward(tokens * n, pre_out, out);
}

void lspo_compute_linear_gelu_forward(lspo_compute_t *c, size_t tokens, size_t m, size_t n, const void *x,
                                      const void *w, const void *bias, void *pre_out, void *out)
{
    LSPO_ON(c, linear_gelu_forward_host(tokens, m, n, x, w, bias, pre_out, out),
            lspo_linear_gelu_forward_cuda(c->number, c->matmul, tokens, m, n, x, w, bias, pre_out, out, c->stream));
}

static void linear_gelu_backward_host(size_t tokens, size_t m, size_t n, const float *dy, const float *w,
                                      const float *pre, bool accumulate, float *d, float *bias_gradient)
{
    lspo_gemm_nt(tokens, m, n, 1.0F, dy, n, w, n, 0.0F, d, m);
    lspo_gelu_backward(tokens, m, pre, accumulate, d, bias_gradient);
}

void lspo_compute_linear_gelu_backward(lspo_compute_t *c, size_t tokens, size_t m, size_t n, const void *dy,
                                       const void *w, const void *pre, bool accumulate, void *d, void *bias_gradient)
{
    LSPO_ON(c, linear_gelu_backward_host(tokens, m, n, dy, w, pre, accumulate, d, bias_gradient),
            lspo_linear_gelu_backward_cuda(c->number, c->matmul, tokens, m, n, dy, w, pre, accumulate, d, bias_gradient,
                                           c->stream));
}

/* ---- adapter.h, lowrank.h ---- */

void lspo_compute_adapter_forward(lspo_compute_t *c, size_t tokens, size_t m, size_t n, size_t r, float scale,
                                  const void *x, const void *a, const void *b, void *y, void *scratch)
{
    LSPO_ON(c, lspo_adapter_forward(tokens, m, n, r, scale, x, a, b, y, scratch),
            lspo_adapter_forward_cuda(c->number, tokens, m, n, r, scale, x, a, b, y, scratch, c->cublas, c->stream));
}

void lspo_compute_adapter_backward(lspo_compute_t *c, size_t tokens, size_t m, size_t n, size_t r, float scale,
                                   const void *x, const void *dy, const void *a, const void *b, bool accumulate,
                                   void *da, void *db, void *dx, void *scratch)
{
    LSPO_ON(c, lspo_adapter_backward(tokens, m, n, r, scale, x, dy, a, b, accumulate, da, db, dx, scratch),
            lspo_adapter_backward_cuda(c->number, tokens, m, n, r, scale, x, dy, a, b, accumulate, da, db, dx, scratch,
                                       c->cublas, c->stream));
}

void lspo_compute_lowrank_compress(lspo_compute_t *c, size_t m, size_t n, size_t r, const void *g, const void *basis,
                                   float beta, void *r_out)
{
    LSPO_ON(c, lspo_lowrank_compress(m, n, r, g, basis, beta, r_out),
            lspo_lowrank_compress_cuda(c->number, m, n, r, g, basis, beta, r_out, c->cublas, c->stream));
}

void lspo_compute_lowrank_apply(lspo_compute_t *c, size_t m, size_t n, size_t r, const void *basis,
                                const void *direction, float rate, void *w)
{
    LSPO_ON(c, lspo_lowrank_apply(m, n, r, basis, direction, rate, w),
            lspo_lowrank_apply_cuda(c->number, m, n, r, basis, direction, rate, w, c->cublas, c->stream));
}
