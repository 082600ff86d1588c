/* Weights of 4 bits against loops in double precision: layout, products on every level of vector units, and both
 * quantizers. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/gptq.h"
#include "kernels/int4.h"
#include "kernels/int4_quantize.h"
#include "kernels/pack.h"
#include "kernels/random.h"
#include "plan/footprint.h"
#include "tests/gptq_reference.h"

/* One number; less than a strip and a group; whole ones; more; several parts of what is rounded at a time. */
static const lspo_int4_shape_t shapes[] = {
    {1, 1, 128, false},    {7, 31, 32, true},      {128, 32, 128, false}, {129, 33, 128, true},
    {256, 300, 64, false}, {200, 70, 0, false},    {95, 40, 0, true},     {160, 64, 32, false},
    {384, 96, 128, true},  {4500, 40, 128, false}, {2100, 34, 0, false},  {2080, 33, 32, true},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static void *room(size_t bytes)
{
    void *memory = aligned_alloc(64, (bytes + 127) / 64 * 64);
    cr_assert_not_null(memory);
    memset(memory, 0xa5, bytes);
    return memory;
}

static float *random_floats(uint64_t stream, size_t count)
{
    float *out = room(count * sizeof *out);
    lspo_random_normal_fill(3, stream, 1.0, count, out);
    return out;
}

/* A weight of random codes, with what they stand for. */
typedef struct {
    lspo_int4_shape_t shape;
    uint8_t *codes, *zeros; /* zeros: NULL: 8 */
    uint16_t *scales;
    double *w;
    void *packed;
} weight_t;

static size_t rows_of_group(const lspo_int4_shape_t *shape)
{
    return shape->group > 0 ? shape->group : shape->m;
}

static size_t groups_of(const lspo_int4_shape_t *shape)
{
    return (shape->m + rows_of_group(shape) - 1) / rows_of_group(shape);
}

static weight_t make(const lspo_int4_shape_t *shape)
{
    const size_t count = shape->m * shape->n, parts = groups_of(shape) * shape->n;
    weight_t o = {.shape = *shape,
                  .codes = room(count),
                  .zeros = shape->zeros ? room(parts) : NULL,
                  .scales = room(parts * sizeof(uint16_t)),
                  .w = room(count * sizeof(double)),
                  .packed = room(lspo_int4_bytes(shape))};
    float *scales = random_floats(8, parts);
    for (size_t i = 0; i < parts; i++) {
        scales[i] = 0.01F + fabsf(scales[i]);
        if (o.zeros != NULL)
            o.zeros[i] = (uint8_t)(i * 7 % 17); /* 16, too */
    }
    lspo_pack_fp16(parts, scales, o.scales);
    lspo_unpack_fp16(parts, o.scales, scales);
    for (size_t i = 0; i < count; i++) {
        const size_t part = i / shape->n / rows_of_group(shape) * shape->n + i % shape->n;
        o.codes[i] = (uint8_t)(i < 16 ? i : lspo_random_below(5, 6, i, 16));
        o.w[i] = (double)scales[part] * (o.codes[i] - (o.zeros != NULL ? o.zeros[part] : 8));
    }
    free(scales);
    lspo_int4_pack(shape, o.codes, o.scales, o.zeros, o.packed);
    return o;
}

static void release(weight_t *o)
{
    free(o->codes);
    free(o->zeros);
    free(o->scales);
    free(o->w);
    free(o->packed);
}

/* ---- layout ---- */

Test(int4, unpacking_gives_back_what_was_packed)
{
    for (size_t k = 0; k < SHAPES; k++) {
        weight_t o = make(&shapes[k]);
        const size_t count = o.shape.m * o.shape.n, parts = groups_of(&o.shape) * o.shape.n;
        uint8_t *codes = room(count), *zeros = room(parts);
        uint16_t *scales = room(parts * sizeof *scales);
        cr_expect_eq(lspo_int4_groups(&o.shape), groups_of(&o.shape));
        lspo_int4_unpack(&o.shape, o.packed, codes, scales, zeros);
        cr_expect_arr_eq(codes, o.codes, count, "shape %zu", k);
        cr_expect_arr_eq(scales, o.scales, parts * sizeof *scales, "shape %zu", k);
        for (size_t i = 0; i < parts; i++)
            cr_assert_eq(zeros[i], o.zeros != NULL ? o.zeros[i] : 8, "shape %zu, zero %zu", k, i);
        free(codes), free(zeros), free(scales);
        release(&o);
    }
}

/* 4 + 16 / 128 bits per weight, and 16 / 128 more for zero points; a strip of 32 columns and 32 rows at least. */
Test(int4, a_weight_takes_4_125_bits)
{
    cr_expect_eq(lspo_int4_bytes(&(lspo_int4_shape_t){4096, 11008, 128, false}), 4096UL * 11008 * 33 / 64);
    cr_expect_eq(lspo_int4_bytes(&(lspo_int4_shape_t){4096, 11008, 128, true}), 4096UL * 11008 * 34 / 64);
    cr_expect_eq(lspo_int4_bytes(&(lspo_int4_shape_t){4096, 64, 0, false}), 64UL * (4096 / 2 + 2));
    cr_expect_eq(lspo_int4_bytes(&(lspo_int4_shape_t){1, 1, 128, false}), 32UL * 16 + 64);
    for (size_t k = 0; k < SHAPES; k++) {
        lspo_int4_shape_t shape = shapes[k];
        cr_expect_eq(lspo_int4_bytes(&shape) % 64, 0);
        shape.zeros = false;
        cr_expect_eq(lspo_int4_bytes(&shape), lspo_int4_weight_bytes(shape.m, shape.n, shape.group), "shape %zu", k);
    }
}

Test(int4, expanded_weights_are_code_less_zero_point_times_scale)
{
    for (size_t k = 0; k < SHAPES; k++) {
        weight_t o = make(&shapes[k]);
        const size_t m = o.shape.m, n = o.shape.n, col = n > 32 ? 32 : 0, row = m > 8 ? 3 : 0;
        float *out = random_floats(9, m * n + 1);
        const float behind = out[m * n];
        lspo_int4_expand(&o.shape, o.packed, &(lspo_int4_part_t){0, m, 0, n}, out, n);
        for (size_t i = 0; i < m * n; i++)
            cr_assert_float_eq((double)out[i], o.w[i], 1e-7 * fabs(o.w[i]), "shape %zu, weight %zu", k, i);
        cr_expect_eq(out[m * n], behind);
        lspo_int4_expand(&o.shape, o.packed, &(lspo_int4_part_t){row, m - row, col, n - col}, out, n);
        for (size_t i = row; i < m; i++)
            for (size_t j = col; j < n; j++)
                cr_assert_float_eq((double)out[(i - row) * n + j - col], o.w[i * n + j], 1e-7 * fabs(o.w[i * n + j]));
        free(out);
        release(&o);
    }
}

/* ---- products ---- */

typedef struct {
    double error, size; /* means of |C - C'| and of |C'| */
} distance_t;

static distance_t distance(const weight_t *o, size_t rows, const float *x, const float *added, const float *out)
{
    const size_t m = o->shape.m, n = o->shape.n;
    double *line = room(n * sizeof *line);
    distance_t d = {0, 0};
    for (size_t r = 0; r < rows; r++) {
        for (size_t j = 0; j < n; j++)
            line[j] = (double)added[j] + (double)added[n + r * n + j];
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < n; j++)
                line[j] += (double)x[r * m + i] * o->w[i * n + j];
        for (size_t j = 0; j < n; j++) {
            d.error += fabs((double)out[r * n + j] - line[j]) / (double)(rows * n);
            d.size += fabs(line[j]) / (double)(rows * n);
        }
    }
    free(line);
    return d;
}

static void check_product(const weight_t *o, size_t rows, lspo_workers_t *workers)
{
    const size_t count = rows * o->shape.n;
    float *x = random_floats(1, rows * o->shape.m), *out = random_floats(2, count), *again = random_floats(2, count);
    float *added = random_floats(4, o->shape.n + count); /* bias and residual */
    const lspo_int4_product_t p = {.rows = rows, .shape = o->shape, .packed = o->packed, .bias = added};
    lspo_int4_product(&p, x, added + o->shape.n, out, NULL);
    const distance_t d = distance(o, rows, x, added, out);
    cr_assert_lt(d.error, 1e-3 * d.size); /* the criterion of MARLIN's own test */
    cr_assert_lt(d.error, 5e-5 * d.size, "%zu x %zu, %zu rows, group %zu: %g of %g", o->shape.m, o->shape.n, rows,
                 o->shape.group, d.error, d.size);
    memcpy(again, added + o->shape.n, count * sizeof *again); /* in place */
    lspo_int4_product(&p, x, again, again, workers);
    if (rows <= LSPO_INT4_FEW_ROWS)
        cr_assert_arr_eq(again, out, count * sizeof *out, "the same bits for any number of workers");
    cr_assert_lt(distance(o, rows, x, added, again).error, 5e-5 * d.size);
    free(x), free(out), free(again), free(added);
}

Test(int4, products_with_any_number_of_rows)
{
    static const size_t rows[] = {1, 2, 3, 5, 16, 17, 40};
    lspo_workers_t *workers = NULL;
    cr_assert_eq(lspo_workers_create(3, NULL, &workers), LSPO_OK);
    for (size_t k = 0; k < SHAPES; k++) {
        weight_t o = make(&shapes[k]);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            check_product(&o, rows[i], workers);
        release(&o);
    }
    lspo_workers_destroy(workers);
}

Test(int4, products_with_up_to_1024_rows)
{
    static const size_t rows[] = {1, 4, 16, 64, 256, 1024}, groups[] = {0, 128};
    for (size_t g = 0; g < 2; g++) {
        weight_t o = make(&(lspo_int4_shape_t){512, 288, groups[g], false});
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            check_product(&o, rows[i], NULL);
        release(&o);
    }
}

/* Integers are exact, and what follows has the same order everywhere. */
Test(int4, vector_units_change_no_bit)
{
    enum { ROWS = 3 };
    const lspo_cpu_level_t best = lspo_cpu_level();
    for (size_t k = 0; k < SHAPES; k++) {
        weight_t o = make(&shapes[k]);
        const size_t count = ROWS * o.shape.n;
        float *x = random_floats(1, ROWS * o.shape.m), *first = random_floats(2, count), *out = random_floats(2, count);
        const lspo_int4_product_t p = {.rows = ROWS, .shape = o.shape, .packed = o.packed};
        for (int level = LSPO_CPU_PORTABLE; level <= (int)best; level++) {
            lspo_cpu_limit((lspo_cpu_level_t)level);
            lspo_int4_product(&p, x, NULL, level == LSPO_CPU_PORTABLE ? first : out, NULL);
            if (level > LSPO_CPU_PORTABLE)
                cr_expect_arr_eq(out, first, count * sizeof *out, "shape %zu, %s", k,
                                 lspo_cpu_level_name((lspo_cpu_level_t)level));
        }
        lspo_cpu_limit(LSPO_CPU_AVX512);
        free(x), free(first), free(out);
        release(&o);
    }
}

/* Codes and numbers at their limits, of one sign: the sums in 16 bits have the least room. */
Test(int4, the_largest_sums_fit)
{
    const lspo_int4_shape_t shape = {256, 32, 128, true};
    weight_t o = make(&shape);
    float x[256], out[32];
    memset(o.codes, 15, 256 * 32);
    memset(o.zeros, 0, 2 * 32);
    lspo_int4_pack(&shape, o.codes, o.scales, o.zeros, o.packed);
    for (int sign = -1; sign <= 1; sign += 2) {
        for (size_t i = 0; i < 256; i++)
            x[i] = (float)sign;
        lspo_int4_product(&(lspo_int4_product_t){.rows = 1, .shape = shape, .packed = o.packed}, x, NULL, out, NULL);
        for (size_t j = 0; j < 32; j++) {
            float scales[2];
            lspo_unpack_fp16(1, o.scales + j, scales);
            lspo_unpack_fp16(1, o.scales + 32 + j, scales + 1);
            const double wanted = sign * 15.0 * 128 * ((double)scales[0] + (double)scales[1]);
            cr_expect_float_eq((double)out[j], wanted, 1e-6 * fabs(wanted));
        }
    }
    release(&o);
}

/* 0; too small to count; one large number among small ones; not finite. */
Test(int4, special_numbers)
{
    const lspo_int4_shape_t shape = {128, 32, 128, false};
    weight_t o = make(&shape);
    float x[128] = {0}, out[32];
    const lspo_int4_product_t p = {.rows = 1, .shape = shape, .packed = o.packed};
    lspo_int4_product(&p, x, NULL, out, NULL);
    for (size_t j = 0; j < 32; j++)
        cr_expect_eq(out[j], 0.0F);
    x[5] = 1e-35F;
    lspo_int4_product(&p, x, NULL, out, NULL);
    for (size_t j = 0; j < 32; j++)
        cr_expect_eq(out[j], 0.0F);
    x[5] = 3e38F / 1e6F;
    lspo_int4_product(&p, x, NULL, out, NULL);
    for (size_t j = 0; j < 32; j++)
        cr_expect_float_eq((double)out[j], (double)x[5] * o.w[5 * 32 + j], 1e-6 * (double)x[5] * fabs(o.w[5 * 32 + j]));
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t k = 0; k < 3; k++) {
        x[77] = bad[k];
        lspo_int4_product(&p, x, NULL, out, NULL);
        for (size_t j = 0; j < 32; j++)
            cr_expect(isnan(out[j]), "%g gives %g", (double)bad[k], (double)out[j]);
    }
    release(&o);
}

/* ---- quantizers ---- */

static void expand_all(const lspo_int4_shape_t *shape, const void *packed, float *out)
{
    lspo_int4_expand(shape, packed, &(lspo_int4_part_t){0, shape->m, 0, shape->n}, out, shape->n);
}

Test(int4, rounded_weights_are_within_half_a_scale)
{
    for (size_t k = 0; k < SHAPES; k++) {
        lspo_int4_shape_t shape = shapes[k];
        shape.zeros = false;
        const size_t m = shape.m, n = shape.n, rows = rows_of_group(&shape);
        float *w = random_floats(4, m * n), *out = random_floats(5, m * n);
        void *packed = room(lspo_int4_bytes(&shape));
        cr_assert(lspo_int4_round(NULL, &shape, w, packed));
        expand_all(&shape, packed, out);
        for (size_t i = 0; i < m * n; i++) {
            double most = 0;
            for (size_t r = i / n / rows * rows; r < m && r < (i / n / rows + 1) * rows; r++)
                most = fmax(most, fabs((double)w[r * n + i % n]));
            /* Half of 2 / 15, and 7 times the rounding of the scale. */
            cr_assert_leq(fabs((double)out[i] - (double)w[i]), most * (1 + 14.0 / 2048) / 15, "shape %zu, %zu", k, i);
        }
        free(w), free(out), free(packed);
    }
}

/* What 4 bits hold exactly comes back: multiples of a scale from -8 to 7, if -7.5 is the largest. */
Test(int4, rounding_is_exact_where_it_can_be)
{
    const lspo_int4_shape_t shape = {32, 40, 32, false};
    float w[32 * 40], out[32 * 40];
    void *packed = room(lspo_int4_bytes(&shape));
    for (size_t i = 0; i < 32 * 40; i++)
        w[i] = 0.25F * (float)((int)(i / 40 % 15) - 7);
    for (size_t j = 0; j < 40; j++)
        w[j] = -7.5F * 0.25F;
    cr_assert(lspo_int4_round(NULL, &shape, w, packed));
    expand_all(&shape, packed, out);
    for (size_t i = 40; i < 32 * 40; i++)
        cr_expect_eq(out[i], w[i], "%zu: %g", i, (double)w[i]);
    free(packed);
}

Test(int4, weights_that_fp16_cannot_scale_are_refused)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY, 1e6F};
    const lspo_int4_shape_t shape = {200, 70, 128, false};
    float *w = random_floats(4, shape.m * shape.n);
    float *hessian = calloc(shape.m * shape.m, sizeof *hessian);
    void *packed = room(lspo_int4_bytes(&shape));
    cr_assert_not_null(hessian);
    for (size_t k = 0; k < 4; k++) {
        const size_t at = 170 * shape.n + 69;
        w[at] = bad[k];
        cr_expect_not(lspo_int4_round(NULL, &shape, w, packed), "%g", (double)bad[k]);
        for (size_t i = 0; i < shape.m; i++)
            hessian[i * shape.m + i] = 1;
        cr_expect_not(lspo_int4_gptq(NULL, &shape, w, hessian, packed));
    }
    hessian[0] = NAN;
    cr_expect_eq(lspo_gptq_factor(shape.m, LSPO_INT4_DAMPING, hessian), LSPO_ERR_INPUT);
    hessian[0] = 1;
    hessian[3] = NAN;
    cr_expect_eq(lspo_gptq_factor(shape.m, LSPO_INT4_DAMPING, hessian), LSPO_ERR_INPUT);
    free(w), free(hessian), free(packed);
}

/* The sum of squares of X (W - W'). */
static double output_error(size_t tokens, const float *x, const lspo_int4_shape_t *shape, const float *w,
                           const void *packed)
{
    float *out = random_floats(5, shape->m * shape->n);
    double sum = 0;
    expand_all(shape, packed, out);
    for (size_t t = 0; t < tokens; t++)
        for (size_t j = 0; j < shape->n; j++) {
            double y = 0;
            for (size_t i = 0; i < shape->m; i++)
                y += (double)x[t * shape->m + i] * ((double)w[i * shape->n + j] - (double)out[i * shape->n + j]);
            sum += y * y;
        }
    free(out);
    return sum;
}

Test(int4, gptq_halves_the_error_of_rounding_with_correlated_inputs)
{
    enum { TOKENS = 512 };
    static const size_t groups[] = {0, 32, 128};
    for (size_t g = 0; g < 3; g++) {
        const lspo_int4_shape_t shape = {192, 140, groups[g], false};
        float *x = correlated_inputs(TOKENS, shape.m), *w = random_floats(4, shape.m * shape.n);
        float *changing = random_floats(4, shape.m * shape.n), *hessian = calloc(shape.m * shape.m, sizeof *hessian);
        void *rounded = room(lspo_int4_bytes(&shape)), *packed = room(lspo_int4_bytes(&shape));
        cr_assert_not_null(hessian);
        cr_assert(lspo_int4_round(NULL, &shape, w, rounded));
        lspo_gptq_add_inputs(NULL, shape.m, TOKENS / 2, x, hessian);
        lspo_gptq_add_inputs(NULL, shape.m, TOKENS / 2, x + TOKENS / 2 * shape.m, hessian);
        cr_assert_eq(lspo_gptq_factor(shape.m, LSPO_INT4_DAMPING, hessian), LSPO_OK);
        cr_assert(lspo_int4_gptq(NULL, &shape, changing, hessian, packed));
        cr_expect_lt(output_error(TOKENS, x, &shape, w, packed), 0.5 * output_error(TOKENS, x, &shape, w, rounded));
        free(x), free(w), free(changing), free(hessian), free(rounded), free(packed);
    }
}

/* Nothing can make up for anything. */
Test(int4, gptq_rounds_to_nearest_with_independent_inputs)
{
    const lspo_int4_shape_t shape = {200, 70, 64, false};
    const size_t bytes = lspo_int4_bytes(&shape);
    float *w = random_floats(4, shape.m * shape.n), *hessian = calloc(shape.m * shape.m, sizeof *hessian);
    void *rounded = room(bytes), *packed = room(bytes);
    cr_assert_not_null(hessian);
    for (size_t i = 0; i < shape.m; i++)
        hessian[i * shape.m + i] = 3;
    cr_assert(lspo_int4_round(NULL, &shape, w, rounded));
    cr_assert_eq(lspo_gptq_factor(shape.m, LSPO_INT4_DAMPING, hessian), LSPO_OK);
    cr_assert(lspo_int4_gptq(NULL, &shape, w, hessian, packed));
    cr_expect_arr_eq(packed, rounded, bytes);
    free(w), free(hessian), free(rounded), free(packed);
}

/* By the code of a column's scale. */
static double nearest_code(const void *scales, size_t j, double w)
{
    const double scale = ((const double *)scales)[j];
    return fmin(fmax(rint(w / scale), -8), 7) * scale;
}

/* All rows are one group. */
static void find_scales(size_t m, size_t n, const double *w, double *scales)
{
    for (size_t j = 0; j < n; j++) {
        double most = 0;
        for (size_t i = 0; i < m; i++)
            most = fmax(most, fabs(w[i * n + j]));
        uint16_t half;
        float scale = (float)(most * 2 / 15);
        lspo_pack_fp16(1, &scale, &half);
        lspo_unpack_fp16(1, &half, &scale);
        scales[j] = (double)scale;
    }
}

Test(int4, gptq_follows_its_derivation)
{
    enum { M = 150, N = 5, TOKENS = 300 };
    const lspo_int4_shape_t shape = {M, N, 0, false};
    float *x = correlated_inputs(TOKENS, M), *w = random_floats(4, M * N), *hessian = calloc(M * M, sizeof *hessian);
    double exact[M * N], scales[N];
    uint8_t codes[M * N];
    void *packed = room(lspo_int4_bytes(&shape));
    cr_assert_not_null(hessian);
    for (size_t t = 0; t < TOKENS; t++) /* inputs without values */
        x[t * M] = x[t * M + 60] = 0;
    double *h = reference_hessian(TOKENS, M, x, 0.01);
    for (size_t i = 0; i < M * N; i++)
        exact[i] = i / N % 60 == 0 && i / N < 120 ? 0 : (double)w[i];
    find_scales(M, N, exact, scales);
    reference_gptq(M, N, h, nearest_code, scales, exact);
    lspo_gptq_add_inputs(NULL, M, TOKENS, x, hessian);
    cr_assert_eq(lspo_gptq_factor(shape.m, LSPO_INT4_DAMPING, hessian), LSPO_OK);
    cr_assert(lspo_int4_gptq(NULL, &shape, w, hessian, packed));
    lspo_int4_unpack(&shape, packed, codes, NULL, NULL);
    for (size_t i = 0; i < M * N; i++) {
        cr_assert_eq(codes[i], (int)rint(exact[i] / scales[i % N]) + 8, "%zu, %zu", i / N, i % N);
        cr_assert_float_eq((double)w[i], exact[i], 1e-6, "w becomes what the codes stand for");
    }
    for (size_t j = 0; j < N; j++)
        cr_expect_eq(codes[60 * N + j], 8);
    free(x), free(w), free(hessian), free(h), free(packed);
}

Test(int4, workers_change_no_code)
{
    const lspo_int4_shape_t shape = {192, 300, 64, false};
    const size_t bytes = lspo_int4_bytes(&shape);
    float *x = correlated_inputs(64, shape.m), *w = random_floats(4, shape.m * shape.n);
    char *first[2] = {room(bytes), room(bytes)}, *packed = room(bytes);
    for (uint32_t count = 1; count <= 3; count++) {
        lspo_workers_t *workers;
        float *changing = random_floats(4, shape.m * shape.n), *hessian = calloc(shape.m * shape.m, sizeof *hessian);
        cr_assert_not_null(hessian);
        cr_assert_eq(lspo_workers_create(count, NULL, &workers), LSPO_OK);
        cr_assert(lspo_int4_round(workers, &shape, w, count == 1 ? first[0] : packed));
        cr_expect(count == 1 || memcmp(packed, first[0], bytes) == 0);
        lspo_gptq_add_inputs(workers, shape.m, 64, x, hessian);
        cr_assert_eq(lspo_gptq_factor(shape.m, LSPO_INT4_DAMPING, hessian), LSPO_OK);
        cr_assert(lspo_int4_gptq(workers, &shape, changing, hessian, count == 1 ? first[1] : packed));
        cr_expect(count == 1 || memcmp(packed, first[1], bytes) == 0);
        lspo_workers_destroy(workers);
        free(changing), free(hessian);
    }
    free(x), free(w), free(first[0]), free(first[1]), free(packed);
}
