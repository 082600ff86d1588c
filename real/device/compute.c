/* compute.c - dispatch to the device, and the kernels on memory, vectors, projectors, Adam's state and columns. */
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

lspo_status_t lspo_compute_create_generation(lspo_workers_t *workers, lspo_compute_t **compute_out)
{
    lspo_compute_t *c = calloc(1, sizeof *c);
    if (c == NULL)
        return lspo_no_memory("the kernels of generation");
    *c = (lspo_compute_t){.generates = true, .workers = workers};
    *compute_out = c;
    return LSPO_OK;
}

bool lspo_compute_generates(const lspo_compute_t *c)
{
    return c->generates;
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
        return lspo_no_memory("a device's kernels");
    *c = (lspo_compute_t){.is_cuda = true, .on = {.stream = stream, .cublas = cublas}};
    int error = lspo_matmul_create_cuda(cublas, &c->on.matmul);
    lspo_status_t status = error == 0 ? LSPO_OK : device_error("no cuBLASLt", error);
    if (status != LSPO_OK)
        goto failed;
    error = lspo_memory_alloc_cuda(LSPO_COLUMN_SUM_FLOATS * sizeof(float), (void **)&c->on.column_sums);
    status = error == 0 ? LSPO_OK : device_error("no device memory for sums of columns", error);
    if (status != LSPO_OK)
        goto failed;
    status = lspo_compute_reserve(c, 1, 1);
    if (status != LSPO_OK)
        goto failed;
    *compute_out = c;
    return LSPO_OK;
failed:
    lspo_compute_destroy(c);
    return status;
}

void lspo_compute_destroy(lspo_compute_t *c)
{
    if (c == NULL || (!c->is_cuda && !c->generates))
        return;
    if (c->is_cuda) {
        lspo_memory_free_cuda(c->scratch);
        lspo_memory_free_cuda(c->on.column_sums);
        lspo_matmul_destroy_cuda(c->on.matmul);
    }
    free(c);
}

lspo_status_t lspo_compute_reserve(lspo_compute_t *c, size_t tokens, size_t heads)
{
    const size_t doubles = tokens > LSPO_SUM_OF_SQUARES_PARTS ? tokens : LSPO_SUM_OF_SQUARES_PARTS;
    const size_t sums = doubles * sizeof(double), dots = tokens * heads * sizeof(float);
    const size_t bytes = sums > dots ? sums : dots;
    void *scratch;
    if (!c->is_cuda || bytes <= c->scratch_bytes)
        return LSPO_OK;
    const int error = lspo_memory_alloc_cuda(bytes, &scratch);
    if (error != 0)
        return device_error("no device memory for scratch of the kernels", error);
    lspo_memory_free_cuda(c->scratch); /* waits for its users */
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
    if (c != NULL && c->generates)
        free(c);
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
    c->on.number = number;
}

lspo_number_t lspo_compute_number(const lspo_compute_t *c)
{
    return c->on.number;
}

lspo_number_t lspo_compute_number_of(lspo_precision_t precision)
{
    static const lspo_number_t numbers[LSPO_PRECISION_COUNT] = {
        [LSPO_FP32] = LSPO_NUMBER_FP32, [LSPO_BF16] = LSPO_NUMBER_BF16, [LSPO_FP16] = LSPO_NUMBER_FP16};
    return numbers[precision];
}

size_t lspo_compute_number_bytes(const lspo_compute_t *c)
{
    return lspo_number_bytes(c->on.number);
}

bool lspo_compute_is_host(const lspo_compute_t *c)
{
    return !c->is_cuda;
}

bool lspo_compute_attention_is_flash(const lspo_compute_t *c)
{
    return c->is_cuda;
}

/* ---- memory ---- */

void lspo_compute_zero(lspo_compute_t *c, size_t bytes, void *out)
{
    LSPO_ON(c, memset(out, 0, bytes), lspo_memory_zero_cuda(bytes, out, c->on.stream));
}

void lspo_compute_copy(lspo_compute_t *c, size_t bytes, const void *in, void *out)
{
    LSPO_ON(c, memcpy(out, in, bytes), lspo_memory_copy_cuda(bytes, in, out, c->on.stream));
}

void lspo_compute_write(lspo_compute_t *c, size_t bytes, const void *in, void *out)
{
    LSPO_ON(c, memcpy(out, in, bytes), lspo_memory_write_cuda(bytes, in, out, c->on.stream));
}

void lspo_compute_convert(lspo_compute_t *c, size_t n, lspo_number_t from, const void *in, lspo_number_t to, void *out)
{
    LSPO_ON(c, lspo_convert(n, from, in, to, out), lspo_convert_cuda(n, from, in, to, out, c->on.stream));
}

/* ---- vector.h ---- */

void lspo_compute_bias_fill(lspo_compute_t *c, size_t rows, size_t cols, const void *bias, void *out)
{
    LSPO_ON(c, lspo_bias_fill(rows, cols, bias, out), lspo_bias_fill_cuda(&c->on, rows, cols, bias, out));
}

void lspo_compute_bias_add(lspo_compute_t *c, size_t rows, size_t cols, const void *x, const void *bias, void *out)
{
    LSPO_ON(c, lspo_bias_add(rows, cols, x, bias, out), lspo_bias_add_cuda(&c->on, rows, cols, x, bias, out));
}

void lspo_compute_column_sum(lspo_compute_t *c, size_t rows, size_t cols, const void *x, bool accumulate, void *out)
{
    LSPO_ON(c, lspo_column_sum(rows, cols, x, accumulate, out),
            lspo_column_sum_cuda(&c->on, rows, cols, x, accumulate, out));
}

void lspo_compute_add(lspo_compute_t *c, size_t n, const void *x, void *sum)
{
    LSPO_ON(c, lspo_vector_add(n, x, sum), lspo_vector_add_cuda(&c->on, n, x, sum));
}

/* A direction that arrived in 16 bits is unpacked piece by piece. */
static void step_along_host(size_t n, const lspo_vector_step_t *step, lspo_number_t format, const void *direction,
                            float *w)
{
    enum { PIECE = 1024 };
    float unpacked[PIECE];
    if (format == LSPO_NUMBER_FP32) {
        lspo_step_along(n, step, direction, w);
        return;
    }
    for (size_t i = 0; i < n; i += PIECE) {
        const size_t some = n - i < PIECE ? n - i : PIECE;
        lspo_convert(some, format, (const uint16_t *)direction + i, LSPO_NUMBER_FP32, unpacked);
        lspo_step_along(some, step, unpacked, w + i);
    }
}

void lspo_compute_step_along(lspo_compute_t *c, size_t n, const lspo_vector_step_t *step, lspo_number_t format,
                             const void *direction, void *w)
{
    LSPO_ON(c, step_along_host(n, step, format, direction, w),
            lspo_step_along_cuda(&c->on, n, step, format, direction, w));
}

void lspo_compute_sum_of_squares(lspo_compute_t *c, size_t n, const void *x, double *sum_out)
{
    LSPO_ON(c, *sum_out = lspo_sum_of_squares(n, x), lspo_sum_of_squares_cuda(&c->on, n, x, c->scratch, sum_out));
}

/* ---- projector.h, sketch.h ---- */

void lspo_compute_projector_gather(lspo_compute_t *c, const lspo_projector_t *p, size_t tokens, const void *x,
                                   size_t x_stride, void *out)
{
    LSPO_ON(c, lspo_projector_gather(p, tokens, x, x_stride, out),
            lspo_projector_gather_cuda(&c->on, p, tokens, x, x_stride, out));
}

void lspo_compute_projector_compress(lspo_compute_t *c, const lspo_projector_pair_t *pair,
                                     const lspo_gradient_factors_t *factors, float beta, void *g_hat, void *scratch)
{
    LSPO_ON(c, lspo_projector_compress(pair, factors, beta, g_hat, scratch),
            lspo_projector_compress_cuda(&c->on, pair, factors, beta, g_hat, scratch));
}

size_t lspo_compute_projector_apply_scratch(const lspo_compute_t *c, const lspo_projector_t *p,
                                            const lspo_projector_t *q)
{
    const size_t copied = (size_t)q->rows * q->r * (sizeof *q->index + sizeof *q->value) / lspo_compute_number_bytes(c);
    const size_t panel = c->is_cuda ? 0 : lspo_projector_apply_scratch(p, q);
    return copied > panel ? copied : panel;
}

void lspo_compute_projector_apply(lspo_compute_t *c, const lspo_projector_pair_t *pair, const float *delta,
                                  const lspo_vector_step_t *step, void *w, void *scratch)
{
    LSPO_ON(c, lspo_projector_apply(pair, delta, step, w, scratch),
            lspo_projector_apply_cuda(&c->on, pair, delta, step, w, scratch));
}

void lspo_compute_sketch_compress(lspo_compute_t *c, const lspo_projector_pair_t *pair,
                                  const lspo_gradient_factors_t *factors, float beta, void *g_hat, void *scratch)
{
    LSPO_ON(c, lspo_sketch_compress(pair, factors, beta, g_hat, scratch),
            lspo_sketch_compress_cuda(&c->on, pair, factors, beta, g_hat, scratch));
}

void lspo_compute_sketch_apply(lspo_compute_t *c, const lspo_projector_pair_t *pair, const float *delta,
                               const lspo_vector_step_t *step, void *w, void *scratch)
{
    LSPO_ON(c, lspo_sketch_apply(pair, delta, step, w, scratch),
            lspo_sketch_apply_cuda(&c->on, pair, delta, step, w, scratch));
}

/* ---- adam.h ---- */

void lspo_compute_adam_parameters(lspo_compute_t *c, const lspo_adam_t *adam, const lspo_adam_state_t *state,
                                  const void *gradient, void *w)
{
    LSPO_ON(c, lspo_adam_parameters(adam, state, gradient, w),
            lspo_adam_parameters_cuda(&c->on, adam, state, gradient, w));
}

void lspo_compute_adam_direction(lspo_compute_t *c, const lspo_adam_t *adam, const lspo_adam_state_t *state,
                                 const void *gradient, void *out)
{
    LSPO_ON(c, lspo_adam_direction(adam, state, gradient, out),
            lspo_adam_direction_cuda(&c->on, adam, state, gradient, out));
}

/* ---- columns.h ---- */

void lspo_compute_columns_split(lspo_compute_t *c, const lspo_columns_t *shape, const void *g, float *scratch,
                                uint32_t *columns_out)
{
    LSPO_ON(c, lspo_columns_split(shape, g, scratch, columns_out),
            lspo_columns_split_cuda(&c->on, shape, g, scratch, columns_out));
}

void lspo_compute_columns_gather(lspo_compute_t *c, const lspo_columns_t *shape, const uint32_t *columns, const void *x,
                                 void *out)
{
    LSPO_ON(c, lspo_columns_gather(shape, columns, x, out), lspo_columns_gather_cuda(&c->on, shape, columns, x, out));
}

void lspo_compute_columns_scatter(lspo_compute_t *c, const lspo_columns_t *shape, const uint32_t *columns,
                                  const void *in, void *x)
{
    LSPO_ON(c, lspo_columns_scatter(shape, columns, in, x), lspo_columns_scatter_cuda(&c->on, shape, columns, in, x));
}

/* ---- keys.h ---- */

void lspo_compute_keys_forward(lspo_compute_t *c, const lspo_keys_t *keys, const void *h, void *y, float *scratch)
{
    LSPO_ON(c, lspo_keys_forward(keys, h, y, scratch), lspo_keys_forward_cuda(&c->on, keys, h, y, scratch));
}

void lspo_compute_keys_backward(lspo_compute_t *c, const lspo_keys_t *keys, const void *h, const void *dy,
                                const lspo_keys_gradients_t *gradients, float *scratch)
{
    LSPO_ON(c, lspo_keys_backward(keys, h, dy, gradients, scratch),
            lspo_keys_backward_cuda(&c->on, keys, h, dy, gradients, scratch));
}

void lspo_compute_keys_route(lspo_compute_t *c, const lspo_route_t *route, const void *g, uint32_t *experts_out,
                             float *gates_out)
{
    LSPO_ON(c, lspo_keys_route(route, g, experts_out, gates_out),
            lspo_keys_route_cuda(&c->on, route, g, experts_out, gates_out));
}
