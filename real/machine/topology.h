/* topology.h - assign the threads of lanes to cores (hwloc).
 *
 * The GPU lane has the first core for itself in every policy, so that no schedule can compute on cores that another
 * schedule uses for copies.  With two cores, links and CPU lane share the second; with three the links share the third;
 * from four on each lane has its own.  With one core all share it, and the report says so.
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
    uint32_t core_count;        /* that this process may use                        */
    int cpu[LSPO_DEVICE_LANES]; /* operating-system CPU number a lane is bound to   */
    char description[160];      /* "2 cores: gpu on cpu 0, d2h h2d cpu on cpu 1"    */
    /* Cores for the workers of the CPU lane: its own core, then those without a lane. */
    int worker_cpu[LSPO_TOPOLOGY_WORKERS_MAX];
    uint32_t worker_count;
    uint32_t usual_workers; /* default number of workers: one; with a GPU those of its NUMA node */
    uint32_t cpu_quota;     /* see real/machine/cpu_quota.h */
} lspo_topology_t;

/* LSPO_ERR_DEVICE if hwloc cannot read this machine. */
lspo_status_t lspo_topology_read(lspo_topology_t *topology_out);
/* The same for a GPU at `pci_address` ("0000:3b:00.0"; if NULL or not found, all cores count as near). */
lspo_status_t lspo_topology_read_near(const char *pci_address, lspo_topology_t *topology_out);

/* The cores of one of several devices in this process: its share of all, of which the GPU lane has the first, and the
 * other lanes the second if there are two; where there are fewer cores than devices, several devices share one. */
void lspo_topology_share(const lspo_topology_t *all, uint32_t device, uint32_t device_count,
                         lspo_topology_t *share_out);

/* The number of workers for `asked` (--cpu-threads). 0: the usual number, limited by what the CPU quota leaves besides
 * the lanes that feed a GPU. LSPO_ERR_INPUT for more than there are cores. */
lspo_status_t lspo_topology_workers(const lspo_topology_t *topology, uint32_t asked, uint32_t *count_out);

/* Bind the calling thread to its lane's core.  Link lanes also request short time slices, because a paced copy that
 * wakes up must get its core at once, like a DMA engine.  If the system refuses either, the thread runs without it:
 * slower, but correct. */
void lspo_topology_enter(const lspo_topology_t *topology, lspo_lane_kind_t lane);

#endif
