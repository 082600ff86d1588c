/* Products with few rows against loops in double precision: formats, layouts, sizes around every limit. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/few_rows.h"
#include "kernels/pack.h"
#include "kernels/random.h"

typedef struct {
    size_t rows, m, n;
    bool bias, residual;
} size_case_t;

/* One row and several, whose number is a group of those that are computed together, several or not a multiple; fewer
 * rows of W than are added together, and not a multiple; one part and several; so many columns that fewer rows of W are
 * read at once, which a third of them, a worker's, are not, with half a line of 16-bit numbers at the end or not. */
static const size_case_t cases[] = {
    {1, 1, 1, false, false},    {1, 7, 300, true, false},   {1, 64, 17001, false, true}, {2, 16, 64, false, false},
    {3, 33, 97, true, true},    {4, 39, 259, true, true},   {5, 19, 259, true, true},    {6, 48, 31, true, false},
    {7, 17, 130, false, true},  {8, 50, 96, true, true},    {9, 130, 70, true, false},   {13, 40, 65, true, true},
    {16, 35, 2115, true, true}, {17, 21, 259, true, true},  {33, 65, 513, false, false}, {1, 39, 1030, true, true},
    {2, 27, 702, false, true},  {1, 27, 1045, false, true}, {2, 35, 1045, true, true},   {2, 9, 1024, true, false}};

static float *random_floats(uint64_t stream, size_t count)
{
    float *out = malloc(count * sizeof *out);
    cr_assert_not_null(out);
    lspo_random_normal_fill(3, stream, 1.0, count, out);
    return out;
}

/* W in the format, and `w` as what it then holds. */
static void *stored(lspo_number_t number, size_t count, float *w)
{
    void *out = malloc(count * sizeof(float));
    cr_assert_not_null(out);
    lspo_convert(count, LSPO_NUMBER_FP32, w, number, out);
    lspo_convert(count, number, out, LSPO_NUMBER_FP32, w);
    return out;
}

typedef struct {
    lspo_few_rows_t p;
    float *x, *w, *bias, *residual, *out;
    void *in_format;
} operands_t;

static operands_t make(const size_case_t *c, lspo_number_t number, bool transposed)
{
    operands_t o = {.x = random_floats(1, c->rows * c->m),
                    .w = random_floats(2, c->m * c->n),
                    .bias = random_floats(4, c->n),
                    .residual = random_floats(5, c->rows * c->n),
                    .out = random_floats(6, c->rows * c->n)};
    o.in_format = stored(number, c->m * c->n, o.w);
    o.p = (lspo_few_rows_t){.rows = c->rows,
                            .m = c->m,
                            .n = c->n,
                            .number = number,
                            .w = o.in_format,
                            .transposed = transposed,
                            .bias = c->bias ? o.bias : NULL};
    return o;
}

static void release(operands_t *o)
{
    free(o->in_format);
    free(o->out);
    free(o->residual);
    free(o->bias);
    free(o->w);
    free(o->x);
}

/* The exact sum, and the sum of absolute values, which bounds the rounding. */
static double expected(const operands_t *o, const float *residual, size_t r, size_t j, double *size_out)
{
    const lspo_few_rows_t *p = &o->p;
    double sum = (p->bias ? (double)o->bias[j] : 0) + (residual ? (double)residual[r * p->n + j] : 0);
    *size_out = fabs(sum);
    for (size_t i = 0; i < p->m; i++) {
        const double term = (double)o->x[r * p->m + i] * (double)o->w[p->transposed ? j * p->m + i : i * p->n + j];
        sum += term;
        *size_out += fabs(term);
    }
    return sum;
}

static void check(const operands_t *o, const float *residual, const char *what)
{
    for (size_t r = 0; r < o->p.rows; r++)
        for (size_t j = 0; j < o->p.n; j++) {
            double size, wanted = expected(o, residual, r, j, &size);
            cr_assert_lt(fabs((double)o->out[r * o->p.n + j] - wanted), 1e-6 * size + 1e-12,
                         "%s: %zu x %zu x %zu, number %d, at %zu, %zu", what, o->p.rows, o->p.m, o->p.n, o->p.number, r,
                         j);
        }
}

static void check_format(lspo_number_t number, bool transposed)
{
    lspo_workers_t *workers = NULL;
    cr_assert_eq(lspo_workers_create(3, NULL, &workers), LSPO_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        operands_t o = make(&cases[i], number, transposed);
        const size_t bytes = o.p.rows * o.p.n * sizeof(float);
        float *alone = malloc(bytes);
        cr_assert_not_null(alone);
        const float *residual = cases[i].residual ? o.residual : NULL;
        lspo_few_rows_product(&o.p, o.x, residual, o.out, NULL);
        check(&o, residual, "alone");
        memcpy(alone, o.out, bytes);
        lspo_few_rows_product(&o.p, o.x, residual, o.out, workers);
        check(&o, residual, "shared");
        if (o.p.rows <= LSPO_FEW_ROWS)
            cr_expect_arr_eq(alone, o.out, bytes, "the same bits for any number of workers");
        if (residual) { /* in place */
            memcpy(o.out, residual, bytes);
            lspo_few_rows_product(&o.p, o.x, o.out, o.out, NULL);
            check(&o, residual, "in place");
        }
        free(alone);
        release(&o);
    }
    lspo_workers_destroy(workers);
}

/* As every CPU up to this one computes. */
static void check_levels(lspo_number_t number)
{
    for (lspo_cpu_level_t level = LSPO_CPU_PORTABLE; level < LSPO_CPU_LEVEL_COUNT; level++) {
        lspo_cpu_limit(level);
        check_format(number, false);
        check_format(number, true);
    }
}

Test(few_rows, fp32)
{
    check_levels(LSPO_NUMBER_FP32);
}

Test(few_rows, bf16)
{
    check_levels(LSPO_NUMBER_BF16);
}

Test(few_rows, fp16)
{
    check_levels(LSPO_NUMBER_FP16);
}
