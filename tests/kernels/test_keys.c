/* kernels/keys.h on the CPU, against the masked dense adapter in double: outputs, gradients, finite differences; and
 * the experts that a token keeps. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "tests/keys_case.h"

enum { DENSE_ROWS = 23 };

/* y_t = sum over rows of mask ReLU(h k) v, by loops over all rows. */
static void masked_forward(const keys_case_t *c, const float *h, double *y)
{
    for (size_t t = 0; t < c->keys.tokens; t++)
        for (size_t u = 0; u < c->keys.count; u++) {
            double score = 0;
            for (size_t i = 0; i < c->keys.width; i++)
                score += (double)h[t * c->keys.width + i] * (double)key_of(c, u)[i];
            for (size_t i = 0; used(c, t, u) && score > 0 && i < c->keys.width; i++)
                y[t * c->keys.width + i] += score * (double)value_of(c, u)[i];
        }
}

/* The gradients of sum dy y. */
static void masked_backward(const keys_case_t *c, double *dh, double *drows)
{
    const size_t d = c->keys.width;
    for (size_t t = 0; t < c->keys.tokens; t++)
        for (size_t u = 0; u < c->keys.count; u++) {
            double score = 0, slope = 0;
            for (size_t i = 0; i < d; i++) {
                score += (double)c->h[t * d + i] * (double)key_of(c, u)[i];
                slope += (double)c->dy[t * d + i] * (double)value_of(c, u)[i];
            }
            for (size_t i = 0; used(c, t, u) && score > 0 && i < d; i++) {
                dh[t * d + i] += slope * (double)key_of(c, u)[i];
                drows[u * 2 * d + i] += slope * (double)c->h[t * d + i];
                drows[u * 2 * d + d + i] += score * (double)c->dy[t * d + i];
            }
        }
}

static void expect_near(const char *what, const float *got, const double *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        cr_assert_float_eq((double)got[i], want[i], 2e-5 * (1 + fabs(want[i])), "%s[%zu] is %g, not %g", what, i,
                           (double)got[i], want[i]);
}

static void check(size_t tokens, size_t width, size_t count, size_t chosen)
{
    keys_case_t c = make_keys(tokens, width, count, chosen);
    const size_t n = tokens * width, row_numbers = count * 2 * width;
    float *y = copy_of(c.y, n), *dh = copy_of(c.y, n), *drows = copy_of(c.rows, row_numbers);
    double *want = calloc(n + 1, sizeof *want), *want_dh = calloc(n + 1, sizeof *want_dh);
    double *want_drows = calloc(row_numbers + 1, sizeof *want_drows);
    for (size_t i = 0; i < n; i++)
        want[i] = want_dh[i] = (double)c.y[i];
    masked_forward(&c, c.h, want);
    masked_backward(&c, want_dh, want_drows);
    lspo_keys_forward(&c.keys, c.h, y, c.scratch);
    lspo_keys_backward(&c.keys, c.h, c.dy, &(lspo_keys_gradients_t){dh, drows}, c.scratch);
    expect_near("y", y, want, n);
    expect_near("dh", dh, want_dh, n);
    expect_near("drows", drows, want_drows, row_numbers);
    free(want_drows);
    free(want_dh);
    free(want);
    free(drows);
    free(dh);
    free(y);
    release_keys(&c);
}

Test(keys, gathered_equals_masked_dense)
{
    check(1, 1, 1, 1);
    check(5, 16, 7, 3);
    check(9, 33, 12, 5);
    check(31, 48, 40, 1);
}

Test(keys, all_rows_are_the_dense_adapter)
{
    check(6, 24, DENSE_ROWS, DENSE_ROWS);
}

/* sum dy y as a function of h and of the rows: central differences of the masked dense forward. */
Test(keys, gradients_are_finite_differences)
{
    keys_case_t c = make_keys(4, 8, 6, 3);
    const size_t n = 4 * 8, row_numbers = 6 * 16;
    float dh[4 * 8] = {0}, drows[6 * 16];
    lspo_keys_backward(&c.keys, c.h, c.dy, &(lspo_keys_gradients_t){dh, drows}, c.scratch);
    for (size_t i = 0; i < n + row_numbers; i++) {
        float *at = i < n ? &c.h[i] : &c.rows[i - n], kept = *at;
        const float step = 1e-3F;
        double sums[2] = {0};
        for (int side = 0; side < 2; side++) {
            double y[4 * 8] = {0};
            *at = kept + (side ? step : -step);
            masked_forward(&c, c.h, y);
            for (size_t j = 0; j < n; j++)
                sums[side] += (double)c.dy[j] * y[j];
        }
        *at = kept;
        cr_expect_float_eq((double)(i < n ? dh[i] : drows[i - n]), (sums[1] - sums[0]) / (2 * (double)step), 2e-3,
                           "number %zu", i);
    }
    release_keys(&c);
}

Test(keys, a_token_keeps_the_largest_gates)
{
    /* Descending, on ties the lowest first, NaN last. */
    const float g[] = {0.5F, NAN, 2, 0.5F, -1, /**/ NAN, NAN, NAN, NAN, 1};
    const lspo_route_t route = {2, 5, 4};
    uint32_t experts[8];
    float gates[8];
    const uint32_t expected[] = {2, 0, 3, 4, /**/ 4, 0, 1, 2};
    lspo_keys_route(&route, g, experts, gates);
    cr_expect_arr_eq(experts, expected, sizeof expected);
    for (size_t i = 0; i < 8; i++)
        cr_expect(gates[i] == g[i / 4 * 5 + experts[i]] || isnan(gates[i]));
}
