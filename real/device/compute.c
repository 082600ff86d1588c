#include "real/device/compute.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/columns.h"
#include "kernels/pack.h"
#include "kernels/sketch.h"
#include "kernels/vector.h"
#include "real/device/compute_state.h"

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

lspo_number_t lspo_compute_number_of(lspo_precision_t precision)
{
    static const lspo_number_t numbers[LSPO_PRECISION_COUNT] = {
        [LSPO_FP32] = LSPO_NUMBER_FP32, [LSPO_BF16] = LSPO_NUMBER_BF16, [LSPO_FP16] = LSPO_NUMBER_FP16};
    return numbers[precision];
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
    LSPO_ON(c, memset(out, 0, bytes), lspo_memory_zero_cuda(bytes, out, c->stream));
}

void lspo_compute_copy(lspo_compute_t *c, size_t bytes, const void *in, void *out)
{
    LSPO_ON(c, memcpy(out, in, bytes), lspo_memory_copy_cuda(bytes, in, out, c->stream));
}

void lspo_compute_write(lspo_compute_t *c, size_t bytes, const void *in, void *out)
{
    LSPO_ON(c, memcpy(out, in, bytes), lspo_memory_write_cuda(bytes, in, out, c->stream));
}

void lspo_compute_convert(lspo_compute_t *c, size_t n, lspo_number_t from, const void *in, lspo_number_t to, void *out)
{
    LSPO_ON(c, lspo_convert(n, from, in, to, out), lspo_convert_cuda(n, from, in, to, out, c->stream));
}

/* ---- vector.h ---- */

void lspo_compute_bias_fill(lspo_compute_t *c, size_t rows, size_t cols, const void *bias, void *out)
{
    LSPO_ON(c, lspo_bias_fill(rows, cols, bias, out), lspo_bias_fill_cuda(c->number, rows, cols, bias, out, c->stream));
}

void lspo_compute_bias_add(lspo_compute_t *c, size_t rows, size_t cols, const void *x, const void *bias, void *out)
{
    LSPO_ON(c, lspo_bias_add(rows, cols, x, bias, out),
            lspo_bias_add_cuda(c->number, rows, cols, x, bias, out, c->stream));
}

void lspo_compute_column_sum(lspo_compute_t *c, size_t rows, size_t cols, const void *x, bool accumulate, void *out)
{
    LSPO_ON(c, lspo_column_sum(rows, cols, x, accumulate, out),
            lspo_column_sum_cuda(c->number, rows, cols, x, accumulate, out, c->stream));
}

void lspo_compute_add(lspo_compute_t *c, size_t n, const void *x, void *sum)
{
    LSPO_ON(c, lspo_vector_add(n, x, sum), lspo_vector_add_cuda(c->number, n, x, sum, c->stream));
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
    LSPO_ON(c, step_along_host(n, keep, rate, format, direction, w),
            lspo_step_along_cuda(c->number, n, keep, rate, format, direction, seed, w, c->stream));
}

void lspo_compute_sum_of_squares(lspo_compute_t *c, size_t n, const void *x, double *sum_out)
{
    LSPO_ON(c, *sum_out = lspo_sum_of_squares(n, x),
            lspo_sum_of_squares_cuda(c->number, n, x, c->scratch, sum_out, c->stream));
}

/* ---- projector.h, sketch.h ---- */

void lspo_compute_projector_gather(lspo_compute_t *c, const lspo_projector_t *p, size_t tokens, const void *x,
                                   size_t x_stride, void *out)
{
    LSPO_ON(c, lspo_projector_gather(p, tokens, x, x_stride, out),
            lspo_projector_gather_cuda(c->number, p, tokens, x, x_stride, out, c->stream));
}

void lspo_compute_projector_compress(lspo_compute_t *c, const lspo_projector_t *p, const lspo_projector_t *q,
                                     size_t tokens, const void *x, size_t x_stride, const void *dy, size_t dy_stride,
                                     float beta, void *g_hat, void *scratch)
{
    LSPO_ON(c, lspo_projector_compress(p, q, tokens, x, x_stride, dy, dy_stride, beta, g_hat, scratch),
            lspo_projector_compress_cuda(c->number, p, q, tokens, x, x_stride, dy, dy_stride, beta, g_hat, scratch,
                                         c->cublas, c->stream));
}

void lspo_compute_projector_apply(lspo_compute_t *c, const lspo_projector_t *p, const lspo_projector_t *q,
                                  const float *delta, float eta, float decay, uint64_t seed, void *w, void *scratch)
{
    LSPO_ON(c, lspo_projector_apply(p, q, delta, eta, decay, w, scratch),
            lspo_projector_apply_cuda(c->number, p, q, delta, eta, decay, seed, w, c->stream));
}

void lspo_compute_sketch_compress(lspo_compute_t *c, const lspo_projector_t *p, const lspo_projector_t *q,
                                  size_t tokens, const void *x, size_t x_stride, const void *dy, size_t dy_stride,
                                  float beta, void *g_hat, void *scratch)
{
    LSPO_ON(c, lspo_sketch_compress(p, q, tokens, x, x_stride, dy, dy_stride, beta, g_hat, scratch),
            lspo_sketch_compress_cuda(c->number, p, q, tokens, x, x_stride, dy, dy_stride, beta, g_hat, scratch,
                                      c->cublas, c->stream));
}

void lspo_compute_sketch_apply(lspo_compute_t *c, const lspo_projector_t *p, const lspo_projector_t *q,
                               const float *delta, float eta, float decay, uint64_t seed, void *w, void *scratch)
{
    LSPO_ON(c, lspo_sketch_apply(p, q, delta, eta, decay, w, scratch),
            lspo_sketch_apply_cuda(c->number, p, q, delta, eta, decay, seed, w, scratch, c->cublas, c->stream));
}

/* ---- adam.h ---- */

void lspo_compute_adam_parameters(lspo_compute_t *c, const lspo_adam_t *adam, size_t n, const void *gradient, float *m,
                                  float *v, float *master, void *w)
{
    LSPO_ON(c, lspo_adam_parameters(adam, n, gradient, m, v, w),
            lspo_adam_parameters_cuda(c->number, adam, n, gradient, m, v, master, w, c->stream));
}

void lspo_compute_adam_direction(lspo_compute_t *c, const lspo_adam_t *adam, size_t n, const void *gradient, float *m,
                                 float *v, void *out)
{
    LSPO_ON(c, lspo_adam_direction(adam, n, gradient, m, v, out),
            lspo_adam_direction_cuda(c->number, adam, n, gradient, m, v, out, c->stream));
}

/* ---- columns.h ---- */

void lspo_compute_columns_split(lspo_compute_t *c, size_t m, size_t n, size_t selected, const void *g, float *scratch,
                                uint32_t *columns)
{
    LSPO_ON(c, lspo_columns_split(m, n, selected, g, scratch, columns),
            lspo_columns_split_cuda(c->number, m, n, selected, g, scratch, columns, c->stream));
}

void lspo_compute_columns_gather(lspo_compute_t *c, size_t m, size_t n, size_t count, const uint32_t *columns,
                                 const void *x, void *out)
{
    LSPO_ON(c, lspo_columns_gather(m, n, count, columns, x, out),
            lspo_columns_gather_cuda(c->number, m, n, count, columns, x, out, c->stream));
}

void lspo_compute_columns_scatter(lspo_compute_t *c, size_t m, size_t n, size_t count, const uint32_t *columns,
                                  const void *in, void *x)
{
    LSPO_ON(c, lspo_columns_scatter(m, n, count, columns, in, x),
            lspo_columns_scatter_cuda(c->number, m, n, count, columns, in, x, c->stream));
}
