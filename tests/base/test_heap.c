/* What is freed stays in the process. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/heap.h"

/* By default glibc maps so large a block on its own, and unmaps it. */
Test(heap, what_is_freed_stays)
{
    enum { BYTES = 16 << 20 };
#if !defined __GLIBC__ || defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    cr_skip_test("another allocator");
#endif
    const char *before = sbrk(0);
    lspo_heap_keep();
    char *block = malloc(BYTES);
    cr_assert_not_null(block);
    memset(block, 1, BYTES);
    free(block);
    cr_expect_geq((const char *)sbrk(0) - before, BYTES / 2);
}
