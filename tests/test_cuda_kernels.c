/* The CUDA kernels without which no policy runs, against the host's: Adam, packing, projectors, products, sums,
 * columns. */
#include "kernels/adapter.h"
#include "kernels/columns.h"
#include "kernels/cuda.h"
#include "kernels/gemm.h"
#include "kernels/lowrank.h"
#include "kernels/pack.h"
#include "kernels/vector.h"
#include "tests/cuda_check.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Around a warp, around a block, more than one block. */
static const size_t sizes[] = {0, 1, 31, 32, 33, 255, 256, 257, 1000, 2561};

/* ---- Adam ---- */

static void check_adam(size_t n, bool parameters)
{
    lspo_adam_t adam = lspo_adam_default(1e-2F, 3);
    adam.weight_decay = 0.1F;
    adam.gradient_scale = 0.5F;
    float *g = random_floats(1, 1, n), *m0 = random_floats(2, 0.1, n), *v0 = random_floats(3, 0.1, n);
    float *w0 = random_floats(4, 1, n);
    for (size_t i = 0; i < n; i++)
        v0[i] = fabsf(v0[i]);
    float *m = copy_floats(m0, n), *v = copy_floats(v0, n), *w = copy_floats(w0, n);
    (parameters ? lspo_adam_parameters : lspo_adam_direction)(&adam, n, g, m, v, w);
    for (order_t order = {0}; next_order(&order);) {
        float *dg = device_floats(g, n), *dm = device_floats(m0, n), *dv = device_floats(v0, n);
        float *dw = parameters ? device_floats(w0, n) : empty_floats(n);
        DEVICE_OK(parameters ? lspo_adam_parameters_cuda(LSPO_NUMBER_FP32, &adam, n, dg, dm, dv, NULL, dw, NULL)
                             : lspo_adam_direction_cuda(LSPO_NUMBER_FP32, &adam, n, dg, dm, dv, dw, NULL));
        expect_close(&order, "m", dm, m, n, 1e-8, 1e-6);
        expect_close(&order, "v", dv, v, n, 1e-8, 1e-6);
        expect_close(&order, parameters ? "w" : "direction", dw, w, n, 1e-7, 2e-6);
    }
    free(g), free(m0), free(v0), free(w0), free(m), free(v), free(w);
}

Test(cuda_kernels, adam)
{
    for (size_t i = 0; i < COUNT(sizes); i++) {
        check_adam(sizes[i], true);
        check_adam(sizes[i], false);
    }
}

Test(cuda_kernels, adam_keeps_within_the_grid)
{
    check_adam(256 * 300 + 5, true);
}

/* Gradients of 0 and of an overflowing square. */
Test(cuda_kernels, adam_survives_extremes)
{
    const lspo_adam_t adam = lspo_adam_default(1e-3F, 1);
    const float g[] = {0, 1e-30F, 1e25F, -1e25F, 3e38F}, zero[5] = {0};
    float m[5] = {0}, v[5] = {0}, out[5];
    lspo_adam_direction(&adam, 5, g, m, v, out);
    for (order_t order = {0}; next_order(&order);) {
        float *dm = device_floats(zero, 5), *dv = device_floats(zero, 5), *d = device_floats(g, 5);
        DEVICE_OK(lspo_adam_direction_cuda(LSPO_NUMBER_FP32, &adam, 5, d, dm, dv, d, NULL)); /* out may be gradient */
        expect_close(&order, "direction", d, out, 5, 1e-6, 1e-5);
        expect_close(&order, "m", dm, m, 5, 0, 1e-6);
    }
}

/* ---- packing: every half, and floats near every rounding boundary ---- */

enum { HALVES = 1 << 16 };

typedef struct {
    void (*pack)(size_t n, const float *in, uint16_t *out);
    void (*unpack)(size_t n, const uint16_t *in, float *out);
    lspo_number_t number;
    unsigned dropped_bits; /* of a float's mantissa */
} format_t;

static const format_t formats[] = {{lspo_pack_bf16, lspo_unpack_bf16, LSPO_NUMBER_BF16, 16},
                                   {lspo_pack_fp16, lspo_unpack_fp16, LSPO_NUMBER_FP16, 13}};

static void check_unpack(const format_t *format)
{
    uint16_t *halves = malloc(HALVES * sizeof *halves);
    float *values = floats(HALVES);
    for (uint32_t i = 0; i < HALVES; i++)
        halves[i] = (uint16_t)i;
    format->unpack(HALVES, halves, values);
    for (order_t order = {0}; next_order(&order);) {
        uint16_t *in = device_copy(halves, HALVES * sizeof *halves);
        float *out = empty_floats(HALVES);
        DEVICE_OK(lspo_convert_cuda(HALVES, format->number, in, LSPO_NUMBER_FP32, out, NULL));
        expect_bits(&order, "unpacked", out, values, HALVES * sizeof *values);
    }
    free(halves), free(values);
}

/* Each exponent and sign with mantissas at, just below and just above what is dropped and half of it, and random ones:
 * infinities, NaN and denormals among them. */
static size_t fill_edges(const format_t *format, uint32_t *bits)
{
    const uint32_t unit = 1U << format->dropped_bits;
    const uint32_t mantissas[] = {0,
                                  1,
                                  unit / 2 - 1,
                                  unit / 2,
                                  unit / 2 + 1,
                                  unit - 1,
                                  unit,
                                  unit + 1,
                                  unit + unit / 2 - 1,
                                  unit * 3 / 2,
                                  unit * 3 / 2 + 1,
                                  0x7fffff,
                                  0x400000,
                                  0x7fffff - unit / 2,
                                  0x7fffff - unit};
    size_t n = 0;
    for (uint32_t head = 0; head < 512; head++)
        for (size_t i = 0; i < COUNT(mantissas); i++)
            bits[n++] = head << 23 | mantissas[i];
    for (uint32_t i = 0; i < 20000; i++, n++)
        bits[n] = lspo_random_below(5, 5, i, UINT32_MAX);
    return n;
}

static void check_pack(const format_t *format)
{
    uint32_t *bits = malloc(64 * 1024 * sizeof *bits);
    const size_t n = fill_edges(format, bits);
    float *values = floats(n);
    uint16_t *halves = malloc(n * sizeof *halves);
    memcpy(values, bits, n * sizeof *values);
    format->pack(n, values, halves);
    for (order_t order = {0}; next_order(&order);) {
        float *in = device_floats(values, n);
        uint16_t *out = device_array(n * sizeof *out);
        DEVICE_OK(lspo_convert_cuda(n, LSPO_NUMBER_FP32, in, format->number, out, NULL));
        expect_bits(&order, "packed", out, halves, n * sizeof *halves);
    }
    free(bits), free(values), free(halves);
}

Test(cuda_kernels, packing_gives_the_hosts_bits)
{
    for (size_t i = 0; i < COUNT(formats); i++) {
        check_unpack(&formats[i]);
        check_pack(&formats[i]);
    }
    DEVICE_OK(lspo_convert_cuda(0, LSPO_NUMBER_FP32, NULL, LSPO_NUMBER_BF16, NULL, NULL));
}

/* ---- projectors ---- */

static void *on_device(const void *host, size_t bytes)
{
    return device_copy(host, bytes);
}

/* The arrays on the device, the struct on the host. */
static lspo_projector_t projector_on_device(const lspo_projector_t *p)
{
    const size_t entries = (size_t)p->rows * p->r;
    lspo_projector_t copy = *p;
    copy.index = on_device(p->index, entries * sizeof *p->index);
    copy.value = on_device(p->value, entries * sizeof *p->value);
    copy.column_first = on_device(p->column_first, (p->d + 1) * sizeof *p->column_first);
    copy.column_row = on_device(p->column_row, entries * sizeof *p->column_row);
    copy.column_value = on_device(p->column_value, entries * sizeof *p->column_value);
    return copy;
}

typedef struct {
    uint32_t m, n, d_m, d_n, r;
    size_t tokens;
} shape_t;

/* One element; less than a tile each way; rows around gather's chunk of 256; columns around 64; panels of every height
 * (16 rows up to d 768, 8 to 1536, 4 to 3072, 2 to 6144, 1 to 12288); columns split where rows are few. */
static const shape_t shapes[] = {{1, 1, 1, 1, 1, 1},        {5, 7, 3, 4, 2, 3},        {33, 31, 31, 33, 3, 31},
                                 {256, 255, 64, 65, 4, 32}, {257, 300, 63, 64, 2, 33}, {513, 100, 130, 40, 5, 65},
                                 {17, 1100, 9, 300, 4, 16}, {40, 900, 20, 800, 4, 8},  {9, 1700, 7, 1600, 3, 5},
                                 {5, 3200, 5, 3100, 2, 3},  {3, 6300, 3, 6200, 2, 2},  {3, 12288, 3, 12288, 1, 1},
                                 {64, 64, 32, 32, 32, 64}};

static void make_projectors(const shape_t *s, lspo_projector_t *p, lspo_projector_t *q)
{
    const uint32_t r_p = s->r < s->d_m ? s->r : s->d_m, r_q = s->r < s->d_n ? s->r : s->d_n;
    cr_assert(lspo_projector_random(s->m, s->d_m, r_p, 1, p));
    cr_assert(lspo_projector_random(s->n, s->d_n, r_q, 2, q));
}

static void check_compress(const shape_t *s, float beta)
{
    lspo_projector_t p, q;
    make_projectors(s, &p, &q);
    const size_t t = s->tokens, x_stride = s->m + 3, dy_stride = s->n + 1, g_n = (size_t)s->d_m * s->d_n;
    float *x = random_floats(1, 1, t * x_stride), *dy = random_floats(2, 1, t * dy_stride);
    float *gathered = floats(t * s->d_m), *g0 = random_floats(3, 1, g_n), *g = copy_floats(g0, g_n);
    float *scratch = floats(lspo_projector_compress_scratch(&p, &q, t));
    lspo_projector_gather(&p, t, x, x_stride, gathered);
    lspo_projector_compress(&p, &q, t, x, x_stride, dy, dy_stride, beta, g, scratch);
    const double atol = 4e-6 * sqrt((double)t * s->m * s->n / (double)g_n + 1);
    for (order_t order = {0}; next_order(&order);) {
        lspo_projector_t dp = projector_on_device(&p), dq = projector_on_device(&q);
        float *dx = device_floats(x, t * x_stride), *ddy = device_floats(dy, t * dy_stride);
        float *dg = beta == 0 ? empty_floats(g_n) : device_floats(g0, g_n), *out = empty_floats(t * s->d_m);
        float *dscratch = empty_floats(t * ((size_t)s->d_m + s->d_n));
        DEVICE_OK(lspo_projector_gather_cuda(LSPO_NUMBER_FP32, &dp, t, dx, x_stride, out, NULL));
        expect_close(&order, "x P", out, gathered, t * s->d_m, 4e-6 * sqrt(s->m / (double)s->d_m), 4e-6);
        DEVICE_OK(lspo_projector_compress_cuda(LSPO_NUMBER_FP32, &dp, &dq, t, dx, x_stride, ddy, dy_stride, beta, dg,
                                               dscratch, device_cublas(), NULL));
        expect_close(&order, "g_hat", dg, g, g_n, atol, 1e-5);
    }
    free(x), free(dy), free(gathered), free(g0), free(g), free(scratch);
    lspo_projector_release(&p), lspo_projector_release(&q);
}

Test(cuda_kernels, compress)
{
    for (size_t i = 0; i < COUNT(shapes); i++)
        if (shapes[i].d_n < 2000)
            check_compress(&shapes[i], i % 2 ? 1.0F : 0.0F);
}

static void check_apply(const shape_t *s)
{
    lspo_projector_t p, q;
    make_projectors(s, &p, &q);
    const size_t n = (size_t)s->m * s->n, d = (size_t)s->d_m * s->d_n;
    float *delta = random_floats(1, 1, d), *w0 = random_floats(2, 1, n), *w = copy_floats(w0, n);
    float *scratch = floats(lspo_projector_apply_scratch(&p, &q));
    lspo_projector_apply(&p, &q, delta, 0.1F, 0.01F, w, scratch);
    for (order_t order = {0}; next_order(&order);) {
        lspo_projector_t dp = projector_on_device(&p), dq = projector_on_device(&q);
        float *ddelta = device_floats(delta, d), *dw = device_floats(w0, n);
        DEVICE_OK(lspo_projector_apply_cuda(LSPO_NUMBER_FP32, &dp, &dq, ddelta, 0.1F, 0.01F, 0, dw, NULL));
        expect_close(&order, "w", dw, w, n, 1e-6, 1e-6);
    }
    free(delta), free(w0), free(w), free(scratch);
    lspo_projector_release(&p), lspo_projector_release(&q);
}

Test(cuda_kernels, apply)
{
    for (size_t i = 0; i < COUNT(shapes); i++)
        check_apply(&shapes[i]);
}

Test(cuda_kernels, apply_refuses_panels_that_do_not_fit)
{
    lspo_projector_t p, q;
    cr_assert(lspo_projector_random(1, 1, 1, 1, &p));
    cr_assert(lspo_projector_random(12289, 12289, 1, 2, &q));
    cr_assert_not_null(
        device_complaint(lspo_projector_apply_cuda(LSPO_NUMBER_FP32, &p, &q, NULL, 1, 0, 0, NULL, NULL)));
    lspo_projector_release(&p), lspo_projector_release(&q);
}

/* ---- products ---- */

typedef void (*gemm_t)(size_t m, size_t n, size_t k, float alpha, const float *a, size_t a_stride, const float *b,
                       size_t b_stride, float beta, float *c, size_t c_stride);
typedef int (*gemm_cuda_t)(lspo_number_t number, size_t m, size_t n, size_t k, float alpha, const void *a,
                           size_t a_stride, const void *b, size_t b_stride, float beta, void *c, size_t c_stride,
                           void *cublas, void *stream);

static void check_gemm(gemm_t host, gemm_cuda_t cuda, size_t a_rows, size_t a_cols, size_t b_rows, size_t b_cols)
{
    enum { M = 5, N = 7, K = 3, C_STRIDE = N + 2 };
    const size_t a_n = a_rows * (a_cols + 1), b_n = b_rows * (b_cols + 4), c_n = M * C_STRIDE;
    float *a = random_floats(1, 1, a_n), *b = random_floats(2, 1, b_n), *c0 = random_floats(3, 1, c_n);
    float *c = copy_floats(c0, c_n);
    host(M, N, K, 0.5F, a, a_cols + 1, b, b_cols + 4, 2, c, C_STRIDE);
    for (order_t order = {0}; next_order(&order);) {
        float *dc = device_floats(c0, c_n);
        DEVICE_OK(cuda(LSPO_NUMBER_FP32, M, N, K, 0.5F, device_floats(a, a_n), a_cols + 1, device_floats(b, b_n),
                       b_cols + 4, 2, dc, C_STRIDE, device_cublas(), NULL));
        expect_close(&order, "c", dc, c, c_n, 1e-6, 1e-6);
    }
    free(a), free(b), free(c0), free(c);
}

Test(cuda_kernels, products_are_row_major)
{
    check_gemm(lspo_gemm_nn, lspo_gemm_nn_cuda, 5, 3, 3, 7);
    check_gemm(lspo_gemm_nt, lspo_gemm_nt_cuda, 5, 3, 7, 3);
    check_gemm(lspo_gemm_tn, lspo_gemm_tn_cuda, 3, 5, 3, 7);
}

static void check_adapter(bool accumulate, bool parameters)
{
    enum { T = 9, M = 6, N = 11, R = 2 };
    float *x = random_floats(1, 1, T * M), *a = random_floats(2, 1, M * R), *b = random_floats(3, 1, N * R);
    float *y0 = random_floats(4, 1, T * N), *y = copy_floats(y0, T * N), *dy = random_floats(5, 1, T * N);
    float *da0 = random_floats(6, 1, M * R), *da = copy_floats(da0, M * R);
    float *db0 = random_floats(7, 1, N * R), *db = copy_floats(db0, N * R);
    float *dx0 = random_floats(8, 1, T * M), *dx = copy_floats(dx0, T * M), scratch[2 * T * R];
    lspo_adapter_forward(T, M, N, R, 0.5F, x, a, b, y, scratch);
    lspo_adapter_backward(T, M, N, R, 0.5F, x, dy, a, b, accumulate, parameters ? da : NULL, parameters ? db : NULL, dx,
                          scratch);
    for (order_t order = {0}; next_order(&order);) {
        float *x_ = device_floats(x, T * M), *a_ = device_floats(a, M * R), *b_ = device_floats(b, N * R);
        float *y_ = device_floats(y0, T * N), *dy_ = device_floats(dy, T * N), *dx_ = device_floats(dx0, T * M);
        float *da_ = device_floats(da0, M * R), *db_ = device_floats(db0, N * R), *s_ = empty_floats(2 * T * R);
        DEVICE_OK(
            lspo_adapter_forward_cuda(LSPO_NUMBER_FP32, T, M, N, R, 0.5F, x_, a_, b_, y_, s_, device_cublas(), NULL));
        DEVICE_OK(lspo_adapter_backward_cuda(LSPO_NUMBER_FP32, T, M, N, R, 0.5F, x_, dy_, a_, b_, accumulate,
                                             parameters ? da_ : NULL, parameters ? db_ : NULL, dx_, s_, device_cublas(),
                                             NULL));
        expect_close(&order, "y", y_, y, T * N, 1e-6, 1e-6);
        expect_close(&order, "da", da_, da, M * R, 1e-5, 1e-5);
        expect_close(&order, "db", db_, db, N * R, 1e-5, 1e-5);
        expect_close(&order, "dx", dx_, dx, T * M, 1e-5, 1e-5);
    }
    free(x), free(a), free(b), free(y0), free(y), free(dy), free(da0), free(da), free(db0), free(db), free(dx0),
        free(dx);
}

Test(cuda_kernels, adapters)
{
    check_adapter(false, true);
    check_adapter(true, true);
    check_adapter(false, false);
}

static void check_lowrank(size_t m, size_t n)
{
    enum { R = 3 };
    const size_t shorter = m < n ? m : n, longer = m < n ? n : m;
    float *g = random_floats(1, 1, m * n), *basis = random_floats(2, 1, shorter * R);
    float *r0 = random_floats(3, 1, longer * R), *r = copy_floats(r0, longer * R);
    float *w0 = random_floats(4, 1, m * n), *w = copy_floats(w0, m * n);
    lspo_lowrank_compress(m, n, R, g, basis, 1, r);
    lspo_lowrank_apply(m, n, R, basis, r, 0.1F, w);
    for (order_t order = {0}; next_order(&order);) {
        float *basis_ = device_floats(basis, shorter * R), *r_ = device_floats(r0, longer * R);
        float *w_ = device_floats(w0, m * n);
        DEVICE_OK(lspo_lowrank_compress_cuda(LSPO_NUMBER_FP32, m, n, R, device_floats(g, m * n), basis_, 1, r_,
                                             device_cublas(), NULL));
        DEVICE_OK(lspo_lowrank_apply_cuda(LSPO_NUMBER_FP32, m, n, R, basis_, r_, 0.1F, w_, device_cublas(), NULL));
        expect_close(&order, "r", r_, r, longer * R, 1e-5, 1e-5);
        expect_close(&order, "w", w_, w, m * n, 1e-5, 1e-5);
    }
    free(g), free(basis), free(r0), free(r), free(w0), free(w);
}

Test(cuda_kernels, lowrank)
{
    check_lowrank(7, 12);
    check_lowrank(12, 7);
}

/* ---- vectors, sums, columns ---- */

static void check_vectors(size_t rows, size_t cols)
{
    const size_t n = rows * cols;
    float *x = random_floats(1, 1, n), *bias = random_floats(2, 1, cols), *filled = floats(n), *added = floats(n);
    float *sums0 = random_floats(3, 1, cols), *sums = copy_floats(sums0, cols), *more = copy_floats(sums0, cols);
    lspo_bias_fill(rows, cols, bias, filled);
    lspo_bias_add(rows, cols, x, bias, added);
    lspo_column_sum(rows, cols, x, false, sums);
    lspo_column_sum(rows, cols, x, true, more);
    const double atol = 1e-6 * sqrt((double)rows) * 4;
    for (order_t order = {0}; next_order(&order);) {
        float *x_ = device_floats(x, n), *bias_ = device_floats(bias, cols), *filled_ = empty_floats(n);
        float *sums_ = empty_floats(cols), *more_ = device_floats(sums0, cols);
        DEVICE_OK(lspo_bias_fill_cuda(LSPO_NUMBER_FP32, rows, cols, bias_, filled_, NULL));
        expect_bits(&order, "filled", filled_, filled, n * sizeof(float));
        DEVICE_OK(lspo_column_sum_cuda(LSPO_NUMBER_FP32, rows, cols, x_, false, sums_, NULL));
        expect_close(&order, "sums", sums_, sums, cols, atol, 1e-6);
        DEVICE_OK(lspo_column_sum_cuda(LSPO_NUMBER_FP32, rows, cols, x_, true, more_, NULL));
        expect_close(&order, "more", more_, more, cols, atol, 1e-6);
        DEVICE_OK(lspo_bias_add_cuda(LSPO_NUMBER_FP32, rows, cols, x_, bias_, x_, NULL));
        expect_bits(&order, "added", x_, added, n * sizeof(float));
        DEVICE_OK(lspo_vector_add_cuda(LSPO_NUMBER_FP32, n, filled_, x_, NULL));
        for (size_t i = 0; i < n; i++)
            filled[i] += added[i];
        expect_bits(&order, "residual", x_, filled, n * sizeof(float));
        lspo_bias_fill(rows, cols, bias, filled);
    }
    free(x), free(bias), free(filled), free(added), free(sums0), free(sums), free(more);
}

Test(cuda_kernels, vectors)
{
    static const size_t rows[] = {0, 1, 7, 8, 9, 100}, cols[] = {1, 31, 32, 33, 100};
    for (size_t i = 0; i < COUNT(rows); i++)
        for (size_t j = 0; j < COUNT(cols); j++)
            check_vectors(rows[i], cols[j]);
    DEVICE_OK(lspo_column_sum_cuda(LSPO_NUMBER_FP32, 3, 0, NULL, false, NULL, NULL));
}

static void check_sum_of_squares(size_t n)
{
    float *x = random_floats(1, 1, n);
    double want = 0, got;
    for (size_t i = 0; i < n; i++)
        want += (double)x[i] * (double)x[i];
    for (order_t order = {0}; next_order(&order);) {
        double *parts = device_array(LSPO_SUM_OF_SQUARES_PARTS * sizeof *parts), *sum = device_array(sizeof *sum);
        DEVICE_OK(lspo_sum_of_squares_cuda(LSPO_NUMBER_FP32, n, device_floats(x, n), parts, sum, NULL));
        device_read(sum, sizeof got, &got);
        add_to_hash(&order, &got, sizeof got);
        cr_assert(fabs(got - want) <= 1e-12 * want, "%zu squares are %.17g, not %.17g", n, got, want);
    }
    free(x);
}

Test(cuda_kernels, sum_of_squares)
{
    for (size_t i = 0; i < COUNT(sizes); i++)
        check_sum_of_squares(sizes[i]);
    check_sum_of_squares(256 * LSPO_SUM_OF_SQUARES_PARTS + 300); /* more than a block's worth for each part */
}

static void check_columns(size_t m, size_t n, size_t selected)
{
    float *x = random_floats(1, 1, m * n), *part = floats(m * n), *back0 = random_floats(2, 1, m * n);
    float *back = copy_floats(back0, m * n), *scratch = floats(2 * n);
    uint32_t *columns = malloc(n * sizeof *columns);
    lspo_columns_split(m, n, selected, x, scratch, columns);
    lspo_columns_gather(m, n, selected, columns, x, part);
    lspo_columns_scatter(m, n, n - selected, columns + selected, x, back);
    for (order_t order = {0}; next_order(&order);) {
        uint32_t *columns_ = device_copy(columns, n * sizeof *columns);
        float *x_ = device_floats(x, m * n), *part_ = empty_floats(m * selected), *back_ = device_floats(back0, m * n);
        DEVICE_OK(lspo_columns_gather_cuda(LSPO_NUMBER_FP32, m, n, selected, columns_, x_, part_, NULL));
        expect_bits(&order, "gathered", part_, part, m * selected * sizeof(float));
        DEVICE_OK(
            lspo_columns_scatter_cuda(LSPO_NUMBER_FP32, m, n, n - selected, columns_ + selected, x_, back_, NULL));
        expect_bits(&order, "scattered", back_, back, m * n * sizeof(float));
    }
    free(x), free(part), free(back0), free(back), free(scratch), free(columns);
}

Test(cuda_kernels, columns)
{
    check_columns(1, 1, 1);
    check_columns(5, 9, 0);
    check_columns(33, 31, 4);
    check_columns(17, 100, 99);
}

/* Whole numbers, whose sums are exact in any order, with ties and, where wanted, a NaN. */
static void check_split(size_t m, size_t n, size_t selected, bool with_nan)
{
    uint32_t *numbers = random_numbers(1, 5, m * n), *columns = malloc(n * sizeof *columns);
    float *g = floats(m * n), *scratch = floats(2 * n);
    for (size_t i = 0; i < m * n; i++)
        g[i] = (float)numbers[i] - 2;
    if (with_nan)
        g[(m - 1) * n + n / 2] = g[n - 1] = NAN;
    lspo_columns_split(m, n, selected, g, scratch, columns);
    for (order_t order = {0}; next_order(&order);) {
        uint32_t *columns_ = device_array(n * sizeof *columns_);
        DEVICE_OK(lspo_columns_split_cuda(LSPO_NUMBER_FP32, m, n, selected, device_floats(g, m * n),
                                          empty_floats(2 * n), columns_, NULL));
        expect_bits(&order, "split", columns_, columns, n * sizeof *columns);
    }
    free(numbers), free(columns), free(g), free(scratch);
}

Test(cuda_kernels, columns_are_split_as_on_the_host)
{
    check_split(1, 1, 1, false);
    check_split(3, 40, 0, false);
    check_split(3, 40, 40, true);
    check_split(17, 33, 10, true);
    check_split(50, 600, 77, false);
}
