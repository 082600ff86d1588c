/* 4-bit NormalFloat against its definition: the levels as quantiles of N(0, 1), codes and magnitudes by a naive loop in
 * double, and the bounds of the errors. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/nf4.h"
#include "kernels/random.h"
#include "plan/footprint.h"

enum { BLOCK = 64, GROUP = 256, LEVELS = 16 };

/* No number; less than a block, a block, more; a group, more; several groups. */
static const size_t counts[] = {0, 1, 63, 64, 65, 1000, 16384, 16385, 50001};
enum { COUNTS = sizeof counts / sizeof *counts };

static float *floats(size_t n)
{
    float *x = calloc(n + 1, sizeof *x);
    cr_assert_not_null(x);
    return x;
}

/* Blocks of very different sizes. */
static float *uneven_weights(size_t n)
{
    float *w = floats(n);
    lspo_random_normal_fill(5, n, 0.02, n, w);
    for (size_t i = 0; i < n; i++)
        w[i] *= (float)(1 + i / BLOCK % 7);
    return w;
}

/* A weight in 4 bits, with its memory. */
typedef struct {
    lspo_nf4_t nf4;
    void *memory;
    size_t bytes;
} stored_t;

static stored_t make_room(size_t n)
{
    stored_t s = {.bytes = lspo_nf4_bytes(1, &n)};
    s.memory = malloc(s.bytes);
    cr_assert_not_null(s.memory);
    memset(s.memory, 0xa5, s.bytes);
    lspo_nf4_place(1, &n, s.memory, &s.nf4);
    return s;
}

static bool quantize(lspo_workers_t *workers, const float *w, const stored_t *to)
{
    float *scratch = floats(lspo_nf4_blocks(to->nf4.count));
    const bool finite = lspo_nf4_quantize(workers, w, scratch, &to->nf4);
    free(scratch);
    return finite;
}

static stored_t quantized(const float *w, size_t n)
{
    stored_t s = make_room(n);
    cr_assert(quantize(NULL, w, &s));
    return s;
}

static uint32_t code_of(const lspo_nf4_t *nf4, size_t i)
{
    return i % 2 == 0 ? nf4->codes[i / 2] & 15U : nf4->codes[i / 2] >> 4U;
}

static double largest_of(const float *w, size_t n, size_t block)
{
    double largest = 0;
    for (size_t i = block * BLOCK; i < n && i < (block + 1) * BLOCK; i++)
        largest = fmax(largest, fabs((double)w[i]));
    return largest;
}

/* c'_b by its definition. */
static double scale_of(const lspo_nf4_t *nf4, size_t block)
{
    return (double)*nf4->mean + (double)nf4->steps[block / GROUP] * nf4->magnitudes[block];
}

/* ---- the levels ---- */

/* x with P(N(0, 1) <= x) = p, by bisection. */
static double quantile(double p)
{
    double low = -10, high = 10;
    for (int i = 0; i < 100; i++) {
        const double middle = (low + high) / 2;
        if (erfc(-middle / sqrt(2.0)) / 2 < p)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}

/* 8 evenly spaced probabilities from `edge` to 1/2 give the positive levels, 7 the negative ones, and one level is 0;
 * edge is halfway between the middles of the outermost of 15 and of 16 equal parts of N(0, 1).  The table was computed
 * in fp32. */
Test(nf4, levels_are_quantiles_of_the_normal_distribution)
{
    const double edge = ((1 - 1.0 / 30) + (1 - 1.0 / 32)) / 2, most = quantile(edge);
    for (int i = 0; i < 8; i++)
        cr_expect_float_eq((double)lspo_nf4_levels[15 - i], quantile(edge + (0.5 - edge) * i / 8) / most, 5e-7);
    for (int i = 0; i < 7; i++)
        cr_expect_float_eq((double)lspo_nf4_levels[i], -quantile(edge + (0.5 - edge) * i / 7) / most, 5e-7);
    cr_expect_eq(lspo_nf4_levels[7], 0.0F);
    cr_expect_eq(lspo_nf4_levels[0], -1.0F);
    cr_expect_eq(lspo_nf4_levels[15], 1.0F);
}

/* ---- the naive loop ---- */

/* The distance to the code's level is the least; a weight halfway between two may round to either. */
static void check_codes(const float *w, const stored_t *s)
{
    for (size_t i = 0; i < s->nf4.count; i++) {
        const double c = largest_of(w, s->nf4.count, i / BLOCK), x = c > 0 ? (double)w[i] / c : 0;
        double least = INFINITY;
        for (int k = 0; k < LEVELS; k++)
            least = fmin(least, fabs(x - (double)lspo_nf4_levels[k]));
        const double got = fabs(x - (double)lspo_nf4_levels[code_of(&s->nf4, i)]);
        cr_assert_leq(got, least + 5e-7, "number %zu of %zu is %g from its level, not %g", i, s->nf4.count, got, least);
    }
}

static void check_magnitudes(const float *w, const stored_t *s)
{
    const size_t n = s->nf4.count, blocks = (n + BLOCK - 1) / BLOCK;
    double mean = 0;
    for (size_t b = 0; b < blocks; b++)
        mean += largest_of(w, n, b) / (double)blocks;
    cr_assert_float_eq((double)*s->nf4.mean, mean, 1e-6 * mean);
    for (size_t b = 0; b < blocks; b++) {
        double most = 0;
        for (size_t k = b / GROUP * GROUP; k < blocks && k < (b / GROUP + 1) * GROUP; k++)
            most = fmax(most, fabs(largest_of(w, n, k) - mean));
        const double step = most / 127, error = fabs(scale_of(&s->nf4, b) - largest_of(w, n, b));
        cr_assert_float_eq((double)s->nf4.steps[b / GROUP], step, 1e-6 * mean / 127 + 1e-6 * step);
        cr_assert_leq(error, step / 2 + 1e-6 * mean, "block %zu of %zu: %g off, a step is %g", b, blocks, error, step);
    }
}

static void check_expanded(const float *w, const stored_t *s)
{
    const size_t n = s->nf4.count;
    float *out = floats(n);
    out[n] = 7;
    lspo_nf4_expand(&s->nf4, out);
    cr_assert_eq(out[n], 7.0F, "a number past the end of %zu was written", n);
    for (size_t i = 0; i < n; i++) {
        const double level = (double)lspo_nf4_levels[code_of(&s->nf4, i)], c = largest_of(w, n, i / BLOCK);
        const double step = (double)s->nf4.steps[i / BLOCK / GROUP], got = (double)out[i];
        cr_assert_float_eq(got, level * scale_of(&s->nf4, i / BLOCK), 3e-7 * c, "number %zu of %zu", i, n);
        /* Half of the largest gap, which is between the two lowest levels, and half a step of the magnitudes. */
        const double bound = (1 - 0.6961928) / 2 * c + fabs(level) * step / 2;
        cr_assert_leq(fabs(got - (double)w[i]), bound + 1e-6 * c, "number %zu of %zu is %g, was %g", i, n, got,
                      (double)w[i]);
    }
    free(out);
}

static void check_on_every_level(void (*check)(const float *w, const stored_t *s))
{
    const lspo_cpu_level_t best = lspo_cpu_level();
    for (int level = LSPO_CPU_PORTABLE; level <= (int)best; level++) {
        lspo_cpu_limit((lspo_cpu_level_t)level);
        for (size_t k = 0; k < COUNTS; k++) {
            float *w = uneven_weights(counts[k]);
            stored_t s = quantized(w, counts[k]);
            check(w, &s);
            free(s.memory), free(w);
        }
    }
    lspo_cpu_limit(LSPO_CPU_AVX512);
}

Test(nf4, codes_are_the_nearest_levels)
{
    check_on_every_level(check_codes);
}

Test(nf4, magnitudes_are_within_half_a_step)
{
    check_on_every_level(check_magnitudes);
}

Test(nf4, expanded_numbers_are_level_times_scale_within_the_bound)
{
    check_on_every_level(check_expanded);
}

/* ---- what is special ---- */

Test(nf4, the_parts_are_4_127_bits_per_number)
{
    const size_t n = 4096 * 4096, several[] = {1000, n, 65};
    stored_t s[3];
    lspo_nf4_t parts[3];
    cr_expect_eq(lspo_nf4_bytes(1, &n), n / 2 + n / 64 + 4 * n / (64 * 256) + 4);
    cr_expect_float_eq(8.0 * (double)lspo_nf4_bytes(1, &n) / (double)n, 4.127, 5e-4);
    size_t sum = 0;
    for (size_t k = 0; k < COUNTS; k++)
        cr_expect_eq(lspo_nf4_bytes(1, &counts[k]), lspo_nf4_weight_bytes(counts[k]), "%zu numbers", counts[k]);
    for (int k = 0; k < 3; k++)
        sum += lspo_nf4_bytes(1, &several[k]);
    cr_expect_eq(lspo_nf4_bytes(3, several), sum);
    /* Each lies where no other does: what the first holds outlives the others. */
    char *memory = malloc(sum);
    cr_assert_not_null(memory);
    lspo_nf4_place(3, several, memory, parts);
    for (int k = 0; k < 3; k++) {
        float *w = uneven_weights(several[k]), *scratch = floats(lspo_nf4_blocks(several[k]));
        s[k] = quantized(w, several[k]);
        cr_assert(lspo_nf4_quantize(NULL, w, scratch, &parts[k]));
        free(scratch), free(w);
    }
    for (int k = 0; k < 3; k++) {
        float *together = floats(several[k]), *alone = floats(several[k]);
        lspo_nf4_expand(&parts[k], together);
        lspo_nf4_expand(&s[k].nf4, alone);
        cr_expect_arr_eq(together, alone, several[k] * sizeof *alone, "weight %d", k);
        free(alone), free(together), free(s[k].memory);
    }
    cr_expect_eq((char *)(parts[2].magnitudes + 2), memory + sum);
    free(memory);
}

/* All zeros; then among them a block of other numbers. */
Test(nf4, zeros_stay_zeros)
{
    enum { N = 5 * BLOCK + 3 };
    float *w = floats(N), *out = floats(N);
    for (uint32_t others = 0; others <= BLOCK; others += BLOCK) {
        uint32_t nonzero = 0;
        for (size_t i = 0; i < others; i++)
            w[2 * BLOCK + i] = i % 2 == 0 ? 0.5F : -1.0F;
        stored_t s = quantized(w, N);
        lspo_nf4_expand(&s.nf4, out);
        for (size_t i = 0; i < N; i++) {
            nonzero += out[i] != 0;
            cr_expect(i / BLOCK == 2 || out[i] == 0, "number %zu is %g", i, (double)out[i]);
        }
        cr_expect_eq(nonzero, others);
        free(s.memory);
    }
    free(out), free(w);
}

/* A weight whose blocks are alike has no spread: the mean is the scale, and the largest numbers come back exactly. */
Test(nf4, equal_blocks_are_exact_at_their_ends)
{
    enum { N = 300 * BLOCK };
    float *w = floats(N), *out = floats(N);
    for (size_t i = 0; i < N; i++)
        w[i] = i % 2 == 0 ? 0.75F : -0.75F;
    stored_t s = quantized(w, N);
    cr_expect_eq(s.nf4.steps[0], 0.0F);
    cr_expect_eq(s.nf4.steps[1], 0.0F);
    lspo_nf4_expand(&s.nf4, out);
    cr_expect_arr_eq(out, w, N * sizeof *w);
    free(s.memory), free(out), free(w);
}

Test(nf4, numbers_that_are_not_finite_are_refused)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    static const size_t places[] = {0, 63, 64, 16384, 20000, 20001};
    enum { N = 20002 };
    float *w = uneven_weights(N);
    stored_t s = make_room(N);
    for (size_t p = 0; p < sizeof places / sizeof *places; p++)
        for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
            const float kept = w[places[p]];
            w[places[p]] = bad[k];
            cr_expect_not(quantize(NULL, w, &s), "%g at %zu", (double)bad[k], places[p]);
            w[places[p]] = kept;
        }
    cr_expect(quantize(NULL, w, &s));
    w[17] = FLT_MAX;
    cr_expect(quantize(NULL, w, &s));
    free(s.memory), free(w);
}

Test(nf4, workers_and_vector_units_change_no_bit)
{
    enum { N = 100001 };
    float *w = uneven_weights(N), *first = floats(N), *out = floats(N);
    stored_t one = quantized(w, N), other = make_room(N);
    const lspo_cpu_level_t best = lspo_cpu_level();
    lspo_nf4_expand(&one.nf4, first);
    for (uint32_t count = 1; count <= 4; count++) {
        lspo_workers_t *workers;
        cr_assert_eq(lspo_workers_create(count, NULL, &workers), LSPO_OK);
        memset(other.memory, 0xff, other.bytes);
        cr_assert(quantize(workers, w, &other));
        cr_expect_arr_eq(other.memory, one.memory, one.bytes, "%u workers", count);
        lspo_workers_destroy(workers);
    }
    for (int level = LSPO_CPU_PORTABLE; level <= (int)best; level++) {
        lspo_cpu_limit((lspo_cpu_level_t)level);
        lspo_nf4_expand(&one.nf4, out);
        cr_expect_arr_eq(out, first, N * sizeof *out, "%s", lspo_cpu_level_name((lspo_cpu_level_t)level));
    }
    lspo_cpu_limit(LSPO_CPU_AVX512);
    free(other.memory), free(one.memory), free(out), free(first), free(w);
}
