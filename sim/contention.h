/* contention.h - how fast each running lane works beside the other running lanes.
 *
 * Lane a works at the rate
 *     rate_a = prod over the running lanes b of the same peer, b != a, of (1 - loss[kind a][kind b])
 * with the losses of the machine profile's contention (0 for networks and SSDs).  Each lane counts: two busy copies
 * slow a GPU twice.  Lanes of the same kind do not slow each other down.  While the other direction of the same device
 * is busy, a link also has its duplex loss.  Lanes of different peers do not affect each other.  All peers have the
 * same profile.
 *
 * All running lanes of a peer and kind have the same rate (links have two, depending on the other direction), so a
 * start or end costs one step per kind and one per lane whose rate changes.
 */
#ifndef LSPO_SIM_CONTENTION_H
#define LSPO_SIM_CONTENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/lane.h"
#include "plan/machine.h"

/* The running lanes of one kind of a peer. */
typedef struct {
    uint32_t *running; /* part of lspo_contention_t.running */
    uint32_t count;
    double rate; /* while the other direction is not busy */
} lspo_contention_class_t;

typedef struct {
    lspo_contention_class_t classes[LSPO_LANE_KIND_COUNT];
    uint8_t kinds;       /* a bit per kind with a running lane */
    uint8_t crowded;     /* a bit per kind with more than one running lane */
    bool changed;        /* since lspo_contention_settle() */
    bool duplex_changed; /* a direction of some device became busy or idle since then */
} lspo_contention_peer_t;

/* The two directions of a device. */
typedef struct {
    uint32_t busy[2]; /* running lanes: d2h, h2d */
} lspo_contention_link_t;

typedef struct {
    uint32_t peer, link; /* indices; link: of d2h and h2d lanes only */
    uint32_t at;         /* in its class, while it runs */
    uint8_t kind;
} lspo_contention_lane_t;

enum { LSPO_CONTENTION_DUPLEX = 1 << LSPO_LANE_KIND_COUNT };

typedef struct {
    bool any; /* false: no lane slows another down; call none of the functions */
    double speed[LSPO_LANE_KIND_COUNT][LSPO_LANE_KIND_COUNT];
    /* By set of running kinds, and whether the other direction of the device is busy; each kind counted once. */
    double rates[2 * LSPO_CONTENTION_DUPLEX][LSPO_LANE_KIND_COUNT];
    lspo_contention_lane_t *lanes;
    lspo_contention_peer_t *peers;
    lspo_contention_link_t *links;
    uint32_t *running;
    uint32_t *changed_peers, *started, *changed_lanes;
    uint32_t changed_peer_count, started_count, changed_lane_count;
    double *rate; /* of each running lane */
} lspo_contention_t;

lspo_status_t lspo_contention_create(const lspo_lanes_t *lanes, const lspo_machine_t *machine,
                                     lspo_contention_t *contention_out);
/* Accepts a struct that is all zero. */
void lspo_contention_release(lspo_contention_t *contention);

/* `lane` starts or stops running.  A lane starts with rate 1, until the next lspo_contention_settle(). */
void lspo_contention_start(lspo_contention_t *contention, uint32_t lane);
void lspo_contention_end(lspo_contention_t *contention, uint32_t lane);

/* Compute the rates after all starts and ends of one instant; contention->changed_lanes[0 .. changed_lane_count) are
 * the lanes whose rate[] has changed. */
void lspo_contention_settle(lspo_contention_t *contention);

#endif
