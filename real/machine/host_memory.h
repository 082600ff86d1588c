/* host_memory.h - the memory that this process can still get from the machine and its cgroup. */
#ifndef LSPO_REAL_MACHINE_HOST_MEMORY_H
#define LSPO_REAL_MACHINE_HOST_MEMORY_H

#include <stdint.h>

/* MemAvailable of /proc/meminfo, or less if a cgroup (v2 or v1) of the process or one above it has less left: limit -
 * usage + inactive file pages in the usage.  UINT64_MAX if nothing is known.  Never more than
 * lspo_host_addresses_left().  `root`: prefix of the paths, for tests; "". */
uint64_t lspo_host_memory_available(const char *root);

/* What the process's limits on addresses and data (ulimit -v, ulimit -d) leave; UINT64_MAX: no limits. */
uint64_t lspo_host_addresses_left(void);

#endif
