/* The formats of numbers on CUDA: conversion with the host's bits, and stochastic rounding in 16 bits. */
#include "kernels/cuda.h"
#include "kernels/int4_quantize.h"
#include "tests/cuda_numbers.h"

/* ---- conversion: every half, and floats near every rounding boundary ---- */

enum { HALVES = 1 << 16, FLOATS_MAX = 1 << 16 };

/* Each exponent and sign with mantissas at, just below and just above what 16 bits drop (`dropped_bits` of a float) and
 * half of it, and random ones: infinities, NaN and denormals among them. */
static size_t fill_edges(unsigned dropped_bits, uint32_t *bits)
{
    const uint32_t unit = 1U << dropped_bits;
    const uint32_t mantissas[] = {0,
                                  1,
                                  unit / 2 - 1,
                                  unit / 2,
                                  unit / 2 + 1,
                                  unit - 1,
                                  unit,
                                  unit + 1,
                                  unit + unit / 2 - 1,
                                  unit * 3 / 2,
                                  unit * 3 / 2 + 1,
                                  0x7fffff,
                                  0x400000,
                                  0x7fffff - unit / 2,
                                  0x7fffff - unit};
    size_t n = 0;
    for (uint32_t head = 0; head < 512; head++)
        for (size_t i = 0; i < COUNT(mantissas); i++)
            bits[n++] = head << 23 | mantissas[i];
    for (uint32_t i = 0; i < 20000; i++, n++)
        bits[n] = lspo_random_below(5, 5, i, UINT32_MAX);
    return n;
}

/* Numbers of `from` that are hard to bring to `to`; how many. */
static size_t fill_numbers(lspo_number_t from, lspo_number_t to, void *numbers)
{
    if (from == LSPO_NUMBER_FP32)
        return fill_edges(to == LSPO_NUMBER_BF16 ? 16 : 13, numbers);
    for (uint32_t i = 0; i < HALVES; i++)
        ((uint16_t *)numbers)[i] = (uint16_t)i;
    return HALVES;
}

static void check_convert(lspo_number_t from, lspo_number_t to)
{
    char *in = malloc(FLOATS_MAX * sizeof(float)), *out = malloc(FLOATS_MAX * sizeof(float));
    cr_assert(in && out);
    const size_t n = fill_numbers(from, to, in), in_size = lspo_number_bytes(from), out_size = lspo_number_bytes(to);
    lspo_convert(n, from, in, to, out);
    for (order_t order = {0}; next_order(&order);) {
        char *in_ = device_copy(in, n * in_size), *out_ = device_array(n * out_size);
        DEVICE_OK(lspo_convert_cuda(n, from, in_, to, out_, NULL));
        expect_bits(&order, "converted", out_, out, n * out_size);
        /* Arrays that begin within 16 bytes, and end within them. */
        DEVICE_OK(lspo_convert_cuda(n - 6, from, in_ + 3 * in_size, to, out_ + out_size, NULL));
        expect_bits(&order, "shifted", out_ + out_size, out + 3 * out_size, (n - 6) * out_size);
        expect_bits(&order, "the first", out_, out, out_size);
        expect_bits(&order, "the last", out_ + (n - 5) * out_size, out + (n - 5) * out_size, 5 * out_size);
    }
    free(in), free(out);
}

/* A GPU below compute capability 8.0 has no bf16. */
Test(cuda_numbers, formats_are_those_of_the_gpu)
{
    ONLY_ON_HOST();
    cuda_on_host_device(1, 7, 5, 1U << 30);
    cr_assert_eq(COUNT(all_numbers), 2u);
    cr_assert_eq(COUNT(all_halves), 1u);
    cr_assert(all_numbers[0] == LSPO_NUMBER_FP32 && all_halves[0] == LSPO_NUMBER_FP16);
    cuda_on_host_device(1, 8, 0, 1U << 30);
    cr_assert_eq(COUNT(all_numbers), 3u);
    cr_assert_eq(all_halves[1], LSPO_NUMBER_BF16);
}

Test(cuda_numbers, conversions_give_the_hosts_bits)
{
    for (size_t i = 0; i < COUNT(all_numbers); i++)
        for (size_t j = 0; j < COUNT(all_numbers); j++)
            check_convert(all_numbers[i], all_numbers[j]);
    DEVICE_OK(lspo_convert_cuda(0, LSPO_NUMBER_FP32, NULL, LSPO_NUMBER_BF16, NULL, NULL));
    cr_assert_not_null(device_complaint(lspo_convert_cuda(1, (lspo_number_t)3, NULL, LSPO_NUMBER_FP32, NULL, NULL)));
}

/* ---- 4-bit weights ---- */

Test(cuda_numbers, expanded_weights_have_the_hosts_bits)
{
    static const size_t counts[] = {1, 7, 64, 65, 5000, 20003};
    for (size_t k = 0; k < COUNT(counts); k++) {
        const size_t n = counts[k], bytes = lspo_nf4_bytes(1, &n);
        float *w = random_floats(k, 0.02, n), *scratch = floats(n), *want = floats(n);
        void *memory = malloc(bytes);
        lspo_nf4_t nf4, on_device;
        cr_assert_not_null(memory);
        lspo_nf4_place(1, &n, memory, &nf4);
        cr_assert(lspo_nf4_quantize(NULL, w, scratch, &nf4));
        lspo_nf4_expand(&nf4, want);
        for (size_t f = 0; f < COUNT(all_numbers); f++)
            for (order_t order = {0}; next_order(&order);) {
                const size_t number = lspo_number_bytes(all_numbers[f]);
                char *out = empty_numbers(all_numbers[f], n + 2);
                lspo_nf4_place(1, &n, device_copy(memory, bytes), &on_device);
                DEVICE_OK(lspo_nf4_expand_cuda(ON(all_numbers[f]), &on_device, out));
                expect_rounded(&order, all_numbers[f], "expanded", out, want, n);
                DEVICE_OK(lspo_nf4_expand_cuda(ON(all_numbers[f]), &on_device, out + number)); /* not aligned */
                expect_rounded(&order, all_numbers[f], "shifted", out + number, want, n);
            }
        free(memory), free(want), free(scratch), free(w);
    }
}

/* One row and several, one tile of rows and more; groups and columns that are not whole; an odd number of inputs. */
Test(cuda_numbers, products_with_4_bits_are_the_hosts)
{
    static const struct {
        size_t rows;
        lspo_int4_shape_t shape;
    } cases[] = {{1, {1024, 32, 128, false}}, {5, {200, 70, 32, false}},    {16, {288, 33, 0, false}},
                 {17, {95, 64, 64, false}},   {40, {700, 100, 128, false}}, {3, {1, 1, 128, false}}};
    for (size_t k = 0; k < COUNT(cases); k++)
        for (size_t f = 0; f < COUNT(all_halves); f++) {
            const lspo_number_t number = all_halves[f];
            const lspo_int4_shape_t *shape = &cases[k].shape;
            const size_t rows = cases[k].rows, bytes = lspo_int4_bytes(shape), count = rows * shape->n;
            float *w = random_floats(k, 0.02, shape->m * shape->n), *want = floats(count);
            float *x = random_numbers_of(number, 1, 1, rows * shape->m);
            float *bias = random_numbers_of(number, 2, 1, shape->n), *added = random_numbers_of(number, 3, 1, count);
            void *packed = aligned_alloc(64, bytes), *arranged = aligned_alloc(64, bytes);
            cr_assert(packed != NULL && arranged != NULL);
            cr_assert(lspo_int4_round(NULL, shape, w, packed));
            lspo_int4_arrange(shape, packed, arranged);
            lspo_int4_product_t p = {.rows = rows, .shape = *shape, .packed = packed, .bias = bias};
            lspo_int4_product(&p, x, added, want, NULL);
            for (order_t order = {0}; next_order(&order);) {
                void *out = device_numbers(number, added, count); /* the residual, too */
                p.packed = device_copy(arranged, bytes);
                p.bias = device_numbers(number, bias, shape->n);
                DEVICE_OK(lspo_int4_product_cuda(ON(number), &p, device_numbers(number, x, rows * shape->m), out, out));
                expect_numbers(&order, "Y", out, want, count, (near_t){number, 1e-2, 1e-5, 0});
            }
            free(w), free(want), free(x), free(bias), free(added), free(packed), free(arranged);
        }
}

Test(cuda_numbers, products_with_4_bits_refuse_what_they_cannot_do)
{
    const lspo_int4_product_t zeros = {.rows = 1, .shape = {32, 32, 32, true}}, none = {.shape = {32, 32, 32, false}};
    const lspo_int4_product_t one = {.rows = 1, .shape = {32, 32, 32, false}};
    cr_assert_not_null(device_complaint(lspo_int4_product_cuda(ON(LSPO_NUMBER_FP16), &zeros, NULL, NULL, NULL)));
    cr_assert_not_null(device_complaint(lspo_int4_product_cuda(ON(LSPO_NUMBER_FP32), &one, NULL, NULL, NULL)));
    DEVICE_OK(lspo_int4_product_cuda(ON(LSPO_NUMBER_FP16), &none, NULL, NULL, NULL));
}

/* ---- ternary weights ---- */

/* The bytes of a matrix and the table on the device; rows of up to 3 warps of codes, odd and even. */
static void check_ternary(size_t m, size_t n, size_t rows, lspo_number_t number)
{
    const size_t most = n * ((m + 1) / 2);
    float *w = random_floats(m, 0.02, m * n), *scratch = floats(m * n), *want = floats(rows * n);
    float *x = random_numbers_of(number, 1, 1, rows * m);
    char *memory = malloc(lspo_ternary_bytes(n, most));
    cr_assert_not_null(memory);
    lspo_ternary_t packed = lspo_ternary_in(m, n, memory);
    size_t codes = 0;
    lspo_ternary_round(m, n, 0.885, w, scratch);
    cr_assert_eq(lspo_ternary_pack(w, most, &packed, &codes), LSPO_OK);
    lspo_ternary_product(&packed, rows, x, want, NULL);
    for (order_t order = {0}; next_order(&order);) {
        const lspo_ternary_t on_device = lspo_ternary_in(m, n, device_copy(memory, lspo_ternary_bytes(n, codes)));
        const uint32_t *table = device_copy(lspo_ternary_table(), LSPO_TERNARY_CODES * sizeof *table);
        void *out = device_array(rows * n * lspo_number_bytes(number));
        DEVICE_OK(
            lspo_ternary_product_cuda(ON(number), &on_device, table, rows, device_numbers(number, x, rows * m), out));
        expect_numbers(&order, "Y", out, want, rows * n, (near_t){number, 1e-5, 1e-6, 0});
    }
    free(w), free(scratch), free(want), free(x), free(memory);
}

Test(cuda_numbers, ternary_products_are_the_hosts)
{
    static const size_t cases[][3] = {{1, 1, 1}, {64, 19, 2}, {701, 9, 3}, {2000, 8, 1}};
    for (size_t k = 0; k < COUNT(cases); k++)
        for (size_t f = 0; f < COUNT(all_numbers); f++)
            check_ternary(cases[k][0], cases[k][1], cases[k][2], all_numbers[f]);
}

Test(cuda_numbers, ternary_products_refuse_what_they_cannot_do)
{
    const lspo_ternary_t wide = {.m = 1 << 20, .n = 1}, one = {.m = 1, .n = 1}, none = {.m = 1, .n = 0};
    cr_assert_not_null(device_complaint(lspo_ternary_product_cuda(ON(LSPO_NUMBER_FP32), &wide, NULL, 1, NULL, NULL)));
    cr_assert_not_null(
        device_complaint(lspo_ternary_product_cuda(ON(LSPO_NUMBER_FP32), &one, NULL, 65536, NULL, NULL)));
    DEVICE_OK(lspo_ternary_product_cuda(ON(LSPO_NUMBER_FP32), &none, NULL, 1, NULL, NULL));
}

/* ---- pruned weights ---- */

static void check_bitmap(size_t n, double sparsity, lspo_number_t number)
{
    const size_t kept = n - (size_t)llround(sparsity * (double)n), size = lspo_number_bytes(number);
    const size_t bytes = lspo_bitmap_bytes(n, kept, number);
    float *w = random_floats(n, 1, n), *scratch = floats(n);
    char *dense = malloc(n * size), *memory = malloc(bytes);
    cr_assert(dense != NULL && memory != NULL);
    lspo_prune_magnitude(n, sparsity, w, scratch);
    lspo_convert(n, LSPO_NUMBER_FP32, w, number, dense);
    const lspo_bitmap_t bitmap = lspo_bitmap_place(n, kept, number, memory);
    lspo_bitmap_pack(dense, &bitmap);
    for (order_t order = {0}; next_order(&order);) {
        const lspo_bitmap_t on_device = lspo_bitmap_place(n, kept, number, device_copy(memory, bytes));
        uint32_t *counted = device_array(lspo_bitmap_scratch(n) * sizeof *counted);
        char *out = device_array(n * size);
        DEVICE_OK(lspo_bitmap_expand_cuda(ON(number), &on_device, counted, out));
        expect_bits(&order, "expanded", out, dense, n * size);
    }
    free(memory), free(dense), free(scratch), free(w);
}

/* Less than a word, ragged tails, one block of words, some; and more than one scan takes at a time. */
Test(cuda_numbers, bitmaps_expand_to_every_bit)
{
    static const size_t counts[] = {1, 63, 65, 16384, 16385, 50003};
    static const double sparsities[] = {0, 0.5, 0.97, 1};
    for (size_t k = 0; k < COUNT(counts); k++)
        for (size_t s = 0; s < COUNT(sparsities); s++)
            for (size_t f = 0; f < COUNT(all_numbers); f++)
                check_bitmap(counts[k], sparsities[s], all_numbers[f]);
    check_bitmap(16384 * 257 + 5, 0.5, LSPO_NUMBER_BF16);
}

/* ---- rounding at random ----
 *
 * A step w <- 0 w - (-1) direction rounds `direction` itself.  Its neighbours come from the list of all numbers that a
 * format has. */

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

typedef struct {
    float *values; /* finite, ascending */
    size_t n;
} list_t;

static list_t list_of(lspo_number_t number)
{
    list_t list = {floats(HALVES), 0};
    for (uint32_t i = 0; i < HALVES; i++) {
        const uint16_t bits = (uint16_t)i;
        float value;
        lspo_convert(1, number, &bits, LSPO_NUMBER_FP32, &value);
        if (isfinite(value))
            list.values[list.n++] = value;
    }
    qsort(list.values, list.n, sizeof *list.values, by_value);
    return list;
}

/* The largest number of the list that is at most x; x within the list. */
static size_t below(const list_t *list, float x)
{
    size_t first = 0, last = list->n - 1;
    while (first < last) {
        const size_t middle = (first + last + 1) / 2;
        if (list->values[middle] <= x)
            first = middle;
        else
            last = middle - 1;
    }
    return first;
}

/* Where each format has its own steps: ordinary numbers, near zero (fp16's 2^-24 apart, bf16's denormals), large ones,
 * and numbers that need no rounding. */
static void fill_directions(lspo_number_t number, float *x, size_t n)
{
    static const double scales[] = {1, 1e-3, 3e-6, 2e-8, 1e-30, 3e-39, 2e4};
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(scales[i % COUNT(scales)] * lspo_random_normal(3, 3, i));
    for (size_t i = 0; i < n; i++) {
        const bool too_large = number == LSPO_NUMBER_FP16 && fabsf(x[i]) > 65000.0F;
        if (i % 10 == 0 || too_large)
            round_floats(number, 1, &x[i]);
        if (too_large)
            x[i] = 65000.0F;
    }
}

/* w <- direction rounded at random; the numbers as floats. */
static void round_on_device(lspo_number_t number, lspo_number_t format, size_t n, const void *direction, uint64_t seed,
                            float *rounded)
{
    uint16_t *numbers = malloc((n + 1) * sizeof *numbers);
    uint16_t *w = device_array(n * sizeof *w);
    float *zeros = calloc(n + 1, sizeof *zeros);
    cr_assert(numbers && zeros);
    DEVICE_OK(lspo_convert_cuda(n, LSPO_NUMBER_FP32, device_floats(zeros, n), number, w, NULL));
    DEVICE_OK(lspo_step_along_cuda(ON(number), n, &(lspo_vector_step_t){0, -1, seed}, format, direction, w));
    device_read(w, n * sizeof *w, numbers);
    lspo_convert(n, number, numbers, LSPO_NUMBER_FP32, rounded);
    free(numbers), free(zeros);
}

Test(cuda_numbers, random_rounding_gives_one_of_the_two_neighbours)
{
    enum { N = 4000, SEEDS = 20 };
    for (size_t k = 0; k < COUNT(all_halves); k++) {
        const list_t list = list_of(all_halves[k]);
        float *x = floats(N), *rounded = floats(N);
        fill_directions(all_halves[k], x, N);
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            device_free_all();
            round_on_device(all_halves[k], LSPO_NUMBER_FP32, N, device_floats(x, N), seed, rounded);
            for (size_t i = 0; i < N; i++) {
                const size_t at = below(&list, x[i]);
                const float low = list.values[at], high = low == x[i] ? low : list.values[at + 1];
                cr_assert(rounded[i] == low || rounded[i] == high,
                          "%.9g became %.9g, which is neither %.9g nor %.9g (format %d)", (double)x[i],
                          (double)rounded[i], (double)low, (double)high, (int)all_halves[k]);
            }
        }
        free(list.values), free(x), free(rounded);
    }
    device_free_all();
}

/* Over n seeds the mean of a number between low and high has a standard deviation of sqrt((x - low) (high - x) / n). */
Test(cuda_numbers, random_rounding_is_right_in_the_mean)
{
    enum { N = 70, SEEDS = 2000 };
    for (size_t k = 0; k < COUNT(all_halves); k++) {
        const list_t list = list_of(all_halves[k]);
        float *x = floats(N), *rounded = floats(N);
        double sum[N] = {0};
        fill_directions(all_halves[k], x, N);
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            device_free_all();
            round_on_device(all_halves[k], LSPO_NUMBER_FP32, N, device_floats(x, N), 1000 + seed, rounded);
            for (size_t i = 0; i < N; i++)
                sum[i] += (double)rounded[i];
        }
        for (size_t i = 0; i < N; i++) {
            const size_t at = below(&list, x[i]);
            const double low = (double)list.values[at], high = (double)list.values[at + 1], want = (double)x[i];
            cr_assert(fabs(sum[i] / SEEDS - want) <= 4 * sqrt((want - low) * (high - want) / SEEDS) + 1e-6 * fabs(want),
                      "the mean of %.9g is %.9g, between %.9g and %.9g (format %d)", want, sum[i] / SEEDS, low, high,
                      (int)all_halves[k]);
        }
        free(list.values), free(x), free(rounded);
    }
    device_free_all();
}

/* 1000 steps of 2^-13 from 1, where bf16's numbers are 2^-7 apart and fp16's 2^-10: rounded to nearest none would be
 * left.  A step's standard deviation is sqrt(2^-13 (2^-7 - 2^-13)) at most, that of the mean over N all steps' /
 * sqrt(N). */
Test(cuda_numbers, tiny_steps_add_up)
{
    enum { N = 2000, STEPS = 1000 };
    for (size_t k = 0; k < COUNT(all_halves); k++) {
        float *ones = floats(N), *direction = floats(N);
        for (size_t i = 0; i < N; i++) {
            ones[i] = 1;
            direction[i] = -0x1p-3F;
        }
        device_free_all();
        uint16_t *w = device_numbers(all_halves[k], ones, N), *direction_ = device_numbers(all_halves[k], direction, N);
        for (uint64_t step = 0; step < STEPS; step++)
            DEVICE_OK(lspo_step_along_cuda(ON(all_halves[k]), N, &(lspo_vector_step_t){1, 0x1p-10F, step},
                                           all_halves[k], direction_, w));
        uint16_t numbers[N];
        device_read(w, sizeof numbers, numbers);
        lspo_convert(N, all_halves[k], numbers, LSPO_NUMBER_FP32, ones);
        double mean = 0;
        for (size_t i = 0; i < N; i++)
            mean += (double)ones[i] / N;
        cr_assert_float_eq(mean, 1 + STEPS * 0x1p-13, 4 * sqrt(0x1p-13 * 0x1p-7 * STEPS / N));
        free(ones), free(direction);
    }
    device_free_all();
}

/* Equal in every order of the threads; another seed's are others, and so are those of another place. */
Test(cuda_numbers, random_rounding_is_a_function_of_seed_and_place)
{
    enum { N = 1000 };
    float *x = floats(N), *rounded = floats(N), *of_other_seed = floats(N);
    for (size_t i = 0; i < N; i++)
        x[i] = 1 + 0x1p-8F + 0x1p-11F; /* in the middle for both formats */
    for (size_t k = 0; k < COUNT(all_halves); k++) {
        for (order_t order = {0}; next_order(&order);) {
            size_t up = 0, changed = 0, apart = 0;
            float *x_ = device_floats(x, N);
            round_on_device(all_halves[k], LSPO_NUMBER_FP32, N, x_, 5, rounded);
            round_on_device(all_halves[k], LSPO_NUMBER_FP32, N, x_, 6, of_other_seed);
            add_to_hash(&order, rounded, N * sizeof *rounded);
            for (size_t i = 0; i < N; i++) {
                up += rounded[i] > x[i];
                changed += rounded[i] != of_other_seed[i];
                apart += rounded[i] != rounded[i ^ 1];
            }
            cr_assert(up > N / 3 && up < 2 * N / 3, "%zu of %d are rounded up", up, N);
            cr_assert(changed > N / 3 && changed < 2 * N / 3, "%zu of %d depend on the seed", changed, N);
            cr_assert(apart > N / 3 && apart < 2 * N / 3, "%zu of %d are not as their neighbour", apart, N);
        }
    }
    free(x), free(rounded), free(of_other_seed);
}

Test(cuda_numbers, random_rounding_keeps_what_is_not_finite)
{
    float x[] = {INFINITY, -INFINITY, NAN, 0, 3e38F, NAN};
    const uint32_t last_nan = UINT32_MAX; /* to which nothing may be added */
    memcpy(&x[5], &last_nan, sizeof last_nan);
    float rounded[COUNT(x)];
    for (size_t k = 0; k < COUNT(all_halves); k++) {
        device_free_all();
        round_on_device(all_halves[k], LSPO_NUMBER_FP32, COUNT(x), device_floats(x, COUNT(x)), 1, rounded);
        cr_assert(rounded[0] == INFINITY && rounded[1] == -INFINITY && isnan(rounded[2]) && rounded[3] == 0 &&
                  isnan(rounded[5]));
        cr_assert(rounded[4] >= 65504.0F && !isnan(rounded[4]));
    }
    device_free_all();
}

/* ---- steps, every format along every other ---- */

static void check_step(lspo_number_t number, lspo_number_t format, size_t n)
{
    float *w0 = random_numbers_of(number, 1, 1, n), *direction = random_numbers_of(format, 2, 1, n);
    float *w = copy_floats(w0, n);
    for (size_t i = 0; i < n; i++)
        w[i] = 0.99F * w[i] - 0.1F * direction[i];
    for (order_t order = {0}; next_order(&order);) {
        void *w_ = device_numbers(number, w0, n);
        DEVICE_OK(lspo_step_along_cuda(ON(number), n, &(lspo_vector_step_t){0.99F, 0.1F, 9}, format,
                                       device_numbers(format, direction, n), w_));
        expect_numbers(&order, "w", w_, w, n,
                       (near_t){number, 1e-4, 1e-6, 1e-6}); /* a neighbour is a step away at most */
    }
    free(w0), free(direction), free(w);
}

Test(cuda_numbers, steps)
{
    static const size_t sizes[] = {0, 1, 7, 8, 9, 255, 2048, 4099};
    for (size_t i = 0; i < COUNT(all_numbers); i++)
        for (size_t j = 0; j < COUNT(all_numbers); j++)
            for (size_t k = 0; k < COUNT(sizes); k++)
                check_step(all_numbers[i], all_numbers[j], sizes[k]);
}
