/* lspo_radix_order() against the order that qsort() gives pairs of key and index. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/radix.h"

typedef struct {
    uint64_t key;
    uint32_t index;
} pair_t;

static int compare_pair(const void *left, const void *right)
{
    const pair_t *a = left, *b = right;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

static void check(const uint64_t *keys, uint32_t count, const char *what, uint32_t which)
{
    pair_t *pairs = malloc(((size_t)count + 1) * sizeof *pairs);
    uint32_t *order = NULL;
    cr_assert_not_null(pairs);
    for (uint32_t i = 0; i < count; i++)
        pairs[i] = (pair_t){keys[i], i};
    qsort(pairs, count, sizeof *pairs, compare_pair);
    cr_assert_eq(lspo_radix_order(keys, count, &order), LSPO_OK);
    for (uint32_t i = 0; i < count; i++)
        cr_assert_eq(order[i], pairs[i].index, "%u %s, place %u", which, what, i);
    free(order);
    free(pairs);
}

static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Keys of any number of bits, many of them equal where there are few bits; from none to several thousand. */
Test(radix, is_the_stable_order)
{
    enum { MOST = 5000 };
    static uint64_t keys[MOST];
    uint64_t state = 88172645463325252u;
    for (uint32_t bits = 0; bits <= 64; bits++) {
        uint32_t count = bits % 2 ? MOST - bits : bits;
        for (uint32_t i = 0; i < count; i++) {
            keys[i] = next(&state);
            keys[i] = bits > 0 ? keys[i] >> (64 - bits) : 7;
        }
        check(keys, count, "bits", bits);
    }
}

/* Keys that are hardly out of place, and more and more so: from where they are inserted to where that is given up half
 * way, with many that are equal. */
Test(radix, is_the_stable_order_of_what_is_almost_in_order)
{
    enum { MOST = 3000 };
    static uint64_t keys[MOST];
    uint64_t state = 88172645463325252u;
    for (uint32_t reach = 0; reach <= 80; reach++) {
        for (uint32_t i = 0; i < MOST; i++)
            keys[i] = i / 2 + (next(&state) >> 32) % (reach + 1) * (i > MOST / 2 ? 1 : i % 7 == 0);
        check(keys, MOST, "places", reach);
    }
}
