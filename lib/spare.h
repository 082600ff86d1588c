/* kept.h - the memory of a context without functions of its own: malloc(), but large blocks that it has freed wait for
 * its next allocation.
 *
 * A prediction takes and frees many of them.  malloc() would give their pages back to the system, which clears them
 * before it hands them out again: that takes longer than to write them. */
#ifndef LSPO_LIB_KEPT_H
#define LSPO_LIB_KEPT_H

#include <stddef.h>
#include <stdint.h>

#include "lib/lspo.h"

enum { LSPO_KEPT_BLOCKS = 64 };

/* Blocks of malloc(), the one that has waited longest first: 64 MiB at most.  Begins as zeros. */
typedef struct {
    void *blocks[LSPO_KEPT_BLOCKS];
    uint32_t count;
    size_t bytes;
} lspo_kept_t;

/* Lets `options` use `kept`, which lives as long. */
void lspo_kept_use(lspo_kept_t *kept, lspo_options *options);
/* Back to malloc(); `kept` can be used again. */
void lspo_kept_release(lspo_kept_t *kept);

#endif
