/* The CUDA kernels without which no policy runs, against the host's: Adam, projectors, products, sums,
 * columns. */
#include "kernels/adapter.h"
#include "kernels/columns.h"
#include "kernels/cuda.h"
#include "kernels/gemm.h"
#include "kernels/lowrank.h"
#include "kernels/vector.h"
#include "tests/cuda_numbers.h"

/* Around a warp, around a block, more than one block. */
static const size_t sizes[] = {0, 1, 31, 32, 33, 255, 256, 257, 1000, 2561};

/* ---- Adam ---- */

static lspo_adam_t adam_settings(void)
{
    lspo_adam_t adam = lspo_adam_default(1e-2F, 3);
    adam.weight_decay = 0.1F;
    adam.gradient_scale = 0.5F;
    return adam;
}

typedef struct {
    float *g, *m0, *v0, *w0; /* inputs */
    float *m, *v, *out;
} adam_case_t;

static adam_case_t make_adam(lspo_number_t number, size_t n)
{
    adam_case_t c = {.g = random_numbers_of(number, 1, 1, n),
                     .m0 = random_floats(2, 0.1, n),
                     .v0 = random_floats(3, 0.1, n),
                     .w0 = random_floats(4, 1, n)};
    for (size_t i = 0; i < n; i++)
        c.v0[i] = fabsf(c.v0[i]);
    c.m = copy_floats(c.m0, n);
    c.v = copy_floats(c.v0, n);
    c.out = copy_floats(c.w0, n);
    return c;
}

static void release_adam(const adam_case_t *c)
{
    free(c->g), free(c->m0), free(c->v0), free(c->w0), free(c->m), free(c->v), free(c->out);
}

/* In 16 bits the master makes the host's step and the weights are its rounding, bit by bit. */
static void check_adam_parameters(lspo_number_t number, size_t n)
{
    const lspo_adam_t adam = adam_settings();
    const adam_case_t c = make_adam(number, n);
    const bool has_master = number != LSPO_NUMBER_FP32;
    float *got = floats(n);
    lspo_adam_parameters(&adam, n, c.g, c.m, c.v, c.out);
    for (order_t order = {0}; next_order(&order);) {
        float *m = device_floats(c.m0, n), *v = device_floats(c.v0, n), *weights = device_floats(c.w0, n);
        void *w = has_master ? empty_numbers(number, n) : weights;
        DEVICE_OK(lspo_adam_parameters_cuda(number, &adam, n, device_numbers(number, c.g, n), m, v,
                                            has_master ? weights : NULL, w, NULL));
        expect_close(&order, "m", m, c.m, n, 1e-8, 1e-6);
        expect_close(&order, "v", v, c.v, n, 1e-8, 1e-6);
        expect_close(&order, "weights", weights, c.out, n, 1e-7, 2e-6);
        device_read(weights, n * sizeof *got, got);
        expect_rounded(&order, number, "w", w, got, n);
    }
    free(got);
    release_adam(&c);
}

static void check_adam_direction(lspo_number_t number, size_t n)
{
    const lspo_adam_t adam = adam_settings();
    const adam_case_t c = make_adam(number, n);
    lspo_adam_direction(&adam, n, c.g, c.m, c.v, c.out);
    for (order_t order = {0}; next_order(&order);) {
        float *m = device_floats(c.m0, n), *v = device_floats(c.v0, n);
        void *g = device_numbers(number, c.g, n), *out = empty_numbers(number, n);
        DEVICE_OK(lspo_adam_direction_cuda(number, &adam, n, g, m, v, out, NULL));
        expect_close(&order, "m", m, c.m, n, 1e-8, 1e-6);
        expect_close(&order, "v", v, c.v, n, 1e-8, 1e-6);
        expect_numbers(&order, number, "direction", out, c.out, n, 1e-3, 1e-7, 2e-6);
    }
    release_adam(&c);
}

Test(cuda_kernels, adam)
{
    for (size_t k = 0; k < COUNT(all_numbers); k++) {
        for (size_t i = 0; i < COUNT(sizes); i++) {
            check_adam_parameters(all_numbers[k], sizes[i]);
            check_adam_direction(all_numbers[k], sizes[i]);
        }
        check_adam_parameters(all_numbers[k], 256 * 300 + 5); /* more than a thread an element */
    }
}

Test(cuda_kernels, adam_has_a_master_in_16_bits_alone)
{
    const lspo_adam_t adam = lspo_adam_default(1e-3F, 1);
    float x;
    cr_assert_not_null(
        device_complaint(lspo_adam_parameters_cuda(LSPO_NUMBER_FP32, &adam, 0, NULL, NULL, NULL, &x, NULL, NULL)));
    cr_assert_not_null(
        device_complaint(lspo_adam_parameters_cuda(LSPO_NUMBER_BF16, &adam, 0, NULL, NULL, NULL, NULL, NULL, NULL)));
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

typedef struct {
    size_t rows, cols, shift; /* numbers by which arrays begin beyond a multiple of 16 bytes */
} vectors_t;

static char *shifted(lspo_number_t number, const float *x, size_t n, size_t shift)
{
    const size_t bytes = lspo_number_bytes(number);
    float *padded = calloc(n + shift + 1, sizeof *padded);
    cr_assert_not_null(padded);
    memcpy(padded + shift, x, n * sizeof *x);
    char *device = device_numbers(number, padded, n + shift);
    free(padded);
    return device + shift * bytes;
}

static void check_vectors(lspo_number_t number, const vectors_t *c)
{
    const size_t rows = c->rows, cols = c->cols, n = rows * cols;
    float *x = random_numbers_of(number, 1, 1, n), *bias = random_numbers_of(number, 2, 1, cols);
    float *filled = floats(n), *added = floats(n), *doubled = copy_floats(x, n);
    float *sums0 = random_numbers_of(number, 3, 1, cols), *sums = copy_floats(sums0, cols);
    float *more = copy_floats(sums0, cols);
    lspo_bias_fill(rows, cols, bias, filled);
    lspo_bias_add(rows, cols, x, bias, added);
    lspo_vector_add(n, filled, doubled);
    lspo_column_sum(rows, cols, x, false, sums);
    lspo_column_sum(rows, cols, x, true, more);
    const double atol = 1e-6 * sqrt((double)rows) * 4;
    for (order_t order = {0}; next_order(&order);) {
        void *x_ = shifted(number, x, n, c->shift), *bias_ = shifted(number, bias, cols, c->shift);
        void *filled_ = shifted(number, x, n, c->shift), *sums_ = empty_numbers(number, cols);
        void *more_ = device_numbers(number, sums0, cols), *sum_ = shifted(number, x, n, c->shift);
        DEVICE_OK(lspo_bias_fill_cuda(number, rows, cols, bias_, filled_, NULL));
        expect_rounded(&order, number, "filled", filled_, filled, n);
        DEVICE_OK(lspo_column_sum_cuda(number, rows, cols, x_, false, sums_, NULL));
        expect_numbers(&order, number, "sums", sums_, sums, cols, 1e-2, atol, 1e-6);
        DEVICE_OK(lspo_column_sum_cuda(number, rows, cols, x_, true, more_, NULL));
        expect_numbers(&order, number, "more", more_, more, cols, 1e-2, atol, 1e-6);
        DEVICE_OK(lspo_vector_add_cuda(number, n, filled_, sum_, NULL));
        expect_rounded(&order, number, "sum", sum_, doubled, n);
        DEVICE_OK(lspo_bias_add_cuda(number, rows, cols, x_, bias_, x_, NULL));
        expect_rounded(&order, number, "added", x_, added, n);
    }
    free(x), free(bias), free(filled), free(added), free(doubled), free(sums0), free(sums), free(more);
}

/* Columns of whole groups of 16 bytes and others, which nothing may move 16 bytes at a time. */
Test(cuda_kernels, vectors)
{
    static const size_t rows[] = {0, 1, 7, 31, 33, 100}, cols[] = {1, 31, 32, 33, 104};
    for (size_t k = 0; k < COUNT(all_numbers); k++) {
        for (size_t i = 0; i < COUNT(rows); i++)
            for (size_t j = 0; j < COUNT(cols); j++)
                check_vectors(all_numbers[k], &(vectors_t){rows[i], cols[j], i % 2 ? 3 : 0});
        DEVICE_OK(lspo_column_sum_cuda(all_numbers[k], 3, 0, NULL, false, NULL, NULL));
    }
}

static void check_sum_of_squares(lspo_number_t number, size_t n)
{
    float *x = random_numbers_of(number, 1, 1, n);
    double got;
    const double want = lspo_sum_of_squares(n, x);
    for (order_t order = {0}; next_order(&order);) {
        double *parts = device_array(LSPO_SUM_OF_SQUARES_PARTS * sizeof *parts), *sum = device_array(sizeof *sum);
        DEVICE_OK(lspo_sum_of_squares_cuda(number, n, shifted(number, x, n, n % 2), parts, sum, NULL));
        device_read(sum, sizeof got, &got);
        add_to_hash(&order, &got, sizeof got);
        cr_assert(fabs(got - want) <= 1e-12 * want, "%zu squares are %.17g, not %.17g", n, got, want);
    }
    free(x);
}

Test(cuda_kernels, sum_of_squares)
{
    for (size_t k = 0; k < COUNT(all_numbers); k++) {
        for (size_t i = 0; i < COUNT(sizes); i++)
            check_sum_of_squares(all_numbers[k], sizes[i]);
        /* More than a block's worth for each part. */
        check_sum_of_squares(all_numbers[k], 256 * LSPO_SUM_OF_SQUARES_PARTS + 300);
    }
}

static void check_columns(lspo_number_t number, size_t m, size_t n, size_t selected)
{
    float *x = random_numbers_of(number, 1, 1, m * n), *part = floats(m * n);
    float *back0 = random_numbers_of(number, 2, 1, m * n), *back = copy_floats(back0, m * n), *scratch = floats(2 * n);
    uint32_t *columns = malloc(n * sizeof *columns);
    lspo_columns_split(m, n, selected, x, scratch, columns);
    lspo_columns_gather(m, n, selected, columns, x, part);
    lspo_columns_scatter(m, n, n - selected, columns + selected, x, back);
    for (order_t order = {0}; next_order(&order);) {
        uint32_t *columns_ = device_copy(columns, n * sizeof *columns);
        void *x_ = device_numbers(number, x, m * n), *part_ = empty_numbers(number, m * selected);
        void *back_ = device_numbers(number, back0, m * n);
        DEVICE_OK(lspo_columns_gather_cuda(number, m, n, selected, columns_, x_, part_, NULL));
        expect_rounded(&order, number, "gathered", part_, part, m * selected);
        DEVICE_OK(lspo_columns_scatter_cuda(number, m, n, n - selected, columns_ + selected, x_, back_, NULL));
        expect_rounded(&order, number, "scattered", back_, back, m * n);
    }
    free(x), free(part), free(back0), free(back), free(scratch), free(columns);
}

Test(cuda_kernels, columns)
{
    for (size_t k = 0; k < COUNT(all_numbers); k++) {
        check_columns(all_numbers[k], 1, 1, 1);
        check_columns(all_numbers[k], 5, 9, 0);
        check_columns(all_numbers[k], 33, 31, 4);
        check_columns(all_numbers[k], 17, 100, 99);
    }
}

/* Whole numbers, whose sums are exact in any order, with ties and, where wanted, a NaN. */
static void check_split(lspo_number_t number, size_t m, size_t n, size_t selected, bool with_nan)
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
        DEVICE_OK(lspo_columns_split_cuda(number, m, n, selected, device_numbers(number, g, m * n), empty_floats(2 * n),
                                          columns_, NULL));
        expect_bits(&order, "split", columns_, columns, n * sizeof *columns);
    }
    free(numbers), free(columns), free(g), free(scratch);
}

Test(cuda_kernels, columns_are_split_as_on_the_host)
{
    for (size_t k = 0; k < COUNT(all_numbers); k++) {
        check_split(all_numbers[k], 1, 1, 1, false);
        check_split(all_numbers[k], 3, 40, 0, false);
        check_split(all_numbers[k], 3, 40, 40, true);
        check_split(all_numbers[k], 17, 33, 10, true);
        check_split(all_numbers[k], 50, 600, 77, false);
    }
}
