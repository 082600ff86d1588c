/* spare.h - the memory of a context without functions of its own: malloc(), but large blocks that it has freed wait for
 * its next allocation.
 *
 * A prediction takes and frees many of them.  malloc() would give their pages back to the system, which clears them
 * before it hands them out again: that takes longer than to write them. */
#ifndef LSPO_LIB_SPARE_H
#define LSPO_LIB_SPARE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/lspo.h"

enum { LSPO_SPARE_BLOCKS = 64, LSPO_SPARE_LEAST_BYTES = 16 << 10 };

/* Blocks of malloc(), the one that has waited longest first: 64 MiB at most.  Begins as zeros. */
typedef struct {
    void *blocks[LSPO_SPARE_BLOCKS];
    uint32_t count;
    size_t bytes;
} lspo_spare_t;

/* Lets `options` use `spare`, which lives as long. */
void lspo_spare_use(lspo_spare_t *spare, lspo_options *options);
/* Back to malloc(); `spare` can be used again. */
void lspo_spare_release(lspo_spare_t *spare);

#endif
