/* topology.h - which core each lane's thread runs on (hwloc).
 *
 * The GPU lane has the first core for itself, in every policy, so that a schedule never speeds up by computing on
 * cores that another schedule gives to copies.  With two cores, links and CPU lane share the second; with three the
 * links share the third; from four on each lane has its own.  On one core all share it, and the report says so.
 *
 * With a GPU the lanes' threads only queue work and wait: the GPU lane has one core, the links share another, and the
 * CPU optimizer's workers have all the rest.  Cores of the GPU's NUMA node come first. */
#ifndef LSPO_REAL_MACHINE_TOPOLOGY_H
#define LSPO_REAL_MACHINE_TOPOLOGY_H

#include <stdint.h>

#include "base/status.h"
#include "plan/op.h"

enum { LSPO_TOPOLOGY_WORKERS_MAX = 256 };

typedef struct {
    uint32_t core_count;      /* that this process may use                        */
    int cpu[LSPO_DEVICE_LANES]; /* operating-system CPU number a lane is bound to   */
    char description[160];    /* "2 cores: gpu on cpu 0, d2h h2d cpu on cpu 1"    */
    /* Where the CPU lane's workers may be: its own core, then those that no lane has. */
    int worker_cpu[LSPO_TOPOLOGY_WORKERS_MAX];
    uint32_t worker_count;
    uint32_t usual_workers; /* how many there are unless asked for: one; with a GPU those of its NUMA node */
    uint32_t cpu_quota;     /* CPUs' time that the process may use (real/machine/cpu_quota.h)                     */
} lspo_topology_t;

/* LSPO_ERR_DEVICE when hwloc cannot read this machine. */
lspo_status_t lspo_topology_read(lspo_topology_t *topology_out);
/* The same for a GPU at `pci_address` ("0000:3b:00.0"; NULL or not found: as if all cores were near it). */
lspo_status_t lspo_topology_read_near(const char *pci_address, lspo_topology_t *topology_out);

/* How many workers `asked` (--cpu-threads, 0: as usual, but no more than the quota of CPU time leaves beside the lanes
 * that feed a GPU) means.  LSPO_ERR_INPUT for more than there are cores for. */
lspo_status_t lspo_topology_workers(const lspo_topology_t *topology, uint32_t asked, uint32_t *count_out);

/* Bind the calling thread to its lane's core.  Link lanes also ask for short time slices, because a copy that wakes
 * from its pace has to get its core at once, as a DMA engine would.  Where the system refuses either, the thread
 * runs unbound: slower, never wrong. */
void lspo_topology_enter(const lspo_topology_t *topology, lspo_lane_kind_t lane);

#endif
