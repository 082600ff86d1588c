/* ends.c - see ends.h. */
#include "sim/ends.h"

#include <inttypes.h>
#include <stdlib.h>

lspo_status_t lspo_ends_create(uint32_t lane_count, lspo_ends_t *ends_out)
{
    uint32_t nodes[LSPO_ENDS_LEVELS], depth = 0;
    size_t total = 0;
    uint64_t count = lane_count > 0 ? lane_count : 1;
    do {
        count = (count + 3) / 4;
        if (depth == LSPO_ENDS_LEVELS)
            return lspo_error(LSPO_ERR_INTERNAL, "the ends of %" PRIu32 " lanes", lane_count);
        nodes[depth++] = (uint32_t)count;
        total += 4 * count;
    } while (count > 1);
    *ends_out = (lspo_ends_t){.depth = depth};
    uint64_t *next = malloc(total * sizeof *next);
    uint32_t most = 4 * nodes[0] + 1; /* found at one level, plus one that is overwritten */
    uint32_t *due = malloc(2 * (size_t)most * sizeof *due);
    if (!next || !due) {
        free(due);
        free(next);
        return lspo_no_memory("the ends of %" PRIu32 " lanes", lane_count);
    }
    for (size_t i = 0; i < total; i++)
        next[i] = LSPO_NEVER;
    for (uint32_t level = 0; level < depth; level++) {
        ends_out->levels[level] = next;
        next += 4 * (size_t)nodes[level];
    }
    ends_out->due[0] = due;
    ends_out->due[1] = due + most;
    return LSPO_OK;
}

void lspo_ends_release(lspo_ends_t *ends)
{
    free(ends->due[0]);
    free(ends->levels[0]);
    *ends = (lspo_ends_t){0};
}
