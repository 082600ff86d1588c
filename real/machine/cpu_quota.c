/* cpu_quota.c - the CPU time that the control groups of this process grant; see cpu_quota.h. */
#include "real/machine/cpu_quota.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#include "real/machine/cgroup.h"

static const lspo_cgroup_hierarchy_t hierarchies[] = {
    {"", "/sys/fs/cgroup"}, {"cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct"}, {"cpu", "/sys/fs/cgroup/cpu"}};

/* "1600000 100000", of version 2; "max 100000" is no limit. */
static bool read_both(const char *folder, uint64_t *quota_us, uint64_t *period_us)
{
    char path[4096];
    int length = snprintf(path, sizeof path, "%s/cpu.max", folder);
    FILE *file = length > 0 && (size_t)length < sizeof path ? fopen(path, "r") : NULL;
    if (!file)
        return false;
    bool both = fscanf(file, "%" SCNu64 " %" SCNu64, quota_us, period_us) == 2;
    fclose(file);
    return both;
}

/* A quota of -1 means none: as an unsigned number it is larger than any. */
static void visit(void *least_cpus, size_t hierarchy, const char *folder)
{
    uint64_t quota_us, period_us;
    uint32_t *least = least_cpus;
    bool limited = hierarchy == 0 ? read_both(folder, &quota_us, &period_us)
                                  : lspo_cgroup_number(folder, "cpu.cfs_quota_us", "", &quota_us) &&
                                        lspo_cgroup_number(folder, "cpu.cfs_period_us", "", &period_us);
    if (!limited || period_us == 0 || quota_us / period_us >= *least)
        return;
    *least = quota_us < period_us ? 1 : (uint32_t)(quota_us / period_us);
}

uint32_t lspo_cpu_quota(const char *root)
{
    uint32_t least = UINT32_MAX;
    lspo_cgroup_walk(root, hierarchies, sizeof hierarchies / sizeof hierarchies[0], visit, &least);
    return least;
}
