/* radix.c - the order of items by an integer key: a counting sort per digit, the lowest digit first; see radix.h. */
#include "base/radix.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

enum { DIGIT_BITS = 11, DIGIT_VALUES = 1 << DIGIT_BITS, KEY_BITS = 64 };

typedef struct {
    uint64_t key;
    uint32_t index;
} item_t;

static uint32_t digit_of(uint64_t key, int shift)
{
    return (uint32_t)(key >> shift) & (DIGIT_VALUES - 1);
}

/* Stable: items with the same digit keep their order. */
static void sort_by_digit(const item_t *from, uint32_t count, int shift, item_t *to)
{
    uint32_t places[DIGIT_VALUES] = {0};
    for (uint32_t i = 0; i < count; i++)
        places[digit_of(from[i].key, shift)]++;
    for (uint32_t value = 0, next = 0; value < DIGIT_VALUES; value++) {
        uint32_t here = places[value];
        places[value] = next;
        next += here;
    }
    for (uint32_t i = 0; i < count; i++)
        to[places[digit_of(from[i].key, shift)]++] = from[i];
}

/* Few items that are out of place, as in traces, are inserted in less time than a digit takes; stable.  Gives up, with
 * items in between, where it would take longer. */
static bool insert_all(item_t *items, uint32_t count)
{
    enum { MOVES_MOST = 8 };
    uint64_t left = (uint64_t)MOVES_MOST * count;
    for (uint32_t i = 1; i < count; i++) {
        const item_t item = items[i];
        uint32_t at = i;
        for (; at > 0 && items[at - 1].key > item.key; at--)
            items[at] = items[at - 1];
        items[at] = item;
        if (i - at > left)
            return false;
        left -= i - at;
    }
    return true;
}

/* Sort `items`, with room for as many in `spare`; returns the one of the two that is in order. */
static const item_t *sort(item_t *items, item_t *spare, uint32_t count)
{
    uint64_t differs = 0;
    if (insert_all(items, count))
        return items;
    for (uint32_t i = 1; i < count; i++)
        differs |= items[i].key ^ items[0].key;
    for (int shift = 0; shift < KEY_BITS; shift += DIGIT_BITS) {
        if (digit_of(differs, shift) == 0)
            continue;
        sort_by_digit(items, count, shift, spare);
        item_t *sorted = spare;
        spare = items;
        items = sorted;
    }
    return items;
}

lspo_status_t lspo_radix_order(const uint64_t *keys, uint32_t count, uint32_t **order_out)
{
    uint32_t *order = malloc(((size_t)count + 1) * sizeof *order);
    item_t *items = malloc(2 * ((size_t)count + 1) * sizeof *items);
    if (!order || !items) {
        free(items);
        free(order);
        return lspo_no_memory("the order of %" PRIu32 " items", count);
    }
    for (uint32_t i = 0; i < count; i++)
        items[i] = (item_t){keys[i], i};
    const item_t *sorted = sort(items, items + count, count);
    for (uint32_t i = 0; i < count; i++)
        order[i] = sorted[i].index;
    free(items);
    *order_out = order;
    return LSPO_OK;
}
