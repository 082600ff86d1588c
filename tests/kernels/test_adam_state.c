/* Adam with m and v in bf16 or 8 bits: values, codes and rounding against their definitions, steps against a naive loop
 * in double precision. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/adam_codes.h"
#include "kernels/adam_state.h"
#include "kernels/random.h"
#include "kernels/rounding.h"

enum { CODES = 256, BLOCK = 256 };

/* ---- the 256 values, as bitsandbytes makes them: means of neighbours on a line from 0.1 to 1, by decade; 0 and 1;
 * sorted ---- */

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void dynamic_map(bool has_sign, double values[CODES])
{
    size_t count = 0;
    for (int i = 0; i < 7; i++) {
        const int items = has_sign ? 1 << i : 1 << (i + 1);
        for (int k = 0; k < items; k++) {
            const double left = 0.1 + 0.9 * k / items, right = 0.1 + 0.9 * (k + 1) / items;
            const double value = pow(10, i - 6) * (left + right) / 2;
            values[count++] = value;
            if (has_sign)
                values[count++] = -value;
        }
    }
    values[count++] = 0;
    values[count++] = 1;
    cr_assert_eq(count, CODES);
    qsort(values, CODES, sizeof *values, ascending);
}

Test(adam_state, values_are_the_dynamic_map)
{
    for (int has_sign = 0; has_sign <= 1; has_sign++) {
        double expected[CODES];
        dynamic_map(has_sign, expected);
        for (int code = 0; code < CODES; code++) {
            const float got = (has_sign ? lspo_adam_m_of_code : lspo_adam_v_of_code)((uint8_t)code, 2);
            cr_assert_float_eq(got, 2 * expected[code], 6e-7 * fabs(expected[code]), "sign %d, code %d: %g", has_sign,
                               code, (double)got);
        }
    }
}

/* By search; a v above 0 has at least code 1. */
static int nearest_code(const double values[CODES], double x, bool has_sign)
{
    int best = 0;
    for (int code = 1; code < CODES; code++)
        if (fabs(values[code] - x) < fabs(values[best] - x))
            best = code;
    return !has_sign && best == 0 && x > 0 ? 1 : best;
}

/* Equal to the search, or both as near to x as floats can tell. */
static void expect_code(const double values[CODES], double x, bool has_sign, int got)
{
    const int want = nearest_code(values, x, has_sign);
    if (got == want)
        return;
    const double far = fabs(values[got] - x), near = fabs(values[want] - x);
    cr_assert_leq(far - near, 3e-6 * fabs(x), "sign %d: %.9g has code %d, not %d", has_sign, x, got, want);
    cr_assert(has_sign || got > 0 || x <= 0, "v of %g is stored as 0", x);
}

/* All values, all limits between them and their neighbours, the ends of decades, and numbers of all sizes. */
Test(adam_state, codes_are_the_nearest)
{
    double of_m[CODES], of_v[CODES];
    dynamic_map(true, of_m);
    dynamic_map(false, of_v);
    for (int i = 0; i < 40000; i++) {
        double x = i < 256    ? of_v[i]
                   : i < 511  ? (of_v[i - 256] + of_v[i - 255]) / 2 * (1 + 1e-5 * (i % 3 - 1))
                   : i < 767  ? fabs(of_m[i - 511])
                   : i < 800  ? pow(10, -(i - 767) / 4) * (1 + 1e-6 * (i % 4 - 2))
                   : i < 1800 ? (i - 800) / 999.0
                              : pow(10, -9.0 * lspo_random_uniform(3, 1, (uint64_t)i));
        x = (double)(float)fmin(x, 1);
        expect_code(of_v, x, false, lspo_adam_code_of_v((float)x, 1));
        expect_code(of_m, x, true, lspo_adam_code_of_m((float)x, 1));
        expect_code(of_m, -x, true, lspo_adam_code_of_m((float)-x, 1));
    }
    cr_expect_eq(lspo_adam_code_of_v(NAN, 1), 255, "inside the table");
    cr_expect_eq(lspo_adam_code_of_m(NAN, 1), 255);
    cr_expect_eq(lspo_adam_code_of_m(-1, 1), 0, "the nearest to -1");
}

/* ---- layout ---- */

/* 1,000 weights: 4 blocks of 256 with two scales each. */
Test(adam_state, takes_what_its_format_says)
{
    cr_expect_eq(lspo_adam_state_bytes(LSPO_ADAM_FP32, lspo_adam_places(LSPO_ADAM_FP32, 1000)), 8000u);
    cr_expect_eq(lspo_adam_state_bytes(LSPO_ADAM_BF16, lspo_adam_places(LSPO_ADAM_BF16, 1000)), 4000u);
    cr_expect_eq(lspo_adam_state_bytes(LSPO_ADAM_8BIT, lspo_adam_places(LSPO_ADAM_8BIT, 1000)), 4u * (512 + 8));
    char memory[1040];
    const lspo_adam_state_t second = lspo_adam_state_at(LSPO_ADAM_8BIT, memory, 512, 256, 200);
    cr_expect_eq(second.count, 200u);
    cr_expect_eq((char *)second.m - memory, 256);
    cr_expect_eq((char *)second.v - memory, 768);
    cr_expect_eq((char *)second.m_scale - memory, 1028);
    cr_expect_eq((char *)second.v_scale - memory, 1036);
}

typedef struct {
    lspo_adam_format_t format;
    size_t count, places;
    void *memory;
} moments_t;

static moments_t make_moments(lspo_adam_format_t format, size_t count)
{
    moments_t it = {format, count, lspo_adam_places(format, count), NULL};
    it.memory = calloc(1, lspo_adam_state_bytes(format, it.places) + 1);
    cr_assert_not_null(it.memory);
    return it;
}

static lspo_adam_state_t state_of(const moments_t *it, uint64_t seed, size_t at, size_t count)
{
    lspo_adam_state_t state = lspo_adam_state_at(it->format, it->memory, it->places, at, count);
    state.seed = seed;
    state.first = at;
    return state;
}

static double bf16_value(uint16_t bits)
{
    const uint32_t whole = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &whole, sizeof value);
    return (double)value;
}

/* m and v of element i, by the test's own tables. */
static void read_moments(const moments_t *it, const double of_m[CODES], const double of_v[CODES], size_t i, double *m,
                         double *v)
{
    const lspo_adam_state_t state = state_of(it, 0, 0, it->count);
    if (it->format == LSPO_ADAM_BF16) {
        *m = bf16_value(((const uint16_t *)state.m)[i]);
        *v = bf16_value(((const uint16_t *)state.v)[i]);
    } else {
        *m = of_m[((const uint8_t *)state.m)[i]] * (double)state.m_scale[i / BLOCK];
        *v = of_v[((const uint8_t *)state.v)[i]] * (double)state.v_scale[i / BLOCK];
    }
}

/* ---- steps against double precision ---- */

/* Gradients of many sizes within a block, some of them 0. */
static float gradient_of(uint32_t step, size_t i)
{
    const double size = pow(10, -4.0 * lspo_random_uniform(5, 9, i));
    return i % 11 == 0 ? 0 : (float)(size * lspo_random_normal(5, step, i));
}

typedef struct {
    double m, v, w;
} expected_t;

/* The equations of adam.h with decay, in double, from the moments that are stored. */
static expected_t expected_step(const lspo_adam_t *adam, double g, double w, expected_t from)
{
    const double beta1 = (double)adam->beta1, beta2 = (double)adam->beta2, scaled = g * (double)adam->gradient_scale;
    expected_t to = {.m = beta1 * from.m + (1 - beta1) * scaled, .v = beta2 * from.v + (1 - beta2) * scaled * scaled};
    const double m_hat = to.m / (1 - pow(beta1, adam->step)), v_hat = to.v / (1 - pow(beta2, adam->step));
    const double direction = to.v > 0 ? m_hat / (sqrt(v_hat + (double)adam->root_epsilon) + (double)adam->epsilon) : 0;
    to.w = w - (double)adam->learning_rate * (direction + (double)adam->weight_decay * w);
    return to;
}

/* One of the two bf16 numbers around x, and the upper one exactly if the random bits say so. */
static void expect_rounded(double got, double x, uint32_t random_16, const char *what)
{
    const double step = x == 0 ? 0 : ldexp(1, (int)floor(log2(fabs(x))) - 7);
    const double away = step > 0 ? fabs(x) / step : 0, below = floor(away), share = away - below;
    const double up = share + random_16 / 65536.0;
    if (step == 0) {
        cr_assert_eq(got, 0, "%s", what);
        return;
    }
    const double want = copysign((below + (up >= 1 ? 1 : 0)) * step, x);
    /* Where the exact number and the float of the kernel lie on two sides of the limit either is right. */
    if (fabs(up - 1) > 1e-3)
        cr_assert_float_eq(got, want, 1e-9 * fabs(want), "%s: %.9g became %.9g", what, x, got);
    else
        cr_assert_float_eq(got, want, step, "%s: %.9g became %.9g", what, x, got);
}

static uint64_t splitmix(uint64_t seed, uint64_t index)
{
    uint64_t z = seed + (index + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static double largest_of(const expected_t *of, size_t block, size_t count, bool is_m)
{
    double largest = 0;
    for (size_t i = block * BLOCK; i < (block + 1) * BLOCK && i < count; i++)
        largest = fmax(largest, fabs(is_m ? of[i].m : of[i].v));
    return largest;
}

static void expect_codes(const moments_t *it, const expected_t *want, const double of_m[CODES],
                         const double of_v[CODES], size_t i)
{
    const lspo_adam_state_t state = state_of(it, 0, 0, it->count);
    const double m_scale = largest_of(want, i / BLOCK, it->count, true);
    const double v_scale = largest_of(want, i / BLOCK, it->count, false);
    cr_assert_float_eq(state.m_scale[i / BLOCK], m_scale, 1e-6 * m_scale);
    cr_assert_float_eq(state.v_scale[i / BLOCK], v_scale, 1e-6 * v_scale);
    const int m = ((const uint8_t *)state.m)[i], v = ((const uint8_t *)state.v)[i];
    const double x = want[i].m / m_scale, y = want[i].v / v_scale;
    const int m_want = nearest_code(of_m, x, true), v_want = nearest_code(of_v, y, false);
    /* Another code only where two are as near, to what floats can tell. */
    cr_assert(m == m_want || fabs(fabs(of_m[m] - x) - fabs(of_m[m_want] - x)) < 5e-6 * fabs(x));
    cr_assert(v == v_want || fabs(fabs(of_v[v] - y) - fabs(of_v[v_want] - y)) < 5e-6 * y);
}

static void check_steps(lspo_adam_format_t format)
{
    enum { N = 1000, STEPS = 30 };
    static float gradient[N], w[N], out[N];
    static expected_t want[N];
    double of_m[CODES], of_v[CODES];
    moments_t it = make_moments(format, N), twin = make_moments(format, N);
    dynamic_map(true, of_m);
    dynamic_map(false, of_v);
    for (size_t i = 0; i < N; i++)
        w[i] = (float)lspo_random_normal(5, 0, i);
    for (uint32_t step = 1; step <= STEPS; step++) {
        lspo_adam_t adam = lspo_adam_default(1e-2F, step);
        const uint64_t seed = 77 + step;
        const lspo_adam_state_t state = state_of(&it, seed, 0, N), state_twin = state_of(&twin, seed, 0, N);
        adam.weight_decay = 0.1F;
        adam.root_epsilon = 1e-6F;
        adam.gradient_scale = 0.5F;
        for (size_t i = 0; i < N; i++) {
            expected_t from = {0};
            gradient[i] = gradient_of(step, i);
            read_moments(&it, of_m, of_v, i, &from.m, &from.v);
            want[i] = expected_step(&adam, (double)gradient[i], (double)w[i], from);
            out[i] = w[i];
        }
        lspo_adam_direction(&adam, &state_twin, gradient, out);
        for (size_t i = 0; i < N; i++)
            out[i] = w[i] - adam.learning_rate * (out[i] + adam.weight_decay * w[i]);
        lspo_adam_parameters(&adam, &state, gradient, w);
        cr_assert_arr_eq(out, w, sizeof w, "both forms step alike");
        for (size_t i = 0; i < N; i++) {
            double m, v;
            const uint64_t word = splitmix(seed, i);
            cr_assert_float_eq(w[i], want[i].w, 2e-6, "step %u, weight %zu is %.9g, not %.9g", step, i, (double)w[i],
                               want[i].w);
            read_moments(&it, of_m, of_v, i, &m, &v);
            if (format == LSPO_ADAM_8BIT) {
                expect_codes(&it, want, of_m, of_v, i);
                continue;
            }
            expect_rounded(m, want[i].m, (uint32_t)word & 0xffff, "m");
            expect_rounded(v, want[i].v, (uint32_t)word >> 16, "v");
        }
    }
    cr_assert_arr_eq(it.memory, twin.memory, lspo_adam_state_bytes(format, it.places));
    free(it.memory);
    free(twin.memory);
}

Test(adam_state, bf16_steps_as_a_naive_loop)
{
    check_steps(LSPO_ADAM_BF16);
}

Test(adam_state, codes_step_as_a_naive_loop)
{
    check_steps(LSPO_ADAM_8BIT);
}

/* In pieces that begin at blocks, and with guards around: the same bits, and nothing beyond. */
static void check_pieces(lspo_adam_format_t format, size_t n)
{
    static float gradient[2000], whole_w[2000], parts_w[2001];
    moments_t whole = make_moments(format, n), parts = make_moments(format, n);
    parts_w[n] = 12345.0F;
    for (size_t i = 0; i < n; i++)
        whole_w[i] = parts_w[i] = (float)lspo_random_normal(6, 0, i);
    for (uint32_t step = 1; step <= 3; step++) {
        const lspo_adam_t adam = lspo_adam_default(1e-2F, step);
        for (size_t i = 0; i < n; i++)
            gradient[i] = gradient_of(step, i);
        const lspo_adam_state_t state = state_of(&whole, step, 0, n);
        lspo_adam_parameters(&adam, &state, gradient, whole_w);
        for (size_t at = 0, piece = BLOCK; at < n; at += piece, piece = piece == BLOCK ? 2 * (size_t)BLOCK : BLOCK) {
            const lspo_adam_state_t part = state_of(&parts, step, at, n - at < piece ? n - at : piece);
            lspo_adam_parameters(&adam, &part, gradient + at, parts_w + at);
        }
    }
    cr_assert_arr_eq(parts_w, whole_w, n * sizeof *whole_w, "%zu", n);
    cr_assert_arr_eq(parts.memory, whole.memory, lspo_adam_state_bytes(format, whole.places), "%zu", n);
    cr_assert_eq(parts_w[n], 12345.0F);
    free(whole.memory);
    free(parts.memory);
}

Test(adam_state, does_not_depend_on_pieces)
{
    static const size_t sizes[] = {0, 1, 15, 16, 17, 255, 256, 257, 600, 1024, 1999};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        check_pieces(LSPO_ADAM_BF16, sizes[i]);
        check_pieces(LSPO_ADAM_8BIT, sizes[i]);
    }
}

/* ---- what the formats are for ---- */

static float nearest_bf16(float x)
{
    const double step = ldexp(1, (int)floor(log2((double)x)) - 7);
    return (float)(nearbyint((double)x / step) * step);
}

/* g = 0 for 700 steps: v falls to 0.999^700 = 0.4964 of what it was, on average; rounded to the nearest it stays. */
Test(adam_state, a_second_moment_in_bf16_falls)
{
    enum { N = 4096, STEPS = 700 };
    static float gradient[N], out[N];
    moments_t it = make_moments(LSPO_ADAM_BF16, N);
    double sum = 0;
    float nearest = 1;
    for (size_t i = 0; i < N; i++)
        ((uint16_t *)it.memory)[N + i] = 0x3f80; /* 1 */
    for (uint32_t step = 1; step <= STEPS; step++) {
        const lspo_adam_t adam = lspo_adam_default(0, step);
        const lspo_adam_state_t state = state_of(&it, step, 0, N);
        lspo_adam_direction(&adam, &state, gradient, out);
        nearest = nearest_bf16(0.999F * nearest);
    }
    for (size_t i = 0; i < N; i++)
        sum += bf16_value(((const uint16_t *)it.memory)[N + i]);
    cr_expect_float_eq(sum / N, pow(0.999, STEPS), 0.003);
    cr_expect_eq(nearest, 1.0F);
    free(it.memory);
}

/* A million roundings of one number: the mean is the number, and the variance that of two outcomes, to five standard
 * errors; the bits for m, v and the weight do not go together. */
Test(adam_state, rounding_is_fair)
{
    enum { N = 1 << 20 };
    const double share = 0.3, step = ldexp(1, -7), x = 1 + share * step;
    double means[3] = {0}, products[3] = {0};
    for (uint64_t i = 0; i < N; i++) {
        const uint64_t word = lspo_rounding_word(42, i);
        const float value = (float)x;
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        const uint32_t random[3] = {(uint32_t)word & 0xffff, (uint32_t)word >> 16, (uint32_t)(word >> 48)};
        double up[3];
        for (int k = 0; k < 3; k++) {
            up[k] = lspo_rounded_bf16(bits, random[k]) >> 16 == 0x3f81;
            cr_assert(up[k] == 1 || lspo_rounded_bf16(bits, random[k]) >> 16 == 0x3f80);
            means[k] += up[k] / N;
        }
        for (int k = 0; k < 3; k++)
            products[k] += up[k] * up[(k + 1) % 3] / N;
    }
    const double error = sqrt(share * (1 - share) / N);
    for (int k = 0; k < 3; k++) {
        cr_expect_float_eq(means[k], share, 5 * error);
        cr_expect_float_eq(products[k], share * share, 5 * error);
    }
}

/* Neighbours only, and fair, in both formats: 1.2 steps of a number in the normal range, and of a denormal of fp16. */
Test(adam_state, weights_are_rounded_fairly)
{
    enum { N = 1 << 18 };
    static const struct {
        lspo_number_t number;
        float x;
        uint16_t below;
    } cases[] = {{LSPO_NUMBER_BF16, 1 + 1.2F * 0x1p-7F, 0x3f81},
                 {LSPO_NUMBER_BF16, -1 - 1.2F * 0x1p-7F, 0xbf81},
                 {LSPO_NUMBER_FP16, 1 + 1.2F * 0x1p-10F, 0x3c01},
                 {LSPO_NUMBER_FP16, -1 - 1.2F * 0x1p-10F, 0xbc01},
                 {LSPO_NUMBER_FP16, 1.2F * 0x1p-24F, 0x0001}};
    float *in = malloc(N * sizeof *in);
    uint16_t *out = malloc(N * sizeof *out);
    cr_assert(in && out);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        double ups = 0;
        for (size_t i = 0; i < N; i++)
            in[i] = cases[c].x;
        lspo_pack_randomly(cases[c].number, N, 8, 0, in, out);
        for (size_t i = 0; i < N; i++) {
            cr_assert(out[i] == cases[c].below || out[i] == cases[c].below + 1, "case %zu: %x", c, out[i]);
            ups += out[i] != cases[c].below;
        }
        cr_expect_float_eq(ups / N, 0.2, 5 * sqrt(0.2 * 0.8 / N), "case %zu: %g", c, ups / N);
        lspo_pack_randomly(cases[c].number, 100, 8, 50, in, out + 200);
        cr_expect_arr_eq(out + 200, out + 50, 100 * sizeof *out, "bits belong to a place");
    }
    const float extremes[] = {0, -0.0F, INFINITY, -INFINITY, NAN, FLT_MAX, 65504};
    uint16_t bf16[7], fp16[7];
    lspo_pack_randomly(LSPO_NUMBER_BF16, 7, 1, 0, extremes, bf16);
    lspo_pack_randomly(LSPO_NUMBER_FP16, 7, 1, 0, extremes, fp16);
    cr_expect(bf16[0] == 0 && bf16[1] == 0x8000 && bf16[2] == 0x7f80 && bf16[3] == 0xff80 && bf16[4] > 0x7f80);
    cr_expect(fp16[0] == 0 && (fp16[1] & 0x7fff) == 0 && fp16[2] == 0x7c00 && fp16[3] == 0xfc00);
    cr_expect_gt(fp16[4], 0x7c00);
    cr_expect(bf16[5] == 0x7f7f || bf16[5] == 0x7f80);
    cr_expect(fp16[5] == 0x7c00 && fp16[6] == 0x7bff);
    free(out);
    free(in);
}

/* A gradient a ten-thousandth of its block's largest: its v is less than any value but 0.  With v = 0, a gradient of 0
 * would then make a step of m / eps, thousands of learning rates. */
Test(adam_state, a_small_second_moment_is_not_lost)
{
    float gradient[BLOCK] = {0}, out[BLOCK];
    moments_t it = make_moments(LSPO_ADAM_8BIT, BLOCK);
    gradient[0] = 1;
    gradient[1] = 1e-4F;
    for (uint32_t step = 1; step <= 3; step++) {
        const lspo_adam_t adam = lspo_adam_default(1, step);
        const lspo_adam_state_t state = state_of(&it, 0, 0, BLOCK);
        lspo_adam_direction(&adam, &state, gradient, out);
        cr_expect_lt(fabsf(out[1]), 2, "step %u: %g", step, (double)out[1]);
        cr_expect_eq(out[2], 0);
        gradient[0] = gradient[1] = 0;
    }
    free(it.memory);
}

/* NaN stays NaN, beside it nothing is read outside the tables; an overflow is no NaN of the first step. */
Test(adam_state, survives_extremes)
{
    for (int format = LSPO_ADAM_BF16; format <= LSPO_ADAM_8BIT; format++) {
        float gradient[5] = {0, 1e-30F, NAN, -1e25F, 3e38F}, out[5];
        moments_t it = make_moments((lspo_adam_format_t)format, 5);
        const lspo_adam_t adam = lspo_adam_default(1, 1);
        const lspo_adam_state_t state = state_of(&it, 0, 0, 5);
        lspo_adam_direction(&adam, &state, gradient, out);
        cr_expect(out[0] == 0 && isnan(out[2]) && isfinite(out[1]) && isfinite(out[3]) && isfinite(out[4]));
        lspo_adam_direction(&adam, &state, gradient, out);
        cr_expect(isnan(out[2]));
        free(it.memory);
    }
}
