/* topology.c - see topology.h. */
#include "real/machine/topology.h"

#include <errno.h>
#include <hwloc.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "real/machine/apart.h"
#include "real/machine/cpu_quota.h"

/* glibc 2.36 has no wrapper.  Layout: sched_setattr(2). */
typedef struct {
    uint32_t size, sched_policy;
    uint64_t sched_flags;
    int32_t sched_nice;
    uint32_t sched_priority;
    uint64_t sched_runtime, sched_deadline, sched_period;
} sched_attributes_t;

static const uint64_t link_slice_ns = 100000;

/* The cores that this process may use, those near the GPU first. */
typedef struct {
    int *cpu;
    uint32_t count, near_count;
} cores_t;

/* The core of a lane among `core_count`, relative to that of the GPU lane. */
static uint32_t lane_core(lspo_lane_kind_t lane, uint32_t core_count)
{
    static const uint32_t with_three[LSPO_DEVICE_LANES] = {
        [LSPO_LANE_GPU] = 0, [LSPO_LANE_CPU] = 1, [LSPO_LANE_D2H] = 2, [LSPO_LANE_H2D] = 2};
    static const uint32_t with_four[LSPO_DEVICE_LANES] = {
        [LSPO_LANE_GPU] = 0, [LSPO_LANE_CPU] = 1, [LSPO_LANE_D2H] = 2, [LSPO_LANE_H2D] = 3};
    if (core_count < 2)
        return 0;
    if (core_count == 2)
        return lane == LSPO_LANE_GPU ? 0 : 1;
    return core_count == 3 ? with_three[lane] : with_four[lane];
}

static void describe(lspo_topology_t *topology)
{
    int length = snprintf(topology->description, sizeof topology->description, "%u core%s:", topology->core_count,
                          topology->core_count == 1 ? "" : "s");
    for (int lane = 0; lane < LSPO_DEVICE_LANES; lane++)
        if (length > 0 && (size_t)length < sizeof topology->description)
            length += snprintf(topology->description + length, sizeof topology->description - (size_t)length,
                               "%s %s on cpu %d", lane ? "," : "", lspo_lane_kind_name((lspo_lane_kind_t)lane),
                               topology->cpu[lane]);
}

static bool is_a_lanes(const lspo_topology_t *topology, int cpu)
{
    for (int lane = 0; lane < LSPO_DEVICE_LANES; lane++)
        if (topology->cpu[lane] == cpu)
            return true;
    return false;
}

static void place_workers(const cores_t *cores, lspo_topology_t *topology)
{
    topology->worker_cpu[0] = topology->cpu[LSPO_LANE_CPU];
    topology->worker_count = topology->usual_workers = 1;
    for (uint32_t i = 0; i < cores->count && topology->worker_count < LSPO_TOPOLOGY_WORKERS_MAX; i++) {
        if (is_a_lanes(topology, cores->cpu[i]))
            continue;
        topology->worker_cpu[topology->worker_count++] = cores->cpu[i];
        topology->usual_workers += i < cores->near_count;
    }
}

/* The links of a GPU need no separate cores: the threads copy nothing. */
static void place_lanes(const cores_t *cores, bool gpu, lspo_topology_t *topology)
{
    uint32_t count = cores->near_count > 3 && gpu ? 3 : cores->near_count;
    topology->core_count = cores->count;
    for (int lane = 0; lane < LSPO_DEVICE_LANES; lane++)
        topology->cpu[lane] = cores->cpu[lane_core((lspo_lane_kind_t)lane, count)];
    describe(topology);
    place_workers(cores, topology);
    if (!gpu)
        topology->usual_workers = 1;
}

/* Why hwloc failed. */
static lspo_status_t refuse(const char *cannot)
{
    if (errno == ENOMEM)
        return lspo_error(LSPO_ERR_MEMORY, "out of memory: hwloc cannot %s", cannot);
    return lspo_error(LSPO_ERR_DEVICE, "hwloc cannot %s", cannot);
}

/* Put the cores of the GPU's NUMA node into `near`, or all cores if the GPU is not found. */
static void find_near(hwloc_topology_t machine, const char *pci_address, hwloc_bitmap_t near)
{
    hwloc_obj_t gpu = pci_address ? hwloc_get_pcidev_by_busidstring(machine, pci_address) : NULL;
    hwloc_obj_t place = gpu ? hwloc_get_non_io_ancestor_obj(machine, gpu) : NULL;
    if (place && place->nodeset)
        hwloc_cpuset_from_nodeset(machine, near, place->nodeset);
    else
        hwloc_bitmap_fill(near);
}

static lspo_status_t list_cores(hwloc_topology_t machine, hwloc_const_bitmap_t near, cores_t *cores)
{
    /* A machine may show only hardware threads, not cores. */
    hwloc_obj_type_t type = hwloc_get_nbobjs_by_type(machine, HWLOC_OBJ_CORE) > 0 ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
    int count = hwloc_get_nbobjs_by_type(machine, type);
    if (count < 1)
        return lspo_error(LSPO_ERR_DEVICE, "hwloc finds no core that this process may use");
    cores->cpu = calloc((size_t)count, sizeof *cores->cpu);
    if (!cores->cpu)
        return lspo_no_memory("the list of %d cores", count);
    for (int nearby = 1; nearby >= 0; nearby--) {
        for (int i = 0; i < count; i++) {
            hwloc_obj_t core = hwloc_get_obj_by_type(machine, type, (unsigned)i);
            if (hwloc_bitmap_intersects(core->cpuset, near) == nearby)
                cores->cpu[cores->count++] = hwloc_bitmap_first(core->cpuset);
        }
        if (nearby)
            cores->near_count = cores->count;
    }
    if (cores->near_count == 0) /* this process may not use any of them */
        cores->near_count = cores->count;
    return LSPO_OK;
}

static lspo_status_t place(hwloc_topology_t machine, bool gpu, const char *pci_address, lspo_topology_t *topology)
{
    cores_t cores = {0};
    hwloc_bitmap_t near = hwloc_bitmap_alloc();
    if (!near)
        return lspo_no_memory("a set of cores");
    find_near(machine, pci_address, near);
    lspo_status_t status = list_cores(machine, near, &cores);
    if (status != LSPO_OK)
        goto cleanup;
    place_lanes(&cores, gpu, topology);
cleanup:
    free(cores.cpu);
    hwloc_bitmap_free(near);
    return status;
}

typedef struct {
    bool gpu;
    const char *pci_address;
} where_t;

static lspo_status_t read_here(const void *context, void *result)
{
    const where_t *where = context;
    hwloc_topology_t machine;
    /* Silence hwloc's messages about files that it cannot read, as in a container without /sys, which would appear at
     * every command. */
    setenv("HWLOC_HIDE_ERRORS", "2", 0);
    if (hwloc_topology_init(&machine) != 0)
        return refuse("start");
    if (where->pci_address)
        hwloc_topology_set_io_types_filter(machine, HWLOC_TYPE_FILTER_KEEP_IMPORTANT);
#if HWLOC_API_VERSION >= 0x00020500
    hwloc_topology_set_flags(machine, HWLOC_TOPOLOGY_FLAG_IS_THISSYSTEM | HWLOC_TOPOLOGY_FLAG_RESTRICT_TO_CPUBINDING);
#endif
    lspo_status_t status = LSPO_OK;
    lspo_topology_t topology = {.cpu_quota = lspo_cpu_quota("")};
    if (hwloc_topology_load(machine) != 0)
        status = refuse("read the cores of this machine");
    else
        status = place(machine, where->gpu, where->pci_address, &topology);
    hwloc_topology_destroy(machine);
    if (status != LSPO_OK)
        return status;
    memcpy(result, &topology, sizeof topology);
    return LSPO_OK;
}

static lspo_status_t read_machine(bool gpu, const char *pci_address, lspo_topology_t *topology_out)
{
    const where_t where = {gpu, pci_address};
    return lspo_call_apart("read the cores of this machine", read_here, &where, topology_out, sizeof *topology_out);
}

lspo_status_t lspo_topology_read(lspo_topology_t *topology_out)
{
    return read_machine(false, NULL, topology_out);
}

lspo_status_t lspo_topology_read_near(const char *pci_address, lspo_topology_t *topology_out)
{
    return read_machine(true, pci_address, topology_out);
}

static uint32_t add_core(int *cores, uint32_t count, int cpu)
{
    for (uint32_t i = 0; i < count; i++)
        if (cores[i] == cpu)
            return count;
    cores[count] = cpu;
    return count + 1;
}

void lspo_topology_share(const lspo_topology_t *all, uint32_t device, uint32_t device_count, lspo_topology_t *share_out)
{
    int cores[LSPO_DEVICE_LANES + LSPO_TOPOLOGY_WORKERS_MAX];
    uint32_t count = 0;
    for (int lane = 0; lane < LSPO_DEVICE_LANES; lane++)
        count = add_core(cores, count, all->cpu[lane]);
    for (uint32_t i = 0; i < all->worker_count; i++)
        count = add_core(cores, count, all->worker_cpu[i]);
    const uint32_t each = count / device_count, first = each > 0 ? device * each : device % count;
    *share_out = *all;
    for (int lane = 0; lane < LSPO_DEVICE_LANES; lane++)
        share_out->cpu[lane] = cores[first + (lane != LSPO_LANE_GPU && each > 1 ? 1 : 0)];
    share_out->worker_cpu[0] = share_out->cpu[LSPO_LANE_CPU];
    share_out->worker_count = share_out->usual_workers = 1;
}

/* One CPU for the thread that launches kernels, one for the threads of the links. */
static uint32_t usual_within_quota(const lspo_topology_t *topology)
{
    uint32_t left = topology->cpu_quota > 3 ? topology->cpu_quota - 2 : 1;
    return topology->usual_workers < left ? topology->usual_workers : left;
}

lspo_status_t lspo_topology_workers(const lspo_topology_t *topology, uint32_t asked, uint32_t *count_out)
{
    if (asked > topology->worker_count)
        return lspo_error(LSPO_ERR_INPUT, "--cpu-threads %u: this machine has cores for 1 to %u (%s)", asked,
                          topology->worker_count, topology->description);
    *count_out = asked > 0 ? asked : usual_within_quota(topology);
    return LSPO_OK;
}

void lspo_topology_enter(const lspo_topology_t *topology, lspo_lane_kind_t lane)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    int cpu = topology->cpu[lane < LSPO_DEVICE_LANES ? lane : LSPO_LANE_D2H]; /* other lanes move data like links */
    if (cpu < CPU_SETSIZE)
        CPU_SET((size_t)cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    if (lspo_lane_kind_moves_bytes(lane)) {
        sched_attributes_t attributes = {.size = sizeof attributes,
                                         .sched_policy = SCHED_OTHER,
                                         .sched_nice = getpriority(PRIO_PROCESS, 0),
                                         .sched_runtime = link_slice_ns};
        syscall(SYS_sched_setattr, 0, &attributes, 0);
    }
}
