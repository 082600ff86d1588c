/* host_memory.h - how much memory this process may still take before the machine or its cgroup is out of it. */
#ifndef LSPO_REAL_MACHINE_HOST_MEMORY_H
#define LSPO_REAL_MACHINE_HOST_MEMORY_H

#include <stdint.h>

/* MemAvailable of /proc/meminfo, or less where a cgroup (v2 or v1) that the process is in, or one above it, has less
 * left: its limit - what it uses + what of that are pages of files that nobody has used lately.  UINT64_MAX when
 * nothing is known.  Never more than lspo_host_addresses_left().  `root`: prefix of the paths, for tests; "". */
uint64_t lspo_host_memory_available(const char *root);

/* What the limits of this process on addresses and data (ulimit -v, ulimit -d) leave; UINT64_MAX without limits. */
uint64_t lspo_host_addresses_left(void);

#endif
