/* Attention to a cache against loops in double precision: few and many queries, groups, formats, what lies behind. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cached_attention.h"
#include "kernels/pack.h"
#include "kernels/random.h"

enum { BATCH = 2, HEADS = 6, E = 10, CAPACITY = 90 };

typedef struct {
    size_t first, queries, kv_heads;
    lspo_number_t number;
} cache_case_t;

static float *random_floats(uint64_t stream, size_t count)
{
    float *out = malloc(count * sizeof *out);
    cr_assert_not_null(out);
    lspo_random_normal_fill(9, stream, 1.0, count, out);
    return out;
}

typedef struct {
    lspo_cached_attention_t a;
    float *q, *new_k, *new_v, *out;
    float *k, *v; /* what the cache holds, in fp32 */
} operands_t;

static size_t numbers_of(const cache_case_t *c)
{
    return BATCH * CAPACITY * c->kv_heads * E;
}

/* A cache of random numbers, with NaN where nothing was stored: none may be read. */
static void *make_cache(const cache_case_t *c, uint64_t stream)
{
    float *wide = random_floats(stream, numbers_of(c));
    void *cache = malloc(numbers_of(c) * sizeof(float));
    cr_assert_not_null(cache);
    for (size_t b = 0; b < BATCH; b++)
        for (size_t i = (b * CAPACITY + c->first) * c->kv_heads * E; i < (b + 1) * CAPACITY * c->kv_heads * E; i++)
            wide[i] = (float)NAN;
    lspo_convert(numbers_of(c), LSPO_NUMBER_FP32, wide, c->number, cache);
    free(wide);
    return cache;
}

static float *widened(const cache_case_t *c, const void *cache)
{
    float *wide = malloc(numbers_of(c) * sizeof *wide);
    cr_assert_not_null(wide);
    lspo_convert(numbers_of(c), c->number, cache, LSPO_NUMBER_FP32, wide);
    return wide;
}

static operands_t make(const cache_case_t *c)
{
    const size_t rows = BATCH * c->queries, q_stride = HEADS * E + 3, kv_stride = c->kv_heads * E + 2;
    operands_t o = {.q = random_floats(1, rows * q_stride),
                    .new_k = random_floats(2, rows * kv_stride),
                    .new_v = random_floats(3, rows * kv_stride),
                    .out = random_floats(4, rows * HEADS * E)};
    o.a = (lspo_cached_attention_t){.batch = BATCH,
                                    .queries = c->queries,
                                    .first = c->first,
                                    .heads = HEADS,
                                    .kv_heads = c->kv_heads,
                                    .head_width = E,
                                    .q_stride = q_stride,
                                    .kv_stride = kv_stride,
                                    .number = c->number,
                                    .k = make_cache(c, 5),
                                    .v = make_cache(c, 6),
                                    .token_stride = c->kv_heads * E,
                                    .sequence_stride = CAPACITY * c->kv_heads * E};
    return o;
}

static void release(operands_t *o)
{
    free(o->v);
    free(o->k);
    free(o->a.v);
    free(o->a.k);
    free(o->out);
    free(o->new_v);
    free(o->new_k);
    free(o->q);
}

/* Row i of a head of the cache. */
static const float *row_of(const operands_t *o, const float *cache, size_t b, size_t kv_head, size_t i)
{
    return cache + ((b * CAPACITY + i) * o->a.kv_heads + kv_head) * E;
}

static void attend(const operands_t *o, size_t b, size_t head, size_t query, double *out)
{
    const size_t keys = o->a.first + query + 1, kv_head = head / (HEADS / o->a.kv_heads);
    const float *q = o->q + (b * o->a.queries + query) * o->a.q_stride + head * E;
    double p[CAPACITY], sum = 0;
    for (size_t j = 0; j < keys; j++) {
        double score = 0;
        for (size_t i = 0; i < E; i++)
            score += (double)q[i] * (double)row_of(o, o->k, b, kv_head, j)[i];
        p[j] = exp(score / sqrt((double)E));
        sum += p[j];
    }
    for (size_t i = 0; i < E; i++) {
        out[i] = 0;
        for (size_t j = 0; j < keys; j++)
            out[i] += p[j] / sum * (double)row_of(o, o->v, b, kv_head, j)[i];
    }
}

static void check_out(const operands_t *o, const char *what)
{
    for (size_t b = 0; b < BATCH; b++)
        for (size_t query = 0; query < o->a.queries; query++)
            for (size_t head = 0; head < HEADS; head++) {
                double wanted[E];
                attend(o, b, head, query, wanted);
                const float *got = o->out + ((b * o->a.queries + query) * HEADS + head) * E;
                for (size_t i = 0; i < E; i++)
                    cr_assert_float_eq((double)got[i], wanted[i], 2e-6, "%s: %zu queries behind %zu, head %zu", what,
                                       o->a.queries, o->a.first, head);
            }
}

static void check(const cache_case_t *c)
{
    operands_t o = make(c);
    lspo_workers_t *workers = NULL;
    cr_assert_eq(lspo_workers_create(2, NULL, &workers), LSPO_OK);
    float *scratch = malloc(2 * lspo_cached_attention_scratch(&o.a) * sizeof *scratch);
    cr_assert_not_null(scratch);
    lspo_cache_append(&o.a, o.new_k, o.new_v);
    o.k = widened(c, o.a.k);
    o.v = widened(c, o.a.v);
    /* What was stored is what was given, rounded to the format, in its place; nothing behind it was touched. */
    const size_t last = c->first + c->queries - 1, width = c->kv_heads * E;
    float rounded[HEADS * E];
    void *packed[HEADS * E];
    lspo_convert(width, LSPO_NUMBER_FP32, o.new_k + (2 * c->queries - 1) * o.a.kv_stride, c->number, packed);
    lspo_convert(width, c->number, packed, LSPO_NUMBER_FP32, rounded);
    cr_expect_arr_eq(rounded, row_of(&o, o.k, 1, 0, last), width * sizeof(float));
    cr_expect(last + 1 == CAPACITY || isnan(*row_of(&o, o.k, 1, 0, last + 1)));
    lspo_cached_attention(&o.a, o.q, o.out, scratch, NULL);
    check_out(&o, "alone");
    memset(o.out, 0, BATCH * c->queries * HEADS * E * sizeof(float));
    lspo_cached_attention(&o.a, o.q, o.out, scratch, workers);
    check_out(&o, "shared");
    free(scratch);
    lspo_workers_destroy(workers);
    release(&o);
}

Test(cached_attention, is_that_of_the_definition)
{
    static const size_t sizes[][2] = {{0, 1}, {0, 5}, {0, 40}, {17, 1}, {50, 4}, {50, 5}, {57, 33}, {89, 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (size_t kv_heads = 1; kv_heads <= HEADS; kv_heads *= kv_heads < 2 ? 2 : 3)
            for (lspo_number_t number = LSPO_NUMBER_FP32; number <= LSPO_NUMBER_FP16; number++)
                check(&(cache_case_t){sizes[i][0], sizes[i][1], kv_heads, number});
}

/* The rows of a sequence in blocks of 7 tokens in any order: attention, and what is appended, are those of rows that
 * follow each other. */
static void compare_blocks(size_t first, size_t queries, lspo_number_t number)
{
    enum { KV = 3, BLOCK = 7, BLOCKS = 12 };
    static const uint32_t blocks[BLOCKS] = {5, 0, 11, 3, 8, 1, 10, 2, 9, 4, 7, 6};
    const size_t row = KV * E, count = (size_t)BLOCKS * BLOCK * row;
    float *q = random_floats(1, queries * HEADS * E), *new_k = random_floats(2, queries * row);
    float *new_v = random_floats(3, queries * row), *wide = random_floats(4, count), out[2][64 * HEADS * E];
    char *plain[2], *paged[2];
    const size_t row_bytes = row * lspo_number_bytes(number);
    for (int i = 0; i < 2; i++) {
        plain[i] = calloc(count, sizeof(float));
        paged[i] = calloc(count, sizeof(float));
        lspo_convert(first * row, LSPO_NUMBER_FP32, wide + (i == 0 ? 0 : row), number, plain[i]);
        for (size_t t = 0; t < first; t++)
            memcpy(paged[i] + (blocks[t / BLOCK] * BLOCK + t % BLOCK) * row_bytes, plain[i] + t * row_bytes, row_bytes);
    }
    for (int p = 0; p < 2; p++) {
        const lspo_cached_attention_t a = {.batch = 1,
                                           .queries = queries,
                                           .first = first,
                                           .heads = HEADS,
                                           .kv_heads = KV,
                                           .head_width = E,
                                           .q_stride = HEADS * E,
                                           .kv_stride = row,
                                           .number = number,
                                           .k = p == 0 ? plain[0] : paged[0],
                                           .v = p == 0 ? plain[1] : paged[1],
                                           .token_stride = row,
                                           .blocks = p == 0 ? NULL : blocks,
                                           .block_tokens = BLOCK};
        float *scratch = malloc(lspo_cached_attention_scratch(&a) * sizeof *scratch);
        lspo_cache_append(&a, new_k, new_v);
        lspo_cached_attention(&a, q, out[p], scratch, NULL);
        free(scratch);
    }
    for (size_t i = 0; i < queries * HEADS * E; i++)
        cr_assert_float_eq(out[0][i], out[1][i], 1e-6, "%zu queries behind %zu: %g, paged %g", queries, first,
                           (double)out[0][i], (double)out[1][i]);
    for (size_t t = 0; t < first + queries; t++)
        for (int i = 0; i < 2; i++)
            cr_assert(memcmp(paged[i] + (blocks[t / BLOCK] * BLOCK + t % BLOCK) * row_bytes, plain[i] + t * row_bytes,
                             row_bytes) == 0);
    for (int i = 0; i < 2; i++) {
        free(plain[i]);
        free(paged[i]);
    }
    free(q);
    free(new_k);
    free(new_v);
    free(wide);
}

Test(cached_attention, reads_blocks_in_any_order)
{
    for (lspo_number_t number = LSPO_NUMBER_FP32; number <= LSPO_NUMBER_FP16; number++)
        for (size_t first = 0; first < 30; first += 5) {
            compare_blocks(first, 1, number);
            compare_blocks(first, 3, number);
            compare_blocks(first, 40, number);
        }
}
