#include "real/compute.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/activation.h"
#include "kernels/adapter.h"
#include "kernels/columns.h"
#include "kernels/cuda.h"
#include "kernels/embedding.h"
#include "kernels/gemm.h"
#include "kernels/loss.h"
#include "kernels/lowrank.h"
#include "kernels/norm.h"
#include "kernels/pack.h"
#include "kernels/rotary.h"
#include "kernels/sketch.h"
#include "kernels/vector.h"

struct lspo_compute {
    bool cuda;
    lspo_number_t number;
    void *stream, *cublas;
    lspo_matmul_t *matmul;
    void *scratch; /* device: losses of rows, their dot products in attention, parts of sums: each for one call only */
    size_t scratch_bytes;
    int error; /* the first since status was asked for */
    const char *failed;
};

#if LSPO_HAVE_CUDA
static void note(lspo_compute_t *c, const char *call, int error)
{
    if (error == 0 || c->error != 0)
        return;
    c->error = error;
    c->failed = call;
}

/* The call for the device that c is. */
#define ON(c, host_call, cuda_call)                                                                                    \
    do {                                                                                                               \
        if ((c)->cuda)                                                                                                 \
            note((c), __func__, (cuda_call));                                                                          \
        else                                                                                                           \
            host_call;                                                                                                 \
    } while (0)
#else
/* sizeof: the GPU's call is not made, and there is none to link, but its arguments are checked. */
#define ON(c, host_call, cuda_call)                                                                                    \
    do {                                                                                                               \
        (void)sizeof((c)->cuda ? (cuda_call) : 0);                                                                     \
        host_call;                                                                                                     \
    } while (0)
#endif

/* ---- the object ---- */

lspo_compute_t *lspo_compute_host(void)
{
    static lspo_compute_t host;
    return &host;
}

#if LSPO_HAVE_CUDA
static lspo_status_t device_error(const char *what, int error)
{
    return lspo_error(LSPO_ERR_DEVICE, "%s: %s", what, lspo_cuda_error_text(error));
}

lspo_status_t lspo_compute_create_cuda(void *stream, void *cublas, lspo_compute_t **compute_out)
{
    lspo_compute_t *c = calloc(1, sizeof *c);
    if (c == NULL)
        return lspo_error(LSPO_ERR_MEMORY, "out of memory for a device's kernels");
    *c = (lspo_compute_t){.cuda = true, .stream = stream, .cublas = cublas};
    const int error = lspo_matmul_create_cuda(cublas, &c->matmul);
    lspo_status_t status = error == 0 ? LSPO_OK : device_error("no cuBLASLt", error);
    if (status == LSPO_OK)
        status = lspo_compute_reserve(c, 1, 1);
    if (status == LSPO_OK)
        *compute_out = c;
    else
        lspo_compute_destroy(c);
    return status;
}

void lspo_compute_destroy(lspo_compute_t *c)
{
    if (c == NULL || !c->cuda)
        return;
    lspo_memory_free_cuda(c->scratch);
    lspo_matmul_destroy_cuda(c->matmul);
    free(c);
}

lspo_status_t lspo_compute_reserve(lspo_compute_t *c, size_t tokens, size_t heads)
{
    const size_t doubles = tokens > LSPO_SUM_OF_SQUARES_PARTS ? tokens : LSPO_SUM_OF_SQUARES_PARTS;
    const size_t sums = doubles * sizeof(double), dots = tokens * heads * sizeof(float);
    const size_t bytes = sums > dots ? sums : dots;
    void *scratch;
    if (!c->cuda || bytes <= c->scratch_bytes)
        return LSPO_OK;
    const int error = lspo_memory_alloc_cuda(bytes, &scratch);
    if (error != 0)
        return device_error("no device memory for scratch of the kernels", error);
    lspo_memory_free_cuda(c->scratch); /* waits for what uses it */
    c->scratch = scratch;
    c->scratch_bytes = bytes;
    return LSPO_OK;
}

lspo_status_t lspo_compute_status(lspo_compute_t *c)
{
    const int error = c->error;
    c->error = 0;
    return error == 0 ? LSPO_OK : device_error(c->failed, error);
}
#else
lspo_status_t lspo_compute_create_cuda(void *stream, void *cublas, lspo_compute_t **compute_out)
{
    (void)stream;
    (void)cublas;
    (void)compute_out;
    return lspo_error(LSPO_ERR_DEVICE, "this build has no CUDA");
}

void lspo_compute_destroy(lspo_compute_t *c)
{
    (void)c; /* the host's */
}

lspo_status_t lspo_compute_reserve(lspo_compute_t *c, size_t tokens, size_t heads)
{
    (void)c;
    (void)tokens;
    (void)heads;
    return LSPO_OK;
}

lspo_status_t lspo_compute_status(lspo_compute_t *c)
{
    (void)c;
    return LSPO_OK;
}
#endif

void lspo_compute_set_number(lspo_compute_t *c, lspo_number_t number)
{
    c->number = number;
}

lspo_number_t lspo_compute_number(const lspo_compute_t *c)
{
    return c->number;
}

size_t lspo_compute_number_bytes(const lspo_compute_t *c)
{
    return lspo_number_bytes(c->number);
}

bool lspo_compute_is_host(const lspo_compute_t *c)
{
    return !c->cuda;
}

bool lspo_compute_attention_is_flash(const lspo_compute_t *c)
{
    return c->cuda;
}

/* ---- memory ---- */

void lspo_compute_zero(lspo_compute_t *c, size_t bytes, void *out)
{
    ON(c, memset(out, 0, bytes), lspo_memory_zero_cuda(bytes, out, c->stream));
}

void lspo_compute_copy(lspo_compute_t *c, size_t bytes, const void *in, void *out)
{
    ON(c, memcpy(out, in, bytes), lspo_memory_copy_cuda(bytes, in, out, c->stream));
}

void lspo_compute_write(lspo_compute_t *c, size_t bytes, const void *in, void *out)
{
    ON(c, memcpy(out, in, bytes), lspo_memory_write_cuda(bytes, in, out, c->stream));
}

void lspo_compute_convert(lspo_compute_t *c, size_t n, lspo_number_t from, const void *in, lspo_number_t to, void *out)
{
    ON(c, lspo_convert(n, from, in, to, out), lspo_convert_cuda(n, from, in, to, out, c->stream));
}

/* ---- vector.h ---- */

void lspo_compute_bias_fill(lspo_compute_t *c, size_t rows, size_t cols, const void *bias, void *out)
{
    ON(c, lspo_bias_fill(rows, cols, bias, out), lspo_bias_fill_cuda(c->number, rows, cols, bias, out, c->stream));
}

void lspo_compute_bias_add(lspo_compute_t *c, size_t rows, size_t cols, const void *x, const void *bias, void *out)
{
    ON(c, lspo_bias_add(rows, cols, x, bias, out), lspo_bias_add_cuda(c->number, rows, cols, x, bias, out, c->stream));
}

void lspo_compute_column_sum(lspo_compute_t *c, size_t rows, size_t cols, const void *x, bool accumulate, void *out)
{
    ON(c, lspo_column_sum(rows, cols, x, accumulate, out),
       lspo_column_sum_cuda(c->number, rows, cols, x, accumulate, out, c->stream));
}

void lspo_compute_add(lspo_compute_t *c, size_t n, const void *x, void *sum)
{
    ON(c, lspo_vector_add(n, x, sum), lspo_vector_add_cuda(c->number, n, x, sum, c->stream));
}

/* A direction that came over the link in 16 bits is unpacked piece by piece. */
static void step_along_host(size_t n, float keep, float rate, lspo_number_t format, const void *direction, float *w)
{
    enum { PIECE = 1024 };
    float unpacked[PIECE];
    if (format == LSPO_NUMBER_FP32) {
        lspo_step_along(n, keep, rate, direction, w);
        return;
    }
    for (size_t i = 0; i < n; i += PIECE) {
        const size_t some = n - i < PIECE ? n - i : PIECE;
        lspo_convert(some, format, (const uint16_t *)direction + i, LSPO_NUMBER_FP32, unpacked);
        lspo_step_along(some, keep, rate, unpacked, w + i);
    }
}

void lspo_compute_step_along(lspo_compute_t *c, size_t n, float keep, float rate, lspo_number_t format,
                             const void *direction, uint64_t seed, void *w)
{
    ON(c, step_along_host(n, keep, rate, format, direction, w),
       lspo_step_along_cuda(c->number, n, keep, rate, format, direction, seed, w, c->stream));
}

void lspo_compute_sum_of_squares(lspo_compute_t *c, size_t n, const void *x, double *sum_out)
{
    ON(c, *sum_out = lspo_sum_of_squares(n, x),
       lspo_sum_of_squares_cuda(c->number, n, x, c->scratch, sum_out, c->stream));
}

/* ---- embedding.h, norm.h, activation.h, rotary.h, attention.h ---- */

void lspo_compute_embedding_forward(lspo_compute_t *c, size_t batch, size_t sequence, size_t width, const uint32_t *ids,
                                    const void *token, const void *position, void *x_out)
{
    ON(c, lspo_embedding_forward(batch, sequence, width, ids, token, position, x_out),
       lspo_embedding_forward_cuda(c->number, batch, sequence, width, ids, token, position, x_out, c->stream));
}

void lspo_compute_embedding_backward(lspo_compute_t *c, size_t batch, size_t sequence, size_t width,
                                     const uint32_t *ids, const void *dx, void *token_gradient, void *position_gradient)
{
    ON(c, lspo_embedding_backward(batch, sequence, width, ids, dx, token_gradient, position_gradient),
       lspo_embedding_backward_cuda(c->number, batch, sequence, width, ids, dx, token_gradient, position_gradient,
                                    c->stream));
}

void lspo_compute_norm_forward(lspo_compute_t *c, size_t rows, size_t width, float epsilon, const void *x,
                               const void *gain, const void *bias, void *out, float *mean_out, float *rstd_out)
{
    ON(c, lspo_norm_forward_epsilon(rows, width, epsilon, x, gain, bias, out, mean_out, rstd_out),
       lspo_norm_forward_epsilon_cuda(c->number, rows, width, epsilon, x, gain, bias, out, mean_out, rstd_out,
                                      c->stream));
}

void lspo_compute_norm_backward(lspo_compute_t *c, size_t rows, size_t width, const void *dout, const void *x,
                                const float *mean, const float *rstd, const void *gain, const void *residual,
                                bool accumulate, void *dx, void *dgain, void *dbias, void *dx_sum)
{
    ON(c, lspo_norm_backward(rows, width, dout, x, mean, rstd, gain, residual, accumulate, dx, dgain, dbias, dx_sum),
       lspo_norm_backward_cuda(c->number, rows, width, dout, x, mean, rstd, gain, residual, accumulate, dx, dgain,
                               dbias, dx_sum, c->stream));
}

void lspo_compute_rms_norm_forward(lspo_compute_t *c, size_t rows, size_t width, float epsilon, const void *x,
                                   const void *gain, void *out, float *rstd_out)
{
    ON(c, lspo_rms_norm_forward(rows, width, epsilon, x, gain, out, rstd_out),
       lspo_rms_norm_forward_cuda(c->number, rows, width, epsilon, x, gain, out, rstd_out, c->stream));
}

void lspo_compute_rms_norm_backward(lspo_compute_t *c, size_t rows, size_t width, const void *dout, const void *x,
                                    const float *rstd, const void *gain, const void *residual, bool accumulate,
                                    void *dx, void *dgain)
{
    ON(c, lspo_rms_norm_backward(rows, width, dout, x, rstd, gain, residual, accumulate, dx, dgain),
       lspo_rms_norm_backward_cuda(c->number, rows, width, dout, x, rstd, gain, residual, accumulate, dx, dgain,
                                   c->stream));
}

void lspo_compute_gelu_forward(lspo_compute_t *c, size_t n, const void *x, void *out)
{
    ON(c, lspo_gelu_forward(n, x, out), lspo_gelu_forward_cuda(c->number, n, x, out, c->stream));
}

void lspo_compute_gelu_backward(lspo_compute_t *c, size_t rows, size_t cols, const void *x, bool accumulate, void *d,
                                void *bias_gradient)
{
    ON(c, lspo_gelu_backward(rows, cols, x, accumulate, d, bias_gradient),
       lspo_gelu_backward_cuda(c->number, rows, cols, x, accumulate, d, bias_gradient, c->stream));
}

void lspo_compute_gelu_exact_forward(lspo_compute_t *c, size_t n, const void *x, void *out)
{
    ON(c, lspo_gelu_exact_forward(n, x, out), lspo_gelu_exact_forward_cuda(c->number, n, x, out, c->stream));
}

void lspo_compute_gelu_exact_backward(lspo_compute_t *c, size_t rows, size_t cols, const void *x, bool accumulate,
                                      void *d, void *bias_gradient)
{
    ON(c, lspo_gelu_exact_backward(rows, cols, x, accumulate, d, bias_gradient),
       lspo_gelu_exact_backward_cuda(c->number, rows, cols, x, accumulate, d, bias_gradient, c->stream));
}

void lspo_compute_swiglu_forward(lspo_compute_t *c, size_t n, const void *gate, const void *up, void *out)
{
    ON(c, lspo_swiglu_forward(n, gate, up, out), lspo_swiglu_forward_cuda(c->number, n, gate, up, out, c->stream));
}

void lspo_compute_swiglu_backward(lspo_compute_t *c, size_t n, const void *gate, const void *up, void *d, void *d_gate)
{
    ON(c, lspo_swiglu_backward(n, gate, up, d, d_gate),
       lspo_swiglu_backward_cuda(c->number, n, gate, up, d, d_gate, c->stream));
}

void lspo_compute_rotary_forward(lspo_compute_t *c, size_t batch, size_t sequence, size_t heads, size_t head_width,
                                 const float *table, void *x)
{
    ON(c, lspo_rotary_forward(batch, sequence, heads, head_width, table, x),
       lspo_rotary_forward_cuda(c->number, batch, sequence, heads, head_width, table, x, c->stream));
}

void lspo_compute_rotary_backward(lspo_compute_t *c, size_t batch, size_t sequence, size_t heads, size_t head_width,
                                  const float *table, void *dx)
{
    ON(c, lspo_rotary_backward(batch, sequence, heads, head_width, table, dx),
       lspo_rotary_backward_cuda(c->number, batch, sequence, heads, head_width, table, dx, c->stream));
}

void lspo_compute_attention_forward(lspo_compute_t *c, const lspo_attention_t *a, const void *q, const void *k,
                                    const void *v, float *kept, void *out, float *scratch)
{
    ON(c, lspo_attention_any_forward(a, q, k, v, kept, out, scratch),
       lspo_attention_any_forward_cuda(c->number, a, q, k, v, out, kept, c->stream));
}

void lspo_compute_attention_backward(lspo_compute_t *c, const lspo_attention_t *a, const void *q, const void *k,
                                     const void *v, const float *kept, const void *out, const void *dout, void *dq,
                                     void *dk, void *dv, float *scratch)
{
    ON(c, lspo_attention_any_backward(a, q, k, v, kept, dout, dq, dk, dv, scratch),
       lspo_attention_any_backward_cuda(c->number, a, q, k, v, out, kept, dout, dq, dk, dv, c->scratch, c->stream));
}

/* ---- loss.h ---- */

void lspo_compute_cross_entropy_forward(lspo_compute_t *c, size_t rows, size_t vocabulary, const uint32_t *targets,
                                        void *logits, double *loss_sum_out)
{
    ON(c, *loss_sum_out = lspo_cross_entropy_forward(rows, vocabulary, targets, logits),
       lspo_cross_entropy_forward_cuda(c->number, rows, vocabulary, targets, logits, c->scratch, loss_sum_out,
                                       c->stream));
}

void lspo_compute_cross_entropy_backward(lspo_compute_t *c, size_t rows, size_t vocabulary, const uint32_t *targets,
                                         const void *probabilities, float scale, void *dlogits)
{
    ON(c, lspo_cross_entropy_backward(rows, vocabulary, targets, probabilities, scale, dlogits),
       lspo_cross_entropy_backward_cuda(c->number, rows, vocabulary, targets, probabilities, scale, dlogits,
                                        c->stream));
}

/* ---- gemm.h ---- */

void lspo_compute_gemm_nn(lspo_compute_t *c, size_t m, size_t n, size_t k, float alpha, const void *a, size_t a_stride,
                          const void *b, size_t b_stride, float beta, void *out, size_t out_stride)
{
    ON(c, lspo_gemm_nn(m, n, k, alpha, a, a_stride, b, b_stride, beta, out, out_stride),
       lspo_gemm_nn_cuda(c->number, m, n, k, alpha, a, a_stride, b, b_stride, beta, out, out_stride, c->cublas,
                         c->stream));
}

void lspo_compute_gemm_nt(lspo_compute_t *c, size_t m, size_t n, size_t k, float alpha, const void *a, size_t a_stride,
                          const void *b, size_t b_stride, float beta, void *out, size_t out_stride)
{
    ON(c, lspo_gemm_nt(m, n, k, alpha, a, a_stride, b, b_stride, beta, out, out_stride),
       lspo_gemm_nt_cuda(c->number, m, n, k, alpha, a, a_stride, b, b_stride, beta, out, out_stride, c->cublas,
                         c->stream));
}

void lspo_compute_gemm_tn(lspo_compute_t *c, size_t m, size_t n, size_t k, float alpha, const void *a, size_t a_stride,
                          const void *b, size_t b_stride, float beta, void *out, size_t out_stride)
{
    ON(c, lspo_gemm_tn(m, n, k, alpha, a, a_stride, b, b_stride, beta, out, out_stride),
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
    ON(c, linear_forward_host(tokens, m, n, x, w, bias, residual, out),
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
    ON(c, linear_gelu_forward_host(tokens, m, n, x, w, bias, pre_out, out),
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
    ON(c, linear_gelu_backward_host(tokens, m, n, dy, w, pre, accumulate, d, bias_gradient),
       lspo_linear_gelu_backward_cuda(c->number, c->matmul, tokens, m, n, dy, w, pre, accumulate, d, bias_gradient,
                                      c->stream));
}

/* ---- adapter.h, lowrank.h ---- */

void lspo_compute_adapter_forward(lspo_compute_t *c, size_t tokens, size_t m, size_t n, size_t r, float scale,
                                  const void *x, const void *a, const void *b, void *y, void *scratch)
{
    ON(c, lspo_adapter_forward(tokens, m, n, r, scale, x, a, b, y, scratch),
       lspo_adapter_forward_cuda(c->number, tokens, m, n, r, scale, x, a, b, y, scratch, c->cublas, c->stream));
}

void lspo_compute_adapter_backward(lspo_compute_t *c, size_t tokens, size_t m, size_t n, size_t r, float scale,
                                   const void *x, const void *dy, const void *a, const void *b, bool accumulate,
                                   void *da, void *db, void *dx, void *scratch)
{
    ON(c, lspo_adapter_backward(tokens, m, n, r, scale, x, dy, a, b, accumulate, da, db, dx, scratch),
       lspo_adapter_backward_cuda(c->number, tokens, m, n, r, scale, x, dy, a, b, accumulate, da, db, dx, scratch,
                                  c->cublas, c->stream));
}

void lspo_compute_lowrank_compress(lspo_compute_t *c, size_t m, size_t n, size_t r, const void *g, const void *basis,
                                   float beta, void *r_out)
{
    ON(c, lspo_lowrank_compress(m, n, r, g, basis, beta, r_out),
       lspo_lowrank_compress_cuda(c->number, m, n, r, g, basis, beta, r_out, c->cublas, c->stream));
}

void lspo_compute_lowrank_apply(lspo_compute_t *c, size_t m, size_t n, size_t r, const void *basis,
                                const void *direction, float rate, void *w)
{
    ON(c, lspo_lowrank_apply(m, n, r, basis, direction, rate, w),
       lspo_lowrank_apply_cuda(c->number, m, n, r, basis, direction, rate, w, c->cublas, c->stream));
}

/* ---- projector.h, sketch.h ---- */

void lspo_compute_projector_gather(lspo_compute_t *c, const lspo_projector_t *p, size_t tokens, const void *x,
                                   size_t x_stride, void *out)
{
    ON(c, lspo_projector_gather(p, tokens, x, x_stride, out),
       lspo_projector_gather_cuda(c->number, p, tokens, x, x_stride, out, c->stream));
}

void lspo_compute_projector_compress(lspo_compute_t *c, const lspo_projector_t *p, const lspo_projector_t *q,
                                     size_t tokens, const void *x, size_t x_stride, const void *dy, size_t dy_stride,
                                     float beta, void *g_hat, void *scratch)
{
    ON(c, lspo_projector_compress(p, q, tokens, x, x_stride, dy, dy_stride, beta, g_hat, scratch),
       lspo_projector_compress_cuda(c->number, p, q, tokens, x, x_stride, dy, dy_stride, beta, g_hat, scratch,
                                    c->cublas, c->stream));
}

void lspo_compute_projector_apply(lspo_compute_t *c, const lspo_projector_t *p, const lspo_projector_t *q,
                                  const float *delta, float eta, float decay, uint64_t seed, void *w, void *scratch)
{
    ON(c, lspo_projector_apply(p, q, delta, eta, decay, w, scratch),
       lspo_projector_apply_cuda(c->number, p, q, delta, eta, decay, seed, w, c->stream));
}

void lspo_compute_sketch_compress(lspo_compute_t *c, const lspo_projector_t *p, const lspo_projector_t *q,
                                  size_t tokens, const void *x, size_t x_stride, const void *dy, size_t dy_stride,
                                  float beta, void *g_hat, void *scratch)
{
    ON(c, lspo_sketch_compress(p, q, tokens, x, x_stride, dy, dy_stride, beta, g_hat, scratch),
       lspo_sketch_compress_cuda(c->number, p, q, tokens, x, x_stride, dy, dy_stride, beta, g_hat, scratch, c->cublas,
                                 c->stream));
}

void lspo_compute_sketch_apply(lspo_compute_t *c, const lspo_projector_t *p, const lspo_projector_t *q,
                               const float *delta, float eta, float decay, uint64_t seed, void *w, void *scratch)
{
    ON(c, lspo_sketch_apply(p, q, delta, eta, decay, w, scratch),
       lspo_sketch_apply_cuda(c->number, p, q, delta, eta, decay, seed, w, scratch, c->cublas, c->stream));
}

/* ---- adam.h ---- */

void lspo_compute_adam_parameters(lspo_compute_t *c, const lspo_adam_t *adam, size_t n, const void *gradient, float *m,
                                  float *v, float *master, void *w)
{
    ON(c, lspo_adam_parameters(adam, n, gradient, m, v, w),
       lspo_adam_parameters_cuda(c->number, adam, n, gradient, m, v, master, w, c->stream));
}

void lspo_compute_adam_direction(lspo_compute_t *c, const lspo_adam_t *adam, size_t n, const void *gradient, float *m,
                                 float *v, void *out)
{
    ON(c, lspo_adam_direction(adam, n, gradient, m, v, out),
       lspo_adam_direction_cuda(c->number, adam, n, gradient, m, v, out, c->stream));
}

/* ---- columns.h ---- */

void lspo_compute_columns_split(lspo_compute_t *c, size_t m, size_t n, size_t selected, const void *g, float *scratch,
                                uint32_t *columns)
{
    ON(c, lspo_columns_split(m, n, selected, g, scratch, columns),
       lspo_columns_split_cuda(c->number, m, n, selected, g, scratch, columns, c->stream));
}

void lspo_compute_columns_gather(lspo_compute_t *c, size_t m, size_t n, size_t count, const uint32_t *columns,
                                 const void *x, void *out)
{
    ON(c, lspo_columns_gather(m, n, count, columns, x, out),
       lspo_columns_gather_cuda(c->number, m, n, count, columns, x, out, c->stream));
}

void lspo_compute_columns_scatter(lspo_compute_t *c, size_t m, size_t n, size_t count, const uint32_t *columns,
                                  const void *in, void *x)
{
    ON(c, lspo_columns_scatter(m, n, count, columns, in, x),
       lspo_columns_scatter_cuda(c->number, m, n, count, columns, in, x, c->stream));
}
