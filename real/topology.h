/* topology.h - which core each lane's thread runs on (hwloc).
 *
 * The GPU lane has the first core for itself, in every policy, so that a schedule never speeds up by computing on
 * cores that another schedule gives to copies.  With two cores, links and CPU lane share the second; with three the
 * links share the third; from four on each lane has its own.  On one core all share it, and the report says so. */
#ifndef LSPO_REAL_TOPOLOGY_H
#define LSPO_REAL_TOPOLOGY_H

#include <stdint.h>

#include "plan/op.h"
#include "plan/status.h"

typedef struct {
    uint32_t core_count;      /* that this process may use                        */
    int cpu[LSPO_LANE_COUNT]; /* operating-system CPU number a lane is bound to   */
    char description[128];    /* "2 cores: gpu on cpu 0, d2h h2d cpu on cpu 1"    */
} lspo_topology_t;

/* LSPO_ERR_DEVICE when hwloc cannot read this machine. */
lspo_status_t lspo_topology_read(lspo_topology_t *topology_out);

/* Bind the calling thread to its lane's core.  Link lanes also ask for short time slices, because a copy that wakes
 * from its pace has to get its core at once, as a DMA engine would.  Where the system refuses either, the thread
 * runs unbound: slower, never wrong. */
void lspo_topology_enter(const lspo_topology_t *topology, lspo_lane_t lane);

#endif
