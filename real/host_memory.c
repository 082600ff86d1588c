#include "real/host_memory.h"

#include <stdio.h>

#include "real/cgroup.h"

static const lspo_cgroup_hierarchy_t hierarchies[] = {{"", "/sys/fs/cgroup"}, {"memory", "/sys/fs/cgroup/memory"}};

/* Of the same hierarchies. */
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

uint64_t lspo_host_memory_available(const char *root)
{
    char folder[4096];
    uint64_t available_kb, least_bytes = UINT64_MAX;
    lspo_cgroup_walk(root, hierarchies, sizeof hierarchies / sizeof hierarchies[0], visit, &least_bytes);
    snprintf(folder, sizeof folder, "%s/proc", root);
    if (lspo_cgroup_number(folder, "meminfo", "MemAvailable:", &available_kb) && available_kb * 1024 < least_bytes)
        least_bytes = available_kb * 1024;
    return least_bytes;
}
