/* The CUDA kernels of optimizers, sums and columns against the host's. */
#include "kernels/columns.h"
#include "kernels/cuda.h"
#include "kernels/vector.h"
#include "tests/cuda_numbers.h"

/* Around a warp, around a block, more than one block. */
static const size_t sizes[] = {0, 1, 31, 32, 33, 255, 256, 257, 1000, 2561};

/* ---- Adam ---- */

static lspo_adam_t adam_settings(void)
{
    lspo_adam_t adam = lspo_adam_default(1e-2F, 3);
    adam.weight_decay = 0.1F;
    adam.root_epsilon = 1e-3F;
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
    lspo_adam_parameters(&adam, &(lspo_adam_state_t){.count = n, .m = c.m, .v = c.v}, c.g, c.out);
    for (order_t order = {0}; next_order(&order);) {
        float *m = device_floats(c.m0, n), *v = device_floats(c.v0, n), *weights = device_floats(c.w0, n);
        void *w = has_master ? empty_numbers(number, n) : weights;
        DEVICE_OK(lspo_adam_parameters_cuda(
            ON(number), &adam, &(lspo_adam_state_t){.count = n, .m = m, .v = v, .master = has_master ? weights : NULL},
            device_numbers(number, c.g, n), w));
        expect_close(&order, "m", m, c.m, n, (within_t){1e-8, 1e-6});
        expect_close(&order, "v", v, c.v, n, (within_t){1e-8, 1e-6});
        expect_close(&order, "weights", weights, c.out, n, (within_t){1e-7, 2e-6});
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
    lspo_adam_direction(&adam, &(lspo_adam_state_t){.count = n, .m = c.m, .v = c.v}, c.g, c.out);
    for (order_t order = {0}; next_order(&order);) {
        float *m = device_floats(c.m0, n), *v = device_floats(c.v0, n);
        void *g = device_numbers(number, c.g, n), *out = empty_numbers(number, n);
        DEVICE_OK(
            lspo_adam_direction_cuda(ON(number), &adam, &(lspo_adam_state_t){.count = n, .m = m, .v = v}, g, out));
        expect_close(&order, "m", m, c.m, n, (within_t){1e-8, 1e-6});
        expect_close(&order, "v", v, c.v, n, (within_t){1e-8, 1e-6});
        expect_numbers(&order, "direction", out, c.out, n, (near_t){number, 1e-3, 1e-7, 2e-6});
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
    cr_assert_not_null(device_complaint(lspo_adam_parameters_cuda(
        ON(LSPO_NUMBER_FP32), &adam, &(lspo_adam_state_t){.count = 0, .master = &x}, NULL, NULL)));
    cr_assert_not_null(device_complaint(
        lspo_adam_parameters_cuda(ON(LSPO_NUMBER_BF16), &adam, &(lspo_adam_state_t){.count = 0}, NULL, NULL)));
}

/* Gradients of 0 and of an overflowing square. */
Test(cuda_kernels, adam_survives_extremes)
{
    const lspo_adam_t adam = lspo_adam_default(1e-3F, 1);
    const float g[] = {0, 1e-30F, 1e25F, -1e25F, 3e38F}, zero[5] = {0};
    float m[5] = {0}, v[5] = {0}, out[5];
    lspo_adam_direction(&adam, &(lspo_adam_state_t){.count = 5, .m = m, .v = v}, g, out);
    for (order_t order = {0}; next_order(&order);) {
        float *dm = device_floats(zero, 5), *dv = device_floats(zero, 5), *d = device_floats(g, 5);
        DEVICE_OK(lspo_adam_direction_cuda(ON(LSPO_NUMBER_FP32), &adam,
                                           &(lspo_adam_state_t){.count = 5, .m = dm, .v = dv}, d,
                                           d)); /* out may be gradient */
        expect_close(&order, "direction", d, out, 5, (within_t){1e-6, 1e-5});
        expect_close(&order, "m", dm, m, 5, (within_t){0, 1e-6});
    }
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
        DEVICE_OK(lspo_bias_fill_cuda(ON(number), rows, cols, bias_, filled_));
        expect_rounded(&order, number, "filled", filled_, filled, n);
        DEVICE_OK(lspo_column_sum_cuda(ON(number), rows, cols, x_, false, sums_));
        expect_numbers(&order, "sums", sums_, sums, cols, (near_t){number, 1e-2, atol, 1e-6});
        DEVICE_OK(lspo_column_sum_cuda(ON(number), rows, cols, x_, true, more_));
        expect_numbers(&order, "more", more_, more, cols, (near_t){number, 1e-2, atol, 1e-6});
        DEVICE_OK(lspo_vector_add_cuda(ON(number), n, filled_, sum_));
        expect_rounded(&order, number, "sum", sum_, doubled, n);
        DEVICE_OK(lspo_bias_add_cuda(ON(number), rows, cols, x_, bias_, x_));
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
        check_vectors(all_numbers[k], &(vectors_t){1100, 70, 0});
        DEVICE_OK(lspo_column_sum_cuda(ON(all_numbers[k]), 3, 0, NULL, false, NULL));
    }
}

/* Sums of columns in the order that the header states, in fp32: 32 sums of every 32nd row, added in order. */
static void sum_in_order(size_t rows, size_t cols, const float *x, float *sums)
{
    for (size_t j = 0; j < cols; j++) {
        float parts[32] = {0}, sum;
        for (size_t i = 0; i < rows; i++)
            parts[i % 32] += x[i * cols + j];
        sum = parts[0];
        for (size_t part = 1; part < COUNT(parts); part++)
            sum += parts[part];
        sums[j] = sum;
    }
}

/* Rows of a block around eight per warp, and rows that two, and three, blocks share: the last block's are fewer. */
Test(cuda_kernels, column_sums_have_a_fixed_order)
{
    static const struct {
        size_t rows, cols, blocks;
    } cases[] = {{255, 2, 1}, {256, 6, 1}, {511, 66, 1}, {511, 33, 1}, {513, 34, 2}, {774, 5, 3}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        const size_t rows = cases[i].rows, cols = cases[i].cols, together = (rows - 1) / cases[i].blocks + 1;
        float *x = random_floats(1, 1, rows * cols), *want = floats(cols), *part = floats(cols);
        sum_in_order(together, cols, x, want);
        for (size_t first = together; first < rows; first += together) {
            sum_in_order(rows - first < together ? rows - first : together, cols, x + first * cols, part);
            for (size_t j = 0; j < cols; j++)
                want[j] += part[j];
        }
        for (order_t order = {0}; next_order(&order);) {
            float *sums = empty_floats(cols);
            DEVICE_OK(
                lspo_column_sum_cuda(ON(LSPO_NUMBER_FP32), rows, cols, device_floats(x, rows * cols), false, sums));
            expect_bits(&order, "sums", sums, want, cols * sizeof *want);
        }
        free(x), free(want), free(part);
    }
}

static void check_sum_of_squares(lspo_number_t number, size_t n)
{
    float *x = random_numbers_of(number, 1, 1, n);
    double got;
    const double want = lspo_sum_of_squares(n, x);
    for (order_t order = {0}; next_order(&order);) {
        double *parts = device_array(LSPO_SUM_OF_SQUARES_PARTS * sizeof *parts), *sum = device_array(sizeof *sum);
        DEVICE_OK(lspo_sum_of_squares_cuda(ON(number), n, shifted(number, x, n, n % 2), parts, sum));
        device_read(sum, sizeof got, &got);
        add_to_hash(&order, &got, sizeof got);
        /* Eight numbers are summed in fp32, with eight roundings of 2^-24. */
        cr_assert(fabs(got - want) <= 0x1p-21 * want, "%zu squares are %.17g, not %.17g", n, got, want);
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

/* Squares beyond the range of fp32 on both sides, and zeros beside them. */
Test(cuda_kernels, sum_of_squares_of_extremes)
{
    enum { N = 24 };
    static const float sizes_of_numbers[] = {1e25F, 1e-15F, 1e-20F};
    float x[N] = {0};
    for (size_t i = 0; i < COUNT(sizes_of_numbers); i++) {
        double got;
        x[5] = x[N - 1] = sizes_of_numbers[i];
        const double want = lspo_sum_of_squares(N, x);
        for (order_t order = {0}; next_order(&order);) {
            double *parts = device_array(LSPO_SUM_OF_SQUARES_PARTS * sizeof *parts), *sum = device_array(sizeof *sum);
            DEVICE_OK(lspo_sum_of_squares_cuda(ON(LSPO_NUMBER_FP32), N, device_floats(x, N), parts, sum));
            device_read(sum, sizeof got, &got);
            cr_assert(fabs(got - want) <= 1e-7 * want, "the squares are %.17g, not %.17g", got, want);
        }
    }
}

static void check_columns(lspo_number_t number, size_t m, size_t n, size_t selected)
{
    float *x = random_numbers_of(number, 1, 1, m * n), *part = floats(m * n);
    float *back0 = random_numbers_of(number, 2, 1, m * n), *back = copy_floats(back0, m * n), *scratch = floats(2 * n);
    uint32_t *columns = malloc(n * sizeof *columns);
    lspo_columns_split(&(lspo_columns_t){m, n, selected}, x, scratch, columns);
    lspo_columns_gather(&(lspo_columns_t){m, n, selected}, columns, x, part);
    lspo_columns_scatter(&(lspo_columns_t){m, n, n - selected}, columns + selected, x, back);
    for (order_t order = {0}; next_order(&order);) {
        uint32_t *columns_ = device_copy(columns, n * sizeof *columns);
        void *x_ = device_numbers(number, x, m * n), *part_ = empty_numbers(number, m * selected);
        void *back_ = device_numbers(number, back0, m * n);
        DEVICE_OK(lspo_columns_gather_cuda(ON(number), &(lspo_columns_t){m, n, selected}, columns_, x_, part_));
        expect_rounded(&order, number, "gathered", part_, part, m * selected);
        DEVICE_OK(lspo_columns_scatter_cuda(ON(number), &(lspo_columns_t){m, n, n - selected}, columns_ + selected, x_,
                                            back_));
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
    lspo_columns_split(&(lspo_columns_t){m, n, selected}, g, scratch, columns);
    for (order_t order = {0}; next_order(&order);) {
        uint32_t *columns_ = device_array(n * sizeof *columns_);
        DEVICE_OK(lspo_columns_split_cuda(ON(number), &(lspo_columns_t){m, n, selected},
                                          device_numbers(number, g, m * n), empty_floats(2 * n), columns_));
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
        check_split(all_numbers[k], 1, 5000, 1250, k == 0); /* many columns: five tiles, the last one short */
        check_split(all_numbers[k], 1, 4097, 0, false);
    }
}
