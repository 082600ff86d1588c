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

/* Keys of any number of bits, many of them equal where there are few bits; from none to several thousand. */
Test(radix, is_the_stable_order)
{
    enum { MOST = 5000 };
    static uint64_t keys[MOST];
    static pair_t pairs[MOST];
    uint64_t state = 88172645463325252u;
    for (uint32_t bits = 0; bits <= 64; bits++) {
        uint32_t count = bits % 2 ? MOST - bits : bits;
        for (uint32_t i = 0; i < count; i++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            keys[i] = bits > 0 ? state >> (64 - bits) : 7;
            pairs[i] = (pair_t){keys[i], i};
        }
        qsort(pairs, count, sizeof *pairs, compare_pair);
        uint32_t *order = NULL;
        cr_assert_eq(lspo_radix_order(keys, count, &order), LSPO_OK);
        for (uint32_t i = 0; i < count; i++)
            cr_assert_eq(order[i], pairs[i].index, "%u bits, place %u", bits, i);
        free(order);
    }
}
