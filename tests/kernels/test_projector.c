/* Sparse projectors: their shape and statistics, and both kernels against dense products in double precision, on every
 * level of vector instructions that this machine has. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/adam.h"
#include "kernels/cpu.h"
#include "kernels/gemm.h"
#include "kernels/projector.h"
#include "kernels/random.h"

static void on_every_level(void (*check)(void))
{
    lspo_cpu_level_t best = lspo_cpu_level();
    for (int level = LSPO_CPU_PORTABLE; level <= (int)best; level++) {
        lspo_cpu_limit((lspo_cpu_level_t)level);
        check();
    }
    lspo_cpu_limit(LSPO_CPU_AVX512);
}

static float *normals(size_t n, uint64_t stream)
{
    float *values = malloc((n + 1) * sizeof *values);
    cr_assert_not_null(values);
    lspo_random_normal_fill(42, stream, 1.0, n, values);
    return values;
}

/* P written out, rows x d. */
static double *dense(const lspo_projector_t *p)
{
    double *matrix = calloc((size_t)p->rows * p->d, sizeof *matrix);
    cr_assert_not_null(matrix);
    for (size_t e = 0; e < (size_t)p->rows * p->r; e++)
        matrix[e / p->r * p->d + p->index[e]] += (double)p->value[e];
    return matrix;
}

/* (a^T b): a is k x m, b is k x n. */
static double *product_tn(size_t m, size_t n, size_t k, const double *a, const double *b)
{
    double *c = calloc(m * n, sizeof *c);
    cr_assert_not_null(c);
    for (size_t l = 0; l < k; l++)
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < n; j++)
                c[i * n + j] += a[l * m + i] * b[l * n + j];
    return c;
}

static double *transposed(size_t rows, size_t cols, const double *a)
{
    double *t = malloc(rows * cols * sizeof *t);
    cr_assert_not_null(t);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            t[j * rows + i] = a[i * cols + j];
    return t;
}

static double *widened(size_t rows, size_t cols, const float *a, size_t stride)
{
    double *wide = malloc((rows * cols + 1) * sizeof *wide);
    cr_assert_not_null(wide);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            wide[i * cols + j] = (double)a[i * stride + j];
    return wide;
}

/* ||got - expected||_F / ||expected||_F. */
static double relative_error(size_t n, const float *got, const double *expected)
{
    double error = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        error += pow((double)got[i] - expected[i], 2);
        norm += expected[i] * expected[i];
    }
    return sqrt(error / norm);
}

/* ---- the generator: known answers of the authors' own test vectors (Random123, kat_vectors, philox4x32 10) ---- */

Test(random, known_answers)
{
    uint32_t words[4];
    lspo_random_block(0, 0, 0, words);
    cr_assert_arr_eq(words, ((uint32_t[4]){0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}), sizeof words);
    lspo_random_block(UINT64_MAX, UINT64_MAX, UINT64_MAX, words);
    cr_assert_arr_eq(words, ((uint32_t[4]){0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}), sizeof words);
    /* Counter words 243f6a88 85a308d3 13198a2e 03707344, key words a4093822 299f31d0. */
    lspo_random_block(0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88, words);
    cr_assert_arr_eq(words, ((uint32_t[4]){0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}), sizeof words);
}

/* From the first vector: u = 0x6627e8d5e169c58d / 2^64 = 0.399046469..., below(1000) = 399; Box-Muller from
 * u1 = 1 - u, u2 = 0xbc57ac4c9b00dbd8 / 2^64. */
Test(random, derived_numbers)
{
    const double u = (double)0x6627e8d5e169c58d / 0x1p64, u2 = (double)0xbc57ac4c9b00dbd8 / 0x1p64;
    cr_assert_float_eq(lspo_random_uniform(0, 0, 0), u, 1e-15);
    cr_assert_eq(lspo_random_below(0, 0, 0, 1000), (uint32_t)(u * 1000));
    cr_assert_eq(lspo_random_below(0, 0, 0, 1), 0);
    const double radius = sqrt(-2 * log(1 - u));
    cr_assert_float_eq(lspo_random_normal(0, 0, 0), radius * cos(2 * acos(-1.0) * u2), 1e-13);
    cr_assert_float_eq(lspo_random_normal(0, 0, 1), radius * sin(2 * acos(-1.0) * u2), 1e-13);
    for (size_t n = 0; n < 6; n++) {
        float filled[7] = {9, 9, 9, 9, 9, 9, 9};
        lspo_random_normal_fill(5, 6, 2.0, n, filled);
        for (size_t i = 0; i < n; i++)
            cr_assert_eq(filled[i], (float)(2.0 * lspo_random_normal(5, 6, i)));
        cr_assert_eq(filled[n], 9.0f);
    }
}

/* To the last bit, also where a number is close to the middle between two floats, which one in 50,000 is. */
Test(random, filled_numbers_are_those_of_single_calls)
{
    enum { FIRST = 76, N = 600001 };
    float *filled = malloc(N * sizeof *filled);
    cr_assert_not_null(filled);
    lspo_random_normal_fill_from(5, 7, 0.02, FIRST, N, filled);
    for (size_t i = 0; i < N; i++) {
        const float single = (float)(0.02 * lspo_random_normal(5, 7, FIRST + i));
        cr_assert_eq(filled[i], single, "%zu: %.9g, %.9g", i, (double)filled[i], (double)single);
    }
    free(filled);
}

/* 200,000 numbers; five standard errors: uniform mean 0.5 +- 5 0.289/447, normal mean 0 +- 5/447, variance 1 +- 5
 * sqrt(2)/447, fourth moment 3 +- 5 sqrt(96)/447. */
Test(random, moments)
{
    enum { N = 200000 };
    double uniform = 0, sum = 0, square = 0, fourth = 0;
    for (uint64_t i = 0; i < N; i++) {
        double u = lspo_random_uniform(1, 2, i), z = lspo_random_normal(1, 3, i);
        cr_assert(u >= 0 && u < 1);
        uniform += u;
        sum += z;
        square += z * z;
        fourth += z * z * z * z;
    }
    cr_assert_float_eq(uniform / N, 0.5, 0.0033);
    cr_assert_float_eq(sum / N, 0.0, 0.0112);
    cr_assert_float_eq(square / N, 1.0, 0.0159);
    cr_assert_float_eq(fourth / N, 3.0, 0.11);
}

/* ---- constructors ---- */

static void check_structure(const lspo_projector_t *p)
{
    for (size_t row = 0; row < p->rows; row++)
        for (size_t e = row * p->r; e < (row + 1) * p->r; e++) {
            cr_assert_lt(p->index[e], p->d);
            if (e > row * p->r)
                cr_assert_gt(p->index[e], p->index[e - 1], "row %zu: positions not distinct and ascending", row);
        }
    cr_assert_eq(p->column_first[0], 0);
    cr_assert_eq(p->column_first[p->d], p->rows * p->r);
    double *matrix = dense(p);
    for (size_t c = 0; c < p->d; c++)
        for (size_t e = p->column_first[c]; e < p->column_first[c + 1]; e++) {
            cr_assert_eq((double)p->column_entry[e].value, matrix[p->column_entry[e].row * p->d + c]);
            if (e > p->column_first[c])
                cr_assert_gt(p->column_entry[e].row, p->column_entry[e - 1].row);
        }
    free(matrix);
}

Test(projector, distinct_sorted_positions_and_column_lists)
{
    const uint32_t shapes[][3] = {{1, 1, 1},    {5, 3, 3},    {100, 64, 1}, {100, 64, 8},
                                  {64, 64, 64}, {333, 77, 5}, {9, 500, 499}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        lspo_projector_t p;
        cr_assert(lspo_projector_random(shapes[i][0], shapes[i][1], shapes[i][2], i, &p));
        check_structure(&p);
        lspo_projector_release(&p);
        cr_assert_null(p.index);
    }
    lspo_projector_t p;
    cr_assert(lspo_projector_identity(17, &p));
    check_structure(&p);
    lspo_projector_release(&p);
}

Test(projector, seeds)
{
    lspo_projector_t a, b, c;
    cr_assert(lspo_projector_random(50, 40, 4, 7, &a));
    cr_assert(lspo_projector_random(50, 40, 4, 7, &b));
    cr_assert(lspo_projector_random(50, 40, 4, 8, &c));
    cr_assert_arr_eq(a.index, b.index, 200 * sizeof *a.index);
    cr_assert_arr_eq(a.value, b.value, 200 * sizeof *a.value);
    cr_assert(memcmp(a.index, c.index, 200 * sizeof *a.index) != 0);
    cr_assert(memcmp(a.value, c.value, 200 * sizeof *a.value) != 0);
    lspo_projector_release(&a);
    lspo_projector_release(&b);
    lspo_projector_release(&c);
}

Test(projector, bad_shapes_are_refused)
{
    lspo_projector_t p = {0};
    cr_assert_not(lspo_projector_random(10, 10, 0, 1, &p));
    cr_assert_not(lspo_projector_random(10, 10, 11, 1, &p));
    cr_assert_not(lspo_projector_random(0, 10, 1, 1, &p));
    cr_assert_not(lspo_projector_random(UINT32_MAX, 10, 2, 1, &p));
    cr_assert_not(lspo_projector_identity(0, &p));
    cr_assert_null(p.index);
    lspo_projector_release(&p);
    cr_assert_eq(lspo_projector_bytes(100, 32, 4), 100 * 4 * 16 + 33 * 4);
    cr_assert_eq(lspo_projector_bytes(UINT32_MAX, UINT32_MAX, 2), (uint64_t)UINT32_MAX * 32 + ((uint64_t)1 << 34));
}

/* Values N(0, 1/r): variance and fourth moment of 64,000; positions uniform: each of 50 columns holds 64,000/50 = 1280,
 * standard deviation sqrt(1280 (1 - 4/50)) = 34; every pair of neighbours in a row equally likely is implied by sets
 * being so: P(column 0 and column 49 in one row) = 4 3 / (50 49), of 16,000 rows 78.4 +- 8.8. */
Test(projector, statistics)
{
    enum { ROWS = 16000, D = 50, R = 4 };
    lspo_projector_t p;
    cr_assert(lspo_projector_random(ROWS, D, R, 3, &p));
    double sum = 0, square = 0, fourth = 0;
    uint32_t both = 0;
    for (size_t e = 0; e < (size_t)ROWS * R; e++) {
        double z = (double)p.value[e] * sqrt(R);
        sum += z;
        square += z * z;
        fourth += z * z * z * z;
    }
    for (size_t row = 0; row < ROWS; row++)
        both += p.index[row * R] == 0 && p.index[row * R + R - 1] == D - 1;
    cr_assert_float_eq(sum / (ROWS * R), 0, 5.0 / 253);
    cr_assert_float_eq(square / (ROWS * R), 1, 5 * sqrt(2.0) / 253);
    cr_assert_float_eq(fourth / (ROWS * R), 3, 5 * sqrt(96.0) / 253);
    for (size_t c = 0; c < D; c++)
        cr_assert_float_eq(p.column_first[c + 1] - p.column_first[c], 1280.0, 5 * 34.3);
    cr_assert_float_eq(both, 78.4, 5 * 8.8);
    lspo_projector_release(&p);
}

/* ---- kernels ---- */

/* No tokens: the sum over none, and beta still counts. */
Test(projector, compress_of_no_tokens)
{
    lspo_projector_t p, q;
    cr_assert(lspo_projector_random(10, 5, 2, 1, &p));
    cr_assert(lspo_projector_random(8, 4, 2, 2, &q));
    float g_hat[20], scratch[1], none[1] = {0};
    for (size_t i = 0; i < 20; i++)
        g_hat[i] = (float)i;
    lspo_projector_compress(&(lspo_projector_pair_t){&p, &q}, &(lspo_gradient_factors_t){0, none, 10, none, 8}, 1.0f,
                            g_hat, scratch);
    for (size_t i = 0; i < 20; i++)
        cr_assert_eq(g_hat[i], (float)i);
    lspo_projector_compress(&(lspo_projector_pair_t){&p, &q}, &(lspo_gradient_factors_t){0, none, 10, none, 8}, 0.0f,
                            g_hat, scratch);
    for (size_t i = 0; i < 20; i++)
        cr_assert_eq(g_hat[i], 0.0f);
    lspo_projector_release(&p);
    lspo_projector_release(&q);
}

typedef struct {
    uint32_t m, n, d_m, d_n, r_m, r_n;
    size_t tokens;
} shape_t;

/* Odd sizes around the vector widths, r = 1, r = d, more columns than rows and the reverse. */
static const shape_t shapes[] = {{1, 1, 1, 1, 1, 1, 1},         {16, 16, 16, 16, 4, 4, 16}, {33, 65, 17, 31, 3, 5, 19},
                                 {64, 48, 15, 16, 15, 16, 70},  {7, 100, 5, 90, 1, 8, 33},  {100, 7, 90, 5, 8, 1, 5},
                                 {130, 257, 128, 130, 4, 8, 47}};

static void check_compress(void)
{
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const shape_t z = shapes[s];
        lspo_projector_t p, q;
        cr_assert(lspo_projector_random(z.m, z.d_m, z.r_m, 1, &p));
        cr_assert(lspo_projector_random(z.n, z.d_n, z.r_n, 2, &q));
        const size_t x_stride = z.m + 3, dy_stride = z.n + 1, hat = (size_t)z.d_m * z.d_n;
        float *x = normals(z.tokens * x_stride, 1), *dy = normals(z.tokens * dy_stride, 2);
        float *g_hat = normals(hat, 3);
        float *scratch = malloc(lspo_projector_compress_scratch(&p, &q, z.tokens) * sizeof *scratch);

        /* P^T (X^T dY) Q, the full gradient formed. */
        double *x_wide = widened(z.tokens, z.m, x, x_stride), *dy_wide = widened(z.tokens, z.n, dy, dy_stride);
        double *p_dense = dense(&p), *q_dense = dense(&q);
        double *gradient = product_tn(z.m, z.n, z.tokens, x_wide, dy_wide);
        double *p_gradient = product_tn(z.d_m, z.n, z.m, p_dense, gradient);
        double *p_gradient_t = transposed(z.d_m, z.n, p_gradient);
        double *expected = product_tn(z.d_m, z.d_n, z.n, p_gradient_t, q_dense);

        lspo_projector_compress(&(lspo_projector_pair_t){&p, &q},
                                &(lspo_gradient_factors_t){z.tokens, x, x_stride, dy, dy_stride}, 0.0f, g_hat, scratch);
        double error = relative_error(hat, g_hat, expected);
        cr_assert_lt(error, 1e-5, "%s, shape %zu: %g", lspo_cpu_level_name(lspo_cpu_level()), s, error);

        lspo_projector_compress(&(lspo_projector_pair_t){&p, &q},
                                &(lspo_gradient_factors_t){z.tokens, x, x_stride, dy, dy_stride}, 1.0f, g_hat, scratch);
        for (size_t i = 0; i < hat; i++)
            expected[i] *= 2;
        error = relative_error(hat, g_hat, expected);
        cr_assert_lt(error, 1e-5, "accumulated, shape %zu: %g", s, error);

        free(expected);
        free(p_gradient_t);
        free(p_gradient);
        free(gradient);
        free(q_dense);
        free(p_dense);
        free(dy_wide);
        free(x_wide);
        free(scratch);
        free(g_hat);
        free(dy);
        free(x);
        lspo_projector_release(&q);
        lspo_projector_release(&p);
    }
}

Test(projector, compress_against_dense)
{
    on_every_level(check_compress);
}

static void check_apply_shape(const shape_t *z, float eta, float decay, size_t offset)
{
    lspo_projector_t p, q;
    cr_assert(lspo_projector_random(z->m, z->d_m, z->r_m, 1, &p));
    cr_assert(lspo_projector_random(z->n, z->d_n, z->r_n, 2, &q));
    const size_t elements = (size_t)z->m * z->n;
    float *w = normals(elements + offset + 1, 1), *delta = normals((size_t)z->d_m * z->d_n, 2);
    float *scratch = malloc((lspo_projector_apply_scratch(&p, &q) + offset) * sizeof *scratch);
    const float guard = w[elements + offset];

    double *w_wide = widened(z->m, z->n, w + offset, z->n), *delta_wide = widened(z->d_m, z->d_n, delta, z->d_n);
    double *p_dense = dense(&p), *q_dense = dense(&q);
    double *p_t = transposed(z->m, z->d_m, p_dense), *q_t = transposed(z->n, z->d_n, q_dense);
    double *p_delta = product_tn(z->m, z->d_n, z->d_m, p_t, delta_wide);
    double *p_delta_t = transposed(z->m, z->d_n, p_delta);
    double *update = product_tn(z->m, z->n, z->d_n, p_delta_t, q_t);
    for (size_t i = 0; i < elements; i++)
        w_wide[i] = (1 - (double)eta * (double)decay) * w_wide[i] - (double)eta * update[i];

    lspo_projector_apply(&(lspo_projector_pair_t){&p, &q}, delta,
                         (lspo_vector_step_t[]){lspo_vector_step(eta, decay, 0)}, w + offset, scratch + offset);
    const double error = relative_error(elements, w + offset, w_wide);
    cr_assert_lt(error, 1e-5, "%s: %ux%u: %g", lspo_cpu_level_name(lspo_cpu_level()), z->m, z->n, error);
    cr_assert_eq(w[elements + offset], guard);

    free(update);
    free(p_delta_t);
    free(p_delta);
    free(q_t);
    free(p_t);
    free(q_dense);
    free(p_dense);
    free(delta_wide);
    free(w_wide);
    free(scratch);
    free(delta);
    free(w);
    lspo_projector_release(&q);
    lspo_projector_release(&p);
}

static void check_apply(void)
{
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        check_apply_shape(&shapes[s], 0.5f, 0.0f, 0);
        check_apply_shape(&shapes[s], 0.5f, 0.1f, s % 16);
    }
}

/* Every height and width from 1 to 70, each at its own odd offset. */
static void check_apply_sizes(void)
{
    for (uint32_t size = 1; size <= 70; size++) {
        const uint32_t m = size, n = 71 - size, d_m = (m + 1) / 2, d_n = n * 37 % 71;
        const shape_t shape = {.m = m, .n = n, .d_m = d_m, .d_n = d_n, .r_m = (d_m + 2) / 3, .r_n = (d_n + 2) / 3};
        check_apply_shape(&shape, 0.1f, 0.01f, size % 16);
    }
}

Test(projector, apply_sizes_and_offsets)
{
    on_every_level(check_apply_sizes);
}

Test(projector, apply_against_dense)
{
    on_every_level(check_apply);
}

/* Every number of tokens, rows and columns from 1 to 70 at a moving odd offset, gather against P written out. */
static void check_gather_sizes(void)
{
    for (uint32_t size = 1; size <= 70; size++) {
        const uint32_t rows = size, d = 71 - size, r = d < 3 ? d : 3;
        const size_t tokens = size * 37 % 71, stride = rows + size % 5, offset = size % 16;
        lspo_projector_t p;
        cr_assert(lspo_projector_random(rows, d, r, size, &p));
        float *x = normals(tokens * stride + offset, 4), *out = normals(tokens * d + offset + 1, 5);
        const float before = out[0], after = out[offset + tokens * d];
        lspo_projector_gather(&p, tokens, x + offset, stride, out + offset);
        double *matrix = dense(&p);
        for (size_t t = 0; t < tokens; t++)
            for (size_t c = 0; c < d; c++) {
                double expected = 0;
                for (size_t k = 0; k < rows; k++)
                    expected += (double)x[offset + t * stride + k] * matrix[k * d + c];
                cr_assert_float_eq(out[offset + t * d + c], expected, 1e-5, "size %u, token %zu, column %zu", size, t,
                                   c);
            }
        cr_assert_eq(out[offset + tokens * d], after);
        if (offset > 0)
            cr_assert_eq(out[0], before);
        free(matrix);
        free(out);
        free(x);
        lspo_projector_release(&p);
    }
}

Test(projector, gather_sizes_and_offsets)
{
    on_every_level(check_gather_sizes);
}

/* More columns than the vector paths hold on their stack. */
static void check_wide_gather(void)
{
    enum { D = 5000, ROWS = 40, TOKENS = 3 };
    lspo_projector_t p;
    cr_assert(lspo_projector_random(ROWS, D, 4, 1, &p));
    float *x = normals(TOKENS * ROWS, 1), *out = normals(TOKENS * D, 2);
    lspo_projector_gather(&p, TOKENS, x, ROWS, out);
    double *matrix = dense(&p);
    for (size_t t = 0; t < TOKENS; t++)
        for (size_t c = 0; c < D; c++) {
            double expected = 0;
            for (size_t k = 0; k < ROWS; k++)
                expected += (double)x[t * ROWS + k] * matrix[k * D + c];
            cr_assert_float_eq(out[t * D + c], expected, 1e-5);
        }
    free(matrix);
    free(out);
    free(x);
    lspo_projector_release(&p);
}

Test(projector, gather_of_many_columns)
{
    on_every_level(check_wide_gather);
}

/* With P = Q = I COMPRESS is the plain gradient X^T dY, bit for bit, and COMPRESS + direction Adam + APPLY is dense
 * training to rounding. */
static void check_identity(void)
{
    enum { M = 37, N = 53, TOKENS = 29 };
    lspo_projector_t p, q;
    cr_assert(lspo_projector_identity(M, &p));
    cr_assert(lspo_projector_identity(N, &q));
    float *x = normals(TOKENS * M, 1), *dy = normals(TOKENS * N, 2), *w = normals(M * N, 3),
          *w_dense = normals(M * N, 3);
    float *scratch = malloc(lspo_projector_compress_scratch(&p, &q, TOKENS) * sizeof *scratch);
    float *apply_scratch = malloc(lspo_projector_apply_scratch(&p, &q) * sizeof *apply_scratch);
    float *moments = calloc(4 * M * N, sizeof *moments);
    static float gradient[M * N], g_hat[M * N];
    lspo_adam_t adam = lspo_adam_default(1e-2f, 1);
    lspo_gemm_tn(M, N, TOKENS, 1.0f, x, M, dy, N, 0.0f, gradient, N);
    lspo_projector_compress(&(lspo_projector_pair_t){&p, &q}, &(lspo_gradient_factors_t){TOKENS, x, M, dy, N}, 0.0f,
                            g_hat, scratch);
    cr_assert_arr_eq(g_hat, gradient, sizeof gradient);

    lspo_adam_direction(&adam, &(lspo_adam_state_t){.count = M * N, .m = moments, .v = moments + M * N}, g_hat, g_hat);
    lspo_projector_apply(&(lspo_projector_pair_t){&p, &q}, g_hat,
                         (lspo_vector_step_t[]){lspo_vector_step(adam.learning_rate, 0.1f, 0)}, w, apply_scratch);
    adam.weight_decay = 0.1f;
    lspo_adam_parameters(&adam,
                         &(lspo_adam_state_t){.count = M * N, .m = moments + 2 * M * N, .v = moments + 3 * M * N},
                         gradient, w_dense);
    for (size_t i = 0; i < M * N; i++)
        cr_assert_float_eq(w[i], w_dense[i], 1e-6f * (1 + fabsf(w_dense[i])));
    free(moments);
    free(apply_scratch);
    free(scratch);
    free(w_dense);
    free(w);
    free(dy);
    free(x);
    lspo_projector_release(&q);
    lspo_projector_release(&p);
}

Test(projector, identity_is_dense_training)
{
    on_every_level(check_identity);
}

/* A token's gather does not depend on its neighbours, whatever the cut. */
static void check_cuts(void)
{
    enum { ROWS = 90, D = 44, TOKENS = 40 };
    lspo_projector_t p;
    cr_assert(lspo_projector_random(ROWS, D, 6, 1, &p));
    float *x = normals(TOKENS * ROWS, 1);
    static float whole[TOKENS * D], pieces[TOKENS * D];
    lspo_projector_gather(&p, TOKENS, x, ROWS, whole);
    for (size_t t = 0, piece = 1; t < TOKENS; t += piece, piece = piece * 2 + 1) {
        size_t count = TOKENS - t < piece ? TOKENS - t : piece;
        lspo_projector_gather(&p, count, x + t * ROWS, ROWS, pieces + t * D);
    }
    cr_assert_arr_eq(pieces, whole, sizeof whole);
    free(x);
    lspo_projector_release(&p);
}

Test(projector, gather_same_bits_whatever_the_cut)
{
    on_every_level(check_cuts);
}
