/* Pruned matrices: every bit comes back, sizes are the formulas', and what counts most stays, against sorting.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/pack.h"
#include "kernels/pruned.h"
#include "kernels/random.h"

/* Less than a word, a word, ragged tails; a block of the GPU, and more. */
static const size_t counts[] = {1, 7, 63, 64, 65, 127, 1000, 16384, 16385, 40003};
static const double sparsities[] = {0, 0.01, 0.25, 0.5, 0.75, 0.9, 0.99, 1};
enum { COUNTS = sizeof counts / sizeof *counts, SPARSITIES = sizeof sparsities / sizeof *sparsities };

static void *room(size_t bytes)
{
    void *memory = malloc(bytes + 1);
    cr_assert_not_null(memory);
    memset(memory, 0xa5, bytes + 1);
    return memory;
}

/* Random numbers in a format, pruned; a few are -0, which is not zero by its bits. */
static void *pruned_numbers(size_t n, double z, lspo_number_t number)
{
    float *w = room(n * sizeof *w), *scratch = room(n * sizeof *w);
    void *out = room(n * lspo_number_bytes(number));
    lspo_random_normal_fill(3, n, 1, n, w);
    lspo_prune_magnitude(n, z, w, scratch);
    for (size_t i = 0; i < n; i += 97)
        w[i] = w[i] != 0 ? -0.0F : w[i];
    lspo_convert(n, LSPO_NUMBER_FP32, w, number, out);
    free(scratch);
    free(w);
    return out;
}

static size_t kept_of(size_t n, double z)
{
    return n - (size_t)llround(z * (double)n);
}

static void check_bitmap(size_t n, double z, lspo_number_t number)
{
    const size_t kept = kept_of(n, z), bytes = n * lspo_number_bytes(number);
    const size_t packed = lspo_bitmap_bytes(n, kept, number);
    char *dense = pruned_numbers(n, z, number), *memory = room(packed), *out = room(bytes);
    const lspo_bitmap_t bitmap = lspo_bitmap_place(n, kept, number, memory);
    lspo_bitmap_pack(dense, &bitmap);
    cr_expect_eq(memory[packed], (char)0xa5, "packing writes no more than %zu bytes", packed);
    /* Expanding reads no more either: an own allocation of this size is for ASan. */
    lspo_bitmap_expand(&bitmap, out);
    cr_expect(memcmp(out, dense, bytes) == 0, "%zu numbers, sparsity %g, format %d", n, z, (int)number);
    cr_expect_eq(out[bytes], (char)0xa5);
    size_t set = 0;
    for (size_t w = 0; w < (n + 63) / 64; w++)
        set += (size_t)__builtin_popcountll(bitmap.bits[w]);
    cr_expect_eq(set, kept);
    free(dense), free(memory), free(out);
}

static void check_csr(size_t rows, size_t cols, double z, lspo_number_t number)
{
    const size_t n = rows * cols, kept = kept_of(n, z), bytes = n * lspo_number_bytes(number);
    const size_t packed = lspo_csr_bytes(rows, kept, number);
    char *dense = pruned_numbers(n, z, number), *memory = room(packed), *out = room(bytes);
    const lspo_csr_t csr = lspo_csr_place(rows, cols, kept, number, memory);
    lspo_csr_pack(dense, &csr);
    cr_expect_eq(memory[packed], (char)0xa5);
    cr_expect_eq(csr.starts[0], 0);
    cr_expect_eq(csr.starts[rows], kept);
    lspo_csr_expand(&csr, out);
    cr_expect(memcmp(out, dense, bytes) == 0, "%zu x %zu, sparsity %g, format %d", rows, cols, z, (int)number);
    cr_expect_eq(out[bytes], (char)0xa5);
    free(dense), free(memory), free(out);
}

Test(pruned, every_bit_comes_back_at_every_level)
{
    for (lspo_cpu_level_t level = LSPO_CPU_PORTABLE; level <= LSPO_CPU_AVX2; level++) {
        lspo_cpu_limit(level);
        for (size_t k = 0; k < COUNTS; k++)
            for (size_t s = 0; s < SPARSITIES; s++)
                for (lspo_number_t number = LSPO_NUMBER_FP32; number <= LSPO_NUMBER_FP16; number++)
                    check_bitmap(counts[k], sparsities[s], number);
    }
    lspo_cpu_limit(LSPO_CPU_AVX512);
}

Test(pruned, every_bit_comes_back_from_rows)
{
    static const size_t shapes[][2] = {{1, 1}, {1, 65536}, {7, 13}, {300, 1}, {64, 200}};
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
        for (size_t s = 0; s < SPARSITIES; s++)
            for (lspo_number_t number = LSPO_NUMBER_FP32; number <= LSPO_NUMBER_FP16; number++)
                check_csr(shapes[k][0], shapes[k][1], sparsities[s], number);
}

/* Patterns that a table of bytes has: each of 256, whole words of one, and a set bit at each place. */
Test(pruned, every_pattern_of_a_byte_comes_back)
{
    enum { N = 256 * 8 };
    uint16_t dense[N], out[N];
    for (unsigned i = 0; i < N; i++)
        dense[i] = (uint16_t)(i / 8 >> i % 8 & 1 ? i + 1 : 0);
    size_t kept = 0;
    for (unsigned i = 0; i < N; i++)
        kept += dense[i] != 0;
    void *memory = room(lspo_bitmap_bytes(N, kept, LSPO_NUMBER_BF16));
    const lspo_bitmap_t bitmap = lspo_bitmap_place(N, kept, LSPO_NUMBER_BF16, memory);
    lspo_bitmap_pack(dense, &bitmap);
    lspo_bitmap_expand(&bitmap, out);
    cr_expect_arr_eq(out, dense, sizeof dense);
    for (unsigned i = 0; i < 256; i++)
        cr_expect_eq(((const unsigned char *)bitmap.bits)[i], i);
    free(memory);
}

/* A number that happens to be zero takes a place, so that sizes follow from the sparsity. */
Test(pruned, zeros_fill_the_places_that_are_left)
{
    const float dense[10] = {0, 1, 0, 0, 2, 0, 0, 0, 0, 3};
    float out[10], memory[32];
    const lspo_bitmap_t bitmap = lspo_bitmap_place(10, 5, LSPO_NUMBER_FP32, memory);
    lspo_bitmap_pack(dense, &bitmap);
    cr_expect_eq(bitmap.bits[0], 1U << 0 | 1U << 1 | 1U << 2 | 1U << 4 | 1U << 9);
    lspo_bitmap_expand(&bitmap, out);
    cr_expect_arr_eq(out, dense, sizeof dense);
}

/* 1 + w (1 - z) bits per number, and for CSR (w + 16) (1 - z): to 1e-3 of a matrix of 1e6, whose rows have 1000. */
Test(pruned, sizes_are_the_formulas)
{
    enum { SIDE = 1000, N = SIDE * SIDE };
    for (size_t s = 0; s < SPARSITIES; s++)
        for (lspo_number_t number = LSPO_NUMBER_FP32; number <= LSPO_NUMBER_FP16; number++) {
            const double w = 8.0 * (double)lspo_number_bytes(number), z = sparsities[s];
            const size_t kept = kept_of(N, z);
            const double bitmap = 8.0 * (double)lspo_bitmap_bytes(N, kept, number) / N;
            const double csr = 8.0 * (double)lspo_csr_bytes(SIDE, kept, number) / N;
            cr_expect_float_eq(bitmap / (1 + w * (1 - z)), 1, 1e-3, "sparsity %g: %g bits", z, bitmap);
            cr_expect_float_eq(csr, (w + 16) * (1 - z) + 32.0 / SIDE, 1e-3, "sparsity %g: %g bits", z, csr);
        }
}

static int by_magnitude(const void *a, const void *b)
{
    const float x = fabsf(*(const float *)a), y = fabsf(*(const float *)b);
    return (x > y) - (x < y);
}

/* With few different values, so that many are equal. */
Test(pruned, prunes_what_is_least)
{
    for (size_t k = 0; k < COUNTS; k++)
        for (size_t s = 0; s < SPARSITIES; s++) {
            const size_t n = counts[k], zeros = n - kept_of(n, sparsities[s]);
            float *w = room(n * sizeof *w), *before = room(n * sizeof *w), *sorted = room(n * sizeof *w);
            for (size_t i = 0; i < n; i++)
                w[i] = (float)lspo_random_below(2, 1, i, 41) - 20.5F;
            memcpy(before, w, n * sizeof *w);
            memcpy(sorted, w, n * sizeof *w);
            lspo_prune_magnitude(n, sparsities[s], w, sorted);
            memcpy(sorted, before, n * sizeof *w);
            qsort(sorted, n, sizeof *sorted, by_magnitude);
            size_t found = 0;
            for (size_t i = 0; i < n; i++) {
                found += w[i] == 0;
                cr_assert(w[i] == before[i] ||
                          (w[i] == 0 && zeros > 0 && fabsf(before[i]) <= fabsf(sorted[zeros - 1])));
                cr_assert(w[i] == 0 || zeros == 0 || fabsf(w[i]) >= fabsf(sorted[zeros - 1]));
            }
            cr_expect_eq(found, zeros);
            free(w), free(before), free(sorted);
        }
}

/* ---- Wanda ---- */

typedef struct {
    double score;
    size_t input;
} scored_t;

static int by_score(const void *a, const void *b)
{
    const scored_t *x = a, *y = b;
    return x->score != y->score ? (x->score > y->score) - (x->score < y->score)
                                : (x->input > y->input) - (x->input < y->input);
}

/* By sorting each column in double.  Norms are powers of two, so that scores are exact and many are equal. */
static void check_wanda(lspo_workers_t *workers, size_t m, size_t n, double z)
{
    const size_t zeros = m * n - kept_of(m * n, z);
    float *w = room(m * n * sizeof *w), *before = room(m * n * sizeof *w), *squares = room(m * sizeof *squares);
    const size_t scratch_bytes = lspo_prune_wanda_scratch(workers, m) * sizeof(float);
    char *scratch = room(scratch_bytes);
    scored_t *column = room(m * sizeof *column);
    size_t found = 0;
    for (size_t i = 0; i < m * n; i++)
        before[i] = w[i] = (float)lspo_random_below(2, 1, i, 40) - 19.5F;
    for (size_t i = 0; i < m; i++)
        squares[i] = exp2f(2 * ((float)lspo_random_below(2, 2, i, 7) - 3));
    lspo_prune_wanda(workers, &(lspo_wanda_t){m, n, z, squares}, w, (float *)(void *)scratch);
    cr_assert_eq(scratch[scratch_bytes], (char)0xa5);
    for (size_t j = 0; j < n; j++) {
        size_t gone = 0;
        for (size_t i = 0; i < m; i++) {
            column[i] = (scored_t){fabs((double)before[i * n + j]) * sqrt((double)squares[i]), i};
            gone += w[i * n + j] == 0;
        }
        qsort(column, m, sizeof *column, by_score);
        cr_assert(gone == zeros / n || gone == (zeros + n - 1) / n, "%zu x %zu, %g: column %zu has %zu of %zu", m, n, z,
                  j, gone, zeros);
        for (size_t k = 0; k < m; k++)
            cr_assert_eq(w[column[k].input * n + j], k < gone ? 0 : before[column[k].input * n + j]);
        found += gone;
    }
    cr_expect_eq(found, zeros, "%zu x %zu, %g: %zu zeros, not %zu", m, n, z, found, zeros);
    free(w), free(before), free(squares), free(scratch), free(column);
}

Test(pruned, wanda_prunes_of_each_output_what_adds_least)
{
    static const size_t shapes[][2] = {{1, 1}, {1, 9}, {9, 1}, {37, 20}, {64, 5}, {130, 33}};
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
        for (size_t s = 0; s < SPARSITIES; s++)
            check_wanda(NULL, shapes[k][0], shapes[k][1], sparsities[s]);
}

/* More tiles of columns than workers, whole ones and not: the result is the one that sorting gives, for any number. */
Test(pruned, wanda_is_the_same_for_any_number_of_workers)
{
    for (uint32_t count = 2; count <= 5; count++) {
        lspo_workers_t *workers;
        cr_assert_eq(lspo_workers_create(count, NULL, &workers), LSPO_OK);
        check_wanda(workers, 40, 96, 0.5);
        check_wanda(workers, 33, 131, 0.7);
        check_wanda(workers, 5, 3, 0.4);
        lspo_workers_destroy(workers);
    }
}

Test(pruned, wanda_adds_squares_of_inputs)
{
    enum { INPUTS = 5, TOKENS = 7 };
    float x[TOKENS * INPUTS], squares[INPUTS];
    lspo_random_normal_fill(4, 1, 1, TOKENS * INPUTS, x);
    for (size_t i = 0; i < INPUTS; i++)
        squares[i] = (float)i;
    lspo_wanda_add_inputs(INPUTS, TOKENS, x, squares);
    for (size_t i = 0; i < INPUTS; i++) {
        double sum = (double)i;
        for (size_t t = 0; t < TOKENS; t++)
            sum += pow((double)x[t * INPUTS + i], 2);
        cr_expect_float_eq((double)squares[i], sum, 1e-5 * sum);
    }
}
