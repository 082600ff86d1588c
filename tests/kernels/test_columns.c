/* Columns by importance, against a reference that counts for each column how many come before it. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "kernels/columns.h"

enum { MOST = 3000 };

static uint64_t drawn = 7;
static uint32_t draw(uint32_t below)
{
    drawn = drawn * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(drawn >> 33) % below;
}

/* A column with a NaN or an infinite number comes first of all. */
static double importance(const lspo_columns_t *shape, const float *g, size_t j)
{
    double sum = 0;
    for (size_t i = 0; i < shape->m; i++)
        sum += fabs((double)g[i * shape->n + j]);
    return isnan(sum) ? (double)INFINITY : sum;
}

static void expect_split(const lspo_columns_t *shape, const float *g)
{
    static float scratch[2 * MOST];
    static uint32_t columns[MOST];
    size_t at = 0, rest = shape->count;
    lspo_columns_split(shape, g, scratch, columns);
    for (size_t j = 0; j < shape->n; j++) {
        size_t before = 0;
        const double own = importance(shape, g, j);
        for (size_t k = 0; k < shape->n; k++) {
            const double other = importance(shape, g, k);
            before += other > own || (other == own && k < j);
        }
        cr_assert_eq(columns[before < shape->count ? at++ : rest++], j, "%zu of %zu x %zu", shape->count, shape->m,
                     shape->n);
    }
    cr_expect_eq(at, shape->count);
}

/* Multiples of powers of two that fp32 adds exactly, over its whole range, with ties, zeros of both signs and NaN. */
static float draw_number(uint32_t exponents)
{
    const float sign = draw(2) ? 1.0f : -1.0f;
    if (exponents == 200 && draw(100) == 0)
        return NAN;
    return sign * ldexpf((float)draw(8), (int)draw(exponents) - (int)exponents / 2);
}

Test(columns, the_largest_are_selected)
{
    static float g[MOST];
    for (uint32_t i = 0; i < 60; i++) {
        const size_t m = i % 3 == 0 ? 3 : 1, n = 1 + draw(i < 50 ? 60 : MOST / (uint32_t)m - 1);
        const uint32_t exponents = m == 3 ? 4 : i % 3 == 1 ? 200 : 1;
        for (size_t j = 0; j < m * n; j++)
            g[j] = draw_number(exponents);
        expect_split(&(lspo_columns_t){m, n, draw((uint32_t)n + 1)}, g);
        expect_split(&(lspo_columns_t){m, n, n}, g);
    }
}

/* Denormal numbers and the largest ones differ in their last bits only. */
Test(columns, last_bits_count)
{
    float g[64];
    for (uint32_t i = 0; i < 64; i++)
        g[i] = i % 2 ? nextafterf(0, 1) * (float)(i + 1) : -3e38f - (float)i * 2.1e31f;
    for (size_t count = 0; count <= 64; count++)
        expect_split(&(lspo_columns_t){1, 64, count}, g);
}
