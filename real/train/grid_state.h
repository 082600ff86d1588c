/* grid_state.h - the state of a grid; for real/train/grid*.c and tests. */
#ifndef LSPO_REAL_TRAIN_GRID_STATE_H
#define LSPO_REAL_TRAIN_GRID_STATE_H

#include "real/session/session.h"
#include "real/train/grid.h"

typedef struct {
    lspo_device_t *device;
    lspo_session_t *session;
    lspo_session_place_t place;
    lspo_topology_t topology;
    lspo_session_message_t message; /* the network lane's */
    double cpu_s, busy_s;           /* of the GPU lane */
} lspo_grid_peer_t;

struct lspo_grid {
    const lspo_plan_t *plan;
    lspo_grid_peer_t *peers;
    uint32_t peer_count, core_count;
    char topology[160];
};

#endif
