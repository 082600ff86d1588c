/* grid.h - run a plan of several peers (plan/lane.h) in one process: each peer is a host device with memory of its own,
 * and has a session; SEND copies from one to another, paced like a network.
 *
 * Numbers do not depend on the order in which messages come: a session forms its gradients micro-batch by micro-batch
 * in the plan's order, and what comes from several peers (sums of replicas, squares of norms) is added in the order of
 * the peers. */
#ifndef LSPO_REAL_TRAIN_GRID_H
#define LSPO_REAL_TRAIN_GRID_H

#include "base/status.h"
#include "plan/plan.h"
#include "real/data/text.h"
#include "real/device/device.h"
#include "real/machine/topology.h"

typedef struct lspo_grid lspo_grid_t;

/* `device`, `caps`: of each peer.  The caller owns plan and text, which must outlive the grid.  LSPO_ERR_INPUT for
 * another device than "host", and as lspo_session_create(). */
lspo_status_t lspo_grid_create(const lspo_plan_t *plan, const char *device, const lspo_device_caps_t *caps,
                               const lspo_text_t *text, lspo_grid_t **grid_out);
void lspo_grid_destroy(lspo_grid_t *grid);

/* Of all sessions; see real/session/session.h. */
lspo_status_t lspo_grid_reset(lspo_grid_t *grid);
/* The caller's array: one per iteration. */
void lspo_grid_losses(const lspo_grid_t *grid, double *losses_out);
lspo_status_t lspo_grid_held_out_loss(lspo_grid_t *grid, uint32_t batches, double *loss_out);

/* An lspo_op_function_t and an lspo_lane_function_t: the context is the grid. */
lspo_status_t lspo_grid_run_op(void *grid, const lspo_op_t *op);
void lspo_grid_enter_lane(void *grid, const lspo_lane_t *lane);

uint32_t lspo_grid_peers(const lspo_grid_t *grid);
lspo_device_t *lspo_grid_device(const lspo_grid_t *grid, uint32_t peer);

/* Memory in bytes: of the peer that needs most, and of all together. */
typedef struct {
    uint64_t most_gpu;             /* high-water mark, lspo_device_peak_bytes() */
    uint64_t most_held, most_host; /* lspo_device_most_held_bytes(), lspo_device_most_host_held_bytes() */
    uint64_t all_held, all_host;
} lspo_grid_memory_t;
lspo_grid_memory_t lspo_grid_memory(const lspo_grid_t *grid);

/* Of the GPU lanes' busy time, the share in which their threads ran. */
double lspo_grid_core_share(const lspo_grid_t *grid);
/* Does each peer have a core of its own? */
bool lspo_grid_has_cores(const lspo_grid_t *grid);
/* Which lanes are on which cores, for a trace's header. */
const char *lspo_grid_topology(const lspo_grid_t *grid);

#endif
