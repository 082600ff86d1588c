/* keys_case.h - random rows and tokens for the suites of kernels/keys.h. */
#ifndef LSPO_TESTS_KEYS_CASE_H
#define LSPO_TESTS_KEYS_CASE_H

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/keys.h"
#include "kernels/random.h"

typedef struct {
    lspo_keys_t keys; /* its arrays are those below */
    float *rows, *h, *dy, *y, *scratch;
    uint32_t *slots, *first, *entries;
} keys_case_t;

static inline float *copy_of(const float *x, size_t n)
{
    float *copy = malloc((n + 1) * sizeof *copy);
    cr_assert_not_null(copy);
    memcpy(copy, x, n * sizeof *copy);
    return copy;
}

static inline float *normal_floats(uint64_t stream, double scale, size_t n)
{
    float *x = malloc((n + 1) * sizeof *x);
    cr_assert_not_null(x);
    lspo_random_normal_fill(17, stream, scale, n, x);
    return x;
}

static inline const float *key_of(const keys_case_t *c, size_t row)
{
    return c->rows + row * 2 * c->keys.width;
}

static inline const float *value_of(const keys_case_t *c, size_t row)
{
    return key_of(c, row) + c->keys.width;
}

static inline bool used(const keys_case_t *c, size_t token, size_t row)
{
    for (size_t i = 0; i < c->keys.chosen; i++)
        if (c->slots[token * c->keys.chosen + i] == row)
            return true;
    return false;
}

/* A token's rows are `chosen` that follow one another, from a random one on, in ascending order. */
static inline keys_case_t make_keys(size_t tokens, size_t width, size_t count, size_t chosen)
{
    const size_t entries = tokens * chosen;
    keys_case_t c = {.rows = normal_floats(1, 0.5, count * 2 * width),
                     .h = normal_floats(2, 1, tokens * width),
                     .dy = normal_floats(3, 1, tokens * width),
                     .y = normal_floats(4, 1, tokens * width),
                     .scratch = malloc((2 * entries + 1) * sizeof(float)),
                     .slots = malloc((entries + 1) * sizeof(uint32_t)),
                     .first = calloc(count + 2, sizeof(uint32_t)),
                     .entries = malloc((entries + 1) * sizeof(uint32_t))};
    uint32_t at = 0;
    for (size_t t = 0; t < tokens; t++) {
        const size_t from = lspo_random_below(3, 3, t, (uint32_t)count);
        for (size_t row = 0, i = 0; row < count; row++)
            if ((row + count - from) % count < chosen)
                c.slots[t * chosen + i++] = (uint32_t)row;
    }
    for (size_t row = 0; row < count; row++) {
        for (size_t e = 0; e < entries; e++)
            if (c.slots[e] == row)
                c.entries[at++] = (uint32_t)e;
        c.first[row + 1] = at;
    }
    c.keys = (lspo_keys_t){.tokens = tokens,
                           .width = width,
                           .count = count,
                           .chosen = chosen,
                           .rows = c.rows,
                           .slots = c.slots,
                           .first = c.first,
                           .entries = c.entries};
    return c;
}

static inline void release_keys(keys_case_t *c)
{
    void *arrays[] = {c->rows, c->h, c->dy, c->y, c->scratch, c->slots, c->first, c->entries};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        free(arrays[i]);
}

#endif
