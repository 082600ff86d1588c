/* host_memory.c - the memory that this process can still get from the machine and its cgroup; see host_memory.h. */
#include "real/machine/host_memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "real/machine/cgroup.h"

static const lspo_cgroup_hierarchy_t hierarchies[] = {{"", "/sys/fs/cgroup"}, {"memory", "/sys/fs/cgroup/memory"}};

/* In the same hierarchies. */
static const struct {
    const char *limit, *usage, *idle_pages;
} files[] = {{"memory.max", "memory.current", "inactive_file "},
             {"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "}};

static void visit(void *least_bytes, size_t h, const char *folder)
{
    uint64_t limit_bytes, usage_bytes, idle_bytes = 0, *least = least_bytes;
    if (!lspo_cgroup_number(folder, files[h].limit, "", &limit_bytes) ||
        !lspo_cgroup_number(folder, files[h].usage, "", &usage_bytes))
        return;
    lspo_cgroup_number(folder, "memory.stat", files[h].idle_pages, &idle_bytes);
    uint64_t kept_bytes = usage_bytes > idle_bytes ? usage_bytes - idle_bytes : 0;
    uint64_t left_bytes = limit_bytes > kept_bytes ? limit_bytes - kept_bytes : 0;
    *least = left_bytes < *least ? left_bytes : *least;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t left_of(int resource, uint64_t used_bytes)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT64_MAX;
    return limit.rlim_cur > used_bytes ? limit.rlim_cur - used_bytes : 0;
}

uint64_t lspo_host_addresses_left(void)
{
    uint64_t size_pages = 0, data_pages = 0, page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    FILE *file = fopen("/proc/self/statm", "re");
    if (file && fscanf(file, "%" SCNu64 " %*u %*u %*u %*u %" SCNu64, &size_pages, &data_pages) != 2)
        size_pages = data_pages = 0;
    if (file)
        fclose(file);
    return least(left_of(RLIMIT_AS, size_pages * page_bytes), left_of(RLIMIT_DATA, data_pages * page_bytes));
}

uint64_t lspo_host_memory_available(const char *root)
{
    char folder[4096];
    uint64_t available_kb, least_bytes = UINT64_MAX;
    lspo_cgroup_walk(root, hierarchies, sizeof hierarchies / sizeof hierarchies[0], visit, &least_bytes);
    snprintf(folder, sizeof folder, "%s/proc", root);
    if (lspo_cgroup_number(folder, "meminfo", "MemAvailable:", &available_kb) && available_kb * 1024 < least_bytes)
        least_bytes = available_kb * 1024;
    return least(least_bytes, lspo_host_addresses_left());
}
