/* lspo_array_grow(): growth, contents, sizes that overflow. */
#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/array.h"

TestSuite(array, .timeout = 10);

/* What was there stays, and growing one by one moves the array rarely: 1000 items in at most log2(1000 / 16) + 2
 * steps. */
Test(array, grows_and_keeps_its_items)
{
    uint32_t *items = NULL;
    size_t capacity = 0, moves = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        size_t before = capacity;
        cr_assert_eq(lspo_array_grow(&items, &capacity, i + 1, sizeof *items, "items"), LSPO_OK);
        cr_assert_gt(capacity, i);
        moves += capacity != before;
        items[i] = i;
    }
    cr_expect_leq(moves, 8);
    for (uint32_t i = 0; i < 1000; i++)
        cr_expect_eq(items[i], i);
    cr_assert_eq(lspo_array_grow(&items, &capacity, 1000000, sizeof *items, "items"), LSPO_OK);
    cr_expect_geq(capacity, 1000000);
    cr_expect_eq(items[999], 999);
    free(items);
}

/* More bytes than a size_t counts are no few bytes. */
Test(array, too_many_are_refused)
{
    double *items = NULL;
    size_t capacity = 0;
    cr_assert_eq(lspo_array_grow(&items, &capacity, 3, sizeof *items, "items"), LSPO_OK);
    size_t before = capacity;
    items[2] = 7;
    cr_expect_eq(lspo_array_grow(&items, &capacity, SIZE_MAX / 8 + 2, sizeof *items, NULL), LSPO_ERR_MEMORY);
#if !defined(__SANITIZE_ADDRESS__) /* its realloc() ends the process */
    cr_expect_eq(lspo_array_grow(&items, &capacity, SIZE_MAX / 16, sizeof *items, NULL), LSPO_ERR_MEMORY);
#endif
    cr_expect_eq(capacity, before);
    cr_expect_eq(items[2], 7);
    free(items);
}
