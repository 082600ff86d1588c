/* lane_set.h - a set of lanes, from which the lowest is taken first.
 *
 * Each lane has a bit, in words of 64.  The next level has a bit for each word that is not empty, and so on up to a
 * level with one word.  Adding a lane and taking the lowest cost a few instructions for any number of lanes, so that a
 * simulator or executor visits only lanes with something to do.  Up to 64 lanes need one word.
 */
#ifndef LSPO_PLAN_LANE_SET_H
#define LSPO_PLAN_LANE_SET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { LSPO_LANE_SET_LEVELS = 4 }; /* 64^4 lanes */
#define LSPO_NO_LANE UINT32_MAX

typedef struct {
    uint64_t *levels[LSPO_LANE_SET_LEVELS]; /* lowest first; one allocation, owned by levels[0] */
    uint32_t depth;
} lspo_lane_set_t;

/* An empty set with room for the lanes 0 to lane_count - 1. */
lspo_status_t lspo_lane_set_create(uint32_t lane_count, lspo_lane_set_t *set_out);
/* Accepts a set that is all zero. */
void lspo_lane_set_release(lspo_lane_set_t *set);

static inline void lspo_lane_set_add(lspo_lane_set_t *set, uint32_t lane)
{
    for (uint32_t level = 0;; level++) {
        uint64_t *word = &set->levels[level][lane >> 6], before = *word;
        *word = before | UINT64_C(1) << (lane & 63);
        if (before != 0 || level + 1 == set->depth)
            return;
        lane >>= 6;
    }
}

/* Remove and return the lowest lane; LSPO_NO_LANE when the set is empty. */
static inline uint32_t lspo_lane_set_take(lspo_lane_set_t *set)
{
    uint32_t lane = 0;
    if (set->levels[set->depth - 1][0] == 0)
        return LSPO_NO_LANE;
    for (uint32_t level = set->depth; level-- > 0;)
        lane = lane << 6 | (uint32_t)__builtin_ctzll(set->levels[level][lane]);
    uint32_t at = lane;
    for (uint32_t level = 0; level < set->depth; level++) {
        uint64_t *word = &set->levels[level][at >> 6];
        *word &= *word - 1; /* the lowest bit is the one found above */
        if (*word != 0)
            break;
        at >>= 6;
    }
    return lane;
}

#endif
