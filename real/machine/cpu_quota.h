/* cpu_quota.h - how many CPUs' time the control groups of this process grant it, however many it sees: a container that
 * is given 16 of a machine's 128 is stopped, all of its threads, when more have used that up. */
#ifndef LSPO_REAL_MACHINE_CPU_QUOTA_H
#define LSPO_REAL_MACHINE_CPU_QUOTA_H

#include <stdint.h>

/* Whole CPUs, at least 1; UINT32_MAX where there is no limit.  `root` as in cgroup.h. */
uint32_t lspo_cpu_quota(const char *root);

#endif
