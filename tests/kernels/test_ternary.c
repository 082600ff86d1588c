/* Packed ternary matrices: the dictionary by its definition, every weight comes back, sizes are the published ones, and
 * products are those of dense matrices. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/pack.h"
#include "kernels/random.h"
#include "kernels/ternary.h"
#include "tests/said.h"

/* ---- the dictionary ---- */

/* The weights of an entry as a number in base 3 behind a 1, so that no two sequences are the same one; the table says
 * which codes have been seen. */
enum { WEIGHTS_MAX = 28 };

typedef struct {
    uint64_t key;
    uint32_t code;
} entry_t;

static uint64_t key_of(uint32_t word)
{
    unsigned weights[WEIGHTS_MAX] = {0};
    uint64_t key = 1;
    for (unsigned k = 0; k < LSPO_TERNARY_NONZEROS; k++)
        if (lspo_ternary_value_of(word, k) != LSPO_TERNARY_ZERO) {
            cr_assert_lt(lspo_ternary_place_of(word, k), lspo_ternary_length(word));
            weights[lspo_ternary_place_of(word, k)] = lspo_ternary_value_of(word, k);
        }
    for (unsigned i = 0; i < lspo_ternary_length(word); i++)
        key = 3 * key + weights[i];
    return key;
}

static int by_key(const void *a, const void *b)
{
    const uint64_t x = ((const entry_t *)a)->key, y = ((const entry_t *)b)->key;
    return (x > y) - (x < y);
}

static bool is_entry(const entry_t *entries, uint64_t key)
{
    const entry_t wanted = {.key = key};
    return bsearch(&wanted, entries, LSPO_TERNARY_CODES, sizeof *entries, by_key) != NULL;
}

static double log_probability(uint64_t key)
{
    double sum = 0;
    for (; key > 1; key /= 3)
        sum += key % 3 == 0 ? log(0.885) : log(0.0575);
    return sum;
}

/* It holds what is most probable if no sequence that is one pair longer than an entry, without being one, is more
 * probable than the least of the entries: every other sequence begins with such a one. */
Test(ternary, dictionary_has_the_most_probable_sequences)
{
    const uint32_t *words = lspo_ternary_table();
    entry_t *entries = malloc(LSPO_TERNARY_CODES * sizeof *entries);
    double least = 0, best_outside = -INFINITY;
    cr_assert_not_null(entries);
    for (uint32_t code = 0; code < LSPO_TERNARY_CODES; code++) {
        entries[code] = (entry_t){key_of(words[code]), code};
        least = fmin(least, log_probability(entries[code].key));
    }
    qsort(entries, LSPO_TERNARY_CODES, sizeof *entries, by_key);
    for (size_t i = 0; i < LSPO_TERNARY_CODES; i++) {
        const uint64_t key = entries[i].key;
        cr_assert(i == 0 || key != entries[i - 1].key, "an entry is twice there");
        cr_assert(key < 27 || is_entry(entries, key / 9), "an entry without its begin");
        for (uint64_t pair = 0; pair < 9 && lspo_ternary_length(words[entries[i].code]) < WEIGHTS_MAX; pair++)
            if (!is_entry(entries, 9 * key + pair))
                best_outside = fmax(best_outside, log_probability(9 * key + pair));
    }
    for (uint64_t pair = 0; pair < 9; pair++)
        cr_expect(is_entry(entries, 9 + pair), "pair %d alone", (int)pair);
    cr_expect_leq(best_outside, least + 1e-9);
    free(entries);
}

/* The entries of each number of pairs, as a simulation by others found them. */
Test(ternary, dictionary_has_the_published_lengths)
{
    static const struct {
        unsigned pairs, count;
    } expected[] = {{1, 9}, {2, 65}, {3, 233}, {4, 577}, {12, 17345}, {14, 1569}};
    unsigned counts[WEIGHTS_MAX / 2 + 1] = {0};
    for (uint32_t code = 0; code < LSPO_TERNARY_CODES; code++) {
        const uint32_t length = lspo_ternary_length(lspo_ternary_table()[code]);
        cr_assert(length % 2 == 0 && length <= WEIGHTS_MAX);
        counts[length / 2]++;
    }
    cr_expect_eq(counts[0], 0, "no code stands for nothing");
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        cr_expect_eq(counts[expected[i].pairs], expected[i].count, "%u pairs: %u", expected[i].pairs,
                     counts[expected[i].pairs]);
}

/* ---- packing ---- */

static void *room_of(size_t bytes)
{
    void *memory = malloc(bytes + 1);
    cr_assert_not_null(memory);
    memset(memory, 0xa5, bytes + 1);
    return memory;
}

typedef struct {
    size_t m, n, codes;
    float *w;
    char *memory;
    lspo_ternary_t packed;
} case_t;

/* Packs w, for which there must be as much room as a code per pair takes. */
static case_t pack(size_t m, size_t n, float *w)
{
    const size_t most = n * ((m + 1) / 2);
    case_t of = {.m = m, .n = n, .w = w, .memory = room_of(lspo_ternary_bytes(n, most))};
    of.packed = lspo_ternary_in(m, n, of.memory);
    cr_assert_eq(lspo_ternary_pack(w, most, &of.packed, &of.codes), LSPO_OK);
    return of;
}

static void release(case_t *of)
{
    free(of->w);
    free(of->memory);
}

/* Zero with this probability, otherwise one of the two numbers of its column. */
static float *random_ternary(size_t m, size_t n, double zeros, uint64_t seed)
{
    float *w = room_of(m * n * sizeof *w);
    for (size_t i = 0; i < m * n; i++) {
        const double u = lspo_random_below(seed, 1, i, 1U << 30) / (double)(1U << 30);
        const float size = 0.25F + 0.125F * (float)(i % n % 5);
        w[i] = u < zeros ? 0 : u < (1 + zeros) / 2 ? -size : 2 * size;
    }
    return w;
}

/* x = I: Y is W itself, since every sum has one number that is not zero. */
static void expect_all_weights(const case_t *of, const char *what)
{
    float *x = calloc(of->m, sizeof *x), *y = room_of(of->n * sizeof *y);
    for (size_t i = 0; i < of->m; i++) {
        x[i] = 1;
        lspo_ternary_product(&of->packed, 1, x, y, NULL);
        x[i] = 0;
        for (size_t j = 0; j < of->n; j++)
            cr_assert_float_eq(y[j], of->w[i * of->n + j], 0, "%s, %zu x %zu: %zu, %zu", what, of->m, of->n, i, j);
    }
    free(x), free(y);
}

Test(ternary, every_weight_comes_back)
{
    static const size_t widths[] = {1, 2, 3, 27, 28, 29, 30, 55, 57, 300, 1001};
    static const double zeros[] = {0, 1.0 / 3, 0.885, 0.99, 1};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (size_t k = 0; k < sizeof zeros / sizeof *zeros; k++) {
            case_t of = pack(widths[i], 9, random_ternary(widths[i], 9, zeros[k], i));
            expect_all_weights(&of, "random");
            cr_assert_eq(lspo_ternary_check("it", &of.packed, lspo_ternary_bytes(of.n, of.codes)), LSPO_OK);
            release(&of);
        }
}

/* All of one value, by turns, a single one at each place, and bursts behind long runs of zeros: what ends an entry
 * early, at every length. */
Test(ternary, every_weight_of_hard_rows_comes_back)
{
    enum { M = 61, KINDS = 6 };
    for (size_t kind = 0; kind < KINDS; kind++) {
        float *w = calloc((size_t)M * M, sizeof *w);
        for (size_t i = 0; i < M; i++)
            for (size_t j = 0; j < M; j++)
                w[i * M + j] = kind == 0   ? -1.5F
                               : kind == 1 ? (i % 2 ? 2.0F : -0.5F)
                               : kind == 2 ? (i == j ? 1.0F : 0.0F)
                               : kind == 3 ? (i >= j ? -1.0F : 0.0F)
                               : kind == 4 ? (i % (j + 1) == 0 ? 3.0F : 0.0F)
                                           : (i > j && i < j + 5 ? (i % 2 ? 1.0F : -2.0F) : 0.0F);
        case_t of = pack(M, M, w);
        expect_all_weights(&of, "hard");
        release(&of);
    }
}

/* Bits per weight of long rows, by share of zeros: the table of ternary.h, within 1 % as rows begin and end nowhere. */
Test(ternary, sizes_are_the_published_ones)
{
    enum { M = 200000, N = 3 };
    static const double shares[] = {1.0 / 3, 0.8, 0.885, 0.9, 0.95}, bits[] = {4.15, 1.12, 0.737, 0.690, 0.590};
    for (size_t k = 0; k < sizeof bits / sizeof *bits; k++) {
        case_t of = pack(M, N, random_ternary(M, N, shares[k], 7));
        const double took = 16.0 * (double)of.codes / ((double)M * N);
        cr_expect_float_eq(took, bits[k], 0.01 * bits[k], "zeros %g: %g bits", shares[k], took);
        cr_expect_eq(lspo_ternary_bytes(N, of.codes), 8 * (N + 1) + (2 * of.codes + 7) / 8 * 8);
        release(&of);
    }
}

/* With rows of 768 weights and their 64 bits: the ratio to bf16 that was published for them. */
Test(ternary, short_rows_cost_their_heads)
{
    enum { M = 768, N = 400 };
    case_t of = pack(M, N, random_ternary(M, N, 0.885, 9));
    const double ratio = 2.0 * M * N / (double)lspo_ternary_bytes(N, of.codes);
    cr_expect_float_eq(ratio, 19.3, 0.01 * 19.3, "%g", ratio);
    release(&of);
}

/* ---- products ---- */

static void check_product(size_t m, size_t n, size_t rows, double zeros, lspo_workers_t *workers)
{
    case_t of = pack(m, n, random_ternary(m, n, zeros, m));
    float *x = room_of(rows * m * sizeof *x), *y = room_of(rows * n * sizeof *y),
          *other = room_of(rows * n * sizeof *y);
    lspo_random_normal_fill(3, m, 1, rows * m, x);
    lspo_ternary_product(&of.packed, rows, x, y, NULL);
    lspo_ternary_product(&of.packed, rows, x, other, workers);
    cr_expect_arr_eq(y, other, rows * n * sizeof *y);
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < n; j++) {
            double sum = 0, size = 0;
            for (size_t i = 0; i < m; i++) {
                sum += (double)x[r * m + i] * (double)of.w[i * n + j];
                size += fabs((double)x[r * m + i] * (double)of.w[i * n + j]);
            }
            cr_assert_float_eq(y[r * n + j], sum, 1e-6 * size + 1e-30, "%zu x %zu, row %zu, %zu", m, n, r, j);
        }
    release(&of);
    free(x), free(y), free(other);
}

Test(ternary, products_are_those_of_dense_matrices)
{
    lspo_workers_t *workers = NULL;
    cr_assert_eq(lspo_workers_create(2, NULL, &workers), LSPO_OK);
    check_product(1, 1, 1, 0, workers);
    check_product(64, 130, 1, 0.5, workers);
    check_product(1001, 65, 3, 0.885, workers);
    check_product(12001, 7, 2, 0.885, workers);
    check_product(3000, 9, 1, 0.2, workers);
    lspo_workers_destroy(workers);
}

/* ---- rounding ---- */

/* Column 0: of -4, -2, 1, 0.5 and 3 the least in magnitude go; what stays becomes its mean on each side. */
Test(ternary, rounding_keeps_the_largest_and_takes_means)
{
    float w[5 * 2] = {-4, 8, -2, 8, 1, 8, 0.5F, 8, 3, 8}, scratch[5 * 2];
    const float expected[5 * 2] = {-3, 8, -3, 8, 0, 8, 0, 8, 3, 8};
    lspo_ternary_round(5, 2, 0.2, w, scratch);
    cr_expect_arr_eq(w, expected, sizeof expected);
}

Test(ternary, rounded_matrices_can_be_packed)
{
    enum { M = 200, N = 30 };
    float *w = room_of((size_t)M * N * sizeof *w), *scratch = room_of((size_t)M * N * sizeof *w);
    size_t zeros = 0;
    lspo_random_normal_fill(3, 1, 0.02, (size_t)M * N, w);
    lspo_ternary_round(M, N, 0.885, w, scratch);
    for (size_t i = 0; i < (size_t)M * N; i++)
        zeros += w[i] == 0;
    cr_expect_eq(zeros, 5310);
    case_t of = pack(M, N, w);
    expect_all_weights(&of, "rounded");
    release(&of);
    free(scratch);
}

/* ---- what is refused ---- */

static void expect_refused(const case_t *of, size_t bytes, const char *part)
{
    listen_begin();
    const lspo_status_t status = lspo_ternary_check("file x", &of->packed, bytes);
    listen_end();
    cr_expect_eq(status, LSPO_ERR_INPUT, "%s", part);
    expect_said("check", "file x: ");
    expect_said("check", part);
}

Test(ternary, broken_bytes_are_refused)
{
    case_t of = pack(101, 4, random_ternary(101, 4, 0.885, 1));
    const size_t bytes = lspo_ternary_bytes(of.n, of.codes);
    const uint16_t code = of.packed.codes[0], last = of.packed.codes[of.codes - 1], low = of.packed.rows[1].low;
    const uint32_t first = of.packed.rows[2].first;
    expect_refused(&of, bytes - 8, "truncated");
    expect_refused(&of, 10, "truncated: 10 bytes, and 4 rows alone have 40");
    of.packed.codes[0] = code == 0 ? 1 : 0; /* a single pair, and 50.5 do not end with one alike */
    while (lspo_ternary_length(lspo_ternary_table()[of.packed.codes[0]]) ==
           lspo_ternary_length(lspo_ternary_table()[code]))
        of.packed.codes[0]++;
    expect_refused(&of, bytes, "the codes of row 0 are ");
    of.packed.codes[0] = code;
    of.packed.rows[2].first = UINT32_MAX;
    expect_refused(&of, bytes, "row 1 has the codes ");
    of.packed.rows[2].first = first;
    of.packed.rows[1].low = 0xff80; /* -infinity */
    expect_refused(&of, bytes, "row 1 has weights that are not finite");
    of.packed.rows[1].low = low;
    const uint32_t length = lspo_ternary_length(lspo_ternary_table()[last]);
    for (uint32_t other = 0; other < LSPO_TERNARY_CODES; other++) {
        const uint32_t word = lspo_ternary_table()[other];
        if (lspo_ternary_length(word) == length && lspo_ternary_value_of(word, 0) != LSPO_TERNARY_ZERO &&
            lspo_ternary_place_of(word, 0) + 1 == length)
            of.packed.codes[of.codes - 1] = (uint16_t)other;
    }
    expect_refused(&of, bytes, "row 3 has a weight behind its last input");
    of.packed.codes[of.codes - 1] = last;
    cr_expect_eq(lspo_ternary_check("file x", &of.packed, bytes), LSPO_OK);
    release(&of);
}

Test(ternary, what_is_not_ternary_or_has_no_room_is_refused)
{
    float three[] = {1, 2, 0, -1}, fine[] = {1 + 0x1p-20F, 0, 0, 0}, wild[] = {INFINITY, 0, 0, 0},
          good[] = {1, 0, 0, -1};
    float *const bad[] = {three, fine, wild};
    char *memory = room_of(lspo_ternary_bytes(1, 2));
    const lspo_ternary_t to = lspo_ternary_in(4, 1, memory);
    size_t used = 0;
    for (size_t i = 0; i < 3; i++) {
        listen_begin();
        cr_expect_eq(lspo_ternary_pack(bad[i], 2, &to, &used), LSPO_ERR_INPUT);
        listen_end();
        expect_said("values", "column 0 of a matrix is not ternary");
    }
    listen_begin();
    cr_expect_eq(lspo_ternary_pack(good, 0, &to, &used), LSPO_ERR_INPUT);
    listen_end();
    cr_expect_gt(used, 0);
    expect_said("room", "and there is room for 0");
    free(memory);
}
