/* lane.h - lanes, each of which runs one op at a time, and a plan's list of them.
 *
 * A lane has a kind, a machine to which it belongs (its *peer*) and a number among that machine's devices.  Lanes of
 * the same peer slow each other down (sim/contention.h); lanes of different peers do not.  A plan for one machine with
 * one GPU has the four lanes of lspo_lanes_create(): gpu, d2h, h2d, cpu of peer 0.  A plan for several GPUs or machines
 * adds lanes (lspo_build_lane() in plan/build.h); a list may have thousands.
 */
#ifndef LSPO_PLAN_LANE_H
#define LSPO_PLAN_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef enum {
    LSPO_LANE_GPU,
    LSPO_LANE_D2H, /* GPU-to-CPU link */
    LSPO_LANE_H2D, /* CPU-to-GPU link */
    LSPO_LANE_CPU,
    LSPO_DEVICE_LANES,                 /* the kinds above: the lanes of one GPU and its host */
    LSPO_LANE_NET = LSPO_DEVICE_LANES, /* what a peer sends to others */
    LSPO_LANE_SSD,
    LSPO_LANE_KIND_COUNT
} lspo_lane_kind_t;

enum { LSPO_LANE_NAME_BYTES = 24, LSPO_LANES_MAX = 1 << 20, LSPO_LANE_PEER_MAX = 999999999 };

typedef struct {
    uint32_t peer;                   /* the machine, 0 to LSPO_LANE_PEER_MAX */
    uint16_t device;                 /* number of the GPU (for gpu, d2h, h2d), drive or network port within the peer */
    uint8_t kind;                    /* lspo_lane_kind_t */
    char name[LSPO_LANE_NAME_BYTES]; /* letters, digits, '.', '_' and '-'; no two lanes of a list have the same */
} lspo_lane_t;

/* An op names its lane by the index in this list. */
typedef struct {
    lspo_lane_t *list; /* owned */
    uint32_t count;
    size_t capacity;
} lspo_lanes_t;

/* The four lanes of one GPU and its host: the index of each is its kind.  The caller releases them. */
lspo_status_t lspo_lanes_create(lspo_lanes_t *lanes_out);
lspo_status_t lspo_lanes_copy(const lspo_lanes_t *lanes, lspo_lanes_t *copy_out);
/* Accepts a list that is all zero. */
void lspo_lanes_release(lspo_lanes_t *lanes);

/* Append a lane.  If its name is empty, it gets one from kind, device and peer: "gpu", "gpu1", "p3.net".
 * LSPO_ERR_INPUT for an invalid name, an unknown kind or peer, or more than LSPO_LANES_MAX lanes. lspo_lanes_check()
 * checks once for the whole list that names differ. */
lspo_status_t lspo_lanes_add(lspo_lanes_t *lanes, const lspo_lane_t *lane, uint32_t *index_out);

/* LSPO_ERR_CHECK unless there is at least one lane and all have known kinds and different valid names. */
lspo_status_t lspo_lanes_check(const lspo_lanes_t *lanes);

/* Are these the same lanes in the same order? */
bool lspo_lanes_equal(const lspo_lanes_t *a, const lspo_lanes_t *b);
/* Is this the list of lspo_lanes_create()? */
bool lspo_lanes_are_default(const lspo_lanes_t *lanes);
/* How many lanes have this kind. */
uint32_t lspo_lanes_of_kind(const lspo_lanes_t *lanes, lspo_lane_kind_t kind);

/* Pointers into lanes->list, sorted by name, for many look-ups; malloc'd. */
lspo_status_t lspo_lanes_sort(const lspo_lanes_t *lanes, const lspo_lane_t ***by_name_out);
/* The index of the lane with this name, or lanes->count. */
uint32_t lspo_lanes_find(const lspo_lanes_t *lanes, const lspo_lane_t *const *by_name, const char *name);

/* "gpu", "d2h", "h2d", "cpu", "net", "ssd".  The parser returns LSPO_LANE_KIND_COUNT when unknown. */
const char *lspo_lane_kind_name(lspo_lane_kind_t kind);
lspo_lane_kind_t lspo_lane_kind_parse(const char *text);
/* Do ops of this kind of lane move bytes?  All kinds except gpu and cpu do. */
static inline bool lspo_lane_kind_moves_bytes(lspo_lane_kind_t kind)
{
    return kind != LSPO_LANE_GPU && kind != LSPO_LANE_CPU;
}

#endif
