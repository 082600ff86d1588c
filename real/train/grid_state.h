/* grid_state.h - the state of a grid; for real/train/grid*.c and tests. */
#ifndef LSPO_REAL_TRAIN_GRID_STATE_H
#define LSPO_REAL_TRAIN_GRID_STATE_H

#include "real/machine/topology.h"
#include "real/session/session.h"
#include "real/train/grid.h"

typedef struct {
    lspo_device_t *device;
    lspo_session_t *session;
    lspo_session_place_t place;
    lspo_topology_t topology;
    lspo_session_message_t message; /* the network lane's */
    double cpu_s, busy_s;           /* of the GPU lane */
    double speed;                   /* of the GPU lane, at most 1: of a slower peer it waits */
} lspo_grid_peer_t;

struct lspo_grid {
    const lspo_plan_t *plan;
    lspo_grid_peer_t *peers;
    uint32_t peer_count, first_here, here_count; /* the peers of this process: all, or one */
    bool has_cores;
    lspo_mail_t *mail; /* NULL: all are here */
    lspo_executor_part_t part;
    uint64_t zero_ns; /* of this rank's part of the latest play */
    char *topology;   /* owned */
};

/* ---- grid_ranks.c: one peer a rank; all ranks call each of these at the same time ---- */

/* The letters. */
enum { LSPO_GRID_ALIKE, LSPO_GRID_CORES, LSPO_GRID_SEND, LSPO_GRID_NUMBERS, LSPO_GRID_ROWS, LSPO_GRID_BOUNDARY };

lspo_status_t lspo_grid_mail_send(const lspo_grid_t *grid, const lspo_op_t *op, uint32_t to,
                                  const lspo_session_message_t *message);
/* LSPO_ERR_INPUT for letters that the mail would refuse. */
lspo_status_t lspo_grid_check_letters(const lspo_grid_t *grid);
void lspo_grid_set_part(lspo_grid_t *grid);
/* LSPO_ERR_INPUT on rank 0, which names the first difference, unless all ranks have the same plan, caps and text. */
lspo_status_t lspo_grid_check_alike(const lspo_grid_t *grid, const lspo_grid_options_t *options);
/* How many ranks of this machine have the same cores, this one included, and how many of them are before it.  Unlike
 * the launcher's numbers this tells whether ranks are bound to cores of their own. */
lspo_status_t lspo_grid_share_cores(const lspo_grid_t *grid, const lspo_topology_t *cores, uint32_t *before_out,
                                    uint32_t *count_out);
/* Add the numbers of the other ranks, in their order, to those of rank 0. */
lspo_status_t lspo_grid_add_up(const lspo_grid_t *grid, uint32_t count, double *numbers);
/* All have the least value of all. */
lspo_status_t lspo_grid_agree_least(const lspo_grid_t *grid, double *value);
/* Send or take `bytes` between two ranks. */
lspo_status_t lspo_grid_pass(const lspo_grid_t *grid, uint32_t from, uint32_t to, void *data, size_t bytes);

#endif
