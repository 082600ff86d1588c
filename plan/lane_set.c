/* lane_set.c - see lane_set.h. */
#include "plan/lane_set.h"

#include <inttypes.h>
#include <stdlib.h>

lspo_status_t lspo_lane_set_create(uint32_t lane_count, lspo_lane_set_t *set_out)
{
    uint32_t words[LSPO_LANE_SET_LEVELS], depth = 0;
    size_t total = 0;
    uint64_t lanes = lane_count > 0 ? lane_count : 1;
    do {
        lanes = (lanes + 63) / 64;
        if (depth == LSPO_LANE_SET_LEVELS)
            return lspo_error(LSPO_ERR_INTERNAL, "a set of %" PRIu32 " lanes", lane_count);
        words[depth++] = (uint32_t)lanes;
        total += lanes;
    } while (lanes > 1);
    uint64_t *next = calloc(total, sizeof *next);
    if (!next)
        return lspo_no_memory("a set of %" PRIu32 " lanes", lane_count);
    *set_out = (lspo_lane_set_t){.depth = depth};
    for (uint32_t level = 0; level < depth; level++) {
        set_out->levels[level] = next;
        next += words[level];
    }
    return LSPO_OK;
}

void lspo_lane_set_release(lspo_lane_set_t *set)
{
    free(set->levels[0]);
    *set = (lspo_lane_set_t){0};
}
