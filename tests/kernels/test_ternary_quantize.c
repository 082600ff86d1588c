/* Matrices that become ternary: rounding and GPTQ against loops in double, their errors on correlated inputs, and every
 * rounded weight behind its packing. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/gptq.h"
#include "kernels/pack.h"
#include "kernels/random.h"
#include "kernels/ternary.h"
#include "kernels/ternary_quantize.h"
#include "tests/gptq_reference.h"

static float *random_weights(size_t count)
{
    float *w = calloc(count, sizeof *w);
    cr_assert_not_null(w);
    lspo_random_normal_fill(3, 4, 0.05, count, w);
    return w;
}

static double in_bf16(double x)
{
    const float narrow = (float)x;
    uint16_t half;
    float wide;
    lspo_pack_bf16(1, &narrow, &half);
    lspo_unpack_bf16(1, &half, &wide);
    return (double)wide;
}

/* The numbers of each column. */
typedef struct {
    double low[512], high[512];
} numbers_t;

static numbers_t numbers_of(size_t m, size_t n, const double *w)
{
    numbers_t of = {0};
    for (size_t j = 0; j < n; j++) {
        for (size_t i = 0; i < m; i++) {
            of.low[j] = fmin(of.low[j], w[i * n + j]);
            of.high[j] = fmax(of.high[j], w[i * n + j]);
        }
        of.low[j] = in_bf16(of.low[j]);
        of.high[j] = in_bf16(of.high[j]);
    }
    return of;
}

/* The nearest of the three. */
static double nearest_number(const void *numbers, size_t j, double w)
{
    const numbers_t *of = numbers;
    double best = 0;
    if (fabs(w - of->low[j]) < fabs(w - best))
        best = of->low[j];
    return fabs(w - of->high[j]) < fabs(w - best) ? of->high[j] : best;
}

static void widen(size_t count, const float *w, double *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (double)w[i];
}

/* With columns that have numbers on one side only, and one that is zero. */
Test(ternary_quantize, rounding_takes_the_nearest_of_three_numbers)
{
    enum { M = 77, N = 300 };
    float *w = random_weights((size_t)M * N);
    double *exact = calloc((size_t)M * N, sizeof *exact);
    cr_assert_not_null(exact);
    for (size_t i = 0; i < M; i++) {
        w[i * N + 3] = fabsf(w[i * N + 3]);
        w[i * N + 140] = -fabsf(w[i * N + 140]);
        w[i * N + 299] = 0;
    }
    widen((size_t)M * N, w, exact);
    const numbers_t numbers = numbers_of(M, N, exact);
    cr_assert(lspo_ternary_nearest(NULL, M, N, w));
    for (size_t i = 0; i < (size_t)M * N; i++)
        cr_assert_float_eq((double)w[i], nearest_number(&numbers, i % N, exact[i]), 0, "%zu, %zu: %g", i / N, i % N,
                           exact[i]);
    free(w), free(exact);
}

/* Of 768 normal weights per output, as the header says. */
Test(ternary_quantize, most_normal_weights_become_zero)
{
    enum { M = 768, N = 200 };
    float *w = random_weights((size_t)M * N);
    size_t zeros = 0;
    cr_assert(lspo_ternary_nearest(NULL, M, N, w));
    for (size_t i = 0; i < (size_t)M * N; i++)
        zeros += w[i] == 0;
    cr_expect_float_eq((double)zeros / (M * N), 0.88, 0.005, "%g", (double)zeros / (M * N));
    free(w);
}

/* ---- GPTQ ---- */

/* U of these inputs. */
static float *factor_of(size_t tokens, size_t m, const float *x, lspo_workers_t *workers)
{
    float *upper = calloc(m * m, sizeof *upper);
    cr_assert_not_null(upper);
    lspo_gptq_add_inputs(workers, m, tokens, x, upper);
    cr_assert_eq(lspo_gptq_factor(m, LSPO_TERNARY_DAMPING, upper), LSPO_OK);
    return upper;
}

Test(ternary_quantize, gptq_follows_its_derivation)
{
    enum { M = 150, N = 6, TOKENS = 300 };
    float *x = correlated_inputs(TOKENS, M), *w = random_weights(M * N);
    double exact[M * N];
    for (size_t t = 0; t < TOKENS; t++) /* inputs without values */
        x[t * M + 7] = x[t * M + 140] = 0;
    double *h = reference_hessian(TOKENS, M, x, 0.1);
    float *upper = factor_of(TOKENS, M, x, NULL);
    widen(M * N, w, exact);
    for (size_t j = 0; j < N; j++)
        exact[7 * N + j] = exact[140 * N + j] = 0;
    const numbers_t numbers = numbers_of(M, N, exact);
    reference_gptq(M, N, h, nearest_number, &numbers, exact);
    cr_assert(lspo_ternary_gptq(NULL, M, N, w, upper));
    for (size_t i = 0; i < M * N; i++)
        cr_assert_float_eq((double)w[i], exact[i], 0, "%zu, %zu: %g, %g", i / N, i % N, (double)w[i], exact[i]);
    free(x), free(w), free(h), free(upper);
}

/* Inputs so small that fp32 loses their products beside the damping are none without values, the first neither. */
Test(ternary_quantize, gptq_keeps_weights_of_tiny_inputs)
{
    enum { M = 20, N = 6, TOKENS = 60 };
    float *x = correlated_inputs(TOKENS, M), *w = random_weights(M * N);
    double exact[M * N];
    for (size_t t = 0; t < TOKENS; t++)
        for (size_t i = 0; i < 2; i++)
            x[t * M + i] *= 1e-5F;
    double *h = reference_hessian(TOKENS, M, x, 0.1);
    float *upper = factor_of(TOKENS, M, x, NULL);
    widen(M * N, w, exact);
    const numbers_t numbers = numbers_of(M, N, exact);
    reference_gptq(M, N, h, nearest_number, &numbers, exact);
    cr_assert(lspo_ternary_gptq(NULL, M, N, w, upper));
    for (size_t i = 0; i < 2; i++) {
        bool lives = false;
        for (size_t j = 0; j < N; j++)
            lives |= exact[i * N + j] != 0;
        cr_assert(lives, "all of row %zu round to 0", i);
    }
    for (size_t i = 0; i < M * N; i++)
        cr_assert_float_eq((double)w[i], exact[i], 0, "%zu, %zu: %g, %g", i / N, i % N, (double)w[i], exact[i]);
    free(x), free(w), free(h), free(upper);
}

/* tr(D^T X^T X D), D the change of W. */
static double output_error(size_t tokens, size_t m, size_t n, const float *x, const float *before, const float *after)
{
    double sum = 0;
    for (size_t t = 0; t < tokens; t++)
        for (size_t j = 0; j < n; j++) {
            double y = 0;
            for (size_t i = 0; i < m; i++)
                y += (double)x[t * m + i] * ((double)before[i * n + j] - (double)after[i * n + j]);
            sum += y * y;
        }
    return sum;
}

Test(ternary_quantize, gptq_halves_the_error_of_rounding_with_correlated_inputs)
{
    static const struct {
        size_t m, n, tokens;
    } cases[] = {{192, 70, 400}, {100, 40, 60} /* fewer tokens than inputs */, {260, 140, 300}};
    for (size_t k = 0; k < 3; k++) {
        const size_t m = cases[k].m, n = cases[k].n, tokens = cases[k].tokens;
        float *x = correlated_inputs(tokens, m), *w = random_weights(m * n), *rounded = random_weights(m * n);
        float *gptq = random_weights(m * n), *upper = factor_of(tokens, m, x, NULL);
        cr_assert(lspo_ternary_nearest(NULL, m, n, rounded));
        cr_assert(lspo_ternary_gptq(NULL, m, n, gptq, upper));
        const double before = output_error(tokens, m, n, x, w, rounded), after = output_error(tokens, m, n, x, w, gptq);
        cr_expect_lt(after, 0.5 * before, "case %zu: %g, rounding %g", k, after, before);
        free(x), free(w), free(rounded), free(gptq), free(upper);
    }
}

/* Nothing can make up for anything. */
Test(ternary_quantize, gptq_rounds_to_nearest_with_independent_inputs)
{
    enum { M = 140, N = 130 };
    float *w = random_weights(M * N), *rounded = random_weights(M * N), *upper = calloc(M * M, sizeof *upper);
    cr_assert_not_null(upper);
    for (size_t i = 0; i < M; i++)
        upper[i * M + i] = 3;
    cr_assert_eq(lspo_gptq_factor(M, LSPO_TERNARY_DAMPING, upper), LSPO_OK);
    cr_assert(lspo_ternary_nearest(NULL, M, N, rounded));
    cr_assert(lspo_ternary_gptq(NULL, M, N, w, upper));
    cr_expect_arr_eq(w, rounded, M * N * sizeof *w);
    free(w), free(rounded), free(upper);
}

/* ---- packing ---- */

Test(ternary_quantize, every_rounded_weight_comes_back_for_any_workers)
{
    enum { M = 150, N = 300, TOKENS = 64 };
    float *x = correlated_inputs(TOKENS, M), *first = NULL, *line = calloc(N, sizeof *line);
    void *memory = calloc(1, lspo_ternary_bytes(N, (size_t)N * M / 2));
    const lspo_ternary_t packed = lspo_ternary_in(M, N, memory);
    size_t codes = 0;
    cr_assert(memory != NULL && line != NULL);
    for (uint32_t count = 1; count <= 3; count++) {
        lspo_workers_t *workers = NULL;
        cr_assert_eq(lspo_workers_create(count, NULL, &workers), LSPO_OK);
        float *w = random_weights(M * N), *upper = factor_of(TOKENS, M, x, workers);
        cr_assert(lspo_ternary_gptq(workers, M, N, w, upper));
        cr_expect(first == NULL || memcmp(first, w, (size_t)M * N * sizeof *w) == 0, "%u workers", count);
        lspo_workers_destroy(workers);
        free(upper), free(first);
        first = w;
    }
    cr_assert_eq(lspo_ternary_pack(first, (size_t)N * M / 2, &packed, &codes), LSPO_OK);
    cr_expect_lt(codes, (size_t)N * M / 8, "at most two bits per weight: %zu codes", codes);
    for (size_t i = 0; i < M; i++) {
        float unit[M] = {0};
        unit[i] = 1;
        lspo_ternary_product(&packed, 1, unit, line, NULL);
        cr_assert_arr_eq(line, first + i * N, N * sizeof *line, "row %zu", i);
    }
    free(x), free(first), free(line), free(memory);
}

Test(ternary_quantize, weights_that_are_not_finite_are_refused)
{
    enum { M = 140, N = 200 };
    static const float bad[] = {NAN, INFINITY, -INFINITY, 3.4e38F /* infinite in bf16 */};
    float *upper = calloc(M * M, sizeof *upper);
    cr_assert_not_null(upper);
    for (size_t i = 0; i < M; i++)
        upper[i * M + i] = 1;
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        float *w = random_weights(M * N), *other = random_weights(M * N);
        w[139 * N + 199] = other[139 * N + 199] = bad[k];
        cr_expect_not(lspo_ternary_nearest(NULL, M, N, w), "%g", (double)bad[k]);
        cr_expect_not(lspo_ternary_gptq(NULL, M, N, other, upper), "%g", (double)bad[k]);
        free(w), free(other);
    }
    free(upper);
}
