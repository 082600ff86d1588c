/* cpu_quota.h - the CPU time that the control groups of this process grant, as a number of CPUs.  A container that is
 * granted 16 of a machine's 128 CPUs sees all 128, but all its threads are stopped once they have used up the time of
 * 16. */
#ifndef LSPO_REAL_MACHINE_CPU_QUOTA_H
#define LSPO_REAL_MACHINE_CPU_QUOTA_H

#include <stdint.h>

/* Whole CPUs, at least 1; UINT32_MAX: no limit.  `root` as in cgroup.h. */
uint32_t lspo_cpu_quota(const char *root);

#endif
