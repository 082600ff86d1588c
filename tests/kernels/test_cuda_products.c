/* CUDA's products in every format against the host's in fp32 on numbers that the format holds: projectors and sketches,
 * products, adapters, bases, linear layers with bias, residual and GELU. */
#include "kernels/activation.h"
#include "kernels/adapter.h"
#include "kernels/cuda.h"
#include "kernels/gemm.h"
#include "kernels/lowrank.h"
#include "kernels/sketch.h"
#include "kernels/vector.h"
#include "tests/cuda_numbers.h"

/* ---- projectors ---- */

/* The arrays on the device, the struct on the host. */
static lspo_projector_t projector_on_device(const lspo_projector_t *p)
{
    const size_t entries = (size_t)p->rows * p->r;
    lspo_projector_t copy = *p;
    copy.index = device_copy(p->index, entries * sizeof *p->index);
    copy.value = device_copy(p->value, entries * sizeof *p->value);
    copy.column_first = device_copy(p->column_first, (p->d + 1) * sizeof *p->column_first);
    copy.column_entry = device_copy(p->column_entry, entries * sizeof *p->column_entry);
    return copy;
}

typedef struct {
    uint32_t m, n, d_m, d_n, r;
    size_t tokens;
} shape_t;

/* One element; less than a tile each way; rows around gather's chunks of 128, 256 and 512, and more than eight of them;
 * columns around a warp's 32 and a block's 512; tokens around the 32 of a warp and 64 of a block; panels of every
 * height (as a device of compute capability 7.5: 16 rows up to d 1024, 8 to 2048, 4 to 4096, 2 to 8192, 1 to 16384; in
 * 16 bits up to twice that d) and none; columns split where rows are few; entries in fours; columns of more entries
 * than a warp. */
static const shape_t shapes[] = {{1, 1, 1, 1, 1, 1},        {5, 7, 3, 4, 2, 3},         {33, 31, 31, 33, 3, 31},
                                 {256, 255, 64, 65, 4, 32}, {257, 300, 63, 64, 2, 33},  {513, 104, 130, 40, 5, 65},
                                 {17, 1100, 9, 300, 4, 16}, {40, 900, 257, 800, 4, 8},  {9, 1700, 7, 1600, 3, 5},
                                 {5, 3200, 5, 3100, 2, 3},  {3, 8100, 3, 8000, 2, 2},   {3, 12288, 3, 12288, 1, 1},
                                 {64, 64, 32, 32, 32, 64},  {3, 16388, 3, 16386, 2, 1}, {3, 32800, 3, 32770, 2, 1},
                                 {4100, 130, 3, 520, 2, 5}, {2100, 1060, 40, 31, 8, 70}};
static const int capabilities[][2] = {{9, 0}, {8, 6}, {7, 5}};

static void make_projectors(const shape_t *s, lspo_projector_t *p, lspo_projector_t *q)
{
    const uint32_t r_p = s->r < s->d_m ? s->r : s->d_m, r_q = s->r < s->d_n ? s->r : s->d_n;
    cr_assert(lspo_projector_random(s->m, s->d_m, r_p, 1, p));
    cr_assert(lspo_projector_random(s->n, s->d_n, r_q, 2, q));
}

/* `padding`: numbers between rows, in fours where the kernel may load 16 bytes at a time. */
static void check_compress(lspo_number_t number, const shape_t *s, size_t padding, float beta)
{
    lspo_projector_t p, q;
    make_projectors(s, &p, &q);
    const size_t t = s->tokens, x_stride = s->m + padding, dy_stride = s->n + padding;
    const size_t g_n = (size_t)s->d_m * s->d_n;
    float *x = random_numbers_of(number, 1, 1, t * x_stride), *dy = random_numbers_of(number, 2, 1, t * dy_stride);
    float *gathered = floats(t * s->d_m), *g0 = random_numbers_of(number, 3, 1, g_n), *g = copy_floats(g0, g_n);
    float *scratch = floats(lspo_projector_compress_scratch(&p, &q, t));
    lspo_projector_gather(&p, t, x, x_stride, gathered);
    lspo_projector_compress(&(lspo_projector_pair_t){&p, &q}, &(lspo_gradient_factors_t){t, x, x_stride, dy, dy_stride},
                            beta, g, scratch);
    const double atol = 4e-6 * sqrt((double)t * s->m * s->n / (double)g_n + 1);
    for (order_t order = {0}; next_order(&order);) {
        lspo_projector_t dp = projector_on_device(&p), dq = projector_on_device(&q);
        void *dx = device_numbers(number, x, t * x_stride), *ddy = device_numbers(number, dy, t * dy_stride);
        void *dg = beta == 0 ? empty_numbers(number, g_n) : device_numbers(number, g0, g_n);
        void *out = empty_numbers(number, t * s->d_m);
        void *dscratch = empty_numbers(number, t * ((size_t)s->d_m + s->d_n));
        DEVICE_OK(lspo_projector_gather_cuda(ON(number), &dp, t, dx, x_stride, out));
        expect_numbers(&order, "x P", out, gathered, t * s->d_m,
                       (near_t){number, 0.01, 4e-6 * sqrt(s->m / (double)s->d_m), 4e-6});
        DEVICE_OK(lspo_projector_compress_cuda(ON(number), &(lspo_projector_pair_t){&dp, &dq},
                                               &(lspo_gradient_factors_t){t, dx, x_stride, ddy, dy_stride}, beta, dg,
                                               dscratch));
        expect_numbers(&order, "g_hat", dg, g, g_n, (near_t){number, 1, atol, 1e-5});
    }
    free(x), free(dy), free(gathered), free(g0), free(g), free(scratch);
    lspo_projector_release(&p), lspo_projector_release(&q);
}

Test(cuda_products, compress)
{
    for (size_t i = 0; i < COUNT(shapes); i++)
        for (size_t f = 0; f < COUNT(known_numbers) && shapes[i].d_n < 2000; f++) {
            const bool newest = known_numbers[f] == LSPO_NUMBER_BF16; /* not on the oldest */
            const int *const capability = capabilities[(i + f) % (newest ? 2 : 3)];
            cuda_on_host_capability(capability[0], capability[1]);
            if (!newest || cuda_has_bf16())
                check_compress(known_numbers[f], &shapes[i], i % 3 * 4 + i % 2, i % 2 ? 1.0F : 0.0F);
        }
    for (size_t f = 0; f < COUNT(all_halves); f++)
        check_compress(all_halves[f], &(shape_t){264, 520, 40, 24, 4, 70}, f ? 8 : 0, f ? 0.0F : 1.0F);
}

/* The largest error of eta P delta Q^T if P delta is rounded to bf16, 2^-8 of each number. */
static double panel_error(const lspo_projector_t *p, const lspo_projector_t *q, const float *delta, double eta)
{
    double largest = 0, *row = malloc(q->d * sizeof *row);
    cr_assert_not_null(row);
    for (size_t i = 0; i < p->rows; i++) {
        memset(row, 0, q->d * sizeof *row);
        for (size_t e = i * p->r; e < (i + 1) * p->r; e++)
            for (size_t c = 0; c < q->d; c++)
                row[c] += (double)p->value[e] * (double)delta[(size_t)p->index[e] * q->d + c];
        for (size_t j = 0; j < q->rows; j++) {
            double sum = 0;
            for (size_t e = j * q->r; e < (j + 1) * q->r; e++)
                sum += fabs((double)q->value[e] * row[q->index[e]]);
            largest = fmax(largest, eta * 0x1p-8 * sum);
        }
    }
    free(row);
    return largest;
}

/* Scratch of apply: index and value of each nonzero of Q. */
static uint32_t *empty_entries(const lspo_projector_t *q)
{
    return device_array((size_t)q->rows * q->r * 2 * sizeof(uint32_t));
}

/* Rounded at random: one of the two neighbours, so less than a step away. */
static void check_apply(lspo_number_t number, const shape_t *s)
{
    lspo_projector_t p, q;
    make_projectors(s, &p, &q);
    const size_t n = (size_t)s->m * s->n, d = (size_t)s->d_m * s->d_n;
    float *delta = random_floats(1, 1, d), *w0 = random_numbers_of(number, 2, 1, n), *w = copy_floats(w0, n);
    float *scratch = floats(lspo_projector_apply_scratch(&p, &q));
    lspo_projector_apply(&(lspo_projector_pair_t){&p, &q}, delta,
                         (lspo_vector_step_t[]){lspo_vector_step(0.1F, 0.01F, 0)}, w, scratch);
    const double panel = number == LSPO_NUMBER_FP32 ? 0 : panel_error(&p, &q, delta, 0.1);
    for (order_t order = {0}; next_order(&order);) {
        lspo_projector_t dp = projector_on_device(&p), dq = projector_on_device(&q);
        float *ddelta = device_floats(delta, d);
        void *dw = device_numbers(number, w0, n);
        DEVICE_OK(lspo_projector_apply_cuda(ON(number), &(lspo_projector_pair_t){&dp, &dq}, ddelta,
                                            (lspo_vector_step_t[]){lspo_vector_step(0.1F, 0.01F, 5)}, dw,
                                            empty_entries(&q)));
        expect_numbers(&order, "w", dw, w, n, (near_t){number, 1e-3, 1e-6 + panel, 1e-6});
    }
    free(delta), free(w0), free(w), free(scratch);
    lspo_projector_release(&p), lspo_projector_release(&q);
}

Test(cuda_products, apply)
{
    const size_t count = COUNT(all_numbers);
    cuda_on_host_capability(7, 5); /* apply computes in every format there, too */
    for (size_t i = 0; i < COUNT(shapes); i++)
        for (size_t f = 0; f < count; f++)
            check_apply(known_numbers[f], &shapes[i]);
    cuda_on_host_capability(9, 0);
    check_apply(LSPO_NUMBER_FP16, &(shape_t){20, 2100, 9, 2048, 4, 1}); /* 16 rows in 64 KiB */
}

/* Sum over `seeds` of W after one step from `w0`, in units of the step between numbers around 1. */
static double mean_after_apply(lspo_number_t number, const lspo_projector_t *p, size_t n, float step, unsigned seeds)
{
    float *w0 = floats(n), *delta = floats(1), *got = floats(n);
    double sum = 0;
    delta[0] = 1;
    for (size_t i = 0; i < n; i++)
        w0[i] = 1;
    for (unsigned seed = 0; seed < seeds; seed++) {
        device_free_all();
        const lspo_projector_t dp = projector_on_device(p);
        void *w = device_numbers(number, w0, n), *numbers = malloc(n * sizeof *w0);
        DEVICE_OK(lspo_projector_apply_cuda(ON(number), &(lspo_projector_pair_t){&dp, &dp}, device_floats(delta, 1),
                                            (lspo_vector_step_t[]){lspo_vector_step(-step, 0, seed)}, w,
                                            empty_entries(p)));
        device_read(w, n * lspo_number_bytes(number), numbers);
        lspo_convert(n, number, numbers, LSPO_NUMBER_FP32, got);
        for (size_t i = 0; i < n; i++)
            sum += ((double)got[i] - 1) / step_of(number);
        free(numbers);
    }
    free(w0), free(delta), free(got);
    return sum / ((double)n * seeds);
}

/* Steps of a tenth of what the format can tell from 1 would vanish if W were rounded to the nearest.  P = Q = one
 * column of 1 or -1 with |value| 1, so a step is eta or -eta; all 400 W together move a tenth of a step 160,000 times:
 * standard deviation of the mean sqrt(0.1 * 0.9 / 160,000) = 0.00075. */
Test(cuda_products, apply_rounds_without_bias)
{
    enum { ROWS = 20, N = ROWS * ROWS, SEEDS = 400 };
    lspo_projector_t p;
    cr_assert(lspo_projector_signs(ROWS, 1, 1, 3, &p));
    for (uint32_t i = 0; i < ROWS; i++)
        p.value[i] = 1;
    lspo_projector_refresh(&p);
    for (size_t f = 1; f < COUNT(all_numbers); f++) {
        const double mean = mean_after_apply(all_numbers[f], &p, N, (float)(0.1 * step_of(all_numbers[f])), SEEDS);
        cr_assert(fabs(mean - 0.1) < 4 * 0.00075, "the mean step is %g of a step", mean);
    }
    lspo_projector_release(&p);
}

/* Lanes of a warp have adjacent columns of W, so the entries that they read at the same time must be adjacent: the
 * first one of each row of Q, then the second of each, ... */
Test(cuda_products, apply_reads_adjacent_entries)
{
    enum { M = 3, N = 70, D = 20, R = 5 };
    lspo_projector_t p, q;
    cr_assert(lspo_projector_random(M, D, R, 1, &p));
    cr_assert(lspo_projector_random(N, D, R, 2, &q));
    for (size_t f = 0; f < COUNT(all_numbers); f++)
        for (order_t order = {0}; next_order(&order);) {
            const lspo_projector_t dp = projector_on_device(&p), dq = projector_on_device(&q);
            uint32_t *scratch = empty_entries(&q), got[R][N][2], want[R][N][2];
            DEVICE_OK(lspo_projector_apply_cuda(ON(all_numbers[f]), &(lspo_projector_pair_t){&dp, &dq},
                                                empty_floats((size_t)D * D),
                                                (lspo_vector_step_t[]){lspo_vector_step(0.1F, 0, 5)},
                                                empty_numbers(all_numbers[f], (size_t)M * N), scratch));
            device_read(scratch, sizeof got, got);
            for (size_t row = 0, at = 0; row < N; row++)
                for (size_t e = 0; e < R; e++, at++) {
                    want[e][row][0] = q.index[at];
                    memcpy(&want[e][row][1], &q.value[at], sizeof q.value[at]);
                }
            cr_expect_arr_eq(got, want, sizeof want);
        }
    lspo_projector_release(&p), lspo_projector_release(&q);
}

/* ---- sketches: the same results from dense projectors ---- */

static void check_sketch(lspo_number_t number, const shape_t *s, float beta)
{
    lspo_projector_t p, q;
    make_projectors(s, &p, &q);
    const size_t t = s->tokens, n = (size_t)s->m * s->n, d = (size_t)s->d_m * s->d_n;
    float *x = random_numbers_of(number, 1, 1, t * s->m), *dy = random_numbers_of(number, 2, 1, t * s->n);
    float *g0 = random_numbers_of(number, 3, 1, d), *g = copy_floats(g0, d),
          *delta = random_numbers_of(number, 4, 1, d);
    float *w0 = random_numbers_of(number, 5, 1, n), *w = copy_floats(w0, n);
    const size_t compress_n = lspo_sketch_compress_scratch(&p, &q, t), apply_n = lspo_sketch_apply_scratch(&p, &q);
    const size_t scratch_n = compress_n > apply_n ? compress_n : apply_n;
    float *scratch = floats(scratch_n);
    lspo_sketch_compress(&(lspo_projector_pair_t){&p, &q}, &(lspo_gradient_factors_t){t, x, s->m, dy, s->n}, beta, g,
                         scratch);
    lspo_sketch_apply(&(lspo_projector_pair_t){&p, &q}, delta, (lspo_vector_step_t[]){lspo_vector_step(0.1F, 0.01F, 0)},
                      w, scratch);
    for (order_t order = {0}; next_order(&order);) {
        lspo_projector_t dp = projector_on_device(&p), dq = projector_on_device(&q);
        void *dg = device_numbers(number, g0, d), *dw = device_numbers(number, w0, n);
        void *dscratch = empty_numbers(number, scratch_n), *dx = device_numbers(number, x, t * s->m);
        DEVICE_OK(lspo_sketch_compress_cuda(
            ON(number), &(lspo_projector_pair_t){&dp, &dq},
            &(lspo_gradient_factors_t){t, dx, s->m, device_numbers(number, dy, t * s->n), s->n}, beta, dg, dscratch));
        expect_numbers(&order, "g_hat", dg, g, d, (near_t){number, 1, 1e-4, 1e-5});
        DEVICE_OK(lspo_sketch_apply_cuda(ON(number), &(lspo_projector_pair_t){&dp, &dq}, device_floats(delta, d),
                                         (lspo_vector_step_t[]){lspo_vector_step(0.1F, 0.01F, 5)}, dw, dscratch));
        expect_numbers(&order, "w", dw, w, n, (near_t){number, 0.5, 1e-5, 1e-5}); /* values and step are rounded */
    }
    free(x), free(dy), free(g0), free(g), free(delta), free(w0), free(w), free(scratch);
    lspo_projector_release(&p), lspo_projector_release(&q);
}

Test(cuda_products, sketches)
{
    for (size_t f = 0; f < COUNT(all_numbers); f++) {
        check_sketch(all_numbers[f], &(shape_t){20, 37, 6, 9, 2, 11}, 1);
        check_sketch(all_numbers[f], &(shape_t){40, 12, 10, 5, 4, 3}, 0);
    }
}

Test(cuda_products, a_sketch_needs_room_for_delta)
{
    lspo_projector_t p, q;
    make_projectors(&(shape_t){3, 3, 4, 4, 1, 1}, &p, &q);
    const lspo_projector_t dp = projector_on_device(&p), dq = projector_on_device(&q);
    cr_assert_not_null(device_complaint(
        lspo_sketch_apply_cuda(ON(LSPO_NUMBER_BF16), &(lspo_projector_pair_t){&dp, &dq}, empty_floats(16),
                               (lspo_vector_step_t[]){lspo_vector_step(1, 0, 0)}, empty_numbers(LSPO_NUMBER_BF16, 9),
                               empty_numbers(LSPO_NUMBER_BF16, 100))));
    lspo_projector_release(&p), lspo_projector_release(&q);
}

/* ---- products ---- */

typedef void (*gemm_t)(size_t m, size_t n, size_t k, float alpha, const float *a, size_t a_stride, const float *b,
                       size_t b_stride, float beta, float *c, size_t c_stride);
typedef int (*gemm_cuda_t)(const lspo_cuda_t *on, size_t m, size_t n, size_t k, float alpha, const void *a,
                           size_t a_stride, const void *b, size_t b_stride, float beta, void *c, size_t c_stride);

/* Of 5 x 3 and 3 x 7, or of what is transposed to these. */
typedef struct {
    gemm_t host;
    gemm_cuda_t cuda;
    size_t a_rows, a_cols, b_rows, b_cols;
} form_t;

static void check_gemm(lspo_number_t number, const form_t *form)
{
    enum { M = 5, N = 7, K = 3, C_STRIDE = N + 2 };
    const size_t a_rows = form->a_rows, a_cols = form->a_cols, b_rows = form->b_rows, b_cols = form->b_cols;
    const size_t a_n = a_rows * (a_cols + 1), b_n = b_rows * (b_cols + 4), c_n = M * C_STRIDE;
    float *a = random_numbers_of(number, 1, 1, a_n), *b = random_numbers_of(number, 2, 1, b_n);
    float *c0 = random_numbers_of(number, 3, 1, c_n), *c = copy_floats(c0, c_n);
    form->host(M, N, K, 0.5F, a, a_cols + 1, b, b_cols + 4, 2, c, C_STRIDE);
    for (order_t order = {0}; next_order(&order);) {
        void *dc = device_numbers(number, c0, c_n);
        DEVICE_OK(form->cuda(ON(number), M, N, K, 0.5F, device_numbers(number, a, a_n), a_cols + 1,
                             device_numbers(number, b, b_n), b_cols + 4, 2, dc, C_STRIDE));
        expect_numbers(&order, "c", dc, c, c_n, (near_t){number, 0, 1e-6, 1e-6});
    }
    free(a), free(b), free(c0), free(c);
}

Test(cuda_products, products_are_row_major)
{
    static const form_t forms[] = {{lspo_gemm_nn, lspo_gemm_nn_cuda, 5, 3, 3, 7},
                                   {lspo_gemm_nt, lspo_gemm_nt_cuda, 5, 3, 7, 3},
                                   {lspo_gemm_tn, lspo_gemm_tn_cuda, 3, 5, 3, 7}};
    for (size_t f = 0; f < COUNT(all_numbers); f++)
        for (size_t i = 0; i < COUNT(forms); i++)
            check_gemm(all_numbers[f], &forms[i]);
}

/* 1 + e/2 + 0 - 1, where e is the distance of a 16-bit format's numbers behind 1: e/2 if sums are in fp32, and 0 if the
 * first half of the sum is rounded to the format before the second is added. */
static const double halves[] = {1, 0.5, 0, -1};

static float *sum_of_halves(lspo_number_t number, size_t rows, size_t cols)
{
    float *a = floats(rows * cols);
    for (size_t i = 0; i < rows * cols; i++)
        a[i] = (float)(halves[i % cols] * (halves[i % cols] == 0.5 ? step_of(number) : 1));
    return a;
}

Test(cuda_products, sums_are_not_rounded_in_parts)
{
    enum { M = 8, N = 8, K = 4 };
    float ones[K * N], want[M * N];
    for (size_t i = 0; i < COUNT(ones); i++)
        ones[i] = 1;
    for (size_t f = 1; f < COUNT(all_numbers); f++) {
        const lspo_number_t number = all_numbers[f];
        float *a = sum_of_halves(number, M, K);
        for (size_t i = 0; i < COUNT(want); i++)
            want[i] = (float)(0.5 * step_of(number));
        for (order_t order = {0}; next_order(&order);) {
            void *c = empty_numbers(number, M * N);
            DEVICE_OK(lspo_gemm_nn_cuda(ON(number), M, N, K, 1, device_numbers(number, a, M * K), K,
                                        device_numbers(number, ones, K * N), N, 0, c, N));
            expect_rounded(&order, number, "product", c, want, M * N);
        }
        free(a);
    }
}

static void check_adapter(lspo_number_t number, bool accumulate, bool parameters)
{
    enum { T = 9, M = 6, N = 11, R = 2 };
    float *x = random_numbers_of(number, 1, 1, T * M), *a = random_numbers_of(number, 2, 1, M * R);
    float *b = random_numbers_of(number, 3, 1, N * R), *y0 = random_numbers_of(number, 4, 1, T * N);
    float *y = copy_floats(y0, T * N), *dy = random_numbers_of(number, 5, 1, T * N);
    float *da0 = random_numbers_of(number, 6, 1, M * R), *da = copy_floats(da0, M * R);
    float *db0 = random_numbers_of(number, 7, 1, N * R), *db = copy_floats(db0, N * R);
    float *dx0 = random_numbers_of(number, 8, 1, T * M), *dx = copy_floats(dx0, T * M), scratch[2 * T * R];
    lspo_adapter_forward(&(lspo_adapter_t){.tokens = T, .m = M, .n = N, .r = R, .scale = 0.5F, .a = a, .b = b}, x, y,
                         scratch);
    lspo_adapter_backward(
        &(lspo_adapter_t){.tokens = T, .m = M, .n = N, .r = R, .scale = 0.5F, .a = a, .b = b}, x, dy,
        &(lspo_adapter_gradients_t){
            .dx = dx, .da = parameters ? da : NULL, .db = parameters ? db : NULL, .accumulate = accumulate},
        scratch);
    for (order_t order = {0}; next_order(&order);) {
        void *x_ = device_numbers(number, x, T * M), *a_ = device_numbers(number, a, M * R);
        void *b_ = device_numbers(number, b, N * R), *y_ = device_numbers(number, y0, T * N);
        void *dy_ = device_numbers(number, dy, T * N), *dx_ = device_numbers(number, dx0, T * M);
        void *da_ = device_numbers(number, da0, M * R), *db_ = device_numbers(number, db0, N * R);
        void *s_ = empty_numbers(number, 2 * T * R);
        DEVICE_OK(lspo_adapter_forward_cuda(
            ON(number), &(lspo_adapter_t){.tokens = T, .m = M, .n = N, .r = R, .scale = 0.5F, .a = a_, .b = b_}, x_, y_,
            s_));
        DEVICE_OK(lspo_adapter_backward_cuda(
            ON(number), &(lspo_adapter_t){.tokens = T, .m = M, .n = N, .r = R, .scale = 0.5F, .a = a_, .b = b_}, x_,
            dy_,
            &(lspo_adapter_gradients_t){
                .dx = dx_, .da = parameters ? da_ : NULL, .db = parameters ? db_ : NULL, .accumulate = accumulate},
            s_));
        expect_numbers(&order, "y", y_, y, T * N, (near_t){number, 1, 1e-6, 1e-6});
        expect_numbers(&order, "da", da_, da, M * R, (near_t){number, 1, 1e-5, 1e-5});
        expect_numbers(&order, "db", db_, db, N * R, (near_t){number, 1, 1e-5, 1e-5});
        expect_numbers(&order, "dx", dx_, dx, T * M, (near_t){number, 1, 1e-5, 1e-5});
    }
    free(x), free(a), free(b), free(y0), free(y), free(dy), free(da0), free(da), free(db0), free(db), free(dx0),
        free(dx);
}

Test(cuda_products, adapters)
{
    for (size_t f = 0; f < COUNT(all_numbers); f++) {
        check_adapter(all_numbers[f], false, true);
        check_adapter(all_numbers[f], true, true);
        check_adapter(all_numbers[f], false, false);
    }
}

static void check_lowrank(lspo_number_t number, size_t m, size_t n)
{
    enum { R = 3 };
    const size_t shorter = m < n ? m : n, longer = m < n ? n : m;
    float *g = random_numbers_of(number, 1, 1, m * n), *basis = random_numbers_of(number, 2, 1, shorter * R);
    float *r0 = random_numbers_of(number, 3, 1, longer * R), *r = copy_floats(r0, longer * R);
    float *w0 = random_numbers_of(number, 4, 1, m * n), *w = copy_floats(w0, m * n);
    lspo_lowrank_compress(&(lspo_lowrank_t){m, n, R, basis}, g, 1, r);
    lspo_lowrank_apply(&(lspo_lowrank_t){m, n, R, basis}, r, 0.1F, w);
    for (order_t order = {0}; next_order(&order);) {
        void *basis_ = device_numbers(number, basis, shorter * R), *r_ = device_numbers(number, r0, longer * R);
        void *w_ = device_numbers(number, w0, m * n), *g_ = device_numbers(number, g, m * n);
        DEVICE_OK(lspo_lowrank_compress_cuda(ON(number), &(lspo_lowrank_t){m, n, R, basis_}, g_, 1, r_));
        DEVICE_OK(lspo_lowrank_apply_cuda(ON(number), &(lspo_lowrank_t){m, n, R, basis_}, r_, 0.1F, w_));
        expect_numbers(&order, "r", r_, r, longer * R, (near_t){number, 0, 1e-5, 1e-5});
        expect_numbers(&order, "w", w_, w, m * n, (near_t){number, 0.5, 1e-5, 1e-5});
    }
    free(g), free(basis), free(r0), free(r), free(w0), free(w);
}

Test(cuda_products, lowrank)
{
    for (size_t f = 0; f < COUNT(all_numbers); f++) {
        check_lowrank(all_numbers[f], 7, 12);
        check_lowrank(all_numbers[f], 12, 7);
    }
}

/* Matrices of one shape and their bases: the host's products, held to sums in double; the GPU's from the host's. */
static void check_turn(lspo_number_t number, size_t count, size_t m, size_t n)
{
    const size_t basis = m * m + n * n, all = count * m * n;
    float *g = random_numbers_of(number, 1, 1, all), *t = random_numbers_of(number, 2, 1, count * basis);
    float *x = copy_floats(g, all), *delta = copy_floats(g, all), *y = floats(all);
    const lspo_turn_t turn = {count, m, n, t};
    lspo_turn_in(&turn, x, y);
    lspo_turn_back(&turn, delta, y);
    const double close = 1e-5 * (double)(m * n);
    for (size_t e = 0; e < all; e++) {
        const size_t i = e % (m * n) / n, j = e % n;
        const float *t_m = t + e / (m * n) * basis, *t_n = t_m + m * m, *from = g + e / (m * n) * m * n;
        double in = 0, back = 0;
        for (size_t k = 0; k < m; k++)
            for (size_t l = 0; l < n; l++) {
                in += (double)t_m[k * m + i] * (double)from[k * n + l] * (double)t_n[l * n + j];
                back += (double)t_m[i * m + k] * (double)from[k * n + l] * (double)t_n[j * n + l];
            }
        cr_assert_float_eq(x[e], in, close);
        cr_assert_float_eq(delta[e], back, close);
    }
    for (order_t order = {0}; next_order(&order);) {
        void *t_ = device_numbers(number, t, count * basis), *y_ = empty_numbers(number, all);
        void *g_ = device_numbers(number, g, all), *d_ = device_numbers(number, g, all);
        const lspo_turn_t on_device = {count, m, n, t_};
        DEVICE_OK(lspo_turn_in_cuda(ON(number), &on_device, g_, y_));
        DEVICE_OK(lspo_turn_back_cuda(ON(number), &on_device, d_, y_));
        expect_numbers(&order, "x", g_, x, all, (near_t){number, (double)n, close, 1e-5});
        expect_numbers(&order, "delta", d_, delta, all, (near_t){number, (double)n, close, 1e-5});
    }
    free(g), free(t), free(x), free(delta), free(y);
}

Test(cuda_products, turns)
{
    for (size_t f = 0; f < COUNT(all_numbers); f++) {
        check_turn(all_numbers[f], 1, 7, 12);
        check_turn(all_numbers[f], 3, 12, 5);
    }
}

/* ---- linear layers ---- */

typedef struct {
    size_t tokens, m, n;
} layer_t;

/* Rows of whole 16 bytes, which cuBLASLt takes, and others. */
static const layer_t layers[] = {{5, 16, 24}, {33, 8, 64}, {3, 7, 9}, {4, 12, 20}, {1, 1, 1}};

static lspo_matmul_t *matmul(void)
{
    static lspo_matmul_t *made;
    if (made == NULL)
        DEVICE_OK(lspo_matmul_create_cuda(device_cublas(), &made));
    return made;
}

#define WITH_MATMUL(format)                                                                                            \
    (&(lspo_cuda_t){                                                                                                   \
        .number = (format), .cublas = device_cublas(), .matmul = matmul(), .column_sums = device_column_sums()})

/* out = x W + bias + residual on the host. */
static void linear(const layer_t *l, const float *x, const float *w, const float *bias, const float *residual,
                   float *out)
{
    lspo_gemm_nn(l->tokens, l->n, l->m, 1, x, l->m, w, l->n, 0, out, l->n);
    for (size_t i = 0; i < l->tokens * l->n; i++)
        out[i] += (bias != NULL ? bias[i % l->n] : 0) + (residual != NULL ? residual[i] : 0);
}

static void check_linear(lspo_number_t number, const layer_t *l, bool with_bias, bool with_residual, bool in_place)
{
    const size_t out_n = l->tokens * l->n;
    float *x = random_numbers_of(number, 1, 1, l->tokens * l->m), *w = random_numbers_of(number, 2, 1, l->m * l->n);
    float *bias = random_numbers_of(number, 3, 1, l->n), *residual = random_numbers_of(number, 4, 1, out_n);
    float *want = floats(out_n);
    linear(l, x, w, with_bias ? bias : NULL, with_residual ? residual : NULL, want);
    for (order_t order = {0}; next_order(&order);) {
        void *residual_ = device_numbers(number, residual, out_n);
        void *out = in_place ? residual_ : empty_numbers(number, out_n);
        DEVICE_OK(lspo_linear_forward_cuda(
            WITH_MATMUL(number),
            &(lspo_linear_t){.tokens = l->tokens,
                             .m = l->m,
                             .n = l->n,
                             .w = device_numbers(number, w, l->m * l->n),
                             .bias = with_bias ? device_numbers(number, bias, l->n) : NULL},
            device_numbers(number, x, l->tokens * l->m), with_residual ? residual_ : NULL, out));
        expect_numbers(&order, "out", out, want, out_n, (near_t){number, 1, 1e-5, 1e-5});
    }
    free(x), free(w), free(bias), free(residual), free(want);
}

Test(cuda_products, linear_layers)
{
    for (size_t f = 0; f < COUNT(all_numbers); f++)
        for (size_t i = 0; i < COUNT(layers); i++)
            for (unsigned how = 0; how < 4; how++) {
                check_linear(all_numbers[f], &layers[i], how & 1, how & 2, false);
                check_linear(all_numbers[f], &layers[i], how & 1, how & 2, how & 2);
            }
}

/* Other choices of cuBLASLt, as far as it has them; with none the layer is computed without it. */
Test(cuda_products, linear_layers_by_other_choices)
{
    for (uint32_t nth = LSPO_MATMUL_CHOICES; nth-- > 0;) {
        lspo_matmul_take_cuda(matmul(), nth);
        check_linear(LSPO_NUMBER_FP32, &layers[1], true, true, false);
        cr_expect(nth > 0 || lspo_matmul_took_cuda(matmul()), "the first one is there");
    }
}

/* Of tokens whose inputs are 1, e/2 and zeros in the first half and -1 in the second; weights are 1. */
Test(cuda_products, sums_of_linear_layers_are_not_rounded_in_parts)
{
    enum { T = 16, M = 16, N = 16 };
    float x[T * M] = {0}, w[M * N], want[T * N];
    for (size_t f = 1; f < COUNT(all_numbers); f++) {
        const lspo_number_t number = all_numbers[f];
        for (size_t i = 0; i < COUNT(w); i++)
            w[i] = 1, want[i] = (float)(0.5 * step_of(number));
        for (size_t i = 0; i < T; i++)
            x[i * M] = 1, x[i * M + 1] = (float)(0.5 * step_of(number)), x[i * M + M / 2] = -1;
        for (order_t order = {0}; next_order(&order);) {
            void *out = empty_numbers(number, T * N);
            DEVICE_OK(lspo_linear_forward_cuda(
                WITH_MATMUL(number),
                &(lspo_linear_t){.tokens = T, .m = M, .n = N, .w = device_numbers(number, w, M * N)},
                device_numbers(number, x, T * M), NULL, out));
            expect_rounded(&order, number, "out", out, want, T * N);
        }
    }
}

static void check_linear_gelu(lspo_number_t number, const layer_t *l)
{
    const size_t out_n = l->tokens * l->n;
    float *x = random_numbers_of(number, 1, 1, l->tokens * l->m), *w = random_numbers_of(number, 2, 0.5, l->m * l->n);
    float *bias = random_numbers_of(number, 3, 1, l->n), *pre = floats(out_n), *want = floats(out_n);
    linear(l, x, w, bias, NULL, pre);
    lspo_gelu_forward(LSPO_GELU_TANH, out_n, pre, want);
    for (order_t order = {0}; next_order(&order);) {
        void *pre_ = empty_numbers(number, out_n), *out = empty_numbers(number, out_n);
        DEVICE_OK(lspo_linear_gelu_forward_cuda(WITH_MATMUL(number),
                                                &(lspo_linear_t){.tokens = l->tokens,
                                                                 .m = l->m,
                                                                 .n = l->n,
                                                                 .w = device_numbers(number, w, l->m * l->n),
                                                                 .bias = device_numbers(number, bias, l->n)},
                                                device_numbers(number, x, l->tokens * l->m), pre_, out));
        expect_numbers(&order, "pre", pre_, pre, out_n, (near_t){number, 1, 1e-5, 1e-5});
        expect_numbers(&order, "out", out, want, out_n, (near_t){number, 1, 1e-5, 1e-5});
    }
    free(x), free(w), free(bias), free(pre), free(want);
}

static void check_linear_gelu_backward(lspo_number_t number, const layer_t *l, bool sums, bool accumulate)
{
    const size_t d_n = l->tokens * l->m;
    float *dy = random_numbers_of(number, 1, 1, l->tokens * l->n), *w = random_numbers_of(number, 2, 1, l->m * l->n);
    float *pre = random_numbers_of(number, 3, 1, d_n), *d = floats(d_n);
    float *sums0 = random_numbers_of(number, 4, 1, l->m), *want = copy_floats(sums0, l->m);
    lspo_gemm_nt(l->tokens, l->m, l->n, 1, dy, l->n, w, l->n, 0, d, l->m);
    lspo_gelu_backward(LSPO_GELU_TANH, l->tokens, l->m, pre,
                       &(lspo_gelu_gradients_t){.d = d, .bias = want, .accumulate = accumulate});
    for (order_t order = {0}; next_order(&order);) {
        void *d_ = empty_numbers(number, d_n), *sums_ = device_numbers(number, sums0, l->m);
        DEVICE_OK(lspo_linear_gelu_backward_cuda(
            WITH_MATMUL(number),
            &(lspo_linear_t){.tokens = l->tokens, .m = l->m, .n = l->n, .w = device_numbers(number, w, l->m * l->n)},
            device_numbers(number, dy, l->tokens * l->n), device_numbers(number, pre, d_n),
            &(lspo_gelu_gradients_t){.d = d_, .bias = sums ? sums_ : NULL, .accumulate = accumulate}));
        expect_numbers(&order, "d", d_, d, d_n, (near_t){number, 1, 1e-5, 1e-5});
        expect_numbers(&order, "bias gradient", sums_, sums ? want : sums0, l->m, (near_t){number, 2, 1e-5, 1e-5});
    }
    free(dy), free(w), free(pre), free(d), free(sums0), free(want);
}

Test(cuda_products, linear_layers_beside_a_gelu)
{
    for (size_t f = 0; f < COUNT(all_numbers); f++)
        for (size_t i = 0; i < COUNT(layers); i++) {
            check_linear_gelu(all_numbers[f], &layers[i]);
            check_linear_gelu_backward(all_numbers[f], &layers[i], true, false);
            check_linear_gelu_backward(all_numbers[f], &layers[i], true, true);
            check_linear_gelu_backward(all_numbers[f], &layers[i], false, false);
        }
}
