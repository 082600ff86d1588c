/* grid.h - run a plan of several peers (plan/lane.h): each is a device with memory of its own, and has a session.
 * Either all are host devices of this process, and SEND copies from one to another; or each is a rank of an MPI job,
 * and SEND is a letter (base/mail.h).  Both are paced like a network.
 *
 * Peers of a file (plan/network.h) have the memory and the links that it says, and are slower than this machine by its
 * `speed`: behind each op the GPU lane waits until the op's CPU time over the speed has passed.  The profiles of their
 * machines are not followed, nor a speed above 1, nor one of a GPU.
 *
 * Numbers do not depend on the order in which messages come: a session forms its gradients micro-batch by micro-batch
 * in the plan's order, and what comes from several peers (sums of replicas, squares of norms) is added in the order of
 * the peers. */
#ifndef LSPO_REAL_TRAIN_GRID_H
#define LSPO_REAL_TRAIN_GRID_H

#include "base/mail.h"
#include "base/status.h"
#include "plan/plan.h"
#include "real/data/text.h"
#include "real/device/device.h"
#include "real/execute/executor.h"
#include "real/machine/process.h"
#include "traces/trace.h"

typedef struct lspo_grid lspo_grid_t;

typedef struct {
    const char *device; /* of each peer; "cuda" is the rank's own GPU, of those on its machine */
    lspo_device_caps_t caps;
    const lspo_text_t *text;
    lspo_mail_t *mail; /* NULL: all peers are here */
    uint32_t repeat;   /* what the ranks have to agree on beside plan and text */
    bool timing_only;
} lspo_grid_options_t;

/* Does the plan need one?  One of several peers does, and one of a peer of a file. */
bool lspo_grid_is_for(const lspo_plan_t *plan);

/* The caller owns plan, text and mail, which must outlive the grid.  LSPO_ERR_INPUT for another device than "host" in
 * one process, for another number of ranks than peers, or for a peer without layers to train; and as
 * lspo_session_create(). */
lspo_status_t lspo_grid_create(const lspo_plan_t *plan, const lspo_grid_options_t *options, lspo_grid_t **grid_out);
void lspo_grid_destroy(lspo_grid_t *grid);

/* Of all sessions; see real/session/session.h.  Losses: the caller's array, one per iteration.  What all ranks call;
 * rank 0 has the results. */
lspo_status_t lspo_grid_reset(lspo_grid_t *grid);
/* Go on with another plan: lspo_session_continue() of all sessions. */
lspo_status_t lspo_grid_continue(lspo_grid_t *grid, const lspo_plan_t *plan);
lspo_status_t lspo_grid_losses(const lspo_grid_t *grid, double *losses_out);
lspo_status_t lspo_grid_held_out_loss(lspo_grid_t *grid, uint32_t batches, double *loss_out);
/* The rows of all ranks into rank 0's trace, on its clock. */
lspo_status_t lspo_grid_gather_trace(lspo_grid_t *grid, lspo_trace_t *trace);

/* Functions of the executor, whose context is the grid; finish: lspo_session_finish_op(). */
lspo_status_t lspo_grid_run_op(void *grid, const lspo_op_t *op);
lspo_status_t lspo_grid_finish_op(void *grid, const lspo_op_t *op);
void lspo_grid_enter_lane(void *grid, const lspo_lane_t *lane);

/* What the executor runs here; NULL: everything. */
const lspo_executor_part_t *lspo_grid_part(const lspo_grid_t *grid);

uint32_t lspo_grid_peers(const lspo_grid_t *grid);
/* The device of this rank's peer, or of the first. */
lspo_device_t *lspo_grid_device(const lspo_grid_t *grid);

/* Memory in bytes: of the peer that needs most, and of all together. */
typedef struct {
    uint64_t most_gpu;             /* high-water mark, lspo_device_peak_bytes() */
    uint64_t most_held, most_host; /* lspo_device_most_held_bytes(), lspo_device_most_host_held_bytes() */
    uint64_t all_held, all_host;
} lspo_grid_memory_t;
lspo_grid_memory_t lspo_grid_memory(const lspo_grid_t *grid);

/* The memory of the process that needs most: what it takes beside its devices and the memory of copies; the host memory
 * of a peer with that; and with its device memory.  As lspo_grid_losses(). */
typedef struct {
    uint64_t extra, peak, total;
} lspo_grid_host_t;
lspo_status_t lspo_grid_host_memory(const lspo_grid_t *grid, const lspo_process_mark_t *mark,
                                    lspo_grid_host_t *host_out);

/* Of the GPU lanes' busy time here, the share in which their threads ran. */
double lspo_grid_core_share(const lspo_grid_t *grid);
/* Rank 0 has the largest value, or with `least` the smallest one, of all ranks. */
lspo_status_t lspo_grid_extreme(const lspo_grid_t *grid, bool least, double *value);
/* Does each peer have a core of its own? */
bool lspo_grid_has_cores(const lspo_grid_t *grid);
/* Which lanes are on which cores, for a trace's header. */
const char *lspo_grid_topology(const lspo_grid_t *grid);

#endif
